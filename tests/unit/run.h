/* run: the end of every suite's main. */
#ifndef TESTS_RUN_H
#define TESTS_RUN_H

#include <check.h>

/* Runs and frees it; CK_VERBOSITY says how much is printed. The exit status: 1 when a test failed. */
static inline int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}

#endif
