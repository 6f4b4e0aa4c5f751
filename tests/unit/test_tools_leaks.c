/*
 * test_tools_leaks: the contract of growth (what was put in comes out, sparse or thinned or added up: a dense table is the
 * reference, under seeded random counts) and of leaks (worst first, shares, the limit), and how both are shown (golden
 * files; UPDATE=1 rewrites them).
 */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emit/emit.h"
#include "emit/emit_text.h"
#include "fake_report.h"
#include "golden.h"
#include "model/growth.h"
#include "model/leaks.h"
#include "model/profile.h"
#include "run.h"

#define SECOND 1000000000ull

static uint64_t state;

static uint64_t below(uint64_t limit)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (state >> 33) % limit;
}

/* ---- growth against a dense table ---- */

enum { SERIES = 12, INSTANTS = 1800 };

struct table {
	uint64_t time[INSTANTS], bytes[SERIES][INSTANTS], blocks[SERIES][INSTANTS];
};

/* Some change always, some seldom, some begin late; one is never put. */
static void fill(struct growth *g, struct table *t, size_t instants)
{
	uint64_t now = 5 * SECOND;
	growth_init(g);
	for (size_t i = 0; i < instants; i++) {
		t->time[i] = now += 1 + below(3 * SECOND);
		ck_assert(growth_begin(g, &(struct growth_instant){now, 4096 * i, 0, 0}));
		for (size_t s = 0; s < SERIES; s++) {
			bool is_there = s > 0 && i >= s * 20;
			bool changes = i == s * 20 || below(s * s + 1) == 0;
			t->bytes[s][i] = is_there ? (changes ? below(50) * 100 : t->bytes[s][i - 1]) : 0;
			t->blocks[s][i] = is_there ? (changes ? below(4) : t->blocks[s][i - 1]) : 0;
			if (is_there && (changes || below(2)))
				growth_put(g, s, &(struct growth_counts){t->bytes[s][i], t->blocks[s][i], i + s, i});
		}
	}
}

/* Instants that are kept have the values that they had. */
static void compare(const struct growth *g, const struct table *t, size_t instants)
{
	struct verdict_window windows[GROWTH_INSTANTS];
	for (size_t s = 0; s < SERIES; s++) {
		size_t at = 0;
		growth_curve(g, s, windows);
		for (size_t i = 0; i < g->count; i++) {
			while (at < instants && t->time[at] != g->instants[i].time_ns)
				at++;
			ck_assert_uint_lt(at, instants);
			ck_assert_uint_eq(windows[i].time_ns, t->time[at]);
			ck_assert_msg(windows[i].live_bytes == t->bytes[s][at] && windows[i].live_blocks == t->blocks[s][at],
			              "series %zu, instant %zu of %zu: %zu bytes, not %zu", s, at, instants,
			              (size_t)windows[i].live_bytes, (size_t)t->bytes[s][at]);
		}
	}
}

START_TEST(what_is_put_comes_out_however_many_instants_there_are)
{
	static const size_t lengths[] = {1, 2, 3, 9, 300, GROWTH_INSTANTS - 1, GROWTH_INSTANTS, GROWTH_INSTANTS + 1,
	                                 GROWTH_INSTANTS + 2, 2 * GROWTH_INSTANTS - 1, 1500, INSTANTS};
	struct table *t = malloc(sizeof *t);
	struct growth g;
	state = (uint64_t)_i;
	for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
		fill(&g, t, lengths[i]);
		compare(&g, t, lengths[i]);
		ck_assert_uint_eq(g.seen, lengths[i]);
		ck_assert_uint_eq(g.instants[0].time_ns, t->time[0]);
		ck_assert_uint_eq(g.instants[g.count - 1].time_ns, t->time[lengths[i] - 1]);
		ck_assert_uint_ge(g.count, lengths[i] < GROWTH_INSTANTS / 2 ? lengths[i] : GROWTH_INSTANTS / 2);
		growth_free(&g);
	}
	free(t);
}
END_TEST

