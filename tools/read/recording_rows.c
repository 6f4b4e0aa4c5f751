/*
 * recording_rows: a chunk's bytes into strings and rows of the tables of the process that is being read: each chunk is taken
 * whole or not at all, and pays for its memory before it is taken. What rows point at is looked at by recording_settle.
 */
#include <string.h>

#include "read.h"
#include "recording_reader.h"

#define RECORDING_BASE_BYTES (64u << 20)
#define RECORDING_RATIO 4096u /* a stack 1024 frames deep, like its neighbour, is some 8 stored bytes and 4 KiB here */

bool recording_charge(struct reader *r, uint64_t bytes)
{
	uint64_t most = RECORDING_BASE_BYTES + RECORDING_RATIO * r->read_bytes;

	if (bytes > most || r->charged_bytes > most - bytes)
		return false;
	r->charged_bytes += bytes;
	return true;
}

static bool charge_rows(struct reader *r, uint64_t count, uint64_t row_bytes)
{
	return count <= UINT32_MAX && recording_charge(r, count * row_bytes);
}

/* ---- strings ---- */

/* Strings of lost chunks leave a gap, so that the numbers of later ones stay right. */
static bool open_string_gap(struct reader *r, uint64_t first)
{
	uint64_t gap = first - 1 - r->string_count;

	if (first <= r->string_count || !charge_rows(r, gap, sizeof(char *)))
		return false;
	r->strings = codec_grow(r->strings, &r->string_capacity, r->string_count + gap, sizeof(char *));
	while (gap--)
		r->strings[r->string_count++] = recording_lost_string(r);
	return true;
}

static bool take_string(struct reader *r, struct codec_cursor *text, uint64_t length)
{
	const uint8_t *bytes = codec_get_bytes(text, length);

	if (!bytes || !recording_charge(r, 3 * length + sizeof(char *) + 1)) /* 3: each byte may become U+FFFD */
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
	return number <= r->string_count ? r->strings[number - 1] : recording_lost_string(r);
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
	recording_settle_description(r, &row);
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
	const uint64_t *counts, *functions, *files, *signatures, *lines, *inlined;
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
	n->signatures = list(part, RECORDING_SIGNATURES, n->total, &ok);
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
			.signature = n.signatures ? string_at(r, n.signatures[i]) : NULL,
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

bool recording_read_payload(struct reader *r, enum recording_type type, const uint8_t *raw, size_t raw_bytes)
{
	struct codec_cursor c = {raw, raw + raw_bytes, false};
	struct part part = {.table = &recording_tables[type]};
	bool ok = false;

	part.first = codec_get_varint(&c);
	part.rows = codec_get_varint(&c);
	if (part.rows > CODEC_ROWS_MAX || part.first > UINT32_MAX || !read_strings(r, &c))
		return false;
	if (codec_get_columns(&c, &part.columns) && recording_charge(r, part.columns.bytes)) {
		r->charged_bytes -= part.columns.bytes;
		ok = read_part(r, type, &part);
	}
	codec_columns_free(&part.columns);
	return ok;
}
