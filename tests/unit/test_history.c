/*
 * history: what a row had counted at each boundary is what a reference model says, whatever the order in which threads
 * fold; boundaries and marks are thinned as said and counted; without room, what is not known is said to be so. Killed at
 * each store of a fold, or at any instant, the history is that of before or after, to the event in flight.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "counts.h"
#include "epochs.h"
#include "history.h"
#include "room.h"

enum { ROWS = 200, LANES = 5, EPOCHS = 2000 };

static uint64_t rows_first;

static void open_with(uint64_t cap)
{
	room_open(cap);
	ck_assert(epochs_init(1000) && history_init() && counts_init());
	rows_first = segment_reserve(MTRACE_REGION_ROWS, ROWS);
	ck_assert_uint_ne(rows_first, UINT64_MAX);
	ck_assert_uint_ne(segment_reserve(MTRACE_REGION_MARKS, 1), UINT64_MAX);
}

static void setup(void)
{
	open_with(256 << 20);
}

static const struct mtrace_boundary *boundary(uint32_t i)
{
	return (const struct mtrace_boundary *)(const void *)segment.base[MTRACE_REGION_EPOCHS] + i;
}

static bool is_there(uint32_t i)
{
	return MTRACE_BOUNDARY_STATE(boundary(i)->state) == MTRACE_BOUNDARY_THERE;
}

/* ---- what a reader makes of it ---- */

/* Where the regions are: in our own segment, or in the file of one that was killed. */
struct view {
	const struct mtrace_row *rows;
	const struct mtrace_tally *tallies;
	const struct mtrace_fold *folds;
	const uint64_t *words;
	const struct mtrace_past *units;
	const struct mtrace_boundary *boundaries;
	uint64_t tally_count, fold_count, word_count, unit_count;
};

static const void *region_of(const char *file, enum mtrace_region_id id, uint64_t *count)
{
	const struct mtrace_region *r = &((const struct mtrace_header *)(const void *)file)->regions[id];
	*count = r->committed_bytes / r->element_bytes;
	return file + r->offset;
}

static struct view view_of(const void *file)
{
	struct view v;
	uint64_t count;
	v.rows = region_of(file, MTRACE_REGION_ROWS, &count);
	v.boundaries = region_of(file, MTRACE_REGION_EPOCHS, &count);
	v.tallies = region_of(file, MTRACE_REGION_TALLIES, &v.tally_count);
	v.folds = region_of(file, MTRACE_REGION_FOLDS, &v.fold_count);
	v.words = region_of(file, MTRACE_REGION_PASTS, &v.word_count);
	v.units = region_of(file, MTRACE_REGION_HISTORY, &v.unit_count);
	return v;
}

struct sum {
	bool known;
	uint32_t live_blocks;
	uint64_t live_bytes, alloc_blocks, alloc_bytes;
};

static void add_past(struct sum *s, const struct mtrace_past *p)
{
	s->live_blocks += p->live_blocks;
	s->live_bytes += p->live_bytes;
	s->alloc_blocks += p->alloc_blocks;
	s->alloc_bytes += p->alloc_bytes;
}

static void add_counts(struct sum *s, uint64_t alloc_blocks, uint64_t alloc_bytes, uint64_t freed_blocks, uint64_t freed_bytes)
{
	s->live_blocks += (uint32_t)(alloc_blocks - freed_blocks);
	s->live_bytes += alloc_bytes - freed_bytes;
	s->alloc_blocks += alloc_blocks;
	s->alloc_bytes += alloc_bytes;
}

static void add_entries(const struct view *v, struct sum *s, uint64_t word, uint32_t epoch)
{
	const struct mtrace_past *found = NULL;
	uint32_t id = MTRACE_PAST_ARRAY(word), last = 0;
	if (id == MTRACE_PAST_LOST)
		s->known = false;
	if (id == 0 || id == MTRACE_PAST_LOST)
		return;
	const struct mtrace_past_head *head = (const void *)(v->units + id);
	ck_assert_uint_lt(id + head->places, v->unit_count);
	for (uint32_t i = 1; i <= head->places; i++) {
		const struct mtrace_past *p = &v->units[id + i];
		if (p->epoch <= last || p->epoch >= MTRACE_PAST_EPOCH(word))
			break;
		last = p->epoch;
		if (last <= epoch)
			found = p;
	}
	s->known = epoch >= head->known_from;
	if (found)
		add_past(s, found);
}

