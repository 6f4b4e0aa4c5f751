/*
 * unwind_shapes: frames of every shape to be walked through, a signal at every instruction, libraries made on the spot.
 * For the unwinder's suites, beside unwind_oracle.h. Static: each suite has its own copy.
 */
#ifndef UNWIND_SHAPES_H
#define UNWIND_SHAPES_H

#include "../lib/frames.h"
#include "run.h"
#include "unwind_oracle.h"

#include <dlfcn.h>
#include <signal.h>
#include <unistd.h>

static uint64_t seed = 0x2545f4914f6cdd1du;

static uint64_t random_next(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* ---- chains of frames, at random ---- */

static action mixed_then;
static _Thread_local int mixed_left;
static NOINLINE void mixed_step(void)
{
	if (mixed_left-- <= 0)
		mixed_then();
	else
		switch (random_next() % 6) {
		case 0: chain_plain(random_next() % 3, mixed_step); break;
		case 1: chain_variable(random_next() % 5, mixed_step); break;
		case 2: chain_realigned(random_next() % 3, mixed_step); break;
		case 3: chain_forced(random_next() % 3, mixed_step); break;
		case 4: chain_framed(random_next() % 3, mixed_step); break;
		default: chain_saving(random_next() % 3, mixed_step, 1, 2, 3, 4); break;
		}
	KEEP_FRAME();
}

static NOINLINE void mixed(int length, action then)
{
	mixed_left = length;
	mixed_then = then;
	mixed_step();
	KEEP_FRAME();
}

/* ---- a walk on its own ---- */

static size_t kept;
static struct unwind_frame kept_frames[UNWIND_MAX_DEPTH];
static enum unwind_end kept_end;

static NOINLINE void walk_keeping(void)
{
	struct unwind_start start = ORACLE_START();
	memset(kept_frames, 0xee, sizeof kept_frames);
	size_t count = unwind_walk(&start, &oracle_bounds, kept_frames, kept, &kept_end);
	ck_assert_uint_le(count, kept);
	kept = count;
	KEEP_FRAME();
}

/* ---- a signal at every instruction ---- */

static volatile sig_atomic_t handled;

static void use_alternate_stack(void)
{
	stack_t alternate = { .ss_sp = malloc(256 * 1024), .ss_size = 256 * 1024 };
	ck_assert_int_eq(sigaltstack(&alternate, NULL), 0);
}

/* The trap flag on and off again, with rules for the word that is pushed meanwhile. */
void trap_on(void), trap_off(void);
__asm__(".text\n"
        "trap_on:\n.cfi_startproc\n"
        "pushfq\n.cfi_adjust_cfa_offset 8\n"
        "orq $0x100, (%rsp)\n"
        "popfq\n.cfi_adjust_cfa_offset -8\n"
        "ret\n.cfi_endproc\n"
        "trap_off:\n.cfi_startproc\n"
        "pushfq\n.cfi_adjust_cfa_offset 8\n"
        "andq $~0x100, (%rsp)\n"
        "popfq\n.cfi_adjust_cfa_offset -8\n"
        "ret\n.cfi_endproc\n");

static void on_step(int number)
{
	(void)number;
	handled++;
	oracle_compare();
}

static NOINLINE void step_on(void (*work)(void), int flags)
{
	struct sigaction act = { .sa_handler = on_step, .sa_flags = flags };
	use_alternate_stack();
	sigaction(SIGTRAP, &act, NULL);
	trap_on();
	work();
	trap_off();
	KEEP_FRAME();
}

/* ---- libraries made on the spot ---- */

static char scratch[] = "/tmp/mtrace-unit-XXXXXX";

static void make_scratch(void)
{
	ck_assert_ptr_nonnull(mkdtemp(scratch));
}

static void remove_scratch(void)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf '%s'", scratch);
	ck_assert_int_eq(system(command), 0);
}

static void compile(const char *name, const char *source, const char *flags)
{
	char path[128], command[512];
	snprintf(path, sizeof path, "%s/%s.c", scratch, name);
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(source, f);
	fclose(f);
	snprintf(command, sizeof command, "cc -O2 -fPIC -shared -o '%s/%s.so' '%s' %s", scratch, name, path, flags);
	ck_assert_int_eq(system(command), 0);
}

static void *load(const char *name, int flags)
{
	char path[128];
	snprintf(path, sizeof path, "%s/%s.so", scratch, name);
	void *handle = dlopen(path, flags | RTLD_GLOBAL);
	ck_assert_msg(handle != NULL, "%s", dlerror());
	return handle;
}

/* ---- running ---- */

/* With the oracle at hand, two minutes a test. */
static TCase *walking_case(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);
	tcase_add_checked_fixture(tcase, oracle_setup, NULL);
	tcase_set_timeout(tcase, 120);
	suite_add_tcase(suite, tcase);
	return tcase;
}

#endif
