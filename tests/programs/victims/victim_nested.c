/*
 * victim_nested: a handler that records while its thread is inside a hook: `victim_nested HOW HANDLED`.
 *
 * The main thread tells of pool blocks, all of them freed again; another one signals it, and the handler tells of two
 * blocks of its own, one of which stays. The pool's functions do not allocate, so this is safe at any instruction of the
 * hook. HOW: plain, on the interrupted stack; inside, on a signal stack that is an array of main's own frame.
 * Prints how many blocks it told of, and how many of them are live.
 */
#include <mtrace.h>

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIGNAL_STACK = 64 * 1024 };

static volatile sig_atomic_t handled, until;
static volatile int over;
static pthread_t victim;
static uint64_t told;

/* Addresses that nobody else tells of: the handler's have a bit more. */
static void *address(uint64_t i, uint64_t whose)
{
	return (void *)(uintptr_t)(0x100000000u + whose * 0x40000000u + i * 32);
}

__attribute__((noinline)) static void tell(uint64_t i, uint64_t whose)
{
	mtrace_pool_alloc(NULL, address(i, whose), 24);
}

static void handle(int signal)
{
	(void)signal;
	uint64_t i = (uint64_t)handled;
	tell(2 * i, 1);
	tell(2 * i + 1, 1);
	mtrace_pool_free(NULL, address(2 * i, 1));
	handled++;
}

static void *signal_it(void *unused)
{
	while (!over) {
		pthread_kill(victim, SIGUSR1);
		for (volatile int i = 0; i < 2000; i++)
			;
	}
	return unused;
}

__attribute__((noinline)) static void work(void)
{
	for (; handled < until; told++) {
		tell(told % 1000, 0);
		mtrace_pool_free(NULL, address(told % 1000, 0));
	}
}

int main(int argc, char **argv)
{
	char own[SIGNAL_STACK];
	struct sigaction action;
	pthread_t other;
	if (argc < 3)
		return 2;
	until = atoi(argv[2]);
	memset(&action, 0, sizeof action);
	action.sa_handler = handle;
	if (!strcmp(argv[1], "inside")) {
		stack_t stack = {.ss_sp = own, .ss_flags = 0, .ss_size = sizeof own};
		sigaltstack(&stack, NULL);
		action.sa_flags = SA_ONSTACK;
	}
	sigaction(SIGUSR1, &action, NULL);
	victim = pthread_self();
	pthread_create(&other, NULL, signal_it, NULL);
	work();
	over = 1;
	pthread_join(other, NULL);
	printf("%llu %llu\n", (unsigned long long)told + 2 * (unsigned long long)handled, (unsigned long long)handled);
	return 0;
}
