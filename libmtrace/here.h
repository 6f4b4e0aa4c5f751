/*
 * here: where a walk starts, taken in an entry point itself: the caller's state just after we return to it.
 * __builtin_frame_address gives the entry point a frame: return address and the caller's frame register stand in it.
 */
#ifndef MTRACE_HERE_H
#define MTRACE_HERE_H

#include "unwind/unwind.h"

#define HERE here_at((const uintptr_t *)__builtin_frame_address(0))
#define here_at(frame) (&(struct unwind_start){.pc = (frame)[1], .sp = (uintptr_t)((frame) + 2), .fp = (frame)[0]})

#endif
