/*
 * recording_settle: makes a process of the rows that were read: what points at something lost goes, what a reader of profiles
 * relies on is put where it is missing, and what is left out is counted and said.
 */
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "read.h"
#include "recording_reader.h"

static const char lost_text[] = "[lost]";

const char *recording_lost_string(struct reader *r)
{
	return profile_string(r->profile, lost_text);
}

/* Texts that are never NULL in a profile. */
void recording_settle_description(struct reader *r, struct profile_process *row)
{
	const char **texts[] = {&row->exe, &row->cwd, &row->run_id, &row->shim_version};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (!*texts[i])
			*texts[i] = profile_string(r->profile, "");
}

static void settle_frames(struct reader *r, struct profile_process *process)
{
	for (uint32_t i = 0; i < process->frame_count; i++) {
		struct profile_frame *frame = &process->frames[i];

		if (frame->kind > MTRACE_FRAME_JAVA)
			frame->kind = MTRACE_FRAME_NONE;
		if (frame->kind == MTRACE_FRAME_NONE)
			frame->module = PROFILE_NO_MODULE;
		if (frame->module != PROFILE_NO_MODULE && frame->module >= process->module_count) {
			frame->module = PROFILE_NO_MODULE;
			r->lost++;
		}
		if (frame->module == PROFILE_NO_MODULE && frame->kind == MTRACE_FRAME_NATIVE)
			frame->kind = MTRACE_FRAME_ABSOLUTE;
	}
}

static bool stack_is_whole(const struct profile_process *process, const struct profile_stack *stack)
{
	if (stack->kind >= MTRACE_KIND_COUNT || stack->marker >= MTRACE_MARKER_COUNT)
		return false;
	for (uint32_t i = 0; i < stack->frame_count; i++)
		if (stack->frames[i] >= process->frame_count ||
		    process->frames[stack->frames[i]].kind == MTRACE_FRAME_NONE)
			return false;
	return true;
}

struct ranked {
	size_t rank;
	struct profile_stack stack;
};

static int compare_ranks(const void *left, const void *right)
{
	const struct ranked *a = left, *b = right;

	return a->rank < b->rank ? -1 : a->rank > b->rank;
}

/* Puts the stacks back into the writer's order; r->ranks then holds the old number of each that is left. */
static void settle_stacks(struct reader *r, struct profile_process *process)
{
	struct ranked *sorted = calloc((size_t)process->stack_count + 1, sizeof(*sorted));
	uint32_t kept = 0;

	if (!sorted)
		die(EXIT_TROUBLE, "out of memory");
	for (uint32_t i = 0; i < process->stack_count; i++)
		sorted[i] = (struct ranked){r->ranks[i], process->stacks[i]};
	qsort(sorted, process->stack_count, sizeof(*sorted), compare_ranks);
	for (uint32_t i = 0; i < process->stack_count; i++) {
		if ((kept && r->ranks[kept - 1] == sorted[i].rank) || !stack_is_whole(process, &sorted[i].stack))
			continue;
		r->ranks[kept] = sorted[i].rank;
		process->stacks[kept++] = sorted[i].stack;
	}
	process->stack_count = kept;
	free(sorted);
}

/* The number that a stack has now; UINT32_MAX when it was lost. */
static uint32_t stack_number(const struct reader *r, const struct profile_process *process, uint32_t old)
{
	size_t low = 0, high = process->stack_count;

	if (old < high && r->ranks[old] == old)
		return old;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (r->ranks[middle] < old)
			low = middle + 1;
		else
			high = middle;
	}
	return low < process->stack_count && r->ranks[low] == old ? (uint32_t)low : UINT32_MAX;
}

static void settle_live(struct reader *r, struct profile_process *process)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < process->live_count; i++) {
		struct profile_live *live = &process->live[i];

		live->stack = stack_number(r, process, live->stack);
		if (live->thread != PROFILE_NO_THREAD && live->thread >= process->thread_count)
			live->thread = PROFILE_NO_THREAD;
		if (live->stack != UINT32_MAX)
			process->live[kept++] = *live;
	}
	process->live_count = kept;
}

