/*
 * mixed_step: one step over code of the JVM, and the ids of the frames that it shows. Private to mixed.
 *
 * What is met often is found in the thread's own table by its pc, else in the process's by its key (lang/known.h), else
 * its names are read and interned.
 */
#ifndef MTRACE_MIXED_STEP_H
#define MTRACE_MIXED_STEP_H

#include "lang/jvm.h"

/* Compiled frames that one thread met lately, by their pc: private to it. Its ids are of one segment. */
enum { MIXED_NEAR = 512, MIXED_NEAR_IDS = 6 };
struct mixed_near_entry {
	struct jvm_past past;
	uint32_t count; /* of ids: one at least */
	uint32_t ids[MIXED_NEAR_IDS];
};
enum { MIXED_NEAR_WAYS = 2 };
struct mixed_near {
	struct mixed_near_entry entry[MIXED_NEAR]; /* sets of two, the younger first */
};

static inline struct mixed_near_entry *mixed_near_set(struct mixed_near *near, uintptr_t pc)
{
	_Static_assert(MIXED_NEAR == 512, "the nine bits of the hash");
	return &near->entry[(pc * 0x9e3779b97f4a7c15u) >> 55 & ~(uint64_t)(MIXED_NEAR_WAYS - 1)];
}

/* NULL: not there. pc is not 0. */
static inline const struct mixed_near_entry *mixed_near_find(struct mixed_near *near, uintptr_t pc)
{
	const struct mixed_near_entry *e = mixed_near_set(near, pc);
	if (likely(e->past.pc == pc))
		return e;
	return e[1].past.pc == pc ? e + 1 : NULL;
}

/* A step, and what was met. */
struct mixed_met {
	enum jvm_way way;
	bool is_bottom; /* nothing of the thread's own is further out */
	bool is_known;  /* `past` says all that the step was decided by, but for words of the stack */
	struct jvm_past past;
	const uint32_t *ids; /* innermost first */
	uint32_t count;
	uint32_t room[JVM_INLINED_MOST]; /* where they are, unless in the thread's table */
};

/* From *at, which is in the JVM's code, outwards. JVM_JAVA: met->ids; JVM_OTHER: nothing to show; JVM_LOST: met is not
   filled. `from`: the sp where the walk left native code first. `near`: NULL none. */
enum jvm_step mixed_step(struct unwind_start *at, uintptr_t from, const struct unwind_bounds *bounds,
                         struct mixed_near *near, struct mixed_met *met);

#endif
