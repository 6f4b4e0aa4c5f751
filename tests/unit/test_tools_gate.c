/*
 * test_tools_gate: what verdicts are worth in the windows of a gate: cut off their even places, of steps, without ages. The
 * made-up stacks of test_tools_verdict in 64 windows; and memory that is freed lazily, with every period there is:
 * the cuts must not make a leak of it, which even windows do.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_series.h"
#include "format.h"
#include "model/growth.h"
#include "run.h"

#ifdef __SANITIZE_ADDRESS__
enum { SEEDS = 100 }; /* for what sanitizers find; the figures are the other build's */
#else
enum { SEEDS = 4000 };
#endif

static void put(struct growth *g, uint64_t step, const struct verdict_window *w, uint64_t alloc, uint64_t freed)
{
	ck_assert(growth_begin(g, &(struct growth_instant){w->time_ns, 0, 0, step}));
	growth_put(g, 0, &(struct growth_counts){w->live_bytes, w->live_blocks, alloc, freed});
}

/* Steps 0 to count - 1, in so many windows. */
static struct verdict judge(const struct verdict_window *steps, size_t count, uint64_t windows, bool even)
{
	struct growth g;
	struct verdict v;
	uint64_t alloc = 0, freed = 0;
	size_t step = 0;
	growth_init(&g);
	g.has_flow = g.by_steps = true;
	for (uint64_t i = 0; i <= windows; i++) {
		uint64_t cut = even ? (count - 1) * i / windows : mtrace_cut(0, count - 1, windows, i);
		for (; step <= cut; step++) {
			alloc += steps[step].alloc_blocks;
			freed += steps[step].freed_blocks;
		}
		put(&g, cut, &steps[cut], alloc, freed);
	}
	growth_judge(&g, 0, NULL, 0, &v);
	growth_free(&g);
	return v;
}

/* ---- every period ---- */

enum { STEPS = 1000 };

/* One block a step; all are freed each `period` steps. */
static void lazy(uint64_t period, uint64_t phase, struct verdict_window steps[STEPS + 1])
{
	for (uint64_t i = 0; i <= STEPS; i++) {
		uint64_t live = (i + phase) % period;
		steps[i] = (struct verdict_window){.time_ns = (i + 1) * 1000000, .live_bytes = live * 300, .live_blocks = live,
		                                   .alloc_blocks = 1, .freed_blocks = live == 0 ? period : 0};
	}
}

static unsigned alarms(uint64_t windows, bool even)
{
	static struct verdict_window steps[STEPS + 1];
	unsigned count = 0;
	for (uint64_t period = 2; period <= STEPS / 3; period++)
		for (uint64_t phase = 0; phase < period; phase += 1 + period / 7) {
			lazy(period, phase, steps);
			count += judge(steps, STEPS + 1, windows, even).kind == VERDICT_LEAK;
		}
	return count;
}

START_TEST(no_period_is_a_leak)
{
	static const uint64_t windows[] = {8, 10, 16, 20, 32, 64, 100};
	unsigned even = 0;
	for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
		unsigned in_even = alarms(windows[i], true), in_cuts = alarms(windows[i], false);
		printf("lazy frees in %3d windows: %u false alarms; in even ones %u\n", (int)windows[i], in_cuts, in_even);
		ck_assert_uint_eq(in_cuts, 0);
		even += in_even;
	}
	ck_assert_uint_gt(even, 0); /* else there would be nothing to do */
}
END_TEST

static struct verdict_window line[STEPS + 1];

static void leak_in(size_t steps, uint64_t windows)
{
	struct verdict v = judge(line, steps + 1, windows, false);
	ck_assert_msg(v.kind == VERDICT_LEAK, "%zu steps in %d windows", steps, (int)windows);
	ck_assert_double_eq_tol(v.per_window * (double)v.windows / (double)steps, 16, 1e-3);
}

/* A leak is one in as many windows as a plan makes (plan.c), of few steps and of many. */
START_TEST(a_leak_is_one)
{
	for (uint64_t i = 0; i <= STEPS; i++)
		line[i] = (struct verdict_window){.time_ns = (i + 1) * 1000000, .live_bytes = i * 16, .live_blocks = i, .alloc_blocks = 1};
	for (uint64_t windows = 33; windows <= 120; windows++)
		leak_in(STEPS, windows);
	for (size_t steps = 50; steps < 400; steps++)
		leak_in(steps, steps < 64 ? steps : 64);
	for (size_t steps = 64; steps < 400; steps++)
		for (uint64_t windows = 8; windows <= 32; windows++) {
			uint64_t factor = (63 + windows) / windows, fits = steps / windows;
			leak_in(steps, windows * (factor < fits ? factor : fits));
		}
}
END_TEST

/* ---- the matrix ---- */

struct tally {
	unsigned named[VERDICT_KINDS], above, missed;
};

static void judge_many(enum fake_series_kind kind, uint64_t windows, struct tally *t)
{
	struct fake_series *f = malloc(sizeof *f);
	*t = (struct tally){.above = 0};
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		fake_series(kind, seed, f);
		size_t steps = f->input.count - 1;
		struct verdict v = judge(f->windows, f->input.count, windows < steps ? windows : steps, false);
		double mean = (double)steps / (double)(v.windows ? v.windows : 1);
		bool above = f->leaked_per_window > 0 && v.sensitivity >= 0 && f->leaked_per_window * mean >= v.sensitivity;
		t->named[v.kind]++;
		t->above += above;
		t->missed += above && v.kind != VERDICT_LEAK;
	}
	free(f);
}

static void print_row(enum fake_series_kind kind, uint64_t windows, const struct tally *t)
{
	printf("%3d %-22s", (int)windows, fake_series_name(kind));
	for (int i = 0; i < VERDICT_KINDS; i++)
		printf("%9.2f", 100.0 * t->named[i] / SEEDS);
	if (kind < FAKE_LEAKS)
		printf("   above the sensitivity %5.1f, of these missed %.2f", 100.0 * t->above / SEEDS,
		       t->above ? 100.0 * t->missed / t->above : 0.0);
	putchar('\n');
	fflush(stdout);
}

START_TEST(in_the_windows_of_a_gate)
{
	static const uint64_t windows[] = {64};
	enum fake_series_kind kind = (enum fake_series_kind)_i;
	for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
		struct tally t;
		judge_many(kind, windows[i], &t);
		print_row(kind, windows[i], &t);
		if (SEEDS < 4000)
			continue;
		if (kind >= FAKE_LEAKS) /* without ages, load that rises to the end is told from a leak less often */
			ck_assert_msg(t.named[VERDICT_LEAK] * (kind == FAKE_DAY ? 66 : 200) <= SEEDS, "%s: %u false alarms in %d",
			              fake_series_name(kind), t.named[VERDICT_LEAK], SEEDS);
		if (t.above >= 200 && kind < FAKE_LEAKS && kind != FAKE_LEAK_STEPS) /* of so few one is more than one in a hundred */
			ck_assert_msg(t.missed * 100 <= t.above, "%s: %u of %u missed", fake_series_name(kind), t.missed, t.above);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("gate");
	TCase *hand = tcase_create("by hand"), *many = tcase_create("many");
	tcase_set_timeout(hand, 120);
	tcase_set_timeout(many, 300);
	tcase_add_test(hand, no_period_is_a_leak);
	tcase_add_test(hand, a_leak_is_one);
	tcase_add_loop_test(many, in_the_windows_of_a_gate, 0, FAKE_KINDS);
	suite_add_tcase(suite, hand);
	suite_add_tcase(suite, many);
	return run_suite(suite);
}
