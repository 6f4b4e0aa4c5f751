/*
 * unwind_stacks: walks on stacks that are not the thread's, and what lies at a stack's end: fibers, switches, return
 * addresses that nobody's call made, calls that never return.
 */
#include "unwind_shapes.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

/* ---- other stacks ---- */

static ucontext_t fiber_caller, fiber;

static void fiber_main(void)
{
	for (int i = 0; i < 20; i++) {
		mixed(i, oracle_compare);
		oracle_expect_whole(2);
		swapcontext(&fiber, &fiber_caller);
	}
}

/* The fiber's stack ends at the end of readable memory, and is not the thread's. */
START_TEST(fibers)
{
	size_t bytes = 1 << 20;
	char *stack = mmap(NULL, bytes + 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(stack, bytes, PROT_READ | PROT_WRITE);
	getcontext(&fiber);
	fiber.uc_stack.ss_sp = stack;
	fiber.uc_stack.ss_size = bytes;
	makecontext(&fiber, fiber_main, 0);
	for (int i = 0; i < 20; i++)
		swapcontext(&fiber_caller, &fiber);
	oracle_expect(20);
}
END_TEST

static char *switch_top;
static int switches_left;

static NOINLINE void switch_again(void)
{
	if (switches_left-- > 0) {
		switch_top -= 16384;
		call_on_stack(switch_top, switch_again);
	} else {
		oracle_compare();
	}
	KEEP_FRAME();
}

static NOINLINE void switch_then_mixed(void)
{
	mixed(6, oracle_compare);
	KEEP_FRAME();
}

START_TEST(stack_switches_need_all_registers)
{
	char *stacks = malloc(1 << 20);
	for (int i = 0; i < 200; i++) {
		switch_top = (char *)(((uintptr_t)stacks + (1 << 20)) & ~15UL);
		switches_left = i % 20;
		mixed(i % 7, switch_again);
		oracle_expect_whole(5);
		call_on_stack(stacks + (1 << 19), switch_then_mixed);
	}
	oracle_expect(400);
	free(stacks);
}
END_TEST

/* ---- what lies at a stack's end ---- */

/* ends_in_call calls its argument, which never returns, with its last instruction: the return address is after_call, the
   next function's first. The same again without rules for it; and a function that nothing without rules comes before. */
void ends_in_call(action then), after_call(void), after_ruleless_direct(void), after_ruleless_indirect(void);
void nobody_called(void), padded(void), enter_on(void *top, action bottom, action then);
__asm__(".text\n"
	".skip 16, 0xcc\n"
	"ends_in_call:\n.cfi_startproc\nsubq $8, %rsp\n.cfi_adjust_cfa_offset 8\ncall *%rdi\n.cfi_endproc\n"
	"after_call:\n.cfi_startproc\nud2\n.cfi_endproc\n"
	".skip 16, 0xcc\ncall abort\n"
	"after_ruleless_direct:\n.cfi_startproc\nud2\n.cfi_endproc\n"
	".skip 16, 0xcc\ncall *16(%r12)\n"
	"after_ruleless_indirect:\n.cfi_startproc\nud2\n.cfi_endproc\n"
	".skip 16, 0xcc\n"
	"nobody_called:\n.cfi_startproc\nud2\n.cfi_endproc\n"
	"nopw 0x0(%rax,%rax,1)\nxchg %ax, %ax\n"
	"padded:\n.cfi_startproc\nud2\n.cfi_endproc\n"
	"enter_on:\n.cfi_startproc\nmovq %rdi, %rsp\npushq %rsi\njmp *%rdx\n.cfi_endproc\n");

static jmp_buf before_call;

static NOINLINE void walk_and_leave(void)
{
	walk_keeping();
	longjmp(before_call, 1);
}

static NOINLINE void compare_and_leave(void)
{
	oracle_compare();
	longjmp(before_call, 1);
}

/* The byte before the return address has rules, so this is not an end: the walk goes on through the caller. */
START_TEST(a_call_that_never_returns_is_no_end)
{
	if (!setjmp(before_call))
		ends_in_call(compare_and_leave);
	ck_assert_uint_eq(oracle_now.ours.frames[1].pc, (uintptr_t)after_call);
	oracle_expect_whole(5);
	oracle_expect(1);
}
END_TEST

static enum unwind_end end_on(action bottom)
{
	static char stack[1 << 17] __attribute__((aligned(16)));
	kept = UNWIND_MAX_DEPTH;
	if (!setjmp(before_call))
		enter_on(stack + sizeof stack, bottom, walk_and_leave);
	ck_assert_uint_eq(kept, 2);
	ck_assert_uint_eq(kept_frames[1].pc, (uintptr_t)bottom);
	return kept_end;
}

START_TEST(a_first_instruction_that_nobody_called_is_the_end)
{
	ck_assert_int_eq(end_on(nobody_called), UNWIND_WHOLE);
	ck_assert_int_eq(end_on(padded), UNWIND_WHOLE);
	ck_assert_int_eq(end_on(nobody_called), UNWIND_WHOLE); /* from the cache */
}
END_TEST

/* Code without rules may end in a call just before a function that has some: the stack goes on there, unseen. */
START_TEST(a_first_instruction_after_a_call_is_not)
{
	ck_assert_int_eq(end_on(after_ruleless_direct), UNWIND_NO_RULES);
	ck_assert_int_eq(end_on(after_ruleless_indirect), UNWIND_NO_RULES);
}
END_TEST
int main(void)
{
	Suite *suite = suite_create("unwind_stacks");
	TCase *walks = walking_case(suite, "walks");
	tcase_add_test(walks, fibers);
	tcase_add_test(walks, stack_switches_need_all_registers);
	tcase_add_test(walks, a_call_that_never_returns_is_no_end);
	tcase_add_test(walks, a_first_instruction_that_nobody_called_is_the_end);
	tcase_add_test(walks, a_first_instruction_after_a_call_is_not);
	return run_suite(suite);
}