START_TEST(groups_are_sums)
{
	static const uint32_t group_of[SERIES] = {0, 0, 1, 1, 1, GROWTH_NO_GROUP, 2, 0, 1, 2, 2, 2};
	struct table *t = malloc(sizeof *t), *sums = calloc(1, sizeof *sums);
	struct growth g, grouped;
	state = (uint64_t)_i;
	fill(&g, t, 400);
	memcpy(sums->time, t->time, sizeof sums->time);
	for (size_t s = 0; s < SERIES; s++) {
		growth_put_aged(&g, s, 10 * s);
		for (size_t i = 0; i < 400 && group_of[s] != GROWTH_NO_GROUP; i++) {
			sums->bytes[group_of[s]][i] += t->bytes[s][i];
			sums->blocks[group_of[s]][i] += t->blocks[s][i];
		}
	}
	g.has_flow = g.has_aged = true;
	growth_group(&g, group_of, SERIES, &grouped);
	compare(&grouped, sums, 400);
	struct verdict v;
	growth_judge(&grouped, 1, NULL, 0, &v);
	uint64_t freed = growth_last(&grouped, 1).freed_blocks - growth_first(&grouped, 1).freed_blocks;
	ck_assert_double_eq_tol(v.aged_share * (double)freed, 10 * (2 + 3 + 4 + 8), 1e-6);
	ck_assert_uint_eq(growth_last(&grouped, 1).alloc_blocks, growth_last(&g, 2).alloc_blocks +
	                  growth_last(&g, 3).alloc_blocks + growth_last(&g, 4).alloc_blocks + growth_last(&g, 8).alloc_blocks);
	growth_free(&grouped);
	growth_free(&g);
	free(sums);
	free(t);
}
END_TEST

/* Rows that become one stack, put one after the other, the first of them as it was before. */
START_TEST(twice_for_one_number_is_the_sum)
{
	struct growth g;
	struct verdict_window windows[GROWTH_INSTANTS];
	growth_init(&g);
	for (uint64_t i = 0; i < 3; i++) {
		growth_begin(&g, &(struct growth_instant){(i + 1) * SECOND, 0, 0, 0});
		growth_put(&g, 4, &(struct growth_counts){100, 1, 1, 0});
		growth_put(&g, 4, &(struct growth_counts){i == 1 ? 50 : 0, i == 1, i, 0});
	}
	growth_curve(&g, 4, windows);
	ck_assert_uint_eq(windows[0].live_bytes, 100);
	ck_assert_uint_eq(windows[1].live_bytes, 150);
	ck_assert_uint_eq(windows[2].live_bytes, 100);
	ck_assert_uint_eq(growth_last(&g, 4).alloc_blocks, 3);
	growth_free(&g);
}
END_TEST

START_TEST(time_goes_forward)
{
	struct growth g;
	growth_init(&g);
	ck_assert_uint_eq(growth_span(&g) + growth_windows(&g), 0);
	ck_assert(growth_begin(&g, &(struct growth_instant){SECOND, 0, 0, 0}));
	ck_assert(!growth_begin(&g, &(struct growth_instant){SECOND, 0, 0, 0}));
	ck_assert(!growth_begin(&g, &(struct growth_instant){SECOND - 1, 0, 0, 0}));
	ck_assert(growth_begin(&g, &(struct growth_instant){3 * SECOND, 0, 0, 0}));
	ck_assert_uint_eq(growth_span(&g), 2 * SECOND);
	ck_assert_uint_eq(growth_windows(&g), 1);
	growth_free(&g);
}
END_TEST

/* ---- growth judged ---- */

/* A line of ten blocks a window, with one window in which the machine stood still. */
static void fill_uneven(struct growth *g, bool fills)
{
	uint64_t now = 0;
	growth_init(g);
	g->has_flow = true;
	for (uint64_t i = 0; i < 120; i++) {
		uint64_t live = 10 * (fills && i > 60 ? 60 : i);
		now += i == 30 ? 1000 * SECOND : SECOND;
		growth_begin(g, &(struct growth_instant){now, 0, 0, i});
		growth_put(g, 0, &(struct growth_counts){live << 10, live, live, 0});
	}
}

