/*
 * companion: see companion.h. Main and companion share one anonymous page (struct shared): main writes how the command
 * ended, the companion its last word. A byte in the pipe says that there is news; its closing, that main was killed.
 *
 * While the command runs it looks after 0.2 s, later every second, and never more than a twentieth of the time; for
 * marks that ask for a snapshot, every half second.
 */
#include "run/companion.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "die.h"
#include "emit/emit.h"
#include "model/profile.h"
#include "read/read.h"
#include "run/collect.h"
#include "run/hold.h"
#include "run/locate.h"
#include "run/save.h"
#include "run/snapshot.h"
#include "run/spawn.h"
#include "run/streams.h"
#include "symbols/symbols.h"

#define FIRST_LOOK_MS 200
#define LOOK_MS 1000
#define MARKS_MS 500
#define EVENTS_LOOK_MS 20 /* with --events a new process is wanted at once: its events wait in its segment */
#define WORK_SHARE 20 /* at most 1/20 of the time is spent looking */

struct shared {
	int wait_status; /* -1: not known */
	bool has_word;
	bool trouble;
	char word[6144];
};

struct companion {
	struct companion_task task;
	struct shared *shared;
	pid_t pid;
	int pipe; /* main: write end; companion: read end */

	struct collect collect; /* in the companion only, from here on */
	struct snapshots snapshots;
	struct streams streams;
	pid_t symbolizer;       /* 0 none */
};

/* ---- looking, while the command runs ---- */

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool symbolizer_is_busy(struct companion *c)
{
	if (c->symbolizer && waitpid(c->symbolizer, NULL, WNOHANG) != 0)
		c->symbolizer = 0;
	return c->symbolizer != 0;
}

/* The new frames of every live segment, as processes of `profile`. */
static uint64_t gather_new_frames(struct companion *c, struct profile *profile)
{
	uint64_t frames = 0;
	for (size_t i = 0; i < c->collect.count; i++) {
		struct collect_segment *s = &c->collect.segments[i];
		uint64_t from = s->next_frame;
		if (s->alive && read_segment_frames(s->path, from, profile, &s->next_frame) == 0)
			frames += s->next_frame - from;
	}
	return frames;
}

static void symbolize_in_child(const struct companion *c, struct profile *profile)
{
	struct symbols_options options = {.pid = c->task.command};
	struct symbols_result result = {0};
	save_enter_background();
	symbols_resolve(profile, &options, &result);
	_exit(0);
}

/* Names for what is new go into the cache, from which the recording is made at the end. */
static void symbolize_beside(struct companion *c)
{
	if (!c->task.symbols || symbolizer_is_busy(c))
		return;
	struct profile *profile = profile_new();
	if (gather_new_frames(c, profile) > 0) {
		c->symbolizer = fork();
		if (c->symbolizer == 0)
			symbolize_in_child(c, profile);
		if (c->symbolizer < 0)
			c->symbolizer = 0;
	}
	profile_free(profile);
}

static void keep_vanishing_libraries(const struct companion *c)
{
	for (size_t i = 0; i < c->collect.count; i++)
		if (c->collect.segments[i].alive)
			symbols_keep_vanishing((pid_t)c->collect.segments[i].pid, NULL);
}

static void look(struct companion *c)
{
	collect_scan(&c->collect);
	collect_dead(&c->collect);
	if (c->task.symbols)
		keep_vanishing_libraries(c);
	symbolize_beside(c);
}

/* Looks, and says when to do it again: ms from now. `before_ms`: the last answer. */
static int64_t look_and_rest(struct companion *c, int64_t before_ms)
{
	int64_t begin = now_ms();
	look(c);
	int64_t share = (now_ms() - begin) * WORK_SHARE;
	int64_t rest = before_ms * 2 < LOOK_MS ? before_ms * 2 : LOOK_MS;
	return rest > share ? rest : share;
}

/* Until the command has ended, or main is gone. */
static void look_until_end(struct companion *c)
{
	struct pollfd news = {.fd = c->pipe, .events = POLLIN};
	int64_t rest = c->streams.for_ms ? EVENTS_LOOK_MS : FIRST_LOOK_MS, next = now_ms() + rest, marks = 0;
	for (;;) {
		int64_t left = next - now_ms(), wait = left < 0 ? 0 : left < MARKS_MS ? left : MARKS_MS;
		int events = streams_look(&c->streams, &c->collect);
		if (poll(&news, 1, events >= 0 && events < wait ? events : (int)wait) > 0)
			return;
		if (now_ms() >= marks)
			snapshots_look(&c->snapshots, &c->collect);
		marks = now_ms() >= marks ? now_ms() + MARKS_MS : marks;
		if (now_ms() < next)
			continue;
		rest = look_and_rest(c, rest);
		next = now_ms() + rest;
	}
}

