/*
 * past: windows of a process from what its own record remembers (history.h): so that what nobody watched has verdicts,
 * also after its death. Pure.
 */
#ifndef MTRACE_PAST_H
#define MTRACE_PAST_H

#include <stdbool.h>

#include "model/growth.h"
#include "model/profile.h"

/* Fills `growth`, to be freed; series are indices in process->stacks. `on_mark`: windows end at the marks of that name; NULL:
   at the boundaries of time, the last one now. Stacks of which the first window is not known are not put. false: fewer
   windows than verdicts take. */
bool past_windows(const struct profile_process *process, const char *on_mark, struct growth *growth);

/* The marks that a gate had cut windows by (libmtrace's cuts.h): format.h's mtrace_cut of these three numbers. */
struct past_cuts {
	const char *name; /* NULL: marks of any name */
	uint64_t first, last, windows;
};

/* Those boundaries that are such cuts, and of each how many of the marks had come by then. Ascending; at most
   GROWTH_INSTANTS. */
size_t past_cut_at(const struct profile_process *process, const struct past_cuts *cuts, uint32_t *boundaries, uint64_t *steps);
uint64_t past_marks(const struct profile_process *process, const struct past_cuts *cuts); /* that came, kept or not */

/* The windows between these boundaries, of so many steps. As past_windows, but false with less than one. */
bool past_between(const struct profile_process *process, const uint32_t *boundaries, const uint64_t *steps, size_t count,
                  struct growth *growth);

#endif
