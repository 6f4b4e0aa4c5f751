#include "stream.h"

#include <string.h>

#include "options.h"

struct stream_numbers stream_numbers __attribute__((aligned(64)));

/* Ours, not the segment's: all of a new process's. */
static struct {
	_Atomic uint32_t ordinal; /* of the stream that is on, 0 none; ENDING: one thread is writing down its end */
	uint32_t last;            /* ordinal given out */
	uint64_t deadline;        /* tick */
	_Atomic uint32_t parts;   /* that are there */
	_Atomic uint32_t next;    /* where to look for a free one first */
	_Atomic uint32_t rounds[MTRACE_STREAM_PARTS];
} stream;

#define ENDING 0x80000000u

static struct mtrace_stream_head *head(void)
{
	return (struct mtrace_stream_head *)(void *)segment.base[MTRACE_REGION_STREAM];
}

static struct mtrace_stream_part *part_at(uint32_t i)
{
	return (struct mtrace_stream_part *)(void *)(head() + 1) + i;
}

static struct mtrace_stream_record *records_at(uint32_t i)
{
	char *first = segment.base[MTRACE_REGION_STREAM] + MTRACE_STREAM_PARTS_OFFSET;
	return (struct mtrace_stream_record *)(void *)(first + (size_t)i * MTRACE_STREAM_PART_BYTES);
}

/* ---- begin and end ----------------------------------------------------------------------------------- */

void stream_init(void)
{
	memset(&stream, 0, sizeof stream);
	atomic_store_explicit(&stream_numbers.next, 0, memory_order_relaxed);
	if (options.events)
		stream_begin(options.events, 0);
}

static uint64_t ticks_of(uint64_t ms)
{
	return (ms * MTRACE_TICKS_PER_SECOND + 999) / 1000;
}

/* One caller at a time: the process's start, then who carries a command out. acquire pairs with the end of the last one. */
void stream_begin(uint64_t ms, uint64_t tick)
{
	if (atomic_load_explicit(&stream.ordinal, memory_order_acquire) || ms == 0 || ms > MTRACE_STREAM_MS_MOST)
		return;
	if (!segment_ensure(MTRACE_REGION_STREAM, MTRACE_STREAM_PARTS_OFFSET + MTRACE_STREAM_PART_BYTES)) {
		segment_count(MTRACE_COUNTER_stream_dropped);
		return;
	}
	struct mtrace_stream_head *h = head();
	uint32_t ordinal = ++stream.last;
	stream.deadline = tick + ticks_of(ms);
	h->begin_tick = tick;
	h->asked_ms = ms;
	h->dropped = atomic_load_explicit(&segment.header->counters[MTRACE_COUNTER_stream_dropped], memory_order_relaxed);
	atomic_store_explicit(&h->first, atomic_load_explicit(&stream_numbers.next, memory_order_relaxed), memory_order_relaxed);
	atomic_store_explicit(&h->ordinal, ordinal, memory_order_release);   /* readers: the rest of the head */
	atomic_store_explicit(&stream.ordinal, ordinal, memory_order_release); /* pairs: stream_look */
}

/* What threads that do not know yet still put in has a number that is not below `end`. */
static void end(uint32_t ordinal, uint64_t tick)
{
	struct mtrace_stream_head *h = head();
	if (!atomic_compare_exchange_strong_explicit(&stream.ordinal, &ordinal, ordinal | ENDING, memory_order_relaxed,
						     memory_order_relaxed))
		return;
	uint64_t next = atomic_load_explicit(&stream_numbers.next, memory_order_relaxed);
	atomic_store_explicit(&h->end, next, memory_order_relaxed);
	atomic_store_explicit(&h->end_tick, tick, memory_order_relaxed);
	atomic_store_explicit(&h->ended, ordinal, memory_order_release); /* readers: end and end_tick */
	atomic_store_explicit(&stream.ordinal, 0, memory_order_release); /* pairs: stream_begin */
}

/* An ordinal that is ending is nobody's: threads leave it. */
static uint32_t now_on(uint64_t tick)
{
	uint32_t ordinal = atomic_load_explicit(&stream.ordinal, memory_order_acquire); /* pairs: stream_begin */
	if (likely(!ordinal) || ordinal & ENDING)
		return 0;
	if (tick < stream.deadline &&
	    atomic_load_explicit(&segment.control->stream_stop, memory_order_relaxed) != ordinal)
		return ordinal;
	end(ordinal, tick);
	return 0;
}

void stream_close(struct stream_pen *pen)
{
	if (pen->part)
		atomic_store_explicit(&pen->part->closed, 1, memory_order_release); /* after the last count */
	pen->part = NULL;
	pen->place = 0;
}

