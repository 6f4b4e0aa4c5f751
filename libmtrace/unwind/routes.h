/*
 * routes: the ways in that a thread walked, word by word from the innermost frame outwards: a trie, for what recents
 * (memo.h) have no room for. Called by capture where recents know nothing, before a walk.
 *
 * Programs with hundreds of places that allocate share most of the words that lead to them. A route is the words read so far,
 * in the order in which a walk reads them; it knows where the next one stands, and, where walks joined the memo, what those
 * came to. Looking up a way takes a load, a multiplication and a compare for each frame that differs from the memo's, and
 * leaves the memo as it is.
 *
 * Invariants
 *   T1 a route is reached by words that all have the values of a walk that was made, from the same (pc, sp), of the same
 *      kind, with the same frame register where that matters: so the next word it asks for is one that a walk from there
 *      reads, on the running thread's own stack (memo.h, M3).
 *   T2 a result is believed where the memo has the frame that the words lead to, with its note, and stands from there
 *      outwards, as recents' are: then a walk would end as that one did.
 *   T3 routes are kept under one stamp, and emptied all at once: indices are never used for another route in between.
 *
 * One trie a thread, used as its memo is: by that thread only, never by a signal handler that interrupted its use; one that was
 * left half way is under another stamp. Bound: ROUTES_MOST routes of 24 bytes, ROUTE_ENDS_MOST ends of 32 and an index of
 * 8 KiB, private: the caller begins with the thread's ROUTES_AFTER-th walk, and they are touched as they are needed. More than
 * the first 40 KiB must be earned, by routes that are found again: a recursion goes nowhere twice. Full: emptied; where they
 * were not worth their room, learning rests. Never allocates or locks. O(frames that differ).
 */
#ifndef MTRACE_UNWIND_ROUTES_H
#define MTRACE_UNWIND_ROUTES_H

#include <stddef.h>
#include <stdint.h>

#include "unwind/memo.h"

enum {
	ROUTES_MOST = 4096,
	ROUTES_FIRST = 1024,
	ROUTE_ENDS_MOST = 1024,
	ROUTE_ENDS_FIRST = 256,
	ROUTES_EARNED = 16, /* by each that is found: room for so many more, and for an end */
	ROUTES_BITS = 12,
	ROUTES_AFTER = 128,
	ROUTES_ANEW = 16,
	ROUTES_REST = 8192, /* walks */
	ROUTES_FRAMES = 48  /* that differ, at most */
};

struct route {
	uint64_t word;   /* leads here; of a start: its pc */
	uint32_t offset; /* of the next word, from the start's sp; ROUTE_NO_WORD: none is known */
	uint16_t from;   /* index; of a start 0 */
	uint16_t next;   /* of the same place in the index; 0: none */
	uint16_t end;    /* index in ends, 0: no walk joined the memo here; of a start: where it is */
	uint16_t reserved[3];
};
_Static_assert(sizeof(struct route) == 24, "three words");
#define ROUTE_NO_WORD UINT32_MAX

/* Where walks joined the memo, and what they came to; or a start's sp and fp. */
struct route_end {
	struct memo_joint joint;
	uint32_t result; /* the caller's */
	uint32_t what;   /* of a start: the caller's kind, RECENT_NEEDS_FP */
};

struct routes {
	uint64_t stamp;               /* as recents' */
	uint32_t used, ends_used;     /* from 1 */
	uint32_t found;               /* since they were emptied */
	uint32_t rest;                /* walks that are not learnt yet */
	uint16_t index[1 << ROUTES_BITS];
	struct route route[ROUTES_MOST];
	struct route_end end[ROUTE_ENDS_MOST];
};

/* How much of it has been touched since it was emptied, in whole pages; it lies at no page's beginning. */
static inline uint32_t routes_bytes(const struct routes *all)
{
	enum { PAGE = 4096 };
	uint32_t pages = (uint32_t)(all->used * sizeof(struct route) / PAGE + all->ends_used * sizeof(struct route_end) / PAGE);
	return (uint32_t)offsetof(struct routes, route) + (2 + pages) * PAGE;
}

/* The last route of a walk from *start, to where it would join the memo; NULL: not known. */
const struct route *routes_find(struct routes *all, const struct memo *m, const struct unwind_start *start, uint64_t stamp,
				uint32_t kind);

/* What the walk came to. */
static inline uint32_t routes_result(const struct routes *all, const struct route *found)
{
	return all->end[found->end].result;
}

/* Remembers the way that was found among the recent ones, where that pays: they tell it in a third of the instructions. */
void routes_hand_on(const struct routes *all, const struct route *found, struct recents *recents,
		    const struct unwind_start *start, uint64_t stamp);

/* Learns the memo's walk from *start, of which the outermost `kept` frames were there before, if it is one that words alone
   decide. As recents_remember: frames have their notes, and result is not 0. */
void routes_learn(struct routes *all, const struct memo *m, const struct unwind_start *start, uint32_t kept, uint64_t stamp,
                  uint32_t kind, uint32_t result);

#endif