/* By the clock its pause of a thousand seconds is longer than the plateau; by its own steps there was no pause. */
START_TEST(steps_of_its_work_are_equally_long)
{
	struct growth g;
	struct verdict v;
	fill_uneven(&g, true);
	growth_judge(&g, 0, NULL, 0, &v);
	ck_assert_int_ne(v.kind, VERDICT_CACHE);
	g.by_steps = true;
	growth_judge(&g, 0, NULL, 0, &v);
	ck_assert_int_eq(v.kind, VERDICT_CACHE);
	growth_free(&g);
	fill_uneven(&g, false);
	g.by_steps = true;
	growth_judge(&g, 0, NULL, 0, &v);
	ck_assert_int_eq(v.kind, VERDICT_LEAK);
	ck_assert_double_eq_tol(v.per_window, 10240, 1);
	ck_assert_uint_eq(v.never_freed, 1190);
	growth_judge(&g, 77, NULL, 0, &v); /* one that was never put */
	ck_assert_int_eq(v.why, VERDICT_TOO_FEW);
	ck_assert_uint_eq(v.windows, 0);
	growth_free(&g);
}
END_TEST

/* Of marks the older may be forgotten: then a window is several steps. */
START_TEST(a_window_of_several_steps_is_so_much_longer)
{
	struct growth g;
	struct verdict v;
	growth_init(&g);
	g.by_steps = true;
	for (uint64_t i = 0, step = 0; i < 90; i++, step += i < 30 ? 8 : 1) {
		growth_begin(&g, &(struct growth_instant){(i + 1) * SECOND, 0, 0, step});
		growth_put(&g, 0, &(struct growth_counts){step << 10, step, step, 0});
	}
	growth_judge(&g, 0, NULL, 0, &v);
	ck_assert_int_eq(v.kind, VERDICT_LEAK);
	ck_assert(!growth_begin(&g, &(struct growth_instant){200 * SECOND, 0, 0, 5}));
	g.by_steps = false;
	growth_judge(&g, 0, NULL, 0, &v);
	ck_assert_int_eq(v.why, VERDICT_FILLING);
	growth_free(&g);
}
END_TEST

/* Ages are of the clock: the class of 64 to 128 s was born in windows that steps put elsewhere. */
START_TEST(ages_go_along_with_steps)
{
	struct verdict_age ages[] = {{0, SECOND / 2, 1190, 1190 << 10}, {64 * SECOND, 128 * SECOND, 240, 240 << 10}};
	struct growth g;
	struct verdict v;
	fill_uneven(&g, false); /* after the pause, 90 windows of a second: the class was born in 26 of them, and in the pause */
	g.by_steps = true;
	growth_judge(&g, 0, ages, 2, &v);
	ck_assert_int_eq(v.kind, VERDICT_LEAK);
	ages[1].blocks = ages[1].bytes = 0;
	growth_judge(&g, 0, ages, 2, &v);
	ck_assert_int_eq(v.why, VERDICT_REPLACED);
	growth_judge(&g, 0, ages, 1, &v); /* half a second: too young to tell */
	ck_assert_int_eq(v.kind, VERDICT_LEAK);
	growth_free(&g);
}
END_TEST

/* Births are known to a sixteenth of a second: below a second they prove nothing. */
START_TEST(ages_below_a_second_are_not_used)
{
	struct verdict_age young[] = {{SECOND / 2, SECOND, 0, 0}}, old[] = {{SECOND, 2 * SECOND, 0, 0}};
	struct growth g;
	struct verdict v;
	growth_init(&g);
	for (uint64_t i = 0; i < 60; i++) {
		growth_begin(&g, &(struct growth_instant){(i + 1) * SECOND / 20, 0, 0, 0});
		growth_put(&g, 0, &(struct growth_counts){1000 * i, i, i, 0});
	}
	growth_judge(&g, 0, young, 1, &v);
	ck_assert_int_eq(v.kind, VERDICT_LEAK);
	growth_judge(&g, 0, old, 1, &v);
	ck_assert_int_eq(v.why, VERDICT_REPLACED);
	growth_free(&g);
}
END_TEST

