/*
 * kept: see kept.h.
 */
#include "attach/kept.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "attach/answer.h"
#include "attach/hotspot.h"

enum { PATH_BYTES = 4352 };

static void path_of(char path[PATH_BYTES], const char *dir, const struct hotspot *jvm, const char *what)
{
	snprintf(path, PATH_BYTES, "%.4096s/jvm.%d.%" PRIu64 ".%.32s", dir, (int)jvm->pid, jvm->start_time, what);
}

/* Best effort: one that cannot be removed stays. */
static void forget_dead(const char *dir)
{
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		int pid, end = 0;
		uint64_t start;
		if (sscanf(e->d_name, "jvm.%d.%" SCNu64 ".%n", &pid, &start, &end) != 2 || end == 0)
			continue;
		struct hotspot jvm = {.pid = pid, .start_time = start};
		if (!hotspot_is_there(&jvm))
			unlinkat(dirfd(d), e->d_name, 0);
	}
	if (d)
		closedir(d);
}

static int write_all(int fd, const char *text)
{
	size_t left = strlen(text);
	while (left > 0) {
		ssize_t n = write(fd, text, left);
		if (n < 0)
			return -errno;
		text += n;
		left -= (size_t)n;
	}
	return fsync(fd) == 0 || errno == EINVAL ? 0 : -errno;
}

/* Another name first, so that a baseline is there whole or not at all. */
int kept_write(const char *dir, const struct hotspot *jvm, const char *what, const char *text)
{
	char path[PATH_BYTES], fresh[PATH_BYTES + 8];
	path_of(path, dir, jvm, what);
	snprintf(fresh, sizeof fresh, "%s.new", path);
	forget_dead(dir);
	int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	int code = fd < 0 ? -errno : write_all(fd, text);
	if (fd >= 0 && close(fd) != 0 && code == 0)
		code = -errno;
	if (code == 0 && rename(fresh, path) != 0)
		code = -errno;
	if (code)
		unlink(fresh);
	return code;
}

static int read_whole(int fd, size_t bytes, char **text)
{
	char *buffer = malloc(bytes + 1);
	size_t used = 0;
	ssize_t n = 1;
	while (buffer && used < bytes && (n = read(fd, buffer + used, bytes - used)) > 0)
		used += (size_t)n;
	if (!buffer || n < 0) {
		free(buffer);
		return buffer ? -errno : -ENOMEM;
	}
	buffer[used] = '\0';
	*text = buffer;
	return 0;
}

int kept_read(const char *dir, const struct hotspot *jvm, const char *what, char **text, uint64_t *age_ns)
{
	char path[PATH_BYTES];
	struct stat st;
	struct timespec now;
	path_of(path, dir, jvm, what);
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	int code = fstat(fd, &st) != 0 ? -errno : !S_ISREG(st.st_mode) || st.st_size > ANSWER_BYTES_MOST ? -EINVAL : 0;
	if (code == 0)
		code = read_whole(fd, (size_t)st.st_size, text);
	close(fd);
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t age =
		code ? 0 : (int64_t)(now.tv_sec - st.st_mtim.tv_sec) * 1000000000 + (now.tv_nsec - st.st_mtim.tv_nsec);
	*age_ns = age > 0 ? (uint64_t)age : 0;
	return code;
}
