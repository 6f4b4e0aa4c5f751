/*
 * judge: the processes of a run, each with its verdicts: by its own marks, from what its segment remembers of them; or from
 * instants that were read while it ran; or, what makes no marks, by time.
 */
#ifndef MTRACE_GATE_JUDGE_H
#define MTRACE_GATE_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gate/plan.h"
#include "model/leaks.h"
#include "model/profile.h"
#include "observe/observe.h"

/* One process. */
struct judge_case {
	struct profile *profile;         /* that has it; freed by the one who made it */
	struct profile_process *process; /* as it was at the end of the work */
	struct leaks leaks;
	bool is_judged, by_time;         /* by_time: windows are none of its steps */
	bool is_whole;                   /* all steps that were asked for came */
	uint64_t steps, first_step, last_step, windows; /* of the work: last - first */
	uint64_t warmup_found;           /* steps left out because they were found to be warm-up */
	uint64_t steady_from;            /* step since which the total goes its way; first_step: all along */
	double step_windows;             /* windows to a step: a slope per window times this is one per step */
	double sight;                    /* bytes per window: of nine of ten stacks a leak of that would have been seen; < 0: none */
	uint64_t work_ns;
	uint64_t alloc_blocks;           /* within the work */
	uint64_t peak_bytes;
	uint64_t unjudged;               /* stacks of which the windows are not known */
	uint64_t turned_over;            /* stacks that grew only as others of their function shrank */
	int64_t live_change;
	uint64_t settled_bytes, settled_stacks;   /* malloc that went while it settled, and of how many stacks */
	const struct profile_stack *settled_most; /* the one of which most went; NULL: nothing did */
};

struct judge {
	struct judge_case *cases;
	size_t count;
	uint64_t steps_seen; /* marks, ticks or loads: of the process that made most */
	size_t processes;    /* also those without a case */
	uint64_t settled, restless; /* so many times it settled; of these, so many times something went on falling */
};

/* After its end, by marks. */
void judge_marks(const struct gate_plan *plan, struct profile *profile, struct judge *j);

/* What was read of it while it ran. `profile` is what observe_end gave. */
void judge_observed(const struct gate_plan *plan, const struct observe *o, struct profile *profile, struct judge *j);

/* Without windows: what is left at the end of every process, that did not go on to another program. */
void judge_ended(struct profile *profile, struct judge *j);

void judge_free(struct judge *j);

#endif
