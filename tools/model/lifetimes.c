/* lifetimes: see lifetimes.h. */
#include "model/lifetimes.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "die.h"

/* A live block. Open addressing with linear probing; what is taken out is closed up, so nothing is ever a tombstone. */
struct block {
	uint64_t key; /* address and family; 0: empty */
	uint64_t size, tick, operation;
	uint32_t thread, stack;
};

struct lifetimes_state {
	struct block *blocks;
	size_t block_count, mask;
	uint64_t *operations; /* by thread id */
	uint32_t thread_count;
	uint32_t stack_count;
};

static void *must(void *p)
{
	if (!p)
		die(2, "out of memory");
	return p;
}

void lifetimes_begin(struct lifetimes *l, uint32_t stack_count)
{
	enum { FIRST = 1024 };
	*l = (struct lifetimes){.state = must(calloc(1, sizeof *l->state))};
	l->rows = must(calloc((size_t)stack_count + 1, sizeof *l->rows)); /* the last one: stacks that are not known */
	for (uint32_t i = 0; i <= stack_count; i++)
		l->rows[i].stack = i < stack_count ? i : UINT32_MAX;
	l->total.stack = UINT32_MAX;
	l->state->stack_count = stack_count;
	l->state->mask = FIRST - 1;
	l->state->blocks = must(calloc(FIRST, sizeof *l->state->blocks));
}

static void free_state(struct lifetimes *l)
{
	if (!l->state)
		return;
	free(l->state->blocks);
	free(l->state->operations);
	free(l->state);
	l->state = NULL;
}

void lifetimes_free(struct lifetimes *l)
{
	free_state(l);
	free(l->rows);
	*l = (struct lifetimes){.rows = NULL};
}

/* ---- live blocks ---- */

/* Never 0: no block is at address 0. Addresses have 57 bits at most. */
static uint64_t key_of(const struct lifetimes_event *e)
{
	return e->address << 1 | !!(e->what & MTRACE_STREAM_POOL);
}

static size_t place_of(const struct lifetimes_state *s, uint64_t key)
{
	return (size_t)(key * 0x9e3779b97f4a7c15u >> 20) & s->mask;
}

/* Where the key is, or the empty place where it would be. */
static struct block *find(const struct lifetimes_state *s, uint64_t key)
{
	size_t i = place_of(s, key);
	while (s->blocks[i].key && s->blocks[i].key != key)
		i = (i + 1) & s->mask;
	return &s->blocks[i];
}

static void grow(struct lifetimes_state *s)
{
	struct block *old = s->blocks;
	size_t count = s->mask + 1;
	s->mask = 2 * count - 1;
	s->blocks = must(calloc(2 * count, sizeof *s->blocks));
	for (size_t i = 0; i < count; i++)
		if (old[i].key)
			*find(s, old[i].key) = old[i];
	free(old);
}

/* Closes the hole: what comes after it may have been put there for want of this place. */
static void take_out(struct lifetimes_state *s, struct block *b)
{
	size_t hole = (size_t)(b - s->blocks), i = hole;
	for (;;) {
		i = (i + 1) & s->mask;
		if (!s->blocks[i].key)
			break;
		size_t home = place_of(s, s->blocks[i].key);
		if (((i - home) & s->mask) < ((i - hole) & s->mask))
			continue;
		s->blocks[hole] = s->blocks[i];
		hole = i;
	}
	s->blocks[hole].key = 0;
	s->block_count--;
}

/* ---- counting ---- */

static uint64_t *operations_of(struct lifetimes_state *s, uint32_t thread)
{
	if (thread >= s->thread_count) {
		uint32_t count = thread + 64;
		s->operations = must(reallocarray(s->operations, count, sizeof *s->operations));
		memset(s->operations + s->thread_count, 0, (count - s->thread_count) * sizeof *s->operations);
		s->thread_count = count;
	}
	return &s->operations[thread];
}

static struct lifetimes_row *row_of(struct lifetimes *l, uint32_t stack)
{
	uint32_t count = l->state->stack_count;
	return &l->rows[stack < count ? stack : count];
}

