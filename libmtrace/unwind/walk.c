/*
 * walk: the fast walk, and the public functions of unwind.h.
 *
 * It follows pc, sp and the frame register by packed rules from the cache. The loop is the tracker's dearest code:
 * no calls, one predicted branch per question, frames stored as they are met. All that is unusual goes through
 * walk_step_unusual, out of line. A frame that needs other registers hands the walk to full.c.
 */
#include "unwind/walk.h"

#include "plat.h"

/* A register whose saved word cannot be read ends the walk only where an outer frame needs it: 0 is no address. (gcc 12
   says so of rbp in the last instructions of realigned functions, after it was popped.) */
#define UNKNOWN ((uintptr_t)0)

static void finish(struct walk *w, int end)
{
	w->state = end;
}

/* A return address of zero is how the ABI, and many a coroutine library, mark the outermost frame. */
static void arrive(struct walk *w, uintptr_t pc, uintptr_t sp, uint32_t exact)
{
	w->at.pc = pc;
	w->at.sp = sp;
	w->exact = exact;
	if (pc == 0)
		finish(w, UNWIND_WHOLE);
}

/* The CFA is a place further out on the same stack, or on another one. */
static bool is_outwards(struct walk *w, uintptr_t cfa)
{
	if (cfa > w->at.sp || !memory_same_stack(&w->memory, cfa - ARCH_WORD, w->at.sp))
		return true;
	finish(w, UNWIND_LOOP);
	return false;
}

static void return_to(struct walk *w, uintptr_t cfa)
{
	uintptr_t pc;
	if (!is_outwards(w, cfa))
		return;
	if (!memory_load(&w->memory, cfa - ARCH_WORD, &pc))
		finish(w, UNWIND_UNREADABLE);
	else
		arrive(w, pc, cfa, 0);
}

/* A plain step whose words are not known to be readable. */
static void step_checked(struct walk *w, uint32_t rule)
{
	uintptr_t cfa = rule_cfa(rule, &w->at), slot = rule_slot(rule), fp = w->at.fp;
	if (slot != RULE_NOT_SAVED && !memory_load(&w->memory, cfa - slot, &fp))
		fp = UNKNOWN;
	return_to(w, cfa);
	w->at.fp = fp;
}

static void step_realigned(struct walk *w, uint32_t rule)
{
	uintptr_t cfa, fp;
	if (!memory_load(&w->memory, w->at.fp + (uintptr_t)rule_offset(rule), &cfa)) {
		finish(w, UNWIND_UNREADABLE);
		return;
	}
	if (!memory_load(&w->memory, w->at.fp, &fp))
		fp = UNKNOWN;
	return_to(w, cfa);
	w->at.fp = fp;
}

/* The trampoline's pc is its first instruction: nobody called it. Tags of exact frames have an entry of their own. */
static void mark_trampoline(struct walk *w)
{
	struct unwind_frame *frame = &w->frames[w->depth - 1];
	frame->exact = 1;
	frame->tag = rules_tag(rules_fetch(&w->rules, frame->pc, true));
}

/* The kernel put the interrupted registers above sp; its stack may be another one. */
static void step_signal(struct walk *w)
{
	uintptr_t pc, sp, fp;
	mark_trampoline(w);
	if (!memory_load(&w->memory, w->at.sp + sigcontext_offset[REG_PC], &pc) ||
	    !memory_load(&w->memory, w->at.sp + sigcontext_offset[REG_SP], &sp) ||
	    !memory_load(&w->memory, w->at.sp + sigcontext_offset[REG_FP], &fp)) {
		finish(w, UNWIND_UNREADABLE);
		return;
	}
	memory_jump(&w->memory, sp);
	arrive(w, pc, sp, 1);
	w->at.fp = fp;
}

__attribute__((noinline)) void walk_step_unusual(struct walk *w, uint32_t rule)
{
	switch (rule_kind(rule)) {
	case RULE_SP:
	case RULE_FP: step_checked(w, rule); break;
	case RULE_REALIGNED: step_realigned(w, rule); break;
	case RULE_SIGNAL: step_signal(w); break;
	case RULE_OUTERMOST: finish(w, UNWIND_WHOLE); break;
	case RULE_FULL: finish(w, WALK_NEEDS_ALL_REGISTERS); break;
	case RULE_NONE: finish(w, UNWIND_NO_RULES); break;
	case RULE_BAD: finish(w, UNWIND_BAD_RULES); break;
	}
}

