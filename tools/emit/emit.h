/*
 * emit: a profile as text or data. Emitters write to `out` and know nothing of files or pids.
 */
#ifndef MTRACE_EMIT_H
#define MTRACE_EMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "format.h"

struct profile;
struct leaks;
struct lifetimes;

enum emit_by { EMIT_BY_STACK, EMIT_BY_SITE, EMIT_BY_MODULE, EMIT_BY_THREAD, EMIT_BY_KIND };

struct emit_options {
	enum emit_by by;
	uint32_t limit;   /* stacks or rows shown per process; 0 all */
	uint32_t columns; /* width of the page, 0: 100 */
	bool color;
	bool leaks;       /* live at end, largest first, titled as such; no tables by kind */
	bool allocated;   /* rank by allocated instead of live bytes */
	bool full;        /* every frame of every stack shown, none folded away */
	bool inlined_tag; /* folded: inlined functions end in _[i] */
	enum mtrace_kind kind; /* folded: this kind only; NONE: all, each below a frame with its name */
	const struct leaks *judged; /* verdicts on processes[0]; NULL: none */
	const char *no_verdict;     /* then why there are none, one clause; NULL: not said */
	uint32_t verdicts;          /* with `judged`: a bit for each enum verdict_kind that is listed; 0: what grew or has a shape */
	const struct lifetimes *const *lifetimes; /* by process, each NULL without events; NULL: of none */
	const char *target; /* as the user typed it, for the "next" lines */
};

int emit_text(const struct profile *p, const struct emit_options *o, FILE *out);
int emit_json(const struct profile *p, const struct emit_options *o, FILE *out); /* schema 1 of design section 9 */
int emit_folded(const struct profile *p, const struct emit_options *o, FILE *out);

/* Text helpers that other commands share: "1.4 MiB" (IEC, two digits), "12 s", "3 h 5 min". */
void emit_bytes(char out[32], uint64_t bytes);
void emit_duration(char out[32], uint64_t ns);

#endif
