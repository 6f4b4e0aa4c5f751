/*
 * victim_growth: holds memory as programs do, window by window: `victim_growth KIND SEED`. Each byte of stdin is a window;
 * it makes the mark "window" and answers with a '.' on stdout when all of the window is done. test_tools_growth and leaks.py
 * have it judged. Kinds: leak slow steps cache lru pool lazy init spike, of malloc; maps map_steps map_lru, of mmap; threads,
 * workers, of threads. All blocks come from one place.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mtrace.h"

enum { MOST = 200000, THREADS_MOST = 1000 };

static void *held[MOST]; /* oldest first, from `oldest` on, as a ring */
static size_t oldest, count;
static uint64_t state;

static uint64_t below(uint64_t limit)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (state >> 33) % limit;
}

/* ---- blocks of three kinds ---- */

static void *take_heap(size_t size)
{
	void *block = malloc(size);
	if (block)
		memset(block, 1, size < 64 ? size : 64);
	return block;
}

static void *take_map(size_t size)
{
	size_t *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	*map = size;
	return map;
}

static void give_map(void *map)
{
	munmap(map, *(size_t *)map);
}

static struct worker {
	pthread_t thread;
	sem_t end;
	int busy;
} workers[THREADS_MOST];

static void *wait_for_the_end(void *end)
{
	while (sem_wait(end))
		;
	return NULL;
}

static void *take_thread(size_t size)
{
	pthread_attr_t attributes;
	struct worker *w = workers;
	while (w < workers + THREADS_MOST && w->busy)
		w++;
	if (w == workers + THREADS_MOST || pthread_attr_init(&attributes) || pthread_attr_setstacksize(&attributes, size))
		return NULL;
	w->busy = !sem_init(&w->end, 0, 0) && !pthread_create(&w->thread, &attributes, wait_for_the_end, &w->end);
	return w->busy ? w : NULL;
}

static void give_thread(void *worker)
{
	struct worker *w = worker;
	sem_post(&w->end);
	pthread_join(w->thread, NULL);
	w->busy = 0;
}

static void *(*take)(size_t) = take_heap;
static void (*give)(void *) = free;

__attribute__((noinline)) static void hold(size_t size)
{
	void *block = take(size);
	if (!block || count == MOST)
		_exit(3);
	held[(oldest + count++) % MOST] = block;
}

static void hold_some(uint64_t blocks, size_t size)
{
	for (uint64_t i = 0; i < blocks; i++)
		hold(size);
	__asm__ volatile(""); /* the last one is no jump: it would be another stack */
}

static void drop_oldest(uint64_t blocks)
{
	for (; blocks > 0 && count > 0; blocks--) {
		give(held[oldest]);
		oldest = (oldest + 1) % MOST;
		count--;
	}
}

static void leak(int w) { (void)w; hold_some(1 + below(9), 200); }
static void slow(int w) { (void)w; hold_some(below(2), 5000); }
static void steps(int w) { if (w % 40 == 7 || w % 40 == 8) hold_some(240, 65536); }
static void cache(int w) { (void)w; hold_some(20 + below(20), 1000); if (count > 3000) drop_oldest(count - 3000); }
static void lru(int w)
{
	for (uint64_t come = w ? 5 + below(30) : 2000; come > 0; come--)
		hold(100 + below(900));
	if (count > 2000)
		drop_oldest(count - 2000);
}

static void pool(int w) { if (w == 0 || (w & (w - 1)) == 0) hold_some(1, 65536u << (w < 64 ? w / 8 : 8)); }
static void lazy(int w) { hold_some(30 + below(30), 300); if (w % 17 == 16) drop_oldest(count); }
static void init(int w) { if (w >= 60 && w < 63) hold_some(500 + below(500), 700); else if (w == 0) hold_some(100, 700); }
static void spike(int w) { if (w == 0) hold_some(50, 400); if (w >= 70 && w < 80) hold_some(300, 400); if (w == 85) drop_oldest(count - 50); }

static void maps(int w) { (void)w; hold_some(1 + below(3), 65536); }
static void map_steps(int w) { if (w % 40 == 7 || w % 40 == 8) hold_some(15, 1 << 20); }
static void map_lru(int w) { hold_some(w ? 5 + below(10) : 400, 40960); if (count > 400) drop_oldest(count - 400); }
static void threads(int w) { (void)w; hold_some(below(3), 65536); }
static void pool_of_threads(int w) { hold_some(w ? below(3) : 30, 65536); if (count > 30) drop_oldest(count - 30); }

/* Short-lived blocks of the same place, in every window, but for those that have none of their own. */
static void traffic(void)
{
	uint64_t blocks = below(take == take_thread ? 4 : 40);
	size_t kept = count;
	hold_some(blocks, take == take_thread ? 65536 : 64);
	while (count > kept)
		give(held[(oldest + --count) % MOST]);
}

static const struct {
	const char *name;
	void (*window)(int w);
	void *(*take)(size_t);
	void (*give)(void *);
} kinds[] = {{"leak", leak, take_heap, free}, {"slow", slow, take_heap, free}, {"steps", steps, take_heap, free},
             {"cache", cache, take_heap, free}, {"lru", lru, take_heap, free}, {"pool", pool, take_heap, free},
             {"lazy", lazy, take_heap, free}, {"init", init, take_heap, free}, {"spike", spike, take_heap, free},
             {"maps", maps, take_map, give_map}, {"map_steps", map_steps, take_map, give_map},
             {"map_lru", map_lru, take_map, give_map}, {"threads", threads, take_thread, give_thread},
             {"workers", pool_of_threads, take_thread, give_thread}};

int main(int argc, char **argv)
{
	char byte;
	size_t kind = 0;
	while (argc == 3 && kind < sizeof kinds / sizeof kinds[0] && strcmp(argv[1], kinds[kind].name) != 0)
		kind++;
	if (argc != 3 || kind == sizeof kinds / sizeof kinds[0])
		return 2;
	state = strtoull(argv[2], NULL, 10);
	take = kinds[kind].take;
	give = kinds[kind].give;
	for (int w = 0; read(0, &byte, 1) == 1; w++) {
		kinds[kind].window(w);
		traffic();
		mtrace_mark("window");
		if (write(1, ".", 1) != 1)
			return 3;
	}
	return 0;
}
