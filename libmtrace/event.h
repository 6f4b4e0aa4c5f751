/*
 * event: one call of a hook, from the inside: whose thread, may it use its workspace, and what time brings with it (a look
 * at the clock, a new epoch, a command of `mtrace`). Called by tracker at the beginning and the end of everything it does.
 *
 * `entered` decides whose the workspace is, by one store: a handler that comes before it has come and gone, and one that
 * comes after it is nested and does without. `inside` is what a crash report looks at: stored before anything else of ours
 * runs in the event. Async-signal-safe, re-entrant; a few instructions but where the thread is new or the clock is due.
 */
#ifndef MTRACE_EVENT_H
#define MTRACE_EVENT_H

#include "epochs.h"
#include "guard.h"
#include "threads.h"
#include "workspace.h"

/* One call of a hook. */
struct event {
	struct thread_state *self;
	struct workspace *work; /* NULL: none to be had, or a hook that a handler interrupted has it */
	bool nested;
};

/* Gives the calling thread its identity in this process, its workspace and its news. */
void event_begin_thread(struct thread_state *self, const struct thread_birth *birth);

/* The thread is new, or its process is, or a new epoch began. */
void event_catch_up(struct thread_state *self);

/* What is due now and then. Only in the outermost hook of a thread. */
void event_look_around(struct thread_state *self);

/* Is the hook that `entered` speaks of still under way, beneath us? If not, what it left half way is mended. */
bool event_is_nested(const struct thread_state *self, uintptr_t here);

/* A thread without a record has never begun, though in a forked child its generation, 0, is the page's: such a child goes on
   with a hook that its fork interrupted. */
static inline bool event_is_current(const struct thread_state *self)
{
	return likely(self->generation == atomic_load_explicit(&owner_page->generation, memory_order_relaxed)) &&
	       likely(self->record);
}

static inline void event_go_in_simply(struct thread_state *self, uintptr_t here)
{
	self->entered = here;
	atomic_signal_fence(memory_order_seq_cst);
	atomic_store_explicit(&self->record->inside, 1, memory_order_relaxed);
}

static inline void event_go_in(struct thread_state *self, uintptr_t here)
{
	event_go_in_simply(self, here);
	if (threads_tick_due(self))
		event_look_around(self);
}

static inline void event_go_out(struct thread_state *self)
{
	atomic_store_explicit(&self->record->inside, 0, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	self->entered = 0;
}

static inline __attribute__((always_inline)) struct event event_enter_at(uintptr_t here)
{
	struct thread_state *self = &thread_self;
	if (unlikely(!event_is_current(self)))
		event_catch_up(self);
	if (unlikely(self->entered) && event_is_nested(self, here))
		return (struct event){.self = self, .nested = true};
	event_go_in(self, here);
	return (struct event){.self = self, .work = self->work};
}

static inline __attribute__((always_inline)) struct event event_enter(void)
{
	return event_enter_at((uintptr_t)__builtin_frame_address(0));
}

static inline void event_leave(const struct event *e)
{
	if (likely(!e->nested))
		event_go_out(e->self);
}

/* In which what it counts is counted. */
static inline uint32_t event_epoch(const struct event *e)
{
	return likely(e->work) ? e->work->tallies.epoch : epochs_now();
}

static inline struct counts_tallies *event_tallies(const struct event *e)
{
	return likely(e->work) ? &e->work->tallies : NULL;
}

#endif
