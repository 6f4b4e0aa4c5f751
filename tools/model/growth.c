/*
 * growth: see growth.h. A series is a list of points, one for each instant at which it changed, and its flows, of which
 * verdicts need the sums alone: the first and the last are kept.
 */
#include "model/growth.h"

#include <stdlib.h>
#include <string.h>

#include "die.h"

struct growth_point {
	uint64_t instant; /* index */
	uint64_t live_bytes, live_blocks;
};

struct growth_series {
	struct growth_point *points; /* by instant */
	uint32_t count, capacity;
	size_t put; /* at which instant last: growth->seen then */
	struct growth_counts first, last;
	uint64_t aged;
};

/* Ages come in sixteenths of a second, of thread clocks that may be some behind: younger classes tell nothing. */
#define AGE_LEAST_NS 1000000000u
enum { AGES_MOST = 64 };

void growth_init(struct growth *g)
{
	memset(g, 0, sizeof *g);
}

void growth_free(struct growth *g)
{
	for (size_t i = 0; i < g->series_count; i++)
		free(g->series[i].points);
	free(g->series);
	free(g->instants);
	growth_init(g);
}

/* ---- putting in ---- */

/* Of instants 0, 1, 2, … the even ones stay; a change at an odd one is seen at the next that stays, or that comes now. */
static void forget_every_second(struct growth *g)
{
	for (size_t i = 0; i < g->series_count; i++) {
		struct growth_series *s = &g->series[i];
		uint32_t kept = 0;
		for (uint32_t k = 0; k < s->count; k++) {
			struct growth_point p = s->points[k];
			p.instant = (p.instant + 1) / 2;
			if (kept && s->points[kept - 1].instant == p.instant)
				kept--;
			s->points[kept++] = p;
		}
		s->count = kept;
	}
	g->count = (g->count + 1) / 2;
	for (size_t i = 0; i < g->count; i++)
		g->instants[i] = g->instants[2 * i];
}

bool growth_begin(struct growth *g, const struct growth_instant *instant)
{
	const struct growth_instant *last = g->count ? &g->instants[g->count - 1] : NULL;
	if (last && (instant->time_ns <= last->time_ns || (g->by_steps && instant->step <= last->step)))
		return false;
	if (g->count == GROWTH_INSTANTS)
		forget_every_second(g);
	if (!g->instants)
		g->instants = calloc(GROWTH_INSTANTS, sizeof *g->instants);
	if (!g->instants)
		die(2, "out of memory");
	g->instants[g->count++] = *instant;
	g->seen++;
	return true;
}

static struct growth_series *series_of(struct growth *g, size_t number)
{
	if (number >= g->series_capacity) {
		size_t capacity = g->series_capacity ? g->series_capacity : 1024;
		while (capacity <= number)
			capacity *= 2;
		struct growth_series *more = reallocarray(g->series, capacity, sizeof *more);
		if (!more)
			die(2, "out of memory for the counts of %zu stacks", number);
		g->series = more;
		g->series_capacity = capacity;
	}
	for (; g->series_count <= number; g->series_count++)
		memset(&g->series[g->series_count], 0, sizeof *g->series);
	return &g->series[number];
}

static struct growth_point *add_point(struct growth_series *s)
{
	if (s->count == s->capacity) {
		uint32_t capacity = s->capacity ? 2 * s->capacity : 2;
		struct growth_point *more = reallocarray(s->points, capacity, sizeof *more);
		if (!more)
			die(2, "out of memory for the counts of a stack");
		s->points = more;
		s->capacity = capacity;
	}
	return &s->points[s->count++];
}

static void add_counts(struct growth_counts *to, const struct growth_counts *c)
{
	to->live_bytes += c->live_bytes;
	to->live_blocks += c->live_blocks;
	to->alloc_blocks += c->alloc_blocks;
	to->freed_blocks += c->freed_blocks;
}

void growth_put(struct growth *g, size_t number, const struct growth_counts *counts)
{
	struct growth_series *s = series_of(g, number);
	size_t now = g->count - 1;
	if (s->put == g->seen)
		add_counts(&s->last, counts);
	else
		s->last = *counts;
	s->put = g->seen;
	struct growth_point *last = s->count ? &s->points[s->count - 1] : NULL;
	bool same = last && last->live_bytes == s->last.live_bytes && last->live_blocks == s->last.live_blocks;
	if (!same && (!last || last->instant != now))
		last = add_point(s);
	if (!same)
		*last = (struct growth_point){now, s->last.live_bytes, s->last.live_blocks};
	if (now == 0)
		s->first = s->last;
}

void growth_put_aged(struct growth *g, size_t number, uint64_t aged_blocks)
{
	series_of(g, number)->aged = aged_blocks;
}

/* ---- groups ---- */

static void sum_instant(const struct growth *g, const uint32_t *group_of, size_t instant, uint32_t *cursor,
                        struct growth *into, bool *changed)
{
	for (size_t i = 0; i < g->series_count; i++) {
		const struct growth_series *s = &g->series[i];
		bool moved = cursor[i] < s->count && s->points[cursor[i]].instant == instant;
		cursor[i] += moved;
		if (moved && group_of[i] != GROWTH_NO_GROUP)
			changed[group_of[i]] = true;
	}
	for (size_t i = 0; i < g->series_count; i++) {
		const struct growth_series *s = &g->series[i];
		if (group_of[i] == GROWTH_NO_GROUP || !changed[group_of[i]] || !cursor[i])
			continue;
		const struct growth_point *p = &s->points[cursor[i] - 1];
		growth_put(into, group_of[i], &(struct growth_counts){p->live_bytes, p->live_blocks, 0, 0});
	}
}

