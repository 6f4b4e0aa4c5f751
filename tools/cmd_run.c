/*
 * cmd_run: `mtrace run`: options, what can be known before the command starts, then spawn, forward and companion do
 * the work (tools/run/), each in a room of its own.
 *
 * Exit status: the command's, 128+N when signal N ended it; 125 our own trouble (the command was not started), 126 it
 * could not be executed, 127 it was not found. Whatever goes wrong with tracing alone never keeps the command from
 * running: one line says so at the start, the closing line says it again.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "model/elf_facts.h"
#include "run/companion.h"
#include "run/environment.h"
#include "run/forward.h"
#include "run/hold.h"
#include "run/java.h"
#include "run/locate.h"
#include "run/spawn.h"
#include "run/streams.h"
#include "show.h"

enum { RUN_TROUBLE = 125, RUN_NOT_EXECUTABLE = 126, RUN_NOT_FOUND = 127 };

enum run_option {
	OPTION_OUTPUT, OPTION_OUTPUT_LONG, OPTION_FORCE, OPTION_FORCE_LONG, OPTION_QUIET, OPTION_QUIET_LONG, OPTION_MODE,
	OPTION_DEPTH, OPTION_MEMORY, OPTION_DIR, OPTION_FOLLOW, OPTION_NO_SYMBOLS, OPTION_OPTION, OPTION_EVENTS,
	OPTION_EVENTS_SIZE, OPTION_ALLOCATOR
};

const struct command_option cmd_run_options[] = {
	[OPTION_OUTPUT] = {"-o", "REC", "where the recording goes (PROG.PID.mtr here, unless given)"},
	[OPTION_OUTPUT_LONG] = {"--output", "REC", "the same"},
	[OPTION_FORCE] = {"-f", NULL, "overwrite REC"},
	[OPTION_FORCE_LONG] = {"--force", NULL, "the same"},
	[OPTION_QUIET] = {"-q", NULL, "no closing line, unless there was trouble"},
	[OPTION_QUIET_LONG] = {"--quiet", NULL, "the same"},
	[OPTION_MODE] = {"--mode", "MODE", "exact: every block (the default); off: load the library and record nothing"},
	[OPTION_DEPTH] = {"--depth", "N", "frames kept per stack (128)"},
	[OPTION_MEMORY] = {"--memory", "SIZE", "most memory the tracker may use (1/8 of the limit, 64m to 4g)"},
	[OPTION_DIR] = {"--dir", "DIR", "directory for segments (/dev/shm)"},
	[OPTION_FOLLOW] = {"--follow", "GLOB", "also trace children that exec a program of that name; '*' all"},
	[OPTION_NO_SYMBOLS] = {"--no-symbols", NULL, "save without names; `mtrace symbolize` adds them later"},
	[OPTION_OPTION] = {"--option", "KEY=VALUE", "any option of the library, see libmtrace-options(7)"},
	[OPTION_EVENTS] = {"--events", "[=DURATION]", "keep every allocation and free, for so long from the start (10s): lifetimes"},
	[OPTION_EVENTS_SIZE] = {"--events-size", "SIZE", "most of them that is kept of each process, compressed (64m)"},
	[OPTION_ALLOCATOR] = {"--allocator", "NAME", "not in this version"},
	{NULL, NULL, NULL},
};

struct run {
	const char *output;
	bool force, quiet, symbols;
	char **argv; /* of the command */
	struct environment_options shim_options;

	char path[LOCATE_PATH_BYTES]; /* the command's file */
	char shim[LOCATE_PATH_BYTES];
	char segment_dir[LOCATE_PATH_BYTES];
	char default_output[LOCATE_PATH_BYTES];
	char run_id[32];
	bool preload;
	uint64_t events_bytes;
	const char *untracked; /* why nothing will be recorded, NULL */
	struct spawn_inherited inherited;
};

static _Noreturn void refuse(const char *format, const char *what, const char *why)
{
	warn(format, what, why);
	exit(RUN_TROUBLE);
}

/* ---- options ---- */

static void take_mode(struct run *run, const char *mode)
{
	if (strncmp(mode, "sample", 6) == 0)
		refuse("run: --mode %s is not in this version%s", mode, "; exact and off are");
	if (strcmp(mode, "exact") != 0 && strcmp(mode, "off") != 0)
		refuse("run: --mode %s: there is no such mode%s", mode, "; exact and off are");
	environment_add(&run->shim_options, "mode", mode);
}

static void take_assignment(struct run *run, const char *assignment)
{
	char key[64];
	const char *wrong = environment_check(assignment);
	if (wrong)
		refuse("run: --option %s: %s", assignment, wrong);
	snprintf(key, sizeof key, "%.*s", (int)strcspn(assignment, "="), assignment);
	environment_add(&run->shim_options, key, strchr(assignment, '=') + 1);
}

