/*
 * live: every live block, found by its address: (family, address) -> (row, size, birth, thread).
 *
 * Shape: see format.h. Blocks that lie side by side in memory lie side by side here, so the table follows the
 * allocator's own locality: a lookup is the root entry (hot), the page's leaf entry, and one cache line. A page's
 * first block predicts how many the page will hold and sizes its leaf; a page that holds more gets another, larger leaf
 * in front of it, up to 128 lines, which never overflow.
 *
 * Invariants
 *   L1 a slot word is 0 (empty) or a whole block. An empty one is taken, and a full one replaced or a move ended, by
 *      compare-and-swap; a full one is cleared or tagged by a plain store of who frees or reallocates the block: it is
 *      nobody else's until the real allocator has it back, and no insert takes a slot that is full.
 *   L2 an address has at most one slot with its granule on its page's chain of leaves (allocators hand an address out
 *      once; a second insert finds the first one's slot and replaces it).
 *   L3 root entries go from 0 to a value once. A page's leaf entry goes from 0 to its first leaf, and from a leaf to a
 *      larger one whose `next` is the entry it takes the place of; entries behind others never change.
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
	uint32_t side; /* birth, in its 16-bit form, and thread: live_side */
	uint64_t size;
};

static inline uint32_t live_side(uint32_t birth, uint32_t thread)
{
	return birth << 16 | thread;
}

enum live_result {
	LIVE_DONE,
	LIVE_REPLACED, /* another block was there: its free was missed; it is in *old */
	LIVE_FULL
};

bool live_init(void);

/* ---- the common case, in line: the page has a leaf, the block's line has room, the block was not there ---- */

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

/* The chunks that one thread met last: private to it, and true for ever, since chunks stay where they are (L3). */
enum { LIVE_NEAR = 4 };
struct live_near {
	struct {
		uint64_t key; /* LIVE_NEAR_KNOWN | root key */
		struct mtrace_live_chunk *chunk;
	} entry[LIVE_NEAR];
};
#define LIVE_NEAR_KNOWN (1ull << 40)

/* The chunk of an address, NULL none. Remembered in `near`, unless that is NULL. */
struct mtrace_live_chunk *live_find_chunk(enum mtrace_family family, uintptr_t address, struct live_near *near);

/* The page's leaf entry; 0: there is none. */
static inline uint64_t live_first_leaf(enum mtrace_family family, uintptr_t address, struct live_near *near)
{
	uint64_t key = live_root_key(family, address) | LIVE_NEAR_KNOWN;
	struct mtrace_live_chunk *c = NULL;
	if (likely(near) && likely(near->entry[key % LIVE_NEAR].key == key))
		c = near->entry[key % LIVE_NEAR].chunk;
	else if (!(c = live_find_chunk(family, address, near)))
		return 0;
	return atomic_load_explicit(&c->leaves[address >> 12 & (MTRACE_LIVE_PAGES_PER_CHUNK - 1)],
				    memory_order_acquire); /* pairs: L3 */
}

/* The leaf entry behind this one; 0: none. */
static inline uint64_t live_next_leaf(uint64_t leaf)
{
	uint32_t id = MTRACE_LEAF_NEXT(leaf);
	if (likely(!id) || !segment_has(MTRACE_REGION_LIVE_LEAVES, (id + 1ull) * sizeof(uint64_t)))
		return 0;
	return atomic_load_explicit((_Atomic uint64_t *)(void *)segment.base[MTRACE_REGION_LIVE_LEAVES] + id,
				    memory_order_relaxed); /* never changes */
}

/* The granule's line in a leaf; NULL: the entry is 0, or damaged. */
static inline struct mtrace_live_line *live_line(uint64_t leaf, uint32_t granule)
{
	uint64_t line = MTRACE_LEAF_LINE(leaf) + ((uint64_t)granule * MTRACE_LEAF_LINES(leaf) >> 9);
	if (unlikely(!leaf || !segment_has(MTRACE_REGION_LIVE_LINES, (line + 1) * sizeof(struct mtrace_live_line))))
		return NULL;
	return (struct mtrace_live_line *)(void *)segment.base[MTRACE_REGION_LIVE_LINES] + line;
}

