/*
 * bytes: reading DWARF's little numbers out of a bounded piece of memory. Used by cfi and expression.
 *
 * A read past the end yields 0 and sets `broken`, once and for all: callers check it where they decide, not at
 * every read. Never reads outside [at, end), whatever the bytes say.
 */
#ifndef MTRACE_UNWIND_BYTES_H
#define MTRACE_UNWIND_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	const uint8_t *at;
	const uint8_t *end;
	bool broken;
};

static inline struct bytes bytes_of(uintptr_t low, uintptr_t high)
{
	return (struct bytes){ (const uint8_t *)low, (const uint8_t *)(high < low ? low : high), false };
}

static inline uintptr_t bytes_left(const struct bytes *b)
{
	return b->broken ? 0 : (uintptr_t)(b->end - b->at);
}

static inline uint64_t bytes_unsigned(struct bytes *b, unsigned size)
{
	uint64_t value = 0;
	if (bytes_left(b) < size) {
		b->broken = true;
		return 0;
	}
	memcpy(&value, b->at, size); /* little-endian hosts only, as both architectures are */
	b->at += size;
	return value;
}

static inline int64_t bytes_signed(struct bytes *b, unsigned size)
{
	unsigned shift = 64 - 8 * size;
	return (int64_t)(bytes_unsigned(b, size) << shift) >> shift;
}

static inline uint8_t bytes_u8(struct bytes *b)
{
	return (uint8_t)bytes_unsigned(b, 1);
}

/* At most 10 bytes count; a longer number is broken. */
static inline uint64_t bytes_uleb(struct bytes *b)
{
	uint64_t value = 0;
	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t byte = bytes_u8(b);
		value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
		if (!(byte & 0x80))
			return value;
	}
	b->broken = true;
	return 0;
}

static inline int64_t bytes_sleb(struct bytes *b)
{
	uint64_t value = 0;
	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t byte = bytes_u8(b);
		value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
		if (!(byte & 0x80))
			return (int64_t)(shift + 7 < 64 && (byte & 0x40) ? value | (~(uint64_t)0 << (shift + 7)) : value);
	}
	b->broken = true;
	return 0;
}

/* Skips `size` bytes and returns what was skipped as a piece of its own. */
static inline struct bytes bytes_take(struct bytes *b, uint64_t size)
{
	struct bytes piece = { b->at, b->at, true };
	if (bytes_left(b) < size) {
		b->broken = true;
		return piece;
	}
	piece.end = b->at + size;
	piece.broken = false;
	b->at += size;
	return piece;
}

#endif
