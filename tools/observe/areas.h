/*
 * areas: how much of a running JVM's own areas (model/managed.h) is resident, at the first instant of an observation and at the
 * last: the mappings that libjvm made for them, recorded with their stacks, in smaps. Two passes over smaps, which hold up
 * the process no longer than any reading of its resident memory does; the JVM is asked nothing, and not stopped.
 */
#ifndef MTRACE_AREAS_H
#define MTRACE_AREAS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "read/mappings.h"

struct growth;
struct profile_process;

struct areas {
	struct mappings begin, end;
	bool has_begin, has_end;
	uint64_t heap_start, heap_end; /* where the JVM says that its heap is; both 0: as it was recorded */
};

void areas_begin(struct areas *a, pid_t pid);
void areas_end(struct areas *a, pid_t pid); /* again: the one before is forgotten */

/* Into growth->managed_begin and managed_end, if both were taken and it is a JVM whose mappings were recorded. The frames of
   the process have their names. */
void areas_measure(const struct areas *a, const struct profile_process *process, struct growth *growth);
void areas_free(struct areas *a);

#endif
