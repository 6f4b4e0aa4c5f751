/*
 * victim_marks: threads that allocate, free each other's blocks and rest in turns, and stand still at each mark, where
 * one of them copies the truth: `victim_marks TRUTH_FILE ENDING [THREADS [ROUNDS [EVENTS [KIND]]]]`. At mark rN the truth is
 * what TRUTH_FILE.rN says. KIND: malloc; mmap: blocks are mappings of whole pages. ENDING: exit; load (goes on after the
 * last mark, until killed); idle (stands still there, and goes on with one allocation per byte on its standard input, until
 * that ends).
 */
#include "truth.h"

#include <pthread.h>
#include <stdbool.h>

#include "mtrace.h"

enum { OUTERS = 8, INNERS = 3, SLOTS = 4096, THREADS_MOST = 32 };

struct truth_file *truth;
__thread struct truth_thread *truth_me;

static pthread_barrier_t barrier;
static uint32_t threads = 8, rounds = 12, events = 4000;
static const char *truth_path, *ending, *kind = "malloc";
static struct slot {
	int lock;
	struct truth_block block;
} slots[SLOTS];

static struct truth_block exchange(uint32_t index, struct truth_block block)
{
	struct slot *slot = &slots[index % SLOTS];
	while (__atomic_exchange_n(&slot->lock, 1, __ATOMIC_ACQUIRE))
		sched_yield();
	struct truth_block old = slot->block;
	slot->block = block;
	__atomic_store_n(&slot->lock, 0, __ATOMIC_RELEASE);
	return old;
}

enum { PAGE = 4096, PAGES_MOST = 16 };

/* Its size is its first word. */
static void *map(size_t bytes, void *old)
{
	size_t *p = old ? mremap(old, *(size_t *)old, bytes, MREMAP_MAYMOVE)
			: mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	*p = bytes;
	return p;
}

static void unmap(void *p)
{
	munmap(p, *(size_t *)p);
}

static bool is_map;

static void release(struct truth_block b)
{
	truth_free_with(b, is_map ? unmap : free);
}

TRUTH_FUNCTION struct truth_block truth_take(uint32_t path, uint64_t bytes, struct truth_block old)
{
	release(old);
	truth_begin(path, bytes);
	return truth_got(path, is_map ? map(bytes, NULL) : malloc(bytes), bytes);
}

TRUTH_FUNCTION struct truth_block truth_zero(uint32_t path, uint64_t bytes, struct truth_block old)
{
	release(old);
	truth_begin(path, bytes);
	return truth_got(path, is_map ? map(bytes, NULL) : calloc(1, bytes), bytes);
}

TRUTH_FUNCTION struct truth_block truth_grow(uint32_t path, uint64_t bytes, struct truth_block old)
{
	truth_begin_realloc(path, bytes, &old);
	void *p = is_map ? map(bytes, old.pointer) : realloc(old.pointer, bytes);
	if (old.pointer)
		truth_count_free(old.path, old.bytes);
	return truth_got(path, p, bytes);
}

typedef struct truth_block (*inner_function)(uint32_t path, uint64_t bytes, struct truth_block old);
static const inner_function inners[INNERS] = {truth_take, truth_zero, truth_grow};
static const char *const inner_names[INNERS] = {"truth_take", "truth_zero", "truth_grow"};

/* Blocks go to a slot, whence any thread frees or grows them. */
#define OUTER(n)                                                                                                \
	TRUTH_FUNCTION void truth_outer_##n(uint32_t inner, uint32_t slot, uint64_t bytes)                      \
	{                                                                                                       \
		struct truth_block old = exchange(slot, (struct truth_block){0});                               \
		struct truth_block b = inners[inner](n * INNERS + inner, bytes, old);                           \
		release(exchange(slot, b));                                                                     \
		truth_stay();                                                                                   \
	}
OUTER(0) OUTER(1) OUTER(2) OUTER(3) OUTER(4) OUTER(5) OUTER(6) OUTER(7)

typedef void (*outer_function)(uint32_t inner, uint32_t slot, uint64_t bytes);
static const outer_function outers[OUTERS] = {truth_outer_0, truth_outer_1, truth_outer_2, truth_outer_3,
                                              truth_outer_4, truth_outer_5, truth_outer_6, truth_outer_7};

static void name_paths(void)
{
	char name[TRUTH_NAME_BYTES];
	for (uint32_t o = 0; o < OUTERS; o++)
		for (uint32_t i = 0; i < INNERS; i++) {
			snprintf(name, sizeof name, "%s<truth_outer_%u", inner_names[i], o);
			truth_name_path(name);
		}
}

/* Who applies the log of ranges may lose its processor for tenths of a second on a busy machine: the log must not fill then. */
static void one_event(uint64_t *random)
{
	uint32_t r = truth_random(random), size = truth_random(random);
	outers[r % OUTERS]((r >> 3) % INNERS, r >> 8, is_map ? (1 + size % PAGES_MOST) * PAGE : 1 + size % 500);
	if (is_map && r % 4 == 0)
		usleep(1000);
}

static void copy_truth(uint32_t round)
{
	char path[512];
	snprintf(path, sizeof path, "%s.r%u", truth_path, round);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, truth, sizeof *truth) != (ssize_t)sizeof *truth)
		truth_die(path);
	close(fd);
}

static void mark(uint32_t round)
{
	char name[32];
	snprintf(name, sizeof name, "r%u", round);
	mtrace_mark(name);
	copy_truth(round);
}

/* A thread rests in some rounds: what it counted before stays with it all the while. Not all of them at once. */
static int rests(uint32_t me, uint32_t round)
{
	return me != round % threads && (me * 7 + round * 5) % 11 < 4;
}

static void stand_by(uint64_t *random)
{
	char byte;
	while (read(STDIN_FILENO, &byte, 1) == 1)
		one_event(random);
	exit(0);
}

static void *work(void *argument)
{
	uint32_t me = (uint32_t)(uintptr_t)argument;
	uint64_t random = 88172645463325252u + me * 977;
	truth_join_thread(me);
	for (uint32_t round = 1; round <= rounds; round++) {
		for (uint32_t i = 0; !rests(me, round) && i < events; i++)
			one_event(&random);
		pthread_barrier_wait(&barrier);
		if (me == round % threads)
			mark(round);
		pthread_barrier_wait(&barrier);
	}
	if (!strcmp(ending, "idle") && me == 0)
		stand_by(&random);
	while (!strcmp(ending, "idle"))
		pause();
	while (!strcmp(ending, "load"))
		one_event(&random);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t all[THREADS_MOST];
	if (argc < 3)
		truth_die("usage");
	truth_path = argv[1];
	ending = argv[2];
	threads = argc > 3 ? (uint32_t)atoi(argv[3]) : threads;
	rounds = argc > 4 ? (uint32_t)atoi(argv[4]) : rounds;
	events = argc > 5 ? (uint32_t)atoi(argv[5]) : events;
	kind = argc > 6 ? argv[6] : kind;
	is_map = strcmp(kind, "mmap") == 0;
	if (threads == 0 || threads > THREADS_MOST)
		truth_die("threads");
	truth = open_truth_file(truth_path, kind);
	name_paths();
	truth->complete = strcmp(ending, "load") != 0;
	pthread_barrier_init(&barrier, NULL, threads);
	for (uint32_t i = 0; i < threads; i++)
		if (pthread_create(&all[i], NULL, work, (void *)(uintptr_t)i))
			truth_die("pthread_create");
	for (uint32_t i = 0; i < threads; i++)
		pthread_join(all[i], NULL);
	return 0;
}
