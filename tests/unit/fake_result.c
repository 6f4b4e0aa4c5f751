/* fake_result: see fake_result.h. */
#include "fake_result.h"

#include <stdlib.h>

#include "fake_report.h"
#include "gate/suppressions.h"

const char *const fake_result_names[FAKE_RESULTS] = {"fail", "pass", "inconclusive", "many"};

enum { MANY = 5050, COVERED_STACK = 3 };

static const struct suppression known = {.pattern = "^tree::walk<*", .file = "ci/known.supp", .line = 12, .max_bytes = 1 << 20,
	.max_blocks = UINT64_MAX, .reason = "a pool: \"bounded\" <by> design & kept ]]> until\nthe end \xff\x01|`x`"};
static const struct suppression unused = {.pattern = "gone_with,the:wind", .file = "ci/known.supp", .line = 3, .max_bytes = UINT64_MAX};
static const struct suppression expired = {.pattern = "^strdup$", .file = "/srv/repo/ci/old.supp", .line = 7, .until = 20250131,
	.max_bytes = UINT64_MAX, .reason = "until the rewrite"};
static const struct suppression exceeded = {.pattern = "^pool_", .file = "ci/known.supp", .line = 20, .max_bytes = 4096,
	.reason = "a pool"};
static const struct gate_supp_note notes[] = {{&unused, GATE_UNUSED, 0, 0}, {&expired, GATE_EXPIRED, 640, 9},
	{&exceeded, GATE_EXCEEDED, 9000, 3}};

static const char *held[] = {"require drops 0", "max total live 2GiB <&> | `all`"};

static struct gate_finding of_stack(const struct profile_process *q, uint32_t stack, const char *identity)
{
	const struct profile_stack *s = &q->stacks[stack];
	return (struct gate_finding){.rule = GATE_RULE_LEAK, .fails = true, .process = q, .stack = s, .identity = identity,
		.per_step = 38, .low = 37.5, .high = 38.25, .per_window = 380, .change_bytes = 7600, .change_blocks = 100,
		.live_bytes = s->counts.live_bytes, .live_blocks = s->counts.live_blocks, .budget = "no growth",
		.reason = "rises all along to the end, and what it held is kept"};
}

static size_t add_findings(struct gate_finding *f, const struct profile_process *q)
{
	size_t n = 0;
	f[n++] = of_stack(q, 0, "malloc reserve@libstore.so.4<handle_request@server<main");
	f[n] = of_stack(q, 1, "malloc strdup@libc.so.6<?@server");
	f[n].per_step = 0.32;
	f[n].low = 0.3;
	f[n].high = 0.34;
	f[n].reason = "it says: 100% <of> \"it\" ]]>, a `fence` and |\r\n````\n::error::\xff\x02";
	f[n++].suppression = &expired;
	f[n++] = (struct gate_finding){.rule = GATE_RULE_BUDGET, .fails = true, .label = "module libstore.so.4", .change_bytes = 70000,
		.live_bytes = 1482173317, .live_blocks = 90511, .budget = "max module libstore* live 1GiB", .reason = "1.38 GiB are more than 1.00 GiB"};
	f[n++] = (struct gate_finding){.rule = GATE_RULE_REQUIRE, .fails = true, .label = "symbols", .budget = "require symbols 95%",
		.reason = "only 61 % of the frames have a name"};
	f[n] = of_stack(q, 2, "malloc strdup");
	f[n].rule = GATE_RULE_BASELINE;
	f[n].per_step = f[n].low = f[n].high = 0;
	f[n].budget = NULL;
	f[n++].reason = "the baseline has 512 B";
	f[n++] = (struct gate_finding){.rule = GATE_RULE_SUPPRESSION, .fails = true, .label = "leak:^pool_", .live_bytes = 9000, .live_blocks = 3,
		.suppression = &exceeded, .reason = "it covers 8.79 KiB, more than its max of 4.00 KiB"};
	f[n] = of_stack(q, COVERED_STACK, "malloc reserve@libstore.so.4<walk");
	f[n].fails = false;
	f[n++].suppression = &known;
	return n;
}

static size_t add_many(struct gate_finding *f, const struct profile_process *q)
{
	for (size_t i = 0; i < MANY; i++)
		f[i] = of_stack(q, i % 4, "malloc many");
	return MANY;
}

void fake_result(enum fake_result_kind kind, struct fake_result *into)
{
	struct profile *p = fake_report();
	struct gate_result *r = &into->result;
	into->findings = calloc(MANY, sizeof *into->findings);
	*r = (struct gate_result){.outcome = kind == FAKE_PASS ? GATE_PASS : kind == FAKE_INCONCLUSIVE ? GATE_INCONCLUSIVE : GATE_FAIL,
		.reason = kind == FAKE_PASS ? "no stack grows with the work" : kind == FAKE_INCONCLUSIVE ?
		          "only 12 of 200 marks came: <nothing> & \"no verdict\"\x03" : "2 stacks leak, and 4 rules more are broken",
		.command = "./load.sh --password=geheim '<&>' \"%s\"\t`x`", .status = 0, .unit = GATE_BY_MARK, .mark = "iter", .warmup_steps = 20,
		.work_steps = 200, .windows = 10, .steps_seen = 220, .seconds = 12.3456, .has_sight = kind != FAKE_INCONCLUSIVE,
		.sight_per_step = 37.2, .stacks_judged = 1234, .processes_judged = 1, .processes = 1, .rules_held = held,
		.rules_held_count = kind == FAKE_INCONCLUSIVE ? 0 : 2, .live_bytes = 1482173317, .live_blocks = 90511, .live_change = 7600,
		.peak_bytes = 1500000000, .alloc_blocks = 100, .symbols_share = 0.61, .profile = p, .findings = into->findings};
	if (kind == FAKE_FAIL) {
		r->finding_count = add_findings(into->findings, &p->processes[0]);
		r->notes = (struct gate_supp_note *)notes;
		r->note_count = sizeof notes / sizeof notes[0];
	} else if (kind == FAKE_INCONCLUSIVE) {
		static const struct gate_supp_note open_note = {NULL, GATE_UNRESOLVED, 0, 0};
		into->findings[0] = of_stack(&p->processes[0], 1, "malloc ?@server");
		into->findings[0].fails = false;
		r->finding_count = 1;
		r->notes = (struct gate_supp_note *)&open_note;
		r->note_count = 1;
	} else if (kind == FAKE_MANY) {
		r->finding_count = add_many(into->findings, &p->processes[0]);
	}
}

void fake_result_free(struct fake_result *fake)
{
	profile_free((struct profile *)fake->result.profile);
	free(fake->findings);
}
