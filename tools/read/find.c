/*
 * find: the segments that lie around: /dev/shm and /tmp, the same directories inside other mount namespaces
 * (containers, by way of one of their processes), what a `mtrace run` holds, or one directory that was named. Only the
 * first pages of each file are read. A segment that cannot be opened or is no segment is not listed.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format.h"
#include "read/find.h"
#include "read/read.h"

struct seen {
	dev_t device;
	ino_t inode;
};

struct list {
	struct read_found *found;
	struct seen *seen; /* one file may be reached by several names */
	size_t count, capacity;
};

static int add(struct list *l, const struct read_found *found, const struct stat *st)
{
	if (l->count == l->capacity) {
		size_t capacity = l->capacity ? 2 * l->capacity : 16;
		struct read_found *f = reallocarray(l->found, capacity, sizeof *f);
		if (f)
			l->found = f;
		struct seen *s = reallocarray(l->seen, capacity, sizeof *s);
		if (s)
			l->seen = s;
		if (!f || !s)
			return -ENOMEM;
		l->capacity = capacity;
	}
	l->seen[l->count] = (struct seen){st->st_dev, st->st_ino};
	l->found[l->count++] = *found;
	return 0;
}

static bool is_seen(const struct list *l, const struct stat *st)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->seen[i].device == st->st_dev && l->seen[i].inode == st->st_ino)
			return true;
	return false;
}

static void text(char *to, size_t size, const char *from, size_t bytes)
{
	size_t n = strnlen(from, bytes < size ? bytes : size - 1);
	memcpy(to, from, n);
	to[n] = '\0';
	for (size_t i = 0; i < n; i++)
		if (iscntrl((unsigned char)to[i]))
			to[i] = '?';
}

int find_describe(int fd, struct read_found *found)
{
	_Alignas(8) unsigned char head[MTRACE_INFO_OFFSET + sizeof(struct mtrace_info)];
	if (pread(fd, head, sizeof head, 0) != (ssize_t)sizeof head)
		return -ENODATA;
	const struct mtrace_header *h = (const void *)head;
	const struct mtrace_info *info = (const void *)(head + MTRACE_INFO_OFFSET);
	if (memcmp(h->magic, MTRACE_SEGMENT_MAGIC, sizeof h->magic) != 0)
		return -EINVAL;
	found->pid = h->pid;
	found->image = h->image;
	found->start_time = h->start_time;
	found->committed_bytes = h->committed_bytes;
	text(found->exe, sizeof found->exe, info->exe, sizeof info->exe);
	text(found->run_id, sizeof found->run_id, info->run_id, sizeof info->run_id);
	found->alive = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
	if (!found->alive)
		flock(fd, LOCK_UN);
	return 0;
}

static int visit(struct list *l, int directory, const char *path, const char *name, int no_link)
{
	struct read_found found = {0};
	struct stat st;
	int code = 0;
	int fd = openat(directory, name, O_RDONLY | no_link | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return 0;
	bool is_new = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !is_seen(l, &st);
	if (is_new && find_describe(fd, &found) == 0) {
		if (asprintf(&found.path, "%s/%s", path, name) < 0)
			found.path = NULL;
		code = found.path ? add(l, &found, &st) : -ENOMEM;
		if (code != 0)
			free(found.path);
	}
	close(fd);
	return code;
}

/* In /proc/PID/fd: a file in memory that `mtrace run` keeps for a segment (format.h). */
static bool is_held(int directory, const char *name)
{
	static const char begin[] = "/memfd:" MTRACE_HELD_NAME;
	char target[128];
	ssize_t n = readlinkat(directory, name, target, sizeof target);
	return n > (ssize_t)strlen(begin) && memcmp(target, begin, strlen(begin)) == 0;
}

static bool is_descriptors(const char *path)
{
	return strncmp(path, "/proc/", 6) == 0 && strcmp(path + strlen(path) - 3, "/fd") == 0;
}

static int scan(struct list *l, const char *path)
{
	DIR *d = opendir(path);
	if (!d)
		return -errno;
	int code = 0;
	bool held = is_descriptors(path);
	for (struct dirent *e; code == 0 && (e = readdir(d));)
		if (held ? is_held(dirfd(d), e->d_name)
		         : strncmp(e->d_name, MTRACE_SEGMENT_PREFIX, strlen(MTRACE_SEGMENT_PREFIX)) == 0)
			code = visit(l, dirfd(d), path, e->d_name, held ? 0 : O_NOFOLLOW);
	closedir(d);
	return code;
}

static const char *const usual[] = {"/dev/shm", "/tmp"};

static int scan_usual(struct list *l, const char *root)
{
	for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++) {
		char path[128];
		snprintf(path, sizeof path, "%s%s", root, usual[i]);
		int code = scan(l, path);
		if (code == -ENOMEM)
			return code;
	}
	return 0;
}

