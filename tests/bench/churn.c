/*
 * churn: threads that each keep many live blocks and replace them at random, about 200 distinct stacks of depth ~20:
 * `churn [THREADS [LIVE_BLOCKS [OPERATIONS]]]`, per thread. Prints ns per operation. (Killed a peer.)
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LEVELS = 14 };
static size_t live_blocks = 100000, operations = 2000000;

static uint32_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 32);
}

#define STAY __asm__ volatile("" ::: "memory")
typedef void *(*level_function)(uint32_t path, int left, size_t bytes);
static void *descend(uint32_t path, int left, size_t bytes);

/* Which of them stand on a stack, and in which order, is what makes stacks distinct. */
#define LEVEL(name)                                                                          \
	__attribute__((noipa)) static void *name(uint32_t path, int left, size_t bytes)      \
	{                                                                                    \
		void *p = descend(path, left, bytes);                                        \
		STAY;                                                                        \
		return p;                                                                    \
	}
LEVEL(level_a)
LEVEL(level_b)
LEVEL(level_c)
LEVEL(level_d)
static const level_function levels[4] = {level_a, level_b, level_c, level_d};

__attribute__((noipa)) static void *descend(uint32_t path, int left, size_t bytes)
{
	void *p;
	if (left == 0)
		p = malloc(bytes);
	else
		p = levels[left > 4 ? (uint32_t)left % 4 : path >> (2 * (left - 1)) & 3](path, left - 1, bytes);
	STAY;
	return p;
}

static void *work(void *argument)
{
	uint64_t random = (uint64_t)(uintptr_t)argument * 0x9e3779b97f4a7c15ull + 1;
	char **blocks = calloc(live_blocks, sizeof *blocks);
	for (size_t i = 0; i < live_blocks + operations; i++) {
		size_t at = i < live_blocks ? i : next_random(&random) % live_blocks;
		free(blocks[at]);
		blocks[at] = descend(next_random(&random) % 200, LEVELS, 16 + next_random(&random) % 4080);
		blocks[at][0] = 1;
	}
	for (size_t i = 0; i < live_blocks; i++)
		free(blocks[i]);
	free(blocks);
	return NULL;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 4;
	if (argc > 2)
		live_blocks = strtoul(argv[2], NULL, 10);
	if (argc > 3)
		operations = strtoul(argv[3], NULL, 10);
	pthread_t t[64];
	struct timespec begin, end;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (int i = 0; i < threads && i < 64; i++)
		pthread_create(&t[i], NULL, work, (void *)(uintptr_t)(i + 1));
	for (int i = 0; i < threads && i < 64; i++)
		pthread_join(t[i], NULL);
	clock_gettime(CLOCK_MONOTONIC, &end);
	double ns = (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
	fprintf(stderr, "%.1f ns/op\n", ns / (double)(live_blocks + operations));
	puts("churned");
	return 0;
}
