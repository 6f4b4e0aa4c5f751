/*
 * counts: allocated and freed blocks and bytes per row, and the process's live bytes with their peak.
 *
 * A thread counts in tallies of its own, one per row it meets, found by the row's id in a table that grows by chunks;
 * no other thread writes them, so an event costs no locked instruction and no shared cache line. A row's counts are the
 * row's own totals plus all tallies that name it. A tally whose place another row wants is folded into its row.
 *
 * A tally belongs to one epoch (epochs.h). When its thread sees a new one, its chunks are put out of sight, so that the
 * next event of each finds no tally there; it takes the chunk back into sight once every tally of an earlier epoch in it
 * is folded, and what the rows had counted by then is kept (history.h). So an event pays nothing for it, and what was
 * counted before a boundary does not depend on who folds first: a fold that comes late is added where it was counted.
 *
 * Invariants
 *   C1 a tally is written by the thread whose workspace holds its chunk, and by nobody else; never by a signal handler
 *      that interrupted that thread's hook (it counts in the rows themselves). A chunk passes to the next thread of the
 *      slot with its counts: nothing is folded when a thread ends. One more set of tallies is of whoever applies the log of
 *      ranges (regions.h), of which there is one at a time.
 *   C2 a row's totals are written only by who holds the row: its version, odd, taken by a compare-and-swap that nobody
 *      waits for. Who cannot have it counts elsewhere: in a tally, its own or a spare one, or, who has none, in a stray,
 *      which all threads share.
 *   C3 a fold is settled whenever it is cut: the new totals and the tally are written to the thread's fold record, the
 *      record becomes valid, the totals are stored, the tally is emptied, the record becomes invalid. While it is valid
 *      a reader takes the row's totals from it and passes the tally by.
 *   C4 a tally's counts are zero before it names a row, and it names none before they are cleared.
 *   C5 what is counted in a chunk in sight belongs to the thread's epoch. A tally there that could not be folded names its
 *      row with the bit above MTRACE_TALLY_ROW set, and no event finds it.
 *   C6 the row's history is part of a fold: its new word (history.h, H1) is stored with the totals.
 * C1 to C4, and what a reader makes of them, are gone through in every order of the steps with three preemptions (tests/model).
 *   After kill -9: each event is in one place, wholly or, for the one in flight per thread, by blocks or bytes only.
 * How many freed blocks were old is a total, without history: so a free pays four instructions for it.
 *
 *   word           | writers              | readers                     | order
 *   tally's counts | its thread           | other processes             | relaxed: values, no relation
 *   tally.row      | its thread           | other processes             | release / acquire: C4
 *   row.version    | any thread, CAS      | any thread, other processes | acquire, release: a sequence lock for readers
 *   row's totals   | who holds the row    | other processes             | relaxed, inside the version's pair
 *   tally.epoch    | its thread           | other processes             | before tally.row: C4
 *   fold.valid     | its thread           | other processes             | release / acquire: C3
 *   a stray        | any thread           | other processes             | row and epoch by CAS, counts by locked adds
 *
 * Lock-free in the strict sense: nobody waits, whoever is preempted or killed. Async-signal-safe. O(1); 64 folds at once
 * when a chunk comes back into sight. Bound: 16 chunks of 2.5 KiB a slot; without room, events go to the rows.
 */
#ifndef MTRACE_COUNTS_H
#define MTRACE_COUNTS_H

#include "guard.h"
#include "segment.h"

enum { COUNTS_CHUNKS = 16, COUNTS_CHUNK_TALLIES = 64 };

/* One thread's tallies, in its slot. */
struct counts_tallies {
	struct mtrace_tally *chunks[COUNTS_CHUNKS]; /* in sight; never NULL: counts_no_tallies */
	struct mtrace_tally *own[COUNTS_CHUNKS];    /* those that were made, in sight or not; NULL: not yet */
	struct mtrace_tally *spares;                /* a chunk for rows that are held when they are wanted; NULL: not yet */
	uint32_t spares_used;                       /* the first so many name rows, or did */
	struct mtrace_fold *fold;                   /* NULL: nothing can be folded */
	uint32_t epoch;                             /* that the thread counts in */
	uint8_t credits[COUNTS_CHUNKS][COUNTS_CHUNK_TALLIES]; /* events of other rows until the place is given up */
};

struct counts_change {
	uint64_t alloc_blocks, alloc_bytes, freed_blocks, freed_bytes, aged_blocks;
};

/* A chunk in which no row is found, and nothing is ever written. */
extern struct mtrace_tally counts_no_tallies[COUNTS_CHUNK_TALLIES] SHIM_OWN;

bool counts_init(void);

/* Called when the live bytes of a row's own totals (allocated less freed, 0 at least) have come above another power of two
   since they were last put together. What threads' tallies hold is not in them yet. Never NULL. */
extern void (*counts_grew)(uint32_t row, uint64_t was, uint64_t now);

/* For the first of a process that counts in these tallies; `fold` is the index of its fold record, and nobody else's. */
enum { COUNTS_FOLD_OF_RANGES = 0, COUNTS_FOLD_OF_SLOTS = 1 };
void counts_prepare(struct counts_tallies *t, uint32_t fold);

