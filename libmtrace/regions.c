#include "regions.h"

#include <string.h>

#include "segment.h"

#define LOG_MASK (MTRACE_RANGE_LOG_ENTRIES - 1)
static_assert((MTRACE_RANGE_LOG_ENTRIES & LOG_MASK) == 0, "the log is indexed by a mask");

/* What each copy has, and how many ranges: ours, so that nobody else's hand in the segment leads us out of what is
   committed. Written by the applier only, zero in a new segment. */
static uint64_t copy_sequence[2];
static uint32_t copy_count[2];
static uint64_t told; /* G4 */
static _Atomic uint32_t applying; /* G2, whatever becomes of the table's word, which others may write */

static struct mtrace_range_table *table(void)
{
	return (struct mtrace_range_table *)(void *)segment.base[MTRACE_REGION_RANGES];
}

/* Each copy begins a region, or nearly, so a program with few ranges commits little for either. */
static struct mtrace_range *copy_at(uint32_t index)
{
	return index ? (struct mtrace_range *)(void *)segment.base[MTRACE_REGION_RANGES_OTHER]
		     : (struct mtrace_range *)(table() + 1);
}

static bool copy_has_room(uint32_t index, uint64_t ranges)
{
	uint64_t bytes = ranges * sizeof(struct mtrace_range);
	return index ? segment_ensure(MTRACE_REGION_RANGES_OTHER, bytes)
		     : segment_ensure(MTRACE_REGION_RANGES, sizeof(struct mtrace_range_table) + bytes);
}

static struct mtrace_range_op *op_at(uint64_t sequence)
{
	return (struct mtrace_range_op *)(void *)segment.base[MTRACE_REGION_RANGE_LOG] + (sequence & LOG_MASK);
}

static void gone_unheard(const struct mtrace_range *gone, const struct mtrace_range_op *by)
{
	(void)gone, (void)by;
}

void (*regions_gone)(const struct mtrace_range *gone, const struct mtrace_range_op *by) = gone_unheard;

bool regions_init(void)
{
	copy_sequence[0] = copy_sequence[1] = told = 0;
	copy_count[0] = copy_count[1] = 0;
	atomic_store_explicit(&applying, 0, memory_order_relaxed);
	return segment_ensure(MTRACE_REGION_RANGES, sizeof(struct mtrace_range_table)) &&
	       segment_ensure(MTRACE_REGION_RANGE_LOG, sizeof(struct mtrace_range_op));
}

/* ---- one copy of the map ------------------------------------------------------------------------------- */

struct map {
	struct mtrace_range *at;
	uint32_t count;
	uint32_t index; /* which copy */
	const struct mtrace_range_op *by; /* the operation that is being applied … */
	bool tells;                       /* … for the first time */
};

static void tell_gone(const struct map *m, const struct mtrace_range *r)
{
	if (m->tells)
		regions_gone(r, m->by);
}

/* b is the rest of a's block, and a stands for it. */
static bool is_rest(const struct mtrace_range *a, const struct mtrace_range *b)
{
	return a->end == b->start && a->row == b->row && a->tick == b->tick && b->thread_flags & MTRACE_RANGE_PART &&
	       (a->thread_flags ^ b->thread_flags) == MTRACE_RANGE_PART;
}

/* Range i goes: its block stays with what is left of it. G5 */
static void let_go(struct map *m, uint32_t i)
{
	if (i + 1 < m->count && is_rest(&m->at[i], &m->at[i + 1])) {
		m->at[i].thread_flags |= MTRACE_RANGE_PART;
		m->at[i + 1].thread_flags &= ~MTRACE_RANGE_PART;
	}
	tell_gone(m, &m->at[i]);
}

