/*
 * cmd_report: `mtrace report` and `mtrace leaks`: the same document, in full or what is live alone, worst first. Verdicts
 * need windows: a process's own history has them, also after its death; where it is too short, or others are asked for,
 * `leaks` takes them of a running process; and it makes them of several recordings. Exit 1 when the run recorded
 * no allocation (a run that observed nothing is never a pass), or nothing has a verdict that was asked for.
 */
#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach/ask.h"
#include "attach/hotspot.h"
#include "emit/emit.h"
#include "emit/emit_text.h"
#include "model/leaks.h"
#include "model/lifetimes.h"
#include "model/past.h"
#include "model/profile.h"
#include "observe/moments.h"
#include "observe/observe.h"
#include "observe/windows.h"
#include "show.h"

enum { BY, JSON, ROWS, ALL, OUTPUT, ALLOCATED, FULL, SEARCH, FOR, LIMIT, ON_LINE, ON_MARK, VERDICT };

#define OPTIONS(first) \
	[BY] = {"--by", "stack|site|module|thread|kind", first}, \
	[JSON] = {"--json", NULL, "the report document as JSON (schema 1), complete unless -n is given"}, \
	[ROWS] = {"-n", "N", "rows shown per process, 0 all (default 10)"}, \
	[ALL] = {"--all", NULL, "the same as -n 0"}, \
	[OUTPUT] = {"-o", "FILE", "write there instead of stdout; .json means --json"}, \
	[ALLOCATED] = {"--allocated", NULL, "rank by what was ever allocated, not by what is live"}, \
	[FULL] = {"--full", NULL, "every frame of every stack, none folded away"}, \
	[SEARCH] = {"--search", "DIR", "look there for files with symbols, too (may be given again)"}

const struct command_option cmd_report_options[] = {
	OPTIONS("what rows are (default: stack)"),
	[FOR] = {"--for", "DURATION", "observe a running process for so long first, and show verdicts (default 0)"},
	{NULL, NULL, NULL},
};

const struct command_option cmd_leaks_options[] = {
	OPTIONS("what rows are (default: stack)"),
	[FOR] = {"--for", "DURATION", "observe a running process for so long (default: 90s where its history is too short; 0: no)"},
	[LIMIT] = {"--limit", "SIZE", "say when that is reached (default: the memory limit of its cgroup)"},
	[ON_LINE] = {"--on-line", NULL, "a window ends with each line on stdin, all with its end; answered on stderr"},
	[ON_MARK] = {"--on-mark", "NAME", "a window ends at each mark of that name that the program makes"},
	[VERDICT] = {"--verdict", "WORD,…",
	             "list these only: leak, cache, startup, gc-lag, spike, java-heap, metaspace, unknown; exit 1: none"},
	{NULL, NULL, NULL},
};

#define DEFAULT_FOR_NS 90000000000u
enum { HEAP_ANSWER_MS = 3000, MOST_SEARCH = 32, MOST_TARGETS = 4096 };

struct request {
	struct emit_options emit;
	const char **targets;
	size_t target_count;
	const char *output;
	const char *search[MOST_SEARCH + 1];
	size_t search_count;
	struct windows windows;
	uint64_t limit_bytes;
	bool json, has_limit, has_for;
};

/* ---- what was asked for ---- */

static bool take_verdict(const char *command, const char *word, size_t length, uint32_t *verdicts)
{
	for (unsigned kind = 0; kind < VERDICT_KINDS; kind++) {
		const char *name = verdict_name((enum verdict_kind)kind);
		if (strlen(name) == length && strncmp(name, word, length) == 0) {
			*verdicts |= 1u << kind;
			return true;
		}
	}
	warn("%s: --verdict takes leak, cache, startup, gc-lag, spike, java-heap, metaspace, unknown, or some with commas "
	     "between; not %.*s",
	     command, (int)length, word);
	return false;
}

static bool take_verdicts(const char *command, const char *words, uint32_t *verdicts)
{
	for (;;) {
		size_t length = strcspn(words, ",");
		if (!take_verdict(command, words, length, verdicts))
			return false;
		if (words[length] == '\0')
			return true;
		words += length + 1;
	}
}

