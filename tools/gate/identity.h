/*
 * identity: what a stack is called so that a rebuild of the same source calls it the same: its kind, its functions and their
 * files' names, no addresses, lines or paths. For baselines and fingerprints.
 */
#ifndef MTRACE_GATE_IDENTITY_H
#define MTRACE_GATE_IDENTITY_H

#include "model/profile.h"

/* "malloc hold@app<main@app<…", one line, in `pool`. */
const char *identity_of(struct profile *pool, const struct profile_process *process, const struct profile_stack *stack);

#endif
