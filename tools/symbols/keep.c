/*
 * keep: libraries that a program unpacks into a temporary directory, maps and deletes (JNI, Python, Netty) are copied
 * while they are mapped, so that their frames can be named afterwards.
 *
 * Called by run/ now and then while the command runs. Whoever may not open the file itself keeps what the process has
 * mapped of it (image.c). Copies go to files/<build-id> in the cache, once each; what was
 * looked at before is known by device and inode and costs nothing. Never writes into the process. Bounds: SEEN_MAX files
 * a run, FILE_BYTES_MAX each.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache.h"
#include "files.h"
#include "image.h"
#include "symbols.h"

#define SEEN_MAX 4096
#define FILE_BYTES_MAX (256ll << 20)

struct mapping {
	unsigned long from, to, inode;
	unsigned major, minor;
	char path[PATH_MAX];
	bool executable;
};

/* Files that were dealt with, well or not. */
static struct seen {
	unsigned long inode;
	unsigned major, minor;
} seen[SEEN_MAX];
static size_t seen_count;

static bool is_seen(const struct mapping *m)
{
	for (size_t i = 0; i < seen_count; i++)
		if (seen[i].inode == m->inode && seen[i].major == m->major && seen[i].minor == m->minor)
			return true;
	return false;
}

static bool parse_mapping(char *line, struct mapping *m)
{
	char access[5];
	int path_at = 0;

	if (sscanf(line, "%lx-%lx %4s %*x %x:%x %lu %n", &m->from, &m->to, access, &m->major, &m->minor, &m->inode,
		   &path_at) < 6 || !path_at)
		return false;
	line[strcspn(line, "\n")] = '\0';
	snprintf(m->path, sizeof(m->path), "%s", line + path_at);
	m->executable = access[2] == 'x';
	return m->inode != 0;
}

static bool is_below(const char *path, const char *directory)
{
	size_t n = directory ? strlen(directory) : 0;

	while (n > 1 && directory[n - 1] == '/')
		n--;
	return n > 1 && strncmp(path, directory, n) == 0 && path[n] == '/';
}

static bool may_vanish(const char *path)
{
	static const char deleted[] = " (deleted)";
	size_t n = strlen(path);

	if (n > sizeof(deleted) && strcmp(path + n - sizeof(deleted) + 1, deleted) == 0)
		return true;
	return strncmp(path, "/memfd:", 7) == 0 || is_below(path, "/tmp") || is_below(path, "/var/tmp") ||
	       is_below(path, "/dev/shm") || is_below(path, getenv("TMPDIR"));
}

static int open_mapped(pid_t pid, const struct mapping *m)
{
	char path[PATH_MAX + 32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/map_files/%lx-%lx", (long)pid, m->from, m->to);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/%ld/root%s", (long)pid, m->path); /* not allowed; it may still be there */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd >= 0 ? fd : image_of_mapping(pid, m->from);
}

static bool copy_bytes(int from, int to, off_t bytes)
{
	off_t at = 0;

	while (at < bytes)
		if (sendfile(to, from, &at, (size_t)(bytes - at)) <= 0)
			return false;
	return true;
}

static bool copy_to(int from, const char *path)
{
	char temporary[CACHE_PATH_MAX];
	struct stat st;
	int to;
	bool good;

	if (fstat(from, &st) != 0 || st.st_size > FILE_BYTES_MAX)
		return false;
	to = cache_open_new(path, temporary);
	if (to < 0)
		return false;
	good = copy_bytes(from, to, st.st_size);
	good = close(to) == 0 && good && rename(temporary, path) == 0;
	if (!good)
		unlink(temporary);
	return good;
}

/* True when a copy was made now. */
static bool keep_file(int fd, const char *room)
{
	uint8_t build_id[BUILD_ID_BYTES_MAX];
	size_t bytes = files_build_id(fd, build_id);
	char path[CACHE_PATH_MAX], hex[2 * BUILD_ID_BYTES_MAX + 1];
	struct stat st;

	if (bytes < 2)
		return false; /* no name to keep it under, and nobody could tell later that it is the one */
	cache_hex(build_id, bytes, hex);
	if (snprintf(path, sizeof(path), "%s/%s", room, hex) >= CACHE_PATH_MAX || stat(path, &st) == 0)
		return false;
	return copy_to(fd, path);
}

static bool keep_mapping(pid_t pid, const struct mapping *m, const char *directory)
{
	char room[CACHE_PATH_MAX];
	int fd = open_mapped(pid, m);
	bool kept;

	if (fd < 0)
		return false;
	if (seen_count < SEEN_MAX)
		seen[seen_count++] = (struct seen){m->inode, m->major, m->minor};
	kept = cache_make_room(directory, "files", room) && keep_file(fd, room);
	close(fd);
	return kept;
}

int symbols_keep_vanishing(pid_t pid, const char *cache_dir)
{
	char path[64], line[PATH_MAX + 128], directory[CACHE_PATH_MAX];
	FILE *maps;
	int kept = 0;

	snprintf(path, sizeof(path), "/proc/%ld/maps", (long)pid);
	if (!cache_directory(cache_dir, directory))
		return 0;
	maps = fopen(path, "re");
	while (maps && fgets(line, sizeof(line), maps)) {
		struct mapping m;

		if (parse_mapping(line, &m) && m.executable && may_vanish(m.path) && !is_seen(&m))
			kept += keep_mapping(pid, &m, directory);
	}
	if (maps)
		fclose(maps);
	return kept;
}
