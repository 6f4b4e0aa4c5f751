/*
 * hash: mixing of 64-bit keys. Pure, branch-free, a few cycles.
 */
#ifndef MTRACE_HASH_H
#define MTRACE_HASH_H

#include <stdint.h>

/* Two rounds of multiply and fold (the finalizer shape of murmur3 and splitmix64): every input bit reaches the low
   bits, which is what tables index by. */
static inline uint64_t hash_mix(uint64_t key)
{
	key ^= key >> 32;
	key *= 0x9e3779b97f4a7c15u;
	key ^= key >> 29;
	key *= 0xbf58476d1ce4e5b9u;
	return key ^ key >> 32;
}

static inline uint32_t hash_reverse_bits(uint32_t v)
{
	v = __builtin_bswap32(v);
	v = (v & 0x0f0f0f0fu) << 4 | (v >> 4 & 0x0f0f0f0fu);
	v = (v & 0x33333333u) << 2 | (v >> 2 & 0x33333333u);
	return (v & 0x55555555u) << 1 | (v >> 1 & 0x55555555u);
}

#endif
