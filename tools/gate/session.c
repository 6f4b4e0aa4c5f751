/* session: see session.h. */
#include "gate/session.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "die.h"
#include "format.h"
#include "model/profile.h"
#include "read/read.h"
#include "symbols/symbols.h"

#define NS_PER_MS 1000000u
#define READY_AGAIN_NS 100000000u
#define MARKS_AGAIN_NS 20000000u
enum { READY_SECONDS = 120, MARKS_AT_ONCE = 64 };

static void resolve(struct profile *profile)
{
	struct symbols_options options = {.pid = 0};
	struct symbols_result result = {0};
	symbols_resolve(profile, &options, &result);
}

static void trouble(struct session *s, const char *what, int status)
{
	if (!s->trouble[0])
		snprintf(s->trouble, sizeof s->trouble, what, status);
}

/* ---- a service ---- */

static bool wait_ready(struct session *s, const struct gate_plan *plan)
{
	uint64_t deadline = launch_now_ns() + READY_SECONDS * 1000000000ull;
	while (plan->ready && launch_help(&s->launch, plan->ready) != 0) {
		if (launch_now_ns() > deadline)
			trouble(s, "--ready: it was not ready within %d s", READY_SECONDS);
		if (s->trouble[0] || !launch_wait(&s->launch, launch_now_ns() + READY_AGAIN_NS))
			return false;
	}
	return true;
}

static bool settle(struct session *s, const struct gate_plan *plan)
{
	int status = plan->settle ? settle_run(&s->settle, &s->watch, &s->launch, plan->settle) : 0;
	if (status)
		trouble(s, "--settle failed: exit status %d", status);
	return status == 0;
}

/* ---- when windows end ---- */

static void take_by_load(struct session *s, const struct gate_plan *plan)
{
	uint64_t next = 0;
	for (uint64_t step = 0; step <= plan_steps(plan); step++) {
		int status = step ? launch_help(&s->launch, plan->load) : 0;
		if (status)
			trouble(s, "--load failed: exit status %d", status);
		if (status || !launch_wait(&s->launch, 0))
			return;
		if (step != plan_cut(plan, next))
			continue;
		if (!settle(s, plan))
			return;
		watch_take(&s->watch, &s->launch, step);
		next++;
	}
}

/* Ticks are cut as steps are, to the millisecond. */
static void take_by_time(struct session *s, const struct gate_plan *plan)
{
	uint64_t tick = plan->every_ns / NS_PER_MS ? plan->every_ns / NS_PER_MS : 1, begun = launch_now_ns();
	for (uint64_t i = 0; i <= plan->windows; i++) {
		uint64_t at = mtrace_cut(plan->warmup * tick, plan_steps(plan) * tick, plan->windows, i);
		if (!launch_wait(&s->launch, begun + at * NS_PER_MS) || !settle(s, plan))
			return;
		watch_take(&s->watch, &s->launch, at / tick);
	}
}

/* Has some process made the last mark that is asked for? */
static bool has_last_mark(struct session *s, const struct gate_plan *plan)
{
	struct read_mark marks[MARKS_AT_ONCE];
	for (size_t i = 0; i < s->launch.collect.count; i++) {
		uint64_t next = 0, cuts = plan_cut(plan, 0) == 0;
		for (size_t n; (n = read_segment_marks(s->launch.collect.segments[i].path, &next, marks, MARKS_AT_ONCE)) > 0;)
			for (size_t k = 0; k < n; k++)
				cuts += !marks[k].snapshot && (!plan->mark || strcmp(marks[k].name, plan->mark) == 0);
		if (cuts > plan->windows)
			return true;
	}
	return false;
}

static void wait_for_marks(struct session *s, const struct gate_plan *plan)
{
	bool stops = plan->stop != 0;
	if (plan->ready && !wait_ready(s, plan))
		return;
	while (launch_wait(&s->launch, stops ? launch_now_ns() + MARKS_AGAIN_NS : UINT64_MAX))
		if (stops && has_last_mark(s, plan))
			return;
}

