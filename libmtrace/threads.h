/*
 * threads: who made an event. An identity per thread that made one: tid, name, creation stack, whether it ended,
 * and how many of our hooks it is inside. Lock-free, async-signal-safe, O(1) but for the reuse of old identities.
 * Bound: 65535 identities of 64 bytes; then those of ended threads are used again, and counted.
 */
#ifndef MTRACE_THREADS_H
#define MTRACE_THREADS_H

#include "guard.h"

/* The thread was made by pthread_create: what its parent knew. Zero for others. */
struct thread_birth {
	uint32_t row;         /* THREAD row of the creation stack */
	uint64_t stack_bytes;
};

/* Gives the calling thread its state for this process. The first event of a thread, or of a forked child, calls it. */
void threads_enter(struct thread_state *self, const struct thread_birth *birth);

/* The start routine has returned, pthread_exit was called, or the thread was cancelled; what comes later (destructors)
   is still recorded. true: it is the first to say so. */
uint32_t threads_birth(uint32_t id, uint64_t *stack_bytes); /* the row that it was created by, 0 unknown */

/* After a pause: notes the end of the next thread behind identity `id` that is gone; its identity, 0 none. One system call
   a thread. */
uint32_t threads_next_gone(uint32_t id);

bool threads_note_end(struct thread_state *self);

/* pthread_setname_np succeeded for the thread whose pthread_t is `handle`. Its tid, 0: it has no identity yet. */
uint32_t threads_note_name(uintptr_t handle, const char *name);

/* Refreshes the thread's idea of the time: cheap clock. Due every so many events, adaptive. */
void threads_look_at_clock(struct thread_state *self);

/* A window of time began at `tick`: blocks with a side below self->aged_side were born before it. To a part in 2048 of their
   birth's time since the start: of a process that has run for ten days, blocks of some minutes more count as young. */
void threads_begin_window(struct thread_state *self, uint64_t tick);

/* The side of what was born at `tick`, without a thread. */
uint32_t threads_side_of(uint64_t tick);

/* An event of the thread. true: it is time to look at the clock. */
static inline bool threads_tick_due(struct thread_state *self)
{
	return unlikely(--self->events_left < 0);
}

#endif
