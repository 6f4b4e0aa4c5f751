/*
 * room: what the suites of the shim's stores share: a segment of their own in a scratch directory, and a seeded
 * generator whose seed is printed when a test fails (MTRACE_TEST_SEED sets it).
 */
#ifndef TESTS_ROOM_H
#define TESTS_ROOM_H

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guard.h"
#include "run.h"
#include "segment.h"

static struct owner_page room_page;
struct owner_page *owner_page = &room_page;

static char room_dir[64];

/* Unlinks the segment once it is mapped: nothing is left behind, whatever happens. */
static inline void room_open(uint64_t cap_bytes)
{
	snprintf(room_dir, sizeof room_dir, "/dev/shm/mtrace-unit.%d", getpid());
	if (mkdir(room_dir, 0700))
		ck_assert_int_eq(access(room_dir, W_OK), 0);
	struct segment_request request = {.dir = room_dir, .cap_bytes = cap_bytes};
	ck_assert_int_eq(segment_create(&request), SEGMENT_OK);
	room_page.generation = 1ull << 32 | 1; /* the first epoch */
	ck_assert_int_eq(unlink(segment.path), 0);
	rmdir(room_dir);
}

static inline uint64_t room_counter(enum mtrace_counter counter)
{
	return atomic_load(&segment.header->counters[counter]);
}

static inline uint64_t room_seed(void)
{
	const char *text = getenv("MTRACE_TEST_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : 20260731;
	printf("seed %llu\n", (unsigned long long)seed);
	return seed;
}

/* xorshift64: good enough to choose operations. */
static inline uint64_t room_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	return *state ^= *state << 17;
}

/* How many rounds of `n` to do: MTRACE_TEST_DIVISOR divides them, where each takes its time. */
static inline uint32_t room_times(uint32_t n)
{
	const char *text = getenv("MTRACE_TEST_DIVISOR");
	uint32_t divisor = text ? (uint32_t)atoi(text) : 1;
	return divisor > 1 ? n / divisor : n;
}

#endif
