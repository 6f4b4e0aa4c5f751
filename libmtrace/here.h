/*
 * here: where a walk starts, taken in an entry point itself: the caller's state just after we return to it.
 * __builtin_frame_address gives the entry point a frame: the caller's frame register and the return address stand in it,
 * and the caller's stack begins behind it.
 *
 * The frame must outlive its use: a HERE may not be an argument of a call that an entry point ends in (the compiler makes
 * that a jump, and the frame is gone), so such entry points use HERE_START, a copy.
 */
#ifndef MTRACE_HERE_H
#define MTRACE_HERE_H

#include "unwind/unwind.h"

struct here {
	uintptr_t fp;
	uintptr_t pc;
};

static inline struct unwind_start here_start(const struct here *here)
{
	return (struct unwind_start){.pc = here->pc, .sp = (uintptr_t)(here + 1), .fp = here->fp};
}

#define HERE ((const struct here *)__builtin_frame_address(0))
#define HERE_START (&(struct unwind_start){.pc = HERE->pc, .sp = (uintptr_t)(HERE + 1), .fp = HERE->fp})

#endif
