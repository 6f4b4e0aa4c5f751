/* memory: storms of handlers that allocate, of realloc across threads, and of mappings. */
#include "storm.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

/* ---- signals: over async_malloc.so, so that only we can be interrupted at a bad time ---------------------------------- */

static __thread struct truth_block handlers_own;
static __thread uint64_t handlers_random;

TRUTH_FUNCTION void truth_on_signal(int number)
{
	int saved = errno;
	struct truth_thread *interrupted = truth_me;
	if (!interrupted || interrupted < &truth->threads[LOADS_FIRST] || interrupted >= &truth->threads[DRIVERS_FIRST])
		return;
	uint32_t me = (uint32_t)(interrupted - truth->threads);
	truth_join_thread(HANDLERS_FIRST + me);
	handlers_random += me * 2 + 1;
	uint32_t r = truth_random(&handlers_random);
	handlers_own = truth_grow(GROW_HANDLER, 1 + r % 900, handlers_own);
	if (r % 3 == 0) {
		truth_free(handlers_own);
		handlers_own = truth_take(TAKE_HANDLER, 1 + r % 300);
	}
	(void)number;
	truth_me = interrupted;
	count_round();
	errno = saved;
}

enum { SIGNAL_LOADS = 3 };

static void *load_on_two_stacks(void *argument)
{
	static char rooms[SIGNAL_LOADS][128 << 10];
	stack_t other = {.ss_sp = rooms[(uintptr_t)argument - LOADS_FIRST], .ss_size = sizeof rooms[0]};
	if (sigaltstack(&other, NULL))
		truth_die("sigaltstack");
	return load(argument);
}

void storm_signals(void)
{
	struct sigaction action = {.sa_handler = truth_on_signal, .sa_flags = SA_RESTART};
	sigaddset(&action.sa_mask, SIGUSR1);
	sigaddset(&action.sa_mask, SIGUSR2);
	sigaction(SIGUSR1, &action, NULL);
	action.sa_flags |= SA_ONSTACK;
	sigaction(SIGUSR2, &action, NULL);
	loads_pause_us = 0;
	uint64_t until = ends_ms;
	ends_ms = UINT64_MAX;
	pthread_t t[SIGNAL_LOADS];
	for (int i = 0; i < SIGNAL_LOADS; i++)
		if (pthread_create(&t[i], NULL, load_on_two_stacks, (void *)(uintptr_t)(LOADS_FIRST + i)))
			truth_die("pthread_create");
	uint64_t random = 3;
	for (; now_ms() + 50 < until || rounds < rounds_least; usleep(20 + truth_random(&random) % 60))
		pthread_kill(t[truth_random(&random) % SIGNAL_LOADS], truth_random(&random) % 2 ? SIGUSR1 : SIGUSR2);
	ends_ms = now_ms() + 50; /* the loads outlive the signals */
	for (int i = 0; i < SIGNAL_LOADS; i++)
		pthread_join(t[i], NULL);
}

/* ---- realloc across threads --------------------------------------------------------------------------------------------- */

void storm_realloc(void)
{
	realloc_share = 2;
	huge_share = 50;
	loads_pause_us = 0;
	rounds_least = 0; /* counted when it is over; thousands in the shortest time that there is */
	run(6, NULL, 0);
	for (int i = LOADS_FIRST; i < LOADS_FIRST + 6; i++)
		rounds += truth->threads[i].counts[GROW_LOAD].alloc_blocks;
}

/* ---- mappings -------------------------------------------------------------------------------------------------------------- */

enum { PAGE = 4096, MAPPINGS = 48 };
struct mapping {
	char *at;
	uint64_t pages;
	uint32_t path;
};

static void begin_mapping(uint32_t path, uint64_t pages, const struct mapping *old)
{
	struct truth_block b = {old && old->at ? old->at : NULL, old ? old->pages * PAGE : 0, old ? old->path : 0, 0};
	truth_begin_realloc(path, pages * PAGE, &b);
}

static void got_mapping(struct mapping *m, void *at, uint64_t pages, uint32_t path)
{
	if (at == MAP_FAILED)
		truth_die("mmap");
	if (m->at)
		truth_count_free(m->path, m->pages * PAGE);
	*m = (struct mapping){at, pages, path};
	truth_got(path, at, pages * PAGE);
}

TRUTH_FUNCTION void truth_map(struct mapping *m, uint64_t pages)
{
	begin_mapping(MAP, pages, NULL);
	got_mapping(m, mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), pages, MAP);
}

TRUTH_FUNCTION void truth_map_over(struct mapping *m)
{
	begin_mapping(MAP_OVER, m->pages, m);
	void *at = mmap(m->at, m->pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	got_mapping(m, at, m->pages, MAP_OVER);
}

TRUTH_FUNCTION void truth_remap(struct mapping *m, uint64_t pages)
{
	begin_mapping(REMAP, pages, m);
	got_mapping(m, mremap(m->at, m->pages * PAGE, pages * PAGE, MREMAP_MAYMOVE), pages, REMAP);
}

static void unmap(struct mapping *m, uint64_t pages)
{
	struct mapping gone = {m->at, pages, m->path};
	begin_mapping(m->path, 0, &gone);
	if (munmap(m->at + (m->pages - pages) * PAGE, pages * PAGE))
		truth_die("munmap");
	truth_count_free(m->path, pages * PAGE);
	m->pages -= pages;
	if (!m->pages)
		m->at = NULL;
	truth_end();
}

static void *mapping_driver(void *argument)
{
	truth_join_thread((uint32_t)(uintptr_t)argument);
	struct mapping mappings[MAPPINGS] = {{NULL, 0, 0}};
	uint64_t random = (uintptr_t)argument;
	while (!is_over()) {
		struct mapping *m = &mappings[truth_random(&random) % MAPPINGS];
		uint64_t pages = 1 + truth_random(&random) % 40;
		uint32_t r = truth_random(&random) % 4;
		free(malloc(pages)); /* a report wants to see some malloc */
		if (!m->at)
			truth_map(m, pages);
		else if (r == 0)
			truth_map_over(m);
		else if (r == 1)
			truth_remap(m, pages);
		else
			unmap(m, r == 2 ? m->pages : (m->pages + 1) / 2);
		count_round();
	}
	return NULL;
}

void storm_mmap(void)
{
	run(0, (void *(*const[])(void *)){mapping_driver, mapping_driver, mapping_driver, mapping_driver}, 4);
}
