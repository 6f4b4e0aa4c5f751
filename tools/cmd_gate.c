/*
 * cmd_gate: `mtrace gate`: fails a CI job when memory grows with the work that is done. Options, then gate/ does it: session
 * runs the command and judges, findings decides, page and the outputs say it. Exit status: enum gate_outcome, 2 for usage or
 * I/O.
 */
#include "command.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gate/findings.h"
#include "gate/identity.h"
#include "gate/outputs.h"
#include "gate/page.h"
#include "gate/self.h"
#include "gate/session.h"
#include "show.h"

enum {
	PHASE, MARK, EVERY, LOAD, READY, SETTLE, STOP, SCALE, FOLLOW, POLICY, SUPPRESSIONS, BASELINE, UPDATE, EXPECT_GONE, FROM,
	JUNIT, SARIF, GITHUB, SUMMARY, RECORDING, OUTPUT, FORCE, ROWS, FULL, BISECT, SELF_TEST
};

const struct command_option cmd_gate_options[] = {
	[PHASE] = {"--phase", "PHASE", "warmup:N steps are left out; work:N/K steps are judged, in K windows (again for each)"},
	[MARK] = {"--mark", "NAME", "a step is a mark of that name (default: a mark of any name)"},
	[EVERY] = {"--every", "DURATION", "a step is so much time"},
	[LOAD] = {"--load", "CMD", "a step is one run of CMD, which drives the service; it is stopped afterwards"},
	[READY] = {"--ready", "CMD", "begin when CMD succeeds (it is tried again and again)"},
	[SETTLE] = {"--settle", "CMD", "run before each window ends, with --load or --every; as --load, it finds PID set"},
	[STOP] = {"--stop", "SIGNAL", "ends the command after the work (default: TERM with --load, else it ends by itself)"},
	[SCALE] = {"--scale", "N={1,4}", "no steps: one run for each value of N; what is left and grows with N leaks"},
	[FOLLOW] = {"--follow", "GLOB", "trace these programs in children, and judge them by time (default: trace all)"},
	[POLICY] = {"--policy", "FILE", "what may grow, bounds, and what is demanded; mtrace-policy(5)"},
	[SUPPRESSIONS] = {"--suppressions", "FILE", "stacks that are accepted; mtrace-policy(5) (may be given again)"},
	[BASELINE] = {"--baseline", "FILE", "and no stack may hold more at the end than this committed file says"},
	[UPDATE] = {"--update-baseline", NULL, "write that file instead of comparing with it"},
	[EXPECT_GONE] = {"--expect-gone", "STACK", "pass only if this stack (id, or function) ran and leaks no more; with --from"},
	[FROM] = {"--from", "REC", "the recording in which STACK leaked"},
	[JUNIT] = {"--junit", "FILE", "write JUnit's XML, too"},
	[SARIF] = {"--sarif", "FILE", "write SARIF 2.1.0, too"},
	[GITHUB] = {"--github", NULL, "print GitHub's commands after the page, too"},
	[SUMMARY] = {"--summary", "FILE", "append a page of Markdown, as to $GITHUB_STEP_SUMMARY"},
	[RECORDING] = {"--recording", "REC", "save the run"},
	[OUTPUT] = {"-o", "FILE", "write the page there instead of stdout, which is the command's, too"},
	[FORCE] = {"-f", NULL, "overwrite REC"},
	[ROWS] = {"-n", "N", "findings shown, 0 all (default 10)"},
	[FULL] = {"--full", NULL, "every frame of every stack, none folded away"},
	[BISECT] = {"--bisect", NULL, "exit 125 instead of 3, as git bisect run wants it"},
	[SELF_TEST] = {"--self-test", NULL, "take no command: does this gate catch a known leak, and pass what has none?"},
	{NULL, NULL, NULL},
};

enum { MOST_SUPPRESSIONS = 64, EXIT_SKIP = 125 };

struct request {
	struct gate_plan plan;
	struct scale scale;
	struct policy policy;
	struct suppressions suppressions;
	struct baseline before, now;
	struct page_options page;
	const char *baseline, *gone, *from, *junit, *sarif, *summary, *recording, *output;
	bool has_scale, update, github, force, bisect, self_test, has_before;
};

