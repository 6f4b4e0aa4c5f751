#include "fake_read.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "read/read.h"

struct profile *fake_segment_read(const struct fake_segment *f, bool alive)
{
	char path[64];
	bool seen_alive;
	struct read_error error;
	int fd = memfd_create("mtrace.test", MFD_CLOEXEC);
	fake_segment_write(f, fd);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int holder = open(path, O_RDWR | O_CLOEXEC); /* another description: the lock is its writer's */
	ck_assert_int_eq(flock(holder, alive ? LOCK_EX | LOCK_NB : LOCK_UN), 0);
	struct profile *p = profile_new();
	ck_assert_int_eq(read_segment_fd(fd, "fake", p, &seen_alive, &error), 0);
	ck_assert_int_eq(seen_alive, alive);
	close(holder);
	close(fd);
	return p;
}
