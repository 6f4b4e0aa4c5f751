/*
 * victim_live FILE PATHS SHAPE: 64 threads that allocate and free at full speed on PATHS call paths (16 to 4096) and count
 * what they do in FILE, mapped and shared, so that a report of the running process can be held against it. Used by
 * tests/programs/live.py.
 *
 * Driven over stdin: 'g' lets the threads run, 's' stops them where no event is under way, 't' gives the turn to the next
 * PLACES paths (see below); each is answered by the same byte on stdout. The end of stdin stops them, and the process ends
 * with status 7.
 *
 * Path p is a chain of functions truth_0 … truth_f, one per digit of p in base 16, the lowest innermost; a path's blocks
 * all have one size. The first thread takes each once, in order: rows are then about as far apart as paths are, and those
 * PLACES apart want the same place in a thread's tallies. SHAPE says which paths are taken:
 *   even    any, and new ones appear while all threads run, until they first stand still
 *   fight   all are there before the threads run, then only those four that begin each PLACES: four tallies of each
 *           thread are fought over without end
 *   turns   all are there before the threads run, then the PLACES whose turn it is: after a 't', nothing happens to the
 *           others' rows but that their tallies are folded
 *
 * Each counter is raised by one locked add: `begun` before the event, `done` after it. What a report says lies between
 * what was done when it began and what had begun when it ended. Blocks go into one of `slots`, whose former block is
 * freed by whoever finds it there, mostly not the thread that made it. Paths with 5 in their lowest digit and a multiple
 * of 4 in the next are never freed.
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "truth.h"

enum { PATHS_MOST = 4096, PLACES = 1024, THREADS = 64, SLOTS = 16384, HEAD = 16 };
enum shape { EVEN, FIGHT, TURNS };
enum { ALLOC_BEGUN, ALLOC_DONE, FREE_BEGUN, FREE_DONE, COUNTERS };

static struct live_file {
	char magic[8]; /* "LIVE 1\n" */
	uint32_t pid, paths;
	_Atomic uint64_t cross_frees;
	uint64_t sizes[PATHS_MOST];
	_Atomic uint64_t counts[PATHS_MOST][COUNTERS];
} *file;

/* What every block begins with. */
struct block {
	uint32_t path, owner;
};
static_assert(sizeof(struct block) <= HEAD, "fits the smallest block");

static _Atomic(struct block *) slots[SLOTS];
static atomic_bool wanted_still, wanted_end, has_run;
static _Atomic uint32_t open_paths; /* those below have been taken */
static pthread_barrier_t standing, going;
static _Atomic uint32_t turn_of; /* TURNS: the first path whose turn it is */
static enum shape shape;

struct truth_file *truth;
__thread struct truth_thread *truth_me;

static void count(uint32_t path, int which)
{
	atomic_fetch_add(&file->counts[path][which], 1);
}

/* ---- the paths ---- */

struct request {
	uint32_t path;
	struct block *old; /* to be reallocated, NULL none */
};

/* From where the block is asked for: one way in per path, so that a path is one stack. */
TRUTH_FUNCTION static void *ask(const struct request *r)
{
	size_t bytes = file->sizes[r->path];
	void *p;
	switch (r->path % 8) {
	case 1: p = realloc(r->old, bytes); break;
	case 2: p = calloc(1, bytes); break;
	default: p = malloc(bytes);
	}
	truth_stay();
	return p;
}

typedef void *step(const struct request *r, int level);
static step *const steps[16];

static inline void *go_on(const struct request *r, int level)
{
	return level ? steps[r->path >> 4 * (level - 1) & 15](r, level - 1) : ask(r);
}

#define STEP(digit) \
	TRUTH_FUNCTION static void *truth_##digit(const struct request *r, int level) \
	{ \
		void *p = go_on(r, level); \
		truth_stay(); \
		return p; \
	}
STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7)
STEP(8) STEP(9) STEP(a) STEP(b) STEP(c) STEP(d) STEP(e) STEP(f)

static step *const steps[16] = {
	truth_0, truth_1, truth_2, truth_3, truth_4, truth_5, truth_6, truth_7,
	truth_8, truth_9, truth_a, truth_b, truth_c, truth_d, truth_e, truth_f};

/* ---- events ---- */

static bool is_kept_for_good(uint32_t path)
{
	return path % 16 == 5 && path / 16 % 4 == 0;
}

