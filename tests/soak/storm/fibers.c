/* fibers: a storm of stacks that are no thread's own, of any depth, gone when the fiber is, and another's soon after. */
#include "storm.h"

#include <sys/mman.h>
#include <ucontext.h>

enum { FIBERS = 16, FIBER_STACK = 64 << 10 };
struct fiber {
	ucontext_t context;
	char *stack; /* NULL: none runs here */
	int ended;
	uint64_t random;
};
struct fibers { /* of one thread */
	ucontext_t home;
	struct fiber *now;
	struct fiber each[FIBERS];
};
static __thread struct fibers *fibers;

static void leave_fiber(struct fiber *f)
{
	if (swapcontext(&f->context, &fibers->home))
		truth_die("swapcontext");
}

/* The innermost frames of a fiber that stands still; it goes on from there. */
TRUTH_FUNCTION void truth_deeper(struct fiber *f, uint32_t depth)
{
	if (depth > 0) {
		truth_deeper(f, depth - 1);
		truth_stay();
		return;
	}
	struct truth_block block = truth_take(TAKE_FIBER, 1 + truth_random(&f->random) % 500);
	leave_fiber(f);
	truth_free(exchange(truth_random(&f->random), block));
}

TRUTH_FUNCTION void truth_on_fiber(void)
{
	struct fiber *f = fibers->now;
	for (uint32_t left = 1 + truth_random(&f->random) % 8; left > 0; left--)
		truth_deeper(f, truth_random(&f->random) % 40);
	f->ended = 1; /* and on to `home`, by uc_link */
	truth_stay();
}

static void begin_fiber(struct fiber *f)
{
	f->stack = mmap(NULL, FIBER_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (f->stack == MAP_FAILED || getcontext(&f->context))
		truth_die("fiber");
	f->context.uc_stack.ss_sp = f->stack;
	f->context.uc_stack.ss_size = FIBER_STACK;
	f->context.uc_link = &fibers->home;
	f->ended = 0;
	makecontext(&f->context, truth_on_fiber, 0);
}

static void resume_fiber(struct fiber *f)
{
	fibers->now = f;
	if (swapcontext(&fibers->home, &f->context))
		truth_die("swapcontext");
	if (!f->ended)
		return;
	munmap(f->stack, FIBER_STACK);
	f->stack = NULL;
	count_round();
}

void *fiber_driver(void *argument)
{
	truth_join_thread((uint32_t)(uintptr_t)argument);
	uint64_t random = (uintptr_t)argument;
	fibers = mmap(NULL, sizeof *fibers, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < FIBERS; i++)
		fibers->each[i].random = random * 100 + (unsigned)i;
	while (!is_over()) {
		struct fiber *f = &fibers->each[truth_random(&random) % FIBERS];
		if (!f->stack)
			begin_fiber(f);
		resume_fiber(f);
	}
	for (int i = 0; i < FIBERS; i++)
		while (fibers->each[i].stack)
			resume_fiber(&fibers->each[i]);
	return NULL;
}

void storm_fibers(void)
{
	run(3, (void *(*const[])(void *)){fiber_driver, fiber_driver}, 2);
}
