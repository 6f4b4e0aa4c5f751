/*
 * test_tools_verdict: what verdicts are worth. Made-up stacks of known kind (fake_series.c), thousands of each, seeded:
 * false alarms and misses stay within the bounds that mtrace-verdicts.7 promises, and the confusion matrix is printed.
 * Then single cases worked out by hand, and the words (golden: UPDATE=1 rewrites).
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "emit/verdict_text.h"
#include "fake_series.h"
#include "golden.h"
#include "model/series.h"
#include "model/verdict.h"
#include "run.h"

#ifdef __SANITIZE_ADDRESS__
enum { SEEDS = 150 }; /* for what sanitizers find; the figures are the other build's */
#else
enum { SEEDS = 10000 };
#endif

/* ---- the matrix ---- */

struct tally {
	unsigned named[VERDICT_KINDS];
	unsigned above, missed; /* leaks of the stated sensitivity and more */
};

static bool is_missed(const struct fake_series *f, const struct verdict *v)
{
	return v->kind != VERDICT_LEAK && v->sensitivity >= 0 && f->leaked_per_window >= v->sensitivity;
}

static void judge_many(enum fake_series_kind kind, bool with_flow, struct tally *t)
{
	struct fake_series *f = malloc(sizeof *f);
	struct verdict v;
	*t = (struct tally){.above = 0};
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		fake_series(kind, seed, f);
		f->input.has_flow = f->input.has_aged = with_flow;
		verdict_of(&f->input, &v);
		t->named[v.kind]++;
		t->above += f->leaked_per_window > 0 && v.sensitivity >= 0 && f->leaked_per_window >= v.sensitivity;
		t->missed += is_missed(f, &v);
	}
	free(f);
}

static void print_row(enum fake_series_kind kind, const struct tally *t)
{
	printf("%-22s", fake_series_name(kind));
	for (int i = 0; i < VERDICT_KINDS; i++)
		printf("%9.2f", 100.0 * t->named[i] / SEEDS);
	if (kind < FAKE_LEAKS)
		printf("   above the sensitivity %5.1f, of these missed %.2f", 100.0 * t->above / SEEDS,
		       t->above ? 100.0 * t->missed / t->above : 0.0);
	putchar('\n');
}

/* The kind that each is, and the least share that must be told from what was observed; "unknown" is never wrong. */
static const struct promise {
	enum verdict_kind kind;
	double told;
} promises[FAKE_KINDS] = {
	[FAKE_LEAK] = {VERDICT_LEAK, 0.9}, [FAKE_SLOW_LEAK] = {VERDICT_LEAK, 0.5}, [FAKE_LEAK_STEPS] = {VERDICT_LEAK, 0.99},
	[FAKE_LEAK_UNDER_GC] = {VERDICT_LEAK, 0.2}, [FAKE_LEAK_MIDWAY] = {VERDICT_LEAK, 0.9},
	[FAKE_CACHE_LATE] = {VERDICT_CACHE, 0.75}, [FAKE_CACHE_SLOWING] = {VERDICT_UNKNOWN, 0.7}, [FAKE_LRU] = {VERDICT_CACHE, 0.85},
	[FAKE_POOL_DOUBLES] = {VERDICT_STARTUP, 0.7}, [FAKE_LAZY_DIVIDES] = {VERDICT_GC_LAG, 0.7},
	[FAKE_LAZY_ODD] = {VERDICT_GC_LAG, 0.8}, [FAKE_STARTUP] = {VERDICT_STARTUP, 0.99},
	[FAKE_INIT_LATE] = {VERDICT_STARTUP, 0.65}, [FAKE_SPIKE] = {VERDICT_SPIKE, 0.9}, [FAKE_NOISE_SMALL] = {VERDICT_UNKNOWN, 0.9},
	[FAKE_NOISE_LARGE] = {VERDICT_UNKNOWN, 0.9}, [FAKE_DAY] = {VERDICT_UNKNOWN, 0.75}, [FAKE_GC] = {VERDICT_GC_LAG, 0.98},
	[FAKE_QUEUE] = {VERDICT_UNKNOWN, 0.5},
};

