/*
 * memory: loads of aligned words on stacks that may not be there. Used by every walk of unwind/.
 *
 * The calling thread's own stack, from the innermost sp known to be in use up to its end, is read plainly.
 * Any other word (fibers, alternate signal stacks, garbage in the frame register) is read only after the
 * kernel has said that its page is readable: one system call per new page and walk.
 * Never faults, never allocates; state of one walk, on the walker's stack.
 */
#ifndef MTRACE_UNWIND_MEMORY_H
#define MTRACE_UNWIND_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "unwind/unwind.h"

#define MEMORY_PAGE ((uintptr_t)4096)
#define MEMORY_LOWEST MEMORY_PAGE /* nothing is read through a small integer */

struct memory {
	struct unwind_bounds stack; /* what the caller says is this thread's stack */
	uintptr_t low;              /* [low, stack.high) is in use; low == stack.high: nothing known yet */
	uintptr_t page;             /* last page verified, 1: none */
};

void memory_init(struct memory *m, const struct unwind_bounds *bounds, uintptr_t sp);

/* The walk has jumped to another stack (signal frame): learn whether sp is on the thread's own one. */
void memory_jump(struct memory *m, uintptr_t sp);

/* End of the readable span that begins at sp; 0: none known, use memory_load. */
uintptr_t memory_reach(const struct memory *m, uintptr_t sp);

bool memory_load(struct memory *m, uintptr_t address, uintptr_t *word);

/* 1, 2, 4 or 8 bytes inside one aligned word, zero-extended. */
bool memory_load_bytes(struct memory *m, uintptr_t address, unsigned bytes, uintptr_t *value);

/* Both addresses on the thread's own stack: where a walk may only go outwards. */
bool memory_same_stack(const struct memory *m, uintptr_t a, uintptr_t b);

#endif
