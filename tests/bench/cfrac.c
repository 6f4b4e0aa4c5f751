/*
 * cfrac: factors products of two primes by continued fractions (Morrison and Brillhart, 1975) on small numbers that are
 * a block each (number.h): `cfrac [COUNT [BITS]]`. A program of tiny, short-lived blocks, with some 60 ns of its own work
 * to each malloc and free, about what its namesake in allocator benchmarks has.
 *
 * The convergents A/B of sqrt(N) give A^2 = +-Q (mod N) with Q below 2 sqrt(N). Those Q that are products of the primes
 * of a factor base are kept, a set of them whose product is a square is found by elimination over GF(2), and
 * gcd(X - Y, N) splits N when X^2 = Y^2. Prints each N and its factors, checked against the primes it was made from.
 */
#include "number.h"
#include <stdio.h>
#include <time.h>

enum { BASE = 120, SPARE = 12, RELATIONS = BASE + SPARE, WORDS = (RELATIONS + 63) / 64, TRIAL_MOST = 4000 };

struct relation {
	struct number *a;
	uint8_t exponent[BASE + 1]; /* of the sign, then of each prime of the base */
	uint64_t from[WORDS];	    /* the relations whose product this row is, while eliminating */
	uint8_t odd[BASE + 1];
};

struct factoring {
	const struct number *n;
	uint32_t prime[BASE + 1]; /* from 1 on */
	uint32_t primes;
	struct relation relation[RELATIONS];
	uint32_t relations;
};

/* ---- primes: of the base, and the two that N is made from ---- */

static uint64_t power_modulo(uint64_t base, uint64_t exponent, uint64_t modulus)
{
	uint64_t result = 1;
	for (base %= modulus; exponent; exponent >>= 1) {
		if (exponent & 1)
			result = (uint64_t)((unsigned __int128)result * base % modulus);
		base = (uint64_t)((unsigned __int128)base * base % modulus);
	}
	return result;
}

/* Miller's test; these witnesses decide for all numbers of 64 bits. */
static int is_prime(uint64_t n)
{
	static const uint64_t witnesses[] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37};
	for (size_t i = 0; i < sizeof witnesses / sizeof *witnesses; i++)
		if (n % witnesses[i] == 0)
			return n == witnesses[i];
	int twos = __builtin_ctzll(n - 1);
	for (size_t i = 0; i < sizeof witnesses / sizeof *witnesses; i++) {
		uint64_t x = power_modulo(witnesses[i], (n - 1) >> twos, n);
		int composite = x != 1 && x != n - 1;
		for (int k = 1; k < twos && composite; k++) {
			x = (uint64_t)((unsigned __int128)x * x % n);
			composite = x != n - 1;
		}
		if (composite)
			return 0;
	}
	return n > 1;
}

static uint64_t random_prime(uint64_t *state, unsigned bits)
{
	for (;;) {
		*state = *state * 6364136223846793005ull + 1442695040888963407ull;
		uint64_t n = *state >> (64 - bits) | 1ull << (bits - 1) | 1;
		if (is_prime(n))
			return n;
	}
}

static uint32_t rest_of(const struct number *a, uint32_t by)
{
	uint32_t left = 0;
	for (uint32_t i = a->limbs; i-- > 0;)
		left = (left << LIMB_BITS | a->limb[i]) % by;
	return left;
}

/* Only primes of which N is a square can divide a Q. */
static void choose_base(struct factoring *f)
{
	f->prime[++f->primes] = 2;
	for (uint32_t p = 3; f->primes < BASE && p < TRIAL_MOST; p += 2)
		if (is_prime(p) && power_modulo(rest_of(f->n, p), (p - 1) / 2, p) == 1)
			f->prime[++f->primes] = p;
}

/* ---- numbers: what only this program needs ---- */

static struct number *quotient_of(const struct number *a, const struct number *by)
{
	struct number *quotient, *rest;
	number_divide(a, by, &quotient, &rest);
	free(rest);
	return quotient;
}

