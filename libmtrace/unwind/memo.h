/*
 * memo: the walk of design 5.2 that remembers the previous one of its thread. Called by the tracker on every capture.
 *
 * A walk is a function of (pc, sp, frame register), of the words it reads, and of the rules. The memo keeps the frames
 * of the last walk, outermost first, each with where the walk read its return address (sp - 8) and, where an outer rule
 * uses the frame register, where it read that. A new walk goes by the rules until it is in a state that a kept frame
 * was in; from there outwards it only compares the words, and while all agree it must end as the last one did.
 *
 * Invariants
 *   M1 frames[0 .. count) are a walk: frames[i - 1] is what the step from frames[i] led to, when the words compared by
 *      the memo have the values kept. frames[0] ended the walk as `end` says.
 *   M2 NEED_FP is set where the frame register at that frame decides anything further out; only there is `fp` compared,
 *      and there it is the value the walk had.
 *   M3 every word that is compared lies on the calling thread's own stack, above the sp it runs on. A walk that left
 *      that stack, or needed other registers, is not kept.
 *   M4 frames are kept under one generation of the rules; a dlclose ends them (rules.h, R2).
 *   M5 words[frames[i].words ..) are the one or two that arriving at frames[i] takes, from the frame inside it: the return
 *      address, and the frame register before it; or one that never agrees, where it takes more. So frames[0 .. i] stand
 *      when the first frames[i].words agree.
 *   So the frames and the end never depend on what the memo held.
 *
 * One memo a thread, used by that thread only and never by a signal handler that interrupted its use. A walk that was
 * abandoned half way (siglongjmp, a thread's end) leaves a memo that must be forgotten: memo_forget.
 * Never allocates, locks, or reads a word that the walk itself would not have read. O(frames): a load and a compare for
 * a frame that stands, a rule for one that changed.
 */
#ifndef MTRACE_UNWIND_MEMO_H
#define MTRACE_UNWIND_MEMO_H

#include <stdint.h>

#include "plat.h"
#include "unwind/arch.h"
#include "unwind/rules.h"
#include "unwind/unwind.h"

struct memo_frame {
	uintptr_t sp;
	uintptr_t check; /* the pc; the top bit is set when arriving here takes more than the return address */
	uintptr_t fp;
	uint32_t tag;  /* as in struct unwind_frame */
	uint32_t note; /* the caller's own number; 0 when the frame is new */
	uint32_t rule; /* of this frame: what its step outwards reads */
	uint16_t flags;
	uint16_t words; /* that lead from here to the outermost frame: the memo's first so many */
	uint64_t path;  /* the caller's own, beside its note */
};
_Static_assert(sizeof(struct memo_frame) == 48, "six words");

enum {
	MEMO_EXACT = 1,       /* the pc is the instruction itself: interrupted by a signal, or its trampoline */
	MEMO_INTERRUPTED = 2, /* its rule was looked up for the pc itself */
	MEMO_UNUSUAL = 4,     /* its step read other words: it is taken anew each time */
	MEMO_NEED_FP = 8,     /* M2 */
	MEMO_LOADS_FP = 16    /* its fp matters, and is what the rule of the frame inside loads: compared on arrival */
};

#define MEMO_FLAGGED ((uintptr_t)1 << 63) /* no return address has this bit */

/* What arriving at a frame takes, in one list of all frames, outermost first: so that all that is outside a frame is compared
   in one go. */
struct memo_word {
	const uintptr_t *at;
	uintptr_t value;
};

struct memo {
	uint32_t count;
	uint32_t end;        /* enum unwind_end */
	uint64_t generation; /* of the rules; 0: nothing is kept */
	struct memo_frame frames[UNWIND_MAX_DEPTH];
	struct memo_word words[2 * UNWIND_MAX_DEPTH]; /* M5 */
	union {
		struct memo_frame walked[UNWIND_MAX_DEPTH];  /* of the walk under way, innermost first */
		struct unwind_frame plain[UNWIND_MAX_DEPTH]; /* the caller's, for a walk that the memo cannot do */
	};
};

