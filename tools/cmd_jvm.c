/*
 * cmd_jvm: `mtrace jvm PID nmt|histogram|heapdump FILE|threads|gc`: what a HotSpot JVM says of itself, by its own attach
 * socket, so that no JDK has to be where it runs. Exit 1 when there is nothing to show (native memory tracking is off).
 */
#include "command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "attach/ask.h"
#include "attach/hotspot.h"
#include "attach/kept.h"
#include "emit/emit_text.h"
#include "read/read.h"
#include "run/locate.h"
#include "show.h"

enum { BASELINE, ALL, ROWS };

const struct command_option cmd_jvm_options[] = {
	[BASELINE] = {"--baseline", NULL, "nmt, histogram: keep what it is now; the next one shows the difference"},
	[ALL] = {"--all", NULL, "histogram, heapdump: garbage too, without the full collection that comes first"},
	[ROWS] = {"-n", "NUMBER", "histogram: rows to show, 0 for all (default 20)"},
	{NULL, NULL, NULL},
};

enum { ROWS_USUAL = 20, NAME_BYTES = 48 };

struct request {
	const char *pid, *what, *file;
	bool baseline, all;
	uint32_t rows;
};

/* ---- asking ---- */

/* false after one line: the JVM said no. */
static bool is_done(const struct request *r, const struct answer *answer)
{
	char line[300];
	if (answer->code == 0)
		return true;
	answer_first_line(answer, line, sizeof line);
	warn("jvm: %s refuses %s: %s", r->pid, r->what, line[0] ? line : "it does not say why");
	return false;
}

static bool ask_jvm(const struct request *r, const struct hotspot *jvm, const char *text, struct answer *answer)
{
	struct read_error error = {""};
	if (ask_command(jvm, text, answer, &error) != 0) {
		warn("jvm: %s", error.text);
		return false;
	}
	if (is_done(r, answer))
		return true;
	answer_free(answer);
	return false;
}

/* Its words as they are. */
static int print_answer(const struct request *r, const struct hotspot *jvm, const char *text)
{
	struct answer answer;
	if (!ask_jvm(r, jvm, text, &answer))
		return EXIT_TROUBLE;
	fputs(answer.text, stdout);
	if (!answer.text[0])
		warn("jvm: %s: %s is done", r->pid, r->what);
	answer_free(&answer);
	return EXIT_DONE;
}

/* ---- tables: native memory and the histogram ---- */

/* What a table is of, and how its figures are called. */
struct subject {
	const char *name, *command, *all, *rows, *first, *second;
	bool first_is_bytes;
	int (*read)(const char *text, struct answer_table *table);
	const char *nothing; /* why the JVM's answer may have no table */
};

static const struct subject native_memory = {"nmt",
                                             "VM.native_memory summary scale=B",
                                             NULL,
                                             "category",
                                             "reserved",
                                             "committed",
                                             true,
                                             answer_native_memory,
                                             "native memory tracking is off, and a running JVM cannot turn it on: "
                                             "restart it with -XX:NativeMemoryTracking=summary"};
static const struct subject histogram = {"histogram", "GC.class_histogram", "GC.class_histogram -all",
                                         "class",     "instances",          "bytes",
                                         false,       answer_histogram,     "its answer has no histogram"};

struct change {
	const char *name;
	uint64_t first, second;
	int64_t first_change, second_change;
};

static int64_t less(uint64_t now, uint64_t before)
{
	return (int64_t)(now - before);
}

static uint64_t size_of(int64_t change)
{
	return change < 0 ? (uint64_t)-change : (uint64_t)change;
}

/* What changed most, then what is largest. */
static int by_weight(const void *a, const void *b)
{
	const struct change *x = a, *y = b;
	uint64_t i = size_of(x->second_change), j = size_of(y->second_change);
	if (i != j)
		return i < j ? 1 : -1;
	if (x->second != y->second)
		return x->second < y->second ? 1 : -1;
	return strcmp(x->name, y->name);
}

static struct change change_of(const struct answer_row *now, const struct answer_row *before, bool compare)
{
	struct change c = {now->name, now->first, now->second, 0, 0};
	if (compare) {
		c.first_change = less(now->first, before ? before->first : 0);
		c.second_change = less(now->second, before ? before->second : 0);
	}
	return c;
}

