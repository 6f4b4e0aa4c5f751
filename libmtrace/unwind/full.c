/*
 * full: the walk with all registers, for frames that the fast walk cannot step over: the dynamic linker's lazy
 * resolver (CFA in rbx), code interrupted in a PLT entry or a prologue, hand-written stack switches.
 *
 * The registers that the program had at *start are saved in our own frames by now: the walk captures those of
 * this very function, unwinds libmtrace's frames by libmtrace's own .eh_frame until it is back at *start, and goes
 * on from there. As soon as the frame in question is behind it, the fast walk takes over again.
 * Called by unwind_walk; microseconds, and rare. Bound: OWN_FRAMES of ours, UNWIND_MAX_DEPTH of the program's.
 */
#include "unwind/walk.h"

#include "plat.h"
#include "unwind/expression.h"

#define OWN_FRAMES 32u

struct frame_step {
	const struct cfi_tables *tables;
	const struct cfi_row *row;
	const struct registers *before;
	struct memory *memory;
	uintptr_t cfa;
};

static int end_of(enum expression_end end)
{
	return end == EXPRESSION_OK           ? WALK_GOES_ON
	       : end == EXPRESSION_UNREADABLE ? UNWIND_UNREADABLE
	                                      : UNWIND_BAD_RULES;
}

static int evaluate(const struct frame_step *s, uintptr_t block, const uintptr_t *first, uintptr_t *result)
{
	return end_of(expression_run(cfi_block(s->tables, block), s->before, first, s->memory, result));
}

static int load(const struct frame_step *s, uintptr_t address, uintptr_t *value)
{
	return memory_load(s->memory, address, value) ? WALK_GOES_ON : UNWIND_UNREADABLE;
}

static int find_cfa(struct frame_step *s)
{
	if (s->row->cfa_block)
		return evaluate(s, s->row->cfa_block, NULL, &s->cfa);
	s->cfa = s->before->r[s->row->cfa_register] + (uintptr_t)s->row->cfa_offset;
	return WALK_GOES_ON;
}

static int load_by_block(const struct frame_step *s, uintptr_t block, uintptr_t *value)
{
	uintptr_t address;
	int state = evaluate(s, block, &s->cfa, &address);
	return state == WALK_GOES_ON ? load(s, address, value) : state;
}

static int find_register(const struct frame_step *s, unsigned i, uintptr_t *value)
{
	uintptr_t operand = (uintptr_t)s->row->value[i];
	switch ((enum cfi_kind)s->row->kind[i]) {
	case CFI_OFFSET: return load(s, s->cfa + operand, value);
	case CFI_VAL_OFFSET: *value = s->cfa + operand; return WALK_GOES_ON;
	case CFI_EXPRESSION: return load_by_block(s, operand, value);
	case CFI_VAL_EXPRESSION: return evaluate(s, operand, &s->cfa, value);
	case CFI_REGISTER:
		if (operand >= ARCH_REGISTERS)
			return UNWIND_BAD_RULES;
		*value = s->before->r[operand];
		return WALK_GOES_ON;
	case CFI_UNSPECIFIED:
	case CFI_UNDEFINED:
	case CFI_SAME: break;
	}
	*value = i == REG_SP ? s->cfa : s->before->r[i];
	return WALK_GOES_ON;
}

static int step_by_row(struct frame_step *s, struct registers *after)
{
	unsigned pc_in = s->row->return_register;
	if (s->row->kind[pc_in] == CFI_UNDEFINED)
		return UNWIND_WHOLE;
	int state = find_cfa(s);
	for (unsigned i = 0; i < ARCH_REGISTERS && state == WALK_GOES_ON; i++) {
		state = find_register(s, i, &after->r[i]);
		if (state == UNWIND_UNREADABLE && i != pc_in && i != REG_SP) {
			after->r[i] = 0; /* unknown: matters only where an outer frame needs it */
			state = WALK_GOES_ON;
		}
	}
	after->r[REG_PC] = after->r[pc_in];
	after->exact = s->row->signal;
	return state;
}