static bool take_target(const struct command *self, struct request *r, const char *word)
{
	if (r->target_count && !r->emit.leaks) {
		warn("%s: one target at a time: %s or %s?", self->name, r->targets[0], word);
		return false;
	}
	if (r->target_count == MOST_TARGETS) {
		warn("%s: %d recordings at most", self->name, MOST_TARGETS);
		return false;
	}
	const char **more = reallocarray(r->targets, r->target_count + 1, sizeof *more);
	if (!more)
		die(EXIT_TROUBLE, "out of memory");
	r->targets = more;
	r->targets[r->target_count++] = word;
	return true;
}

static bool take(const struct command *self, struct request *r, int option, const char *value)
{
	switch (option) {
	case BY: return show_by(self->name, value, &r->emit.by);
	case JSON: r->json = true; return true;
	case ROWS: r->has_limit = true; return show_number(self->name, value, &r->emit.limit);
	case ALL: r->has_limit = true; r->emit.limit = 0; return true;
	case OUTPUT: r->output = value; return true;
	case ALLOCATED: r->emit.allocated = true; return true;
	case FULL: r->emit.full = true; return true;
	case SEARCH:
		if (!show_is_directory(self->name, value))
			return false;
		if (r->search_count < MOST_SEARCH)
			r->search[r->search_count++] = value;
		return true;
	case FOR: r->has_for = true; return show_duration(self->name, "--for", value, &r->windows.for_ns);
	case LIMIT: return show_size(self->name, "--limit", value, &r->limit_bytes);
	case ON_LINE: r->windows.on_line = true; return true;
	case ON_MARK: r->windows.on_mark = value; return true;
	case VERDICT: return take_verdicts(self->name, value, &r->emit.verdicts);
	case -3: return take_target(self, r, value);
	default: return false;
	}
}

static bool parse(int argc, char **argv, const struct command *self, struct request *r)
{
	struct option_cursor cursor = {.index = 1};
	for (int option; (option = option_or_operand(argc, argv, self, &cursor)) != -1;)
		if (!take(self, r, option, cursor.value))
			return false;
	if (r->target_count == 0) {
		warn("%s: of what? give a pid, a segment file, a recording, or `last`", self->name);
		return false;
	}
	if (r->windows.on_line && r->windows.on_mark) {
		warn("%s: --on-line or --on-mark: windows end at one of them", self->name);
		return false;
	}
	bool by_steps = r->windows.on_line || r->windows.on_mark;
	if (!r->has_for && r->emit.leaks && !by_steps)
		r->windows.for_ns = DEFAULT_FOR_NS;
	r->windows.command = self->name;
	r->windows.progress = isatty(STDERR_FILENO);
	r->json |= r->output && show_has_extension(r->output, ".json");
	if (!r->has_limit)
		r->emit.limit = r->json ? 0 : 10;
	r->emit.target = r->targets[0];
	return true;
}

/* ---- where verdicts come from ---- */

/* What the process is at the end, and its verdicts, if there are any. */
struct shown {
	struct profile *profile;
	struct leaks leaks;
	bool judged;
	char no_verdict[160];
};

static leaks_labeller *labeller(enum emit_by by)
{
	return by == EMIT_BY_SITE ? emit_site_label
	     : by == EMIT_BY_MODULE ? emit_module_label
	     : by == EMIT_BY_KIND ? emit_kind_label : NULL;
}

/* JSON has stacks, always. */
static leaks_labeller *labeller_of(const struct request *r)
{
	return r->json || !r->emit.leaks ? NULL : labeller(r->emit.by);
}

static void set_limit(const struct request *r, pid_t pid, struct leaks *leaks)
{
	char who[16];
	snprintf(who, sizeof who, "%d", (int)pid);
	leaks->limit_bytes = r->limit_bytes ? r->limit_bytes : pid ? read_memory_limit(who) : 0;
	leaks->limit_from = r->limit_bytes ? "--limit" : "memory.max of its cgroup";
}

/* Its mapping was made before we were there. The JVM listens, since it was attached to by its socket; what does not answer
   soon has no heap that is known. */
