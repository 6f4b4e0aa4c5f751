/*
 * library: see library.h.
 */
#include "attach/library.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "attach/hotspot.h"
#include "read/read.h"

#define FILE_NAME "libmtrace.so"

/* ---- is it there already? ---- */

bool library_find_loaded(const struct hotspot *jvm, char path[PATH_MAX])
{
	static const char name[] = "/" FILE_NAME;
	char maps_path[64], line[PATH_MAX + 256];
	bool found = false;
	snprintf(maps_path, sizeof maps_path, "/proc/%d/maps", (int)jvm->pid);
	FILE *maps = fopen(maps_path, "re");
	while (maps && !found && fgets(line, sizeof line, maps)) {
		line[strcspn(line, "\n")] = '\0';
		char *file = strchr(line, '/'), *deleted = file ? strstr(file, " (deleted)") : NULL;
		if (deleted)
			*deleted = '\0';
		size_t n = file ? strlen(file) : 0;
		found = n >= sizeof name - 1 && n < PATH_MAX && strcmp(file + n - (sizeof name - 1), name) == 0;
		if (found)
			memcpy(path, file, n + 1);
	}
	if (maps)
		fclose(maps);
	return found;
}

/* ---- can it use our file? ---- */

static bool may_run(int fd)
{
	struct statvfs fs;
	return fstatvfs(fd, &fs) == 0 && !(fs.f_flag & ST_NOEXEC);
}

/* As its user, who may be let into fewer directories than we are; through its root, where the file system's own rules are. */
static bool can_load(const struct hotspot *jvm, const char *file)
{
	if (!hotspot_sees(jvm, file) || hotspot_become(jvm) != 0)
		return false;
	int fd = openat(jvm->root, file + 1, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	hotspot_become_self();
	bool can = fd >= 0 && may_run(fd);
	if (fd >= 0)
		close(fd);
	return can;
}

/* ---- a copy ---- */

static int copy_bytes(int from, int to)
{
	static char buffer[64 << 10];
	ssize_t n;
	while ((n = read(from, buffer, sizeof buffer)) > 0)
		for (ssize_t done = 0, m; done < n; done += m)
			if ((m = write(to, buffer + done, (size_t)(n - done))) <= 0)
				return m < 0 ? -errno : -EIO;
	return n < 0 ? -errno : 0;
}

/* In a directory of its own that nobody else can write, so that nobody can put another file there. */
static int copy_into(int parent, const char *place, int from, struct library *l)
{
	if (mkdirat(parent, l->name, 0700) != 0)
		return -errno;
	l->parent = dup(parent);
	l->directory = openat(parent, l->name, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int to = l->directory < 0 ? -1 : openat(l->directory, FILE_NAME, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0500);
	int code = to < 0 ? -errno : lseek(from, 0, SEEK_SET) < 0 ? -errno : copy_bytes(from, to);
	if (to >= 0 && close(to) != 0 && code == 0)
		code = -errno;
	snprintf(l->path, sizeof l->path, "%s/%s/" FILE_NAME, place, l->name);
	return code;
}

static void remove_copy(struct library *l)
{
	if (l->directory >= 0) {
		unlinkat(l->directory, FILE_NAME, 0);
		close(l->directory);
	}
	if (l->parent >= 0) {
		unlinkat(l->parent, l->name, AT_REMOVEDIR);
		close(l->parent);
	}
	l->directory = l->parent = -1;
}

/* The name is the process's, so that no two processes have one. */
static int make_copy(const struct hotspot *jvm, int from, struct library *l)
{
	static const char *const places[] = {"/tmp", "/var/tmp", "/dev/shm", "/run"};
	int code = -ENOENT;
	snprintf(l->name, sizeof l->name, ".mtrace-%d-%" PRIu64, (int)jvm->inner_pid, jvm->start_time);
	for (size_t i = 0; i < sizeof places / sizeof places[0] && code; i++) {
		int parent = openat(jvm->root, places[i] + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (parent < 0)
			continue;
		code = may_run(parent) ? copy_into(parent, places[i], from, l) : -EPERM;
		close(parent);
		if (code)
			remove_copy(l);
	}
	return code;
}

int library_place(const struct hotspot *jvm, const char *file, struct library *library, struct read_error *error)
{
	*library = (struct library){.directory = -1, .parent = -1};
	if (!realpath(file, library->path)) {
		snprintf(error->text, sizeof error->text, "%.400s: %s", file, strerror(errno));
		return -errno;
	}
	if (can_load(jvm, library->path))
		return 0;
	int from = open(library->path, O_RDONLY | O_CLOEXEC), code = from < 0 ? -errno : hotspot_become(jvm);
	if (code == 0)
		code = make_copy(jvm, from, library);
	hotspot_become_self();
	if (from >= 0)
		close(from);
	if (code)
		snprintf(error->text, sizeof error->text,
		         "%d cannot load libmtrace.so from where it is, and nothing that it sees (/tmp, /var/tmp, "
		         "/dev/shm, /run) can "
		         "take a copy that may be executed: %s",
		         (int)jvm->pid, strerror(-code));
	return code;
}

void library_remove(const struct hotspot *jvm, struct library *library)
{
	if (hotspot_become(jvm) == 0)
		remove_copy(library);
	hotspot_become_self();
}
