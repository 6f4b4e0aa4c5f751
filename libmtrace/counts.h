/*
 * counts: allocated and freed blocks and bytes per row, and the process's live bytes with their peak.
 * Monotonic, never zeroed. One event adds to one row; a reader may see the blocks of an event without its bytes, which
 * is the one event in flight. Lock-free, async-signal-safe, O(1). Bound: the rows'.
 */
#ifndef MTRACE_COUNTS_H
#define MTRACE_COUNTS_H

#include "guard.h"
#include "segment.h"

static inline struct mtrace_row *counts_row(uint32_t row)
{
	return (struct mtrace_row *)(void *)segment.base[MTRACE_REGION_ROWS] + row;
}

/* Relaxed: counters order nothing; a reader wants each value, not a relation between them. */
static inline void counts_allocated(uint32_t row, uint64_t bytes)
{
	struct mtrace_row *r = counts_row(row);
	atomic_fetch_add_explicit(&r->alloc_blocks, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&r->alloc_bytes, bytes, memory_order_relaxed);
}

static inline void counts_freed(uint32_t row, uint64_t bytes)
{
	if (!segment_id_ok(MTRACE_REGION_ROWS, row, sizeof(struct mtrace_row)))
		return;
	struct mtrace_row *r = counts_row(row);
	atomic_fetch_add_explicit(&r->freed_blocks, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&r->freed_bytes, bytes, memory_order_relaxed);
}

enum { COUNTS_LIVE_STEP = 65536 }; /* what a thread keeps to itself: the peak is exact within threads x 64 KiB */

/* Adds the thread's own share to the process's live bytes and raises the peak. */
void counts_flush_live(struct thread_state *self);

static inline void counts_live(struct thread_state *self, int64_t bytes)
{
	self->live_delta += bytes;
	if (unlikely(self->live_delta >= COUNTS_LIVE_STEP || self->live_delta <= -COUNTS_LIVE_STEP))
		counts_flush_live(self);
}

#endif
