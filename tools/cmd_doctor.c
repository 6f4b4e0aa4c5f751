/*
 * cmd_doctor: `mtrace doctor PID|CMD`: will tracing work here, and what cures it if not. One line per finding, then a
 * verdict. A finding is "no" (nothing would be recorded), "note" (it works, with that restriction) or "ok".
 *
 * Looks and never touches: no process is stopped, no file is written, CMD is not run.
 */
#include <ctype.h>
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "command.h"
#include "emit/emit.h"
#include "model/elf_facts.h"
#include "read/read.h"
#include "run/environment.h"
#include "run/locate.h"

const struct command_option cmd_doctor_options[] = {{NULL, NULL, NULL}};

#define ENVIRON_BYTES (256u << 10)
#define DEFAULT_CAP_LEAST (64ull << 20) /* of memory=, see options.def */
#define DEFAULT_CAP_MOST (4ull << 30)

struct doctor {
	char first_no[512]; /* the first reason against, "" none */
	const char *what;   /* as the user typed it */
	bool is_pid;
	bool is_jvm;        /* libjvm.so is in it */
	bool is_traced;     /* the process already has our library in it */
};

/* ---- findings ---- */

static void finding(const char *level, const char *format, va_list arguments)
{
	printf("%-5s ", level);
	vprintf(format, arguments);
	putchar('\n');
}

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	finding("note", format, arguments);
	va_end(arguments);
}

