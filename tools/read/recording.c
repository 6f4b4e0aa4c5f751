/*
 * recording: reads what recording_write wrote, maybe elsewhere, maybe by a newer mtrace, maybe damaged or hostile.
 *
 * Called by read/target.c and by commands that take a recording. Each chunk is checked on its own and taken whole or
 * not at all; what other parts point at is checked when a process is complete (settle), and rows that point at
 * something lost are left out. Everything left out is counted in process->skipped, with one line in process->note.
 *
 * Bound: the memory used, besides one chunk, is at most RECORDING_BASE_BYTES plus RECORDING_RATIO bytes for each byte
 * of the file that has been read, so that a small file cannot make us large.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "read.h"
#include "recording.h"

#define RECORDING_BASE_BYTES (64u << 20)
#define RECORDING_RATIO 4096u /* a stack 1024 frames deep, like its neighbour, is some 8 stored bytes and 4 KiB here */

static const char lost_text[] = "[lost]";

/* The rows of one table of the process being read. */
struct rows {
	char *rows;
	size_t count, capacity;
};

struct reader {
	FILE *in;
	struct profile *profile;
	struct read_error *error;
	const char *path;
	uint32_t version, min_version, process_count;
	char tool_version[16];
	uint64_t read_bytes, charged_bytes;

	bool open;             /* a process is being read */
	uint32_t file_process; /* its number in the file */
	uint32_t processes;    /* how many were read */
	uint32_t chunks;       /* how many chunks there were */
	struct rows tables[RECORDING_TYPES];
	size_t *ranks; /* place of each stack in the writer's order, beside tables[RECORDING_STACKS] */
	size_t rank_capacity;
	const char **strings;
	size_t string_count, string_capacity;
	struct profile_stream_part *parts; /* of its stream */
	size_t part_count, part_capacity;
	struct profile_process described; /* the PROCESS row; its exe is lost_text until there is one */
	uint64_t lost;                    /* rows left out of this process */
	const char *why;                  /* what is wrong with the file, NULL nothing */
};

__attribute__((format(printf, 3, 4))) static int refuse(struct reader *r, int code, const char *format, ...)
{
	va_list arguments;
	int n = snprintf(r->error->text, sizeof(r->error->text), "%s: ", r->path);

	va_start(arguments, format);
	if (n > 0 && (size_t)n < sizeof(r->error->text))
		vsnprintf(r->error->text + n, sizeof(r->error->text) - (size_t)n, format, arguments);
	va_end(arguments);
	return code;
}

/* False: this would take more memory than a file of this size may. */
static bool charge(struct reader *r, uint64_t bytes)
{
	uint64_t most = RECORDING_BASE_BYTES + RECORDING_RATIO * r->read_bytes;

	if (bytes > most || r->charged_bytes > most - bytes)
		return false;
	r->charged_bytes += bytes;
	return true;
}

static bool charge_rows(struct reader *r, uint64_t count, uint64_t row_bytes)
{
	return count <= UINT32_MAX && charge(r, count * row_bytes);
}

/* ---- strings ---- */

static const char *lost_string(struct reader *r)
{
	return profile_string(r->profile, lost_text);
}

/* Strings of lost chunks leave a gap, so that the numbers of later ones stay right. */
static bool open_string_gap(struct reader *r, uint64_t first)
{
	uint64_t gap = first - 1 - r->string_count;

	if (first <= r->string_count || !charge_rows(r, gap, sizeof(char *)))
		return false;
	r->strings = codec_grow(r->strings, &r->string_capacity, r->string_count + gap, sizeof(char *));
	while (gap--)
		r->strings[r->string_count++] = lost_string(r);
	return true;
}

static bool take_string(struct reader *r, struct codec_cursor *text, uint64_t length)
{
	const uint8_t *bytes = codec_get_bytes(text, length);

	if (!bytes || !charge(r, 3 * length + sizeof(char *) + 1)) /* 3: each byte may become U+FFFD */
		return false;
	r->strings = codec_grow(r->strings, &r->string_capacity, r->string_count + 1, sizeof(char *));
	r->strings[r->string_count++] = profile_string_n(r->profile, (const char *)bytes, length);
	return true;
}