/* The thread has seen that this is the epoch now. */
void counts_enter_epoch(struct counts_tallies *t, uint32_t epoch);

/* Ends a fold that this slot's thread was taken out of (C3): by a jump out of a signal handler, or by its end. */
void counts_settle(struct counts_tallies *t);

/* The event of a row that has no tally, or of a caller (t NULL) that may not use any; in the epoch that it counts in, or, of
   another's event, in `epoch`, which may be over. */
enum { COUNTS_OWN_EPOCH = 0 };
void counts_elsewhere(struct counts_tallies *t, uint32_t row, const struct counts_change *change, uint32_t epoch);

/* In an event of `epoch`, which may be over, or one that these tallies have not seen yet. */
void counts_change_in(struct counts_tallies *t, uint32_t row, const struct counts_change *change, uint32_t epoch);

static inline struct mtrace_row *counts_row(uint32_t row)
{
	return (struct mtrace_row *)(void *)segment.base[MTRACE_REGION_ROWS] + row;
}

static inline struct mtrace_tally *counts_tally(const struct counts_tallies *t, uint32_t row)
{
	return t->chunks[row / COUNTS_CHUNK_TALLIES % COUNTS_CHUNKS] + row % COUNTS_CHUNK_TALLIES;
}

/* Plain additions: one writer (C1), values that order nothing. */
static inline void counts_add(_Atomic uint64_t *count, uint64_t more)
{
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + more, memory_order_relaxed);
}

static inline bool counts_is_own(const struct mtrace_tally *tally, uint32_t row)
{
	return likely(atomic_load_explicit(&tally->row, memory_order_relaxed) == row);
}

static inline void counts_add_allocated(struct mtrace_tally *tally, uint64_t bytes)
{
	counts_add(&tally->alloc_blocks, 1);
	counts_add(&tally->alloc_bytes, bytes);
}

static inline void counts_add_freed(struct mtrace_tally *tally, uint64_t bytes, bool aged)
{
	counts_add(&tally->freed_blocks, 1);
	counts_add(&tally->freed_bytes, bytes);
	if (unlikely(aged))
		counts_add(&tally->aged_blocks, 1);
}

static inline void counts_allocated(struct counts_tallies *t, uint32_t row, uint64_t bytes)
{
	struct mtrace_tally *tally = t ? counts_tally(t, row) : NULL;
	if (likely(t) && counts_is_own(tally, row)) {
		counts_add_allocated(tally, bytes);
		return;
	}
	counts_elsewhere(t, row, &(struct counts_change){.alloc_blocks = 1, .alloc_bytes = bytes}, COUNTS_OWN_EPOCH);
}

static inline void counts_freed(struct counts_tallies *t, uint32_t row, uint64_t bytes)
{
	struct mtrace_tally *tally = t ? counts_tally(t, row) : NULL;
	if (likely(t) && counts_is_own(tally, row)) {
		counts_add_freed(tally, bytes, false);
		return;
	}
	counts_elsewhere(t, row, &(struct counts_change){.freed_blocks = 1, .freed_bytes = bytes}, COUNTS_OWN_EPOCH);
}

/* The same of one with that side (live.h): below *aged_side, it was born before the window of time that it is now. */
static inline void counts_freed_of_age(struct counts_tallies *t, uint32_t row, uint64_t bytes, uint32_t side,
				       const uint32_t *aged_side)
{
	struct mtrace_tally *tally = t ? counts_tally(t, row) : NULL;
	if (likely(t) && counts_is_own(tally, row)) {
		counts_add_freed(tally, bytes, side < *aged_side);
		return;
	}
	struct counts_change change = {.freed_blocks = 1, .freed_bytes = bytes, .aged_blocks = side < *aged_side};
	counts_elsewhere(t, row, &change, COUNTS_OWN_EPOCH);
}

enum { COUNTS_LIVE_STEP = 65536 }; /* what a thread keeps to itself: the peak is exact within threads x 64 KiB */

/* Adds to the process's live bytes at once, and raises the peak. */
void counts_add_live(int64_t bytes);

/* The same with what the thread kept to itself. */
void counts_flush_live(struct thread_state *self);

#define COUNTS_LIVE_ROOM (2ull * COUNTS_LIVE_STEP + 1)

static inline bool counts_live_is_beyond(const struct thread_state *self, uint64_t room)
{
	return (uint64_t)(self->live_delta + COUNTS_LIVE_STEP) >= room;
}

/* Adds to what the thread keeps to itself. true: counts_settle_live is due, or its room was taken from it so that every
   event comes by: the same comparison tells both. */
static inline bool counts_live_is_due(struct thread_state *self, int64_t bytes)
{
	self->live_delta += bytes;
	return unlikely(counts_live_is_beyond(self, self->live_room));
}

static inline void counts_settle_live(struct thread_state *self)
{
	if (counts_live_is_beyond(self, COUNTS_LIVE_ROOM))
		counts_flush_live(self);
}

#endif
