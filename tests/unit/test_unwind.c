/*
 * unwind: whole stacks of real code, equal to libunwind's frame by frame: code without frame pointers, variable and
 * realigned frames, signal frames on any stack, lazily bound calls, fibers, threads, unloading, other threads.
 */
#include "unwind_oracle.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))
#define KEEP_FRAME() __asm__ volatile("" ::: "memory")

typedef void (*action)(void);

static uint64_t seed = 0x2545f4914f6cdd1du;

static uint64_t random_next(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

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

/* ---- shapes of frames ---- */

START_TEST(before_init_there_are_no_rules)
{
	struct unwind_bounds none = { 0, 0 };
	struct unwind_start start = { (uintptr_t)&oracle_setup, (uintptr_t)&none & ~7UL, 0 };
	struct unwind_frame frame;
	enum unwind_end end;
	ck_assert_uint_eq(unwind_walk(&start, &none, &frame, 1, &end), 0);
	ck_assert_int_eq(end, UNWIND_NO_RULES);
}
END_TEST

START_TEST(frames_without_frame_pointer)
{
	for (int depth = 0; depth < 200; depth++) {
		chain_plain(depth, oracle_compare);
		chain_saving(depth, oracle_compare, 1, 2, 3, 4);
		oracle_expect_whole((size_t)depth + 3);
	}
	oracle_expect(400);
}
END_TEST

START_TEST(frames_by_frame_register)
{
	for (int depth = 0; depth < 100; depth++) {
		chain_variable(depth, oracle_compare);
		chain_framed(depth, oracle_compare);
		oracle_expect_whole((size_t)depth + 3);
	}
	oracle_expect(200);
}
END_TEST

START_TEST(frames_realigned)
{
	for (int depth = 0; depth < 100; depth++) {
		chain_realigned(depth, oracle_compare);
		oracle_expect_whole((size_t)depth + 3);
		chain_forced(depth, oracle_compare);
	}
	oracle_expect(200);
}
END_TEST

START_TEST(frames_larger_than_pages)
{
	chain_huge(30, oracle_compare);
	oracle_expect_whole(33);
	oracle_expect(1);
}
END_TEST

START_TEST(frames_of_all_shapes_mixed)
{
	for (int i = 0; i < 5000; i++)
		mixed((int)(random_next() % 20), oracle_compare);
	oracle_expect(5000);
}
END_TEST

/* ---- depth ---- */

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

START_TEST(keeps_the_innermost)
{
	kept = UNWIND_MAX_DEPTH;
	chain_plain(50, walk_keeping);
	ck_assert_int_eq(kept_end, UNWIND_WHOLE);
	size_t whole = kept;
	for (size_t keep = 0; keep <= whole + 1; keep++) {
		kept = keep;
		chain_plain(50, walk_keeping);
		ck_assert_uint_eq(kept, keep < whole ? keep : whole);
		ck_assert_int_eq(kept_end, keep < whole ? UNWIND_TOO_DEEP : UNWIND_WHOLE);
		ck_assert_uint_eq(kept_frames[keep].pc, keep < whole ? 0xeeeeeeeeeeeeeeee : kept_frames[keep].pc);
	}
}
END_TEST

START_TEST(deeper_than_the_limit)
{
	chain_plain(3000, oracle_compare);
	ck_assert_int_eq(oracle_now.ours.end, UNWIND_TOO_DEEP);
	ck_assert_uint_eq(oracle_now.ours.count, UNWIND_MAX_DEPTH);
	chain_realigned(3000, oracle_compare);
	oracle_expect(2);
}
END_TEST

/* ---- through libc ---- */

static int comparing(const void *a, const void *b)
{
	chain_plain(2, oracle_compare);
	return *(const int *)a - *(const int *)b;
}

START_TEST(callbacks_through_libc)
{
	int numbers[40], key = 7;
	for (int i = 0; i < 40; i++)
		numbers[i] = (i * 7) % 40;
	qsort(numbers, 40, sizeof *numbers, comparing);
	ck_assert_ptr_nonnull(bsearch(&key, numbers, 40, sizeof *numbers, comparing));
	oracle_expect_whole(6);
	oracle_expect(100);
}
END_TEST

static void *thread_main(void *unused)
{
	oracle_thread();
	chain_plain(3, oracle_compare);
	oracle_expect_whole(6);
	mixed(20, oracle_compare);
	oracle_expect_whole(6);
	return unused;
}

START_TEST(threads_end_at_their_start)
{
	for (int i = 0; i < 10; i++) {
		pthread_t thread;
		ck_assert_int_eq(pthread_create(&thread, NULL, thread_main, NULL), 0);
		pthread_join(thread, NULL);
	}
	oracle_expect(20);
}
END_TEST

/* ---- signals ---- */

static volatile sig_atomic_t handled;

static void on_signal(int number)
{
	(void)number;
	handled++;
	chain_plain(3, oracle_compare);
}

static void handle(int number, int flags)
{
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = flags };
	ck_assert_int_eq(sigaction(number, &act, NULL), 0);
}

