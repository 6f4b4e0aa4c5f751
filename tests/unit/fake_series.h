/*
 * fake_series: what stacks look like over time, made up: blocks are born and die by rules that programs have, and the
 * windows count them. The truth is known. Made without a look at how verdicts are found; see fake_series.c.
 */
#ifndef MTRACE_FAKE_SERIES_H
#define MTRACE_FAKE_SERIES_H

#include <stdbool.h>
#include <stdint.h>

#include "model/verdict.h"

enum { FAKE_WINDOWS = 330, FAKE_AGES = 64 };

enum fake_series_kind {
	FAKE_LEAK, FAKE_SLOW_LEAK, FAKE_LEAK_STEPS, FAKE_LEAK_UNDER_GC, FAKE_LEAK_MIDWAY, FAKE_LEAKS,
	FAKE_CACHE_LATE = FAKE_LEAKS, FAKE_CACHE_SLOWING, FAKE_LRU, FAKE_POOL_DOUBLES, FAKE_LAZY_DIVIDES, FAKE_LAZY_ODD,
	FAKE_STARTUP, FAKE_INIT_LATE, FAKE_SPIKE, FAKE_NOISE_SMALL, FAKE_NOISE_LARGE, FAKE_DAY, FAKE_GC, FAKE_QUEUE,
	FAKE_KINDS
};

struct fake_series {
	struct verdict_input input;
	struct verdict_window windows[FAKE_WINDOWS];
	struct verdict_age ages[FAKE_AGES];
	double leaked_per_window; /* bytes; 0: no leak */
	double window_ns;         /* mean */
	double plateau_ns;        /* true time at the bound at the end, caches */
};

/* The same seed gives the same series. */
void fake_series(enum fake_series_kind kind, uint64_t seed, struct fake_series *out);
const char *fake_series_name(enum fake_series_kind kind);

#endif