static const struct mtrace_fold *fold_of(const struct view *v, uint32_t row, uint64_t tally)
{
	for (uint64_t i = 0; i < v->fold_count; i++)
		if (v->folds[i].valid && (row ? v->folds[i].row == row : v->folds[i].tally == tally))
			return &v->folds[i];
	return NULL;
}

static struct sum sum_in(const struct view *v, uint32_t row, uint32_t epoch)
{
	struct sum s = {.known = true};
	const struct mtrace_row *r = &v->rows[row];
	const struct mtrace_fold *f = fold_of(v, row, 0);
	uint64_t word = f ? f->past : row < v->word_count ? v->words[row] : 0;
	if (MTRACE_PAST_EPOCH(word) > epoch)
		add_entries(v, &s, word, epoch);
	else if (f)
		add_counts(&s, f->alloc_blocks, f->alloc_bytes, f->freed_blocks, f->freed_bytes);
	else
		add_counts(&s, r->alloc_blocks, r->alloc_bytes, r->freed_blocks, r->freed_bytes);
	for (uint64_t i = 1; i < v->tally_count; i++) {
		const struct mtrace_tally *t = &v->tallies[i];
		if ((t->row & MTRACE_TALLY_ROW) != row || (f && f->tally == i))
			continue;
		s.known &= !(t->epoch & MTRACE_EPOCHS_MIXED);
		if (t->epoch <= epoch)
			add_counts(&s, t->alloc_blocks, t->alloc_bytes, t->freed_blocks, t->freed_bytes);
	}
	return s;
}

static struct sum sum_at(uint32_t row, uint32_t epoch)
{
	struct view v = view_of(segment.header);
	return sum_in(&v, row, epoch);
}

/* ---- the model: live and allocated of each row, at the end of each epoch ---- */

struct model {
	struct sum now[ROWS];
	struct sum at[EPOCHS][ROWS];
};
static struct model model;

static uint64_t size_of(uint32_t i)
{
	return i * 8 + 16;
}

static void one_event(struct counts_tallies *t, uint64_t *state)
{
	uint32_t i = (uint32_t)(room_random(state) >> 20) % ROWS;
	uint32_t row = (uint32_t)rows_first + i;
	struct sum *s = &model.now[i];
	if (s->live_blocks && room_random(state) & 1) {
		counts_freed(t, row, size_of(i));
		s->live_blocks--;
		s->live_bytes -= size_of(i);
	} else {
		counts_allocated(t, row, size_of(i));
		s->live_blocks++;
		s->live_bytes += size_of(i);
		s->alloc_blocks++;
		s->alloc_bytes += size_of(i);
	}
}

static void end_epoch(bool by_mark)
{
	static uint64_t tick;
	uint32_t epoch = epochs_now();
	if (by_mark)
		epochs_end_at_mark(1, 1000);
	else
		epochs_look(tick += MTRACE_TICKS_PER_SECOND);
	ck_assert_uint_eq(epochs_now(), epoch + 1);
	memcpy(model.at[epoch], model.now, sizeof model.now);
}

static void expect_row(uint32_t i, uint32_t epoch)
{
	struct sum s = sum_at((uint32_t)rows_first + i, epoch);
	const struct sum *m = &model.at[epoch][i];
	ck_assert_msg(s.known && s.live_blocks == m->live_blocks && s.live_bytes == m->live_bytes &&
		      s.alloc_blocks == m->alloc_blocks && s.alloc_bytes == m->alloc_bytes,
		      "row %u at the end of epoch %u: known %d, %u blocks of %u", i, epoch, s.known, s.live_blocks,
		      m->live_blocks);
}

static uint32_t expect_all(void)
{
	uint32_t checked = 0;
	for (uint32_t b = 0; b < MTRACE_BOUNDARIES; b++) {
		if (!is_there(b))
			continue;
		for (uint32_t i = 0; i < ROWS; i++)
			expect_row(i, MTRACE_BOUNDARY_EPOCH(boundary(b)->state));
		checked++;
	}
	return checked;
}