START_TEST(a_level_whose_blocks_are_freed_old_is_a_cache)
{
	struct growth g;
	struct verdict v;
	growth_init(&g);
	g.has_flow = g.has_aged = true;
	for (uint64_t i = 0; i < 50; i++) {
		growth_begin(&g, &(struct growth_instant){(i + 1) * SECOND, 0, 0, 0});
		growth_put(&g, 0, &(struct growth_counts){100000 + i % 3, 1000 + i % 3, 1000 + 50 * i + i % 3, 50 * i});
	}
	growth_put_aged(&g, 0, 1300);
	growth_judge(&g, 0, NULL, 0, &v);
	ck_assert_int_eq(v.why, VERDICT_TURNS_OVER);
	growth_put_aged(&g, 0, 1000);
	growth_judge(&g, 0, NULL, 0, &v);
	ck_assert_int_eq(v.why, VERDICT_NO_GROWTH);
	growth_free(&g);
}
END_TEST

/* ---- leaks: of the made-up server, whose first stack leaks ---- */

/* By stack: 0 leaks, 1 comes and goes, 3 fills and stops, the others stay. Resident memory grows by `rss`. */
static void grow_server(struct growth *g, const struct profile_process *p, uint64_t rss)
{
	growth_init(g);
	g->has_flow = true;
	for (uint64_t i = 0; i < 61; i++) {
		growth_begin(g, &(struct growth_instant){(9000 + 30 * i) * SECOND, (1500ull << 20) + i * (rss / 60), 16 << 20, 0});
		for (uint32_t s = 0; s < p->stack_count; s++) {
			uint64_t bytes = p->stacks[s].counts.live_bytes, blocks = p->stacks[s].counts.live_blocks;
			uint64_t part = s == 0 ? 6000 + i * 5 : s == 3 ? (i < 20 ? 100 * i : 2000) : s == 1 ? below(6300) : 6300;
			bytes = bytes / 6300 * part;
			blocks = blocks * part / 6300;
			growth_put(g, s, &(struct growth_counts){bytes, blocks, blocks + 7 * i, 7 * i});
		}
	}
}

/* What the leak left was born all along: 90411 * 5 / 6300 blocks each 30 s; the rest before. By powers of two of ticks. */
static void age_server(struct profile *p)
{
	static struct profile_live live[32];
	struct profile_process *q = &p->processes[0];
	uint64_t now = q->lived_ns / (SECOND / 16), left = q->stacks[0].counts.live_blocks;
	uint32_t n = 0;
	for (uint64_t to = 2; left > 0; to *= 2) {
		uint64_t blocks = to <= 1800 * 16 ? 90411 * 5 / 6300 * (to / 2) / (30 * 16) : left;
		blocks = blocks < left ? blocks : left;
		left -= blocks;
		live[n++] = (struct profile_live){.stack = 0, .birth_tick = now > to ? now - to + 1 : 0, .blocks = blocks,
		                                  .bytes = blocks * (q->stacks[0].counts.live_bytes / 90411)};
	}
	q->live = live;
	q->live_count = n;
}

static struct leaks judged(struct profile *p, uint64_t rss, leaks_labeller *label)
{
	struct growth g;
	struct leaks l;
	uint32_t same[32];
	age_server(p);
	for (uint32_t i = 0; i < 32; i++)
		same[i] = i;
	state = 1;
	grow_server(&g, &p->processes[0], rss);
	leaks_judge(&g, same, &p->processes[0], label, &l);
	growth_free(&g);
	l.limit_bytes = 2048ull << 20;
	l.limit_from = "memory.max of its cgroup";
	return l;
}

