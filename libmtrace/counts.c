#include "counts.h"

#include <string.h>

/* How many events of other rows a tally's place stands before it is folded. */
enum { CREDIT = 8 };

struct mtrace_tally counts_no_tallies[COUNTS_CHUNK_TALLIES];

static struct mtrace_tally *tally_at(uint64_t id)
{
	return (struct mtrace_tally *)(void *)segment.base[MTRACE_REGION_TALLIES] + id;
}

static void grew_unheard(uint32_t row, uint64_t was, uint64_t now)
{
	(void)row, (void)was, (void)now;
}

void (*counts_grew)(uint32_t row, uint64_t was, uint64_t now) = grew_unheard;

bool counts_init(void)
{
	return segment_ensure(MTRACE_REGION_TALLIES, MTRACE_FIRST_TALLY * sizeof(struct mtrace_tally));
}

void counts_prepare(struct counts_tallies *t, uint32_t slot)
{
	for (int i = 0; i < COUNTS_CHUNKS; i++)
		t->chunks[i] = counts_no_tallies;
	t->fold = NULL;
	if (segment_ensure(MTRACE_REGION_FOLDS, (slot + 1ull) * sizeof(struct mtrace_fold)))
		t->fold = (struct mtrace_fold *)(void *)segment.base[MTRACE_REGION_FOLDS] + slot;
}

/* ---- a row's own totals -------------------------------------------------------------------------------- */

/* The version before it was taken, which is even; odd: somebody has it. */
static uint32_t take_row(struct mtrace_row *r)
{
	uint32_t version = atomic_load_explicit(&r->version, memory_order_relaxed);
	if (!(version & 1) && !atomic_compare_exchange_strong_explicit(&r->version, &version, version + 1,
								       memory_order_acquire, memory_order_relaxed))
		return 1;
	/* readers: the odd version before any new total. TSan knows no fences: that this one is there is proved here only */
	atomic_thread_fence(memory_order_release);
	return version;
}

static void give_row(struct mtrace_row *r, uint32_t version)
{
	atomic_store_explicit(&r->version, version + 2, memory_order_release);
}

static void add_change(struct mtrace_row *r, const struct counts_change *c)
{
	counts_add(&r->alloc_blocks, c->alloc_blocks);
	counts_add(&r->alloc_bytes, c->alloc_bytes);
	counts_add(&r->freed_blocks, c->freed_blocks);
	counts_add(&r->freed_bytes, c->freed_bytes);
}

static uint64_t live_of(struct mtrace_row *r)
{
	uint64_t allocated = atomic_load_explicit(&r->alloc_bytes, memory_order_relaxed);
	uint64_t freed = atomic_load_explicit(&r->freed_bytes, memory_order_relaxed);
	return allocated > freed ? allocated - freed : 0;
}

/* After the row was given back. The highest bit is another one just when the two differ in a bit above `was`'s. */
static inline void tell_growth(uint32_t row, uint64_t was, uint64_t now)
{
	if (unlikely(now > was && (now ^ was) > was))
		counts_grew(row, was, now);
}

static bool add_to_row(uint32_t row, const struct counts_change *change)
{
	struct mtrace_row *r = counts_row(row);
	uint32_t version = take_row(r);
	if (version & 1)
		return false;
	uint64_t was = live_of(r);
	add_change(r, change);
	uint64_t now = live_of(r);
	give_row(r, version);
	tell_growth(row, was, now);
	return true;
}

/* ---- folding --------------------------------------------------------------------------------------- */

static uint64_t total(_Atomic uint64_t *a, _Atomic uint64_t *b)
{
	return atomic_load_explicit(a, memory_order_relaxed) + atomic_load_explicit(b, memory_order_relaxed);
}

static void write_intent(struct mtrace_fold *f, struct mtrace_tally *tally, struct mtrace_row *r)
{
	f->row = atomic_load_explicit(&tally->row, memory_order_relaxed);
	f->tally = (uint32_t)(tally - tally_at(0));
	f->alloc_blocks = total(&r->alloc_blocks, &tally->alloc_blocks);
	f->alloc_bytes = total(&r->alloc_bytes, &tally->alloc_bytes);
	f->freed_blocks = total(&r->freed_blocks, &tally->freed_blocks);
	f->freed_bytes = total(&r->freed_bytes, &tally->freed_bytes);
	atomic_store_explicit(&f->valid, 1, memory_order_release); /* C3 */
}

static void carry_out(struct mtrace_fold *f, struct mtrace_tally *tally, struct mtrace_row *r)
{
	atomic_store_explicit(&r->alloc_blocks, f->alloc_blocks, memory_order_relaxed);
	atomic_store_explicit(&r->alloc_bytes, f->alloc_bytes, memory_order_relaxed);
	atomic_store_explicit(&r->freed_blocks, f->freed_blocks, memory_order_relaxed);
	atomic_store_explicit(&r->freed_bytes, f->freed_bytes, memory_order_relaxed);
	atomic_store_explicit(&tally->row, 0, memory_order_release);
	atomic_store_explicit(&f->valid, 0, memory_order_release); /* C3 */
}

