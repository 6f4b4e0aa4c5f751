/*
 * storm WHAT SECONDS TRUTH_FILE: one of the storms of storm.h, for so long and for STORM_ROUNDS rounds at least; prints
 * "<n> rounds" and ends with 0 (the exits end as their names say). Run by soak.sh, under the shim.
 */
#include "storm.h"

#include <stdatomic.h>
#include <time.h>

struct truth_file *truth;
__thread struct truth_thread *truth_me;

static const char *const path_names[PATHS] = {
	"truth_take<truth_load", "truth_zero<truth_load", "truth_grow<truth_load", "truth_huge<truth_load",
	"truth_take<truth_in_vfork", "truth_take<truth_in_clone", "truth_take<truth_short_thread",
	"truth_take<truth_before_key", "truth_take<truth_key_destructor", "truth_take<truth_thread_local_destructor",
	"truth_leak_a<truth_library", "truth_leak_b<truth_library",
	"truth_take<truth_on_signal", "truth_grow<truth_on_signal", "truth_take<truth_at_exit", "truth_take<truth_fini",
	"truth_take<truth_main", "truth_take", "truth_take<truth_deeper<truth_on_fiber",
};
static const char *const map_names[] = {"truth_map", "truth_remap", "truth_map_over"};

uint64_t ends_ms, rounds_least;
_Atomic uint64_t rounds;
const char *self, *truth_path, *directory, *seconds;

uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int is_over(void)
{
	return now_ms() >= ends_ms && atomic_load_explicit(&rounds, memory_order_relaxed) >= rounds_least;
}

void count_round(void)
{
	atomic_fetch_add_explicit(&rounds, 1, memory_order_relaxed);
}

/* ---- the ways to allocate, counted ------------------------------------------------------------------------ */

TRUTH_FUNCTION struct truth_block truth_take(uint32_t path, uint64_t bytes)
{
	truth_begin(path, bytes);
	struct truth_block b = truth_got(path, malloc(bytes), bytes);
	memset(b.pointer, 0x5a, bytes);
	return b;
}

TRUTH_FUNCTION struct truth_block truth_zero(uint32_t path, uint64_t bytes)
{
	truth_begin(path, bytes);
	struct truth_block b = truth_got(path, calloc(1, bytes), bytes);
	for (uint64_t i = 0; i < bytes; i++)
		if (((char *)b.pointer)[i])
			truth_die("calloc: not zero");
	return b;
}

TRUTH_FUNCTION struct truth_block truth_grow(uint32_t path, uint64_t bytes, struct truth_block old)
{
	truth_begin_realloc(path, bytes, &old);
	void *p = realloc(old.pointer, bytes);
	if (old.pointer)
		truth_count_free(old.path, old.bytes);
	return truth_got(path, p, bytes);
}

TRUTH_FUNCTION struct truth_block truth_huge(uint32_t path, uint64_t bytes)
{
	truth_begin(path, bytes);
	return truth_got(path, malloc(bytes), bytes);
}

/* ---- load: threads that work on each other's blocks ---------------------------------------------------------- */

enum { SLOTS = 1024 };
static struct truth_slot slots[SLOTS];

struct truth_block exchange(uint32_t index, struct truth_block block)
{
	return truth_swap(&slots[index % SLOTS], block);
}

int realloc_share = 4;
int huge_share = 400;
int loads_pause_us = 200;

const struct truth_block no_block = {0};

TRUTH_FUNCTION struct truth_block truth_load(uint64_t *random, struct truth_block old)
{
	uint32_t r = truth_random(random);
	uint64_t bytes = 1 + (r >> 8) % 700;
	struct truth_block b;
	if (r % (uint32_t)realloc_share == 0) {
		b = truth_grow(GROW_LOAD, (r >> 4) % 64 ? bytes : 1 + r % 600000, old);
		truth_stay();
		return b;
	}
	truth_free(old);
	if (r % (uint32_t)huge_share == 1)
		b = truth_huge(HUGE_LOAD, 150000 + r % 300000);
	else
		b = r & 16 ? truth_take(TAKE_LOAD, bytes) : truth_zero(ZERO_LOAD, bytes);
	truth_stay();
	return b;
}

void *load(void *argument)
{
	uint32_t me = (uint32_t)(uintptr_t)argument;
	uint64_t random = me * 0xbf58476d1ce4e5b9ull + (uint64_t)getpid();
	truth_join_thread(me);
	struct truth_block own = no_block;
	while (!is_over()) {
		for (int i = 0; i < 50; i++) {
			own = exchange(truth_random(&random), own);
			own = truth_load(&random, own);
		}
		if (loads_pause_us)
			usleep((useconds_t)loads_pause_us); /* two cores: the storm wants some of them */
	}
	exchange(truth_random(&random), own); /* what is pushed out is a leak */
	return NULL;
}

void run(int loads, void *(*const *drivers)(void *), int driver_count)
{
	pthread_t t[16];
	int n = 0;
	for (int i = 0; i < loads; i++)
		if (pthread_create(&t[n++], NULL, load, (void *)(uintptr_t)(LOADS_FIRST + i)))
			truth_die("pthread_create");
	for (int i = 0; i < driver_count; i++)
		if (pthread_create(&t[n++], NULL, drivers[i], (void *)(uintptr_t)(DRIVERS_FIRST + i)))
			truth_die("pthread_create");
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

/* ---- all of these at once: more drivers than there are places for, but no handlers, so theirs are free ----------------- */

void storm_mixed(void)
{
#define X(name) name##_driver,
	void *(*const drivers[])(void *) = {MIXED(X)};
#undef X
	make_key();
	run(3, drivers, sizeof drivers / sizeof drivers[0]);
}

/* ---- which ---- */

static const struct storm {
	const char *name;
	void (*run)(void);
} storms[] = {
#define X(name) {#name, storm_##name},
	STORMS(X)
#undef X
};

static void open_truth(const char *what)
{
	int is_mmap = !strcmp(what, "mmap");
	truth = open_truth_file(truth_path, is_mmap ? "mmap" : "malloc");
	for (int i = 0; i < (is_mmap ? 3 : PATHS); i++)
		truth_name_path(is_mmap ? map_names[i] : path_names[i]);
	truth_join_thread(0);
}

int main(int argc, char **argv)
{
	if (argc < 4)
		truth_die("usage: storm WHAT SECONDS TRUTH_FILE");
	static char own_directory[PATH_MAX];
	if (!realpath(argv[0], own_directory) && readlink("/proc/self/exe", own_directory, sizeof own_directory - 1) < 0)
		truth_die(argv[0]);
	self = strdup(own_directory);
	*strrchr(own_directory, '/') = 0;
	directory = own_directory;
	seconds = argv[2];
	truth_path = argv[3];
	ends_ms = now_ms() + (uint64_t)(strtod(argv[2], NULL) * 1000);
	if (getenv("STORM_THREADS"))
		threads_at_once = atoi(getenv("STORM_THREADS"));
	if (getenv("STORM_ROUNDS"))
		rounds_least = strtoull(getenv("STORM_ROUNDS"), NULL, 10);
	open_truth(argv[1]);
	for (size_t i = 0; i < sizeof storms / sizeof storms[0]; i++) {
		if (strcmp(argv[1], storms[i].name))
			continue;
		storms[i].run();
		truth->complete = 1;
		printf("%llu rounds\n", (unsigned long long)rounds);
		return 0;
	}
	truth_die("no such storm");
}
