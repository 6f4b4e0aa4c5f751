/*
 * test_tools_symbols_speed: thousands of frames of one large library.
 */
#include <check.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "built.h"
#include "model/profile.h"

START_TEST(test_thousands_of_frames_of_a_large_file)
{
	static const char *const files[] = {"/usr/lib/x86_64-linux-gnu/libstdc++.so.6", "/lib/x86_64-linux-gnu/libc.so.6"};
	static uint64_t addresses[5000];
	struct timespec before, after;
	struct symbols_result result;
	struct profile *p;

	if (access(files[_i], R_OK) != 0) {
		printf("skipped %s: not here\n", files[_i]);
		return;
	}
	for (uint32_t i = 0; i < 5000; i++)
		addresses[i] = 0xa0000 + 150 * i;
	p = built_profile(files[_i], addresses, 5000, 0);
	clock_gettime(CLOCK_MONOTONIC, &before);
	result = built_resolve(p, "", NULL);
	clock_gettime(CLOCK_MONOTONIC, &after);
	printf("%s: %llu of %llu frames named, %llu with lines, in %.2f s\n", files[_i], (unsigned long long)result.named,
	       (unsigned long long)result.frames, (unsigned long long)result.with_line,
	       (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9);
	ck_assert_uint_gt(result.named, 2000);
	ck_assert_int_lt(after.tv_sec - before.tv_sec, 3);
	profile_free(p);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("speed");

	tcase_add_loop_test(tests, test_thousands_of_frames_of_a_large_file, 0, 2);
	return built_run("symbols: speed", tests);
}
