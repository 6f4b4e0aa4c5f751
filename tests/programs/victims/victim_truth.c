/*
 * victim_truth: threads that allocate in every way libc offers, on hundreds of call paths, and free each other's
 * blocks: `victim_truth TRUTH_FILE ENDING [THREADS [EVENTS [SEED]]]`.
 *
 * ENDING: exit, return, _exit, quick_exit, abort, segv, kill, term, pthread_exit, overflow (SIGSEGV by running out
 * of stack), load (never stops by itself: to be killed from outside, at any instant).
 * Paths are one of 4 outer x 5 middle x 17 innermost functions. Built with -O2 and without frame pointers; the middle
 * functions differ in what the unwinder has to cope with: plain, rbp-based (a VLA), realigned, recursive, through a
 * callback of libc. Built a second time as C++ (victim_truth_cxx.cc includes this file) for new and delete.
 */
#include "truth.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>

struct truth_file *truth;
__thread struct truth_thread *truth_me;

#ifndef EXTRA_OPS
#define EXTRA_OPS(X)
#endif

/* Innermost functions. Each gets the thread's randomness and one old block, and returns what is to be kept. */
#define OPS(X) X(malloc) X(malloc_zero) X(calloc) X(calloc_overflow) X(realloc_new) X(realloc_grow) X(realloc_shrink) \
	X(realloc_zero) X(realloc_failed) X(reallocarray) X(aligned_alloc) X(posix_memalign) X(memalign) X(valloc) \
	X(pvalloc) X(strdup) X(huge) EXTRA_OPS(X)

struct step {
	uint32_t path;
	uint64_t *random;
	struct truth_block old;
	struct truth_block kept;
};
typedef void (*step_function)(struct step *);

static uint64_t some_bytes(uint64_t *random)
{
	uint32_t r = truth_random(random);
	return r % 8 ? 1 + (r >> 8) % 600 : 1 + (r >> 8) % 20000;
}

TRUTH_FUNCTION void truth_op_malloc(struct step *s)
{
	uint64_t n = some_bytes(s->random);
	errno = 1234;
	truth_begin(s->path, n);
	s->kept = truth_got(s->path, malloc(n), n);
	if (errno != 1234)
		truth_die("malloc changed errno");
	memset(s->kept.pointer, 0xa5, n);
}

TRUTH_FUNCTION void truth_op_malloc_zero(struct step *s)
{
	truth_begin(s->path, 0);
	s->kept = truth_got(s->path, malloc(0), 0);
}

TRUTH_FUNCTION void truth_op_calloc(struct step *s)
{
	uint64_t n = 1 + truth_random(s->random) % 40, each = 1 + truth_random(s->random) % 50;
	truth_begin(s->path, n * each);
	s->kept = truth_got(s->path, calloc(n, each), n * each);
}

/* Fails, and must leave no trace. */
TRUTH_FUNCTION void truth_op_calloc_overflow(struct step *s)
{
	volatile size_t many = SIZE_MAX / 2;
	void *p = calloc(many, 3);
	if (p)
		truth_die("calloc of too much");
	truth_stay();
	s->kept = s->old;
	s->old.pointer = NULL;
}

static void keep_realloc(struct step *s, void *p, uint64_t n)
{
	if (s->old.pointer)
		truth_count_free(s->old.path, s->old.bytes);
	s->old.pointer = NULL;
	s->kept = truth_got(s->path, p, n);
}

TRUTH_FUNCTION void truth_op_realloc_new(struct step *s)
{
	uint64_t n = some_bytes(s->random);
	truth_begin(s->path, n);
	void *volatile nothing = NULL;
	s->kept = truth_got(s->path, realloc(nothing, n), n);
}

TRUTH_FUNCTION void truth_op_realloc_grow(struct step *s)
{
	uint64_t n = s->old.bytes + some_bytes(s->random);
	truth_begin_realloc(s->path, n, &s->old);
	keep_realloc(s, realloc(s->old.pointer, n), n);
}

