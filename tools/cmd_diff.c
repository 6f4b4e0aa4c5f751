/*
 * cmd_diff: `mtrace diff A B`, `mtrace diff PID` and `mtrace baseline PID`. A baseline is a recording like any other, in
 * the state directory, under the process's pid and start time: a pid that is used again does not find it. The newest
 * BASELINES are kept. Exit 1 when a side recorded nothing, or there is no baseline.
 */
#include "command.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "emit/diff.h"
#include "model/profile.h"
#include "read/read.h"
#include "run/locate.h"
#include "show.h"

enum { BY, JSON, ROWS, ALL, OUTPUT, ALLOCATED, FULL, SEARCH };

const struct command_option cmd_diff_options[] = {
	[BY] = {"--by", "stack|site|module|thread|kind", "what rows are (default: stack)"},
	[JSON] = {"--json", NULL, "the diff as JSON, complete unless -n is given; mtrace(1) has its fields"},
	[ROWS] = {"-n", "N", "changed rows shown per kind, 0 all (default 10)"},
	[ALL] = {"--all", NULL, "the same as -n 0"},
	[OUTPUT] = {"-o", "FILE", "write there instead of stdout; .json means --json"},
	[ALLOCATED] = {"--allocated", NULL, "compare what was ever allocated, not what is live"},
	[FULL] = {"--full", NULL, "every frame of every stack, none folded away"},
	[SEARCH] = {"--search", "DIR", "look there for files with symbols, too (may be given again)"},
	{NULL, NULL, NULL},
};

enum { BASELINE_OUTPUT };

const struct command_option cmd_baseline_options[] = {
	[BASELINE_OUTPUT] = {"-o", "REC", "keep it there instead; then: mtrace diff REC PID"},
	{NULL, NULL, NULL},
};

enum { BASELINES = 16, MOST_SEARCH = 32 };
#define BASELINE_PREFIX "baseline."

/* ---- baselines ---- */

static bool is_pid(const char *word)
{
	return word[0] != '\0' && word[strspn(word, "0123456789")] == '\0';
}

/* false after one line: there is no directory to keep it in. */
static bool baseline_path(const char *command, const struct profile_process *process, char *path)
{
	char dir[LOCATE_PATH_BYTES];
	int code = locate_state_dir(dir);
	int n = code ? 0
	             : snprintf(path, LOCATE_PATH_BYTES, "%s/" BASELINE_PREFIX "%u.%" PRIu64 ".mtr", dir, process->pid,
	                        process->start_time);
	if (n > 0 && n < LOCATE_PATH_BYTES)
		return true;
	warn("%s: no directory to keep baselines in (%s): set HOME or XDG_STATE_HOME, or name a file with -o", command,
	     strerror(code ? -code : ENAMETOOLONG));
	return false;
}

struct kept {
	char name[256];
	struct timespec time;
};

static int newest_first(const void *a, const void *b)
{
	const struct timespec *x = &((const struct kept *)a)->time, *y = &((const struct kept *)b)->time;
	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? 1 : -1;
	return x->tv_nsec < y->tv_nsec ? 1 : x->tv_nsec > y->tv_nsec ? -1 : 0;
}

/* Best effort: a file that cannot be looked at or removed stays. */
static void forget_old_baselines(const char *newest)
{
	char dir[LOCATE_PATH_BYTES];
	struct kept *kept = NULL;
	size_t count = 0;
	snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(newest, '/') - newest), newest);
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		struct stat st;
		bool ours = strncmp(e->d_name, BASELINE_PREFIX, strlen(BASELINE_PREFIX)) == 0 &&
		            show_has_extension(e->d_name, ".mtr");
		if (!ours || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		struct kept *more = reallocarray(kept, count + 1, sizeof *kept);
		if (!more)
			break;
		kept = more;
		kept[count].time = st.st_mtim;
		snprintf(kept[count++].name, sizeof kept->name, "%s", e->d_name);
	}
	if (count > BASELINES)
		qsort(kept, count, sizeof *kept, newest_first);
	for (size_t i = BASELINES; i < count; i++)
		unlinkat(dirfd(d), kept[i].name, 0);
	free(kept);
	if (d)
		closedir(d);
}

