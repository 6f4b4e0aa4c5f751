/*
 * test_tools_gate_input: what a gate is told, and the files it keeps: phases, policies, values of --scale, baselines. Each is
 * read as its page says, or refused; a baseline comes back as it was written.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_profile.h"
#include "format.h"
#include "gate/baseline.h"
#include "gate/identity.h"
#include "gate/plan.h"
#include "gate/policy.h"
#include "gate/scale.h"
#include "model/past.h"
#include "run.h"

/* ---- phases ---- */

START_TEST(phases_are_read_or_refused)
{
	static const struct { const char *text; bool good; uint64_t warmup, work, windows; } table[] = {
		{"warmup:20", true, 20, 0, 0}, {"warmup:0", true, 0, 0, 0}, {"work:1000/10", true, 0, 1000, 10},
		{"work:7", true, 0, 7, 0},
		{"work:1000000000", true, 0, 1000000000, 0}, {"work:1000000001", false, 0, 0, 0}, {"work:0", false, 0, 0, 0},
		{"work:10/0", false, 0, 0, 0}, {"work:10/", false, 0, 0, 0}, {"work:/10", false, 0, 0, 0},
		{"work:10/10x", false, 0, 0, 0},
		{"work:-1", false, 0, 0, 0}, {"work:+1", false, 0, 0, 0}, {"work: 1", false, 0, 0, 0}, {"warmup:", false, 0, 0, 0},
		{"warmup:5/2", false, 0, 0, 0}, {"play:5", false, 0, 0, 0}, {"", false, 0, 0, 0},
		{"work:99999999999999999999", false, 0, 0, 0}};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct gate_plan plan = {.warmup = 0};
		ck_assert_msg(plan_take_phase(&plan, table[i].text) == table[i].good, "%s", table[i].text);
		if (!table[i].good)
			continue;
		ck_assert_uint_eq(plan.warmup, table[i].warmup);
		ck_assert_uint_eq(plan.work, table[i].work);
		ck_assert_uint_eq(plan.windows, table[i].windows);
	}
}
END_TEST

static uint64_t windows_of(uint64_t warmup, uint64_t work, uint64_t windows, const char **wrong)
{
	struct gate_plan plan = {.warmup = warmup, .has_warmup = warmup > 0, .work = work, .windows = windows,
	                         .has_windows = windows > 0};
	*wrong = plan_settle(&plan);
	for (uint64_t i = 1; !*wrong && i <= plan.windows; i++)
		ck_assert_uint_lt(plan_cut(&plan, i - 1), plan_cut(&plan, i));
	ck_assert(*wrong || (plan_cut(&plan, 0) == (warmup ? warmup : 1) && plan_cut(&plan, plan.windows) == warmup + work));
	return plan.windows;
}

START_TEST(windows_follow_from_the_work)
{
	const char *wrong;
	ck_assert_uint_eq(windows_of(20, 1000, 10, &wrong), 70);
	ck_assert_uint_eq(windows_of(20, 1000, 0, &wrong), 64);
	ck_assert_uint_eq(windows_of(20, 1000, 32, &wrong), 64);
	ck_assert_uint_eq(windows_of(20, 1000, 120, &wrong), 120);
	ck_assert_uint_eq(windows_of(20, 25, 10, &wrong), 20);
	ck_assert_uint_eq(windows_of(0, 11, 10, &wrong), 10);
	ck_assert_uint_eq(windows_of(0, 9, 0, &wrong), 8);
	ck_assert_ptr_null(wrong);
	windows_of(20, 1000, 121, &wrong);
	ck_assert_ptr_nonnull(wrong);
	windows_of(20, 1000, 7, &wrong);
	ck_assert_ptr_nonnull(wrong);
	windows_of(0, 8, 8, &wrong);
	ck_assert_ptr_nonnull(wrong);
	windows_of(0, 0, 0, &wrong);
	ck_assert_ptr_nonnull(wrong);
}
END_TEST

/* ---- cuts, as a process remembers them ---- */

