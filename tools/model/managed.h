/*
 * managed: memory that a HotSpot JVM manages itself, its Java heap, metaspace and code cache, by what its own functions were
 * called on the way to it. What fills these is no native leak, whatever its curve: Java objects, classes, compiled code.
 * Pure. Needs the names of libjvm's functions; a stack without them belongs to none, and is judged like any other.
 */
#ifndef MTRACE_MANAGED_H
#define MTRACE_MANAGED_H

#include <stdbool.h>
#include <stdint.h>

#include "model/profile.h"

enum managed_area {
#define MANAGED_AREA(area, id, name, next, text) MANAGED_##area,
#include "model/managed.def"
	MANAGED_AREAS,
	MANAGED_NONE = MANAGED_AREAS
};

enum managed_how {
	MANAGED_MAPPING, /* of the area: address space, until some of it is committed */
	MANAGED_COMMIT,  /* of the area: memory that can be used, and is resident once it was */
	MANAGED_RECORD,  /* native memory that the JVM needs to keep account of what is in it */
};

struct managed {
	enum managed_area area;
	enum managed_how how; /* of MANAGED_NONE nothing */
};

struct managed managed_of(const struct profile_process *process, const struct profile_stack *stack);

const char *managed_id(enum managed_area area);   /* "java-heap"; NULL of MANAGED_NONE */
const char *managed_name(enum managed_area area); /* "Java heap" */

/* What to ask the JVM next, behind `mtrace jvm PID`, and what that tells. */
const char *managed_next(enum managed_area area);
const char *managed_next_text(enum managed_area area);

#endif
