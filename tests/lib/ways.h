/*
 * ways: what a thread remembers of its walks (memo.h: ways in, walked lately; routes.h), used as the tracker uses it: a
 * walk that is found leaves the memo as it is, so what is outside a joint may be old. Each must be what the walk by rules is now.
 */
#ifndef TESTS_LIB_WAYS_H
#define TESTS_LIB_WAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "unwind/memo.h"
#include "unwind/routes.h"

struct ways {
	struct memo memo;
	struct recents recents; /* credit is the caller's to give */
	struct routes routes;
	uint32_t asked;
};

/* Bits. */
enum ways_result { WAYS_NEW = 0, WAYS_FOUND = 1, WAYS_FOUND_ROUTE = 2, WAYS_WRONG = 4 };

/* Stands for all frames, and for the end. */
static inline uint32_t ways_sum(const struct unwind_frame *frames, size_t count, enum unwind_end end)
{
	uint64_t sum = end;
	for (size_t i = 0; i < count; i++)
		sum = (sum ^ frames[i].pc) * 0x9e3779b97f4a7c15u + frames[i].exact;
	return (uint32_t)(sum >> 32);
}

/* Notes are equal only where all that is further out is equal, as the tracker's are. */
static inline void ways_note(struct memo *m)
{
	uint64_t note = m->end + 1;
	for (uint32_t i = 0; i < m->count; i++) {
		note = (note ^ memo_pc(&m->frames[i])) * 0x9e3779b97f4a7c15u + (m->frames[i].flags & MEMO_EXACT);
		m->frames[i].note = (uint32_t)(note >> 32) | 1;
	}
}

/* `sum` is the walk's by rules. What neither knows is walked by the memo, and remembered. */
static inline uint32_t ways_recall(struct ways *w, const struct unwind_start *start, const struct unwind_bounds *bounds,
				   uint32_t sum)
{
	const struct recent *found = recents_find(&w->recents, &w->memo, start->pc, start->sp, &start->fp, rules_epoch(), 1);
	const struct route *route =
		++w->asked % ROUTES_ANEW ? routes_find(&w->routes, &w->memo, start, rules_epoch(), 1) : NULL;
	uint32_t result = route ? routes_result(&w->routes, route) : 0;
	if (route && !found)
		routes_hand_on(&w->routes, route, &w->recents, start, rules_epoch());
	if (found || result)
		return (found ? WAYS_FOUND : 0) | (result ? WAYS_FOUND_ROUTE : 0) |
		       ((found && found->result != sum) || (result && result != sum) ? WAYS_WRONG : 0);
	uint32_t kept = memo_walk(&w->memo, start, bounds);
	if (kept != MEMO_CANNOT) {
		ways_note(&w->memo);
		recents_remember(&w->recents, &w->memo, start, kept, rules_epoch(), 1, sum);
		routes_learn(&w->routes, &w->memo, start, kept, rules_epoch(), 1, sum);
	}
	return WAYS_NEW;
}

#endif
