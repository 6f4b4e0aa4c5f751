#include "counts.h"

#include <string.h>

#include "epochs.h"
#include "history.h"

/* How many events of other rows a tally's place stands before it is folded. */
enum { CREDIT = 8 };

/* Strays of this number and above are for rows that have none yet, so that many epochs of few rows leave room. */
enum { STRAYS_BY_EPOCH = MTRACE_FIRST_TALLY / 2 };

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

void counts_prepare(struct counts_tallies *t, uint32_t fold)
{
	for (int i = 0; i < COUNTS_CHUNKS; i++)
		t->chunks[i] = counts_no_tallies;
	memset(t->own, 0, sizeof t->own);
	t->spares = NULL;
	t->spares_used = 0;
	memset(t->credits, 0, sizeof t->credits);
	t->epoch = epochs_now();
	t->fold = NULL;
	if (segment_ensure(MTRACE_REGION_FOLDS, (fold + 1ull) * sizeof(struct mtrace_fold)))
		t->fold = (struct mtrace_fold *)(void *)segment.base[MTRACE_REGION_FOLDS] + fold;
}

void counts_enter_epoch(struct counts_tallies *t, uint32_t epoch)
{
	if (t->epoch == epoch)
		return;
	t->epoch = epoch;
	for (int i = 0; i < COUNTS_CHUNKS; i++)
		t->chunks[i] = counts_no_tallies;
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
	counts_add(&r->aged_blocks, c->aged_blocks);
}

static uint64_t load(_Atomic uint64_t *count)
{
	return atomic_load_explicit(count, memory_order_relaxed);
}

static struct mtrace_past past_of(uint64_t alloc_blocks, uint64_t alloc_bytes, uint64_t freed_blocks, uint64_t freed_bytes)
{
	return (struct mtrace_past){.live_blocks = (uint32_t)(alloc_blocks - freed_blocks), .live_bytes = alloc_bytes - freed_bytes,
				    .alloc_blocks = alloc_blocks, .alloc_bytes = alloc_bytes};
}

static struct mtrace_past past_of_row(struct mtrace_row *r)
{
	return past_of(load(&r->alloc_blocks), load(&r->alloc_bytes), load(&r->freed_blocks), load(&r->freed_bytes));
}

static struct mtrace_past past_of_tally(struct mtrace_tally *t)
{
	return past_of(load(&t->alloc_blocks), load(&t->alloc_bytes), load(&t->freed_blocks), load(&t->freed_bytes));
}

/* The row is ahead of the event's epoch only if that one was over by now: then the event is of the row's. */
static void remember(struct mtrace_row *r, uint32_t row, uint32_t epoch)
{
	_Atomic uint64_t *word = history_word(row);
	uint64_t was = word ? load(word) : UINT64_MAX;
	if (likely(MTRACE_PAST_EPOCH(was) >= epoch))
		return;
	struct mtrace_past now = past_of_row(r);
	uint64_t is = history_advance(was, &now, epoch);
	atomic_store_explicit(word, is, memory_order_relaxed);
	history_give_back(was, is);
}

static uint64_t live_of(struct mtrace_row *r)
{
	uint64_t allocated = load(&r->alloc_bytes), freed = load(&r->freed_bytes);
	return allocated > freed ? allocated - freed : 0;
}

/* After the row was given back. The highest bit is another one just when the two differ in a bit above `was`'s. */
static inline void tell_growth(uint32_t row, uint64_t was, uint64_t now)
{
	if (unlikely(now > was && (now ^ was) > was))
		counts_grew(row, was, now);
}

static bool add_to_row(uint32_t row, const struct counts_change *change, uint32_t epoch)
{
	struct mtrace_row *r = counts_row(row);
	uint32_t version = take_row(r);
	if (version & 1)
		return false;
	remember(r, row, epoch);
	uint64_t was = live_of(r);
	add_change(r, change);
	uint64_t now = live_of(r);
	give_row(r, version);
	tell_growth(row, was, now);
	return true;
}

/* ---- folding --------------------------------------------------------------------------------------- */

/* A row, who folds into it, and what its history was and will be. */
struct folding {
	struct mtrace_fold *record;
	struct mtrace_tally *tally;
	struct mtrace_row *row;
	_Atomic uint64_t *word; /* NULL: no history */
	uint64_t was;
};

static uint32_t row_of(struct mtrace_tally *tally)
{
	return atomic_load_explicit(&tally->row, memory_order_relaxed) & MTRACE_TALLY_ROW;
}

