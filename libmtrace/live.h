/*
 * live: every live block, found by its address: (family, address) -> (row, size, birth, thread).
 *
 * Shape: see format.h. Blocks that lie side by side in memory lie side by side here, so the table follows the
 * allocator's own locality: a lookup is the root entry (hot), the page's leaf entry, and one cache line. A page's
 * first block predicts how many the page will hold and sizes its leaf; a page that holds more gets a second, larger
 * leaf behind the first, up to 128 lines, which never overflow.
 *
 * Invariants
 *   L1 a slot word is 0 (empty) or a whole block. An empty one is taken, and a full one replaced or a move ended, by
 *      compare-and-swap; a full one is cleared or tagged by a plain store of who frees or reallocates the block: it is
 *      nobody else's until the real allocator has it back, and no insert takes a slot that is full.
 *   L2 an address has at most one slot with its granule on its page's chain of leaves (allocators hand an address out
 *      once; a second insert finds the first one's slot and replaces it).
 *   L3 root entries, leaf entries and their `next` go from 0 to a value once and never change after.
 *   L4 birth and thread follow the word; they may be the slot's former ones until the inserting hook returns.
 * After kill -9: all of them; a leaf that was reserved but not linked is lost memory, nothing else.
 *
 *   op x op      insert   remove   begin/end/cancel_move
 *   insert         ok       ok       ok   (an insert over a moving block replaces it: the block had moved)
 *   remove         ok       host's bug (double free): one of them finds nothing
 *   *_move         ok       host's bug; a move ends only what still bears the mover's own tag
 *
 * Lock-free, async-signal-safe, O(1). Bound: about 15 bytes a block for small ones, 64 bytes a page at least; the
 * segment's cap; when full the insert says so and the block is counted per stack only.
 */
#ifndef MTRACE_LIVE_H
#define MTRACE_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "format.h"
#include "segment.h"

struct live_block {
	uint32_t row;
	uint32_t birth;  /* 16-bit form */
	uint32_t thread;
	uint64_t size;
};

enum live_result {
	LIVE_DONE,
	LIVE_REPLACED, /* another block was there: its free was missed; it is in *old */
	LIVE_FULL
};

bool live_init(void);

/* ---- the common case, in line: the page has one leaf, the block's line has room, the block was not there ---- */

enum live_result live_insert_slowly(enum mtrace_family family, uintptr_t address, const struct live_block *block,
                                    struct live_block *old);
bool live_remove_slowly(enum mtrace_family family, uintptr_t address, struct live_block *old);

static inline uint32_t live_granule(uintptr_t address)
{
	return (uint32_t)(address & 4095) >> 3;
}

static inline uint64_t live_root_key(enum mtrace_family family, uintptr_t address)
{
	return (uint64_t)family << 23 | (address >> 24 & 0x7fffff);
}

/* Fibonacci hashing (Knuth, 6.4): neighbouring 16 MiB do not meet. */
static inline uint32_t live_root_place(uint64_t key)
{
	return (uint32_t)(key * 0x9e3779b97f4a7c15u >> (64 - MTRACE_LIVE_ROOT_BITS));
}

/* The block's line in its page's only leaf; NULL: no leaf, several, or its root entry is not at its own place. */
static inline struct mtrace_live_line *live_only_line(enum mtrace_family family, uintptr_t address)
{
	uint64_t key = live_root_key(family, address);
	uint64_t root = atomic_load_explicit((_Atomic uint64_t *)(void *)segment.base[MTRACE_REGION_LIVE_ROOT] +
					     live_root_place(key), memory_order_acquire); /* pairs: L3 */
	uint32_t chunk = (uint32_t)root;
	if (unlikely(root >> 32 != key || !chunk ||
		     !segment_has(MTRACE_REGION_LIVE_CHUNKS, (chunk + 1ull) * sizeof(struct mtrace_live_chunk))))
		return NULL;
	struct mtrace_live_chunk *c = (struct mtrace_live_chunk *)(void *)segment.base[MTRACE_REGION_LIVE_CHUNKS] + chunk;
	uint64_t leaf = atomic_load_explicit(&c->leaves[address >> 12 & (MTRACE_LIVE_PAGES_PER_CHUNK - 1)],
					     memory_order_acquire); /* pairs: L3 */
	uint64_t line = MTRACE_LEAF_LINE(leaf) + ((uint64_t)live_granule(address) * MTRACE_LEAF_LINES(leaf) >> 9);
	if (unlikely(!leaf || MTRACE_LEAF_NEXT(leaf) ||
		     !segment_has(MTRACE_REGION_LIVE_LINES, (line + 1) * sizeof(struct mtrace_live_line))))
		return NULL;
	return (struct mtrace_live_line *)(void *)segment.base[MTRACE_REGION_LIVE_LINES] + line;
}