void stream_look(struct thread_state *self)
{
	uint32_t ordinal = now_on(self->tick);
	if (unlikely(self->pen.ordinal != ordinal)) {
		stream_close(&self->pen);
		self->pen = (struct stream_pen){.ordinal = ordinal};
	}
	self->pen.stamp = (self->tick & 0xfffff) << 4;
}

/* ---- parts ------------------------------------------------------------------------------------------- */

/* acquire: who drained it is done with it. */
static bool take(uint32_t i, uint32_t *round)
{
	uint32_t last = atomic_load_explicit(&stream.rounds[i], memory_order_relaxed);
	if (atomic_load_explicit(&segment.control->stream_drained[i], memory_order_acquire) != last)
		return false;
	*round = last + 1;
	return atomic_compare_exchange_strong_explicit(&stream.rounds[i], &last, *round, memory_order_relaxed,
						       memory_order_relaxed);
}

/* One more is there than there were. Losing the race to another thread is success. */
static bool add_part(uint32_t parts)
{
	uint32_t more = parts + 1, told = parts;
	if (parts == MTRACE_STREAM_PARTS ||
	    !segment_ensure(MTRACE_REGION_STREAM, MTRACE_STREAM_PARTS_OFFSET + (uint64_t)more * MTRACE_STREAM_PART_BYTES))
		return false;
	/* readers' count first: it is never below what may have been written */
	atomic_compare_exchange_strong_explicit(&head()->parts, &told, more, memory_order_relaxed, memory_order_relaxed);
	atomic_compare_exchange_strong_explicit(&stream.parts, &parts, more, memory_order_relaxed, memory_order_relaxed);
	return true;
}

/* The first free one of `looks` parts, from where the last one was found on: parts are drained in about the order in which
   they were taken. MTRACE_STREAM_PARTS: none. */
static uint32_t find_drained(uint32_t parts, uint32_t looks, uint32_t *round)
{
	uint32_t from = atomic_load_explicit(&stream.next, memory_order_relaxed);
	for (uint32_t n = 0; n < looks; n++) {
		uint32_t i = (from + n) % parts;
		if (take(i, round)) {
			atomic_store_explicit(&stream.next, i + 1, memory_order_relaxed);
			return i;
		}
	}
	return MTRACE_STREAM_PARTS;
}

/* A drained one at hand, else a new one, else a drained one anywhere. MTRACE_STREAM_PARTS: none. */
static uint32_t find_part(uint32_t *round)
{
	enum { AT_HAND = 8, TRIES = 64 };
	for (int tries = 0; tries < TRIES; tries++) { /* each failure is a part more, which another thread took */
		uint32_t parts = atomic_load_explicit(&stream.parts, memory_order_relaxed);
		uint32_t i = find_drained(parts, parts < AT_HAND ? parts : AT_HAND, round);
		if (i < MTRACE_STREAM_PARTS)
			return i;
		if (!add_part(parts))
			return find_drained(parts, parts, round);
		atomic_store_explicit(&stream.next, parts, memory_order_relaxed);
	}
	return MTRACE_STREAM_PARTS;
}

static void begin_part(struct thread_state *self, uint32_t i, uint32_t round)
{
	struct mtrace_stream_part *part = part_at(i);
	part->thread = self->id;
	part->lost = self->pen.lost;
	atomic_store_explicit(&part->count, 0, memory_order_relaxed);
	atomic_store_explicit(&part->closed, 0, memory_order_relaxed);
	atomic_store_explicit(&part->round, round, memory_order_release);
	self->pen.lost = 0;
	self->pen.end = records_at(i) + MTRACE_STREAM_RECORDS;
	self->pen.part = part;
	atomic_signal_fence(memory_order_seq_cst); /* a jump before this leaves a part that nobody writes */
	self->pen.place = -(int64_t)MTRACE_STREAM_RECORDS;
}

__attribute__((cold, noinline)) void stream_drop(struct thread_state *self)
{
	self->pen.lost++;
	segment_count(MTRACE_COUNTER_stream_dropped);
}

__attribute__((noinline)) bool stream_turn(struct thread_state *self)
{
	struct stream_pen *pen = &self->pen;
	uint32_t round = 0, i = MTRACE_STREAM_PARTS;
	if (!pen->ordinal)
		return false;
	if (!pen->skip) {
		stream_close(pen);
		i = find_part(&round);
		pen->skip = STREAM_SKIP;
	}
	if (i < MTRACE_STREAM_PARTS) {
		pen->skip = 0;
		begin_part(self, i, round);
		return true;
	}
	pen->skip--;
	stream_drop(self);
	return false;
}
