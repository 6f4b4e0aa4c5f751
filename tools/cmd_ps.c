/*
 * cmd_ps: `mtrace ps`: the segments there are, of running processes and of dead ones, a row each; --prune removes the
 * dead ones of this user. A dead segment that a running `mtrace run` has yet to save is left alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "emit/emit.h"
#include "format.h"
#include "read/read.h"

enum { OPTION_PRUNE, OPTION_JSON, OPTION_DIR };

const struct command_option cmd_ps_options[] = {
	[OPTION_PRUNE] = {"--prune", NULL, "remove the dead ones of this user"},
	[OPTION_JSON] = {"--json", NULL, "as JSON"},
	[OPTION_DIR] = {"--dir", "DIR", "look there instead of the usual directories"},
	{NULL, NULL, NULL},
};

/* What the first pages of a segment say beyond read_found. */
struct glance {
	const char *state; /* live, exit, exec, killed, creating */
	uint64_t live_bytes;
	uint64_t age_ns;   /* since it was made */
};

static uint64_t wall_now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static const char *state_of(const struct read_found *found, const struct mtrace_header *header)
{
	if (header->state == MTRACE_STATE_CREATING)
		return "creating";
	if (found->alive)
		return "live";
	switch ((enum mtrace_end)atomic_load_explicit(&header->end, memory_order_relaxed)) {
	case MTRACE_END_NONE: return "killed";
	case MTRACE_END_EXEC: return "exec";
	default: return "exit";
	}
}

static struct glance look_at(const struct read_found *found)
{
	_Alignas(8) unsigned char pages[MTRACE_HOT_OFFSET + sizeof(struct mtrace_hot)];
	const struct mtrace_header *header = (const void *)pages;
	const struct mtrace_hot *hot = (const void *)(pages + MTRACE_HOT_OFFSET);
	struct glance glance = {.state = "unreadable"};
	int fd = open(found->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	bool is_read = fd >= 0 && pread(fd, pages, sizeof pages, 0) == (ssize_t)sizeof pages;
	if (fd >= 0)
		close(fd);
	if (!is_read)
		return glance;
	uint64_t now = wall_now_ns();
	glance.state = state_of(found, header);
	glance.live_bytes = hot->live_bytes > 0 ? (uint64_t)hot->live_bytes : 0;
	glance.age_ns = now > header->wall_start_ns ? now - header->wall_start_ns : 0;
	return glance;
}

/* ---- showing ---- */

/* What other commands take for it: in a container it has another pid than here. */
static uint32_t pid_to_say(const struct read_found *found)
{
	pid_t here = found->alive ? read_pid_here(found->pid, found->start_time) : 0;
	return here ? (uint32_t)here : found->pid;
}

static void print_row(const struct read_found *found)
{
	struct glance glance = look_at(found);
	char live[32], size[32], age[32];
	emit_bytes(live, glance.live_bytes);
	emit_bytes(size, found->committed_bytes);
	emit_duration(age, glance.age_ns);
	printf("%7u %5u  %-8s %11s %11s %12s  %s\n", pid_to_say(found), found->image, glance.state, live, size, age,
	       found->exe[0] ? found->exe : found->path);
}

static int print_table(const struct read_found *found, size_t count)
{
	if (count == 0) {
		warn("no segments; `mtrace run -- CMD` makes one");
		return EXIT_DONE;
	}
	printf("%7s %5s  %-8s %11s %11s %12s  %s\n", "PID", "IMAGE", "STATE", "LIVE", "SEGMENT", "AGE", "PROGRAM");
	for (size_t i = 0; i < count; i++)
		print_row(&found[i]);
	return EXIT_DONE;
}

/* Paths need not be UTF-8, JSON must. */
static json_t *json_text(const char *text)
{
	char plain[4096];
	json_t *value = json_string(text);
	if (value)
		return value;
	snprintf(plain, sizeof plain, "%s", text);
	for (char *p = plain; *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	return json_string(plain);
}

static json_t *json_row(const struct read_found *found)
{
	struct glance glance = look_at(found);
	return json_pack("{s:I, s:I, s:I, s:s, s:o, s:o, s:I, s:I, s:I, s:o}", "pid", (json_int_t)found->pid, "pid_here",
	                 (json_int_t)pid_to_say(found), "image",
	                 (json_int_t)found->image, "state", glance.state, "exe", json_text(found->exe), "run",
	                 json_text(found->run_id), "live_bytes", (json_int_t)glance.live_bytes, "segment_bytes",
	                 (json_int_t)found->committed_bytes, "age_ns", (json_int_t)glance.age_ns, "path",
	                 json_text(found->path));
}

static int print_json(const struct read_found *found, size_t count)
{
	json_t *segments = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(segments, json_row(&found[i]));
	json_t *document = json_pack("{s:i, s:s, s:o}", "schema", 1, "version", mtrace_version, "segments", segments);
	json_dumpf(document, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(document);
	return EXIT_DONE;
}

/* ---- pruning ---- */

/* The tag of a run begins with the pid of its `mtrace run` (cmd_run.c). */
static bool is_awaited(const struct read_found *found)
{
	char *end;
	long pid = strtol(found->run_id, &end, 10);
	return *end == '-' && pid > 0 && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

/* Holds the segment's own lock while removing it: nobody can be writing it then. */
static bool remove_dead(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return false;
	bool done = fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0 && unlink(path) == 0;
	close(fd);
	return done;
}

static int prune(const struct read_found *found, size_t count)
{
	size_t removed = 0, awaited = 0;
	uint64_t bytes = 0;
	char text[32];
	for (size_t i = 0; i < count; i++) {
		if (found[i].alive)
			continue;
		if (is_awaited(&found[i])) {
			awaited++;
		} else if (remove_dead(found[i].path)) {
			removed++;
			bytes += found[i].committed_bytes;
		}
	}
	emit_bytes(text, bytes);
	warn("removed %zu dead segment%s, %s", removed, removed == 1 ? "" : "s", text);
	if (awaited)
		warn("%zu more belong to an `mtrace run` that has yet to save them", awaited);
	return EXIT_DONE;
}

int cmd_ps(int argc, char **argv, const struct command *self)
{
	struct option_cursor cursor = {.index = 1};
	bool wants_prune = false, wants_json = false;
	const char *dir = NULL;
	int which;
	while ((which = option_next(argc, argv, self, &cursor)) >= 0) {
		wants_prune |= which == OPTION_PRUNE;
		wants_json |= which == OPTION_JSON;
		if (which == OPTION_DIR)
			dir = cursor.value;
	}
	if (which == -2)
		return EXIT_TROUBLE;
	if (cursor.index < argc) {
		warn("ps: takes no operand: %s; to read one, `mtrace report %s`", argv[cursor.index], argv[cursor.index]);
		return EXIT_TROUBLE;
	}
	struct read_found *found = NULL;
	size_t count = 0;
	int code = read_list_segments(dir, &found, &count);
	if (code != 0 && dir)
		warn("ps: %s: %s", dir, strerror(-code));
	int result = code != 0 && dir ? EXIT_TROUBLE : wants_prune ? prune(found, count)
	             : wants_json     ? print_json(found, count)
	                              : print_table(found, count);
	read_list_free(found, count);
	return result;
}
