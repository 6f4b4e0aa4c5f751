/*
 * victim_news TRUTH WHAT [LANES]: news and what the victim itself knows of it, in a mapped file that outlives it
 * (tests/programs/news.py reads it): for each lane (thread) and each kind, how many were begun and how many are done.
 *   WHAT  brief   100 marks per lane, a pause between two, three large mappings, a thread "brief-0" …, a fork; exit 7
 *         exec    the same, then this program again, as brief
 *         flood   marks as fast as they go, until it is killed
 *         steady  ten marks a second per lane, until it is killed
 *         quiet   nothing more after the first marks, until it is killed
 * Marks are "LANE NUMBER" (15 characters at most), mappings of lane l are (2 + number % 5) MiB + l pages.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mtrace.h"

enum { LANES = 8, BRIEF = 100 };

struct truth {
	uint64_t pid;
	struct {
		volatile uint64_t begun, done;
	} marks[LANES], maps[LANES], threads[LANES], forks;
};

static struct truth *truth;
static const char *what;

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static void mark(uintptr_t lane)
{
	char name[32];
	uint64_t n = truth->marks[lane].begun++;
	snprintf(name, sizeof name, "%u %llu", (unsigned)lane, (unsigned long long)n);
	mtrace_mark(name);
	truth->marks[lane].done++;
}

static __attribute__((noipa)) void map(uintptr_t lane)
{
	uint64_t n = truth->maps[lane].begun++;
	size_t bytes = ((2 + n % 5) << 20) + lane * 4096;
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p != MAP_FAILED)
		munmap(p, bytes);
	truth->maps[lane].done++;
}

static void allocate(void)
{
	void *volatile p = malloc(10);
	free(p);
}

static void *be_brief(void *unused)
{
	allocate();
	return unused;
}

static void start_thread(uintptr_t lane)
{
	pthread_t thread;
	truth->threads[lane].begun++;
	if (pthread_create(&thread, NULL, be_brief, NULL) == 0)
		pthread_join(thread, NULL);
	truth->threads[lane].done++;
}

static void fork_child(void)
{
	truth->forks.begun++;
	pid_t child = fork();
	if (child == 0) {
		allocate();
		mtrace_mark("child");
		_exit(0);
	}
	waitpid(child, NULL, 0);
	truth->forks.done++;
}

static void *work(void *argument)
{
	uintptr_t lane = (uintptr_t)argument;
	char name[16];
	snprintf(name, sizeof name, "lane-%u", (unsigned)lane);
	pthread_setname_np(pthread_self(), name);
	bool is_flood = strcmp(what, "flood") == 0, is_brief = strcmp(what, "brief") == 0 || strcmp(what, "exec") == 0;
	for (int n = 0; !is_brief || n < BRIEF; n++) {
		mark(lane);
		if (!is_flood)
			pause_ms(is_brief ? 5 : 100);
		while (strcmp(what, "quiet") == 0 && n > 3)
			pause();
	}
	for (int n = 0; n < 3; n++)
		map(lane);
	start_thread(lane);
	return NULL;
}

static struct truth *open_truth(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof *truth) != 0)
		exit(2);
	void *p = mmap(NULL, sizeof *truth, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return p == MAP_FAILED ? exit(2), NULL : p;
}

int main(int argc, char **argv)
{
	pthread_t threads[LANES];
	int lanes = argc > 3 ? atoi(argv[3]) : 2;
	if (argc < 3 || lanes < 1 || lanes > LANES)
		return 2;
	what = argv[2];
	truth = open_truth(argv[1]);
	for (int i = 0; i < lanes; i++)
		if (pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i) != 0)
			return 2;
	truth->pid = (uint64_t)getpid();
	for (int i = 0; i < lanes; i++)
		pthread_join(threads[i], NULL);
	fork_child();
	if (strcmp(what, "exec") == 0)
		execl(argv[0], argv[0], argv[1], "brief", argc > 3 ? argv[3] : NULL, (char *)NULL);
	return 7;
}
