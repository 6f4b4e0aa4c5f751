/*
 * plan: see plan.h. Where the work begins without a warm-up, the first mark is its begin: before it there is only start-up.
 */
#include "gate/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"

/* A number of digits alone; *end: what follows. */
static bool take_steps(const char *text, const char **end, uint64_t *steps)
{
	char *rest;
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	unsigned long long value = strtoull(text, &rest, 10);
	*end = rest;
	*steps = value;
	return errno == 0 && value <= PLAN_STEPS_MOST;
}

bool plan_take_phase(struct gate_plan *plan, const char *text)
{
	const char *end;
	uint64_t windows = 0;
	if (strncmp(text, "warmup:", 7) == 0) {
		plan->has_warmup = true;
		return take_steps(text + 7, &end, &plan->warmup) && *end == '\0';
	}
	if (strncmp(text, "work:", 5) != 0 || !take_steps(text + 5, &end, &plan->work) || plan->work == 0)
		return false;
	if (*end == '\0')
		return true;
	if (*end != '/' || !take_steps(end + 1, &end, &windows) || *end != '\0' || windows == 0)
		return false;
	plan->windows = windows;
	plan->has_windows = true;
	return true;
}

static void set_unit(struct gate_plan *plan)
{
	if (plan->unit == GATE_BY_SCALE)
		return;
	plan->unit = plan->load ? GATE_BY_LOAD : plan->every_ns ? GATE_BY_TIME : GATE_BY_MARK;
	if (plan->unit == GATE_BY_LOAD && !plan->stop)
		plan->stop = 15; /* SIGTERM: what is driven from outside does not end by itself */
	if (plan->unit != GATE_BY_MARK && !plan->work)
		plan->work = PLAN_WINDOWS;
	if (plan->unit == GATE_BY_LOAD && !plan->has_warmup)
		plan->warmup = 1;
}

/* As asked for, but finer, by a whole factor, where there are steps enough: with few windows a cache that has only just
   reached its bound looks like a leak. */
static void set_windows(struct gate_plan *plan)
{
	uint64_t steps = plan->unit == GATE_BY_MARK && plan->warmup == 0 ? plan->work - 1 : plan->work;
	uint64_t most = plan->unit == GATE_BY_MARK ? PLAN_WINDOWS : PLAN_WINDOWS_MOST;
	if (!plan->has_windows) {
		plan->windows = steps < most ? steps : most;
		return;
	}
	uint64_t factor = (PLAN_WINDOWS + plan->windows - 1) / plan->windows, fits = steps / plan->windows;
	if (plan->windows >= PLAN_WINDOWS_LEAST && factor > 1 && fits > 1)
		plan->windows *= factor < fits ? factor : fits;
}

const char *plan_settle(struct gate_plan *plan)
{
	if (plan->load && plan->every_ns)
		return "--load or --every: windows end after so many loads, or after so much time";
	if (plan->mark && (plan->load || plan->every_ns))
		return "--mark: windows end at marks, or from outside (--load, --every), not at both";
	set_unit(plan);
	set_windows(plan);
	if (plan->unit == GATE_BY_SCALE)
		return NULL;
	if (plan->work == 0)
		return "--phase work:N: how many marks must come? (or --every, --load; or --scale, without marks)";
	if (plan->settle && plan->unit == GATE_BY_MARK)
		return "--settle goes with --load or --every: a program that marks its own steps does not wait for it";
	if (plan->windows > PLAN_WINDOWS_MOST)
		return "--phase work:N/K: 120 windows at most";
	if (plan->windows < PLAN_WINDOWS_LEAST)
		return "--phase work:N/K: a verdict takes 8 windows";
	if (plan->unit == GATE_BY_MARK && plan->windows > plan->work - (plan->warmup == 0))
		return "--phase work:N/K: more windows than steps between them; without a warm-up the first mark is the begin";
	if (plan->unit != GATE_BY_TIME && plan->windows > plan->work)
		return "--phase work:N/K: more windows than steps";
	return NULL;
}

static uint64_t first_of(const struct gate_plan *plan)
{
	return plan->unit == GATE_BY_MARK && plan->warmup == 0 ? 1 : plan->warmup;
}

uint64_t plan_cut(const struct gate_plan *plan, uint64_t i)
{
	return mtrace_cut(first_of(plan), plan_steps(plan), plan->windows, i);
}

uint64_t plan_steps(const struct gate_plan *plan)
{
	return plan->warmup + plan->work;
}