/* C6 */
static uint64_t next_past(const struct folding *g)
{
	if (!g->word)
		return 0;
	uint32_t epoch = atomic_load_explicit(&g->tally->epoch, memory_order_relaxed), row_epoch = MTRACE_PAST_EPOCH(g->was);
	if (unlikely(epoch & MTRACE_EPOCHS_MIXED))
		return history_lose(g->was, epochs_now());
	if (likely(row_epoch == epoch))
		return g->was;
	struct mtrace_past past = row_epoch < epoch ? past_of_row(g->row) : past_of_tally(g->tally);
	return row_epoch < epoch ? history_advance(g->was, &past, epoch) : history_amend(g->was, &past, epoch);
}

static void write_intent(const struct folding *g)
{
	struct mtrace_fold *f = g->record;
	struct mtrace_row *r = g->row;
	struct mtrace_tally *t = g->tally;
	f->row = row_of(t);
	f->tally = (uint32_t)(t - tally_at(0));
	f->alloc_blocks = load(&r->alloc_blocks) + load(&t->alloc_blocks);
	f->alloc_bytes = load(&r->alloc_bytes) + load(&t->alloc_bytes);
	f->freed_blocks = load(&r->freed_blocks) + load(&t->freed_blocks);
	f->freed_bytes = load(&r->freed_bytes) + load(&t->freed_bytes);
	f->aged_blocks = load(&r->aged_blocks) + load(&t->aged_blocks);
	f->past = next_past(g);
	atomic_store_explicit(&f->valid, 1, memory_order_release); /* C3 */
}

static void carry_out(const struct folding *g)
{
	struct mtrace_fold *f = g->record;
	struct mtrace_row *r = g->row;
	atomic_store_explicit(&r->alloc_blocks, f->alloc_blocks, memory_order_relaxed);
	atomic_store_explicit(&r->alloc_bytes, f->alloc_bytes, memory_order_relaxed);
	atomic_store_explicit(&r->freed_blocks, f->freed_blocks, memory_order_relaxed);
	atomic_store_explicit(&r->freed_bytes, f->freed_bytes, memory_order_relaxed);
	atomic_store_explicit(&r->aged_blocks, f->aged_blocks, memory_order_relaxed);
	if (g->word)
		atomic_store_explicit(g->word, f->past, memory_order_relaxed);
	atomic_store_explicit(&g->tally->row, 0, memory_order_release);
	atomic_store_explicit(&f->valid, 0, memory_order_release); /* C3 */
}

/* The array that the fold replaced, if it did, stays nobody's. */
void counts_settle(struct counts_tallies *t)
{
	struct mtrace_fold *f = t->fold;
	if (!f || !atomic_load_explicit(&f->valid, memory_order_relaxed))
		return;
	/* each once: what was looked at is what is used, whoever else writes there */
	uint32_t row = __atomic_load_n(&f->row, __ATOMIC_RELAXED), tally = __atomic_load_n(&f->tally, __ATOMIC_RELAXED);
	if (!segment_id_ok(MTRACE_REGION_ROWS, row, sizeof(struct mtrace_row)) ||
	    !segment_id_ok(MTRACE_REGION_TALLIES, tally, sizeof(struct mtrace_tally)))
		return;
	struct mtrace_row *r = counts_row(row);
	carry_out(&(struct folding){.record = f, .tally = tally_at(tally), .row = r, .word = history_word(row)});
	uint32_t version = atomic_load_explicit(&r->version, memory_order_relaxed);
	if (version & 1)
		give_row(r, version - 1);
}

/* Empties the tally into its row. false: the row is somebody's just now. */
static bool fold(struct counts_tallies *t, struct mtrace_tally *tally)
{
	uint32_t row = row_of(tally);
	if (!row)
		return true;
	if (!t->fold || !segment_id_ok(MTRACE_REGION_ROWS, row, sizeof(struct mtrace_row)))
		return false;
	struct folding g = {.record = t->fold, .tally = tally, .row = counts_row(row)};
	uint32_t version = take_row(g.row);
	if (version & 1)
		return false;
	g.word = history_word(row);
	g.was = g.word ? load(g.word) : 0;
	uint64_t was = live_of(g.row);
	write_intent(&g);
	carry_out(&g);
	history_give_back(g.was, g.word ? t->fold->past : g.was); /* history.h, H2 */
	uint64_t now = live_of(g.row);
	give_row(g.row, version);
	tell_growth(row, was, now);
	return true;
}

/* ---- a row without a tally ------------------------------------------------------------------------------- */

