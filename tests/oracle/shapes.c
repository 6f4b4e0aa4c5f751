/*
 * shapes: stacks of every kind that a program can make, with an allocation at the end of each: for differential.c.
 *
 *   shapes [ROUNDS [steady]]    each kind ROUNDS times (default 20); prints what it did; ends 0. steady: nothing that
 *                               differs from run to run (timers)
 *
 * Kinds: frames of every shape, frames that move, recursion across the depth limit both ways, fibers (makecontext),
 * coroutines by a context switch in assembly with the three ends that such libraries give their stacks, calls on other
 * stacks, signal handlers (raised, of faults, of timers; on the same, on an alternate stack, on one inside the thread's
 * own), threads of the least size, on memory of their own, ending in destructors.
 */
#include <pthread.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include "../lib/frames.h"

static int rounds = 20;
static int steady;
static _Thread_local uint64_t seed = 0x2545f4914f6cdd1du;

static unsigned random_below(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % n;
}

static void check(int good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "shapes: %s\n", what);
	abort();
}

/* ---- leaves and frames ---- */

static NOINLINE void allocate(void)
{
	void *p = malloc(random_below(200) + 1);
	p = realloc(p, 300);
	KEEP_FRAME();
	free(p);
	free(calloc(3, 5));
	void *aligned = NULL;
	check(posix_memalign(&aligned, 64, 100) == 0, "posix_memalign");
	free(aligned);
}

static _Thread_local action mixed_then;
static _Thread_local int mixed_left;

