/*
 * methods: the methods of the JVM that have a frame in some stack, each once, with their names. Copied into the segment
 * before the first stack that needs them is published, so they are there however the process ends.
 *
 * Lock-free, async-signal-safe. Bounds: the segment's share for METHODS and METHOD_NAMES, and METHODS_MOST in our own
 * table; when one is full, new methods have no id, and their frames are shown as code without a name (counted). Two
 * threads may make the same method at once: one of them is used from then on.
 */
#ifndef MTRACE_METHODS_H
#define MTRACE_METHODS_H

#include <stdbool.h>
#include <stdint.h>

#include "lang/jvm.h"

enum { METHODS_MOST = 1 << 17, METHODS_STRINGS_MOST = 1 << 17 };
#define METHODS_BYTES ((METHODS_MOST + METHODS_STRINGS_MOST) * sizeof(uint32_t))

bool methods_init(void);

/* Its id in METHODS; 0: no room. */
uint32_t methods_of(const struct jvm_method *method);

#endif