static void find_heap(pid_t pid, struct areas *areas)
{
	struct question q = {.command = "jcmd", .argument = {"GC.heap_info"}, .listen_ms = 0, .answer_ms = HEAP_ANSWER_MS};
	struct read_error ignored;
	struct hotspot jvm;
	struct answer answer;
	uint64_t start, end;
	if (hotspot_open(pid, 0, &jvm, &ignored) != 0)
		return;
	if (ask(&jvm, &q, &answer, &ignored) == 0) {
		if (answer.code == 0 && answer_heap_place(answer.text, &start, &end)) {
			areas->heap_start = start;
			areas->heap_end = end;
		}
		answer_free(&answer);
	}
	hotspot_close(&jvm);
}

static bool observe(const struct command *self, struct request *r, struct observe *o, struct shown *s)
{
	struct read_error error;
	windows_take(&r->windows, o);
	s->profile = observe_now(o, &error);
	if (!s->profile) {
		warn("%s: %s", self->name, error.text);
		return false;
	}
	show_name(s->profile, r->search_count ? r->search : NULL);
	if (r->windows.lost_marks)
		warn("%s: %llu marks came before the one before was seen: their windows are longer", self->name,
		     (unsigned long long)r->windows.lost_marks);
	s->judged = o->growth.count > 1;
	snprintf(s->no_verdict, sizeof s->no_verdict, "not one window could be taken");
	if (s->judged) {
		if (s->profile->processes[0].attached && o->alive && o->running.pid)
			find_heap(o->running.pid, &o->areas);
		observe_judge(o, s->profile, labeller_of(r), &s->leaks);
		set_limit(r, o->running.pid, &s->leaks);
	}
	return true;
}

/* Series are stacks. */
static void judge_stacks(const struct request *r, const struct growth *growth, pid_t pid, struct shown *s)
{
	leaks_judge(growth, NULL, &s->profile->processes[0], labeller_of(r), &s->leaks);
	set_limit(r, pid, &s->leaks);
}

/* 0: it does not run. A recording of a running one is no process. */
static pid_t is_running(const struct request *r)
{
	struct observe o;
	struct read_error error;
	if (observe_begin(&o, r->targets[0], &error) != 0)
		return 0;
	pid_t pid = o.running.pid;
	observe_free(&o);
	return pid;
}

/* From what its own record remembers. Returns how many windows that has. */
static size_t judge_past(const struct request *r, struct shown *s)
{
	struct growth growth;
	s->judged = past_windows(&s->profile->processes[0], r->windows.on_mark, &growth);
	size_t windows = growth_windows(&growth);
	if (s->judged) {
		judge_stacks(r, &growth, is_running(r), s);
		s->leaks.from_history = true;
	}
	growth_free(&growth);
	return windows;
}

static bool compare_moments(const struct command *self, struct request *r, struct shown *s)
{
	struct read_error error = {""};
	struct growth growth;
	s->profile = moments_read(r->targets, r->target_count, &growth, &error);
	if (!s->profile) {
		warn("%s: %s", self->name, error.text);
		return false;
	}
	show_name(s->profile, r->search_count ? r->search : NULL);
	s->judged = growth.count > 1;
	snprintf(s->no_verdict, sizeof s->no_verdict, "these recordings show one instant");
	if (s->judged)
		judge_stacks(r, &growth, 0, s);
	growth_free(&growth);
	return true;
}

static void say_why_none(const struct request *r, struct shown *s, size_t windows)
{
	bool ended = s->profile->processes[0].end != PROFILE_RUNNING;
	const char *next = ended ? "; `mtrace leaks PID` while it runs takes more" : is_running(r) ? "; --for takes more" : "";
	snprintf(s->no_verdict, sizeof s->no_verdict, "it has %s%zu window%s of history, and a verdict takes %d%s",
	         ended ? "ended with " : "", windows, windows == 1 ? "" : "s", VERDICT_WINDOWS, next);
}

static bool wants_windows(const struct request *r)
{
	return r->windows.for_ns || r->windows.on_line || r->windows.on_mark;
}