static inline uintptr_t memo_pc(const struct memo_frame *f)
{
	return f->check & ~MEMO_FLAGGED;
}

static inline void memo_forget(struct memo *m)
{
	m->count = 0;
	m->generation = 0;
}

/* A frame of the memo that a walk came to, and with what. */
struct memo_joint {
	uint32_t at;   /* index */
	uint32_t note; /* its note */
	uintptr_t sp, fp;
};

#define MEMO_CANNOT UINT32_MAX

/* Walks from *start. m->frames[0 .. m->count) are the stack, outermost first, innermost m->frames[m->count - 1], and
   m->end says why it ended (UNWIND_TOO_DEEP: they are the innermost UNWIND_MAX_DEPTH, and nothing is kept).
   Returns how many of the outermost frames, and `end`, are the last walk's, with their notes; m->count: all.
   MEMO_CANNOT: not on the thread's own stack, or other registers are needed: use unwind_walk. */
uint32_t memo_walk(struct memo *m, const struct unwind_start *start, const struct unwind_bounds *bounds);

/* ---- the same words again, in line ---- */

/* 0 when the word that led to f is the one that did; f is flagged: never 0. */
static inline uintptr_t memo_differs(const struct memo_frame *f)
{
	return word_at(f->sp - ARCH_WORD) ^ f->check;
}

/* f is where the frame inside it, f[1], leads to, by a word that differs from f->check: does it all the same? */
static inline bool memo_arrives_again(const struct memo_frame *f)
{
	return word_at(f->sp - ARCH_WORD) == memo_pc(f) && (f->flags & MEMO_LOADS_FP) &&
	       word_at(f->sp - rule_slot(f[1].rule)) == f->fp;
}

/* The outermost frame that the words still lead to from frames[i] (M1). */
static inline uint32_t memo_follow_words(const struct memo_frame *frames, uint32_t i)
{
	while (i > 0 && (likely(!memo_differs(&frames[i - 1])) || memo_arrives_again(&frames[i - 1])))
		i--;
	return i;
}

static const uintptr_t memo_nothing = 0;

/* M5, of a memo's frame and the one inside it. */
static inline void memo_list_arrival(struct memo *m, const struct memo_frame *outer, struct memo_frame *inner)
{
	struct memo_word *to = m->words + outer->words;
	if (unlikely(inner->flags & MEMO_UNUSUAL)) {
		*to++ = (struct memo_word){&memo_nothing, 1};
	} else {
		if (unlikely(outer->flags & MEMO_LOADS_FP))
			*to++ = (struct memo_word){(const uintptr_t *)(outer->sp - rule_slot(inner->rule)), outer->fp};
		*to++ = (struct memo_word){(const uintptr_t *)(outer->sp - ARCH_WORD), memo_pc(outer)};
	}
	inner->words = (uint16_t)(to - m->words);
}

static inline bool memo_word_differs(const struct memo_word *w)
{
	return word_at((uintptr_t)w->at) != w->value;
}

/* Do the words still lead from frames[i] to the outermost frame (M5)? All of them lie on the running thread's own stack (M3). */
static inline __attribute__((always_inline)) bool memo_stands(const struct memo *m, uint32_t i)
{
	const struct memo_word *w = m->words + m->frames[i].words, *fours = m->words + m->frames[i].words % 4;
	for (; w != fours; w -= 4)
		if (unlikely(memo_word_differs(w - 1)) || unlikely(memo_word_differs(w - 2)) ||
		    unlikely(memo_word_differs(w - 3)) || unlikely(memo_word_differs(w - 4)))
			return false;
	while (w-- != m->words)
		if (unlikely(memo_word_differs(w)))
			return false;
	return true;
}

