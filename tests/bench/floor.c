/*
 * floor: what the least cost of a limit's row would be: a library to preload that does of a tracker's work only what no
 * exact one can do without, and that in the plainest way. FLOOR names the stage, of which each has those before it:
 *
 *   forward   the whole family is interposed, and passed on
 *   table     each block is put into one table by its address, and taken out: one locked exchange to claim its slot, since
 *             blocks of several threads meet there; a plain store to give it up, since a block is its owner's until it is freed
 *   counts    four plain counts of the thread's own row: blocks and bytes allocated and freed
 *   stack     FLOOR_FRAMES words of the caller's stack, one every 32 bytes, are compared with those that the thread found when
 *             it was there first (by return address and stack pointer). Whoever says that a stack is the one that it was has
 *             read each of its return addresses, and knows where they stand, which here is free; what it does when one is
 *             another is free, too
 *
 * Without walking, frames, or a row for each stack, a signal handler's needs, fork, a reader, a bound on memory, age, or
 * anything that can be turned on: so a tracker that has those costs more. With FLOOR_TELL=FILE the sums are written there at
 * the end. tests/bench/floors.py runs it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum stage { FORWARD, TABLE, COUNTS, STACK };

enum {
	SLOT_BITS = 27, /* of 16 bytes of address each: 2 GiB before two addresses share one; 1 GiB of addresses, touched as used */
	PROBES = 4,
	SIZE_BITS = 28,
	THREADS = 1 << 16,
	PLACE_BITS = 9, /* of a thread: where it was lately */
	FRAMES_MOST = 256,
	FRAME_WORDS = 4,
	ARENA_BYTES = 64 << 10
};

/* A thread's row, alone on its line. Threads beyond THREADS share the last one, which is then not exact. */
struct row {
	uint64_t alloc_blocks, alloc_bytes, freed_blocks, freed_bytes;
	uint64_t missed, alone[3];
};

/* What a thread found on its stack, which is [low, end). Never given back. */
struct seen {
	const uintptr_t *low, *end;
	uint64_t changed;  /* events at which some word was another; so that the comparing is not left out */
	uintptr_t words[]; /* frames for each place */
};

static enum stage stage;
static uint32_t frames;
static _Atomic uint64_t *table;
static struct row *rows;
static _Atomic uint32_t rows_used;
static __thread struct row *own_row __attribute__((tls_model("initial-exec")));
static __thread struct seen *own_seen __attribute__((tls_model("initial-exec")));

static struct {
	void *(*malloc)(size_t);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	void (*free)(void *);
	int (*posix_memalign)(void **, size_t, size_t);
	void *(*aligned_alloc)(size_t, size_t);
	void *(*memalign)(size_t, size_t);
} real;

/* What dlsym itself asks for while the functions are looked up. Never given back. */
static char arena[ARENA_BYTES] __attribute__((aligned(16)));
static size_t arena_used;

static void *from_arena(size_t size)
{
	size_t at = arena_used;
	arena_used += (size + 15) & ~(size_t)15;
	return arena_used <= ARENA_BYTES ? arena + at : NULL;
}

static int is_of_arena(const void *p)
{
	return (uintptr_t)p - (uintptr_t)arena < ARENA_BYTES;
}

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

static void choose_stage(void)
{
	static const char *const names[] = {[FORWARD] = "forward", [TABLE] = "table", [COUNTS] = "counts", [STACK] = "stack"};
	const char *name = getenv("FLOOR"), *deep = getenv("FLOOR_FRAMES");
	enum stage asked = FORWARD;
	for (enum stage s = FORWARD; s <= STACK; s++)
		asked = name && !strcmp(name, names[s]) ? s : asked;
	frames = deep && atoi(deep) > 0 ? (uint32_t)atoi(deep) : 1;
	frames = frames < FRAMES_MOST ? frames : FRAMES_MOST;
	if (asked == FORWARD || !(table = map(sizeof *table << SLOT_BITS)) || !(rows = map(sizeof *rows * THREADS)))
		return;
	stage = asked;
}

