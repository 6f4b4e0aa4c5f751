/*
 * cfi: the tables that the compiler wrote (.eh_frame_hdr, .eh_frame): from a pc to the row of rules that says how to
 * find the caller's registers. Called on a miss of the rule cache and by the full walk.
 *
 * The tables are another module's memory and are treated as hostile: every read is inside the two spans given,
 * every loop is bounded by them. A damaged table ends in CFI_BROKEN. Never allocates, never calls libc.
 */
#ifndef MTRACE_UNWIND_CFI_H
#define MTRACE_UNWIND_CFI_H

#include <stdbool.h>
#include <stdint.h>

#include "unwind/arch.h"
#include "unwind/bytes.h"

/* [low, high) is readable. */
struct cfi_span {
	uintptr_t low;
	uintptr_t high;
};

struct cfi_tables {
	uintptr_t header;            /* address of .eh_frame_hdr */
	struct cfi_span header_span; /* readable memory around it */
	struct cfi_span frames_span; /* readable memory around .eh_frame */
};

enum cfi_kind {
	CFI_UNSPECIFIED, /* as the ABI has it: same value */
	CFI_UNDEFINED,
	CFI_SAME,
	CFI_OFFSET,         /* at CFA + value */
	CFI_VAL_OFFSET,     /* is CFA + value */
	CFI_REGISTER,       /* is in register `value` */
	CFI_EXPRESSION,     /* at the address that the block at `value` computes */
	CFI_VAL_EXPRESSION  /* is what the block at `value` computes */
};

/* A block is the address of its length (ULEB128), inside frames_span. */
struct cfi_row {
	uintptr_t function; /* first pc of the function that the row is of */
	int64_t cfa_offset;
	uintptr_t cfa_block; /* 0: CFA = register + offset */
	uint16_t cfa_register;
	uint8_t return_register;
	bool signal; /* augmentation S */
	uint8_t kind[ARCH_REGISTERS];
	int64_t value[ARCH_REGISTERS];
};

enum cfi_end { CFI_FOUND, CFI_NOT_COVERED, CFI_BROKEN };

/* Where .eh_frame begins, read from .eh_frame_hdr; 0 when that cannot be known. */
uintptr_t cfi_frames(const struct cfi_span *header_span, uintptr_t header);

/* The row for the instruction at `pc` (for a return address: the address before it). */
enum cfi_end cfi_row_at(const struct cfi_tables *tables, uintptr_t pc, struct cfi_row *row);

/* The code of a block of `row`; broken when it does not fit its span. */
struct bytes cfi_block(const struct cfi_tables *tables, uintptr_t block);

/* The packed rule of the fast walk for a row (architecture's own file); RULE_FULL when it does not fit one. */
uint32_t rule_from_row(const struct cfi_tables *tables, const struct cfi_row *row);

/* May the instruction that ends at pc be a call? Reads [code->low, pc) only. (Architecture's own file.) */
bool arch_follows_call(const struct cfi_span *code, uintptr_t pc);

#endif