START_TEST(worst_first)
{
	struct profile *p = fake_report();
	struct leaks l = judged(p, 100 << 20, NULL);
	ck_assert_uint_eq(l.count, p->processes[0].stack_count);
	ck_assert_int_eq(l.rows[0].verdict.kind, VERDICT_LEAK);
	ck_assert_ptr_eq(l.rows[0].stack, &p->processes[0].stacks[0]);
	int before = 0;
	for (size_t i = 0; i < l.count; i++) {
		static const int order[VERDICT_KINDS] = {[VERDICT_LEAK] = 1, [VERDICT_UNKNOWN] = 9, [VERDICT_CACHE] = 3,
		                                         [VERDICT_GC_LAG] = 4, [VERDICT_SPIKE] = 5, [VERDICT_STARTUP] = 9};
		int rank = l.rows[i].verdict.kind == VERDICT_UNKNOWN && l.rows[i].change_bytes > 0 ? 2 : order[l.rows[i].verdict.kind];
		ck_assert_int_ge(rank, before);
		before = rank;
	}
	for (uint32_t i = 0; i < p->processes[0].stack_count; i++)
		ck_assert_ptr_eq(l.rows[l.row_of_stack[i]].stack, &p->processes[0].stacks[i]);
	leaks_free(&l);
	profile_free(p);
}
END_TEST

START_TEST(the_head_adds_up)
{
	struct profile *p = fake_report();
	struct leaks l = judged(p, 100 << 20, NULL);
	int64_t change = 0;
	for (size_t i = 0; i < l.count; i++)
		change += leaks_is_resident(l.rows[i].kind) ? l.rows[i].change_bytes : 0;
	ck_assert_int_eq(l.live_change, change);
	ck_assert_uint_eq(l.windows, 60);
	ck_assert_uint_eq(l.observed_ns, 1800 * SECOND);
	ck_assert_uint_eq(l.rss_end - l.rss_begin, (100 << 20) / 60 * 60);
	ck_assert_double_eq_tol(l.leak_per_hour, l.rows[0].verdict.per_hour, 1);
	double left = (double)(l.limit_bytes - l.rss_end) / l.leak_per_hour * 3600;
	ck_assert_double_eq_tol((double)leaks_time_to_limit(&l) / 1e9, left, left / 1000);
	l.limit_bytes = l.rss_end;
	ck_assert_uint_eq(leaks_time_to_limit(&l), 0);
	l.limit_bytes = l.rss_end / 2; /* over it already */
	ck_assert_uint_eq(leaks_time_to_limit(&l), 0);
	l.limit_bytes = 0;
	ck_assert_uint_eq(leaks_time_to_limit(&l), 0);
	leaks_free(&l);
	profile_free(p);
}
END_TEST

START_TEST(resident_memory_measured_once_is_no_growth)
{
	static const uint64_t rss[][3] = {{0, 0, 7}, {5, 0, 7}, {0, 5, 0}, {5, 6, 0}, {0, 0, 0}, {0, 5, 7},
	                                 {5, 0, UINT64_MAX}, {7, 0, 0}},
	                      begin[] = {0, 5, 0, 5, 0, 0, 0, 0}, end[] = {7, 7, 5, 6, 0, 7, 5, 7},
	                      before[] = {0, 0, SECOND, SECOND, 0, 0, 2 * SECOND, 2 * SECOND};
	struct profile *p = fake_report();
	for (size_t k = 0; k < sizeof end / sizeof *end; k++) {
		struct growth g;
		struct leaks l;
		growth_init(&g);
		for (uint64_t i = 0; i < 3; i++)
			growth_begin(&g, &(struct growth_instant){(i + 1) * SECOND, rss[k][i], 0, 0});
		leaks_judge(&g, NULL, &p->processes[0], NULL, &l);
		ck_assert_uint_eq(l.rss_begin, begin[k]);
		ck_assert_uint_eq(l.rss_end, end[k]);
		ck_assert_uint_eq(l.rss_before_ns, before[k]);
		leaks_free(&l);
		growth_free(&g);
	}
	profile_free(p);
}
END_TEST