/* true: the functions are there. Called before threads are. */
static __attribute__((cold, noinline)) int find_real(void)
{
	static int looking;
	if (looking)
		return 0;
	looking = 1;
	*(void **)&real.calloc = dlsym(RTLD_NEXT, "calloc");
	*(void **)&real.realloc = dlsym(RTLD_NEXT, "realloc");
	*(void **)&real.free = dlsym(RTLD_NEXT, "free");
	*(void **)&real.posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
	*(void **)&real.aligned_alloc = dlsym(RTLD_NEXT, "aligned_alloc");
	*(void **)&real.memalign = dlsym(RTLD_NEXT, "memalign");
	choose_stage();
	*(void **)&real.malloc = dlsym(RTLD_NEXT, "malloc");
	return real.malloc != NULL;
}

static inline int is_ready(void)
{
	return __builtin_expect(real.malloc != NULL, 1) || find_real();
}

/* ---- the table -------------------------------------------------------------------------------------- */

/* The lowest 36 bits of address >> 4, of which the slot says 27 already, and the size. */
static inline uint64_t word_of(const void *p, uint64_t size)
{
	size = size < (1u << SIZE_BITS) ? size : (1u << SIZE_BITS) - 1;
	return (uintptr_t)p >> 4 << SIZE_BITS | size;
}

static inline _Atomic uint64_t *slot_of(const void *p, uint32_t probe)
{
	return &table[(((uintptr_t)p >> 4) + probe) & ((1u << SLOT_BITS) - 1)];
}

static inline int put(const void *p, uint64_t size)
{
	for (uint32_t probe = 0; probe < PROBES; probe++) {
		uint64_t empty = 0;
		if (atomic_compare_exchange_strong_explicit(slot_of(p, probe), &empty, word_of(p, size), memory_order_release,
							    memory_order_relaxed))
			return 1;
	}
	return 0;
}

/* Its size; UINT64_MAX: it is not there. */
static inline uint64_t take(const void *p)
{
	for (uint32_t probe = 0; probe < PROBES; probe++) {
		uint64_t word = atomic_load_explicit(slot_of(p, probe), memory_order_acquire);
		if ((word ^ word_of(p, 0)) >> SIZE_BITS == 0 && word) {
			atomic_store_explicit(slot_of(p, probe), 0, memory_order_release);
			return word & ((1u << SIZE_BITS) - 1);
		}
	}
	return UINT64_MAX;
}

/* ---- the counts ------------------------------------------------------------------------------------- */

static __attribute__((cold, noinline)) struct row *new_row(void)
{
	uint32_t n = atomic_fetch_add_explicit(&rows_used, 1, memory_order_relaxed);
	return own_row = &rows[n < THREADS ? n : THREADS - 1];
}

static inline struct row *row_now(void)
{
	return __builtin_expect(own_row != NULL, 1) ? own_row : new_row();
}

/* ---- the stack -------------------------------------------------------------------------------------- */

/* pthread_getattr_np allocates: for that the thread has one already, of which no word is in reach. */
static __attribute__((cold, noinline)) struct seen *new_seen(void)
{
	static struct seen none;
	pthread_attr_t attributes;
	void *low = NULL;
	size_t bytes = 0;
	own_seen = &none;
	if (!pthread_getattr_np(pthread_self(), &attributes)) {
		(void)pthread_attr_getstack(&attributes, &low, &bytes);
		(void)pthread_attr_destroy(&attributes);
	}
	struct seen *made = map(sizeof *made + (sizeof *made->words * frames << PLACE_BITS));
	if (made) {
		made->low = low;
		made->end = (const uintptr_t *)(const void *)((char *)low + bytes);
	}
	return own_seen = made ? made : &none;
}

