/*
 * plat_kin: parents by /proc, and an environment that reaches what is executed.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plat.h"
#include "room.h"

START_TEST(parents_of_parents)
{
	int ends[2];
	uint32_t seen[2] = {0, 0};
	ck_assert_int_eq(pipe(ends), 0);
	pid_t child = fork();
	if (child == 0) {
		uint32_t parent = plat_parent_of((uint32_t)getpid()), grandparent = plat_parent_of(parent);
		_exit(write(ends[1], (uint32_t[]){parent, grandparent}, sizeof seen) != sizeof seen);
	}
	ck_assert_int_eq(read(ends[0], seen, sizeof seen), sizeof seen);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	ck_assert_uint_eq(seen[0], (uint32_t)getpid());
	ck_assert_uint_eq(seen[1], (uint32_t)getppid());
	ck_assert_uint_eq(plat_parent_of(0), 0);
	ck_assert_uint_eq(plat_parent_of(1), 0);
}
END_TEST

START_TEST(digits)
{
	char room[24];
	ck_assert_str_eq(plat_digits(0, room), "0");
	ck_assert_str_eq(plat_digits(4194304, room), "4194304");
	ck_assert_str_eq(plat_digits(UINT64_MAX, room), "18446744073709551615");
}
END_TEST

static void expect_in_child(const char *name, const char *value)
{
	char command[128], line[128] = "";
	snprintf(command, sizeof command, "printf %%s \"$%s\"", name);
	FILE *f = popen(command, "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_eq(fgets(line, sizeof line, f), line);
	pclose(f);
	ck_assert_str_eq(line, value);
	ck_assert_str_eq(getenv(name), value);
}

/* The others stay, as does what the program remembers of them. */
START_TEST(environment)
{
	const char *path = getenv("PATH");
	char **old = environ;
	ck_assert(plat_extend_env("MTRACE_TEST_NEW", ":", "pid=7"));
	ck_assert_ptr_ne(environ, old);
	expect_in_child("MTRACE_TEST_NEW", "pid=7");
	old = environ;
	ck_assert(plat_extend_env("MTRACE_TEST_NEW", ":", "keep=1"));
	ck_assert_ptr_eq(environ, old); /* in its place */
	expect_in_child("MTRACE_TEST_NEW", "pid=7:keep=1");
	ck_assert_ptr_null(getenv("MTRACE_TEST"));
	ck_assert_ptr_eq(getenv("PATH"), path);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("kin");
	TCase *tests = tcase_create("all");
	tcase_add_test(tests, parents_of_parents);
	tcase_add_test(tests, digits);
	tcase_add_test(tests, environment);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