/* Ages of what is live are known in both; without flow, neither what was allocated and freed in a window, nor its age. */
static void check_kind(enum fake_series_kind kind, bool with_flow)
{
	struct tally t;
	const struct promise *p = &promises[kind];
	judge_many(kind, with_flow, &t);
	print_row(kind, &t);
	fflush(stdout);
	if (kind >= FAKE_LEAKS)
		ck_assert_msg(t.named[VERDICT_LEAK] * 200 <= SEEDS, "%s: %u false alarms in %d", fake_series_name(kind),
		              t.named[VERDICT_LEAK], SEEDS);
	if (SEEDS < 10000)
		return;
	ck_assert_msg(t.missed * 100 <= t.above, "%s: %u of %u missed", fake_series_name(kind), t.missed, t.above);
	if (with_flow)
		ck_assert_msg(t.named[p->kind] >= p->told * SEEDS, "%s: told in %u of %d", fake_series_name(kind), t.named[p->kind],
		              SEEDS);
}

static void print_head(void)
{
	printf("%-22s", "percent");
	for (int i = 0; i < VERDICT_KINDS; i++)
		printf("%9s", verdict_name((enum verdict_kind)i));
	putchar('\n');
	fflush(stdout);
}

START_TEST(all_counts_known)
{
	if (_i == 0)
		print_head();
	check_kind((enum fake_series_kind)_i, true);
}
END_TEST

START_TEST(live_counts_and_ages_alone)
{
	if (_i == 0)
		print_head();
	check_kind((enum fake_series_kind)_i, false);
}
END_TEST

/* A leak of twice what it says it can see is seen as good as always. */
START_TEST(what_is_stated_as_visible_is_not_next_to_nothing)
{
	struct fake_series *f = malloc(sizeof *f);
	struct verdict v;
	unsigned visible = 0;
	for (uint64_t seed = 0; seed < 1000; seed++) {
		fake_series(FAKE_LEAK, seed, f);
		verdict_of(&f->input, &v);
		visible += v.sensitivity >= 0 && v.sensitivity <= f->leaked_per_window;
		ck_assert_double_gt(v.sensitivity, 0);
	}
	ck_assert_uint_ge(visible, 850);
	free(f);
}
END_TEST

/* ---- by hand ---- */

enum { MINUTE = 60 };
#define NS(seconds) ((uint64_t)(seconds) * 1000000000u)

static struct verdict_window windows[2000];

/* `count` windows of a minute; live(i) bytes, blocks of 1 KiB; what is freed is what it takes. */
static struct verdict of(size_t count, uint64_t (*live)(size_t i))
{
	struct verdict v;
	memset(windows, 0, sizeof windows);
	for (size_t i = 0; i < count; i++) {
		uint64_t now = live(i), before = i ? live(i - 1) : now;
		windows[i] = (struct verdict_window){.time_ns = NS((i + 1) * MINUTE), .live_bytes = now << 10, .live_blocks = now};
		windows[i].alloc_blocks = now > before ? now - before : 0;
		windows[i].freed_blocks = windows[i].aged_blocks = before > now ? before - now : 0;
	}
	verdict_of(&(struct verdict_input){.windows = windows, .count = count, .has_flow = true, .has_aged = true}, &v);
	return v;
}

static uint64_t line(size_t i) { return 100 + 10 * i; }
static uint64_t nothing(size_t i) { return i * 0; }
static uint64_t level(size_t i) { return 77 + i * 0; }
static uint64_t hourly(size_t i) { return 1000 + 480 * ((i + 30) / 60); }
static uint64_t uneven_steps(size_t i) { return i < 30 ? 100 : i < 40 ? 5000 : i < 150 ? 5300 : 9000; }
static uint64_t fills(size_t i) { return i < 60 ? 100 * i : 6000; }
static uint64_t just_full(size_t i) { return i < 118 ? 100 * i : 11800; }
static uint64_t tooth(size_t i) { return 50 + 100 * (i % 15); }
static uint64_t bump(size_t i) { return i > 40 && i < 60 ? 9000 : 100; }
static uint64_t late_once(size_t i) { return i < 20 ? 100 : 9000; }
static uint64_t too_late_once(size_t i) { return i < 115 ? 100 : 9000; }

