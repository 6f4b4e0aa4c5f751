/*
 * number: whole numbers of any length for cfrac.c, in the manner that makes it a workload: a number is one small block,
 * every operation makes a new one, and whoever holds a number frees it. Not negative; least significant limb first.
 * Limbs are of 16 bits, as they were in such libraries: with wider ones there would be little work left beside malloc's.
 */
#ifndef BENCH_NUMBER_H
#define BENCH_NUMBER_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { LIMB_BITS = 16, LIMB_MOST = 0xffff, LIMBS_OF_SMALL = 64 / LIMB_BITS };

struct number {
	uint32_t limbs; /* without leading zeroes: 0 for zero */
	uint16_t limb[];
};

static inline struct number *number_room(uint32_t limbs)
{
	struct number *n = malloc(sizeof *n + limbs * sizeof n->limb[0]);
	if (!n)
		abort();
	n->limbs = limbs;
	return n;
}

static inline struct number *number_trim(struct number *n)
{
	while (n->limbs && n->limb[n->limbs - 1] == 0)
		n->limbs--;
	return n;
}

static inline struct number *number_of_small(uint64_t value)
{
	struct number *n = number_room(LIMBS_OF_SMALL);
	for (uint32_t i = 0; i < LIMBS_OF_SMALL; i++, value >>= LIMB_BITS)
		n->limb[i] = (uint16_t)value;
	return number_trim(n);
}

static inline struct number *number_copy(const struct number *a)
{
	struct number *n = number_room(a->limbs);
	memcpy(n->limb, a->limb, a->limbs * sizeof a->limb[0]);
	return n;
}

static inline int number_compare(const struct number *a, const struct number *b)
{
	if (a->limbs != b->limbs)
		return a->limbs < b->limbs ? -1 : 1;
	for (uint32_t i = a->limbs; i-- > 0;)
		if (a->limb[i] != b->limb[i])
			return a->limb[i] < b->limb[i] ? -1 : 1;
	return 0;
}

static inline int number_is(const struct number *a, uint32_t value)
{
	return value == 0 ? a->limbs == 0 : a->limbs == 1 && a->limb[0] == value;
}

static inline struct number *number_add(const struct number *a, const struct number *b)
{
	uint32_t most = a->limbs > b->limbs ? a->limbs : b->limbs;
	struct number *n = number_room(most + 1);
	uint32_t carry = 0;
	for (uint32_t i = 0; i <= most; i++) {
		carry += (i < a->limbs ? a->limb[i] : 0u) + (i < b->limbs ? b->limb[i] : 0u);
		n->limb[i] = (uint16_t)carry;
		carry >>= LIMB_BITS;
	}
	return number_trim(n);
}

/* a must not be less than b. */
static inline struct number *number_subtract(const struct number *a, const struct number *b)
{
	struct number *n = number_room(a->limbs);
	int32_t borrow = 0;
	for (uint32_t i = 0; i < a->limbs; i++) {
		borrow += (int32_t)a->limb[i] - (i < b->limbs ? (int32_t)b->limb[i] : 0);
		n->limb[i] = (uint16_t)borrow;
		borrow >>= LIMB_BITS; /* arithmetic: 0 or -1 */
	}
	return number_trim(n);
}

static inline struct number *number_multiply(const struct number *a, const struct number *b)
{
	struct number *n = number_room(a->limbs + b->limbs);
	memset(n->limb, 0, n->limbs * sizeof n->limb[0]);
	for (uint32_t i = 0; i < a->limbs; i++) {
		uint32_t carry = 0;
		for (uint32_t j = 0; j < b->limbs; j++) {
			carry += (uint32_t)a->limb[i] * b->limb[j] + n->limb[i + j];
			n->limb[i + j] = (uint16_t)carry;
			carry >>= LIMB_BITS;
		}
		n->limb[i + b->limbs] = (uint16_t)carry;
	}
	return number_trim(n);
}

