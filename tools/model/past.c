/*
 * past: see past.h. Every boundary of time that is kept is used: the older, the farther apart, which verdict.c minds. Even
 * ones alone are 8 to 16, and tell a leak in steps as start-up (test_tools_past). Marks cut no window of time: how they
 * lie is the program's choice. Windows begin at the first boundary that is remembered, not at the start of the process:
 * what it allocates to begin with is no growth.
 */
#include "model/past.h"

#include <string.h>

#include "model/history.h"

/* Those of marks of that name; NULL: those of time, all of them: the older, the farther apart. */
static size_t boundaries_of(const struct profile_process *process, const char *on_mark, uint32_t boundaries[GROWTH_INSTANTS])
{
	size_t count = 0;
	for (uint32_t i = 0; i < process->boundary_count && count < GROWTH_INSTANTS - 1; i++) {
		const struct profile_boundary *b = &process->boundaries[i];
		bool is_its = on_mark ? b->mark < process->mark_count && strcmp(process->marks[b->mark].name, on_mark) == 0
		                      : b->unit != 0;
		if (is_its)
			boundaries[count++] = i;
	}
	return count;
}

static bool is_known(const struct profile_process *process, uint32_t stack, uint32_t first_boundary)
{
	return process->stacks[stack].history_from <= first_boundary;
}

static void put(struct growth *growth, uint32_t stack, const struct profile_counts *c)
{
	growth_put(growth, stack, &(struct growth_counts){c->live_bytes, c->live_blocks, c->alloc_blocks, c->freed_blocks});
}

/* How many marks of that name there were up to this one, those included whose counts are forgotten. */
static uint64_t step_of(const struct profile_process *process, uint32_t boundary, const char *on_mark)
{
	uint64_t step = 0;
	for (uint32_t i = 0; on_mark && i <= process->boundaries[boundary].mark; i++)
		step += strcmp(process->marks[i].name, on_mark) == 0;
	return step;
}

static void put_boundary(const struct profile_process *process, uint32_t boundary, uint32_t first, uint64_t step,
                         struct growth *growth)
{
	struct profile_counts counts;
	const struct profile_boundary *b = &process->boundaries[boundary];
	uint64_t tracker = b->tracker_bytes ? b->tracker_bytes : process->tracker_bytes;
	struct growth_instant instant = {b->time_ns, b->rss_bytes, tracker, step};
	if (!growth_begin(growth, &instant))
		return;
	for (uint32_t i = 0; i < process->stack_count; i++)
		if (is_known(process, i, first) && history_at(process, i, boundary, &counts))
			put(growth, i, &counts);
}

static void put_now(const struct profile_process *process, uint32_t first, struct growth *growth)
{
	struct growth_instant now = {process->lived_ns, process->rss_bytes, process->tracker_bytes, 0};
	if (!growth_begin(growth, &now))
		return;
	for (uint32_t i = 0; i < process->stack_count; i++)
		if (is_known(process, i, first))
			put(growth, i, &process->stacks[i].counts);
}

/* How many of the freed blocks were old is a total since the start: their share stands for these windows, too. */
static void put_aged(const struct profile_process *process, uint32_t first, struct growth *growth)
{
	for (uint32_t i = 0; i < process->stack_count; i++) {
		const struct profile_stack *s = &process->stacks[i];
		uint64_t before = growth_first(growth, i).freed_blocks, freed = growth_last(growth, i).freed_blocks;
		if (!is_known(process, i, first) || freed <= before || !s->counts.freed_blocks)
			continue;
		double share = (double)s->aged_blocks / (double)s->counts.freed_blocks;
		growth_put_aged(growth, i, (uint64_t)((double)(freed - before) * (share < 1 ? share : 1)));
	}
	growth->has_aged = true;
}

/* The last one just before now would make a window of next to nothing: now stands for it. */
static bool is_just_now(const struct profile_process *process, uint32_t boundary)
{
	uint64_t at = process->boundaries[boundary].time_ns;
	return process->lived_ns <= at || process->lived_ns - at < process->window_ns / 2;
}

bool past_windows(const struct profile_process *process, const char *on_mark, struct growth *growth)
{
	uint32_t boundaries[GROWTH_INSTANTS];
	size_t count = boundaries_of(process, on_mark, boundaries);
	growth_init(growth);
	growth->has_flow = true;
	growth->by_steps = on_mark != NULL;
	if (!on_mark && count > 1 && is_just_now(process, boundaries[count - 1]))
		count--;
	for (size_t i = 0; i < count; i++)
		put_boundary(process, boundaries[i], boundaries[0], step_of(process, boundaries[i], on_mark), growth);
	if (!on_mark && count) {
		put_now(process, boundaries[0], growth);
		if (process->has_aged)
			put_aged(process, boundaries[0], growth);
	}
	return growth_windows(growth) >= VERDICT_WINDOWS;
}

/* ---- cuts ---- */

/* One of the marks that steps are counted by. What asks for a recording is none, whatever its name. */
static bool is_step(const struct profile_mark *mark, const struct past_cuts *cuts)
{
	return !mark->flags && (!cuts->name || strcmp(mark->name, cuts->name) == 0);
}

/* How many of the marks had come when the n-th that is in the table did; n from 1. */
static uint64_t marks_by(const struct past_cuts *cuts, uint64_t n)
{
	uint64_t i = n - (cuts->first > 0); /* no mark has the number 0 */
	return mtrace_cut(cuts->first, cuts->last, cuts->windows, i < cuts->windows ? i : cuts->windows);
}

size_t past_cut_at(const struct profile_process *process, const struct past_cuts *cuts, uint32_t *boundaries, uint64_t *steps)
{
	uint32_t mark = 0;
	uint64_t n = 0;
	size_t count = 0;
	for (uint32_t i = 0; i < process->boundary_count && count < GROWTH_INSTANTS; i++) {
		uint32_t its = process->boundaries[i].mark;
		if (its >= process->mark_count || its < mark || !is_step(&process->marks[its], cuts))
			continue;
		for (; mark <= its; mark++)
			n += is_step(&process->marks[mark], cuts);
		boundaries[count] = i;
		steps[count++] = marks_by(cuts, n);
	}
	return count;
}

uint64_t past_marks(const struct profile_process *process, const struct past_cuts *cuts)
{
	uint64_t marks = profile_counter_of(process, "marks_between");
	for (uint32_t i = 0; i < process->mark_count; i++)
		marks += is_step(&process->marks[i], cuts);
	return marks;
}

bool past_between(const struct profile_process *process, const uint32_t *boundaries, const uint64_t *steps, size_t count,
                  struct growth *growth)
{
	growth_init(growth);
	growth->has_flow = true;
	growth->by_steps = true;
	for (size_t i = 0; i < count; i++)
		put_boundary(process, boundaries[i], boundaries[0], steps[i], growth);
	return growth_windows(growth) > 0;
}
