/* mixed_memo: see mixed_memo.h. */
#include "mixed_memo.h"

#include <string.h>

#include "lang/jvm_again.h"
#include "unwind/rules.h"

/* One walk in progress. Its frames are put at the far end of the memo's own list, innermost last, so that they stand in
   order when they are moved to the `met` ones that stay. */
struct rewalk {
	struct mixed_memo *m;
	struct unwind_start at;
	const struct unwind_bounds *bounds;
	struct mixed_near *near;
	struct rules_view rules;
	uintptr_t from;
	uint32_t met;      /* of the memo's frames, from the outermost, may still be met */
	uint32_t first;    /* of the frames that are walked */
	uint32_t first_id; /* of theirs */
	uint32_t end;      /* enum unwind_end, when it ended */
	bool is_met;       /* it ended in the memo's frames: all that is outside is theirs */
};

enum state { GOES_ON, ENDED, CANNOT };

/* ---- frames that stand (X1) ------------------------------------------------------------------------------------- */

static inline bool is_at(const struct mixed_frame *f, const struct unwind_start *at)
{
	return f->sp == at->sp && f->pc == at->pc && (!f->need_fp || f->fp == at->fp);
}

static inline bool is_same_code(const struct mixed_frame *f)
{
	switch ((enum mixed_leave)f->leave) {
	case MIXED_NATIVE: return true;
	case MIXED_COMPILED: return jvm_is_same_method(&f->past);
	case MIXED_STUB:
	case MIXED_BY_FRAME: return jvm_is_same_stub(&f->past);
	case MIXED_INTERPRETED: return jvm_is_same_interpreted(&f->past, f->fp);
	case MIXED_ANEW: break;
	}
	return false;
}

static inline bool leaves_by_frame(const struct mixed_frame *f)
{
	return f->leave == MIXED_BY_FRAME || f->leave == MIXED_INTERPRETED;
}

/* Where the step from f to its outer neighbour reads the frame register; 0: it passes on what it had. */
static inline uintptr_t fp_slot(const struct mixed_frame *f, const struct mixed_frame *outer)
{
	if (f->leave == MIXED_NATIVE)
		return rule_slot(f->rule) == RULE_NOT_SAVED ? 0 : outer->sp - rule_slot(f->rule);
	return leaves_by_frame(f) ? f->fp : outer->sp - 2 * JVM_WORD;
}

/* Interpreted: the caller's sp, where the step reads one. */
static inline bool is_same_sender(const struct mixed_frame *f, const struct mixed_frame *outer)
{
	return f->leave != MIXED_INTERPRETED || jvm_is_interpreter(outer->pc) || jvm_sender_sp(f->fp) == outer->sp;
}

/* With the walk at f: does the step lead to `outer` again? */
static inline bool leads_to(const struct mixed_frame *f, const struct mixed_frame *outer)
{
	if (unlikely(leaves_by_frame(f))) {
		if (!is_same_code(f) || word_at(f->fp + JVM_WORD) != outer->pc || !is_same_sender(f, outer))
			return false;
	} else if (unlikely(!is_same_code(f)) || unlikely(word_at(outer->sp - JVM_WORD) != outer->pc)) {
		return false;
	}
	uintptr_t slot;
	return likely(!outer->need_fp) || !(slot = fp_slot(f, outer)) || word_at(slot) == outer->fp;
}

/* The usual frames: compiled ones whose outer neighbour is found by its sp. */
static inline const struct mixed_frame *follow_compiled(const struct mixed_frame *f)
{
	const struct jvm_layout *l = &jvm_layout;
	const uintptr_t id = (uintptr_t)l->compiled_id, name = (uintptr_t)l->blob_name;
	for (const struct mixed_frame *end = f - f->plain; f != end; f--)
		if (unlikely((uint32_t)jvm_int(f->past.code + id) != f->past.id) ||
		    unlikely(jvm_word(f->past.code + name) != f->past.mark) ||
		    unlikely(word_at(f[-1].sp - JVM_WORD) != f[-1].pc))
			break;
	return f;
}

/* The outermost frame that the words still lead to from frames[i]. */
static inline uint32_t follow_words(const struct mixed_frame *frames, uint32_t i)
{
	const struct mixed_frame *f = frames + i;
	for (;; f--) {
		if (f->plain)
			f = follow_compiled(f);
		if (f == frames || unlikely(f->plain) || unlikely(!leads_to(f, f - 1)))
			break;
	}
	return (uint32_t)(f - frames);
}

/* Frame registers that nothing compared may be another walk's: frames[from .. to) get the true ones, from the innermost
   outwards, whose is `fp`. */
static void refresh_fps(struct mixed_frame *frames, uint32_t from, uint32_t to, uintptr_t fp)
{
	frames[to - 1].fp = fp;
	for (uint32_t i = to - 1; i-- > from;) {
		uintptr_t slot = fp_slot(&frames[i + 1], &frames[i]);
		frames[i].fp = slot ? word_at(slot) : frames[i + 1].fp;
	}
}

/* ---- frames that are walked anew --------------------------------------------------------------------------------- */