/* Its n-th mark that was kept is cut n, also when marks of others and of snapshots stand between, and boundaries of time. */
START_TEST(cuts_are_found_again)
{
	enum { CUTS = 11 };
	struct profile_mark marks[3 * CUTS];
	struct profile_boundary boundaries[2 * CUTS];
	struct profile_counter between = {"marks_between", 989};
	struct profile_process process = {.marks = marks, .boundaries = boundaries, .counters = &between, .counter_count = 1};
	struct past_cuts cuts = {"step", 20, 1020, CUTS - 1};
	uint32_t found[64];
	uint64_t steps[64];
	for (uint32_t i = 0; i < CUTS; i++) {
		marks[process.mark_count++] = (struct profile_mark){"other", i * 10, 0};
		marks[process.mark_count++] = (struct profile_mark){"step", i * 10 + 1, MTRACE_MARK_SNAPSHOT};
		boundaries[process.boundary_count++] = (struct profile_boundary){.time_ns = i * 10, .unit = i + 1,
		                                                                      .mark = PROFILE_NO_MARK};
		if (i != 4) /* its boundary could not be made */
			boundaries[process.boundary_count++] = (struct profile_boundary){.time_ns = i * 10 + 2, .mark = process.mark_count};
		marks[process.mark_count++] = (struct profile_mark){"step", i * 10 + 2, 0};
	}
	ck_assert_uint_eq(past_marks(&process, &cuts), 989 + CUTS);
	ck_assert_uint_eq(past_cut_at(&process, &cuts, found, steps), CUTS - 1);
	for (uint64_t i = 0; i < CUTS - 1; i++)
		ck_assert_uint_eq(steps[i], mtrace_cut(20, 1020, CUTS - 1, i + (i >= 4)));
	cuts.name = "nobody";
	ck_assert_uint_eq(past_cut_at(&process, &cuts, found, steps), 0);
}
END_TEST

/* ---- policies ---- */

START_TEST(lines_of_a_policy)
{
	static const struct { const char *text; int result; enum policy_of of; enum policy_what what; double limit; } table[] = {
		{"max total live 10MiB", 0, POLICY_TOTAL, POLICY_LIVE, 10 << 20},
		{"max total peak 1GiB # all", 0, POLICY_TOTAL, POLICY_PEAK, 1 << 30},
		{"\tmax  total growth 0", 0, POLICY_TOTAL, POLICY_GROWTH, 0},
		{"max stack f live 64KiB", 0, POLICY_STACK, POLICY_LIVE, 65536},
		{"max stack \"a b\" growth 0.5B", 0, POLICY_STACK, POLICY_GROWTH, 0.5},
		{"max module libz live 1", 0, POLICY_MODULE, POLICY_LIVE, 1},
		{"max baseline 3%", 0, POLICY_BASELINE, POLICY_AMOUNT, 3}, {"require drops 0", 0, POLICY_DROPS, POLICY_AMOUNT, 0},
		{"require symbols 95.5%", 0, POLICY_SYMBOLS, POLICY_AMOUNT, 95.5}, {"", 1, 0, 0, 0}, {"  # max total live 1", 1, 0, 0, 0},
		{"max", -1, 0, 0, 0}, {"max total", -1, 0, 0, 0}, {"max total live", -1, 0, 0, 0}, {"max total live 1 2", -1, 0, 0, 0},
		{"max total live x", -1, 0, 0, 0}, {"max total live -1", -1, 0, 0, 0}, {"max total live nan", -1, 0, 0, 0},
		{"max total live 1e300", -1, 0, 0, 0}, {"max total live 1TiB", -1, 0, 0, 0}, {"max stack live 1", -1, 0, 0, 0},
		{"max stack \"\" live 1", -1, 0, 0, 0}, {"max stack f peak 1", -1, 0, 0, 0}, {"max stack \"f live 1", -1, 0, 0, 0},
		{"max baseline 3", -1, 0, 0, 0}, {"require drops", -1, 0, 0, 0}, {"require symbols 95", -1, 0, 0, 0},
		{"require silence 1", -1, 0, 0, 0}, {"allow leaks", -1, 0, 0, 0}};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		const char *wrong = NULL;
		struct policy policy;
		policy_init(&policy);
		ck_assert_msg(policy_read_line(&policy, table[i].text, &wrong) == table[i].result, "%s", table[i].text);
		ck_assert_uint_eq(policy.count, table[i].result == 0);
		ck_assert((wrong != NULL) == (table[i].result == -1) || table[i].result == 0);
		if (table[i].result == 0) {
			ck_assert_int_eq(policy.lines[0].of, table[i].of);
			ck_assert_int_eq(policy.lines[0].what, table[i].what);
			ck_assert_double_eq_tol(policy.lines[0].limit, table[i].limit, 1e-9);
			ck_assert_ptr_null(strchr(policy.lines[0].text, '#'));
		}
		policy_free(&policy);
	}
}
END_TEST

