/* regions: a range map with overwrite semantics, against one owner a page; and under threads. */
#include <pthread.h>

#include "regions.h"
#include "room.h"

enum { PAGE = 4096, PAGES = 512 };
static const uintptr_t base = 0x7f0000000000;

static void setup(void)
{
	room_open(64 << 20);
	ck_assert(regions_init());
}

static struct mtrace_range_table *table(void)
{
	return (struct mtrace_range_table *)(void *)segment.base[MTRACE_REGION_RANGES];
}

static const struct mtrace_range *current(uint32_t *count)
{
	uint32_t index = (uint32_t)(atomic_load(&table()->current) & 1);
	*count = table()->count[index];
	return index ? (const struct mtrace_range *)(void *)segment.base[MTRACE_REGION_RANGES_OTHER]
		     : (const struct mtrace_range *)(table() + 1);
}

static uint32_t owner_of(uintptr_t address)
{
	uint32_t count;
	const struct mtrace_range *ranges = current(&count);
	for (uint32_t i = 0; i < count; i++)
		if (address >= ranges[i].start && address < ranges[i].end)
			return ranges[i].row;
	return 0;
}

static void expect_sorted(void)
{
	uint32_t count;
	const struct mtrace_range *ranges = current(&count);
	for (uint32_t i = 0; i < count; i++) {
		ck_assert_uint_lt(ranges[i].start, ranges[i].end);
		if (i)
			ck_assert_uint_le(ranges[i - 1].end, ranges[i].start);
	}
}

START_TEST(a_map_over_another_takes_its_part)
{
	regions_map(base, base + 10 * PAGE, 1, 1, 0, 3);
	regions_map(base + 4 * PAGE, base + 6 * PAGE, 2, 1, 0, 3);
	ck_assert_uint_eq(owner_of(base + 3 * PAGE), 1);
	ck_assert_uint_eq(owner_of(base + 4 * PAGE), 2);
	ck_assert_uint_eq(owner_of(base + 6 * PAGE), 1);
	regions_unmap(base, base + 5 * PAGE);
	ck_assert_uint_eq(owner_of(base), 0);
	ck_assert_uint_eq(owner_of(base + 5 * PAGE), 2);
}
END_TEST

START_TEST(a_move_that_fails_changes_nothing)
{
	regions_map(base, base + 4 * PAGE, 1, 1, 0, 3);
	uint32_t token = regions_begin_move(base, base + 4 * PAGE);
	regions_end_move(token, 0, 0, 0, 1, 0);
	ck_assert_uint_eq(owner_of(base), 1);
}
END_TEST

START_TEST(a_move_spares_what_came_to_its_old_place)
{
	regions_map(base, base + 4 * PAGE, 1, 1, 0, 3);
	uint32_t token = regions_begin_move(base, base + 4 * PAGE);
	regions_map(base + PAGE, base + 2 * PAGE, 9, 2, 0, 3); /* another thread got the address meanwhile */
	regions_end_move(token, base + 100 * PAGE, base + 108 * PAGE, 2, 1, 0);
	ck_assert_uint_eq(owner_of(base), 0);
	ck_assert_uint_eq(owner_of(base + PAGE), 9);
	ck_assert_uint_eq(owner_of(base + 107 * PAGE), 2);
}
END_TEST

static void set_pages(uint32_t *owners, uint32_t first, uint32_t count, uint32_t row)
{
	for (uint32_t i = first; i < first + count; i++)
		owners[i] = row;
}

