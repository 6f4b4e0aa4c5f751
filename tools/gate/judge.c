/*
 * judge: see judge.h. Marks: the process is taken back to the last cut, so that what it does after the work (a test that
 * tears down) hides nothing; ages, which are those of its end, are not looked at then.
 *
 * Warm-up: a line through the last third of the total (Theil-Sen), followed backwards for as long as the total stays
 * within a twentieth of its range, or twice the noise of that third, of it. What nobody asked to leave out is left out
 * when enough windows remain.
 */
#include "gate/judge.h"

#include <stdlib.h>
#include <string.h>

#include "die.h"
#include "emit/emit_text.h"
#include "model/history.h"
#include "model/past.h"
#include "model/series.h"

enum { TOTAL = 0, CURVE_LEAST = 6 };
#define STEADY_SHARE 0.05
#define STEADY_NOISE 2.0
/* What is judged by time must have lived through as many windows as a plateau takes. */
enum { WINDOWS_OF_TIME = VERDICT_PLATEAU_WINDOWS };

static void *must(void *memory)
{
	if (!memory)
		die(2, "out of memory");
	return memory;
}

static struct judge_case *add(struct judge *j, struct profile *profile, struct profile_process *process)
{
	j->cases = must(reallocarray(j->cases, j->count + 1, sizeof *j->cases));
	struct judge_case *c = &j->cases[j->count++];
	*c = (struct judge_case){.profile = profile, .process = process};
	return c;
}

/* ---- the total ---- */

/* Live bytes of malloc at each instant; returns how many there are. */
static size_t total_of(const struct growth *growth, const uint32_t *stack_of, const struct profile_process *process,
                       struct verdict_window windows[GROWTH_INSTANTS])
{
	struct growth total;
	uint32_t *group_of = must(calloc(growth->series_count + 1, sizeof *group_of));
	for (size_t i = 0; i < growth->series_count; i++) {
		uint32_t stack = stack_of[i];
		bool is_malloc = stack < process->stack_count && process->stacks[stack].kind == MTRACE_KIND_MALLOC;
		group_of[i] = is_malloc ? TOTAL : GROWTH_NO_GROUP;
	}
	growth_group(growth, group_of, 1, &total);
	growth_curve(&total, TOTAL, windows);
	growth_free(&total);
	free(group_of);
	return growth->count;
}

static double size_of(double value)
{
	return value < 0 ? -value : value;
}

/* How far points are from the line through the last one: the most of the last third. */
static double noise_of(const struct series *rear, double slope, double level)
{
	double noise = 0;
	for (size_t i = 0; i < rear->count; i++) {
		double off = size_of(rear->value[i] - level - slope * (rear->time[i] - rear->time[0]));
		noise = off > noise ? off : noise;
	}
	return noise;
}

/* The first instant since which the total goes its way. */
static size_t steady_from(const struct verdict_window *windows, size_t count)
{
	double time[GROWTH_INSTANTS], value[GROWTH_INSTANTS], off[GROWTH_INSTANTS];
	struct series_slope slope;
	size_t rear = count * 2 / 3; /* where the last third begins */
	if (count < CURVE_LEAST)
		return 0;
	for (size_t i = 0; i < count; i++) {
		time[i] = (double)windows[i].time_ns / 1e9;
		value[i] = (double)windows[i].live_bytes;
	}
	struct series all = {time, value, count}, last = {time + rear, value + rear, count - rear};
	if (!series_slope(&last, 2, &slope))
		die(2, "out of memory");
	for (size_t i = rear; i < count; i++)
		off[i - rear] = value[i] - slope.median * (time[i] - time[rear]);
	double level = series_median(off, count - rear), share = STEADY_SHARE * series_range(&all);
	double noise = STEADY_NOISE * noise_of(&last, slope.median, level), reach = share > noise ? share : noise;
	size_t from = rear;
	while (from > 0 && size_of(value[from - 1] - level - slope.median * (time[from - 1] - time[rear])) <= reach)
		from--;
	return from;
}

/* ---- what follows from the windows ---- */

static uint64_t allocated_in(const struct growth *growth)
{
	uint64_t blocks = 0;
	for (size_t i = 0; i < growth->series_count; i++)
		blocks += growth_last(growth, i).alloc_blocks - growth_first(growth, i).alloc_blocks;
	return blocks;
}

