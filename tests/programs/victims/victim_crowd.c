/*
 * victim_crowd: what a host may do with its threads and descriptors: `victim_crowd WHAT …`. Prints what it did and ends with 0;
 * the same untracked.
 *
 *   threads N STACK     N threads at once, on stacks of that many bytes, each with blocks of its own
 *   reuse FILE          closes all descriptors, has FILE as 0, 1 and 2, goes on; its children too, who may write no file
 *   wait DONE           allocates on new stacks, bit by bit, until the file DONE is there, and then some more
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "by_ways.h"

static pthread_barrier_t all_there;

static void *one_of_many(void *argument)
{
	uint32_t me = (uint32_t)(uintptr_t)argument;
	void *kept[20];
	pthread_barrier_wait(&all_there);
	for (uint32_t i = 0; i < 20; i++)
		kept[i] = allocate_by(me + i, 4, 50);
	for (uint32_t i = 0; i < 19; i++)
		free(kept[i]);
	return kept[19] ? argument : NULL;
}

static int threads(uint32_t count, size_t stack_bytes)
{
	pthread_t *all = calloc(count, sizeof *all);
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	if (pthread_attr_setstacksize(&attributes, stack_bytes))
		return 0;
	pthread_barrier_init(&all_there, NULL, count);
	for (uint32_t i = 0; i < count; i++)
		if (pthread_create(&all[i], &attributes, one_of_many, (void *)(uintptr_t)(i + 1)))
			return 0;
	int is_well = 1;
	for (uint32_t i = 0; i < count; i++) {
		void *result;
		is_well &= pthread_join(all[i], &result) == 0 && result;
	}
	return is_well;
}

static int reuse(const char *path)
{
	int status;
	for (int fd = 0; fd < 1024; fd++)
		close(fd);
	for (int fd = 0; fd < 3; fd++)
		if (open(path, O_RDWR | O_CREAT | O_APPEND, 0600) != fd)
			return 0;
	for (uint32_t i = 0; i < 20000; i++)
		if (!allocate_by(i, 14, 30))
			return 0;
	if (write(1, "mine\n", 5) != 5)
		return 0;
	struct rlimit none = {5, RLIM_INFINITY}, all = {RLIM_INFINITY, RLIM_INFINITY}; /* 5: as long as it is */
	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &none))
		return 0;
	pid_t pid = fork();
	if (pid == 0)
		_exit(allocate_by(1, 3, 30) ? 0 : 1);
	return waitpid(pid, &status, 0) == pid && status == 0 && setrlimit(RLIMIT_FSIZE, &all) == 0;
}

static int wait_for(const char *done)
{
	uint32_t i = 0;
	int more = 30000;
	while (more > 0) {
		if (!allocate_by(i, 15, 40 + i % 50))
			return 0;
		i++;
		if (access(done, F_OK) == 0)
			more--;
		else if (i % 50 == 0)
			usleep(1000);
	}
	return 1;
}

int main(int argc, char **argv)
{
	int is_well = 0;
	if (argc > 3 && !strcmp(argv[1], "threads"))
		is_well = threads((uint32_t)atoi(argv[2]), strtoul(argv[3], NULL, 0));
	else if (argc > 2 && !strcmp(argv[1], "reuse"))
		return !reuse(argv[2]);
	else if (argc > 2 && !strcmp(argv[1], "wait"))
		is_well = wait_for(argv[2]);
	puts(is_well ? "well" : "no");
	return !is_well;
}