static void take_setting(struct run *run, const char *key, const char *value)
{
	if (strchr(value, ':'))
		refuse("run: --%s: a value cannot contain ':': %s", key, value);
	environment_add(&run->shim_options, key, value);
}

/* Several --follow add up. */
static void take_follow(struct run *run, const char *glob)
{
	char before[1024], all[2048];
	environment_get(&run->shim_options, "follow", before, sizeof before);
	snprintf(all, sizeof all, "%s%s%s", before, before[0] ? "," : "", glob);
	take_setting(run, "follow", all);
}

/* Within the bounds that the library's own table has for it. */
static void take_number(struct run *run, const char *key, const char *text)
{
	static const struct { const char *name; unsigned long long low, high; } table[] = {
#define X(type, name, preset, low, high, help) {#name, low, high},
#include "options.def"
#undef X
	};
	size_t row = 0;
	char *end;
	while (strcmp(table[row].name, key) != 0)
		row++;
	unsigned long long value = strtoull(text, &end, 10);
	if (!*text || *end || text[0] == '-' || value < table[row].low || value > table[row].high) {
		warn("run: --%s %s: it must be a number from %llu to %llu", key, text, table[row].low, table[row].high);
		exit(RUN_TROUBLE);
	}
	take_setting(run, key, text);
}

static void take_size(struct run *run, const char *key, const char *text)
{
	size_t digits = strspn(text, "0123456789");
	bool unit = text[digits] && strchr("kKmMgG", text[digits]) && text[digits + 1] == '\0';
	if (digits == 0 || digits > 12 || (text[digits] && !unit))
		refuse("run: --%s %s: it must be a size such as 512m or 2g", key, text);
	take_setting(run, key, text);
}

static void take_events(struct run *run, const char *text)
{
	uint64_t ns;
	char ms[32];
	if (!show_duration("run", "--events", text, &ns))
		exit(RUN_TROUBLE);
	if (ns == 0 || ns > MTRACE_STREAM_MS_MOST * 1000000ull)
		refuse("run: --events=%s: it must be from 1s to 12h%s", text, "");
	snprintf(ms, sizeof ms, "%llu", (unsigned long long)(ns / 1000000));
	take_setting(run, "events", ms);
}

static void take_events_size(struct run *run, const char *text)
{
	if (!show_size("run", "--events-size", text, &run->events_bytes))
		exit(RUN_TROUBLE);
	if (run->events_bytes == 0)
		refuse("run: --events-size %s: nothing could be kept%s", text, "");
}

static void take_option(struct run *run, enum run_option which, const char *value)
{
	switch (which) {
	case OPTION_OUTPUT: case OPTION_OUTPUT_LONG: run->output = value; break;
	case OPTION_FORCE: case OPTION_FORCE_LONG: run->force = true; break;
	case OPTION_QUIET: case OPTION_QUIET_LONG: run->quiet = true; break;
	case OPTION_MODE: take_mode(run, value); break;
	case OPTION_DEPTH: take_number(run, "depth", value); break;
	case OPTION_MEMORY: take_size(run, "memory", value); break;
	case OPTION_DIR: take_setting(run, "dir", value); break;
	case OPTION_FOLLOW: take_follow(run, value); break;
	case OPTION_NO_SYMBOLS: run->symbols = false; break;
	case OPTION_OPTION: take_assignment(run, value); break;
	case OPTION_EVENTS: take_events(run, value ? value : "10s"); break;
	case OPTION_EVENTS_SIZE: take_events_size(run, value); break;
	case OPTION_ALLOCATOR: refuse("run: %s is not in this version%s", "--allocator", "");
	}
}

static void read_options(struct run *run, int argc, char **argv, const struct command *self)
{
	struct option_cursor cursor = {.index = 1};
	int which;
	environment_begin(&run->shim_options);
	run->symbols = true;
	run->events_bytes = STREAMS_BYTES;
	while ((which = option_next(argc, argv, self, &cursor)) >= 0)
		take_option(run, (enum run_option)which, cursor.value);
	if (which == -2)
		exit(RUN_TROUBLE);
	if (cursor.index >= argc)
		refuse("run: no command given: %s%s", self->usage, "");
	run->argv = argv + cursor.index;
	if (run->shim_options.full)
		refuse("run: MTRACE_OPTIONS and the options given are too long together%s%s", "", "");
}

/* ---- before the start ---- */