/* by: at most LIMB_MOST. */
static inline struct number *number_divide_small(const struct number *a, uint32_t by, uint32_t *rest)
{
	struct number *n = number_room(a->limbs);
	uint32_t left = 0;
	for (uint32_t i = a->limbs; i-- > 0;) {
		left = left << LIMB_BITS | a->limb[i];
		n->limb[i] = (uint16_t)(left / by);
		left %= by;
	}
	*rest = left;
	return number_trim(n);
}

/* v -= digit * by, at its highest by->limbs + 1 limbs; returns the borrow that is left over. */
static inline int32_t number_take_away(uint16_t *v, const uint16_t *by, uint32_t limbs, uint32_t digit)
{
	int32_t borrow = 0;
	uint32_t carry = 0;
	for (uint32_t i = 0; i <= limbs; i++) {
		carry += i < limbs ? digit * by[i] : 0;
		borrow += (int32_t)v[i] - (int32_t)(uint16_t)carry;
		v[i] = (uint16_t)borrow;
		borrow >>= LIMB_BITS;
		carry >>= LIMB_BITS;
	}
	return borrow;
}

/* v += by, there; returns the carry that is left over: it settles the borrow. */
static inline int32_t number_put_back(uint16_t *v, const uint16_t *by, uint32_t limbs)
{
	uint32_t carry = 0;
	for (uint32_t i = 0; i <= limbs; i++) {
		carry += (uint32_t)v[i] + (i < limbs ? by[i] : 0);
		v[i] = (uint16_t)carry;
		carry >>= LIMB_BITS;
	}
	return (int32_t)carry;
}

static inline struct number *number_shift(const struct number *a, unsigned bits)
{
	struct number *n = number_room(a->limbs + 1);
	uint32_t carry = 0;
	for (uint32_t i = 0; i < a->limbs; i++) {
		carry |= (uint32_t)a->limb[i] << bits;
		n->limb[i] = (uint16_t)carry;
		carry >>= LIMB_BITS;
	}
	n->limb[a->limbs] = (uint16_t)carry;
	return n; /* not trimmed: the division wants the limb above */
}

/*
 * Long division: digit by digit, each guessed from the two leading limbs of what is left and corrected when the
 * guess was too large. by must not be zero. Both results are new numbers.
 */
static inline void number_divide(const struct number *a, const struct number *by, struct number **quotient,
				 struct number **rest)
{
	uint32_t small;
	if (by->limbs == 1) {
		*quotient = number_divide_small(a, by->limb[0], &small);
		*rest = number_of_small(small);
		return;
	}
	if (number_compare(a, by) < 0) {
		*quotient = number_of_small(0);
		*rest = number_copy(a);
		return;
	}
	unsigned bits = (unsigned)__builtin_clz(by->limb[by->limbs - 1]) - LIMB_BITS;
	struct number *left = number_shift(a, bits), *divisor = number_trim(number_shift(by, bits));
	uint32_t limbs = divisor->limbs, digits = left->limbs - limbs;
	struct number *q = number_room(digits);
	for (uint32_t i = digits; i-- > 0;) {
		uint32_t top = (uint32_t)left->limb[i + limbs] << LIMB_BITS | left->limb[i + limbs - 1];
		uint32_t digit = top / divisor->limb[limbs - 1];
		if (digit > LIMB_MOST)
			digit = LIMB_MOST;
		int32_t borrow = number_take_away(left->limb + i, divisor->limb, limbs, digit);
		for (; borrow; digit--) /* at most twice: the divisor's top bit is set */
			borrow += number_put_back(left->limb + i, divisor->limb, limbs);
		q->limb[i] = (uint16_t)digit;
	}
	*quotient = number_trim(q);
	struct number *r = number_room(limbs);
	for (uint32_t i = 0; i < limbs; i++)
		r->limb[i] = (uint16_t)(((uint32_t)left->limb[i + 1] << LIMB_BITS | left->limb[i]) >> bits);
	*rest = number_trim(r);
	free(left);
	free(divisor);
}

#endif
