/*
 * emit diff: two profiles compared, as text or JSON. Writes to `out`; knows nothing of files or pids.
 */
#ifndef MTRACE_EMIT_DIFF_H
#define MTRACE_EMIT_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "emit/emit.h"
#include "model/diff.h"

struct emit_diff {
	const struct profile *a, *b;
	const char *target_a, *target_b; /* as the user typed them */
	const struct diff *diff;
	enum emit_by by;
	uint32_t limit;   /* changed rows shown per kind; 0 all */
	uint32_t columns; /* 0: 100 */
	bool color, full;
};

int emit_diff_text(const struct emit_diff *d, FILE *out);
int emit_diff_json(const struct emit_diff *d, FILE *out);

/* The diff by what `by` says; the caller frees it. */
void emit_diff_make(const struct profile *a, const struct profile *b, enum emit_by by, bool allocated, struct diff *diff);

/* Nanoseconds from A to B when both are the same process, else 0. */
uint64_t emit_diff_elapsed(const struct emit_diff *d);

#endif