/* Rows of both; what is only in the baseline is gone. The caller frees it. */
static struct change *compare(const struct answer_table *now, const struct answer_table *before, size_t *count)
{
	struct change *rows = calloc(now->count + (before ? before->count : 0) + 1, sizeof *rows);
	size_t n = 0;
	if (!rows)
		die(EXIT_TROUBLE, "jvm: no memory for %zu rows", now->count);
	for (size_t i = 0; i < now->count; i++)
		rows[n++] = change_of(&now->rows[i], before ? answer_row_of(before, now->rows[i].name) : NULL,
		                      before != NULL);
	for (size_t i = 0; before && i < before->count; i++) {
		const struct answer_row gone = {before->rows[i].name, 0, 0};
		if (!answer_row_of(now, gone.name))
			rows[n++] = change_of(&gone, &before->rows[i], true);
	}
	qsort(rows, n, sizeof *rows, by_weight);
	*count = n;
	return rows;
}

static const char *figure(char out[40], uint64_t value, bool is_bytes)
{
	if (is_bytes)
		emit_bytes(out, value);
	else
		emit_count(out, value);
	return out;
}

static const char *change_text(char out[40], int64_t change, bool is_bytes)
{
	char size[40];
	snprintf(out, 40, "%s%.32s", change < 0 ? "-" : "+", figure(size, size_of(change), is_bytes));
	return out;
}

static void print_row(const struct subject *s, const struct change *c, bool compared)
{
	char first[40], second[40];
	printf("%12s %12s", figure(first, c->first, s->first_is_bytes), figure(second, c->second, true));
	if (compared)
		printf(" %12s %12s", change_text(first, c->first_change, s->first_is_bytes),
		       change_text(second, c->second_change, true));
	printf("  %s\n", c->name);
}

static void print_table(const struct request *r, const struct subject *s, const struct answer_table *now,
                        const struct answer_table *before, uint64_t age_ns)
{
	size_t count, shown = 0;
	char age[32];
	struct change *rows = compare(now, before, &count);
	const struct answer_row all_now = {(char *)"total", now->total.first, now->total.second};
	struct change total = change_of(&all_now, before ? &before->total : NULL, before != NULL);
	printf("%12s %12s", s->first, s->second);
	emit_duration(age, age_ns);
	if (before)
		printf(" %25s", "since the baseline");
	printf("  %s", s->rows);
	printf(before ? " (baseline of %s ago)\n" : "\n", age);
	print_row(s, &total, before != NULL);
	for (; shown < count && (r->rows == 0 || shown < r->rows); shown++)
		print_row(s, &rows[shown], before != NULL);
	if (shown < count)
		printf("… %zu more: -n 0 shows all\n", count - shown);
	free(rows);
}

static int keep_baseline(const struct request *r, const struct subject *s, const struct hotspot *jvm, const char *text)
{
	char dir[LOCATE_PATH_BYTES];
	int code = locate_state_dir(dir);
	if (code == 0)
		code = kept_write(dir, jvm, s->name, text);
	if (code) {
		warn("jvm: the baseline cannot be kept (%s): set HOME or XDG_STATE_HOME to a directory that can be "
		     "written",
		     strerror(-code));
		return EXIT_TROUBLE;
	}
	warn("baseline of %s kept; then: mtrace jvm %s %s", r->pid, r->pid, s->name);
	return EXIT_DONE;
}

/* NULL: there is none. */
static char *find_baseline(const struct request *r, const struct subject *s, const struct hotspot *jvm,
                           uint64_t *age_ns)
{
	char dir[LOCATE_PATH_BYTES], *text = NULL;
	int code = locate_state_dir(dir);
	if (code == 0)
		code = kept_read(dir, jvm, s->name, &text, age_ns);
	if (code && code != -ENOENT)
		warn("jvm: the baseline of %s cannot be read (%s); shown without", r->pid, strerror(-code));
	return code ? NULL : text;
}

static void show_table(const struct request *r, const struct subject *s, const struct hotspot *jvm,
                       const struct answer_table *now)
{
	uint64_t age_ns = 0;
	struct answer_table before;
	char *text = find_baseline(r, s, jvm, &age_ns);
	bool has = text && s->read(text, &before) == 0;
	print_table(r, s, now, has ? &before : NULL, age_ns);
	if (has)
		answer_table_free(&before);
	free(text);
}

static int tabled(const struct request *r, const struct subject *s, const struct hotspot *jvm)
{
	struct answer answer;
	struct answer_table table;
	if (!ask_jvm(r, jvm, r->all && s->all ? s->all : s->command, &answer))
		return EXIT_TROUBLE;
	int code = s->read(answer.text, &table) == 0 ? EXIT_DONE : EXIT_NOTHING;
	if (code == EXIT_NOTHING) {
		warn("jvm: %s: %s", r->pid, s->nothing);
	} else {
		if (r->baseline)
			code = keep_baseline(r, s, jvm, answer.text);
		else
			show_table(r, s, jvm, &table);
		answer_table_free(&table);
	}
	answer_free(&answer);
	return code;
}

