/* expression: see expression.h. Operation numbers are those of the DWARF 5 standard, section 7.7.1. */
#include "unwind/expression.h"

enum {
	OP_ADDR = 0x03, OP_DEREF = 0x06,
	OP_CONST1U = 0x08, OP_CONST1S, OP_CONST2U, OP_CONST2S, OP_CONST4U, OP_CONST4S, OP_CONST8U, OP_CONST8S,
	OP_CONSTU, OP_CONSTS,
	OP_DUP = 0x12, OP_DROP, OP_OVER, OP_PICK, OP_SWAP, OP_ROT,
	OP_ABS = 0x19, OP_AND, OP_DIV, OP_MINUS, OP_MOD, OP_MUL, OP_NEG, OP_NOT, OP_OR, OP_PLUS, OP_PLUS_UCONST,
	OP_SHL, OP_SHR, OP_SHRA, OP_XOR, OP_BRA, OP_EQ, OP_GE, OP_GT, OP_LE, OP_LT, OP_NE, OP_SKIP,
	OP_LIT0 = 0x30, OP_LIT31 = 0x4f,
	OP_BREG0 = 0x70, OP_BREG31 = 0x8f,
	OP_BREGX = 0x92, OP_DEREF_SIZE = 0x94, OP_NOP = 0x96,
};
_Static_assert(OP_CONSTS == 0x11 && OP_ROT == 0x17 && OP_PLUS_UCONST == 0x23 && OP_SKIP == 0x2f, "DWARF 5, table 7.9");

struct machine {
	struct bytes code;
	const uint8_t *start;
	const struct registers *regs;
	struct memory *memory;
	enum expression_end end;
	unsigned depth;
	uintptr_t stack[EXPRESSION_STACK];
};

static void fail(struct machine *m, enum expression_end why)
{
	if (m->end == EXPRESSION_OK)
		m->end = why;
}

static void push(struct machine *m, uintptr_t value)
{
	if (m->depth == EXPRESSION_STACK)
		fail(m, EXPRESSION_BAD);
	else
		m->stack[m->depth++] = value;
}

static uintptr_t pop(struct machine *m)
{
	if (m->depth == 0) {
		fail(m, EXPRESSION_BAD);
		return 0;
	}
	return m->stack[--m->depth];
}

/* The value n below the top. */
static uintptr_t peek(struct machine *m, unsigned n)
{
	if (n >= m->depth) {
		fail(m, EXPRESSION_BAD);
		return 0;
	}
	return m->stack[m->depth - 1 - n];
}

static void push_register(struct machine *m, uint64_t number)
{
	int64_t offset = bytes_sleb(&m->code);
	if (number >= ARCH_REGISTERS)
		fail(m, EXPRESSION_BAD);
	else
		push(m, m->regs->r[number] + (uintptr_t)offset);
}

static void load(struct machine *m, unsigned size)
{
	uintptr_t value = 0;
	if (!memory_load_bytes(m->memory, pop(m), size, &value))
		fail(m, EXPRESSION_UNREADABLE);
	push(m, value);
}

static void jump(struct machine *m, bool taken)
{
	int64_t by = bytes_signed(&m->code, 2);
	if (!taken)
		return;
	if (by < m->start - m->code.at || by > m->code.end - m->code.at)
		fail(m, EXPRESSION_BAD);
	else
		m->code.at += by;
}

static void rotate(struct machine *m)
{
	uintptr_t top = pop(m), second = pop(m), third = pop(m);
	push(m, top);
	push(m, third);
	push(m, second);
}

static bool run_constant(struct machine *m, uint8_t op)
{
	static const uint8_t size[] = { 1, 1, 2, 2, 4, 4, 8, 8 };
	if (op >= OP_LIT0 && op <= OP_LIT31)
		push(m, op - OP_LIT0);
	else if (op == OP_CONSTU)
		push(m, bytes_uleb(&m->code));
	else if (op == OP_CONSTS)
		push(m, (uintptr_t)bytes_sleb(&m->code));
	else if (op == OP_ADDR)
		push(m, bytes_unsigned(&m->code, ARCH_WORD));
	else if (op >= OP_CONST1U && op <= OP_CONST8S)
		push(m, (op & 1) ? (uintptr_t)bytes_signed(&m->code, size[op - OP_CONST1U])
		                 : bytes_unsigned(&m->code, size[op - OP_CONST1U]));
	else
		return false;
	return true;
}