void growth_group(const struct growth *g, const uint32_t *group_of, size_t groups, struct growth *into)
{
	uint32_t *cursor = calloc(g->series_count + 1, sizeof *cursor);
	bool *changed = calloc(groups + 1, sizeof *changed);
	if (!cursor || !changed)
		die(2, "out of memory");
	growth_init(into);
	into->has_flow = g->has_flow;
	into->has_aged = g->has_aged;
	into->by_steps = g->by_steps;
	for (size_t i = 0; i < g->count; i++) {
		growth_begin(into, &g->instants[i]);
		memset(changed, 0, groups);
		sum_instant(g, group_of, i, cursor, into, changed);
	}
	into->seen = g->seen;
	if (groups)
		series_of(into, groups - 1);
	for (size_t i = 0; i < groups; i++)
		into->series[i].first = into->series[i].last = (struct growth_counts){0};
	for (size_t i = 0; i < g->series_count; i++) {
		if (group_of[i] == GROWTH_NO_GROUP)
			continue;
		add_counts(&into->series[group_of[i]].first, &g->series[i].first);
		add_counts(&into->series[group_of[i]].last, &g->series[i].last);
		into->series[group_of[i]].aged += g->series[i].aged;
	}
	free(cursor);
	free(changed);
}

/* ---- asking ---- */

uint64_t growth_span(const struct growth *g)
{
	return g->count ? g->instants[g->count - 1].time_ns - g->instants[0].time_ns : 0;
}

size_t growth_windows(const struct growth *g)
{
	return g->count ? g->count - 1 : 0;
}

struct growth_counts growth_first(const struct growth *g, size_t number)
{
	return number < g->series_count ? g->series[number].first : (struct growth_counts){0};
}

struct growth_counts growth_last(const struct growth *g, size_t number)
{
	return number < g->series_count ? g->series[number].last : (struct growth_counts){0};
}

bool growth_changed(const struct growth *g, size_t number)
{
	const struct growth_series *s = number < g->series_count ? &g->series[number] : NULL;
	return s && (s->count > 1 || (s->count == 1 && s->points[0].instant > 0));
}

/* ---- judging ---- */

/* Where instant `i` is for the verdict. */
static uint64_t time_of(const struct growth *g, size_t i)
{
	const struct growth_instant *first = &g->instants[0], *last = &g->instants[g->count - 1];
	if (!g->by_steps || last->step <= first->step)
		return g->instants[i].time_ns;
	double share = (double)(g->instants[i].step - first->step) / (double)(last->step - first->step);
	return first->time_ns + (uint64_t)(share * (double)growth_span(g));
}

/* An age of the process's time, as one of the verdict's: the same, unless windows are steps. */
static uint64_t age_of(const struct growth *g, uint64_t age_ns)
{
	uint64_t end = g->instants[g->count - 1].time_ns;
	if (!g->by_steps || age_ns >= growth_span(g))
		return age_ns;
	size_t i = g->count - 1;
	while (i > 0 && g->instants[i - 1].time_ns > end - age_ns)
		i--;
	uint64_t before = i ? g->instants[i - 1].time_ns : 0, after = g->instants[i].time_ns;
	double within = i && after > before ? (double)(end - age_ns - before) / (double)(after - before) : 1;
	double at = i ? (double)time_of(g, i - 1) + within * (double)(time_of(g, i) - time_of(g, i - 1)) : (double)before;
	return at < (double)end ? (uint64_t)((double)end - at) : 0;
}

static size_t take_ages(const struct growth *g, const struct verdict_age *ages, size_t count, struct verdict_age *to)
{
	size_t n = 0;
	for (size_t i = 0; i < count && n < AGES_MOST; i++) {
		if (ages[i].from_ns < AGE_LEAST_NS)
			continue;
		to[n] = ages[i];
		to[n].from_ns = age_of(g, ages[i].from_ns);
		to[n].to_ns = age_of(g, ages[i].to_ns);
		n += to[n].to_ns > to[n].from_ns;
	}
	return n;
}

void growth_curve(const struct growth *g, size_t number, struct verdict_window *windows)
{
	const struct growth_series *s = number < g->series_count ? &g->series[number] : NULL;
	uint32_t at = 0;
	for (size_t i = 0; i < g->count; i++) {
		while (s && at < s->count && s->points[at].instant <= i)
			at++;
		windows[i] = (struct verdict_window){.time_ns = time_of(g, i)};
		if (at == 0)
			continue;
		windows[i].live_bytes = s->points[at - 1].live_bytes;
		windows[i].live_blocks = s->points[at - 1].live_blocks;
	}
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

void growth_judge(const struct growth *g, size_t number, const struct verdict_age *ages, size_t age_count,
                  struct verdict *verdict)
{
	struct verdict_window windows[GROWTH_INSTANTS];
	struct verdict_age taken[AGES_MOST];
	const struct growth_series *s = number < g->series_count ? &g->series[number] : NULL;
	struct verdict_input input = {.windows = windows, .count = s && s->put ? g->count : 0,
	                              .has_flow = g->has_flow, .has_aged = g->has_aged};
	growth_curve(g, number, windows);
	if (s && g->count) { /* only their sums are looked at */
		struct verdict_window *last = &windows[g->count - 1];
		last->alloc_blocks = less(s->last.alloc_blocks, s->first.alloc_blocks);
		last->freed_blocks = less(s->last.freed_blocks, s->first.freed_blocks);
		last->aged_blocks = s->aged < last->freed_blocks ? s->aged : last->freed_blocks;
	}
	input.age_count = ages && g->count ? take_ages(g, ages, age_count, taken) : 0;
	input.ages = input.age_count ? taken : NULL;
	verdict_of(&input, verdict);
}
