/* self: see self.h. */
#include "gate/self.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gate/findings.h"
#include "gate/session.h"

#define VARIABLE "MTRACE_GATE_SELF_TEST"
enum { WARMUP = 40, WORK = 400, LEAK_BYTES = 16 };

/* ---- the victim ---- */

static void *volatile kept;

__attribute__((noinline, noclone)) static void self_test_leak(void)
{
	void **block = malloc(LEAK_BYTES);
	if (!block)
		_exit(3);
	*block = kept; /* a chain of all, so that nothing is unreachable */
	kept = block;
}

__attribute__((noinline, noclone)) static void self_test_work(void)
{
	void *volatile block = malloc(LEAK_BYTES);
	free(block);
}

bool self_is_victim(void)
{
	return getenv(VARIABLE) != NULL;
}

int self_work(void)
{
	const char *what = getenv(VARIABLE);
	void (*mark)(const char *);
	void *found = dlsym(RTLD_DEFAULT, "mtrace_mark");
	memcpy(&mark, &found, sizeof mark);
	for (int i = 0; found && i < WARMUP + WORK; i++) {
		self_test_work();
		if (strcmp(what, "leak") == 0)
			self_test_leak();
		mark("self-test");
	}
	return found ? 0 : 4;
}

/* ---- the test ---- */

static bool is_named(const struct gate_finding *f, const char *function)
{
	return f->identity && strstr(f->identity, function) != NULL;
}

static int run(const char *what, enum gate_outcome wanted, FILE *out, char error[512])
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
	path[n > 0 ? n : 0] = '\0';
	char *argv[] = {path, (char *)"gate", (char *)"--self-test", NULL};
	struct gate_plan plan = {.warmup = WARMUP, .work = WORK, .has_warmup = true, .mark = "self-test", .argv = argv};
	struct gate_result result = {.command = "mtrace gate --self-test"};
	struct session session;
	struct policy policy;
	struct suppressions suppressions;
	setenv(VARIABLE, what, 1);
	plan_settle(&plan);
	int failed = session_run(&session, &plan, NULL, NULL, error);
	unsetenv(VARIABLE);
	if (failed)
		return -1;
	struct profile *pool = profile_new();
	policy_init(&policy);
	suppressions_init(&suppressions);
	struct findings_input in = {.plan = &plan, .judge = &session.judge, .policy = &policy, .suppressions = &suppressions,
	                            .trouble = session.trouble[0] ? session.trouble : NULL};
	result.status = session_status(&session);
	findings_make(&in, &result, pool);
	bool right = result.outcome == wanted &&
	             (wanted == GATE_PASS || (result.finding_count == 1 && is_named(&result.findings[0], "self_test_leak")));
	fprintf(out, "%s  %s: %s\n", right ? "PASS" : "FAIL", wanted == GATE_PASS ? "work without a leak passes"
	        : "a leak of 16 B per iteration is caught, by name", result.reason);
	suppressions_free(&suppressions);
	policy_free(&policy);
	profile_free(pool);
	session_free(&session);
	return right ? 0 : 1;
}

int self_test(FILE *out, char error[512])
{
	int with = run("leak", GATE_FAIL, out, error), without = with < 0 ? -1 : run("none", GATE_PASS, out, error);
	return with < 0 || without < 0 ? -1 : with || without;
}
