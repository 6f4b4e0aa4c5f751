/*
 * verdict: what kind of memory a stack holds, from a series of its counts: a leak, a cache, what start-up made, what
 * waits to be freed, a spike, or unknown; why, and how small a leak could have been seen. Pure. Callers fill a plain
 * struct from history, marks or snapshots; the words are emit/verdict_text.c's, the method mtrace-verdicts.7's.
 *
 * No verdict reaches beyond the time observed. Cost: O(n log n), plus every pair of at most 32 floors.
 */
#ifndef MTRACE_VERDICT_H
#define MTRACE_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* At least so many for any verdict; and to say that something ended: cache, or start-up that grew. */
enum { VERDICT_WINDOWS = 8, VERDICT_PLATEAU_WINDOWS = 16, VERDICT_STEPS = 16 };

/* One window: from the time of the one before to time_ns. The first is the begin of the observation: what it counts as
   live was there then; its three last counts are not looked at. */
struct verdict_window {
	uint64_t time_ns; /* its end; strictly increasing */
	uint64_t live_bytes, live_blocks; /* at its end */
	uint64_t alloc_blocks, freed_blocks; /* within it; when input->has_flow */
	uint64_t aged_blocks; /* freed within it, allocated before it; when input->has_aged */
};

/* Live blocks at the end of the last window, by age: classes do not overlap. */
struct verdict_age {
	uint64_t from_ns, to_ns; /* age: from <= age < to */
	uint64_t blocks, bytes;
};

struct verdict_input {
	const struct verdict_window *windows;
	size_t count; /* with the begin: one more than windows; above SERIES_MOST the lowest of neighbours stands for them */
	const struct verdict_age *ages; /* NULL: not known */
	size_t age_count;
	bool has_flow, has_aged;
};

enum verdict_kind {
	VERDICT_UNKNOWN, VERDICT_LEAK, VERDICT_CACHE, VERDICT_STARTUP, VERDICT_GC_LAG, VERDICT_SPIKE,
	VERDICT_JAVA_HEAP, VERDICT_METASPACE, /* not by its curve: by whose memory it is (model/managed.h) */
	VERDICT_KINDS
};

enum verdict_why {
	VERDICT_TOO_FEW,     /* unknown: fewer than VERDICT_WINDOWS windows */
	VERDICT_NO_GROWTH,   /* unknown: does not grow; blocks come and go */
	VERDICT_IRREGULAR,   /* unknown: goes up and down too much to tell a trend */
	VERDICT_FILLING,     /* unknown: grows, and slows down: a cache that fills looks like this */
	VERDICT_PAUSED,      /* unknown: grew, and is flat for longer than ever before, but not for long enough */
	VERDICT_COARSE,      /* unknown: grew, and is flat: too few windows, or too long ones, to say that it ended */
	VERDICT_FEW_STEPS,   /* unknown: grew in too few steps, or too uneven ones */
	VERDICT_REPLACED,    /* unknown: more is live, but not what was allocated then: it grows with the load */
	VERDICT_GROWS,       /* leak: rises all along, and what it held is kept */
	VERDICT_GROWS_STEPS, /* leak: in even steps, flat between */
	VERDICT_BOUNDED,     /* cache: grew, then reached a bound and stays there */
	VERDICT_TURNS_OVER,  /* cache: at its bound: old blocks are freed as new ones come */
	VERDICT_ONCE,        /* startup: grew in a short time, and is flat since */
	VERDICT_BEFORE,      /* startup: there from the beginning, and nothing changes */
	VERDICT_SAWTOOTH,    /* gc-lag: rises, and is freed at once, again and again */
	VERDICT_CAME_BACK,   /* spike: rose once or twice and came back */
	VERDICT_MANAGED,     /* java-heap, metaspace, cache: the JVM's own area, whatever its curve */
	VERDICT_RECORDS,     /* the same: native memory in which the JVM keeps account of that area, which is what grows */
	VERDICT_WHYS
};

struct verdict {
	enum verdict_kind kind;
	enum verdict_why why;
	size_t windows; /* without the begin */
	uint64_t begin_ns, observed_ns;
	int64_t growth_bytes, growth_blocks; /* of what is kept, from the first window to the last */
	double per_window, low, high; /* bytes: Theil-Sen slope of the floors, and its 99 % interval; per mean window */
	double per_hour;              /* the same slope */
	double z;                     /* Mann-Kendall of the floors */
	double sensitivity;           /* bytes per mean window: a leak of that would have been called one; < 0: of no size */
	uint64_t step_ns[VERDICT_STEPS]; /* times of steps, those of verdict_window */
	uint64_t step_bytes[VERDICT_STEPS];
	size_t steps;                 /* in the two arrays; 0: not in steps */
	uint64_t flat_ns;             /* since it last grew, within the time observed */
	uint64_t last_growth_ns;      /* time of that; 0: it did not grow */
	uint64_t longest_pause_ns;    /* between two rises */
	uint64_t wait_ns;             /* coarse: until there are VERDICT_PLATEAU_WINDOWS like these; 0 else */
	uint64_t period_ns;           /* gc-lag: median time between falls */
	uint64_t never_freed, ever_allocated; /* blocks, with flow: "1 of 512 blocks never freed"; both 0 without */
	double aged_share;            /* of blocks freed, those older than their window; < 0: not known */
};

/* Windows out of order count as none. Dies without memory, as profile_alloc does. */
void verdict_of(const struct verdict_input *input, struct verdict *verdict);

const char *verdict_name(enum verdict_kind kind);

#endif
