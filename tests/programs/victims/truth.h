/*
 * truth: what a victim knows about its own blocks, per call path, kept in a mapped file that outlives it.
 *
 * Used by the victims; read by tests/programs/truth.py, which compares it with `mtrace report --json`. A victim calls
 * truth_open first, names its paths, and puts every allocation between truth_begin and one of the truth_… verbs. The
 * counters belong to one thread each and are plain stores into the mapping, so the file is right after any death; an
 * event that was under way then stands in `pending`, and is the only one on which the tracker may differ.
 * Nothing here allocates. Bound: TRUTH_PATHS paths, TRUTH_THREADS threads.
 *
 * A path's name is the chain of functions from the allocation outwards, joined by '<'. Only functions whose names
 * begin with "truth_" or "Truth" count; a function that calls itself stands there once.
 */
#ifndef TRUTH_H
#define TRUTH_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TRUTH_PATHS = 512, TRUTH_THREADS = 64, TRUTH_NAME_BYTES = 120 };

/* noipa: no inlining, no clones, no merged twins. truth_stay() after a call keeps it from becoming a jump. */
#define TRUTH_FUNCTION __attribute__((noipa))
#define truth_stay() __asm__ volatile("" ::: "memory")

struct truth_count {
	uint64_t alloc_blocks, alloc_bytes, freed_blocks, freed_bytes;
};

/* An event under way: an allocation on `path`, and for realloc also the end of a block of `old_path`. */
struct truth_pending {
	volatile uint32_t active;
	uint32_t path, old_path; /* path + 1; 0 none */
	uint32_t reserved;
	uint64_t bytes, old_bytes;
};

struct truth_thread {
	struct truth_pending pending;
	struct truth_count counts[TRUTH_PATHS];
};

struct truth_file {
	char magic[8]; /* "TRUTH 1\n" */
	uint32_t pid;
	uint32_t path_count;
	uint32_t thread_count;
	uint32_t complete; /* 1: every thread stood still when the victim ended */
	uint64_t cross_frees; /* blocks freed by another thread than their own */
	char kind[16];     /* of blocks, as in the report */
	uint64_t reserved[2];
	char names[TRUTH_PATHS][TRUTH_NAME_BYTES];
	struct truth_thread threads[TRUTH_THREADS];
};

/* What a thread needs to free a block that another one made. */
struct truth_block {
	void *pointer;
	uint64_t bytes;
	uint32_t path;
	uint32_t owner;
};

extern struct truth_file *truth;
extern __thread struct truth_thread *truth_me;

static inline void truth_die(const char *what)
{
	perror(what);
	_exit(99);
}

static inline struct truth_file *open_truth_file(const char *path, const char *kind)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(struct truth_file)))
		truth_die(path);
	void *p = mmap(NULL, sizeof(struct truth_file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		truth_die("mmap");
	close(fd);
	struct truth_file *file = (struct truth_file *)p;
	memcpy(file->magic, "TRUTH 1\n", 8);
	file->pid = (uint32_t)getpid();
	strncpy(file->kind, kind, sizeof file->kind - 1);
	return file;
}

static inline void truth_join_thread(uint32_t index)
{
	if (index >= TRUTH_THREADS)
		truth_die("too many threads");
	truth_me = &truth->threads[index];
	if (__atomic_load_n(&truth->thread_count, __ATOMIC_RELAXED) <= index)
		__atomic_store_n(&truth->thread_count, index + 1, __ATOMIC_RELAXED);
}

static inline uint32_t truth_name_path(const char *name)
{
	uint32_t path = truth->path_count++;
	if (path >= TRUTH_PATHS || strlen(name) >= TRUTH_NAME_BYTES)
		truth_die("too many paths");
	strcpy(truth->names[path], name);
	return path;
}

/* ---- events: begin, the real call, then what became of it ---------------------------------------- */

static inline void truth_begin_realloc(uint32_t path, uint64_t bytes, const struct truth_block *old)
{
	struct truth_pending *p = &truth_me->pending;
	p->path = path + 1;
	p->bytes = bytes;
	p->old_path = old && old->pointer ? old->path + 1 : 0;
	p->old_bytes = old && old->pointer ? old->bytes : 0;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	p->active = 1;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void truth_begin(uint32_t path, uint64_t bytes)
{
	truth_begin_realloc(path, bytes, NULL);
}

static inline void truth_end(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	truth_me->pending.active = 0;
}

static inline void truth_count_alloc(uint32_t path, uint64_t bytes)
{
	truth_me->counts[path].alloc_blocks++;
	truth_me->counts[path].alloc_bytes += bytes;
}

static inline void truth_count_free(uint32_t path, uint64_t bytes)
{
	truth_me->counts[path].freed_blocks++;
	truth_me->counts[path].freed_bytes += bytes;
}

/* A block that came of the call begun last. */
static inline struct truth_block truth_got(uint32_t path, void *pointer, uint64_t bytes)
{
	struct truth_block b = {pointer, bytes, path, (uint32_t)(truth_me - truth->threads)};
	if (!pointer)
		truth_die("an allocation failed");
	truth_count_alloc(path, bytes);
	truth_end();
	return b;
}

static inline void truth_free_with(struct truth_block b, void (*release)(void *))
{
	if (!b.pointer)
		return;
	struct truth_pending *p = &truth_me->pending;
	p->path = 0;
	p->bytes = 0;
	p->old_path = b.path + 1;
	p->old_bytes = b.bytes;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	p->active = 1;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	errno = 4321;
	release(b.pointer);
	if (errno != 4321)
		truth_die("free changed errno");
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	truth_count_free(b.path, b.bytes);
	if (b.owner != (uint32_t)(truth_me - truth->threads))
		__atomic_fetch_add(&truth->cross_frees, 1, __ATOMIC_RELAXED);
	truth_end();
}

static inline void truth_free(struct truth_block b)
{
	truth_free_with(b, free);
}

/* ---- blocks that no thread owns: whoever swaps a slot's frees what was there, mostly another thread's ---- */

struct truth_slot {
	int lock;
	struct truth_block block;
};

static inline struct truth_block truth_swap(struct truth_slot *slot, struct truth_block block)
{
	while (__atomic_exchange_n(&slot->lock, 1, __ATOMIC_ACQUIRE))
		sched_yield();
	struct truth_block old = slot->block;
	slot->block = block;
	__atomic_store_n(&slot->lock, 0, __ATOMIC_RELEASE);
	return old;
}

/* ---- randomness: xorshift, seeded by the thread, so that every run does the same ------------------- */

static inline uint32_t truth_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 32);
}

/* ---- endings --------------------------------------------------------------------------------------- */

static inline void truth_end_process(const char *how)
{
	static int *volatile nowhere;
	if (!strcmp(how, "exit"))
		exit(7);
	if (!strcmp(how, "_exit"))
		_exit(8);
	if (!strcmp(how, "quick_exit"))
		quick_exit(9);
	if (!strcmp(how, "abort"))
		abort();
	if (!strcmp(how, "segv"))
		*nowhere = 1;
	if (!strcmp(how, "kill"))
		kill(getpid(), SIGKILL);
	if (!strcmp(how, "term"))
		kill(getpid(), SIGTERM);
}

#endif