static void use_alternate_stack(void)
{
	stack_t alternate = { .ss_sp = malloc(256 * 1024), .ss_size = 256 * 1024 };
	ck_assert_int_eq(sigaltstack(&alternate, NULL), 0);
}

static NOINLINE void raise_here(void)
{
	raise(SIGUSR1);
	KEEP_FRAME();
}

START_TEST(signals_raised)
{
	handle(SIGUSR1, 0);
	for (int i = 0; i < 500; i++)
		mixed(i % 20, raise_here);
	ck_assert_int_eq(handled, 500);
	oracle_expect_whole(10);
	oracle_expect(500);
}
END_TEST

START_TEST(signals_on_alternate_stacks)
{
	use_alternate_stack();
	handle(SIGUSR1, SA_ONSTACK);
	for (int i = 0; i < 500; i++)
		mixed(i % 20, raise_here);
	ck_assert_int_eq(handled, 500);
	oracle_expect_whole(10);
	oracle_expect(500);
}
END_TEST

static void on_outer_signal(int number)
{
	(void)number;
	mixed(5, raise_here);
}

START_TEST(signals_within_signals)
{
	struct sigaction act = { .sa_handler = on_outer_signal, .sa_flags = SA_ONSTACK };
	use_alternate_stack();
	handle(SIGUSR1, 0);
	sigaction(SIGUSR2, &act, NULL);
	chain_variable(5, raise_here);
	for (int i = 0; i < 50; i++) {
		raise(SIGUSR2);
		KEEP_FRAME();
	}
	oracle_expect_whole(10);
	oracle_expect(51);
}
END_TEST

static void on_fault(int number, siginfo_t *info, void *context)
{
	(void)number, (void)info;
	chain_plain(1, oracle_compare);
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2; /* over the ud2 */
}

static NOINLINE void trap(void)
{
	__asm__ volatile("ud2");
}

START_TEST(signals_of_faults)
{
	struct sigaction act = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	sigaction(SIGILL, &act, NULL);
	for (int i = 0; i < 100; i++)
		mixed(i % 10, trap);
	oracle_expect_whole(5);
	oracle_expect(100);
}
END_TEST

/* A jump through a null pointer: the interrupted pc is in nothing at all. */
static void on_null_call(int number, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	(void)number, (void)info;
	chain_plain(1, walk_keeping);
	uc->uc_mcontext.gregs[REG_RIP] = *(greg_t *)uc->uc_mcontext.gregs[REG_RSP];
	uc->uc_mcontext.gregs[REG_RSP] += 8;
}

START_TEST(signal_in_no_code_ends_there)
{
	struct sigaction act = { .sa_sigaction = on_null_call, .sa_flags = SA_SIGINFO };
	action volatile nowhere = (action)16;
	sigaction(SIGSEGV, &act, NULL);
	kept = UNWIND_MAX_DEPTH;
	nowhere();
	ck_assert_int_eq(kept_end, UNWIND_NO_RULES);
	ck_assert_uint_eq(kept_frames[kept - 1].pc, 16);
	ck_assert_uint_eq(kept_frames[kept - 1].exact, 1);
	ck_assert_uint_eq(kept_frames[kept - 2].exact, 1); /* the trampoline */
}
END_TEST

static volatile int async_stop;
static unsigned char shuffled[4096];

static void on_alarm(int number)
{
	(void)number;
	handled++;
	oracle_compare();
}

static int compare_bytes(const void *a, const void *b)
{
	return *(const unsigned char *)a - *(const unsigned char *)b;
}

