/*
 * history: what a row had counted at the end of earlier epochs (format.h, history): one array a row, in which the row's
 * totals are copied before the first change of a new epoch. Untouched means constant. Called by counts only, while it
 * holds the row; nothing here is ever waited for.
 *
 * Invariants
 *   H1 a row's history changes by one store of its word (MTRACE_PAST_ARRAY, R), which counts makes: what is written before
 *      is behind the last entry below R, or in an array that is nobody's.
 *   H2 an array goes to others only after the word that named it was replaced, and after the fold that did so is over:
 *      a reader that saw the word, and the row's version before and after, has copied the row's own array.
 *   H3 an entry is left out only if no kept boundary needs it (epochs.h, E1, E3).
 *   After kill -9: the word names a whole history, without the event in flight, or with it where a valid fold says so.
 *
 *   word           | writers           | readers                     | order
 *   PASTS          | who holds the row | the same, other processes   | relaxed, inside the row's version's pair
 *   an array       | who holds the row | the same, other processes   | the same
 *   free_lists     | any thread, CAS   | any thread                  | acquire / release, with a tag against reuse
 *
 * Async-signal-safe. O(entries) once a row and epoch. Bound: 512 units of 32 bytes a row, the region's share of the cap
 * for all; then the oldest entries go, and are counted, and nothing else is lost.
 */
#ifndef MTRACE_HISTORY_H
#define MTRACE_HISTORY_H

#include "segment.h"

bool history_init(void);

/* The row's word; NULL: there is no room for it. */
_Atomic uint64_t *history_word(uint32_t row);

/* `word` as it is to be when a change in `epoch` is added to the row, whose totals are `now` before that. */
uint64_t history_advance(uint64_t word, const struct mtrace_past *now, uint32_t epoch);

/* The same when the row is ahead of `epoch`: what counts in later epochs was counted there, too. */
uint64_t history_amend(uint64_t word, const struct mtrace_past *change, uint32_t epoch);

/* Nothing is known any more of what ended before `epoch`. */
uint64_t history_lose(uint64_t word, uint32_t epoch);

/* The array of a word that was replaced is not needed any more (H2). */
void history_give_back(uint64_t before, uint64_t after);

#endif
