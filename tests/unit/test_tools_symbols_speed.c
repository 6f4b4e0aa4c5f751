/*
 * test_tools_symbols_speed: thousands of frames of one large library.
 */
#include <check.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "built.h"
#include "model/profile.h"

/* The processor's time for so many frames, the file opened anew. */
static double seconds_for(const char *file, const uint64_t *addresses, uint32_t count, struct symbols_result *result)
{
	struct timespec before, after;
	struct profile *p = built_profile(file, addresses, count, 0);

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	*result = built_resolve(p, "", NULL);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	profile_free(p);
	return (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
}

/* One frame costs what it takes to read the file, and 5 000 cost two to ten times that. A file that is read again for
   each would cost thousands of times as much. */
START_TEST(test_thousands_of_frames_of_a_large_file)
{
	static const char *const files[] = {"/usr/lib/x86_64-linux-gnu/libstdc++.so.6", "/lib/x86_64-linux-gnu/libc.so.6"};
	static uint64_t addresses[5000];
	struct symbols_result result;
	double one, all;

	if (access(files[_i], R_OK) != 0) {
		printf("skipped %s: not here\n", files[_i]);
		return;
	}
	for (uint32_t i = 0; i < 5000; i++)
		addresses[i] = 0xa0000 + 150 * i;
	one = seconds_for(files[_i], addresses, 1, &result);
	all = seconds_for(files[_i], addresses, 5000, &result);
	printf("%s: %llu of %llu frames named, %llu with lines, in %.3f s; the first in %.3f s\n", files[_i],
	       (unsigned long long)result.named, (unsigned long long)result.frames, (unsigned long long)result.with_line, all, one);
	ck_assert_uint_gt(result.named, 2000);
	ck_assert_double_lt(all, 100 * one);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("speed");

	tcase_add_loop_test(tests, test_thousands_of_frames_of_a_large_file, 0, 2);
	return built_run("symbols: speed", tests);
}
