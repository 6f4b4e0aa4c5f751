/*
 * fuzz_gate: what a gate reads of others: phases and values of --scale by the first byte, else a policy line by line, or a
 * baseline. A baseline that was read is written and comes back the same.
 */
#include "fuzz.h"
#include "gate/baseline.h"
#include "gate/plan.h"
#include "gate/policy.h"
#include "gate/scale.h"

static void words(const char *text)
{
	static struct scale scale;
	struct gate_plan plan = {.warmup = 0};
	if (plan_take_phase(&plan, text))
		fuzz_require(plan.warmup <= PLAN_STEPS_MOST && plan.work <= PLAN_STEPS_MOST, "steps have a bound");
	if (plan.work && !plan_settle(&plan))
		for (uint64_t i = 1; i <= plan.windows; i++)
			fuzz_require(plan_cut(&plan, i - 1) < plan_cut(&plan, i), "cuts ascend");
	if (!scale_take(&scale, text))
		return;
	fuzz_require(scale.count >= 2 && scale.count <= SCALE_MOST && scale.values[0] < scale.values[1], "values rise");
}

static void policy(char *text)
{
	struct policy p;
	const char *wrong = NULL;
	policy_init(&p);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (policy_read_line(&p, line, &wrong) < 0)
			fuzz_require(wrong != NULL, "what is wrong is said");
	for (size_t i = 0; i < p.count; i++)
		fuzz_require(p.lines[i].limit >= 0 && p.lines[i].limit < 1e19, "a bound is a number");
	policy_free(&p);
}

static void baseline(const char *text, size_t size)
{
	struct baseline b, again;
	char error[512], path[64];
	int fd = memfd_create("baseline", 0);
	fuzz_require(fd >= 0 && write(fd, text, size) == (ssize_t)size, "the file is there");
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int code = baseline_read(path, &b, error);
	close(fd);
	if (code != 0)
		return;
	snprintf(path, sizeof path, "/dev/shm/mtrace-fuzz.%d", (int)getpid());
	fuzz_require(baseline_write(path, &b, error) == 0 && baseline_read(path, &again, error) == 0, "it can be written and read");
	unlink(path);
	fuzz_require(again.count == b.count && again.bytes == b.bytes, "and is the same");
	for (size_t i = 0; i < b.count; i++)
		fuzz_require(baseline_find(&again, b.rows[i].identity) == &again.rows[i], "each row is found");
	baseline_free(&again);
	baseline_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup(size ? (const char *)data + 1 : "", size ? size - 1 : 0);
	switch (size ? data[0] % 3 : 0) {
	case 0: words(text); break;
	case 1: policy(text); break;
	default: baseline(text, strlen(text)); break;
	}
	free(text);
	return 0;
}