/* The index of the granule's slot, MTRACE_LIVE_SLOTS none. */
static inline __attribute__((always_inline)) uint32_t live_slot_of(const struct mtrace_live_line *line, uint32_t granule)
{
	uint32_t i;
#pragma GCC unroll 5
	for (i = 0; i < MTRACE_LIVE_SLOTS; i++) {
		uint64_t word = atomic_load_explicit(&line->word[i], memory_order_acquire);
		if (MTRACE_SLOT_GRANULE(word) == granule && word)
			break;
	}
	return i;
}

static inline __attribute__((always_inline)) uint32_t live_empty_slot(const struct mtrace_live_line *line)
{
	uint32_t i;
#pragma GCC unroll 5
	for (i = 0; i < MTRACE_LIVE_SLOTS; i++)
		if (!atomic_load_explicit(&line->word[i], memory_order_relaxed))
			break;
	return i;
}

static inline uint64_t live_word(uintptr_t address, const struct live_block *block)
{
	return (uint64_t)live_granule(address) << 55 | block->size << MTRACE_SLOT_ROW_BITS | block->row;
}

static inline uint32_t live_side(const struct live_block *block)
{
	return block->birth << 16 | block->thread;
}

static inline enum live_result live_insert(enum mtrace_family family, uintptr_t address, const struct live_block *block,
                                           struct live_block *old)
{
	struct mtrace_live_line *line = live_only_line(family, address);
	uint32_t slot = MTRACE_LIVE_SLOTS;
	if (likely(line && block->size < MTRACE_SLOT_SIZE_HUGE) &&
	    likely(live_slot_of(line, live_granule(address)) == MTRACE_LIVE_SLOTS))
		slot = live_empty_slot(line);
	uint64_t empty = 0;
	if (unlikely(slot == MTRACE_LIVE_SLOTS) ||
	    unlikely(!atomic_compare_exchange_strong_explicit(&line->word[slot], &empty, live_word(address, block),
							      memory_order_release, memory_order_relaxed)))
		return live_insert_slowly(family, address, block, old);
	atomic_store_explicit(&line->side[slot], live_side(block), memory_order_relaxed); /* L4 */
	return LIVE_DONE;
}

/* false: no such block. */
static inline bool live_remove(enum mtrace_family family, uintptr_t address, struct live_block *old)
{
	struct mtrace_live_line *line = live_only_line(family, address);
	uint32_t slot = likely(line) ? live_slot_of(line, live_granule(address)) : MTRACE_LIVE_SLOTS;
	if (unlikely(slot == MTRACE_LIVE_SLOTS))
		return live_remove_slowly(family, address, old);
	uint64_t word = atomic_load_explicit(&line->word[slot], memory_order_relaxed);
	if (unlikely(MTRACE_SLOT_SIZE(word) == MTRACE_SLOT_SIZE_HUGE))
		return live_remove_slowly(family, address, old);
	uint32_t side = atomic_load_explicit(&line->side[slot], memory_order_relaxed);
	*old = (struct live_block){.row = MTRACE_SLOT_ROW(word), .birth = MTRACE_SIDE_BIRTH(side),
				   .thread = MTRACE_SIDE_THREAD(side), .size = MTRACE_SLOT_SIZE(word)};
	atomic_store_explicit(&line->word[slot], 0, memory_order_release); /* L1 */
	return true;
}

/* A block that is being reallocated stays live at its old address and size until the outcome is known. The tag is
   the mover's thread id in the slot's thread field. */
struct live_move {
	_Atomic uint64_t *word;
	_Atomic uint32_t *side;
	uint64_t tagged;   /* the word with the moving bit */
	uint64_t key;      /* family and old address, as the huge table has it */
	uint32_t old_side;
	struct live_block old;
};

bool live_begin_move(enum mtrace_family family, uintptr_t address, uint32_t thread, struct live_move *move);
/* It stayed at its address with another size, stack, birth. false: the entry is not the one that was tagged. */
bool live_move_in_place(const struct live_move *move, const struct live_block *block);
/* It is gone from its old address: the entry goes, unless somebody else's block is there by now. */
void live_end_move(const struct live_move *move, uint32_t thread);
/* The reallocation failed: as before. */
void live_cancel_move(const struct live_move *move, uint32_t thread);

#endif