static bool observe_running(const struct command *self, struct request *r, struct shown *s, bool *done)
{
	struct observe o;
	struct read_error error;
	if (observe_begin(&o, r->targets[0], &error) != 0)
		return false;
	*done = observe(self, r, &o, s);
	observe_free(&o);
	return true;
}

static void say_it_goes_on(const struct command *self, const struct request *r, size_t windows)
{
	if (!r->json || r->windows.progress)
		warn("%s: it has %zu window%s of history, and a verdict takes %d: windows are taken now, for %g s (Ctrl-C ends)",
		     self->name, windows, windows == 1 ? "" : "s", VERDICT_WINDOWS, (double)r->windows.for_ns / 1e9);
}

/* Windows that were asked for, else what its history tells, else windows all the same. */
static bool open_shown(const struct command *self, struct request *r, struct shown *s)
{
	bool done, asked = r->has_for || r->windows.on_line || r->windows.on_mark;
	if (r->target_count > 1)
		return compare_moments(self, r, s);
	if (asked && wants_windows(r) && observe_running(self, r, s, &done))
		return done;
	s->profile = show_open(self->name, r->targets[0], r->search_count ? r->search : NULL);
	if (!s->profile)
		return false;
	size_t windows = judge_past(r, s);
	if (s->judged)
		return true;
	struct profile *now = s->profile;
	if (!asked && wants_windows(r) && is_running(r)) {
		say_it_goes_on(self, r, windows);
		if (observe_running(self, r, s, &done)) {
			profile_free(now);
			return done;
		}
	}
	say_why_none(r, s, windows);
	return true;
}

/* ---- showing it ---- */

static int judge_run(const struct command *self, const struct request *r, const struct shown *s)
{
	int64_t change;
	int code = show_recorded(self->name, r->targets[0], s->profile);
	if (code == EXIT_DONE && r->emit.verdicts && (!s->judged || !emit_leaks_listed(&r->emit, &s->leaks, &change)))
		code = EXIT_NOTHING;
	return code;
}

/* What the events of each process say; kept until the end of the program. */
static const struct lifetimes *const *join_events(const struct command *self, const struct profile *p)
{
	const struct lifetimes **all = calloc(p->process_count + 1, sizeof *all);
	struct lifetimes *joined = calloc(p->process_count + 1, sizeof *joined);
	if (!all || !joined)
		die(EXIT_TROUBLE, "out of memory");
	for (uint32_t i = 0; i < p->process_count; i++) {
		if (!p->processes[i].stream.asked_ms)
			continue;
		uint32_t damaged = read_lifetimes(&p->processes[i], &joined[i]);
		all[i] = &joined[i];
		if (damaged)
			warn("%s: %u parts of the events are damaged and were left out", self->name, damaged);
	}
	return all;
}

static int show(const struct command *self, struct request *r, const struct shown *s)
{
	FILE *out;
	if (show_output(self->name, r->output, &out) != 0)
		return EXIT_TROUBLE;
	if (!r->emit.leaks)
		r->emit.lifetimes = join_events(self, s->profile);
	show_dress(out, &r->emit.color, &r->emit.columns);
	bool by_thread = r->emit.leaks && r->emit.by == EMIT_BY_THREAD && !r->json;
	r->emit.judged = s->judged && !by_thread ? &s->leaks : NULL;
	r->emit.no_verdict = by_thread ? "what a thread allocated is not counted by window" : s->no_verdict;
	if (r->json)
		emit_json(s->profile, &r->emit, out);
	else
		emit_text(s->profile, &r->emit, out);
	if (show_close(self->name, r->output, out) != 0)
		return EXIT_TROUBLE;
	return judge_run(self, r, s);
}

int cmd_report(int argc, char **argv, const struct command *self)
{
	struct request r = {.emit = {.leaks = strcmp(self->name, "leaks") == 0}};
	struct shown s = {.judged = false};
	int code = EXIT_TROUBLE;
	if (parse(argc, argv, self, &r) && open_shown(self, &r, &s)) {
		code = show(self, &r, &s);
		leaks_free(&s.leaks);
		profile_free(s.profile);
	}
	free(r.targets);
	return code;
}