/* Is there anything to compare? Else one line, and the exit code. */
static int check_side(const char *command, const char *target, const struct profile *p)
{
	if (p->processes[0].mode == PROFILE_OUTSIDE) {
		warn("%s: %s is not traced, so there are no stacks to compare; `mtrace doctor %s` says how to get them",
		     command, target, target);
		return EXIT_NOTHING;
	}
	return show_recorded(command, target, p);
}

static int save_baseline(const char *pid, const char *output, const struct profile *p)
{
	char path[LOCATE_PATH_BYTES];
	struct read_error error = {""};
	int code = check_side("baseline", pid, p);
	if (code != EXIT_DONE)
		return code;
	if (!output && !baseline_path("baseline", &p->processes[0], path))
		return EXIT_TROUBLE;
	if (write_recording(output ? output : path, true, p, &error) != 0) {
		warn("baseline: %s", error.text);
		return EXIT_TROUBLE;
	}
	if (!output)
		forget_old_baselines(path);
	warn("baseline of %s kept in %s; then: mtrace diff %s%s%s", pid, output ? output : path, output ? output : "",
	     output ? " " : "", pid);
	return EXIT_DONE;
}

int cmd_baseline(int argc, char **argv, const struct command *self)
{
	struct option_cursor cursor = {.index = 1};
	const char *pid = NULL, *output = NULL;
	for (int option; (option = option_or_operand(argc, argv, self, &cursor)) != -1;) {
		if (option == BASELINE_OUTPUT)
			output = cursor.value;
		else if (option == -3 && !pid)
			pid = cursor.value;
		else if (option == -3)
			warn("baseline: one process at a time: %s or %s?", pid, cursor.value);
		if (option == -2 || (option == -3 && pid != cursor.value))
			return EXIT_TROUBLE;
	}
	if (!pid || !is_pid(pid)) {
		warn(pid ? "baseline: %s is no pid; a recording is a baseline as it is: mtrace diff %s PID"
		         : "baseline: of which process? give its pid; `mtrace ps` lists them",
		     pid, pid);
		return EXIT_TROUBLE;
	}
	struct profile *p = show_open("baseline", pid, NULL);
	if (!p)
		return EXIT_TROUBLE;
	int code = save_baseline(pid, output, p);
	profile_free(p);
	return code;
}

/* ---- diff ---- */

struct request {
	struct emit_diff emit;
	const char *targets[2], *output;
	size_t target_count;
	const char *search[MOST_SEARCH + 1];
	size_t search_count;
	bool json, has_limit, allocated;
};

static bool take_target(struct request *r, const char *word)
{
	if (r->target_count == 2) {
		warn("diff: two targets, A and B, or a pid alone; %s is one too many", word);
		return false;
	}
	r->targets[r->target_count++] = word;
	return true;
}

static bool take(struct request *r, int option, const char *value)
{
	switch (option) {
	case BY: return show_by("diff", value, &r->emit.by);
	case JSON: r->json = true; return true;
	case ROWS: r->has_limit = true; return show_number("diff", value, &r->emit.limit);
	case ALL:
		r->has_limit = true;
		r->emit.limit = 0;
		return true;
	case OUTPUT: r->output = value; return true;
	case ALLOCATED: r->allocated = true; return true;
	case FULL: r->emit.full = true; return true;
	case SEARCH:
		if (r->search_count < MOST_SEARCH)
			r->search[r->search_count++] = value;
		return true;
	case -3: return take_target(r, value);
	default: return false;
	}
}

