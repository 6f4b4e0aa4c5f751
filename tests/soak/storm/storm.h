/*
 * storm: what programs do to a tracker, as fast as they can, with the truth kept meanwhile. What all storms share: the
 * paths of the truth, the time there is, the ways to allocate, the load beside them. Threads of `load` allocate, grow and
 * free each other's blocks all the while; a storm itself is one or two drivers beside them, in a file of its kind.
 *
 * All blocks of functions truth_... are in the truth (tests/programs/victims/truth.h), so the record must agree to the byte,
 * and to one event a thread when the storm is killed. Anything that the host itself must not see ends it with 99.
 */
#ifndef STORM_H
#define STORM_H

#include "truth.h"

#include <limits.h>
#include <pthread.h>

/* Whose stack it is; the order of `path_names`. */
enum path {
	TAKE_LOAD, ZERO_LOAD, GROW_LOAD, HUGE_LOAD, TAKE_VFORK, TAKE_CLONE, TAKE_SHORT, TAKE_KEY, TAKE_DESTRUCTOR, TAKE_LAST,
	LEAK_A, LEAK_B, TAKE_HANDLER, GROW_HANDLER, TAKE_ATEXIT, TAKE_FINI, TAKE_MAIN, TAKE_ALONE, TAKE_FIBER,
	PATHS
};
enum { MAP, REMAP, MAP_OVER }; /* of `map_names` */

/* Places in the truth file: main, the loads, what interrupts them, drivers, and a pool for threads that come and go. */
enum { LOADS_FIRST = 1, DRIVERS_FIRST = 12, HANDLERS_FIRST = 16, POOL_FIRST = 32, POOL = 32 };

extern uint64_t ends_ms;        /* CLOCK_MONOTONIC */
extern uint64_t rounds_least;   /* STORM_ROUNDS: it is not over before */
extern _Atomic uint64_t rounds; /* printed at the end */
extern const char *self, *truth_path, *directory, *seconds;
extern int threads_at_once; /* STORM_THREADS */

uint64_t now_ms(void);
int is_over(void);
void count_round(void);

struct truth_block truth_take(uint32_t path, uint64_t bytes);
struct truth_block truth_grow(uint32_t path, uint64_t bytes, struct truth_block old);

/* What the loads share: the block that was at the index. */
struct truth_block exchange(uint32_t index, struct truth_block block);

extern const struct truth_block no_block;
extern int realloc_share, huge_share; /* of the load: one event in so many */
extern int loads_pause_us;

/* A thread of the load; `argument`: its place in the truth. */
void *load(void *argument);

/* `drivers` of them run at once beside `loads` threads, until the end. */
void run(int loads, void *(*const *drivers)(void *), int driver_count);

/* All storms, and those of the drivers that `mixed` runs at once. */
#define STORMS(X) X(fork) X(vfork) X(spawn) X(exec) X(clone) X(clone_alone) X(threads) X(keys) X(libraries) X(fibers) X(mixed) \
	X(signals) X(realloc) X(mmap) X(exit) X(_exit) X(quick_exit) X(abort) X(exit_under_load)
#define MIXED(X) X(fork) X(vfork) X(spawn) X(clone) X(library) X(keys) X(fiber)
#define X(name) void storm_##name(void);
STORMS(X)
#undef X
#define X(name) void *name##_driver(void *argument);
MIXED(X)
#undef X

/* Before a keys_driver. */
void make_key(void);

#endif
