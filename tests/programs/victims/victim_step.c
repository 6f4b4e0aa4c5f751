/*
 * victim_step: `victim_step FILE`: scenes of one or two calls each, every kind of thing that a record can get: it says in
 * FILE what the scene will add, stops (SIGSTOP), does it, says the next. So who traces it can step through each scene,
 * instruction by instruction, and knows what the record must say all the while.
 */
#include "victim_step.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mtrace.h"

enum { PAGE = 4096, ROUNDS = 5, BULK = 320, DEPTH = 12 };

static struct step_scene *scene;

static void stop(const struct step_scene *s)
{
	*scene = *s;
	raise(SIGSTOP);
}

__attribute__((noinline)) static void *known(size_t size)
{
	void *p = malloc(size);
	__asm__ volatile("" : : "r"(p) : "memory");
	return p;
}

/* A stack of its own for each `path`: two functions that call each other or themselves. */
__attribute__((noinline)) static void *left(uint64_t path, int depth, size_t size);
__attribute__((noinline)) static void *right(uint64_t path, int depth, size_t size)
{
	void *p = depth == 0 ? malloc(size) : path & 1 ? left(path >> 1, depth - 1, size) : right(path >> 1, depth - 1, size);
	__asm__ volatile("" : "+r"(p) : : "memory");
	return p;
}

static void *left(uint64_t path, int depth, size_t size)
{
	void *p = depth == 0 ? malloc(size) : path & 1 ? left(path >> 1, depth - 1, size) : right(path >> 1, depth - 1, size);
	__asm__ volatile("" : "+r"(p) : : "memory");
	return p;
}

static void *allocate(const char *name, size_t size)
{
	struct step_scene s = {.alloc_blocks = 1, .alloc_bytes = (int64_t)size, .live_blocks = 1, .live_bytes = (int64_t)size};
	strcpy(s.name, name);
	stop(&s);
	return known(size);
}

static void release(void *p, size_t size)
{
	stop(&(struct step_scene){.name = "free", .live_blocks = -1, .live_bytes = -(int64_t)size});
	free(p);
}

static void mark(void)
{
	stop(&(struct step_scene){.name = "mark", .marks = 1});
	mtrace_mark("step");
}

static void map_and_unmap(void)
{
	enum { BYTES = 300 * PAGE };
	stop(&(struct step_scene){.name = "map", .mapped_bytes = BYTES, .live_mapped_bytes = BYTES});
	char *p = mmap(NULL, BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mark();
	stop(&(struct step_scene){.name = "unmap a piece", .live_mapped_bytes = -PAGE});
	munmap(p + 4 * PAGE, PAGE);
	stop(&(struct step_scene){.name = "unmap", .live_mapped_bytes = -(BYTES - PAGE)});
	munmap(p, BYTES);
}

static void reallocate(void)
{
	char *p = allocate("malloc", 3000), *in_the_way = allocate("malloc", 3000);
	stop(&(struct step_scene){.name = "realloc in place", .alloc_blocks = 1, .alloc_bytes = 2000, .live_bytes = -1000});
	p = realloc(p, 2000);
	stop(&(struct step_scene){.name = "realloc elsewhere", .alloc_blocks = 1, .alloc_bytes = 50000, .live_bytes = 48000,
	                          .moving_bytes = 50000});
	p = realloc(p, 50000);
	release(p, 50000);
	release(in_the_way, 3000);
}

static void *bulk[BULK];

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDWR) : -1;
	scene = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (scene == MAP_FAILED)
		return 2;
	free(known(100));
	free(known(100)); /* the stack and its page are known, and the memo has the walk */
	release(allocate("malloc", 100), 100);
	mark();
	release(allocate("malloc of a new epoch", 200), 200);
	stop(&(struct step_scene){.name = "malloc of a new stack", .alloc_blocks = 1, .alloc_bytes = 64, .live_blocks = 1,
	                          .live_bytes = 64});
	release(right(0x555, DEPTH, 64), 64);
	stop(&(struct step_scene){.name = "malloc in new pages", .alloc_blocks = 1, .alloc_bytes = 1 << 20, .live_blocks = 1,
	                          .live_bytes = 1 << 20});
	known(1 << 20);
	for (int round = 0; round < ROUNDS; round++) { /* a row's history begins, and moves to a longer array */
		mark();
		release(allocate("malloc after a mark", 48), 48);
	}
	reallocate();
	map_and_unmap();
	mark();
	map_and_unmap();
	for (uint64_t i = 0; i < BULK; i++) {
		stop(&(struct step_scene){.name = "growth", .alloc_blocks = 1, .alloc_bytes = 32, .live_blocks = 1, .live_bytes = 32,
		                          .is_bulk = 1});
		bulk[i] = left(i * 0x9e3779b97f4a7c15u >> 50, DEPTH, 32);
	}
	stop(&(struct step_scene){.name = ""});
	return 0;
}
