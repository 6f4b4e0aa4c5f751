/*
 * fake_result: what a gate found, made by hand for its outputs: findings of every rule, with names and reasons that each format
 * must escape; a run that holds, one that allows no verdict, and one with more findings than any service shows.
 */
#ifndef TESTS_FAKE_RESULT_H
#define TESTS_FAKE_RESULT_H

#include <stddef.h>

#include "gate/result.h"

enum fake_result_kind { FAKE_FAIL, FAKE_PASS, FAKE_INCONCLUSIVE, FAKE_MANY, FAKE_RESULTS };
extern const char *const fake_result_names[FAKE_RESULTS];

/* In memory of its own; the profile is fake_report's. */
struct fake_result {
	struct gate_result result;
	struct gate_finding *findings;
};
void fake_result(enum fake_result_kind kind, struct fake_result *into);
void fake_result_free(struct fake_result *fake);

#endif
