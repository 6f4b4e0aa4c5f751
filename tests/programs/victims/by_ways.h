/* by_ways: allocates on another stack for each number: a way left or right for each of its bits. For victims. */
#ifndef BY_WAYS_H
#define BY_WAYS_H

#include <stdint.h>
#include <stdlib.h>

/* A function with a frame of its own, whose calls are no jumps where stay() follows them. */
#define APART __attribute__((noipa, unused))
#define stay() __asm__ volatile("" ::: "memory")

static void *allocate_by(uint32_t ways, int left, size_t bytes);

APART static void *go_left(uint32_t ways, int left, size_t bytes)
{
	void *p = allocate_by(ways, left, bytes);
	stay();
	return p;
}

APART static void *go_right(uint32_t ways, int left, size_t bytes)
{
	void *p = allocate_by(ways, left, bytes);
	stay();
	return p;
}

/* A block of so many bytes; `left` of the bits of `ways` are still to be gone by. NULL as malloc. */
APART static void *allocate_by(uint32_t ways, int left, size_t bytes)
{
	void *p = left == 0 ? malloc(bytes) : ways & 1 ? go_left(ways >> 1, left - 1, bytes) : go_right(ways >> 1, left - 1, bytes);
	stay();
	return p;
}

#endif
