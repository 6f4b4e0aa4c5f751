/*
 * result: what a gate found, whole: whoever writes it (text, JUnit, SARIF, GitHub, Markdown) needs this and nothing else.
 *
 * Filled by gate/ from a run, read by its outputs. Strings and arrays belong to the profile's pool (profile_string) or to
 * the table they stand in; nothing here is freed by readers. Everything is in the order it is to be shown in, and is the
 * same whenever the same run is judged: no pids, no addresses, no times of day.
 */
#ifndef MTRACE_GATE_RESULT_H
#define MTRACE_GATE_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/profile.h"
#include "model/verdict.h"

struct suppression; /* gate/suppressions.h */

enum gate_outcome { GATE_PASS = 0, GATE_FAIL = 1, GATE_INCONCLUSIVE = 3 }; /* exit statuses; 2 is usage or I/O */

enum gate_rule {
#define X(name, word, title) GATE_RULE_##name,
#include "gate/rules.def"
#undef X
	GATE_RULES
};
const char *gate_rule_word(enum gate_rule rule);  /* "leak" */
const char *gate_rule_title(enum gate_rule rule); /* one clause */

/* What one step of the work is: the unit of every slope. */
enum gate_unit { GATE_BY_MARK, GATE_BY_TIME, GATE_BY_LOAD, GATE_BY_SCALE, GATE_UNITS };
const char *gate_unit_word(enum gate_unit unit, bool plural); /* "iteration", "tick", "load", "unit of N" */

/* One thing that broke a rule, or would have but for a suppression. */
struct gate_finding {
	enum gate_rule rule;
	bool fails;                            /* counts against the run; false: covered by `suppression` */
	const struct profile_process *process; /* whose stack; NULL: about no stack */
	const struct profile_stack *stack;     /* NULL: a module, the total, or the run itself */
	const char *label;                     /* of a module, "total", what is required; NULL: a stack */
	const char *identity;                  /* stable across rebuilds: kind, functions and modules; for fingerprints */
	const struct verdict *verdict;         /* NULL: none is behind it */
	double per_step, low, high;            /* bytes per step of work, and the 99 % interval; all 0 when it has no slope */
	double per_window;
	int64_t change_bytes, change_blocks;   /* over the work phase, or against the baseline */
	uint64_t live_bytes, live_blocks;      /* at the end of it */
	const char *reason;                    /* one clause: "rises all along to the end, and what it held is kept" */
	const char *budget;                    /* the line of the policy that it broke, or "no growth" of the default rule */
	const struct suppression *suppression; /* that covers it; or that matched and does not help, see `trouble` */
};

/* A suppression that is worth a word. */
enum gate_trouble { GATE_UNUSED, GATE_EXPIRED, GATE_EXCEEDED, GATE_UNRESOLVED, GATE_TROUBLES };
struct gate_supp_note {
	const struct suppression *suppression;
	enum gate_trouble trouble; /* unused: a warning; expired, exceeded: fail; unresolved (needs names): inconclusive */
	uint64_t bytes, blocks;    /* that it covers */
};

struct gate_result {
	enum gate_outcome outcome;
	const char *reason;  /* one sentence: why it is that outcome */
	const char *command; /* as it was given, words joined by blanks */
	int status;          /* of the command: exit status, 128 + signal; -1: it had not ended, or was stopped by the gate */
	bool stopped;        /* by the gate, as asked */
	bool settles;        /* before each window ends, by a command that was given */

	enum gate_unit unit;
	const char *mark;            /* GATE_BY_MARK: the name of the marks; NULL */
	uint64_t warmup_steps;       /* left out, as asked or as found */
	bool warmup_found;           /* found: nobody asked for it */
	uint64_t steady_from;        /* the step since which the total goes its way; 0: from the first on */
	uint64_t work_steps, windows;
	uint64_t steps_seen;         /* warm-up included */
	double seconds;              /* of the work phase; not for pages that must be the same twice */

	bool has_sight;              /* sensitivity: "would have caught >= 38 B per iteration over 200 iterations" */
	double sight_per_step;       /* bytes; nine of ten stacks would have shown a leak of that */
	uint64_t stacks_judged, stacks_unjudged; /* unjudged: kinds without history, rows whose history was given up */
	uint64_t processes_judged, processes;

	struct gate_finding *findings; /* worst first; those that fail before those that do not */
	size_t finding_count;
	struct gate_supp_note *notes;
	size_t note_count;
	const char **rules_held; /* every rule and line of policy that was looked at and held, in words */
	size_t rules_held_count;

	uint64_t live_bytes, live_blocks; /* malloc, at the end of the work, all judged processes */
	int64_t live_change;              /* over the work phase */
	uint64_t peak_bytes, drops, alloc_blocks;
	double symbols_share; /* 0 to 1: of the frames of what is live, those with a name */
	const char *recording;   /* where the run was saved; NULL: it was not */
	const struct profile *profile;
};

#endif
