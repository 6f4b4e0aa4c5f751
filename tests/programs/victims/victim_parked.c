/*
 * victim_parked: `victim_parked THREADS DEPTH`: threads that allocate on the way to a stack DEPTH deep, then stand
 * still until standard input ends. Prints "parked". How much memory a tracker needs for itself can be seen meanwhile.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int depth;
static volatile int one = 1; /* for no recursion to become a loop */
static pthread_barrier_t parked, released;

static __attribute__((noinline)) void allocate(size_t times)
{
	for (size_t i = 1; i <= times; i++) {
		void *volatile block = malloc(i * 8);
		free(block);
	}
}

static __attribute__((noinline)) int descend(int left)
{
	allocate(left > 0 ? 1 : 400);
	return left > 0 ? one + one * descend(left - one) : 0;
}

static void *stand(void *unused)
{
	volatile int deep = descend(depth);
	(void)deep;
	pthread_barrier_wait(&parked);
	pthread_barrier_wait(&released);
	return unused;
}

int main(int argc, char **argv)
{
	char c;
	int threads = argc > 2 ? atoi(argv[1]) : 0;
	pthread_t *all = calloc((size_t)threads + 1, sizeof *all);
	depth = threads ? atoi(argv[2]) : 0;
	if (!threads || !all)
		return 2;
	pthread_barrier_init(&parked, NULL, (unsigned)threads + 1);
	pthread_barrier_init(&released, NULL, (unsigned)threads + 1);
	for (int i = 0; i < threads; i++)
		if (pthread_create(&all[i], NULL, stand, NULL))
			return 1;
	pthread_barrier_wait(&parked);
	puts("parked");
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	pthread_barrier_wait(&released);
	for (int i = 0; i < threads; i++)
		pthread_join(all[i], NULL);
	return 0;
}
