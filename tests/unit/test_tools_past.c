/*
 * test_tools_past: what verdicts are worth when all that is known is a process's own history: the made-up stacks of
 * test_tools_verdict, at those boundaries of time that a history keeps (epochs.h: the last eight odd multiples of each
 * power of two), 10 000 of each kind. No more false alarms than of even windows; what grew once, or in steps, is never
 * called a bound or start-up, nor a leak, where the record cannot tell.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_series.h"
#include "model/growth.h"
#include "model/past.h"
#include "model/profile.h"
#include "run.h"

#ifdef __SANITIZE_ADDRESS__
enum { SEEDS = 100 }; /* for what sanitizers find; the figures are the other build's */
#else
enum { SEEDS = 10000 };
#endif

/* ---- a process that remembers a series ---- */

enum { MOST = FAKE_WINDOWS + 1 };

struct remembered {
	struct profile_process process;
	struct profile_stack stack;
	struct profile_boundary boundaries[MOST];
	struct profile_change changes[MOST];
	struct profile_mark marks[MOST];
};

/* Its place is taken by the multiple eight further on. */
static bool is_kept(uint64_t unit, uint64_t last)
{
	return unit + 16 * (unit & -unit) > last;
}

static void add(struct profile_counts *counts, const struct verdict_window *w)
{
	uint64_t before = counts->live_blocks, alloc = w->alloc_blocks, bytes = counts->live_bytes;
	if (before + alloc < w->live_blocks)
		alloc = w->live_blocks - before;
	counts->alloc_blocks += alloc;
	counts->freed_blocks += before + alloc - w->live_blocks;
	counts->alloc_bytes += w->live_bytes > bytes ? w->live_bytes - bytes : 0;
	counts->freed_bytes += w->live_bytes > bytes ? 0 : bytes - w->live_bytes;
	counts->live_blocks = w->live_blocks;
	counts->live_bytes = w->live_bytes;
}

static void put_boundary(struct remembered *r, struct profile_boundary boundary, const struct profile_counts *before,
                         const struct profile_counts *now)
{
	struct profile_process *p = &r->process;
	r->changes[p->boundary_count] = (struct profile_change){
		0, p->boundary_count, now->alloc_blocks - before->alloc_blocks, now->alloc_bytes - before->alloc_bytes,
		now->freed_blocks - before->freed_blocks, now->freed_bytes - before->freed_bytes};
	r->boundaries[p->boundary_count++] = boundary;
	p->change_count = p->boundary_count;
}

/* Its first window ends at unit `from`, its last one now; `all`: no boundary has gone, as of few marks. */
static void remember(const struct verdict_window *windows, size_t count, uint64_t from, bool all, struct remembered *r)
{
	struct profile_counts now = {0}, before = {0};
	memset(r, 0, sizeof *r);
	r->process.stacks = &r->stack;
	r->process.stack_count = 1;
	r->process.boundaries = r->boundaries;
	r->process.changes = r->changes;
	r->process.window_ns = windows[1].time_ns - windows[0].time_ns;
	r->stack.kind = MTRACE_KIND_MALLOC;
	for (size_t i = 0; i < count; i++) {
		add(&now, &windows[i]);
		if (i == count - 1 || (!all && !is_kept(from + i, from + count - 1)))
			continue;
		put_boundary(r, (struct profile_boundary){.time_ns = windows[i].time_ns, .unit = (uint32_t)(from + i),
		                                          .mark = PROFILE_NO_MARK}, &before, &now);
		before = now;
	}
	r->stack.counts = now;
	r->process.lived_ns = windows[count - 1].time_ns;
}

static struct verdict judge(const struct remembered *r, const char *on_mark, const struct verdict_age *ages, size_t age_count)
{
	struct growth growth;
	struct verdict v = {.why = VERDICT_TOO_FEW, .sensitivity = -1};
	if (past_windows(&r->process, on_mark, &growth))
		growth_judge(&growth, 0, ages, age_count, &v);
	growth_free(&growth);
	return v;
}

/* ---- the matrix ---- */

struct tally {
	unsigned named[VERDICT_KINDS];
	unsigned above, missed; /* leaks of the stated sensitivity and more */
	double windows;
};