static void find_command(struct run *run)
{
	int failed = locate_command(run->argv[0], run->path);
	if (failed == 0)
		return;
	if (failed == -ENOENT || failed == -ENOTDIR) {
		warn("run: %s: command not found", run->argv[0]);
		exit(RUN_NOT_FOUND);
	}
	warn("run: %s: cannot be executed: %s", run->argv[0], strerror(-failed));
	exit(RUN_NOT_EXECUTABLE);
}

static void check_output(const struct run *run)
{
	struct stat st;
	char copy[LOCATE_PATH_BYTES];
	if (!run->output)
		return;
	if (!*run->output || strcmp(run->output, "-") == 0)
		refuse("run: -o %s: a recording needs a file%s", run->output, "; stdout is the command's");
	bool exists = lstat(run->output, &st) == 0;
	if (!exists && errno == ENAMETOOLONG)
		refuse("run: -o %s: its name is too long%s", run->output, "");
	if (exists && stat(run->output, &st) == 0 && S_ISDIR(st.st_mode))
		refuse("run: -o %s: is a directory; give a file in it%s", run->output, "");
	if (exists && !run->force)
		refuse("run: -o %s: is there already; -f overwrites it%s", run->output, "");
	snprintf(copy, sizeof copy, "%s", run->output);
	char *slash = strrchr(copy, '/');
	if (slash)
		slash[slash == copy] = '\0';
	const char *dir = slash ? copy : ".";
	if (!is_writable_dir(dir))
		refuse("run: -o %s: %s", run->output, access(dir, F_OK) ? "its directory does not exist" : "its directory is "
		       "not writable");
}

static void find_shim(struct run *run)
{
	static char text[LOCATE_PATH_BYTES + 256];
	if (locate_shim(run->shim) != 0) {
		snprintf(text, sizeof text, "libmtrace.so was not found (looked in %s)", run->shim);
		run->untracked = text;
	} else if (environment_check_shim(run->shim)) {
		snprintf(text, sizeof text, "%s (%s): move it", environment_check_shim(run->shim), run->shim);
		run->untracked = text;
	}
	run->preload = !run->untracked;
}

/* A tag that no other run has: time is not enough, two runs may begin in one tick. */
static void make_run_id(struct run *run)
{
	unsigned char bytes[8] = {0};
	if (getrandom(bytes, sizeof bytes, GRND_NONBLOCK) != sizeof bytes) {
		struct timespec now;
		clock_gettime(CLOCK_REALTIME, &now);
		memcpy(bytes, &now.tv_nsec, sizeof bytes);
	}
	int used = snprintf(run->run_id, sizeof run->run_id, "%d-", (int)getpid());
	for (size_t i = 0; i < sizeof bytes; i++)
		used += snprintf(run->run_id + used, sizeof run->run_id - (size_t)used, "%02x", bytes[i]);
}

static void find_segment_dir(struct run *run)
{
	static char text[LOCATE_PATH_BYTES + 256];
	const char *why = "";
	environment_get(&run->shim_options, "dir", run->segment_dir, sizeof run->segment_dir);
	if (run->segment_dir[0] && !is_writable_dir(run->segment_dir)) {
		snprintf(text, sizeof text, "the directory for segments, %s, %s", run->segment_dir,
		         access(run->segment_dir, F_OK) ? "does not exist" : "is not writable");
		run->untracked = text;
	}
	if (run->segment_dir[0])
		return;
	const char *dir = locate_segment_dir(&why);
	if (!dir && hold_open(run->run_id, run->segment_dir, sizeof run->segment_dir)) {
		environment_add(&run->shim_options, "dir", run->segment_dir);
		return;
	}
	if (!dir) {
		snprintf(text, sizeof text, "/dev/shm %s, and there is no other directory in memory: mount a tmpfs there, or "
		         "name a directory with --dir (on disk: slower)", why);
		run->untracked = text;
		return;
	}
	snprintf(run->segment_dir, sizeof run->segment_dir, "%s", dir);
	if (strcmp(dir, "/dev/shm") != 0)
		environment_add(&run->shim_options, "dir", dir);
}