/* ---- what was asked for ---- */

static bool take_stop(struct request *r, const char *word)
{
	static const struct { const char *name; int signal; } signals[] = {
		{"TERM", SIGTERM}, {"INT", SIGINT}, {"QUIT", SIGQUIT}, {"HUP", SIGHUP}, {"KILL", SIGKILL},
		{"USR1", SIGUSR1}, {"USR2", SIGUSR2}};
	const char *name = strncmp(word, "SIG", 3) == 0 ? word + 3 : word;
	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
		if (strcmp(name, signals[i].name) == 0)
			r->plan.stop = signals[i].signal;
	if (!r->plan.stop)
		warn("gate: --stop takes TERM, INT, QUIT, HUP, KILL, USR1 or USR2; not %s", word);
	return r->plan.stop != 0;
}

static bool take_phase(struct request *r, const char *text)
{
	if (plan_take_phase(&r->plan, text))
		return true;
	warn("gate: --phase takes warmup:N, work:N or work:N/K (N steps in K windows); not %s", text);
	return false;
}

static bool take_policy(struct request *r, const char *path)
{
	char error[512];
	if (policy_read(&r->policy, path, error) == 0)
		return true;
	warn("gate: %s", error);
	return false;
}

static bool take_suppressions(struct request *r, const char *path)
{
	size_t before = r->suppressions.problem_count;
	int failed = suppressions_read(&r->suppressions, path);
	if (failed)
		warn("gate: --suppressions %s: %s", path, strerror(-failed));
	for (size_t i = before; i < r->suppressions.problem_count && i < SUPPRESSIONS_PROBLEMS; i++)
		warn("gate: %s:%u: %s", r->suppressions.problems[i].file, r->suppressions.problems[i].line,
		     r->suppressions.problems[i].text);
	return !failed && r->suppressions.problem_count == before;
}

static bool take_scale(struct request *r, const char *text)
{
	r->has_scale = scale_take(&r->scale, text);
	if (!r->has_scale)
		warn("gate: --scale takes a variable and two values or more, rising: 'N={1,4}'; not %s", text);
	return r->has_scale;
}

static bool take_mark(struct request *r, const char *name)
{
	r->plan.mark = name;
	if (name[0] && strlen(name) < 48 && !strchr(name, ':'))
		return true;
	warn("gate: --mark takes a name of 1 to 47 bytes without ':'; not %s", name);
	return false;
}

static bool take(struct request *r, int option, const char *value)
{
	switch (option) {
	case PHASE: return take_phase(r, value);
	case MARK: return take_mark(r, value);
	case EVERY: return show_duration("gate", "--every", value, &r->plan.every_ns);
	case LOAD: r->plan.load = value; return true;
	case READY: r->plan.ready = value; return true;
	case SETTLE: r->plan.settle = value; return true;
	case STOP: return take_stop(r, value);
	case SCALE: return take_scale(r, value);
	case FOLLOW: r->plan.follow = value; return true;
	case POLICY: return take_policy(r, value);
	case SUPPRESSIONS: return take_suppressions(r, value);
	case BASELINE: r->baseline = value; return true;
	case UPDATE: r->update = true; return true;
	case EXPECT_GONE: r->gone = value; return true;
	case FROM: r->from = value; return true;
	case JUNIT: r->junit = value; return true;
	case SARIF: r->sarif = value; return true;
	case GITHUB: r->github = true; return true;
	case SUMMARY: r->summary = value; return true;
	case RECORDING: r->recording = value; return true;
	case OUTPUT: r->output = value; return true;
	case FORCE: r->force = true; return true;
	case ROWS: return show_number("gate", value, &r->page.limit);
	case FULL: r->page.full = true; return true;
	case BISECT: r->bisect = true; return true;
	case SELF_TEST: r->self_test = true; return true;
	default: return false;
	}
}