static void judge_many(enum fake_series_kind kind, struct tally *t)
{
	struct fake_series *f = malloc(sizeof *f);
	struct remembered *r = malloc(sizeof *r);
	*t = (struct tally){.above = 0};
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		fake_series(kind, seed, f);
		remember(f->windows, f->input.count, 1 + seed * 7919 % 64, false, r);
		struct verdict v = judge(r, NULL, f->input.ages, f->input.age_count);
		double mean_windows = v.windows ? (double)v.observed_ns / (double)v.windows / f->window_ns : 1;
		bool above = f->leaked_per_window > 0 && v.sensitivity >= 0 && f->leaked_per_window * mean_windows >= v.sensitivity;
		t->named[v.kind]++;
		t->above += above;
		t->missed += above && v.kind != VERDICT_LEAK;
		t->windows += (double)v.windows / SEEDS;
	}
	free(r);
	free(f);
}

static void print_row(enum fake_series_kind kind, const struct tally *t)
{
	printf("%-22s", fake_series_name(kind));
	for (int i = 0; i < VERDICT_KINDS; i++)
		printf("%9.2f", 100.0 * t->named[i] / SEEDS);
	printf("   %4.1f windows", t->windows);
	if (kind < FAKE_LEAKS)
		printf(", above the sensitivity %5.1f, of these missed %.2f", 100.0 * t->above / SEEDS,
		       t->above ? 100.0 * t->missed / t->above : 0.0);
	putchar('\n');
	fflush(stdout);
}

/* What is told at the least of so few windows, so uneven; "unknown" is never wrong. */
static const struct promise {
	enum verdict_kind kind;
	double told;
} promises[FAKE_KINDS] = {
	[FAKE_LEAK] = {VERDICT_LEAK, 0.88}, [FAKE_SLOW_LEAK] = {VERDICT_LEAK, 0.4}, [FAKE_LEAK_STEPS] = {VERDICT_LEAK, 0.7},
	[FAKE_LEAK_MIDWAY] = {VERDICT_LEAK, 0.9}, [FAKE_CACHE_LATE] = {VERDICT_CACHE, 0.3},
	[FAKE_LAZY_DIVIDES] = {VERDICT_GC_LAG, 0.6}, [FAKE_LAZY_ODD] = {VERDICT_GC_LAG, 0.65}, [FAKE_STARTUP] = {VERDICT_STARTUP, 0.99},
	[FAKE_INIT_LATE] = {VERDICT_STARTUP, 0.65}, [FAKE_SPIKE] = {VERDICT_SPIKE, 0.9}, [FAKE_GC] = {VERDICT_GC_LAG, 0.9},
};

START_TEST(of_a_history_alone)
{
	struct tally t;
	enum fake_series_kind kind = (enum fake_series_kind)_i;
	judge_many(kind, &t);
	print_row(kind, &t);
	if (kind >= FAKE_LEAKS)
		ck_assert_msg(t.named[VERDICT_LEAK] * 200 <= SEEDS, "%s: %u false alarms in %d", fake_series_name(kind),
		              t.named[VERDICT_LEAK], SEEDS);
	if (kind == FAKE_LEAK_STEPS)
		ck_assert_msg((t.named[VERDICT_STARTUP] + t.named[VERDICT_CACHE]) * 200 <= SEEDS, "steps that go on are said to have ended");
	if (SEEDS < 10000)
		return;
	ck_assert_msg(t.named[promises[kind].kind] >= promises[kind].told * SEEDS, "%s: told in %u of %d", fake_series_name(kind),
	              t.named[promises[kind].kind], SEEDS);
	if (kind < FAKE_LEAKS && kind != FAKE_LEAK_STEPS) /* steps need not be above it */
		ck_assert_msg(t.missed * 100 <= t.above, "%s: %u of %u missed", fake_series_name(kind), t.missed, t.above);
}
END_TEST

/* ---- by hand ---- */

enum { MINUTE = 60 };
#define NS(seconds) ((uint64_t)(seconds) * 1000000000u)

/* `count` windows of a minute, live(i) blocks of 1 KiB, of a process that began just then. */
static struct verdict of(size_t count, uint64_t (*live)(size_t i), const char *on_mark)
{
	static struct verdict_window windows[FAKE_WINDOWS];
	static struct remembered r;
	memset(windows, 0, sizeof windows);
	for (size_t i = 0; i < count; i++)
		windows[i] = (struct verdict_window){.time_ns = NS((i + 1) * MINUTE), .live_bytes = live(i) << 10, .live_blocks = live(i)};
	remember(windows, count, 1, on_mark != NULL, &r);
	for (uint32_t i = 0; on_mark && i < r.process.boundary_count; i++) {
		r.boundaries[i].mark = i;
		r.marks[i] = (struct profile_mark){.name = i % 2 ? "other" : "round", .time_ns = r.boundaries[i].time_ns};
	}
	r.process.marks = r.marks;
	r.process.mark_count = on_mark ? r.process.boundary_count : 0;
	return judge(&r, on_mark, NULL, 0);
}

