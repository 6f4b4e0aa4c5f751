/*
 * mappings: see mappings.h. What a mapping is for is told by its name, its flags and its place: a glibc arena begins
 * at a multiple of 64 MiB and its unused rest follows without access; a thread's stack has a guard without access
 * right below it, or a thread's stack pointer in it. A custom allocator that lays out memory like that is misread.
 */
#include "read/mappings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARENA_BYTES (64ull << 20) /* HEAP_MAX_SIZE of glibc on 64-bit machines */
#define GO_HEAP_START 0xc000000000ull
#define GUARD_MOST (1ull << 20)   /* guards are 4 KiB to 64 KiB; JVMs add a few pages */
#define STACK_LEAST (16u << 10)   /* PTHREAD_STACK_MIN */
#define MAPPINGS_MOST 4000000u    /* far above vm.max_map_count's default */

/* ---- reading ---- */

static struct mapping *add(struct mappings *m)
{
	if (m->count == m->capacity) {
		size_t capacity = m->capacity ? 2 * m->capacity : 256;
		struct mapping *rows = capacity > MAPPINGS_MOST ? NULL : reallocarray(m->rows, capacity, sizeof *rows);
		if (!rows)
			return NULL;
		m->rows = rows;
		m->capacity = capacity;
	}
	struct mapping *row = &m->rows[m->count++];
	memset(row, 0, sizeof *row);
	return row;
}

static void take_name(struct mapping *row, char *name)
{
	static const char deleted[] = " (deleted)";
	name[strcspn(name, "\n")] = '\0';
	size_t n = strlen(name);
	if (n >= sizeof deleted && strcmp(name + n - strlen(deleted), deleted) == 0) {
		name[n - strlen(deleted)] = '\0';
		row->deleted = true;
	}
	snprintf(row->name, sizeof row->name, "%s", name);
}

/* "7f..-7f.. rw-p 00000000 00:00 0   [name]" begins a mapping; everything else is "Key:  value kB" of the last one. */
static int take_line(struct mappings *m, char *line)
{
	struct mapping found = {0};
	int name_at = 0;
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %*x:%*x %" SCNu64 " %n", &found.start, &found.end, found.access,
	           &found.inode, &name_at) >= 4 && name_at) {
		struct mapping *row = add(m);
		if (!row)
			return -ENOMEM;
		*row = found;
		take_name(row, line + name_at);
		return 0;
	}
	uint64_t kib;
	if (m->count && strncmp(line, "Rss:", 4) == 0 && sscanf(line + 4, "%" SCNu64, &kib) == 1)
		m->rows[m->count - 1].rss_bytes = kib << 10;
	return 0;
}

static int read_lines(FILE *file, struct mappings *m)
{
	char *line = NULL;
	size_t size = 0;
	int code = 0;
	errno = 0;
	while (code == 0 && getline(&line, &size, file) > 0)
		code = take_line(m, line);
	if (code == 0 && ferror(file))
		code = -(errno ? errno : EIO);
	free(line);
	return code;
}

/* The list of a process that is ending just stops; only then does the process have no memory any more. */
static bool has_memory(pid_t pid)
{
	char path[32];
	unsigned long pages = 0;
	snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	bool is_read = fscanf(file, "%lu", &pages) == 1;
	fclose(file);
	return is_read && pages > 0;
}

int mappings_read(pid_t pid, struct mappings *m)
{
	char path[32];
	*m = (struct mappings){0};
	snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
	FILE *file = fopen(path, "re");
	int code = file ? read_lines(file, m) : -errno;
	if (file)
		fclose(file);
	if (code == 0 && !has_memory(pid))
		code = -ESRCH;
	if (code != 0)
		mappings_free(m);
	return code;
}

void mappings_free(struct mappings *m)
{
	free(m->rows);
	*m = (struct mappings){0};
}

/* ---- classes ---- */

static bool has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_no_access(const struct mapping *row)
{
	return row->access[0] == '-' && row->access[1] == '-';
}

static bool is_anonymous(const struct mapping *row)
{
	return row->inode == 0 && (row->name[0] == '\0' || has_prefix(row->name, "[anon:"));
}

