#include "event.h"

#include "control.h"
#include "epochs.h"
#include "news.h"
#include "stream.h"

/* In step with the stream: while there is one, counts_live_is_due says so at every event. */
static void look_at_stream(struct thread_state *self)
{
	stream_look(self);
	self->live_room = self->pen.ordinal ? 0 : COUNTS_LIVE_ROOM;
}

/* `entered` meanwhile: see in_forked_child of boot. */
__attribute__((cold, noinline)) void event_begin_thread(struct thread_state *self, const struct thread_birth *birth)
{
	threads_enter(self, birth);
	look_at_stream(self);
	self->work = workspace_claim();
	self->entered = (uintptr_t)__builtin_frame_address(0);
	atomic_signal_fence(memory_order_seq_cst);
	if (self->id)
		news_thread(self, MTRACE_RING_thread_start);
	atomic_signal_fence(memory_order_seq_cst);
	self->entered = 0;
	guard_renew_usual(self);
}

/* The thread is new, or its process is; or a new epoch began, and the thread's next look at the clock, which is this
   event's unless a handler makes it, sees to that. acquire: epochs.h, E1. */
__attribute__((cold, noinline)) void event_catch_up(struct thread_state *self)
{
	uint64_t generation = atomic_load_explicit(&owner_page->generation, memory_order_acquire);
	if (!self->record || guard_process(self->generation) != guard_process(generation)) {
		event_begin_thread(self, NULL);
		return;
	}
	self->events_left = 0;
	self->generation = generation;
	guard_renew_usual(self);
}

__attribute__((cold, noinline)) void event_look_around(struct thread_state *self)
{
	threads_look_at_clock(self);
	threads_begin_window(self, epochs_window_begin(self->tick));
	epochs_look(self->tick);
	control_look(news_make_mark);
	look_at_stream(self);
	ring_watch(self->id, self->tick);
	if (self->work)
		counts_enter_epoch(&self->work->tallies, epochs_now());
}

/* A handler that interrupted a hook runs further in by its signal frame at least; less is a call from the same depth. */
enum { SIGNAL_FRAME_LEAST = 512 };

static bool is_on_own_stack(const struct thread_state *self, uintptr_t address)
{
	return address - self->stack_low < self->stack_high - self->stack_low;
}

/* A signal stack may be part of the thread's own: only the kernel knows. */
static bool is_on_another_stack(const struct thread_state *self, uintptr_t here)
{
	uintptr_t low, high;
	return !is_on_own_stack(self, here) ||
	       (plat_signal_stack(&low, &high) && here - low < high - low && self->entered - low >= high - low);
}

/* A signal handler interrupted a hook; or a hook was left by a jump out of a handler, and we run where it cannot still be:
   further out on the same stack, or on the thread's own while it was on another. */
__attribute__((cold, noinline)) bool event_is_nested(const struct thread_state *self, uintptr_t here)
{
	if (is_on_another_stack(self, here) ||
	    (is_on_own_stack(self, self->entered) && here + SIGNAL_FRAME_LEAST < self->entered))
		return true;
	if (self->work)
		workspace_mend(self->work);
	return false;
}
