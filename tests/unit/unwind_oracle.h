/*
 * unwind_oracle: our walk against libunwind's and the memo's, from the same start, frame by frame. For the unwinder's
 * suites.
 *
 * oracle_compare() walks from its caller by all three and counts; callable in any thread and in signal handlers. What
 * differed first is kept and printed by oracle_expect(). Static: each suite has its own copy.
 */
#ifndef UNWIND_ORACLE_H
#define UNWIND_ORACLE_H

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plat.h"
#include "../lib/ways.h"
#include "unwind/memo.h"
#include "unwind/unwind.h"

struct oracle_walk {
	size_t count;
	enum unwind_end end;
	struct unwind_frame frames[UNWIND_MAX_DEPTH];
};

struct oracle_pair {
	struct oracle_walk ours;
	struct oracle_walk memo;
	struct oracle_walk theirs;
};

static __thread struct unwind_bounds oracle_bounds;
static __thread struct oracle_pair oracle_now;
static __thread struct unwind_start oracle_started; /* of the last comparison */
static _Atomic unsigned long oracle_recalled, oracle_routed, oracle_recall_different;
static __thread struct ways *oracle_ways;
static __thread struct memo *oracle_memo; /* the test process ends before it matters that it stays */
static struct oracle_pair oracle_first_difference;
static _Atomic unsigned long oracle_compared, oracle_different, oracle_excused, oracle_by_memo,
	oracle_memo_different;
static size_t oracle_keep = UNWIND_MAX_DEPTH;

static void oracle_thread(void)
{
	pthread_attr_t attr;
	void *low;
	size_t bytes;
	pthread_getattr_np(pthread_self(), &attr);
	pthread_attr_getstack(&attr, &low, &bytes);
	pthread_attr_destroy(&attr);
	oracle_bounds.low = (uintptr_t)low;
	oracle_bounds.high = (uintptr_t)low + bytes;
	if (!oracle_memo) {
		oracle_memo = calloc(1, sizeof *oracle_memo);
		oracle_ways = calloc(1, sizeof *oracle_ways);
	}
}

/* The memo's frames are outermost first. false: it declines such walks. */
static bool oracle_walk_memo(const struct unwind_start *start, struct oracle_walk *w)
{
	struct memo *m = oracle_memo;
	if (memo_walk(m, start, &oracle_bounds) == MEMO_CANNOT)
		return false;
	w->count = m->count;
	w->end = (enum unwind_end)m->end;
	for (size_t i = 0; i < w->count; i++) {
		const struct memo_frame *f = &m->frames[m->count - 1 - i];
		w->frames[i] = (struct unwind_frame){ memo_pc(f), f->tag, (f->flags & MEMO_EXACT) != 0 };
	}
	return true;
}

static void oracle_setup(void)
{
	plat_objects_init();
	ck_assert(unwind_init());
	ck_assert_msg(unwind_libunwind_init(), "libunwind.so.8 is not installed: it is these tests' oracle");
	oracle_thread();
}

/* libunwind does not tell apart why a walk was cut. */
static int oracle_is_cut(enum unwind_end end)
{
	return end != UNWIND_WHOLE && end != UNWIND_TOO_DEEP;
}

static int oracle_same(const struct oracle_walk *a, const struct oracle_walk *b)
{
	if (a->count != b->count || (a->end != b->end && !(oracle_is_cut(a->end) && oracle_is_cut(b->end))))
		return 0;
	for (size_t i = 0; i < a->count; i++) {
		if (a->frames[i].pc != b->frames[i].pc || a->frames[i].exact != b->frames[i].exact)
			return 0;
	}
	return 1;
}

/* gcc 12 writes no rule for the `pop %rbp` that ends a realigned function: at the two instructions after it, the tables
   say that rbp is saved where the caller's rbp points. There is no truth to compare with, and libunwind 1.6
   can crash on it. */
