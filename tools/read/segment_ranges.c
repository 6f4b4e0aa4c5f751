/*
 * segment_ranges: the map of mmap'ed ranges: the copy that is current, then the log's operations that it does not
 * have yet, applied here as the shim would apply them. Later operations overwrite earlier ones (MAP_FIXED over what
 * exists is the normal case of a JVM), so a range may end up in pieces; one of them stands for the block. What
 * went by operations that a killed process had not told its rows of is told to history here, in the same way.
 */
#include <stdlib.h>
#include <string.h>

#include "die.h"
#include "read/segment.h"

struct map {
	struct segment *s;
	struct mtrace_range *ranges; /* sorted by start, disjoint */
	size_t count, capacity;
	uint32_t epoch; /* of the operation that is being applied … */
	bool tells;     /* … which its rows do not know of */
};

static bool is_row(const struct segment *s, uint32_t row)
{
	return row != 0 && row < s->regions[MTRACE_REGION_ROWS].count && row < 1u << MTRACE_SLOT_ROW_BITS;
}

/* The first range that ends after `address`. */
static size_t first_after(const struct map *m, uint64_t address)
{
	size_t low = 0, high = m->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (m->ranges[middle].end > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void insert_at(struct map *m, size_t at, struct mtrace_range range)
{
	if (m->count == m->capacity) {
		m->capacity = m->capacity ? 2 * m->capacity : 1024;
		m->ranges = reallocarray(m->ranges, m->capacity, sizeof *m->ranges);
		if (!m->ranges)
			die(2, "out of memory for the map of ranges");
	}
	memmove(m->ranges + at + 1, m->ranges + at, (m->count - at) * sizeof *m->ranges);
	m->ranges[at] = range;
	m->count++;
}

static void remove_at(struct map *m, size_t at, size_t n)
{
	if (n == 0)
		return;
	memmove(m->ranges + at, m->ranges + at + n, (m->count - at - n) * sizeof *m->ranges);
	m->count -= n;
}

/* b is the rest of a's block, and a stands for it. */
static bool is_rest(const struct mtrace_range *a, const struct mtrace_range *b)
{
	return a->end == b->start && a->row == b->row && a->tick == b->tick && b->thread_flags & MTRACE_RANGE_PART &&
	       (a->thread_flags ^ b->thread_flags) == MTRACE_RANGE_PART;
}

/* Range `at` goes: its block stays with what is left of it. */
static void let_go(struct map *m, size_t at)
{
	struct mtrace_range *r = &m->ranges[at];
	if (at + 1 < m->count && is_rest(r, r + 1)) {
		r->thread_flags |= MTRACE_RANGE_PART;
		r[1].thread_flags &= ~MTRACE_RANGE_PART;
	}
	if (m->tells)
		segment_add_gone(m->s, r->row, m->epoch, !(r->thread_flags & MTRACE_RANGE_PART), r->end - r->start);
}

/* Makes `address` a boundary: a range across it becomes two. */
static void cut(struct map *m, uint64_t address)
{
	size_t at = first_after(m, address);
	if (at == m->count || m->ranges[at].start >= address)
		return;
	struct mtrace_range tail = m->ranges[at];
	m->ranges[at].end = tail.start = address;
	tail.thread_flags |= MTRACE_RANGE_PART;
	insert_at(m, at + 1, tail);
}

/* [from, to): the ranges within [start, end), after cutting at both. */
static void select_ranges(struct map *m, uint64_t start, uint64_t end, size_t *from, size_t *to)
{
	cut(m, start);
	cut(m, end);
	*from = first_after(m, start);
	*to = *from;
	while (*to < m->count && m->ranges[*to].start < end)
		++*to;
}

static void clear(struct map *m, uint64_t start, uint64_t end)
{
	size_t from, to;
	select_ranges(m, start, end, &from, &to);
	for (size_t at = from; at < to; at++)
		let_go(m, at);
	remove_at(m, from, to - from);
}

static void put(struct map *m, const struct mtrace_range_op *op)
{
	clear(m, op->start, op->end);
	insert_at(m, first_after(m, op->start), (struct mtrace_range){
		.start = op->start, .end = op->end, .row = op->row, .tick = op->tick,
		.thread_flags = op->thread << 16 | (op->flags & 0xffff),
	});
}

static void begin_move(struct map *m, const struct mtrace_range_op *op)
{
	size_t from, to;
	select_ranges(m, op->start, op->end, &from, &to);
	for (; from < to; from++)
		m->ranges[from].token = op->token;
}

static void end_move(struct map *m, const struct mtrace_range_op *op)
{
	bool stayed = op->start == op->end;
	size_t kept = 0;
	for (size_t i = 0; i < m->count; i++) {
		if (m->ranges[i].token == op->token && !stayed) {
			let_go(m, i);
			continue;
		}
		struct mtrace_range r = m->ranges[i];
		if (r.token == op->token)
			r.token = 0;
		m->ranges[kept++] = r;
	}
	m->count = kept;
	if (!stayed && op->row != 0)
		put(m, op);
}

static void apply(struct map *m, const struct mtrace_range_op *op)
{
	bool moved_nowhere = op->op == MTRACE_RANGE_MOVE_END && op->start == op->end;
	bool needs_row = op->op == MTRACE_RANGE_MAP || (op->op == MTRACE_RANGE_MOVE_END && op->row != 0);
	if ((op->start >= op->end && !moved_nowhere) || (needs_row && !is_row(m->s, op->row))) {
		m->s->skipped++;
		return;
	}
	switch ((enum mtrace_range_kind)op->op) {
	case MTRACE_RANGE_MAP: put(m, op); break;
	case MTRACE_RANGE_UNMAP: clear(m, op->start, op->end); break;
	case MTRACE_RANGE_MOVE_BEGIN: begin_move(m, op); break;
	case MTRACE_RANGE_MOVE_END: end_move(m, op); break;
	default: m->s->skipped++;
	}
}

/* Takes the current copy; what is out of order, empty or of no row is left out. Returns the sequence it has. */
static uint64_t load_copy(struct map *m)
{
	struct segment *s = m->s;
	const struct mtrace_range_table *table = (const void *)s->regions[MTRACE_REGION_RANGES].bytes;
	uint64_t current = table->current, copy = current & 1;
	const struct segment_region *r = &s->regions[copy ? MTRACE_REGION_RANGES_OTHER : MTRACE_REGION_RANGES];
	uint64_t offset = copy ? 0 : sizeof *table;
	uint64_t there = r->count > offset ? (r->count - offset) / sizeof(struct mtrace_range) : 0;
	uint64_t count = table->count[copy];
	if (count > there) {
		/* the end of a sparse copy may be a hole: then it was empty anyway */
		s->skipped++;
		count = there;
	}
	const struct mtrace_range *ranges = there ? (const void *)(r->bytes + offset) : NULL;
	uint64_t end = 0;
	for (uint64_t i = 0; i < count; i++) {
		const struct mtrace_range *range = &ranges[i];
		if (range->start < end || range->start >= range->end || !is_row(s, range->row)) {
			s->skipped++;
			continue;
		}
		insert_at(m, m->count, *range);
		end = range->end;
	}
	return current >> 1;
}

/* The writer's: older ones had a quarter of today's. */
static uint64_t log_entries(const struct segment *s)
{
	return segment_header(s)->regions[MTRACE_REGION_RANGE_LOG].reserved_bytes / sizeof(struct mtrace_range_op);
}

static const struct mtrace_range_op *committed(const struct segment *s, uint64_t sequence)
{
	const struct mtrace_range_op *op = segment_element(s, MTRACE_REGION_RANGE_LOG, sequence % log_entries(s));
	return op && op->commit == sequence + 1 ? op : NULL;
}

/* The current copy, and the operations that it does not have yet; those from `told` on are told to history. */
static void replay(struct map *m, uint64_t told)
{
	const struct mtrace_range_op *op;
	uint64_t sequence = load_copy(m), end = sequence + log_entries(m->s);
	for (; sequence < end && (op = committed(m->s, sequence)) != NULL; sequence++) {
		m->tells = sequence >= told;
		m->epoch = op->epoch;
		apply(m, op);
	}
}

static const struct mtrace_range_table *table_of(const struct segment *s)
{
	const struct segment_region *r = &s->regions[MTRACE_REGION_RANGES];
	bool is_there = r->count >= sizeof(struct mtrace_range_table) && log_entries(s) > 0;
	return is_there ? (const struct mtrace_range_table *)(const void *)r->bytes : NULL;
}

void segment_read_ranges(struct segment *s)
{
	struct map m = {.s = s};
	if (!table_of(s))
		return;
	replay(&m, UINT64_MAX);
	s->process->ranges = profile_alloc(s->profile, m.count, sizeof *s->process->ranges);
	s->process->range_count = (uint32_t)m.count;
	for (size_t i = 0; i < m.count; i++) {
		const struct mtrace_range *r = &m.ranges[i];
		s->process->ranges[i] = (struct profile_range){r->start, r->end, r->row}; /* a row's id until segment_read_stacks */
		segment_add_live(s, r->row, r->thread_flags >> 16, r->tick, !(r->thread_flags & MTRACE_RANGE_PART), r->end - r->start);
	}
	free(m.ranges);
}

/* Damaged ranges are counted when they are read for what is live. */
void segment_tell_ranges(struct segment *s)
{
	struct map m = {.s = s};
	const struct mtrace_range_table *table = table_of(s);
	uint64_t skipped = s->skipped;
	if (!table || !committed(s, table->told))
		return;
	replay(&m, table->told);
	s->skipped = skipped;
	free(m.ranges);
}