TRUTH_FUNCTION void truth_op_realloc_shrink(struct step *s)
{
	uint64_t n = 1 + s->old.bytes / 2;
	truth_begin_realloc(s->path, n, &s->old);
	keep_realloc(s, realloc(s->old.pointer, n), n);
}

/* realloc(p, 0) is free in glibc; realloc(NULL, 0) is malloc(0). */
TRUTH_FUNCTION void truth_op_realloc_zero(struct step *s)
{
	volatile size_t zero = 0;
	truth_begin_realloc(s->path, 0, &s->old);
	void *p = realloc(s->old.pointer, zero);
	if (p) {
		keep_realloc(s, p, 0);
		return;
	}
	if (s->old.pointer)
		truth_count_free(s->old.path, s->old.bytes);
	s->old.pointer = NULL;
	truth_end();
}

/* The old block stays what it was. */
TRUTH_FUNCTION void truth_op_realloc_failed(struct step *s)
{
	volatile size_t many = SIZE_MAX / 2;
	truth_begin_realloc(s->path, 0, &s->old);
	if (realloc(s->old.pointer, many) || reallocarray(s->old.pointer, many, 3))
		truth_die("realloc of too much");
	truth_end();
	s->kept = s->old;
	s->old.pointer = NULL;
}

TRUTH_FUNCTION void truth_op_reallocarray(struct step *s)
{
	uint64_t n = 1 + truth_random(s->random) % 30, each = 1 + truth_random(s->random) % 60;
	truth_begin_realloc(s->path, n * each, &s->old);
	keep_realloc(s, reallocarray(s->old.pointer, n, each), n * each);
}

TRUTH_FUNCTION void truth_op_aligned_alloc(struct step *s)
{
	uint64_t align = 16u << truth_random(s->random) % 9, n = align * (1 + truth_random(s->random) % 3);
	truth_begin(s->path, n);
	s->kept = truth_got(s->path, aligned_alloc(align, n), n);
}

TRUTH_FUNCTION void truth_op_posix_memalign(struct step *s)
{
	uint64_t align = 8u << truth_random(s->random) % 10, n = some_bytes(s->random);
	void *p = NULL;
	errno = 4711;
	if (posix_memalign(&p, 24, n) != EINVAL || errno != 4711)
		truth_die("posix_memalign of an odd alignment");
	truth_begin(s->path, n);
	if (posix_memalign(&p, align, n) || errno != 4711 || (uintptr_t)p % align)
		truth_die("posix_memalign");
	s->kept = truth_got(s->path, p, n);
}

TRUTH_FUNCTION void truth_op_memalign(struct step *s)
{
	uint64_t align = 16u << truth_random(s->random) % 8, n = some_bytes(s->random);
	truth_begin(s->path, n);
	s->kept = truth_got(s->path, memalign(align, n), n);
}

TRUTH_FUNCTION void truth_op_valloc(struct step *s)
{
	uint64_t n = some_bytes(s->random) % 300 + 1;
	truth_begin(s->path, n);
	s->kept = truth_got(s->path, valloc(n), n);
}

/* jemalloc has no pvalloc: glibc's would hand out what jemalloc's free cannot take. */
#ifdef NO_PVALLOC
#define pvalloc valloc
#endif
TRUTH_FUNCTION void truth_op_pvalloc(struct step *s)
{
	uint64_t n = some_bytes(s->random) % 300 + 1;
	truth_begin(s->path, n);
	s->kept = truth_got(s->path, pvalloc(n), n);
}

TRUTH_FUNCTION void truth_op_strdup(struct step *s)
{
	char text[64];
	uint64_t n = truth_random(s->random) % (sizeof text - 1);
	memset(text, 'x', n);
	text[n] = 0;
	char *volatile source = text; /* the compiler must not see through strdup */
	truth_begin(s->path, n + 1);
	s->kept = truth_got(s->path, strdup(source), n + 1);
}

/* Past malloc's mmap threshold now and then: munmap'ed by free, moved by realloc. */
TRUTH_FUNCTION void truth_op_huge(struct step *s)
{
	uint64_t n = truth_random(s->random) % 64 ? 100 : 200000 + truth_random(s->random) % 400000;
	truth_begin(s->path, n);
	s->kept = truth_got(s->path, malloc(n), n);
}