/* The first range that ends after `address`. */
static uint32_t first_after(const struct map *m, uint64_t address)
{
	uint32_t low = 0, high = m->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (m->at[middle].end > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static bool has_room(const struct map *m)
{
	if (m->count < MTRACE_RANGES_MAX && copy_has_room(m->index, m->count + 1))
		return true;
	segment_count(MTRACE_COUNTER_drop_ranges_full);
	return false;
}

static void insert_at(struct map *m, uint32_t i, const struct mtrace_range *range)
{
	if (!has_room(m)) {
		tell_gone(m, range);
		return;
	}
	memmove(&m->at[i + 1], &m->at[i], (m->count - i) * sizeof *m->at);
	m->at[i] = *range;
	m->count++;
}

static void remove_span(struct map *m, uint32_t first, uint32_t last)
{
	memmove(&m->at[first], &m->at[last], (m->count - last) * sizeof *m->at);
	m->count -= last - first;
}

/* Makes `address` a border: a range across it becomes two. */
static void split(struct map *m, uint64_t address)
{
	uint32_t i = first_after(m, address);
	if (i == m->count || m->at[i].start >= address)
		return;
	struct mtrace_range right = m->at[i];
	right.start = address;
	right.thread_flags |= MTRACE_RANGE_PART;
	m->at[i].end = address;
	insert_at(m, i + 1, &right);
}

/* Everything in [start, end) goes. */
static void clear(struct map *m, uint64_t start, uint64_t end)
{
	split(m, start);
	split(m, end);
	uint32_t first = first_after(m, start), last = first;
	while (last < m->count && m->at[last].start < end)
		let_go(m, last++);
	remove_span(m, first, last);
}

static void apply_map(struct map *m, const struct mtrace_range_op *op)
{
	struct mtrace_range range = {.start = op->start, .end = op->end, .row = op->row, .tick = op->tick,
				     .thread_flags = op->thread << 16 | (op->flags & 0xffff)};
	clear(m, op->start, op->end);
	insert_at(m, first_after(m, op->start), &range);
}

static void apply_move_begin(struct map *m, const struct mtrace_range_op *op)
{
	split(m, op->start);
	split(m, op->end);
	for (uint32_t i = first_after(m, op->start); i < m->count && m->at[i].start < op->end; i++)
		m->at[i].token = op->token;
}

static void apply_move_end(struct map *m, const struct mtrace_range_op *op)
{
	bool moved = op->start != op->end;
	uint32_t kept = 0;
	for (uint32_t i = 0; i < m->count; i++) {
		if (m->at[i].token == op->token && moved) {
			let_go(m, i);
			continue;
		}
		m->at[kept] = m->at[i];
		if (m->at[kept].token == op->token)
			m->at[kept].token = 0;
		kept++;
	}
	m->count = kept;
	if (moved && op->row)
		apply_map(m, op);
}

static void apply(struct map *m, const struct mtrace_range_op *op)
{
	m->by = op;
	switch (op->op) {
	case MTRACE_RANGE_MAP: apply_map(m, op); break;
	case MTRACE_RANGE_UNMAP: clear(m, op->start, op->end); break;
	case MTRACE_RANGE_MOVE_BEGIN: apply_move_begin(m, op); break;
	case MTRACE_RANGE_MOVE_END: apply_move_end(m, op); break;
	default: break;
	}
}

/* ---- applying ---------------------------------------------------------------------------------------- */

static bool is_committed(uint64_t sequence)
{
	return segment_has(MTRACE_REGION_RANGE_LOG, ((sequence & LOG_MASK) + 1) * sizeof(struct mtrace_range_op)) &&
	       atomic_load_explicit(&op_at(sequence)->commit, memory_order_acquire) == sequence + 1; /* pairs: append */
}

/* Brings the copy that is not current up to date and makes it current. */
static void apply_committed(void)
{
	struct mtrace_range_table *t = table();
	uint32_t index = 1 - (uint32_t)(atomic_load_explicit(&t->current, memory_order_relaxed) & 1);
	struct map m = {.at = copy_at(index), .count = copy_count[index], .index = index};
	uint64_t sequence = copy_sequence[index];
	for (; is_committed(sequence); sequence++) {
		m.tells = sequence >= told;
		apply(&m, op_at(sequence));
		if (!m.tells)
			continue;
		told = sequence + 1;
		atomic_store_explicit(&t->told, told, memory_order_release); /* G4; pairs: tools */
	}
	t->count[index] = copy_count[index] = m.count;
	copy_sequence[index] = sequence;
	atomic_store_explicit(&t->current, sequence << 1 | index, memory_order_release); /* G3; pairs: tools */
	uint64_t other = copy_sequence[1 - index];
	atomic_store_explicit(&t->retired, other < sequence ? other : sequence, memory_order_release); /* G1 */
}

static void apply_alone(void)
{
	if (atomic_exchange_explicit(&applying, 1, memory_order_acquire))
		return;
	apply_committed();
	atomic_store_explicit(&applying, 0, memory_order_release); /* pairs: the exchange of the next one */
}

/* The log is full of what one copy has and the other lacks: nothing new can come that would bring the other up to date. */
static bool is_stuck(void)
{
	struct mtrace_range_table *t = table();
	uint64_t retired = atomic_load_explicit(&t->retired, memory_order_acquire);
	return atomic_load_explicit(&t->next, memory_order_relaxed) - retired >= MTRACE_RANGE_LOG_ENTRIES &&
	       retired < atomic_load_explicit(&t->current, memory_order_acquire) >> 1;
}

static bool has_work(void)
{
	return is_committed(atomic_load_explicit(&table()->current, memory_order_acquire) >> 1) || unlikely(is_stuck());
}

/* Nobody's committed operation stays behind: the holder looks again after letting go. */
static void apply_log(void)
{
	struct mtrace_range_table *t = table();
	for (int rounds = 0; rounds < 64 && has_work(); rounds++) {
		uint32_t nobody = 0;
		if (!atomic_compare_exchange_strong_explicit(&t->applier, &nobody, plat_tid(), memory_order_acquire,
							     memory_order_relaxed))
			return;
		apply_alone();
		atomic_store_explicit(&t->applier, 0, memory_order_release); /* pairs: the acquire above */
	}
}

/* The next sequence number, or UINT64_MAX when the log is full. */
static uint64_t try_reserve(void)
{
	struct mtrace_range_table *t = table();
	uint64_t next = atomic_load_explicit(&t->next, memory_order_relaxed);
	for (;;) {
		uint64_t retired = atomic_load_explicit(&t->retired, memory_order_acquire); /* pairs: G1 */
		uint64_t end = ((next & LOG_MASK) + 1) * sizeof(struct mtrace_range_op);
		if (next - retired >= MTRACE_RANGE_LOG_ENTRIES || !segment_ensure(MTRACE_REGION_RANGE_LOG, end))
			return UINT64_MAX;
		if (atomic_compare_exchange_weak_explicit(&t->next, &next, next + 1, memory_order_relaxed,
							  memory_order_relaxed))
			return next;
	}
}

/* A full log means that the applier lost its processor half way: it is offered ours, a bounded number of times (a
   millisecond or two). If that did not help once, it may never: from then on a single offer, until there is room again. */
static uint64_t reserve(void)
{
	enum { OFFERS = 2048 };
	static _Atomic uint32_t hopeless;
	uint64_t sequence = try_reserve();
	if (likely(sequence != UINT64_MAX))
		return sequence;
	int offers = atomic_load_explicit(&hopeless, memory_order_relaxed) ? 1 : OFFERS;
	for (int i = 0; sequence == UINT64_MAX && i < offers; i++) {
		plat_yield();
		apply_log();
		sequence = try_reserve();
	}
	atomic_store_explicit(&hopeless, sequence == UINT64_MAX, memory_order_relaxed);
	return sequence;
}

static bool append(const struct mtrace_range_op *op)
{
	uint64_t sequence = reserve();
	if (sequence == UINT64_MAX) {
		segment_count(MTRACE_COUNTER_drop_ranges_full);
		return false;
	}
	struct mtrace_range_op *slot = op_at(sequence);
	slot->start = op->start;
	slot->end = op->end;
	slot->row = op->row;
	slot->tick = op->tick;
	slot->op = op->op;
	slot->token = op->token;
	slot->thread = op->thread;
	slot->flags = op->flags;
	slot->epoch = op->epoch;
	atomic_store_explicit(&slot->commit, sequence + 1, memory_order_release); /* pairs: is_committed, tools */
	apply_log();
	return true;
}

/* ---- verbs ----------------------------------------------------------------------------------------- */

bool regions_map(uintptr_t start, uintptr_t end, uint32_t row, uint32_t flags, const struct regions_event *by)
{
	return append(&(struct mtrace_range_op){.op = MTRACE_RANGE_MAP, .start = start, .end = end, .row = row, .flags = flags,
						.thread = by->thread, .tick = by->tick, .epoch = by->epoch});
}

void regions_unmap(uintptr_t start, uintptr_t end, const struct regions_event *by)
{
	append(&(struct mtrace_range_op){.op = MTRACE_RANGE_UNMAP, .start = start, .end = end, .tick = by->tick, .epoch = by->epoch});
}

uint32_t regions_begin_move(uintptr_t start, uintptr_t end)
{
	static _Atomic uint32_t tokens;
	uint32_t token = atomic_fetch_add_explicit(&tokens, 1, memory_order_relaxed) | 0x80000000u;
	append(&(struct mtrace_range_op){.op = MTRACE_RANGE_MOVE_BEGIN, .start = start, .end = end, .token = token});
	return token;
}

bool regions_end_move(uint32_t token, uintptr_t start, uintptr_t end, uint32_t row, const struct regions_event *by)
{
	return append(&(struct mtrace_range_op){.op = MTRACE_RANGE_MOVE_END, .start = start, .end = end, .token = token,
						.row = row, .thread = by->thread, .tick = by->tick, .epoch = by->epoch});
}