/* The words from `sp` on, of an event that returns to `pc`. */
static inline void look_at(const void *pc, const uintptr_t *sp)
{
	struct seen *seen = __builtin_expect(own_seen != NULL, 1) ? own_seen : new_seen();
	if (sp < seen->low || sp >= seen->end)
		return;
	uint64_t place = ((uintptr_t)pc + (uintptr_t)sp * 8) * 0x9e3779b97f4a7c15u >> (64 - PLACE_BITS);
	uint32_t there = (uint32_t)(seen->end - sp) / FRAME_WORDS, most = there < frames ? there : frames;
	uintptr_t *kept = seen->words + place * frames, differ = 0;
	if (__builtin_expect(!*kept, 0))
		for (uint32_t i = 0; i < most; i++)
			kept[i] = sp[i * FRAME_WORDS];
#pragma GCC unroll 4
	for (uintptr_t *end = kept + most; kept != end; kept++, sp += FRAME_WORDS)
		differ |= *kept ^ *sp;
	seen->changed += differ != 0;
}

/* In line, of a function of the family. */
#define ALLOCATED(p, size) allocated((p), (size), __builtin_return_address(0), __builtin_frame_address(0))

static inline __attribute__((always_inline)) void *allocated(void *p, uint64_t size, const void *pc, const uintptr_t *sp)
{
	if (stage == FORWARD || !p)
		return p;
	int there = put(p, size);
	if (stage < COUNTS)
		return p;
	if (stage == STACK)
		look_at(pc, sp);
	struct row *row = row_now();
	row->alloc_blocks++;
	row->alloc_bytes += size;
	row->missed += !there;
	return p;
}

static inline void freeing(void *p)
{
	if (stage == FORWARD || !p)
		return;
	uint64_t size = take(p);
	if (stage < COUNTS || size == UINT64_MAX)
		return;
	struct row *row = row_now();
	row->freed_blocks++;
	row->freed_bytes += size;
}

/* ---- the family --------------------------------------------------------------------------------------- */

void *malloc(size_t size)
{
	return is_ready() ? ALLOCATED(real.malloc(size), size) : from_arena(size);
}

void *calloc(size_t count, size_t size)
{
	return is_ready() ? ALLOCATED(real.calloc(count, size), count * size) : from_arena(count * size);
}

void free(void *p)
{
	if (is_of_arena(p) || !is_ready())
		return;
	freeing(p);
	real.free(p);
}

/* The old block goes before the real call: one that fails is forgotten, as is the rest of one that grew. */
void *realloc(void *old, size_t size)
{
	if (is_of_arena(old) || !is_ready()) {
		void *p = is_ready() ? malloc(size) : from_arena(size);
		size_t most = old ? (size_t)(arena + ARENA_BYTES - (char *)old) : 0;
		return p && old ? memcpy(p, old, size < most ? size : most) : p;
	}
	freeing(old);
	return ALLOCATED(real.realloc(old, size), size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
	int error = is_ready() ? real.posix_memalign(out, alignment, size) : ENOMEM;
	if (!error)
		ALLOCATED(*out, size);
	return error;
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return is_ready() ? ALLOCATED(real.aligned_alloc(alignment, size), size) : NULL;
}

void *memalign(size_t alignment, size_t size)
{
	return is_ready() ? ALLOCATED(real.memalign(alignment, size), size) : NULL;
}

/* ---- what it saw ---------------------------------------------------------------------------------------- */

static __attribute__((constructor)) void begin(void)
{
	(void)is_ready();
}

static __attribute__((destructor)) void tell(void)
{
	const char *path = getenv("FLOOR_TELL");
	char text[160];
	struct row sum = {0};
	if (!path || !rows)
		return;
	for (uint32_t i = 0; i < THREADS && i < rows_used; i++) {
		sum.alloc_blocks += rows[i].alloc_blocks;
		sum.alloc_bytes += rows[i].alloc_bytes;
		sum.freed_blocks += rows[i].freed_blocks;
		sum.missed += rows[i].missed;
	}
	int length = snprintf(text, sizeof text, "%llu allocated, %llu bytes, %llu freed, %llu missed\n",
			      (unsigned long long)sum.alloc_blocks, (unsigned long long)sum.alloc_bytes,
			      (unsigned long long)sum.freed_blocks, (unsigned long long)sum.missed);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd >= 0 && write(fd, text, (size_t)length) == length)
		close(fd);
}
