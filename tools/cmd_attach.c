/*
 * cmd_attach: `mtrace attach PID` and `mtrace detach PID`. A JVM that was not prepared loads the library by its own attach
 * socket; a process that has it from the start (mode=off, or detached) is woken by its segment's control page; anything
 * else can be traced from its start only. Exit 1 when it is asked, but idle, so that it has not happened yet.
 */
#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach/ask.h"
#include "attach/hotspot.h"
#include "attach/library.h"
#include "attach/quiet.h"
#include "format.h"
#include "read/read.h"
#include "run/environment.h"
#include "run/locate.h"
#include "run/mark.h"

enum { DEPTH, MEMORY, DIR, OPTION };

const struct command_option cmd_attach_options[] = {
	[DEPTH] = {"--depth", "N", "frames kept per stack (128)"},
	[MEMORY] = {"--memory", "SIZE", "most memory the tracker may use (1/8 of the limit, 64m to 4g)"},
	[DIR] = {"--dir", "DIR", "directory for the segment, as the process sees it (/dev/shm)"},
	[OPTION] = {"--option", "KEY=VALUE", "any option of the library, see libmtrace-options(7)"},
	{NULL, NULL, NULL},
};
const struct command_option cmd_detach_options[] = {{NULL, NULL, NULL}};

enum { WAIT_MS = 2000, LISTEN_MS = 20000, LOAD_MS = 60000 };

struct request {
	const char *command; /* "attach", "detach" */
	const char *pid;
	struct environment_options options;
};

/* ---- what it is now ---- */

enum tracing { UNTRACED, TRACED, ASLEEP };

struct state {
	enum tracing tracing;
	bool attached; /* by us, while it ran: its slots lead to us */
};

static bool look_at(const struct request *r, struct state *state)
{
	struct read_error error = {""};
	struct read_running running;
	struct mtrace_header h;
	*state = (struct state){UNTRACED, false};
	int code = read_open_running(r->pid, &running, &error);
	if (code == -ESRCH && !error.text[0])
		return true;
	if (code != 0) {
		warn("%s: %s", r->command, error.text);
		return false;
	}
	bool is_read = pread(running.fd, &h, sizeof h, MTRACE_HEADER_OFFSET) == (ssize_t)sizeof h;
	close(running.fd);
	if (!is_read || h.state != MTRACE_STATE_LIVE)
		return true;
	bool knows = h.header_bytes >= sizeof h; /* an older library neither sleeps nor wakes */
	bool asleep = knows && (h.mode == MTRACE_MODE_OFF || h.detached_mono_ns > h.attached_mono_ns);
	state->tracing = asleep ? ASLEEP : TRACED;
	state->attached = (h.features_optional & MTRACE_FEATURE_ATTACHED) != 0;
	return true;
}

/* ---- by the control page ---- */

static int control(const struct request *r, uint32_t command)
{
	struct read_error error = {""};
	int code = control_request(r->pid, command, WAIT_MS, &error);
	if (code == -EAGAIN)
		warn("%s: %s is idle: its next allocation does it", r->command, r->pid);
	else if (code)
		warn("%s: %s", r->command, error.text);
	return code == 0 ? EXIT_DONE : code == -EAGAIN ? EXIT_NOTHING : EXIT_TROUBLE;
}

/* ---- by the JVM's attach socket ---- */

static const char *text_of(int result)
{
	static const char *const texts[] = {
#define X(name, text) text,
#include "attach.def"
#undef X
	};
	return result >= 0 && result < (int)(sizeof texts / sizeof texts[0]) ? texts[result]
	                                                                     : "its libmtrace.so says what this mtrace "
	                                                                       "does not know";
}

