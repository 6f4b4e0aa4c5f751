/* cuts: of many marks those at the numbers that format.h gives are cuts, each once, whoever makes them. */
#include <pthread.h>

#include "cuts.h"
#include "epochs.h"
#include "marks.h"
#include "options.h"
#include "room.h"

static void ask(const char *text)
{
	options_parse(&options, text);
	ck_assert_uint_eq(options.bad, 0);
	cuts_init();
}

/* Ascending, from first to last, never two of one number, and off the even places. */
START_TEST(cuts_ascend_and_are_not_even)
{
	uint64_t state = room_seed();
	for (int round = 0; round < 2000; round++) {
		uint64_t first = room_random(&state) % 1000, windows = 1 + room_random(&state) % 120;
		uint64_t last = first + windows + room_random(&state) % (windows << room_random(&state) % 20), even = 0;
		for (uint64_t i = 1; i <= windows; i++) {
			ck_assert_uint_lt(mtrace_cut(first, last, windows, i - 1), mtrace_cut(first, last, windows, i));
			even += mtrace_cut(first, last, windows, i) == first + (last - first) * i / windows;
		}
		ck_assert_uint_eq(mtrace_cut(first, last, windows, 0), first);
		ck_assert_uint_eq(mtrace_cut(first, last, windows, windows), last);
		ck_assert(windows < 20 || last - first < 100 * windows || even < windows / 3);
	}
}
END_TEST

static uint64_t take(uint64_t marks, uint64_t *numbers)
{
	uint64_t cuts = 0;
	for (uint64_t n = 1; n <= marks; n++)
		if (cuts_take("step") == CUT_HERE)
			numbers[cuts++] = n;
	return cuts;
}

START_TEST(those_and_no_others_are_cuts)
{
	static const struct { uint64_t first, last, windows; } table[] = {
		{20, 1020, 10}, {1, 1000000, 120}, {0, 7, 7}, {5, 6, 1}, {3, 14, 4}, {100, 221, 120}, {7, 299, 97}};
	uint64_t numbers[256];
	char text[128];
	for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
		snprintf(text, sizeof text, "cut=step:cut_first=%lu:cut_last=%lu:cut_windows=%lu", table[t].first, table[t].last,
		         table[t].windows);
		ask(text);
		uint64_t cuts = take(table[t].last + 50, numbers), from = table[t].first == 0; /* no mark has the number 0 */
		ck_assert_uint_eq(cuts, table[t].windows + 1 - from);
		for (uint64_t i = 0; i < cuts; i++)
			ck_assert_uint_eq(numbers[i], mtrace_cut(table[t].first, table[t].last, table[t].windows, i + from));
	}
}
END_TEST

START_TEST(names_are_told_apart)
{
	ask("cut=step:cut_first=1:cut_last=2");
	ck_assert_int_eq(cuts_take("other"), CUT_OTHER);
	ck_assert_int_eq(cuts_take(NULL), CUT_OTHER);
	ck_assert_int_eq(cuts_take("step"), CUT_HERE);
	ask("cut_first=2:cut_last=3");
	ck_assert_int_eq(cuts_take("any"), CUT_BETWEEN);
	ck_assert_int_eq(cuts_take(NULL), CUT_HERE);
	ask("");
	ck_assert_int_eq(cuts_take("any"), CUT_NONE);
}
END_TEST

static void *take_many(void *count)
{
	for (int n = 0; n < 100000; n++)
		*(uint64_t *)count += cuts_take("step") == CUT_HERE;
	return NULL;
}

START_TEST(threads_share_the_numbers)
{
	enum { THREADS = 4 };
	pthread_t threads[THREADS];
	uint64_t counts[THREADS] = {0}, cuts = 0;
	ask("cut=step:cut_first=1:cut_last=400000:cut_windows=100");
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, take_many, &counts[i]);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		cuts += counts[i];
	}
	ck_assert_uint_eq(cuts, 101);
}
END_TEST

/* In the segment: a row of the table for each cut, a count for what lies between, and an epoch for neither another name's
   mark nor one that asks for a recording. */
START_TEST(only_cuts_are_kept)
{
	room_open(64 << 20);
	ask("cut=step:cut_first=10:cut_last=1010:cut_windows=20");
	ck_assert(epochs_init(1000));
	uint32_t begin = epochs_now(), kept = 0;
	for (int n = 1; n <= 1100; n++)
		kept += marks_add("step", 0) != MARKS_BETWEEN;
	ck_assert_uint_eq(kept, 21);
	ck_assert_uint_eq(epochs_now() - begin, 21);
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_marks_between), 1100 - 21);
	ck_assert_uint_eq(marks_add("other", 0), 22);
	ck_assert_uint_eq(marks_add("step", MTRACE_MARK_SNAPSHOT), 23);
	ck_assert_uint_eq(epochs_now() - begin, 21);
}
END_TEST

static Suite *cuts_suite(void)
{
	Suite *suite = suite_create("cuts");
	TCase *cuts = tcase_create("cuts");
	tcase_add_test(cuts, cuts_ascend_and_are_not_even);
	tcase_add_test(cuts, those_and_no_others_are_cuts);
	tcase_add_test(cuts, names_are_told_apart);
	tcase_add_test(cuts, threads_share_the_numbers);
	tcase_add_test(cuts, only_cuts_are_kept);
	suite_add_tcase(suite, cuts);
	return suite;
}

int main(void)
{
	return run_suite(cuts_suite());
}
