/*
 * segment_counts: what each row counted: its own totals and the tallies of threads that name it (format.h).
 *
 * In a process that runs on, a fold moves counts from a tally to its row while we copy. So a pass copies rows, folds,
 * tallies, folds again and rows again, and nothing else in between, and believes a row only if
 *   - the row's bytes are the same in both copies: nobody began, went on with or ended writing its totals; and
 *   - every fold of the row is valid in both copies, with the same bytes, or in neither: then its totals hold with the
 *     tally in them, or the tally is whole, all the time in between. Whoever stands still in the middle of a fold (64
 *     threads on two processors: most of them do) does not keep its row from being read.
 * Tallies only grow otherwise, so the sum is not below what had happened before the pass, and not above what had
 * after it. Rows that are not believed are read again, some passes. What never holds still is left at the most that was
 * seen: each pass's totals from before its tallies, which can only miss what was folded in between; how many rows that
 * are is said. A dead process needs one pass, and every row of it is believed.
 *
 * What rows had counted before is read in passes of its own, first, so that those of the counts stay short: there PASTS
 * and HISTORY are copied between the others, and a row whose version stays odd is believed only by a fold that is valid
 * all the time, since the arrays of others may be written over (libmtrace/history.h, H2).
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "read/segment.h"

enum { PASSES = 48, HISTORY_PASSES = 8 };

struct count_pass {
	struct segment *s;
	uint64_t rows; /* of which both copies have all */
	struct segment_region rows_before, folds_before; /* the copies made first; those made last are the segment's own */
	struct segment_counts *sums; /* of this pass, by row id */
	bool *settled;               /* by row id */
	bool *moved;                 /* by row id: in this pass, a fold of it began or ended */
	uint64_t unsettled;
	bool history;                /* a pass for that */
	uint64_t *words;             /* of PASTS, by row id; with history */
	bool *folding;               /* by row id: its totals and its word are those of a valid fold; with history */
};

/* ---- copies ---- */

