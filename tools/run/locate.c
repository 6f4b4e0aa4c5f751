/*
 * locate: see locate.h.
 */
#include "run/locate.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "read/read.h"

#ifndef MTRACE_LIBDIR
#define MTRACE_LIBDIR "/usr/local/lib"
#endif

/* ---- the program ---- */

static int check_executable(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	return access(path, X_OK) == 0 ? 0 : -errno;
}

/* One directory of PATH; an empty one means here. */
static int try_directory(const char *dir, size_t bytes, const char *name, char path[LOCATE_PATH_BYTES])
{
	int n = snprintf(path, LOCATE_PATH_BYTES, "%.*s%s%s", (int)bytes, dir, bytes ? "/" : "./", name);
	return n < LOCATE_PATH_BYTES ? check_executable(path) : -ENAMETOOLONG;
}

int locate_command(const char *name, char path[LOCATE_PATH_BYTES])
{
	if (!*name)
		return -ENOENT;
	if (strchr(name, '/')) {
		snprintf(path, LOCATE_PATH_BYTES, "%s", name);
		return check_executable(path);
	}
	const char *dir = getenv("PATH");
	if (!dir)
		dir = "/bin:/usr/bin";
	int result = -ENOENT;
	for (;; dir++) {
		size_t bytes = strcspn(dir, ":");
		int one = try_directory(dir, bytes, name, path);
		if (one == 0)
			return 0;
		if (one == -EACCES)
			result = one;
		dir += bytes;
		if (!*dir)
			return result;
	}
}

/* ---- the shim ---- */

static bool shim_in(char path[LOCATE_PATH_BYTES], const char *dir, const char *below)
{
	int n = snprintf(path, LOCATE_PATH_BYTES, "%s%s/libmtrace.so", dir, below);
	return n < LOCATE_PATH_BYTES && access(path, R_OK) == 0;
}

int locate_shim(char path[LOCATE_PATH_BYTES])
{
	char own[LOCATE_PATH_BYTES / 2];
	ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
	own[n > 0 ? n : 0] = '\0';
	char *slash = strrchr(own, '/');
	if (slash)
		*slash = '\0';
	if (slash && shim_in(path, own, ""))
		return 0;
	slash = strrchr(own, '/');
	if (slash) {
		*slash = '\0';
		if (shim_in(path, own, "/lib") || shim_in(path, own, "/lib64"))
			return 0;
		*slash = '/';
	}
	if (shim_in(path, MTRACE_LIBDIR, ""))
		return 0;
	snprintf(path, LOCATE_PATH_BYTES, "%s, its ../lib, %s", own, MTRACE_LIBDIR);
	return -ENOENT;
}

/* ---- directories ---- */

bool is_memory_dir(const char *path)
{
	struct statfs fs;
	return statfs(path, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || (unsigned long)fs.f_type == RAMFS_MAGIC);
}

bool is_writable_dir(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode) && access(path, W_OK | X_OK) == 0;
}

const char *locate_segment_dir(const char **why)
{
	static const char *const candidates[] = {"/dev/shm", "/tmp"};
	struct stat st;
	for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++)
		if (is_writable_dir(candidates[i]) && is_memory_dir(candidates[i]))
			return candidates[i];
	*why = stat("/dev/shm", &st) != 0     ? "does not exist"
	       : !is_writable_dir("/dev/shm") ? "is not writable"
					      : "is not in memory";
	return NULL;
}

/* mkdir -p; what is there already is fine. */
static int make_dirs(char *path)
{
	for (char *p = path + 1;; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		char end = *p;
		*p = '\0';
		int failed = mkdir(path, 0700) != 0 && errno != EEXIST ? errno : 0;
		*p = end;
		if (failed)
			return -failed;
		if (!end)
			return 0;
	}
}

int locate_state_dir(char path[LOCATE_PATH_BYTES])
{
	int failed = read_last_path(path, LOCATE_PATH_BYTES);
	char *slash = strrchr(path, '/');
	if (failed || !slash)
		return failed ? failed : -ENOENT;
	*slash = '\0';
	failed = make_dirs(path);
	return failed == 0 && !is_writable_dir(path) ? -EACCES : failed;
}