static NOINLINE void leaf_work(void)
{
	char text[64];
	for (unsigned i = 0; i < sizeof shuffled; i++)
		shuffled[i] = (unsigned char)random_next();
	qsort(shuffled, 300, 1, compare_bytes);
	snprintf(text, sizeof text, "%d %s %f", shuffled[0], "text", 1.5);
	memmove(shuffled + 1, shuffled, sizeof shuffled - 1);
	KEEP_FRAME();
}

/* Interrupts at any instruction: prologues, epilogues, PLT entries, leaves of libc. */
static void interrupt_often(int flags, int want)
{
	struct itimerval every = { { 0, 70 }, { 0, 70 } }, never = { { 0, 0 }, { 0, 0 } };
	time_t limit = time(NULL) + 40;
	handle(SIGALRM, 0);
	struct sigaction act = { .sa_handler = on_alarm, .sa_flags = flags | SA_RESTART };
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	while (handled < want && time(NULL) < limit)
		mixed((int)(random_next() % 12), leaf_work);
	setitimer(ITIMER_REAL, &never, NULL);
	printf("%lu interrupts compared, %lu different, %lu without truth\n", oracle_compared, oracle_different,
	       oracle_excused);
	ck_assert_uint_le(oracle_excused, oracle_compared / 100);
}

START_TEST(signals_anywhere)
{
	interrupt_often(0, 20000);
	oracle_expect(1000);
}
END_TEST

START_TEST(signals_anywhere_on_alternate_stack)
{
	use_alternate_stack();
	interrupt_often(SA_ONSTACK, 20000);
	oracle_expect(1000);
}
END_TEST

/* ---- every instruction ---- */

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

static NOINLINE void nothing(void)
{
	KEEP_FRAME();
}

static void work_shapes(void)
{
	chain_plain(2, nothing);
	chain_saving(2, nothing, 1, 2, 3, 4);
	chain_variable(2, nothing);
	chain_realigned(2, nothing);
	chain_forced(2, nothing);
	chain_framed(2, nothing);
	mixed(6, nothing);
}