static void let_go(struct block *b, uint32_t me)
{
	if (!b)
		return;
	uint32_t path = b->path;
	atomic_fetch_add(&file->cross_frees, b->owner != me);
	count(path, FREE_BEGUN);
	free(b);
	count(path, FREE_DONE);
}

static void take(uint32_t path, uint32_t slot, uint32_t me)
{
	struct request r = {.path = path};
	if (path % 8 == 1)
		r.old = atomic_exchange(&slots[slot], NULL);
	uint32_t old_path = r.old ? r.old->path : 0;
	count(path, ALLOC_BEGUN);
	if (r.old)
		count(old_path, FREE_BEGUN);
	struct block *b = go_on(&r, 3);
	if (!b)
		truth_die("an allocation failed");
	count(path, ALLOC_DONE);
	if (r.old)
		count(old_path, FREE_DONE);
	*b = (struct block){path, me};
	if (!is_kept_for_good(path))
		let_go(atomic_exchange(&slots[slot], b), me);
}

/* Kept for good: one in about a thousand of all, so that a run of a minute keeps some ten megabytes. */
static uint32_t choose(uint64_t *state)
{
	uint32_t open = open_paths, path = truth_random(state) % (open < file->paths ? open + 1 : open);
	if (shape == FIGHT)
		path = path / PLACES * PLACES + path % 4;
	if (shape == TURNS)
		path = (turn_of + path % PLACES) % file->paths;
	if (is_kept_for_good(path) && truth_random(state) % 16)
		path ^= 2;
	return path;
}

/* The first thread takes each path once, in order: before anything else, or (EVEN) while all run, and what is left then
   when they are told to stand still. */
static bool is_still(uint32_t unopened)
{
	return wanted_still && !(unopened && (shape != EVEN || has_run));
}

static uint32_t open_path(uint32_t unopened)
{
	open_paths = file->paths - unopened + 1;
	return file->paths - unopened;
}

static void *run(void *index)
{
	uint32_t me = (uint32_t)(uintptr_t)index, unopened = me ? 0 : file->paths;
	uint64_t state = 0x9e3779b97f4a7c15u * (me + 1);
	for (uint64_t turn = 0; !wanted_end; turn++) {
		if (is_still(unopened)) {
			pthread_barrier_wait(&standing);
			pthread_barrier_wait(&going);
			continue;
		}
		bool opens = unopened && (wanted_still || turn % 16 == 0);
		uint32_t path = opens ? open_path(unopened--) : choose(&state);
		take(path, truth_random(&state) % SLOTS, me);
	}
	return NULL;
}

/* ---- main ---- */

static void open_file(const char *path, uint32_t paths)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof *file))
		truth_die(path);
	file = mmap(NULL, sizeof *file, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (file == MAP_FAILED)
		truth_die("mmap");
	close(fd);
	memcpy(file->magic, "LIVE 1\n", 8);
	file->pid = (uint32_t)getpid();
	file->paths = paths;
	for (uint32_t i = 0; i < paths; i++)
		file->sizes[i] = HEAD + 8 * (i % 97);
}

static void answer(char what)
{
	if (write(1, &what, 1) != 1)
		truth_die("write");
}

/* The threads stand still whenever this is not between 'g' and 's'. */
static void serve(void)
{
	char command;
	bool stands = true;
	while (read(0, &command, 1) == 1) {
		if (command == 'g' && stands) {
			has_run = true;
			wanted_still = false;
			pthread_barrier_wait(&going);
			stands = false;
		} else if (command == 's' && !stands) {
			wanted_still = true;
			pthread_barrier_wait(&standing);
			stands = true;
		} else if (command == 't') {
			turn_of = (turn_of + PLACES) % file->paths;
		}
		answer(command);
	}
	wanted_end = true;
	wanted_still = false;
	if (stands)
		pthread_barrier_wait(&going);
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	uint32_t paths = argc == 4 ? (uint32_t)atoi(argv[2]) : 0;
	if (paths < 16 || paths > PATHS_MOST)
		return 2;
	shape = !strcmp(argv[3], "even") ? EVEN : !strcmp(argv[3], "fight") ? FIGHT : TURNS;
	open_file(argv[1], paths);
	pthread_barrier_init(&standing, NULL, THREADS + 1);
	pthread_barrier_init(&going, NULL, THREADS + 1);
	wanted_still = true;
	for (uintptr_t i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, run, (void *)i))
			truth_die("pthread_create");
	pthread_barrier_wait(&standing);
	serve();
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return 7;
}
