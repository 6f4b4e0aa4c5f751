/* routes: see routes.h. */
#include "unwind/routes.h"

#include <string.h>

static void empty(struct routes *all, uint64_t stamp)
{
	memset(all->index, 0, sizeof all->index);
	all->used = 0;
	all->ends_used = 0;
	all->found = 0;
	all->stamp = stamp;
}

/* ---- looking up ---- */

static inline uint16_t *place_of(struct routes *all, uint32_t from, uint64_t word)
{
	return &all->index[(word + (uint64_t)from * 0xbf58476d1ce4e5b9u) * 0x9e3779b97f4a7c15u >> (64 - ROUTES_BITS)];
}

static inline struct route *child_of(struct routes *all, const struct route *at, uint64_t word)
{
	uint32_t from = (uint32_t)(at - all->route);
	for (uint32_t i = *place_of(all, from, word); i; i = all->route[i].next)
		if (all->route[i].word == word && all->route[i].from == from)
			return &all->route[i];
	return NULL;
}

/* Of a start the place depends on the sp as well. */
static inline uint64_t start_word(const struct unwind_start *start)
{
	return start->pc + start->sp * 8;
}

static inline bool starts_at(const struct route_end *e, const struct unwind_start *start, uint32_t kind)
{
	return e->joint.sp == start->sp &&
	       (e->what == kind || (e->what == (kind | RECENT_NEEDS_FP) && e->joint.fp == start->fp));
}

static inline struct route *start_of(struct routes *all, const struct unwind_start *start, uint32_t kind)
{
	for (uint32_t i = *place_of(all, 0, start_word(start)); i; i = all->route[i].next) {
		struct route *r = &all->route[i];
		if (r->word == start->pc && r->from == 0 && starts_at(&all->end[r->end], start, kind))
			return r;
	}
	return NULL;
}

/* T2. */
static inline bool joins(const struct route_end *e, const struct memo *m, uint64_t stamp)
{
	return memo_has_joint(m, &e->joint, (uint32_t)stamp) && memo_stands(m, e->joint.at);
}

const struct route *routes_find(struct routes *all, const struct memo *m, const struct unwind_start *start, uint64_t stamp,
                                uint32_t kind)
{
	if (unlikely(all->stamp != stamp))
		return NULL;
	const struct route *r = start_of(all, start, kind);
	while (r && r->offset != ROUTE_NO_WORD) {
		r = child_of(all, r, word_at(start->sp + r->offset)); /* T1 */
		if (r && r->end && joins(&all->end[r->end], m, stamp)) {
			all->found++;
			return r;
		}
	}
	return NULL;
}

/* ---- handing on ---- */

static const struct route *step_back(const struct routes *all, const struct route *r)
{
	return &all->route[r->from];
}

/* The words that lead to `last`, from there inwards, and the route that they start from. 0: too many. */
static uint32_t list_words(const struct routes *all, const struct route *last, struct recent *to, const struct route **start)
{
	uint32_t words = 0;
	for (*start = last; (*start)->from; *start = step_back(all, *start)) {
		if (words == RECENT_WORDS)
			return 0;
		to->value[words] = (*start)->word;
		to->offset[words++] = step_back(all, *start)->offset;
	}
	return words;
}

void routes_hand_on(const struct routes *all, const struct route *found, struct recents *recents,
                    const struct unwind_start *start, uint64_t stamp)
{
	const struct route *first;
	const struct route_end *end = &all->end[found->end];
	if (!recents_pay(recents))
		return;
	struct recent *to = recents_room(recents, start, stamp);
	uint32_t words = list_words(all, found, to, &first);
	if (words)
		recent_is(to, start, words, all->end[first->end].what, &end->joint, end->result);
}

/* ---- learning ---- */

/* NULL: there is no room. */
static struct route *add(struct routes *all, uint16_t *place, uint32_t from, uint64_t word)
{
	uint32_t i = all->used + 1;
	if (i == ROUTES_MOST)
		return NULL;
	all->route[i] = (struct route){.word = word, .offset = ROUTE_NO_WORD, .from = (uint16_t)from, .next = *place};
	all->used = i;
	*place = (uint16_t)i;
	return &all->route[i];
}

