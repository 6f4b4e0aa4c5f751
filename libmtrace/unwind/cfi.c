/*
 * cfi: see cfi.h. Names and numbers are those of the LSB's .eh_frame chapter and of DWARF 5, section 6.4.
 *
 * The way of a lookup: header table (sorted by pc, binary search) -> FDE -> its CIE -> the CIE's instructions, then
 * the FDE's up to pc. Without a table .eh_frame is read from its beginning.
 */
#include "unwind/cfi.h"

#define SCAN_ENTRIES (1u << 20)  /* of .eh_frame, when there is no sorted table: libxul has 400 000 */
#define PROGRAM_BYTES (1u << 16) /* of instructions of one function; the largest seen has 9 000 */
#define REMEMBERED_ROWS 3u       /* of 184 bytes, on a stack that may be small; compilers nest one deep (in 290 000) */

enum encoding {
	PE_ABSPTR = 0x00, PE_ULEB = 0x01, PE_UDATA2 = 0x02, PE_UDATA4 = 0x03, PE_UDATA8 = 0x04,
	PE_SLEB = 0x09, PE_SDATA2 = 0x0a, PE_SDATA4 = 0x0b, PE_SDATA8 = 0x0c,
	PE_PCREL = 0x10, PE_DATAREL = 0x30, PE_OMIT = 0xff,
	PE_FORMAT = 0x0f, PE_BASE = 0x70,
};

/* ---- encoded pointers ---- */

static uint64_t encoded_value(struct bytes *b, uint8_t encoding)
{
	switch (encoding & PE_FORMAT) {
	case PE_ABSPTR:
	case PE_UDATA8:
	case PE_SDATA8: return bytes_unsigned(b, 8);
	case PE_ULEB: return bytes_uleb(b);
	case PE_UDATA2: return bytes_unsigned(b, 2);
	case PE_UDATA4: return bytes_unsigned(b, 4);
	case PE_SLEB: return (uint64_t)bytes_sleb(b);
	case PE_SDATA2: return (uint64_t)bytes_signed(b, 2);
	case PE_SDATA4: return (uint64_t)bytes_signed(b, 4);
	default: b->broken = true; return 0;
	}
}

/* data_base is what `datarel` is relative to: the header. Indirect pointers name personalities only: refused here. */
static uintptr_t encoded_pointer(struct bytes *b, uint8_t encoding, uintptr_t data_base)
{
	uintptr_t here = (uintptr_t)b->at;
	uintptr_t value = (uintptr_t)encoded_value(b, encoding);
	switch (encoding & ~PE_FORMAT) {
	case PE_ABSPTR: return value;
	case PE_PCREL: return value + here;
	case PE_DATAREL: return value + data_base;
	default: b->broken = true; return 0;
	}
}

static unsigned encoded_size(uint8_t encoding)
{
	switch (encoding & PE_FORMAT) {
	case PE_UDATA2:
	case PE_SDATA2: return 2;
	case PE_UDATA4:
	case PE_SDATA4: return 4;
	case PE_ABSPTR:
	case PE_UDATA8:
	case PE_SDATA8: return 8;
	default: return 0;
	}
}

/* ---- .eh_frame_hdr ---- */

struct header {
	uintptr_t frames;
	uintptr_t table;
	uint64_t entries; /* 0: no sorted table */
	uint8_t encoding; /* of the table */
};

static bool read_header(const struct cfi_span *span, uintptr_t at, struct header *h)
{
	if (at < span->low || at >= span->high)
		return false;
	struct bytes b = bytes_of(at, span->high);
	uint8_t version = bytes_u8(&b), frames = bytes_u8(&b), count = bytes_u8(&b);
	h->encoding = bytes_u8(&b);
	h->frames = encoded_pointer(&b, frames, at);
	if (version != 1 || b.broken)
		return false;
	h->entries = count == PE_OMIT || h->encoding == PE_OMIT ? 0 : encoded_value(&b, count);
	h->table = (uintptr_t)b.at;
	unsigned size = encoded_size(h->encoding);
	if (b.broken || size == 0 || h->entries > bytes_left(&b) / (2 * size))
		h->entries = 0;
	return true;
}

