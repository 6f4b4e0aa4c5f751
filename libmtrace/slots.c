#include "slots.h"

#include <stdatomic.h>

#include "plat.h"

/* owners[i]: a tid, 0 nobody; wiped on fork. acquire on taking one pairs with the release of slots_release: the last
   owner is done with memories[i], which only the owner sets, once. */
static _Atomic uint32_t *_Atomic owners;
static void *_Atomic memories[SLOTS_MOST];
_Static_assert(SLOTS_OWNERS_BYTES == SLOTS_MOST * sizeof(_Atomic uint32_t), "a word each");

bool slots_init(void)
{
	if (atomic_load_explicit(&owners, memory_order_acquire)) /* a forked child */
		return true;
	size_t bytes = SLOTS_OWNERS_BYTES;
	void *map = plat_map_private(bytes);
	if (!map)
		return false;
	if (plat_wipe_on_fork(map, bytes)) {
		plat_unmap(map, bytes);
		return false;
	}
	atomic_store_explicit(&owners, map, memory_order_release);
	return true;
}

static void *memory_of(uint32_t index, size_t bytes)
{
	void *memory = atomic_load_explicit(&memories[index], memory_order_relaxed);
	if (memory || !(memory = plat_map_private(bytes)))
		return memory;
	atomic_store_explicit(&memories[index], memory, memory_order_relaxed);
	return memory;
}

static bool take(_Atomic uint32_t *owner, uint32_t from, uint32_t tid)
{
	return atomic_compare_exchange_strong_explicit(owner, &from, tid, memory_order_acquire, memory_order_relaxed);
}

static uint32_t take_free(_Atomic uint32_t *all, uint32_t tid)
{
	for (uint32_t i = 0; i < SLOTS_MOST; i++)
		if (!atomic_load_explicit(&all[i], memory_order_relaxed) && take(&all[i], 0, tid))
			return i;
	return SLOTS_MOST;
}

/* Threads that ended without a word: raw clones, those that called the exit system call. */
static uint32_t take_abandoned(_Atomic uint32_t *all, uint32_t pid, uint32_t tid)
{
	for (uint32_t i = 0; i < SLOTS_MOST; i++) {
		uint32_t owner = atomic_load_explicit(&all[i], memory_order_relaxed);
		if ((!owner || owner == tid || !plat_thread_alive(pid, owner)) && take(&all[i], owner, tid))
			return i;
	}
	return SLOTS_MOST;
}

void *slots_claim(uint32_t pid, uint32_t tid, size_t bytes, uint32_t *index)
{
	_Atomic uint32_t *all = atomic_load_explicit(&owners, memory_order_acquire);
	uint32_t i = all ? take_free(all, tid) : SLOTS_MOST;
	if (all && i == SLOTS_MOST)
		i = take_abandoned(all, pid, tid);
	if (i == SLOTS_MOST)
		return NULL;
	void *memory = memory_of(i, bytes);
	if (!memory)
		slots_release(i);
	*index = i;
	return memory;
}

void slots_release(uint32_t index)
{
	_Atomic uint32_t *all = atomic_load_explicit(&owners, memory_order_acquire);
	atomic_store_explicit(&all[index], 0, memory_order_release); /* pairs: take */
}
