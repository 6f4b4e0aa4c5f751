/*
 * frames: frames of every shape that a compiler makes, to be walked through: for the unwinder's suites and for the
 * programs that it is compared on (tests/oracle). Static: each has its own copy. Defines the global call_on_stack, so
 * one file of a program may include this.
 */
#ifndef TESTS_FRAMES_H
#define TESTS_FRAMES_H

#pragma GCC diagnostic ignored "-Wunused-function" /* nobody uses all of it */

#define NOINLINE __attribute__((noinline, noclone))
#define KEEP_FRAME() __asm__ volatile("" ::: "memory")

typedef void (*action)(void);

/* ---- frames of every shape; each calls `then` at the end of the chain ---- */

static NOINLINE void chain_plain(int depth, action then)
{
	volatile char pad[40];
	pad[0] = (char)depth;
	if (depth)
		chain_plain(depth - 1, then);
	else
		then();
	KEEP_FRAME();
	(void)pad[0];
}

static NOINLINE int chain_saving(int depth, action then, int a, int b, int c, int d)
{
	int e = a * b + depth, f = c ^ d, r = 0;
	if (depth)
		r = chain_saving(depth - 1, then, b, c, d, e);
	else
		then();
	KEEP_FRAME();
	return a + b + c + d + e + f + r;
}

static NOINLINE void chain_variable(int depth, action then)
{
	volatile char array[depth * 24 + 8];
	array[depth] = 1;
	if (depth)
		chain_variable(depth - 1, then);
	else
		then();
	KEEP_FRAME();
	(void)array[depth];
}

static NOINLINE void chain_realigned(int depth, action then)
{
	volatile char wide[64] __attribute__((aligned(64)));
	volatile char array[depth + 8];
	wide[0] = array[0] = (char)depth;
	if (depth)
		chain_realigned(depth - 1, then);
	else
		then();
	KEEP_FRAME();
	(void)wide[0], (void)array[0];
}

static NOINLINE __attribute__((force_align_arg_pointer)) void chain_forced(int depth, action then)
{
	volatile char wide[128] __attribute__((aligned(32)));
	wide[0] = (char)depth;
	if (depth)
		chain_forced(depth - 1, then);
	else
		then();
	KEEP_FRAME();
	(void)wide[0];
}

static NOINLINE __attribute__((optimize("no-omit-frame-pointer"))) void chain_framed(int depth, action then)
{
	if (depth)
		chain_framed(depth - 1, then);
	else
		then();
	KEEP_FRAME();
}

static NOINLINE void chain_huge(int depth, action then)
{
	volatile char pad[70000];
	pad[depth] = 1;
	if (depth)
		chain_huge(depth - 1, then);
	else
		then();
	KEEP_FRAME();
	(void)pad[depth];
}

/* ---- calls on other stacks, as runtimes do to leave a small one ---- */

/* CFA in a register that the fast walk does not follow, and a stack that lies anywhere. */
void call_on_stack(void *top, action then);
__asm__(".text\n.type call_on_stack, @function\ncall_on_stack:\n"
        ".cfi_startproc\n"
        "pushq %r13\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %r13, 0\n"
        "movq %rsp, %r13\n.cfi_def_cfa_register %r13\n"
        "movq %rdi, %rsp\n"
        "call *%rsi\n"
        "movq %r13, %rsp\n.cfi_def_cfa_register %rsp\n"
        "popq %r13\n.cfi_adjust_cfa_offset -8\n.cfi_restore %r13\n"
        "ret\n.cfi_endproc\n.size call_on_stack, .-call_on_stack\n");

#endif
