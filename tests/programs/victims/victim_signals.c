/*
 * victim_signals: handlers that allocate, on an alternate stack and on the thread's own: `victim_signals TRUTH_FILE
 * ENDING`.
 *
 * The handlers interrupt code that is not inside malloc (a spin loop, raise, a fault), so what they do is safe and has
 * to be recorded, with the stack through the signal frame to the interrupted function. Also: handlers left by
 * siglongjmp, and a timer that interrupts malloc itself with a handler that does not allocate.
 */
#include "truth.h"

#include <setjmp.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>

struct truth_file *truth;
__thread struct truth_thread *truth_me;

static uint32_t path_raised, path_fault, path_spin, path_load, path_context;
static volatile sig_atomic_t handled, ticks;
static sigjmp_buf escape;

TRUTH_FUNCTION void truth_handler(int signal)
{
	uint32_t path = signal == SIGUSR1 ? path_raised : path_spin;
	for (int i = 0; i < 10; i++) {
		truth_begin(path, 40);
		struct truth_block b = truth_got(path, malloc(40), 40);
		if (i % 2)
			truth_free(b);
	}
	handled++;
}

TRUTH_FUNCTION void truth_fault_handler(int signal)
{
	(void)signal;
	truth_begin(path_fault, 60);
	truth_got(path_fault, malloc(60), 60);
	siglongjmp(escape, 1);
}

static void count_tick(int signal)
{
	(void)signal;
	ticks++;
}

static void install(int signal, void (*handler)(int), int flags)
{
	struct sigaction action;
	memset(&action, 0, sizeof action);
	action.sa_handler = handler;
	action.sa_flags = flags;
	if (sigaction(signal, &action, NULL))
		truth_die("sigaction");
}

TRUTH_FUNCTION void truth_raise(void)
{
	for (int i = 0; i < 100; i++)
		raise(SIGUSR1);
	truth_stay();
}

/* Interrupted anywhere in a leaf function that has no frame of its own. */
TRUTH_FUNCTION uint64_t truth_spin(int until)
{
	uint64_t sum = 0;
	while (handled < until)
		sum += sum * 3 + 1;
	return sum;
}

TRUTH_FUNCTION void truth_fault(void)
{
	static int *volatile nowhere;
	for (int i = 0; i < 50; i++)
		if (sigsetjmp(escape, 1) == 0)
			*nowhere = 1;
	truth_stay();
}

/* malloc and free interrupted by a handler that does not allocate. */
TRUTH_FUNCTION void truth_load(void)
{
	for (uint64_t i = 0; ticks < 300; i++) {
		truth_begin(path_load, i % 900);
		struct truth_block b = truth_got(path_load, malloc(i % 900), i % 900);
		truth_free(b);
	}
}

/* A stack of its own, as fibers and coroutines have, unmapped when done. */
static ucontext_t fiber_context, main_context;

TRUTH_FUNCTION void truth_on_fiber(void)
{
	truth_begin(path_context, 90);
	truth_got(path_context, malloc(90), 90);
	truth_stay();
}

static void run_fiber(void)
{
	enum { BYTES = 64 * 1024 };
	char *stack = (char *)mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	getcontext(&fiber_context);
	fiber_context.uc_stack.ss_sp = stack;
	fiber_context.uc_stack.ss_size = BYTES;
	fiber_context.uc_link = &main_context;
	makecontext(&fiber_context, truth_on_fiber, 0);
	swapcontext(&main_context, &fiber_context);
	munmap(stack, BYTES);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		truth_die("usage: victim_signals TRUTH_FILE ENDING");
	truth = open_truth_file(argv[1], "malloc");
	truth_join_thread(0);
	path_raised = truth_name_path("truth_handler<truth_raise");
	path_spin = truth_name_path("truth_handler<truth_spin");
	path_fault = truth_name_path("truth_fault_handler<truth_fault");
	path_load = truth_name_path("truth_load");
	path_context = truth_name_path("truth_on_fiber");

	static char alternate[64 * 1024];
	stack_t stack = {.ss_sp = alternate, .ss_flags = 0, .ss_size = sizeof alternate};
	if (sigaltstack(&stack, NULL))
		truth_die("sigaltstack");
	install(SIGUSR1, truth_handler, 0);
	truth_raise();
	install(SIGUSR1, truth_handler, SA_ONSTACK);
	truth_raise();
	install(SIGSEGV, truth_fault_handler, SA_ONSTACK);
	truth_fault();
	install(SIGSEGV, SIG_DFL, 0);

	struct itimerval every = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
	install(SIGALRM, truth_handler, SA_ONSTACK);
	int until = handled + 50;
	setitimer(ITIMER_REAL, &every, NULL);
	truth_spin(until);
	setitimer(ITIMER_REAL, &never, NULL);
	install(SIGALRM, count_tick, SA_RESTART);
	setitimer(ITIMER_REAL, &every, NULL);
	truth_load();
	setitimer(ITIMER_REAL, &never, NULL);
	for (int i = 0; i < 20; i++)
		run_fiber();
	truth->complete = 1;
	truth_end_process(argv[2]);
	return 6;
}
