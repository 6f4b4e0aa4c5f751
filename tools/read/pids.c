/*
 * pids: see pids.h. A pid means nothing without its namespace: a segment has its writer's, start time and all, and
 * the kernel tells of every process what its pids are in the namespaces that it is in (NSpid).
 */
#include "read/pids.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "read/read.h"

static ssize_t slurp(const char *path, char *to, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, to, size - 1);
	close(fd);
	to[n > 0 ? n : 0] = '\0';
	return n;
}

/* Field 22 of /proc/PID/stat; the name before it may hold blanks and brackets. */
static uint64_t start_time(uint32_t pid)
{
	char path[64], stat[1024];
	snprintf(path, sizeof path, "/proc/%u/stat", pid);
	if (slurp(path, stat, sizeof stat) <= 0)
		return 0;
	char *at = strrchr(stat, ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}

bool pids_identify(uint32_t pid, struct pids_of *id)
{
	char path[64], status[8192];
	struct stat st;
	*id = (struct pids_of){.pid = pid, .start_time = start_time(pid)};
	snprintf(path, sizeof path, "/proc/%u", pid);
	if (id->start_time == 0 || stat(path, &st) != 0)
		return false;
	id->uid = st.st_uid;
	id->pids[id->pid_count++] = pid;
	snprintf(path, sizeof path, "/proc/%u/status", pid);
	char *at = slurp(path, status, sizeof status) > 0 ? strstr(status, "\nNSpid:") : NULL;
	for (at = at ? at + 7 : NULL; at && id->pid_count < 32; ) {
		char *end;
		unsigned long value = strtoul(at, &end, 10);
		if (end == at || memchr(at, '\n', (size_t)(end - at)))
			break;
		id->pids[id->pid_count++] = (uint32_t)value;
		at = end;
	}
	return true;
}

bool pids_have(const struct pids_of *id, uint32_t pid)
{
	for (size_t i = 0; i < id->pid_count; i++)
		if (id->pids[i] == pid)
			return true;
	return false;
}

/* ---- the other way round ---- */

/* Of two that could be meant, neither is: both began in the same tick, each with that pid in a namespace of its own. */
static pid_t search(uint32_t pid, uint64_t started)
{
	DIR *processes = opendir("/proc");
	struct pids_of id;
	pid_t here = 0;
	bool twice = false;
	for (struct dirent *e; processes && (e = readdir(processes));) {
		uint32_t one = (uint32_t)strtoul(e->d_name, NULL, 10);
		if (!one || start_time(one) != started || !pids_identify(one, &id) || !pids_have(&id, pid))
			continue;
		twice |= here != 0;
		here = (pid_t)one;
	}
	if (processes)
		closedir(processes);
	return twice ? 0 : here;
}

pid_t read_pid_here(uint32_t pid, uint64_t started)
{
	if (!pid || !started)
		return 0;
	return start_time(pid) == started ? (pid_t)pid : search(pid, started);
}
