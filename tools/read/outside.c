/*
 * outside: what any process shows without our library in it: resident memory by class of mapping, threads by name, its
 * command line. Reads /proc only, never the process's memory. The rows add up to the resident memory of the same pass.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/profile.h"
#include "model/redact.h"
#include "read/mappings.h"
#include "read/read.h"

#define THREADS_MOST 1000000u
#define CMDLINE_MOST (256u << 10)

static const struct {
	const char *owner, *label;
} owners[MAPPING_CLASS_COUNT] = {
#define X(name, owner, label) [MAPPING_##name] = {owner, label},
#include "read/owners.def"
#undef X
};

/* ---- small files of /proc ---- */

/* A whole file of /proc/PID into a buffer that is NUL-terminated; bytes read, or -errno. */
static ssize_t slurp(const char *path, char *to, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	size_t used = 0;
	ssize_t n = 1;
	while (n > 0 && used + 1 < size) {
		n = read(fd, to + used, size - 1 - used);
		used += n > 0 ? (size_t)n : 0;
	}
	int failed = n < 0 ? errno : 0;
	close(fd);
	to[used] = '\0';
	return failed && !used ? -failed : (ssize_t)used;
}

static ssize_t slurp_of(pid_t pid, const char *name, char *to, size_t size)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	return slurp(path, to, size);
}

static const char *link_of(struct profile *profile, pid_t pid, const char *name)
{
	char path[64], target[4096];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	ssize_t n = readlink(path, target, sizeof target - 1);
	return profile_string_n(profile, target, n > 0 ? (size_t)n : 0);
}

/* ---- identity ---- */

static void read_arguments(pid_t pid, struct profile *profile, struct profile_process *process)
{
	char *text = malloc(CMDLINE_MOST);
	ssize_t bytes = text ? slurp_of(pid, "cmdline", text, CMDLINE_MOST) : -ENOMEM;
	uint32_t count = 0;
	for (ssize_t i = 0; i < bytes; i += (ssize_t)strlen(text + i) + 1)
		count++;
	char **raw = calloc(count + 1, sizeof *raw);
	const char **args = profile_alloc(profile, count + 1, sizeof *args);
	if (raw && count) {
		char *p = text;
		for (uint32_t i = 0; i < count; i++, p += strlen(p) + 1)
			raw[i] = p;
		redact_args(raw, count);
		for (uint32_t i = 0; i < count; i++)
			args[i] = profile_string(profile, raw[i]);
		process->arg_count = count;
	}
	process->args = args;
	free(raw);
	free(text);
}

/* Field `wanted` of /proc/PID/stat; the name in field 2 may hold spaces and parentheses. */
static uint64_t stat_field(const char *stat, int wanted)
{
	const char *at = strrchr(stat, ')');
	for (int field = 2; at && field < wanted; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at + 1, NULL, 10) : 0;
}

static uint64_t uptime_ns(void)
{
	char text[128];
	double seconds = 0;
	if (slurp("/proc/uptime", text, sizeof text) > 0)
		seconds = strtod(text, NULL);
	return (uint64_t)(seconds * 1e9);
}

static void read_identity(pid_t pid, struct profile *profile, struct profile_process *process)
{
	char stat[1024];
	if (slurp_of(pid, "stat", stat, sizeof stat) < 0)
		stat[0] = '\0';
	process->pid = (uint32_t)pid;
	process->parent_pid = (uint32_t)stat_field(stat, 4);
	process->start_time = stat_field(stat, 22);
	process->mode = PROFILE_OUTSIDE;
	process->end = PROFILE_RUNNING;
	process->run_id = process->shim_version = "";
	process->exe = link_of(profile, pid, "exe");
	process->cwd = link_of(profile, pid, "cwd");
	uint64_t ticks = (uint64_t)sysconf(_SC_CLK_TCK), now = uptime_ns();
	uint64_t started = ticks ? process->start_time * (1000000000u / ticks) : 0;
	process->lived_ns = now > started ? now - started : 0;
	read_arguments(pid, profile, process);
}

