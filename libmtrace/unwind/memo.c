/* memo: see memo.h. */
#include "unwind/memo.h"

#include "plat.h"
#include "unwind/walk.h"

/* One walk in progress. `met` frames of the memo, from the outermost, may still be met again. */
struct rewalk {
	struct memo *m;
	struct walk w;
	struct unwind_frame last; /* the frame that w steps from, where step_unusual expects it */
	uint32_t met;
	uint32_t walked;
	enum rule_kind end_kind; /* of the rule that ended the walk */
};

/* ---- frames that stand ---------------------------------------------------------------------------------- */

static inline bool arrives_again(const struct memo_frame *f, uintptr_t word)
{
	return word == memo_pc(f) && f->arrived && word_at(f->sp - f->arrived) == f->fp;
}

/* The outermost frame that the words still lead to from frames[i] (M1). Inside out: a word is read only when all that
   led to it agreed. */
static inline __attribute__((always_inline)) uint32_t follow_words(const struct memo_frame *frames, uint32_t i)
{
	for (const struct memo_frame *f = frames + i; i > 0; i--) {
		uintptr_t word = word_at((--f)->sp - ARCH_WORD);
		if (unlikely(word != f->check) && !arrives_again(f, word))
			break;
	}
	return i;
}

static inline bool is_at(const struct memo_frame *f, const struct unwind_start *at, bool exact)
{
	return f->sp == at->sp && memo_pc(f) == at->pc && !(f->flags & MEMO_INTERRUPTED) == !exact &&
	       (!(f->flags & MEMO_NEED_FP) || f->fp == at->fp);
}

/* Frame registers that nothing compared may be another walk's: frames[from .. to) get the true ones, from the innermost
   outwards, whose is `fp`. Frames after an unusual step have theirs. */
static void refresh_fps(struct memo_frame *frames, uint32_t from, uint32_t to, uintptr_t fp)
{
	frames[to - 1].fp = fp;
	for (uint32_t i = to - 1; i-- > from;) {
		const struct memo_frame *inner = &frames[i + 1];
		if (inner->flags & MEMO_UNUSUAL)
			continue;
		frames[i].fp = inner->slot ? word_at(frames[i].sp - inner->slot) : inner->fp;
	}
}

/* ---- frames that are walked anew --------------------------------------------------------------------------- */

static inline uintptr_t reach_of(const struct memory *memory, uintptr_t sp)
{
	return likely(sp >= memory->low && sp < memory->stack.high) ? memory->stack.high : memory_reach(memory, sp);
}

static __attribute__((noinline)) void step_unusual(struct rewalk *r, struct memo_frame *f, uint32_t rule)
{
	r->last = (struct unwind_frame){r->w.at.pc, f->tag, r->w.exact};
	r->w.exact = 0;
	walk_step_unusual(&r->w, rule);
	f->tag = r->last.tag;
	f->flags |= MEMO_UNUSUAL | MEMO_USES_FP | (r->last.exact ? MEMO_EXACT : 0);
	r->end_kind = rule_kind(rule);
}

/* One step from r->w.at; returns the frame that it is from. */
static inline __attribute__((always_inline)) struct memo_frame step(struct rewalk *r)
{
	struct walk *w = &r->w;
	struct memo_frame f = {.sp = w->at.sp, .check = w->at.pc, .fp = w->at.fp,
			       .flags = unlikely(w->exact) ? MEMO_EXACT | MEMO_INTERRUPTED : 0};
	uint64_t word = 0;
	if (likely(!w->exact))
		word = rules_read(rules_place(&w->rules, w->at.pc), rules_key(&w->rules, w->at.pc, 0));
	if (unlikely(!word))
		word = rules_fetch(&w->rules, w->at.pc, w->exact);
	uint32_t rule = rules_rule(word);
	f.tag = rules_tag(word);
	if (likely(rule_is_plain(rule)) && likely(step_plain(word, &w->at, reach_of(&w->memory, w->at.sp)))) {
		uintptr_t slot = rule_slot(rule);
		f.slot = (uint16_t)(slot == RULE_NOT_SAVED ? 0 : slot);
		f.flags |= rule_kind(rule) == RULE_FP ? MEMO_USES_FP : 0;
		w->exact = 0;
		if (unlikely(w->at.pc == 0)) {
			w->state = UNWIND_WHOLE;
			r->end_kind = RULE_SP;
		}
		return f;
	}
	step_unusual(r, &f, rule);
	return f;
}

static bool push(struct rewalk *r, const struct memo_frame *f)
{
	if (unlikely(r->walked == UNWIND_MAX_DEPTH)) {
		r->w.state = UNWIND_TOO_DEEP;
		return false;
	}
	r->m->walked[r->walked++] = *f;
	return true;
}

/* frames[from .. to) do not lead to what is outside them any more: they are part of the new walk. */
static bool move_to_walked(struct rewalk *r, uint32_t from, uint32_t to)
{
	for (uint32_t i = to; i-- > from;) {
		struct memo_frame f = r->m->frames[i];
		f.check = memo_pc(&f);
		f.note = 0;
		if (!push(r, &f))
			return false;
	}
	return true;
}

/* The walk is at frames[r->met - 1]. true: the words lead from there to the end. false: they lead to r->w.at, which no
   frame of the memo is, or to another end. */
static bool follow(struct rewalk *r)
{
	struct memo_frame *frames = r->m->frames;
	uint32_t met = r->met, i = met - 1;
	uintptr_t fp = r->w.at.fp;
	for (;;) {
		i = follow_words(frames, i);
		if (i == 0)
			return true;
		refresh_fps(frames, i, met, fp);
		r->w.at = (struct unwind_start){memo_pc(&frames[i]), frames[i].sp, frames[i].fp};
		r->w.exact = (frames[i].flags & MEMO_INTERRUPTED) != 0;
		(void)step(r);
		if (r->w.state != WALK_GOES_ON || !is_at(&frames[i - 1], &r->w.at, r->w.exact))
			break;
		frames[--i].fp = r->w.at.fp; /* it arrived as before, by words that are not compared */
	}
	r->met = i;
	move_to_walked(r, i, met);
	return false;
}