static NOINLINE void mixed_step(void)
{
	if (mixed_left-- <= 0)
		mixed_then();
	else
		switch (random_below(6)) {
		case 0: chain_plain((int)random_below(3), mixed_step); break;
		case 1: chain_variable((int)random_below(4), mixed_step); break;
		case 2: chain_realigned((int)random_below(2), mixed_step); break;
		case 3: chain_framed((int)random_below(3), mixed_step); break;
		case 4: allocate(); chain_plain(0, mixed_step); break;
		default: chain_saving((int)random_below(3), mixed_step, 1, 2, 3, 4); break;
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

static void frames_of_every_shape(void)
{
	for (int i = 0; i < 100 * rounds; i++)
		mixed((int)random_below(20), allocate);
	chain_huge(20, allocate);
}

/* ---- frames that move while those inside and outside of them stand ----
 *
 * The two arrays of one stack are of TOTAL bytes together: whatever the first one's size is, the leaf runs at the same
 * place and returns to the same address, and an earlier stack's words lie untouched in the second. Only the frame
 * registers tell which of the callers is there now.
 */

enum { TOTAL = 1024 };

static NOINLINE void inner_array(int bytes, action then)
{
	volatile char array[bytes];
	array[bytes - 1] = 1;
	then();
	KEEP_FRAME();
	(void)array[bytes - 1];
}

static NOINLINE void inner_realigned(int bytes, action then)
{
	volatile char wide[64] __attribute__((aligned(64)));
	volatile char array[bytes];
	wide[0] = array[bytes - 1] = 1;
	then();
	KEEP_FRAME();
	(void)wide[0], (void)array[bytes - 1];
}

#define OUTER(name, inner, value) \
	static NOINLINE void name(int bytes, action then) \
	{ \
		volatile char array[bytes]; \
		array[bytes - 1] = value; \
		inner(TOTAL - bytes, then); \
		KEEP_FRAME(); \
		(void)array[bytes - 1]; \
	}
OUTER(outer_one, inner_array, 1)
OUTER(outer_two, inner_array, 2)
OUTER(outer_three, inner_realigned, 3)
OUTER(outer_four, inner_realigned, 4)

static NOINLINE void allocate_framed(void)
{
	chain_framed(0, allocate);
	KEEP_FRAME();
}

static void moving_frames(void)
{
	static void (*const outer[])(int, action) = {outer_one, outer_two, outer_three, outer_four};
	for (int i = 0; i < 100 * rounds; i++)
		outer[random_below(4)]((int)(random_below(TOTAL / 16 - 1) + 1) * 16, random_below(2) ? allocate : allocate_framed);
}

/* ---- recursion, allocating on the way down and on the way up ---- */

static NOINLINE int sinking(int depth)
{
	volatile char pad[8] = {0};
	allocate();
	int below = depth > 0 ? sinking(depth - 1) : 0;
	KEEP_FRAME();
	allocate();
	return below + 1 + pad[0];
}

/* One frame more or less each time, around the limit of 1 024: a walk that is whole, cut, whole again. */
static void recursion(void)
{
	check(sinking(1100) == 1101, "recursion");
	for (int i = 0; i < rounds; i++) {
		for (int depth = 1000; depth < 1030; depth++)
			chain_plain(depth, allocate);
		for (int depth = 1030; depth > 1000; depth--)
			chain_saving(depth, allocate, 1, 2, 3, 4);
		mixed((int)random_below(2000), allocate);
	}
}

/* ---- fibers ---- */

enum { FIBERS = 20, FIBER_BYTES = 128 << 10 };
static ucontext_t fiber_caller, fibers[FIBERS];
static int fiber_now;

static void yield_fiber(void)
{
	allocate();
	swapcontext(&fibers[fiber_now], &fiber_caller);
	allocate();
}

static void fiber_main(int own)
{
	for (int i = 0; i < rounds; i++)
		mixed((own + i) % 9, yield_fiber);
}

/* One that lies inside its maker's frame. The frame register it begins with is the maker's and, close outside of its own
   stack, looks like a caller's frame: who guesses by it walks into the maker. */
static NOINLINE __attribute__((optimize("no-omit-frame-pointer"))) void fiber_inside(void)
{
	volatile char inside[32 << 10];
	fiber_now = 0;
	getcontext(&fibers[0]);
	fibers[0].uc_stack.ss_sp = (void *)inside;
	fibers[0].uc_stack.ss_size = sizeof inside;
	fibers[0].uc_link = &fiber_caller;
	makecontext(&fibers[0], (void (*)(void))fiber_main, 1, 0);
	for (int i = 0; i <= rounds; i++)
		swapcontext(&fiber_caller, &fibers[0]);
}

static void fibers_in_turn(void)
{
	char *stacks = mmap(NULL, FIBERS * FIBER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < FIBERS; i++) {
		getcontext(&fibers[i]);
		fibers[i].uc_stack.ss_sp = stacks + i * FIBER_BYTES;
		fibers[i].uc_stack.ss_size = FIBER_BYTES;
		fibers[i].uc_link = &fiber_caller;
		makecontext(&fibers[i], (void (*)(void))fiber_main, 1, i);
	}
	for (int i = 0; i < rounds; i++) {
		for (fiber_now = 0; fiber_now < FIBERS; fiber_now++)
			swapcontext(&fiber_caller, &fibers[fiber_now]);
	}
	munmap(stacks, FIBERS * FIBER_BYTES);
	fiber_inside();
}

/* ---- coroutines by a switch in assembly ---- */

/* switch_to(&from, to): saves the callee-saved registers and sp, takes those of `to`. */
void switch_to(void **from, void *to);
/* The ends that libraries give a coroutine's stack: an outermost frame said so by its rules, one without rules; a return
   address of zero is the third. Each calls the function in r12. */
void start_marked(void), start_ruleless(void);
__asm__(".text\n.type switch_to, @function\nswitch_to:\n.cfi_startproc\n"
	"pushq %rbp\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %rbp, 0\n"
	"pushq %rbx\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %rbx, 0\n"
	"pushq %r12\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %r12, 0\n"
	"pushq %r13\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %r13, 0\n"
	"pushq %r14\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %r14, 0\n"
	"pushq %r15\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %r15, 0\n"
	"movq %rsp, (%rdi)\n"
	"movq %rsi, %rsp\n"
	"popq %r15\n.cfi_adjust_cfa_offset -8\n.cfi_restore %r15\n"
	"popq %r14\n.cfi_adjust_cfa_offset -8\n.cfi_restore %r14\n"
	"popq %r13\n.cfi_adjust_cfa_offset -8\n.cfi_restore %r13\n"
	"popq %r12\n.cfi_adjust_cfa_offset -8\n.cfi_restore %r12\n"
	"popq %rbx\n.cfi_adjust_cfa_offset -8\n.cfi_restore %rbx\n"
	"popq %rbp\n.cfi_adjust_cfa_offset -8\n.cfi_restore %rbp\n"
	"ret\n.cfi_endproc\n.size switch_to, .-switch_to\n"
	".type start_marked, @function\nstart_marked:\n.cfi_startproc\n.cfi_undefined rip\n"
	"call *%r12\nud2\n.cfi_endproc\n.size start_marked, .-start_marked\n"
	".type start_ruleless, @function\nstart_ruleless:\n"
	"call *%r12\nud2\n.size start_ruleless, .-start_ruleless\n"
	".skip 32, 0xcc\n");

enum { COROUTINES = 12 };
static void *coroutine_caller, *coroutine[COROUTINES];
static int coroutine_now;

static void yield_coroutine(void)
{
	allocate();
	switch_to(&coroutine[coroutine_now], coroutine_caller);
	allocate();
}

static void coroutine_main(void)
{
	for (unsigned i = 0;; i++)
		mixed((int)(i % 9), yield_coroutine);
}

/* Where sp is when a function begins, and the registers that switch_to pops; rbp is garbage, as a library leaves it. */
static void *make_coroutine(char *stack, size_t bytes, action start)
{
	void **top = (void **)(((uintptr_t)stack + bytes) & ~(uintptr_t)15);
	*--top = NULL; /* the return address of coroutine_main where it is the start */
	if (start)
		*--top = NULL;
	*--top = start ? (void *)start : (void *)coroutine_main;
	*--top = (void *)(uintptr_t)0x1234567; /* rbp */
	*--top = NULL;                         /* rbx */
	*--top = (void *)coroutine_main;       /* r12 */
	top -= 3;
	memset(top, 0, 3 * sizeof *top);
	return top;
}

static void coroutines_on(char *stacks, size_t bytes)
{
	static const action starts[] = {start_marked, NULL, start_ruleless};
	for (int i = 0; i < COROUTINES; i++)
		coroutine[i] = make_coroutine(stacks + i * bytes, bytes, starts[i % 3]);
	for (int i = 0; i < rounds; i++) {
		for (coroutine_now = 0; coroutine_now < COROUTINES; coroutine_now++) {
			switch_to(&coroutine_caller, coroutine[coroutine_now]);
			chain_plain(coroutine_now % 4, allocate);
		}
	}
}

/* On stacks of their own, and on stacks cut out of the thread's. */
static NOINLINE void coroutines(void)
{
	enum { BYTES = 64 << 10 };
	char *stacks = malloc(COROUTINES * BYTES);
	char inside[COROUTINES * BYTES];
	coroutines_on(stacks, BYTES);
	coroutines_on(inside, BYTES);
	free(stacks);
	KEEP_FRAME();
}

/* ---- calls on other stacks, as runtimes do to leave a small one ---- */

static char *switch_top;
static int switches_left;

static NOINLINE void switch_again(void)
{
	allocate();
	if (switches_left-- > 0) {
		switch_top -= 16384;
		call_on_stack(switch_top, switch_again);
	}
	allocate();
}

static NOINLINE void other_stacks(void)
{
	enum { BYTES = 512 << 10 };
	char *stacks = malloc(BYTES);
	for (int i = 0; i < rounds; i++) {
		switch_top = (char *)(((uintptr_t)stacks + BYTES) & ~(uintptr_t)15);
		switches_left = i % 20;
		mixed(i % 7, switch_again);
	}
	free(stacks);
}

/* ---- signals: never raised while the program is inside malloc ---- */

static void on_signal(int number)
{
	allocate();
	if (number == SIGUSR2)
		raise(SIGUSR1);
	chain_plain(3, allocate);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	(void)number, (void)info;
	chain_plain(1, allocate);
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2; /* over the ud2 */
}

static NOINLINE void trap(void)
{
	__asm__ volatile("ud2");
}

static NOINLINE void raise_one(void)
{
	raise(SIGUSR1);
	KEEP_FRAME();
}

static NOINLINE void raise_two(void)
{
	raise(SIGUSR2);
	KEEP_FRAME();
}

static void handle(int number, int flags)
{
	struct sigaction act = {.sa_handler = on_signal, .sa_flags = flags};
	sigaction(number, &act, NULL);
}

static void raise_all(int flags)
{
	struct sigaction act = {.sa_sigaction = on_fault, .sa_flags = flags | SA_SIGINFO};
	handle(SIGUSR1, flags);
	handle(SIGUSR2, flags);
	sigaction(SIGILL, &act, NULL);
	for (int i = 0; i < rounds; i++) {
		mixed(i % 12, raise_one);
		mixed(i % 12, raise_two);
		mixed(i % 12, trap);
	}
}

static volatile unsigned interrupts;
static volatile int computed;

static void on_timer(int number)
{
	(void)number;
	interrupts++;
	allocate();
}

static NOINLINE void compute(void)
{
	for (int i = 0; i < 3000; i++)
		computed += i * computed;
}

/* At any instruction of code that does not allocate. */
static void interrupted(int flags)
{
	if (steady)
		return;
	struct itimerval soon = {{0, 0}, {0, 100}};
	struct sigaction act = {.sa_handler = on_timer, .sa_flags = flags | SA_RESTART};
	unsigned want = interrupts + 10 * (unsigned)rounds;
	sigaction(SIGALRM, &act, NULL);
	while (interrupts < want) {
		unsigned before = interrupts;
		setitimer(ITIMER_REAL, &soon, NULL);
		while (interrupts == before)
			chain_saving(5, compute, 1, 2, 3, 4), chain_plain(4, compute), chain_variable(3, compute);
	}
}

static void use_alternate_stack(void *stack, size_t bytes)
{
	stack_t alternate = {.ss_sp = stack, .ss_size = bytes};
	check(sigaltstack(&alternate, NULL) == 0, "sigaltstack");
}

static NOINLINE void with_stack_inside(void)
{
	char inside[64 << 10];
	use_alternate_stack(inside, sizeof inside);
	raise_all(SA_ONSTACK);
	stack_t none = {.ss_flags = SS_DISABLE};
	sigaltstack(&none, NULL);
	KEEP_FRAME();
}

static void signals(void)
{
	char *stack = malloc(32 << 10);
	raise_all(0);
	interrupted(0);
	use_alternate_stack(stack, 32 << 10);
	raise_all(SA_ONSTACK);
	interrupted(SA_ONSTACK);
	with_stack_inside();
	free(stack);
}

/* ---- threads ---- */

static pthread_key_t key;

static void destructor(void *value)
{
	allocate();
	free(value);
}

static void *thread_main(void *unused)
{
	jmp_buf back;
	pthread_setspecific(key, malloc(10));
	allocate();
	chain_plain(3, allocate);
	if (!setjmp(back)) {
		chain_saving(2, allocate, 1, 2, 3, 4);
		longjmp(back, 1);
	}
	chain_framed(2, allocate);
	if (unused)
		pthread_exit(NULL);
	return unused;
}

static void *deep_thread(void *unused)
{
	mixed(40, allocate);
	sinking(300);
	return unused;
}

static void run_thread(void *(*run)(void *), void *stack, size_t bytes, void *argument)
{
	pthread_attr_t attributes;
	pthread_t thread;
	pthread_attr_init(&attributes);
	if (stack)
		check(pthread_attr_setstack(&attributes, stack, bytes) == 0, "pthread_attr_setstack");
	else
		check(pthread_attr_setstacksize(&attributes, bytes) == 0, "pthread_attr_setstacksize");
	check(pthread_create(&thread, &attributes, run, argument) == 0, "pthread_create");
	pthread_attr_destroy(&attributes);
	pthread_join(thread, NULL);
}

static void threads(void)
{
	size_t least = (size_t)sysconf(_SC_THREAD_STACK_MIN), own = 64 << 10;
	char *stack = aligned_alloc(4096, own);
	pthread_key_create(&key, destructor);
	for (int i = 0; i < 2 * rounds; i++) {
		run_thread(thread_main, NULL, least, i % 2 ? stack : NULL);
		run_thread(thread_main, stack, own, NULL);
		run_thread(deep_thread, NULL, 1 << 20, NULL);
	}
	free(stack);
}

static void at_exit(void)
{
	chain_plain(2, allocate);
}

static __attribute__((constructor)) void before_main(void)
{
	chain_plain(2, allocate);
}

int main(int count, char **arguments)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} kinds[] = {
		{"frames", frames_of_every_shape}, {"moving frames", moving_frames}, {"recursion", recursion}, {"fibers", fibers_in_turn},
		{"coroutines", coroutines}, {"other stacks", other_stacks}, {"signals", signals}, {"threads", threads},
	};
	if (count > 1)
		rounds = atoi(arguments[1]);
	steady = count > 2;
	atexit(at_exit);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		kinds[i].run();
		printf("%s\n", kinds[i].name);
		fflush(stdout);
	}
	return 0;
}
