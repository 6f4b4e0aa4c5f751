/*
 * unwind_signals: walks out of signal handlers, equal to libunwind's: raised, of faults, of timers at any instruction, at
 * every instruction by single step; on the same stack, on an alternate one, within each other.
 */
#include "unwind_shapes.h"

#include <sys/time.h>
#include <time.h>
#include <ucontext.h>

/* ---- signals ---- */

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

static NOINLINE void raise_here(void)
{
	raise(SIGUSR1);
	KEEP_FRAME();
}

static void raise_many(int flags)
{
	handle(SIGUSR1, flags);
	for (int i = 0; i < 500; i++)
		mixed(i % 20, raise_here);
	ck_assert_int_eq(handled, 500);
	oracle_expect_whole(10);
	oracle_expect(500);
}

START_TEST(signals_raised)
{
	raise_many(0);
}
END_TEST

START_TEST(signals_on_alternate_stacks)
{
	use_alternate_stack();
	raise_many(SA_ONSTACK);
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

int main(void)
{
	Suite *suite = suite_create("unwind_signals");
	TCase *walks = walking_case(suite, "walks");
	tcase_add_test(walks, signals_raised);
	tcase_add_test(walks, signals_on_alternate_stacks);
	tcase_add_test(walks, signals_within_signals);
	tcase_add_test(walks, signals_of_faults);
	tcase_add_test(walks, signal_in_no_code_ends_there);
	tcase_add_test(walks, signals_at_every_instruction);
	tcase_add_test(walks, signals_anywhere);
	tcase_add_test(walks, signals_anywhere_on_alternate_stack);
	return run_suite(suite);
}
