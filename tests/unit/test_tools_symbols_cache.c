/*
 * test_tools_symbols_cache: names by build-id, kept: they need no file, hide no debug information that comes later, and
 * bear damage and many at once.
 */
#include <check.h>
#include <sys/wait.h>
#include <unistd.h>

#include "built.h"
#include "model/profile.h"

START_TEST(test_cache_needs_no_file)
{
	char cache[BUILT_PATH_BYTES];
	struct profile *p, *q;

	built_split();
	built_path(cache, "cache");
	p = built_outer("whole");
	q = built_outer("whole");
	ck_assert_uint_eq(built_resolve(p, cache, NULL).with_line, 1);
	ck_assert_int_eq(built_shell("rm whole a a.debug bare"), 0);
	ck_assert_uint_eq(built_resolve(q, cache, NULL).with_line, 1);
	ck_assert_str_eq(built_name(p), built_name(q));
	ck_assert_str_eq(built_frame(p, 0)->names[0].file, built_frame(q, 0)->names[0].file);
	ck_assert_uint_eq(built_frame(p, 0)->name_count, built_frame(q, 0)->name_count);
	ck_assert_int_eq(built_shell("test $(stat -c %%a cache cache/symbols | sort -u) = 700"), 0);
	ck_assert_int_eq(built_shell("test $(stat -c %%a cache/symbols/* | sort -u) = 600"), 0);
	profile_free(p);
	profile_free(q);
}
END_TEST

START_TEST(test_cache_does_not_hide_debug_information)
{
	char cache[BUILT_PATH_BYTES];
	struct profile *p, *q;

	built_split();
	ck_assert_int_eq(built_shell("objcopy --add-gnu-debuglink=a.debug a && mv a.debug elsewhere"), 0);
	built_path(cache, "cache");
	p = built_outer("a");
	ck_assert_uint_eq(built_resolve(p, cache, NULL).with_line, 0);
	ck_assert_str_eq(built_name(p), "outer");
	ck_assert_int_eq(built_shell("mv elsewhere a.debug"), 0);
	q = built_outer("a");
	ck_assert_uint_eq(built_resolve(q, cache, NULL).with_line, 1);
	profile_free(p);
	profile_free(q);
}
END_TEST

START_TEST(test_damaged_cache_is_made_anew)
{
	char cache[BUILT_PATH_BYTES];
	struct profile *p;

	built_split();
	built_path(cache, "cache");
	for (int i = 0; i < 40; i++) {
		p = built_outer("whole");
		ck_assert_uint_eq(built_resolve(p, cache, NULL).with_line, 1);
		profile_free(p);
		ck_assert_int_eq(built_shell("f=$(echo cache/symbols/*); n=$(stat -c %%s $f); "
					     "printf X | dd of=$f bs=1 seek=$((%d * n / 40)) conv=notrunc 2>/dev/null", i), 0);
	}
}
END_TEST

/* Many at once, each with other addresses: no reader sees a half file, and all is known in the end. */
START_TEST(test_cache_shared_by_many)
{
	uint64_t addresses[400];
	uint32_t count;
	char cache[BUILT_PATH_BYTES];

	built_split();
	built_path(cache, "cache");
	count = built_addresses("whole", addresses, 400, 1);
	for (uint32_t k = 0; k < 4; k++) {
		if (fork() != 0)
			continue;
		for (uint32_t i = k; i < count; i += 4) {
			struct profile *p = built_profile("whole", &addresses[i], 1, MTRACE_FRAME_EXACT);

			built_resolve(p, cache, NULL);
			profile_free(p);
		}
		_exit(0);
	}
	for (uint32_t k = 0; k < 4; k++) {
		int status;

		ck_assert_int_gt(wait(&status), 0);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_int_eq(built_shell("test -z \"$(find cache -name '*.new')\""), 0);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("cache");

	tcase_add_test(tests, test_cache_needs_no_file);
	tcase_add_test(tests, test_cache_does_not_hide_debug_information);
	tcase_add_test(tests, test_damaged_cache_is_made_anew);
	tcase_add_test(tests, test_cache_shared_by_many);
	return built_run("symbols: cache", tests);
}
