/*
 * target: what the user named, opened. A pid is looked up in its own memory map first (right in containers, for any
 * dir=, and after the file was unlinked), then among the segments that lie around; start time and the pids of its
 * namespaces must agree, so that a pid used again is not taken for the one before. A segment that anybody could have
 * put there counts only if it belongs to root or to the process's own user.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format.h"
#include "model/profile.h"
#include "read/find.h"
#include "read/pids.h"
#include "read/read.h"

#define MOST_PID (1u << 22) /* PID_MAX_LIMIT */

/* ---- files ---- */

static int say(struct read_error *error, int code, const char *what, const char *why)
{
	snprintf(error->text, sizeof error->text, "%s: %s", what, why);
	return code;
}

static bool begins(const char *bytes, ssize_t n, const char *with)
{
	return n >= (ssize_t)strlen(with) && memcmp(bytes, with, strlen(with)) == 0;
}

static int open_file(const char *path, char magic[8], ssize_t *n, struct read_error *error)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == ENOENT)
		return say(error, -errno, path,
		           "no such file; give a pid, a segment (`mtrace ps` lists them), a recording, or `last`");
	if (fd < 0 && errno == EACCES)
		return say(error, -errno, path, "may not be read: ask as its owner or as root");
	if (fd < 0)
		return say(error, -errno, path, strerror(errno));
	int code = 0;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		code = say(error, -EINVAL, path, "not a regular file; give a pid, a segment, a recording, or `last`");
	else if ((*n = pread(fd, magic, 8, 0)) < 0)
		code = say(error, -errno, path, strerror(errno));
	close(fd);
	return code;
}

static int read_file(const char *path, struct profile *profile, struct read_error *error)
{
	char magic[8];
	ssize_t n = 0;
	int code = open_file(path, magic, &n, error);
	if (code != 0)
		return code;
	if (begins(magic, n, "MTRREC\r\n"))
		return read_recording(path, profile, error);
	if (begins(magic, n, "MTRSEG\r\n"))
		return read_segment(path, profile, NULL, error);
	if (begins(magic, n, "MTRREC\n") || begins(magic, n, "MTRSEG\n"))
		return say(error, -EINVAL, path, "was damaged by a copy in text mode; copy it again, in binary mode");
	return say(error, -EINVAL, path, n == 0 ? "is empty; there is nothing to report" : "neither a segment nor a recording of "
	           "mtrace; `mtrace ps` lists segments, `mtrace run -o FILE` writes recordings");
}

/* ---- last ---- */

int read_last_path(char *path, size_t bytes)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int n;
	if (state && state[0] == '/')
		n = snprintf(path, bytes, "%s/mtrace/last", state);
	else if (home && home[0] == '/')
		n = snprintf(path, bytes, "%s/.local/state/mtrace/last", home);
	else
		return -ENOENT;
	return n > 0 && (size_t)n < bytes ? 0 : -ENAMETOOLONG;
}

static int read_last(struct profile *profile, struct read_error *error)
{
	char path[4096], to[4096];
	if (read_last_path(path, sizeof path) != 0)
		return say(error, -ENOENT, "last", "no home directory to look in: set HOME, or name the recording");
	ssize_t n = readlink(path, to, sizeof to - 1);
	if (n < 0)
		return say(error, -ENOENT, "last", "there is no recording yet; `mtrace run -- CMD` writes one");
	to[n] = '\0';
	if (access(path, F_OK) != 0) {
		snprintf(error->text, sizeof error->text, "last: the recording %.400s is gone; `mtrace run -- CMD` writes a new one",
		         to);
		return -ENOENT;
	}
	return read_file(path, profile, error);
}

/* ---- pids ---- */

static bool is_of(const struct pids_of *id, const struct read_found *found, uid_t owner)
{
	return pids_have(id, found->pid) && found->start_time == id->start_time && (owner == 0 || owner == id->uid);
}

static int open_if_of(const struct pids_of *id, const char *path, bool only_alive, uint32_t *image)
{
	struct read_found found = {0};
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -1;
	bool good = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && find_describe(fd, &found) == 0 &&
	            is_of(id, &found, st.st_uid) && (found.alive || !only_alive);
	if (good) {
		*image = found.image;
		return fd;
	}
	close(fd);
	return -1;
}

