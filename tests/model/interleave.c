#include "interleave.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum { STACK_BYTES = 64 << 10, DECISIONS_MOST = 4096, NOBODY = -1 };

/* Depth first: an order is the decisions taken where there was a choice; the next one differs in the last that can. */
static struct {
	const struct interleave *scenario;
	int threads, running, preemptions, kills;
	bool ended[INTERLEAVE_THREADS], killed[INTERLEAVE_THREADS];
	ucontext_t context[INTERLEAVE_THREADS], back;
	int taken[DECISIONS_MOST], choices[DECISIONS_MOST];
	int decided, planned; /* decisions of this order so far; of these, so many are prescribed */
	uint64_t steps;
} now = {.running = NOBODY};
static char stacks[INTERLEAVE_THREADS][STACK_BYTES] __attribute__((aligned(64)));

void interleave_require(bool holds, const char *what)
{
	if (holds)
		return;
	printf("%s: does not hold: %s; order:", now.scenario->name, what);
	for (int i = 0; i < now.decided; i++)
		printf(" %d/%d", now.taken[i], now.choices[i]);
	printf("\n");
	fflush(stdout);
	_Exit(1);
}

bool interleave_was_killed(int thread)
{
	return now.killed[thread];
}

bool interleave_more(void)
{
	const char *text = getenv("MODEL_MORE");
	return text && text[0] == '1';
}

static int decide(int choices)
{
	if (choices < 2)
		return 0;
	interleave_require(now.decided < DECISIONS_MOST, "the scenario is short enough");
	int i = now.decided++;
	if (i >= now.planned)
		now.taken[i] = 0;
	now.choices[i] = choices;
	return now.taken[i];
}

static int nth_other(int n)
{
	for (int t = 0; t < now.threads; t++)
		if (t != now.running && !now.ended[t] && n-- == 0)
			return t;
	return NOBODY;
}

static int count_others(void)
{
	int count = 0;
	while (nth_other(count) != NOBODY)
		count++;
	return count;
}

static void go_to(int thread)
{
	int from = now.running;
	now.running = thread;
	swapcontext(&now.context[from], thread == NOBODY ? &now.back : &now.context[thread]);
}

static void leave(void)
{
	int others = count_others();
	now.ended[now.running] = true;
	go_to(others ? nth_other(decide(others)) : NOBODY);
}

/* Before each operation: go on, or let another one, or be killed. */
void interleave_step(void)
{
	if (now.running == NOBODY)
		return;
	int me = now.running, others = now.preemptions < now.scenario->preemptions ? count_others() : 0;
	bool may_die = now.scenario->killable[me] && now.kills < now.scenario->kills;
	now.steps++;
	now.running = NOBODY; /* what looks takes no steps */
	now.scenario->look();
	now.running = me;
	int choice = decide(1 + others + may_die);
	if (choice == 0)
		return;
	if (choice <= others) {
		now.preemptions++;
		go_to(nth_other(choice - 1));
		return;
	}
	now.kills++;
	now.killed[me] = true;
	leave();
}

static void run_thread(void)
{
	now.scenario->thread[now.running]();
	leave();
}

static void run_order(void)
{
	now.preemptions = now.kills = now.decided = 0;
	memset(now.ended, 0, sizeof now.ended);
	memset(now.killed, 0, sizeof now.killed);
	now.scenario->reset();
	for (int t = 0; t < now.threads; t++) {
		getcontext(&now.context[t]);
		now.context[t].uc_stack.ss_sp = stacks[t];
		now.context[t].uc_stack.ss_size = STACK_BYTES;
		makecontext(&now.context[t], run_thread, 0);
	}
	int first = decide(now.threads);
	now.running = first;
	swapcontext(&now.back, &now.context[first]);
	now.running = NOBODY;
	now.scenario->look();
	now.scenario->finish();
}

/* false: that was the last one. */
static bool plan_next(void)
{
	int i = now.decided;
	while (i > 0 && now.taken[i - 1] + 1 == now.choices[i - 1])
		i--;
	if (i == 0)
		return false;
	now.taken[i - 1]++;
	now.planned = i;
	return true;
}

uint64_t interleave_all(const struct interleave *scenario)
{
	uint64_t orders = 0;
	now.scenario = scenario;
	now.planned = 0;
	now.threads = 0;
	now.steps = 0;
	while (now.threads < INTERLEAVE_THREADS && scenario->thread[now.threads])
		now.threads++;
	do {
		run_order();
		orders++;
	} while (plan_next());
	printf("%s: %llu orders, %llu steps\n", scenario->name, (unsigned long long)orders, (unsigned long long)now.steps);
	return orders;
}