static void work_libc(void)
{
	unsigned char bytes[24] = "the quick brown fox jum";
	char text[64];
	qsort(bytes, 20, 1, compare_bytes);
	snprintf(text, sizeof text, "%d %s %.3f", 12, "text", 1.5);
	free(malloc(100));
	ck_assert_int_eq(atoi("12"), 12); /* bound lazily, now */
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

/* The processor's single step: a signal frame at each instruction in turn, so that no row of rules is left out. */
START_TEST(signals_at_every_instruction)
{
	step_on(work_shapes, 0);
	step_on(work_libc, 0);
	step_on(work_shapes, SA_ONSTACK);
	step_on(work_libc, SA_ONSTACK);
	printf("%d instructions, %lu compared, %lu without truth\n", handled, oracle_compared, oracle_excused);
	ck_assert_uint_le(oracle_excused, oracle_compared / 50);
	oracle_expect(10000);
}
END_TEST

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

static const char lazy_caller[] =
	"int lazily(int x);\n"
	"int deep(int n) { volatile char pad[n * 8 + 8]; pad[n] = 1;\n"
	"  return n ? deep(n - 1) + pad[n] : lazily(n) + pad[n]; }\n";
static const char lazy_flags[] = "-Wl,-z,lazy -fplt -fno-optimize-sibling-calls";
static int (*lazy_deep)(int);

static void work_lazy(void)
{
	lazy_deep(3);
}

/* The first call of an IFUNC, lazily bound: its resolver runs under _dl_runtime_resolve, whose CFA is in rbx. */
START_TEST(lazily_bound_calls)
{
	make_scratch();
	compile("callee",
	        "void (*called)(void);\n"
	        "static int answer(int x) { return x + 1; }\n"
	        "static int (*resolve(void))(int) { if (called) called(); return answer; }\n"
	        "int lazily(int x) __attribute__((ifunc(\"resolve\")));\n",
	        "");
	compile("caller", lazy_caller, lazy_flags);
	compile("stepped", lazy_caller, lazy_flags);
	void *callee = load("callee", RTLD_LAZY);
	void *called = dlsym(callee, "called");
	action compare = oracle_compare;
	memcpy(called, &compare, sizeof compare);
	void *caller = load("caller", RTLD_LAZY);
	*(void **)&lazy_deep = dlsym(caller, "deep");
	ck_assert_int_eq(lazy_deep(7), 9);
	oracle_expect_whole(12);
	oracle_expect(1);
	memset(called, 0, sizeof compare);
	*(void **)&lazy_deep = dlsym(load("stepped", RTLD_LAZY), "deep");
	step_on(work_lazy, 0); /* and the linker at every instruction */
	printf("%d instructions of a lazy call\n", handled);
	oracle_expect(500);
	remove_scratch();
}
END_TEST

/* Two libraries of one layout but different frames: the second is loaded where the first one was. */
static const char *frame_library = "void middle(void (*then)(void)) { volatile char pad[SIZE]; pad[0] = 1; then();\n"
                                   "  __asm__ volatile(\"\" ::: \"memory\"); (void)pad[0]; }\n";

static uintptr_t run_library(const char *name)
{
	void *handle = load(name, RTLD_NOW);
	void (*middle)(action);
	*(void **)&middle = dlsym(handle, "middle");
	middle(oracle_compare);
	uintptr_t where = (uintptr_t)middle;
	dlclose(handle);
	return where;
}

START_TEST(unloaded_code_is_forgotten)
{
	int moved = 0;
	make_scratch();
	compile("small", frame_library, "-DSIZE=400"); /* one size of instruction, two of frame */
	compile("large", frame_library, "-DSIZE=800");
	for (int i = 0; i < 50; i++) {
		uintptr_t first = run_library("small");
		unwind_forget();
		moved += run_library("large") != first;
		unwind_forget();
	}
	ck_assert_msg(moved == 0, "the second library was never loaded over the first: the test shows nothing");
	oracle_expect_whole(3);
	oracle_expect(100);
	remove_scratch();
}
END_TEST

/* ---- a random program ---- */

/* A library of functions of random shape that call each other at random, until one calls leaf. */
struct random_program {
	void (*table[2048])(int, struct random_program *);
	unsigned count;
	unsigned (*pick)(unsigned);
	action leaf;
};

static void write_function(FILE *f, int number)
{
	unsigned shape = random_next() % 8, size = random_next() % 300 + 1, align = 8u << random_next() % 5;
	fprintf(f, "void f%d(int d, struct program *p)\n{\n", number);
	if (shape < 5)
		fprintf(f, "\tvolatile char a[%u]; a[0] = d;\n", shape == 4 ? size * 100 : size);
	if (shape == 5)
		fprintf(f, "\tvolatile char a[%u] __attribute__((aligned(%u))); a[0] = d;\n", size, align);
	if (shape == 6)
		fprintf(f, "\tvolatile char a[d * %u + 8]; a[d] = d;\n", size % 16 + 1);
	if (shape == 7)
		fprintf(f, "\tvolatile char w[%u] __attribute__((aligned(%u))); w[0] = d;\n"
		           "\tvolatile char a[(d & 7) * %u + 8]; a[0] = w[0];\n", size, align, size % 16 + 1);
	for (unsigned i = 0; i < number % 7u; i++)
		fprintf(f, "\tunsigned v%u = p->pick(9);\n", i);
	fprintf(f, "\tif (d <= 0)\n\t\tp->leaf();\n\telse\n\t\tp->table[p->pick(p->count)](d - 1, p);\n");
	for (unsigned i = 0; i < number % 7u; i++)
		fprintf(f, "\tsink += v%u;\n", i);
	fprintf(f, "\tsink += a[0];\n}\n");
}

static void make_program(const char *name, const char *compiler, int functions)
{
	char path[128], command[512];
	snprintf(path, sizeof path, "%s/%s.c", scratch, name);
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs("struct program { void (*table[2048])(int, struct program *); unsigned count; unsigned (*pick)(unsigned);\n"
	      "\tvoid (*leaf)(void); };\nstatic volatile unsigned sink;\n", f);
	for (int i = 0; i < functions; i++)
		write_function(f, i);
	fputs("void (*functions[])(int, struct program *) = {", f);
	for (int i = 0; i < functions; i++)
		fprintf(f, "f%d,", i);
	fputs("};\n", f);
	fclose(f);
	snprintf(command, sizeof command, "%s -fPIC -shared -o '%s/%s.so' '%s'", compiler, scratch, name, path);
	ck_assert_int_eq(system(command), 0);
}

static void add_program(struct random_program *p, const char *name, const char *compiler)
{
	enum { FUNCTIONS = 120 };
	make_program(name, compiler, FUNCTIONS);
	void *table = dlsym(load(name, RTLD_NOW), "functions");
	memcpy(p->table + p->count, table, FUNCTIONS * sizeof *p->table);
	p->count += FUNCTIONS;
}

static bool have(const char *program)
{
	char command[128];
	snprintf(command, sizeof command, "command -v %s >/dev/null", program);
	return system(command) == 0;
}

static unsigned pick_below(unsigned count)
{
	return (unsigned)(random_next() % count);
}

static int (*their_backtrace)(void **pcs, int count);

/* libunwind's fast path: pcs[0] is here, pcs[1] our caller. */
static NOINLINE void compare_fast(void)
{
	static struct unwind_frame frames[128];
	static void *pcs[129];
	struct unwind_start start = ORACLE_START();
	enum unwind_end end;
	size_t count = unwind_walk(&start, &oracle_bounds, frames, 128, &end);
	size_t theirs = (size_t)their_backtrace(pcs, 129) - 1;
	bool same = count == theirs && end == UNWIND_WHOLE;
	for (size_t i = 0; i < count && same; i++)
		same = frames[i].pc == (uintptr_t)pcs[i + 1];
	oracle_compared++;
	oracle_different += !same;
	KEEP_FRAME();
}

START_TEST(a_million_stacks_of_a_random_program)
{
	static struct random_program program = { .pick = pick_below, .leaf = oracle_compare };
	make_scratch();
	add_program(&program, "o0", "cc -O0");
	add_program(&program, "o2", "cc -O2 -fno-optimize-sibling-calls");
	add_program(&program, "o3", "cc -O3 -march=native -fno-optimize-sibling-calls");
	add_program(&program, "os", "cc -Os -mno-red-zone -fcf-protection=full");
	add_program(&program, "framed", "cc -O2 -fno-omit-frame-pointer -mstackrealign");
	add_program(&program, "outgoing", "cc -O1 -maccumulate-outgoing-args");
	if (have("ld.gold"))
		add_program(&program, "gold", "cc -O2 -fuse-ld=gold");
	if (have("clang"))
		add_program(&program, "clang", "clang -O2 -w");
	for (int i = 0; i < 20000; i++)
		program.table[pick_below(program.count)]((int)pick_below(60), &program);
	oracle_expect(20000);
	void *handle = dlopen("libunwind.so.8", RTLD_LOCAL | RTLD_NOW);
	*(void **)&their_backtrace = dlsym(handle, "unw_backtrace");
	ck_assert_ptr_nonnull(*(void **)&their_backtrace);
	program.leaf = compare_fast;
	for (int i = 0; i < 1000000; i++)
		program.table[pick_below(program.count)]((int)pick_below(40), &program);
	printf("%lu stacks\n", oracle_compared);
	oracle_expect(1000000);
	remove_scratch();
}
END_TEST

/* ---- other threads ---- */

static volatile int stop_walking;
static _Atomic unsigned long walks, wrong_walks;

static NOINLINE void walk_again(void)
{
	static _Thread_local struct oracle_walk first, now;
	struct unwind_start start = ORACLE_START();
	struct oracle_walk *w = first.count ? &now : &first;
	w->count = unwind_walk(&start, &oracle_bounds, w->frames, UNWIND_MAX_DEPTH, &w->end);
	unwind_set_tag(w->frames[0].pc, false, (uint32_t)w->frames[0].pc | 1);
	walks++;
	for (size_t i = 0; i < w->count; i++)
		wrong_walks += w->frames[i].tag != 0 && w->frames[i].tag != ((uint32_t)w->frames[i].pc | 1);
	wrong_walks += first.end != UNWIND_WHOLE || !oracle_same(&first, w);
	KEEP_FRAME();
}

static void *walking(void *unused)
{
	oracle_thread();
	while (!stop_walking)
		chain_saving(12, walk_again, 1, 2, 3, 4);
	return unused;
}

START_TEST(threads_walk_while_libraries_come_and_go)
{
	pthread_t threads[4];
	make_scratch();
	compile("small", frame_library, "-DSIZE=40");
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, walking, NULL);
	for (int i = 0; i < 300; i++) {
		void *handle = load("small", RTLD_NOW);
		usleep(100);
		dlclose(handle);
		unwind_forget();
	}
	stop_walking = 1;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	printf("%lu walks\n", walks);
	ck_assert_uint_eq(wrong_walks, 0);
	ck_assert_uint_gt(walks, 1000);
	remove_scratch();
}
END_TEST