static unsigned decade(uint64_t n, uint64_t first, unsigned most)
{
	unsigned i = 0;
	for (uint64_t limit = first; i + 1 < most && n > limit; limit *= 10)
		i++;
	return i;
}

static void count_free(struct lifetimes_row *row, const struct block *b, uint64_t operations, uint64_t ticks, bool elsewhere)
{
	row->freed_blocks++;
	row->freed_bytes += b->size;
	row->elsewhere_blocks += elsewhere;
	row->by_operations[decade(operations, 1, LIFETIMES_OPERATIONS)]++;
	row->by_time[ticks < 2 ? 0 : 1 + decade(ticks, MTRACE_TICKS_PER_SECOND, LIFETIMES_TIMES - 1)]++;
	if (operations == 1 && !elsewhere) {
		row->temporary_blocks++;
		row->temporary_bytes += b->size;
	}
}

static void count_unseen(struct lifetimes *l, struct block *b)
{
	row_of(l, b->stack)->unseen_blocks++;
	l->total.unseen_blocks++;
}

static void count_allocation(struct lifetimes_row *row, uint64_t size)
{
	row->allocated_blocks++;
	row->allocated_bytes += size;
}

static void allocated(struct lifetimes *l, const struct lifetimes_event *e, uint64_t operation)
{
	struct lifetimes_state *s = l->state;
	if (2 * (s->block_count + 1) > s->mask)
		grow(s);
	struct block *b = find(s, key_of(e));
	if (b->key)
		count_unseen(l, b);
	else
		s->block_count++;
	*b = (struct block){key_of(e), e->size, e->tick, operation, e->thread, e->stack};
	count_allocation(row_of(l, e->stack), e->size);
	count_allocation(&l->total, e->size);
}

static void freed(struct lifetimes *l, const struct lifetimes_event *e)
{
	struct lifetimes_state *s = l->state;
	struct block *b = find(s, key_of(e));
	if (!b->key) {
		l->older_blocks++;
		return;
	}
	if (b->stack == e->stack && b->size == e->size) {
		uint64_t operations = *operations_of(s, b->thread) - b->operation, ticks = e->tick > b->tick ? e->tick - b->tick : 0;
		bool elsewhere = b->thread != e->thread;
		count_free(row_of(l, b->stack), b, operations, ticks, elsewhere);
		count_free(&l->total, b, operations, ticks, elsewhere);
	} else { /* another block had the address meanwhile */
		count_unseen(l, b);
		l->older_blocks++;
	}
	take_out(s, b);
}

void lifetimes_take(struct lifetimes *l, const struct lifetimes_event *e)
{
	uint64_t *operations = operations_of(l->state, e->thread);
	switch (e->what & ~MTRACE_STREAM_POOL) {
	case MTRACE_STREAM_ALLOCATED:
		l->events++;
		allocated(l, e, ++*operations);
		break;
	case MTRACE_STREAM_FREED:
		l->events++;
		++*operations;
		freed(l, e);
		break;
	case MTRACE_STREAM_GAP:
		l->lost += e->size;
		*operations += e->size;
		break;
	default: break;
	}
}

/* ---- the end ---- */

static int worst_first(const void *left, const void *right)
{
	const struct lifetimes_row *a = left, *b = right;
	if (a->temporary_blocks != b->temporary_blocks)
		return a->temporary_blocks > b->temporary_blocks ? -1 : 1;
	if (a->allocated_blocks != b->allocated_blocks)
		return a->allocated_blocks > b->allocated_blocks ? -1 : 1;
	return a->stack < b->stack ? -1 : a->stack > b->stack;
}

void lifetimes_finish(struct lifetimes *l)
{
	for (uint32_t i = 0; i <= l->state->stack_count; i++)
		if (l->rows[i].allocated_blocks)
			l->rows[l->row_count++] = l->rows[i];
	qsort(l->rows, l->row_count, sizeof *l->rows, worst_first);
	free_state(l);
}