static int step_by_sigcontext(struct memory *memory, uintptr_t context, struct registers *after)
{
	for (unsigned i = 0; i < ARCH_REGISTERS; i++) {
		if (!memory_load(memory, context + sigcontext_offset[i], &after->r[i]))
			return UNWIND_UNREADABLE;
	}
	after->exact = true;
	return WALK_GOES_ON;
}

/* A step that stays on its stack without going outwards would never end. */
static int check_progress(struct memory *memory, const struct registers *before, const struct registers *after)
{
	if (after->exact) {
		memory_jump(memory, after->r[REG_SP]);
		return WALK_GOES_ON;
	}
	bool outwards = after->r[REG_SP] > before->r[REG_SP];
	return outwards || !memory_same_stack(memory, before->r[REG_SP], after->r[REG_SP]) ? WALK_GOES_ON : UNWIND_LOOP;
}

static int step_by_tables(struct memory *memory, const struct registers *before, struct registers *after)
{
	struct cfi_tables tables;
	struct cfi_row row;
	struct frame_step s = { &tables, &row, before, memory, 0 };
	if (rules_row(before->r[REG_PC], before->exact, &tables, &row) != CFI_FOUND)
		return UNWIND_BAD_RULES;
	return step_by_row(&s, after);
}

static int step(struct memory *memory, const struct rules_view *rules, struct registers *regs)
{
	struct registers before = *regs;
	int state;
	switch (rule_kind(rules_rule(rules_fetch(rules, before.r[REG_PC], before.exact)))) {
	case RULE_OUTERMOST: return UNWIND_WHOLE;
	case RULE_NONE: return UNWIND_NO_RULES;
	case RULE_BAD: return UNWIND_BAD_RULES;
	case RULE_SIGNAL: state = step_by_sigcontext(memory, before.r[REG_SP], regs); break;
	default: state = step_by_tables(memory, &before, regs); break;
	}
	return state == WALK_GOES_ON ? check_progress(memory, &before, regs) : state;
}

/* From our own frames to the program's: regs becomes the state at *start. */
static int leave_own_frames(struct walk *w, const struct unwind_start *start, struct registers *regs)
{
	for (unsigned n = 0; n < OWN_FRAMES && regs->r[REG_SP] < start->sp; n++) {
		int state = step(&w->memory, &w->rules, regs);
		if (state != WALK_GOES_ON)
			return UNWIND_BAD_RULES;
	}
	regs->r[REG_FP] = start->fp;
	return regs->r[REG_SP] == start->sp && regs->r[REG_PC] == start->pc ? WALK_GOES_ON : UNWIND_BAD_RULES;
}

/* Steps regs from frame *done to frame w->depth, the first one not stored. */
static int catch_up(struct walk *w, struct registers *regs, size_t *done)
{
	int state = WALK_GOES_ON;
	for (; *done < w->depth && state == WALK_GOES_ON; ++*done)
		state = step(&w->memory, &w->rules, regs);
	if (state == WALK_GOES_ON && regs->r[REG_PC] == 0)
		return UNWIND_WHOLE;
	return state;
}

__attribute__((cold, noinline)) void walk_full(struct walk *w, const struct unwind_start *start)
{
	struct registers regs = { .exact = true };
	size_t done = 0;
	registers_capture(&regs);
	memory_init(&w->memory, &w->memory.stack, regs.r[REG_SP]);
	w->state = leave_own_frames(w, start, &regs);
	while (w->state == WALK_GOES_ON) {
		w->state = catch_up(w, &regs, &done);
		w->at = (struct unwind_start){ regs.r[REG_PC], regs.r[REG_SP], regs.r[REG_FP] };
		if (w->state != WALK_GOES_ON)
			return;
		w->exact = regs.exact;
		walk_fast(w);
		if (w->state == WALK_NEEDS_ALL_REGISTERS)
			w->state = WALK_GOES_ON;
	}
}
