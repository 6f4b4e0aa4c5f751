/*
 * leaks: see leaks.h. Every stack belongs to one group: its own, or that of its kind and label. Series are added up by
 * group, ages too, then each group is judged.
 */
#include "model/leaks.h"

#include <stdlib.h>
#include <string.h>

#include "die.h"

#define TICK_NS (1000000000u / MTRACE_TICKS_PER_SECOND)
enum { CLASSES = 64, MOST_LABEL = 1024 };

static void *table(size_t count, size_t bytes)
{
	void *p = calloc(count + 1, bytes);
	if (!p)
		die(2, "out of memory");
	return p;
}

bool leaks_is_resident(enum mtrace_kind kind)
{
	return kind == MTRACE_KIND_MALLOC || kind == MTRACE_KIND_MMAP;
}

/* ---- groups ---- */

struct named {
	const char *label;
	enum mtrace_kind kind;
	uint32_t stack;
};

static int by_label(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int order = x->kind != y->kind ? (x->kind < y->kind ? -1 : 1) : strcmp(x->label, y->label);
	return order ? order : (x->stack > y->stack) - (x->stack < y->stack);
}

static void add_to_row(const struct profile_process *process, struct leaks_row *row, const struct profile_stack *stack)
{
	struct managed managed = managed_of(process, stack);
	if (!row->stack)
		row->managed = managed;
	else if (managed.area != row->managed.area || managed.how != row->managed.how)
		row->managed = (struct managed){.area = MANAGED_NONE};
	profile_counts_add(&row->counts, &stack->counts);
	row->stacks++;
	if (!row->stack || stack->counts.live_bytes > row->stack->counts.live_bytes)
		row->stack = stack;
}

static void group_by_label(const struct profile_process *process, leaks_labeller *label, struct leaks *l)
{
	struct named *names = table(process->stack_count, sizeof *names);
	char text[MOST_LABEL];
	l->labels = table(process->stack_count, sizeof *l->labels);
	l->label_count = process->stack_count;
	for (uint32_t i = 0; i < process->stack_count; i++) {
		label(process, &process->stacks[i], text, sizeof text);
		l->labels[i] = strdup(text);
		if (!l->labels[i])
			die(2, "out of memory");
		names[i] = (struct named){l->labels[i], process->stacks[i].kind, i};
	}
	qsort(names, process->stack_count, sizeof *names, by_label);
	for (uint32_t i = 0; i < process->stack_count; i++) {
		bool same = i && names[i].kind == names[i - 1].kind && strcmp(names[i].label, names[i - 1].label) == 0;
		if (!same)
			l->rows[l->count++] = (struct leaks_row){.label = names[i].label, .kind = names[i].kind};
		add_to_row(process, &l->rows[l->count - 1], &process->stacks[names[i].stack]);
		l->row_of_stack[names[i].stack] = (uint32_t)(l->count - 1);
	}
	free(names);
}

static void one_row_each(const struct profile_process *process, struct leaks *l)
{
	for (uint32_t i = 0; i < process->stack_count; i++) {
		l->rows[i] = (struct leaks_row){.kind = process->stacks[i].kind};
		add_to_row(process, &l->rows[i], &process->stacks[i]);
		l->row_of_stack[i] = i;
	}
	l->count = process->stack_count;
}

/* ---- ages ---- */

struct live_of_row {
	uint32_t row;
	uint64_t age_ticks; /* of the oldest block in it */
	uint64_t blocks, bytes;
};

static int by_row(const void *a, const void *b)
{
	const struct live_of_row *x = a, *y = b;
	return (x->row > y->row) - (x->row < y->row);
}

static struct live_of_row *list_live(const struct profile_process *process, const struct leaks *l)
{
	struct live_of_row *list = table(process->live_count, sizeof *list);
	uint64_t now = process->lived_ns / TICK_NS;
	for (uint32_t i = 0; i < process->live_count; i++) {
		const struct profile_live *live = &process->live[i];
		list[i] = (struct live_of_row){l->row_of_stack[live->stack], now > live->birth_tick ? now - live->birth_tick : 0,
		                               live->blocks, live->bytes};
	}
	qsort(list, process->live_count, sizeof *list, by_row);
	return list;
}

static unsigned class_of(uint64_t ticks)
{
	return ticks ? 64u - (unsigned)__builtin_clzll(ticks) : 0;
}

static uint64_t ticks_ns(uint64_t ticks)
{
	return ticks > UINT64_MAX / TICK_NS ? UINT64_MAX : ticks * TICK_NS;
}

