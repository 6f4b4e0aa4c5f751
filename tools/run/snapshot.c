/*
 * snapshot: see snapshot.h. A mark of a process that has ended since is too late: what its blocks were at the mark
 * nobody can tell any more, and how they were at its end is in the run's own recording.
 */
#include "run/snapshot.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model/profile.h"
#include "read/read.h"
#include "run/locate.h"

enum { WRITER_DONE = 0, WRITER_FAILED = 1, WRITER_LATE = 2 };
enum { TROUBLE_BYTES = 512, MARKS_AT_ONCE = 64 };

void snapshots_begin(struct snapshots *s, const struct save_request *request)
{
	*s = (struct snapshots){.request = *request};
	s->request.numbered = true;
	s->request.hurry_fd = -1; /* a writer is killed as a whole */
	s->trouble = mmap(NULL, TROUBLE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->trouble == MAP_FAILED)
		s->trouble = NULL;
}

/* ---- names ---- */

static bool is_plain(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("._-+=@", c);
}

/* What would need quotes becomes '_'; letters of other alphabets stay. */
static void clean(const char *tag, char *out, size_t bytes)
{
	size_t n = 0;
	for (; *tag && n + 1 < bytes; tag++)
		out[n++] = is_plain((unsigned char)*tag) || (unsigned char)*tag >= 0x80 ? *tag : '_';
	out[n] = '\0';
	if (n == 0)
		snprintf(out, bytes, "snapshot");
}

static struct snapshot_tag *tag_of(struct snapshots *s, const char *text)
{
	for (size_t i = 0; i < s->tag_count; i++)
		if (strcmp(s->tags[i].text, text) == 0)
			return &s->tags[i];
	if (s->tag_count == s->tag_capacity) {
		size_t capacity = s->tag_capacity ? 2 * s->tag_capacity : 8;
		struct snapshot_tag *more = reallocarray(s->tags, capacity, sizeof *more);
		if (!more)
			return NULL;
		s->tags = more;
		s->tag_capacity = capacity;
	}
	struct snapshot_tag *tag = &s->tags[s->tag_count++];
	*tag = (struct snapshot_tag){.times = 0};
	snprintf(tag->text, sizeof tag->text, "%s", text);
	return tag;
}

/* REC.mtr becomes REC.TAG.mtr. */
static void path_of(const struct snapshots *s, const struct snapshot_tag *tag, char path[LOCATE_PATH_BYTES])
{
	size_t n = strlen(s->request.output), end = strlen(".mtr");
	if (n > end && strcmp(s->request.output + n - end, ".mtr") == 0)
		n -= end;
	snprintf(path, LOCATE_PATH_BYTES, "%.*s.%s.mtr", (int)n, s->request.output, tag->text);
}

/* ---- the process that writes one ---- */

static _Noreturn void fail(const struct snapshots *s, const struct read_error *error)
{
	if (s->trouble)
		snprintf(s->trouble, TROUBLE_BYTES, "%s", error->text);
	_exit(WRITER_FAILED);
}

static _Noreturn void write_one(const struct snapshots *s, const struct collect_segment *segment,
                                const struct snapshot_tag *tag)
{
	char wanted[LOCATE_PATH_BYTES], path[LOCATE_PATH_BYTES];
	struct save_request request = s->request;
	struct read_error error = {""}, none;
	struct profile *profile = profile_new();
	bool alive = false, unnamed;
	path_of(s, tag, wanted);
	request.output = wanted;
	request.number = tag->times;
	if (read_segment(segment->path, profile, &alive, &error) != 0)
		fail(s, &error);
	if (!alive)
		_exit(WRITER_LATE);
	read_outside_ledger(read_pid_here(segment->pid, segment->start_time), profile, &profile->processes[0], &none);
	if (nice(10) < 0)
		errno = 0; /* names are in no hurry */
	if (save_profile(profile, &request, path, &unnamed, &error) != 0)
		fail(s, &error);
	_exit(WRITER_DONE);
}

static void note_end(struct snapshots *s, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == WRITER_DONE)
		s->saved++;
	else if (WIFEXITED(status) && WEXITSTATUS(status) == WRITER_LATE)
		s->late++;
	else
		s->failed++;
	if (s->trouble && WIFSIGNALED(status))
		snprintf(s->trouble, TROUBLE_BYTES, "the process that wrote it was ended by signal %d", WTERMSIG(status));
}