/* Lanes are threads that see a new epoch late or early, and rest for many of them, with tallies that nobody folds; `busy`
   rows only: the rest are touched once in a while. Nobody's events are counted in place. */
START_TEST(each_boundary_is_as_the_model_says)
{
	static struct counts_tallies lanes[LANES];
	uint64_t state = room_seed() + (uint64_t)_i;
	uint32_t rests[LANES] = {0};
	for (uint32_t i = 0; i < LANES; i++)
		counts_prepare(&lanes[i], i);
	for (int round = 0; round < EPOCHS - 1; round++) {
		for (int n = 0; n < 60; n++) {
			uint32_t lane = (uint32_t)(room_random(&state) >> 30) % LANES;
			if (rests[lane])
				continue;
			counts_enter_epoch(&lanes[lane], epochs_now());
			one_event(n % 10 ? &lanes[lane] : NULL, &state);
		}
		for (uint32_t i = 0; i < LANES; i++)
			rests[i] = rests[i] ? rests[i] - 1 : room_random(&state) % 8 ? 0 : (uint32_t)(room_random(&state) % 60);
		end_epoch(room_random(&state) % 5 == 0);
		if (round % 199 == 0)
			expect_all();
	}
	ck_assert_uint_gt(expect_all(), 100);
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_drop_history_full), 0);
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_drop_marks_counts), 0);
}
END_TEST

/* ---- boundaries ---- */

/* Any span up to now is cut into 8 to 16 even windows at least, whose ends are kept. */
START_TEST(every_span_has_eight_even_windows)
{
	uint64_t now = 20000;
	for (uint64_t unit = 1; unit <= now; unit++)
		epochs_look(unit * MTRACE_TICKS_PER_SECOND);
	for (uint32_t window = 1; window * 16 <= now; window *= 2)
		for (uint64_t unit = now / window * window; unit > now - 15 * window; unit -= window) {
			bool found = false;
			for (uint32_t b = 0; b < MTRACE_BOUNDARIES_OF_TIME; b++)
				found |= is_there(b) && boundary(b)->unit == unit;
			ck_assert_msg(found, "window %u: unit %llu is gone", window, (unsigned long long)unit);
		}
}
END_TEST

/* A process that slept: one boundary, named by the roundest of those that passed. */
START_TEST(a_process_that_sleeps_ends_one_epoch)
{
	epochs_look(5 * MTRACE_TICKS_PER_SECOND);
	epochs_look(77 * MTRACE_TICKS_PER_SECOND + 3);
	ck_assert_uint_eq(epochs_now(), 3);
	bool found = false;
	for (uint32_t b = 0; b < MTRACE_BOUNDARIES_OF_TIME; b++)
		if (is_there(b) && boundary(b)->unit == 64) {
			found = true;
			ck_assert_uint_eq(boundary(b)->active_tick, 5 * MTRACE_TICKS_PER_SECOND);
		}
	ck_assert(found);
}
END_TEST

static const struct mtrace_boundary *boundary_of_mark(uint32_t mark)
{
	for (uint32_t b = MTRACE_BOUNDARIES_OF_TIME; b < MTRACE_BOUNDARIES; b++)
		if (is_there(b) && boundary(b)->mark == mark)
			return boundary(b);
	ck_abort_msg("no boundary of mark %u", mark);
}