/* What does not go together; NULL when all does. */
static const char *conflict(const struct request *r, bool has_command)
{
	const struct gate_plan *plan = &r->plan;
	if (r->self_test)
		return has_command ? "--self-test takes no command: it brings its own" : NULL;
	if (!has_command)
		return "no command given: mtrace gate … -- CMD";
	bool has_steps = plan->work || plan->has_warmup || plan->load || plan->every_ns || plan->mark;
	if (r->has_scale && (has_steps || plan->stop || plan->ready))
		return "--scale: runs that end by themselves, without steps (--phase, --mark, --every, --load, --stop)";
	if (r->has_scale && (r->gone || r->recording))
		return "--scale: --expect-gone and --recording are about one run with steps";
	if (!!r->gone != !!r->from)
		return "--expect-gone STACK and --from REC go together";
	if (r->update && !r->baseline)
		return "--update-baseline: which file? --baseline FILE";
	if (plan->follow && strchr(plan->follow, ':'))
		return "--follow: a value cannot contain ':'";
	return NULL;
}

static bool parse(int argc, char **argv, const struct command *self, struct request *r)
{
	struct option_cursor cursor = {.index = 1};
	for (int option; (option = option_next(argc, argv, self, &cursor)) != -1;)
		if (!take(r, option, cursor.value))
			return false;
	r->plan.argv = argv + cursor.index;
	const char *wrong = conflict(r, cursor.index < argc);
	if (r->has_scale)
		r->plan.unit = GATE_BY_SCALE;
	if (!wrong && !r->self_test)
		wrong = plan_settle(&r->plan);
	if (wrong)
		warn("gate: %s", wrong);
	return !wrong;
}

/* ---- what is read before the run, so that a mistake does not cost one ---- */

static bool read_before(struct request *r)
{
	char error[512];
	if (!r->baseline || r->update)
		return true;
	r->has_before = baseline_read(r->baseline, &r->before, error) == 0;
	if (!r->has_before)
		warn("gate: %s", error);
	return r->has_before;
}

static bool is_named(const struct profile_process *process, const struct profile_stack *stack, const char *named)
{
	struct policy_line line = {.of = POLICY_STACK, .pattern = named};
	char id[32];
	snprintf(id, sizeof id, "%016" PRIx64, stack->id);
	return strcmp(id, named) == 0 || policy_is_about(&line, process, stack);
}

/* Of those that are called so, the one that held most. */
static bool find_gone(const struct request *r, struct profile *pool, struct findings_gone *gone)
{
	const struct profile_process *process = NULL;
	const struct profile_stack *best = NULL;
	if (!r->gone)
		return true;
	struct profile *p = show_open("gate", r->from, NULL);
	for (uint32_t i = 0; p && i < p->process_count; i++)
		for (uint32_t k = 0; k < p->processes[i].stack_count; k++) {
			const struct profile_stack *stack = &p->processes[i].stacks[k];
			if (!is_named(&p->processes[i], stack, r->gone) || (best && best->counts.live_bytes >= stack->counts.live_bytes))
				continue;
			process = &p->processes[i];
			best = stack;
		}
	if (best)
		*gone = (struct findings_gone){r->gone, identity_of(pool, process, best)};
	else if (p)
		warn("gate: --expect-gone %s: %s has no such stack; `mtrace leaks %s` lists them", r->gone, r->from, r->from);
	profile_free(p);
	return best != NULL;
}

/* ---- what is written after it ---- */

static bool save(const struct profile *profile, void *context)
{
	const struct request *r = context;
	struct read_error error = {""};
	if (write_recording(r->recording, r->force, profile, &error) == 0)
		return true;
	warn("gate: %s", error.text);
	return false;
}

/* The directory that paths are relative to. */
static const char *root_of(char *path, size_t size)
{
	const char *named = getenv("GITHUB_WORKSPACE");
	return named && named[0] ? named : getcwd(path, size);
}

static bool write_one(const char *path, const char *mode, const struct gate_result *result, const char *root,
                      void (*write)(const struct gate_result *result, const char *root, FILE *out))
{
	FILE *out = path ? fopen(path, mode) : NULL;
	if (!path)
		return true;
	if (out)
		write(result, root, out);
	bool good = out && !ferror(out);
	if (out && fclose(out) != 0)
		good = false;
	if (!good)
		warn("gate: %s: cannot be written: %m", path);
	return good;
}

