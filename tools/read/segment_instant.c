/*
 * segment_instant: what every row counts at one instant, and no more: see read.h. Of blocks in the live table live is
 * allocated less freed, as the rows say, which is exact but for one event in flight per thread; the range map and the
 * table of threads say it of theirs. Once the table of live blocks was full, frees of what is not in it are in no count:
 * from then on it is always walked, and decides what is live, as it does in a report.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "read/read.h"
#include "read/segment.h"

#define TICK_NS (1000000000u / MTRACE_TICKS_PER_SECOND)

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* The order of copying is that of segment.h. */
static void copy_parts(struct segment *s, const struct read_instant *instant)
{
	static const enum mtrace_region_id live[] = {MTRACE_REGION_LIVE_ROOT, MTRACE_REGION_LIVE_CHUNKS,
	                                             MTRACE_REGION_LIVE_LEAVES, MTRACE_REGION_LIVE_LINES, MTRACE_REGION_LIVE_HUGE};
	segment_copy_ranges(s);
	for (size_t i = 0; instant->walk && i < sizeof live / sizeof live[0]; i++)
		segment_copy_region(s, live[i]);
	segment_copy_region(s, MTRACE_REGION_THREADS);
	segment_copy_counts(s);
	if (s->regions[MTRACE_REGION_ROWS].count > instant->kind_count)
		segment_copy_region(s, MTRACE_REGION_NODES);
}

/* ---- kinds ---- */

static unsigned char kind_of(const struct segment *s, uint32_t node)
{
	for (uint32_t steps = 0; node >= MTRACE_FIRST_NODE; steps++) {
		const struct mtrace_node *n = segment_element(s, MTRACE_REGION_NODES, node);
		if (!n || steps > MTRACE_MAX_DEPTH + 2)
			return MTRACE_KIND_NONE;
		node = (uint32_t)(n->key >> 32);
	}
	return node < MTRACE_KIND_COUNT ? (unsigned char)node : MTRACE_KIND_NONE;
}

/* A row that was handed out and has counted nothing yet may not say its node: all from the first of these on are asked
   again next time. */
static int learn_kinds(const struct segment *s, struct read_instant *instant)
{
	size_t rows = s->regions[MTRACE_REGION_ROWS].count, id = instant->kind_count ? instant->kind_count : 1;
	if (rows <= instant->kind_count)
		return 0;
	unsigned char *more = realloc(instant->kinds, rows);
	if (!more)
		return -ENOMEM;
	instant->kinds = more;
	for (size_t i = id; i < rows; i++) {
		const struct mtrace_row *row = segment_element(s, MTRACE_REGION_ROWS, i);
		more[i] = s->counts_of_row[i].alloc_blocks ? kind_of(s, row->node) : (unsigned char)MTRACE_KIND_NONE;
	}
	while (id < rows && more[id] != MTRACE_KIND_NONE)
		id++;
	instant->kind_count = id;
	return 0;
}

/* ---- live ---- */

static void add_threads(struct segment *s)
{
	uint64_t rows = s->regions[MTRACE_REGION_ROWS].count, count = s->regions[MTRACE_REGION_THREADS].count;
	for (uint64_t id = 1; id < count; id++) {
		const struct mtrace_thread *t = segment_element(s, MTRACE_REGION_THREADS, id);
		if (t->tid == 0 || t->ended || t->row == 0 || t->row >= rows)
			continue;
		s->live_of_row[t->row].blocks++;
		s->live_of_row[t->row].bytes = profile_sum(s->live_of_row[t->row].bytes, t->stack_bytes);
	}
}

/* Groups of class 0 are of this age at most: with now_tick one past the last tick that counts as old, these are young. */
static void add_old(struct segment *s, struct read_instant *instant)
{
	const struct profile_process *process = s->process;
	uint64_t limit = instant->born_before_ns / TICK_NS;
	for (uint32_t i = 0; i < process->live_count; i++) {
		const struct profile_live *live = &process->live[i];
		if (live->stack < instant->row_count && live->birth_tick <= limit)
			instant->rows[live->stack].old_blocks += live->blocks;
	}
}

static void fill_rows(const struct segment *s, struct read_instant *instant)
{
	bool was_full = segment_header(s)->counters[MTRACE_COUNTER_drop_live_full] != 0;
	for (size_t id = 1; id < instant->row_count; id++) {
		const struct segment_counts *c = &s->counts_of_row[id];
		const struct segment_live_row *live = &s->live_of_row[id];
		struct read_row *row = &instant->rows[id];
		enum mtrace_kind kind = (enum mtrace_kind)instant->kinds[id];
		bool is_block = profile_lives_in_table(kind);
		bool by_table = kind == MTRACE_KIND_MMAP || kind == MTRACE_KIND_THREAD || (is_block && was_full);
		row->alloc_blocks = c->alloc_blocks;
		row->live_blocks = by_table ? live->blocks : less(c->alloc_blocks, c->freed_blocks);
		row->live_bytes = by_table ? live->bytes : less(c->alloc_bytes, c->freed_bytes);
		row->freed_blocks = less(row->alloc_blocks, row->live_blocks);
		if ((is_block && instant->walk) || kind == MTRACE_KIND_MMAP)
			row->tabled_blocks = live->blocks;
	}
}

/* ---- entry ---- */

static int take(struct segment *s, struct read_instant *instant)
{
	uint64_t rows = s->regions[MTRACE_REGION_ROWS].count;
	s->live_of_row = profile_alloc(s->profile, rows, sizeof *s->live_of_row);
	s->now_tick = instant->born_before_ns / TICK_NS + 1;
	segment_read_threads(s);
	if (instant->walk)
		segment_read_live(s);
	segment_read_ranges(s);
	segment_finish_live(s);
	add_threads(s);
	int code = learn_kinds(s, instant);
	instant->rows = calloc(rows + 1, sizeof *instant->rows);
	if (code != 0 || !instant->rows)
		return -ENOMEM;
	instant->row_count = rows;
	fill_rows(s, instant);
	if (instant->walk)
		add_old(s, instant);
	return 0;
}

int read_instant(int fd, struct read_instant *instant)
{
	struct segment s = {.fd = fd, .path = "segment", .alive = segment_is_locked(fd)};
	uint64_t begun = now_ns();
	free(instant->rows);
	instant->rows = NULL;
	instant->row_count = 0;
	int code = segment_copy_head(&s);
	if (code == 0 && !segment_is_readable(&s))
		code = -EINVAL;
	if (code != 0)
		return code;
	const struct mtrace_header *h = segment_header(&s);
	instant->walk |= h->counters[MTRACE_COUNTER_drop_live_full] != 0;
	instant->alive = s.alive;
	instant->committed_bytes = h->committed_bytes;
	uint64_t start = h->mono_start_ns, end = s.alive || !h->end_mono_ns ? begun : h->end_mono_ns;
	instant->time_ns = less(end, start);
	s.profile = profile_new();
	s.process = profile_add_process(s.profile);
	copy_parts(&s, instant);
	code = take(&s, instant);
	segment_copy_free(&s);
	profile_free(s.profile);
	instant->cost_ns = now_ns() - begun;
	return code;
}

bool read_is_running(int fd)
{
	return segment_is_locked(fd);
}

void read_instant_free(struct read_instant *instant)
{
	free(instant->rows);
	free(instant->kinds);
	*instant = (struct read_instant){.walk = false};
}
