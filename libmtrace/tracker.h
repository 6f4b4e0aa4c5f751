/*
 * tracker: what happens to the record when the host allocates, frees, maps, starts a thread. Called by the hooks, only
 * while guard_tracking(). It composes the stores; it knows no symbol of libc and calls no allocator.
 *
 * Order (design 5.1): an allocation is recorded after the real call, a free before it, a reallocation on both sides.
 * Every function preserves errno, is async-signal-safe and re-entrant (a signal handler may allocate while its thread
 * is in here), and holds no lock. Cost: a walk of the stack, a table entry, a few counters.
 */
#ifndef MTRACE_TRACKER_H
#define MTRACE_TRACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "counts.h"
#include "event.h"
#include "here.h"
#include "live.h"
#include "unwind/unwind.h"

/* Once per process, after the segment is there and before anything is recorded. */
bool tracker_init(void);

/* `here` is the frame of the entry point, which must be there until this returns. */
void tracker_allocated(const void *p, size_t size, const struct here *here);
void tracker_freeing(const void *p);

/* Where the usual event (usual.h), under way, finds that it is not: the rest of it, until it is left. They return p, so that
   their callers need not keep it. finish_changed is called with the frame of `here`. */
void *tracker_finish_changed(void *p, size_t size, const struct here *here); /* the row is not known yet */
void *tracker_finish_put(void *p, uint32_t row, size_t size, uint64_t leaf, struct mtrace_live_line *line,
			 uint64_t home);                                     /* its live_place; leaf 0: it was not found */
void *tracker_finish_due(void *p, uint32_t row, size_t size);                /* in the table; counts_live_is_due */
void *tracker_finish_elsewhere(void *p, uint32_t row, size_t size);          /* in the table; usually the row has no tally */
void *tracker_finish_freed_due(void *p, uint32_t row, size_t size, uint32_t side);
void *tracker_finish_freed_elsewhere(void *p, uint32_t row, size_t size, uint32_t side);
/* The block is in the table: counts it, and leaves the event. Here, since most events have it in the hook itself. */
static inline __attribute__((always_inline)) void *tracker_count_allocated(struct thread_state *self,
									   const struct workspace *work, void *p,
									   uint32_t row, size_t size)
{
	if (counts_live_is_due(self, (int64_t)size))
		return tracker_finish_due(p, row, size);
	struct mtrace_tally *tally = counts_tally(&work->tallies, row);
	if (unlikely(!counts_is_own(tally, row)))
		return tracker_finish_elsewhere(p, row, size);
	counts_add_allocated(tally, size);
	self->allocated = p;
	event_go_out(self);
	return p;
}

/* The block is not where was looked. false: nor anywhere; nothing is counted. */
bool tracker_finish_freeing(void *p);

/* C++ operators of the allocator's own object may or may not call malloc and free on their way, through our hooks.
   new: begin before the real operator, allocated after it: recorded unless the way went through malloc.
   delete: deleting before it, deleted after it: a free of the same block in between is not another one. */
void tracker_operator_begin(void);
void tracker_operator_allocated(const void *p, size_t size, const struct here *here);
void tracker_operator_deleting(const void *p);
void tracker_operator_deleted(void);

/* One realloc: begin before the real call, end after it with its result (NULL: it failed, or freed a size of 0). */
struct tracker_move {
	struct live_move move;
	bool known;      /* the old block was recorded */
	bool in_stream;  /* the old block's free has a number: */
	uint64_t number;
};
void tracker_realloc_begin(struct tracker_move *m, const void *old);
void tracker_realloc_end(struct tracker_move *m, const void *old, const void *now, size_t size,
                         const struct unwind_start *at);

void tracker_pool_allocated(const void *p, size_t size, const struct unwind_start *at);
void tracker_pool_freeing(const void *p);

/* What JNI hands out, by a kind's own key (enum mtrace_family). A release of what is not known is counted, and nothing else:
   the JVM makes references of its own. */
struct tracker_handle {
	enum mtrace_kind kind;
	enum mtrace_family family;
	uintptr_t key;
};
void tracker_jni_made(const struct tracker_handle *handle, size_t size, const struct unwind_start *at);
void tracker_jni_releasing(const struct tracker_handle *handle);
/* A release that the JVM may refuse: begin before the real call, end after it. */
bool tracker_jni_release_begin(const struct tracker_handle *handle, struct live_move *move);
void tracker_jni_release_end(const struct live_move *move, bool done);

void tracker_mapped(const void *p, size_t bytes, uint32_t flags, const struct unwind_start *at);
/* A range that goes: tracker_remap_begin before the real call, this after it. */
void tracker_unmap_end(uint32_t token, const void *p, size_t bytes, bool done);
uint32_t tracker_remap_begin(const void *p, size_t bytes);
void tracker_remap_end(uint32_t token, const void *now, size_t bytes, const struct unwind_start *at); /* NULL: failed */

/* The stack that creates a thread; its row goes to the thread's birth record. */
uint32_t tracker_thread_created(uint64_t stack_bytes, const struct unwind_start *at);
/* The thread was not started after all. */
void tracker_thread_failed(uint32_t row, uint64_t stack_bytes);
void tracker_thread_started(uint32_t row, uint64_t stack_bytes);
void tracker_thread_ended(void);
void tracker_thread_named(uintptr_t handle, const char *name);

void tracker_mark(const char *name, uint32_t flags);

/* A JVM is about to throw its error: kept, and a mark. The id of exhaustions.h; 0: only counted. */
uint32_t tracker_exhausted(uint32_t what, const char *text);

/* The process forked, and this is the parent. A library was unloaded, or may have been. The process ends. */
void tracker_forked(void);
void tracker_unloaded(void);
void tracker_ending(uint32_t end, int status);

/* Before recording goes on after a pause: what was live then is given up, since nobody saw what became of it. By one thread,
   while nobody records; takes as long as there are blocks. */
void tracker_give_up(void);

#endif
