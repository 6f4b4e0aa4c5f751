/*
 * pool: the memory of a profile. Arrays and strings live until profile_free; nothing is given back before. Strings
 * are interned (a profile names the same function thousands of times) and made valid UTF-8, since JSON must be.
 *
 * Bound: what its callers ask for; exhaustion ends the program with one line.
 *
 * POOL_APART (builds under sanitizers): everything is an allocation of its own and of its very size, so that who reads or
 * writes beyond it is seen; in a chunk it would only meet a neighbour.
 */
#include "model/pool.h"

#include <stdlib.h>
#include <string.h>

#include "die.h"

#define CHUNK_BYTES (256u << 10)
#ifndef POOL_APART
#define POOL_APART 0
#endif

struct chunk {
	struct chunk *next;
	max_align_t bytes[];
};

struct profile_pool {
	struct chunk *chunks;
	unsigned char *free_start;
	size_t free_bytes;
	const char **strings; /* open addressing, power of two */
	size_t string_slots, string_count;
};

static void *must(void *p)
{
	if (!p)
		die(2, "out of memory; this machine has too little for the profile asked for");
	return p;
}

struct profile_pool *pool_new(void)
{
	return must(calloc(1, sizeof(struct profile_pool)));
}

void pool_free(struct profile_pool *pool)
{
	while (pool->chunks) {
		struct chunk *next = pool->chunks->next;
		free(pool->chunks);
		pool->chunks = next;
	}
	free(pool->strings);
	free(pool);
}

static void *add_chunk(struct profile_pool *pool, size_t bytes)
{
	struct chunk *chunk = must(calloc(1, sizeof *chunk + bytes));
	chunk->next = pool->chunks;
	pool->chunks = chunk;
	return chunk->bytes;
}

void *pool_alloc(struct profile_pool *pool, size_t count, size_t bytes)
{
	if (bytes != 0 && count > (SIZE_MAX / 2) / bytes)
		die(2, "a profile of this size cannot be held in memory");
	if (POOL_APART)
		return add_chunk(pool, count * bytes);
	size_t need = (count * bytes + 15) & ~(size_t)15;
	need = need ? need : 16; /* never NULL, even for nothing */
	if (need >= CHUNK_BYTES / 4)
		return add_chunk(pool, need);
	if (need > pool->free_bytes) {
		pool->free_start = add_chunk(pool, CHUNK_BYTES);
		pool->free_bytes = CHUNK_BYTES;
	}
	void *p = pool->free_start;
	pool->free_start += need;
	pool->free_bytes -= need;
	return p;
}

/* ---- strings ---- */

/* Length of the well-formed UTF-8 sequence at s (n bytes left), 0 when there is none. */
static size_t sequence(const unsigned char *s, size_t n)
{
	if (s[0] < 0x80)
		return 1;
	size_t need = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc2 || s[0] > 0xf4 || need > n)
		return 0;
	for (size_t i = 1; i < need; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
	bool not_a_character = (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f);
	return overlong || not_a_character ? 0 : need;
}

static bool is_utf8(const char *s, size_t n)
{
	for (size_t i = 0, step; i < n; i += step) {
		step = sequence((const unsigned char *)s + i, n - i);
		if (step == 0)
			return false;
	}
	return true;
}

/* Bytes that are not UTF-8 become U+FFFD. Result is malloc'd. */
static char *repaired(const char *s, size_t n, size_t *length)
{
	char *out = must(malloc(3 * n + 1)), *o = out;
	for (size_t i = 0; i < n;) {
		size_t step = sequence((const unsigned char *)s + i, n - i);
		memcpy(o, step ? s + i : "\xef\xbf\xbd", step ? step : 3);
		o += step ? step : 3;
		i += step ? step : 1;
	}
	*o = '\0';
	*length = (size_t)(o - out);
	return out;
}

static uint64_t hash_bytes(const char *s, size_t n)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)s[i]) * 0x100000001b3u;
	return h ^ h >> 32;
}

static void grow_strings(struct profile_pool *pool)
{
	size_t slots = pool->string_slots ? pool->string_slots * 2 : 256;
	const char **table = must(calloc(slots, sizeof *table));
	for (size_t i = 0; i < pool->string_slots; i++) {
		const char *s = pool->strings[i];
		if (!s)
			continue;
		size_t at = hash_bytes(s, strlen(s)) & (slots - 1);
		while (table[at])
			at = (at + 1) & (slots - 1);
		table[at] = s;
	}
	free(pool->strings);
	pool->strings = table;
	pool->string_slots = slots;
}

static const char *intern(struct profile_pool *pool, const char *s, size_t n)
{
	if (pool->string_count * 2 >= pool->string_slots)
		grow_strings(pool);
	size_t at = hash_bytes(s, n) & (pool->string_slots - 1);
	for (; pool->strings[at]; at = (at + 1) & (pool->string_slots - 1))
		if (strncmp(pool->strings[at], s, n) == 0 && pool->strings[at][n] == '\0')
			return pool->strings[at];
	char *copy = pool_alloc(pool, n + 1, 1);
	memcpy(copy, s, n);
	pool->strings[at] = copy;
	pool->string_count++;
	return copy;
}

const char *pool_string(struct profile_pool *pool, const char *s, size_t n)
{
	n = strnlen(s, n);
	if (is_utf8(s, n))
		return intern(pool, s, n);
	char *good = repaired(s, n, &n);
	const char *result = intern(pool, good, n);
	free(good);
	return result;
}
