/*
 * splitlist: a growable lock-free set over append-only segment elements: a split-ordered list (Shalev and Shavit,
 * "Split-Ordered Lists: Lock-Free Extensible Hash Tables", 2003), without deletion. Used by stacks for frames and
 * for nodes.
 *
 * All elements hang in one list ordered by the bit-reversed hash; a bucket is a shortcut to the sentinel element at
 * which its part begins, so doubling the number of buckets moves nothing.
 *
 * Invariants
 *   S1 the list is sorted by `order` (sentinels even, elements odd); a link changes only by compare-and-swap from one
 *      id to a newly filled element with an order in between, and never back.
 *   S2 an element's bytes are written before the release CAS that links it (pairs: the acquire load of the link).
 *   S3 a bucket word is 0 or the id of a linked sentinel.
 * After kill -9: S1 to S3 hold at every instant; an element that was filled but not linked is unreachable.
 *
 *   op x op       lookup   insert
 *   lookup          ok       ok     (a lookup sees the element, or ends as if it came before it)
 *   insert          ok       ok     (the loser of a race finds the winner's element; its own is left unlinked)
 */
#ifndef MTRACE_SPLITLIST_H
#define MTRACE_SPLITLIST_H

#include <stdatomic.h>
#include <stdint.h>

#include "hash.h"
#include "segment.h"

struct splitlist {
	enum mtrace_region_id elements, buckets;
	uint32_t element_bytes;
	uint32_t first_sentinel;          /* id of bucket 0's sentinel */
	_Atomic uint32_t bucket_count;    /* power of two, only grows */
	_Atomic uint32_t element_count;   /* linked elements, sentinels not counted */
	_Atomic uint32_t *(*link)(uint32_t id);
	uint32_t (*order)(uint32_t id);   /* of a filled element or sentinel */
	void (*make_sentinel)(uint32_t id, uint32_t bucket);
};

/* A walk takes a few steps, thousands at most where buckets could not grow; one of this many goes round in a circle that
   somebody else wrote. */
enum { SPLITLIST_FIRST_BUCKETS = 1024, SPLITLIST_LOAD = 2, SPLITLIST_STEPS = 1 << 17 };

static inline uint32_t splitlist_order(uint32_t hash)
{
	return hash_reverse_bits(hash) | 1;
}

static inline uint32_t splitlist_sentinel_order(uint32_t bucket)
{
	return hash_reverse_bits(bucket);
}

static inline _Atomic uint32_t *splitlist_bucket(const struct splitlist *l, uint32_t bucket)
{
	return (_Atomic uint32_t *)(void *)segment.base[l->buckets] + bucket;
}

/* Links `id` (order `order`) behind `from`. Returns `id`, or the id of an equal sentinel that was there before. */
static inline uint32_t splitlist_link_sentinel(struct splitlist *l, uint32_t from, uint32_t id, uint32_t order)
{
	for (uint32_t steps = 0; steps < SPLITLIST_STEPS; steps++) {
		_Atomic uint32_t *link = l->link(from);
		uint32_t next = atomic_load_explicit(link, memory_order_acquire); /* pairs: S2 */
		if (next && !segment_id_ok(l->elements, next, l->element_bytes))
			return from;
		uint32_t next_order = next ? l->order(next) : 0;
		if (next && next_order == order)
			return next;
		if (next && next_order < order) {
			from = next;
			continue;
		}
		atomic_store_explicit(l->link(id), next, memory_order_relaxed);
		if (atomic_compare_exchange_strong_explicit(link, &next, id, memory_order_release, memory_order_relaxed))
			return id;
	}
	(void)segment_damaged();
	return from;
}

/* The nearest bucket that has a sentinel: the bucket without its highest bits. Bucket 0 always has one. */
static inline uint32_t splitlist_ancestor(struct splitlist *l, uint32_t bucket)
{
	while (bucket) {
		bucket &= ~(0x80000000u >> __builtin_clz(bucket));
		uint32_t sentinel = atomic_load_explicit(splitlist_bucket(l, bucket), memory_order_acquire); /* pairs: S3 */
		if (sentinel && segment_id_ok(l->elements, sentinel, l->element_bytes))
			return sentinel;
	}
	return l->first_sentinel;
}

/* The sentinel of a bucket that had none; without room for one, an ancestor's: slower, and as right. */
static __attribute__((cold, noinline, unused)) uint32_t splitlist_open_bucket(struct splitlist *l, uint32_t bucket)
{
	uint32_t from = splitlist_ancestor(l, bucket);
	uint64_t id = segment_reserve(l->elements, 1);
	if (id > UINT32_MAX)
		return from;
	l->make_sentinel((uint32_t)id, bucket);
	uint32_t sentinel = splitlist_link_sentinel(l, from, (uint32_t)id, splitlist_sentinel_order(bucket));
	atomic_store_explicit(splitlist_bucket(l, bucket), sentinel, memory_order_release); /* pairs: S3 */
	return sentinel;
}

static inline uint32_t splitlist_start(struct splitlist *l, uint32_t hash)
{
	uint32_t bucket = hash & (atomic_load_explicit(&l->bucket_count, memory_order_acquire) - 1); /* pairs: grow */
	uint32_t sentinel = atomic_load_explicit(splitlist_bucket(l, bucket), memory_order_acquire);
	if (unlikely(!sentinel))
		return splitlist_open_bucket(l, bucket);
	return segment_id_ok(l->elements, sentinel, l->element_bytes) ? sentinel : l->first_sentinel;
}

/* Counts an element that was linked, and doubles the buckets when the list has grown; a failure leaves longer walks.
   Returns how many there are. */
static inline uint32_t splitlist_grow(struct splitlist *l)
{
	uint32_t count = atomic_fetch_add_explicit(&l->element_count, 1, memory_order_relaxed) + 1;
	uint32_t buckets = atomic_load_explicit(&l->bucket_count, memory_order_relaxed);
	/* release: the bucket words are committed (zero) before anybody indexes them */
	if (unlikely(count / SPLITLIST_LOAD >= buckets) && segment_ensure(l->buckets, (uint64_t)buckets * 2 * sizeof(uint32_t)))
		atomic_compare_exchange_strong_explicit(&l->bucket_count, &buckets, buckets * 2, memory_order_release,
							memory_order_relaxed);
	return count;
}

/* Makes the empty list. false: no room for even that. */
static inline bool splitlist_init(struct splitlist *l)
{
	uint64_t id = segment_reserve(l->elements, 1);
	if (id > UINT32_MAX || !segment_ensure(l->buckets, SPLITLIST_FIRST_BUCKETS * sizeof(uint32_t)))
		return false;
	l->make_sentinel((uint32_t)id, 0);
	l->first_sentinel = (uint32_t)id;
	atomic_store_explicit(&l->element_count, 0, memory_order_relaxed);
	atomic_store_explicit(&l->bucket_count, SPLITLIST_FIRST_BUCKETS, memory_order_relaxed);
	atomic_store_explicit(splitlist_bucket(l, 0), l->first_sentinel, memory_order_release);
	return true;
}

#endif
