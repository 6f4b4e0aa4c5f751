/*
 * jvm: Java frames of the calling thread, by plain reads of HotSpot's own structures. Called by the tracker where a walk
 * by native rules meets code of the JVM; gives back the registers of the next frame of either language.
 *
 * Never calls into the JVM (no JNI, no JVMTI, no safepoint), takes no lock, allocates nothing: it is right in every
 * thread state, and async-signal-safe. Why the reads are safe:
 *   J1 code heaps, their segment maps and the interpreter are read inside the bounds that the JVM has committed, which
 *      only grow. A blob with a frame of ours on the stack is neither freed nor moved.
 *   J2 words of the stack are read between the sp where the walk came in and the stack's end.
 *   J3 what is reached from there (methods, constant pools, symbols, debug information) is read only after the kernel
 *      has said that its pages are readable, once per new frame; later only where the frame's own words agree with
 *      what was verified then (the method and a bytecode pointer inside it).
 *   J4 each step goes outwards on the stack, so a walk ends.
 */
#ifndef MTRACE_LANG_JVM_H
#define MTRACE_LANG_JVM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plat.h"
#include "unwind/unwind.h"

/* The JVM's code cache, [*low, *high): both are 0 until it has one. */
struct jvm_code {
	const uintptr_t *low, *high;
};
extern _Atomic(const struct jvm_code *) jvm_code; /* NULL: no JVM known. Release by jvm_find; pairs: jvm_has_code */

static inline bool jvm_has_code(uintptr_t pc)
{
	const struct jvm_code *code = atomic_load_explicit(&jvm_code, memory_order_acquire);
	return code && pc - *code->low < *code->high - *code->low;
}

/* `pc`, which has a frame on this thread's stack, may be libjvm's: then its layout is read, once. true: it is known now. */
bool jvm_find(uintptr_t pc);

enum jvm_step {
	JVM_JAVA,   /* *frame is a frame of one method and what is inlined in it; *at has gone outwards */
	JVM_OTHER,  /* a stub: nothing to show; *at has gone outwards */
	JVM_BOTTOM, /* where a virtual thread is mounted: what is further out is its carrier's */
	JVM_LOST    /* it cannot be followed */
};

/* What a step reads to leave a frame. */
enum jvm_way {
	JVM_BY_SIZE,    /* return address and frame register lie below the caller's sp */
	JVM_BY_FRAME,   /* they lie at the frame register, and the caller's sp above them */
	JVM_INTERPRETED /* so they do, and the caller's sp is in a slot, unless the caller is interpreted, too */
};

/* What tells one physical frame from all others, reused addresses included: compiled code by pc and compile id; an
   interpreted frame by its method, bytecode and what the method's name hangs on. */
struct jvm_frame {
	uint64_t key[2];
	uintptr_t pc; /* as it would be without deoptimisation; 0: interpreted, or a stub */
	uintptr_t
		code; /* the nmethod, or the stub's blob (0: the stub through which C++ calls Java); interpreted: the Method */
	uintptr_t bcp; /* interpreted: the bytecode pointer, 0 in a native method */
	enum jvm_way way;
	bool is_spilled; /* it left by its size and what it had put beside its frame (lang/jvm_spill.h) */
};

/* One step outwards from *at, whose pc is the JVM's code. `from`: the sp where the walk came in. */
enum jvm_step jvm_step(struct unwind_start *at, uintptr_t from, const struct unwind_bounds *bounds,
                       struct jvm_frame *frame);

/* A step that was taken before, by a thread for itself: what it was decided by besides words of the stack. Code is told by
   its place, its kind and its compile id, so the same words there mean the same code, and the same step (lang/jvm_again.h). */
struct jvm_past {
	uintptr_t pc;   /* 0: none */
	uintptr_t code; /* as in struct jvm_frame */
	uintptr_t mark; /* the name of the code's kind, a literal of libjvm; interpreted: the bytecode pointer */
	union {
		struct {
			uint32_t id; /* the compile id; 0 for a stub */
			int32_t frame_words;
		};
		uint64_t identity; /* interpreted */
	};
};

/* Of a step that jvm_step has just taken from `pc`; false: it depends on more. An interpreted frame has its identity: the
   caller knew it before. */
bool jvm_remember(struct jvm_past *past, uintptr_t pc, const struct jvm_frame *frame, uint64_t identity);

/* ---- names: for a frame that is new --------------------------------------------------------------------------- */

#define JVM_NO_BCI 0xffffu
enum { JVM_INLINED_MOST = 64, JVM_NAME_BYTES = 512, JVM_SHORT_BYTES = 256 };

/* What the name of an interpreted frame's method hangs on, and the name itself. A Method's address may be used again after its
   class was unloaded: whoever remembers a frame by its key compares this, too. Reads by J3: of a frame that is remembered. 0
   for compiled code, whose compile id says it. */
uint64_t jvm_identity(const struct jvm_frame *frame);

/* One method in a frame, innermost first. */
struct jvm_scope {
	uintptr_t method;
	uint32_t bci; /* JVM_NO_BCI: native, or not known */
};

/* The methods of a physical frame, read for the first time. 0: they cannot be read, or are not what they must be. */
size_t jvm_scopes(const struct jvm_frame *frame, struct jvm_scope scopes[JVM_INLINED_MOST]);

/* UTF-8, cut to fit. */
struct jvm_method {
	char klass[JVM_NAME_BYTES]; /* pkg.Class */
	char name[JVM_SHORT_BYTES];
	char signature[JVM_NAME_BYTES]; /* as in class files */
	char file[JVM_SHORT_BYTES];     /* "" unknown */
	uint32_t line;                  /* of the scope's bci, 0 unknown */
	bool is_bottom;                 /* jdk.internal.vm.Continuation.enterSpecial: JVM_BOTTOM */
};
bool jvm_describe(const struct jvm_scope *scope, struct jvm_method *method);

#endif