/* Marks in a hurry share one look at it. The kernel's count is behind by some pages of each processor. */
START_TEST(a_boundary_notes_resident_memory)
{
	enum { GROWN = 64 << 20, BEHIND = 4 << 20 };
	epochs_end_at_mark(1, 1000000000);
	char *grown = mmap(NULL, 2 * GROWN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(grown, 1, GROWN);
	epochs_end_at_mark(2, 1009999999);
	epochs_end_at_mark(3, 1010000000);
	munmap(grown, 2 * GROWN);
	epochs_end_at_mark(4, 1020000000);
	uint64_t before = boundary_of_mark(1)->rss_bytes;
	ck_assert_uint_gt(before, 0);
	ck_assert_uint_eq(boundary_of_mark(2)->rss_bytes, before);
	ck_assert_uint_gt(boundary_of_mark(3)->rss_bytes, before + GROWN - BEHIND);
	ck_assert_uint_lt(boundary_of_mark(3)->rss_bytes, before + GROWN + BEHIND);
	ck_assert_uint_lt(boundary_of_mark(4)->rss_bytes, before + BEHIND);
	ck_assert_uint_eq(boundary_of_mark(4)->tracker_bytes, segment.header->committed_bytes);
}
END_TEST

START_TEST(many_marks_are_thinned_and_counted)
{
	enum { MARKS = 1000 };
	for (uint32_t mark = 1; mark <= MARKS; mark++)
		epochs_end_at_mark(mark, mark);
	uint32_t there = 0, youngest = 0;
	bool first = false, last = false;
	for (uint32_t b = MTRACE_BOUNDARIES_OF_TIME; b < MTRACE_BOUNDARIES; b++) {
		there += is_there(b);
		first |= is_there(b) && boundary(b)->mark == 1;
		last |= is_there(b) && boundary(b)->mark == MARKS;
		youngest += is_there(b) && boundary(b)->mark > MARKS - 64;
	}
	ck_assert(first);
	ck_assert(last);
	ck_assert_uint_eq(youngest, 64);
	ck_assert_uint_eq(there + room_counter(MTRACE_COUNTER_marks_thinned), MARKS);
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_drop_marks_counts), 0);
}
END_TEST

/* A row that somebody holds for 40 epochs, as a thread that lost its processor does. */
START_TEST(a_row_that_is_held_keeps_its_history)
{
	struct counts_tallies t;
	uint32_t row = (uint32_t)rows_first;
	counts_prepare(&t, 0);
	counts_allocated(&t, row, 16);
	epochs_look(0);
	counts_row(row)->version = 1;
	for (uint64_t n = 1; n <= 40; n++) {
		epochs_look(n * MTRACE_TICKS_PER_SECOND);
		counts_enter_epoch(&t, epochs_now());
		for (uint64_t i = 0; i < n; i++)
			counts_allocated(&t, row, 16);
	}
	for (int held = 1; held >= 0; held--) {
		for (uint32_t b = 0; b < MTRACE_BOUNDARIES; b++) {
			uint32_t epoch = MTRACE_BOUNDARY_EPOCH(boundary(b)->state);
			if (!is_there(b) || epoch > 40)
				continue;
			struct sum s = sum_at(row, epoch);
			ck_assert(s.known);
			ck_assert_uint_eq(s.alloc_blocks, 1 + epoch * (epoch - 1) / 2);
		}
		counts_row(row)->version = 2;
		epochs_look(41 * MTRACE_TICKS_PER_SECOND);
		counts_enter_epoch(&t, epochs_now());
		counts_allocated(&t, row, 16);
		ck_assert_uint_eq(t.spares_used, 0);
	}
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_drop_counts), 0);
}
END_TEST

/* For more epochs than there are spares: its history is given up, and said to be; its counts are not. */
START_TEST(a_row_that_is_held_for_long_keeps_its_counts)
{
	struct counts_tallies t;
	uint32_t row = (uint32_t)rows_first;
	counts_prepare(&t, 0);
	counts_row(row)->version = 1;
	for (uint64_t n = 1; n <= 200; n++) {
		epochs_look(n * MTRACE_TICKS_PER_SECOND);
		counts_enter_epoch(&t, epochs_now());
		counts_allocated(&t, row, 16);
	}
	ck_assert(!sum_at(row, 150).known);
	counts_row(row)->version = 2;
	epochs_look(201 * MTRACE_TICKS_PER_SECOND);
	counts_enter_epoch(&t, epochs_now());
	counts_allocated(&t, row, 16);
	ck_assert_uint_eq(t.spares_used, 0);
	ck_assert(!sum_at(row, 150).known);
	epochs_look(202 * MTRACE_TICKS_PER_SECOND);
	struct sum s = sum_at(row, epochs_now() - 1);
	ck_assert(s.known);
	ck_assert_uint_eq(s.alloc_blocks, 201);
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_drop_counts), 0);
	ck_assert_uint_gt(room_counter(MTRACE_COUNTER_drop_history_full), 0);
}
END_TEST