static void drive(struct session *s, const struct gate_plan *plan)
{
	if (plan->unit == GATE_BY_MARK) {
		wait_for_marks(s, plan);
		return;
	}
	s->watch.by_steps = plan->unit == GATE_BY_LOAD;
	if (!wait_ready(s, plan))
		return;
	if (plan->unit == GATE_BY_LOAD)
		take_by_load(s, plan);
	else
		take_by_time(s, plan);
	watch_judge(&s->watch, plan, &s->judge);
	settle_tell(&s->settle, &s->watch, &s->judge);
}

/* ---- the whole ---- */

static void end(struct session *s, const struct gate_plan *plan)
{
	if (plan->stop || s->trouble[0] || s->launch.interrupted)
		launch_stop(&s->launch, plan->stop ? plan->stop : SIGTERM);
	else
		launch_wait(&s->launch, UINT64_MAX);
	if (s->launch.interrupted)
		trouble(s, "the gate was interrupted (signal %d)", s->launch.interrupted);
}

static int start(struct session *s, const struct gate_plan *plan, char error[512])
{
	bool untraceable;
	s->is_started = launch_start(&s->launch, plan, error, &untraceable) == 0;
	if (!s->is_started && untraceable)
		snprintf(s->trouble, sizeof s->trouble, "%s", error);
	return s->is_started || untraceable ? 0 : -1;
}

int session_run(struct session *s, const struct gate_plan *plan, session_save *save, void *context, char error[512])
{
	bool saved = true;
	*s = (struct session){.profile = NULL};
	if (start(s, plan, error) != 0)
		return -1;
	if (!s->is_started)
		return 0;
	drive(s, plan);
	end(s, plan);
	struct profile *profile = launch_read(&s->launch);
	if (plan->unit == GATE_BY_MARK || save)
		resolve(profile);
	if (save && !save(profile, context)) {
		snprintf(error, 512, "the recording could not be written");
		saved = false;
	}
	if (plan->unit == GATE_BY_MARK)
		judge_marks(plan, profile, &s->judge);
	s->profile = profile;
	launch_end(&s->launch);
	return saved ? 0 : -1;
}

static int run_scaled(struct session *s, const struct gate_plan *plan, struct scale *scale, size_t run, char error[512])
{
	struct gate_plan with = *plan;
	with.argv = scale_arguments(scale, run, plan->argv);
	int failed = start(s, &with, error);
	if (s->is_started) {
		launch_wait(&s->launch, UINT64_MAX);
		end(s, plan);
		s->profile = launch_read(&s->launch);
		resolve(s->profile);
		baseline_of_profile(s->profile, &scale->left[run]);
		launch_end(&s->launch);
		scale->runs[run] = s->launch;
		scale->done = run + 1;
		if (session_status(s) > 0)
			trouble(s, "the command failed: exit status %d", session_status(s));
	}
	scale_free_arguments(with.argv);
	return failed;
}

int session_run_scaled(struct session *s, const struct gate_plan *plan, struct scale *scale, char error[512])
{
	*s = (struct session){.profile = NULL};
	for (size_t run = 0; run < scale->count && !s->trouble[0]; run++)
		if (run_scaled(s, plan, scale, run, error) != 0)
			return -1;
	if (!s->trouble[0])
		judge_ended(s->profile, &s->judge);
	s->is_started = false; /* what was read belongs to the scale */
	return 0;
}

int session_status(const struct session *s)
{
	const struct launch *l = &s->launch;
	if (!l->ended || l->stopped)
		return -1;
	return WIFSIGNALED(l->wait_status) ? 128 + WTERMSIG(l->wait_status) : WEXITSTATUS(l->wait_status);
}

void session_free(struct session *s)
{
	judge_free(&s->judge);
	settle_free(&s->settle);
	watch_free(&s->watch);
	if (s->is_started)
		collect_fini(&s->launch.collect);
}
