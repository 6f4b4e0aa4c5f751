/*
 * stream: every event of the process, for a bounded time, into parts of the segment that a reader drains (format.h): for
 * --events. Off but for that time. The tracker puts events in; event keeps each thread in step; control begins one.
 *
 * A thread's pen says where it writes. It takes a part by compare-and-swap of the part's round, which only grows and is
 * ours, not the segment's; a part is free when the control page says that its last round was drained. What the page says
 * is hostile: a wrong word costs records that nobody read, nothing else.
 *
 * Guarantees
 *   M1 a part is written by one thread, from the round it took it in until it closes it, and never by a handler that
 *      interrupted it: a nested event is dropped, counted.
 *   M2 `count` is stored after the records that it counts, and a record is not written again in the round.
 *   M3 numbers are unique, and if one event happens before another, as the allocator's hand-over of a block makes a free
 *      before the next allocation there, its number is lower: they are read-modify-writes of one word, and these are
 *      ordered as what they happen in is, relaxed or not.
 *   M4 nobody waits: without a free part an event is dropped, before it takes a number; after that its thread drops
 *      STREAM_SKIP events before it looks again, so that a reader that is gone costs little.
 *   M5 it ends: the first look at the clock after its time, or after the reader wants no more, ends it for all.
 *   After kill -9: what `count` says is whole; a number may be missing for each thread.
 *
 *   word                    | writers                  | readers         | order
 *   number (private)        | any thread, fetch_add    | any thread      | relaxed: M3
 *   rounds (private)        | any thread, CAS          | any thread      | relaxed: the drained word orders what was read
 *   part.round              | who took the part        | other processes | release, after count, closed, thread and lost
 *   part.count              | who took the part        | other processes | release: M2
 *   part.closed             | who took the part        | other processes | release: after the last count
 *   control.stream_drained  | the reader               | any thread      | acquire: the reader is done with the records
 *   ordinal (private)       | begin; who ends it, CAS  | any thread      | release / acquire: head and number before it
 *
 * A thread that ends without a word keeps its last part from others until the segment ends. Lock-free, async-signal-safe; a
 * few instructions an event, one written line that all threads share (the number); O(MTRACE_STREAM_PARTS) to find a part.
 * Bound: MTRACE_STREAM_PARTS parts of 8 KiB, less where the segment has less room.
 */
#ifndef MTRACE_STREAM_H
#define MTRACE_STREAM_H

#include "guard.h"
#include "segment.h"

enum { STREAM_SKIP = 1024 };

/* Once per process, after the segment is there: begins what events= asks for. */
void stream_init(void);

/* For so many milliseconds from `tick` on; not while one is on. */
void stream_begin(uint64_t ms, uint64_t tick);

/* The thread has looked at the clock: it begins, goes on or ends as the stream does. */
void stream_look(struct thread_state *self);

/* The thread will write no more into its part. */
void stream_close(struct stream_pen *pen);

/* A part for the thread's next record. false: there is none, and the event is counted as dropped; or there is no stream. */
bool stream_turn(struct thread_state *self);

/* An event that cannot be in the stream. */
void stream_drop(struct thread_state *self);

/* The number of the next event. */
extern struct stream_numbers {
	_Atomic uint64_t next;
	char alone[56];
} stream_numbers SHIM_OWN;

static inline uint64_t stream_number(void)
{
	return atomic_fetch_add_explicit(&stream_numbers.next, 1, memory_order_relaxed); /* M3 */
}

static inline bool stream_has_room(struct thread_state *self)
{
	return likely(self->pen.place) || stream_turn(self);
}

/* After stream_has_room. A thread that leaves by a jump half way leaves a record that is not counted, or one that is whole. */
static inline void stream_write(struct thread_state *self, uint32_t what, uint64_t number, uintptr_t address, uint32_t row,
				uint64_t size)
{
	struct stream_pen *pen = &self->pen;
	int64_t place = pen->place;
	struct mtrace_stream_record *r = &pen->end[place];
	size = likely(size <= MTRACE_STREAM_SIZE_MOST) ? size : MTRACE_STREAM_SIZE_MOST;
	atomic_store_explicit(&r->word[0], number << 24 | pen->stamp | what, memory_order_relaxed);
	atomic_store_explicit(&r->word[1], address, memory_order_relaxed);
	atomic_store_explicit(&r->word[2], size << MTRACE_SLOT_ROW_BITS | row, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	pen->place = place + 1;
	atomic_store_explicit(&pen->part->count, (uint32_t)(place + 1 + MTRACE_STREAM_RECORDS), memory_order_release); /* M2 */
}

static inline void stream_put(struct thread_state *self, uint32_t what, uintptr_t address, uint32_t row, uint64_t size)
{
	if (stream_has_room(self))
		stream_write(self, what, stream_number(), address, row, size);
}

#endif
