/*
 * leaks: a process's stacks, or groups of them, each with its verdict, worst first; and how much of the growth of
 * resident memory they hold. Pure: the profile says what the stacks are and what is live at the end, `growth` what was
 * live before. Cost: a verdict per row.
 */
#ifndef MTRACE_LEAKS_H
#define MTRACE_LEAKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/growth.h"
#include "model/managed.h"
#include "model/profile.h"
#include "model/verdict.h"

struct leaks_row {
	const struct profile_stack *stack; /* the largest of a group */
	const char *label;                 /* of a group; NULL: a stack */
	enum mtrace_kind kind;
	uint32_t stacks;
	struct profile_counts counts;
	int64_t change_bytes, change_blocks; /* of what is live, from the first instant to the last */
	uint64_t oldest_ns;                  /* age of the oldest live block; 0 not known */
	struct managed managed; /* of all its stacks; MANAGED_NONE when they differ */
	struct verdict verdict;
};

/* Of a JVM's own area, from the first instant to the last. */
struct leaks_area {
	int64_t committed_change;    /* recorded: memory that can be used, of which any part may be resident */
	int64_t records_change;      /* of malloc's: what the JVM keeps account of it in */
	uint64_t rss_begin, rss_end; /* measured, when leaks->has_areas_rss */
};

struct leaks {
	struct leaks_row *rows; /* worst first */
	size_t count;
	uint32_t *row_of_stack; /* index in rows, by index of process->stacks */
	size_t windows;
	uint64_t observed_ns;
	bool by_steps, from_history;
	uint64_t window_least_ns, window_most_ns;
	uint64_t rss_begin, rss_end; /* 0: not known; the begin too, when it was measured once */
	uint64_t rss_before_ns;      /* so long before the last instant rss_end was measured last */
	int64_t tracker_change;
	int64_t live_change;         /* bytes of malloc and mmap */
	int64_t native_change;       /* of these, what lies in no area of a JVM's own; its records are native */
	struct leaks_area areas[MANAGED_AREAS];
	bool has_areas; /* a JVM has some that are known */
	bool has_areas_rss;
	enum managed_area not_native; /* most of what grew is this area; MANAGED_NONE: it is not so, or not known */
	double leak_per_hour;        /* bytes: the slopes of all leaks of these two kinds */
	double sight_per_hour;       /* bytes: nine of ten rows would have shown a leak of that; < 0: none would */
	uint64_t limit_bytes;        /* 0: none known */
	const char *limit_from;      /* who says so: "memory.max of its cgroup", "--limit" */
	char **labels;               /* owned */
	size_t label_count;
};

/* What a stack is counted under; NULL as labeller: every stack for itself. */
typedef void leaks_labeller(const struct profile_process *process, const struct profile_stack *stack, char *out, size_t size);

/* stack_of[number of a series]: index in process->stacks, or GROWTH_NO_GROUP; NULL: the number is. `process` is as it was at
   the last instant. Dies without memory. Rows point into the profile. */
void leaks_judge(const struct growth *growth, const uint32_t *stack_of, const struct profile_process *process,
                 leaks_labeller *label, struct leaks *into);
void leaks_free(struct leaks *leaks);

/* NULL when it has none (rows are groups, or nothing is known of it). */
const struct verdict *leaks_verdict_of(const struct leaks *leaks, uint32_t stack);

/* ns until resident memory reaches the limit, at the rate of the leaks; 0: it does not, or nothing is known. */
uint64_t leaks_time_to_limit(const struct leaks *leaks);

/* How much an area grew: as measured, else as recorded; without its records. */
int64_t leaks_area_change(const struct leaks *leaks, enum managed_area area);

/* Bytes that count towards resident memory: those of malloc and mmap. Others are inside these, or no memory at all. */
bool leaks_is_resident(enum mtrace_kind kind);

#endif
