/*
 * watch: the processes of a run, observed from outside (observe.h), all at the same instants: for windows that the program
 * does not cut by its own marks.
 */
#ifndef MTRACE_GATE_WATCH_H
#define MTRACE_GATE_WATCH_H

#include <stddef.h>
#include <stdint.h>

#include "gate/judge.h"
#include "gate/launch.h"

enum { WATCH_MOST = 64 }; /* processes; those that come later are not judged */

struct watch {
	struct observe *observed[WATCH_MOST];
	ino_t inodes[WATCH_MOST]; /* of their segments */
	struct profile *profiles[WATCH_MOST];
	size_t count, missed; /* missed: at one instant, for which there was no room */
	bool by_steps;
};

/* Watches what came since, too. */
void watch_begin(struct watch *w, struct launch *l);

/* An instant, of every process that there is; `step` steps are done. */
void watch_take(struct watch *w, struct launch *l, uint64_t step);

/* The last one was taken: judges them. Profiles stay until watch_free. */
void watch_judge(struct watch *w, const struct gate_plan *plan, struct judge *j);
void watch_free(struct watch *w);

#endif