/* The result of Agent_OnAttach, or -1 after one line. */
static int load(const struct request *r, const struct hotspot *jvm, const char *path, const char *options)
{
	struct read_error error = {""};
	struct answer answer;
	char line[300];
	int result = -1;
	struct question q = {
		.command = "load", .argument = {path, "true", options}, .listen_ms = LISTEN_MS, .answer_ms = LOAD_MS};
	if (ask(jvm, &q, &answer, &error) != 0) {
		warn("%s: %s", r->command, error.text);
		return -1;
	}
	if (answer.code != 0 || !answer_returned(&answer, &result)) {
		answer_first_line(&answer, line, sizeof line);
		warn("%s: %s refuses to load %s: %s", r->command, r->pid, path, line[0] ? line : "it does not say why");
		result = -1;
	}
	answer_free(&answer);
	return result;
}

/* The instance that is there already, or a first one. */
static int load_library(const struct request *r, const struct hotspot *jvm, const char *options)
{
	struct read_error error = {""};
	struct library library;
	char path[LOCATE_PATH_BYTES];
	if (library_find_loaded(jvm, library.path))
		return load(r, jvm, library.path, options);
	if (locate_shim(path) != 0) {
		warn("%s: libmtrace.so is not to be found beside mtrace (%s): build or install it", r->command, path);
		return -1;
	}
	if (library_place(jvm, path, &library, &error) != 0) {
		warn("%s: %s", r->command, error.text);
		return -1;
	}
	int result = load(r, jvm, library.path, options);
	library_remove(jvm, &library);
	return result;
}

/* What to type where only a start helps: its own command line, if it is short. */
static void say_restart(const struct request *r)
{
	char path[64], text[512];
	snprintf(path, sizeof path, "/proc/%.20s/cmdline", r->pid);
	FILE *file = fopen(path, "re");
	size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
	if (file)
		fclose(file);
	bool whole = n > 0 && n < sizeof text - 1;
	for (size_t i = 0; i + 1 < n; i++)
		whole &= (unsigned char)text[i] >= ' ' || text[i] == '\0';
	for (size_t i = 0; i + 1 < n; i++)
		text[i] = text[i] ? text[i] : ' ';
	text[n] = '\0';
	warn("attach: %s is not a JVM and has no libmtrace.so in it: it can be traced from its start only: mtrace run "
	     "-- %s",
	     r->pid, whole ? text : "CMD");
}

/* NULL after one line. */
static bool open_jvm(const struct request *r, struct hotspot *jvm)
{
	struct read_error error = {""};
	int code = hotspot_open((pid_t)strtol(r->pid, NULL, 10), LISTEN_MS, jvm, &error);
	if (code == -ENOEXEC && !strstr(error.text, "not HotSpot"))
		say_restart(r);
	else if (code)
		warn("%s: %s", r->command, error.text);
	return code == 0;
}

/* What it says when it has run out of memory is heard only while the JVM does not print it, too. Not heard is no failure: all
   else is recorded. */
static void hear_of_exhaustion(const struct request *r, const struct hotspot *jvm)
{
	struct read_error error = {""};
	if (quiet_begin(jvm, &error) != 0)
		warn("attach: %s; so it is not noted when %s runs out of memory", error.text, r->pid);
	else if (load_library(r, jvm, MTRACE_ATTACH_LISTEN) != MTRACE_ATTACH_done)
		quiet_end(jvm);
}

static int by_socket(const struct request *r, const char *options)
{
	struct hotspot jvm;
	if (!open_jvm(r, &jvm))
		return -1;
	int result = load_library(r, &jvm, options);
	if (result == MTRACE_ATTACH_done && strcmp(options, MTRACE_ATTACH_DETACH) == 0)
		quiet_end(&jvm);
	else if (result == MTRACE_ATTACH_done)
		hear_of_exhaustion(r, &jvm);
	hotspot_close(&jvm);
	if (result > 0 && result != MTRACE_ATTACH_already)
		warn("%s: %s: %s", r->command, r->pid, text_of(result));
	return result;
}

/* ---- the commands ---- */

static int say_attached(const struct request *r)
{
	warn("%s is traced from now on; what it allocated before is not known, nor whether that is freed. Then: mtrace "
	     "leaks %s",
	     r->pid, r->pid);
	return EXIT_DONE;
}