/* ---- tags ---- */

static uintptr_t tag_pc;
static uint32_t tag_seen;

static NOINLINE void look_at_tag(void)
{
	struct unwind_start start = ORACLE_START();
	struct unwind_frame frames[2];
	enum unwind_end end;
	ck_assert_uint_eq(unwind_walk(&start, &oracle_bounds, frames, 2, &end), 2);
	tag_pc = frames[0].pc;
	tag_seen = frames[0].tag;
	KEEP_FRAME();
}

START_TEST(tags_stay_with_their_pc)
{
	for (uint32_t i = 0; i < 3; i++) {
		chain_plain(0, look_at_tag);
		ck_assert_uint_eq(tag_seen, i ? 1000 + i - 1 : 0);
		unwind_set_tag(tag_pc, true, 77); /* another frame: no entry, no effect */
		unwind_set_tag(tag_pc, false, 1000 + i);
	}
	unwind_forget();
	chain_plain(0, look_at_tag);
	ck_assert_uint_eq(tag_seen, 0);
}
END_TEST

START_TEST(tags_do_not_outlive_generations_that_come_round)
{
	chain_plain(0, look_at_tag);
	unwind_set_tag(tag_pc, false, 5);
	for (int i = 0; i < 65535; i++)
		unwind_forget();
	chain_plain(0, look_at_tag);
	ck_assert_uint_eq(tag_seen, 0);
	for (int i = 0; i < 10; i++)
		unwind_forget();
	chain_plain(0, oracle_compare);
	oracle_expect(1);
}
END_TEST