/* All places being filled by threads that are stopped there. */
START_TEST(a_mark_without_a_place_is_counted)
{
	for (uint32_t b = MTRACE_BOUNDARIES_OF_TIME; b < MTRACE_BOUNDARIES; b++)
		((struct mtrace_boundary *)(uintptr_t)boundary(b))->state = MTRACE_BOUNDARY_CLAIMED;
	epochs_end_at_mark(1, 1);
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_drop_marks_counts), 1);
	ck_assert_uint_eq(epochs_now(), 1);
}
END_TEST

/* ---- room ---- */

static uint32_t known_and_right(uint32_t epoch)
{
	uint32_t known = 0;
	for (uint32_t i = 0; i < ROWS; i++) {
		struct sum s = sum_at((uint32_t)rows_first + i, epoch);
		if (!s.known)
			continue;
		known++;
		expect_row(i, epoch);
	}
	return known;
}

/* The region is full: what is known is right, what is not is said not to be, the totals go on. */
START_TEST(without_room_the_oldest_goes)
{
	struct counts_tallies t;
	uint64_t state = room_seed();
	counts_prepare(&t, 0);
	for (int round = 0; round < 500; round++) {
		if (round == 20)
			segment.full[MTRACE_REGION_HISTORY] = 1;
		for (int n = 0; n < ROWS; n++) {
			counts_enter_epoch(&t, epochs_now());
			one_event(&t, &state);
		}
		end_epoch(false);
	}
	uint32_t known = 0;
	for (uint32_t b = 0; b < MTRACE_BOUNDARIES; b++)
		if (is_there(b))
			known += known_and_right(MTRACE_BOUNDARY_EPOCH(boundary(b)->state));
	ck_assert_uint_gt(known, ROWS);
	ck_assert_uint_gt(room_counter(MTRACE_COUNTER_drop_history_full), 0);
	for (uint32_t i = 0; i < ROWS; i++)
		expect_row(i, epochs_now() - 1);
}
END_TEST

/* Arrays that grew leave theirs to others: the region stays within twice what is in use. */
START_TEST(arrays_are_used_again)
{
	struct counts_tallies t;
	uint64_t state = room_seed();
	counts_prepare(&t, 0);
	for (int round = 0; round < EPOCHS - 1; round++) {
		for (int n = 0; n < 2 * ROWS; n++) {
			counts_enter_epoch(&t, epochs_now());
			one_event(&t, &state);
		}
		end_epoch(false);
	}
	uint64_t in_use = 0, used = segment.used[MTRACE_REGION_HISTORY];
	for (uint32_t i = 0; i < ROWS; i++) {
		uint32_t id = MTRACE_PAST_ARRAY(*history_word((uint32_t)rows_first + i));
		const struct mtrace_past *units = (const void *)segment.base[MTRACE_REGION_HISTORY];
		in_use += ((const struct mtrace_past_head *)(const void *)(units + id))->places + 1;
	}
	ck_assert_uint_le(used, 2 * in_use);
	expect_all();
}
END_TEST

/* What somebody else wrote over the words is not followed. */
START_TEST(damaged_words_are_not_followed)
{
	struct counts_tallies t;
	counts_prepare(&t, 0);
	uint32_t row = (uint32_t)rows_first;
	counts_allocated(NULL, row, 16);
	*history_word(row) = 0x7fffff00ull << 32 | 1;
	epochs_look(MTRACE_TICKS_PER_SECOND);
	counts_allocated(NULL, row, 16);
	ck_assert_uint_gt(room_counter(MTRACE_COUNTER_damaged_ids), 0);
	ck_assert_uint_eq(counts_row(row)->alloc_blocks, 2);
}
END_TEST

static uint32_t array_of(uint32_t row)
{
	return MTRACE_PAST_ARRAY(*history_word(row));
}

static struct mtrace_past_head *head_of(uint32_t array)
{
	return (struct mtrace_past_head *)(void *)(segment.base[MTRACE_REGION_HISTORY] + array * sizeof(struct mtrace_past));
}

static void live_through(uint32_t row, int epochs)
{
	for (int i = 0; i < epochs; i++) {
		counts_allocated(NULL, row, 16);
		end_epoch(false);
	}
}

/* An array in nobody's use says which is next: somebody wrote that it is the last unit that there is, behind which an array
   has no room. */