#ifdef EXTRA_OPS_FILE
#include EXTRA_OPS_FILE
#endif

#define X(name) truth_op_##name,
static const step_function ops[] = {OPS(X)};
#undef X
#define X(name) "truth_op_" #name,
static const char *const op_names[] = {OPS(X)};
#undef X
enum { OP_COUNT = sizeof ops / sizeof ops[0] };

/* ---- middle functions: what the unwinder has to cope with ------------------------------------------- */

TRUTH_FUNCTION void truth_mid_plain(step_function op, struct step *s)
{
	op(s);
	truth_stay();
}

/* A frame of variable size: its CFA hangs on rbp. */
TRUTH_FUNCTION void truth_mid_variable(step_function op, struct step *s)
{
	size_t n = 8 + truth_random(s->random) % 200;
	char *room = (char *)__builtin_alloca(n);
	memset(room, 1, n);
	__asm__ volatile("" ::"r"(room) : "memory");
	op(s);
	__asm__ volatile("" ::"r"(room) : "memory");
}

/* A realigned frame: its CFA is loaded from memory by a DWARF expression. */
TRUTH_FUNCTION void truth_mid_realigned(step_function op, struct step *s)
{
	char room[128] __attribute__((aligned(64)));
	memset(room, 2, sizeof room);
	__asm__ volatile("" ::"r"(room) : "memory");
	op(s);
	__asm__ volatile("" ::"r"(room) : "memory");
}

TRUTH_FUNCTION void truth_mid_recursive_down(step_function op, struct step *s, uint32_t depth)
{
	if (depth)
		truth_mid_recursive_down(op, s, depth - 1);
	else
		op(s);
	truth_stay();
}

TRUTH_FUNCTION void truth_mid_recursive(step_function op, struct step *s)
{
	truth_mid_recursive_down(op, s, truth_random(s->random) % 40);
	truth_stay();
}

static __thread step_function callback_op;
static __thread struct step *callback_step;

TRUTH_FUNCTION int truth_mid_callback_compare(const void *a, const void *b)
{
	(void)a, (void)b;
	callback_op(callback_step);
	truth_stay();
	return 0;
}

TRUTH_FUNCTION void truth_mid_callback(step_function op, struct step *s)
{
	int key = 1, row = 1;
	callback_op = op;
	callback_step = s;
	if (!bsearch(&key, &row, 1, sizeof row, truth_mid_callback_compare))
		truth_die("bsearch");
	truth_stay();
}

typedef void (*mid_function)(step_function, struct step *);
static const mid_function mids[] = {truth_mid_plain, truth_mid_variable, truth_mid_realigned, truth_mid_recursive,
	truth_mid_callback};
static const char *const mid_names[] = {"truth_mid_plain", "truth_mid_variable", "truth_mid_realigned",
	"truth_mid_recursive_down<truth_mid_recursive", "truth_mid_callback_compare<truth_mid_callback"};
enum { MID_COUNT = sizeof mids / sizeof mids[0] };

/* ---- outer functions: the same code four times ------------------------------------------------------- */

#define OUTER(name)                                                    \
	TRUTH_FUNCTION void name(mid_function mid, step_function op, struct step *s) \
	{                                                              \
		mid(op, s);                                            \
		truth_stay();                                          \
	}
OUTER(truth_top_one)
OUTER(truth_top_two)
OUTER(truth_top_three)
OUTER(truth_top_four)

typedef void (*top_function)(mid_function, step_function, struct step *);
static const top_function tops[] = {truth_top_one, truth_top_two, truth_top_three, truth_top_four};
static const char *const top_names[] = {"truth_top_one", "truth_top_two", "truth_top_three", "truth_top_four"};
enum { TOP_COUNT = sizeof tops / sizeof tops[0] };

static void name_paths(void)
{
	char name[TRUTH_NAME_BYTES];
	for (int top = 0; top < TOP_COUNT; top++)
		for (int mid = 0; mid < MID_COUNT; mid++)
			for (int op = 0; op < OP_COUNT; op++) {
				snprintf(name, sizeof name, "%s<%s<%s", op_names[op], mid_names[mid], top_names[top]);
				truth_name_path(name);
			}
}

