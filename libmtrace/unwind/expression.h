/*
 * expression: DWARF's stack machine, for the few frames whose rule is a little program (PLT entries, signal
 * trampolines, realigned frames). Called by the full walk.
 *
 * Bounded: EXPRESSION_STACK values, EXPRESSION_STEPS operations (branches may go backwards). Reads memory only
 * through the walk's checked loads. What it does not know ends in false, never in a guess.
 */
#ifndef MTRACE_UNWIND_EXPRESSION_H
#define MTRACE_UNWIND_EXPRESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "unwind/arch.h"
#include "unwind/bytes.h"
#include "unwind/memory.h"

#define EXPRESSION_STACK 32u
#define EXPRESSION_STEPS 1000u

enum expression_end { EXPRESSION_OK, EXPRESSION_BAD, EXPRESSION_UNREADABLE };

/* Runs `code` on *regs; first, when not NULL, is pushed before it starts (the CFA, for register rules). */
enum expression_end expression_run(struct bytes code, const struct registers *regs, const uintptr_t *first,
                                   struct memory *memory, uintptr_t *result);

#endif