START_TEST(a_damaged_list_is_not_followed)
{
	struct counts_tallies t;
	uint32_t row = (uint32_t)rows_first, first = 0;
	uint64_t units = atomic_load(&segment.committed[MTRACE_REGION_HISTORY]) / sizeof(struct mtrace_past);
	counts_prepare(&t, 0);
	while (!array_of(row) || array_of(row) == first) {
		live_through(row, 1);
		first = first ? first : array_of(row);
	}
	units = atomic_load(&segment.committed[MTRACE_REGION_HISTORY]) / sizeof(struct mtrace_past);
	head_of(first)->next = (uint32_t)units - 1;
	for (uint32_t i = 1; i < 8; i++)
		live_through(row + i, 2);
	ck_assert_uint_gt(room_counter(MTRACE_COUNTER_damaged_ids), 0);
}
END_TEST

/* ---- cut short ---- */

/* A fold that brings its row into the next epoch, and one that comes late, stopped at each of its stores. */
START_TEST(a_fold_cut_short_leaves_the_history_whole)
{
	for (int step = 0; step < 8; step++)
		for (int late = 0; late < 2; late++) {
			struct counts_tallies t, other;
			counts_prepare(&t, 7);
			counts_prepare(&other, 8);
			uint32_t row = (uint32_t)rows_first + (uint32_t)(step * 2 + late), first = epochs_now();
			counts_allocated(&t, row, 10);
			epochs_end_at_mark(1, 1);
			if (late) { /* the row is an epoch ahead */
				counts_allocated(NULL, row, 10);
				epochs_end_at_mark(1, 1);
				counts_allocated(NULL, row, 10);
			}
			struct mtrace_row *r = counts_row(row), was = *r;
			uint64_t word = *history_word(row);
			counts_enter_epoch(&t, epochs_now());
			struct mtrace_tally *tally = t.own[row / COUNTS_CHUNK_TALLIES % COUNTS_CHUNKS] + row % COUNTS_CHUNK_TALLIES;
			struct mtrace_tally had = *tally;
			ck_assert_uint_eq(had.row, row);
			counts_allocated(&t, row, 10); /* folds the tally of the first epoch, and begins one */
			struct mtrace_fold record = *t.fold;
			record.valid = 1;
			uint64_t now = *history_word(row);
			struct mtrace_row done = *r;
			ck_assert_uint_ne(now, word);
			*tally = had;
			*r = was;
			r->version = was.version + 1;
			*history_word(row) = word;
			*t.fold = record;
			if (step > 0)
				r->alloc_blocks = done.alloc_blocks;
			if (step > 1)
				r->alloc_bytes = done.alloc_bytes;
			if (step > 2)
				*history_word(row) = now;
			if (step > 3)
				tally->row = 0;
			for (int settled = 0; settled < 2; settled++) {
				struct sum s = sum_at(row, first);
				ck_assert_msg(s.known && s.alloc_blocks == 1 && s.alloc_bytes == 10, "step %d, late %d, settled %d: %llu",
					      step, late, settled, (unsigned long long)s.alloc_blocks);
				s = sum_at(row, epochs_now());
				ck_assert_uint_eq(s.alloc_blocks, late ? 3 : 1);
				if (late)
					ck_assert_uint_eq(sum_at(row, first + 1).alloc_blocks, 2);
				counts_settle(&t);
			}
			ck_assert_uint_eq(r->version % 2, 0);
		}
}
END_TEST

/* ---- kill -9 ---- */

enum { LANES_KILLED = 4, ROWS_KILLED = 96, KEPT = 256 };

/* In memory that the killer shares: events begun and done, and what was done when the lane first saw each epoch. */
struct tape {
	_Atomic uint32_t ready;
	uint64_t rows_first;
	char path[600]; /* of the segment */
	struct tape_lane {
		_Atomic uint32_t begun[ROWS_KILLED], done[ROWS_KILLED];
		_Atomic uint32_t epoch; /* it is in, since what follows was written */
		struct {
			_Atomic uint32_t epoch; /* that the lane was in before; 0: being written */
			_Atomic uint32_t until; /* the last epoch of which this holds */
			uint32_t done[ROWS_KILLED];
		} at[KEPT];
	} lanes[LANES_KILLED];
};

