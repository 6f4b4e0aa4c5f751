/*
 * jvm: the steps; see jvm.h. How HotSpot lays out frames on x86-64, which its tables do not say:
 *   compiled code, native wrappers and stubs with a frame size: return address at sp + size - 8, rbp saved below it;
 *   the interpreter: rbp is the frame; rbp[0] the caller's, rbp[1] the return address, rbp[-1] the caller's sp as it was
 *   before arguments were adapted, rbp[-3] the Method, rbp[-8] the bytecode pointer;
 *   stubs without a frame size, and the stub through which C++ calls Java: push rbp; mov rbp, rsp; in that of entry
 *   barriers push -1 before.
 */
#include "lang/jvm.h"

#include "lang/jvm_again.h"
#include "lang/jvm_blob.h"
#include "lang/jvm_memory.h"
#include "lang/jvm_spill.h"
#include "log.h"

_Atomic(const struct jvm_code *) jvm_code;
struct jvm_layout jvm_layout;

static struct jvm_code code;
static _Atomic uint32_t looking; /* somebody reads the tables, or has */

/* ---- finding the JVM ----------------------------------------------------------------------------------------- */

static bool is_libjvm(uintptr_t pc)
{
	static const char name[] = "libjvm.so";
	struct plat_object object;
	if (!plat_find_object(pc - 1, &object) || !object.path)
		return false;
	size_t bytes = strlen(object.path);
	return bytes >= sizeof name - 1 && !strcmp(object.path + bytes - (sizeof name - 1), name);
}

static void publish(void)
{
	code = (struct jvm_code){(const uintptr_t *)jvm_layout.code_low, (const uintptr_t *)jvm_layout.code_high};
	atomic_store_explicit(&jvm_code, &code, memory_order_release);
}

bool jvm_find(uintptr_t pc)
{
	uint32_t nobody = 0;
	if (atomic_load_explicit(&looking, memory_order_relaxed) || !is_libjvm(pc) ||
	    !atomic_compare_exchange_strong_explicit(&looking, &nobody, 1, memory_order_acquire, memory_order_relaxed))
		return false;
	const char *missing = jvm_layout_read(pc - 1, &jvm_layout);
	if (!missing && !jvm_blobs_init())
		missing = "the code cache";
	if (missing)
		log_trouble("no Java frames, only native ones: this JVM's layout is not known: ", missing, NULL);
	else
		publish();
	return !missing;
}

/* ---- one step -------------------------------------------------------------------------------------------------- */

struct step {
	struct unwind_start *at;
	uintptr_t low, high; /* J2 */
};

/* [bytes] of stack from `at` on. */
static bool is_on_stack(const struct step *s, uintptr_t at, uintptr_t bytes)
{
	return at % JVM_WORD == 0 && at >= s->low && at < s->high && s->high - at >= bytes;
}

/* To a frame whose sp, once it runs again, is `sp`. The words are on the stack. */
static bool go_to(struct step *s, uintptr_t pc, uintptr_t sp, uintptr_t fp)
{
	if (sp <= s->at->sp || sp > s->high || sp % JVM_WORD || !pc)
		return false;
	*s->at = (struct unwind_start){pc, sp, fp};
	return true;
}

/* rbp is the frame. The stub that a method's entry barrier calls has pushed a word below its return address, for the sp that
   the JVM leaves by when it throws the method's frame away: -1 until then, which is nobody's return address. */
static bool leave_by_rbp(struct step *s)
{
	uintptr_t fp = s->at->fp, back = fp + JVM_WORD;
	if (fp < s->at->sp || !is_on_stack(s, fp, 2 * JVM_WORD))
		return false;
	if (unlikely(jvm_word(back) == UINTPTR_MAX) && is_on_stack(s, back, 2 * JVM_WORD))
		back += JVM_WORD;
	return go_to(s, jvm_word(back), back + JVM_WORD, jvm_word(fp));
}

static bool leave_by_size(struct step *s, int32_t words)
{
	uintptr_t bytes = (uintptr_t)words * JVM_WORD, sp = s->at->sp;
	return words >= 2 && bytes < s->high - s->low && is_on_stack(s, sp, bytes) &&
	       go_to(s, jvm_word(sp + bytes - JVM_WORD), sp + bytes, jvm_word(sp + bytes - 2 * JVM_WORD));
}

static bool leave_interpreted(struct step *s, struct jvm_frame *frame)
{
	uintptr_t fp = s->at->fp;
	if (fp < s->at->sp + (uintptr_t)-JVM_SLOT_BCP * JVM_WORD || !is_on_stack(s, fp, 2 * JVM_WORD))
		return false;
	*frame = (struct jvm_frame){
		.code = jvm_slot(fp, JVM_SLOT_METHOD), .bcp = jvm_slot(fp, JVM_SLOT_BCP), .way = JVM_INTERPRETED};
	frame->key[0] = frame->code;
	frame->key[1] = frame->bcp;
	/* who is interpreted is found by its rbp; and its sp is not exact after a call through a method handle, which drops
	   an argument */
	uintptr_t pc = jvm_word(fp + JVM_WORD),
		  sp = jvm_is_interpreter(pc) ? fp + 2 * JVM_WORD : jvm_slot(fp, jvm_layout.sender_sp_slot);
	return sp >= fp + 2 * JVM_WORD && go_to(s, pc, sp, jvm_word(fp));
}