START_TEST(of_lines_about_one_thing_the_last_counts)
{
	struct policy policy;
	const char *wrong;
	policy_init(&policy);
	policy_read_line(&policy, "max baseline 3%", &wrong);
	policy_read_line(&policy, "max baseline 1%", &wrong);
	ck_assert_double_eq_tol(policy_find(&policy, POLICY_BASELINE, POLICY_AMOUNT)->limit, 1, 1e-9);
	ck_assert_ptr_null(policy_find(&policy, POLICY_TOTAL, POLICY_LIVE));
	policy_free(&policy);
}
END_TEST

/* ---- more work ---- */

START_TEST(values_of_scale)
{
	static const struct { const char *text; size_t count; } table[] = {
		{"N={1,4}", 2}, {"N=1,4", 2}, {"REPEAT_2={1,2,4,8}", 4}, {"N=1", 0}, {"N={4,1}", 0}, {"N={1,1}", 0}, {"N={0,1}", 0},
		{"N={1,4", 0}, {"N={1,}", 0}, {"N={,4}", 0}, {"={1,4}", 0}, {"2N={1,4}", 0}, {"N-M={1,4}", 0}, {"N", 0}, {"N={1;4}", 0},
		{"N={1,2,3,4,5,6,7,8}", 8}, {"N={1,2,3,4,5,6,7,8,9}", 0}, {"N={1,99999999999}", 0}, {"N={}", 0}};
	static struct scale s;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		ck_assert_msg(scale_take(&s, table[i].text) == (table[i].count > 0), "%s", table[i].text);
		ck_assert(table[i].count == 0 || s.count == table[i].count);
	}
}
END_TEST

START_TEST(arguments_of_scale)
{
	static struct scale s;
	char *argv[] = {(char *)"app", (char *)"--n=$N", (char *)"${N}00", (char *)"$NO $ ${NO} $N_ $N.$N", (char *)"", NULL};
	ck_assert(scale_take(&s, "N={3,5}"));
	char **made = scale_arguments(&s, 1, argv);
	ck_assert_str_eq(made[1], "--n=5");
	ck_assert_str_eq(made[2], "500");
	ck_assert_str_eq(made[3], "$NO $ ${NO} $N_ 5.5");
	ck_assert_str_eq(made[4], "");
	ck_assert_ptr_null(made[5]);
	ck_assert_str_eq(getenv("N"), "5");
	scale_free_arguments(made);
}
END_TEST

static bool grows(const char *values, const uint64_t *blocks, const uint64_t *bytes)
{
	static struct scale s;
	struct baseline_row rows[SCALE_MOST];
	ck_assert(scale_take(&s, values));
	for (size_t i = 0; i < s.count; i++) {
		rows[i] = (struct baseline_row){"malloc f@app", blocks[i], bytes[i], NULL, NULL};
		s.left[i] = (struct baseline){.rows = &rows[i], .count = blocks[i] > 0};
	}
	return scale_growth_of(&s, "malloc f@app").grows;
}

START_TEST(what_grows_with_the_work)
{
#define OF(...) (const uint64_t[]){__VA_ARGS__}
	ck_assert(grows("N={1,4}", OF(1, 4), OF(16, 64)));
	ck_assert(grows("N={1,4}", OF(0, 3), OF(0, 48)));
	ck_assert(!grows("N={1,4}", OF(10, 10), OF(160, 160)));
	ck_assert(!grows("N={1,4}", OF(10, 12), OF(160, 0)));   /* two more, of three units */
	ck_assert(!grows("N={1,4}", OF(10, 5), OF(160, 1600))); /* fewer, larger */
	ck_assert(grows("N={1,4}", OF(1, 1), OF(100, 400)));    /* a buffer */
	ck_assert(grows("N={1,2,4}", OF(100, 200, 400), OF(1, 2, 4)));
	ck_assert(!grows("N={1,2,4}", OF(100, 200, 200), OF(1, 2, 2))); /* full in between */
	ck_assert(!grows("N={1,2,4}", OF(100, 100, 200), OF(1, 1, 2))); /* noise */
}
END_TEST

/* ---- baselines ---- */

static char path[64];