START_TEST(tags_are_not_inherited_by_fork)
{
	chain_plain(0, look_at_tag);
	unwind_set_tag(tag_pc, false, 9);
	pid_t child = fork();
	if (child == 0) {
		bool again = unwind_init();
		tag_seen = 1;
		chain_plain(0, look_at_tag);
		_exit(!again || tag_seen != 0);
	}
	int status;
	waitpid(child, &status, 0);
	ck_assert_int_eq(status, 0);
	chain_plain(0, look_at_tag);
	ck_assert_uint_eq(tag_seen, 9);
}
END_TEST

/* The trampoline and the interrupted frame are exact: their tags have entries of their own. */
static uint32_t exact_tags[2];
static unsigned exact_seen;

static NOINLINE void tag_exact_frames(void)
{
	static struct unwind_frame frames[64];
	struct unwind_start start = ORACLE_START();
	enum unwind_end end;
	size_t count = unwind_walk(&start, &oracle_bounds, frames, 64, &end);
	exact_seen = 0;
	for (size_t i = 0; i < count; i++) {
		if (!frames[i].exact || exact_seen == 2)
			continue;
		exact_tags[exact_seen] = frames[i].tag;
		unwind_set_tag(frames[i].pc, true, 40 + exact_seen++);
	}
	KEEP_FRAME();
}

static void on_signal_tagging(int number)
{
	(void)number;
	tag_exact_frames();
}

START_TEST(tags_of_interrupted_frames)
{
	struct sigaction act = { .sa_handler = on_signal_tagging };
	sigaction(SIGUSR1, &act, NULL);
	for (uint32_t i = 0; i < 2; i++) {
		raise(SIGUSR1);
		ck_assert_uint_eq(exact_seen, 2);
		ck_assert_uint_eq(exact_tags[0], i ? 40 : 0);
		ck_assert_uint_eq(exact_tags[1], i ? 41 : 0);
	}
}
END_TEST

/* ---- what cannot be walked ---- */

/* sub $8,%rsp; call *%rdi; add $8,%rsp; ret: code that no object has rules for. */
START_TEST(code_without_rules_ends_the_walk)
{
	static const unsigned char code[] = { 0x48, 0x83, 0xec, 8, 0xff, 0xd7, 0x48, 0x83, 0xc4, 8, 0xc3 };
	unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(page, code, sizeof code);
	void (*jit)(action);
	*(void **)&jit = page;
	kept = UNWIND_MAX_DEPTH;
	jit(walk_keeping);
	ck_assert_int_eq(kept_end, UNWIND_NO_RULES);
	ck_assert_uint_eq(kept, 1);
	ck_assert_uint_eq(kept_frames[0].pc, (uintptr_t)page + 6);
}
END_TEST

static struct unwind_start real_start;
static struct unwind_frame real_frames[64];
static size_t real_count;

