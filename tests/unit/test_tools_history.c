/*
 * test_tools_history: what a reader makes of boundaries, words, arrays and tallies (format.h, history), with a fold that
 * was stopped after each of its stores, of a dead process and of one that runs; and what model/history.h makes of that.
 */
#include <check.h>
#include <string.h>

#include "fake_read.h"
#include "model/history.h"
#include "model/profile.h"
#include "read/read.h"
#include "run.h"

enum { FOLDED = MTRACE_FIRST_TALLY, LATE, PARKED, STRAY = 3, STAGES = 9 };
enum { ARRAY = 4, OTHER_ARRAY = 8 };

static struct fake_segment *f;
static uint32_t row, twin;

static void set_boundary(uint32_t place, uint32_t epoch, uint32_t unit, uint32_t mark)
{
	struct mtrace_boundary *b = fake_element(f, MTRACE_REGION_EPOCHS, place);
	*b = (struct mtrace_boundary){.state = (uint64_t)epoch << 2 | MTRACE_BOUNDARY_THERE, .unit = unit, .mark = mark,
	                              .mono_ns = fake_header(f)->mono_start_ns + epoch * 1000000000ull, .live_bytes = epoch,
	                              .active_tick = epoch * 8,
	                              .peak_bytes = epoch + 1, .rss_bytes = epoch * 4096, .tracker_bytes = epoch * 16};
}

static void set_tally(uint32_t id, uint32_t of, uint32_t epoch, uint64_t n)
{
	struct mtrace_region *r = &fake_header(f)->regions[MTRACE_REGION_TALLIES];
	struct mtrace_tally *t = fake_element(f, MTRACE_REGION_TALLIES, id);
	*t = (struct mtrace_tally){.row = of, .epoch = epoch, .alloc_blocks = n, .alloc_bytes = 10 * n, .freed_blocks = 1,
	                           .freed_bytes = 10};
	if (r->used <= id)
		r->used = id + 1;
}

static void set_word(uint32_t of, uint32_t array, uint32_t epoch)
{
	*(uint64_t *)fake_element(f, MTRACE_REGION_PASTS, of) = (uint64_t)array << 32 | epoch;
}

static void set_array(uint32_t id, uint32_t places, uint32_t known_from)
{
	struct mtrace_past_head *head = fake_element(f, MTRACE_REGION_HISTORY, id);
	head->places = places;
	head->known_from = known_from;
	fake_header(f)->regions[MTRACE_REGION_HISTORY].used = 64;
}

static void set_entry(uint32_t array, uint32_t i, uint32_t epoch, uint64_t n)
{
	struct mtrace_past *p = fake_element(f, MTRACE_REGION_HISTORY, array + 1 + i);
	*p = (struct mtrace_past){epoch, (uint32_t)n, 10 * n, n, 10 * n};
}

/* Epochs that ended and are kept: 2, 5 (a mark), 9, 12. The row: 4 blocks when epoch 3 ended, 6 when 7 did, 100 in 10;
   in tallies 7 (less one freed) of epoch 10, 3 (less one) of epoch 4, and 2 (less one) of 13. */
static void setup(void)
{
	f = fake_segment_new();
	fake_header(f)->epoch_ticks = 160;
	uint32_t module = fake_module(f, "/usr/bin/thing", 7);
	row = fake_stack(f, MTRACE_KIND_GOROUTINE, module, (const uint64_t[]){0x10, 0x20, 0});
	twin = fake_stack(f, MTRACE_KIND_JNI_WEAK, module, (const uint64_t[]){0x30, 0});
	fake_mark(f, "warm", 5000000000);
	set_boundary(0, 2, 1, 0);
	set_boundary(MTRACE_BOUNDARIES_OF_TIME, 5, 0, 1);
	set_boundary(9, 9, 2, 0);
	set_boundary(17, 12, 4, 0);
	fake_count(f, row, 100, 1000, 0, 0);
	set_array(ARRAY, 3, 0);
	set_entry(ARRAY, 0, 3, 4);
	set_entry(ARRAY, 1, 7, 6);
	set_entry(ARRAY, 2, 10, 999); /* not below R: it is not there yet */
	set_word(row, ARRAY, 10);
	set_tally(FOLDED, row, 13, 7);
	set_tally(LATE, row, 4, 3);
	set_tally(PARKED, row | ~MTRACE_TALLY_ROW, 11, 2);
}

