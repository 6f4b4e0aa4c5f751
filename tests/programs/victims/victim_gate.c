/*
 * victim_gate: does work in steps, as programs under a gate do: `victim_gate KIND STEPS [MORE]`, a mark "step" after each.
 * gate.sh has it judged. Every step has traffic besides: blocks that come and go. See the table at the end for the kinds.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mtrace.h"

enum { MOST = 300000, THREADS = 8, PACE_US = 4000 };

static void *held[MOST]; /* oldest first, from `oldest` on, as a ring */
static size_t oldest, count;
static long steps, more;
static const char *self;

__attribute__((noinline, noclone)) static void hold(size_t size)
{
	void *block = malloc(size);
	if (!block || count == MOST)
		_exit(9);
	memset(block, 1, size < 64 ? size : 64);
	held[(oldest + count++) % MOST] = block;
}

static void drop_oldest(size_t blocks)
{
	for (; blocks > 0 && count > 0; blocks--, count--) {
		free(held[oldest]);
		oldest = (oldest + 1) % MOST;
	}
}

static void drop_all(void)
{
	drop_oldest(count);
}

__attribute__((noinline, noclone)) static void traffic(long step)
{
	void *blocks[8];
	for (long i = 0; i < 8; i++)
		blocks[i] = malloc((size_t)(20 + (step * 7 + i * 13) % 200));
	for (long i = 0; i < 8; i++)
		free(blocks[i]);
}

static void none(long step) { (void)step; }
static void leak(long step) { (void)step; hold(16); }
static void rare(long step) { if (step % 50 == 49) hold(100); }
static void cache(long step) { (void)step; hold(200); if (count > (size_t)more) drop_oldest(count - (size_t)more); }
static void lru(long step)
{
	for (long i = 0; step == 0 && i < 2000; i++)
		hold(100);
	hold((size_t)(50 + step % 100));
	drop_oldest(1);
}

static void pool(long step) { if ((step & (step - 1)) == 0) hold((size_t)(step + 1) * 64); }
static void lazy(long step) { hold(300); if (step % more == more - 1) drop_oldest(count); }
static void init(long step) { if (step == 29) for (int i = 0; i < 100; i++) hold(700); }
static void rungs(long step) { if (step % more == more / 2) for (int i = 0; i < 40; i++) hold(4096); }
static void spike(long step)
{
	if (step >= steps / 2 && step < steps / 2 + steps / 20)
		for (int i = 0; i < 20; i++)
			hold(400);
	else if (step == steps * 2 / 3)
		drop_oldest(count);
}

/* One of many threads leaks, in step with the others. */
static sem_t go[THREADS], done[THREADS];

static void *serve(void *number)
{
	size_t n = (size_t)(uintptr_t)number;
	for (long step = 0; sem_wait(&go[n]) == 0 && step < steps; step++) {
		traffic(step);
		if (n == 5)
			hold(24);
		sem_post(&done[n]);
	}
	return NULL;
}

static void thread(long step)
{
	pthread_t it;
	for (size_t n = 0; n < THREADS && step == 0; n++) {
		sem_init(&go[n], 0, 0);
		sem_init(&done[n], 0, 0);
		pthread_create(&it, NULL, serve, (void *)(uintptr_t)n);
	}
	for (size_t n = 0; n < THREADS; n++)
		sem_post(&go[n]);
	for (size_t n = 0; n < THREADS; n++)
		sem_wait(&done[n]);
}

/* A child for each request, which leaves what it made to its end. */
static void serve_in_child(bool leaks)
{
	pid_t child = fork();
	if (child == 0) {
		for (int i = 0; i < 50; i++)
			hold(100);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	if (leaks)
		hold(48);
}

static void forks(long step) { (void)step; serve_in_child(false); }
static void forkleak(long step) { (void)step; serve_in_child(true); }

/* One child that lives as long as we do, and leaks for each of our steps if `more`. */
static int requests[2], answers[2];

static void work_as_child(void)
{
	char byte;
	for (long step = 0; read(requests[0], &byte, 1) == 1; step++) {
		traffic(step);
		if (more)
			hold(24);
		if (write(answers[1], &byte, 1) != 1)
			break;
	}
	_exit(0);
}

static void child(long step)
{
	char byte = '.';
	if (step == 0) {
		if (pipe(requests) != 0 || pipe(answers) != 0)
			_exit(9);
		if (fork() == 0) {
			close(requests[1]);
			work_as_child();
		}
		close(requests[0]);
	}
	usleep(PACE_US);
	if (write(requests[1], &byte, 1) != 1 || read(answers[0], &byte, 1) != 1)
		_exit(9);
}

/* A library that is loaded for each step, leaks, and goes. */
static void library(long step)
{
	char path[4096];
	snprintf(path, sizeof path, "%.*s/plugin_a.so", (int)(strrchr(self, '/') - self), self);
	void *handle = dlopen(path, RTLD_NOW);
	void (*its_leak)(size_t);
	void *found = handle ? dlsym(handle, "truth_leak_a") : NULL;
	if (!found)
		_exit(9);
	memcpy(&its_leak, &found, sizeof its_leak);
	its_leak(16);
	(void)step;
	dlclose(handle);
}

static void crash(long step) { if (step == steps - 1) abort(); }
static void early(long step) { if (step == steps / 2) _exit(0); }
static void tidy(long step) { hold(16); if (step == steps - 1) atexit(drop_all); }
static void paced(long step) { (void)step; usleep(PACE_US); hold(16); }

static const struct {
	const char *name;
	void (*step)(long step);
} kinds[] = {{"none", none}, {"leak", leak}, {"rare", rare}, {"thread", thread}, {"cache", cache}, {"lru", lru}, {"pool", pool},
             {"lazy", lazy}, {"init", init}, {"rungs", rungs}, {"spike", spike}, {"forks", forks}, {"forkleak", forkleak},
             {"child", child}, {"library", library}, {"crash", crash}, {"early", early}, {"paced", paced}, {"tidy", tidy},
             {"idle", NULL}};

int main(int argc, char **argv)
{
	size_t kind = 0;
	while (argc >= 3 && kind < sizeof kinds / sizeof kinds[0] && strcmp(argv[1], kinds[kind].name) != 0)
		kind++;
	if (argc < 3 || kind == sizeof kinds / sizeof kinds[0])
		return 2;
	self = argv[0];
	steps = atol(argv[2]);
	more = argc > 3 ? atol(argv[3]) : 0;
	for (long step = 0; step < steps; step++) {
		if (kinds[kind].step) {
			traffic(step);
			kinds[kind].step(step);
		}
		mtrace_mark("step");
	}
	return getenv("VICTIM_STATUS") ? atoi(getenv("VICTIM_STATUS")) : 0;
}