static NOINLINE void take_real(void)
{
	enum unwind_end end;
	real_start = ORACLE_START();
	real_count = unwind_walk(&real_start, &oracle_bounds, real_frames, 64, &end);
	KEEP_FRAME();
}

static uintptr_t garbage(uintptr_t real)
{
	switch (random_next() % 5) {
	case 0: return real;
	case 1: return real + (random_next() % 4096) * 8 - 8192;
	case 2: return random_next() % 70000;
	case 3: return random_next();
	default: return real ^ (1UL << random_next() % 48);
	}
}

/* Wild registers end a walk; they never fault, and errno is not touched. */
START_TEST(garbage_never_faults)
{
	unsigned long ends[8] = { 0 };
	mixed(20, take_real);
	chain_realigned(3, take_real);
	errno = 0;
	for (int i = 0; i < 300000; i++) {
		struct unwind_start start = { real_frames[random_next() % real_count].pc, garbage(real_start.sp),
			                          garbage(real_start.fp) };
		struct unwind_bounds bounds = oracle_bounds;
		struct unwind_frame frames[128];
		enum unwind_end end;
		if (random_next() % 2) /* the caller's sp is real whenever it is on the stack: here it is not */
			bounds.low = bounds.high = 0;
		else if (start.sp >= bounds.low && start.sp < bounds.high)
			start.sp = real_start.sp;
		size_t count = unwind_walk(&start, &bounds, frames, 128, &end);
		ck_assert_uint_le(count, 128);
		ends[end]++;
	}
	ck_assert_int_eq(errno, 0);
	for (int i = 0; i < 8; i++)
		printf("end %d: %lu\n", i, ends[i]);
	ck_assert_uint_gt(ends[UNWIND_UNREADABLE], 0);
	ck_assert_uint_gt(ends[UNWIND_LOOP], 0);
}
END_TEST

static Suite *unwind_suite(void)
{
	Suite *suite = suite_create("unwind");
	TCase *bare = tcase_create("bare"), *walks_case = tcase_create("walks"), *signals_case = tcase_create("signals");
	tcase_add_test(bare, before_init_there_are_no_rules);
	tcase_add_checked_fixture(walks_case, oracle_setup, NULL);
	tcase_add_checked_fixture(signals_case, oracle_setup, NULL);
	tcase_set_timeout(walks_case, 120);
	tcase_set_timeout(signals_case, 120);
	tcase_add_test(walks_case, frames_without_frame_pointer);
	tcase_add_test(walks_case, frames_by_frame_register);
	tcase_add_test(walks_case, frames_realigned);
	tcase_add_test(walks_case, frames_larger_than_pages);
	tcase_add_test(walks_case, frames_of_all_shapes_mixed);
	tcase_add_test(walks_case, keeps_the_innermost);
	tcase_add_test(walks_case, deeper_than_the_limit);
	tcase_add_test(walks_case, callbacks_through_libc);
	tcase_add_test(walks_case, threads_end_at_their_start);
	tcase_add_test(signals_case, signals_raised);
	tcase_add_test(signals_case, signals_on_alternate_stacks);
	tcase_add_test(signals_case, signals_within_signals);
	tcase_add_test(signals_case, signals_of_faults);
	tcase_add_test(signals_case, signal_in_no_code_ends_there);
	tcase_add_test(signals_case, signals_at_every_instruction);
	tcase_add_test(signals_case, signals_anywhere);
	tcase_add_test(signals_case, signals_anywhere_on_alternate_stack);
	tcase_add_test(walks_case, fibers);
	tcase_add_test(walks_case, stack_switches_need_all_registers);
	tcase_add_test(walks_case, lazily_bound_calls);
	tcase_add_test(walks_case, unloaded_code_is_forgotten);
	tcase_add_test(walks_case, a_million_stacks_of_a_random_program);
	tcase_add_test(walks_case, threads_walk_while_libraries_come_and_go);
	tcase_add_test(walks_case, tags_stay_with_their_pc);
	tcase_add_test(walks_case, tags_do_not_outlive_generations_that_come_round);
	tcase_add_test(walks_case, tags_are_not_inherited_by_fork);
	tcase_add_test(walks_case, tags_of_interrupted_frames);
	tcase_add_test(walks_case, code_without_rules_ends_the_walk);
	tcase_add_test(walks_case, garbage_never_faults);
	suite_add_tcase(suite, bare);
	suite_add_tcase(suite, walks_case);
	suite_add_tcase(suite, signals_case);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(unwind_suite());
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