/* Returns how many still write. */
static size_t reap(struct snapshots *s)
{
	size_t busy = 0;
	int status = 0;
	for (size_t i = 0; i < SNAPSHOT_WRITERS; i++) {
		if (s->writers[i] && waitpid(s->writers[i], &status, WNOHANG) == s->writers[i]) {
			note_end(s, status);
			s->writers[i] = 0;
		}
		busy += s->writers[i] != 0;
	}
	return busy;
}

static void start_writer(struct snapshots *s, const struct collect_segment *segment, struct snapshot_tag *tag)
{
	size_t free_one = 0;
	while (free_one < SNAPSHOT_WRITERS && s->writers[free_one])
		free_one++;
	tag->times++;
	s->begun++;
	pid_t pid = free_one < SNAPSHOT_WRITERS ? fork() : -1;
	if (pid == 0)
		write_one(s, segment, tag);
	if (pid > 0)
		s->writers[free_one] = pid;
	else
		s->failed++;
	if (pid < 0 && s->trouble)
		snprintf(s->trouble, TROUBLE_BYTES, "no process could be started: %s", strerror(errno));
}

/* ---- marks ---- */

/* One tag asked for several times between two looks is one state, so one file. */
static bool is_repeated(const struct read_mark *marks, size_t i)
{
	for (size_t before = 0; before < i; before++)
		if (marks[before].snapshot && strcmp(marks[before].name, marks[i].name) == 0)
			return true;
	return false;
}

static void take(struct snapshots *s, const struct collect_segment *segment, const char *name)
{
	char text[sizeof s->tags->text];
	clean(name, text, sizeof text);
	struct snapshot_tag *tag = s->begun < SNAPSHOT_MOST ? tag_of(s, text) : NULL;
	if (tag)
		start_writer(s, segment, tag);
	else
		s->failed++;
	if (!tag && s->trouble)
		snprintf(s->trouble, TROUBLE_BYTES, "%d is the most in one run", SNAPSHOT_MOST);
}

static void look_at(struct snapshots *s, struct collect_segment *segment)
{
	struct read_mark marks[MARKS_AT_ONCE];
	uint64_t next = segment->next_mark;
	size_t count = read_segment_marks(segment->path, &next, marks, MARKS_AT_ONCE), i = 0;
	for (; i < count; i++) {
		bool new = marks[i].snapshot && !is_repeated(marks, i);
		if (new && reap(s) == SNAPSHOT_WRITERS)
			break; /* the others at the next look */
		if (new)
			take(s, segment, marks[i].name);
		s->seen += marks[i].snapshot;
	}
	segment->next_mark = i < count ? marks[i].id : next;
}

void snapshots_look(struct snapshots *s, struct collect *collect)
{
	reap(s);
	for (size_t i = 0; i < collect->count; i++)
		if (collect->segments[i].alive && !collect->segments[i].is_gone)
			look_at(s, &collect->segments[i]);
}

/* ---- the end ---- */

void snapshots_end(struct snapshots *s, int hurry_fd)
{
	struct pollfd hurry = {.fd = hurry_fd, .events = POLLIN};
	bool in_time = true;
	while (reap(s) > 0 && in_time)
		in_time = poll(&hurry, 1, 5) <= 0;
	for (size_t i = 0; i < SNAPSHOT_WRITERS; i++)
		if (s->writers[i])
			kill(s->writers[i], SIGKILL);
	while (reap(s) > 0)
		poll(NULL, 0, 1);
}

static uint64_t asked_for(const struct profile *profile)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < profile->process_count; i++)
		for (uint32_t k = 0; k < profile->processes[i].mark_count; k++)
			n += (profile->processes[i].marks[k].flags & MTRACE_MARK_SNAPSHOT) != 0;
	return n;
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

bool snapshots_describe(const struct snapshots *s, const struct profile *profile, char *out, size_t bytes)
{
	uint64_t asked = asked_for(profile), late = s->late + (asked > s->seen ? asked - s->seen : 0);
	size_t n = 0;
	out[0] = '\0';
	if (s->saved)
		n += (size_t)snprintf(out, bytes, " and %u snapshot%s", s->saved, plural(s->saved));
	if (late && n < bytes)
		n += (size_t)snprintf(out + n, bytes - n, "; %llu snapshot%s not saved: asked for too shortly before the end",
		                      (unsigned long long)late, plural(late));
	if (s->failed && n < bytes)
		snprintf(out + n, bytes - n, "; %u snapshot%s not saved: %s", s->failed, plural(s->failed),
		         s->trouble ? s->trouble : "no memory");
	return late || s->failed;
}
