/*
 * slots: private memory of a thread, for what is too large for thread-local storage. Mapped when first claimed, claimed
 * by one living thread at a time, used again by the next one when its thread is gone.
 *
 * Bound: SLOTS_MOST threads at once have one; others do without. In a forked child nobody owns any; the memory is a copy
 * of the parent's, since the child may return into a hook that its handler interrupted, and is handed out again.
 * Lock-free, async-signal-safe. O(SLOTS_MOST) at a thread's start, a system call per slot when none is free.
 */
#ifndef MTRACE_SLOTS_H
#define MTRACE_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SLOTS_MOST = 2048, SLOTS_OWNERS_BYTES = SLOTS_MOST * 4 };

bool slots_init(void);

/* A slot for thread `tid` of process `pid`; *index tells which, 0 <= *index < SLOTS_MOST. What its last thread left, in
   this process or the one that forked it, is still in it; zero when new. `bytes` is the same in every call. NULL: none to
   be had. */
void *slots_claim(uint32_t pid, uint32_t tid, size_t bytes, uint32_t *index);

/* The owner needs it no more. */
void slots_release(uint32_t index);

#endif
