/*
 * growth: what was live at several instants, as many series as there are rows of a segment, stacks or groups, and the
 * verdicts that follow. Pure. Who takes the counts puts them in, instant after instant, under numbers of its own
 * choosing: `mtrace leaks` reads a segment again and again (row ids), or recordings one after the other (stacks); points
 * of a history or counts at marks fit as well, since nothing here asks for windows of one length.
 *
 * A series that is not put at an instant is as it was at the one before; before its first time it is nothing. So a
 * series costs 24 bytes for each instant at which it changed. At most GROWTH_INSTANTS are kept: when there are more,
 * every second one is forgotten, and windows are twice as long from there on.
 */
#ifndef MTRACE_GROWTH_H
#define MTRACE_GROWTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/managed.h"
#include "model/series.h"
#include "model/verdict.h"

enum { GROWTH_INSTANTS = SERIES_MOST };

struct growth_instant {
	uint64_t time_ns;   /* since the process's segment was made */
	uint64_t rss_bytes; /* 0: not measured */
	uint64_t tracker_bytes;
	uint64_t step; /* by_steps: how many of the program's own steps were done by then */
};

struct growth_counts {
	uint64_t live_bytes, live_blocks;
	uint64_t alloc_blocks, freed_blocks; /* ever; when growth->has_flow */
};

struct growth {
	struct growth_instant *instants;
	size_t count;
	struct growth_series *series; /* by number */
	size_t series_count, series_capacity;
	size_t seen;    /* instants put in, the forgotten ones included */
	bool has_flow, has_aged;
	bool by_steps;  /* time is counted in steps of the program's own work, equally long, whatever the clock says */
	bool has_managed; /* resident at the first instant and at the last, of a JVM's own areas; measured */
	uint64_t managed_begin[MANAGED_AREAS], managed_end[MANAGED_AREAS];
};

void growth_init(struct growth *g);
void growth_free(struct growth *g);

/* Begins an instant. false, and nothing begun: it is not later than the one before, in time or in steps. */
bool growth_begin(struct growth *g, const struct growth_instant *instant);
/* Of the instant begun last. Twice for one number: the sum. */
void growth_put(struct growth *g, size_t number, const struct growth_counts *counts);

/* Of the blocks freed since the first instant so many were born in a window before; when growth->has_aged. */
void growth_put_aged(struct growth *g, size_t number, uint64_t aged_blocks);

/* Series added up by group_of[number], which is below `groups`, or GROWTH_NO_GROUP. Dies without memory. */
#define GROWTH_NO_GROUP UINT32_MAX
void growth_group(const struct growth *g, const uint32_t *group_of, size_t groups, struct growth *into);

uint64_t growth_span(const struct growth *g); /* ns from the first instant to the last */
size_t growth_windows(const struct growth *g);

/* The first and the last counts of a series; zeros of one that was never put. */
struct growth_counts growth_first(const struct growth *g, size_t number);
struct growth_counts growth_last(const struct growth *g, size_t number);
bool growth_changed(const struct growth *g, size_t number); /* is it anywhere else than at first? */

/* What was live at each instant, and when, as verdicts take it: fills growth->count of them. */
void growth_curve(const struct growth *g, size_t number, struct verdict_window *windows);

/* `ages`: of what is live at the last instant, in the process's time; NULL not known. Of a series that was never put
   nothing is known: it has no windows. */
void growth_judge(const struct growth *g, size_t number, const struct verdict_age *ages, size_t age_count,
                  struct verdict *verdict);

#endif