static void note_epoch(struct tape_lane *lane, uint32_t from, uint32_t to, uint32_t n)
{
	atomic_store(&lane->at[n % KEPT].epoch, 0);
	for (int i = 0; i < ROWS_KILLED; i++)
		lane->at[n % KEPT].done[i] = lane->done[i];
	atomic_store(&lane->at[n % KEPT].until, to - 1);
	atomic_store(&lane->at[n % KEPT].epoch, from);
	atomic_store(&lane->epoch, to);
}

static void *count_on_tape(void *argument)
{
	struct tape *tape = ((void **)argument)[0];
	uintptr_t index = (uintptr_t)((void **)argument)[1];
	struct tape_lane *lane = &tape->lanes[index];
	struct counts_tallies t;
	uint64_t random = 88172645463325252u + index;
	counts_prepare(&t, (uint32_t)index);
	atomic_store(&lane->epoch, t.epoch);
	for (uint32_t n = 0;;) {
		uint32_t now = epochs_now();
		if (now != t.epoch) {
			note_epoch(lane, t.epoch, now, n++);
			counts_enter_epoch(&t, now);
		}
		uint32_t i = (uint32_t)(room_random(&random) >> 20) % ROWS_KILLED, row = (uint32_t)tape->rows_first + i;
		if (room_random(&random) % 4)
			row = (uint32_t)tape->rows_first + (i %= 8); /* most in few rows, so that they are folded by all */
		atomic_store_explicit(&lane->begun[i], lane->begun[i] + 1, memory_order_relaxed);
		counts_allocated(&t, row, size_of(i));
		atomic_store_explicit(&lane->done[i], lane->done[i] + 1, memory_order_relaxed);
	}
	return NULL;
}

static void run_until_killed(struct tape *tape)
{
	struct segment_request request = {.dir = room_dir, .cap_bytes = 256 << 20};
	static void *arguments[LANES_KILLED][2];
	ck_assert_int_eq(segment_create(&request), SEGMENT_OK);
	room_page.generation = 1ull << 32 | EPOCH_FIRST;
	ck_assert(epochs_init(1000) && history_init() && counts_init());
	tape->rows_first = segment_reserve(MTRACE_REGION_ROWS, ROWS_KILLED);
	strcpy(tape->path, segment.path);
	for (uintptr_t i = 0; i < LANES_KILLED; i++) {
		pthread_t thread;
		arguments[i][0] = tape;
		arguments[i][1] = (void *)i;
		pthread_create(&thread, NULL, count_on_tape, arguments[i]);
	}
	atomic_store(&tape->ready, 1);
	for (uint64_t tick = 0;; tick += MTRACE_TICKS_PER_SECOND) {
		usleep(400);
		if (tick / MTRACE_TICKS_PER_SECOND % 5 == 0)
			epochs_end_at_mark(1, 1);
		else
			epochs_look(tick);
	}
}

/* What a lane had counted of a row when `epoch` ended: exactly, or between two figures when it may have been in it at its
   death. false: its note was written over by now. */
static bool lane_at(const struct tape_lane *lane, uint32_t i, uint32_t epoch, uint64_t *least, uint64_t *most)
{
	for (int n = 0; n < KEPT; n++)
		if (lane->at[n].epoch && lane->at[n].epoch <= epoch && lane->at[n].until >= epoch) {
			*least += lane->at[n].done[i];
			*most += lane->at[n].done[i];
			return true;
		}
	if (lane->epoch > epoch)
		return false;
	/* in `epoch`, or an earlier one, to the last; or at its end, the note half written */
	*least += lane->done[i];
	*most += lane->begun[i];
	return true;
}

static uint32_t expect_lanes(const struct tape *tape, const struct view *v, uint32_t epoch)
{
	uint32_t checked = 0;
	for (uint32_t i = 0; i < ROWS_KILLED; i++) {
		uint64_t least = 0, most = 0;
		bool noted = true;
		for (int lane = 0; lane < LANES_KILLED; lane++)
			noted &= lane_at(&tape->lanes[lane], i, epoch, &least, &most);
		if (!noted)
			continue;
		struct sum s = sum_in(v, (uint32_t)tape->rows_first + i, epoch);
		if (!s.known) /* by strays of many epochs only */
			continue;
		least -= least < LANES_KILLED ? least : LANES_KILLED; /* in flight then: counted after it */
		ck_assert_msg(s.alloc_blocks >= least && s.alloc_blocks <= most &&
			      s.alloc_bytes >= least * size_of(i) && s.alloc_bytes <= most * size_of(i),
			      "row %u at the end of epoch %u: %llu of %llu to %llu", i, epoch,
			      (unsigned long long)s.alloc_blocks, (unsigned long long)least, (unsigned long long)most);
		checked++;
	}
	return checked;
}

