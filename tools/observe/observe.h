/*
 * observe: windows of a running process: its segment is read again and again, by whoever decides when; what it counts is
 * gathered in a struct growth, under row ids. For `mtrace leaks PID` and whatever else watches a process.
 *
 *   struct observe o;
 *   observe_begin(&o, "4127", &error);
 *   while (observe_take(&o)) wait for as long as a window is to be;
 *   struct profile *p = observe_now(&o, &error);      what it is by then, in full
 *   observe_judge(&o, p, NULL, &leaks);               verdicts, worst first
 *   observe_free(&o);
 *
 * Cost of an instant: the tables of counts, copied; now and then the table of live blocks is walked, too, to know how old
 * freed blocks were: not more often than it takes 5 % of the time. Nothing is ever written to the segment.
 */
#ifndef MTRACE_OBSERVE_H
#define MTRACE_OBSERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "model/growth.h"
#include "model/leaks.h"
#include "observe/areas.h"
#include "read/read.h"

struct observe {
	struct read_running running;
	struct areas areas; /* of a JVM: where its memory is resident, at the first instant and at the last */
	struct growth growth; /* series are rows */
	uint64_t step;        /* of the program's own, done when the next instant is taken */
	struct read_instant instant;
	uint64_t *tabled, *aged; /* by row id: live at the walk before; freed since the first, older than their window */
	size_t row_count;
	uint64_t walked_ns;               /* the walk before, in the process's time … */
	uint64_t walk_clock_ns, walk_cost_ns; /* … on the clock, and what it took */
	uint64_t cost_ns;                 /* of all instants together */
	size_t walks;
	bool alive;
};

/* 0; -ESRCH: `target` is no running process that is traced. */
int observe_begin(struct observe *o, const char *target, struct read_error *error);

/* Takes an instant. false: the process is gone, and this was its last; or nothing could be read. */
bool observe_take(struct observe *o);
bool observe_is_alive(const struct observe *o); /* cheap: between two instants */

/* The whole of it, as it is now, to be named and shown; NULL and an error when its segment cannot be read any more. */
struct profile *observe_now(struct observe *o, struct read_error *error);

/* `label` NULL: a row for each stack. */
void observe_judge(struct observe *o, const struct profile *profile, leaks_labeller *label, struct leaks *leaks);

void observe_free(struct observe *o);

#endif