/* The granule's slot in a line and the word it was recognised by (a moment later it may be another: L1), NULL none. */
static inline __attribute__((always_inline)) _Atomic uint64_t *live_slot(struct mtrace_live_line *line, uint32_t granule,
                                                                         uint64_t *seen)
{
#pragma GCC unroll 5
	for (uint32_t i = 0; i < MTRACE_LIVE_SLOTS; i++) {
		uint64_t word = atomic_load_explicit(&line->word[i], memory_order_acquire);
		if (MTRACE_SLOT_GRANULE(word) == granule && likely(word)) {
			*seen = word;
			return &line->word[i];
		}
	}
	return NULL;
}

static inline __attribute__((always_inline)) _Atomic uint64_t *live_empty_slot(struct mtrace_live_line *line)
{
#pragma GCC unroll 5
	for (uint32_t i = 0; i < MTRACE_LIVE_SLOTS; i++)
		if (!atomic_load_explicit(&line->word[i], memory_order_relaxed))
			return &line->word[i];
	return NULL;
}

/* The side of a slot: lines are aligned to their size. */
static inline _Atomic uint32_t *live_side_of(_Atomic uint64_t *word)
{
	struct mtrace_live_line *line = (void *)((uintptr_t)word & ~(sizeof *line - 1));
	return &line->side[word - line->word];
}

static inline uint64_t live_word(uintptr_t address, const struct live_block *block)
{
	return (uint64_t)live_granule(address) << 55 | block->size << MTRACE_SLOT_ROW_BITS | block->row;
}

/* Where an insert will go, asked for ahead of what else the event needs: the cache line is on its way meanwhile. */
static inline uint64_t live_foresee(enum mtrace_family family, uintptr_t address, struct live_near *near)
{
	uint64_t leaf = live_first_leaf(family, address, near);
	__builtin_prefetch((struct mtrace_live_line *)(void *)segment.base[MTRACE_REGION_LIVE_LINES] +
			   MTRACE_LEAF_LINE(leaf) + ((uint64_t)live_granule(address) * MTRACE_LEAF_LINES(leaf) >> 9), 1);
	return leaf;
}

/* `leaf` is what live_foresee said: leaves that came in front of it since have no slot of this address. */
static inline __attribute__((always_inline)) enum live_result live_insert_at(uint64_t leaf, enum mtrace_family family,
                                                                             uintptr_t address,
                                                                             const struct live_block *block,
                                                                             struct live_block *old)
{
	uint32_t granule = live_granule(address);
	uint64_t vacant = 0, seen;
	_Atomic uint64_t *empty = NULL;
	do {
		struct mtrace_live_line *line = live_line(leaf, granule);
		if (unlikely(!line) || unlikely(live_slot(line, granule, &seen) != NULL))
			return live_insert_slowly(family, address, block, old);
		if (likely(!empty))
			empty = live_empty_slot(line);
		leaf = live_next_leaf(leaf);
	} while (leaf);
	if (unlikely(!empty || block->size >= MTRACE_SLOT_SIZE_HUGE) ||
	    unlikely(!atomic_compare_exchange_strong_explicit(empty, &vacant, live_word(address, block),
							      memory_order_release, memory_order_relaxed)))
		return live_insert_slowly(family, address, block, old);
	atomic_store_explicit(live_side_of(empty), block->side, memory_order_relaxed); /* L4 */
	return LIVE_DONE;
}

static inline enum live_result live_insert(enum mtrace_family family, uintptr_t address, const struct live_block *block,
                                           struct live_block *old, struct live_near *near)
{
	return live_insert_at(live_first_leaf(family, address, near), family, address, block, old);
}

/* false: no such block. */
static inline __attribute__((always_inline)) bool live_remove(enum mtrace_family family, uintptr_t address,
                                                              struct live_block *old, struct live_near *near)
{
	uint32_t granule = live_granule(address);
	uint64_t leaf = live_first_leaf(family, address, near), word = 0;
	_Atomic uint64_t *slot;
	do {
		struct mtrace_live_line *line = live_line(leaf, granule);
		if (unlikely(!line))
			return live_remove_slowly(family, address, old);
		slot = live_slot(line, granule, &word);
	} while (!slot && (leaf = live_next_leaf(leaf)));
	if (unlikely(!slot || MTRACE_SLOT_SIZE(word) == MTRACE_SLOT_SIZE_HUGE))
		return live_remove_slowly(family, address, old);
	*old = (struct live_block){.row = MTRACE_SLOT_ROW(word), .size = MTRACE_SLOT_SIZE(word),
				   .side = atomic_load_explicit(live_side_of(slot), memory_order_relaxed)};
	atomic_store_explicit(slot, 0, memory_order_release); /* L1 */
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
