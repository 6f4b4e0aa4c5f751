/*
 * victim_faults: does, briefly, all that the shim reacts to, the same at each run: stacks, live blocks and threads enough for
 * tables to grow, mappings, a library that comes and goes, handlers, forks, marks, limits, exec, exit: `victim_faults PLUGIN`.
 * Ends with 5.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <mtrace.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "by_ways.h"

enum { KEPT = 1500, MAPPED = 1 << 20 };
static void *kept[KEPT];

static void say(const char *what)
{
	printf("%s\n", what);
	fflush(stdout);
}

APART static void *allocate(size_t bytes)
{
	void *p = malloc(bytes);
	stay();
	return p;
}

APART static void *allocate_below(int depth, size_t bytes)
{
	void *p = depth ? allocate_below(depth - 1, bytes) : allocate(bytes);
	stay();
	return p;
}

APART static int work_on_heap(void)
{
	for (int i = 0; i < KEPT; i++) {
		kept[i] = allocate_by((uint32_t)i, 11, 24 + (size_t)i % 400);
		if (!kept[i])
			return 0;
		memset(kept[i], 1, 24);
	}
	for (int i = 0; i < KEPT; i += 3)
		kept[i] = realloc(kept[i], 1000);
	for (int i = 1; i < KEPT; i += 3) {
		free(kept[i]);
		kept[i] = i % 2 ? calloc(3, 50) : memalign(64, 100);
	}
	void *large = malloc(4 << 20);
	free(realloc(large, 8 << 20));
	return 1;
}

APART static int work_on_mappings(void)
{
	char *p = mmap(NULL, 4 * MAPPED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || munmap(p + MAPPED, MAPPED))
		return 0;
	char *q = mremap(p + 2 * MAPPED, MAPPED, 2 * MAPPED, MREMAP_MAYMOVE);
	return q != MAP_FAILED && mmap(p, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p;
}

static void *thread(void *argument)
{
	char *name = argument;
	pthread_setname_np(pthread_self(), name);
	for (int i = 0; i < 40; i++) {
		void *p = allocate_below(i % 7, 100);
		if (i % 4)
			free(p);
	}
	return NULL;
}

static int work_in_threads(void)
{
	static char names[3][8] = {"first", "second", "third"};
	for (int i = 0; i < 3; i++) {
		pthread_t t;
		if (pthread_create(&t, NULL, thread, names[i]) || pthread_join(t, NULL))
			return 0;
	}
	return 1;
}

static int work_in_library(const char *path)
{
	void *library = dlopen(path, RTLD_NOW);
	void *(*leak)(size_t) = library ? (void *(*)(size_t))(uintptr_t)dlsym(library, "plugin_leak") : NULL;
	return leak && leak(77) && dlclose(library) == 0;
}

static void handler(int number)
{
	(void)number;
	kept[0] = realloc(kept[0], 2000);
}

static int ended_with(pid_t pid, int wanted)
{
	int status = 0;
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == wanted;
}

static int work_in_children(void)
{
	pid_t child = fork();
	if (child == 0) {
		for (int i = 0; i < 30; i++)
			free(kept[i]);
		for (int i = 0; i < 50; i++)
			kept[i] = allocate_below(i % 9, 300);
		_exit(kept[49] ? 3 : 4);
	}
	if (!ended_with(child, 3))
		return 0;
	child = vfork();
	if (child == 0)
		_exit(2);
	return ended_with(child, 2);
}

static int work_under_limits(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_AS, &limit))
		return 0;
	limit.rlim_cur = 1ull << 40;
	return setrlimit(RLIMIT_AS, &limit) == 0 && allocate(100);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 1;
	if (!strcmp(argv[1], "again")) {
		say(allocate_below(3, 500) ? "again: well" : "again: no memory");
		return 5;
	}
	say(work_on_heap() ? "heap: well" : "heap: no");
	mtrace_mark("after the heap");
	say(work_on_mappings() ? "mappings: well" : "mappings: no");
	say(work_in_threads() ? "threads: well" : "threads: no");
	say(work_in_library(argv[1]) ? "library: well" : "library: no");
	signal(SIGUSR1, handler);
	raise(SIGUSR1);
	mtrace_mark("before children");
	say(work_in_children() ? "children: well" : "children: no");
	say(work_under_limits() ? "limits: well" : "limits: no");
	execl("/proc/self/exe", argv[0], "again", (char *)NULL);
	return 6;
}