/* Room for a frame with so many ids, which go to *ids, innermost last; NULL: there is none. */
static struct mixed_frame *push(struct rewalk *r, uint32_t ids)
{
	struct mixed_memo *m = r->m;
	if (unlikely(r->first == r->met) || unlikely(r->first_id - mixed_ids_begin(m, r->met) < ids))
		return NULL;
	r->first_id -= ids;
	m->frames[--r->first].ids = (uint16_t)ids; /* their number, until it is kept */
	return &m->frames[r->first];
}

/* frames[from .. met) do not lead to what is outside them any more: they are part of the new walk. */
static enum state move_to_walked(struct rewalk *r, uint32_t from)
{
	struct mixed_memo *m = r->m;
	for (uint32_t to = r->met; to-- > from;) {
		uint32_t begin = mixed_ids_begin(m, to), ids = m->frames[to].ids - begin;
		struct mixed_frame moved = m->frames[to];
		r->met = to;
		struct mixed_frame *f = push(r, ids);
		if (!f)
			return CANNOT;
		*f = moved;
		f->ids = (uint16_t)ids;
		memmove(m->ids + r->first_id, m->ids + begin, ids * sizeof m->ids[0]);
	}
	return GOES_ON;
}

static enum state step_native(struct rewalk *r)
{
	struct unwind_start at = r->at;
	uint64_t word = rules_read(rules_place(&r->rules, at.pc), rules_key(&r->rules, at.pc, 0));
	if (unlikely(!word))
		word = rules_fetch(&r->rules, at.pc, false);
	struct mixed_frame *f = push(r, 1);
	if (unlikely(!f))
		return CANNOT;
	f->sp = at.sp;
	f->pc = at.pc;
	f->fp = at.fp;
	f->rule = rules_rule(word);
	f->leave = MIXED_NATIVE;
	r->m->ids[r->first_id] = rules_tag(word);
	r->end = UNWIND_WHOLE;
	if (rule_kind(f->rule) == RULE_OUTERMOST)
		return ENDED;
	if (!rule_is_plain(f->rule) || !step_plain(word, &r->at, r->bounds->high & ~(uintptr_t)(ARCH_WORD - 1)) ||
	    r->at.pc == 0)
		return CANNOT;
	return GOES_ON;
}

/* Compiled frames in a row that this thread remembers; false: they led nowhere. Where the memo is met, or a frame is not
   remembered, or there may be no room, it stops before that. */
static bool step_near(struct rewalk *r)
{
	struct mixed_memo *const m = r->m;
	const uintptr_t high = r->bounds->high & ~(uintptr_t)(JVM_WORD - 1);
	const struct mixed_frame *met = m->frames + r->met, *const no_room = met;
	const uint32_t *const no_ids = m->ids + mixed_ids_begin(m, r->met) + MIXED_NEAR_IDS;
	uintptr_t met_sp = met != m->frames ? met[-1].sp : UINTPTR_MAX;
	struct mixed_frame *f = m->frames + r->first;
	uint32_t *ids = m->ids + r->first_id;
	struct unwind_start at = r->at;
	const struct mixed_near_entry *e;
	while ((e = mixed_near_find(r->near, at.pc))) {
		for (; met_sp < at.sp; met_sp = met != m->frames ? met[-1].sp : UINTPTR_MAX)
			met--;
		if (unlikely(met_sp == at.sp && is_at(met - 1, &at)) || unlikely(f == no_room) ||
		    unlikely(ids < no_ids))
			break;
		uintptr_t outer = at.sp + (uintptr_t)e->past.frame_words * JVM_WORD;
		if (unlikely(!jvm_is_same_method(&e->past)) || unlikely(outer > high))
			break;
		f--;
		f->sp = at.sp;
		f->pc = at.pc;
		f->fp = at.fp;
		f->past = e->past;
		f->leave = MIXED_COMPILED;
		f->ids = (uint16_t)e->count;
		*--ids = e->ids[0];
		for (uint32_t i = 1; unlikely(i < e->count); i++)
			*--ids = e->ids[i];
		at = (struct unwind_start){word_at(outer - JVM_WORD), outer, word_at(outer - 2 * JVM_WORD)};
	}
	r->at = at;
	r->first = (uint32_t)(f - m->frames);
	r->first_id = (uint32_t)(ids - m->ids);
	r->met = (uint32_t)(met - m->frames);
	return at.pc != 0;
}

static uint8_t leave_of(const struct mixed_met *met, enum jvm_step step)
{
	if (!met->is_known)
		return MIXED_ANEW;
	if (met->way == JVM_INTERPRETED)
		return MIXED_INTERPRETED;
	if (met->way == JVM_BY_FRAME)
		return MIXED_BY_FRAME;
	return step == JVM_JAVA ? MIXED_COMPILED : MIXED_STUB;
}