/* Adds up the classes of one row, [*at, the next row); returns how many there are up to the oldest. */
static size_t ages_of(const struct live_of_row *list, size_t count, size_t *at, uint32_t row, struct verdict_age *ages,
                      uint64_t *oldest_ns)
{
	size_t classes = 0;
	memset(ages, 0, CLASSES * sizeof *ages);
	for (; *at < count && list[*at].row == row; ++*at) {
		unsigned class = class_of(list[*at].age_ticks) % CLASSES;
		ages[class].blocks = profile_sum(ages[class].blocks, list[*at].blocks);
		ages[class].bytes = profile_sum(ages[class].bytes, list[*at].bytes);
		classes = class + 1u > classes ? class + 1u : classes;
		if (ticks_ns(list[*at].age_ticks) > *oldest_ns)
			*oldest_ns = ticks_ns(list[*at].age_ticks);
	}
	return classes;
}

/* All classes within the time observed stand there, also those without a block: that none is left says something. */
static size_t bound_ages(struct verdict_age *ages, size_t classes, uint64_t span_ns)
{
	while (classes + 1 < CLASSES && ticks_ns(1ull << classes) <= span_ns)
		classes++;
	for (size_t i = 0; i < classes; i++) {
		ages[i].from_ns = i ? ticks_ns(1ull << (i - 1)) : 0;
		ages[i].to_ns = ticks_ns(1ull << i);
	}
	return classes;
}

/* ---- judging ---- */

/* Ages are those of the live table and of the map of ranges; other kinds have none. */
static bool has_ages(const struct profile_process *process, enum mtrace_kind kind)
{
	return process->live_count && (profile_lives_in_table(kind) || kind == MTRACE_KIND_MMAP);
}

static int64_t less(uint64_t a, uint64_t b)
{
	return a >= b ? (int64_t)(a - b > INT64_MAX ? INT64_MAX : a - b) : -(int64_t)(b - a > INT64_MAX ? INT64_MAX : b - a);
}

static void judge_rows(const struct growth *grouped, const struct profile_process *process, struct leaks *l)
{
	struct live_of_row *list = list_live(process, l);
	struct verdict_age ages[CLASSES];
	size_t at = 0;
	for (uint32_t i = 0; i < l->count; i++) {
		struct leaks_row *row = &l->rows[i];
		struct growth_counts first = growth_first(grouped, i), last = growth_last(grouped, i);
		size_t classes = ages_of(list, process->live_count, &at, i, ages, &row->oldest_ns);
		classes = bound_ages(ages, classes, growth_span(grouped));
		row->change_bytes = less(last.live_bytes, first.live_bytes);
		row->change_blocks = less(last.live_blocks, first.live_blocks);
		growth_judge(grouped, i, has_ages(process, row->kind) ? ages : NULL, classes, &row->verdict);
	}
	free(list);
}

/* ---- what stands at the head of the list ---- */

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

/* What nine of ten rows that have any sight would have shown. */
static double sight_of(const struct leaks *l)
{
	double *sights = table(l->count, sizeof *sights), windows_per_hour, sight = -1;
	size_t n = 0;
	for (size_t i = 0; i < l->count; i++)
		if (l->rows[i].verdict.sensitivity >= 0)
			sights[n++] = l->rows[i].verdict.sensitivity;
	qsort(sights, n, sizeof *sights, ascending);
	if (n && l->observed_ns) {
		windows_per_hour = 3.6e12 * (double)l->windows / (double)l->observed_ns;
		sight = sights[(n - 1) * 9 / 10] * windows_per_hour;
	}
	free(sights);
	return sight;
}

/* More than there can be is not known: a damaged file has it. */
static uint64_t rss_at(const struct growth *growth, size_t instant)
{
	uint64_t bytes = growth->instants[instant].rss_bytes;
	return bytes < UINT64_C(1) << 62 ? bytes : 0;
}

/* The begin is that of the first instant or none: what grew since a later one is no share of what the list is about. It may
   end before the last instant: then it has none there. */
static void sum_up_rss(const struct growth *growth, struct leaks *l)
{
	size_t end = growth->count;
	while (end > 0 && !rss_at(growth, end - 1))
		end--;
	if (!end)
		return;
	l->rss_end = rss_at(growth, end - 1);
	l->rss_begin = end > 1 ? rss_at(growth, 0) : 0;
	l->rss_before_ns = growth->instants[growth->count - 1].time_ns - growth->instants[end - 1].time_ns;
}

