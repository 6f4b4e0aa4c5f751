/*
 * streams: drains the processes of a run while they stream their events (--events). Looked at every few milliseconds; what
 * was taken goes into the recording with the segment it is of (collect.c).
 */
#ifndef MTRACE_RUN_STREAMS_H
#define MTRACE_RUN_STREAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "run/collect.h"

#define STREAMS_BYTES (64u << 20) /* kept of each process, unless --events-size says otherwise */

struct streams {
	uint64_t for_ms; /* 0: nobody asked for events */
	uint64_t most_bytes;
};

/* Takes what is there. How many milliseconds until it has to be done again; -1: none that is known streams. */
int streams_look(const struct streams *s, struct collect *collect);

#endif