static bool run_stack(struct machine *m, uint8_t op)
{
	uintptr_t top;
	switch (op) {
	case OP_DUP: push(m, peek(m, 0)); return true;
	case OP_DROP: pop(m); return true;
	case OP_OVER: push(m, peek(m, 1)); return true;
	case OP_PICK: push(m, peek(m, bytes_u8(&m->code))); return true;
	case OP_SWAP:
		top = pop(m);
		push(m, peek(m, 0));
		if (m->depth >= 2)
			m->stack[m->depth - 2] = top;
		return true;
	case OP_ROT: rotate(m); return true;
	default: return false;
	}
}

static bool run_unary(struct machine *m, uint8_t op)
{
	switch (op) {
	case OP_ABS: {
		intptr_t value = (intptr_t)pop(m);
		push(m, value < 0 ? -(uintptr_t)value : (uintptr_t)value);
		return true;
	}
	case OP_NEG: push(m, -pop(m)); return true;
	case OP_NOT: push(m, ~pop(m)); return true;
	case OP_PLUS_UCONST: push(m, pop(m) + bytes_uleb(&m->code)); return true;
	case OP_DEREF: load(m, ARCH_WORD); return true;
	case OP_DEREF_SIZE: load(m, bytes_u8(&m->code)); return true;
	default: return false;
	}
}

static uintptr_t divide(struct machine *m, intptr_t a, intptr_t b)
{
	if (b == 0)
		fail(m, EXPRESSION_BAD);
	return b == 0 ? 0 : b == -1 ? -(uintptr_t)a : (uintptr_t)(a / b);
}

static uintptr_t modulo(struct machine *m, uintptr_t a, uintptr_t b)
{
	if (b == 0)
		fail(m, EXPRESSION_BAD);
	return b == 0 ? 0 : a % b;
}

/* Shifts by 64 and more give what a shift bit by bit would. */
static uintptr_t shift_right_arithmetic(uintptr_t a, uintptr_t by)
{
	return (uintptr_t)((intptr_t)a >> (by < 63 ? by : 63));
}

static bool run_binary(struct machine *m, uint8_t op)
{
	if (op < OP_AND || op > OP_NE || op == OP_NEG || op == OP_NOT || op == OP_PLUS_UCONST || op == OP_BRA)
		return false;
	uintptr_t b = pop(m), a = pop(m);
	switch (op) {
	case OP_AND: push(m, a & b); break;
	case OP_DIV: push(m, divide(m, (intptr_t)a, (intptr_t)b)); break;
	case OP_MINUS: push(m, a - b); break;
	case OP_MOD: push(m, modulo(m, a, b)); break;
	case OP_MUL: push(m, a * b); break;
	case OP_OR: push(m, a | b); break;
	case OP_PLUS: push(m, a + b); break;
	case OP_SHL: push(m, b < 64 ? a << b : 0); break;
	case OP_SHR: push(m, b < 64 ? a >> b : 0); break;
	case OP_SHRA: push(m, shift_right_arithmetic(a, b)); break;
	case OP_XOR: push(m, a ^ b); break;
	case OP_EQ: push(m, a == b); break;
	case OP_GE: push(m, (intptr_t)a >= (intptr_t)b); break;
	case OP_GT: push(m, (intptr_t)a > (intptr_t)b); break;
	case OP_LE: push(m, (intptr_t)a <= (intptr_t)b); break;
	case OP_LT: push(m, (intptr_t)a < (intptr_t)b); break;
	case OP_NE: push(m, a != b); break;
	}
	return true;
}

static bool run_other(struct machine *m, uint8_t op)
{
	if (op >= OP_BREG0 && op <= OP_BREG31)
		push_register(m, op - OP_BREG0);
	else if (op == OP_BREGX)
		push_register(m, bytes_uleb(&m->code));
	else if (op == OP_SKIP)
		jump(m, true);
	else if (op == OP_BRA)
		jump(m, pop(m) != 0);
	else
		return op == OP_NOP;
	return true;
}

enum expression_end expression_run(struct bytes code, const struct registers *regs, const uintptr_t *first,
                                   struct memory *memory, uintptr_t *result)
{
	struct machine m = { .code = code, .start = code.at, .regs = regs, .memory = memory, .end = EXPRESSION_OK };
	if (first)
		push(&m, *first);
	for (unsigned steps = 0; bytes_left(&m.code) && m.end == EXPRESSION_OK; steps++) {
		uint8_t op = bytes_u8(&m.code);
		bool known = run_other(&m, op) || run_constant(&m, op) || run_binary(&m, op) || run_unary(&m, op) ||
		             run_stack(&m, op);
		if (!known || steps == EXPRESSION_STEPS)
			fail(&m, EXPRESSION_BAD);
	}
	*result = peek(&m, 0);
	if (m.code.broken)
		fail(&m, EXPRESSION_BAD);
	return m.end;
}
