/*
 * regions: mapped address ranges with the stack that mapped them, a range map with overwrite semantics (MAP_FIXED over
 * what exists is a JVM's normal case). Called by the tracker for mmap, munmap, mremap, brk, which counts what was mapped;
 * what goes from the map is told to it, by regions_gone.
 *
 * Operations go to a log, lock-free; one thread at a time applies them to the map, and nobody waits for it: who does
 * not get the applier's word leaves, since the holder looks at the log again after letting go.
 *
 * Invariants
 *   G1 next - retired <= MTRACE_RANGE_LOG_ENTRIES, so an entry is not overwritten before both copies have it.
 *   G2 only the holder of `applier` writes a copy, and only the one that is not current.
 *   G3 `current` names a copy that is complete up to its sequence.
 *   G4 what an operation takes from the map is told once, by the applier, when it applies it first; `told` follows. Killed
 *      in between, that one operation is counted twice, or in part: readers tell what is not told for it.
 *   G5 of the pieces of a block one alone is no MTRACE_RANGE_PART while the map has it: cut in two, the left one; when
 *      that goes, the piece that follows it without a gap. If there is none the block goes with it, and its bytes later.
 *
 *   field     writer            readers         ordering                          after kill -9
 *   commit    reserving thread  applier, tools  release after the entry's fields  an entry not committed ends the replay
 *   current   applier           tools           release after the copy            the old copy is whole
 *   told      applier           tools           release after the rows            see G4
 *   applier   CAS 0 -> tid      threads         acquire/release around applying   (a killed vfork child may leave it held:
 *                                                                                 the log fills, drops are counted)
 * A private word beside the applier's makes G2 hold whatever others write into the table.
 *
 * Async-signal-safe. O(log n) to find, O(n) to shift; n is tens to thousands. Bound: 32 768 ranges, 4096 operations
 * not yet applied; beyond that counted in drop_ranges_full.
 */
#ifndef MTRACE_REGIONS_H
#define MTRACE_REGIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "format.h"

bool regions_init(void);

/* Set by the tracker: a range, or a piece of one, went from the map by an operation. Called by whoever applies, of which there
   is one at a time, for its own operation or another's. */
extern void (*regions_gone)(const struct mtrace_range *gone, const struct mtrace_range_op *by);

/* The event that did it. */
struct regions_event {
	uint32_t thread, tick, epoch;
};

/* After the real mmap: [start, end) is row's now. flags: protection bits, MTRACE_RANGE_FILE. false: dropped, and counted. */
bool regions_map(uintptr_t start, uintptr_t end, uint32_t row, uint32_t flags, const struct regions_event *by);

/* [start, end) is gone. */
void regions_unmap(uintptr_t start, uintptr_t end, const struct regions_event *by);

/* Before the real mremap or munmap; the token for _end. What bears it is still there, and read as such. */
uint32_t regions_begin_move(uintptr_t start, uintptr_t end);

/* After it: the pieces still bearing the token are gone and [start, end) is row's (row 0: nobody's); start == end: it
   failed, all stays. false: dropped, and counted; all stays. */
bool regions_end_move(uint32_t token, uintptr_t start, uintptr_t end, uint32_t row, const struct regions_event *by);

#endif