static uint64_t line(size_t i) { return 100 + 10 * i; }
static uint64_t once(size_t i) { return i < 3 ? 100 : 9000; }
static uint64_t two_steps(size_t i) { return 500 + 480 * ((i + 30) / 60); }

START_TEST(fewer_than_sixteen_windows_do_not_say_that_it_ended)
{
	struct verdict v = of(15, once, NULL);
	ck_assert_uint_eq(v.windows, 14);
	ck_assert_int_eq(v.kind, VERDICT_UNKNOWN);
	ck_assert_int_eq(v.why, VERDICT_COARSE);
	ck_assert_uint_eq(v.wait_ns, NS(2 * MINUTE));
	v = of(18, once, NULL);
	ck_assert_uint_eq(v.windows, 16);
	ck_assert_int_eq(v.kind, VERDICT_STARTUP);
	ck_assert_uint_eq(v.wait_ns, 0);
}
END_TEST

START_TEST(all_that_is_kept_is_used_up_to_now)
{
	struct verdict v = of(300, line, NULL);
	ck_assert_int_eq(v.kind, VERDICT_LEAK);
	ck_assert_uint_gt(v.windows, 40);
	ck_assert_double_eq_tol(v.per_hour, 60 * 10240, 1e-3);
	ck_assert_int_eq(of(9, line, NULL).kind, VERDICT_LEAK);
	ck_assert_uint_eq(of(8, line, NULL).why, VERDICT_TOO_FEW);
	v = of(150, two_steps, NULL);
	ck_assert_int_eq(v.kind, VERDICT_UNKNOWN);
}
END_TEST

/* Resident memory of the boundaries that are used, and of now, which it has ended by: nothing. */
START_TEST(resident_memory_is_that_of_the_boundaries)
{
	struct remembered *r = malloc(sizeof *r);
	struct verdict_window windows[40] = {{0}};
	struct growth growth;
	for (uint64_t i = 0; i < 40; i++)
		windows[i] = (struct verdict_window){.time_ns = (i + 1) * 10000000000u, .live_bytes = i, .live_blocks = i};
	remember(windows, 40, 1, true, r);
	for (uint32_t i = 0; i < r->process.boundary_count; i++) {
		r->boundaries[i].rss_bytes = 1000 + i;
		r->boundaries[i].tracker_bytes = i < 20 ? 0 : 2000 + i; /* as of a shim of before, to begin with */
	}
	r->process.tracker_bytes = 77;
	ck_assert(past_windows(&r->process, NULL, &growth));
	ck_assert_uint_eq(growth.count, 40);
	for (size_t i = 0; i < 39; i++) {
		ck_assert_uint_eq(growth.instants[i].rss_bytes, 1000 + i);
		ck_assert_uint_eq(growth.instants[i].tracker_bytes, i < 20 ? 77 : 2000 + i);
	}
	ck_assert_uint_eq(growth.instants[39].rss_bytes, 0);
	ck_assert_uint_eq(growth.instants[39].tracker_bytes, 77);
	growth_free(&growth);
	free(r);
}
END_TEST

START_TEST(marks_of_that_name_alone)
{
	struct verdict v = of(300, line, "round");
	ck_assert_int_eq(v.kind, VERDICT_LEAK);
	ck_assert_uint_eq(v.windows, 149);
	ck_assert_int_eq(of(300, line, "none").why, VERDICT_TOO_FEW);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("past");
	TCase *many = tcase_create("many"), *hand = tcase_create("by hand");
	tcase_set_timeout(many, 300);
	tcase_add_loop_test(many, of_a_history_alone, 0, FAKE_KINDS);
	tcase_add_test(hand, fewer_than_sixteen_windows_do_not_say_that_it_ended);
	tcase_add_test(hand, all_that_is_kept_is_used_up_to_now);
	tcase_add_test(hand, marks_of_that_name_alone);
	tcase_add_test(hand, resident_memory_is_that_of_the_boundaries);
	suite_add_tcase(suite, hand);
	suite_add_tcase(suite, many);
	return run_suite(suite);
}