/* The return address of code that is being deoptimised leads to its handler: the real one is kept in its frame. */
static bool is_deoptimised(const struct jvm_blob *blob, uintptr_t pc)
{
	const struct jvm_layout *l = &jvm_layout;
	if (l->is_new)
		return pc == blob->start + (uintptr_t)jvm_int(blob->start + (uintptr_t)l->compiled_deopt_offset) ||
		       pc == blob->start + (uintptr_t)jvm_int(blob->start + (uintptr_t)l->compiled_deopt_mh_offset);
	return pc == jvm_word(blob->start + (uintptr_t)l->compiled_deopt) ||
	       pc == jvm_word(blob->start + (uintptr_t)l->compiled_deopt_mh);
}

static uintptr_t real_pc(const struct step *s, const struct jvm_blob *blob)
{
	uintptr_t pc = s->at->pc;
	if (!is_deoptimised(blob, pc))
		return pc;
	uintptr_t kept = s->at->sp + (uintptr_t)jvm_int(blob->start + (uintptr_t)jvm_layout.compiled_original_pc);
	struct jvm_blob same;
	if (!is_on_stack(s, kept, JVM_WORD) || !jvm_blob_at(jvm_word(kept), &same) || same.start != blob->start)
		return pc;
	return jvm_word(kept);
}

static bool leave_compiled(struct step *s, const struct jvm_blob *blob, struct jvm_frame *frame)
{
	uint32_t id = (uint32_t)jvm_int(blob->start + (uintptr_t)jvm_layout.compiled_id);
	uintptr_t spilled = jvm_spilled(s->at->pc, blob->end);
	s->at->sp += spilled;
	*frame = (struct jvm_frame){.pc = real_pc(s, blob), .code = blob->start, .is_spilled = spilled != 0};
	frame->key[0] = frame->pc;
	frame->key[1] = (uint64_t)1 << 63 | id; /* no address */
	return leave_by_size(s, blob->frame_words);
}

static enum jvm_step leave_stub(struct step *s, const struct jvm_blob *blob, struct jvm_frame *frame)
{
	bool by_size = blob->frame_words > 0;
	*frame = (struct jvm_frame){.code = blob->start, .way = by_size ? JVM_BY_SIZE : JVM_BY_FRAME};
	if (by_size)
		return leave_by_size(s, blob->frame_words) ? JVM_OTHER : JVM_LOST;
	if (jvm_blob_is_named(blob, "StubRoutines (cont"))
		return JVM_BOTTOM; /* the outermost frame that was thawed: the rest of the virtual thread is in the heap */
	return leave_by_rbp(s) ? JVM_OTHER : JVM_LOST;
}

static enum jvm_step leave_call_stub(struct step *s, struct jvm_frame *frame)
{
	*frame = (struct jvm_frame){.way = JVM_BY_FRAME};
	return leave_by_rbp(s) ? JVM_OTHER : JVM_LOST;
}

enum jvm_step jvm_step(struct unwind_start *at, uintptr_t from, const struct unwind_bounds *bounds,
                       struct jvm_frame *frame)
{
	struct step s = {at, from, bounds->high & ~(uintptr_t)(JVM_WORD - 1)};
	struct jvm_blob blob;
	if (from < bounds->low || at->sp < from)
		return JVM_LOST;
	if (jvm_is_interpreter(at->pc))
		return leave_interpreted(&s, frame) ? JVM_JAVA : JVM_LOST;
	if (at->pc == jvm_word(jvm_layout.call_stub_return))
		return leave_call_stub(&s, frame);
	if (!jvm_blob_at(at->pc, &blob))
		return JVM_LOST;
	if (!blob.is_method)
		return leave_stub(&s, &blob, frame);
	return leave_compiled(&s, &blob, frame) ? JVM_JAVA : JVM_LOST;
}

/* The words that jvm_is_same_code looks at. */
static void note_code(struct jvm_past *past, const struct jvm_frame *frame)
{
	past->mark = jvm_word(frame->code + (uintptr_t)jvm_layout.blob_name);
	past->frame_words = jvm_int(frame->code + (uintptr_t)jvm_layout.blob_frame_words);
	past->id = frame->pc ? (uint32_t)frame->key[1] : 0;
}

bool jvm_remember(struct jvm_past *past, uintptr_t pc, const struct jvm_frame *frame, uint64_t identity)
{
	*past = (struct jvm_past){.pc = pc, .code = frame->code};
	if (frame->way == JVM_INTERPRETED) {
		past->mark = frame->bcp;
		past->identity = identity;
		return true;
	}
	if (frame->code)
		note_code(past, frame);
	return !frame->is_spilled && (!frame->pc || frame->pc == pc); /* else it is deoptimised */
}

enum jvm_step jvm_step_again(const struct jvm_past *past, struct unwind_start *at, uintptr_t from,
                             const struct unwind_bounds *bounds)
{
	struct step s = {at, from, bounds->high & ~(uintptr_t)(JVM_WORD - 1)};
	if (from < bounds->low || !jvm_is_same_method(past))
		return JVM_OTHER;
	return leave_by_size(&s, past->frame_words) ? JVM_JAVA : JVM_LOST;
}
