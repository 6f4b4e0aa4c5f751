/*
 * jvm_again: do the words that decided a step still say the same? For a memo over Java frames, in line: a few loads and
 * compares a frame. Called by mixed, which holds what the steps were.
 *
 * Why equal words mean an equal step:
 *   A1 compiled code has a compile id, counted up for each compilation and each native wrapper and never used again. At
 *      the same place the same id under the same kind's name is the same code: flushed code's place is overwritten when it
 *      is used again, and what has a frame on this stack was not flushed. Its frame size and its scopes never change.
 *      "Made not entrant" changes neither: frames stay. Code that is deoptimised has its return addresses replaced,
 *      which are words of the stack, and compared; such a frame is never remembered.
 *   A2 a stub is told by its place, its name and its frame size: it shows nothing, so that is all that its step takes.
 *      What lies between the bounds of the interpreter, and the call stub, are there for good.
 *   A3 an interpreted frame is its method, its bytecode pointer and what the method's name hangs on (jvm_identity), read
 *      in that order: the method is alive when a frame on the stack has it.
 * Reads as jvm.h, J1 to J3.
 */
#ifndef MTRACE_LANG_JVM_AGAIN_H
#define MTRACE_LANG_JVM_AGAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "lang/jvm.h"
#include "lang/jvm_blob.h"

#define JVM_WORD sizeof(uintptr_t)
enum { JVM_SLOT_METHOD = -3, JVM_SLOT_BCP = -8 }; /* of an interpreted frame, from its rbp */

static inline uintptr_t jvm_slot(uintptr_t fp, intptr_t slot)
{
	return jvm_word(fp + (uintptr_t)(slot * (intptr_t)JVM_WORD));
}

static inline bool jvm_is_interpreter(uintptr_t pc)
{
	uintptr_t queue = jvm_word(jvm_layout.interpreter);
	if (!queue)
		return false;
	uintptr_t begin = jvm_word(queue + (uintptr_t)jvm_layout.queue_code);
	return pc - begin < (uintptr_t)jvm_int(queue + (uintptr_t)jvm_layout.queue_bytes);
}

/* A1 */
static inline bool jvm_is_same_method(const struct jvm_past *past)
{
	return (uint32_t)jvm_int(past->code + (uintptr_t)jvm_layout.compiled_id) == past->id &&
	       jvm_word(past->code + (uintptr_t)jvm_layout.blob_name) == past->mark;
}

/* A2 */
static inline bool jvm_is_same_stub(const struct jvm_past *past)
{
	return past->code == 0 || (jvm_word(past->code + (uintptr_t)jvm_layout.blob_name) == past->mark &&
	                           jvm_int(past->code + (uintptr_t)jvm_layout.blob_frame_words) == past->frame_words);
}

/* A3: in the frame at `fp`, which the caller has found to be an interpreted one on the stack. */
static inline bool jvm_is_same_interpreted(const struct jvm_past *past, uintptr_t fp)
{
	return jvm_slot(fp, JVM_SLOT_METHOD) == past->code && jvm_slot(fp, JVM_SLOT_BCP) == past->mark &&
	       jvm_identity(&(struct jvm_frame){.code = past->code, .bcp = past->mark}) == past->identity;
}

/* Where it was before arguments were adapted: the caller's sp, where that is not interpreted itself. */
static inline uintptr_t jvm_sender_sp(uintptr_t fp)
{
	return jvm_slot(fp, jvm_layout.sender_sp_slot);
}

/* As jvm_step from past->pc, which *at is at, out of a method. JVM_OTHER: it does not hold any more, nothing was done. */
enum jvm_step jvm_step_again(const struct jvm_past *past, struct unwind_start *at, uintptr_t from,
                             const struct unwind_bounds *bounds);

#endif
