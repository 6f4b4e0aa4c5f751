/*
 * x86_64: everything the unwinder knows about this architecture: DWARF's register numbers, the packed rule of
 * the fast walk and one step by it, what a signal frame looks like, how to capture our own registers.
 *
 * Included through arch.h by the rooms of unwind/ only. An addition for another architecture is a header of
 * the same shape and its rule_from_row(). Pure: loads are done by the caller's leave (see step_plain).
 */
#ifndef MTRACE_UNWIND_X86_64_H
#define MTRACE_UNWIND_X86_64_H

#include <stdbool.h>
#include <stdint.h>

#include "unwind/unwind.h"

/* DWARF numbers of the registers that a frame description can name; 16 is the return address. */
enum arch_register { REG_FP = 6, REG_SP = 7, REG_PC = 16, ARCH_REGISTERS = 17 };

#define ARCH_WORD 8u
#define ARCH_PC_BITS 47u /* user space; what lies above has no rules of ours */

struct registers {
	uintptr_t r[ARCH_REGISTERS];
	bool exact; /* r[REG_PC] is the instruction itself, not a return address */
};

/*
 * A rule of the fast walk, 32 bits, never 0:
 *   bits 0..2   kind
 *   bits 3..10  where the caller's rbp is saved: CFA - 8 * slot; slot 1 (the return address) means "not saved"
 *   bits 11..31 signed offset in words: CFA = rsp + 8 * offset | rbp + 8 * offset | *(rbp + 8 * offset)
 * Of RULE_SP: 8 <= 8 * slot <= 8 * offset, so that both words lie in the frame and the CFA is further out.
 * In all three the return address is at CFA - 8. Realigned: the caller's rbp is at *rbp.
 * The order of kinds is used: what is <= RULE_FP is plain.
 */
enum rule_kind {
	RULE_SP = 0,
	RULE_FP = 1,
	RULE_REALIGNED = 2, /* gcc's frames with over-aligned locals */
	RULE_SIGNAL = 3,    /* registers from the kernel's sigcontext */
	RULE_OUTERMOST = 4, /* the return address is undefined */
	RULE_FULL = 5,      /* needs other registers or expressions: the full walk */
	RULE_NONE = 6,      /* no rules for this pc */
	RULE_BAD = 7        /* rules that cannot be read */
};

#define RULE_SLOT_MASK 0x7f8u
#define RULE_NOT_SAVED 8u
#define RULE_MAX_OFFSET ((int64_t)8 << 20) /* bytes, exclusive: 21 signed bits of words */

static inline uint32_t rule_make(enum rule_kind kind, int64_t offset_bytes, uint32_t slot_bytes)
{
	return (uint32_t)kind | slot_bytes | ((uint32_t)(offset_bytes / 8) << 11);
}

static inline enum rule_kind rule_kind(uint32_t rule)
{
	return (enum rule_kind)(rule & 7u);
}

static inline bool rule_is_plain(uint32_t rule)
{
	return rule_kind(rule) <= RULE_FP;
}

static inline int64_t rule_offset(uint32_t rule)
{
	return ((int64_t)(int32_t)rule >> 11) * 8;
}

static inline uintptr_t rule_slot(uint32_t rule)
{
	return rule & RULE_SLOT_MASK;
}

static inline uintptr_t rule_cfa(uint32_t rule, const struct unwind_start *at)
{
	return ((rule & 1u) ? at->fp : at->sp) + (uintptr_t)rule_offset(rule);
}

/* Of memory that was found readable, whatever it is to the program, or to a sanitizer: its own, for one. */
static inline __attribute__((no_sanitize("address"))) uintptr_t word_at(uintptr_t address)
{
	return *(const uintptr_t *)address;
}

/* One step by a plain rule, in the upper half of `word`, when [at->sp, reach) is readable; false, with *at as it was,
   when the step would leave that span or not advance. A rule on rsp is aligned and holds its slot by construction.
   The offset is taken from the word by one shift: it is on the path that bounds the speed of a walk. */
static inline __attribute__((always_inline)) bool step_plain(uint64_t word, struct unwind_start *at, uintptr_t reach)
{
	uintptr_t offset = (uintptr_t)((int64_t)word >> 43) * ARCH_WORD, slot = rule_slot((uint32_t)(word >> 32));
	uintptr_t cfa = at->sp + offset;
	if (rule_kind((uint32_t)(word >> 32)) == RULE_FP) {
		cfa = at->fp + offset;
		if (__builtin_expect(cfa < at->sp + slot || (cfa & (ARCH_WORD - 1)), 0))
			return false;
	}
	if (__builtin_expect(cfa > reach, 0))
		return false;
	at->pc = word_at(cfa - ARCH_WORD);
	at->fp = slot == RULE_NOT_SAVED ? at->fp : word_at(cfa - slot);
	at->sp = cfa;
	return true;
}

/* Where the kernel's rt_sigframe keeps DWARF register i, from the sp that the handler returns to (&ucontext). */
static const uint8_t sigcontext_offset[ARCH_REGISTERS] = {
	144, 136, 152, 128, 112, 104, 120, 160, 40, 48, 56, 64, 72, 80, 88, 96, 168,
};

/* movq $15, %rax; syscall: rt_sigreturn, as every libc and Go spell the function a handler returns to. */
#define ARCH_SIGRETURN_BYTES 9u
static const uint8_t sigreturn_code[ARCH_SIGRETURN_BYTES] = { 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05 };

/* The callee-saved registers, sp and pc of the function this is inlined into, at one instruction of it. */
static inline __attribute__((always_inline)) void registers_capture(struct registers *regs)
{
	__asm__ volatile("movq %%rbx, 3*8(%0)\n\t"
	                 "movq %%rbp, 6*8(%0)\n\t"
	                 "movq %%rsp, 7*8(%0)\n\t"
	                 "movq %%r12, 12*8(%0)\n\t"
	                 "movq %%r13, 13*8(%0)\n\t"
	                 "movq %%r14, 14*8(%0)\n\t"
	                 "movq %%r15, 15*8(%0)\n\t"
	                 "leaq 0f(%%rip), %%rax\n"
	                 "0:\tmovq %%rax, 16*8(%0)"
	                 :
	                 : "D"(regs->r)
	                 : "rax", "memory");
	regs->exact = true;
}

#endif