START_TEST(a_line_is_a_leak_by_its_slope)
{
	struct verdict v = of(120, line);
	ck_assert_int_eq(v.kind, VERDICT_LEAK);
	ck_assert_uint_eq(v.windows, 119);
	ck_assert_uint_eq(v.observed_ns, NS(119 * MINUTE));
	ck_assert_double_eq_tol(v.per_window, 10240, 1e-6);
	ck_assert_double_eq_tol(v.low, 10240, 1e-6);
	ck_assert_double_eq_tol(v.per_hour, 60 * 10240, 1e-3);
	ck_assert_int_eq(v.growth_bytes, 1190 * 1024);
	ck_assert_int_eq(v.growth_blocks, 1190);
	ck_assert_uint_eq(v.flat_ns, 0);
	ck_assert_uint_eq(v.longest_pause_ns, NS(MINUTE));
	ck_assert_uint_eq(v.never_freed, 1290);
	ck_assert_uint_eq(v.ever_allocated, 1290);
	ck_assert_double_gt(v.sensitivity, 0);
	ck_assert_double_lt(v.sensitivity, 10240);
}
END_TEST

START_TEST(eight_windows_at_the_least)
{
	ck_assert_int_eq(of(9, line).kind, VERDICT_LEAK);
	struct verdict v = of(8, line);
	ck_assert_int_eq(v.kind, VERDICT_UNKNOWN);
	ck_assert_int_eq(v.why, VERDICT_TOO_FEW);
	ck_assert_double_lt(v.sensitivity, 0);
	ck_assert_int_eq(of(1, line).why, VERDICT_TOO_FEW);
	ck_assert_int_eq(of(0, line).why, VERDICT_TOO_FEW);
	ck_assert_uint_eq(of(0, line).observed_ns, 0);
}
END_TEST

START_TEST(windows_out_of_order_are_none)
{
	of(40, line);
	windows[7].time_ns = windows[6].time_ns;
	struct verdict v;
	verdict_of(&(struct verdict_input){.windows = windows, .count = 40}, &v);
	ck_assert_int_eq(v.why, VERDICT_TOO_FEW);
	ck_assert_uint_eq(v.windows, 0);
}
END_TEST

START_TEST(a_level_is_no_leak)
{
	ck_assert_int_eq(of(100, level).kind, VERDICT_STARTUP);
	ck_assert_int_eq(of(100, level).why, VERDICT_BEFORE);
	ck_assert_int_eq(of(100, nothing).why, VERDICT_NO_GROWTH);
}
END_TEST

/* Stories 1: a job at each full hour. Two of them could be anything. */
START_TEST(hourly_steps_are_a_leak_from_the_third_on)
{
	struct verdict v = of(230, hourly);
	ck_assert_int_eq(v.kind, VERDICT_LEAK);
	ck_assert_int_eq(v.why, VERDICT_GROWS_STEPS);
	ck_assert_uint_eq(v.steps, 4);
	ck_assert_uint_eq(v.step_bytes[0], 480 << 10);
	ck_assert_uint_eq(v.step_ns[1] - v.step_ns[0], NS(60 * MINUTE));
	ck_assert_uint_eq(v.step_ns[0], NS(31 * MINUTE));
	ck_assert_uint_eq(v.flat_ns, NS(19 * MINUTE));
	v = of(140, hourly);
	ck_assert_int_eq(v.kind, VERDICT_UNKNOWN);
	ck_assert_int_eq(v.why, VERDICT_PAUSED);
	ck_assert_int_eq(of(200, uneven_steps).kind, VERDICT_UNKNOWN);
}
END_TEST