START_TEST(groups_have_all_of_their_stacks)
{
	struct profile *p = fake_report();
	struct leaks l = judged(p, 100 << 20, emit_kind_label);
	ck_assert_uint_eq(l.count, 3); /* malloc, mmap, thread */
	uint32_t stacks = 0;
	for (size_t i = 0; i < l.count; i++) {
		ck_assert_str_eq(l.rows[i].label, profile_kind_name(l.rows[i].kind));
		ck_assert_uint_eq(l.rows[i].counts.live_bytes, p->processes[0].by_kind[l.rows[i].kind].live_bytes);
		stacks += l.rows[i].stacks;
	}
	ck_assert_uint_eq(stacks, p->processes[0].stack_count);
	ck_assert_ptr_null(leaks_verdict_of(&l, 0));
	leaks_free(&l);
	profile_free(p);
}
END_TEST

static void one_label(const struct profile_process *process, const struct profile_stack *stack, char *out, size_t size)
{
	(void)process;
	(void)stack;
	snprintf(out, size, "all");
}

START_TEST(kinds_are_never_added_up)
{
	struct profile *p = fake_report();
	struct leaks l = judged(p, 100 << 20, one_label);
	ck_assert_uint_eq(l.count, 3);
	leaks_free(&l);
	profile_free(p);
}
END_TEST

/* What is live is all as old as the process: what grew since the first window is not what is live now. */
START_TEST(ages_are_those_of_the_live_blocks)
{
	struct profile *p = fake_report();
	struct growth g;
	struct leaks l;
	uint32_t same[32];
	for (uint32_t i = 0; i < 32; i++)
		same[i] = i;
	grow_server(&g, &p->processes[0], 0);
	leaks_judge(&g, same, &p->processes[0], NULL, &l); /* fake_report's blocks are of tick 0 */
	const struct leaks_row *row = &l.rows[l.row_of_stack[0]];
	ck_assert_int_eq(row->verdict.why, VERDICT_REPLACED);
	ck_assert_uint_eq(row->oldest_ns, p->processes[0].lived_ns / (SECOND / 16) * (SECOND / 16));
	growth_free(&g);
	leaks_free(&l);
	profile_free(p);
}
END_TEST

/* ---- shown ---- */

static char *shown(uint64_t rss, leaks_labeller *label, struct emit_options o, bool json)
{
	struct profile *p = fake_report();
	struct leaks l = judged(p, rss, label);
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	o.judged = &l;
	ck_assert_int_eq(json ? emit_json(p, &o, out) : emit_text(p, &o, out), 0);
	fclose(out);
	leaks_free(&l);
	profile_free(p);
	return text;
}

static void golden(const char *name, char *text)
{
	golden_same(name, text);
	free(text);
}

static const struct emit_options asked = {.leaks = true, .limit = 10, .target = "4127"};

START_TEST(golden_list)
{
	golden("leaks-judged.txt", shown(100 << 20, NULL, asked, false));
}
END_TEST

START_TEST(golden_list_by_site)
{
	struct emit_options o = asked;
	o.by = EMIT_BY_SITE;
	golden("leaks-by-site.txt", shown(100 << 20, emit_site_label, o, false));
}
END_TEST

START_TEST(report_has_a_column)
{
	char *text = shown(100 << 20, NULL, (struct emit_options){.limit = 10, .target = "4127"}, false);
	ck_assert_ptr_nonnull(strstr(text, "8e97c21e2f74b497  leak\n"));
	free(text);
}
END_TEST