uintptr_t cfi_frames(const struct cfi_span *header_span, uintptr_t header)
{
	struct header h;
	return read_header(header_span, header, &h) ? h.frames : 0;
}

static uintptr_t table_word(const struct header *h, uint64_t word, uintptr_t data_base)
{
	unsigned size = encoded_size(h->encoding);
	uintptr_t at = h->table + word * size;
	struct bytes b = bytes_of(at, at + size);
	return encoded_pointer(&b, h->encoding, data_base);
}

/* The last row of the sorted table that begins at or before pc; 0 when there is none. */
static uintptr_t search_table(const struct header *h, uintptr_t pc, uintptr_t data_base)
{
	uint64_t low = 0, high = h->entries;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		if (table_word(h, 2 * middle, data_base) <= pc)
			low = middle + 1;
		else
			high = middle;
	}
	return low == 0 ? 0 : table_word(h, 2 * (low - 1) + 1, data_base);
}

/* ---- CIE and FDE ---- */

struct cie {
	uint64_t code_align;
	int64_t data_align;
	uint8_t return_register;
	uint8_t pointer_encoding;
	bool has_augmentation;
	bool signal;
	struct bytes code;
};

struct fde {
	struct cie cie;
	uintptr_t low; /* first pc */
	uintptr_t size;
	struct bytes code;
};

/* One length-prefixed entry of .eh_frame at `at`. id_at: where its CIE pointer stands; id 0: it is a CIE itself. */
struct entry {
	struct bytes body; /* after the CIE pointer */
	uintptr_t id_at;
	uint32_t id;
	bool last; /* zero length: the end of the section */
};

static bool read_entry(const struct cfi_span *span, uintptr_t at, struct entry *e)
{
	if (at < span->low || at >= span->high)
		return false;
	struct bytes b = bytes_of(at, span->high);
	uint64_t length = bytes_unsigned(&b, 4);
	if (length == 0xffffffffu)
		length = bytes_unsigned(&b, 8);
	e->last = length == 0;
	e->body = bytes_take(&b, length);
	e->id_at = (uintptr_t)e->body.at;
	e->id = e->last ? 0 : (uint32_t)bytes_unsigned(&e->body, 4); /* 4 bytes in 64-bit entries too */
	return !e->body.broken;
}

/* The letters after 'z'. Unknown ones could change the meaning of rules: refused. */
static bool read_augmentation(struct bytes *b, const uint8_t *letters, struct cie *cie)
{
	struct bytes data = bytes_take(b, bytes_uleb(b));
	for (; *letters; letters++) {
		uint8_t encoding;
		switch (*letters) {
		case 'R': cie->pointer_encoding = bytes_u8(&data); break;
		case 'L': bytes_u8(&data); break;
		case 'P':
			encoding = bytes_u8(&data);
			encoded_value(&data, encoding);
			break;
		case 'S': cie->signal = true; break;
		case 'B': break;
		default: return false;
		}
	}
	return !data.broken;
}

static const uint8_t *read_string(struct bytes *b)
{
	const uint8_t *string = b->at;
	while (bytes_u8(b) != 0)
		;
	return string;
}

static bool read_cie(const struct cfi_span *span, uintptr_t at, struct cie *cie)
{
	struct entry e;
	if (!read_entry(span, at, &e) || e.last || e.id != 0)
		return false;
	struct bytes *b = &e.body;
	uint8_t version = bytes_u8(b);
	const uint8_t *augmentation = read_string(b);
	if (b->broken || (version != 1 && version != 3 && version != 4))
		return false;
	if (version == 4 && (bytes_u8(b) != ARCH_WORD || bytes_u8(b) != 0)) /* sizes of address and segment */
		return false;
	cie->code_align = bytes_uleb(b);
	cie->data_align = bytes_sleb(b);
	uint64_t return_register = version == 1 ? bytes_u8(b) : bytes_uleb(b);
	cie->has_augmentation = augmentation[0] == 'z';
	cie->signal = false;
	cie->pointer_encoding = PE_ABSPTR;
	if (return_register >= ARCH_REGISTERS || (augmentation[0] && !cie->has_augmentation))
		return false;
	if (cie->has_augmentation && !read_augmentation(b, augmentation + 1, cie))
		return false;
	cie->return_register = (uint8_t)return_register;
	cie->code = *b;
	return !b->broken;
}

