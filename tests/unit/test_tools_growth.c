/*
 * test_tools_growth: real programs judged: victim_growth under the shim, its segment read after each window, as a reader
 * of a running process does. No clocks: windows are what the victim is told to do. Every kind must be told right 20 times
 * of 20. Needs $BUILD (build) with libmtrace.so and the victims.
 */
#include <check.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model/profile.h"
#include "model/verdict.h"
#include "read/read.h"
#include "run.h"

#ifdef __SANITIZE_ADDRESS__
enum { TIMES = 1 };
#else
enum { TIMES = 20 };
#endif
enum { WINDOWS = 160 };

static const struct {
	const char *name;
	unsigned right; /* a bit for each verdict that is */
} kinds[] = {
	{"leak", 1 << VERDICT_LEAK}, {"slow", 1 << VERDICT_LEAK}, {"steps", 1 << VERDICT_LEAK}, {"cache", 1 << VERDICT_CACHE},
	{"lru", 1 << VERDICT_CACHE | 1 << VERDICT_UNKNOWN}, /* ages of what was freed are not known here */
	{"pool", 1 << VERDICT_STARTUP | 1 << VERDICT_CACHE | 1 << VERDICT_UNKNOWN}, {"lazy", 1 << VERDICT_GC_LAG},
	{"init", 1 << VERDICT_STARTUP}, {"spike", 1 << VERDICT_SPIKE},
};

struct victim {
	pid_t pid;
	int to, from;
	char dir[128], segment[512];
};

static void start(struct victim *v, const char *kind, const char *seed)
{
	const char *build = getenv("BUILD") ? getenv("BUILD") : "build";
	char program[512], preload[512], options[256];
	int in[2], out[2];
	snprintf(v->dir, sizeof v->dir, "/dev/shm/mtrace-test.growth.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(v->dir));
	snprintf(program, sizeof program, "%s/tests/victims/victim_growth", build);
	ck_assert_msg(access(program, X_OK) == 0, "%s is not built: make tests-build, with BUILD set", program);
	char *shim = realpath(build, NULL);
	snprintf(preload, sizeof preload, "LD_PRELOAD=%s/libmtrace.so", shim);
	free(shim);
	snprintf(options, sizeof options, "MTRACE_OPTIONS=dir=%s", v->dir);
	ck_assert_int_eq(pipe(in) | pipe(out), 0);
	v->pid = fork();
	if (v->pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		close(out[0]);
		execle(program, program, kind, seed, NULL, (char *[]){preload, options, NULL});
		_exit(9);
	}
	close(in[0]);
	close(out[1]);
	v->to = in[1];
	v->from = out[0];
}

static void window(struct victim *v)
{
	char dot = 0;
	ck_assert_int_eq(write(v->to, "w", 1), 1);
	ck_assert_int_eq(read(v->from, &dot, 1), 1);
	ck_assert_int_eq(dot, '.');
}

static void end(struct victim *v)
{
	char pattern[512];
	glob_t found;
	close(v->to);
	close(v->from);
	waitpid(v->pid, NULL, 0);
	snprintf(pattern, sizeof pattern, "%s/mtrace.*", v->dir);
	if (glob(pattern, 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			unlink(found.gl_pathv[i]);
	globfree(&found);
	rmdir(v->dir);
}

static void find_segment(struct victim *v)
{
	char pattern[512];
	glob_t found;
	snprintf(pattern, sizeof pattern, "%s/mtrace.%d.*", v->dir, (int)v->pid);
	ck_assert_msg(glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc == 1, "no segment in %s", v->dir);
	snprintf(v->segment, sizeof v->segment, "%s", found.gl_pathv[0]);
	globfree(&found);
}

/* Two stacks, the kind's own and traffic's, share the place: together they are what the victim holds. */
static void count(const struct victim *v, struct verdict_window *w, const struct profile_counts *before,
                  struct profile_counts *now)
{
	struct profile *p = profile_new();
	struct read_error error = {""};
	ck_assert_msg(read_segment(v->segment, p, NULL, &error) == 0, "%s", error.text);
	*now = p->processes[0].totals;
	profile_free(p);
	w->live_bytes = now->live_bytes;
	w->live_blocks = now->live_blocks;
	w->alloc_blocks = now->alloc_blocks - before->alloc_blocks;
	w->freed_blocks = now->freed_blocks - before->freed_blocks;
}

static struct verdict judge(const char *kind, int seed)
{
	static struct verdict_window windows[WINDOWS];
	struct profile_counts before = {0}, now;
	struct victim v = {0};
	struct verdict verdict;
	char text[16];
	snprintf(text, sizeof text, "%d", seed);
	start(&v, kind, text);
	for (size_t i = 0; i < WINDOWS; i++) {
		window(&v);
		if (i == 0)
			find_segment(&v);
		windows[i] = (struct verdict_window){.time_ns = (i + 1) * 1000000000u};
		count(&v, &windows[i], &before, &now);
		before = now;
	}
	end(&v);
	verdict_of(&(struct verdict_input){.windows = windows, .count = WINDOWS, .has_flow = true}, &verdict);
	return verdict;
}

START_TEST(told_right_every_time)
{
	for (int seed = 1; seed <= TIMES; seed++) {
		struct verdict v = judge(kinds[_i].name, seed);
		ck_assert_msg(kinds[_i].right & 1u << v.kind, "%s, seed %d: %s (why %d)", kinds[_i].name, seed, verdict_name(v.kind),
		              v.why);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("growth");
	TCase *tests = tcase_create("growth");
	signal(SIGPIPE, SIG_IGN);
	tcase_set_timeout(tests, 300);
	tcase_add_loop_test(tests, told_right_every_time, 0, sizeof kinds / sizeof kinds[0]);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