/* Frames of the memo further in than the walk cannot be met any more. */
static inline bool meets(struct rewalk *r)
{
	const struct memo_frame *frames = r->m->frames;
	while (r->met && frames[r->met - 1].sp < r->w.at.sp)
		r->met--;
	return r->met && is_at(&frames[r->met - 1], &r->w.at, r->w.exact);
}

/* Until the end, or until all that is outside is the memo's: true. */
static bool walk_until_met(struct rewalk *r)
{
	while (r->w.state == WALK_GOES_ON) {
		if (meets(r)) {
			if (follow(r))
				return true;
			continue;
		}
		struct memo_frame f = step(r);
		if (!push(r, &f))
			break;
	}
	return false;
}

/* ---- keeping ---------------------------------------------------------------------------------------- */

/* What the frame inside, f, means for arriving at the frame outside it (M2). */
static void link_frames(struct memo_frame *outer, struct memo_frame *f)
{
	bool outer_needs = outer->flags & MEMO_NEED_FP;
	outer->arrived = outer_needs ? f->slot : 0;
	bool flagged = (f->flags & MEMO_UNUSUAL) || outer->arrived;
	if (f->flags & MEMO_UNUSUAL)
		outer->arrived = 0;
	outer->check = memo_pc(outer) | (flagged ? MEMO_FLAGGED : 0);
	if (outer_needs && !f->slot)
		f->flags |= MEMO_NEED_FP;
}

/* Puts the walked frames inside the `kept` ones. false: the walk did not go outwards all the way (M3). */
static bool keep(struct rewalk *r, uint32_t kept)
{
	struct memo *m = r->m;
	struct memo_frame *to = m->frames + kept;
	bool outwards = true;
	for (uint32_t i = r->walked; i-- > 0; to++) {
		*to = m->walked[i];
		to->arrived = 0;
		to->flags &= ~(uint32_t)MEMO_NEED_FP;
		to->flags |= to->flags & MEMO_USES_FP ? MEMO_NEED_FP : 0;
		if (likely(to > m->frames)) {
			link_frames(to - 1, to);
			outwards &= to[-1].sp > to->sp;
		}
	}
	m->count = kept + r->walked;
	to[-1].check = memo_pc(to - 1); /* the innermost: nothing arrives there */
	to[-1].arrived = 0;
	return outwards && m->frames[0].sp <= r->w.memory.stack.high;
}

static bool rewalk_from(struct rewalk *r, const struct unwind_start *start, const struct unwind_bounds *bounds)
{
	r->w.at = *start;
	r->w.exact = 0;
	r->w.state = start->pc ? WALK_GOES_ON : UNWIND_WHOLE;
	r->w.frames = &r->last;
	r->w.depth = r->w.keep = 1;
	memory_init(&r->w.memory, bounds, start->sp);
	r->met = r->m->count;
	r->walked = 0;
	return walk_until_met(r);
}

/* Code that is in no object has no rule that is remembered: an object may have come there since. */
static bool end_stands(const struct memo *m, const struct rules_view *rules)
{
	const struct memo_frame *f = &m->frames[0];
	return m->end != UNWIND_NO_RULES ||
	       rule_kind(rules_rule(rules_fetch(rules, memo_pc(f), (f->flags & MEMO_INTERRUPTED) != 0))) == RULE_NONE;
}

/* An end that was a word's value (a return address of zero), or that memory was not there, is not the memo's to tell. */
static bool is_end_by_rule(const struct rewalk *r)
{
	return (r->w.state == UNWIND_WHOLE && r->end_kind == RULE_OUTERMOST) ||
	       (r->w.state == UNWIND_NO_RULES && r->end_kind == RULE_NONE);
}

static __attribute__((noinline)) uint32_t rewalk(struct memo *m, const struct unwind_start *start,
						 const struct unwind_bounds *bounds, const struct rules_view *rules)
{
	struct rewalk r;
	r.m = m;
	r.w.rules = *rules;
	uint32_t kept = rewalk_from(&r, start, bounds) ? r.met : 0;
	if (unlikely(kept + r.walked > UNWIND_MAX_DEPTH)) {
		memo_forget(m);
		rewalk_from(&r, start, bounds);
		kept = 0;
	}
	if (unlikely(r.w.state == WALK_NEEDS_ALL_REGISTERS || kept + r.walked == 0)) {
		memo_forget(m);
		return MEMO_CANNOT;
	}
	if (kept == 0)
		m->end = (uint32_t)r.w.state;
	m->generation = keep(&r, kept) && (kept || is_end_by_rule(&r)) ? rules->epoch : 0;
	return kept;
}

uint32_t memo_walk(struct memo *m, const struct unwind_start *start, const struct unwind_bounds *bounds)
{
	struct rules_view rules = rules_view();
	if (unlikely(start->sp - bounds->low >= bounds->high - bounds->low || (start->sp & (ARCH_WORD - 1)) || !rules.map))
		return MEMO_CANNOT;
	if (unlikely(m->generation != rules.epoch))
		m->count = 0;
	uint32_t count = m->count;
	if (likely(count) && unlikely(m->end != UNWIND_WHOLE) && !end_stands(m, &rules))
		count = m->count = 0;
	if (likely(count && is_at(&m->frames[count - 1], start, 0)) && likely(follow_words(m->frames, count - 1) == 0))
		return count;
	return rewalk(m, start, bounds, &rules);
}
