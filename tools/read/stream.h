/*
 * stream: the parts of a stream in a recording (chunks of type STREAM): columns of events, in the order of their numbers,
 * compressed when there are enough of them, and opened one at a time when somebody asks. So neither who drains a process
 * nor who reads a recording ever holds all events.
 *
 * A row's `stack` is here the row id of the segment: what stack that is, is known at the end only (RECORDING_ROWS).
 */
#ifndef MTRACE_READ_STREAM_H
#define MTRACE_READ_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/lifetimes.h"
#include "model/profile.h"

#define STREAM_PART_EVENTS 65536u

/* Columns of a part. Append only. */
enum stream_column {
	STREAM_NUMBER = 1,
	STREAM_WHAT,
	STREAM_THREAD,
	STREAM_ROW,
	STREAM_ADDRESS,
	STREAM_SIZE,
	STREAM_TICK,
	STREAM_COLUMNS = STREAM_TICK
};

/* Events gathered into parts. */
struct stream_writer {
	struct lifetimes_event *events; /* not in a part yet */
	size_t count, capacity;
	struct profile_stream_part *parts; /* their bytes are malloc'd */
	uint32_t part_count;
	size_t part_capacity;
	uint64_t stored_bytes;
	uint64_t kept; /* allocations and frees in all */
};
void stream_writer_put(struct stream_writer *w, const struct lifetimes_event *e);
void stream_writer_flush(struct stream_writer *w); /* what was gathered becomes a part */
void stream_writer_free(struct stream_writer *w);
/* Moves the parts into the profile's memory. */
void stream_writer_give(struct stream_writer *w, struct profile *profile, struct profile_stream *stream);

#endif
