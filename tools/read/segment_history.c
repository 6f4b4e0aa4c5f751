/*
 * segment_history: what each row counted between boundaries (format.h, history), as changes in the process.
 *
 * Boundaries are copied before the rows and again afterwards, and only those that are the same in both are read: one
 * that was made later may lack counts of the rows, one that was given up may lack entries. Until then changes and
 * history_from bear epochs; then these become indices of the boundaries that are left.
 */
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "read/segment.h"

/* ---- boundaries ---- */

static int by_epoch(const void *a, const void *b)
{
	uint32_t x = ((const struct segment_boundary *)a)->epoch, y = ((const struct segment_boundary *)b)->epoch;
	return x < y ? -1 : x > y;
}

static bool is_there(const struct mtrace_boundary *b)
{
	return b && MTRACE_BOUNDARY_STATE(b->state) == MTRACE_BOUNDARY_THERE;
}

void segment_begin_boundaries(struct segment *s)
{
	segment_copy_region(s, MTRACE_REGION_EPOCHS);
	uint64_t count = s->regions[MTRACE_REGION_EPOCHS].count;
	s->boundaries = profile_alloc(s->profile, count, sizeof *s->boundaries);
	for (uint64_t i = 0; i < count; i++) {
		const struct mtrace_boundary *b = segment_element(s, MTRACE_REGION_EPOCHS, i);
		if (is_there(b))
			s->boundaries[s->boundary_count++] = (struct segment_boundary){MTRACE_BOUNDARY_EPOCH(b->state), *b};
	}
	qsort(s->boundaries, s->boundary_count, sizeof *s->boundaries, by_epoch);
}

static bool is_still_there(const struct segment *s, const struct segment_boundary *known)
{
	uint64_t count = s->regions[MTRACE_REGION_EPOCHS].count;
	for (uint64_t i = 0; i < count; i++) {
		const struct mtrace_boundary *b = segment_element(s, MTRACE_REGION_EPOCHS, i);
		if (b->state == known->said.state)
			return memcmp((const void *)b, (const void *)&known->said, sizeof *b) == 0;
	}
	return false;
}

/* Equal epochs: only a damaged segment has them. */
static void drop_changed_boundaries(struct segment *s)
{
	uint32_t kept = 0;
	segment_copy_region(s, MTRACE_REGION_EPOCHS);
	for (uint32_t i = 0; i < s->boundary_count; i++)
		if (is_still_there(s, &s->boundaries[i]) && (!kept || s->boundaries[kept - 1].epoch < s->boundaries[i].epoch))
			s->boundaries[kept++] = s->boundaries[i];
	s->boundary_count = kept;
}