static void sum_up(const struct growth *growth, struct leaks *l)
{
	l->windows = growth_windows(growth);
	l->observed_ns = growth_span(growth);
	l->by_steps = growth->by_steps;
	for (size_t i = 1; i < growth->count; i++) {
		uint64_t window_ns = growth->instants[i].time_ns - growth->instants[i - 1].time_ns;
		l->window_least_ns = i == 1 || window_ns < l->window_least_ns ? window_ns : l->window_least_ns;
		l->window_most_ns = window_ns > l->window_most_ns ? window_ns : l->window_most_ns;
	}
	if (growth->count)
		l->tracker_change = less(growth->instants[growth->count - 1].tracker_bytes, growth->instants[0].tracker_bytes);
	sum_up_rss(growth, l);
	for (size_t i = 0; i < l->count; i++) {
		const struct leaks_row *row = &l->rows[i];
		if (leaks_is_resident(row->kind))
			l->live_change += row->change_bytes;
	}
	l->sight_per_hour = sight_of(l);
}

static double leak_rate(const struct leaks *l)
{
	double per_hour = 0;
	for (size_t i = 0; i < l->count; i++) {
		const struct leaks_row *row = &l->rows[i];
		if (leaks_is_resident(row->kind) && row->verdict.kind == VERDICT_LEAK && row->verdict.per_hour > 0)
			per_hour += row->verdict.per_hour;
	}
	return per_hour;
}

uint64_t leaks_time_to_limit(const struct leaks *l)
{
	if (!l->limit_bytes || !l->rss_end || !(l->leak_per_hour > 0) || l->rss_end >= l->limit_bytes)
		return 0;
	double ns = (double)(l->limit_bytes - l->rss_end) / l->leak_per_hour * 3.6e12;
	return ns < 9e18 ? (uint64_t)ns : 0;
}

/* ---- a JVM's own areas ---- */

/* Growth below that is no answer to anything; RSS moves by more for no reason at all. */
#define AREA_LEAST (1 << 20)

int64_t leaks_area_change(const struct leaks *l, enum managed_area area)
{
	const struct leaks_area *a = &l->areas[area];
	return l->has_areas_rss ? less(a->rss_end, a->rss_begin) : a->committed_change;
}

/* What is reserved goes as it is committed: only what is committed counts. */
static void sum_up_areas(const struct growth *growth, struct leaks *l)
{
	l->native_change = l->live_change;
	for (size_t i = 0; i < l->count; i++) {
		const struct leaks_row *row = &l->rows[i];
		if (row->managed.area == MANAGED_NONE)
			continue;
		if (row->managed.how == MANAGED_RECORD) {
			l->areas[row->managed.area].records_change += row->change_bytes;
			continue;
		}
		l->native_change -= row->change_bytes;
		l->has_areas = true;
		if (row->managed.how == MANAGED_COMMIT)
			l->areas[row->managed.area].committed_change += row->change_bytes;
	}
	l->has_areas_rss = growth->has_managed;
	l->has_areas |= growth->has_managed;
	for (size_t i = 0; growth->has_managed && i < MANAGED_AREAS; i++) {
		l->areas[i].rss_begin = growth->managed_begin[i];
		l->areas[i].rss_end = growth->managed_end[i];
	}
}

static bool has_grown(const struct leaks *l, enum managed_area area)
{
	return leaks_area_change(l, area) >= AREA_LEAST;
}

/* The area that grew most, when all that grew grew more, with their records, than all other native memory, and by half of what
   RSS did, as far as that is known. */
static enum managed_area find_not_native(const struct leaks *l)
{
	enum managed_area most = MANAGED_HEAP;
	int64_t managed = 0, native = l->native_change, rss = l->rss_begin ? less(l->rss_end, l->rss_begin) : 0;
	for (enum managed_area i = 0; i < MANAGED_AREAS; i++) {
		if (!has_grown(l, i))
			continue;
		managed += leaks_area_change(l, i) + l->areas[i].records_change;
		native -= l->areas[i].records_change;
		most = leaks_area_change(l, i) > leaks_area_change(l, most) ? i : most;
	}
	bool is_most = managed > native && (!l->rss_begin || managed > rss / 2);
	return has_grown(l, most) && is_most ? most : MANAGED_NONE;
}

static enum verdict_kind kind_of(enum managed_area area)
{
	return area == MANAGED_HEAP ? VERDICT_JAVA_HEAP : area == MANAGED_METASPACE ? VERDICT_METASPACE : VERDICT_CACHE;
}

/* What they are kept of grew by more than these records, and than all of the area's. An area has a bound: records that leak
   outgrow it in time. */
