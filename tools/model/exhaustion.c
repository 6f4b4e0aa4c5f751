/*
 * exhaustion: see exhaustion.h.
 */
#include "model/exhaustion.h"

#include <stdlib.h>

#include "die.h"

#define TICK_NS (1000000000u / MTRACE_TICKS_PER_SECOND)

static int by_stack(const void *a, const void *b)
{
	const struct exhaustion_threads *x = a, *y = b;
	return (x->stack > y->stack) - (x->stack < y->stack);
}

static int most_first(const void *a, const void *b)
{
	const struct exhaustion_threads *x = a, *y = b;
	int order = (x->threads < y->threads) - (x->threads > y->threads);
	return order ? order : by_stack(a, b);
}

static bool was_there(const struct profile_thread *t, uint64_t tick)
{
	return t->start_tick <= tick && (!t->ended || t->end_tick > tick);
}

size_t exhaustion_threads(const struct profile_process *process, const struct profile_exhaustion *x,
                          struct exhaustion_threads **groups, uint32_t *all)
{
	struct exhaustion_threads *list = calloc(process->thread_count + 1u, sizeof *list);
	size_t count = 0, kept = 0;
	if (!list)
		die(2, "out of memory");
	for (uint32_t i = 0; i < process->thread_count; i++)
		if (was_there(&process->threads[i], x->time_ns / TICK_NS))
			list[count++] = (struct exhaustion_threads){process->threads[i].stack, 1};
	*all = (uint32_t)count;
	qsort(list, count, sizeof *list, by_stack);
	for (size_t i = 0; i < count; i++) {
		if (kept && list[kept - 1].stack == list[i].stack)
			list[kept - 1].threads++;
		else
			list[kept++] = list[i];
	}
	qsort(list, kept, sizeof *list, most_first);
	*groups = list;
	return kept;
}