START_TEST(a_plateau_of_three_pauses_outweighs_a_slope)
{
	struct verdict v = of(120, fills);
	ck_assert_int_eq(v.kind, VERDICT_CACHE);
	ck_assert_int_eq(v.why, VERDICT_BOUNDED);
	ck_assert_uint_eq(v.flat_ns, NS(59 * MINUTE));
	ck_assert_int_eq(of(120, just_full).kind, VERDICT_LEAK); /* one minute: no longer than any other */
	ck_assert_int_eq(of(121, just_full).kind, VERDICT_LEAK);
	ck_assert_int_eq(of(122, just_full).kind, VERDICT_UNKNOWN);
	ck_assert_int_eq(of(123, just_full).kind, VERDICT_CACHE);
}
END_TEST

START_TEST(shapes)
{
	struct verdict v = of(150, tooth);
	ck_assert_int_eq(v.kind, VERDICT_GC_LAG);
	ck_assert_uint_eq(v.period_ns, NS(15 * MINUTE));
	ck_assert_int_eq(of(120, bump).kind, VERDICT_SPIKE);
	ck_assert_int_eq(of(120, late_once).kind, VERDICT_STARTUP);
	ck_assert_int_eq(of(120, late_once).why, VERDICT_ONCE);
	ck_assert_int_eq(of(120, too_late_once).kind, VERDICT_UNKNOWN);
}
END_TEST

/* A pool whose members are replaced all the time: one window that caught three more on their way makes it no spike. */
START_TEST(a_pool_that_was_a_little_over_is_a_cache)
{
	struct verdict v;
	for (size_t i = 0; i < 95; i++)
		windows[i] = (struct verdict_window){.time_ns = NS(i + 1), .live_bytes = (30u + 3 * (i == 70)) << 16,
		                                     .live_blocks = 30 + 3 * (i == 70), .alloc_blocks = 3, .freed_blocks = 3, .aged_blocks = 3};
	struct verdict_input input = {.windows = windows, .count = 95, .has_flow = true, .has_aged = true};
	verdict_of(&input, &v);
	ck_assert_int_eq(v.kind, VERDICT_CACHE);
	ck_assert_int_eq(v.why, VERDICT_TURNS_OVER);
	for (size_t i = 0; i < 95; i++)
		windows[i].aged_blocks = 0;
	verdict_of(&input, &v);
	ck_assert_int_eq(v.kind, VERDICT_SPIKE);
}
END_TEST

START_TEST(more_windows_than_there_is_room_for)
{
	struct verdict v = of(2000, line);
	ck_assert_int_eq(v.kind, VERDICT_LEAK);
	ck_assert_uint_eq(v.windows, 1999);
	ck_assert_double_eq_tol(v.per_hour, 60 * 10240, 1e-3);
	ck_assert_int_eq(of(2000, tooth).kind, VERDICT_GC_LAG); /* four windows of fifteen are left of each tooth */
	ck_assert_int_eq(of(SERIES_MOST, tooth).kind, VERDICT_GC_LAG);
}
END_TEST

/* Blocks of the past hour are young: what grows is replaced, as sessions are. With old ones it is a leak. */
START_TEST(ages_tell_growth_with_the_load)
{
	struct verdict_age ages[] = {{0, NS(600), 1290, 1290 << 10}, {NS(2048), NS(4096), 0, 0}};
	struct verdict v;
	of(120, line);
	struct verdict_input input = {.windows = windows, .count = 120, .ages = ages, .age_count = 2, .has_flow = true};
	verdict_of(&input, &v);
	ck_assert_int_eq(v.kind, VERDICT_UNKNOWN);
	ck_assert_int_eq(v.why, VERDICT_REPLACED);
	ages[1].blocks = 340; /* 2048 s at ten a minute */
	ages[1].bytes = 340 << 10;
	verdict_of(&input, &v);
	ck_assert_int_eq(v.kind, VERDICT_LEAK);
}
END_TEST