/* History adds up: with a part of it lost, or out of order, none of it is true. */
static bool history_is_whole(const struct reader *r, const struct profile_process *process)
{
	const struct profile_change *last = NULL;

	if (process->boundary_count != r->described.boundary_count || process->change_count != r->described.change_count)
		return false;
	for (uint32_t i = 0; i < process->change_count; last = &process->changes[i++]) {
		const struct profile_change *c = &process->changes[i];

		if (c->boundary >= process->boundary_count ||
		    (last && (c->stack < last->stack || (c->stack == last->stack && c->boundary <= last->boundary))))
			return false;
	}
	return true;
}

static void settle_history(struct reader *r, struct profile_process *process)
{
	uint32_t kept = 0;

	if (!history_is_whole(r, process)) {
		process->boundary_count = process->change_count = 0;
		return;
	}
	for (uint32_t i = 0; i < process->boundary_count; i++)
		if (process->boundaries[i].mark >= process->mark_count)
			process->boundaries[i].mark = PROFILE_NO_MARK;
	for (uint32_t i = 0; i < process->stack_count; i++)
		if (process->boundary_count && process->stacks[i].history_from >= process->boundary_count)
			process->stacks[i].history_from = UINT32_MAX;
	for (uint32_t i = 0; i < process->change_count; i++) {
		struct profile_change c = process->changes[i];

		c.stack = stack_number(r, process, c.stack);
		if (c.stack != UINT32_MAX)
			process->changes[kept++] = c;
	}
	process->change_count = kept;
}

static void settle_threads(struct reader *r, struct profile_process *process)
{
	for (uint32_t i = 0; i < process->thread_count; i++)
		if (process->threads[i].stack != UINT32_MAX)
			process->threads[i].stack = stack_number(r, process, process->threads[i].stack);
}

static void settle_events(struct reader *r, struct profile_process *process)
{
	for (uint32_t i = 0; i < process->event_count; i++) {
		struct profile_event *event = &process->events[i];

		if (event->stack != UINT32_MAX)
			event->stack = stack_number(r, process, event->stack);
		if (event->thread != PROFILE_NO_THREAD && event->thread >= process->thread_count)
			event->thread = PROFILE_NO_THREAD;
		if (event->module != PROFILE_NO_MODULE && event->module >= process->module_count)
			event->module = PROFILE_NO_MODULE;
		event->text = event->text ? event->text : "";
	}
}

/* Rows that were lost would stand as zeros, which are a stack's number. */
static void settle_stream(struct reader *r, struct profile_process *process)
{
	struct profile_stream *stream = &process->stream;

	if (r->why)
		process->row_count = 0;
	for (uint32_t i = 0; i < process->row_count; i++)
		if (process->stack_of_row[i] != UINT32_MAX)
			process->stack_of_row[i] = stack_number(r, process, process->stack_of_row[i]);
	r->lost += stream->part_count > r->part_count ? stream->part_count - r->part_count : 0;
	stream->part_count = (uint32_t)r->part_count;
	stream->parts = profile_alloc(r->profile, r->part_count, sizeof(*stream->parts));
	if (r->part_count)
		memcpy(stream->parts, r->parts, r->part_count * sizeof(*stream->parts));
	r->part_count = 0;
}

static void settle_exhaustions(struct reader *r, struct profile_process *process)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < process->exhaustion_count; i++) {
		struct profile_exhaustion *x = &process->exhaustions[i];

		x->text = x->text ? x->text : recording_lost_string(r);
		x->thread = x->thread < process->thread_count ? x->thread : PROFILE_NO_THREAD;
		x->histogram = x->histogram <= MTRACE_HISTOGRAM_CUT ? x->histogram : MTRACE_HISTOGRAM_NONE;
	}
	for (uint32_t i = 0; i < process->class_count; i++) {
		struct profile_class c = process->classes[i];

		c.name = c.name ? c.name : recording_lost_string(r);
		if (c.exhaustion < process->exhaustion_count)
			process->classes[kept++] = c;
	}
	process->class_count = kept;
}

