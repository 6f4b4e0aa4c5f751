/*
 * test_tools_series: the contract of series.h, on numbers worked out by hand and on properties that hold for any series.
 */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "model/series.h"
#include "run.h"

#define NEAR 1e-9
#define POINTS(...) (sizeof((double[]){__VA_ARGS__}) / sizeof(double))

static const double evenly[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25};
#define EVEN(...) (struct series){evenly, (const double[]){__VA_ARGS__}, POINTS(__VA_ARGS__)}
#define AT(times, ...) (struct series){times, (const double[]){__VA_ARGS__}, POINTS(__VA_ARGS__)}

static uint64_t state = 1;

static double draw(void)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (double)(state >> 40) / (1 << 24);
}

START_TEST(what_is_valid)
{
	ck_assert(series_valid(&EVEN(1, 2, 3)));
	ck_assert(series_valid(&(struct series){NULL, NULL, 0}));
	ck_assert(!series_valid(&AT(((const double[]){0, 1, 1}), 1, 2, 3)));
	ck_assert(!series_valid(&AT(((const double[]){0, 2, 1}), 1, 2, 3)));
	ck_assert(!series_valid(&EVEN(1, NAN, 3)));
	ck_assert(!series_valid(&EVEN(1, INFINITY, 3)));
	ck_assert(!series_valid(&(struct series){evenly, evenly, SERIES_MOST + 1}));
}
END_TEST

START_TEST(roots_and_logarithms)
{
	ck_assert_double_eq(series_root(0), 0);
	ck_assert_double_eq(series_root(-1), 0);
	for (double v = 1e-280; v < 1e280; v *= 7.3)
		ck_assert_double_le(fabs(series_root(v) / sqrt(v) - 1), 1e-15);
	for (double v = 1; v < 1e200; v *= 1.37)
		ck_assert_double_le(fabs(series_log(v) - log(v)), 1e-11 * (1 + log(v)));
}
END_TEST

START_TEST(medians)
{
	ck_assert_double_eq(series_median((double[]){3, 1, 2}, 3), 2);
	ck_assert_double_eq(series_median((double[]){4, 1, 2, 3}, 4), 2.5);
	ck_assert_double_eq(series_median(NULL, 0), 0);
}
END_TEST

/* Ten slopes: six of 1, then 25, 33, 49, 97. S = 10, var(S) = 5 * 4 * 15 / 18 = 16.67. */
START_TEST(slope_is_the_median_of_all_pairs)
{
	struct series_slope slope;
	ck_assert(series_slope(&EVEN(0, 1, 2, 3, 100), 1.96, &slope));
	ck_assert_double_eq(slope.median, 1);
	/* reach 8.0017: from the slope before the first to the one after the ninth */
	ck_assert_double_eq(slope.low, 1);
	ck_assert_double_eq(slope.high, 97);
	ck_assert(series_slope(&EVEN(0, 1, 2, 3, 100), 0.5, &slope)); /* reach 2.04: between 3.98 and 6.02, so 2 to 7 */
	ck_assert_double_eq(slope.low, 1);
	ck_assert_double_eq(slope.high, 33);
	ck_assert(series_slope(&AT(((const double[]){0, 1, 4, 10}), 0, 2, 5, 11), 1.96, &slope)); /* 2 1.25 1.1 1 1 1 */
	ck_assert_double_eq_tol(slope.median, 1.05, NEAR);
}
END_TEST

START_TEST(slope_of_a_line_is_exact_whatever_the_times)
{
	double time[200], value[200];
	struct series s = {time, value, 200};
	struct series_slope slope;
	for (int round = 0; round < 50; round++) {
		double at = 0, b = 1024 * floor(20 * draw()) - 5120;
		for (size_t i = 0; i < 200; i++) {
			at += 1 + floor(100 * draw());
			time[i] = at;
			value[i] = 77 + b * at;
		}
		ck_assert(series_slope(&s, 2.576, &slope));
		ck_assert_double_eq(slope.median, b);
		ck_assert_double_eq(slope.low, b);
		ck_assert_double_eq(slope.high, b);
	}
}
END_TEST

