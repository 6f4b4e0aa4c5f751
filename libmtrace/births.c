#include "births.h"

#include <stdatomic.h>

#include "boot.h"
#include "tracker.h"

enum { SLOTS = 1024, LOOKS = 64 };

struct birth {
	_Atomic uint32_t taken;
	uint32_t row;
	uint64_t stack_bytes;
	void *(*start)(void *);
	void *argument;
};

static struct birth slots[SLOTS];

/* acquire pairs with the release in begin(): the slot's last user has read it. */
static struct birth *take_slot(void)
{
	static _Atomic uint32_t next;
	for (int i = 0; i < LOOKS; i++) {
		struct birth *b = &slots[atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % SLOTS];
		uint32_t free_slot = 0;
		if (atomic_compare_exchange_strong_explicit(&b->taken, &free_slot, 1, memory_order_acquire,
							    memory_order_relaxed))
			return b;
	}
	return NULL;
}

static void give_back(struct birth *b)
{
	atomic_store_explicit(&b->taken, 0, memory_order_release);
}

/* Without attributes glibc gives RLIMIT_STACK, or 2 MiB where that is unlimited. Asking it for its default would take
   its lock. */
static uint64_t stack_bytes_of(const pthread_attr_t *attributes)
{
	size_t bytes = 0;
	boot_find((void **)&real.pthread_attr_getstacksize, "pthread_attr_getstacksize", (uintptr_t)&stack_bytes_of);
	if (attributes && !real.pthread_attr_getstacksize(attributes, &bytes) && bytes)
		return bytes;
	uint64_t limit = plat_stack_limit();
	return limit == UINT64_MAX ? 2u << 20 : limit;
}

/* ---- the end of a cancelled thread ---- */

static pthread_key_t end_key;
static _Atomic uint32_t end_key_state; /* 0 none, 1 being made, 2 there */

static void end_by_key(void *unused)
{
	(void)unused;
	if (guard_tracking())
		tracker_thread_ended();
}

/* Made by the first thread that creates another, so it is among the first 32 and setting it never allocates. Without a
   key a cancelled thread has no end, and nothing worse. */
static void make_end_key(void)
{
	uint32_t none = 0;
	if (!atomic_compare_exchange_strong_explicit(&end_key_state, &none, 1, memory_order_relaxed, memory_order_relaxed))
		return;
	if (boot_find((void **)&real.pthread_key_create, "pthread_key_create", (uintptr_t)&make_end_key) &&
	    boot_find((void **)&real.pthread_setspecific, "pthread_setspecific", (uintptr_t)&make_end_key) &&
	    !real.pthread_key_create(&end_key, end_by_key))
		atomic_store_explicit(&end_key_state, 2, memory_order_release); /* pairs: begin */
}

/* First code of every thread that has a birth record. pthread_exit notes the end by its own hook. */
static void *begin(void *argument)
{
	struct birth *slot = argument;
	struct birth b = {.row = slot->row, .stack_bytes = slot->stack_bytes, .start = slot->start, .argument = slot->argument};
	give_back(slot);
	if (guard_tracking())
		tracker_thread_started(b.row, b.stack_bytes);
	if (atomic_load_explicit(&end_key_state, memory_order_acquire) == 2) /* pairs: make_end_key */
		real.pthread_setspecific(end_key, &end_key);
	void *result = b.start(b.argument);
	if (guard_tracking())
		tracker_thread_ended();
	return result;
}

int births_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument,
		  const struct unwind_start *at)
{
	struct birth *b = take_slot();
	if (!b)
		return real.pthread_create(thread, attributes, start, argument);
	make_end_key();
	uint64_t bytes = stack_bytes_of(attributes);
	uint32_t row = tracker_thread_created(bytes, at);
	b->row = row;
	b->stack_bytes = bytes;
	b->start = start;
	b->argument = argument;
	int error = real.pthread_create(thread, attributes, begin, b);
	if (error) {
		give_back(b);
		tracker_thread_failed(row, bytes);
	}
	return error;
}
