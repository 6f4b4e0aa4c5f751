/*
 * mixed_memo: the memo of design 5.2 over what lies further out than a thread's innermost native frames: the JVM's code,
 * the native code that called it, and so on to the end. Called by capture, where unwind's memo ends in the JVM's code.
 *
 * As unwind/memo.h, whose terms hold here: a walk is a function of where it begins, of the words that it reads and of the
 * rules. The frames of the last walk are kept, outermost first; a new one goes by steps until it is in a state (pc, sp and,
 * where it decides anything, the frame register) that a kept frame was in, and from there on only compares words.
 *
 * Invariants
 *   X1 frames[0 .. count) are a walk: the step from frames[i] leads to frames[i - 1] whenever the walk is at frames[i] and
 *      the words that mixed_memo.c compares for that step have the values kept. Which words, by how a frame is left:
 *        native        the return address; its rule is a function of the pc under one generation of the rules
 *        compiled      compile id and kind (jvm_again.h, A1); the return address
 *        stub          name and frame size (A2); the return address
 *        by its frame  name (A2); the return address
 *        interpreted   method, bytecode pointer, what the method's name hangs on (A3); the return address, the caller's sp
 *        anew          none suffice (deoptimised, met for the first time): the step is taken anew each time
 *      and where `need_fp` of frames[i - 1]: the word that its frame register was loaded from.
 *      frames[0] ended the walk, by its rule (UNWIND_WHOLE) or by what code it is in (UNWIND_VIRTUAL), which is compared.
 *   X2 need_fp is set where the frame register at that frame decides anything further out; only there is `fp` compared.
 *   X3 every word of the stack that is compared lies on the calling thread's own stack, further out than where the walk
 *      came in. What lies elsewhere is read as lang/jvm.h, J1 and J3 say.
 *   X4 frames are kept under one generation of the rules.
 *   So the frames, their ids and the end never depend on what the memo held.
 * A walk that ends otherwise, leaves the thread's own stack, or needs more than plain rules, is not the memo's.
 *
 * One a thread, used by that thread only and never by a handler that interrupted its use; one that was left half way must
 * be forgotten. Never allocates, locks, or reads a word that the walk itself would not have read. O(frames): some four
 * loads and compares for a frame that stands, some ten ns for one that was met before. Bound: MIXED_FRAMES.
 */
#ifndef MTRACE_MIXED_MEMO_H
#define MTRACE_MIXED_MEMO_H

#include <stdint.h>

#include "mixed_step.h"

enum { MIXED_FRAMES = 512, MIXED_USUAL = 64 /* few stacks are deeper */, MIXED_IDS = 1024 };

enum mixed_leave { MIXED_NATIVE, MIXED_COMPILED, MIXED_STUB, MIXED_BY_FRAME, MIXED_INTERPRETED, MIXED_ANEW };

struct mixed_frame {
	uintptr_t sp, pc;
	uintptr_t fp;
	struct jvm_past past; /* of the JVM's code; its pc is not used */
	uint32_t rule;        /* of a native frame */
	uint32_t note;        /* the caller's own number */
	uint16_t ids;         /* index behind its last id: they begin where the frame outside it ends */
	uint8_t leave;        /* enum mixed_leave */
	bool need_fp;         /* X2 */
	uint16_t plain;       /* so many from this one outwards are compiled, and their outer neighbours need no frame register */
};
_Static_assert(sizeof(struct mixed_frame) == 72, "nine words");

struct mixed_memo {
	uint32_t count;
	uint32_t end;          /* UNWIND_WHOLE or UNWIND_VIRTUAL */
	uint64_t generation;   /* of the rules */
	uint32_t noted;        /* so many of the outermost frames have their notes: the caller raises it */
	uint32_t kind, marker; /* the caller's: what the notes are, nodes of stacks of `kind` under `marker` */
	struct mixed_frame frames[MIXED_FRAMES];
	uint32_t
		ids[MIXED_IDS]; /* of what the frames show, outermost first; 0: a native frame's is still to be found */
};

static inline void mixed_memo_forget(struct mixed_memo *m)
{
	m->count = m->noted = 0;
}

static inline uint32_t mixed_ids_begin(const struct mixed_memo *m, uint32_t frame)
{
	return frame ? m->frames[frame - 1].ids : 0;
}

/* Walks from *start, which is in the JVM's code. m->frames[0 .. m->count) are all that lies there and further out.
   The first m->noted of them have their notes. false: use mixed_walk; nothing is kept. */
bool mixed_memo_walk(struct mixed_memo *m, const struct unwind_start *start, const struct unwind_bounds *bounds,
                     struct mixed_near *near);

/* Is it, word for word, the walk that is kept? `epoch`: of the rules, now. */
bool mixed_memo_stands(const struct mixed_memo *m, const struct unwind_start *start, uint64_t epoch);

#endif