START_TEST(slope_bears_29_percent_of_outliers_and_its_interval_holds)
{
	double time[60], value[60];
	struct series s = {time, value, 60};
	struct series_slope slope;
	int held = 0;
	for (int round = 0; round < 400; round++) {
		for (size_t i = 0; i < 60; i++) {
			time[i] = (double)i;
			value[i] = 3 * (double)i + 10 * (draw() + draw() + draw() - 1.5);
		}
		ck_assert(series_slope(&s, 2.576, &slope));
		held += slope.low <= 3 && 3 <= slope.high;
		for (size_t i = 0; i < 60; i += 5)
			value[i] += 1e6 * draw();
		ck_assert(series_slope(&s, 2.576, &slope));
		ck_assert_double_le(fabs(slope.median - 3), 1.5);
	}
	ck_assert_int_ge(held, 390); /* 99 % wanted; 390 of 400 is four deviations below */
}
END_TEST

START_TEST(slope_of_next_to_nothing)
{
	struct series_slope slope;
	ck_assert(series_slope(&EVEN(5), 2, &slope));
	ck_assert_double_eq(slope.median, 0);
	ck_assert(series_slope(&(struct series){NULL, NULL, 0}, 2, &slope));
	ck_assert(series_slope(&EVEN(5, 9), 2, &slope));
	ck_assert_double_eq(slope.low, 4);
	ck_assert_double_eq(slope.high, 4);
}
END_TEST

START_TEST(trend_counts_pairs_and_corrects_for_ties)
{
	struct series_trend t = series_trend(&EVEN(1, 2, 2, 3)); /* S = 5; (4*3*13 - 2*1*9) / 18 = 7.667 */
	ck_assert_double_eq(t.score, 5);
	ck_assert_double_eq_tol(t.variance, 138.0 / 18, NEAR);
	ck_assert_double_eq_tol(t.z, 4 / sqrt(138.0 / 18), NEAR);
	ck_assert_double_eq_tol(t.tau, 5.0 / 6, NEAR);
	t = series_trend(&EVEN(5, 4, 3, 2, 1));
	ck_assert_double_eq(t.score, -10);
	ck_assert_double_eq_tol(t.z, -9 / sqrt(300.0 / 18), NEAR);
	t = series_trend(&EVEN(7, 7, 7, 7));
	ck_assert_double_eq(t.score, 0);
	ck_assert_double_eq(t.variance, 0);
	ck_assert_double_eq(t.z, 0);
}
END_TEST

START_TEST(drift_is_the_mean_step_over_its_error)
{
	struct series_drift d = series_drift(&EVEN(0, 1, 4, 5, 8)); /* 1 3 1 3: mean 2, deviation 2/sqrt(3) */
	ck_assert_uint_eq(d.increments, 4);
	ck_assert_double_eq_tol(d.mean, 2, NEAR);
	ck_assert_double_eq_tol(d.deviation, 2 / sqrt(3), NEAR);
	ck_assert_double_eq_tol(d.t, 2 / (2 / sqrt(3)) * 2, NEAR);
	ck_assert_double_eq(series_drift(&EVEN(0, 2, 4)).t, DBL_MAX);
	ck_assert_double_eq(series_drift(&EVEN(2, 2, 2)).t, 0);
	ck_assert_double_eq(series_drift(&EVEN(2, 4)).t, 0);
}
END_TEST

START_TEST(excursions_are_rises_that_came_back)
{
	ck_assert_double_eq(series_excursion(&EVEN(1, 2, 3, 4, 5), 0), 0);
	ck_assert_double_eq(series_excursion(&EVEN(5, 4, 3, 3, 1), 0), 0);
	ck_assert_double_eq(series_excursion(&EVEN(1, 5, 5, 5, 1, 6), 0), 4);
	ck_assert_double_eq(series_excursion(&EVEN(1, 5, 2, 5, 2, 6), 0), 2); /* never back to 1 */
	ck_assert_double_eq(series_excursion(&EVEN(1, 5, 2, 9, 2, 1, 6), 0), 5);
	ck_assert_double_eq(series_excursion(&EVEN(1, 2, 1, 2, 1, 9, 8, 1), 3), 3); /* low ones are noise */
	ck_assert_double_eq(series_excursion(&EVEN(0, 2, 3, 9, 2, 0, 6), 8), 5);
	ck_assert_double_eq(series_excursion(&AT(((const double[]){0, 10, 11, 50}), 1, 2, 3, 1), 0), 50);
}
END_TEST