/* The list holds 69 MiB of growth: nearly all of 70, not half of 140. What moves by chance is nobody's answer. */
START_TEST(the_first_line_says_when_the_answer_is_elsewhere)
{
	static const struct { uint64_t rss; bool elsewhere; } of[] = {{70 << 20, false}, {130 << 20, false}, {150 << 20, true},
	                                                              {600 << 20, true}, {0, false}};
	for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
		char *text = shown(of[i].rss, NULL, asked, false);
		const char *list = strstr(text, "\n\n"), *elsewhere = strstr(text, "the answer is not in this list");
		ck_assert_msg(!elsewhere == !of[i].elsewhere, "RSS grew by %zu:\n%s", (size_t)of[i].rss, text);
		ck_assert(!elsewhere || elsewhere == list + strlen("\n\n  "));
		free(text);
	}
	struct emit_options o = asked;
	o.verdicts = 1u << VERDICT_CACHE;
	char *little = shown(900 << 10, NULL, o, false);
	ck_assert_ptr_null(strstr(little, "the answer is not in this list"));
	free(little);
	o.verdicts = 1u << VERDICT_CACHE; /* what is listed decides, not what there is */
	char *text = shown(100 << 20, NULL, o, false);
	ck_assert_ptr_nonnull(strstr(text, "the answer is not in this list"));
	ck_assert_ptr_null(strstr(text, "LEAK "));
	free(text);
}
END_TEST

START_TEST(json_has_the_verdicts)
{
	char *text = shown(100 << 20, NULL, (struct emit_options){.leaks = true}, true);
	json_t *j = json_loads(text, 0, NULL), *process = json_array_get(json_object_get(j, "processes"), 0);
	json_t *stacks = json_object_get(process, "stacks"), *first = json_array_get(stacks, 0);
	ck_assert_str_eq(json_string_value(json_object_get(first, "verdict")), "leak");
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(first, "judged"), "why")), "grows");
	ck_assert_int_gt(json_integer_value(json_object_get(first, "live_bytes_change")), 67 << 20);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(process, "growth"), "windows")), 60);
	ck_assert_ptr_null(json_object_get(json_array_get(json_object_get(j, "processes"), 1), "growth"));
	json_decref(j);
	free(text);
	text = shown(100 << 20, NULL, (struct emit_options){.leaks = true, .verdicts = 1u << VERDICT_LEAK}, true);
	j = json_loads(text, 0, NULL);
	process = json_array_get(json_object_get(j, "processes"), 0);
	ck_assert_uint_eq(json_array_size(json_object_get(process, "stacks")), 1);
	ck_assert_int_gt(json_integer_value(json_object_get(process, "stacks_left_out")), 0);
	json_decref(j);
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("leaks");
	TCase *t = tcase_create("leaks");
	tcase_add_loop_test(t, what_is_put_comes_out_however_many_instants_there_are, 0, 10);
	tcase_add_loop_test(t, groups_are_sums, 0, 10);
	tcase_add_test(t, twice_for_one_number_is_the_sum);
	tcase_add_test(t, time_goes_forward);
	tcase_add_test(t, steps_of_its_work_are_equally_long);
	tcase_add_test(t, a_window_of_several_steps_is_so_much_longer);
	tcase_add_test(t, ages_go_along_with_steps);
	tcase_add_test(t, ages_below_a_second_are_not_used);
	tcase_add_test(t, a_level_whose_blocks_are_freed_old_is_a_cache);
	tcase_add_test(t, worst_first);
	tcase_add_test(t, the_head_adds_up);
	tcase_add_test(t, resident_memory_measured_once_is_no_growth);
	tcase_add_test(t, groups_have_all_of_their_stacks);
	tcase_add_test(t, kinds_are_never_added_up);
	tcase_add_test(t, ages_are_those_of_the_live_blocks);
	tcase_add_test(t, golden_list);
	tcase_add_test(t, golden_list_by_site);
	tcase_add_test(t, report_has_a_column);
	tcase_add_test(t, the_first_line_says_when_the_answer_is_elsewhere);
	tcase_add_test(t, json_has_the_verdicts);
	suite_add_tcase(suite, t);
	return run_suite(suite);
}