static void markdown(const struct gate_result *result, const char *root, FILE *out)
{
	(void)root;
	outputs_markdown(result, out);
}

static bool write_all(struct request *r, const struct gate_result *result)
{
	char path[LOCATE_PATH_BYTES];
	const char *root = root_of(path, sizeof path);
	FILE *out;
	if (show_output("gate", r->output, &out) != 0)
		return false;
	show_dress(out, &r->page.color, &r->page.columns);
	page_write(result, &r->page, out);
	if (show_close("gate", r->output, out) != 0)
		return false;
	if (r->github)
		outputs_github(result, root, stdout);
	return write_one(r->junit, "we", result, root, outputs_junit) && write_one(r->sarif, "we", result, root, outputs_sarif) &&
	       write_one(r->summary, "ae", result, root, markdown);
}

static bool update(struct request *r, const struct gate_result *result)
{
	char error[512];
	if (!r->update)
		return true;
	if (result->outcome == GATE_INCONCLUSIVE) {
		warn("gate: %s is as it was: this run is no baseline", r->baseline);
		return true;
	}
	if (baseline_write(r->baseline, &r->now, error) == 0)
		return true;
	warn("gate: %s", error);
	return false;
}

/* ---- the whole ---- */

static const char *command_text(struct profile *pool, char **argv)
{
	char text[1024] = "";
	for (size_t used = 0; *argv && used < sizeof text - 1; argv++)
		used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used ? " " : "", *argv);
	return profile_string(pool, text);
}

static int judge(struct request *r, struct session *session, const struct findings_gone *gone, struct profile *pool)
{
	struct gate_result result = {.command = command_text(pool, r->plan.argv), .status = session_status(session),
	                             .stopped = session->launch.stopped, .recording = r->recording, .profile = session->profile};
	baseline_of(&session->judge, &r->now);
	bool has_scale = r->has_scale && !session->trouble[0];
	struct findings_input in = {.plan = &r->plan, .judge = &session->judge, .scale = has_scale ? &r->scale : NULL,
	                            .policy = &r->policy, .suppressions = &r->suppressions,
	                            .before = r->has_before ? &r->before : NULL, .now = &r->now, .gone = *gone,
	                            .trouble = session->trouble[0] ? session->trouble : NULL};
	findings_make(&in, &result, pool);
	bool written = write_all(r, &result) && update(r, &result);
	if (!written)
		return EXIT_TROUBLE;
	return result.outcome == GATE_INCONCLUSIVE && r->bisect ? EXIT_SKIP : (int)result.outcome;
}

static int run(struct request *r)
{
	char error[512] = "";
	struct profile *pool = profile_new();
	struct findings_gone gone = {NULL, NULL};
	struct session session = {.profile = NULL};
	int code = EXIT_TROUBLE;
	if (read_before(r) && find_gone(r, pool, &gone)) {
		int failed = r->has_scale ? session_run_scaled(&session, &r->plan, &r->scale, error)
		                          : session_run(&session, &r->plan, r->recording ? save : NULL, r, error);
		if (failed)
			warn("gate: %s", error);
		else
			code = judge(r, &session, &gone, pool);
		session_free(&session);
	}
	profile_free(pool);
	return code;
}

static int try_self(void)
{
	char error[512] = "";
	if (self_is_victim())
		return self_work();
	int status = self_test(stdout, error);
	if (status < 0)
		warn("gate: --self-test: %s", error);
	return status < 0 ? EXIT_TROUBLE : status;
}

int cmd_gate(int argc, char **argv, const struct command *self)
{
	static struct request r; /* of a process's life: scale and suppressions are large */
	int code = EXIT_TROUBLE;
	r.page.limit = 10;
	policy_init(&r.policy);
	suppressions_init(&r.suppressions);
	if (parse(argc, argv, self, &r)) {
		suppressions_add_built_in(&r.suppressions);
		code = r.self_test ? try_self() : run(&r);
	}
	baseline_free(&r.before);
	baseline_free(&r.now);
	scale_free(&r.scale);
	suppressions_free(&r.suppressions);
	policy_free(&r.policy);
	return code;
}
