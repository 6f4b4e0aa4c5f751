/*
 * epochs: time cut at boundaries, every ten seconds and at every mark (format.h, history).
 *
 * The epoch is the low half of the owner page's `generation`, which every event compares with what its thread saw last:
 * so a thread knows of a new epoch at its next event, at no cost. There is no clock of ours: the first hook that looks at
 * the time and finds a new window opens it; while a process does nothing, nothing is opened, and its counts are constant.
 *
 * Invariants
 *   E1 a boundary is pending before its epoch ends, and there afterwards: who is in a later epoch finds it (pairs:
 *      epochs_now), and gives up no count that it needs.
 *   E2 an epoch is ended by one compare-and-swap; who loses it takes the next one for its boundary.
 *   E3 a boundary is given up by one store of `state`, and never comes back.
 *   After kill -9: a boundary that is not there is unknown; epochs go on over it.
 *
 *   op         | epochs_look, epochs_end_at_mark | epochs_kept
 *   any of ours| nobody waits; who finds a place taken does without, counted for marks | a boundary of a later epoch may miss
 *
 * Lock-free, async-signal-safe. O(1) a window; O(MTRACE_BOUNDARIES_OF_MARKS) a mark, its square once in 32 when they
 * are full. Bound: MTRACE_BOUNDARIES of 64 bytes; 2^32 epochs, then no more end.
 */
#ifndef MTRACE_EPOCHS_H
#define MTRACE_EPOCHS_H

#include "guard.h"
#include "segment.h"

enum { EPOCH_FIRST = 1 };

/* window_ms: the shortest window. */
bool epochs_init(uint64_t window_ms);

/* The epoch of this instant. Acquire pairs with the release of whoever ended the one before (E1). */
static inline uint32_t epochs_now(void)
{
	return (uint32_t)atomic_load_explicit(&owner_page->generation, memory_order_acquire);
}

/* When the window began that `tick` lies in. */
uint64_t epochs_window_begin(uint64_t tick);

/* Somebody looked at the clock: ends the epoch if a window is over. */
void epochs_look(uint64_t tick);

/* Ends the epoch for a mark. */
void epochs_end_at_mark(uint32_t mark, uint64_t mono_ns);

/* Calls put(epoch, context) for the epochs whose boundaries are kept, in no order; at most MTRACE_BOUNDARIES times. */
void epochs_kept(void (*put)(uint32_t epoch, void *context), void *context);

#endif
