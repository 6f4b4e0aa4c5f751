/*
 * recording_write: a profile as a recording (recording.h, mtrace-format.5).
 *
 * Called by cmd_run, cmd_symbolize and whoever saves a profile. The file appears whole or not at all: it is written
 * beside its place under a name of its own (0600, O_EXCL) and then renamed; an existing file is replaced only when
 * told so. A target that is a device or a pipe is written into directly. It never follows a planted link.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "read.h"
#include "recording.h"

#define STACK_ROWS 8192u            /* stacks in one chunk: the largest ones first, each chunk sorted by path */
#define TEXT_ROWS 2048u             /* rows in one chunk of a table with text in it: 8 KiB a row would still fit */
#define CHUNK_FILL (CODEC_RAW_MAX / 4) /* a chunk is closed when it has grown past this */

struct writer {
	FILE *out;
	struct codec_strings strings;
	struct codec_buffer columns, payload;
	uint64_t *values;
	size_t value_capacity;
	uint32_t process, sequence;
	int failed; /* -errno */
};

/* ---- chunks ---- */

static void write_chunk(struct writer *w, uint32_t type, uint32_t flags)
{
	struct codec_chunk chunk = {.type = type, .flags = flags, .process = w->process, .sequence = w->sequence++};

	if (!w->failed)
		w->failed = codec_write_chunk(w->out, &chunk, &w->payload);
}

/* Closes a chunk of `rows` rows from `first`, whose columns are in w->columns. */
static void finish_chunk(struct writer *w, enum recording_type type, uint64_t first, uint64_t rows)
{
	w->payload.used = 0;
	codec_put_varint(&w->payload, first);
	codec_put_varint(&w->payload, rows);
	codec_put_new_strings(&w->payload, &w->strings);
	codec_put_bytes(&w->payload, w->columns.bytes, w->columns.used);
	w->columns.used = 0;
	write_chunk(w, type, type < RECORDING_BOUNDARIES ? CODEC_REQUIRED : 0);
}

static uint64_t *value_room(struct writer *w, size_t count)
{
	w->values = codec_grow(w->values, &w->value_capacity, count + 1, sizeof(uint64_t));
	return w->values;
}

static void put_field(struct writer *w, const struct recording_field *f, const char *rows, size_t row_bytes, size_t count)
{
	uint64_t *values = value_room(w, count);

	for (size_t i = 0; i < count; i++) {
		const char *row = rows + i * row_bytes;

		if (f->form == FORM_STRING)
			values[i] = codec_string_number(&w->strings, *(const char *const *)(const void *)(row + f->offset));
		else
			values[i] = recording_load(f, row);
	}
	codec_put_column(&w->columns, f->id, (enum codec_encoding)f->encoding, values, count);
}

static void put_fields(struct writer *w, const struct recording_table *t, const void *rows, size_t count)
{
	for (size_t i = 0; i < t->field_count; i++)
		put_field(w, &t->fields[i], rows, t->row_bytes, count);
}

/* ---- lists ---- */

static void put_args(struct writer *w, const struct profile_process *process)
{
	uint64_t *values = value_room(w, process->arg_count);

	for (uint32_t i = 0; i < process->arg_count; i++)
		values[i] = codec_string_number(&w->strings, process->args[i]);
	codec_put_column(&w->columns, RECORDING_ARGS, CODEC_DELTA, values, process->arg_count);
}

static void put_build_ids(struct writer *w, const struct profile_module *modules, size_t count)
{
	uint64_t *values = value_room(w, count * sizeof(modules->build_id));
	size_t used = 0;

	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < modules[i].build_id_bytes && k < sizeof(modules->build_id); k++)
			values[used++] = modules[i].build_id[k];
	codec_put_column(&w->columns, RECORDING_BUILD_IDS, CODEC_BYTES, values, used);
}

static uint64_t name_value(struct writer *w, enum recording_list list, const struct profile_name *name)
{
	switch (list) {
	case RECORDING_FUNCTIONS:
		return codec_string_number(&w->strings, name->function);
	case RECORDING_FILES:
		return codec_string_number(&w->strings, name->file);
	case RECORDING_SIGNATURES:
		return codec_string_number(&w->strings, name->signature);
	case RECORDING_LINES:
		return name->line;
	default:
		return name->inlined;
	}
}