START_TEST(any_numbers_do_no_harm)
{
	static struct verdict_window wild[700];
	struct verdict v;
	uint64_t state = 7, time = 0;
	for (int round = 0; round < 3000; round++) {
		size_t count = (size_t)(round * 7919) % 700;
		for (size_t i = 0; i < count; i++) {
			uint64_t *field = &wild[i].time_ns;
			for (size_t k = 0; k < sizeof wild[i] / 8; k++) {
				state = state * 6364136223846793005u + 1442695040888963407u;
				field[k] = state >> (state >> 58);
			}
			if (round % 4)
				wild[i].time_ns = time += 1 + (state >> 44);
			if (round % 3 == 0)
				wild[i].live_bytes = round & 1 ? UINT64_MAX : 0;
		}
		time = 0;
		verdict_of(&(struct verdict_input){.windows = wild, .count = count, .has_flow = round & 1, .has_aged = round & 2}, &v);
		ck_assert_int_lt(v.kind, VERDICT_KINDS);
		ck_assert_int_lt(v.why, VERDICT_WHYS);
		ck_assert_uint_le(v.steps, VERDICT_STEPS);
	}
}
END_TEST

/* ---- words ---- */

static char *words(void)
{
	static uint64_t (*const curves[])(size_t) = {line, hourly, fills, level, late_once, tooth, bump, uneven_steps};
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);
	for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
		struct verdict v = of(230, curves[i]);
		emit_verdict(&v, 0, 2, out);
		emit_verdict_json(&v, out);
		fputs("\n\n", out);
	}
	for (int why = 0; why < VERDICT_WHYS; why++)
		fprintf(out, "%s: %s\n", emit_verdict_why_name((enum verdict_why)why), emit_verdict_why((enum verdict_why)why));
	struct verdict v = of(3, line);
	emit_verdict(&v, 0, 0, out);
	fclose(out);
	return text;
}

START_TEST(golden_words)
{
	char *text = words();
	golden_same("verdicts.txt", text);
	free(text);
}
END_TEST

/* Every reason stands in the manual as the program says it. */
START_TEST(the_manual_has_every_reason)
{
	char *page = calloc(1, 1 << 16), item[256];
	FILE *file = fopen("man/mtrace-verdicts.7", "r");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_lt(fread(page, 1, (1 << 16) - 1, file), (1 << 16) - 1);
	fclose(file);
	for (int why = 0; why < VERDICT_WHYS; why++) {
		snprintf(item, sizeof item, "\n.It Cm %s\n%s\n", emit_verdict_why_name((enum verdict_why)why),
		         emit_verdict_why((enum verdict_why)why));
		ck_assert_msg(strstr(page, item) != NULL, "mtrace-verdicts.7 does not say:%s", item);
	}
	free(page);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("verdict");
	TCase *many = tcase_create("many"), *hand = tcase_create("by hand");
	tcase_set_timeout(many, 300);
	tcase_add_loop_test(many, all_counts_known, 0, FAKE_KINDS);
	tcase_add_loop_test(many, live_counts_and_ages_alone, 0, FAKE_KINDS);
	tcase_add_test(many, what_is_stated_as_visible_is_not_next_to_nothing);
	tcase_set_timeout(hand, 120);
	tcase_add_test(hand, a_line_is_a_leak_by_its_slope);
	tcase_add_test(hand, eight_windows_at_the_least);
	tcase_add_test(hand, windows_out_of_order_are_none);
	tcase_add_test(hand, a_level_is_no_leak);
	tcase_add_test(hand, hourly_steps_are_a_leak_from_the_third_on);
	tcase_add_test(hand, a_plateau_of_three_pauses_outweighs_a_slope);
	tcase_add_test(hand, shapes);
	tcase_add_test(hand, a_pool_that_was_a_little_over_is_a_cache);
	tcase_add_test(hand, more_windows_than_there_is_room_for);
	tcase_add_test(hand, ages_tell_growth_with_the_load);
	tcase_add_test(hand, any_numbers_do_no_harm);
	tcase_add_test(hand, golden_words);
	tcase_add_test(hand, the_manual_has_every_reason);
	suite_add_tcase(suite, hand);
	suite_add_tcase(suite, many);
	return run_suite(suite);
}