static bool read_strings(struct reader *r, struct codec_cursor *c)
{
	uint64_t first = codec_get_varint(c), count = codec_get_varint(c);
	struct codec_cursor lengths = *c, text;

	if (c->bad || count > (uint64_t)(c->end - c->at) || !open_string_gap(r, first))
		return false;
	for (uint64_t i = 0; i < count; i++)
		codec_get_varint(c);
	text = *c;
	for (uint64_t i = 0; i < count && !c->bad; i++)
		if (!take_string(r, &text, codec_get_varint(&lengths)))
			return false;
	text.bad |= c->bad;
	*c = text;
	return !c->bad;
}

static const char *string_at(struct reader *r, uint64_t number)
{
	if (!number)
		return NULL;
	return number <= r->string_count ? r->strings[number - 1] : lost_string(r);
}

/* ---- rows ---- */

/* One chunk of a table, opened. */
struct part {
	const struct recording_table *table;
	uint64_t first, rows;
	struct codec_columns columns;
};

/* Adds rows, all zero, for `count` more from `first`; lost chunks of a positional table leave a gap of zeros. */
static char *add_rows(struct reader *r, enum recording_type type, uint64_t first, uint64_t count)
{
	const struct recording_table *t = &recording_tables[type];
	struct rows *to = &r->tables[type];
	uint64_t gap = t->positional && first > to->count ? first - to->count : 0;
	char *at;

	if ((t->positional && first < to->count) || !charge_rows(r, gap, t->row_bytes) ||
	    !charge_rows(r, count, t->row_bytes))
		return NULL;
	to->rows = codec_grow(to->rows, &to->capacity, to->count + gap + count + 1, t->row_bytes);
	at = to->rows + to->count * t->row_bytes;
	memset(at, 0, (gap + count) * t->row_bytes);
	to->count += gap + count;
	r->lost += gap;
	return at + gap * t->row_bytes;
}

static bool store_field(struct reader *r, const struct recording_field *f, void *row, uint64_t value)
{
	if (f->form == FORM_STRING) {
		const char *text = string_at(r, value);

		memcpy((char *)row + f->offset, &text, sizeof(text));
		return true;
	}
	return recording_store(f, row, value);
}

static bool fill_field(struct reader *r, const struct part *part, const struct recording_field *f, char *rows)
{
	const struct codec_column *column = codec_column(&part->columns, f->id);

	if (!column)
		return true;
	if (column->count != part->rows)
		return false;
	for (size_t i = 0; i < column->count; i++)
		if (!store_field(r, f, rows + i * part->table->row_bytes, column->values[i]))
			return false;
	return true;
}

static bool fill_fields(struct reader *r, const struct part *part, char *rows)
{
	for (size_t i = 0; i < part->table->field_count; i++)
		if (!fill_field(r, part, &part->table->fields[i], rows))
			return false;
	return true;
}

static bool read_rows(struct reader *r, enum recording_type type, const struct part *part)
{
	char *rows = add_rows(r, type, part->first, part->rows);

	if (!rows)
		return false;
	if (fill_fields(r, part, rows))
		return true;
	r->tables[type].count -= part->rows;
	return false;
}

/* The list of `part`, which must have as many values as `expected`; NULL with *ok = true when there is none. */
static const uint64_t *list(const struct part *part, enum recording_list id, uint64_t expected, bool *ok)
{
	const struct codec_column *column = codec_column(&part->columns, id);

	*ok = *ok && (!column || column->count == expected);
	return column && *ok ? column->values : NULL;
}

/* ---- the parts of a process ---- */

/* Texts that are never NULL in a profile. */
static void settle_description(struct reader *r, struct profile_process *row)
{
	const char **texts[] = {&row->exe, &row->cwd, &row->run_id, &row->shim_version};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (!*texts[i])
			*texts[i] = profile_string(r->profile, "");
}