static bool read_fde(const struct cfi_tables *t, struct entry *e, struct fde *fde)
{
	struct bytes *b = &e->body;
	if (e->last || e->id == 0 || !read_cie(&t->frames_span, e->id_at - e->id, &fde->cie))
		return false;
	fde->low = encoded_pointer(b, fde->cie.pointer_encoding, t->header);
	fde->size = (uintptr_t)encoded_value(b, fde->cie.pointer_encoding & PE_FORMAT);
	if (fde->cie.has_augmentation)
		bytes_take(b, bytes_uleb(b));
	fde->code = *b;
	return !b->broken && bytes_left(b) <= PROGRAM_BYTES;
}

static enum cfi_end scan(const struct cfi_tables *t, uintptr_t frames, uintptr_t pc, struct fde *fde)
{
	uintptr_t at = frames;
	for (unsigned n = 0; n < SCAN_ENTRIES; n++) {
		struct entry e;
		if (!read_entry(&t->frames_span, at, &e))
			return n == 0 || at < t->frames_span.high ? CFI_BROKEN : CFI_NOT_COVERED;
		if (e.last)
			return CFI_NOT_COVERED;
		at = (uintptr_t)e.body.end;
		if (e.id == 0)
			continue;
		if (!read_fde(t, &e, fde))
			return CFI_BROKEN;
		if (pc - fde->low < fde->size)
			return CFI_FOUND;
	}
	return CFI_NOT_COVERED;
}

static enum cfi_end find_fde(const struct cfi_tables *t, uintptr_t pc, struct fde *fde)
{
	struct header h;
	struct entry e;
	if (!read_header(&t->header_span, t->header, &h))
		return CFI_BROKEN;
	if (h.entries == 0)
		return scan(t, h.frames, pc, fde);
	uintptr_t at = search_table(&h, pc, t->header);
	if (at == 0)
		return CFI_NOT_COVERED;
	if (!read_entry(&t->frames_span, at, &e) || !read_fde(t, &e, fde))
		return CFI_BROKEN;
	return pc - fde->low < fde->size ? CFI_FOUND : CFI_NOT_COVERED;
}

/* ---- instructions ---- */

struct program {
	struct bytes code;
	const struct cie *cie;
	const struct cfi_row *initial; /* after the CIE's instructions; NULL while they run */
	struct cfi_row *row;
	uintptr_t at;      /* the row so far holds from here on */
	uintptr_t target;
	uintptr_t data_base;
	unsigned remembered;
	struct cfi_row stack[REMEMBERED_ROWS];
};

static void set_rule(struct program *p, uint64_t reg, enum cfi_kind kind, int64_t value)
{
	if (reg >= ARCH_REGISTERS)
		return; /* vector and flag registers: of no use to a walk */
	p->row->kind[reg] = (uint8_t)kind;
	p->row->value[reg] = value;
}

static int64_t factored(const struct program *p, int64_t offset)
{
	return (int64_t)((uint64_t)offset * (uint64_t)p->cie->data_align);
}

/* The address of the block's length, which cfi_block reads again. */
static uintptr_t take_block(struct program *p)
{
	uintptr_t at = (uintptr_t)p->code.at;
	bytes_take(&p->code, bytes_uleb(&p->code));
	return at;
}

static void restore(struct program *p, uint64_t reg)
{
	if (!p->initial)
		p->code.broken = true;
	else if (reg < ARCH_REGISTERS)
		set_rule(p, reg, (enum cfi_kind)p->initial->kind[reg], p->initial->value[reg]);
}