static void check_program(struct run *run)
{
	static struct elf_facts facts;
	static char text[256];
	if (elf_facts_read(run->path, false, &facts) != 0 || !elf_facts_refusal(&facts))
		return;
	snprintf(text, sizeof text, "%s", elf_facts_refusal(&facts));
	run->untracked = text;
	run->preload = run->preload && !elf_facts_preload_hurts(&facts);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* Programs that follow= names may be traceable where the command itself is not. */
static void announce_untracked(const struct run *run)
{
	char follow[64];
	environment_get(&run->shim_options, "follow", follow, sizeof follow);
	if (run->untracked)
		warn("%s runs untraced: %s%s", base_name(run->path), run->untracked,
		     follow[0] && run->preload ? "; its children are traced where follow= says so" : "");
}

/* Every image of a run is kept until we have read it, unless the user chose otherwise. */
static void keep_dead_segments(struct run *run)
{
	char keep[32];
	environment_get(&run->shim_options, "keep", keep, sizeof keep);
	if (!keep[0])
		environment_add(&run->shim_options, "keep", "1000");
}

static void prepare(struct run *run)
{
	find_command(run);
	check_output(run);
	find_shim(run);
	make_run_id(run);
	if (!run->untracked)
		find_segment_dir(run);
	if (!run->untracked || run->preload)
		check_program(run);
	keep_dead_segments(run);
	announce_untracked(run);
}

/* ---- the run ---- */

/* A JVM is given the agent, too. */
static void set_up_java(struct run *run, struct java_agent *java)
{
	char follow[1024];
	*java = (struct java_agent){.argv = run->argv};
	environment_get(&run->shim_options, "follow", follow, sizeof follow);
	if (run->preload && !run->untracked)
		java_set_up(run->path, run->argv, run->shim, follow, java);
}

static pid_t start(struct run *run)
{
	struct java_agent java;
	set_up_java(run, &java);
	struct spawn_request request = {.path = run->path, .argv = java.argv, .shim = run->preload ? run->shim : NULL,
	                                .java_options = java.java_options, .run_id = run->run_id,
	                                .options = &run->shim_options, .inherited = &run->inherited};
	spawn_take_over_signals(&run->inherited);
	pid_t pid = spawn_command(&request);
	if (pid > 0)
		return pid;
	bool is_missing = pid == -ENOENT; /* the interpreter of a script, or the loader of a program */
	warn("run: %s: cannot be executed: %s%s", run->argv[0], strerror(-pid), is_missing ? " (its interpreter?)" : "");
	exit(pid == -EAGAIN || pid == -ENOMEM || pid == -E2BIG ? RUN_TROUBLE : is_missing ? RUN_NOT_FOUND : RUN_NOT_EXECUTABLE);
}

static uint64_t start_time_of(pid_t pid)
{
	char path[32], line[1024];
	unsigned long long value = 0;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return 0;
	char *at = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
	fclose(file);
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (at)
		sscanf(at, " %llu", &value);
	return value;
}

static struct companion *start_companion(struct run *run, pid_t command)
{
	const char *program = base_name(run->argv[0]);
	char events[32];
	environment_get(&run->shim_options, "events", events, sizeof events);
	snprintf(run->default_output, sizeof run->default_output, "%s.%d.mtr", program, (int)command);
	struct companion_task task = {
		.command = command, .command_start = start_time_of(command), .run_id = run->run_id,
		.segment_dir = run->segment_dir, .output = run->output ? run->output : run->default_output,
		.output_is_ours = !run->output, .overwrite = run->output && run->force, .symbols = run->symbols,
		.events_ms = strtoull(events, NULL, 10), .events_bytes = run->events_bytes,
		.untracked = run->untracked, .program = program};
	return companion_start(&task);
}

static void on_end(void *context, int wait_status)
{
	companion_command_ended(context, wait_status);
}

static void on_hurry(void *context)
{
	companion_hurry(context);
}

static int status_of(int wait_status)
{
	return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

static void say_last_word(const struct run *run, struct companion *companion, int companion_status)
{
	bool trouble = true;
	if (!run->preload) {
		warn("error: nothing was recorded: %s", run->untracked);
		return;
	}
	const char *word = companion ? companion_last_word(companion, companion_status, &trouble)
	                             : "error: not saved: no process could be started for it; what was recorded is still "
	                               "in memory: mtrace ps";
	if (trouble || !run->quiet)
		warn("%s", word);
}

static int follow_to_the_end(struct run *run, pid_t command)
{
	struct forward forward;
	spawn_let_go();
	struct companion *companion = run->preload ? start_companion(run, command) : NULL;
	if (forward_open(&forward, command) != 0) {
		warn("run: signals cannot be passed on: %s", strerror(errno));
		waitpid(command, &forward.wait_status, 0);
		return status_of(forward.wait_status);
	}
	if (companion) {
		forward.companion = companion_pid(companion);
		forward.on_end = on_end;
		forward.on_hurry = on_hurry;
		forward.context = companion;
	}
	forward_until_end(&forward);
	say_last_word(run, companion, forward.companion_status);
	return status_of(forward.wait_status);
}

int cmd_run(int argc, char **argv, const struct command *self)
{
	static struct run run;
	read_options(&run, argc, argv, self);
	prepare(&run);
	pid_t command = start(&run);
	return follow_to_the_end(&run, command);
}