/* ---- the last word ---- */

static void say(struct companion *c, bool trouble, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void say(struct companion *c, bool trouble, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(c->shared->word, sizeof c->shared->word, format, arguments);
	va_end(arguments);
	c->shared->trouble = trouble;
	c->shared->has_word = true;
}

/* "ended by signal 11, Segmentation fault (core dumped); ", or nothing after an ordinary end. */
static void describe_end(const struct profile *p, int wait_status, char out[160])
{
	out[0] = '\0';
	if (wait_status < 0)
		snprintf(out, 160, "mtrace run itself was killed; ");
	else if (WIFSIGNALED(wait_status))
		snprintf(out, 160, "ended by signal %d, %s%s%s; ", WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)),
		         WCOREDUMP(wait_status) ? " (core dumped)" : "",
		         p->process_count && p->processes[0].in_tracker ? ", a thread was inside libmtrace" : "");
}

static bool is_shell_word(const char *s)
{
	return *s && s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./,:=+-@%")] == '\0';
}

static uint64_t total_events(const struct profile *p)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < p->process_count; i++)
		for (int kind = 0; kind < MTRACE_KIND_COUNT; kind++)
			sum += p->processes[i].by_kind[kind].alloc_blocks;
	return sum;
}

static bool is_switched_off(const struct profile *p)
{
	return p->process_count && p->processes[0].mode == PROFILE_OFF;
}

/* Why there is nothing, as far as it can be told. */
static void explain_nothing(const struct companion *c, char out[700])
{
	const struct profile *p = c->collect.profile;
	if (c->task.untracked)
		snprintf(out, 700, "%s", c->task.untracked);
	else if (c->collect.trouble[0])
		snprintf(out, 700, "%s", c->collect.trouble);
	else if (is_switched_off(p))
		snprintf(out, 700, "mode=off was asked for");
	else if (p->process_count)
		snprintf(out, 700, "libmtrace was loaded, but saw no allocation: the program made none, or has an "
		         "allocator of its own inside (`mtrace doctor %s` tells)", c->task.program);
	else
		snprintf(out, 700, "no segment was written in %s: the program is excluded by exe= in MTRACE_OPTIONS, clears "
		         "LD_PRELOAD, went on as another process, or has no room there (`mtrace doctor %s`)",
		         c->task.segment_dir ? c->task.segment_dir : "any directory", c->task.program);
}

static void say_nothing_recorded(struct companion *c, const char *end, const char *path)
{
	char why[700];
	explain_nothing(c, why);
	say(c, true, "error: %snothing was recorded: %s%s%s", end, why, path ? "; recording: " : "", path ? path : "");
}

/* What was asked for of events and is not there; the report says the rest. */
static void describe_events(const struct companion *c, const struct profile_process *own, char out[160])
{
	out[0] = '\0';
	if (c->task.events_ms && !own->stream.asked_ms)
		snprintf(out, 160, "; without events: the segment had no room for them (--memory)");
	else if (own->stream.dropped)
		snprintf(out, 160, "; %llu events were dropped: they came faster than they could be taken",
		         (unsigned long long)own->stream.dropped);
}

static void say_saved(struct companion *c, const char *end, const char *path, const char *unnamed)
{
	const struct profile *p = c->collect.profile;
	const struct profile_process *own = &p->processes[0];
	const char *quote = is_shell_word(path) ? "" : "'";
	bool only_maps = own->totals.alloc_blocks == 0 && own->by_kind[MTRACE_KIND_MMAP].alloc_blocks > 0;
	const struct profile_counts *live = only_maps ? &own->by_kind[MTRACE_KIND_MMAP] : &own->totals;
	const char *what = !only_maps ? "blocks" : live->live_blocks == 1 ? "mapping" : "mappings";
	char bytes[32], others[48] = "", events[160], snapshots[700];
	bool trouble = snapshots_describe(&c->snapshots, p, snapshots, sizeof snapshots);
	emit_bytes(bytes, live->live_bytes);
	describe_events(c, own, events);
	if (p->process_count > 1)
		snprintf(others, sizeof others, " (and %u more images)", p->process_count - 1);
	say(c, trouble, "%s%s in %llu %s live at the end%s; saved %s%s%s%s%s%s%s; next: mtrace leaks %s%s%s", end, bytes,
	    (unsigned long long)live->live_blocks, what, others, quote, path, quote, unnamed[0] ? " without names: " : "",
	    unnamed, snapshots, events, quote, path, quote);
}

/* ---- the end ---- */

