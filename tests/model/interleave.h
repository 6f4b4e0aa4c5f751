/*
 * interleave: runs a few threads of the shim's own code in every order of their atomic operations: each of these is a step,
 * at which another thread may go on, or this one be killed. All orders with so many preemptions and kills are run, one after
 * the other, always the same ones.
 *
 * Included before all else, also before the room under test, whose atomic operations it takes the place of. The threads are
 * coroutines of one, so an operation is what it says, and memory is sequentially consistent: what is found is a protocol
 * that is wrong whatever the orders of its operations are worth. That they are worth enough is not looked at here: TSan
 * does (tests/tsan), and the tables at the structures say what each pairs with.
 */
#ifndef TESTS_INTERLEAVE_H
#define TESTS_INTERLEAVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

void interleave_step(void);

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak_explicit
#undef atomic_thread_fence
#define interleave_type(at) __typeof__((void)0, *(at))
#define interleave_word(at) (*(interleave_type(at) *)(uintptr_t)(at))
#define atomic_load_explicit(at, order) (interleave_step(), interleave_word(at))
#define atomic_store_explicit(at, value, order)                                    \
	({                                                                         \
		interleave_type(at) to_store_ = (value);                           \
		interleave_step();                                                 \
		interleave_word(at) = to_store_;                                   \
	})
#define interleave_change(at, value)                                               \
	({                                                                         \
		__auto_type at_ = (at);                                            \
		interleave_type(at_) new_ = (value);                               \
		interleave_step();                                                 \
		interleave_type(at_) old_ = interleave_word(at_);                  \
		interleave_word(at_) = new_;                                       \
		old_;                                                              \
	})
#define interleave_calculate(at, value, operator)                                  \
	({                                                                         \
		__auto_type at_ = (at);                                            \
		interleave_type(at_) with_ = (value);                              \
		interleave_step();                                                 \
		interleave_type(at_) old_ = interleave_word(at_);                  \
		interleave_word(at_) = old_ operator with_;                        \
		old_;                                                              \
	})
#define atomic_exchange_explicit(at, value, order) interleave_change(at, value)
#define atomic_fetch_add_explicit(at, value, order) interleave_calculate(at, value, +)
#define atomic_fetch_sub_explicit(at, value, order) interleave_calculate(at, value, -)
#define atomic_fetch_or_explicit(at, value, order) interleave_calculate(at, value, |)
#define atomic_compare_exchange_strong_explicit(at, expected, value, order, failed) \
	({                                                                         \
		__auto_type at_ = (at);                                            \
		__auto_type expected_ = (expected);                                \
		interleave_type(at_) new_ = (value);                               \
		interleave_step();                                                 \
		bool same_ = interleave_word(at_) == *expected_;                   \
		if (same_)                                                         \
			interleave_word(at_) = new_;                               \
		else                                                               \
			*expected_ = interleave_word(at_);                         \
		same_;                                                             \
	})
#define atomic_compare_exchange_weak_explicit atomic_compare_exchange_strong_explicit
#define atomic_thread_fence(order) ((void)0)

enum { INTERLEAVE_THREADS = 4 };

struct interleave {
	const char *name;
	void (*reset)(void);                      /* before each order: all as it was */
	void (*thread[INTERLEAVE_THREADS])(void); /* NULL ends them */
	bool killable[INTERLEAVE_THREADS];
	void (*look)(void);                       /* between any two steps: what a kill -9 would leave */
	void (*finish)(void);                     /* when all have ended or were killed */
	int preemptions, kills;                   /* at most, in one order */
};

/* Returns how many orders there were. What does not hold ends the program, with the order that led there. */
uint64_t interleave_all(const struct interleave *scenario);
void interleave_require(bool holds, const char *what);
bool interleave_was_killed(int thread);
bool interleave_more(void); /* MODEL_MORE=1: one preemption more, which takes a minute */

#endif
