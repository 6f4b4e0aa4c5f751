/* stream: see stream.h. */
#include "read/stream.h"

#include <stdlib.h>
#include <string.h>

#include "die.h"
#include "read/codec.h"
#include "read/read.h"

/* ---- writing ---- */

static uint64_t field(const struct lifetimes_event *e, enum stream_column column)
{
	switch (column) {
	case STREAM_NUMBER: return e->number;
	case STREAM_WHAT: return e->what;
	case STREAM_THREAD: return e->thread;
	case STREAM_ROW: return e->stack;
	case STREAM_ADDRESS: return e->address;
	case STREAM_SIZE: return e->size;
	default: return e->tick;
	}
}

static enum codec_encoding encoding(enum stream_column column)
{
	return column == STREAM_WHAT ? CODEC_BYTES : column == STREAM_SIZE || column == STREAM_ROW ? CODEC_VARINT : CODEC_DELTA;
}

static void put_columns(struct codec_buffer *raw, const struct lifetimes_event *events, size_t count)
{
	uint64_t *values = malloc(count * sizeof *values);
	if (!values)
		die(2, "out of memory");
	for (enum stream_column column = STREAM_NUMBER; column <= STREAM_COLUMNS; column++) {
		for (size_t i = 0; i < count; i++)
			values[i] = field(&events[i], column);
		codec_put_column(raw, column, encoding(column), values, count);
	}
	free(values);
}

void stream_writer_flush(struct stream_writer *w)
{
	struct codec_buffer raw = {0};
	struct codec_chunk chunk = {0};
	if (!w->count)
		return;
	put_columns(&raw, w->events, w->count);
	uint8_t *stored = codec_pack(&chunk, &raw, CODEC_QUICK); /* 65536 events have 3 MiB at most, raw */
	codec_buffer_free(&raw);
	w->count = 0;
	if (!stored)
		return;
	w->parts = codec_grow(w->parts, &w->part_capacity, w->part_count + 1, sizeof *w->parts);
	w->parts[w->part_count++] = (struct profile_stream_part){stored, (uint32_t)chunk.stored_bytes, (uint32_t)chunk.raw_bytes,
								 chunk.body_crc};
	w->stored_bytes += chunk.stored_bytes;
}

void stream_writer_put(struct stream_writer *w, const struct lifetimes_event *e)
{
	w->events = codec_grow(w->events, &w->capacity, w->count + 1, sizeof *w->events);
	w->events[w->count++] = *e;
	w->kept += (e->what & ~MTRACE_STREAM_POOL) != MTRACE_STREAM_GAP;
	if (w->count == STREAM_PART_EVENTS)
		stream_writer_flush(w);
}

void stream_writer_free(struct stream_writer *w)
{
	for (uint32_t i = 0; i < w->part_count; i++)
		free((void *)(uintptr_t)w->parts[i].bytes);
	free(w->parts);
	free(w->events);
	*w = (struct stream_writer){.count = 0};
}

void stream_writer_give(struct stream_writer *w, struct profile *profile, struct profile_stream *stream)
{
	stream_writer_flush(w);
	stream->parts = profile_alloc(profile, w->part_count, sizeof *stream->parts);
	for (uint32_t i = 0; i < w->part_count; i++) {
		uint8_t *bytes = profile_alloc(profile, w->parts[i].stored_bytes, 1);
		memcpy(bytes, w->parts[i].bytes, w->parts[i].stored_bytes);
		stream->parts[i] = w->parts[i];
		stream->parts[i].bytes = bytes;
		free((void *)(uintptr_t)w->parts[i].bytes);
	}
	stream->part_count = w->part_count;
	stream->events = w->kept;
	w->part_count = 0;
	stream_writer_free(w);
}

/* ---- reading ---- */

enum { THREADS_MOST = 65536 }; /* format.h */

static bool set_fields(struct lifetimes_event *events, size_t count, const struct codec_columns *columns)
{
	static const uint64_t most[STREAM_COLUMNS + 1] = {
		[STREAM_NUMBER] = UINT64_MAX, [STREAM_WHAT] = 15, [STREAM_THREAD] = THREADS_MOST - 1, [STREAM_ROW] = UINT32_MAX,
		[STREAM_ADDRESS] = UINT64_MAX, [STREAM_SIZE] = UINT64_MAX, [STREAM_TICK] = UINT64_MAX,
	};
	for (enum stream_column c = STREAM_NUMBER; c <= STREAM_COLUMNS; c++) {
		const struct codec_column *column = codec_column(columns, c);
		if (!column || column->count != count)
			return false;
		for (size_t i = 0; i < count; i++)
			if (column->values[i] > most[c])
				return false;
	}
	for (size_t i = 0; i < count; i++)
		events[i] = (struct lifetimes_event){
			.number = codec_column(columns, STREAM_NUMBER)->values[i],
			.what = (uint32_t)codec_column(columns, STREAM_WHAT)->values[i],
			.thread = (uint32_t)codec_column(columns, STREAM_THREAD)->values[i],
			.stack = (uint32_t)codec_column(columns, STREAM_ROW)->values[i],
			.address = codec_column(columns, STREAM_ADDRESS)->values[i],
			.size = codec_column(columns, STREAM_SIZE)->values[i],
			.tick = codec_column(columns, STREAM_TICK)->values[i],
		};
	return true;
}

/* Into `events`, which has room for a part's. Returns how many, 0: it is damaged. */
static size_t open_part(const struct profile_stream_part *part, struct lifetimes_event *events)
{
	struct codec_chunk chunk = {.raw_bytes = part->raw_bytes, .stored_bytes = part->stored_bytes, .body_crc = part->crc};
	struct codec_columns columns;
	uint8_t *raw = NULL;
	size_t count = 0;
	if (codec_unpack(&chunk, part->bytes, &raw) != CODEC_OK)
		return 0;
	struct codec_cursor c = {raw, raw + part->raw_bytes, false};
	if (codec_get_columns(&c, &columns) && columns.count)
		count = columns.column[0].count;
	if (count > STREAM_PART_EVENTS || !set_fields(events, count, &columns))
		count = 0;
	codec_columns_free(&columns);
	free(raw);
	return count;
}

static uint32_t stack_of(const struct profile_process *process, uint32_t row)
{
	uint32_t stack = row < process->row_count ? process->stack_of_row[row] : UINT32_MAX;
	return stack < process->stack_count ? stack : UINT32_MAX;
}

uint32_t read_stream_events(const struct profile_process *process, read_stream_taker *take, void *context)
{
	struct lifetimes_event *events = malloc(STREAM_PART_EVENTS * sizeof *events);
	uint32_t damaged = 0;
	if (!events)
		die(2, "out of memory");
	for (uint32_t i = 0; i < process->stream.part_count; i++) {
		size_t count = open_part(&process->stream.parts[i], events);
		damaged += count == 0;
		for (size_t k = 0; k < count; k++) {
			events[k].stack = stack_of(process, events[k].stack);
			take(context, &events[k]);
		}
	}
	free(events);
	return damaged;
}

static void take_lifetime(void *context, const struct lifetimes_event *e)
{
	lifetimes_take(context, e);
}

uint32_t read_lifetimes(const struct profile_process *process, struct lifetimes *lifetimes)
{
	lifetimes_begin(lifetimes, process->stack_count);
	uint32_t damaged = read_stream_events(process, take_lifetime, lifetimes);
	lifetimes_finish(lifetimes);
	return damaged;
}