static int oracle_has_no_truth(const struct oracle_walk *w)
{
	static const unsigned char leave[] = { 0x5d, 0x49, 0x8d, 0x62, 0xf8, 0xc3 }; /* pop %rbp; lea -8(%r10), %rsp; ret */
	for (size_t i = 0; i < w->count; i++) {
		const unsigned char *pc = (const unsigned char *)w->frames[i].pc;
		if (w->frames[i].exact && w->frames[i].pc > 65536 &&
		    (memcmp(pc - 1, leave, sizeof leave) == 0 || memcmp(pc - 5, leave, sizeof leave) == 0))
			return 1;
	}
	return 0;
}

static void oracle_print(const struct oracle_pair *p)
{
	size_t rows = p->ours.count > p->theirs.count ? p->ours.count : p->theirs.count;
	printf("ours: %zu frames, end %d; libunwind: %zu frames, end %d\n", p->ours.count, p->ours.end, p->theirs.count,
	       p->theirs.end);
	for (size_t i = 0; i < rows && i < 60; i++) {
		const struct unwind_frame *a = &p->ours.frames[i], *b = &p->theirs.frames[i];
		printf("  %3zu  %#14lx%s  %#14lx%s\n", i, i < p->ours.count ? (unsigned long)a->pc : 0, a->exact ? "*" : " ",
		       i < p->theirs.count ? (unsigned long)b->pc : 0, b->exact ? "*" : " ");
	}
	fflush(stdout);
}

/* The state of whoever calls the function this stands in, as a hook takes it. */
#define ORACLE_START()                                                                                          \
	((struct unwind_start){ (uintptr_t)__builtin_return_address(0), (uintptr_t)__builtin_frame_address(0) + 16, \
	                        *(uintptr_t *)__builtin_frame_address(0) })

static __attribute__((noinline, unused)) void oracle_compare(void)
{
	struct unwind_start start = ORACLE_START();
	struct oracle_pair *p = &oracle_now;
	oracle_started = start;
	bool by_memo = oracle_walk_memo(&start, &p->memo);
	p->ours.count = unwind_walk(&start, &oracle_bounds, p->ours.frames, oracle_keep, &p->ours.end);
	atomic_fetch_add(&oracle_by_memo, by_memo);
	if (by_memo && (p->memo.end != p->ours.end || !oracle_same(&p->memo, &p->ours)))
		atomic_fetch_add(&oracle_memo_different, 1);
	uint32_t way = ways_recall(oracle_ways, &start, &oracle_bounds, ways_sum(p->ours.frames, p->ours.count, p->ours.end));
	atomic_fetch_add(&oracle_recalled, (way & WAYS_FOUND) != 0);
	atomic_fetch_add(&oracle_routed, (way & WAYS_FOUND_ROUTE) != 0);
	atomic_fetch_add(&oracle_recall_different, (way & WAYS_WRONG) != 0);
	if (oracle_has_no_truth(&p->ours)) {
		atomic_fetch_add(&oracle_excused, 1);
		return;
	}
	p->theirs.count = unwind_libunwind_walk(&start, &oracle_bounds, p->theirs.frames, oracle_keep, &p->theirs.end);
	atomic_fetch_add(&oracle_compared, 1);
	if (!oracle_same(&p->ours, &p->theirs) && atomic_fetch_add(&oracle_different, 1) == 0)
		oracle_first_difference = *p;
	__asm__ volatile("" ::: "memory"); /* no tail call above: the start must stay our caller */
}

/* All comparisons so far agreed, and there were at least that many. */
static __attribute__((unused)) void oracle_expect(unsigned long at_least)
{
	if (oracle_different)
		oracle_print(&oracle_first_difference);
	ck_assert_uint_eq(oracle_different, 0);
	ck_assert_uint_eq(oracle_memo_different, 0);
	ck_assert_uint_eq(oracle_recall_different, 0);
	ck_assert_uint_ge(oracle_compared, at_least);
}

/* The last walk of this thread reached the outermost frame and has at least that many frames. */
static __attribute__((unused)) void oracle_expect_whole(size_t at_least)
{
	if (oracle_now.ours.end != UNWIND_WHOLE)
		oracle_print(&oracle_now);
	ck_assert_int_eq(oracle_now.ours.end, UNWIND_WHOLE);
	ck_assert_uint_ge(oracle_now.ours.count, at_least);
}

#endif