static void wait_for_symbolizer(struct companion *c)
{
	struct sched_param zero = {0};
	if (!symbolizer_is_busy(c))
		return;
	sched_setscheduler(c->symbolizer, SCHED_OTHER, &zero);
	struct pollfd hurry = {.fd = c->pipe, .events = POLLIN};
	while (symbolizer_is_busy(c) && poll(&hurry, 1, 5) == 0)
		continue;
	if (symbolizer_is_busy(c)) {
		kill(c->symbolizer, SIGKILL);
		waitpid(c->symbolizer, NULL, 0);
	}
}

static struct save_request request_of(const struct companion *c)
{
	return (struct save_request){.output = c->task.output, .output_is_ours = c->task.output_is_ours,
	                             .overwrite = c->task.overwrite, .symbols = c->task.symbols, .hurry_fd = c->pipe};
}

static void save(struct companion *c, const char *end)
{
	struct profile *p = c->collect.profile;
	struct save_request request = request_of(c);
	struct read_error error = {""};
	char path[LOCATE_PATH_BYTES];
	bool unnamed;
	if (save_profile(p, &request, path, &unnamed, &error) != 0) {
		say(c, true, "error: %snot saved: %s; what was recorded is still in %s: mtrace ps", end, error.text,
		    c->task.segment_dir);
		return;
	}
	save_last_link(path);
	collect_remove_saved(&c->collect);
	if (total_events(p) == 0)
		say_nothing_recorded(c, end, path);
	else
		say_saved(c, end, path, unnamed ? error.text : "");
}

/* Main was killed: nobody is in a hurry, and nobody else will speak. */
static void go_on_alone(struct companion *c)
{
	close(c->pipe);
	c->pipe = -1;
	c->shared->wait_status = -1;
}

static void finish(struct companion *c)
{
	char byte, end[160];
	if (read(c->pipe, &byte, 1) != 1)
		go_on_alone(c);
	if (c->task.symbols)
		wait_for_symbolizer(c);
	snapshots_end(&c->snapshots, c->pipe);
	collect_all(&c->collect, c->shared->wait_status);
	describe_end(c->collect.profile, c->shared->wait_status, end);
	if (c->collect.profile->process_count == 0)
		say_nothing_recorded(c, end, NULL);
	else
		save(c, end);
	if (c->pipe < 0)
		warn("%s", c->shared->word);
}

static void companion_main(struct companion *c)
{
	setsid();
	prctl(PR_SET_NAME, "mtrace-saves");
	collect_init(&c->collect, c->task.run_id, hold_is_open() ? HOLD_OWN_DIR : c->task.segment_dir, c->task.command,
	             c->task.command_start);
	struct save_request request = request_of(c);
	snapshots_begin(&c->snapshots, &request);
	c->streams = (struct streams){.for_ms = c->task.events_ms, .most_bytes = c->task.events_bytes};
	look_until_end(c);
	finish(c);
}

/* ---- seen from main ---- */

static bool start_process(struct companion *c)
{
	int ends[2];
	if (spawn_pipe(ends) != 0)
		return false;
	c->pid = fork();
	if (c->pid == 0) {
		close(ends[1]);
		c->pipe = ends[0];
		companion_main(c);
		_exit(0);
	}
	close(ends[0]);
	c->pipe = ends[1];
	if (c->pid < 0)
		close(ends[1]);
	return c->pid > 0;
}

struct companion *companion_start(const struct companion_task *task)
{
	static struct companion only; /* one run, one companion */
	only.task = *task;
	only.shared = mmap(NULL, sizeof *only.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (only.shared == MAP_FAILED)
		return NULL;
	if (start_process(&only))
		return &only;
	munmap(only.shared, sizeof *only.shared);
	return NULL;
}

pid_t companion_pid(const struct companion *c)
{
	return c->pid;
}

static void send_news(struct companion *c)
{
	char byte = 1;
	if (write(c->pipe, &byte, 1) != 1)
		errno = 0; /* it is gone: waiting for it will tell */
}

void companion_command_ended(struct companion *c, int wait_status)
{
	c->shared->wait_status = wait_status;
	send_news(c);
}

void companion_hurry(struct companion *c)
{
	send_news(c);
}

const char *companion_last_word(struct companion *c, int wait_status, bool *trouble)
{
	*trouble = c->shared->trouble || !c->shared->has_word;
	if (!c->shared->has_word)
		snprintf(c->shared->word, sizeof c->shared->word, "error: not saved: the process that saves %s %d; what was "
		         "recorded is still in %s: mtrace ps", WIFSIGNALED(wait_status) ? "was ended by signal" : "exited with",
		         WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status),
		         c->task.segment_dir ? c->task.segment_dir : "memory");
	return c->shared->word;
}