/* ---- threads ---- */

struct seen_threads {
	struct profile_thread *rows;
	uint64_t *stack_pointers; /* where some of them are; a running thread does not show it */
	size_t count, capacity, pointers;
};

static bool make_room(struct seen_threads *t)
{
	if (t->count < t->capacity)
		return true;
	size_t capacity = t->capacity ? 2 * t->capacity : 64;
	struct profile_thread *rows = reallocarray(t->rows, capacity, sizeof *rows);
	if (rows)
		t->rows = rows;
	uint64_t *pointers = reallocarray(t->stack_pointers, capacity, sizeof *pointers);
	if (pointers)
		t->stack_pointers = pointers;
	if (!rows || !pointers)
		return false;
	t->capacity = capacity;
	return true;
}

/* "syscall-number six-arguments sp pc" of a thread that waits in the kernel; "running" otherwise. */
static uint64_t stack_pointer_of(pid_t pid, const char *tid)
{
	char path[64], line[256];
	uint64_t sp = 0;
	snprintf(path, sizeof path, "/proc/%d/task/%.16s/syscall", (int)pid, tid);
	if (slurp(path, line, sizeof line) <= 0)
		return 0;
	if (strncmp(line, "-1 ", 3) == 0)
		return sscanf(line, "-1 %" SCNx64, &sp) == 1 ? sp : 0;
	return sscanf(line, "%*d %*x %*x %*x %*x %*x %*x %" SCNx64, &sp) == 1 ? sp : 0;
}

static void read_thread(pid_t pid, const char *tid, struct profile *profile, struct seen_threads *t)
{
	char path[64], name[64];
	snprintf(path, sizeof path, "/proc/%d/task/%.16s/comm", (int)pid, tid);
	ssize_t n = slurp(path, name, sizeof name);
	if (n < 0 || t->count >= THREADS_MOST || !make_room(t))
		return; /* it ended just now */
	name[strcspn(name, "\n")] = '\0';
	t->rows[t->count++] = (struct profile_thread){
		.tid = (uint32_t)strtoul(tid, NULL, 10), .name = profile_string(profile, name), .stack = UINT32_MAX};
	uint64_t sp = stack_pointer_of(pid, tid);
	if (sp)
		t->stack_pointers[t->pointers++] = sp;
}

static void read_threads(pid_t pid, struct profile *profile, struct seen_threads *t)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	DIR *dir = opendir(path);
	if (!dir)
		return;
	for (struct dirent *e; (e = readdir(dir));)
		if (isdigit((unsigned char)e->d_name[0]))
			read_thread(pid, e->d_name, profile, t);
	closedir(dir);
}

static void keep_threads(struct profile *profile, struct profile_process *process, const struct seen_threads *t)
{
	process->threads = profile_alloc(profile, t->count, sizeof *process->threads);
	if (t->count)
		memcpy(process->threads, t->rows, t->count * sizeof *t->rows);
	process->thread_count = (uint32_t)t->count;
}

/* ---- memory ---- */

static void fill_ledger(struct profile *profile, struct profile_process *process, const struct mappings *m)
{
	uint64_t bytes[MAPPING_CLASS_COUNT] = {0};
	struct profile_ledger_row *rows = profile_alloc(profile, MAPPING_CLASS_COUNT, sizeof *rows);
	process->rss_bytes = 0;
	process->ledger_count = 0;
	for (size_t i = 0; i < m->count; i++)
		bytes[m->rows[i].class] += m->rows[i].rss_bytes;
	for (size_t i = 0; i < MAPPING_CLASS_COUNT; i++) {
		if (!bytes[i])
			continue;
		rows[process->ledger_count++] = (struct profile_ledger_row){
			.owner = owners[i].owner, .label = owners[i].label, .measured_by = "smaps", .bytes = bytes[i]};
		process->rss_bytes += bytes[i];
	}
	process->ledger = rows;
}