/* Rows of zeros that stand for lost ones, and texts that a reader of profiles may rely on. */
static void settle_texts(struct reader *r, struct profile_process *process)
{
	const char *unknown = recording_lost_string(r);

	for (uint32_t i = 0; i < process->module_count; i++)
		if (!process->modules[i].path)
			process->modules[i].path = unknown;
	for (uint32_t i = 0; i < process->thread_count; i++)
		if (!process->threads[i].name)
			process->threads[i].name = unknown;
	for (uint32_t i = 0; i < process->counter_count; i++)
		if (!process->counters[i].name)
			process->counters[i].name = unknown;
	for (uint32_t i = 0; i < process->mark_count; i++)
		if (!process->marks[i].name)
			process->marks[i].name = unknown;
	for (uint32_t i = 0; i < process->ledger_count; i++) {
		struct profile_ledger_row *row = &process->ledger[i];

		row->owner = row->owner ? row->owner : unknown;
		row->label = row->label ? row->label : unknown;
		row->measured_by = row->measured_by ? row->measured_by : unknown;
	}
}

/* Copies the rows that were read into the profile's own memory. */
static void place_tables(struct reader *r, struct profile_process *process)
{
	for (enum recording_type type = RECORDING_COUNTERS; type < RECORDING_TYPES; type++) {
		const struct recording_table *t = &recording_tables[type];
		const struct rows *from = &r->tables[type];
		void *rows;

		if (!t->array)
			continue;
		rows = from->count ? profile_alloc(r->profile, from->count, t->row_bytes) : NULL;
		if (from->count)
			memcpy(rows, from->rows, from->count * t->row_bytes);
		recording_set_array(t, process, rows, (uint32_t)from->count);
	}
	if (r->tables[RECORDING_KINDS].count) {
		size_t n = r->tables[RECORDING_KINDS].count;

		n = n < MTRACE_KIND_COUNT ? n : MTRACE_KIND_COUNT;
		memcpy(process->by_kind, r->tables[RECORDING_KINDS].rows, n * sizeof(process->by_kind[0]));
	}
}

/* How many rows the writer had and we do not. */
static uint64_t missing_rows(const struct profile_process *described, const struct profile_process *process)
{
	uint64_t missing = 0;

	for (enum recording_type type = RECORDING_COUNTERS; type < RECORDING_TYPES; type++) {
		const struct recording_table *t = &recording_tables[type];
		uint32_t had, have;

		if (!t->array)
			continue;
		recording_array(t, described, &had);
		recording_array(t, process, &have);
		missing += had > have ? had - have : 0;
	}
	return missing;
}

static void note_loss(struct reader *r, struct profile_process *process, uint64_t missing)
{
	char text[512];
	const char *before = process->note;

	if (!r->why && !missing)
		return;
	snprintf(text, sizeof(text), "%s%sthe recording %s: %llu records of this process are missing", before ? before : "",
		 before ? "; " : "", r->why ? r->why : "points at records it does not have", (unsigned long long)missing);
	process->skipped += missing;
	process->note = profile_string(r->profile, text);
}

void recording_close_process(struct reader *r)
{
	struct profile_process *process;
	uint64_t missing;

	if (!r->open)
		return;
	process = profile_add_process(r->profile);
	*process = r->described;
	place_tables(r, process);
	settle_texts(r, process);
	settle_frames(r, process);
	settle_stacks(r, process);
	settle_live(r, process);
	settle_history(r, process);
	settle_threads(r, process);
	settle_events(r, process);
	settle_stream(r, process);
	settle_exhaustions(r, process);
	missing = missing_rows(&r->described, process) + r->lost;
	note_loss(r, process, missing);
	for (int i = 0; i < RECORDING_TYPES; i++)
		r->tables[i].count = 0;
	r->string_count = 0;
	r->lost = 0;
	r->why = NULL;
	r->open = false;
	r->processes++;
}