static bool read_description(struct reader *r, const struct part *part)
{
	const struct codec_column *args = codec_column(&part->columns, RECORDING_ARGS);
	struct profile_process row = {0};

	if (part->rows != 1 || !fill_fields(r, part, (char *)&row) || row.mode > PROFILE_OUTSIDE || row.end > PROFILE_EXEC)
		return false;
	if (args && args->count) {
		if (!charge_rows(r, args->count, sizeof(char *)))
			return false;
		row.args = profile_alloc(r->profile, args->count, sizeof(char *));
		row.arg_count = (uint32_t)args->count;
		for (size_t i = 0; i < args->count; i++)
			row.args[i] = args->values[i] ? string_at(r, args->values[i]) : "";
	}
	settle_description(r, &row);
	r->described = row;
	return true;
}

static bool read_modules(struct reader *r, const struct part *part)
{
	const struct codec_column *ids = codec_column(&part->columns, RECORDING_BUILD_IDS);
	struct rows *to = &r->tables[RECORDING_MODULES];
	struct profile_module *modules;
	size_t used = 0;

	if (!read_rows(r, RECORDING_MODULES, part))
		return false;
	modules = (struct profile_module *)(void *)to->rows + to->count - part->rows;
	for (size_t i = 0; i < part->rows; i++) {
		size_t n = modules[i].build_id_bytes;

		if (n > sizeof(modules->build_id) || (n && (!ids || used + n > ids->count))) {
			to->count -= part->rows;
			return false;
		}
		for (size_t k = 0; k < n; k++)
			modules[i].build_id[k] = (uint8_t)ids->values[used++];
	}
	return true;
}

/* The name columns of a chunk; NULL ones are all zeros. */
struct name_lists {
	const uint64_t *counts, *functions, *files, *lines, *inlined;
	uint64_t total;
};

static bool open_names(const struct part *part, struct name_lists *n)
{
	bool ok = true;

	n->counts = list(part, RECORDING_NAME_COUNTS, part->rows, &ok);
	if (!n->counts)
		return false;
	n->total = 0;
	for (size_t i = 0; i < part->rows; i++) {
		if (n->counts[i] > CODEC_RAW_MAX)
			return false;
		n->total += n->counts[i];
	}
	n->functions = list(part, RECORDING_FUNCTIONS, n->total, &ok);
	n->files = list(part, RECORDING_FILES, n->total, &ok);
	n->lines = list(part, RECORDING_LINES, n->total, &ok);
	n->inlined = list(part, RECORDING_INLINED, n->total, &ok);
	return ok && (n->functions || !n->total);
}

static bool read_names(struct reader *r, const struct part *part)
{
	struct profile_frame *frames = (struct profile_frame *)(void *)r->tables[RECORDING_FRAMES].rows;
	struct profile_name *names;
	struct name_lists n;
	size_t used = 0;

	if (!open_names(part, &n) || !charge_rows(r, n.total, sizeof(*names)))
		return false;
	names = profile_alloc(r->profile, n.total + 1, sizeof(*names));
	for (size_t i = 0; i < n.total; i++)
		names[i] = (struct profile_name){
			.function = string_at(r, n.functions[i]),
			.file = n.files ? string_at(r, n.files[i]) : NULL,
			.line = n.lines && n.lines[i] <= UINT32_MAX ? (uint32_t)n.lines[i] : 0,
			.inlined = n.inlined && n.inlined[i],
		};
	for (size_t i = 0; i < part->rows; used += n.counts[i++]) {
		if (!n.counts[i] || part->first + i >= r->tables[RECORDING_FRAMES].count)
			continue;
		frames[part->first + i].names = names + used;
		frames[part->first + i].name_count = (uint32_t)n.counts[i];
	}
	return true;
}

/* Stacks are stored from the outside inwards, each as a difference from the one before. */
struct path_lists {
	const uint64_t *ranks, *shared, *own, *frames;
	size_t frame_count, used;
};

static bool open_paths(const struct part *part, struct path_lists *p)
{
	const struct codec_column *frames = codec_column(&part->columns, RECORDING_STACK_FRAMES);
	bool ok = true;

	p->ranks = list(part, RECORDING_RANKS, part->rows, &ok);
	p->shared = list(part, RECORDING_SHARED, part->rows, &ok);
	p->own = list(part, RECORDING_OWN, part->rows, &ok);
	p->frames = frames ? frames->values : NULL;
	p->frame_count = frames ? frames->count : 0;
	p->used = 0;
	return ok && p->ranks && p->shared && p->own;
}

