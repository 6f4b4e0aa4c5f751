/*
 * verdict_text: a verdict in words and as JSON. Writes to `out`, and knows nothing of files, pids or stacks.
 */
#ifndef MTRACE_EMIT_VERDICT_TEXT_H
#define MTRACE_EMIT_VERDICT_TEXT_H

#include <stdio.h>

#include "model/verdict.h"

/* Up to four lines, each indented by `indent`, the first with `number` (0: none) in that place: the verdict and how much,
   why, what was observed, how small a leak could have been seen. At most 100 columns but for the list of steps, which is
   cut at five. */
void emit_verdict(const struct verdict *verdict, uint32_t number, unsigned indent, FILE *out);

/* One clause: "rises all along, and what it held is kept". Of a table, for lists that have no room for more. */
const char *emit_verdict_why(enum verdict_why why);
const char *emit_verdict_why_name(enum verdict_why why); /* a stable word for JSON: "grows", "bounded", … */

/* An object; see mtrace-verdicts.7 for its fields. */
void emit_verdict_json(const struct verdict *verdict, FILE *out);

#endif