static struct number *modulo(struct number *a, const struct number *by)
{
	struct number *quotient, *rest;
	number_divide(a, by, &quotient, &rest);
	free(quotient);
	free(a);
	return rest;
}

static struct number *multiply_modulo(const struct number *a, const struct number *b, const struct number *by)
{
	return modulo(number_multiply(a, b), by);
}

static struct number *greatest_divisor(const struct number *x, const struct number *y)
{
	struct number *a = number_copy(x), *b = number_copy(y);
	while (!number_is(b, 0)) {
		struct number *rest = modulo(a, b);
		a = b;
		b = rest;
	}
	free(b);
	return a;
}

/* Newton's, from above: falls until it would rise. */
static struct number *root_of(const struct number *n)
{
	struct number *x = number_copy(n);
	for (;;) {
		struct number *q = quotient_of(n, x), *sum = number_add(x, q);
		uint32_t odd;
		struct number *next = number_divide_small(sum, 2, &odd);
		free(q);
		free(sum);
		if (number_compare(next, x) >= 0) {
			free(next);
			return x;
		}
		free(x);
		x = next;
	}
}

/* ---- relations ---- */

/* Takes the primes of the base out of q: only a prime that divides makes a new number. */
static int splits(const struct factoring *f, const struct number *q, uint8_t exponent[])
{
	struct number *left = number_copy(q);
	for (uint32_t i = 1; i <= f->primes && !number_is(left, 1); i++)
		while (rest_of(left, f->prime[i]) == 0 && exponent[i] < UINT8_MAX) {
			uint32_t rest;
			struct number *quotient = number_divide_small(left, f->prime[i], &rest);
			exponent[i]++;
			free(left);
			left = quotient;
		}
	int whole = number_is(left, 1);
	free(left);
	return whole;
}

static void note_relation(struct factoring *f, const struct number *a, const struct number *q, int negative)
{
	struct relation *r = &f->relation[f->relations];
	memset(r, 0, sizeof *r);
	if (!splits(f, q, r->exponent))
		return;
	r->exponent[0] = (uint8_t)negative;
	r->a = number_copy(a);
	f->relations++;
}

/* The expansion of sqrt(N): P, Q and the convergent's numerator A (mod N), one step at a time. */
struct expansion {
	struct number *root, *p, *q, *a, *a_before;
};

static void begin_expansion(struct expansion *e, const struct number *n)
{
	*e = (struct expansion){.root = root_of(n), .p = number_of_small(0), .q = number_of_small(1),
				.a = number_of_small(1), .a_before = number_of_small(0)};
}

static void step(struct expansion *e, const struct number *n)
{
	struct number *sum = number_add(e->root, e->p), *term = quotient_of(sum, e->q);
	struct number *product = number_multiply(term, e->q), *p = number_subtract(product, e->p);
	struct number *square = number_multiply(p, p), *left = number_subtract(n, square), *q = quotient_of(left, e->q);
	struct number *scaled = number_multiply(term, e->a), *a_sum = number_add(scaled, e->a_before);
	struct number *gone[] = {sum, term, product, square, left, scaled, e->p, e->q, e->a_before};
	e->a_before = e->a;
	e->a = modulo(a_sum, n);
	e->p = p;
	e->q = q;
	for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
		free(gone[i]);
}

static void end_expansion(struct expansion *e)
{
	struct number *gone[] = {e->root, e->p, e->q, e->a, e->a_before};
	for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
		free(gone[i]);
}

/* Stops early where the expansion's period ends (Q is 1 again): what is there has to do. */
static void find_relations(struct factoring *f)
{
	struct expansion e;
	begin_expansion(&e, f->n);
	for (int negative = 1; f->relations < f->primes + SPARE; negative = !negative) {
		step(&e, f->n);
		if (number_is(e.q, 1))
			break;
		note_relation(f, e.a, e.q, negative);
	}
	end_expansion(&e);
}

/* ---- the square ---- */