static bool take_path(struct reader *r, struct path_lists *p, size_t i, const struct profile_stack *before,
		      struct profile_stack *stack)
{
	uint64_t shared = p->shared[i], own = p->own[i];
	uint32_t *frames;

	if (shared > (before ? before->frame_count : 0) || own > p->frame_count - p->used ||
	    !charge_rows(r, shared + own, sizeof(uint32_t)))
		return false;
	frames = profile_alloc(r->profile, shared + own + 1, sizeof(uint32_t));
	for (uint64_t k = own; k-- > 0; p->used++) {
		if (p->frames[p->used] > UINT32_MAX)
			return false;
		frames[k] = (uint32_t)p->frames[p->used];
	}
	if (shared)
		memcpy(frames + own, before->frames + before->frame_count - shared, shared * sizeof(uint32_t));
	stack->frames = frames;
	stack->frame_count = (uint32_t)(shared + own);
	return true;
}

static bool take_paths(struct reader *r, const struct part *part, struct profile_stack *stacks, size_t *ranks)
{
	struct path_lists p;

	if (!open_paths(part, &p))
		return false;
	for (size_t i = 0; i < part->rows; i++) {
		if (p.ranks[i] >= part->rows || !take_path(r, &p, i, i ? &stacks[i - 1] : NULL, &stacks[i]))
			return false;
		ranks[i] = part->first + p.ranks[i];
	}
	return true;
}

static bool read_stacks(struct reader *r, const struct part *part)
{
	struct rows *to = &r->tables[RECORDING_STACKS];
	struct profile_stack *stacks;

	if (part->first > UINT32_MAX || !charge_rows(r, part->rows, sizeof(size_t)) || !read_rows(r, RECORDING_STACKS, part))
		return false;
	r->ranks = codec_grow(r->ranks, &r->rank_capacity, to->count, sizeof(size_t));
	stacks = (struct profile_stack *)(void *)to->rows + to->count - part->rows;
	if (take_paths(r, part, stacks, r->ranks + to->count - part->rows))
		return true;
	to->count -= part->rows;
	return false;
}

static bool read_kinds(struct reader *r, const struct part *part)
{
	return part->first == 0 && r->tables[RECORDING_KINDS].count == 0 && read_rows(r, RECORDING_KINDS, part);
}

static bool read_part(struct reader *r, enum recording_type type, const struct part *part)
{
	switch (type) {
	case RECORDING_PROCESS:
		return read_description(r, part);
	case RECORDING_KINDS:
		return read_kinds(r, part);
	case RECORDING_MODULES:
		return read_modules(r, part);
	case RECORDING_NAMES:
		return read_names(r, part);
	case RECORDING_STACKS:
		return read_stacks(r, part);
	default:
		return read_rows(r, type, part);
	}
}

/* What one chunk says, taken whole or not at all. */
static bool read_payload(struct reader *r, enum recording_type type, const uint8_t *raw, size_t raw_bytes)
{
	struct codec_cursor c = {raw, raw + raw_bytes, false};
	struct part part = {.table = &recording_tables[type]};
	bool ok = false;

	part.first = codec_get_varint(&c);
	part.rows = codec_get_varint(&c);
	if (part.rows > CODEC_ROWS_MAX || part.first > UINT32_MAX || !read_strings(r, &c))
		return false;
	if (codec_get_columns(&c, &part.columns) && charge(r, part.columns.bytes)) {
		r->charged_bytes -= part.columns.bytes;
		ok = read_part(r, type, &part);
	}
	codec_columns_free(&part.columns);
	return ok;
}

