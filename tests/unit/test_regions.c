/* regions: a range map with overwrite semantics, against one owner a page; what goes from it is told once; and under threads. */
#include <pthread.h>

#include "counts.h"
#include "epochs.h"
#include "history.h"
#include "regions.h"
#include "room.h"

enum { PAGE = 4096, PAGES = 512 };
static const uintptr_t base = 0x7f0000000000;
static const struct regions_event by = {.thread = 1, .epoch = 1};

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
	regions_map(base, base + 10 * PAGE, 1, 3, &by);
	regions_map(base + 4 * PAGE, base + 6 * PAGE, 2, 3, &by);
	ck_assert_uint_eq(owner_of(base + 3 * PAGE), 1);
	ck_assert_uint_eq(owner_of(base + 4 * PAGE), 2);
	ck_assert_uint_eq(owner_of(base + 6 * PAGE), 1);
	regions_unmap(base, base + 5 * PAGE, &by);
	ck_assert_uint_eq(owner_of(base), 0);
	ck_assert_uint_eq(owner_of(base + 5 * PAGE), 2);
}
END_TEST

START_TEST(a_move_that_fails_changes_nothing)
{
	regions_map(base, base + 4 * PAGE, 1, 3, &by);
	uint32_t token = regions_begin_move(base, base + 4 * PAGE);
	regions_end_move(token, 0, 0, 0, &by);
	ck_assert_uint_eq(owner_of(base), 1);
}
END_TEST

START_TEST(a_move_spares_what_came_to_its_old_place)
{
	regions_map(base, base + 4 * PAGE, 1, 3, &by);
	uint32_t token = regions_begin_move(base, base + 4 * PAGE);
	regions_map(base + PAGE, base + 2 * PAGE, 9, 3, &by); /* another thread got the address meanwhile */
	regions_end_move(token, base + 100 * PAGE, base + 108 * PAGE, 2, &by);
	ck_assert_uint_eq(owner_of(base), 0);
	ck_assert_uint_eq(owner_of(base + PAGE), 9);
	ck_assert_uint_eq(owner_of(base + 107 * PAGE), 2);
}
END_TEST

/* ---- what went ---- */

enum { ROUNDS_TOLD = 30000 };
static struct told {
	uint64_t blocks, bytes;
	uint32_t epoch; /* of the last */
} gone[ROUNDS_TOLD];

static void note_gone(const struct mtrace_range *range, const struct mtrace_range_op *op)
{
	ck_assert_uint_lt(range->row, ROUNDS_TOLD);
	gone[range->row].blocks += !(range->thread_flags & MTRACE_RANGE_PART);
	gone[range->row].bytes += range->end - range->start;
	gone[range->row].epoch = op->epoch;
}

static void begin_told(void)
{
	memset(gone, 0, sizeof gone);
	regions_gone = note_gone;
}

START_TEST(the_rest_of_a_block_stands_for_it)
{
	const struct regions_event later = {.thread = 2, .epoch = 9};
	begin_told();
	regions_map(base, base + 10 * PAGE, 1, 3, &by);
	regions_unmap(base, base + 2 * PAGE, &later); /* as an allocator that aligns its arenas */
	regions_unmap(base + 8 * PAGE, base + 10 * PAGE, &by);
	ck_assert_uint_eq(gone[1].blocks, 0);
	ck_assert_uint_eq(gone[1].bytes, 4 * PAGE);
	uint32_t token = regions_begin_move(base + 2 * PAGE, base + 4 * PAGE);
	ck_assert_uint_eq(gone[1].bytes, 4 * PAGE);
	regions_end_move(token, base + 2 * PAGE, base + 4 * PAGE, 0, &later);
	ck_assert_uint_eq(gone[1].blocks, 0);
	ck_assert_uint_eq(gone[1].bytes, 6 * PAGE);
	ck_assert_uint_eq(gone[1].epoch, 9);
	regions_map(base, base + 10 * PAGE, 2, 3, &later);
	ck_assert_uint_eq(gone[1].blocks, 1);
	ck_assert_uint_eq(gone[1].bytes, 10 * PAGE);
	ck_assert_uint_eq(gone[2].bytes, 0);
	regions_unmap(base + 4 * PAGE, base + 5 * PAGE, &by); /* a hole: two pieces, one block */
	ck_assert_uint_eq(gone[2].blocks, 0);
	regions_unmap(base + 5 * PAGE, base + 10 * PAGE, &by);
	ck_assert_uint_eq(gone[2].blocks, 0);
	regions_unmap(base, base + 10 * PAGE, &by);
	ck_assert_uint_eq(gone[2].blocks, 1);
	ck_assert_uint_eq(gone[2].bytes, 10 * PAGE);
	ck_assert_uint_eq(atomic_load(&table()->told), atomic_load(&table()->next));
}
END_TEST