static uint64_t count_unjudged(const struct leaks *l)
{
	uint64_t unjudged = 0;
	for (size_t i = 0; i < l->count; i++)
		unjudged += l->rows[i].verdict.windows == 0;
	return unjudged;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

/* Bytes per window. Where nothing is live the verdict took a block for one byte: here its mean size is known. */
static double sight_of(const struct leaks_row *row)
{
	double size = row->counts.alloc_blocks ? (double)row->counts.alloc_bytes / (double)row->counts.alloc_blocks : 1;
	return row->verdict.sensitivity * (row->counts.live_blocks ? 1 : size);
}

/* Did it allocate within the windows? */
static bool is_active(const struct leaks_row *row)
{
	return row->verdict.ever_allocated > (uint64_t)((int64_t)row->counts.live_blocks - row->change_blocks);
}

/* What nine of ten stacks would have shown, of those that were at work. < 0: none would have. */
static double sight_of_most(const struct leaks *l)
{
	double *sights = must(calloc(l->count + 1, sizeof *sights)), sight = -1;
	size_t n = 0;
	for (size_t i = 0; i < l->count; i++)
		if (l->rows[i].verdict.sensitivity >= 0 && is_active(&l->rows[i]))
			sights[n++] = sight_of(&l->rows[i]);
	qsort(sights, n, sizeof *sights, ascending);
	if (n)
		sight = sights[(n * 9 + 9) / 10 - 1];
	free(sights);
	return sight;
}

static void sum_up(const struct gate_plan *plan, const struct growth *growth, const uint32_t *stack_of, struct judge_case *c)
{
	struct verdict_window *curve = must(calloc(GROWTH_INSTANTS, sizeof *curve));
	size_t count = total_of(growth, stack_of, c->process, curve), steady = steady_from(curve, count);
	c->windows = growth_windows(growth);
	c->work_ns = growth_span(growth);
	c->alloc_blocks = allocated_in(growth);
	c->unjudged = count_unjudged(&c->leaks);
	if (count) {
		c->live_change = (int64_t)(curve[count - 1].live_bytes - curve[0].live_bytes);
		c->first_step = growth->instants[0].step;
		c->last_step = growth->instants[count - 1].step;
		c->steady_from = growth->instants[steady].step;
	}
	c->steps = c->last_step - c->first_step;
	c->step_windows = c->steps ? (double)c->windows / (double)c->steps : 0;
	c->sight = sight_of_most(&c->leaks);
	c->peak_bytes = c->process->peak_live_bytes;
	c->is_judged = c->windows >= VERDICT_WINDOWS;
	c->is_whole = c->last_step >= plan_steps(plan) && c->windows >= VERDICT_WINDOWS;
	free(curve);
}

/* ---- verdicts ---- */

/* Others of the same function gave back at least that of what its leaks took. */
#define TURNED_OVER_SHARE 0.8
enum { MOST_LABEL = 1024 };

static bool is_of(const struct judge_case *c, const struct leaks_row *row, const struct leaks_row *site)
{
	char label[MOST_LABEL];
	if (row->kind != site->kind)
		return false;
	emit_site_label(c->process, row->stack, label, sizeof label);
	return strcmp(label, site->label) == 0;
}

/* The function as a whole does not leak: what its leaks took, its other stacks gave back. */
static void forgive(struct judge_case *c, const struct leaks_row *site)
{
	int64_t grew = 0, shrank = 0;
	for (size_t i = 0; i < c->leaks.count; i++) {
		const struct leaks_row *row = &c->leaks.rows[i];
		int64_t change = row->verdict.kind == VERDICT_LEAK || row->change_bytes < 0 ? row->change_bytes : 0;
		if (!change || !is_of(c, row, site))
			continue;
		grew += change > 0 ? change : 0;
		shrank -= change < 0 ? change : 0;
	}
	for (size_t i = 0; i < c->leaks.count && (double)shrank >= TURNED_OVER_SHARE * (double)grew; i++) {
		struct leaks_row *row = &c->leaks.rows[i];
		if (row->verdict.kind != VERDICT_LEAK || !is_of(c, row, site))
			continue;
		row->verdict.kind = VERDICT_UNKNOWN;
		row->verdict.why = VERDICT_NO_GROWTH;
		c->turned_over++;
	}
}

static size_t leaks_in(const struct leaks *l)
{
	size_t count = 0;
	while (count < l->count && l->rows[count].verdict.kind == VERDICT_LEAK) /* worst first */
		count++;
	return count;
}

/* A cache that one path filled and another turns over: the stacks of the second grow as those of the first shrink. */
static void judge_stacks(const struct growth *growth, const uint32_t *stack_of, struct judge_case *c)
{
	struct leaks sites;
	leaks_judge(growth, stack_of, c->process, NULL, &c->leaks);
	if (!leaks_in(&c->leaks))
		return;
	leaks_judge(growth, stack_of, c->process, emit_site_label, &sites);
	for (size_t i = leaks_in(&sites); i < sites.count; i++)
		if (sites.rows[i].stacks > 1)
			forgive(c, &sites.rows[i]);
	leaks_free(&sites);
}

/* ---- by marks ---- */

static struct past_cuts cuts_of(const struct gate_plan *plan)
{
	return (struct past_cuts){plan->mark, plan_cut(plan, 0), plan_steps(plan), plan->windows};
}

struct named {
	uint64_t id;
	uint32_t index;
};

static int by_id(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	return (x->id > y->id) - (x->id < y->id);
}

static struct named *index_ids(const struct profile_process *process)
{
	struct named *index = must(calloc(process->stack_count + 1, sizeof *index));
	for (uint32_t i = 0; i < process->stack_count; i++)
		index[i] = (struct named){process->stacks[i].id, i};
	qsort(index, process->stack_count, sizeof *index, by_id);
	return index;
}

/* Going back renumbers stacks: where is each of before now? */
static uint32_t *go_back(struct profile *profile, struct profile_process *process, uint32_t boundary)
{
	uint32_t before = process->stack_count, *now = must(calloc(before + 1, sizeof *now));
	uint64_t *ids = must(calloc(before + 1, sizeof *ids));
	for (uint32_t i = 0; i < before; i++)
		ids[i] = process->stacks[i].id;
	history_go_back(profile, process, boundary);
	struct named *index = index_ids(process);
	for (uint32_t i = 0; i < before; i++) {
		struct named *found = bsearch(&(struct named){ids[i], 0}, index, process->stack_count, sizeof *index, by_id);
		now[i] = found ? found->index : GROWTH_NO_GROUP;
	}
	free(index);
	free(ids);
	return now;
}

/* Of windows that nobody asked to leave out, those of the warm-up; where too few would remain, none. */
static size_t warmup_in(const struct gate_plan *plan, const struct profile_process *process, const uint32_t *boundaries,
                        const uint64_t *steps, size_t count)
{
	struct verdict_window *curve = must(calloc(GROWTH_INSTANTS, sizeof *curve));
	struct growth growth;
	size_t from = 0;
	if (!plan->has_warmup && past_between(process, boundaries, steps, count, &growth)) {
		uint32_t *same = must(calloc(growth.series_count + 1, sizeof *same));
		for (uint32_t i = 0; i < growth.series_count; i++)
			same[i] = i;
		from = steady_from(curve, total_of(&growth, same, process, curve));
		free(same);
	}
	if (!plan->has_warmup)
		growth_free(&growth);
	free(curve);
	return count - from > VERDICT_PLATEAU_WINDOWS ? from : 0;
}

static void judge_between(const struct gate_plan *plan, struct judge_case *c, const uint32_t *boundaries, const uint64_t *steps,
                          size_t count)
{
	struct growth growth;
	size_t warmup = warmup_in(plan, c->process, boundaries, steps, count);
	past_between(c->process, boundaries + warmup, steps + warmup, count - warmup, &growth);
	uint32_t *stack_of = go_back(c->profile, c->process, boundaries[count - 1]);
	judge_stacks(&growth, stack_of, c);
	sum_up(plan, &growth, stack_of, c);
	c->warmup_found = steps[warmup] - steps[0];
	free(stack_of);
	growth_free(&growth);
}

/* A process that makes no marks, by what it remembers of time. */
static void judge_time(struct judge_case *c)
{
	struct growth growth;
	past_windows(c->process, NULL, &growth);
	c->by_time = true;
	c->windows = growth_windows(&growth);
	c->is_judged = c->windows >= WINDOWS_OF_TIME;
	if (c->is_judged) {
		uint32_t *same = must(calloc(growth.series_count + 1, sizeof *same));
		for (uint32_t i = 0; i < growth.series_count; i++)
			same[i] = i;
		judge_stacks(&growth, same, c);
		c->work_ns = growth_span(&growth);
		c->alloc_blocks = allocated_in(&growth);
		c->unjudged = count_unjudged(&c->leaks);
		c->peak_bytes = c->process->peak_live_bytes;
		free(same);
	}
	growth_free(&growth);
}

/* Slopes of time become slopes of steps: those of the process that made the marks. */
static void set_pace(struct judge *j)
{
	const struct judge_case *pace = NULL;
	for (size_t i = 0; i < j->count; i++)
		if (j->cases[i].is_judged && !j->cases[i].by_time && (!pace || j->cases[i].steps > pace->steps))
			pace = &j->cases[i];
	for (size_t i = 0; i < j->count && pace; i++) {
		struct judge_case *c = &j->cases[i];
		if (!c->by_time || !c->work_ns || !pace->steps)
			continue;
		double step_ns = (double)pace->work_ns / (double)pace->steps;
		c->step_windows = step_ns * (double)c->windows / (double)c->work_ns;
	}
}

static bool makes_marks(const struct judge *j, uint32_t pid)
{
	for (size_t i = 0; i < j->count; i++)
		if (!j->cases[i].by_time && j->cases[i].process->pid == pid)
			return true;
	return false;
}

void judge_marks(const struct gate_plan *plan, struct profile *profile, struct judge *j)
{
	const struct past_cuts cuts = cuts_of(plan);
	uint32_t *boundaries = must(calloc(GROWTH_INSTANTS, sizeof *boundaries));
	uint64_t *steps = must(calloc(GROWTH_INSTANTS, sizeof *steps));
	bool *is_done = must(calloc(profile->process_count + 1, sizeof *is_done));
	j->processes = profile->process_count;
	for (uint32_t i = 0; i < profile->process_count; i++) {
		struct profile_process *process = &profile->processes[i];
		uint64_t seen = past_marks(process, &cuts);
		size_t count = past_cut_at(process, &cuts, boundaries, steps);
		j->steps_seen = seen > j->steps_seen ? seen : j->steps_seen;
		is_done[i] = seen > 0;
		if (count > 1)
			judge_between(plan, add(j, profile, process), boundaries, steps, count);
	}
	for (uint32_t i = 0; i < profile->process_count; i++) { /* its forks, or what the user named */
		struct profile_process *process = &profile->processes[i];
		if (!is_done[i] && (plan->follow || (process->forked && makes_marks(j, process->parent_pid))))
			judge_time(add(j, profile, process));
	}
	set_pace(j);
	free(is_done);
	free(steps);
	free(boundaries);
}

/* ---- as observed ---- */

void judge_observed(const struct gate_plan *plan, const struct observe *o, struct profile *profile, struct judge *j)
{
	struct judge_case *c = add(j, profile, &profile->processes[0]);
	uint32_t *stack_of = must(calloc(o->growth.series_count + 1, sizeof *stack_of));
	for (size_t i = 0; i < o->growth.series_count; i++)
		stack_of[i] = i < c->process->row_count ? c->process->stack_of_row[i] : GROWTH_NO_GROUP;
	judge_stacks(&o->growth, stack_of, c);
	sum_up(plan, &o->growth, stack_of, c);
	j->steps_seen = c->last_step > j->steps_seen ? c->last_step : j->steps_seen;
	free(stack_of);
}

void judge_ended(struct profile *profile, struct judge *j)
{
	for (uint32_t i = 0; i < profile->process_count; i++) {
		struct profile_process *process = &profile->processes[i];
		if (process->end == PROFILE_EXEC)
			continue;
		struct judge_case *c = add(j, profile, process);
		c->is_judged = true;
		c->alloc_blocks = process->totals.alloc_blocks;
		c->peak_bytes = process->peak_live_bytes;
	}
	j->processes = profile->process_count;
}

void judge_free(struct judge *j)
{
	for (size_t i = 0; i < j->count; i++)
		leaks_free(&j->cases[i].leaks);
	free(j->cases);
	*j = (struct judge){0};
}