/* Is the walk from *start the one that is kept, to its end, if code without rules, which ended it, still has none? */
static inline bool memo_is_again(const struct memo *m, const struct unwind_start *start, uint64_t epoch)
{
	if (m->count == 0 || m->generation != epoch)
		return false;
	const struct memo_frame *f = &m->frames[m->count - 1];
	return f->sp == start->sp && memo_pc(f) == start->pc && !(f->flags & MEMO_INTERRUPTED) &&
	       (likely(!(f->flags & MEMO_NEED_FP)) || f->fp == start->fp) && memo_stands(m, m->count - 1);
}

/* ---- ways in, walked lately ----
 *
 * Programs go to and fro between a few places, and further out the stack stays. Each place (pc, sp) that a walk began at
 * remembers the last few ways from there to a frame of the memo: the words that led to it, the note that it had, and what
 * the whole walk came to. While those words agree, and the memo still has that frame with that note, and the words from
 * there outwards agree, a walk would end as that one did: the note tells all that is further out.
 * A walk that is found leaves the memo as it is. It must be whole, and its notes the ids of paths: not 0, and equal only
 * where all that is further out is equal.
 */
enum { RECENT_WORDS = 20, RECENT_SETS = 32, RECENT_WAYS = 4, RECENT_CALLERS = 64, RECENT_CREDIT = 64 };

struct recent {
	uintptr_t pc, sp; /* sp 0: nothing is remembered */
	uint32_t result;  /* the caller's */
	uint16_t what;    /* the caller's kind; RECENT_NEEDS_FP: `fp` is compared, too */
	uint8_t words;    /* not 0; the first leads to the joint, the last is the innermost */
	uint8_t found;    /* since it was thought of giving it up */
	uintptr_t fp;
	struct memo_joint joint; /* at 0: the outermost, which ends every such walk */
	uint32_t offset[RECENT_WORDS]; /* from sp */
	uint64_t value[RECENT_WORDS];
	uint64_t reserved[3];
};
#define RECENT_NEEDS_FP 0x8000u
_Static_assert(sizeof(struct recent) == 320, "five cache lines");

/* Where the return address of a place's frame stands: what is called from one place, malloc in a wrapper of it, is told
   apart by who called that. */
struct recent_caller {
	uintptr_t pc;    /* 0 none */
	uint64_t offset; /* from sp */
};

/* What one thread walked lately. */
struct recents {
	struct recent set[RECENT_SETS][RECENT_WAYS];
	struct recent_caller caller[RECENT_CALLERS];
	uint64_t stamp;            /* the rules' epoch, and whose the slot is: what is remembered is of this one */
	uint8_t next[RECENT_SETS]; /* the way that is thought of giving up next */
	uint32_t credit;           /* walks that were found again earn it, remembering spends it */
	uint32_t misses;           /* without credit */
};

static inline struct recent_caller *recent_caller(struct recents *all, uintptr_t pc)
{
	return &all->caller[(pc ^ pc >> 7) % RECENT_CALLERS];
}

/* The set of a walk's start. What is read is what the walk itself would read first: the same code runs at pc. */
static inline uint32_t recent_place(struct recents *all, uintptr_t pc, uintptr_t sp)
{
	const struct recent_caller *c = recent_caller(all, pc);
	uint64_t caller = likely(c->pc == pc) ? word_at(sp + c->offset) : 0;
	return (uint32_t)(((caller + pc + sp * 8) * 0x9e3779b97f4a7c15u) >> 59);
}
_Static_assert(RECENT_SETS == 32, "the five bits of recent_place");

/* Have the words the values that they had? All lie on the running thread's own stack (M3). From the innermost outwards, by a
   jump to the first of them: with a loop, whose number was rounded up to fours, an event 12 frames deep took 20 instructions
   more. */
