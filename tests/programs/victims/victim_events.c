/*
 * victim_events: blocks whose lifetimes are known, by the function that allocates them: `victim_events TRUTH ENDING`.
 *
 * TRUTH gets a JSON object: by function, how many blocks it allocated, how many were freed (of them: temporary, by another
 * thread), and after how many operations of its thread, in decades from 1. ENDING: exit, kill, fork (a child does the same
 * again first, with the truth in TRUTH.child), flood N (N million temporary blocks more), serve (one temporary block and one
 * of ten operations a millisecond, until it is killed).
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mtrace.h"

#define PLACE __attribute__((noipa))
enum { THREADS = 8, DECADES = 8, HANDED = 1000, IN_THREADS = 500 };

struct known {
	const char *place;
	long alloc, freed, temporary, elsewhere;
	long by_operations[DECADES];
};

/* ---- places ---- */

static void *touch(void *p)
{
	__asm__ volatile("" : : "r"(p) : "memory");
	return p;
}

PLACE void truth_small(int n)
{
	while (n-- > 0)
		free(touch(malloc(24)));
}

PLACE void truth_large(int n)
{
	while (n-- > 0)
		free(touch(malloc(5000)));
}

PLACE void truth_zeroed(int n)
{
	while (n-- > 0)
		free(touch(calloc(3, 100)));
}

/* n blocks, then all of them freed in their order: each after n operations. */
PLACE void truth_in_turn(void **blocks, int n)
{
	for (int i = 0; i < n; i++)
		blocks[i] = touch(malloc(48));
	for (int i = 0; i < n; i++)
		free(blocks[i]);
}

/* Every reallocation frees the block that the operation before made. */
PLACE void truth_grown(int n)
{
	char *p = touch(malloc(8));
	for (int i = 1; i <= n; i++)
		p = touch(realloc(p, (size_t)i * 24));
	free(p);
}

/* A reallocation that fails is no operation. */
PLACE void truth_refused(int n)
{
	volatile size_t most = (size_t)1 << 62;
	while (n-- > 0) {
		char *p = touch(malloc(64));
		if (realloc(p, most))
			abort();
		free(p);
	}
}

PLACE void truth_kept(int n)
{
	while (n-- > 0)
		touch(malloc(33));
}

/* At the addresses of live blocks of malloc: those of a pool are others. */
PLACE void truth_pooled(int n)
{
	char *p = touch(malloc(4096));
	for (int i = 0; i < n; i++) {
		mtrace_pool_alloc(NULL, p, 16);
		mtrace_pool_free(NULL, p);
	}
	free(p);
}

static void *handed[THREADS][HANDED];
static pthread_barrier_t all;

PLACE void truth_handed(int me)
{
	for (int i = 0; i < HANDED; i++)
		handed[me][i] = touch(malloc(80));
}

PLACE void truth_in_threads(int n)
{
	while (n-- > 0)
		free(touch(malloc(96)));
}

static void *work(void *argument)
{
	int me = (int)(intptr_t)argument;
	truth_handed(me);
	pthread_barrier_wait(&all);
	for (int i = 0; i < HANDED; i++)
		free(handed[(me + 1) % THREADS][i]);
	pthread_barrier_wait(&all);
	truth_in_threads(IN_THREADS);
	return NULL;
}

static void run_threads(void)
{
	pthread_t threads[THREADS];
	pthread_barrier_init(&all, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i))
			abort();
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

/* ---- what is known of them ---- */

static const struct known table[] = {
	{"truth_small", 10000, 10000, 10000, 0, {10000}},
	{"truth_large", 3000, 3000, 3000, 0, {3000}},
	{"truth_zeroed", 4000, 4000, 4000, 0, {4000}},
	{"truth_in_turn", 40 * 7 + 20 * 50 + 2 * 1000, 40 * 7 + 20 * 50 + 2 * 1000, 0, 0, {0, 40 * 7, 20 * 50, 2 * 1000}},
	{"truth_grown", 501, 501, 501, 0, {501}},
	{"truth_refused", 200, 200, 200, 0, {200}},
	{"truth_kept", 77, 0, 0, 0, {0}},
	{"truth_pooled", 1 + 300, 1 + 300, 300, 0, {300, 0, 0, 1}},
	{"truth_handed", THREADS * HANDED, THREADS * HANDED, 0, THREADS * HANDED, {-1}},
	{"truth_in_threads", THREADS * IN_THREADS, THREADS * IN_THREADS, THREADS * IN_THREADS, 0, {THREADS * IN_THREADS}},
};

static void do_all(void)
{
	static void *blocks[1000];
	truth_small(10000);
	truth_large(3000);
	truth_zeroed(4000);
	for (int i = 0; i < 40; i++)
		truth_in_turn(blocks, 7);
	for (int i = 0; i < 20; i++)
		truth_in_turn(blocks, 50);
	for (int i = 0; i < 2; i++)
		truth_in_turn(blocks, 1000);
	truth_grown(500);
	truth_refused(200);
	truth_kept(77);
	truth_pooled(300);
	run_threads();
}

/* Without stdio: its buffers are blocks. */
static void write_truth(const char *path, const char *suffix)
{
	static char name[4096], text[16384];
	size_t n = 0;
	snprintf(name, sizeof name, "%s%s", path, suffix);
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		const struct known *k = &table[i];
		n += (size_t)snprintf(text + n, sizeof text - n, "%s\"%s\":{\"alloc\":%ld,\"freed\":%ld,\"temporary\":%ld,"
				      "\"elsewhere\":%ld,\"by_operations\":[", i ? ",\n" : "{", k->place, k->alloc, k->freed,
				      k->temporary, k->elsewhere);
		for (int d = 0; d < DECADES; d++)
			n += (size_t)snprintf(text + n, sizeof text - n, "%s%ld", d ? "," : "", k->by_operations[d]);
		n += (size_t)snprintf(text + n, sizeof text - n, "]}");
	}
	n += (size_t)snprintf(text + n, sizeof text - n, "}\n");
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, n) != (ssize_t)n || close(fd))
		abort();
}

static void fork_child(const char *truth)
{
	pid_t child = fork();
	if (child == 0) {
		do_all();
		write_truth(truth, ".child");
		_exit(0);
	}
	int status;
	if (child < 0 || waitpid(child, &status, 0) != child || status)
		abort();
}

PLACE void truth_served(void)
{
	void *ten[10];
	free(touch(malloc(40)));
	truth_in_turn(ten, 10);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	if (!strcmp(argv[2], "serve"))
		for (;; usleep(1000))
			truth_served();
	if (!strcmp(argv[2], "fork"))
		fork_child(argv[1]);
	do_all();
	if (!strcmp(argv[2], "flood"))
		for (int i = argc > 3 ? atoi(argv[3]) : 1; i > 0; i--)
			truth_small(1000000);
	write_truth(argv[1], "");
	if (!strcmp(argv[2], "kill"))
		kill(getpid(), SIGKILL);
	return 0;
}
