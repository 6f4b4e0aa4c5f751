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
static uint64_t stack_bytes_of(const pthread_attr_t *attributes, uintptr_t caller)
{
	size_t bytes = 0;
	int (*ask)(const pthread_attr_t *, size_t *) =
		boot_find((void **)&real.pthread_attr_getstacksize, "pthread_attr_getstacksize", caller);
	if (attributes && ask && !ask(attributes, &bytes) && bytes)
		return bytes;
	uint64_t limit = plat_stack_limit();
	return limit == UINT64_MAX ? 2u << 20 : limit;
}

/* ---- the end of a thread ----
 *
 * A thread-specific value notes it, whether the start routine returns, pthread_exit is called or the thread cancelled;
 * only without a key (a program with 1024 of its own) it is the return.
 */

static struct {
	_Atomic uint32_t state; /* 0 none, 1 being made, 2 there */
	pthread_key_t key;
	int (*set)(pthread_key_t key, const void *value);
} end;

static void end_by_key(void *unused)
{
	(void)unused;
	if (guard_tracking())
		tracker_thread_ended();
}

static bool will_end_by_key(void)
{
	return atomic_load_explicit(&end.state, memory_order_acquire) == 2 && !end.set(end.key, &end); /* pairs: make_end_key */
}

/* Made by the first thread that creates another, so it is among the first 32 and setting it never allocates. That thread
   has no birth record, being the main thread nearly always; it may end by pthread_exit. */
static void make_end_key(uintptr_t caller)
{
	uint32_t none = 0;
	if (!atomic_compare_exchange_strong_explicit(&end.state, &none, 1, memory_order_relaxed, memory_order_relaxed))
		return;
	int (*make)(pthread_key_t *, void (*)(void *)) =
		boot_find((void **)&real.pthread_key_create, "pthread_key_create", caller);
	end.set = boot_find((void **)&real.pthread_setspecific, "pthread_setspecific", caller);
	if (!make || !end.set || make(&end.key, end_by_key))
		return;
	atomic_store_explicit(&end.state, 2, memory_order_release); /* pairs: will_end_by_key */
	(void)will_end_by_key();
}

/* First code of every thread that has a birth record. */
static void *begin(void *argument)
{
	struct birth *slot = argument;
	struct birth b = {.row = slot->row, .stack_bytes = slot->stack_bytes, .start = slot->start, .argument = slot->argument};
	give_back(slot);
	if (guard_tracking())
		tracker_thread_started(b.row, b.stack_bytes);
	bool by_key = will_end_by_key();
	void *result = b.start(b.argument);
	if (!by_key && guard_tracking())
		tracker_thread_ended();
	return result;
}

int births_create(births_function *create, pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
		  void *argument, const struct unwind_start *at)
{
	struct birth *b = take_slot();
	if (!b)
		return create(thread, attributes, start, argument);
	make_end_key(at->pc - 1);
	uint64_t bytes = stack_bytes_of(attributes, at->pc - 1);
	uint32_t row = tracker_thread_created(bytes, at);
	b->row = row;
	b->stack_bytes = bytes;
	b->start = start;
	b->argument = argument;
	int error = create(thread, attributes, begin, b);
	if (error) {
		give_back(b);
		tracker_thread_failed(row, bytes);
	}
	return error;
}