/* A line of maps names a mapped segment: opens that very file, by way of map_files where we may, else by its path. */
static int open_mapping(const struct pids_of *id, const char *line)
{
	char path[4608], range[64], *name = strchr(line, '/');
	uint32_t image;
	const char *slash = strrchr(line, '/');
	bool is_memfd = name && strncmp(name, "/memfd:" MTRACE_SEGMENT_PREFIX, strlen("/memfd:" MTRACE_SEGMENT_PREFIX)) == 0;
	if (!name || (!is_memfd && strncmp(slash + 1, MTRACE_SEGMENT_PREFIX, strlen(MTRACE_SEGMENT_PREFIX)) != 0))
		return -1;
	snprintf(range, sizeof range, "%.*s", (int)strcspn(line, " "), line);
	snprintf(path, sizeof path, "/proc/%u/map_files/%s", id->pid, range);
	int fd = open_if_of(id, path, true, &image);
	if (fd >= 0 || is_memfd)
		return fd;
	snprintf(path, sizeof path, "/proc/%u/root%.*s", id->pid, (int)strcspn(name, "\n"), name);
	return open_if_of(id, path, true, &image);
}

static int open_mapped(const struct pids_of *id)
{
	char path[64], *line = NULL;
	size_t size = 0;
	int fd = -1;
	snprintf(path, sizeof path, "/proc/%u/maps", id->pid);
	FILE *maps = fopen(path, "re");
	while (maps && fd < 0 && getline(&line, &size, maps) > 0)
		if (strstr(line, MTRACE_SEGMENT_PREFIX))
			fd = open_mapping(id, line);
	free(line);
	if (maps)
		fclose(maps);
	return fd;
}

/* The newest image among the segments below `root`. */
static int open_listed(const struct pids_of *id, const char *root)
{
	struct read_found *found;
	size_t count;
	int best = -1;
	uint32_t best_image = 0, image = 0;
	find_segments_under(root, &found, &count);
	for (size_t i = 0; i < count; i++) {
		int fd = open_if_of(id, found[i].path, false, &image);
		if (fd < 0 || (best >= 0 && image < best_image)) {
			if (fd >= 0)
				close(fd);
			continue;
		}
		if (best >= 0)
			close(best);
		best = fd;
		best_image = image;
	}
	read_list_free(found, count);
	return best;
}

static int open_living(const struct pids_of *id)
{
	char root[64];
	snprintf(root, sizeof root, "/proc/%u/root", id->pid);
	int fd = open_mapped(id);
	if (fd < 0)
		fd = open_listed(id, "");
	return fd < 0 ? open_listed(id, root) : fd;
}

static int read_living(const struct pids_of *id, struct profile *profile, struct read_error *error)
{
	int fd = open_living(id);
	if (fd < 0)
		return read_outside((pid_t)id->pid, profile, error);
	char name[64];
	snprintf(name, sizeof name, "segment of process %u", id->pid);
	int code = read_segment_fd(fd, name, profile, NULL, error);
	close(fd);
	struct read_error ignored; /* the ledger is a gift: resident memory only /proc can tell */
	if (code == 0)
		read_outside_ledger((pid_t)id->pid, profile, &profile->processes[profile->process_count - 1], &ignored);
	return code;
}

/* The newest image of the youngest process that had this pid. The list is oldest first. */
static int find_dead(uint32_t pid, char *path, size_t bytes, struct read_error *error)
{
	struct read_found *found;
	size_t count;
	int code = -ENOENT;
	find_segments_under("", &found, &count);
	snprintf(error->text, sizeof error->text, "%u: no such process, and no segment of one in /dev/shm or /tmp; `mtrace ps` lists "
	         "what is there", pid);
	for (size_t i = count; i-- > 0 && code != 0;)
		if (found[i].pid == pid)
			code = snprintf(path, bytes, "%s", found[i].path) < (int)bytes ? 0 : -ENAMETOOLONG;
	read_list_free(found, count);
	return code;
}

static int parse_pid(const char *target, uint32_t *pid, struct read_error *error)
{
	unsigned long value = strtoul(target, NULL, 10);
	if (value == 0 || value > MOST_PID || strlen(target) > 7)
		return say(error, -EINVAL, target, "not a process id; ids are between 1 and 4194304");
	*pid = (uint32_t)value;
	return 0;
}