/* The plain definition, every pair. */
static double excursion_by_pairs(const struct series *s, double height)
{
	double longest = 0;
	for (size_t i = 0; i < s->count; i++) {
		double top = s->value[i];
		size_t j = i + 1;
		while (j < s->count && s->value[j] > s->value[i]) {
			top = s->value[j] > top ? s->value[j] : top;
			j++;
		}
		if (j < s->count && top > s->value[i] + height && s->time[j] - s->time[i] > longest)
			longest = s->time[j] - s->time[i];
	}
	return longest;
}

START_TEST(excursions_agree_with_the_plain_definition)
{
	double time[120], value[120];
	for (int round = 0; round < 2000; round++) {
		struct series s = {time, value, (size_t)(120 * draw())};
		double at = 0, level = 0, height = round & 1 ? floor(6 * draw()) : 0;
		for (size_t i = 0; i < s.count; i++) {
			time[i] = at += 1 + floor(5 * draw());
			value[i] = level += floor(7 * draw()) - (round % 3 ? 3 : 2);
		}
		ck_assert_double_eq(series_excursion(&s, height), excursion_by_pairs(&s, height));
	}
}
END_TEST

START_TEST(falls_and_range)
{
	ck_assert_double_eq(series_fall(&EVEN(1, 9, 4, 8, 2, 10, 5)), 7);
	ck_assert_double_eq(series_fall(&EVEN(1, 2, 3)), 0);
	ck_assert_double_eq(series_range(&EVEN(4, 9, 1)), 8);
	ck_assert_double_eq(series_span(&EVEN(4, 9, 1)), 2);
	ck_assert_double_eq(series_span(&(struct series){NULL, NULL, 0}), 0);
}
END_TEST

START_TEST(floors_are_the_lowest_of_each_stretch_from_the_end)
{
	double time[8], value[8];
	size_t n = series_floors(&EVEN(9, 3, 5, 4, 8, 6, 7), 2, time, value, 8); /* from 6 backwards: (4,6] (2,4] (-1,2] */
	ck_assert_uint_eq(n, 3);
	ck_assert_double_eq(value[2], 6);
	ck_assert_double_eq(value[1], 4);
	ck_assert_double_eq(value[0], 3);
	ck_assert_double_eq(time[2], 5);
	ck_assert_double_eq(time[1], 3);
	ck_assert_double_eq(time[0], 1);
	ck_assert_uint_eq(series_floors(&EVEN(9, 3, 5, 3, 8, 6, 7), 0, time, value, 8), 1);
	ck_assert_double_eq(value[0], 3);
	ck_assert_double_eq(time[0], 3); /* the last of the lowest */
	ck_assert_uint_eq(series_floors(&EVEN(9, 3, 5, 4, 8, 6, 7), 1, time, value, 8), 7);
	ck_assert_uint_eq(series_floors(&EVEN(9, 3, 5, 4, 8, 6, 7), 1, time, value, 4), 4); /* the rest goes to the first */
	ck_assert_double_eq(value[0], 3);
	ck_assert_uint_eq(series_floors(&AT(((const double[]){0, 1, 9, 10}), 4, 3, 2, 1), 2, time, value, 8), 3); /* holes */
}
END_TEST

START_TEST(kept_is_what_every_later_value_has)
{
	double kept[8];
	series_kept(&EVEN(4, 9, 5, 6, 8, 7, 9), 0, kept);
	static const double wanted[] = {4, 5, 5, 6, 7, 7, 9}, pending[] = {4, 5, 5, 6, 7, 7, 7};
	for (size_t i = 0; i < 7; i++)
		ck_assert_double_eq(kept[i], wanted[i]);
	series_kept(&EVEN(4, 9, 5, 6, 8, 7, 9), 2, kept);
	for (size_t i = 0; i < 7; i++)
		ck_assert_double_eq(kept[i], pending[i]);
}
END_TEST

START_TEST(pauses_between_rises)
{
	struct series_pauses p = series_pauses(&EVEN(1, 1, 2, 2, 2, 3, 4, 4, 4), 0, 1);
	ck_assert_uint_eq(p.rises, 3);
	ck_assert_double_eq(p.first, 2);
	ck_assert_double_eq(p.last, 6);
	ck_assert_double_eq(p.longest, 3);
	ck_assert_double_eq(p.mean, 2);
	ck_assert_double_eq(p.flat, 2);
	p = series_pauses(&EVEN(1, 1, 2, 2, 2, 3, 4, 4, 4), 1, 1); /* of more than 1: at 5 only */
	ck_assert_uint_eq(p.rises, 1);
	ck_assert_double_eq(p.flat, 3);
	p = series_pauses(&EVEN(3, 3, 3), 0, 1);
	ck_assert_uint_eq(p.rises, 0);
	ck_assert_double_eq(p.flat, 2);
}
END_TEST

