/* x86_64: which rows of rules fit the 32 bits of the fast walk. See x86_64.h for what they mean. */
#if defined(__x86_64__)
#include "unwind/cfi.h"

#define OP_DEREF 0x06
#define OP_BREG_FP 0x76

static bool fits(int64_t offset)
{
	return (offset & 7) == 0 && offset > -RULE_MAX_OFFSET && offset < RULE_MAX_OFFSET;
}

/* `breg6 N` or, with dereferenced, `breg6 N; deref`, and nothing else. */
static bool is_frame_pointer_block(struct bytes code, bool dereferenced, int64_t *offset)
{
	if (bytes_u8(&code) != OP_BREG_FP)
		return false;
	*offset = bytes_sleb(&code);
	if (dereferenced && bytes_u8(&code) != OP_DEREF)
		return false;
	return !code.broken && bytes_left(&code) == 0;
}

static bool has_plain_return(const struct cfi_row *row)
{
	return row->return_register == REG_PC && row->kind[REG_PC] == CFI_OFFSET && row->value[REG_PC] == -8 &&
	       row->kind[REG_SP] == CFI_UNSPECIFIED;
}

/* CFA = *(rbp + n), and the caller's rbp at *rbp or, as some rows have it, where it was. */
static uint32_t realigned(const struct cfi_tables *tables, const struct cfi_row *row)
{
	int64_t offset, fp_at = 0;
	if (!is_frame_pointer_block(cfi_block(tables, row->cfa_block), true, &offset) || !fits(offset))
		return RULE_FULL;
	if (row->kind[REG_FP] != CFI_EXPRESSION ||
	    !is_frame_pointer_block(cfi_block(tables, (uintptr_t)row->value[REG_FP]), false, &fp_at) || fp_at != 0)
		return RULE_FULL;
	return rule_make(RULE_REALIGNED, offset, RULE_NOT_SAVED);
}

static uint32_t plain(const struct cfi_row *row)
{
	uint32_t slot = RULE_NOT_SAVED;
	if (!fits(row->cfa_offset) || (row->cfa_register != REG_SP && row->cfa_register != REG_FP))
		return RULE_FULL;
	if (row->kind[REG_FP] == CFI_OFFSET) {
		int64_t at = -row->value[REG_FP];
		if ((at & 7) || at <= RULE_NOT_SAVED || at > RULE_SLOT_MASK)
			return RULE_FULL;
		slot = (uint32_t)at;
	} else if (row->kind[REG_FP] > CFI_SAME) {
		return RULE_FULL;
	}
	if (row->cfa_register == REG_FP)
		return rule_make(RULE_FP, row->cfa_offset, slot);
	return row->cfa_offset < slot ? RULE_FULL : rule_make(RULE_SP, row->cfa_offset, slot);
}

uint32_t rule_from_row(const struct cfi_tables *tables, const struct cfi_row *row)
{
	if (row->return_register == REG_PC && row->kind[REG_PC] == CFI_UNDEFINED)
		return rule_make(RULE_OUTERMOST, 0, RULE_NOT_SAVED);
	if (row->signal || !has_plain_return(row))
		return RULE_FULL;
	return row->cfa_block ? realigned(tables, row) : plain(row);
}

/* e8 with 4 bytes; ff /2 with a ModRM byte and up to 5 more. (A prefix before it changes nothing here.) */
bool arch_follows_call(const struct cfi_span *code, uintptr_t pc)
{
	enum { DIRECT = 5, INDIRECT_LEAST = 2, INDIRECT_MOST = 7 };
	const uint8_t *end = (const uint8_t *)pc;
	uintptr_t there = pc - code->low;
	if (there >= DIRECT && end[-DIRECT] == 0xe8)
		return true;
	for (int bytes = INDIRECT_LEAST; bytes <= INDIRECT_MOST && (uintptr_t)bytes <= there; bytes++) {
		if (end[-bytes] == 0xff && (end[1 - bytes] & 0x38) == 0x10)
			return true;
	}
	return false;
}
#endif