void counts_settle(struct counts_tallies *t)
{
	struct mtrace_fold *f = t->fold;
	if (!f || !atomic_load_explicit(&f->valid, memory_order_relaxed) ||
	    !segment_id_ok(MTRACE_REGION_ROWS, f->row, sizeof(struct mtrace_row)) ||
	    !segment_id_ok(MTRACE_REGION_TALLIES, f->tally, sizeof(struct mtrace_tally)))
		return;
	struct mtrace_row *r = counts_row(f->row);
	carry_out(f, tally_at(f->tally), r);
	uint32_t version = atomic_load_explicit(&r->version, memory_order_relaxed);
	if (version & 1)
		give_row(r, version - 1);
}

/* Empties the tally into its row. false: the row is somebody's just now. */
static bool fold(struct counts_tallies *t, struct mtrace_tally *tally)
{
	uint32_t row = atomic_load_explicit(&tally->row, memory_order_relaxed);
	if (!row)
		return true;
	if (!t->fold || !segment_id_ok(MTRACE_REGION_ROWS, row, sizeof(struct mtrace_row)))
		return false;
	struct mtrace_row *r = counts_row(row);
	uint32_t version = take_row(r);
	if (version & 1)
		return false;
	uint64_t was = live_of(r);
	write_intent(t->fold, tally, r);
	carry_out(t->fold, tally, r);
	uint64_t now = live_of(r);
	give_row(r, version);
	tell_growth(row, was, now);
	return true;
}

/* ---- a row without a tally ------------------------------------------------------------------------------- */

static struct mtrace_tally *own_place(struct counts_tallies *t, uint32_t row)
{
	struct mtrace_tally **chunk = &t->chunks[row / COUNTS_CHUNK_TALLIES % COUNTS_CHUNKS];
	if (unlikely(*chunk == counts_no_tallies)) {
		uint64_t first = segment_reserve(MTRACE_REGION_TALLIES, COUNTS_CHUNK_TALLIES);
		if (first > UINT32_MAX)
			return NULL;
		*chunk = tally_at(first);
	}
	return counts_tally(t, row);
}

static void begin_tally(struct mtrace_tally *tally, uint32_t row, const struct counts_change *c)
{
	tally->credit = CREDIT;
	atomic_store_explicit(&tally->alloc_blocks, c->alloc_blocks, memory_order_relaxed);
	atomic_store_explicit(&tally->alloc_bytes, c->alloc_bytes, memory_order_relaxed);
	atomic_store_explicit(&tally->freed_blocks, c->freed_blocks, memory_order_relaxed);
	atomic_store_explicit(&tally->freed_bytes, c->freed_bytes, memory_order_relaxed);
	atomic_store_explicit(&tally->row, row, memory_order_release); /* C4 */
}

static bool is_worn(struct mtrace_tally *tally)
{
	return !atomic_load_explicit(&tally->row, memory_order_relaxed) || tally->credit-- == 0;
}

static bool add_to_stray(uint32_t row, const struct counts_change *c)
{
	for (uint32_t i = 1; i < MTRACE_FIRST_TALLY; i++) {
		struct mtrace_tally *s = tally_at(i);
		uint32_t holder = 0;
		if (!atomic_compare_exchange_strong_explicit(&s->row, &holder, row, memory_order_relaxed,
							     memory_order_relaxed) && holder != row)
			continue;
		atomic_fetch_add_explicit(&s->alloc_blocks, c->alloc_blocks, memory_order_relaxed);
		atomic_fetch_add_explicit(&s->alloc_bytes, c->alloc_bytes, memory_order_relaxed);
		atomic_fetch_add_explicit(&s->freed_blocks, c->freed_blocks, memory_order_relaxed);
		atomic_fetch_add_explicit(&s->freed_bytes, c->freed_bytes, memory_order_relaxed);
		return true;
	}
	return false;
}

/* Rows met seldom are counted in place: folding costs more than that, so a tally's place is not given up at once. */
__attribute__((noinline)) void counts_elsewhere(struct counts_tallies *t, uint32_t row, const struct counts_change *change)
{
	if (!segment_id_ok(MTRACE_REGION_ROWS, row, sizeof(struct mtrace_row)))
		return;
	struct mtrace_tally *tally = t ? own_place(t, row) : NULL;
	if (tally && is_worn(tally) && fold(t, tally)) {
		begin_tally(tally, row, change);
		return;
	}
	if (add_to_row(row, change))
		return;
	if (tally && fold(t, tally))
		begin_tally(tally, row, change);
	else if (!add_to_stray(row, change))
		segment_count(MTRACE_COUNTER_drop_counts);
}

void counts_add_live(int64_t bytes)
{
	int64_t live = atomic_fetch_add_explicit(&segment.hot->live_bytes, bytes, memory_order_relaxed) + bytes;
	int64_t peak = atomic_load_explicit(&segment.hot->peak_bytes, memory_order_relaxed);
	while (live > peak && !atomic_compare_exchange_weak_explicit(&segment.hot->peak_bytes, &peak, live,
								     memory_order_relaxed, memory_order_relaxed))
		;
}

void counts_flush_live(struct thread_state *self)
{
	int64_t delta = self->live_delta;
	self->live_delta = 0;
	counts_add_live(delta);
}