/* ---- the work ------------------------------------------------------------------------------------------ */

enum { SLOTS = 4096 };
static struct truth_slot slots[SLOTS];

static struct truth_block exchange(uint32_t index, struct truth_block block)
{
	return truth_swap(&slots[index % SLOTS], block);
}

#ifndef FREE_BLOCK
#define FREE_BLOCK truth_free
#define CAN_REALLOC(block) 1
#endif

static void one_event(uint64_t *random, struct truth_block *own)
{
	uint32_t top = truth_random(random) % TOP_COUNT, mid = truth_random(random) % MID_COUNT;
	uint32_t op = truth_random(random) % OP_COUNT;
	struct step s = {(top * MID_COUNT + mid) * OP_COUNT + op, random, {NULL, 0, 0, 0}, {NULL, 0, 0, 0}};
	if (CAN_REALLOC(own))
		s.old = *own, own->pointer = NULL;
	tops[top](mids[mid], ops[op], &s);
	FREE_BLOCK(s.old);
	FREE_BLOCK(*own);
	*own = exchange(truth_random(random), s.kept);
}

static uint64_t events = 20000, seed = 42;
static int is_load;
static pthread_barrier_t done;

static void *work(void *argument)
{
	uint32_t me = (uint32_t)(uintptr_t)argument;
	uint64_t random = seed * 0x9e3779b97f4a7c15ull + me * 0xbf58476d1ce4e5b9ull + 1;
	struct truth_block own = {NULL, 0, 0, 0};
	truth_join_thread(me);
	for (uint64_t i = 0; is_load || i < events; i++)
		one_event(&random, &own);
	exchange(truth_random(&random), own); /* what is pushed out stays live and unreachable: a leak */
	pthread_barrier_wait(&done);
	for (;;)
		pause();
	return NULL;
}

/* For pthread_exit: the threads have to end before the process does. */
static void *work_and_end(void *argument)
{
	uint32_t me = (uint32_t)(uintptr_t)argument;
	uint64_t random = seed * 77 + me + 1;
	struct truth_block own = {NULL, 0, 0, 0};
	truth_join_thread(me);
	for (uint64_t i = 0; i < events; i++)
		one_event(&random, &own);
	pthread_barrier_wait(&done);
	return NULL;
}

TRUTH_FUNCTION int run_out_of_stack(int n)
{
	volatile char room[4096];
	room[0] = (char)n;
	int deeper = n == INT32_MAX ? 0 : run_out_of_stack(n + 1);
	return deeper + room[0];
}

int main(int argc, char **argv)
{
	if (argc < 3)
		truth_die("usage: victim_truth TRUTH_FILE ENDING [THREADS [EVENTS [SEED]]]");
	const char *ending = argv[2];
	uint32_t threads = argc > 3 ? (uint32_t)atoi(argv[3]) : 8;
	events = argc > 4 ? strtoull(argv[4], NULL, 10) : events;
	seed = argc > 5 ? strtoull(argv[5], NULL, 10) : seed;
	is_load = !strcmp(ending, "load");
	int is_pthread_exit = !strcmp(ending, "pthread_exit");

	truth = open_truth_file(argv[1], "malloc");
	name_paths();
	truth_join_thread(0);
	pthread_barrier_init(&done, NULL, threads + 1);
	for (uint32_t i = 1; i <= threads; i++) {
		pthread_t t;
		if (pthread_create(&t, NULL, is_pthread_exit ? work_and_end : work, (void *)(uintptr_t)i))
			truth_die("pthread_create");
		pthread_detach(t);
	}
	pthread_barrier_wait(&done);
	truth->complete = 1;
	printf("victim_truth: %s\n", ending);
	fflush(stdout);
	if (is_pthread_exit)
		pthread_exit(NULL);
	if (!strcmp(ending, "overflow"))
		return run_out_of_stack(0);
	truth_end_process(ending);
	return 6;
}