/* Those whose row is still held stay. */
static void fold_spares(struct counts_tallies *t)
{
	uint32_t used = 0;
	for (uint32_t i = 0; i < t->spares_used; i++)
		if (!fold(t, &t->spares[i]))
			used = i + 1;
	t->spares_used = used;
}

/* Nothing of an earlier epoch may be counted on (C5). */
static void take_into_sight(struct counts_tallies *t, uint32_t chunk)
{
	struct mtrace_tally *tallies = t->own[chunk];
	fold_spares(t);
	for (uint32_t i = 0; i < COUNTS_CHUNK_TALLIES; i++) {
		struct mtrace_tally *tally = &tallies[i];
		uint32_t row = row_of(tally);
		if (row && atomic_load_explicit(&tally->epoch, memory_order_relaxed) != t->epoch && !fold(t, tally))
			atomic_store_explicit(&tally->row, row | ~MTRACE_TALLY_ROW, memory_order_relaxed);
	}
	t->chunks[chunk] = tallies;
}

static struct mtrace_tally *new_chunk(void)
{
	uint64_t first = segment_reserve(MTRACE_REGION_TALLIES, COUNTS_CHUNK_TALLIES);
	return first > UINT32_MAX ? NULL : tally_at(first);
}

static struct mtrace_tally *own_place(struct counts_tallies *t, uint32_t row)
{
	uint32_t chunk = row / COUNTS_CHUNK_TALLIES % COUNTS_CHUNKS;
	if (unlikely(t->chunks[chunk] == counts_no_tallies)) {
		if (!t->own[chunk] && !(t->own[chunk] = new_chunk()))
			return NULL;
		take_into_sight(t, chunk);
	}
	return counts_tally(t, row);
}

static uint8_t *credit_of(struct counts_tallies *t, uint32_t row)
{
	return &t->credits[row / COUNTS_CHUNK_TALLIES % COUNTS_CHUNKS][row % COUNTS_CHUNK_TALLIES];
}

static void fill_tally(struct mtrace_tally *tally, uint32_t row, uint32_t epoch, const struct counts_change *c)
{
	atomic_store_explicit(&tally->epoch, epoch, memory_order_relaxed);
	atomic_store_explicit(&tally->alloc_blocks, c->alloc_blocks, memory_order_relaxed);
	atomic_store_explicit(&tally->alloc_bytes, c->alloc_bytes, memory_order_relaxed);
	atomic_store_explicit(&tally->freed_blocks, c->freed_blocks, memory_order_relaxed);
	atomic_store_explicit(&tally->freed_bytes, c->freed_bytes, memory_order_relaxed);
	atomic_store_explicit(&tally->aged_blocks, c->aged_blocks, memory_order_relaxed);
	atomic_store_explicit(&tally->row, row, memory_order_release); /* C4 */
}

static void begin_tally(struct counts_tallies *t, uint32_t row, const struct counts_change *c)
{
	*credit_of(t, row) = CREDIT;
	fill_tally(counts_tally(t, row), row, t->epoch, c);
}

static bool is_worn(struct counts_tallies *t, struct mtrace_tally *tally, uint32_t row)
{
	return !atomic_load_explicit(&tally->row, memory_order_relaxed) || (*credit_of(t, row))-- == 0;
}

static bool claim_stray(struct mtrace_tally *s, uint64_t key)
{
	uint64_t holder = 0;
	return atomic_compare_exchange_strong_explicit(&s->key, &holder, key, memory_order_relaxed, memory_order_relaxed) ||
	       holder == key;
}

/* The row's of this epoch, or a new one while there are plenty; else the row's of whatever epoch, which says so. */
static struct mtrace_tally *stray_of(uint32_t row, uint32_t epoch)
{
	for (uint32_t i = 1; i < STRAYS_BY_EPOCH; i++)
		if (claim_stray(tally_at(i), (uint64_t)epoch << 32 | row))
			return tally_at(i);
	for (uint32_t i = 1; i < MTRACE_FIRST_TALLY; i++) {
		struct mtrace_tally *s = tally_at(i);
		bool is_new = i >= STRAYS_BY_EPOCH && claim_stray(s, (uint64_t)epoch << 32 | row);
		if (!is_new && atomic_load_explicit(&s->row, memory_order_relaxed) != row)
			continue;
		if (!is_new)
			atomic_fetch_or_explicit(&s->epoch, MTRACE_EPOCHS_MIXED, memory_order_relaxed);
		return s;
	}
	return NULL;
}

