/*
 * usual: nearly every malloc and free, in the hook itself: one straight line that calls nothing. Called by hooks.
 *
 * One comparison (guard.h, G2) says that the event is recorded, whose the thread's state is, and in which epoch; then the
 * stack is one walked lately, the block's home in the live table is empty, or has the block, and its row has a tally of
 * the thread's. Whatever is otherwise is left to the tracker, which goes on where this is: tracker_finish_*. Every step is
 * what the tracker's own functions do, in their order: their invariants hold here for the same reasons.
 */
#ifndef MTRACE_USUAL_H
#define MTRACE_USUAL_H

#include "capture.h"
#include "counts.h"
#include "event.h"
#include "here.h"
#include "live.h"
#include "tracker.h"

/* false: nothing was done; the tracker's whole event does it. `here` is an address of the hook's frame. */
static inline __attribute__((always_inline)) bool usual_begin(struct thread_state *self, uintptr_t here)
{
	if (unlikely(self->usual != atomic_load_explicit(&owner_page->generation, memory_order_relaxed)) ||
	    unlikely(self->entered) || unlikely(--self->events_left < 0))
		return false;
	event_go_in_simply(self, here);
	return true;
}

/* p. The block's line of the live table is asked for before the stack is known, and is on its way meanwhile. */
static inline __attribute__((always_inline)) void *usual_allocated(struct thread_state *self, void *p, size_t size,
								   const struct here *here)
{
	struct workspace *work = self->work;
	struct live_place place =
		live_place_in(live_leaf_remembered(MTRACE_FAMILY_MALLOC, (uintptr_t)p, &work->near), (uintptr_t)p);
	__builtin_prefetch(place.line, 1);
	uint32_t row = capture_again(work, MTRACE_KIND_MALLOC, here->pc, (uintptr_t)(here + 1), &here->fp);
	if (unlikely(!row))
		return tracker_finish_changed(p, size, here);
	if (live_mixed(place.line) != LIVE_BY_HOME)
		return tracker_finish_put(p, row, size, place.leaf, place.line, place.home);
	if (unlikely(size >= MTRACE_SLOT_SIZE_HUGE) ||
	    unlikely(!live_put_home(place, live_word((uintptr_t)p, row, size), self->side)))
		return tracker_finish_put(p, row, size, place.leaf, place.line, place.home);
	return tracker_count_allocated(self, work, p, row, size);
}

/* false: the block is not where was looked; tracker_finish_freeing is to look elsewhere. */
static inline __attribute__((always_inline)) bool usual_drop(struct thread_state *self, const void *p, struct live_block *old)
{
	uint64_t leaf = live_leaf_remembered(MTRACE_FAMILY_MALLOC, (uintptr_t)p, &self->work->near);
	return likely(live_drop_home(live_place_in(leaf, (uintptr_t)p), (uintptr_t)p, old));
}

/* p; after usual_drop. */
static inline __attribute__((always_inline)) void *usual_freed(struct thread_state *self, void *p,
							       const struct live_block *old)
{
	if (counts_live_is_due(self, -(int64_t)old->size))
		return tracker_finish_freed_due(p, old->row, old->size, old->side);
	struct mtrace_tally *tally = counts_tally(&self->work->tallies, old->row);
	if (unlikely(!counts_is_own(tally, old->row)))
		return tracker_finish_freed_elsewhere(p, old->row, old->size, old->side);
	counts_add_freed(tally, old->size, old->side < self->aged_side);
	event_go_out(self);
	return p;
}

#endif
