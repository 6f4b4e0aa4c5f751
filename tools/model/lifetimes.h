/*
 * lifetimes: how long blocks lived, by the events of a stream (--events): which were temporary, after how many operations
 * and how much time they were freed, and by whom. Pure: it is given events in the order of their numbers.
 *
 * An operation is an allocation or a free; a reallocation is a free and an allocation. A block is temporary when the next
 * operation of the thread that allocated it is its free. What is not seen is never guessed: blocks older than the stream
 * have no lifetime, nor have those that outlive it; one whose address is allocated again, or is freed as another block, was
 * freed unseen. Events that a thread lost count as operations of it, so none before them is freed by the next one after.
 *
 * Memory: what is live by the events, some 64 bytes a block, and what stacks and threads need. O(1) an event.
 */
#ifndef MTRACE_LIFETIMES_H
#define MTRACE_LIFETIMES_H

#include <stddef.h>
#include <stdint.h>

#include "format.h"

struct lifetimes_event {
	uint64_t number;
	uint64_t address;
	uint64_t size;   /* of a gap: how many events the thread lost */
	uint64_t tick;   /* since the segment was made; its thread's idea of it, which may be a thousand events old */
	uint32_t what;   /* enum mtrace_stream_what; MTRACE_STREAM_POOL beside it */
	uint32_t thread; /* id */
	uint32_t stack;  /* index in stacks, UINT32_MAX unknown */
};

/* Operations of the allocating thread until the free, itself included: 1, up to 10, 100, … 1 000 000, more. */
enum { LIFETIMES_OPERATIONS = 8 };
/* Time until the free: less than 1/8 s (two ticks), up to 1 s, 10 s, 100 s, more. */
enum { LIFETIMES_TIMES = 5 };

struct lifetimes_row {
	uint32_t stack; /* index in stacks, UINT32_MAX unknown */
	uint64_t allocated_blocks, allocated_bytes;
	uint64_t freed_blocks, freed_bytes; /* of these, within the stream */
	uint64_t temporary_blocks, temporary_bytes;
	uint64_t elsewhere_blocks;          /* of the freed: by another thread */
	uint64_t unseen_blocks;             /* freed, but not as an event that is there */
	uint64_t by_operations[LIFETIMES_OPERATIONS], by_time[LIFETIMES_TIMES]; /* of the freed */
};

struct lifetimes {
	struct lifetimes_row total; /* of all stacks */
	struct lifetimes_row *rows; /* with lifetimes_finish: most temporary blocks first; only stacks that allocated */
	size_t row_count;
	uint64_t events;       /* allocations and frees */
	uint64_t older_blocks; /* freed, but allocated before the stream, or unseen */
	uint64_t lost;         /* that threads said they lost */
	struct lifetimes_state *state;
};

void lifetimes_begin(struct lifetimes *l, uint32_t stack_count);
void lifetimes_take(struct lifetimes *l, const struct lifetimes_event *e);
void lifetimes_finish(struct lifetimes *l);
void lifetimes_free(struct lifetimes *l);

/* Blocks that the events say are live at the end of the stream. */
static inline uint64_t lifetimes_outlived(const struct lifetimes_row *r)
{
	return r->allocated_blocks - r->freed_blocks - r->unseen_blocks;
}

#endif
