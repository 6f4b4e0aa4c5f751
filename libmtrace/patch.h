/*
 * patch: the hooks in place of the real functions in a program that runs: in the slots through which its objects call them.
 * Called by attach only.
 *
 * A slot is changed only where it holds the very function that our hook goes on to, or where the loader would put that: so
 * a block still goes back to the allocator that made it, and who has an allocator of its own keeps it. What is not reached:
 * addresses that a program copied before, and what an object calls in its constructors before its dlopen has returned.
 *
 * Objects that are opened later are looked at when the dlopen that brought them has returned, on its thread: whoever calls
 * dlopen may take the loader's lock. A name without a path is looked up as the caller's object says, by its address, so
 * that such a call goes through us by a jump, and its objects are looked at with the next. Nobody waits: while one thread
 * looks, others leave it to that one. Never from inside a hook.
 */
#ifndef MTRACE_PATCH_H
#define MTRACE_PATCH_H

#include <stdint.h>

#include "plat.h"

struct patch_row {
	const char *name;
	const void *hook;
	void **real; /* what it goes on to; NULL: the first of that name */
};

/* Once, by our constructor, since it goes through the list of objects. The rows stay the caller's. */
void patch_init(const struct patch_row *rows, uint32_t count);

/* The hooks into the slots of all objects; again: of those that came meanwhile, and slots that were lost. How many slots
   could not be changed. */
uint32_t patch_in(void);

/* What it put there out again, wherever it still is. The library stays, and its hooks go on forwarding. */
void patch_out(void);

#endif