static void put_name_column(struct writer *w, enum recording_list list, const struct profile_frame *frames, size_t count,
			    size_t names)
{
	uint64_t *values = value_room(w, names);
	size_t used = 0;

	for (size_t i = 0; i < count; i++)
		for (uint32_t k = 0; k < frames[i].name_count; k++)
			values[used++] = name_value(w, list, &frames[i].names[k]);
	codec_put_column(&w->columns, list, list == RECORDING_INLINED ? CODEC_VARINT : CODEC_DELTA, values, used);
}

static bool has_signature(const struct profile_frame *frames, size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (uint32_t k = 0; k < frames[i].name_count; k++)
			if (frames[i].names[k].signature)
				return true;
	return false;
}

static size_t text_bytes(const struct profile_frame *frame)
{
	size_t bytes = 0;

	for (uint32_t i = 0; i < frame->name_count; i++)
		bytes += 16 + (frame->names[i].function ? strlen(frame->names[i].function) : 0) +
			 (frame->names[i].file ? strlen(frame->names[i].file) : 0) +
			 (frame->names[i].signature ? strlen(frame->names[i].signature) : 0);
	return bytes;
}

/* How many rows make one chunk of names, and how many names they have: by rows, and by text as if none came twice. */
static size_t name_rows(const struct profile_frame *frames, size_t count, size_t *names)
{
	size_t rows = 0, bytes = 0;

	for (*names = 0; rows < count && rows < CODEC_ROWS_MAX && bytes < CHUNK_FILL; rows++) {
		*names += frames[rows].name_count;
		bytes += text_bytes(&frames[rows]);
	}
	return rows;
}

static void write_names(struct writer *w, const struct profile_process *process)
{
	size_t rows, names;

	for (size_t first = 0; first < process->frame_count; first += rows) {
		const struct profile_frame *frames = process->frames + first;
		uint64_t *values;

		rows = name_rows(frames, process->frame_count - first, &names);
		if (!names)
			continue;
		values = value_room(w, rows);
		for (size_t i = 0; i < rows; i++)
			values[i] = frames[i].name_count;
		codec_put_column(&w->columns, RECORDING_NAME_COUNTS, CODEC_VARINT, values, rows);
		for (enum recording_list list = RECORDING_FUNCTIONS; list <= RECORDING_INLINED; list++)
			put_name_column(w, list, frames, rows, names);
		if (has_signature(frames, rows))
			put_name_column(w, RECORDING_SIGNATURES, frames, rows, names);
		finish_chunk(w, RECORDING_NAMES, first, rows);
	}
}

/* ---- stacks ---- */

/* From the outermost frame inwards, so that stacks with the same callers stand together. */
static int compare_paths(const void *left, const void *right)
{
	const struct profile_stack *a = *(const struct profile_stack *const *)left;
	const struct profile_stack *b = *(const struct profile_stack *const *)right;
	uint32_t na = a->frame_count, nb = b->frame_count;

	while (na && nb) {
		uint32_t fa = a->frames[--na], fb = b->frames[--nb];

		if (fa != fb)
			return fa < fb ? -1 : 1;
	}
	if (na || nb)
		return na ? 1 : -1;
	return a < b ? -1 : a > b;
}

static uint32_t shared_frames(const struct profile_stack *a, const struct profile_stack *b)
{
	uint32_t n = 0;

	while (n < a->frame_count && n < b->frame_count &&
	       a->frames[a->frame_count - 1 - n] == b->frames[b->frame_count - 1 - n])
		n++;
	return n;
}

/* The frames of each stack that the one before it does not share, and how many those are. */
static void put_paths(struct writer *w, const struct profile_stack *const *sorted, size_t rows)
{
	uint64_t *shared = calloc(2 * rows, sizeof(uint64_t)), *own;
	size_t used = 0;

	if (!shared)
		die(EXIT_TROUBLE, "out of memory");
	own = shared + rows;
	for (size_t i = 0; i < rows; i++) {
		shared[i] = i ? shared_frames(sorted[i - 1], sorted[i]) : 0;
		own[i] = sorted[i]->frame_count - shared[i];
		value_room(w, used + own[i]);
		for (uint64_t k = own[i]; k-- > 0;)
			w->values[used++] = sorted[i]->frames[k];
	}
	codec_put_column(&w->columns, RECORDING_SHARED, CODEC_VARINT, shared, rows);
	codec_put_column(&w->columns, RECORDING_OWN, CODEC_VARINT, own, rows);
	codec_put_column(&w->columns, RECORDING_STACK_FRAMES, CODEC_DELTA, value_room(w, used), used);
	free(shared);
}

