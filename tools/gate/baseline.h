/*
 * baseline: what the stacks of a run held at the end of its work, as text to be committed: a line for each, sorted, so that
 * two branches' changes merge line by line; and a later run against it. mtrace-gate.1 has the format. Stacks that a rebuild
 * cannot tell apart are one.
 */
#ifndef MTRACE_GATE_BASELINE_H
#define MTRACE_GATE_BASELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gate/judge.h"

#define BASELINE_TOLERANCE 2.0     /* per cent: three in a hundred are seen */
#define BASELINE_NOTABLE_SHARE 0.01 /* of the total: stacks that hold less are compared within the total only */
enum { BASELINE_LINE_BYTES = 1 << 20 };

struct baseline_row {
	const char *identity;
	uint64_t blocks, bytes;
	const struct profile_process *process; /* of a run; NULL in a file */
	const struct profile_stack *stack;     /* the largest of them */
};

struct baseline {
	struct baseline_row *rows; /* by identity */
	size_t count;
	uint64_t blocks, bytes;
	struct profile *strings;
};

/* Of what is live in all judged processes, or in all of a profile that went on to no exec: malloc, and pools beside it. */
void baseline_of(const struct judge *judge, struct baseline *b);
void baseline_of_profile(const struct profile *profile, struct baseline *b);

/* 0; -1 with one line in `error`. A file that is not there is -ENOENT. */
int baseline_read(const char *path, struct baseline *b, char error[512]);
int baseline_write(const char *path, const struct baseline *b, char error[512]);
void baseline_free(struct baseline *b);

/* The row of that identity; NULL: none. */
const struct baseline_row *baseline_find(const struct baseline *b, const char *identity);

/* More than `was`, by more than so many per cent? */
bool baseline_exceeds(uint64_t is, uint64_t was, double per_cent);

#endif