static bool parse(int argc, char **argv, const struct command *self, struct request *r)
{
	struct option_cursor cursor = {.index = 1};
	for (int option; (option = option_or_operand(argc, argv, self, &cursor)) != -1;)
		if (!take(r, option, cursor.value))
			return false;
	if (r->target_count == 0)
		warn("diff: of what? give two of: a pid, a segment file, a recording, `last`; or a pid after `mtrace "
		     "baseline PID`");
	else if (r->target_count == 1 && !is_pid(r->targets[0]))
		warn("diff: %s with what? give a second one; a pid alone is compared with its baseline", r->targets[0]);
	else if (r->allocated && r->emit.by == EMIT_BY_THREAD)
		warn("diff: by thread only what is live is known: leave out --allocated, or take another --by");
	else {
		r->json |= r->output && show_has_extension(r->output, ".json");
		if (!r->has_limit)
			r->emit.limit = r->json ? 0 : 10;
		return true;
	}
	return false;
}

/* B is open, A is the baseline of its process. NULL after one line; *code then says which trouble. */
static struct profile *open_baseline(struct request *r, const struct profile *b, char *path, int *code)
{
	const struct profile_process *process = &b->processes[0];
	*code = EXIT_TROUBLE;
	if (!baseline_path("diff", process, path))
		return NULL;
	if (access(path, F_OK) != 0) {
		*code = EXIT_NOTHING;
		warn("diff: there is no baseline of %s; `mtrace baseline %s` keeps what it holds, to compare with "
		     "later",
		     r->targets[0], r->targets[0]);
		return NULL;
	}
	struct profile *a = show_open("diff", path, r->search_count ? r->search : NULL);
	if (a && a->processes[0].image != process->image) {
		warn("diff: %s is another program since its baseline (exec): nothing of it is left to compare",
		     r->targets[0]);
		*code = EXIT_NOTHING;
		profile_free(a);
		a = NULL;
	}
	return a;
}

static int print(struct request *r)
{
	struct diff diff;
	FILE *out;
	if (show_output("diff", r->output, &out) != 0)
		return EXIT_TROUBLE;
	show_dress(out, &r->emit.color, &r->emit.columns);
	emit_diff_make(r->emit.a, r->emit.b, r->emit.by, r->allocated, &diff);
	r->emit.diff = &diff;
	if (r->json)
		emit_diff_json(&r->emit, out);
	else
		emit_diff_text(&r->emit, out);
	diff_free(&diff);
	return show_close("diff", r->output, out) == 0 ? EXIT_DONE : EXIT_TROUBLE;
}

static int compare(struct request *r)
{
	const struct profile *a = r->emit.a, *b = r->emit.b;
	int code = check_side("diff", r->emit.target_a, a);
	if (code == EXIT_DONE)
		code = check_side("diff", r->emit.target_b, b);
	if (code != EXIT_DONE)
		return code;
	if (a->processes[0].mode != b->processes[0].mode ||
	    a->processes[0].sample_bytes != b->processes[0].sample_bytes) {
		warn("diff: %s and %s were not recorded alike (exact, sampled): their figures cannot stand in one "
		     "table",
		     r->emit.target_a, r->emit.target_b);
		return EXIT_TROUBLE;
	}
	return print(r);
}

int cmd_diff(int argc, char **argv, const struct command *self)
{
	struct request r = {.target_count = 0};
	char path[LOCATE_PATH_BYTES];
	struct profile *a = NULL, *b = NULL;
	int code = EXIT_TROUBLE;
	if (!parse(argc, argv, self, &r))
		return EXIT_TROUBLE;
	const char *const *search = r.search_count ? r.search : NULL;
	bool alone = r.target_count == 1;
	if (!alone)
		a = show_open("diff", r.targets[0], search);
	if (alone || a)
		b = show_open("diff", r.targets[alone ? 0 : 1], search);
	if (b && alone)
		a = open_baseline(&r, b, path, &code);
	if (a && b) {
		r.emit.a = a;
		r.emit.b = b;
		r.emit.target_a = alone ? path : r.targets[0];
		r.emit.target_b = r.targets[alone ? 0 : 1];
		code = compare(&r);
	}
	profile_free(a);
	profile_free(b);
	return code;
}
