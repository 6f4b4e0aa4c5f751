/* modules: an object is one module wherever it is mapped, another one is another, also where threads meet it at once. */
#include <pthread.h>
#include <sys/mman.h>

#include "modules.h"
#include "room.h"

static void setup(void)
{
	room_open(512 << 20);
}

static uint32_t id_of(const char *path, const char *build_id, uintptr_t start)
{
	bool news;
	return modules_of(&(struct plat_object){.start = start,
	                                        .end = start + 0x1000,
	                                        .bias = start,
	                                        .path = path,
	                                        .build_id = (const uint8_t *)build_id,
	                                        .build_id_bytes = (uint32_t)strlen(build_id)},
	                  &news);
}

static const struct mtrace_module *record(uint32_t id)
{
	return (const struct mtrace_module *)(const void *)segment.base[MTRACE_REGION_MODULES] + id;
}

START_TEST(an_object_is_its_path_and_build_id)
{
	uint32_t a = id_of("/lib/a.so", "one", 0x10000);
	ck_assert_uint_ne(a, 0);
	ck_assert_uint_eq(id_of("/lib/a.so", "one", 0x50000), a);
	ck_assert_uint_ne(id_of("/lib/a.so", "two", 0x10000), a);
	ck_assert_uint_ne(id_of("/lib/b.so", "one", 0x10000), a);
	ck_assert_uint_eq(id_of("/lib/a.so", "one", 0x10000), a);
}
END_TEST

START_TEST(a_module_says_where_it_was_met_first)
{
	uint32_t id = id_of("/lib/a.so", "one", 0x10000);
	id_of("/lib/a.so", "one", 0x50000);
	ck_assert_str_eq(segment.base[MTRACE_REGION_STRINGS] + record(id)->path, "/lib/a.so");
	ck_assert_uint_eq(record(id)->start, 0x10000);
	ck_assert_mem_eq(record(id)->build_id, "one", 3);
	ck_assert_uint_eq(atomic_load(&record(id)->ready), 1);
}
END_TEST

/* A forked child has a segment of its own: what its parent knew is another segment's. */
START_TEST(another_process_begins_anew)
{
	uint32_t a = id_of("/lib/a.so", "one", 0x10000), b = id_of("/lib/b.so", "one", 0x20000);
	segment.pid++;
	uint32_t b_again = id_of("/lib/b.so", "one", 0x20000), a_again = id_of("/lib/a.so", "one", 0x10000);
	ck_assert_uint_gt(b_again, b);
	ck_assert_uint_gt(a_again, b_again);
	ck_assert_uint_eq(id_of("/lib/b.so", "one", 0x20000), b_again);
	ck_assert_uint_eq(id_of("/lib/a.so", "one", 0x10000), a_again);
	ck_assert_uint_lt(a, b);
}
END_TEST

/* Its number was another process's before, whose modules it does not have: an id of theirs may lie anywhere. */
START_TEST(a_number_that_comes_again_is_another_process)
{
	char path[32];
	for (uint32_t i = 0; i < 400; i++) {
		snprintf(path, sizeof path, "/lib/%u.so", i);
		id_of(path, "", 0x10000 * (i + 1));
	}
	atomic_store(&segment.committed[MTRACE_REGION_MODULES], MTRACE_PAGE_BYTES);
	ck_assert_int_eq(mprotect(segment.base[MTRACE_REGION_MODULES] + MTRACE_PAGE_BYTES, 1 << 20, PROT_NONE), 0);
	uint32_t id = id_of("/lib/new.so", "", 0x10000);
	ck_assert_uint_ne(id, 0);
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_damaged_ids), 0);
}
END_TEST

/* Somebody wrote the path's place, and the last bytes that there are. */
START_TEST(a_path_ends_where_the_strings_do)
{
	uint32_t id = id_of("/lib/a.so", "one", 0x10000);
	uint64_t end = atomic_load(&segment.committed[MTRACE_REGION_STRINGS]);
	memcpy(segment.base[MTRACE_REGION_STRINGS] + end - 4, "/lib", 4);
	((struct mtrace_module *)(void *)segment.base[MTRACE_REGION_MODULES])[id].path = (uint32_t)end - 4;
	ck_assert_uint_ne(id_of("/lib/a.so", "one", 0x10000), id);
}
END_TEST

/* The executable's path stands in the segment, too: somebody took its end away. */
START_TEST(a_path_without_an_end_is_cut)
{
	memset(segment.info, 'x', MTRACE_INFO_BYTES);
	memset(segment.info->exe, '/', 1);
	uint32_t id = id_of("", "one", 0x10000);
	ck_assert_uint_ne(id, 0);
	ck_assert_uint_le(strlen(segment.base[MTRACE_REGION_STRINGS] + record(id)->path), 4096);
	ck_assert_uint_eq(id_of("", "one", 0x10000), id);
}
END_TEST

/* Who follows skips what is made already, and meets who leads at the next one that is new. */
enum { THREADS = 2, OBJECTS = 1000 };
static uint32_t seen[THREADS][OBJECTS];

static void meet_all(uint32_t ids[OBJECTS])
{
	char path[32];
	for (uint32_t i = 0; i < OBJECTS; i++) {
		snprintf(path, sizeof path, "/lib/%u.so", i);
		ids[i] = id_of(path, "", 0x10000 * (i + 1));
	}
}

static void *meet_in_thread(void *argument)
{
	meet_all(seen[(uintptr_t)argument]);
	return NULL;
}

START_TEST(threads_agree_on_modules)
{
	static uint32_t later[OBJECTS];
	pthread_t threads[THREADS];
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, meet_in_thread, (void *)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	meet_all(later);
	for (int i = 0; i < THREADS; i++)
		ck_assert_mem_eq(seen[i], later, sizeof later);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("modules");
	TCase *plain = tcase_create("plain"), *threads = tcase_create("threads");
	tcase_add_checked_fixture(plain, setup, NULL);
	tcase_add_test(plain, an_object_is_its_path_and_build_id);
	tcase_add_test(plain, a_module_says_where_it_was_met_first);
	tcase_add_test(plain, another_process_begins_anew);
	tcase_add_test(plain, a_number_that_comes_again_is_another_process);
	tcase_add_test(plain, a_path_ends_where_the_strings_do);
	tcase_add_test(plain, a_path_without_an_end_is_cut);
	suite_add_tcase(suite, plain);
	tcase_add_checked_fixture(threads, setup, NULL);
	tcase_set_timeout(threads, 60);
	tcase_add_test(threads, threads_agree_on_modules);
	suite_add_tcase(suite, threads);
	return run_suite(suite);
}
