/*
 * plan: how a gate looks at its command: what one step of the work is, how many are left out, how many are judged, and in
 * how many windows. Filled from the options of `mtrace gate`; pure.
 */
#ifndef MTRACE_GATE_PLAN_H
#define MTRACE_GATE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gate/result.h"

/* Windows: the shim's bound for cuts; what is taken when nobody says, since fewer than 40 tell caches with a late bound from
   leaks less often (test_tools_gate); fewer than the least give no verdict. */
enum { PLAN_WINDOWS_MOST = 120, PLAN_WINDOWS = 64, PLAN_WINDOWS_LEAST = 8 };
#define PLAN_STEPS_MOST 1000000000u

struct gate_plan {
	enum gate_unit unit;
	uint64_t warmup, work; /* steps */
	uint64_t windows; /* at least those that were asked for */
	bool has_warmup, has_windows;
	const char *mark;  /* NULL: marks of any name */
	uint64_t every_ns; /* GATE_BY_TIME: a tick */
	const char *ready, *load, *settle; /* commands of the shell; NULL: none */
	int stop;          /* signal that ends the command after the work; 0: it ends by itself */
	const char *follow; /* NULL: all that is started is traced, and judged where it makes the marks */
	char **argv;       /* of the command */
};

/* "warmup:20", "work:1000", "work:1000/10". false: it is none. */
bool plan_take_phase(struct gate_plan *plan, const char *text);

/* What was not said follows from the rest. NULL, or what is wrong, in one clause. */
const char *plan_settle(struct gate_plan *plan);

/* The number of the step at which window `i` ends; 0: the first begins. */
uint64_t plan_cut(const struct gate_plan *plan, uint64_t i);
uint64_t plan_steps(const struct gate_plan *plan); /* all, warm-up included */

#endif