/* ---- settling a process: what points at something lost goes ---- */

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

		x->text = x->text ? x->text : lost_string(r);
		x->thread = x->thread < process->thread_count ? x->thread : PROFILE_NO_THREAD;
		x->histogram = x->histogram <= MTRACE_HISTOGRAM_CUT ? x->histogram : MTRACE_HISTOGRAM_NONE;
	}
	for (uint32_t i = 0; i < process->class_count; i++) {
		struct profile_class c = process->classes[i];

		c.name = c.name ? c.name : lost_string(r);
		if (c.exhaustion < process->exhaustion_count)
			process->classes[kept++] = c;
	}
	process->class_count = kept;
}

/* Rows of zeros that stand for lost ones, and texts that a reader of profiles may rely on. */
static void settle_texts(struct reader *r, struct profile_process *process)
{
	const char *unknown = lost_string(r);

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

static void close_process(struct reader *r)
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

/* ---- chunks ---- */

/* Chunks of a process stand together, and processes in order. */
static bool enter_process(struct reader *r, uint32_t number)
{
	if (r->open && number == r->file_process)
		return true;
	if (number >= r->process_count || (r->processes + r->open && number <= r->file_process))
		return false;
	close_process(r);
	r->open = true;
	r->file_process = number;
	r->described = (struct profile_process){.exe = lost_string(r)};
	settle_description(r, &r->described);
	return true;
}

static int refuse_newer(struct reader *r, const char *what, unsigned long long which)
{
	return refuse(r, -ENOTSUP,
		      "written by mtrace %s (recording version %u, for readers from %u on); this is mtrace %s (recording "
		      "version %u), which does not know its %s %llu: read it with mtrace %s or newer",
		      r->tool_version, r->version, r->min_version, mtrace_version, RECORDING_VERSION, what, which,
		      r->tool_version);
}

/* A part of a stream is kept as it is, and opened when it is asked for. */
static enum codec_status read_stream_part(struct reader *r, const struct codec_chunk *chunk)
{
	uint8_t *stored = NULL, *bytes;
	enum codec_status status = codec_read_stored(r->in, chunk, &stored);

	if (status != CODEC_OK)
		return status;
	if (enter_process(r, chunk->process) && charge(r, chunk->stored_bytes + sizeof(*r->parts))) {
		bytes = profile_alloc(r->profile, chunk->stored_bytes, 1);
		memcpy(bytes, stored, chunk->stored_bytes);
		r->parts = codec_grow(r->parts, &r->part_capacity, r->part_count + 1, sizeof(*r->parts));
		r->parts[r->part_count++] = (struct profile_stream_part){bytes, (uint32_t)chunk->stored_bytes,
									(uint32_t)chunk->raw_bytes, chunk->body_crc};
	} else {
		r->why = "is damaged";
	}
	free(stored);
	return CODEC_OK;
}

/* The body of a chunk that we know. CODEC_OK also when it is damaged: the next one can be read. */
static enum codec_status read_known(struct reader *r, const struct codec_chunk *chunk)
{
	uint8_t *raw = NULL;
	enum codec_status status;

	if (chunk->type == RECORDING_STREAM)
		return read_stream_part(r, chunk);
	status = codec_read_body(r->in, chunk, &raw);
	if (status != CODEC_OK && status != CODEC_BODY_DAMAGED)
		return status;
	if (!enter_process(r, chunk->process) || status != CODEC_OK ||
	    !read_payload(r, (enum recording_type)chunk->type, raw, chunk->raw_bytes)) {
		r->why = "is damaged";
		r->lost += !recording_tables[chunk->type].array; /* other tables are counted by their length */
	}
	free(raw);
	return CODEC_OK;
}

static void read_end(struct reader *r, const struct codec_chunk *chunk)
{
	uint8_t *raw = NULL;

	if (codec_read_body(r->in, chunk, &raw) == CODEC_OK) {
		struct codec_cursor c = {raw, raw + chunk->raw_bytes, false};

		if (codec_get_varint(&c) != r->chunks || codec_get_varint(&c) != r->process_count || c.bad)
			r->why = "is damaged";
	} else {
		r->why = "is damaged at its end";
	}
	free(raw);
}

/* Reads on until END or until nothing more can be found; r->why tells if that was not right. */
static int read_chunks(struct reader *r)
{
	for (;; r->chunks++) {
		struct codec_chunk chunk;
		enum codec_status status = codec_read_chunk(r->in, &chunk);

		if (status == CODEC_OK) {
			r->read_bytes += CODEC_CHUNK_BYTES + chunk.stored_bytes;
			if (chunk.type == RECORDING_END)
				return read_end(r, &chunk), 0;
			if (chunk.type < RECORDING_TYPES)
				status = read_known(r, &chunk);
			else if (chunk.flags & CODEC_REQUIRED)
				return refuse_newer(r, "part of type", chunk.type);
			else
				status = codec_read_body(r->in, &chunk, NULL);
		}
		if (status == CODEC_OK)
			continue;
		r->why = status == CODEC_DAMAGED ? "is damaged" : "is cut short";
		return 0;
	}
}

/* ---- the file ---- */

static int read_header(struct reader *r)
{
	uint8_t h[RECORDING_HEADER_BYTES];
	uint64_t features;
	uint32_t header_bytes;

	if (fread(h, 1, sizeof(h), r->in) != sizeof(h) || memcmp(h, RECORDING_MAGIC, 8) != 0)
		return refuse(r, -EINVAL, "not a recording: it does not begin as one, or ends within its first %u bytes",
			      RECORDING_HEADER_BYTES);
	if (codec_load32(h + RECORDING_AT_CRC) != codec_crc(h, RECORDING_AT_CRC))
		return refuse(r, -EINVAL, "a damaged recording: its header has a wrong checksum; copy it again");
	r->version = codec_load32(h + RECORDING_AT_VERSION);
	r->min_version = codec_load32(h + RECORDING_AT_MIN_VERSION);
	r->process_count = codec_load32(h + RECORDING_AT_PROCESS_COUNT);
	memcpy(r->tool_version, h + RECORDING_AT_TOOL_VERSION, sizeof(r->tool_version) - 1);
	features = codec_load64(h + RECORDING_AT_FEATURES_REQUIRED);
	header_bytes = codec_load32(h + RECORDING_AT_HEADER_BYTES);
	if (r->min_version > RECORDING_VERSION)
		return refuse_newer(r, "format, version", r->min_version);
	if (features)
		return refuse_newer(r, "required features, mask", features);
	if (header_bytes < sizeof(h) || header_bytes > RECORDING_HEADER_BYTES_MAX)
		return refuse(r, -EINVAL, "a damaged recording: its header claims %u bytes", header_bytes);
	for (uint32_t i = sizeof(h); i < header_bytes; i++)
		if (getc(r->in) == EOF)
			break;
	r->read_bytes = header_bytes;
	return 0;
}

/* After the last process: a file that lost whole processes says so on the last one there is. */
static void note_missing_processes(struct reader *r)
{
	struct profile_process *last;
	char text[512];

	if (r->processes == r->process_count || !r->profile->process_count)
		return;
	last = &r->profile->processes[r->profile->process_count - 1];
	snprintf(text, sizeof(text), "%s%s%u of %u processes of the recording are missing", last->note ? last->note : "",
		 last->note ? "; " : "", r->process_count - r->processes, r->process_count);
	last->note = profile_string(r->profile, text);
}

static int read_file(struct reader *r)
{
	int code = read_header(r);

	if (!code)
		code = read_chunks(r);
	if (code)
		return code;
	close_process(r);
	if (!r->processes)
		return refuse(r, -EINVAL, "the recording %s, and holds no process", r->why ? r->why : "is empty");
	note_missing_processes(r);
	return 0;
}

static void free_reader(struct reader *r)
{
	for (int i = 0; i < RECORDING_TYPES; i++)
		free(r->tables[i].rows);
	free(r->ranks);
	free(r->parts);
	free(r->strings);
}

int read_recording(const char *path, struct profile *profile, struct read_error *error)
{
	struct reader r = {.profile = profile, .error = error, .path = path};
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), code;

	r.in = fd < 0 ? NULL : fdopen(fd, "rb");
	if (!r.in) {
		code = -errno;
		if (fd >= 0)
			close(fd);
		return refuse(&r, code, "cannot be read: %s", strerror(-code));
	}
	code = read_file(&r);
	fclose(r.in);
	free_reader(&r);
	return code;
}