static void teardown(void)
{
	fake_segment_free(f);
}

static uint32_t stack_of(const struct profile_process *process, enum mtrace_kind kind)
{
	for (uint32_t i = 0; i < process->stack_count; i++)
		if (process->stacks[i].kind == kind)
			return i;
	ck_abort_msg("no such stack");
}

/* alloc_blocks of the kind's stack at each boundary; UINT64_MAX: not known. */
static void expect(const struct profile *p, enum mtrace_kind kind, const uint64_t wanted[4], const char *what, int stage)
{
	const struct profile_process *process = &p->processes[0];
	uint32_t stack = stack_of(process, kind);
	ck_assert_uint_eq(process->boundary_count, 4);
	for (uint32_t b = 0; b < 4; b++) {
		struct profile_counts c;
		bool known = history_at(process, stack, b, &c);
		ck_assert_msg(known == (wanted[b] != UINT64_MAX), "%s, stage %d, boundary %u: known %d", what, stage, b, known);
		ck_assert_msg(!known || (c.alloc_blocks == wanted[b] && c.alloc_bytes == 10 * wanted[b]),
		              "%s, stage %d, boundary %u: %llu", what, stage, b, (unsigned long long)c.alloc_blocks);
	}
}

/* The stores of a fold of FOLDED, which brings the row from epoch 10 to 13; those from `stage` on are not done. */
static void fold_until(int stage)
{
	struct mtrace_row *r = fake_element(f, MTRACE_REGION_ROWS, row);
	struct mtrace_fold *d = fake_element(f, MTRACE_REGION_FOLDS, 3);
	struct mtrace_tally *t = fake_element(f, MTRACE_REGION_TALLIES, FOLDED);
	if (stage > 0)
		r->version++;
	if (stage > 1) { /* its array was full: another one */
		set_array(OTHER_ARRAY, 7, 0);
		set_entry(OTHER_ARRAY, 0, 3, 4);
		set_entry(OTHER_ARRAY, 1, 7, 6);
		set_entry(OTHER_ARRAY, 2, 10, 100);
		*d = (struct mtrace_fold){.row = row, .tally = FOLDED, .alloc_blocks = 107, .alloc_bytes = 1070, .freed_blocks = 1,
		                          .freed_bytes = 10, .past = (uint64_t)OTHER_ARRAY << 32 | 13};
	}
	if (stage > 2)
		d->valid = 1;
	if (stage > 3)
		r->alloc_blocks = 107;
	if (stage > 4) {
		r->alloc_bytes = 1070;
		r->freed_blocks = 1;
		r->freed_bytes = 10;
	}
	if (stage > 5)
		set_word(row, OTHER_ARRAY, 13);
	if (stage > 6)
		t->row = 0;
	if (stage > 7) {
		d->valid = 0;
		set_entry(ARRAY, 0, 1, 777777); /* the old array is somebody else's */
		r->version++;
	}
}

START_TEST(a_fold_that_stopped_has_one_history)
{
	fold_until(_i);
	for (int alive = 0; alive < 2; alive++) {
		struct profile *p = fake_segment_read(f, alive);
		/* of one that runs and stands before its fold is valid, it cannot be known whether it goes on */
		if (alive && (_i == 1 || _i == 2))
			expect(p, MTRACE_KIND_GOROUTINE, (const uint64_t[]){UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}, "alive", _i);
		else
			expect(p, MTRACE_KIND_GOROUTINE, (const uint64_t[]){0, 4 + 3, 6 + 3, 100 + 3 + 2}, alive ? "alive" : "dead", _i);
		ck_assert_uint_eq(p->processes[0].stacks[0].counts.alloc_blocks, 112);
		profile_free(p);
	}
}
END_TEST

START_TEST(live_counts_follow)
{
	struct profile *p = fake_segment_read(f, false);
	struct profile_counts c;
	ck_assert(history_at(&p->processes[0], stack_of(&p->processes[0], MTRACE_KIND_GOROUTINE), 3, &c));
	ck_assert_uint_eq(c.live_blocks, 105 - 2);
	ck_assert_uint_eq(c.live_bytes, 1050 - 20);
	const struct profile_boundary *b = p->processes[0].boundaries;
	ck_assert_uint_eq(b[1].mark, 0);
	ck_assert_uint_eq(b[0].mark, PROFILE_NO_MARK);
	ck_assert_uint_eq(b[3].live_bytes, 12);
	ck_assert_uint_eq(b[3].time_ns, 12000000000);
	ck_assert_uint_eq(p->processes[0].window_ns, 10000000000);
	profile_free(p);
}
END_TEST