static bool add_to_stray(uint32_t row, const struct counts_change *c, uint32_t epoch)
{
	struct mtrace_tally *s = stray_of(row, epoch);
	if (!s)
		return false;
	atomic_fetch_add_explicit(&s->alloc_blocks, c->alloc_blocks, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->alloc_bytes, c->alloc_bytes, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->freed_blocks, c->freed_blocks, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->freed_bytes, c->freed_bytes, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->aged_blocks, c->aged_blocks, memory_order_relaxed);
	return true;
}

static bool add_to_tally(struct mtrace_tally *tally, uint32_t row, const struct counts_change *c)
{
	if (atomic_load_explicit(&tally->row, memory_order_relaxed) != row)
		return false;
	counts_add(&tally->alloc_blocks, c->alloc_blocks);
	counts_add(&tally->alloc_bytes, c->alloc_bytes);
	counts_add(&tally->freed_blocks, c->freed_blocks);
	counts_add(&tally->freed_bytes, c->freed_bytes);
	counts_add(&tally->aged_blocks, c->aged_blocks);
	return true;
}

/* Held for more epochs than there are spares: the row's history is given up, and not its counts. The flag comes first. */
static bool mix_epochs(struct mtrace_tally *tally, uint32_t row, const struct counts_change *c)
{
	atomic_fetch_or_explicit(&tally->epoch, MTRACE_EPOCHS_MIXED, memory_order_release);
	return add_to_tally(tally, row, c);
}

/* The row is held, and so is the one that has its place; or the epoch is over. */
static bool add_to_spare(struct counts_tallies *t, uint32_t row, const struct counts_change *c, uint32_t in)
{
	struct mtrace_tally *other = NULL; /* the row's, of another epoch */
	if (!t->spares && !(t->spares = new_chunk()))
		return false;
	for (uint32_t i = 0; i < t->spares_used; i++) {
		uint32_t epoch = atomic_load_explicit(&t->spares[i].epoch, memory_order_relaxed);
		if ((epoch == in || epoch & MTRACE_EPOCHS_MIXED) && add_to_tally(&t->spares[i], row, c))
			return true;
		if (atomic_load_explicit(&t->spares[i].row, memory_order_relaxed) == row)
			other = &t->spares[i];
	}
	if (t->spares_used >= COUNTS_CHUNK_TALLIES)
		fold_spares(t);
	if (t->spares_used >= COUNTS_CHUNK_TALLIES)
		return other && mix_epochs(other, row, c);
	fill_tally(&t->spares[t->spares_used++], row, in, c);
	return true;
}

/* The row's own tally, which counts in the same epoch, or could. */
static struct mtrace_tally *place_in(struct counts_tallies *t, uint32_t row, uint32_t epoch)
{
	return t && t->epoch == epoch ? own_place(t, row) : NULL;
}

/* Rows met seldom are counted in place: folding costs more than that, so a tally's place is not given up at once. */
__attribute__((noinline)) void counts_elsewhere(struct counts_tallies *t, uint32_t row, const struct counts_change *change,
						uint32_t epoch)
{
	if (!segment_id_ok(MTRACE_REGION_ROWS, row, sizeof(struct mtrace_row)))
		return;
	bool is_late = epoch != COUNTS_OWN_EPOCH && epoch < t->epoch;
	if (epoch == COUNTS_OWN_EPOCH)
		epoch = t ? t->epoch : epochs_now();
	struct mtrace_tally *tally = place_in(t, row, epoch);
	if (tally && add_to_tally(tally, row, change)) /* the chunk was out of sight for no more than a jump out of a handler */
		return;
	if (tally && is_worn(t, tally, row) && fold(t, tally)) {
		begin_tally(t, row, change);
		return;
	}
	if (!is_late && add_to_row(row, change, epoch))
		return;
	if (tally && fold(t, tally))
		begin_tally(t, row, change);
	else if (!(t && add_to_spare(t, row, change, epoch)) && !add_to_stray(row, change, epoch))
		segment_count(MTRACE_COUNTER_drop_counts);
}

/* Of a later epoch than there is nothing can be: somebody else wrote it there. */
void counts_change_in(struct counts_tallies *t, uint32_t row, const struct counts_change *change, uint32_t epoch)
{
	uint32_t now = epochs_now();
	epoch = epoch != COUNTS_OWN_EPOCH && epoch <= now ? epoch : now;
	if (epoch > t->epoch)
		counts_enter_epoch(t, epoch);
	counts_elsewhere(t, row, change, epoch);
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
