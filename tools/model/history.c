#include "model/history.h"

#include <stdio.h>
#include <string.h>

/* The first change of a stack; they are by stack. */
static uint32_t first_change(const struct profile_process *process, uint32_t stack)
{
	uint32_t low = 0, high = process->change_count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (process->changes[middle].stack < stack)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void add(struct profile_counts *counts, const struct profile_change *c)
{
	counts->alloc_blocks = profile_sum(counts->alloc_blocks, c->alloc_blocks);
	counts->alloc_bytes = profile_sum(counts->alloc_bytes, c->alloc_bytes);
	counts->freed_blocks = profile_sum(counts->freed_blocks, c->freed_blocks);
	counts->freed_bytes = profile_sum(counts->freed_bytes, c->freed_bytes);
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* Adds the stack's changes from *next on, up to the boundary. */
static void add_until(const struct profile_process *process, uint32_t stack, uint32_t boundary, uint32_t *next,
                      struct profile_counts *counts)
{
	for (; *next < process->change_count; ++*next) {
		const struct profile_change *c = &process->changes[*next];
		if (c->stack != stack || c->boundary > boundary)
			break;
		add(counts, c);
	}
	counts->live_blocks = less(counts->alloc_blocks, counts->freed_blocks);
	counts->live_bytes = less(counts->alloc_bytes, counts->freed_bytes);
}

bool history_at(const struct profile_process *process, uint32_t stack, uint32_t boundary, struct profile_counts *counts)
{
	uint32_t next = first_change(process, stack);
	memset(counts, 0, sizeof *counts);
	if (boundary >= process->boundary_count || process->stacks[stack].history_from > boundary)
		return false;
	add_until(process, stack, boundary, &next, counts);
	return true;
}

uint32_t history_of_mark(const struct profile_process *process, const char *name)
{
	for (uint32_t i = process->boundary_count; i-- > 0;) {
		uint32_t mark = process->boundaries[i].mark;
		if (mark < process->mark_count && strcmp(process->marks[mark].name, name) == 0)
			return i;
	}
	return PROFILE_NO_MARK;
}

/* ---- windows ---- */

static uint64_t even_units(const struct profile_process *process, uint64_t from_ns)
{
	uint64_t units = process->window_ns ? less(process->lived_ns, from_ns) / process->window_ns : 0, width = 1;
	while (units / width > 16)
		width *= 2;
	return width;
}

size_t history_even(const struct profile_process *process, uint64_t from_ns, uint32_t boundaries[HISTORY_WINDOWS_MOST])
{
	uint64_t width = even_units(process, from_ns);
	size_t count = 0;
	for (uint32_t i = 0; i < process->boundary_count && count < HISTORY_WINDOWS_MOST; i++) {
		const struct profile_boundary *b = &process->boundaries[i];
		if (b->unit != 0 && b->unit % width == 0 && b->time_ns >= from_ns)
			boundaries[count++] = i;
	}
	return count;
}

static struct verdict_window window_of(uint64_t time_ns, const struct profile_counts *before, const struct profile_counts *now)
{
	return (struct verdict_window){.time_ns = time_ns, .live_bytes = now->live_bytes, .live_blocks = now->live_blocks,
	                               .alloc_blocks = less(now->alloc_blocks, before->alloc_blocks),
	                               .freed_blocks = less(now->freed_blocks, before->freed_blocks)};
}

/* Times must rise: a boundary at the very instant of the one before is left out. */
static bool is_later(const struct verdict_window *windows, size_t used, uint64_t time_ns)
{
	return used == 0 || time_ns > windows[used - 1].time_ns;
}

size_t history_windows(const struct profile_process *process, uint32_t stack, const uint32_t *boundaries, size_t count,
                       struct verdict_window *windows)
{
	const struct profile_stack *s = &process->stacks[stack];
	struct profile_counts before = {0}, now = {0};
	uint32_t next = first_change(process, stack);
	size_t used = 0;
	if (s->history_from == 0 && (count == 0 || process->boundaries[boundaries[0]].time_ns > 0))
		windows[used++] = (struct verdict_window){0};
	for (size_t i = 0; i < count; i++) {
		uint64_t time_ns = process->boundaries[boundaries[i]].time_ns;
		if (boundaries[i] < s->history_from || !is_later(windows, used, time_ns))
			continue;
		add_until(process, stack, boundaries[i], &next, &now);
		windows[used++] = window_of(time_ns, &before, &now);
		before = now;
	}
	if (is_later(windows, used, process->lived_ns))
		windows[used++] = window_of(process->lived_ns, &before, &s->counts);
	return used;
}

/* ---- a profile as of a boundary ---- */

static void drop_rest(struct profile_process *process)
{
	for (uint32_t i = 0; i < process->thread_count; i++)
		process->threads[i].stack = UINT32_MAX;
	process->live_count = 0;
	process->range_count = 0;
	process->ledger_count = 0;
	process->rss_bytes = 0;
	process->change_count = 0;
	process->has_aged = false;
}

uint32_t history_go_back(struct profile *p, struct profile_process *process, uint32_t boundary)
{
	const struct profile_boundary b = process->boundaries[boundary];
	uint32_t kept = 0, unknown = 0;
	for (uint32_t i = 0; i < process->stack_count; i++) {
		struct profile_stack stack = process->stacks[i];
		bool known = history_at(process, i, boundary, &stack.counts);
		unknown += !known && stack.kind != MTRACE_KIND_MMAP;
		if (known && stack.counts.alloc_blocks)
			process->stacks[kept++] = stack;
	}
	process->stack_count = kept;
	process->peak_live_bytes = b.peak_live_bytes;
	process->lived_ns = b.time_ns;
	process->active_ns = b.active_ns;
	process->end = PROFILE_RUNNING;
	drop_rest(process);
	profile_finish_process(p, process);
	process->boundary_count = 0;
	return unknown;
}