static uint64_t kill_once(struct tape *tape, unsigned wait_us)
{
	struct stat st;
	uint64_t checked = 0;
	memset(tape, 0, sizeof *tape);
	pid_t child = fork();
	if (child == 0)
		run_until_killed(tape);
	while (!atomic_load(&tape->ready))
		usleep(100);
	usleep(wait_us);
	int fd = open(tape->path, O_RDONLY);
	ck_assert_int_eq(fstat(fd, &st), 0);
	kill(child, SIGKILL);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	void *file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(file, MAP_FAILED);
	struct view v = view_of(file);
	for (uint32_t b = 0; b < MTRACE_BOUNDARIES; b++)
		if (MTRACE_BOUNDARY_STATE(v.boundaries[b].state) == MTRACE_BOUNDARY_THERE)
			checked += expect_lanes(tape, &v, MTRACE_BOUNDARY_EPOCH(v.boundaries[b].state));
	munmap(file, (size_t)st.st_size);
	close(fd);
	ck_assert_int_eq(unlink(tape->path), 0);
	return checked;
}

START_TEST(killed_at_any_instant_each_boundary_is_as_it_was)
{
	const char *text = getenv("KILLS");
	struct tape *tape = mmap(NULL, sizeof *tape, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t state = room_seed(), checked = 0;
	int kills = text ? atoi(text) : (int)room_times(60);
	snprintf(room_dir, sizeof room_dir, "/dev/shm/mtrace-unit.%d", getpid());
	ck_assert_int_eq(mkdir(room_dir, 0700), 0);
	for (int round = 0; round < kills; round++)
		checked += kill_once(tape, (unsigned)(room_random(&state) % 30000));
	ck_assert_uint_gt(checked, (uint64_t)kills * ROWS_KILLED);
	rmdir(room_dir);
}
END_TEST

static Suite *history_suite(void)
{
	Suite *suite = suite_create("history");
	TCase *rows = tcase_create("rows"), *boundaries = tcase_create("boundaries"), *room = tcase_create("room");
	TCase *cut = tcase_create("cut short"), *killed = tcase_create("kill -9");
	tcase_add_checked_fixture(rows, setup, NULL);
	tcase_add_checked_fixture(boundaries, setup, NULL);
	tcase_add_checked_fixture(room, setup, NULL);
	tcase_add_checked_fixture(cut, setup, NULL);
	tcase_add_test(cut, a_fold_cut_short_leaves_the_history_whole);
	tcase_add_test(killed, killed_at_any_instant_each_boundary_is_as_it_was);
	tcase_set_timeout(killed, 600);
	suite_add_tcase(suite, cut);
	suite_add_tcase(suite, killed);
	tcase_add_loop_test(rows, each_boundary_is_as_the_model_says, 0, 6);
	tcase_add_test(rows, a_row_that_is_held_keeps_its_history);
	tcase_add_test(rows, a_row_that_is_held_for_long_keeps_its_counts);
	tcase_add_test(boundaries, every_span_has_eight_even_windows);
	tcase_add_test(boundaries, a_process_that_sleeps_ends_one_epoch);
	tcase_add_test(boundaries, a_boundary_notes_resident_memory);
	tcase_add_test(boundaries, many_marks_are_thinned_and_counted);
	tcase_add_test(boundaries, a_mark_without_a_place_is_counted);
	tcase_add_test(room, without_room_the_oldest_goes);
	tcase_add_test(room, arrays_are_used_again);
	tcase_add_test(room, damaged_words_are_not_followed);
	tcase_add_test(room, a_damaged_list_is_not_followed);
	tcase_set_timeout(rows, 120);
	tcase_set_timeout(room, 120);
	suite_add_tcase(suite, rows);
	suite_add_tcase(suite, boundaries);
	suite_add_tcase(suite, room);
	return suite;
}

int main(void)
{
	return run_suite(history_suite());
}
