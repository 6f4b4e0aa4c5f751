/*
 * model_counts: the fold's protocol (libmtrace/counts.h) in every order: two threads whose tallies of two rows share a place,
 * so that each folds one to begin the other, while the other thread folds, or counts in, the same rows; one of them killed
 * anywhere; and a reader that copies as tools/read/segment_counts.c does. Between any two steps what a kill -9 would leave must
 * add up to what was counted, but for the event that each thread is in.
 * COUNTS_SOURCE: the room, or a copy of it with a fault in it.
 */
#include "interleave.h"

#include COUNTS_SOURCE

#include "model_segment.h"

enum { LANES = 2, ROW_A = 5, ROW_B = ROW_A + COUNTS_CHUNKS * COUNTS_CHUNK_TALLIES, ROWS = 2, SPARES = 3, STRAYS = 3, BYTES = 10 };
static const uint32_t row_ids[ROWS] = {ROW_A, ROW_B};

static struct counts_tallies tallies_of[LANES];

/* Blocks by row: every one has BYTES. */
struct truth {
	uint64_t allocated[ROWS], freed[ROWS];
};
static struct truth begun, done;

static void allocate(int lane, int row)
{
	begun.allocated[row]++;
	counts_allocated(&tallies_of[lane], row_ids[row], BYTES);
	done.allocated[row]++;
}

static void release(int lane, int row)
{
	begun.freed[row]++;
	counts_freed(&tallies_of[lane], row_ids[row], BYTES);
	done.freed[row]++;
}

/* The next event of another row folds. */
static void wear(int lane, int row)
{
	*credit_of(&tallies_of[lane], row_ids[row]) = 0;
}

static void clear(enum mtrace_region_id region)
{
	memset(segment.base[region], 0, atomic_load_explicit(&segment.committed[region], memory_order_relaxed));
}

static void reset(void)
{
	uint64_t most = MTRACE_FIRST_TALLY + LANES * 2 * COUNTS_CHUNK_TALLIES;
	memset(segment.base[MTRACE_REGION_TALLIES], 0, most * sizeof(struct mtrace_tally));
	atomic_store_explicit(&segment.used[MTRACE_REGION_TALLIES], MTRACE_FIRST_TALLY, memory_order_relaxed);
	memset(segment.base[MTRACE_REGION_FOLDS], 0, (LANES + 1) * sizeof(struct mtrace_fold));
	for (int row = 0; row < ROWS; row++)
		memset(counts_row(row_ids[row]), 0, sizeof(struct mtrace_row));
	memset(&begun, 0, sizeof begun);
	memset(&done, 0, sizeof done);
	for (int lane = 0; lane < LANES; lane++) {
		counts_prepare(&tallies_of[lane], (uint32_t)(COUNTS_FOLD_OF_SLOTS + lane));
		allocate(lane, 0); /* its chunk is there, and a tally of A */
		wear(lane, 0);
	}
}

/* ---- threads ---- */

static void work(int lane)
{
	allocate(lane, 1); /* folds A, begins B */
	release(lane, 0);  /* in the row itself, or wherever there is room when that is held */
	wear(lane, 1);
	allocate(lane, 0); /* folds B, begins A */
}

static void lane_0(void) { work(0); }
static void lane_1(void) { work(1); }

/* ---- what a snapshot says ---- */

struct sum {
	uint64_t allocated, allocated_bytes, freed, freed_bytes;
};

static struct mtrace_fold *fold_at(int i)
{
	return (struct mtrace_fold *)(void *)segment.base[MTRACE_REGION_FOLDS] + i;
}

/* Every tally that these few events may be in. finish looks at all. */
static struct mtrace_tally *tally_of_interest(int i)
{
	static struct mtrace_tally none;
	if (i < STRAYS)
		return tally_at((uint64_t)i + 1);
	struct counts_tallies *t = &tallies_of[(i - STRAYS) / (1 + SPARES)];
	int which = (i - STRAYS) % (1 + SPARES);
	if (which == 0)
		return t->own[ROW_A / COUNTS_CHUNK_TALLIES] ? t->own[ROW_A / COUNTS_CHUNK_TALLIES] + ROW_A % COUNTS_CHUNK_TALLIES : &none;
	return t->spares ? t->spares + which - 1 : &none;
}
enum { OF_INTEREST = STRAYS + LANES * (1 + SPARES) };

static void add(struct sum *s, const struct mtrace_tally *t)
{
	s->allocated += t->alloc_blocks;
	s->allocated_bytes += t->alloc_bytes;
	s->freed += t->freed_blocks;
	s->freed_bytes += t->freed_bytes;
}

static const struct mtrace_tally *take_totals(struct sum *s, uint32_t row)
{
	const struct mtrace_row *r = counts_row(row);
	const struct mtrace_tally *passed_by = NULL;
	*s = (struct sum){r->alloc_blocks, r->alloc_bytes, r->freed_blocks, r->freed_bytes};
	for (int i = 0; i <= LANES; i++) {
		const struct mtrace_fold *f = fold_at(i);
		if (!f->valid || f->row != row)
			continue;
		interleave_require(!passed_by, "C2: one fold of a row at a time");
		*s = (struct sum){f->alloc_blocks, f->alloc_bytes, f->freed_blocks, f->freed_bytes};
		passed_by = tally_at(f->tally);
	}
	return passed_by;
}

