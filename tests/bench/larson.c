/*
 * larson: threads that replace blocks at random and hand all of them on to the thread that follows them, which frees
 * what it did not allocate: `larson [CHAINS [BLOCKS [OPERATIONS [GENERATIONS]]]]`, blocks and operations per chain.
 *
 * A chain is a row of BLOCKS slots and the one thread at work on it; after OPERATIONS / GENERATIONS replacements the
 * thread starts its successor and ends, and the successor joins it first. So nearly every free of a generation's
 * beginning is of a dead thread's block. Sizes are 8..1000 bytes, as servers ask for. Prints ns per replacement.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CHAINS_MOST = 64, SMALLEST = 8, LARGEST = 1000 };

struct chain {
	char **blocks;
	uint64_t random;
	size_t generations_left;
	pthread_t previous; /* the generation before, which its successor joins; at the end the last one */
	int has_previous;
	sem_t done;
};

static size_t blocks_per_chain = 1000, operations = 10000000, generations = 20;

static uint32_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 32);
}

__attribute__((noipa)) static char *allocate(uint64_t *random)
{
	char *block = malloc(SMALLEST + next_random(random) % (LARGEST - SMALLEST + 1));
	if (!block)
		abort();
	*(volatile char *)block = 1;
	return block;
}

__attribute__((noipa)) static void replace(struct chain *chain, size_t times)
{
	for (size_t i = 0; i < times; i++) {
		size_t at = next_random(&chain->random) % blocks_per_chain;
		free(chain->blocks[at]);
		chain->blocks[at] = allocate(&chain->random);
	}
}

static void *generation(void *argument);

static void start_next(struct chain *chain)
{
	pthread_t next;
	if (pthread_create(&next, NULL, generation, chain) != 0)
		abort();
}

static void *generation(void *argument)
{
	struct chain *chain = argument;
	if (chain->has_previous)
		pthread_join(chain->previous, NULL);
	replace(chain, operations / generations);
	chain->previous = pthread_self();
	chain->has_previous = 1;
	if (--chain->generations_left == 0)
		sem_post(&chain->done);
	else
		start_next(chain);
	return NULL;
}

static void fill(struct chain *chain, size_t number)
{
	chain->random = number * 0x9e3779b97f4a7c15ull + 1;
	chain->blocks = calloc(blocks_per_chain, sizeof *chain->blocks);
	for (size_t i = 0; chain->blocks && i < blocks_per_chain; i++)
		chain->blocks[i] = allocate(&chain->random);
	chain->generations_left = generations;
	sem_init(&chain->done, 0, 0);
}

static void finish(struct chain *chain)
{
	sem_wait(&chain->done);
	pthread_join(chain->previous, NULL);
	for (size_t i = 0; i < blocks_per_chain; i++)
		free(chain->blocks[i]);
	free(chain->blocks);
}

static size_t number_of(int argc, char **argv, int at, size_t otherwise)
{
	size_t n = argc > at ? strtoul(argv[at], NULL, 10) : otherwise;
	return n ? n : 1;
}

int main(int argc, char **argv)
{
	static struct chain chains[CHAINS_MOST];
	size_t n = number_of(argc, argv, 1, 4);
	blocks_per_chain = number_of(argc, argv, 2, blocks_per_chain);
	operations = number_of(argc, argv, 3, operations);
	generations = number_of(argc, argv, 4, generations);
	if (n > CHAINS_MOST)
		n = CHAINS_MOST;
	struct timespec begin, end;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (size_t i = 0; i < n; i++)
		fill(&chains[i], i + 1);
	for (size_t i = 0; i < n; i++)
		start_next(&chains[i]);
	for (size_t i = 0; i < n; i++)
		finish(&chains[i]);
	clock_gettime(CLOCK_MONOTONIC, &end);
	double ns = (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
	fprintf(stderr, "%.2f ns/op\n", ns / (double)(operations * n));
	puts("handed on");
	return 0;
}