/* Mapped less gone is what the map has, of each row. */
static void expect_balance(const struct told *mapped)
{
	static struct told live[ROUNDS_TOLD];
	uint32_t count;
	const struct mtrace_range *ranges = current(&count);
	memset(live, 0, sizeof live);
	for (uint32_t i = 0; i < count; i++) {
		live[ranges[i].row].bytes += ranges[i].end - ranges[i].start;
		live[ranges[i].row].blocks += !(ranges[i].thread_flags & MTRACE_RANGE_PART);
	}
	for (uint32_t row = 0; row < ROUNDS_TOLD; row++) {
		ck_assert_uint_eq(mapped[row].bytes - gone[row].bytes, live[row].bytes);
		ck_assert_uint_eq(mapped[row].blocks - gone[row].blocks, live[row].blocks);
	}
}

START_TEST(what_goes_is_told_once)
{
	static struct told mapped[ROUNDS_TOLD];
	uint64_t state = room_seed();
	begin_told();
	for (uint32_t round = 1; round < ROUNDS_TOLD; round++) {
		uintptr_t start = base + room_random(&state) % PAGES * PAGE, end = start + (room_random(&state) % 40 + 1) * PAGE;
		bool moves = room_random(&state) % 2, takes = room_random(&state) % 2;
		uint32_t token = moves ? regions_begin_move(start, end) : 0;
		if (moves && room_random(&state) % 4 == 0) {
			regions_end_move(token, 0, 0, 0, &by);
			continue;
		}
		if (moves)
			regions_end_move(token, start, end, takes ? round : 0, &by);
		else if (takes)
			regions_map(start, end, round, 3, &by);
		else
			regions_unmap(start, end, &by);
		mapped[round] = takes ? (struct told){.blocks = 1, .bytes = end - start} : (struct told){0};
		if (round % 1000 == 0)
			expect_balance(mapped);
	}
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
			regions_map(start, end, round, 3, &by);
			set_pages(owners, first, count, round);
			break;
		case 2:
			regions_unmap(start, end, &by);
			set_pages(owners, first, count, 0);
			break;
		default: {
			uint32_t to = PAGES + first;
			uint32_t token = regions_begin_move(start, end);
			regions_end_move(token, base + (uintptr_t)to * PAGE, base + (uintptr_t)(to + count) * PAGE, round, &by);
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
		regions_map(lane, lane + 8 * PAGE, (uint32_t)(uintptr_t)argument + 1, 3, &by);
		regions_unmap(lane + 2 * PAGE, lane + 4 * PAGE, &by);
		regions_unmap(lane, lane + 8 * PAGE, &by);
	}
	regions_map(lane, lane + PAGE, (uint32_t)(uintptr_t)argument + 1, 3, &by);
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

/* ---- who applies counts ---- */

static struct counts_tallies tallies;

static void count_gone(const struct mtrace_range *range, const struct mtrace_range_op *op)
{
	struct counts_change change = {.freed_blocks = !(range->thread_flags & MTRACE_RANGE_PART),
				       .freed_bytes = range->end - range->start};
	counts_change_in(&tallies, range->row, &change, op->epoch);
}

/* As the tracker does; in epochs that end meanwhile. */
static void *map_and_count(void *argument)
{
	uintptr_t lane = base + (uintptr_t)argument * 64 * PAGE;
	uint32_t row = (uint32_t)(uintptr_t)argument + 1;
	for (uint32_t rounds = room_times(ROUNDS); rounds > 0; rounds--) {
		struct regions_event who = {.thread = row, .epoch = epochs_now()};
		if (rounds % 64 == 0)
			epochs_end_at_mark(1, 1);
		while (!regions_map(lane, lane + 8 * PAGE, row, 3, &who))
			;
		regions_unmap(lane + 2 * PAGE, lane + 4 * PAGE, &who);
		while (!regions_end_move(regions_begin_move(lane, lane + 8 * PAGE), lane, lane + 8 * PAGE, 0, &who))
			;
	}
	return NULL;
}

static struct counts_change freed_of(uint32_t row)
{
	struct mtrace_row *r = counts_row(row);
	struct counts_change sum = {.freed_blocks = r->freed_blocks, .freed_bytes = r->freed_bytes};
	struct mtrace_tally *all = (void *)segment.base[MTRACE_REGION_TALLIES];
	uint64_t count = segment.committed[MTRACE_REGION_TALLIES] / sizeof *all;
	for (uint64_t i = 1; i < count; i++) {
		if ((all[i].row & MTRACE_TALLY_ROW) != row)
			continue;
		sum.freed_blocks += all[i].freed_blocks;
		sum.freed_bytes += all[i].freed_bytes;
	}
	return sum;
}

START_TEST(threads_count_what_goes_once)
{
	pthread_t threads[THREADS];
	ck_assert(epochs_init(1000) && history_init() && counts_init());
	ck_assert_uint_eq(segment_reserve(MTRACE_REGION_ROWS, THREADS), 1);
	counts_prepare(&tallies, COUNTS_FOLD_OF_RANGES);
	regions_gone = count_gone;
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, map_and_count, (void *)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (uint32_t row = 1; row <= THREADS; row++) {
		struct counts_change freed = freed_of(row);
		ck_assert_uint_eq(freed.freed_blocks, room_times(ROUNDS));
		ck_assert_uint_eq(freed.freed_bytes, room_times(ROUNDS) * 8ull * PAGE);
	}
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_drop_counts), 0);
}
END_TEST

