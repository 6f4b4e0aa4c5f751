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

static inline bool is_at(const struct memo_frame *f, const struct unwind_start *at, bool exact)
{
	return f->sp == at->sp && memo_pc(f) == at->pc && !(f->flags & MEMO_INTERRUPTED) == !exact &&
	       (likely(!(f->flags & MEMO_NEED_FP)) || f->fp == at->fp);
}

static inline bool saves_fp(const struct memo_frame *f)
{
	return rule_slot(f->rule) != RULE_NOT_SAVED;
}

/* Frame registers that nothing compared may be another walk's: frames[from .. to) get the true ones, from the innermost
   outwards, whose is `fp`. Frames after an unusual step have theirs. */
static void refresh_fps(struct memo_frame *frames, uint32_t from, uint32_t to, uintptr_t fp)
{
	frames[to - 1].fp = fp;
	for (uint32_t i = to - 1; i-- > from;) {
		const struct memo_frame *inner = &frames[i + 1];
		if (!(inner->flags & MEMO_UNUSUAL))
			frames[i].fp = saves_fp(inner) ? word_at(frames[i].sp - rule_slot(inner->rule)) : inner->fp;
	}
}

/* ---- frames that are walked anew --------------------------------------------------------------------------- */

static inline uintptr_t reach_of(const struct memory *memory, uintptr_t sp)
{
	return likely(sp >= memory->low && sp < memory->stack.high) ? memory->stack.high : memory_reach(memory, sp);
}

/* The word of the rule at w->at, tag in its lower half. */
static inline uint64_t rule_here(const struct walk *w)
{
	uint64_t word = 0;
	if (likely(!w->exact))
		word = rules_read(rules_place(&w->rules, w->at.pc), rules_key(&w->rules, w->at.pc, 0));
	return likely(word) ? word : rules_fetch(&w->rules, w->at.pc, w->exact);
}

/* One step from r->w.at by whatever rule; *f becomes the frame that it is from. */
static __attribute__((noinline)) void step(struct rewalk *r, struct memo_frame *f)
{
	struct walk *w = &r->w;
	uint64_t word = rule_here(w);
	uint32_t rule = rules_rule(word);
	*f = (struct memo_frame){.sp = w->at.sp,
	                         .check = w->at.pc,
	                         .fp = w->at.fp,
	                         .tag = rules_tag(word),
	                         .rule = rule,
	                         .flags = w->exact ? MEMO_EXACT | MEMO_INTERRUPTED : 0};
	r->end_kind = rule_kind(rule);
	if (rule_is_plain(rule) && step_plain(word, &w->at, reach_of(&w->memory, w->at.sp))) {
		w->exact = 0;
		if (w->at.pc == 0)
			w->state = UNWIND_WHOLE;
		return;
	}
	r->last = (struct unwind_frame){w->at.pc, f->tag, w->exact};
	w->exact = 0;
	walk_step_unusual(w, rule);
	f->tag = r->last.tag;
	f->flags |= MEMO_UNUSUAL | (r->last.exact ? MEMO_EXACT : 0);
}

/* Room for one frame more; NULL: the stack is deeper than that. */
static struct memo_frame *push(struct rewalk *r)
{
	if (likely(r->walked < UNWIND_MAX_DEPTH))
		return &r->m->walked[r->walked++];
	r->w.state = UNWIND_TOO_DEEP;
	return NULL;
}

/* frames[from .. to) do not lead to what is outside them any more: they are part of the new walk. */
static void move_to_walked(struct rewalk *r, uint32_t from, uint32_t to)
{
	for (uint32_t i = to; i-- > from;) {
		struct memo_frame *f = push(r);
		if (!f)
			return;
		*f = r->m->frames[i];
		f->check = memo_pc(f);
		f->note = 0;
	}
}

/* The walk is at frames[r->met - 1]. true: the words lead from there to the end. false: they lead to r->w.at, which no
   frame of the memo is, or to another end. */