/* ---- the heap dump ---- */

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The directory part of an absolute path, "/" included. */
static void directory_of(const char *path, char dir[PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	snprintf(dir, PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

/* The path as the JVM has to be told it. A relative one is ours, which only a JVM that sees the same directory can use. */
static bool find_path(const struct request *r, const struct hotspot *jvm, char path[PATH_MAX])
{
	char dir[PATH_MAX];
	int n = -1;
	if (r->file[0] == '/')
		n = snprintf(path, PATH_MAX, "%s", r->file);
	else if (getcwd(dir, sizeof dir))
		n = snprintf(path, PATH_MAX, "%s/%s", dir, r->file);
	if (n < 0 || n >= PATH_MAX) {
		warn("jvm: the path %s is too long", r->file);
		return false;
	}
	directory_of(path, dir);
	if (r->file[0] == '/' || hotspot_sees(jvm, dir))
		return true;
	warn("jvm: %s does not see %s, where we are (it is in a container?): name a file in a directory of its own, "
	     "like /tmp/%s",
	     r->pid, dir, r->file);
	return false;
}

/* Below the JVM's root, for us to look at. */
static void outside_path(const struct hotspot *jvm, const char *path, char outside[PATH_MAX + 64])
{
	snprintf(outside, PATH_MAX + 64, "/proc/%d/root%s", (int)jvm->pid, path);
}

static bool has_room(const struct request *r, const struct hotspot *jvm, const char *path, uint64_t used)
{
	char dir[PATH_MAX], outside[PATH_MAX + 64], need[32], there_is[32];
	struct statvfs fs;
	struct stat st;
	directory_of(path, dir);
	outside_path(jvm, dir, outside);
	if (statvfs(outside, &fs) != 0) {
		warn("jvm: heapdump: %s, as %s sees it: %s", dir, r->pid, strerror(errno));
		return false;
	}
	outside_path(jvm, path, outside);
	if (lstat(outside, &st) == 0) {
		warn("jvm: heapdump: %s is there already, as %s sees it: name another file", path, r->pid);
		return false;
	}
	uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
	emit_bytes(need, used);
	emit_bytes(there_is, room);
	if (room < used)
		warn("jvm: heapdump: not started: %s of heap are in use, and %s has %s left: name a file elsewhere",
		     need, dir, there_is);
	return room >= used;
}

/* HotSpot makes it 0600 itself, less its umask; a version that does not is put right as soon as it is there. */
static void make_private(const struct hotspot *jvm, const char *path, uint64_t *bytes)
{
	char outside[PATH_MAX + 64];
	struct stat st;
	outside_path(jvm, path, outside);
	if (lstat(outside, &st) != 0 || !S_ISREG(st.st_mode))
		return;
	*bytes = (uint64_t)st.st_size;
	if ((st.st_mode & 0077) && chmod(outside, 0600) != 0)
		warn("jvm: heapdump: others may read %s, and that cannot be changed: %s", path, strerror(errno));
}

static int write_dump(const struct request *r, const struct hotspot *jvm, const char *path, uint64_t used)
{
	char size[32], took[32];
	struct read_error error = {""};
	struct answer answer;
	struct question q = {.command = "dumpheap",
	                     .argument = {path, r->all ? "-all" : "-live"},
	                     .listen_ms = ASK_LISTEN_MS,
	                     .answer_ms = ASK_ANSWER_MS};
	emit_bytes(size, used);
	warn("jvm: heapdump: %s stands still until about %s are written to %s%s", r->pid, size, path,
	     r->all ? "" : ", after a full collection");
	uint64_t begin = now_ns(), bytes = 0;
	if (ask(jvm, &q, &answer, &error) != 0) {
		warn("jvm: heapdump: %s", error.text);
		return EXIT_TROUBLE;
	}
	bool done = is_done(r, &answer);
	answer_free(&answer);
	if (!done)
		return EXIT_TROUBLE;
	emit_duration(took, now_ns() - begin);
	make_private(jvm, path, &bytes);
	emit_bytes(size, bytes);
	if (bytes == 0) {
		warn("jvm: heapdump: %s says it has written %s, but it is not there", r->pid, path);
		return EXIT_TROUBLE;
	}
	warn("jvm: heapdump: %s in %s, after %s; for the analyser of your choice (it holds all strings of the program)",
	     size, path, took);
	return EXIT_DONE;
}

static int heapdump(const struct request *r, const struct hotspot *jvm)
{
	char path[PATH_MAX];
	struct answer answer;
	if (!find_path(r, jvm, path) || !ask_jvm(r, jvm, "GC.heap_info", &answer))
		return EXIT_TROUBLE;
	uint64_t used = answer_heap_used(answer.text);
	answer_free(&answer);
	if (used == 0)
		used = read_resident(jvm->pid); /* a collector whose words are not known: it is no more than this */
	return has_room(r, jvm, path, used) ? write_dump(r, jvm, path, used) : EXIT_TROUBLE;
}

/* ---- the command ---- */

static int nmt(const struct request *r, const struct hotspot *jvm)
{
	struct request all = *r;
	all.rows = 0;
	return tabled(&all, &native_memory, jvm);
}

static int class_histogram(const struct request *r, const struct hotspot *jvm)
{
	return tabled(r, &histogram, jvm);
}

static int threads(const struct request *r, const struct hotspot *jvm)
{
	return print_answer(r, jvm, "Thread.print -l");
}

static int collect(const struct request *r, const struct hotspot *jvm)
{
	return print_answer(r, jvm, "GC.run");
}

static const struct {
	const char *name;
	int (*run)(const struct request *r, const struct hotspot *jvm);
	bool takes_file, takes_baseline;
} questions[] = {
	{"nmt", nmt, false, true},           {"histogram", class_histogram, false, true},
	{"heapdump", heapdump, true, false}, {"threads", threads, false, false},
	{"gc", collect, false, false},
};
enum { QUESTIONS = sizeof questions / sizeof questions[0] };

static int find_question(const char *name)
{
	const char *names[QUESTIONS + 1] = {NULL};
	for (int i = 0; i < QUESTIONS; i++) {
		if (strcmp(questions[i].name, name) == 0)
			return i;
		names[i] = questions[i].name;
	}
	const char *close = nearest(name, names);
	warn("jvm: %s is none of nmt, histogram, heapdump, threads, gc%s%s%s", name, close ? "; did you mean " : "",
	     close ? close : "", close ? "?" : "");
	return -1;
}

static bool take(struct request *r, int option, const char *value)
{
	const char **place = !r->pid ? &r->pid : !r->what ? &r->what : !r->file ? &r->file : NULL;
	switch (option) {
	case BASELINE: r->baseline = true; return true;
	case ALL: r->all = true; return true;
	case ROWS: return show_number("jvm", value, &r->rows);
	case -3:
		if (place)
			*place = value;
		else
			warn("jvm: %s is one too many", value);
		return place != NULL;
	default: return false;
	}
}

static bool is_number(const char *word)
{
	return word[0] != '\0' && word[strspn(word, "0123456789")] == '\0' && strlen(word) < 10;
}

static bool check(const struct request *r, const struct command *self, int *which)
{
	if (!r->pid || !r->what)
		warn("jvm: of which process, and what? %s", self->usage);
	else if (!is_number(r->pid))
		warn("jvm: %s is no pid: a JVM that runs is asked", r->pid);
	else if ((*which = find_question(r->what)) < 0)
		return false;
	else if (questions[*which].takes_file && !r->file)
		warn("jvm: heapdump: into which file? mtrace jvm %s heapdump FILE.hprof (a path of the JVM's own)",
		     r->pid);
	else if (!questions[*which].takes_file && r->file)
		warn("jvm: %s is one too many: %s takes no file", r->file, r->what);
	else if (r->baseline && !questions[*which].takes_baseline)
		warn("jvm: %s has no baseline: nmt and histogram do", r->what);
	else
		return true;
	return false;
}

int cmd_jvm(int argc, char **argv, const struct command *self)
{
	struct option_cursor cursor = {.index = 1};
	struct request r = {.rows = ROWS_USUAL};
	struct read_error error = {""};
	struct hotspot jvm;
	int which = 0;
	for (int option; (option = option_or_operand(argc, argv, self, &cursor)) != -1;)
		if (!take(&r, option, cursor.value))
			return EXIT_TROUBLE;
	if (!check(&r, self, &which))
		return EXIT_TROUBLE;
	if (hotspot_open((pid_t)strtol(r.pid, NULL, 10), ASK_LISTEN_MS, &jvm, &error) != 0) {
		warn("jvm: %s", error.text);
		return EXIT_TROUBLE;
	}
	int code = questions[which].run(&r, &jvm);
	hotspot_close(&jvm);
	return code;
}