/* X^2 = Y^2 for the relations in the set; the factor, or NULL when it is 1 or N. */
static struct number *try_set(const struct factoring *f, const uint64_t set[])
{
	struct number *x = number_of_small(1), *y = number_of_small(1), *found = NULL;
	uint32_t total[BASE + 1] = {0};
	for (uint32_t i = 0; i < f->relations; i++)
		if (set[i / 64] >> (i % 64) & 1) {
			struct number *next = multiply_modulo(x, f->relation[i].a, f->n);
			free(x);
			x = next;
			for (uint32_t k = 0; k <= f->primes; k++)
				total[k] += f->relation[i].exponent[k];
		}
	for (uint32_t k = 1; k <= f->primes; k++)
		for (uint32_t times = total[k] / 2; times > 0; times--) {
			struct number *prime = number_of_small(f->prime[k]), *next = multiply_modulo(y, prime, f->n);
			free(prime);
			free(y);
			y = next;
		}
	int order = number_compare(x, y);
	if (order != 0) {
		struct number *difference = order > 0 ? number_subtract(x, y) : number_subtract(y, x);
		found = greatest_divisor(difference, f->n);
		free(difference);
		if (number_is(found, 1) || number_compare(found, f->n) == 0) {
			free(found);
			found = NULL;
		}
	}
	free(x);
	free(y);
	return found;
}

static void add_row(struct relation *to, const struct relation *other)
{
	for (uint32_t k = 0; k <= BASE; k++)
		to->odd[k] ^= other->odd[k];
	for (uint32_t w = 0; w < WORDS; w++)
		to->from[w] ^= other->from[w];
}

static struct number *combine(struct factoring *f)
{
	for (uint32_t i = 0; i < f->relations; i++) {
		f->relation[i].from[i / 64] |= 1ull << (i % 64);
		for (uint32_t k = 0; k <= f->primes; k++)
			f->relation[i].odd[k] = f->relation[i].exponent[k] & 1;
	}
	uint8_t is_pivot[RELATIONS] = {0};
	for (uint32_t k = 0; k <= f->primes; k++) {
		uint32_t pivot = 0;
		while (pivot < f->relations && (is_pivot[pivot] || !f->relation[pivot].odd[k]))
			pivot++;
		if (pivot == f->relations)
			continue;
		is_pivot[pivot] = 1;
		for (uint32_t i = 0; i < f->relations; i++)
			if (i != pivot && f->relation[i].odd[k])
				add_row(&f->relation[i], &f->relation[pivot]);
	}
	struct number *found = NULL;
	for (uint32_t i = 0; i < f->relations && !found; i++)
		if (!is_pivot[i])
			found = try_set(f, f->relation[i].from);
	return found;
}

static struct number *factor(const struct number *n)
{
	static struct factoring f;
	f = (struct factoring){.n = n};
	choose_base(&f);
	find_relations(&f);
	struct number *found = combine(&f);
	for (uint32_t i = 0; i < f.relations; i++)
		free(f.relation[i].a);
	return found;
}

int main(int argc, char **argv)
{
	unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 8;
	unsigned bits = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 84;
	uint64_t random = 1, split = 0;
	if (bits < 40 || bits > 120)
		return 2;
	for (unsigned long i = 0; i < count; i++) {
		uint64_t p = random_prime(&random, bits / 2), q = random_prime(&random, bits / 2);
		struct number *a = number_of_small(p), *b = number_of_small(q), *n = number_multiply(a, b), *found = factor(n);
		int right = found && (number_compare(found, a) == 0 || number_compare(found, b) == 0);
		if (found && !right) {
			fprintf(stderr, "cfrac: a wrong factor of %llu * %llu\n", (unsigned long long)p, (unsigned long long)q);
			return 1;
		}
		split += (uint64_t)right;
		printf("%llu * %llu%s\n", (unsigned long long)p, (unsigned long long)q, right ? "" : ": not split");
		free(a);
		free(b);
		free(n);
		free(found);
	}
	return split > 0 || count == 0 ? 0 : 1;
}