static bool is_outgrown(const struct leaks *l, const struct leaks_row *row)
{
	int64_t change = leaks_area_change(l, row->managed.area);
	return change > row->change_bytes && change > l->areas[row->managed.area].records_change;
}

/* The curve of records is explained while the area itself grows, or beside areas that grew a thousand times as much: a JVM
   that warms up makes some of each. */
static bool is_explained(const struct leaks *l, const struct leaks_row *row)
{
	if (is_outgrown(l, row))
		return true;
	return l->not_native != MANAGED_NONE &&
	       (has_grown(l, row->managed.area) || row->change_bytes < leaks_area_change(l, l->not_native) / 1000);
}

/* An area of its own is none of the curve's. What the JVM keeps account of it in is native, and may leak. */
static void judge_managed(struct leaks *l)
{
	for (size_t i = 0; i < l->count; i++) {
		struct leaks_row *row = &l->rows[i];
		bool is_record = row->managed.how == MANAGED_RECORD;
		if (row->managed.area == MANAGED_NONE || row->verdict.windows < VERDICT_WINDOWS)
			continue;
		if (is_record && (row->verdict.kind != VERDICT_LEAK || !is_explained(l, row)))
			continue;
		row->verdict.kind = kind_of(row->managed.area);
		row->verdict.why = is_record ? VERDICT_RECORDS : VERDICT_MANAGED;
	}
}

/* ---- worst first ---- */

/* What grows, by how sure that is; what stopped; what does not. */
static int rank(const struct leaks_row *row)
{
	switch (row->verdict.kind) {
	case VERDICT_LEAK: return 0;
	case VERDICT_CACHE: return 2;
	case VERDICT_GC_LAG: return 3;
	case VERDICT_SPIKE: return 4;
	case VERDICT_JAVA_HEAP:
	case VERDICT_METASPACE: return row->change_bytes > 0 ? 1 : 6;
	case VERDICT_STARTUP: return row->verdict.why == VERDICT_ONCE ? 5 : 6;
	default: return row->change_bytes > 0 ? 1 : 6;
	}
}

static int worst_first(const void *a, const void *b)
{
	const struct leaks_row *x = a, *y = b;
	int order = rank(x) - rank(y);
	if (order == 0 && rank(x) == 0)
		order = ascending(&y->verdict.per_hour, &x->verdict.per_hour);
	if (order == 0 && rank(x) < 6)
		order = (x->change_bytes < y->change_bytes) - (x->change_bytes > y->change_bytes);
	if (order == 0)
		order = (x->counts.live_bytes < y->counts.live_bytes) - (x->counts.live_bytes > y->counts.live_bytes);
	return order ? order : (x->stack->id > y->stack->id) - (x->stack->id < y->stack->id);
}

static void sort_rows(const struct profile_process *process, struct leaks *l)
{
	qsort(l->rows, l->count, sizeof *l->rows, worst_first);
	if (l->labels)
		return;
	for (size_t i = 0; i < l->count; i++)
		l->row_of_stack[l->rows[i].stack - process->stacks] = (uint32_t)i;
}

void leaks_judge(const struct growth *growth, const uint32_t *stack_of, const struct profile_process *process,
                 leaks_labeller *label, struct leaks *l)
{
	struct growth grouped;
	*l = (struct leaks){.rows = table(process->stack_count, sizeof *l->rows),
	                    .row_of_stack = table(process->stack_count, sizeof *l->row_of_stack)};
	if (label)
		group_by_label(process, label, l);
	else
		one_row_each(process, l);
	uint32_t *row_of = table(growth->series_count, sizeof *row_of);
	for (size_t i = 0; i < growth->series_count; i++) {
		size_t stack = stack_of ? stack_of[i] : i;
		row_of[i] = stack < process->stack_count ? l->row_of_stack[stack] : GROWTH_NO_GROUP;
	}
	growth_group(growth, row_of, l->count, &grouped);
	free(row_of);
	judge_rows(&grouped, process, l);
	growth_free(&grouped);
	sum_up(growth, l);
	sum_up_areas(growth, l);
	l->not_native = find_not_native(l);
	judge_managed(l);
	l->leak_per_hour = leak_rate(l);
	sort_rows(process, l);
}

void leaks_free(struct leaks *l)
{
	for (size_t i = 0; i < l->label_count; i++)
		free(l->labels[i]);
	free(l->labels);
	free(l->rows);
	free(l->row_of_stack);
	*l = (struct leaks){0};
}

const struct verdict *leaks_verdict_of(const struct leaks *l, uint32_t stack)
{
	return l->labels ? NULL : &l->rows[l->row_of_stack[stack]].verdict;
}