static int read_pid(const char *target, struct profile *profile, struct read_error *error)
{
	struct pids_of id;
	char path[4096];
	uint32_t pid;
	int code = parse_pid(target, &pid, error);
	if (code != 0)
		return code;
	if (pids_identify(pid, &id))
		return read_living(&id, profile, error);
	code = find_dead(pid, path, sizeof path, error);
	return code == 0 ? read_segment(path, profile, NULL, error) : code;
}

static bool is_number(const char *target)
{
	return target[0] != '\0' && target[strspn(target, "0123456789")] == '\0';
}

int read_open_living(const char *target, struct read_error *error)
{
	struct pids_of id;
	char magic[8];
	ssize_t n = 0;
	error->text[0] = '\0';
	if (!is_number(target)) {
		int code = open_file(target, magic, &n, error);
		if (code == 0 && !begins(magic, n, "MTRSEG\r\n"))
			code = say(error, -EINVAL, target, "is no segment: only a running process can be asked; give its pid");
		int fd = code ? code : open(target, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		return fd == -1 ? say(error, -errno, target, strerror(errno)) : fd;
	}
	unsigned long pid = strlen(target) > 7 ? 0 : strtoul(target, NULL, 10);
	if (pid == 0 || pid > MOST_PID || !pids_identify((uint32_t)pid, &id))
		return say(error, -ESRCH, target, "no such process; `mtrace ps` lists those that are traced");
	int fd = open_living(&id);
	return fd >= 0 ? fd : say(error, -ENOENT, target, "is not traced; `mtrace doctor` says how it can be");
}

/* ---- running ones ---- */

int read_open_running(const char *target, struct read_running *running, struct read_error *error)
{
	struct pids_of id;
	struct read_found found = {0};
	struct stat st;
	error->text[0] = '\0';
	*running = (struct read_running){.fd = -1};
	if (is_number(target)) {
		if (strlen(target) > 7 || !pids_identify((uint32_t)strtoul(target, NULL, 10), &id))
			return -ESRCH;
		running->fd = open_living(&id);
		running->pid = (pid_t)id.pid;
	} else {
		running->fd = open(target, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	}
	bool good = running->fd >= 0 && fstat(running->fd, &st) == 0 && S_ISREG(st.st_mode) &&
	            find_describe(running->fd, &found) == 0 && found.alive;
	if (!good) {
		if (running->fd >= 0)
			close(running->fd);
		running->fd = -1;
		return -ESRCH;
	}
	if (!running->pid)
		running->pid = read_pid_here(found.pid, found.start_time);
	snprintf(running->name, sizeof running->name, "segment of process %u", running->pid ? (unsigned)running->pid : found.pid);
	return 0;
}

int read_target(const char *target, struct profile *profile, struct read_error *error)
{
	error->text[0] = '\0';
	if (strcmp(target, "last") == 0)
		return read_last(profile, error);
	if (target[0] == '\0')
		return say(error, -EINVAL, "empty name", "give a pid, a segment, a recording, or `last`");
	return is_number(target) ? read_pid(target, profile, error) : read_file(target, profile, error);
}

/* ---- open segments ---- */

static int open_segment_file(const char *path, struct read_error *error)
{
	char magic[8];
	ssize_t n = 0;
	int code = open_file(path, magic, &n, error);
	if (code != 0)
		return code;
	if (!begins(magic, n, "MTRSEG\r\n"))
		return -EMEDIUMTYPE;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return fd >= 0 ? fd : say(error, -errno, path, strerror(errno));
}

static int open_segment_of_pid(const char *target, struct read_error *error)
{
	struct pids_of id;
	char path[4096];
	uint32_t pid;
	int code = parse_pid(target, &pid, error);
	if (code != 0)
		return code;
	if (pids_identify(pid, &id)) {
		int fd = open_living(&id);
		return fd >= 0 ? fd : -EMEDIUMTYPE;
	}
	code = find_dead(pid, path, sizeof path, error);
	return code == 0 ? open_segment_file(path, error) : code;
}

int read_open_segment(const char *target, struct read_error *error)
{
	error->text[0] = '\0';
	bool is_number = target[0] != '\0' && target[strspn(target, "0123456789")] == '\0';
	if (strcmp(target, "last") == 0 || target[0] == '\0')
		return -EMEDIUMTYPE;
	return is_number ? open_segment_of_pid(target, error) : open_segment_file(target, error);
}