static bool is_file_shared(const struct mapping *row)
{
	return has_prefix(row->name, "/dev/shm/") || has_prefix(row->name, "/SYSV") || has_prefix(row->name, "/memfd:") ||
	       has_prefix(row->name, "/dev/zero") || has_prefix(row->name, "[anon_shmem");
}

static enum mapping_class class_by_name(const struct mapping *row)
{
	if (strcmp(row->name, "[heap]") == 0)
		return MAPPING_HEAP;
	if (strcmp(row->name, "[stack]") == 0)
		return MAPPING_MAIN_STACK;
	if (has_prefix(row->name, "[anon:") || row->name[0] == '\0')
		return row->access[3] == 's' ? MAPPING_SHARED : MAPPING_ANONYMOUS;
	if (has_prefix(row->name, "/dev/shm/mtrace.") || has_prefix(row->name, "/tmp/mtrace."))
		return MAPPING_TRACKER;
	if (is_file_shared(row))
		return MAPPING_SHARED;
	if (row->name[0] == '[')
		return MAPPING_KERNEL;
	return row->access[2] == 'x' ? MAPPING_FILE_CODE : MAPPING_FILE_DATA;
}

/* Used part from a multiple of 64 MiB on, then the unused rest up to the next multiple (and maybe the guard of what
   follows, merged into it); or 64 MiB all used. Go lays out its heap alike, at addresses of its own. */
static bool is_arena(const struct mappings *m, size_t at)
{
	const struct mapping *row = &m->rows[at], *rest = row + 1;
	uint64_t boundary = row->start + ARENA_BYTES;
	if (row->start % ARENA_BYTES != 0 || is_no_access(row) || row->start >> 36 == GO_HEAP_START >> 36)
		return false;
	if (row->end >= boundary)
		return row->end == boundary;
	return at + 1 < m->count && is_anonymous(rest) && is_no_access(rest) && rest->start == row->end &&
	       rest->end >= boundary && rest->end <= boundary + GUARD_MOST;
}

static bool has_guard_below(const struct mappings *m, size_t at)
{
	if (at == 0)
		return false;
	const struct mapping *guard = &m->rows[at - 1];
	return is_anonymous(guard) && is_no_access(guard) && guard->end == m->rows[at].start &&
	       guard->end - guard->start <= GUARD_MOST;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static bool holds_pointer(const struct mapping *row, const uint64_t *sorted, size_t count)
{
	size_t low = 0, high = count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (sorted[middle] < row->start)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && sorted[low] < row->end;
}

static bool is_stack(const struct mappings *m, size_t at, const uint64_t *sorted, size_t count)
{
	const struct mapping *row = &m->rows[at];
	if (row->access[1] != 'w' || row->end - row->start < STACK_LEAST)
		return false;
	return has_guard_below(m, at) || holds_pointer(row, sorted, count);
}

static bool is_bss(const struct mappings *m, size_t at)
{
	const struct mapping *before = at ? &m->rows[at - 1] : NULL;
	return before && before->end == m->rows[at].start && before->access[1] == 'w' &&
	       before->class == MAPPING_FILE_DATA && m->rows[at].access[1] == 'w';
}

void mappings_classify(struct mappings *m, const uint64_t *stack_pointers, size_t count)
{
	uint64_t *sorted = count ? malloc(count * sizeof *sorted) : NULL;
	if (!sorted)
		count = 0;
	if (count) {
		memcpy(sorted, stack_pointers, count * sizeof *sorted);
		qsort(sorted, count, sizeof *sorted, by_value);
	}
	for (size_t i = 0; i < m->count; i++) {
		struct mapping *row = &m->rows[i];
		row->class = class_by_name(row);
		if (row->class != MAPPING_ANONYMOUS)
			continue;
		if (is_arena(m, i))
			row->class = MAPPING_ARENAS;
		else if (is_stack(m, i, sorted, count))
			row->class = MAPPING_THREAD_STACKS;
		else if (is_bss(m, i))
			row->class = MAPPING_FILE_DATA;
	}
	free(sorted);
}