static inline __attribute__((always_inline)) bool recent_agrees(const struct recent *r)
{
	const uintptr_t sp = r->sp;
#define RECENT_WORD(n)                                                                                                 \
	__attribute__((fallthrough));                                                                                  \
	case n:                                                                                                        \
		if (unlikely(word_at(sp + r->offset[(n) - 1]) != r->value[(n) - 1]))                                   \
			return false;
	switch (r->words) {
	default:
		return false;
	case 20:
		if (unlikely(word_at(sp + r->offset[19]) != r->value[19]))
			return false;
		RECENT_WORD(19)
		RECENT_WORD(18)
		RECENT_WORD(17)
		RECENT_WORD(16)
		RECENT_WORD(15)
		RECENT_WORD(14)
		RECENT_WORD(13)
		RECENT_WORD(12)
		RECENT_WORD(11)
		RECENT_WORD(10)
		RECENT_WORD(9)
		RECENT_WORD(8)
		RECENT_WORD(7)
		RECENT_WORD(6)
		RECENT_WORD(5)
		RECENT_WORD(4)
		RECENT_WORD(3)
		RECENT_WORD(2)
		RECENT_WORD(1)
	}
#undef RECENT_WORD
	return true;
}
_Static_assert(RECENT_WORDS == 20, "recent_agrees");

/* Is the memo's frame the one that the words lead to? */
static inline __attribute__((always_inline)) bool memo_has_joint(const struct memo *m, const struct memo_joint *j,
								 uint32_t generation)
{
	const struct memo_frame *f = &m->frames[j->at];
	return likely(j->at < m->count) && likely(m->generation == generation) && likely(f->note == j->note) &&
	       likely(f->sp == j->sp) &&
	       (likely(!(f->flags & (MEMO_INTERRUPTED | MEMO_NEED_FP))) ||
		(!(f->flags & MEMO_INTERRUPTED) && f->fp == j->fp));
}

/* Is the kept walk, from *start, decided by its words, and whole? */
static inline bool memo_is_by_words_alone(const struct memo *m, const struct unwind_start *start)
{
	return m->generation && m->end == UNWIND_WHOLE && m->count > 1 && m->frames[0].sp - start->sp <= UINT32_MAX;
}

/* The walk that would end as one from here, NULL none. Calls nothing: the usual event needs few registers. */
static inline __attribute__((always_inline)) const struct recent *recents_find(struct recents *all, const struct memo *m,
									       uintptr_t pc, uintptr_t sp,
									       const uintptr_t *fp, uint64_t stamp,
									       uint32_t kind)
{
	if (unlikely(all->stamp != stamp))
		return NULL;
	struct recent *r = all->set[recent_place(all, pc, sp)];
	for (uint32_t way = 0; way < RECENT_WAYS; way++, r++)
		if (r->sp == sp && r->pc == pc && (likely(r->what == kind) || (r->what == (kind | RECENT_NEEDS_FP) && r->fp == *fp)) &&
		    likely(recent_agrees(r)) &&
		    (r->joint.at == 0 ||
		     (likely(memo_has_joint(m, &r->joint, (uint32_t)all->stamp)) && likely(memo_stands(m, r->joint.at))))) {
			r->found = 1;
			return r;
		}
	return NULL;
}

/* Remembers the memo's walk from *start, of which the outermost `kept` frames were there before, if it is one that words
   alone decide, and where that pays. */
void recents_remember(struct recents *all, const struct memo *m, const struct unwind_start *start, uint32_t kept,
                      uint64_t stamp, uint32_t kind, uint32_t result);

/* Another walk was not found: does it pay to remember it? Where a good part is found again; with less, now and then one all
   the same, to learn when that changes. */
bool recents_pay(struct recents *all);

/* The place for a way from *start, in place of one that was not found lately (the clock of Corbato, 1968). Of the stamp, and
   nothing yet: recent_is makes it a way. */
struct recent *recents_room(struct recents *all, const struct unwind_start *start, uint64_t stamp);

/* r->offset and r->value have its words, 1 to RECENT_WORDS; `what` has RECENT_NEEDS_FP where that is so. */
void recent_is(struct recent *r, const struct unwind_start *start, uint32_t words, uint32_t what, const struct memo_joint *joint,
               uint32_t result);

#endif
