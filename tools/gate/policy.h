/*
 * policy: what a gate allows beyond "nothing grows", and what it demands besides, one line each; mtrace-policy.5 says what
 * they mean. A file is a stranger's: every line is checked.
 *
 *   max total live|peak|growth SIZE       max stack PATTERN live|growth SIZE       max module PATTERN live|growth SIZE
 *   max baseline SHARE%                   require drops NUMBER                     require symbols SHARE%
 */
#ifndef MTRACE_GATE_POLICY_H
#define MTRACE_GATE_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/profile.h"

enum { POLICY_LINES_MOST = 4096, POLICY_LINE_BYTES = 4096 };

enum policy_of { POLICY_TOTAL, POLICY_STACK, POLICY_MODULE, POLICY_BASELINE, POLICY_DROPS, POLICY_SYMBOLS };
enum policy_what { POLICY_LIVE, POLICY_PEAK, POLICY_GROWTH, POLICY_AMOUNT };

struct policy_line {
	enum policy_of of;
	enum policy_what what;
	const char *pattern; /* as in suppressions; NULL: none */
	double limit;        /* bytes, bytes per step, per cent, or a number */
	const char *text;    /* the line, as it is shown */
};

struct policy {
	struct policy_line *lines;
	size_t count;
	struct profile *strings;
};

void policy_init(struct policy *policy);
void policy_free(struct policy *policy);

/* Appends. 0; -1 with one line in `error`: which line of which file is wrong, and how it would be right. */
int policy_read(struct policy *policy, const char *path, char error[512]);
int policy_read_line(struct policy *policy, const char *line, const char **wrong); /* 1: blank, or a comment */

/* The last line of that kind, which outweighs earlier ones. NULL: none. */
const struct policy_line *policy_find(const struct policy *policy, enum policy_of of, enum policy_what what);

bool policy_is_about(const struct policy_line *line, const struct profile_process *process, const struct profile_stack *stack);

#endif