/* The rise seen at 9 may have been at 3 already: of a pause of 7 one is sure. */
START_TEST(long_windows_hide_when_it_rose)
{
	static const double time[] = {0, 1, 2, 9, 10, 11}, value[] = {0, 0, 1, 1, 1, 3}, late[] = {0, 0, 1, 2, 2, 3};
	struct series_pauses p = series_pauses(&(struct series){time, late, 6}, 0, 1);
	ck_assert_double_eq(p.longest, 7);
	ck_assert_double_eq(p.sure, 2);
	ck_assert_double_eq(p.sure_mean, 1.5);
	struct series_steps s;
	series_steps(&(struct series){time, value, 6}, 0.1, 1, &s);
	ck_assert_uint_eq(s.count, 2);
	ck_assert_double_eq(s.step[0].late, 0);
	series_steps(&(struct series){time + 2, late + 2, 4}, 0.1, 1, &s);
	ck_assert_uint_eq(s.count, 2);
	ck_assert_double_eq(s.step[0].late, 6);
}
END_TEST

START_TEST(steps_take_neighbouring_rises_together)
{
	struct series_steps s;
	series_steps(&EVEN(0, 0, 4, 10, 10, 10, 11, 11, 20, 20), 0.1, 1, &s);
	ck_assert_uint_eq(s.count, 2); /* the 1 at 6 is too small */
	ck_assert_double_eq(s.step[0].time, 2);
	ck_assert_double_eq(s.step[0].size, 10);
	ck_assert_double_eq(s.step[1].time, 8);
	ck_assert_double_eq(s.step[1].size, 9);
	ck_assert_double_eq_tol(s.explained, 0.95, NEAR);
	series_steps(&EVEN(3, 3, 3), 0.1, 1, &s);
	ck_assert_uint_eq(s.count, 0);
	ck_assert_double_eq(s.explained, 0);
}
END_TEST

START_TEST(falls_have_a_period)
{
	struct series_falls f = series_falls(&EVEN(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3));
	ck_assert_uint_eq(f.count, 3);
	ck_assert_double_eq(f.period, 4);
	ck_assert_double_eq(f.worst, 1);
	ck_assert_double_eq(f.climbing, 4);
	f = series_falls(&EVEN(0, 4, 0, 4, 0, 4, 4, 4, 4, 0, 4, 0)); /* at 2 4 9 11: 2 5 2 apart */
	ck_assert_uint_eq(f.count, 4);
	ck_assert_double_eq(f.period, 2);
	ck_assert_double_eq(f.worst, 2.5);
	ck_assert_uint_eq(series_falls(&EVEN(0, 4, 0, 0, 0)).count, 1);
	ck_assert_double_eq(series_falls(&EVEN(0, 4, 0, 0, 0)).period, 0);
	ck_assert_uint_eq(series_falls(&EVEN(5, 5, 5)).count, 0);
	ck_assert_uint_eq(series_falls(&EVEN(9, 6, 3, 0)).count, 1); /* one, however many points it takes */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("series");
	TCase *tests = tcase_create("series");
	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, what_is_valid);
	tcase_add_test(tests, roots_and_logarithms);
	tcase_add_test(tests, medians);
	tcase_add_test(tests, slope_is_the_median_of_all_pairs);
	tcase_add_test(tests, slope_of_a_line_is_exact_whatever_the_times);
	tcase_add_test(tests, slope_bears_29_percent_of_outliers_and_its_interval_holds);
	tcase_add_test(tests, slope_of_next_to_nothing);
	tcase_add_test(tests, trend_counts_pairs_and_corrects_for_ties);
	tcase_add_test(tests, drift_is_the_mean_step_over_its_error);
	tcase_add_test(tests, excursions_are_rises_that_came_back);
	tcase_add_test(tests, excursions_agree_with_the_plain_definition);
	tcase_add_test(tests, falls_and_range);
	tcase_add_test(tests, floors_are_the_lowest_of_each_stretch_from_the_end);
	tcase_add_test(tests, kept_is_what_every_later_value_has);
	tcase_add_test(tests, pauses_between_rises);
	tcase_add_test(tests, long_windows_hide_when_it_rose);
	tcase_add_test(tests, steps_take_neighbouring_rises_together);
	tcase_add_test(tests, falls_have_a_period);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
