/*
 * history: what a row had counted at each boundary is what a reference model says, whatever the order in which threads
 * fold; boundaries and marks are thinned as said and counted; without room, what is not known is said to be so.
 */
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

static void add_entries(struct sum *s, uint64_t word, uint32_t epoch)
{
	const struct mtrace_past *units = (const void *)segment.base[MTRACE_REGION_HISTORY], *found = NULL;
	uint32_t id = MTRACE_PAST_ARRAY(word), last = 0;
	if (id == MTRACE_PAST_LOST)
		s->known = false;
	if (id == 0 || id == MTRACE_PAST_LOST)
		return;
	const struct mtrace_past_head *head = (const void *)(units + id);
	for (uint32_t i = 1; i <= head->places; i++) {
		const struct mtrace_past *p = &units[id + i];
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

static struct sum sum_at(uint32_t row, uint32_t epoch)
{
	struct sum s = {.known = true};
	const struct mtrace_row *r = counts_row(row);
	uint64_t word = *history_word(row);
	if (MTRACE_PAST_EPOCH(word) <= epoch)
		add_counts(&s, r->alloc_blocks, r->alloc_bytes, r->freed_blocks, r->freed_bytes);
	else
		add_entries(&s, word, epoch);
	uint64_t tallies = segment.used[MTRACE_REGION_TALLIES];
	for (uint64_t i = 1; i < tallies; i++) {
		const struct mtrace_tally *t = (const struct mtrace_tally *)(const void *)segment.base[MTRACE_REGION_TALLIES] + i;
		if ((t->row & MTRACE_TALLY_ROW) == row && t->epoch <= epoch)
			add_counts(&s, t->alloc_blocks, t->alloc_bytes, t->freed_blocks, t->freed_bytes);
	}
	return s;
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

static Suite *history_suite(void)
{
	Suite *suite = suite_create("history");
	TCase *rows = tcase_create("rows"), *boundaries = tcase_create("boundaries"), *room = tcase_create("room");
	tcase_add_checked_fixture(rows, setup, NULL);
	tcase_add_checked_fixture(boundaries, setup, NULL);
	tcase_add_checked_fixture(room, setup, NULL);
	tcase_add_loop_test(rows, each_boundary_is_as_the_model_says, 0, 6);
	tcase_add_test(boundaries, every_span_has_eight_even_windows);
	tcase_add_test(boundaries, a_process_that_sleeps_ends_one_epoch);
	tcase_add_test(boundaries, many_marks_are_thinned_and_counted);
	tcase_add_test(boundaries, a_mark_without_a_place_is_counted);
	tcase_add_test(room, without_room_the_oldest_goes);
	tcase_add_test(room, arrays_are_used_again);
	tcase_add_test(room, damaged_words_are_not_followed);
	tcase_set_timeout(rows, 120);
	tcase_set_timeout(room, 120);
	suite_add_tcase(suite, rows);
	suite_add_tcase(suite, boundaries);
	suite_add_tcase(suite, room);
	return suite;
}

int main(void)
{
	return room_run(history_suite());
}
