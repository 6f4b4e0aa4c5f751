/*
 * diff: two profiles side by side: what is new in B, grew, shrank, or is gone. Pure; nothing is read or printed here.
 *
 * Processes of each side are taken together, but for images that went on to exec: their memory is gone. Stacks are
 * joined by id (build-ids and offsets) first: equal code. What is left, as after a rebuild that moved every offset, is
 * joined by kind and the list of function names; several stacks of one list (other call sites in the same functions)
 * become one row, and are counted as ambiguous. What has a partner in neither way is new or gone. So the rows of a kind
 * always add up to its totals. Cost: a sort of all stacks of both.
 */
#ifndef MTRACE_DIFF_H
#define MTRACE_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/profile.h"

enum diff_change { DIFF_SAME, DIFF_NEW, DIFF_GREW, DIFF_SHRANK, DIFF_GONE, DIFF_CHANGES };
enum diff_join { DIFF_BY_NONE, DIFF_BY_ID, DIFF_BY_NAMES, DIFF_BY_LABEL, DIFF_JOINS };

/* One side of a row. */
struct diff_side {
	struct profile_counts counts;
	uint32_t stacks; /* that are in it; 0: there is none on this side */
	const struct profile_process *process; /* of the largest of them, with `stack`; NULL when rows are no stacks */
	const struct profile_stack *stack;
};

struct diff_row {
	enum mtrace_kind kind;
	enum diff_join join;
	const char *label; /* of groups; NULL: a stack */
	struct diff_side a, b;
};

struct diff {
	struct diff_row *rows; /* by kind, then the largest change first */
	size_t count;
	struct profile_counts a[MTRACE_KIND_COUNT], b[MTRACE_KIND_COUNT];
	size_t joined[DIFF_JOINS]; /* rows, by how they were joined */
	size_t ambiguous;          /* of those joined by names: of several stacks on a side */
	size_t lone_a, lone_b;       /* rows of stacks without a partner */
	size_t unnamed_a, unnamed_b; /* of these, those with frames without names: a name might join them */
	char **labels; /* owned */
	size_t label_count;
	bool allocated; /* rows are ranked and named by what was allocated, not by what is live */
};

/* What a stack (or, with `thread`, live blocks of it) is counted under. */
typedef void diff_labeller(const struct profile_process *process, const struct profile_stack *stack, char *out, size_t size);
typedef void diff_thread_labeller(const struct profile_process *process, uint32_t thread, char *out, size_t size);

/* Rows are stacks. `into` is filled; its rows point into the profiles. Dies without memory. */
void diff_stacks(const struct profile *a, const struct profile *b, bool allocated, struct diff *into);

/* Rows are groups: stacks of one label, or live blocks by the label of the thread that allocated them. */
void diff_groups(const struct profile *a, const struct profile *b, bool allocated, diff_labeller *label, struct diff *into);
void diff_threads(const struct profile *a, const struct profile *b, diff_thread_labeller *label, struct diff *into);

void diff_free(struct diff *diff);

bool diff_counts_process(const struct profile_process *process); /* is it one of those taken together? */
enum diff_change diff_change_of(const struct diff *diff, const struct diff_row *row);
int64_t diff_bytes(const struct diff *diff, const struct diff_row *row);  /* b less a, of what it is ranked by */
int64_t diff_blocks(const struct diff *diff, const struct diff_row *row);
int64_t diff_less(uint64_t b, uint64_t a); /* b - a, at the ends of the range when it is out of it */

const char *diff_change_name(enum diff_change change);
const char *diff_join_name(enum diff_join join);

#endif
