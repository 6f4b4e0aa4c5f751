/*
 * guard: may this event be recorded, and by whom? The owner page and the thread's own state.
 *
 * The owner page is MADV_WIPEONFORK: a forked child (also by raw clone or _Fork) reads zeros there, so one load
 * answers "is this process recording" and "is this still the process that made the segment". A vfork child shares
 * the page and its parent's thread state, and is recorded as that thread.
 *
 * The thread state is initial-exec, POD, without a destructor, so it works before constructors, in TLS destructors
 * and at exit. It is zero in a new thread but for `usual`. `generation` ties it to one segment: after a fork it differs from
 * the owner's and the state is made anew; in a new epoch (epochs.h) the thread looks at the clock, which tells it.
 *
 * Invariants
 *   G1 the page's generation has GUARD_ASK unless events are recorded (active: SIMPLY or ASIDE), but for the instant between
 *      the two stores that begin or end that. So whoever finds it without need not look at `active`.
 *   G2 a thread's `usual` is the page's generation only if that has no GUARD_ASK, the thread's identity and epoch are of it,
 *      it has a workspace, and is inside no allocator that may call itself by name: then one comparison says all of that.
 *      It is never 0, as the page of a forked child is, and never GUARD_ASK alone.
 */
#ifndef MTRACE_GUARD_H
#define MTRACE_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plat.h"

struct mtrace_thread;
struct mtrace_stream_part;
struct mtrace_stream_record;

enum guard_active {
	GUARD_UNDECIDED = 0, /* not booted, or a forked child that has made no event */
	GUARD_SIMPLY = 1,    /* record */
	GUARD_ASIDE = 2,     /* record; the allocator is not libc's, and may call itself by name (boot.h) */
	GUARD_PASSIVE = 3,   /* forward, for good */
	GUARD_ASLEEP = 4     /* forward, and look whether `mtrace attach` wakes us: mode=off, or after `mtrace detach` */
};

struct owner_page {
	_Atomic uint32_t active;     /* enum guard_active. Release store after the segment is ready; pairs: guard_tracking */
	_Atomic uint32_t creating;   /* somebody makes this process's segment */
	_Atomic uint64_t generation; /* GUARD_ASK, process: 31 bits, not 0, not that of forked children, epoch: 32 bits */
	_Atomic uint32_t refused;    /* this process will not record */
	_Atomic uint64_t missed;     /* events that passed by while `creating` */
	_Atomic uint32_t damaged;    /* somebody wrote into the segment: recording stopped. Said at the end */
};

#define GUARD_ASK (1ull << 63) /* in a generation: `active` tells what to do with an event */
#define GUARD_NEVER 1ull       /* what no page's generation is */

static inline uint32_t guard_process(uint64_t generation)
{
	return (uint32_t)((generation & ~GUARD_ASK) >> 32);
}

struct workspace; /* the tracker's: what is too large to be here */

/* Where the thread writes its events while there is a stream: see stream.h. All zero: nowhere. */
struct stream_pen {
	struct mtrace_stream_record *end; /* of its part */
	struct mtrace_stream_part *part;
	int64_t place;    /* of the next record, from the end: -MTRACE_STREAM_RECORDS at first, 0: it needs another part */
	uint64_t stamp;   /* of records made now: tick */
	uint32_t ordinal; /* of the stream, 0: none */
	uint32_t skip;    /* events to drop before a part is looked for again */
	uint32_t lost;    /* dropped since the last part */
};

struct thread_state {
	uint64_t usual;           /* G2; GUARD_NEVER: not now */
	uint64_t generation;      /* the owner page's, when the thread last looked */
	uint32_t side;            /* birth of a block made now, and its thread: live.h */
	uint32_t aged_side;       /* blocks with a side below it were born before this window of time */
	struct mtrace_thread *record; /* never NULL once generation is set */
	struct workspace *work;   /* NULL: none to be had */
	uint32_t id;              /* index in THREADS, 0 none */
	int64_t live_delta;       /* malloc bytes not yet added to hot->live_bytes */
	const void *allocated;    /* the block of the last recorded allocation: see tracker_operator_allocated */
	int32_t events_left;      /* until the tick is looked at */
	uint32_t tick_interval;   /* events between two looks, adapts */
	uintptr_t stack_low, stack_high;
	uintptr_t entered;        /* a stack address of the outermost hook that is active, 0 none */
	uint64_t tick;
	const void *deleting;     /* the block that an operator delete is about to free */
	uint64_t live_room;       /* how far live_delta may go: counts_live_is_due. 0: every event comes by, for the stream */
	struct stream_pen pen;
	uint32_t inside_allocator; /* real calls under way that may lead through a hook again: hooks.c */
};
_Static_assert(offsetof(struct thread_state, usual) == 0, "what threads_enter does not clear");
_Static_assert(sizeof(struct thread_state) <= 256, "an attached agent gets no more static TLS");

extern struct owner_page *owner_page SHIM_OWN; /* never NULL */
extern __thread struct thread_state thread_self __attribute__((tls_model("initial-exec"))) SHIM_OWN;

/* G1. Whoever begins finds out if somebody ended it meanwhile: the exchange that comes later has seen the other's store. */
static inline void guard_set_active(enum guard_active active)
{
	bool records = active == GUARD_SIMPLY || active == GUARD_ASIDE;
	atomic_store_explicit(&owner_page->active, active, memory_order_release);
	if (records)
		atomic_fetch_and_explicit(&owner_page->generation, ~GUARD_ASK, memory_order_acq_rel);
	if (!records || atomic_load_explicit(&owner_page->active, memory_order_relaxed) != active)
		atomic_fetch_or_explicit(&owner_page->generation, GUARD_ASK, memory_order_acq_rel);
}

/* Must `active` be asked before anything else? Also in a forked child, and before the start, when it is 0. */
static inline bool guard_asks(void)
{
	return (int64_t)atomic_load_explicit(&owner_page->generation, memory_order_relaxed) <= 0; /* G1: boot is over, or not */
}

/* After any of what G2 names has changed. */
static inline void guard_renew_usual(struct thread_state *self)
{
	bool is_usual = self->work && !self->inside_allocator && !(self->generation & GUARD_ASK) && self->generation;
	self->usual = is_usual ? self->generation : GUARD_NEVER;
}

/* pairs: boot's release store of active; everything the segment needs was written before it. */
static inline bool guard_tracking(void)
{
	return likely(atomic_load_explicit(&owner_page->active, memory_order_acquire) - 1 < GUARD_PASSIVE - 1);
}

#endif