/* What was folded may be less than nothing live: what was allocated is in a tally still. */
START_TEST(less_than_nothing_in_an_entry)
{
	struct mtrace_past *p = fake_element(f, MTRACE_REGION_HISTORY, ARRAY + 1);
	*p = (struct mtrace_past){3, (uint32_t)-2, (uint64_t)-20, 4, 40};
	struct profile *profile = fake_segment_read(f, false);
	struct profile_counts c;
	ck_assert(history_at(&profile->processes[0], stack_of(&profile->processes[0], MTRACE_KIND_GOROUTINE), 1, &c));
	ck_assert_uint_eq(c.freed_blocks, 6 + 1);
	ck_assert_uint_eq(c.freed_bytes, 60 + 10);
	profile_free(profile);
}
END_TEST

START_TEST(what_is_not_known_is_said)
{
	static const uint64_t never[] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
	set_array(ARRAY, 3, 6); /* begins late */
	struct profile *p = fake_segment_read(f, false);
	expect(p, MTRACE_KIND_GOROUTINE, (const uint64_t[]){UINT64_MAX, UINT64_MAX, 9, 105}, "late", 0);
	profile_free(p);
	set_word(row, MTRACE_PAST_LOST, 10);
	p = fake_segment_read(f, false);
	expect(p, MTRACE_KIND_GOROUTINE, (const uint64_t[]){UINT64_MAX, UINT64_MAX, UINT64_MAX, 105}, "lost", 0);
	profile_free(p);
	set_word(row, 0, 0); /* counted before its history could be begun */
	p = fake_segment_read(f, false);
	expect(p, MTRACE_KIND_GOROUTINE, never, "not begun", 0);
	profile_free(p);
	set_word(row, ARRAY, 10);
	set_array(ARRAY, 3, 0);
	set_tally(STRAY, row, 4 | MTRACE_EPOCHS_MIXED, 1);
	p = fake_segment_read(f, false);
	expect(p, MTRACE_KIND_GOROUTINE, never, "a stray of several epochs", 0);
	profile_free(p);
}
END_TEST

START_TEST(damaged_histories_are_left_out)
{
	static const struct { uint32_t array, places; } bad[] = {{1000000, 3}, {1020, 511}, {ARRAY, 100000}, {ARRAY, 0}};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		set_word(row, bad[i].array, 10);
		set_array(ARRAY, bad[i].places, 0);
		profile_free(fake_segment_read(f, false));
	}
	set_boundary(40, 9, 7, 77); /* an epoch twice, and a mark that is not there */
	set_boundary(41, 0, 0, 0);
	struct profile *p = fake_segment_read(f, false);
	ck_assert_uint_le(p->processes[0].boundary_count, 5);
	profile_free(p);
}
END_TEST

START_TEST(older_segments_have_none)
{
	fake_header(f)->region_count = MTRACE_REGION_EPOCHS;
	struct profile *p = fake_segment_read(f, false);
	ck_assert_uint_eq(p->processes[0].boundary_count, 0);
	ck_assert_uint_eq(p->processes[0].change_count, 0);
	ck_assert_uint_eq(p->processes[0].window_ns, 0);
	profile_free(p);
}
END_TEST

/* Two rows with one stack (a lost race in the shim) add up at every boundary, from where both are known. */
START_TEST(equal_stacks_add_up)
{
	uint32_t frame = fake_frame(f, MTRACE_FRAME_NATIVE, 1, 0x20), inner = fake_frame(f, MTRACE_FRAME_NATIVE, 1, 0x10);
	uint32_t second = fake_row(f, fake_node(f, fake_node(f, MTRACE_KIND_GOROUTINE, frame), inner));
	fake_count(f, second, 50, 500, 0, 0);
	set_word(second, OTHER_ARRAY, 8);
	set_array(OTHER_ARRAY, 3, 4);
	set_entry(OTHER_ARRAY, 0, 4, 20);
	set_entry(ARRAY, 0, 1, 4); /* before the other's begin: known together only from there on */
	struct profile *p = fake_segment_read(f, false);
	const struct profile_process *process = &p->processes[0];
	expect(p, MTRACE_KIND_GOROUTINE, (const uint64_t[]){UINT64_MAX, 7 + 20, 9 + 50, 105 + 50}, "both", 0);
	for (uint32_t i = 0; i < process->change_count; i++)
		ck_assert_uint_ge(process->changes[i].boundary, process->stacks[process->changes[i].stack].history_from);
	profile_free(p);
}
END_TEST

