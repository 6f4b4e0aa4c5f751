/*
 * live: every live block, found by its address: (family, address) -> (row, size, birth, thread).
 *
 * Shape: see format.h. Blocks that lie side by side in memory lie side by side here, so the table follows the
 * allocator's own locality: a lookup is the root entry (hot), the page's leaf entry, and one cache line. A page's
 * first block predicts how many the page will hold and sizes its leaf; a page that holds more gets a second, larger
 * leaf behind the first, up to 128 lines, which never overflow.
 *
 * Invariants
 *   L1 a slot word is 0 (empty) or a whole block; it changes only by compare-and-swap, 0 -> word -> 0 or word -> word.
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

enum live_result live_insert(enum mtrace_family family, uintptr_t address, const struct live_block *block,
                             struct live_block *old);

/* false: no such block. */
bool live_remove(enum mtrace_family family, uintptr_t address, struct live_block *old);

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