START_TEST(random_operations_match_a_reference)
{
	static uint32_t owners[2 * PAGES + 64];
	uint64_t state = room_seed();
	for (uint32_t round = 1; round < 30000; round++) {
		uint32_t first = (uint32_t)(room_random(&state) % PAGES), count = (uint32_t)(room_random(&state) % 40 + 1);
		uintptr_t start = base + (uintptr_t)first * PAGE, end = start + (uintptr_t)count * PAGE;
		switch (room_random(&state) % 4) {
		case 0:
		case 1:
			regions_map(start, end, round, 1, 0, 3);
			set_pages(owners, first, count, round);
			break;
		case 2:
			regions_unmap(start, end);
			set_pages(owners, first, count, 0);
			break;
		default: {
			uint32_t to = PAGES + first;
			uint32_t token = regions_begin_move(start, end);
			regions_end_move(token, base + (uintptr_t)to * PAGE, base + (uintptr_t)(to + count) * PAGE, round, 1, 0);
			set_pages(owners, first, count, 0);
			set_pages(owners, to, count, round);
		}
		}
		if (round % 100)
			continue;
		expect_sorted();
		for (uint32_t i = 0; i < 2 * PAGES; i++)
			ck_assert_uint_eq(owner_of(base + (uintptr_t)i * PAGE), owners[i]);
	}
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_drop_ranges_full), 0);
}
END_TEST

enum { THREADS = 4, ROUNDS = 20000 };

static void *map_and_unmap(void *argument)
{
	uintptr_t lane = base + (uintptr_t)argument * 64 * PAGE;
	for (uint32_t rounds = room_times(ROUNDS); rounds > 0; rounds--) {
		regions_map(lane, lane + 8 * PAGE, (uint32_t)(uintptr_t)argument + 1, 1, 0, 3);
		regions_unmap(lane + 2 * PAGE, lane + 4 * PAGE);
		regions_unmap(lane, lane + 8 * PAGE);
	}
	regions_map(lane, lane + PAGE, (uint32_t)(uintptr_t)argument + 1, 1, 0, 3);
	return NULL;
}

/* Nothing is lost in silence while threads append: every operation is in the log's numbers or in the drops. */
START_TEST(threads_lose_nothing_in_silence)
{
	pthread_t threads[THREADS];
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, map_and_unmap, (void *)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	uint64_t dropped = room_counter(MTRACE_COUNTER_drop_ranges_full);
	ck_assert_uint_eq(atomic_load(&table()->next) + dropped, THREADS * (3ull * room_times(ROUNDS) + 1));
	ck_assert_uint_eq(atomic_load(&table()->current) >> 1, atomic_load(&table()->next));
	expect_sorted();
	for (uint32_t i = 0; i < THREADS && !dropped; i++)
		ck_assert_uint_eq(owner_of(base + i * 64 * PAGE), i + 1);
}
END_TEST

/* A program with a few mappings pays for a few, in both copies. */
START_TEST(few_ranges_take_little)
{
	for (uintptr_t i = 0; i < 100; i++)
		regions_map(base + 2 * i * PAGE, base + (2 * i + 1) * PAGE, 1, 1, 0, 3);
	ck_assert_uint_eq(owner_of(base), 1);
	ck_assert_uint_le(atomic_load(&segment.header->committed_bytes), 192 << 10);
}
END_TEST

START_TEST(full_is_counted)
{
	for (uintptr_t i = 0; i < MTRACE_RANGES_MAX + 10; i++)
		regions_map(base + 2 * i * PAGE, base + (2 * i + 1) * PAGE, 1, 1, 0, 3);
	ck_assert_uint_ge(room_counter(MTRACE_COUNTER_drop_ranges_full), 10);
	expect_sorted();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("regions");
	TCase *plain = tcase_create("plain"), *threads = tcase_create("threads");
	tcase_add_checked_fixture(plain, setup, NULL);
	tcase_set_timeout(plain, 60);
	tcase_add_test(plain, a_map_over_another_takes_its_part);
	tcase_add_test(plain, a_move_that_fails_changes_nothing);
	tcase_add_test(plain, a_move_spares_what_came_to_its_old_place);
	tcase_add_test(plain, random_operations_match_a_reference);
	tcase_add_test(plain, few_ranges_take_little);
	tcase_add_test(plain, full_is_counted);
	suite_add_tcase(suite, plain);
	tcase_add_checked_fixture(threads, setup, NULL);
	tcase_set_timeout(threads, 60);
	tcase_add_test(threads, threads_lose_nothing_in_silence);
	suite_add_tcase(suite, threads);
	return run_suite(suite);
}
