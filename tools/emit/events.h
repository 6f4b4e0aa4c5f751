/*
 * emit events: records of the ring as lines of text or JSON objects. Writes to `out`; knows nothing of files or pids.
 */
#ifndef MTRACE_EMIT_EVENTS_H
#define MTRACE_EMIT_EVENTS_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "model/profile.h"

/* One line: wall clock, kind, what happened, by which thread; nothing in it can harm a terminal. */
void emit_event_text(const struct profile_process *process, const struct profile_event *event, FILE *out);

/* {"sequence", "time_ns", "kind", "thread"?, "stack"?, "module"?, then the fields of ring.def}. The caller's. With
   `frames`, those of the stack, too: for whoever has no list of stacks to look them up in. */
json_t *emit_event_json(const struct profile_process *process, const struct profile_event *event, bool frames);

/* json.c: the frames of a stack as in the report document. The caller's. */
json_t *emit_json_frames(const struct profile_process *process, const struct profile_stack *stack);

/* hh:mm:ss.mmm, local, of an instant after the process's start. */
void emit_clock(const struct profile_process *process, uint64_t time_ns, char out[32]);

#endif
