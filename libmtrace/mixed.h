/*
 * mixed: a walk that leaves native code: where rules end in code of the JVM, its frames follow by lang/, and native rules
 * go on where Java was called from, as often as they alternate. Called by the tracker; composes unwind, lang and stacks.
 *
 * The first stack with a frame of libjvm is where the JVM is found: nothing has to be set up. A process without a JVM
 * pays a load for a walk that ends without rules, and LOOKS_MOST looks at such walks in its life.
 * Never allocates, never locks, async-signal-safe. Costs some ten ns a frame that was met before, some ten microseconds for
 * one that was not.
 */
#ifndef MTRACE_MIXED_H
#define MTRACE_MIXED_H

#include <stdatomic.h>

#include "lang/jvm.h"
#include "mixed_step.h"

bool mixed_init(void);

extern _Atomic uint32_t mixed_looks; /* left */

/* May a walk that native rules ended at `pc` be followed further? */
static inline bool mixed_goes_on(uintptr_t pc)
{
	if (likely(atomic_load_explicit(&jvm_code, memory_order_relaxed) != NULL))
		return jvm_has_code(pc);
	return atomic_load_explicit(&mixed_looks, memory_order_relaxed) != 0;
}

/* Goes on with a walk that has frames[0 .. count), the last of them *at, where native rules ended. Returns how many they
   are now, at most `keep`; those of other languages have their tag. *end: UNWIND_NO_RULES when there was nothing to follow
   (then it is all as it was), or why the walk ended. `near`: the calling thread's, NULL none. */
size_t mixed_walk(struct unwind_start *at, const struct unwind_bounds *bounds, struct mixed_near *near,
                  struct unwind_frame *frames, size_t count, size_t keep, enum unwind_end *end);

#endif
