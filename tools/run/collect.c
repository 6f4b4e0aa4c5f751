/*
 * collect: see collect.h. A dead segment is read as soon as it is seen (the shim of a later process may remove it) and
 * stays where it is until the recording is safe, unless dead segments pile up: their memory is the container's.
 */
#include "run/collect.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "model/profile.h"
#include "read/read.h"
#include "run/hold.h"

#define DEAD_BYTES_MAX (32u << 20) /* half of the smallest /dev/shm there is (Docker's 64 MB) */
#define DEAD_COUNT_MAX 256
#define DEAD_HELD_MAX 16 /* files that are held are few */

void collect_init(struct collect *c, const char *run_id, const char *dir, pid_t command, uint64_t command_start)
{
	*c = (struct collect){.run_id = run_id, .dir = dir, .command = command, .command_start = command_start};
	c->profile = profile_new();
}

void collect_fini(struct collect *c)
{
	for (size_t i = 0; i < c->count; i++) {
		free(c->segments[i].path);
		drain_close(c->segments[i].drain);
	}
	free(c->segments);
	profile_free(c->profile);
	*c = (struct collect){0};
}

/* ---- what is there ---- */

/* By name and inode: once an image's file is removed, a later image of the same process may take its name. And by what
   is in it: a file that is held is used again. */
static struct collect_segment *find(struct collect *c, const struct read_found *found, ino_t inode)
{
	for (size_t i = 0; i < c->count; i++) {
		struct collect_segment *s = &c->segments[i];
		if (s->inode == inode && s->pid == found->pid && s->start_time == found->start_time &&
		    s->image == found->image && strcmp(s->path, found->path) == 0)
			return s;
	}
	return NULL;
}

static struct collect_segment *add(struct collect *c, const struct read_found *found, ino_t inode)
{
	if (c->count == c->capacity) {
		c->capacity = c->capacity ? 2 * c->capacity : 16;
		c->segments = reallocarray(c->segments, c->capacity, sizeof *c->segments);
		if (!c->segments)
			die(125, "run: out of memory");
	}
	struct collect_segment *s = &c->segments[c->count++];
	*s = (struct collect_segment){
		.path = strdup(found->path), .inode = inode, .pid = found->pid, .image = found->image,
		.start_time = found->start_time};
	if (!s->path)
		die(125, "run: out of memory");
	return s;
}

void collect_scan(struct collect *c)
{
	struct read_found *found = NULL;
	size_t count = 0;
	read_list_segments(c->dir, &found, &count);
	for (size_t i = 0; i < count; i++) {
		struct stat st;
		if (strcmp(found[i].run_id, c->run_id) != 0 || stat(found[i].path, &st) != 0)
			continue;
		struct collect_segment *s = find(c, &found[i], st.st_ino);
		if (!s)
			s = add(c, &found[i], st.st_ino);
		s->alive = found[i].alive;
		s->committed_bytes = found[i].committed_bytes;
	}
	read_list_free(found, count);
}

/* ---- reading ---- */

static bool is_command(const struct collect *c, uint32_t pid, uint64_t start_time)
{
	return pid == (uint32_t)c->command && (!c->command_start || !start_time || start_time == c->command_start);
}

static bool has_later_image(const struct collect *c, const struct collect_segment *s)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct collect_segment *o = &c->segments[i];
		if (o->pid == s->pid && o->start_time == s->start_time && o->image > s->image)
			return true;
	}
	return false;
}

static void read_one(struct collect *c, struct collect_segment *s)
{
	struct read_error error = {""};
	s->is_read = true;
	bool done = read_segment(s->path, c->profile, NULL, &error) == 0;
	if (done && s->drain)
		drain_finish(s->drain, c->profile, &c->profile->processes[c->profile->process_count - 1]);
	drain_close(s->drain);
	s->drain = NULL;
	if (done)
		return;
	if (access(s->path, F_OK) != 0)
		s->is_gone = true;
	c->unreadable++;
	snprintf(c->trouble, sizeof c->trouble, "%s", error.text);
}

/* A process that is ending has no program any more, well before it can be waited for. */
static bool runs_a_program(uint32_t pid)
{
	char path[32], target[8];
	snprintf(path, sizeof path, "/proc/%u/exe", pid);
	return readlink(path, target, sizeof target) > 0 || errno == EACCES;
}

static bool is_same_file(const struct collect_segment *s)
{
	struct stat st;
	return stat(s->path, &st) == 0 && st.st_ino == s->inode;
}