static bool put_end(struct routes *all, struct route *r, struct route_end end)
{
	if (!r->end && all->ends_used + 1 == ROUTE_ENDS_MOST)
		return false;
	if (!r->end)
		r->end = (uint16_t)++all->ends_used;
	all->end[r->end] = end;
	return true;
}

static struct route *begin(struct routes *all, const struct memo *m, const struct unwind_start *start, uint32_t kind)
{
	uint32_t what = kind | (m->frames[m->count - 1].flags & MEMO_NEED_FP ? RECENT_NEEDS_FP : 0);
	struct route *known = start_of(all, start, kind);
	if (known && all->end[known->end].what == what)
		return known;
	struct route *made = add(all, place_of(all, 0, start_word(start)), 0, start->pc);
	return made && put_end(all, made, (struct route_end){.joint = {.sp = start->sp, .fp = start->fp}, .what = what}) ? made
															 : NULL;
}

/* The route that the word leads to. NULL: there is no room, or the next word of this one stands elsewhere: whether the frame
   register matters is decided further out. */
static struct route *go_on(struct routes *all, struct route *at, uintptr_t offset, uint64_t word)
{
	if (at->offset == ROUTE_NO_WORD)
		at->offset = (uint32_t)offset;
	if (at->offset != offset)
		return NULL;
	struct route *known = child_of(all, at, word);
	uint32_t from = (uint32_t)(at - all->route);
	return known ? known : add(all, place_of(all, from, word), from, word);
}

/* From the innermost frame to frames[joint]. NULL: not all the way, or a step is taken anew each time. */
static struct route *go_to(struct routes *all, const struct memo *m, const struct unwind_start *start, uint32_t kind,
                           uint32_t joint)
{
	struct route *at = begin(all, m, start, kind);
	for (const struct memo_frame *f = &m->frames[m->count - 1], *outer; at && f != &m->frames[joint]; f = outer) {
		outer = f - 1;
		if (unlikely(f->flags & MEMO_UNUSUAL))
			return NULL;
		if (unlikely(outer->flags & MEMO_LOADS_FP))
			at = go_on(all, at, outer->sp - rule_slot(f->rule) - start->sp, outer->fp);
		if (at)
			at = go_on(all, at, outer->sp - ARCH_WORD - start->sp, memo_pc(outer));
	}
	return at;
}

static inline uint32_t room(uint32_t first, uint32_t earned, uint32_t most)
{
	return earned < most - first ? first + earned : most;
}

/* May it be learnt, and is there room for it? */
static bool has_room(struct routes *all, uint32_t frames, uint64_t stamp)
{
	if (all->rest) {
		all->rest--;
		return false;
	}
	if (unlikely(all->stamp != stamp))
		empty(all, stamp);
	uint32_t found = all->found < ROUTES_MOST ? all->found : ROUTES_MOST;
	if (likely(all->used + 2 * frames + 2 < room(ROUTES_FIRST, found * ROUTES_EARNED, ROUTES_MOST) &&
	           all->ends_used + 3 < room(ROUTE_ENDS_FIRST, found, ROUTE_ENDS_MOST)))
		return true;
	all->rest = all->found < ROUTES_MOST ? ROUTES_REST : 0;
	empty(all, stamp);
	return !all->rest;
}

void routes_learn(struct routes *all, const struct memo *m, const struct unwind_start *start, uint32_t kept, uint64_t stamp,
                  uint32_t kind, uint32_t result)
{
	if (!memo_is_by_words_alone(m, start))
		return;
	uint32_t innermost = m->count - 1, joint = kept && kept < m->count ? kept - 1 : innermost - 1;
	const struct memo_frame *f = &m->frames[joint];
	if (innermost - joint > ROUTES_FRAMES || !f->note || !has_room(all, innermost - joint, stamp))
		return;
	struct route *at = go_to(all, m, start, kind, joint);
	if (at)
		put_end(all, at, (struct route_end){{joint, f->note, f->sp, f->fp}, result, 0});
}