static void fine(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void fine(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	finding("ok", format, arguments);
	va_end(arguments);
}

static void against(struct doctor *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void against(struct doctor *d, const char *format, ...)
{
	va_list arguments, again;
	va_start(arguments, format);
	va_copy(again, arguments);
	if (!d->first_no[0])
		vsnprintf(d->first_no, sizeof d->first_no, format, again);
	finding("no", format, arguments);
	va_end(again);
	va_end(arguments);
}

/* ---- the program's file ---- */

static void check_symbols(const struct elf_facts *f)
{
	if (!f->has_build_id)
		note("no build-id: symbols cannot be added elsewhere later; link with -Wl,--build-id");
	if (!f->has_debug_info && !f->has_symbols)
		note("stripped, and its debug information is not here: only exported functions are named; install its debug "
		     "package, set DEBUGINFOD_URLS, or build with -g and do not strip");
	else if (!f->has_debug_info)
		note("no debug information: functions are named, files and lines are not; build with -g, or install its debug "
		     "package");
	if (!f->has_unwind_rules)
		note("no .eh_frame: stacks end at its frames; build with -fasynchronous-unwind-tables");
}

static void check_language(const struct elf_facts *f)
{
	const char *slash = strrchr(f->path, '/');
	const char *base = slash ? slash + 1 : f->path;
	if (f->go)
		note("Go with cgo: C blocks are recorded, the Go heap is seen as mappings; names of Go frames come with a later "
		     "version");
	if (strncmp(base, "java", 4) == 0)
		note("a JVM: native blocks are recorded, with Java frames on HotSpot of JDK 17, 21 and 25");
	if (strcmp(base, "node") == 0)
		note("node: native blocks are recorded; frames of JavaScript show as [no rules]");
	if (strncmp(base, "python", 6) == 0)
		note("CPython serves small objects from its own pools: PYTHONMALLOC=malloc shows each of them");
}

static void check_program(struct doctor *d, const struct elf_facts *f)
{
	const char *refusal = elf_facts_refusal(f);
	if (f->script[0])
		note("%s is a script run by %s: that is what is traced; what it execs in its place is too, its children only "
		     "with --follow", f->script, f->path);
	if (!f->is_elf) {
		note("%s is no ELF file and has no #! line: the shell would run it", f->path);
		return;
	}
	if (refusal)
		against(d, "%s: %s", f->path, refusal);
	else
		fine("%s: %u-bit, dynamic, loader %s", f->path, f->word_bits, f->loader);
	if (f->linked_allocator && !f->allocator)
		note("it uses %s from a shared library: blocks are recorded above it", f->linked_allocator);
	check_symbols(f);
	check_language(f);
}

/* ---- surroundings ---- */

static void check_shim(struct doctor *d)
{
	char path[LOCATE_PATH_BYTES];
	if (locate_shim(path) != 0)
		against(d, "libmtrace.so is not there (looked in %s): install it beside mtrace", path);
	else if (environment_check_shim(path))
		against(d, "%s: %s: move it", path, environment_check_shim(path));
	else if (access(path, R_OK) != 0)
		against(d, "%s cannot be read: %s", path, strerror(errno));
}

static void check_preload(const char *value)
{
	if (value && *value && !strstr(value, "libmtrace.so"))
		note("LD_PRELOAD is set already (%s): it is kept, after libmtrace.so; another allocator or tracer in it may "
		     "change what is seen", value);
}

static uint64_t physical_memory(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t default_cap(uint64_t limit)
{
	uint64_t cap = (limit ? limit : physical_memory()) / 8;
	return cap < DEFAULT_CAP_LEAST ? DEFAULT_CAP_LEAST : cap > DEFAULT_CAP_MOST ? DEFAULT_CAP_MOST : cap;
}

static void check_space(struct doctor *d, const char *dir, uint64_t cap)
{
	struct statvfs fs;
	char free_text[32], cap_text[32];
	if (statvfs(dir, &fs) != 0)
		return;
	uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	emit_bytes(free_text, free_bytes);
	emit_bytes(cap_text, cap);
	if (free_bytes < (1u << 20))
		against(d, "%s has %s free: make room, or name another directory with --dir", dir, free_text);
	else if (free_bytes < cap)
		note("%s has %s free, the tracker may want up to %s: tracking stops counting each block when it is full; "
		     "enlarge it (docker run --shm-size=1g), or lower the cap with --memory", dir, free_text, cap_text);
	else
		fine("segments in %s (%s free); the tracker uses at most %s", dir, free_text, cap_text);
}

static void check_segment_dir(struct doctor *d, const char *who)
{
	struct environment_options options;
	char asked[256];
	const char *why = "";
	uint64_t limit = read_memory_limit(who), cap = default_cap(limit);
	environment_begin(&options);
	environment_get(&options, "dir", asked, sizeof asked);
	const char *dir = asked[0] ? asked : locate_segment_dir(&why);
	if (!dir)
		against(d, "/dev/shm %s and no other directory is in memory: mount a tmpfs there, or name a directory with --dir",
		        why);
	else if (!is_writable_dir(dir))
		against(d, "%s is not writable: name another directory with --dir", dir);
	else
		check_space(d, dir, cap);
	if (dir && !is_memory_dir(dir))
		note("%s is on disk: writing back can stall the program; a tmpfs is better", dir);
	if (limit) {
		char text[32];
		emit_bytes(text, limit);
		note("memory limit %s: the tracker's memory counts against it", text);
	}
}

static void check_ptrace(void)
{
	static const char *const meanings[] = {
		NULL, "only by a parent or root", "only with CAP_SYS_PTRACE", "not at all"};
	uint64_t scope;
	if (read_number_file("/proc/sys/kernel/yama/ptrace_scope", &scope) && scope >= 1 && scope <= 3)
		note("yama ptrace_scope is %" PRIu64 ": other processes may be looked into %s; tracing does not need it, looking "
		     "from outside does", scope, meanings[scope]);
}

/* ---- a running process ---- */

/* Something a process has mapped that tells what it is. */
static const struct {
	const char *library;
	const char *text;
	bool against;
} tell_tales[] = {
	{"/libasan.so", "AddressSanitizer is in it and must be alone: build it without", true},
	{"/libtsan.so", "ThreadSanitizer is in it and must be alone: build it without", true},
	{"/liblsan.so", "LeakSanitizer is in it and must be alone: build it without", true},
	{"/ld-musl", "it uses the musl C library and libmtrace.so is built for glibc: use a glibc build", true},
	{"/libjemalloc", "jemalloc is in it as a shared library: blocks are recorded above it", false},
	{"/libtcmalloc", "tcmalloc is in it as a shared library: blocks are recorded above it", false},
	{"/libmimalloc", "mimalloc is in it as a shared library: blocks are recorded above it", false},
	{"/libheaptrack_preload", "heaptrack traces it already: one tracer at a time", true},
	{"/libasyncProfiler", "async-profiler is in it: allocations it traces itself are seen through its hooks", false},
};
enum { TELL_TALES = sizeof tell_tales / sizeof tell_tales[0] };

static void note_tell_tales(struct doctor *d, const char *line, bool seen[TELL_TALES])
{
	for (size_t i = 0; i < TELL_TALES; i++) {
		if (seen[i] || !strstr(line, tell_tales[i].library))
			continue;
		seen[i] = true;
		if (tell_tales[i].against)
			against(d, "%s", tell_tales[i].text);
		else
			note("%s", tell_tales[i].text);
	}
	d->is_traced |= strstr(line, "/libmtrace.so") != NULL;
	d->is_jvm |= strstr(line, "/libjvm.so") != NULL;
}

static void check_mapped(struct doctor *d, const char *pid)
{
	char path[64], line[PATH_MAX + 128];
	bool seen[TELL_TALES] = {false};
	snprintf(path, sizeof path, "/proc/%.20s/maps", pid);
	FILE *file = fopen(path, "re");
	if (!file) {
		note("its mappings cannot be read (%s): ask as its user or as root", strerror(errno));
		return;
	}
	while (fgets(line, sizeof line, file))
		note_tell_tales(d, line, seen);
	fclose(file);
}

static size_t read_whole(const char *pid, const char *name, char *to, size_t size)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%.20s/%s", pid, name);
	FILE *file = fopen(path, "re");
	size_t n = file ? fread(to, 1, size - 1, file) : 0;
	if (file)
		fclose(file);
	to[n] = '\0';
	return n;
}

static void check_its_environment(const char *pid)
{
	char *text = malloc(ENVIRON_BYTES);
	size_t n = text ? read_whole(pid, "environ", text, ENVIRON_BYTES) : 0;
	for (size_t i = 0; i < n; i += strlen(text + i) + 1)
		if (strncmp(text + i, "LD_PRELOAD=", 11) == 0)
			check_preload(text + i + 11);
	free(text);
}

static void check_secure(struct doctor *d, const char *pid)
{
	_Alignas(Elf64_auxv_t) char text[4096];
	size_t n = read_whole(pid, "auxv", text, sizeof text) / sizeof(Elf64_auxv_t);
	const Elf64_auxv_t *entries = (const void *)text;
	for (size_t i = 0; i < n && entries[i].a_type != AT_NULL; i++)
		if (entries[i].a_type == AT_SECURE && entries[i].a_un.a_val)
			against(d, "it was started with raised rights (AT_SECURE): the loader ignores LD_PRELOAD; run it as the user "
			        "it becomes");
}

/* Of a pid in any namespace: in a container its segment bears another. */
static bool has_segment(const char *pid)
{
	struct read_running running;
	struct read_error ignored;
	bool has = read_open_running(pid, &running, &ignored) == 0;
	if (has)
		close(running.fd);
	return has;
}

static bool read_program(struct doctor *d, const char *path, struct elf_facts *facts)
{
	int failed = elf_facts_read(path, true, facts);
	if (failed)
		against(d, "%s cannot be read: %s", facts->path, strerror(-failed));
	return failed == 0;
}

static void examine_process(struct doctor *d, const char *pid)
{
	static struct elf_facts facts;
	char path[64], name[PATH_MAX];
	snprintf(path, sizeof path, "/proc/%.20s/exe", pid);
	if (read_program(d, path, &facts)) {
		ssize_t n = readlink(path, name, sizeof name - 1);
		snprintf(facts.path, sizeof facts.path, "%.*s", (int)(n > 0 ? n : 0), name);
		facts.secure = false; /* how it was started counts, not its file */
		check_program(d, &facts);
	}
	check_secure(d, pid);
	check_mapped(d, pid);
	check_its_environment(pid);
	check_segment_dir(d, pid);
}

/* ---- entry ---- */

static int verdict_of_process(const struct doctor *d)
{
	if (d->is_traced && has_segment(d->what)) {
		printf("ready: it is traced already: mtrace report %s\n", d->what);
		return 0;
	}
	if (d->first_no[0]) {
		printf("will not work: %s\n", d->first_no);
		return 1;
	}
	if (d->is_jvm) {
		printf("ready: mtrace attach %s\n", d->what);
		return 0;
	}
	printf("not traced: only a JVM can be traced while it runs, others from their start: mtrace run -- CMD; from outside: mtrace "
	       "report %s\n", d->what);
	return 1;
}

static int verdict_of_command(const struct doctor *d, int count, char **words)
{
	if (d->first_no[0]) {
		printf("will not work: %s\n", d->first_no);
		return 1;
	}
	printf("ready: mtrace run --");
	for (int i = 0; i < count; i++)
		printf(" %s", words[i]);
	putchar('\n');
	return 0;
}

static bool is_running_pid(const char *word)
{
	char path[64];
	if (!*word || word[strspn(word, "0123456789")] || strlen(word) > 10)
		return false;
	snprintf(path, sizeof path, "/proc/%s", word);
	return access(path, F_OK) == 0;
}

static int examine_command(struct doctor *d, int count, char **words)
{
	static struct elf_facts facts;
	char path[LOCATE_PATH_BYTES];
	int failed = locate_command(words[0], path);
	if (failed) {
		warn("doctor: %s: %s", words[0], failed == -ENOENT ? "no such command or process" : strerror(-failed));
		return EXIT_TROUBLE;
	}
	if (read_program(d, path, &facts))
		check_program(d, &facts);
	check_shim(d);
	check_preload(getenv("LD_PRELOAD"));
	check_segment_dir(d, "self");
	check_ptrace();
	return verdict_of_command(d, count, words);
}

int cmd_doctor(int argc, char **argv, const struct command *self)
{
	struct option_cursor cursor = {.index = 1};
	if (option_next(argc, argv, self, &cursor) == -2)
		return EXIT_TROUBLE;
	if (cursor.index >= argc) {
		warn("doctor: of what? %s", self->usage);
		return EXIT_TROUBLE;
	}
	struct doctor d = {.what = argv[cursor.index]};
	d.is_pid = argc - cursor.index == 1 && is_running_pid(d.what);
	if (!d.is_pid)
		return examine_command(&d, argc - cursor.index, argv + cursor.index);
	examine_process(&d, d.what);
	check_shim(&d);
	check_ptrace();
	return verdict_of_process(&d);
}