static enum state step_java(struct rewalk *r)
{
	struct unwind_start at = r->at;
	struct mixed_met met;
	enum jvm_step step = mixed_step(&r->at, r->from, r->bounds, r->near, &met);
	struct mixed_frame *f = step == JVM_LOST ? NULL : push(r, met.count);
	if (unlikely(!f))
		return CANNOT;
	f->sp = at.sp;
	f->pc = at.pc;
	f->fp = at.fp;
	f->leave = leave_of(&met, step);
	if (met.is_known)
		f->past = met.past;
	for (uint32_t i = 0; i < met.count; i++)
		r->m->ids[r->first_id + met.count - 1 - i] = met.ids[i];
	r->end = UNWIND_VIRTUAL;
	return unlikely(met.is_bottom) ? ENDED : GOES_ON;
}

/* Frames of the memo further in than the walk cannot be met any more. */
static inline bool meets(struct rewalk *r)
{
	const struct mixed_frame *frames = r->m->frames;
	while (r->met && frames[r->met - 1].sp < r->at.sp)
		r->met--;
	return r->met && is_at(&frames[r->met - 1], &r->at);
}

/* The walk is at frames[met - 1]. ENDED: the words lead from there to the end. */
static enum state follow(struct rewalk *r)
{
	struct mixed_frame *frames = r->m->frames;
	uint32_t to = r->met, i = follow_words(frames, to - 1);
	r->is_met = i == 0 && is_same_code(&frames[0]);
	if (r->is_met)
		return ENDED;
	refresh_fps(frames, i, to, r->at.fp);
	r->at = (struct unwind_start){frames[i].pc, frames[i].sp, frames[i].fp};
	return move_to_walked(r, i + 1) == GOES_ON ? GOES_ON : CANNOT;
}

static enum state walk(struct rewalk *r)
{
	enum state state = GOES_ON;
	while (state == GOES_ON) {
		if (!step_near(r))
			return CANNOT;
		if (meets(r)) {
			if ((state = follow(r)) != GOES_ON)
				break;
			r->met--; /* it did not stand: its step is taken anew */
		}
		state = jvm_has_code(r->at.pc) ? step_java(r) : step_native(r);
	}
	return state;
}

/* ---- keeping ----------------------------------------------------------------------------------------------------- */

/* X2 */
static inline bool needs_fp(const struct mixed_frame *f, bool outer_needs)
{
	if (f->leave == MIXED_NATIVE)
		return rule_kind(f->rule) == RULE_FP || (rule_slot(f->rule) == RULE_NOT_SAVED && outer_needs);
	return f->leave != MIXED_COMPILED && f->leave != MIXED_STUB;
}

/* Puts the walked frames inside the `kept` ones. */
static void keep(struct rewalk *r, uint32_t kept)
{
	struct mixed_memo *m = r->m;
	uint32_t walked = MIXED_FRAMES - r->first, ids = mixed_ids_begin(m, kept);
	memmove(m->ids + ids, m->ids + r->first_id, (MIXED_IDS - r->first_id) * sizeof m->ids[0]);
	memmove(m->frames + kept, m->frames + r->first, walked * sizeof m->frames[0]);
	m->count = kept + walked;
	bool needs = kept && m->frames[kept - 1].need_fp;
	uint32_t plain = kept ? m->frames[kept - 1].plain + 1 : 0; /* of the next frame, if it is */
	for (struct mixed_frame *f = m->frames + kept, *end = m->frames + m->count; f != end; f++) {
		bool is_plain = f->leave == MIXED_COMPILED && !needs;
		f->ids = (uint16_t)(ids += f->ids);
		f->plain = (uint16_t)(is_plain ? plain : 0);
		f->need_fp = needs = unlikely(f->leave != MIXED_COMPILED) && needs_fp(f, needs);
		plain = is_plain ? plain + 1 : 1;
	}
}

static __attribute__((noinline)) bool rewalk(struct rewalk *r)
{
	struct mixed_memo *m = r->m;
	r->met = m->count;
	r->first = MIXED_FRAMES;
	r->first_id = MIXED_IDS;
	enum state state = walk(r);
	uint32_t kept = r->is_met ? r->met : 0, noted = m->noted < kept ? m->noted : kept;
	mixed_memo_forget(m);
	if (state == CANNOT)
		return false;
	if (!r->is_met)
		m->end = r->end;
	m->generation = r->rules.epoch;
	m->noted = noted;
	keep(r, kept);
	return true;
}

bool mixed_memo_stands(const struct mixed_memo *m, const struct unwind_start *start, uint64_t epoch)
{
	return m->count && likely(m->generation == epoch) && is_at(&m->frames[m->count - 1], start) &&
	       follow_words(m->frames, m->count - 1) == 0 && is_same_code(&m->frames[0]);
}

bool mixed_memo_walk(struct mixed_memo *m, const struct unwind_start *start, const struct unwind_bounds *bounds,
                     struct mixed_near *near)
{
	struct rules_view rules = rules_view();
	if (unlikely(start->sp - bounds->low >= bounds->high - bounds->low || start->sp % JVM_WORD || !rules.map))
		return false;
	if (mixed_memo_stands(m, start, rules.epoch))
		return true;
	if (unlikely(m->generation != rules.epoch))
		mixed_memo_forget(m);
	struct rewalk r = {.m = m, .at = *start, .bounds = bounds, .near = near, .rules = rules, .from = start->sp};
	return rewalk(&r);
}