static void store_frame(struct walk *w, uint64_t word)
{
	w->frames[w->depth++] = (struct unwind_frame){ w->at.pc, rules_tag(word), w->exact };
}

/* Plain frames in a row, in registers. Returns the word of the frame that is not, with that frame stored; 0: no room
   for another frame, or its rule is not at its place in the cache. */
static inline __attribute__((always_inline)) uint64_t walk_plain(struct walk *w)
{
	struct unwind_start at = w->at;
	struct unwind_frame *frame = w->frames + w->depth, *last = w->frames + w->keep;
	const struct rules_view rules = w->rules;
	uintptr_t reach = memory_reach(&w->memory, at.sp);
	uint64_t word = 0;
	while (likely(frame != last)) {
		word = rules_read(rules_place(&rules, at.pc), rules_key(&rules, at.pc, 0));
		if (unlikely(!word))
			break;
		*frame++ = (struct unwind_frame){ at.pc, rules_tag(word), 0 };
		if (unlikely(!rule_is_plain(rules_rule(word))) || unlikely(!step_plain(word, &at, reach)))
			break;
		word = 0;
	}
	w->at = at;
	w->depth = (size_t)(frame - w->frames);
	return word;
}

/* What walk_plain could not go on with: the end, or one frame, interrupted or with its rule still to be fetched.
   Returns its word when the frame is not plain. */
static __attribute__((noinline)) uint64_t walk_one(struct walk *w)
{
	if (w->at.pc == 0 || w->depth == w->keep) {
		finish(w, w->at.pc == 0 ? UNWIND_WHOLE : UNWIND_TOO_DEEP);
		return 0;
	}
	uint64_t word = rules_fetch(&w->rules, w->at.pc, w->exact);
	store_frame(w, word);
	if (!rule_is_plain(rules_rule(word)) || !step_plain(word, &w->at, memory_reach(&w->memory, w->at.sp)))
		return word;
	w->exact = 0;
	return 0;
}

void walk_fast(struct walk *w)
{
	while (w->state == WALK_GOES_ON) {
		uint64_t word = w->exact ? 0 : walk_plain(w);
		if (!word)
			word = walk_one(w);
		if (word)
			walk_step_unusual(w, rules_rule(word));
	}
}

/* ---- unwind.h ---- */

void unwind_count_bytes(_Atomic uint64_t *bytes)
{
	rules_count_bytes(bytes);
}

bool unwind_init(void)
{
	return rules_init();
}

size_t unwind_walk_on(struct unwind_start *start, const struct unwind_bounds *bounds, struct unwind_frame *frames,
                      size_t keep, enum unwind_end *end)
{
	struct walk w;
	w.at = *start;
	w.exact = 0;
	w.state = WALK_GOES_ON;
	w.depth = 0;
	w.keep = keep;
	w.frames = frames;
	w.rules = rules_view();
	memory_init(&w.memory, bounds, start->sp);
	if (unlikely(!w.rules.map || (start->sp & (ARCH_WORD - 1)))) {
		*end = w.rules.map ? UNWIND_UNREADABLE : UNWIND_NO_RULES;
		return 0;
	}
	walk_fast(&w);
	if (unlikely(w.state == WALK_NEEDS_ALL_REGISTERS))
		walk_full(&w, start);
	*end = (enum unwind_end)w.state;
	*start = w.at;
	return w.depth;
}

size_t unwind_walk(const struct unwind_start *start, const struct unwind_bounds *bounds, struct unwind_frame *frames,
                   size_t keep, enum unwind_end *end)
{
	struct unwind_start at = *start;
	return unwind_walk_on(&at, bounds, frames, keep, end);
}

void unwind_set_tag(uintptr_t pc, bool exact, uint32_t tag)
{
	rules_set_tag(pc, exact, tag);
}

void unwind_forget(void)
{
	plat_objects_forget();
	rules_forget();
	unwind_libunwind_forget();
}