static int say_already(const struct request *r)
{
	warn("attach: %s is traced already: mtrace leaks %s", r->pid, r->pid);
	return EXIT_DONE;
}

static int attach(const struct request *r, const struct state *state)
{
	if (state->tracing == TRACED)
		return say_already(r);
	if (state->tracing == ASLEEP && !state->attached) {
		int code = control(r, MTRACE_COMMAND_ATTACH);
		return code == EXIT_DONE ? say_attached(r) : code;
	}
	int result = by_socket(r, r->options.text);
	return result == MTRACE_ATTACH_done      ? say_attached(r)
	       : result == MTRACE_ATTACH_already ? say_already(r)
	                                         : EXIT_TROUBLE;
}

static int detach(const struct request *r, const struct state *state)
{
	int code = EXIT_DONE;
	if (state->tracing == UNTRACED) {
		warn("detach: %s is not traced; `mtrace ps` lists who is", r->pid);
		return EXIT_TROUBLE;
	}
	if (state->tracing == TRACED && state->attached)
		code = by_socket(r, MTRACE_ATTACH_DETACH) == MTRACE_ATTACH_done ? EXIT_DONE : EXIT_TROUBLE;
	else if (state->tracing == TRACED)
		code = control(r, MTRACE_COMMAND_DETACH);
	if (code == EXIT_DONE)
		warn("%s is not traced any more; what is recorded stays: mtrace report %s", r->pid, r->pid);
	return code;
}

static void add(struct request *r, const char *key, const char *value)
{
	environment_add(&r->options, key, value);
}

/* false after one line. */
static bool add_option(struct request *r, const char *assignment)
{
	char key[32];
	const char *wrong = environment_check(assignment);
	if (wrong) {
		warn("attach: --option %s: %s", assignment, wrong);
		return false;
	}
	snprintf(key, sizeof key, "%.*s", (int)strcspn(assignment, "="), assignment);
	add(r, key, strchr(assignment, '=') + 1);
	return true;
}

static bool add_checked(struct request *r, const char *key, const char *value)
{
	char assignment[512];
	snprintf(assignment, sizeof assignment, "%s=%s", key, value);
	return add_option(r, assignment);
}

static bool take(struct request *r, int option, const char *value)
{
	switch (option) {
	case DEPTH: return add_checked(r, "depth", value);
	case MEMORY: return add_checked(r, "memory", value);
	case DIR: return add_checked(r, "dir", value);
	case OPTION: return add_option(r, value);
	default: break;
	}
	if (option == -3 && r->pid)
		warn("%s: one process at a time: %s or %s?", r->command, r->pid, value);
	if (option != -3 || r->pid)
		return false;
	r->pid = value;
	return true;
}

static bool is_number(const char *word)
{
	return word[0] != '\0' && word[strspn(word, "0123456789")] == '\0' && strlen(word) < 10;
}

static bool parse(int argc, char **argv, const struct command *self, struct request *r)
{
	struct option_cursor cursor = {.index = 1};
	for (int option; (option = option_or_operand(argc, argv, self, &cursor)) != -1;)
		if (!take(r, option, cursor.value))
			return false;
	if (!r->pid)
		warn("%s: which process? %s", r->command, self->usage);
	else if (!is_number(r->pid))
		warn("%s: %s is no pid", r->command, r->pid);
	else if (r->options.full || strlen(r->options.text) > 1000)
		warn("%s: too many options for a JVM to hand on", r->command);
	else
		return true;
	return false;
}

int cmd_attach(int argc, char **argv, const struct command *self)
{
	struct request r = {.command = self->name};
	struct state state;
	environment_begin(&r.options);
	if (!parse(argc, argv, self, &r) || !look_at(&r, &state))
		return EXIT_TROUBLE;
	return strcmp(self->name, "attach") == 0 ? attach(&r, &state) : detach(&r, &state);
}