static void remove_file(struct collect_segment *s)
{
	if (hold_has_path(s->path))
		s->is_gone = hold_free(s->path) == 0;
	else if (!is_same_file(s) || unlink(s->path) == 0 || errno == ENOENT)
		s->is_gone = true;
}

static void remove_when_many(struct collect *c)
{
	uint64_t bytes = 0;
	size_t count = 0, most = hold_is_open() ? DEAD_HELD_MAX : DEAD_COUNT_MAX;
	for (size_t i = c->count; i-- > 0;) {
		struct collect_segment *s = &c->segments[i];
		if (!s->is_read || s->is_gone || runs_a_program(s->pid))
			continue;
		bytes += s->committed_bytes;
		if (++count > most || bytes > DEAD_BYTES_MAX)
			remove_file(s);
	}
}

/* Dead, but its process runs on and nothing came after it: between two images, or the next one is not traced. */
static bool is_between_images(const struct collect *c, const struct collect_segment *s)
{
	return !has_later_image(c, s) && runs_a_program(s->pid);
}

void collect_dead(struct collect *c)
{
	for (size_t i = 0; i < c->count; i++) {
		struct collect_segment *s = &c->segments[i];
		if (s->is_read || s->alive)
			continue;
		if (!is_between_images(c, s))
			read_one(c, s);
		else
			s->went_on = true;
	}
	remove_when_many(c);
}

/* ---- the end ---- */

static bool is_crash(int signal)
{
	return signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE || signal == SIGABRT ||
	       signal == SIGTRAP || signal == SIGSYS;
}

static bool has_thread_inside(const struct profile_process *process)
{
	for (uint32_t i = 0; i < process->thread_count; i++)
		if (process->threads[i].inside && !process->threads[i].ended)
			return true;
	return false;
}

/* What we saw of the command's end is surer than what it could write itself. */
static void note_end(struct profile_process *process, int wait_status)
{
	if (WIFSIGNALED(wait_status)) {
		process->end_status = WTERMSIG(wait_status);
		process->end = process->end_status == SIGKILL ? PROFILE_KILLED : PROFILE_SIGNAL;
		process->in_tracker = is_crash(process->end_status) && has_thread_inside(process);
		return;
	}
	process->end = PROFILE_EXIT;
	process->end_status = WEXITSTATUS(wait_status);
	process->in_tracker = false;
}

static void note_earlier_image(struct profile_process *process)
{
	if (process->end == PROFILE_KILLED)
		process->end = PROFILE_EXEC;
	process->in_tracker = false;
}

/* The command's own images first, newest before older; then the others as they began. */
static bool comes_before(const struct collect *c, const struct profile_process *a, const struct profile_process *b)
{
	bool own_a = is_command(c, a->pid, a->start_time), own_b = is_command(c, b->pid, b->start_time);
	if (own_a != own_b)
		return own_a;
	if (own_a)
		return a->image > b->image;
	if (a->start_time != b->start_time)
		return a->start_time < b->start_time;
	return a->pid != b->pid ? a->pid < b->pid : a->image < b->image;
}

static int compare(const void *a, const void *b, void *context)
{
	const struct collect *c = context;
	return comes_before(c, a, b) ? -1 : comes_before(c, b, a);
}

static void put_in_order(struct collect *c)
{
	struct profile *p = c->profile;
	if (p->process_count)
		qsort_r(p->processes, p->process_count, sizeof *p->processes, compare, c);
}

static bool went_on_untraced(const struct collect *c, const struct profile_process *process)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct collect_segment *s = &c->segments[i];
		if (s->pid == process->pid && s->start_time == process->start_time && s->image == process->image)
			return s->went_on;
	}
	return false;
}

static void note_ends(struct collect *c, int wait_status)
{
	for (uint32_t i = 0; i < c->profile->process_count; i++) {
		struct profile_process *process = &c->profile->processes[i];
		if (!is_command(c, process->pid, process->start_time))
			continue;
		if (i > 0 || went_on_untraced(c, process))
			note_earlier_image(process);
		else if (wait_status >= 0)
			note_end(process, wait_status);
	}
}

void collect_all(struct collect *c, int wait_status)
{
	collect_scan(c);
	for (size_t i = 0; i < c->count; i++)
		if (!c->segments[i].is_read)
			read_one(c, &c->segments[i]);
	put_in_order(c);
	note_ends(c, wait_status);
}

void collect_remove_saved(struct collect *c)
{
	for (size_t i = 0; i < c->count; i++) {
		struct collect_segment *s = &c->segments[i];
		if (s->is_read && !s->is_gone && !s->alive)
			remove_file(s);
	}
}
