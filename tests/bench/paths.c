/*
 * paths: malloc and free at once at the end of chosen call paths: `paths KNOWN USED PAIRS [LEVELS [BENEATH [ORDER]]]`.
 *
 * A path is a number: two bits of it choose one of four calls at each of LEVELS (10) levels, the lowest two the
 * innermost, so there are 4^LEVELS stacks of the same depth, and path i + 1 differs from i in the innermost frames only.
 * BENEATH (2) frames of other functions lie under them and never change. First the paths 0..KNOWN-1 are taken once each,
 * scattered, then PAIRS times one of the first USED, in turn (ORDER next) or at random (ORDER random, the default).
 * Prints ns per pair of the second part. KNOWN 1 USED 1: always the same stack; PAIRS 0: every stack is new.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BLOCK_BYTES = 48 };

/* A different text each: the four calls must stay four places in the code. */
#define CALL(way)                                       \
	case way:                                       \
		descend(path, left - 1);                \
		__asm__ volatile("# " #way ::: "memory"); \
		break;

__attribute__((noipa)) static void descend(uint64_t path, unsigned left)
{
	if (left == 0) {
		char *block = malloc(BLOCK_BYTES);
		*(volatile char *)block = 1;
		free(block);
		return;
	}
	switch (path >> (2 * (left - 1)) & 3) {
		CALL(0)
		CALL(1)
		CALL(2)
	default:
		descend(path, left - 1);
		__asm__ volatile("# 3" ::: "memory");
	}
}

struct plan {
	uint64_t known, used, pairs, stride;
	unsigned levels;
	int in_turn;
	double seconds;
};

static uint32_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 32);
}

/* Odd strides visit each of a power of two numbers once: all levels change from one to the next. */
static uint64_t scattered(const struct plan *plan, uint64_t i)
{
	return i * plan->stride & ((1ull << 2 * plan->levels) - 1);
}

__attribute__((noipa)) static void take_paths(struct plan *plan)
{
	struct timespec begin, end;
	uint64_t random = 0x9e3779b97f4a7c15ull;
	for (uint64_t i = 0; i < plan->known; i++)
		descend(scattered(plan, i), plan->levels);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (uint64_t i = 0; i < plan->pairs; i++) {
		uint64_t which = (plan->in_turn ? i : next_random(&random)) % plan->used;
		descend(plan->in_turn ? which : scattered(plan, which), plan->levels);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	plan->seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
}

__attribute__((noipa)) static void lie_beneath(unsigned frames, struct plan *plan)
{
	if (frames > 0)
		lie_beneath(frames - 1, plan);
	else
		take_paths(plan);
	__asm__ volatile("" ::: "memory");
}

static uint64_t number_of(int argc, char **argv, int at, uint64_t otherwise)
{
	return argc > at ? strtoull(argv[at], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
	struct plan plan = {.known = number_of(argc, argv, 1, 1), .used = number_of(argc, argv, 2, 1),
			    .pairs = number_of(argc, argv, 3, 1000000), .stride = 0x9e3779b1,
			    .levels = (unsigned)number_of(argc, argv, 4, 10),
			    .in_turn = argc > 6 && strcmp(argv[6], "next") == 0};
	uint64_t most = plan.levels < 32 ? 1ull << 2 * plan.levels : UINT64_MAX;
	if (plan.known > most || plan.used > most || plan.used == 0 || plan.levels > 31) {
		fprintf(stderr, "paths: %u levels have %llu paths\n", plan.levels, (unsigned long long)most);
		return 2;
	}
	lie_beneath((unsigned)number_of(argc, argv, 5, 2), &plan);
	if (plan.pairs)
		fprintf(stderr, "%.2f ns/pair\n", plan.seconds * 1e9 / (double)plan.pairs);
	puts("taken");
	return 0;
}
