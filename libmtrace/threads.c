#include "threads.h"

#include <string.h>

#include "segment.h"

__thread struct thread_state thread_self __attribute__((tls_model("initial-exec"))) = {.usual = GUARD_NEVER}; /* G2 */

enum { TICK_INTERVAL_MOST = 1024, NANOSECONDS_PER_TICK = 1000000000 / MTRACE_TICKS_PER_SECOND };

static struct mtrace_thread *thread_at(uint64_t id)
{
	return (struct mtrace_thread *)(void *)segment.base[MTRACE_REGION_THREADS] + id;
}

/* ---- identities ------------------------------------------------------------------------------------- */

enum { IDENTITIES = 65536, REUSE_LOOKS = 4096 };

/* Looks for an identity whose thread is gone, from where the last search ended. One system call a look: only after
   65535 threads, and only when a thread starts. */
static uint32_t reuse_identity(void)
{
	static _Atomic uint32_t next = 1;
	for (int i = 0; i < REUSE_LOOKS; i++) {
		uint32_t id = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % (IDENTITIES - 1) + 1;
		if (!segment_has(MTRACE_REGION_THREADS, (id + 1ull) * sizeof(struct mtrace_thread)))
			continue;
		struct mtrace_thread *t = thread_at(id);
		uint32_t tid = atomic_load_explicit(&t->tid, memory_order_relaxed);
		if (!tid || plat_thread_alive(segment.pid, tid))
			continue;
		if (!atomic_compare_exchange_strong_explicit(&t->tid, &tid, 0, memory_order_acq_rel, memory_order_relaxed))
			continue;
		segment_count(MTRACE_COUNTER_thread_ids_reused);
		return id;
	}
	return 0;
}

static uint32_t new_identity(void)
{
	uint64_t id = segment_reserve(MTRACE_REGION_THREADS, 1);
	if (id < IDENTITIES)
		return (uint32_t)id;
	uint32_t old = reuse_identity();
	if (!old)
		segment_count(MTRACE_COUNTER_drop_threads_full);
	return old;
}

static void store_name(struct mtrace_thread *t, const char *name)
{
	uint64_t words[2] = {0, 0};
	memcpy(words, name, strnlen(name, sizeof words - 1));
	atomic_store_explicit(&t->name[0], words[0], memory_order_relaxed);
	atomic_store_explicit(&t->name[1], words[1], memory_order_relaxed);
}

static void fill_identity(struct mtrace_thread *t, const struct thread_birth *birth)
{
	char name[16];
	plat_thread_name(name);
	store_name(t, name);
	t->start_tick = atomic_load_explicit(&segment.hot->tick, memory_order_relaxed);
	t->handle = plat_thread_pointer();
	atomic_store_explicit(&t->ended, 0, memory_order_relaxed);
	atomic_store_explicit(&t->inside, 0, memory_order_relaxed);
	atomic_store_explicit(&t->end_tick, 0, memory_order_relaxed);
	atomic_store_explicit(&t->row, birth ? birth->row : 0, memory_order_relaxed);
	atomic_store_explicit(&t->stack_bytes, birth ? birth->stack_bytes : 0, memory_order_relaxed);
	atomic_store_explicit(&t->tid, plat_tid(), memory_order_release); /* last: readers look at tid first */
}

/* The record of all threads for which there was none: written, never read. */
static struct mtrace_thread nobody;

/* ---- stack bounds ----------------------------------------------------------------------------------- */

/* The stack ends below the thread control block; the main thread's ends where the kernel put its arguments. Without a
   birth record the size is not known: a small one is claimed, and what lies beyond is checked by the unwinder. */
static void find_stack(struct thread_state *self, const struct thread_birth *birth)
{
	enum { MAIN_MOST = 64 << 20, UNKNOWN = 64 << 10 };
	uint64_t limit = plat_stack_limit(), bytes = limit < MAIN_MOST ? limit : MAIN_MOST;
	self->stack_high = plat_stack_top_main();
	if ((uintptr_t)__builtin_frame_address(0) - (self->stack_high - bytes) >= bytes) { /* not on the main stack */
		bytes = birth && birth->stack_bytes ? birth->stack_bytes : UNKNOWN;
		self->stack_high = plat_thread_pointer();
	}
	self->stack_low = self->stack_high - bytes;
}

/* What it was inside of it still is. */
static void forget_all(struct thread_state *self)
{
	uint32_t inside = self->inside_allocator;
	self->usual = GUARD_NEVER;
	atomic_signal_fence(memory_order_seq_cst);
	memset((char *)self + offsetof(struct thread_state, generation), 0, sizeof *self - offsetof(struct thread_state, generation));
	self->inside_allocator = inside;
}

