/*
 * history: what stacks had counted at boundaries (profile.h), added up: for verdicts, which want windows, and for diffs,
 * which want a profile as of a mark. Pure. Known are boundaries from a stack's history_from on; what is not known is
 * never guessed.
 */
#ifndef MTRACE_HISTORY_H
#define MTRACE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/profile.h"
#include "model/verdict.h"

/* The counts of a stack at a boundary; false: not known. */
bool history_at(const struct profile_process *process, uint32_t stack, uint32_t boundary, struct profile_counts *counts);

/* The boundary of the last mark of that name; PROFILE_NO_MARK: there is no such mark, or it has no counts any more. */
uint32_t history_of_mark(const struct profile_process *process, const char *name);

/* Boundaries that cut the time from `from_ns` to now into even windows, 8 to 16 if there was that much time: ascending,
   at most HISTORY_WINDOWS_MOST. Where nothing happened for a while some are missing; their windows are longer. */
enum { HISTORY_WINDOWS_MOST = 32 };
size_t history_even(const struct profile_process *process, uint64_t from_ns, uint32_t boundaries[HISTORY_WINDOWS_MOST]);

/* The windows of a stack that end at these boundaries and, at last, now (process->lived_ns), for verdict_input with
   has_flow. Boundaries of which the stack knows nothing are left out. Room for count + 2; returns how many, the begin
   included: the process's start, when the history reaches back to it, else the first boundary known. */
size_t history_windows(const struct profile_process *process, uint32_t stack, const uint32_t *boundaries, size_t count,
                       struct verdict_window *windows);

/* Makes the process what it was at the boundary: counts, totals, peak, time. What is not known of that instant goes: by
   whom it was allocated, ages, the ledger. Returns how many stacks besides were left out, not being known: not counting mapped
   ranges of a shim of before, which never knew what went. */
uint32_t history_go_back(struct profile *p, struct profile_process *process, uint32_t boundary);

#endif
