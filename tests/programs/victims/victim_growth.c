/*
 * victim_growth: holds memory as programs do, window by window: `victim_growth KIND SEED`. Each byte of stdin is a window;
 * it makes the mark "window" and answers with a '.' on stdout when all of the window is done. test_tools_growth and leaks.py
 * have it judged. Kinds: leak slow steps cache lru pool lazy init spike. All blocks come from one place.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mtrace.h"

enum { MOST = 200000 };

static void *held[MOST]; /* oldest first, from `oldest` on, as a ring */
static size_t oldest, count;
static uint64_t state;

static uint64_t below(uint64_t limit)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (state >> 33) % limit;
}

__attribute__((noinline)) static void hold(size_t size)
{
	void *block = malloc(size);
	if (!block || count == MOST)
		_exit(3);
	memset(block, 1, size < 64 ? size : 64);
	held[(oldest + count++) % MOST] = block;
}

static void hold_some(uint64_t blocks, size_t size)
{
	for (uint64_t i = 0; i < blocks; i++)
		hold(size);
}

static void drop_oldest(uint64_t blocks)
{
	for (; blocks > 0 && count > 0; blocks--) {
		free(held[oldest]);
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

/* Short-lived blocks of the same place, in every window, but for those that have none of their own. */
static void traffic(void)
{
	uint64_t blocks = below(40);
	size_t kept = count;
	hold_some(blocks, 64);
	while (count > kept)
		free(held[(oldest + --count) % MOST]);
}

static const struct {
	const char *name;
	void (*window)(int w);
} kinds[] = {{"leak", leak}, {"slow", slow}, {"steps", steps}, {"cache", cache}, {"lru", lru}, {"pool", pool},
             {"lazy", lazy}, {"init", init}, {"spike", spike}};

int main(int argc, char **argv)
{
	char byte;
	size_t kind = 0;
	while (argc == 3 && kind < sizeof kinds / sizeof kinds[0] && strcmp(argv[1], kinds[kind].name) != 0)
		kind++;
	if (argc != 3 || kind == sizeof kinds / sizeof kinds[0])
		return 2;
	state = strtoull(argv[2], NULL, 10);
	for (int w = 0; read(0, &byte, 1) == 1; w++) {
		kinds[kind].window(w);
		traffic();
		mtrace_mark("window");
		if (write(1, ".", 1) != 1)
			return 3;
	}
	return 0;
}
