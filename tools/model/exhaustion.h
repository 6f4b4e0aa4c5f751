/*
 * exhaustion: who was there when a JVM ran out of something: threads by what created them. Pure; `mtrace` looks after the
 * fact, so what the shim wrote of threads is enough.
 */
#ifndef MTRACE_EXHAUSTION_H
#define MTRACE_EXHAUSTION_H

#include <stddef.h>
#include <stdint.h>

#include "model/profile.h"

struct exhaustion_threads {
	uint32_t stack; /* index of their creation stack; UINT32_MAX unknown */
	uint32_t threads;
};

/* Threads that had begun and not ended, most first. Returns how many groups; *groups is the caller's to free. Dies without
   memory. */
size_t exhaustion_threads(const struct profile_process *process, const struct profile_exhaustion *x,
                          struct exhaustion_threads **groups, uint32_t *all);

#endif
