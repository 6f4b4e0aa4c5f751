/*
 * matrix: each call of plat fails in its turn: the Nth of each function, for N = 1 until a run in which there was no Nth;
 * once, and from there on for good. `matrix SHIM VICTIM PLUGIN DIRECTORY STRIDE [FUNCTION]`
 *
 * After each: what the program wrote and how it ended is as without the shim, in time; whoever finds less in the segments
 * than in those of a run without a fault is told: by the report's counters or its note, or, where there is no segment,
 * by the one line on stderr. DIRECTORY is for segments and empties; STRIDE > 1 leaves out most N beyond the first six.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "model/profile.h"
#include "read/read.h"

enum { SECONDS_MOST = 60, FIRST_ONES = 6, ERRORS_MOST = 4, TEXT_MOST = 4096, ROLES = 3, COUNTERS_MOST = 64 };

static const struct row {
	const char *name;
	int errors[ERRORS_MOST]; /* 0 ends them; {0}: it has no errors, only a value */
} rows[] = {
#define ERRNO(ret, name, params, args, ...) {#name, {__VA_ARGS__}},
#define VALUE(ret, name, params, args, value) {#name, {0}},
#define NOTHING(name, params, args) {#name, {0}},
#include "faults.def"
};

/* What else is wrong at the same time, so that calls are made which are not made else. */
static const struct setting {
	const char *name, *faults;
	const char *options; /* "": segments are made in DIRECTORY */
	const char *only;    /* functions whose calls differ from the first setting's; NULL: all */
} settings[] = {
	{"", "", "", NULL},
	{"on a kernel before 5.14, ", "plat_commit:1+:22,", "", " plat_commit_by_file plat_open plat_close "},
	{"with no directory in memory, ", "plat_is_memory_dir:1+,", "none",
	 " plat_memfd plat_truncate_fd plat_map_segment plat_lock_exclusive plat_commit plat_maps_file plat_wipe_on_fork "},
};

static const char *shim, *victim, *plugin, *directory;
static int stride, checks, failures;

/* ---- one run ---- */

struct run {
	char out[TEXT_MOST], err[TEXT_MOST];
	int status;   /* of waitpid; -1: it had to be killed */
	bool reached; /* some fault */
};

static void path_in(char path[512], const char *name)
{
	snprintf(path, 512, "%s/%s", directory, name);
}

