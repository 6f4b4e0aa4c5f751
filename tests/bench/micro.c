/*
 * micro: one thread, malloc and free of 16..256 bytes at once, DEPTH frames deep: `micro [PAIRS [DEPTH]]`. Prints ns
 * per pair. What a tracker costs at its worst.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

__attribute__((noipa)) static void pairs(size_t n)
{
	uint32_t random = 1;
	for (size_t i = 0; i < n; i++) {
		random = random * 1664525 + 1013904223;
		char *p = malloc(16 + (random >> 16) % 241);
		*(volatile char *)p = 1;
		free(p);
	}
}

__attribute__((noipa)) static void deeper(int left, size_t n)
{
	if (left > 1)
		deeper(left - 1, n);
	else
		pairs(n);
	__asm__ volatile("" ::: "memory");
}

int main(int argc, char **argv)
{
	size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 20000000;
	struct timespec begin, end;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	deeper(argc > 2 ? atoi(argv[2]) : 12, n);
	clock_gettime(CLOCK_MONOTONIC, &end);
	double ns = (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
	fprintf(stderr, "%.2f ns/pair\n", ns / (double)n);
	puts("done");
	return 0;
}