/* ---- other mount namespaces ---- */

/* What a process sees as /dev/shm: its mount namespace, and its root there (who makes a container is in its namespace before
   it takes its root, and a chroot has no namespace of its own). */
struct view {
	ino_t namespace;
	dev_t device;
	ino_t root;
};

/* Of what a link of /proc/PID leads to. */
static bool stat_link(const char *pid, const char *link, struct stat *st)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%.20s/%s", pid, link);
	return stat(path, st) == 0;
}

static bool view_of(const char *pid, struct view *view)
{
	struct stat namespace, root;
	if (!stat_link(pid, "ns/mnt", &namespace) || !stat_link(pid, "root", &root))
		return false;
	*view = (struct view){namespace.st_ino, root.st_dev, root.st_ino};
	return true;
}

enum { MOST_VIEWS = 1024 };

static bool is_known(const struct view *known, size_t count, const struct view *view)
{
	for (size_t i = 0; i < count; i++)
		if (known[i].namespace == view->namespace && known[i].device == view->device && known[i].root == view->root)
			return true;
	return false;
}

/* One process of each view is enough. */
static int scan_containers(struct list *l)
{
	struct view *known = calloc(MOST_VIEWS, sizeof *known), view;
	DIR *d = opendir("/proc");
	int code = known && d ? 0 : -ENOMEM;
	size_t count = 0;
	if (code == 0 && view_of("self", known))
		count = 1;
	for (struct dirent *e; code == 0 && count < MOST_VIEWS && (e = readdir(d));) {
		if (!isdigit((unsigned char)e->d_name[0]) || !view_of(e->d_name, &view) || is_known(known, count, &view))
			continue;
		known[count++] = view;
		char root[64];
		snprintf(root, sizeof root, "/proc/%.20s/root", e->d_name);
		code = scan_usual(l, root);
	}
	if (d)
		closedir(d);
	free(known);
	return code;
}

/* ---- held by `mtrace run` ---- */

/* The name of the process that holds them, see companion.c. */
static bool is_holder(const char *pid)
{
	static const char name[] = "mtrace-saves\n";
	char path[64], text[32];
	snprintf(path, sizeof path, "/proc/%.20s/comm", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(name) && memcmp(text, name, strlen(name)) == 0;
}

static int scan_holders(struct list *l)
{
	DIR *d = opendir("/proc");
	int code = 0;
	for (struct dirent *e; d && code != -ENOMEM && (e = readdir(d));) {
		char path[64];
		if (!isdigit((unsigned char)e->d_name[0]) || !is_holder(e->d_name))
			continue;
		snprintf(path, sizeof path, "/proc/%.20s/fd", e->d_name);
		code = scan(l, path);
	}
	if (d)
		closedir(d);
	return code == -ENOMEM ? code : 0;
}

/* ---- results ---- */

static int oldest_first(const void *a, const void *b)
{
	const struct read_found *x = a, *y = b;
	if (x->start_time != y->start_time)
		return x->start_time < y->start_time ? -1 : 1;
	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return x->image < y->image ? -1 : x->image > y->image;
}

static int finish(struct list *l, int code, struct read_found **found, size_t *count)
{
	free(l->seen);
	if (l->count)
		qsort(l->found, l->count, sizeof *l->found, oldest_first);
	*found = l->found;
	*count = l->count;
	return code;
}

int read_list_segments(const char *dir, struct read_found **found, size_t *count)
{
	struct list l = {0};
	int code = dir ? scan(&l, dir) : scan_usual(&l, "");
	if (!dir && code == 0)
		code = scan_containers(&l);
	if (!dir && code == 0)
		code = scan_holders(&l);
	return finish(&l, code, found, count);
}

int find_segments_under(const char *root, struct read_found **found, size_t *count)
{
	struct list l = {0};
	int code = scan_usual(&l, root);
	if (code == 0 && !root[0])
		code = scan_holders(&l);
	return finish(&l, code, found, count);
}

void read_list_free(struct read_found *found, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(found[i].path);
	free(found);
}