/* generation comes last but before anything that could be interrupted into a nested event twice: a signal handler
   that runs in between makes an identity of its own, which is a second line in a report and nothing worse. */
__attribute__((cold, noinline)) void threads_enter(struct thread_state *self, const struct thread_birth *birth)
{
	forget_all(self);
	find_stack(self, birth);
	self->tick_interval = 1;
	uint32_t id = new_identity();
	self->record = id ? thread_at(id) : &nobody;
	self->id = id;
	if (id)
		fill_identity(self->record, birth);
	self->generation = atomic_load_explicit(&owner_page->generation, memory_order_acquire);
	threads_look_at_clock(self);
}

bool threads_note_end(struct thread_state *self)
{
	struct mtrace_thread *t = self->record;
	if (atomic_load_explicit(&t->ended, memory_order_relaxed))
		return false;
	atomic_store_explicit(&t->end_tick, self->tick, memory_order_relaxed);
	atomic_store_explicit(&t->ended, 1, memory_order_release);
	return true;
}

uint32_t threads_birth(uint32_t id, uint64_t *stack_bytes)
{
	*stack_bytes = atomic_load_explicit(&thread_at(id)->stack_bytes, memory_order_relaxed);
	return atomic_load_explicit(&thread_at(id)->row, memory_order_relaxed);
}

uint32_t threads_next_gone(uint32_t id)
{
	while (++id < IDENTITIES && segment_has(MTRACE_REGION_THREADS, (id + 1ull) * sizeof(struct mtrace_thread))) {
		struct mtrace_thread *t = thread_at(id);
		uint32_t tid = atomic_load_explicit(&t->tid, memory_order_relaxed);
		if (!tid || atomic_load_explicit(&t->ended, memory_order_relaxed) || plat_thread_alive(segment.pid, tid))
			continue;
		t->end_tick = atomic_load_explicit(&segment.hot->tick, memory_order_relaxed);
		atomic_store_explicit(&t->ended, 1, memory_order_release);
		return id;
	}
	return 0;
}

/* Newest first: a pthread_t is used again after its thread. */
uint32_t threads_note_name(uintptr_t handle, const char *name)
{
	uint64_t used = atomic_load_explicit(&segment.used[MTRACE_REGION_THREADS], memory_order_relaxed);
	uint64_t id = used < IDENTITIES ? used : IDENTITIES;
	while (--id > 0) {
		if (!segment_has(MTRACE_REGION_THREADS, (id + 1) * sizeof(struct mtrace_thread)))
			continue;
		struct mtrace_thread *t = thread_at(id);
		if (t->handle == handle && !atomic_load_explicit(&t->ended, memory_order_relaxed)) {
			store_name(t, name);
			return atomic_load_explicit(&t->tid, memory_order_relaxed);
		}
	}
	return 0;
}

/* ---- time ------------------------------------------------------------------------------------------ */

/* A tick in 16 bits: see mtrace_birth_ticks. */
static uint32_t birth_of(uint64_t tick)
{
	uint32_t exponent = tick < 2048 ? 0 : (uint32_t)(64 - __builtin_clzll(tick)) - 11;
	return (uint32_t)(tick >> exponent) | exponent << 11;
}

uint32_t threads_side_of(uint64_t tick)
{
	return birth_of(tick) << 16;
}

void threads_begin_window(struct thread_state *self, uint64_t tick)
{
	self->aged_side = threads_side_of(tick);
}

/* A thread whose last look found the same tick waits twice as long for the next one; one that found a new tick looks
   at every event again. So a busy thread looks seldom and a slow one is never far behind. */
void threads_look_at_clock(struct thread_state *self)
{
	uint64_t since = plat_mono_coarse_ns() - segment.header->mono_start_ns;
	uint64_t tick = (int64_t)since < 0 ? 0 : since / NANOSECONDS_PER_TICK;
	bool same = tick == self->tick;
	uint32_t doubled = self->tick_interval < TICK_INTERVAL_MOST ? self->tick_interval * 2 : TICK_INTERVAL_MOST;
	self->tick_interval = same ? doubled : 1;
	self->events_left = (int32_t)self->tick_interval;
	self->tick = tick;
	self->side = birth_of(tick) << 16 | self->id;
	if (tick > atomic_load_explicit(&segment.hot->tick, memory_order_relaxed))
		atomic_store_explicit(&segment.hot->tick, tick, memory_order_relaxed);
}