/* ---- mapped ranges ---- */

static void set_op(uint32_t sequence, uint32_t epoch)
{
	((struct mtrace_range_op *)fake_element(f, MTRACE_REGION_RANGE_LOG, sequence))->epoch = epoch;
}

/* Bytes freed of the row of mappings at each boundary. */
static void expect_gone(bool alive, const uint64_t wanted[4])
{
	struct profile *p = fake_segment_read(f, alive);
	uint32_t stack = stack_of(&p->processes[0], MTRACE_KIND_MMAP);
	for (uint32_t b = 0; b < 4; b++) {
		struct profile_counts c;
		bool known = history_at(&p->processes[0], stack, b, &c);
		ck_assert_msg(known == (wanted[b] != UINT64_MAX), "boundary %u: known %d", b, known);
		ck_assert_msg(!known || c.freed_bytes == wanted[b], "boundary %u: %llu", b, (unsigned long long)c.freed_bytes);
		ck_assert(!known || c.freed_blocks == (wanted[b] >= 0xc0000)); /* by the last operation */
	}
	profile_free(p);
}

/* Two operations are in the rows, one was half way at the death, one nobody had come to: they are told by the log. */
START_TEST(what_the_rows_were_not_told_went_all_the_same)
{
	uint32_t maps = fake_stack(f, MTRACE_KIND_MMAP, 1, (const uint64_t[]){0x50, 0});
	fake_header(f)->features_optional = MTRACE_FEATURE_RANGES_FREED;
	fake_count(f, maps, 1, 1 << 20, 0, 0x10000);
	set_word(maps, 0, 1);
	fake_range(f, 0x100000, 0x200000, maps);
	struct mtrace_range_table *table = fake_element(f, MTRACE_REGION_RANGES, 0);
	fake_range_op(f, MTRACE_RANGE_UNMAP, 0x1f0000, 0x200000, 0, 0); /* told, and not yet in the copy */
	fake_range_op(f, MTRACE_RANGE_UNMAP, 0x100000, 0x140000, 0, 0);
	fake_range_op(f, MTRACE_RANGE_UNMAP, 0x140000, 0x200000, 0, 0);
	set_op(0, 1);
	set_op(1, 4);
	set_op(2, 10);
	table->told = 1;
	expect_gone(false, (const uint64_t[]){0x10000, 0x50000, 0x50000, 0x100000});
	expect_gone(true, (const uint64_t[]){0x10000, 0x10000, 0x10000, 0x10000}); /* it will be told in a moment */
	table->told = 2;
	expect_gone(false, (const uint64_t[]){0x10000, 0x10000, 0x10000, 0xc0000});
	fake_header(f)->features_optional = 0;
	expect_gone(false, (const uint64_t[]){UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX});
}
END_TEST

/* ---- format 1 ---- */

static void make_narrow(enum mtrace_region_id id)
{
	struct mtrace_region *r = &fake_header(f)->regions[id];
	unsigned char *at = fake_element(f, id, 0);
	for (uint64_t i = 0; i < r->used || i < 16; i++)
		memmove(at + i * MTRACE_ROW_BYTES_1, at + i * r->element_bytes, MTRACE_ROW_BYTES_1);
	r->element_bytes = MTRACE_ROW_BYTES_1;
}

START_TEST(rows_of_format_1_are_read)
{
	make_narrow(MTRACE_REGION_ROWS);
	make_narrow(MTRACE_REGION_TALLIES);
	fake_header(f)->version = fake_header(f)->min_version = 1;
	for (int alive = 0; alive < 2; alive++) {
		struct profile *p = fake_segment_read(f, alive);
		expect(p, MTRACE_KIND_GOROUTINE, (const uint64_t[]){0, 4 + 3, 6 + 3, 100 + 3 + 2}, "format 1", 0);
		ck_assert(!p->processes[0].has_aged);
		ck_assert_uint_eq(p->processes[0].stacks[0].aged_blocks, 0);
		ck_assert_uint_eq(p->processes[0].skipped, 0);
		profile_free(p);
	}
	fake_header(f)->regions[MTRACE_REGION_ROWS].element_bytes = 24; /* of no format */
	struct profile *p = fake_segment_read(f, false);
	ck_assert_uint_eq(p->processes[0].stack_count, 0);
	profile_free(p);
}
END_TEST

