/*
 * lifetimes: what the events of a process say (model/lifetimes.h), as a section of the report and as part of its JSON; and
 * the events themselves, one line each.
 */
#ifndef MTRACE_EMIT_LIFETIMES_H
#define MTRACE_EMIT_LIFETIMES_H

#include <jansson.h>

#include "emit/emit_text.h"
#include "model/lifetimes.h"

void text_lifetimes(const struct page *page);

/* Stacks by their ids, at most o->limit of them. */
json_t *emit_lifetimes_json(const struct profile_process *process, const struct lifetimes *l, const struct emit_options *o);

/* CSV: a line of names first, then a line an event. */
void emit_event_heading(FILE *out);
void emit_event_line(const struct profile_process *process, const struct lifetimes_event *e, FILE *out);

#endif