/* The first boundary that ends `epoch` or a later one; boundary_count: none has ended it. */
static uint32_t boundary_after(const struct segment *s, uint32_t epoch)
{
	uint32_t low = 0, high = s->boundary_count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (s->boundaries[middle].epoch < epoch)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void segment_end_boundaries(struct segment *s)
{
	struct profile_process *process = s->process;
	uint32_t kept = 0;
	drop_changed_boundaries(s);
	for (uint32_t i = 0; i < process->change_count; i++) {
		struct profile_change c = process->changes[i];
		c.boundary = boundary_after(s, c.boundary);
		if (c.boundary < s->boundary_count)
			process->changes[kept++] = c;
	}
	process->change_count = kept;
	for (uint64_t row = 0; row < s->history_rows; row++) {
		uint32_t from = boundary_after(s, s->history_from[row]);
		s->history_from[row] = from < s->boundary_count ? from : UINT32_MAX;
	}
	/* the changes were malloc'd while they grew; the profile owns what is left */
	struct profile_change *owned = profile_alloc(s->profile, kept, sizeof *owned);
	if (kept)
		memcpy(owned, process->changes, kept * sizeof *owned);
	free(process->changes);
	process->changes = owned;
}

static uint64_t after(uint64_t ns, uint64_t start)
{
	return ns > start ? ns - start : 0;
}

static uint64_t positive(int64_t value)
{
	return value > 0 ? (uint64_t)value : 0;
}

/* As process->tracker_bytes is now. */
static uint64_t tracker_bytes(const struct segment *s, uint64_t committed)
{
	return committed ? profile_sum(committed < s->file_bytes ? committed : s->file_bytes, s->process->tracker_private_bytes) : 0;
}

static uint32_t mark_of(const struct segment *s, uint32_t id)
{
	return id && id < s->regions[MTRACE_REGION_MARKS].count ? s->mark_of_id[id] : PROFILE_NO_MARK;
}

void segment_read_boundaries(struct segment *s)
{
	const struct mtrace_header *h = segment_header(s);
	struct profile_boundary *to = profile_alloc(s->profile, s->boundary_count, sizeof *to);
	uint64_t tick_ns = 1000000000u / MTRACE_TICKS_PER_SECOND;
	s->process->boundaries = to;
	s->process->boundary_count = s->boundary_count;
	s->process->window_ns = s->boundary_count ? h->epoch_ticks * tick_ns : 0;
	for (uint32_t i = 0; i < s->boundary_count; i++) {
		const struct mtrace_boundary *b = &s->boundaries[i].said;
		to[i] = (struct profile_boundary){.time_ns = after(b->mono_ns, h->mono_start_ns), .unit = b->unit,
		                                  .active_ns = b->active_tick < UINT32_MAX ? b->active_tick * tick_ns : 0,
		                                  .live_bytes = positive(b->live_bytes), .mark = mark_of(s, b->mark),
		                                  .peak_live_bytes = positive(b->peak_bytes), .rss_bytes = b->rss_bytes,
		                                  .tracker_bytes = tracker_bytes(s, b->tracker_bytes)};
		if (to[i].active_ns > to[i].time_ns)
			to[i].active_ns = to[i].time_ns;
	}
}

/* ---- one row ---- */

void segment_begin_pasts(struct segment *s, uint64_t rows)
{
	s->history_from = profile_alloc(s->profile, rows, sizeof *s->history_from);
	s->history_rows = rows;
	for (uint64_t row = 0; row < rows; row++)
		s->history_from[row] = UINT32_MAX; /* until it can be believed */
}

static void add_change(struct segment *s, uint32_t row, uint32_t epoch, const struct segment_counts *c)
{
	struct profile_process *process = s->process;
	if (!c->alloc_blocks && !c->alloc_bytes && !c->freed_blocks && !c->freed_bytes)
		return;
	if (process->change_count == s->change_capacity) {
		s->change_capacity = s->change_capacity ? s->change_capacity * 2 : 1024;
		process->changes = reallocarray(process->changes, s->change_capacity, sizeof *process->changes);
		if (!process->changes)
			die(EXIT_TROUBLE, "out of memory");
	}
	process->changes[process->change_count++] = (struct profile_change){
		row, epoch, c->alloc_blocks, c->alloc_bytes, c->freed_blocks, c->freed_bytes};
}

void segment_add_gone(struct segment *s, uint32_t row, uint32_t epoch, uint64_t blocks, uint64_t bytes)
{
	add_change(s, row, epoch, &(struct segment_counts){.freed_blocks = blocks, .freed_bytes = bytes});
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static struct segment_counts between(const struct segment_counts *a, const struct segment_counts *b)
{
	return (struct segment_counts){.alloc_blocks = less(b->alloc_blocks, a->alloc_blocks),
	                               .alloc_bytes = less(b->alloc_bytes, a->alloc_bytes),
	                               .freed_blocks = less(b->freed_blocks, a->freed_blocks),
	                               .freed_bytes = less(b->freed_bytes, a->freed_bytes)};
}

/* Less than nothing may be live in what was folded: what was allocated may be in a tally still. */
static struct segment_counts counts_of(const struct mtrace_past *p)
{
	return (struct segment_counts){.alloc_blocks = p->alloc_blocks, .alloc_bytes = p->alloc_bytes,
	                               .freed_blocks = p->alloc_blocks - (uint64_t)(int64_t)(int32_t)p->live_blocks,
	                               .freed_bytes = p->alloc_bytes - p->live_bytes};
}

/* Adds the entries' changes; leaves the last one's counts in `last`. The first epoch of which anything is known. */
static uint32_t take_entries(struct segment *s, const struct segment_past *past, struct segment_counts *last)
{
	uint32_t id = MTRACE_PAST_ARRAY(past->word), epoch = 0;
	const struct mtrace_past_head *head = segment_element(s, MTRACE_REGION_HISTORY, id);
	if (id == 0)
		return 0;
	if (id == MTRACE_PAST_LOST || !head || head->places > MTRACE_PAST_PLACES_MOST) {
		s->skipped += id != MTRACE_PAST_LOST;
		return MTRACE_PAST_EPOCH(past->word);
	}
	for (uint32_t i = 1; i <= head->places; i++) {
		const struct mtrace_past *p = segment_element(s, MTRACE_REGION_HISTORY, (uint64_t)id + i);
		if (!p || p->epoch <= epoch || p->epoch >= MTRACE_PAST_EPOCH(past->word))
			break;
		struct segment_counts counts = counts_of(p), change = between(last, &counts);
		epoch = p->epoch;
		add_change(s, past->row, epoch, &change);
		*last = counts;
	}
	return head->known_from;
}

/* A stray that counted in several epochs does not tell what in which. */
static bool take_tallies(struct segment *s, const struct segment_past *past)
{
	bool known = true;
	for (size_t i = 0; i < past->tally_count; i++) {
		const struct mtrace_tally *t = past->tallies[i];
		struct segment_counts c = {.alloc_blocks = t->alloc_blocks, .alloc_bytes = t->alloc_bytes,
		                           .freed_blocks = t->freed_blocks, .freed_bytes = t->freed_bytes};
		add_change(s, past->row, t->epoch & ~MTRACE_EPOCHS_MIXED, &c);
		known &= !(t->epoch & MTRACE_EPOCHS_MIXED);
	}
	return known;
}

void segment_take_past(struct segment *s, const struct segment_past *past)
{
	struct segment_counts last = {0};
	uint32_t from = take_entries(s, past, &last), epoch = MTRACE_PAST_EPOCH(past->word);
	struct segment_counts change = between(&last, &past->totals);
	add_change(s, past->row, epoch, &change);
	bool begun = epoch != 0 || past->totals.alloc_blocks == 0;
	bool known = take_tallies(s, past) && begun;
	s->history_from[past->row] = known ? from : UINT32_MAX;
}