static void read_whole(const char *name, char text[TEXT_MOST])
{
	char path[512];
	path_in(path, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, TEXT_MOST - 1);
	text[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
}

static void be_victim(const char *faults, const char *options)
{
	char path[512], text[1024];
	static const char *const files[] = {"in", "out", "err"};
	for (int i = 0; i < 3; i++) {
		path_in(path, files[i]);
		int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
		dup2(fd, i);
		close(fd);
	}
	setpgid(0, 0);
	if (faults) {
		setenv("LD_PRELOAD", shim, 1);
		setenv("MTRACE_FAULT", faults, 1);
		path_in(path, "said");
		setenv("MTRACE_FAULT_SAID", path, 1);
		snprintf(text, sizeof text, "memory=16m%s%s", options[0] ? "" : ":dir=", options[0] ? "" : directory);
		setenv("MTRACE_OPTIONS", text, 1);
	}
	execl(victim, victim, plugin, (char *)NULL);
	_exit(99);
}

static void wait_for(pid_t pid, struct run *run)
{
	struct timespec pause = {.tv_nsec = 500000};
	for (int i = 0; i < SECONDS_MOST * 2000; i++) {
		if (waitpid(pid, &run->status, WNOHANG) == pid)
			return;
		nanosleep(&pause, NULL);
	}
	kill(-pid, SIGKILL);
	waitpid(pid, &run->status, 0);
	run->status = -1;
}

static void clear(void)
{
	DIR *d = opendir(directory);
	for (struct dirent *e; d && (e = readdir(d));) {
		char path[512];
		snprintf(path, sizeof path, "%.200s/%.200s", directory, e->d_name);
		if (e->d_name[0] != '.')
			unlink(path);
	}
	if (d)
		closedir(d);
}

static void run_victim(const char *faults, const char *options, struct run *run)
{
	char said[TEXT_MOST];
	clear();
	pid_t pid = fork();
	if (pid == 0)
		be_victim(faults, options);
	wait_for(pid, run);
	read_whole("out", run->out);
	read_whole("err", run->err);
	read_whole("said", said);
	run->reached = said[0] != '\0';
}

/* ---- what the segments say ---- */

/* Of the first image, the forked child, the last image. */
struct role {
	bool is_there, is_noted;
	struct profile_counts malloc_, mmap_;
	uint32_t stacks, threads, modules, marks, tabled, boundaries;
	uint32_t end;
	int end_status;
	uint64_t counters[COUNTERS_MOST];
};

static void take_process(struct role *r, const struct profile_process *p)
{
	r->is_there = true;
	r->is_noted = p->note || p->skipped || p->poisoned;
	r->malloc_ = p->totals;
	r->mmap_ = p->by_kind[MTRACE_KIND_MMAP];
	r->stacks = p->stack_count;
	r->threads = p->thread_count;
	r->marks = p->mark_count;
	for (uint32_t i = 0; i < p->live_count; i++)
		r->tabled += (uint32_t)p->live[i].blocks;
	r->boundaries = p->boundary_count;
	r->end = p->end;
	r->end_status = p->end_status;
	for (uint32_t i = 0; i < p->counter_count && i < COUNTERS_MOST; i++)
		r->counters[i] = p->counters[i].value;
	for (uint32_t i = 0; i < p->module_count; i++)
		r->modules += p->modules[i].path[0] != '\0';
}

static struct role *role_of(struct role roles[ROLES], const struct profile_process *p)
{
	bool is_again = p->arg_count > 1 && !strcmp(p->args[1], "again");
	return &roles[p->forked ? 1 : is_again || p->image ? 2 : 0];
}

static void read_segments(struct role roles[ROLES])
{
	memset(roles, 0, ROLES * sizeof *roles);
	DIR *d = opendir(directory);
	for (struct dirent *e; d && (e = readdir(d));) {
		char path[512];
		struct read_error error;
		if (strncmp(e->d_name, "mtrace.", 7))
			continue;
		snprintf(path, sizeof path, "%.200s/%.200s", directory, e->d_name);
		struct profile *profile = profile_new();
		if (read_segment(path, profile, NULL, &error) == 0)
			take_process(role_of(roles, &profile->processes[0]), &profile->processes[0]);
		profile_free(profile);
	}
	if (d)
		closedir(d);
}

/* ---- the verdict ---- */

static int lines_of_shim(const char *err)
{
	int lines = 0;
	for (const char *at = err; (at = strstr(at, "libmtrace: ")); at++)
		lines++;
	return lines;
}

static bool is_only_of_shim(const char *err)
{
	int lines = 0;
	for (const char *at = err; *at; at++)
		lines += *at == '\n';
	return lines == lines_of_shim(err);
}

static uint64_t counter_of(const struct role *r, const char *name)
{
	static const char *const names[] = {
#define X(name, help) #name,
#include "counters.def"
#undef X
	};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (!strcmp(names[i], name))
			return r->counters[i];
	abort();
}

/* What there may be less of, and the counters that tell why. */
static const struct loss {
	const char *name;
	size_t offset, bytes; /* of struct role */
	bool is_number;       /* more of it is no loss */
	const char *told[5];
} losses[] = {
#define SAME(name, field, ...) {name, offsetof(struct role, field), sizeof(((struct role *)0)->field), false, {__VA_ARGS__}}
#define COUNT(name, field, ...) {name, offsetof(struct role, field), sizeof(((struct role *)0)->field), true, {__VA_ARGS__}}
	SAME("blocks", malloc_, "drop_counts", "drop_fork", "unknown_frees", "implicit_frees", "drop_live_full"),
	SAME("mappings", mmap_, "drop_counts", "drop_ranges_full"),
	COUNT("blocks in the table", tabled, "drop_live_full"),
	COUNT("marks", marks, "drop_marks_full"),
	COUNT("marks' counts", boundaries, "drop_marks_full", "drop_marks_counts"),
	COUNT("threads", threads, "drop_threads_full"),
	COUNT("stacks", stacks, "drop_stacks_full", "truncated_stacks"),
	COUNT("modules", modules, "drop_modules_full", "drop_stacks_full", "truncated_stacks"),
};

static bool is_less(const struct loss *l, const struct role *r, const struct role *whole)
{
	const char *is = (const char *)r + l->offset, *was = (const char *)whole + l->offset;
	uint32_t is_number, was_number;
	if (!l->is_number)
		return memcmp(is, was, l->bytes) != 0;
	memcpy(&is_number, is, sizeof is_number);
	memcpy(&was_number, was, sizeof was_number);
	return is_number < was_number;
}

static bool is_told(const struct loss *l, const struct role *r, const struct role *whole)
{
	for (size_t i = 0; i < sizeof l->told / sizeof l->told[0] && l->told[i]; i++)
		if (counter_of(r, l->told[i]) > counter_of(whole, l->told[i]))
			return true;
	return r->is_noted;
}

/* What there is less of without a word; NULL: nothing. */
static const char *lost_of(const struct role *r, const struct role *whole)
{
	for (size_t i = 0; i < sizeof losses / sizeof losses[0]; i++)
		if (is_less(&losses[i], r, whole) && !is_told(&losses[i], r, whole))
			return losses[i].name;
	bool is_open = r->end == PROFILE_KILLED && r->end_status == 0; /* "or no word of its end" */
	return r->end != whole->end && !is_open ? "the end" : NULL;
}

/* A counter of something lost that the line on stderr is about. */
static bool has_loss(const struct role *r)
{
	static const char *const names[] = {"drop_live_full", "drop_stacks_full", "drop_threads_full", "drop_marks_full",
					    "drop_ranges_full", "drop_counts", "drop_modules_full"};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (counter_of(r, names[i]))
			return true;
	return false;
}

static void fail(const char *what, const char *format, ...)
{
	va_list list;
	failures++;
	printf("FAILED  matrix: %s: ", what);
	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	printf("\n");
}

static void judge(const char *what, const struct run *run, const struct run *plain, const struct role whole[ROLES])
{
	static const char *const role_names[ROLES] = {"the process", "the forked child", "the image after exec"};
	struct role roles[ROLES];
	checks++;
	if (run->status != plain->status) {
		fail(what, run->status < 0 ? "still running after %d s" : "status %#x; %s", run->status < 0 ? SECONDS_MOST : run->status,
		     run->err);
		return;
	}
	if (strcmp(run->out, plain->out) || !is_only_of_shim(run->err) || lines_of_shim(run->err) > ROLES) {
		fail(what, "another output: %s%s", run->out, run->err);
		return;
	}
	read_segments(roles);
	bool is_said = lines_of_shim(run->err) > 0;
	for (int i = 0; whole && i < ROLES; i++) {
		const char *lost = roles[i].is_there ? lost_of(&roles[i], &whole[i]) : is_said ? NULL : "all";
		if (lost) {
			fail(what, "%s lost %s, and nobody says so", role_names[i], lost);
			return;
		}
	}
	/* the image after exec is the one that ends by exit */
	if (whole && has_loss(&roles[2]) && !is_said && !strstr(what, "plat_write:") && !strstr(what, "plat_file_identity:"))
		fail(what, "something is lost, and no line says so");
}

/* ---- all of them ---- */

static bool is_looked_at(int n)
{
	return n <= FIRST_ONES || (n * 2654435761u >> 8) % stride == 0;
}

static void fail_row(const struct setting *setting, const struct row *row, int error, bool for_good, const struct run *plain,
		     const struct role *whole)
{
	static struct run run;
	char faults[256], what[300];
	for (int n = 1;; n++) {
		if (!is_looked_at(n))
			continue;
		snprintf(faults, sizeof faults, "%s:%d%s:%d", row->name, n, for_good ? "+" : "", error);
		snprintf(what, sizeof what, "%s%s", setting->name, faults);
		snprintf(faults, sizeof faults, "%s:%d%s:%d,%s", row->name, n, for_good ? "+" : "", error, setting->faults);
		run_victim(faults, setting->options, &run);
		char said[TEXT_MOST];
		read_whole("said", said);
		if (!strstr(said, row->name))
			return;
		judge(what, &run, plain, whole);
		if (run.status < 0)
			return;
	}
}

static bool is_of(const struct setting *setting, const char *name)
{
	char wanted[64];
	snprintf(wanted, sizeof wanted, " %s ", name);
	return !setting->only || strstr(setting->only, wanted);
}

static void fail_all(const struct setting *setting, const char *only, const struct run *plain)
{
	static struct run run;
	struct role whole[ROLES];
	run_victim(setting->faults, setting->options, &run);
	bool has_files = !setting->options[0];
	read_segments(whole);
	if (has_files && !(whole[0].is_there && whole[1].is_there && whole[2].is_there && whole[0].malloc_.alloc_blocks > 1500))
		fail("a run without a fault", "its segments are not all there: %s", run.err);
	judge("a run without a fault", &run, plain, NULL);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		if (!is_of(setting, rows[i].name) || (only && strcmp(only, rows[i].name)))
			continue;
		for (int e = 0; e == 0 || (e < ERRORS_MOST && rows[i].errors[e]); e++)
			for (int for_good = 0; for_good < 2; for_good++)
				fail_row(setting, &rows[i], rows[i].errors[e], for_good, plain, has_files ? whole : NULL);
	}
}

int main(int argc, char **argv)
{
	static struct run plain;
	if (argc < 6)
		return 2;
	shim = argv[1], victim = argv[2], plugin = argv[3], directory = argv[4];
	stride = atoi(argv[5]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	run_victim(NULL, "", &plain);
	for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
		fail_all(&settings[i], argc > 6 ? argv[6] : NULL, &plain);
	clear();
	printf("%d%%: Checks: %d, Failures: %d, Errors: 0\n", checks ? 100 * (checks - (failures < checks ? failures : checks)) / checks : 0,
	       checks, failures);
	return failures || !checks;
}
