/*
 * mark: see mark.h. One asks at a time: a lock on the control page's bytes keeps others out, until the process has taken
 * what was asked or the one who asked gave up; what it then finds waiting there is not written over.
 */
#include "run/mark.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "format.h"
#include "read/read.h"

static_assert(MARK_NAME_MOST == sizeof(((struct mtrace_mark *)0)->name) - 1, "format.h");
static_assert(MARK_NAME_MOST < sizeof(((struct mtrace_control *)0)->argument), "format.h");

static int refuse(struct read_error *error, int code, const char *target, const char *why)
{
	snprintf(error->text, sizeof error->text, "%.200s: %.250s", target, why);
	return code;
}

static bool read_at(int fd, void *to, size_t bytes, uint64_t offset)
{
	return pread(fd, to, bytes, (off_t)offset) == (ssize_t)bytes;
}

static bool write_at(int fd, const void *from, size_t bytes, uint64_t offset)
{
	return pwrite(fd, from, bytes, (off_t)offset) == (ssize_t)bytes;
}

static bool is_alive(int fd)
{
	if (flock(fd, LOCK_SH | LOCK_NB) != 0)
		return errno == EWOULDBLOCK;
	flock(fd, LOCK_UN);
	return false;
}

/* A file that was cut short must not be made longer by us, and an older shim never looks at the page. */
static int check(int fd, const char *target, uint32_t command, struct read_error *error)
{
	struct stat st;
	struct mtrace_header h;
	if (fstat(fd, &st) != 0 || st.st_size < MTRACE_REGIONS_OFFSET ||
	    !read_at(fd, &h, sizeof h, MTRACE_HEADER_OFFSET) ||
	    memcmp(h.magic, MTRACE_SEGMENT_MAGIC, sizeof h.magic) != 0)
		return refuse(error, -EINVAL, target, "no whole segment");
	if (!is_alive(fd))
		return refuse(error, -ESRCH, target, "has ended: there is nobody to take it");
	uint32_t region = command == MTRACE_COMMAND_EVENTS ? MTRACE_REGION_STREAM : MTRACE_REGION_EPOCHS; /* came with it */
	if (h.min_version > MTRACE_SEGMENT_VERSION || h.region_count <= region)
		return refuse(error, -EPROTO, target, "its libmtrace.so is another version than this mtrace: it knows no such command");
	bool detached = h.header_bytes >= sizeof h && h.detached_mono_ns > h.attached_mono_ns;
	bool asleep = h.mode == MTRACE_MODE_OFF || detached;
	if ((asleep && command != MTRACE_COMMAND_ATTACH) || h.state != MTRACE_STATE_LIVE)
		return refuse(error, -ENODATA, target, "records nothing just now, so it would never take the mark");
	return 0;
}

static int lock_page(int fd, const char *target, struct read_error *error)
{
	struct flock page = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = MTRACE_CONTROL_OFFSET, .l_len = MTRACE_PAGE_BYTES};
	if (fcntl(fd, F_OFD_SETLK, &page) == 0)
		return 0;
	return refuse(error, -EBUSY, target, "another mtrace is asking it for something; try again");
}

static uint32_t taken(int fd)
{
	uint32_t sequence = 0;
	read_at(fd, &sequence, sizeof sequence, MTRACE_HOT_OFFSET + offsetof(struct mtrace_hot, command_taken));
	return sequence;
}

struct order {
	uint32_t command; /* enum mtrace_command */
	char argument[sizeof(((struct mtrace_control *)0)->argument)];
};

static bool write_command(int fd, uint32_t command)
{
	return write_at(fd, &command, sizeof command, MTRACE_CONTROL_OFFSET + offsetof(struct mtrace_control, command));
}

/* The sequence comes last. */
static int ask(int fd, const char *target, const struct order *order, uint32_t *sequence, struct read_error *error)
{
	struct mtrace_control control;
	if (!read_at(fd, &control, sizeof control, MTRACE_CONTROL_OFFSET))
		return refuse(error, -EIO, target, "its control page cannot be read");
	if (control.sequence != taken(fd))
		return refuse(error, -EBUSY, target, "is idle: it has not taken the last command yet, which its next allocation will");
	*sequence = control.sequence + 1;
	if (write_at(fd, order->argument, sizeof order->argument,
		     MTRACE_CONTROL_OFFSET + offsetof(struct mtrace_control, argument)) &&
	    write_command(fd, order->command) &&
	    write_at(fd, sequence, sizeof *sequence, MTRACE_CONTROL_OFFSET + offsetof(struct mtrace_control, sequence)))
		return 0;
	return refuse(error, -EIO, target, strerror(errno));
}

static int wait_for(int fd, uint32_t sequence, unsigned wait_ms)
{
	for (unsigned waited = 0; waited <= wait_ms; waited += 5) {
		if (taken(fd) == sequence)
			return 0;
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
	return -EAGAIN;
}

static int open_for_writing(int readable)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", readable);
	return open(path, O_RDWR | O_CLOEXEC);
}

/* `readable` is open on the segment. A page without a command is taken like any other. */
static int give(int readable, const char *target, const struct order *order, unsigned wait_ms, struct read_error *error)
{
	uint32_t sequence = 0;
	int fd = open_for_writing(readable);
	if (fd < 0)
		return refuse(error, -errno, target, "its segment may not be written: ask as its owner or as root");
	int code = check(fd, target, order->command, error);
	if (code == 0)
		code = lock_page(fd, target, error);
	if (code == 0)
		code = ask(fd, target, order, &sequence, error);
	if (code == 0)
		code = wait_for(fd, sequence, wait_ms);
	if (code == -EAGAIN && order->command == MTRACE_COMMAND_EVENTS && !write_command(fd, MTRACE_COMMAND_NONE))
		code = refuse(error, -EIO, target, strerror(errno));
	close(fd);
	return code;
}

static int give_to(const char *target, const struct order *order, unsigned wait_ms, struct read_error *error)
{
	int readable = read_open_living(target, error);
	if (readable < 0)
		return readable;
	int code = give(readable, target, order, wait_ms, error);
	close(readable);
	return code;
}

int mark_request(const char *target, const char *name, unsigned wait_ms, struct read_error *error)
{
	struct order order = {.command = MTRACE_COMMAND_MARK};
	memcpy(order.argument, name, strnlen(name, MARK_NAME_MOST));
	return give_to(target, &order, wait_ms, error);
}

int control_request(const char *target, uint32_t command, unsigned wait_ms, struct read_error *error)
{
	return give_to(target, &(struct order){.command = command}, wait_ms, error);
}

int events_request(int fd, const char *target, uint64_t ms, unsigned wait_ms, struct read_error *error)
{
	struct order order = {.command = MTRACE_COMMAND_EVENTS};
	snprintf(order.argument, sizeof order.argument, "%llu", (unsigned long long)ms);
	return give(fd, target, &order, wait_ms, error);
}
