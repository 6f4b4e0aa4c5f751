/*
 * segment_counts: what each row counted: its own totals and the tallies of threads that name it (format.h).
 *
 * In a process that runs on, a fold moves counts from a tally to its row. A row whose version is even and the same
 * before and after the tallies were copied was not touched in between, so its sum is of one instant; the others are
 * read again, a few times. What never holds still is left as last seen: off by what one thread had counted for it.
 * A dead process has at most one fold per thread half done, and its record says what the row's totals are to be.
 */
#include "read/segment.h"

enum { PASSES = 16 };

struct count_pass {
	struct segment *s;
	struct segment_counts *sums; /* of this pass, by row id */
	uint64_t rows;
	bool *settled; /* by row id */
	uint64_t unsettled;
};

static const struct mtrace_row *row_at(const struct segment *s, uint64_t id)
{
	return segment_element(s, MTRACE_REGION_ROWS, id);
}

static void take_totals(struct count_pass *p)
{
	for (uint64_t id = 1; id < p->rows; id++) {
		const struct mtrace_row *r = row_at(p->s, id);
		p->sums[id] = (struct segment_counts){
			.alloc_blocks = r->alloc_blocks, .alloc_bytes = r->alloc_bytes,
			.freed_blocks = r->freed_blocks, .freed_bytes = r->freed_bytes, .version = r->version};
	}
}

/* Tally ids whose counts are in a fold's totals already. */
static bool is_folded(const struct segment *s, uint64_t tally)
{
	uint64_t count = s->regions[MTRACE_REGION_FOLDS].count;
	for (uint64_t i = 0; i < count; i++) {
		const struct mtrace_fold *f = segment_element(s, MTRACE_REGION_FOLDS, i);
		if (f->valid && f->tally == tally)
			return true;
	}
	return false;
}

static bool is_any_fold_valid(const struct segment *s)
{
	uint64_t count = s->regions[MTRACE_REGION_FOLDS].count;
	for (uint64_t i = 0; i < count; i++)
		if (((const struct mtrace_fold *)segment_element(s, MTRACE_REGION_FOLDS, i))->valid)
			return true;
	return false;
}

static void take_folds(struct count_pass *p)
{
	uint64_t count = p->s->regions[MTRACE_REGION_FOLDS].count;
	for (uint64_t i = 0; i < count; i++) {
		const struct mtrace_fold *f = segment_element(p->s, MTRACE_REGION_FOLDS, i);
		if (!f->valid || f->row == 0 || f->row >= p->rows)
			continue;
		p->sums[f->row] = (struct segment_counts){
			.alloc_blocks = f->alloc_blocks, .alloc_bytes = f->alloc_bytes,
			.freed_blocks = f->freed_blocks, .freed_bytes = f->freed_bytes, .version = p->sums[f->row].version};
	}
}

static void add_tallies(struct count_pass *p)
{
	bool folds = is_any_fold_valid(p->s);
	uint64_t count = p->s->regions[MTRACE_REGION_TALLIES].count;
	for (uint64_t i = 1; i < count; i++) {
		const struct mtrace_tally *t = segment_element(p->s, MTRACE_REGION_TALLIES, i);
		if (t->row == 0 || t->row >= p->rows || (folds && is_folded(p->s, i)))
			continue;
		struct segment_counts *sum = &p->sums[t->row];
		sum->alloc_blocks = profile_sum(sum->alloc_blocks, t->alloc_blocks);
		sum->alloc_bytes = profile_sum(sum->alloc_bytes, t->alloc_bytes);
		sum->freed_blocks = profile_sum(sum->freed_blocks, t->freed_blocks);
		sum->freed_bytes = profile_sum(sum->freed_bytes, t->freed_bytes);
	}
}

/* Keeps the sums of rows that were not touched since take_totals, and of all in the last pass. */
static void settle(struct count_pass *p, bool last)
{
	struct segment_counts *kept = p->s->counts_of_row;
	p->unsettled = 0;
	for (uint64_t id = 1; id < p->rows; id++) {
		const struct mtrace_row *now = row_at(p->s, id);
		bool still = !(p->sums[id].version & 1) && now && now->version == p->sums[id].version;
		if (p->settled[id])
			continue;
		kept[id] = p->sums[id];
		p->settled[id] = still || last;
		p->unsettled += !still;
	}
}

static void copy_tallies(struct segment *s)
{
	segment_copy_region(s, MTRACE_REGION_TALLIES);
	segment_copy_region(s, MTRACE_REGION_FOLDS);
}

void segment_copy_counts(struct segment *s)
{
	segment_copy_region(s, MTRACE_REGION_ROWS);
	struct count_pass p = {.s = s, .rows = s->regions[MTRACE_REGION_ROWS].count};
	s->counts_of_row = profile_alloc(s->profile, p.rows, sizeof *s->counts_of_row);
	p.sums = profile_alloc(s->profile, p.rows, sizeof *p.sums);
	p.settled = profile_alloc(s->profile, p.rows, sizeof *p.settled);
	for (int pass = 1; pass <= PASSES; pass++) {
		take_totals(&p);
		copy_tallies(s);
		take_folds(&p);
		add_tallies(&p);
		bool last = !s->alive || pass == PASSES;
		if (!last)
			segment_copy_region(s, MTRACE_REGION_ROWS);
		settle(&p, last);
		if (last || !p.unsettled)
			break;
	}
	s->unsettled_rows = s->alive ? p.unsettled : 0;
}
