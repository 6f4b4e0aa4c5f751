/*
 * unwind: from a program's registers to the list of its return addresses, exactly, by the rules that the
 * compiler wrote (.eh_frame), without frame pointers. Called by the tracker on every recorded event.
 *
 * Never allocates, never takes a lock, never calls a libc function that might; async-signal-safe and
 * re-entrant (a signal handler may walk while the interrupted code walks). Dereferences only memory inside
 * the calling thread's known stack, or checked by a system call first. Stops instead of guessing.
 *
 * Complexity: a few ns per frame once the frame's rule is in the cache; about a microsecond when it is not.
 */
#ifndef MTRACE_UNWIND_H
#define MTRACE_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a walk starts: the state of the caller of the hooked function just after the call returns.
   pc is the return address, sp the stack pointer after the return, fp the caller's frame register. */
struct unwind_start {
	uintptr_t pc;
	uintptr_t sp;
	uintptr_t fp;
};

/* Bounds of the calling thread's own stack: [low, high) is readable from the current sp up to high. */
struct unwind_bounds {
	uintptr_t low;
	uintptr_t high;
};

enum unwind_end {
	UNWIND_WHOLE = 0,      /* reached a frame whose return address is undefined: the outermost */
	UNWIND_TOO_DEEP = 1,   /* more than `keep` frames: whatever comes after them is not looked at */
	UNWIND_NO_RULES = 3,   /* numbers are those of enum mtrace_marker */
	UNWIND_BAD_RULES = 4,
	UNWIND_UNREADABLE = 5,
	UNWIND_LOOP = 7,
	UNWIND_VIRTUAL = 8,    /* these two are said by walks through other languages (mixed.h) */
	UNWIND_LOST = 9
};

#define UNWIND_MAX_DEPTH 1024

/* One frame: `tag` is what unwind_set_tag last remembered for this pc, 0 when nothing (or another module
   generation); exact: pc is the instruction itself (interrupted by a signal), not a return address. */
struct unwind_frame {
	uintptr_t pc;
	uint32_t tag;
	uint32_t exact;
};

/* Maps the rule cache. Once per process (and again in a forked child, where it is empty: the cache is
   MADV_WIPEONFORK). Returns false when memory cannot be had: every walk then ends in UNWIND_NO_RULES. */
bool unwind_init(void);

/* Adds to *bytes what the rule cache touches of its memory, from now on; before unwind_init. */
void unwind_count_bytes(_Atomic uint64_t *bytes);

/* Walks from *start and fills frames[0 .. result), innermost first, start->pc itself being frames[0].
   At most `keep` are stored (keep <= UNWIND_MAX_DEPTH). *end says why it stopped. */
size_t unwind_walk(const struct unwind_start *start, const struct unwind_bounds *bounds, struct unwind_frame *frames,
                   size_t keep, enum unwind_end *end);

/* The same from *at on, which becomes the frame that the walk ended at. */
size_t unwind_walk_on(struct unwind_start *at, const struct unwind_bounds *bounds, struct unwind_frame *frames, size_t keep,
                      enum unwind_end *end);

/* Remembers a caller's own non-zero number for pc beside its rule (until the module generation changes). */
void unwind_set_tag(uintptr_t pc, bool exact, uint32_t tag);

/* Code was, or may have been, unmapped: everything cached is forgotten. Called by the dlclose hook. */
void unwind_forget(void);

/* The same walk by libunwind, loaded with dlopen(RTLD_LOCAL); for comparison only: it is not
   async-signal-safe and does what design 5.2 says. false from _init: not installed. */
bool unwind_libunwind_init(void);
void unwind_libunwind_forget(void); /* called by unwind_forget */
size_t unwind_libunwind_walk(const struct unwind_start *start, const struct unwind_bounds *bounds,
                             struct unwind_frame *frames, size_t keep, enum unwind_end *end);

#endif
