/*
 * modules: the loaded objects that frames lie in, once per (path, build-id), so that a library unloaded and loaded
 * elsewhere is one module and another library at the same address is not. Called by the tracker for a pc it has not
 * seen; the caller has a frame in the object, so the object's memory and name stay while we read them.
 * Threads agree on a module's id, and so on the frames in it and on their stacks, whoever comes first.
 * Lock-free, async-signal-safe; linear in the number of modules (tens to hundreds; only on a new pc). Bound: 29 000.
 */
#ifndef MTRACE_MODULES_H
#define MTRACE_MODULES_H

#include <stdbool.h>
#include <stdint.h>

#include "plat.h"

/* The id of the object's module; 0 when the table is full. *news: it was not known to be mapped until now. */
uint32_t modules_of(const struct plat_object *object, bool *news);

/* After a dlclose: a module that was mapped at *start and is no more, its id above `after`; 0: no other. Each is told
   once. */
uint32_t modules_next_gone(uint32_t after, uintptr_t *start);

#endif