START_TEST(old_blocks_that_went_add_up)
{
	struct mtrace_row *r = fake_element(f, MTRACE_REGION_ROWS, row);
	r->aged_blocks = 5;
	((struct mtrace_tally *)fake_element(f, MTRACE_REGION_TALLIES, LATE))->aged_blocks = 2;
	((struct mtrace_tally *)fake_element(f, MTRACE_REGION_TALLIES, PARKED))->aged_blocks = 1;
	struct profile *p = fake_segment_read(f, false);
	ck_assert(p->processes[0].has_aged);
	ck_assert_uint_eq(p->processes[0].stacks[0].aged_blocks, 8);
	profile_free(p);
}
END_TEST

/* ---- the model ---- */

START_TEST(back_to_a_mark)
{
	struct profile *p = fake_segment_read(f, false);
	struct profile_process *process = &p->processes[0];
	ck_assert_uint_eq(history_of_mark(process, "cold"), PROFILE_NO_MARK);
	uint32_t b = history_of_mark(process, "warm");
	ck_assert_uint_eq(b, 1);
	ck_assert_uint_eq(process->boundaries[b].rss_bytes, 5 * 4096);
	ck_assert_uint_eq(process->boundaries[b].tracker_bytes, 5 * 16 + process->tracker_private_bytes);
	ck_assert_uint_eq(history_go_back(p, process, b), 0);
	ck_assert_uint_eq(process->by_kind[MTRACE_KIND_GOROUTINE].alloc_blocks, 7);
	ck_assert_uint_eq(process->by_kind[MTRACE_KIND_GOROUTINE].live_blocks, 6);
	ck_assert_uint_eq(process->stack_count, 1);
	ck_assert_uint_eq(process->lived_ns, 5000000000);
	ck_assert_uint_eq(process->active_ns, process->boundaries[b].active_ns);
	profile_free(p);
}
END_TEST

START_TEST(windows_of_a_stack)
{
	struct profile *p = fake_segment_read(f, false);
	struct profile_process *process = &p->processes[0];
	uint32_t even[HISTORY_WINDOWS_MOST];
	struct verdict_window w[HISTORY_WINDOWS_MOST + 2];
	process->lived_ns = 20000000000;
	size_t n = history_even(process, 0, even);
	ck_assert_uint_eq(n, 3); /* not the mark */
	n = history_windows(process, stack_of(process, MTRACE_KIND_GOROUTINE), even, n, w);
	ck_assert_uint_eq(n, 5);
	static const uint64_t times[] = {0, 2, 9, 12, 20}, allocated[] = {0, 0, 9, 96, 7}, live[] = {0, 0, 8, 103, 109};
	for (size_t i = 0; i < n; i++) {
		ck_assert_uint_eq(w[i].time_ns, times[i] * 1000000000);
		ck_assert_uint_eq(w[i].alloc_blocks, allocated[i]);
		ck_assert_uint_eq(w[i].live_blocks, live[i]);
	}
	ck_assert_uint_eq(history_even(process, 10000000000, even), 1);
	profile_free(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tools: history");
	TCase *reads = tcase_create("reads"), *model = tcase_create("model");
	tcase_add_checked_fixture(reads, setup, teardown);
	tcase_add_checked_fixture(model, setup, teardown);
	tcase_add_loop_test(reads, a_fold_that_stopped_has_one_history, 0, STAGES);
	tcase_add_test(reads, live_counts_follow);
	tcase_add_test(reads, less_than_nothing_in_an_entry);
	tcase_add_test(reads, what_is_not_known_is_said);
	tcase_add_test(reads, damaged_histories_are_left_out);
	tcase_add_test(reads, older_segments_have_none);
	tcase_add_test(reads, equal_stacks_add_up);
	tcase_add_test(reads, what_the_rows_were_not_told_went_all_the_same);
	tcase_add_test(reads, rows_of_format_1_are_read);
	tcase_add_test(reads, old_blocks_that_went_add_up);
	tcase_add_test(model, back_to_a_mark);
	tcase_add_test(model, windows_of_a_stack);
	suite_add_tcase(s, reads);
	suite_add_tcase(s, model);
	return run_suite(s);
}