static void make_path(void)
{
	snprintf(path, sizeof path, "/tmp/mtrace-baseline.XXXXXX");
	int fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void remove_path(void)
{
	unlink(path);
}

static int read_text(const char *text, struct baseline *b)
{
	char error[512] = "";
	FILE *file = fopen(path, "w");
	fputs(text, file);
	fclose(file);
	int code = baseline_read(path, b, error);
	ck_assert(code == 0 || strstr(error, path));
	return code;
}

#define FIRST "# mtrace gate baseline 1: …\n"

START_TEST(a_baseline_comes_back)
{
	struct baseline made, read;
	char error[512];
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct profile *p = fake_profile_random(seed, 40);
		baseline_of_profile(p, &made);
		ck_assert_int_eq(baseline_write(path, &made, error), 0);
		ck_assert_int_eq(baseline_read(path, &read, error), 0);
		ck_assert_uint_eq(read.count, made.count);
		ck_assert_uint_eq(read.bytes, made.bytes);
		ck_assert_uint_eq(read.blocks, made.blocks);
		for (size_t i = 0; i < made.count; i++) {
			ck_assert_str_eq(read.rows[i].identity, made.rows[i].identity);
			ck_assert_uint_eq(read.rows[i].bytes, made.rows[i].bytes);
			ck_assert_ptr_eq(baseline_find(&read, made.rows[i].identity), &read.rows[i]);
			ck_assert(i == 0 || strcmp(made.rows[i - 1].identity, made.rows[i].identity) < 0);
		}
		baseline_free(&made);
		baseline_free(&read);
		profile_free(p);
	}
}
END_TEST

START_TEST(a_merge_of_two_is_one)
{
	struct baseline b;
	ck_assert_int_eq(read_text(FIRST "20 2 malloc b@app\n10 1 malloc a@app\n# a word\n\n5 1 malloc b@app\n", &b), 0);
	ck_assert_uint_eq(b.count, 2);
	ck_assert_uint_eq(b.bytes, 35);
	ck_assert_uint_eq(baseline_find(&b, "malloc b@app")->bytes, 25);
	ck_assert_ptr_null(baseline_find(&b, "malloc c@app"));
	ck_assert_ptr_null(baseline_find(&b, "malloc"));
	baseline_free(&b);
}
END_TEST

START_TEST(what_is_no_baseline_is_refused)
{
	static const char *const texts[] = {"", "20 2 malloc b@app\n", "# mtrace gate baseline 2\n",
	                                    FIRST "<<<<<<< ours\n", FIRST "20 malloc b\n",
	                                    FIRST "20 2\n", FIRST "20 2 \n", FIRST "-20 2 malloc\n", FIRST "x\n"};
	struct baseline b;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		ck_assert_msg(read_text(texts[i], &b) != 0, "%s", texts[i]);
	unlink(path);
	char error[512];
	ck_assert_int_lt(baseline_read(path, &b, error), 0);
}
END_TEST

START_TEST(more_by_so_many_per_cent)
{
	ck_assert(baseline_exceeds(103, 100, 2));
	ck_assert(!baseline_exceeds(102, 100, 2));
	ck_assert(!baseline_exceeds(50, 100, 0));
	ck_assert(baseline_exceeds(1, 0, 2));
	ck_assert(!baseline_exceeds(0, 0, 2));
	ck_assert(baseline_exceeds(UINT64_MAX, 1, 1000));
}
END_TEST

/* ---- names ---- */

START_TEST(an_identity_has_no_addresses_and_one_line)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct profile *p = fake_profile_random(seed, 40), *pool = profile_new();
		for (uint32_t i = 0; i < p->process_count; i++)
			for (uint32_t k = 0; k < p->processes[i].stack_count; k++) {
				struct profile_process *process = &p->processes[i];
				const char *before = identity_of(pool, process, &process->stacks[k]);
				ck_assert_ptr_null(strchr(before, '\n'));
				for (uint32_t f = 0; f < process->frame_count; f++) /* a rebuild */
					process->frames[f].value += process->frames[f].kind == MTRACE_FRAME_NATIVE ? 16 : 0;
				ck_assert_str_eq(identity_of(pool, process, &process->stacks[k]), before);
			}
		profile_free(pool);
		profile_free(p);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("gate input");
	TCase *told = tcase_create("told"), *kept = tcase_create("kept");
	tcase_add_test(told, phases_are_read_or_refused);
	tcase_add_test(told, windows_follow_from_the_work);
	tcase_add_test(told, cuts_are_found_again);
	tcase_add_test(told, lines_of_a_policy);
	tcase_add_test(told, of_lines_about_one_thing_the_last_counts);
	tcase_add_test(told, values_of_scale);
	tcase_add_test(told, arguments_of_scale);
	tcase_add_test(told, what_grows_with_the_work);
	tcase_add_checked_fixture(kept, make_path, remove_path);
	tcase_add_test(kept, a_baseline_comes_back);
	tcase_add_test(kept, a_merge_of_two_is_one);
	tcase_add_test(kept, what_is_no_baseline_is_refused);
	tcase_add_test(kept, more_by_so_many_per_cent);
	tcase_add_test(kept, an_identity_has_no_addresses_and_one_line);
	suite_add_tcase(suite, told);
	suite_add_tcase(suite, kept);
	return run_suite(suite);
}
