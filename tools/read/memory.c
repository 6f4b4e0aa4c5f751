/*
 * memory: how much memory a process has, and may have, from the small files of /proc and of its cgroup. Cheap: what
 * wants to know it again and again asks here; read/outside.c divides it.
 */
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "read/read.h"

bool read_number_file(const char *path, uint64_t *value)
{
	char text[64];
	FILE *file = fopen(path, "re");
	bool done = file && fgets(text, sizeof text, file) && isdigit((unsigned char)text[0]);
	if (file)
		fclose(file);
	if (done)
		*value = strtoull(text, NULL, 10);
	return done;
}

/* The unified hierarchy's path of `who` ("self", a pid): the part after "0::". */
static bool read_cgroup(const char *who, char out[PATH_MAX])
{
	char path[64], line[PATH_MAX];
	snprintf(path, sizeof path, "/proc/%.32s/cgroup", who);
	FILE *file = fopen(path, "re");
	bool found = false;
	while (file && !found && fgets(line, sizeof line, file)) {
		line[strcspn(line, "\n")] = '\0';
		found = strncmp(line, "0::", 3) == 0;
	}
	if (file)
		fclose(file);
	if (found)
		snprintf(out, PATH_MAX, "%s", line + 3);
	return found;
}

/* The lowest limit from the cgroup up to the root. 0: none that can be read. */
uint64_t read_memory_limit(const char *who)
{
	char cgroup[PATH_MAX], path[PATH_MAX + 64];
	uint64_t lowest = 0, value;
	if (!read_cgroup(who, cgroup))
		return read_number_file("/sys/fs/cgroup/memory/memory.limit_in_bytes", &value) && value >> 60 == 0 ? value : 0;
	for (;;) {
		snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", cgroup);
		if (read_number_file(path, &value) && (!lowest || value < lowest))
			lowest = value;
		char *slash = strrchr(cgroup, '/');
		if (!slash || !cgroup[0])
			return lowest;
		*slash = '\0';
	}
}

/* smaps_rollup is exact; statm, where that may not be read, is behind by what threads have not yet added up. */
uint64_t read_resident(pid_t pid)
{
	char path[64], line[256];
	uint64_t kib = 0, pages = 0;
	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof line, file) && strncmp(line, "Rss:", 4) != 0)
		continue;
	if (file && strncmp(line, "Rss:", 4) == 0)
		kib = strtoull(line + 4, NULL, 10);
	if (file)
		fclose(file);
	if (kib)
		return kib << 10;
	snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
	file = fopen(path, "re");
	if (file && fgets(line, sizeof line, file)) {
		char *second = strchr(line, ' ');
		pages = second ? strtoull(second, NULL, 10) : 0;
	}
	if (file)
		fclose(file);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
