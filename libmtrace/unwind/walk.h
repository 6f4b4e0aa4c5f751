/*
 * walk: one walk in progress, shared by the fast walk (walk.c: three registers, packed rules) and the full walk
 * (full.c: all registers, whole rows). Private to unwind/.
 */
#ifndef MTRACE_UNWIND_WALK_H
#define MTRACE_UNWIND_WALK_H

#include <stddef.h>
#include <stdint.h>

#include "unwind/arch.h"
#include "unwind/memory.h"
#include "unwind/rules.h"
#include "unwind/unwind.h"

/* Values of enum unwind_end, and two more. */
enum walk_state { WALK_GOES_ON = 100, WALK_NEEDS_ALL_REGISTERS = 101 };

struct walk {
	struct unwind_start at; /* the frame that comes next */
	uint32_t exact;         /* at.pc is an instruction, not a return address */
	int state;              /* WALK_GOES_ON, WALK_NEEDS_ALL_REGISTERS or the enum unwind_end */
	size_t depth;           /* frames stored */
	size_t keep;
	struct unwind_frame *frames;
	struct rules_view rules;
	struct memory memory;
};

/* Walks on from w->at until the end, or until a frame (stored already) needs all registers. */
void walk_fast(struct walk *w);

/* Steps over the frame walk_fast could not, and over whatever comes after it, until the end. */
void walk_full(struct walk *w, const struct unwind_start *start);

/* One step from w->at by a rule that is not plain, or whose words are not known to be readable. w->frames[depth - 1] is
   the frame stepped from. */
void walk_step_unusual(struct walk *w, uint32_t rule);

#endif