static void put_stacks(struct writer *w, const struct profile_stack *first, const struct profile_stack **sorted, size_t rows)
{
	struct profile_stack *copy = calloc(rows, sizeof(*copy));
	uint64_t *values;

	if (!copy)
		die(EXIT_TROUBLE, "out of memory");
	for (size_t i = 0; i < rows; i++)
		copy[i] = *sorted[i];
	put_fields(w, &recording_tables[RECORDING_STACKS], copy, rows);
	values = value_room(w, rows);
	for (size_t i = 0; i < rows; i++)
		values[i] = (uint64_t)(sorted[i] - first);
	codec_put_column(&w->columns, RECORDING_RANKS, CODEC_VARINT, values, rows);
	put_paths(w, sorted, rows);
	free(copy);
}

/* How many stacks make one chunk: by rows and by frames. */
static size_t stack_rows(const struct profile_stack *stacks, size_t count)
{
	size_t rows = 0, frames = 0;

	while (rows < count && rows < STACK_ROWS && (!rows || frames + stacks[rows].frame_count < CHUNK_FILL / 8))
		frames += stacks[rows++].frame_count;
	return rows;
}

static void write_stacks(struct writer *w, const struct profile_process *process)
{
	size_t rows;

	for (size_t first = 0; first < process->stack_count; first += rows) {
		const struct profile_stack **sorted;

		rows = stack_rows(process->stacks + first, process->stack_count - first);
		sorted = calloc(rows, sizeof(*sorted));
		if (!sorted)
			die(EXIT_TROUBLE, "out of memory");
		for (size_t i = 0; i < rows; i++)
			sorted[i] = &process->stacks[first + i];
		qsort(sorted, rows, sizeof(*sorted), compare_paths);
		put_stacks(w, &process->stacks[first], sorted, rows);
		free(sorted);
		finish_chunk(w, RECORDING_STACKS, first, rows);
	}
}

/* ---- one process ---- */

static void write_description(struct writer *w, const struct profile_process *process)
{
	put_fields(w, &recording_tables[RECORDING_PROCESS], process, 1);
	put_args(w, process);
	finish_chunk(w, RECORDING_PROCESS, 0, 1);
	put_fields(w, &recording_tables[RECORDING_KINDS], process->by_kind, MTRACE_KIND_COUNT);
	finish_chunk(w, RECORDING_KINDS, 0, MTRACE_KIND_COUNT);
}

static void write_table(struct writer *w, enum recording_type type, const struct profile_process *process)
{
	const struct recording_table *t = &recording_tables[type];
	bool has_text = type != RECORDING_FRAMES && type != RECORDING_LIVE && type != RECORDING_CHANGES &&
			type != RECORDING_ROWS;
	uint32_t rows_max = has_text ? TEXT_ROWS : CODEC_ROWS_MAX, count;
	const char *rows = recording_array(t, process, &count);

	for (uint32_t first = 0, n; first < count; first += n) {
		const void *from = rows + (size_t)first * t->row_bytes;

		n = count - first < rows_max ? count - first : rows_max;
		put_fields(w, t, from, n);
		if (type == RECORDING_MODULES)
			put_build_ids(w, from, n);
		finish_chunk(w, type, first, n);
	}
}

/* Parts are as they were put together. */
static void write_stream(struct writer *w, const struct profile_stream *stream)
{
	for (uint32_t i = 0; i < stream->part_count && !w->failed; i++) {
		const struct profile_stream_part *part = &stream->parts[i];
		struct codec_chunk chunk = {.type = RECORDING_STREAM, .process = w->process, .sequence = w->sequence++,
					    .raw_bytes = part->raw_bytes, .stored_bytes = part->stored_bytes,
					    .body_crc = part->crc};

		w->failed = codec_write_packed(w->out, &chunk, part->bytes);
	}
}

static void write_process(struct writer *w, const struct profile_process *process)
{
	write_description(w, process);
	for (enum recording_type type = RECORDING_COUNTERS; type < RECORDING_TYPES; type++)
		if (type == RECORDING_NAMES)
			write_names(w, process);
		else if (type == RECORDING_STACKS)
			write_stacks(w, process);
		else if (type == RECORDING_STREAM)
			write_stream(w, &process->stream);
		else if (type != RECORDING_ROWS || process->stream.part_count)
			write_table(w, type, process);
	codec_strings_free(&w->strings);
	w->process++;
}

