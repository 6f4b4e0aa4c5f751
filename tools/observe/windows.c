/*
 * windows: see windows.h. Waits in slices, so that the end of the process, or Ctrl-C, is noticed soon whatever the length
 * of a window.
 */
#include "observe/windows.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "emit/emit.h"
#include "die.h"

enum { MARKS_AT_ONCE = 256, SLICE_MS = 200, MARK_SLICE_MS = 5 };
#define WINDOW_LEAST_NS 100000000u

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- progress ---- */

static void announce(const struct windows *w, const struct observe *o)
{
	char time[32];
	emit_duration(time, w->for_ns);
	if (w->on_mark)
		warn("%s: observing %s, a window at each mark \"%s\"; Ctrl-C ends it", w->command, o->running.name, w->on_mark);
	else if (!w->on_line)
		warn("%s: observing %s for %s; Ctrl-C ends it sooner", w->command, o->running.name, time);
}

static void show_progress(const struct windows *w, const struct observe *o, uint64_t begun)
{
	char time[32], all[32], rss[32];
	if (!w->progress || w->on_line || !o->growth.count)
		return;
	emit_duration(time, now_ns() - begun);
	emit_duration(all, w->for_ns);
	emit_bytes(rss, o->growth.instants[o->growth.count - 1].rss_bytes);
	fprintf(stderr, "\r\x1b[K%zu windows, %s%s%s, RSS %s", growth_windows(&o->growth), time, w->for_ns ? " of " : "",
	        w->for_ns ? all : "", rss);
	fflush(stderr);
}

/* ---- when ---- */

/* Until `deadline`, Ctrl-C, or the end of the process. */
static void wait_until(const struct observe *o, uint64_t deadline)
{
	for (uint64_t now; (now = now_ns()) < deadline && !interrupted;) {
		uint64_t ms = (deadline - now + 999999) / 1000000;
		poll(NULL, 0, ms < SLICE_MS ? (int)ms : SLICE_MS);
		if (!observe_is_alive(o))
			return;
	}
}

static void take_for_a_while(const struct windows *w, struct observe *o)
{
	uint64_t begun = now_ns(), each = w->for_ns / WINDOWS_MOST;
	if (each < WINDOW_LEAST_NS)
		each = WINDOW_LEAST_NS;
	bool more = observe_take(o);
	for (uint64_t next = begun + each; more && next <= begun + w->for_ns; next += each) {
		show_progress(w, o, begun);
		wait_until(o, next);
		more = observe_take(o) && !interrupted;
	}
}

/* A line, or the end of input: false. */
static bool read_line(void)
{
	char byte = 0;
	ssize_t n = 0;
	while (byte != '\n' && !interrupted && ((n = read(STDIN_FILENO, &byte, 1)) == 1 || (n < 0 && errno == EINTR)))
		continue;
	return byte == '\n' && !interrupted;
}

static void take_at_lines(struct observe *o)
{
	size_t n = 0;
	bool more = observe_take(o);
	do {
		fprintf(stderr, "window %zu\n", n++);
		fflush(stderr);
			o->step = n;
	} while (more && read_line() && (more = observe_take(o), true));
}

/* How many new marks there are of that name. */
static size_t new_marks(const char *path, const char *name, uint64_t *next)
{
	struct read_mark marks[MARKS_AT_ONCE];
	size_t count = read_segment_marks(path, next, marks, MARKS_AT_ONCE), found = 0;
	for (size_t i = 0; i < count; i++)
		found += strcmp(marks[i].name, name) == 0;
	return found;
}

/* Those of before the first window. */
static void skip_marks(const char *path, uint64_t *next)
{
	struct read_mark marks[MARKS_AT_ONCE];
	while (read_segment_marks(path, next, marks, MARKS_AT_ONCE) == MARKS_AT_ONCE)
		continue;
}

static void take_at_marks(struct windows *w, struct observe *o)
{
	char path[32];
	uint64_t begun = now_ns(), next = 0;
	snprintf(path, sizeof path, "/proc/self/fd/%d", o->running.fd);
	skip_marks(path, &next);
	bool more = observe_take(o);
	while (more && !interrupted && (!w->for_ns || now_ns() - begun < w->for_ns)) {
		size_t marks = new_marks(path, w->on_mark, &next);
		if (marks) {
			o->step += marks;
			more = observe_take(o);
			w->lost_marks += marks - 1;
			show_progress(w, o, begun);
		} else {
			poll(NULL, 0, MARK_SLICE_MS);
			more = observe_is_alive(o);
		}
	}
}

bool windows_take(struct windows *w, struct observe *o)
{
	struct sigaction act = {.sa_handler = on_interrupt}, before;
	interrupted = 0;
	sigaction(SIGINT, &act, &before);
	announce(w, o);
	o->growth.by_steps = w->on_line || w->on_mark;
	if (w->on_line)
		take_at_lines(o);
	else if (w->on_mark)
		take_at_marks(w, o);
	else
		take_for_a_while(w, o);
	if (w->progress && !w->on_line)
		fputs("\r\x1b[K", stderr);
	sigaction(SIGINT, &before, NULL);
	return growth_windows(&o->growth) > 0;
}
