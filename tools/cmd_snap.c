/*
 * cmd_snap: `mtrace snap TARGET -o REC`: a recording of a process as it is, running or dead, with names and history.
 */
#include "command.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "model/profile.h"
#include "read/read.h"
#include "run/mark.h"
#include "run/streams.h"
#include "show.h"

enum { OUTPUT, FORCE, EVENTS, EVENTS_SIZE, SEARCH };

const struct command_option cmd_snap_options[] = {
	[OUTPUT] = {"-o", "REC", "the recording to write"},
	[FORCE] = {"-f", NULL, "replace it if it is there"},
	[EVENTS] = {"--events", "[=DURATION]", "first have every allocation and free of a running process kept for so long (10s)"},
	[EVENTS_SIZE] = {"--events-size", "SIZE", "most of them that is kept, compressed (64m)"},
	[SEARCH] = {"--search", "DIR", "look there for files with symbols, too (may be given again)"},
	{NULL, NULL, NULL},
};

enum { MOST_SEARCH = 32 };

struct request {
	const char *target, *output;
	bool overwrite;
	const char *search[MOST_SEARCH + 1];
	size_t search_count;
	uint64_t events_ns; /* 0: none */
	uint64_t events_bytes;
};

static bool take_events(struct request *r, const char *text)
{
	if (!show_duration("snap", "--events", text, &r->events_ns))
		return false;
	bool is_right = r->events_ns && r->events_ns <= MTRACE_STREAM_MS_MOST * 1000000ull;
	if (!is_right)
		warn("snap: --events=%s: it must be from 1s to 12h", text);
	return is_right;
}

static bool take_events_size(struct request *r, const char *text)
{
	bool is_right = show_size("snap", "--events-size", text, &r->events_bytes);
	if (is_right && !r->events_bytes)
		warn("snap: --events-size %s: nothing could be kept", text);
	return is_right && r->events_bytes;
}

static bool take(struct request *r, int option, const char *value)
{
	switch (option) {
	case OUTPUT: r->output = value; return true;
	case FORCE: r->overwrite = true; return true;
	case EVENTS: return take_events(r, value ? value : "10s");
	case EVENTS_SIZE: return take_events_size(r, value);
	case SEARCH:
		if (r->search_count < MOST_SEARCH)
			r->search[r->search_count++] = value;
		return show_is_directory("snap", value);
	case -3: return show_one_target("snap", &r->target, value);
	default: return false;
	}
}

static bool parse(int argc, char **argv, const struct command *self, struct request *r)
{
	struct option_cursor cursor = {.index = 1};
	for (int option; (option = option_or_operand(argc, argv, self, &cursor)) != -1;)
		if (!take(r, option, cursor.value))
			return false;
	if (!r->target)
		warn("snap: of what? give a pid (`mtrace ps` lists them), a segment file, a recording, or `last`");
	else if (!r->output)
		warn("snap: into which file? mtrace snap %s -o REC.mtr", r->target);
	else
		return true;
	return false;
}

static int save(const struct request *r, const struct profile *p)
{
	struct read_error error = {""};
	if (p->processes[0].mode == PROFILE_OUTSIDE) {
		warn("snap: %s is not traced: there is nothing to keep; `mtrace doctor %s` says how to trace it", r->target,
		     r->target);
		return EXIT_NOTHING;
	}
	if (write_recording(r->output, r->overwrite, p, &error) != 0) {
		warn("snap: %s", error.text);
		return EXIT_TROUBLE;
	}
	warn("%s is kept in %s; then: mtrace report %s", r->target, r->output, r->output);
	return EXIT_DONE;
}

/* ---- events first ---- */

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Until they end, are cut, or nothing can come any more: a process that has become idle does not end them itself. */
static void wait_for_events(struct drain *d, int fd, uint64_t ns)
{
	const uint64_t slack_ns = 2000000000u, until = now_ns() + ns + slack_ns;
	enum drain_state state = DRAIN_ON;
	while ((state == DRAIN_ON || state == DRAIN_NONE) && now_ns() < until) {
		state = drain_take(d);
		if (state == DRAIN_ON && !read_is_running(fd))
			return;
		nanosleep(&(struct timespec){.tv_nsec = 4000000}, NULL);
	}
}

static struct profile *read_with_events(const struct request *r, const struct read_running *running, struct drain *d,
                                        struct read_error *error)
{
	struct profile *p = profile_new();
	struct read_error none;
	if (read_segment_fd(running->fd, running->name, p, NULL, error) != 0) {
		profile_free(p);
		return NULL;
	}
	drain_finish(d, p, &p->processes[0]);
	if (running->pid)
		read_outside_ledger(running->pid, p, &p->processes[0], &none);
	show_name(p, r->search_count ? r->search : NULL);
	return p;
}

/* The process's next allocation begins them; without one in all that time there are none. */
static struct profile *stream(const struct request *r, const struct read_running *running, struct drain *d)
{
	struct read_error error = {""};
	uint64_t ms = r->events_ns / 1000000;
	int code = events_request(running->fd, r->target, ms, (unsigned)ms, &error);
	if (code == -EAGAIN)
		warn("snap: %s is idle: no allocation and no free in all that time", r->target);
	if (code != 0 && code != -EAGAIN) {
		warn("snap: %s", error.text);
		return NULL;
	}
	if (code == 0)
		wait_for_events(d, running->fd, r->events_ns);
	struct profile *p = read_with_events(r, running, d, &error);
	if (!p)
		warn("snap: %s", error.text);
	return p;
}

static struct profile *open_with_events(const struct request *r)
{
	struct read_running running;
	struct read_error error = {""};
	struct profile *p = NULL;
	if (read_open_running(r->target, &running, &error) != 0) {
		warn("snap: --events needs a running process that is traced: %s", error.text[0] ? error.text : r->target);
		return NULL;
	}
	struct drain_request request = {.give_back = true, .most_bytes = r->events_bytes};
	struct drain *d = drain_open(running.fd, &request, &error);
	if (!d)
		warn("snap: %s: %s", r->target, error.text);
	else
		p = stream(r, &running, d);
	drain_close(d);
	close(running.fd);
	return p;
}

int cmd_snap(int argc, char **argv, const struct command *self)
{
	struct request r = {.events_bytes = STREAMS_BYTES};
	if (!parse(argc, argv, self, &r))
		return EXIT_TROUBLE;
	struct profile *p = r.events_ns ? open_with_events(&r)
					: show_open("snap", r.target, r.search_count ? r.search : NULL);
	if (!p)
		return EXIT_TROUBLE;
	int code = save(&r, p);
	profile_free(p);
	return code;
}