/* A program with a few mappings pays for a few, in both copies. */
START_TEST(few_ranges_take_little)
{
	for (uintptr_t i = 0; i < 100; i++)
		regions_map(base + 2 * i * PAGE, base + (2 * i + 1) * PAGE, 1, 3, &by);
	ck_assert_uint_eq(owner_of(base), 1);
	ck_assert_uint_le(atomic_load(&segment.header->committed_bytes), 192 << 10);
}
END_TEST

/* As when the applier loses its processor for long. */
START_TEST(a_log_that_was_full_has_room_again)
{
	atomic_store(&table()->applier, 1);
	for (uintptr_t i = 0; i < MTRACE_RANGE_LOG_ENTRIES; i++)
		ck_assert(regions_map(base + i % 100 * PAGE, base + (i % 100 + 1) * PAGE, 1, 3, &by));
	ck_assert(!regions_map(base, base + PAGE, 2, 3, &by));
	atomic_store(&table()->applier, 0);
	ck_assert(regions_map(base, base + PAGE, 3, 3, &by));
	ck_assert_uint_eq(owner_of(base), 3);
	ck_assert_uint_eq(owner_of(base + 99 * PAGE), 1);
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_drop_ranges_full), 1);
}
END_TEST

START_TEST(full_is_counted)
{
	for (uintptr_t i = 0; i < MTRACE_RANGES_MAX + 10; i++)
		regions_map(base + 2 * i * PAGE, base + (2 * i + 1) * PAGE, 1, 3, &by);
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
	tcase_add_test(plain, the_rest_of_a_block_stands_for_it);
	tcase_add_test(plain, what_goes_is_told_once);
	tcase_add_test(plain, random_operations_match_a_reference);
	tcase_add_test(plain, few_ranges_take_little);
	tcase_add_test(plain, a_log_that_was_full_has_room_again);
	tcase_add_test(plain, full_is_counted);
	suite_add_tcase(suite, plain);
	tcase_add_checked_fixture(threads, setup, NULL);
	tcase_set_timeout(threads, 60);
	tcase_add_test(threads, threads_lose_nothing_in_silence);
	tcase_add_test(threads, threads_count_what_goes_once);
	suite_add_tcase(suite, threads);
	return run_suite(suite);
}