/* ---- the file ---- */

static void write_header(struct writer *w, const struct profile *profile)
{
	uint8_t header[RECORDING_HEADER_BYTES] = {0};

	memcpy(header, RECORDING_MAGIC, 8);
	codec_store32(header + RECORDING_AT_VERSION, RECORDING_VERSION);
	codec_store32(header + RECORDING_AT_MIN_VERSION, RECORDING_MIN_VERSION);
	codec_store32(header + RECORDING_AT_HEADER_BYTES, RECORDING_HEADER_BYTES);
	codec_store32(header + RECORDING_AT_PROCESS_COUNT, profile->process_count);
	strncpy((char *)header + RECORDING_AT_TOOL_VERSION, mtrace_version, 15);
	codec_store32(header + RECORDING_AT_CRC, codec_crc(header, RECORDING_AT_CRC));
	if (fwrite(header, sizeof(header), 1, w->out) != 1)
		w->failed = -EIO;
}

static void write_end(struct writer *w)
{
	w->payload.used = 0;
	codec_put_varint(&w->payload, w->sequence);
	codec_put_varint(&w->payload, w->process);
	write_chunk(w, RECORDING_END, CODEC_REQUIRED);
}

static int write_profile(FILE *out, const struct profile *profile)
{
	struct writer w = {.out = out};

	write_header(&w, profile);
	for (uint32_t i = 0; i < profile->process_count && !w.failed; i++)
		write_process(&w, &profile->processes[i]);
	write_end(&w);
	errno = 0;
	if (fflush(out) != 0 && !w.failed)
		w.failed = errno ? -errno : -EIO;
	codec_buffer_free(&w.columns);
	codec_buffer_free(&w.payload);
	free(w.values);
	return w.failed;
}

static int fail(struct read_error *error, const char *path, int code, const char *advice)
{
	snprintf(error->text, sizeof(error->text), "%s: cannot write the recording: %s%s", path, strerror(-code), advice);
	return code;
}

static int write_to(int fd, const struct profile *profile)
{
	FILE *out = fdopen(fd, "wb");
	int code;

	if (!out) {
		code = -errno;
		close(fd);
		return code;
	}
	code = write_profile(out, profile);
	if (fclose(out) != 0 && !code)
		code = -errno;
	return code;
}

/* A name of our own in the directory of `path`: nobody else can have put a file or a link there. */
static int open_beside(const char *path, char *temporary, size_t bytes)
{
	for (unsigned attempt = 0; attempt < 100; attempt++) {
		int fd;

		if ((size_t)snprintf(temporary, bytes, "%s.%ld.%u.new", path, (long)getpid(), attempt) >= bytes)
			return -ENAMETOOLONG;
		fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd >= 0 || errno != EEXIST)
			return fd >= 0 ? fd : -errno;
	}
	return -EEXIST;
}

/* link() never replaces; file systems without links take the check and the rename in two steps. */
static int put_in_place(const char *temporary, const char *path, bool overwrite)
{
	if (!overwrite) {
		if (link(temporary, path) == 0)
			return unlink(temporary), 0;
		if (errno == EEXIST || access(path, F_OK) == 0)
			return -EEXIST;
	}
	return rename(temporary, path) == 0 ? 0 : -errno;
}

static int write_regular(const char *path, bool overwrite, const struct profile *profile)
{
	char temporary[4096];
	int fd = open_beside(path, temporary, sizeof(temporary)), code;

	if (fd < 0)
		return fd;
	code = write_to(fd, profile);
	if (!code)
		code = put_in_place(temporary, path, overwrite);
	if (code)
		unlink(temporary);
	return code;
}

static int write_special(const char *path, const struct profile *profile)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

	return fd < 0 ? -errno : write_to(fd, profile);
}

int write_recording(const char *path, bool overwrite, const struct profile *profile, struct read_error *error)
{
	struct stat st;
	bool exists = stat(path, &st) == 0;
	int code;

	if (exists && S_ISDIR(st.st_mode))
		return fail(error, path, -EISDIR, ": name a file in it");
	if (exists && !S_ISREG(st.st_mode))
		code = write_special(path, profile);
	else
		code = exists && !overwrite ? -EEXIST : write_regular(path, overwrite, profile);
	if (code == -EEXIST)
		return fail(error, path, code, ": name another file, or remove this one");
	return code ? fail(error, path, code, "") : 0;
}
