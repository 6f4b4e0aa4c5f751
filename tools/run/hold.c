/*
 * hold: see hold.h.
 */
#include "run/hold.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "format.h"
#include "run/spawn.h"

enum { HOLD_MOST = 160, HOLD_IMAGES = 32 };

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

static int held[HOLD_MOST];
static size_t held_count;

/* Newer kernels want to be told that it is no program; older ones do not know the flag. */
static int make_file(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_NOEXEC_SEAL);
	return fd < 0 && errno == EINVAL ? memfd_create(name, MFD_CLOEXEC) : fd;
}

/* Half of the descriptors we may have: the rest of `mtrace run` needs some too. */
static size_t how_many(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur / 2 > HOLD_MOST)
		return HOLD_MOST;
	return limit.rlim_cur / 2;
}

/* The first ones are for whoever comes, the last for images: who looks for one finds them in this order. */
bool hold_open(const char *run_id, char *dir, size_t bytes)
{
	size_t most = how_many(), common = most > HOLD_IMAGES ? most - HOLD_IMAGES : 0;
	for (; held_count < most; held_count++) {
		char name[64];
		snprintf(name, sizeof name, MTRACE_HELD_NAME "%s%s", run_id, held_count < common ? "" : MTRACE_HELD_IMAGES);
		held[held_count] = spawn_above_stdio(make_file(name));
		if (held[held_count] < 0)
			break;
	}
	snprintf(dir, bytes, "/proc/%d/fd", (int)getpid());
	return held_count > 0;
}

bool hold_is_open(void)
{
	return held_count > 0;
}

bool hold_has(int fd)
{
	for (size_t i = 0; i < held_count; i++)
		if (held[i] == fd)
			return true;
	return false;
}

bool hold_has_path(const char *path)
{
	return hold_is_open() && strncmp(path, HOLD_OWN_DIR "/", strlen(HOLD_OWN_DIR "/")) == 0;
}

/* By the lock that its writer would have: whoever opens it after us finds it empty. */
int hold_free(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), failed = 0;
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) != 0 || ftruncate(fd, 0) != 0)
		failed = errno;
	close(fd);
	return -failed;
}