static int largest_first(const void *a, const void *b)
{
	const struct profile_ledger_row *x = a, *y = b;
	return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1) : strcmp(x->owner, y->owner);
}

static int measure(pid_t pid, struct profile *profile, struct profile_process *process, const struct seen_threads *t)
{
	struct mappings m;
	int code = mappings_read(pid, &m);
	if (code != 0)
		return code;
	mappings_classify(&m, t->stack_pointers, t->pointers);
	fill_ledger(profile, process, &m);
	qsort(process->ledger, process->ledger_count, sizeof *process->ledger, largest_first);
	mappings_free(&m);
	return 0;
}

/* ---- errors ---- */

/* By the file alone: the name service would load what the system has, and a static mtrace must not. */
static bool find_user(uid_t uid, char name[64])
{
	FILE *users = fopen("/etc/passwd", "re");
	struct passwd *user = NULL;
	while (users && (user = fgetpwent(users)) && user->pw_uid != uid)
		continue;
	if (user)
		snprintf(name, 64, "user %.48s", user->pw_name);
	if (users)
		fclose(users);
	return user != NULL;
}

static const char *owner_of(pid_t pid, char out[64])
{
	char path[32];
	struct stat st;
	snprintf(path, sizeof path, "/proc/%d", (int)pid);
	if (stat(path, &st) != 0)
		return "another user";
	if (!find_user(st.st_uid, out))
		snprintf(out, 64, "user %u", (unsigned)st.st_uid);
	return out;
}

static bool is_zombie(pid_t pid)
{
	char stat[1024];
	const char *name_end = slurp_of(pid, "stat", stat, sizeof stat) > 0 ? strrchr(stat, ')') : NULL;
	return name_end && (name_end[2] == 'Z' || name_end[2] == 'X');
}

static bool exists(pid_t pid)
{
	char path[32];
	snprintf(path, sizeof path, "/proc/%d", (int)pid);
	return access(path, F_OK) == 0;
}

/* A kernel thread and a process that is ending have no memory to look at: the same errors, other words. */
static int explain(pid_t pid, int code, struct read_error *error)
{
	char owner[64];
	if (code == -EACCES || code == -EPERM)
		snprintf(error->text, sizeof error->text, "process %d belongs to %s or is protected: ask as that user or as root",
		         (int)pid, owner_of(pid, owner));
	else if (!exists(pid))
		snprintf(error->text, sizeof error->text, "there is no process %d (any more); `mtrace ps` lists traced ones, also "
		         "dead ones", (int)pid);
	else if (is_zombie(pid))
		snprintf(error->text, sizeof error->text, "process %d has ended and waits to be reaped: it has no memory any more",
		         (int)pid);
	else if (code == -ESRCH)
		snprintf(error->text, sizeof error->text, "process %d has no memory of its own: a kernel thread, or it is just "
		         "ending", (int)pid);
	else
		snprintf(error->text, sizeof error->text, "process %d: /proc/%d/smaps: %s", (int)pid, (int)pid, strerror(-code));
	return code;
}

/* ---- entry ---- */

int read_outside_ledger(pid_t pid, struct profile *profile, struct profile_process *process, struct read_error *error)
{
	struct seen_threads threads = {0};
	read_threads(pid, profile, &threads);
	int code = measure(pid, profile, process, &threads);
	free(threads.rows);
	free(threads.stack_pointers);
	return code == 0 ? 0 : explain(pid, code, error);
}

int read_outside(pid_t pid, struct profile *profile, struct read_error *error)
{
	struct profile_process process = {0};
	struct seen_threads threads = {0};
	read_threads(pid, profile, &threads);
	int code = measure(pid, profile, &process, &threads);
	if (code == 0) {
		read_identity(pid, profile, &process);
		keep_threads(profile, &process, &threads);
		*profile_add_process(profile) = process;
	}
	free(threads.rows);
	free(threads.stack_pointers);
	return code == 0 ? 0 : explain(pid, code, error);
}