static void set_cfa(struct program *p, uint64_t reg, int64_t offset)
{
	if (reg >= ARCH_REGISTERS)
		p->code.broken = true;
	p->row->cfa_register = (uint16_t)reg;
	p->row->cfa_offset = offset;
	p->row->cfa_block = 0;
}

static void remember(struct program *p)
{
	if (p->remembered == REMEMBERED_ROWS)
		p->code.broken = true;
	else
		p->stack[p->remembered++] = *p->row;
}

static void recall(struct program *p)
{
	if (p->remembered == 0)
		p->code.broken = true;
	else
		*p->row = p->stack[--p->remembered];
}

enum {
	CFA_NOP = 0x00, CFA_SET_LOC, CFA_ADVANCE1, CFA_ADVANCE2, CFA_ADVANCE4, CFA_OFFSET_EXTENDED, CFA_RESTORE_EXTENDED,
	CFA_UNDEFINED, CFA_SAME_VALUE, CFA_REGISTER, CFA_REMEMBER, CFA_RECALL, CFA_DEF_CFA, CFA_DEF_CFA_REGISTER,
	CFA_DEF_CFA_OFFSET, CFA_DEF_CFA_EXPRESSION, CFA_EXPRESSION, CFA_OFFSET_EXTENDED_SF, CFA_DEF_CFA_SF,
	CFA_DEF_CFA_OFFSET_SF, CFA_VAL_OFFSET, CFA_VAL_OFFSET_SF, CFA_VAL_EXPRESSION,
	CFA_GNU_ARGS_SIZE = 0x2e, CFA_GNU_NEGATIVE_OFFSET = 0x2f,
	CFA_ADVANCE = 0x40, CFA_OFFSET = 0x80, CFA_RESTORE = 0xc0,
};
_Static_assert(CFA_DEF_CFA == 0x0c && CFA_VAL_EXPRESSION == 0x16, "DWARF 5, table 7.29");

static bool run_location(struct program *p, uint8_t op)
{
	uint64_t by;
	switch (op) {
	case CFA_SET_LOC: p->at = encoded_pointer(&p->code, p->cie->pointer_encoding, p->data_base); return true;
	case CFA_ADVANCE1: by = bytes_unsigned(&p->code, 1); break;
	case CFA_ADVANCE2: by = bytes_unsigned(&p->code, 2); break;
	case CFA_ADVANCE4: by = bytes_unsigned(&p->code, 4); break;
	default: return false;
	}
	p->at += by * p->cie->code_align;
	return true;
}

static bool run_cfa(struct program *p, uint8_t op)
{
	uint64_t reg;
	switch (op) {
	case CFA_DEF_CFA:
		reg = bytes_uleb(&p->code);
		set_cfa(p, reg, (int64_t)bytes_uleb(&p->code));
		return true;
	case CFA_DEF_CFA_SF:
		reg = bytes_uleb(&p->code);
		set_cfa(p, reg, factored(p, bytes_sleb(&p->code)));
		return true;
	case CFA_DEF_CFA_REGISTER: set_cfa(p, bytes_uleb(&p->code), p->row->cfa_offset); return true;
	case CFA_DEF_CFA_OFFSET: p->row->cfa_offset = (int64_t)bytes_uleb(&p->code); return true;
	case CFA_DEF_CFA_OFFSET_SF: p->row->cfa_offset = factored(p, bytes_sleb(&p->code)); return true;
	case CFA_DEF_CFA_EXPRESSION: p->row->cfa_block = take_block(p); return true;
	default: return false;
	}
}

