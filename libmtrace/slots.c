#include "slots.h"

#include <stdatomic.h>

#include "plat.h"

/* owner is a tid, 0 nobody. acquire on taking it pairs with the release of slots_release: the last owner is done. */
struct slot {
	_Atomic uint32_t owner;
	uint32_t reserved;
	void *_Atomic memory;
};

static struct slot *_Atomic slots;
static _Atomic uint64_t mapped_bytes;

bool slots_init(void)
{
	if (atomic_load_explicit(&slots, memory_order_acquire)) {
		atomic_store_explicit(&mapped_bytes, 0, memory_order_relaxed); /* a forked child: wiped */
		return true;
	}
	size_t bytes = SLOTS_MOST * sizeof(struct slot);
	struct slot *map = plat_map_private(bytes);
	if (!map)
		return false;
	if (plat_wipe_on_fork(map, bytes)) {
		plat_unmap(map, bytes);
		return false;
	}
	atomic_store_explicit(&slots, map, memory_order_release);
	return true;
}

static void *map_memory(size_t bytes)
{
	void *memory = plat_map_private(bytes);
	if (memory && plat_wipe_on_fork(memory, bytes)) {
		plat_unmap(memory, bytes);
		return NULL;
	}
	if (memory)
		atomic_fetch_add_explicit(&mapped_bytes, bytes, memory_order_relaxed);
	return memory;
}

static void *memory_of(struct slot *slot, size_t bytes)
{
	void *memory = atomic_load_explicit(&slot->memory, memory_order_relaxed);
	if (!memory && (memory = map_memory(bytes)))
		atomic_store_explicit(&slot->memory, memory, memory_order_relaxed);
	if (!memory)
		atomic_store_explicit(&slot->owner, 0, memory_order_release);
	return memory;
}

static bool take(struct slot *slot, uint32_t from, uint32_t tid)
{
	return atomic_compare_exchange_strong_explicit(&slot->owner, &from, tid, memory_order_acquire,
						       memory_order_relaxed);
}

static struct slot *take_free(struct slot *all, uint32_t tid)
{
	for (uint32_t i = 0; i < SLOTS_MOST; i++)
		if (!atomic_load_explicit(&all[i].owner, memory_order_relaxed) && take(&all[i], 0, tid))
			return &all[i];
	return NULL;
}

/* Threads that ended without a word: raw clones, those that called the exit system call. */
static struct slot *take_abandoned(struct slot *all, uint32_t pid, uint32_t tid)
{
	for (uint32_t i = 0; i < SLOTS_MOST; i++) {
		uint32_t owner = atomic_load_explicit(&all[i].owner, memory_order_relaxed);
		if ((!owner || owner == tid || !plat_thread_alive(pid, owner)) && take(&all[i], owner, tid))
			return &all[i];
	}
	return NULL;
}

void *slots_claim(uint32_t pid, uint32_t tid, size_t bytes, uint32_t *index)
{
	struct slot *all = atomic_load_explicit(&slots, memory_order_acquire);
	struct slot *slot = all ? take_free(all, tid) : NULL;
	if (all && !slot)
		slot = take_abandoned(all, pid, tid);
	if (!slot)
		return NULL;
	*index = (uint32_t)(slot - all);
	return memory_of(slot, bytes);
}

void slots_release(uint32_t index)
{
	struct slot *all = atomic_load_explicit(&slots, memory_order_acquire);
	atomic_store_explicit(&all[index].owner, 0, memory_order_release); /* pairs: take */
}

uint64_t slots_bytes(void)
{
	return atomic_load_explicit(&mapped_bytes, memory_order_relaxed);
}
