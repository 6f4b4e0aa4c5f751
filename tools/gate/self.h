/*
 * self: does the gate, as it is installed here, catch a leak, and pass what does not leak? It runs itself as the command:
 * once with a leak of a few bytes for each mark, made through the public API, once without.
 */
#ifndef MTRACE_GATE_SELF_H
#define MTRACE_GATE_SELF_H

#include <stdbool.h>
#include <stdio.h>

/* Is this the process that is under test? Then it works, and returns its exit status. */
bool self_is_victim(void);
int self_work(void);

/* 0: both right; 1: not, and why in `out`; -1 with one line in `error`: it could not be tried. */
int self_test(FILE *out, char error[512]);

#endif
