/*
 * findings: from what was judged to a result: leaks beyond what the policy allows and suppressions cover, budgets that were
 * broken, what was demanded, the baseline; and then the outcome. Fails closed: what was not seen in full is no pass.
 */
#ifndef MTRACE_GATE_FINDINGS_H
#define MTRACE_GATE_FINDINGS_H

#include "gate/baseline.h"
#include "gate/judge.h"
#include "gate/plan.h"
#include "gate/policy.h"
#include "gate/result.h"
#include "gate/scale.h"
#include "gate/suppressions.h"

/* A stack that leaked before, and must have run and leak no more. */
struct findings_gone {
	const char *named;    /* its id, or a pattern for one of its functions; NULL: nothing is expected */
	const char *identity; /* in the recording of before */
};

struct findings_input {
	const struct gate_plan *plan;
	const struct judge *judge;
	const struct scale *scale; /* GATE_BY_SCALE; NULL */
	const struct policy *policy;
	struct suppressions *suppressions;
	const struct baseline *before; /* NULL: none to compare with */
	const struct baseline *now;    /* of this run */
	struct findings_gone gone;
	const char *trouble; /* why the run cannot tell anything, in one clause; NULL */
};

/* `pool` owns its strings and arrays. */
void findings_make(const struct findings_input *in, struct gate_result *r, struct profile *pool);

#endif