static bool run_register(struct program *p, uint8_t op)
{
	if (op < CFA_OFFSET_EXTENDED || (op > CFA_REGISTER && op < CFA_EXPRESSION) ||
	    (op > CFA_VAL_EXPRESSION && op != CFA_GNU_NEGATIVE_OFFSET))
		return false;
	uint64_t reg = bytes_uleb(&p->code);
	struct bytes *b = &p->code;
	switch (op) {
	case CFA_OFFSET_EXTENDED: set_rule(p, reg, CFI_OFFSET, factored(p, (int64_t)bytes_uleb(b))); return true;
	case CFA_OFFSET_EXTENDED_SF: set_rule(p, reg, CFI_OFFSET, factored(p, bytes_sleb(b))); return true;
	case CFA_GNU_NEGATIVE_OFFSET: set_rule(p, reg, CFI_OFFSET, -factored(p, (int64_t)bytes_uleb(b))); return true;
	case CFA_RESTORE_EXTENDED: restore(p, reg); return true;
	case CFA_UNDEFINED: set_rule(p, reg, CFI_UNDEFINED, 0); return true;
	case CFA_SAME_VALUE: set_rule(p, reg, CFI_SAME, 0); return true;
	case CFA_REGISTER: set_rule(p, reg, CFI_REGISTER, (int64_t)bytes_uleb(b)); return true;
	case CFA_VAL_OFFSET: set_rule(p, reg, CFI_VAL_OFFSET, factored(p, (int64_t)bytes_uleb(b))); return true;
	case CFA_VAL_OFFSET_SF: set_rule(p, reg, CFI_VAL_OFFSET, factored(p, bytes_sleb(b))); return true;
	case CFA_EXPRESSION: set_rule(p, reg, CFI_EXPRESSION, (int64_t)take_block(p)); return true;
	case CFA_VAL_EXPRESSION: set_rule(p, reg, CFI_VAL_EXPRESSION, (int64_t)take_block(p)); return true;
	default: return false;
	}
}

static bool run_other(struct program *p, uint8_t op)
{
	switch (op) {
	case CFA_NOP: return true;
	case CFA_REMEMBER: remember(p); return true;
	case CFA_RECALL: recall(p); return true;
	case CFA_GNU_ARGS_SIZE: bytes_uleb(&p->code); return true; /* not part of the CFA on this architecture */
	default: return false;
	}
}

static bool run_one(struct program *p)
{
	uint8_t op = bytes_u8(&p->code), low = op & 0x3f;
	switch (op & 0xc0) {
	case CFA_ADVANCE: p->at += low * p->cie->code_align; return true;
	case CFA_OFFSET: set_rule(p, low, CFI_OFFSET, factored(p, (int64_t)bytes_uleb(&p->code))); return true;
	case CFA_RESTORE: restore(p, low); return true;
	default: return run_cfa(p, op) || run_register(p, op) || run_location(p, op) || run_other(p, op);
	}
}

/* Runs p->code until the row for p->target is complete. Every instruction eats a byte: bounded by the code. */
static bool run(struct program *p)
{
	while (bytes_left(&p->code)) {
		if (!run_one(p) || p->code.broken)
			return false;
		if (p->initial && p->at > p->target)
			break;
	}
	return !p->code.broken;
}

enum cfi_end cfi_row_at(const struct cfi_tables *tables, uintptr_t pc, struct cfi_row *row)
{
	struct fde fde;
	enum cfi_end found = find_fde(tables, pc, &fde);
	if (found != CFI_FOUND)
		return found;
	struct program p = { .code = fde.cie.code, .cie = &fde.cie, .row = row, .target = pc, .data_base = tables->header };
	*row = (struct cfi_row){
		.function = fde.low,
		.return_register = fde.cie.return_register,
		.signal = fde.cie.signal,
	};
	if (!run(&p))
		return CFI_BROKEN;
	struct cfi_row initial = *row;
	p.initial = &initial;
	p.code = fde.code;
	p.at = fde.low;
	return run(&p) ? CFI_FOUND : CFI_BROKEN;
}

struct bytes cfi_block(const struct cfi_tables *tables, uintptr_t block)
{
	struct bytes b = bytes_of(block, tables->frames_span.high);
	return bytes_take(&b, bytes_uleb(&b));
}