static bool follow(struct rewalk *r)
{
	struct memo_frame *frames = r->m->frames;
	uint32_t met = r->met, i = met - 1;
	uintptr_t fp = r->w.at.fp;
	if (likely(memo_stands(r->m, i)))
		return true;
	for (;;) {
		i = memo_follow_words(frames, i);
		if (i == 0)
			return true;
		refresh_fps(frames, i, met, fp);
		r->w.at = (struct unwind_start){memo_pc(&frames[i]), frames[i].sp, frames[i].fp};
		r->w.exact = (frames[i].flags & MEMO_INTERRUPTED) != 0;
		struct memo_frame again;
		step(r, &again);
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

/* The walk is at a frame of the memo, but no further: its words lead elsewhere, by a plain step. Loops and calls of one
   depth make many such; the frame's rule and tag stand all the same. */
static inline __attribute__((always_inline)) bool leads_elsewhere(const struct memo_frame *frames, const struct memo_frame *f)
{
	return f != frames && memo_differs(f - 1) && !(f->flags & MEMO_UNUSUAL) && !memo_arrives_again(f - 1);
}

/* Plain steps in a row, in registers, until one that is not, or the memo is met. */
static inline __attribute__((always_inline)) void step_plainly(struct rewalk *r)
{
	struct unwind_start at = r->w.at;
	const struct rules_view rules = r->w.rules;
	struct memo_frame *to = r->m->walked + r->walked, *const full = r->m->walked + UNWIND_MAX_DEPTH;
	const struct memo_frame *const frames = r->m->frames, *met = frames + r->met;
	uintptr_t reach = reach_of(&r->w.memory, at.sp);
	while (likely(to != full)) {
		while (met != frames && met[-1].sp < at.sp)
			met--;
		uint64_t word;
		if (met != frames && is_at(met - 1, &at, 0)) {
			if (!leads_elsewhere(frames, met - 1))
				break;
			met--;
			word = (uint64_t)met->rule << 32 | met->tag;
		} else {
			word = rules_read(rules_place(&rules, at.pc), rules_key(&rules, at.pc, 0));
		}
		*to = (struct memo_frame){
			.sp = at.sp, .check = at.pc, .fp = at.fp, .tag = rules_tag(word), .rule = rules_rule(word)};
		if (unlikely(!word || !rule_is_plain(rules_rule(word))) || unlikely(!step_plain(word, &at, reach)))
			break;
		if (unlikely(at.pc == 0)) {
			at = (struct unwind_start){to->check, to->sp, to->fp};
			break;
		}
		to++;
	}
	r->w.at = at;
	r->met = (uint32_t)(met - frames);
	r->walked = (uint32_t)(to - r->m->walked);
}

/* Until the end, or until all that is outside is the memo's: true. */
static bool walk_until_met(struct rewalk *r)
{
	while (r->w.state == WALK_GOES_ON) {
		if (likely(!r->w.exact))
			step_plainly(r);
		if (meets(r)) {
			if (likely(follow(r)))
				return true;
			continue;
		}
		struct memo_frame *f = push(r);
		if (f)
			step(r, f);
	}
	return false;
}

/* ---- keeping ---------------------------------------------------------------------------------------- */

/* What the frame inside, f, means for arriving at the frame outside it, and that one's needs for f (M2). */
static inline void link_frames(struct memo *m, struct memo_frame *outer, struct memo_frame *f)
{
	uint32_t needs = outer->flags & MEMO_NEED_FP, flagged = f->flags & MEMO_UNUSUAL;
	outer->flags &= (uint16_t)~MEMO_LOADS_FP;
	if (unlikely(needs) && !flagged) {
		flagged = saves_fp(f);
		outer->flags |= flagged ? MEMO_LOADS_FP : 0;
		f->flags |= flagged ? 0 : MEMO_NEED_FP;
	}
	outer->check = memo_pc(outer) | (unlikely(flagged) ? MEMO_FLAGGED : 0);
	memo_list_arrival(m, outer, f);
}

/* Puts the walked frames inside the `kept` ones. false: the walk did not go outwards all the way (M3). */
static inline bool keep(struct rewalk *r, uint32_t kept)
{
	struct memo *m = r->m;
	struct memo_frame *to = m->frames + kept;
	const struct memo_frame *from = m->walked + r->walked;
	bool outwards = true;
	for (; from != m->walked; to++) {
		*to = *--from;
		to->flags &= MEMO_EXACT | MEMO_INTERRUPTED | MEMO_UNUSUAL;
		to->flags |= unlikely((to->flags & MEMO_UNUSUAL) || rule_kind(to->rule) == RULE_FP) ? MEMO_NEED_FP : 0;
		to->words = 0;
		if (likely(to != m->frames)) {
			outwards &= to[-1].sp > to->sp;
			link_frames(m, to - 1, to);
		}
	}
	m->count = kept + r->walked;
	to[-1].check = memo_pc(to - 1); /* the innermost: nothing arrives there */
	return outwards && m->frames[0].sp <= r->w.memory.stack.high;
}

static bool rewalk_from(struct rewalk *r, const struct unwind_start *start, const struct unwind_bounds *bounds)
{
	r->w.at = *start;
	r->w.exact = 0;
	r->w.state = likely(start->pc) ? WALK_GOES_ON : UNWIND_WHOLE;
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
	if (unlikely(start->sp - bounds->low >= bounds->high - bounds->low || (start->sp & (ARCH_WORD - 1)) ||
	             !rules.map))
		return MEMO_CANNOT;
	if (unlikely(m->generation != rules.epoch))
		m->count = 0;
	if (m->count && unlikely(m->end != UNWIND_WHOLE) && !end_stands(m, &rules))
		m->count = 0;
	uint32_t count = m->count;
	if (count && is_at(&m->frames[count - 1], start, 0) && memo_stands(m, count - 1))
		return count;
	return rewalk(m, start, bounds, &rules);
}

/* ---- ways in, walked lately ---- */

/* The words from the joint to the innermost frame; 0: too many, or a step that is taken anew each time. */
static uint32_t list_words(struct recent *r, const struct memo *m, const struct unwind_start *start, uint32_t joint)
{
	uint32_t words = 0;
	for (const struct memo_frame *outer = &m->frames[joint], *last = &m->frames[m->count - 1], *f; outer != last; outer = f) {
		f = outer + 1;
		if (unlikely((f->flags & MEMO_UNUSUAL) || words > RECENT_WORDS - 2))
			return 0;
		r->offset[words] = (uint32_t)(outer->sp - ARCH_WORD - start->sp);
		r->value[words++] = memo_pc(outer);
		if (unlikely(outer->flags & MEMO_LOADS_FP)) {
			r->offset[words] = (uint32_t)(outer->sp - rule_slot(f->rule) - start->sp);
			r->value[words++] = outer->fp;
		}
	}
	return words;
}

/* The outermost frame where the words are few enough, else the innermost one that is not new, or near it. Never the innermost
   of all. */
static uint32_t joint_of(const struct memo *m, uint32_t kept)
{
	enum { FARTHEST = RECENT_WORDS - 4 };
	uint32_t innermost = m->count - 1, joint = kept && kept < m->count ? kept - 1 : innermost - 1;
	if (innermost <= FARTHEST)
		return 0;
	if (innermost - joint > FARTHEST)
		joint = innermost - FARTHEST;
	return joint;
}

enum { WITHOUT_CREDIT = 16, FOUND_EARNS = 2 }; /* without credit one in so many misses is remembered all the same */

bool recents_pay(struct recents *all)
{
	if (all->credit == 0)
		return all->misses++ % WITHOUT_CREDIT == 0;
	all->credit--;
	return true;
}

static struct recent *give_up(struct recents *all, uint32_t place)
{
	struct recent *r;
	for (uint32_t i = 0; i <= RECENT_WAYS; i++) {
		r = &all->set[place][all->next[place]++ % RECENT_WAYS];
		if (!r->found)
			break;
		r->found = 0;
		all->credit += all->credit < RECENT_CREDIT ? FOUND_EARNS : 0;
	}
	return r;
}

/* Where it stands is the code's own choice, the same each time, unless the frame register tells where. */
static void note_caller(struct recents *all, const struct memo *m, const struct unwind_start *start)
{
	const struct memo_frame *innermost = &m->frames[m->count - 1];
	struct recent_caller *c = recent_caller(all, start->pc);
	if ((innermost->flags & MEMO_UNUSUAL) || rule_kind(innermost->rule) == RULE_FP)
		return;
	c->pc = start->pc;
	c->offset = innermost[-1].sp - ARCH_WORD - start->sp;
}

/* Forgets what was remembered of another stamp. */
static __attribute__((cold, noinline)) void recents_begin(struct recents *all, uint64_t stamp)
{
	for (uint32_t i = 0; i < RECENT_SETS * RECENT_WAYS; i++)
		all->set[i / RECENT_WAYS][i % RECENT_WAYS].sp = 0;
	memset(all->caller, 0, sizeof all->caller);
	all->stamp = stamp;
}

static inline void see_stamp(struct recents *all, uint64_t stamp)
{
	if (unlikely(all->stamp != stamp))
		recents_begin(all, stamp);
}

struct recent *recents_room(struct recents *all, const struct unwind_start *start, uint64_t stamp)
{
	see_stamp(all, stamp);
	struct recent *r = give_up(all, recent_place(all, start->pc, start->sp));
	r->sp = 0;
	return r;
}

void recent_is(struct recent *r, const struct unwind_start *start, uint32_t words, uint32_t what, const struct memo_joint *joint,
               uint32_t result)
{
	r->pc = start->pc;
	r->sp = start->sp;
	r->fp = start->fp;
	r->words = (uint8_t)words;
	r->what = (uint16_t)what;
	r->joint = *joint;
	r->result = result;
}

void recents_remember(struct recents *all, const struct memo *m, const struct unwind_start *start, uint32_t kept,
                      uint64_t stamp, uint32_t kind, uint32_t result)
{
	if (!memo_is_by_words_alone(m, start))
		return;
	see_stamp(all, stamp);
	note_caller(all, m, start);
	uint32_t joint = joint_of(m, kept);
	const struct memo_frame *innermost = &m->frames[m->count - 1], *f = &m->frames[joint];
	if (!f->note || !recents_pay(all))
		return;
	struct recent *r = recents_room(all, start, stamp);
	uint32_t words = list_words(r, m, start, joint);
	if (words)
		recent_is(r, start, words, kind | (innermost->flags & MEMO_NEED_FP ? RECENT_NEEDS_FP : 0),
		          &(struct memo_joint){joint, f->note, f->sp, f->fp}, result);
}