static void drop_copy(struct segment_region *copy)
{
	if (copy->bytes)
		munmap((void *)(uintptr_t)copy->bytes, copy->mapped_bytes);
	memset(copy, 0, sizeof *copy);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Of a dead process nothing changes, so the second copies are the first. */
static void copy_once(const struct count_pass *p)
{
	struct segment *s = p->s;
	segment_copy_region(s, MTRACE_REGION_ROWS);
	segment_copy_region(s, MTRACE_REGION_FOLDS);
	segment_copy_region(s, MTRACE_REGION_TALLIES);
	if (!p->history)
		return;
	segment_copy_region(s, MTRACE_REGION_PASTS);
	segment_copy_region(s, MTRACE_REGION_HISTORY);
}

static void copy_before(struct segment *s, enum mtrace_region_id id, struct segment_region *before)
{
	struct segment_region after = s->regions[id];
	s->regions[id] = *before;
	segment_copy_region(s, id);
	*before = s->regions[id];
	s->regions[id] = after;
}

/* The shorter the time from first to last, the more rows hold still: from the second pass on all of it goes to mappings
   that are there already, and a nap before gives us a whole slice of a processor that the process's threads want too. */
static void copy_twice(struct count_pass *p, int pass)
{
	struct segment *s = p->s;
	if (pass > 1)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	copy_before(s, MTRACE_REGION_ROWS, &p->rows_before);
	copy_before(s, MTRACE_REGION_FOLDS, &p->folds_before);
	if (p->history) {
		segment_copy_region(s, MTRACE_REGION_PASTS);
		segment_copy_region(s, MTRACE_REGION_HISTORY);
	}
	segment_copy_region(s, MTRACE_REGION_TALLIES);
	segment_copy_region(s, MTRACE_REGION_FOLDS);
	segment_copy_region(s, MTRACE_REGION_ROWS);
}

static const struct segment_region *rows_before(const struct count_pass *p)
{
	return p->s->alive ? &p->rows_before : &p->s->regions[MTRACE_REGION_ROWS];
}

static const struct mtrace_row *row_before(const struct count_pass *p, uint64_t id)
{
	return (const struct mtrace_row *)(const void *)rows_before(p)->bytes + id;
}

/* One that was not there yet was not valid. */
static const struct mtrace_fold *fold_before(const struct count_pass *p, uint64_t i)
{
	static const struct mtrace_fold none;
	const struct segment_region *r = p->s->alive ? &p->folds_before : &p->s->regions[MTRACE_REGION_FOLDS];
	return i < r->count ? (const struct mtrace_fold *)(const void *)r->bytes + i : &none;
}

/* ---- one pass ---- */

static struct segment_counts totals_of(const struct mtrace_row *r)
{
	return (struct segment_counts){
		.alloc_blocks = r->alloc_blocks, .alloc_bytes = r->alloc_bytes,
		.freed_blocks = r->freed_blocks, .freed_bytes = r->freed_bytes, .aged_blocks = r->aged_blocks};
}

static uint64_t word_of(const struct count_pass *p, uint64_t id)
{
	const uint64_t *word = segment_element(p->s, MTRACE_REGION_PASTS, id);
	return word ? *word : 0;
}

static void take_totals(struct count_pass *p)
{
	for (uint64_t id = 1; id < p->rows; id++) {
		p->moved[id] = false;
		p->sums[id] = totals_of(row_before(p, id));
		if (!p->history)
			continue;
		p->folding[id] = false;
		p->words[id] = word_of(p, id);
	}
}

static uint32_t row_of(const struct mtrace_tally *t)
{
	return t->row & MTRACE_TALLY_ROW;
}

static void add_tally(struct count_pass *p, const struct mtrace_tally *t)
{
	if (row_of(t) == 0 || row_of(t) >= p->rows)
		return;
	struct segment_counts *sum = &p->sums[row_of(t)];
	sum->alloc_blocks = profile_sum(sum->alloc_blocks, t->alloc_blocks);
	sum->alloc_bytes = profile_sum(sum->alloc_bytes, t->alloc_bytes);
	sum->freed_blocks = profile_sum(sum->freed_blocks, t->freed_blocks);
	sum->freed_bytes = profile_sum(sum->freed_bytes, t->freed_bytes);
	sum->aged_blocks = profile_sum(sum->aged_blocks, t->aged_blocks);
}

/* The fold's totals have its tally in them: it is emptied in our copy, and the totals are the row's. */
static void take_fold(struct count_pass *p, const struct mtrace_fold *f)
{
	struct mtrace_tally *t = (struct mtrace_tally *)(uintptr_t)segment_element(p->s, MTRACE_REGION_TALLIES, f->tally);
	if (t && row_of(t) == f->row)
		t->row = 0;
	if (p->history) {
		p->folding[f->row] = true;
		p->words[f->row] = f->past;
	}
	p->sums[f->row] = (struct segment_counts){
		.alloc_blocks = f->alloc_blocks, .alloc_bytes = f->alloc_bytes,
		.freed_blocks = f->freed_blocks, .freed_bytes = f->freed_bytes, .aged_blocks = f->aged_blocks};
}

static void note_moved(struct count_pass *p, const struct mtrace_fold *f)
{
	if (f->valid && f->row < p->rows)
		p->moved[f->row] = true;
}

static void take_folds(struct count_pass *p)
{
	uint64_t count = p->s->regions[MTRACE_REGION_FOLDS].count;
	for (uint64_t i = 0; i < count; i++) {
		const struct mtrace_fold *before = fold_before(p, i);
		const struct mtrace_fold *after = segment_element(p->s, MTRACE_REGION_FOLDS, i);
		bool same = memcmp((const void *)before, (const void *)after, sizeof *before) == 0;
		if (same && before->valid && before->row != 0 && before->row < p->rows) {
			take_fold(p, before);
		} else if (!same) {
			note_moved(p, before);
			note_moved(p, after);
		}
	}
}

static void add_tallies(struct count_pass *p)
{
	uint64_t count = p->s->regions[MTRACE_REGION_TALLIES].count;
	for (uint64_t i = 1; i < count; i++)
		add_tally(p, segment_element(p->s, MTRACE_REGION_TALLIES, i));
}

static bool is_believed(const struct count_pass *p, uint64_t id)
{
	const struct mtrace_row *before = row_before(p, id), *after = segment_element(p->s, MTRACE_REGION_ROWS, id);
	return !p->moved[id] && memcmp((const void *)before, (const void *)after, sizeof *before) == 0;
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* An odd version: its totals were perhaps half written, with a tally in them that was counted, too. Without the tallies
   they are never too much. */
static void keep_most(const struct count_pass *p, uint64_t id, struct segment_counts *kept)
{
	const struct mtrace_row *r = row_before(p, id);
	struct segment_counts sum = p->sums[id];
	if (r->version & 1)
		sum = totals_of(r);
	kept->alloc_blocks = most(kept->alloc_blocks, sum.alloc_blocks);
	kept->alloc_bytes = most(kept->alloc_bytes, sum.alloc_bytes);
	kept->freed_blocks = most(kept->freed_blocks, sum.freed_blocks);
	kept->freed_bytes = most(kept->freed_bytes, sum.freed_bytes);
	kept->aged_blocks = most(kept->aged_blocks, sum.aged_blocks);
}

static void settle(struct count_pass *p)
{
	p->unsettled = 0;
	for (uint64_t id = 1; id < p->rows; id++) {
		if (p->settled[id])
			continue;
		p->settled[id] = is_believed(p, id);
		if (p->settled[id])
			p->s->counts_of_row[id] = p->sums[id];
		else
			keep_most(p, id, &p->s->counts_of_row[id]);
		p->unsettled += !p->settled[id];
	}
}

/* ---- passes ---- */

/* Rows handed out after the first pass began are left for the next report: live blocks were copied before. */
static void begin(struct count_pass *p)
{
	p->rows = rows_before(p)->count;
	p->s->counts_of_row = profile_alloc(p->s->profile, p->rows, sizeof *p->s->counts_of_row);
	p->sums = profile_alloc(p->s->profile, p->rows, sizeof *p->sums);
	p->settled = profile_alloc(p->s->profile, p->rows, sizeof *p->settled);
	p->moved = profile_alloc(p->s->profile, p->rows, sizeof *p->moved);
}

/* Whatever of the file is gone since the first pass (it was truncated) is not looked at. */
static void bound(struct count_pass *p)
{
	p->rows = least(p->rows, least(rows_before(p)->count, p->s->regions[MTRACE_REGION_ROWS].count));
}

static void sum_up(struct count_pass *p)
{
	bound(p);
	take_totals(p);
	take_folds(p);
	add_tallies(p);
	settle(p);
}

void segment_copy_counts(struct segment *s)
{
	struct count_pass p = {.s = s};
	for (int pass = 1; pass <= PASSES; pass++) {
		if (s->alive)
			copy_twice(&p, pass);
		else
			copy_once(&p);
		if (pass == 1)
			begin(&p);
		sum_up(&p);
		if (!s->alive || !p.unsettled)
			break;
	}
	drop_copy(&p.rows_before);
	drop_copy(&p.folds_before);
	s->regions[MTRACE_REGION_ROWS].count = least(s->regions[MTRACE_REGION_ROWS].count, p.rows);
	s->process->unsettled_stacks = p.unsettled;
}

/* ---- history ---- */

/* The tallies that name rows, each row's together. */
struct tally_index {
	const struct mtrace_tally **by_row;
	size_t count;
};

static int compare_rows(const void *a, const void *b)
{
	uint32_t x = row_of(*(const struct mtrace_tally *const *)a), y = row_of(*(const struct mtrace_tally *const *)b);
	return x < y ? -1 : x > y;
}

static void index_tallies(const struct count_pass *p, struct tally_index *index)
{
	uint64_t count = p->s->regions[MTRACE_REGION_TALLIES].count;
	index->count = 0;
	index->by_row = calloc(count + 1, sizeof *index->by_row);
	for (uint64_t i = 1; index->by_row && i < count; i++) {
		const struct mtrace_tally *t = segment_element(p->s, MTRACE_REGION_TALLIES, i);
		if (row_of(t) != 0 && row_of(t) < p->rows)
			index->by_row[index->count++] = t;
	}
	if (index->count)
		qsort(index->by_row, index->count, sizeof *index->by_row, compare_rows);
}

static bool is_steady(const struct count_pass *p, uint64_t id)
{
	return is_believed(p, id) && (!p->s->alive || p->folding[id] || !(row_before(p, id)->version & 1));
}

static void settle_pasts(struct count_pass *p)
{
	struct tally_index index;
	size_t at = 0;
	index_tallies(p, &index);
	p->unsettled = 0;
	for (uint64_t id = 1; id < p->rows; id++) {
		struct segment_past past = {.row = (uint32_t)id, .totals = p->sums[id], .word = p->words[id],
		                            .tallies = index.by_row + at};
		while (at < index.count && row_of(index.by_row[at]) == id)
			at++, past.tally_count++;
		if (p->settled[id])
			continue;
		p->settled[id] = index.by_row && is_steady(p, id);
		if (p->settled[id])
			segment_take_past(p->s, &past);
		p->unsettled += !p->settled[id];
	}
	free(index.by_row);
}

static void begin_history(struct count_pass *p)
{
	p->rows = rows_before(p)->count;
	p->sums = profile_alloc(p->s->profile, p->rows, sizeof *p->sums);
	p->settled = profile_alloc(p->s->profile, p->rows, sizeof *p->settled);
	p->moved = profile_alloc(p->s->profile, p->rows, sizeof *p->moved);
	p->words = profile_alloc(p->s->profile, p->rows, sizeof *p->words);
	p->folding = profile_alloc(p->s->profile, p->rows, sizeof *p->folding);
	segment_begin_pasts(p->s, p->rows);
}

/* Rows that never hold still have no history in this report. */
void segment_copy_history(struct segment *s)
{
	struct count_pass p = {.s = s, .history = true};
	segment_begin_boundaries(s);
	for (int pass = 1; s->boundary_count && pass <= HISTORY_PASSES; pass++) {
		if (s->alive)
			copy_twice(&p, pass);
		else
			copy_once(&p);
		if (pass == 1)
			begin_history(&p);
		bound(&p);
		take_totals(&p);
		take_folds(&p);
		settle_pasts(&p);
		if (!s->alive || !p.unsettled)
			break;
	}
	drop_copy(&p.rows_before);
	drop_copy(&p.folds_before);
	if (!s->alive && s->boundary_count) /* of one that runs, what is under way is told in a moment */
		segment_tell_ranges(s);
	segment_end_boundaries(s);
}