static void hold(const struct sum *s, int row, const struct truth *least, const struct truth *most, const char *what)
{
	interleave_require(s->allocated >= least->allocated[row] && s->allocated <= most->allocated[row] &&
			   s->allocated_bytes >= least->allocated[row] * BYTES && s->allocated_bytes <= most->allocated[row] * BYTES &&
			   s->freed >= least->freed[row] && s->freed <= most->freed[row] &&
			   s->freed_bytes >= least->freed[row] * BYTES && s->freed_bytes <= most->freed[row] * BYTES, what);
}

static void look(void)
{
	for (int row = 0; row < ROWS; row++) {
		struct sum s;
		const struct mtrace_tally *passed_by = take_totals(&s, row_ids[row]);
		for (int i = 0; i < OF_INTEREST; i++) {
			const struct mtrace_tally *t = tally_of_interest(i);
			if (t != passed_by && (t->row & MTRACE_TALLY_ROW) == row_ids[row])
				add(&s, t);
		}
		hold(&s, row, &done, &begun, "C3: a kill -9 here leaves each event once");
	}
}

static void finish(void)
{
	for (int row = 0; row < ROWS; row++) {
		struct sum s;
		const struct mtrace_tally *passed_by = take_totals(&s, row_ids[row]);
		for (uint64_t id = 1; id < atomic_load_explicit(&segment.used[MTRACE_REGION_TALLIES], memory_order_relaxed); id++)
			if (tally_at(id) != passed_by && (tally_at(id)->row & MTRACE_TALLY_ROW) == row_ids[row])
				add(&s, tally_at(id));
		hold(&s, row, &done, &begun, "at the end: each event once");
	}
	interleave_require(atomic_load_explicit(&segment.header->counters[MTRACE_COUNTER_drop_counts], memory_order_relaxed) == 0,
			   "nothing is dropped while there is room");
}

/* ---- a reader beside them ---- */

struct copy {
	struct mtrace_row row;
	struct mtrace_fold folds[LANES + 1];
};

/* Word by word, others in between. */
static void copy_words(void *to, const void *from, size_t bytes)
{
	for (size_t i = 0; i < bytes / 8; i++)
		((uint64_t *)to)[i] = atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)from + i, memory_order_relaxed);
}

static void read_row_a(void)
{
	static struct copy before, after;
	static struct mtrace_tally tallies[OF_INTEREST];
	const struct mtrace_tally *of[OF_INTEREST];
	struct truth least = done;
	copy_words(&before.row, counts_row(ROW_A), sizeof before.row);
	copy_words(before.folds, fold_at(0), sizeof before.folds);
	for (int i = 0; i < OF_INTEREST; i++)
		copy_words(&tallies[i], of[i] = tally_of_interest(i), sizeof tallies[i]);
	copy_words(after.folds, fold_at(0), sizeof after.folds);
	copy_words(&after.row, counts_row(ROW_A), sizeof after.row);
	struct truth most = begun;
	struct sum s = {before.row.alloc_blocks, before.row.alloc_bytes, before.row.freed_blocks, before.row.freed_bytes};
	bool is_believed = !memcmp(&before.row, &after.row, sizeof before.row), is_folding = false;
	const struct mtrace_tally *passed_by = NULL;
	for (int i = 0; i <= LANES; i++) {
		const struct mtrace_fold *f = &before.folds[i];
		bool is_same = !memcmp(f, &after.folds[i], sizeof *f);
		if (!is_same && ((f->valid && f->row == ROW_A) || (after.folds[i].valid && after.folds[i].row == ROW_A)))
			is_believed = false;
		if (!is_same || !f->valid || f->row != ROW_A)
			continue;
		is_folding = true;
		passed_by = tally_at(f->tally);
		s = (struct sum){f->alloc_blocks, f->alloc_bytes, f->freed_blocks, f->freed_bytes};
	}
	if (!is_believed || (before.row.version & 1 && !is_folding))
		return;
	for (int i = 0; i < OF_INTEREST; i++)
		if (of[i] != passed_by && (tallies[i].row & MTRACE_TALLY_ROW) == ROW_A)
			add(&s, &tallies[i]);
	hold(&s, 0, &least, &most, "what a reader believes is between what was before and what is after");
}

int main(void)
{
	model_open();
	if (!epochs_init(10000) || !history_init() || !counts_init() ||
	    !segment_ensure(MTRACE_REGION_ROWS, (ROW_B + 1) * sizeof(struct mtrace_row)) ||
	    !segment_ensure(MTRACE_REGION_FOLDS, (LANES + 1) * sizeof(struct mtrace_fold)) ||
	    !segment_ensure(MTRACE_REGION_TALLIES, (MTRACE_FIRST_TALLY + LANES * 2 * COUNTS_CHUNK_TALLIES) * sizeof(struct mtrace_tally)))
		return 2;
	clear(MTRACE_REGION_ROWS);
	interleave_all(&(struct interleave){.name = "fold: two threads", .reset = reset, .look = look, .finish = finish,
					    .thread = {lane_0, lane_1}, .preemptions = interleave_more() ? 3 : 2});
	interleave_all(&(struct interleave){.name = "fold: two threads, one killed", .reset = reset, .look = look, .finish = finish,
					    .thread = {lane_0, lane_1}, .killable = {true, true}, .preemptions = 1, .kills = 1});
	interleave_all(&(struct interleave){.name = "fold: a thread, a reader", .reset = reset, .look = look, .finish = finish,
					    .thread = {lane_0, read_row_a}, .preemptions = interleave_more() ? 3 : 2});
	if (interleave_more())
		interleave_all(&(struct interleave){.name = "fold: two threads, a reader", .reset = reset, .look = look,
						    .finish = finish, .thread = {lane_0, lane_1, read_row_a}, .preemptions = 2});
	return 0;
}
