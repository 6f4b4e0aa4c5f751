/*
 * test_tools_lifetimes: from the parts of a stream to what a report says: lifetimes joined as a plain reference joins them,
 * whatever the order of events; a segment's parts drained in the order of numbers, whatever parts they lie in, given back,
 * cut and ended; recordings that carry them; nothing that is damaged is believed. The seed of what is random is printed;
 * MTRACE_SEED sets it.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "emit/emit.h"
#include "emit/lifetimes.h"
#include "fake_segment.h"
#include "golden.h"
#include "model/lifetimes.h"
#include "model/profile.h"
#include "read/read.h"
#include "read/stream.h"
#include "run.h"

static uint64_t seed = 20240607;

static uint64_t random_word(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

/* ---- joining ---- */

enum { A = MTRACE_STREAM_ALLOCATED, F = MTRACE_STREAM_FREED, GAP = MTRACE_STREAM_GAP, POOL = MTRACE_STREAM_POOL };

static struct lifetimes joined;

static void take(uint32_t what, uint32_t thread, uint64_t address, uint32_t stack, uint64_t size, uint64_t tick)
{
	static uint64_t number;
	lifetimes_take(&joined, &(struct lifetimes_event){.number = number++, .what = what, .thread = thread,
							  .address = address, .stack = stack, .size = size, .tick = tick});
}

static const struct lifetimes_row *row_of(uint32_t stack)
{
	for (size_t i = 0; i < joined.row_count; i++)
		if (joined.rows[i].stack == stack)
			return &joined.rows[i];
	ck_abort_msg("stack %u has no row", stack);
}

START_TEST(temporary_is_freed_by_the_next_operation_of_its_thread)
{
	lifetimes_begin(&joined, 3);
	take(A, 1, 0x10, 0, 8, 0);
	take(F, 1, 0x10, 0, 8, 0); /* temporary */
	take(A, 1, 0x10, 0, 8, 0);
	take(A, 2, 0x20, 1, 8, 0);
	take(F, 1, 0x10, 0, 8, 0); /* temporary: the operation between was another thread's */
	take(A, 2, 0x30, 1, 8, 0);
	take(F, 2, 0x20, 1, 8, 0); /* not: an allocation of its own came between */
	take(F, 1, 0x30, 1, 8, 0); /* not: another thread's */
	take(A, 1, 0x40, 2, 8, 0);
	take(GAP, 1, 0, UINT32_MAX, 1, 0);
	take(F, 1, 0x40, 2, 8, 0); /* not: nobody knows what came between */
	lifetimes_finish(&joined);
	ck_assert_uint_eq(row_of(0)->temporary_blocks, 2);
	ck_assert_uint_eq(row_of(0)->temporary_bytes, 16);
	ck_assert_uint_eq(row_of(1)->temporary_blocks, 0);
	ck_assert_uint_eq(row_of(1)->elsewhere_blocks, 1);
	ck_assert_uint_eq(row_of(1)->freed_blocks, 2);
	ck_assert_uint_eq(row_of(2)->temporary_blocks, 0);
	ck_assert_uint_eq(row_of(2)->by_operations[1], 1);
	ck_assert_uint_eq(joined.lost, 1);
	ck_assert_uint_eq(joined.rows[0].stack, 0);
	lifetimes_free(&joined);
}
END_TEST

START_TEST(what_was_not_seen_is_not_guessed)
{
	lifetimes_begin(&joined, 2);
	take(F, 1, 0x10, 0, 8, 0);  /* older than the stream */
	take(A, 1, 0x20, 0, 8, 0);
	take(A, 1, 0x20, 1, 16, 0); /* its free was not seen */
	take(F, 1, 0x20, 0, 8, 0);  /* of another block than is there: that one's free was not seen either */
	take(A, 1, 0x30, 1, 8, 0);
	take(A | POOL, 1, 0x30, 0, 8, 0); /* no block of malloc's */
	take(F | POOL, 1, 0x30, 0, 8, 0);
	take(A, 1, 0x50, UINT32_MAX, 8, 0);
	take(A, 1, 0x60, 77, 8, 0); /* stacks that are not known */
	lifetimes_finish(&joined);
	ck_assert_uint_eq(joined.older_blocks, 2);
	ck_assert_uint_eq(row_of(0)->unseen_blocks, 1);
	ck_assert_uint_eq(row_of(1)->unseen_blocks, 1);
	ck_assert_uint_eq(row_of(0)->freed_blocks, 1);
	ck_assert_uint_eq(lifetimes_outlived(row_of(1)), 1);
	ck_assert_uint_eq(row_of(UINT32_MAX)->allocated_blocks, 2);
	ck_assert_uint_eq(lifetimes_outlived(&joined.total), 3);
	lifetimes_free(&joined);
}
END_TEST

START_TEST(lifetimes_fall_into_decades)
{
	static const uint64_t operations[LIFETIMES_OPERATIONS][2] = {{1, 1}, {2, 10}, {11, 100}, {101, 1000}, {1001, 10000},
								     {10001, 100000}, {100001, 1000000}, {1000001, 1000001}};
	static const uint64_t ticks[LIFETIMES_TIMES][2] = {{0, 1}, {2, 16}, {17, 160}, {161, 1600}, {1601, 99999}};
	lifetimes_begin(&joined, 1);
	for (int i = 0; i < LIFETIMES_OPERATIONS; i++)
		for (int k = 0; k < 2; k++) {
			take(A, 1, 0x10, 0, 8, 0);
			take(GAP, 1, 0, UINT32_MAX, operations[i][k] - 1, 0); /* as good as so many operations */
			take(F, 1, 0x10, 0, 8, 0);
		}
	for (int i = 0; i < LIFETIMES_TIMES; i++)
		for (int k = 0; k < 2; k++) {
			take(A, 1, 0x10, 0, 8, 1000);
			take(F, 1, 0x10, 0, 8, 1000 + ticks[i][k]);
		}
	lifetimes_finish(&joined);
	for (int i = 0; i < LIFETIMES_OPERATIONS; i++)
		ck_assert_uint_eq(row_of(0)->by_operations[i], i ? 2 : 2 + 2 * LIFETIMES_TIMES);
	for (int i = 0; i < LIFETIMES_TIMES; i++)
		ck_assert_uint_eq(row_of(0)->by_time[i], i ? 2 : 2 + 2 * LIFETIMES_OPERATIONS);
	lifetimes_free(&joined);
}
END_TEST

/* Against arrays: 4 threads, 512 addresses, half a million events. */
START_TEST(as_a_plain_reference_joins)
{
	enum { STACKS = 20, ADDRESSES = 512, OF_THREADS = 4 };
	static struct { uint64_t size, operation; uint32_t stack, thread; bool live; } block[ADDRESSES];
	uint64_t operation[OF_THREADS] = {0}, temporary[STACKS] = {0}, freed[STACKS] = {0}, allocated[STACKS] = {0}, elsewhere = 0;
	uint64_t live = 0;
	memset(block, 0, sizeof block);
	lifetimes_begin(&joined, STACKS);
	for (int n = 0; n < 500000; n++) {
		uint64_t r = random_word();
		uint32_t a = r % ADDRESSES, thread = r >> 10 & 3;
		if (r >> 12 & 1) /* often the one of the operation before */
			a = (uint32_t)(n / 2 % ADDRESSES), thread = n / 2 % OF_THREADS;
		uint64_t now = ++operation[thread];
		if (block[a].live) {
			take(F, thread, 0x1000 + a * 64, block[a].stack, block[a].size, 0);
			freed[block[a].stack]++;
			temporary[block[a].stack] += block[a].thread == thread && now == block[a].operation + 1;
			elsewhere += block[a].thread != thread;
			block[a].live = false;
			live--;
			continue;
		}
		block[a].stack = r >> 20 & 15;
		block[a].size = r >> 40 & 1023;
		block[a].operation = now;
		block[a].thread = thread;
		block[a].live = true;
		live++;
		allocated[block[a].stack]++;
		take(A, thread, 0x1000 + a * 64, block[a].stack, block[a].size, 0);
	}
	lifetimes_finish(&joined);
	for (uint32_t s = 0; s < 16; s++) {
		ck_assert_uint_gt(temporary[s], 100);
		ck_assert_uint_eq(row_of(s)->allocated_blocks, allocated[s]);
		ck_assert_uint_eq(row_of(s)->freed_blocks, freed[s]);
		ck_assert_uint_eq(row_of(s)->temporary_blocks, temporary[s]);
	}
	ck_assert_uint_eq(joined.total.elsewhere_blocks, elsewhere);
	ck_assert_uint_eq(lifetimes_outlived(&joined.total), live);
	ck_assert_uint_eq(joined.total.unseen_blocks + joined.older_blocks, 0);
	lifetimes_free(&joined);
}
END_TEST

/* ---- draining ---- */

static struct fake_segment *f;
static struct profile *p;
static struct read_error error;
static int fd;
static uint32_t rows[2];

static void setup(void)
{
	f = fake_segment_new();
	p = profile_new();
	fd = memfd_create("mtrace.test", MFD_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	uint32_t module = fake_module(f, "/opt/app/server", 7);
	rows[0] = fake_stack(f, MTRACE_KIND_MALLOC, module, (uint64_t[]){0x1000, 0x2000, 0});
	rows[1] = fake_stack(f, MTRACE_KIND_MALLOC, module, (uint64_t[]){0x3000, 0x2000, 0});
	fake_count(f, rows[0], 50000, 3200000, 49999, 3199936);
	fake_count(f, rows[1], 10, 80, 10, 80);
	fake_malloc(f, rows[0], 0x10000, 64, 1);
	for (uint32_t i = 1; i <= 3; i++)
		fake_thread(f, 4200 + i, "worker", 0);
	*fake_stream(f) = (struct mtrace_stream_head){.ordinal = 1, .asked_ms = 10000, .begin_tick = 32, .parts = FAKE_PARTS};
	fake_header(f)->mono_start_ns = 0;
	fake_header(f)->end = MTRACE_END_EXIT;
	fake_header(f)->end_mono_ns = 5000000000u;
}

static void teardown(void)
{
	profile_free(p);
	fake_segment_free(f);
	close(fd);
}

/* One record more in a part. */
static void record(uint32_t part, uint64_t number, uint32_t what, uint64_t address, uint32_t row, uint64_t size)
{
	struct mtrace_stream_part *d = fake_part(f, part);
	struct mtrace_stream_record *r = fake_record(f, part, d->count++);
	r->word[0] = number << 24 | 33u << 4 | what;
	r->word[1] = address;
	r->word[2] = size << MTRACE_SLOT_ROW_BITS | row;
	d->round = d->round ? d->round : 1;
	d->thread = part + 1;
}

static const struct lifetimes *read_it(void)
{
	fake_segment_write(f, fd);
	ck_assert_msg(read_segment_fd(fd, "segment", p, NULL, &error) == 0, "%s", error.text);
	read_lifetimes(&p->processes[0], &joined);
	return &joined;
}

static uint64_t expected_number;

static void expect_ascending(void *unused, const struct lifetimes_event *e)
{
	(void)unused;
	ck_assert_uint_ge(e->number, expected_number);
	expected_number = e->number;
}

/* A block that one thread allocates and another frees, in parts that lie the other way round. */
START_TEST(parts_are_put_in_the_order_of_numbers)
{
	for (uint64_t n = 0; n < 100; n++) {
		record(1, 4 * n, A, 0x1000, rows[0], 64);
		record(0, 4 * n + 1, F, 0x1000, rows[0], 64);
		record(1, 4 * n + 2, A, 0x1000, rows[1], 8);
		record(1, 4 * n + 3, F, 0x1000, rows[1], 8);
	}
	const struct lifetimes *l = read_it();
	ck_assert_uint_eq(l->total.allocated_blocks, 200);
	ck_assert_uint_eq(l->total.freed_blocks, 200);
	ck_assert_uint_eq(l->total.elsewhere_blocks, 100);
	ck_assert_uint_eq(l->total.temporary_blocks, 100);
	ck_assert_uint_eq(l->older_blocks + l->total.unseen_blocks, 0);
	ck_assert_uint_eq(p->processes[0].stacks[l->rows[0].stack].counts.alloc_blocks, 10);
	expected_number = 0;
	ck_assert_uint_eq(read_stream_events(&p->processes[0], expect_ascending, NULL), 0);
	ck_assert_uint_eq(p->processes[0].stream.begin_ns, 2000000000u);
	ck_assert_uint_eq(p->processes[0].stream.end_ns, 5000000000u); /* that of the process */
	lifetimes_free(&joined);
}
END_TEST

START_TEST(what_is_not_of_the_stream_is_left_out)
{
	fake_stream(f)->first = 10;
	fake_stream(f)->ended = 1;
	fake_stream(f)->end = 20;
	fake_stream(f)->end_tick = 48;
	fake_header(f)->counters[MTRACE_COUNTER_stream_dropped] = 12;
	fake_stream(f)->dropped = 5;
	for (uint64_t n = 5; n < 25; n++)
		record(0, n, n == 12 ? MTRACE_STREAM_NOTHING : A, 0x1000 + n * 16, rows[0], 64);
	fake_part(f, 1)->lost = 3;
	record(1, 15, 9, 0x10, rows[0], 64); /* no such thing */
	const struct lifetimes *l = read_it();
	ck_assert_uint_eq(l->total.allocated_blocks, 9);
	ck_assert_uint_eq(l->lost, 3);
	ck_assert_uint_eq(p->processes[0].stream.events, 9);
	ck_assert_uint_eq(p->processes[0].stream.dropped, 7);
	ck_assert_uint_eq(p->processes[0].stream.end_ns, 3000000000u);
	lifetimes_free(&joined);
}
END_TEST

START_TEST(counts_beyond_a_part_are_not_believed)
{
	record(0, 0, A, 0x1000, rows[0], 64);
	fake_part(f, 0)->count = UINT32_MAX;
	fake_stream(f)->parts = UINT32_MAX;
	const struct lifetimes *l = read_it();
	ck_assert_uint_le(l->total.allocated_blocks, MTRACE_STREAM_RECORDS);
	lifetimes_free(&joined);
}
END_TEST

static uint32_t drained_word(uint32_t part)
{
	uint32_t word = 0;
	ck_assert_int_eq(pread(fd, &word, sizeof word, MTRACE_CONTROL_OFFSET + offsetof(struct mtrace_control, stream_drained) + 4 * part), 4);
	return word;
}

static struct drain *drain_it(uint64_t most_bytes)
{
	fake_segment_write(f, fd);
	struct drain *d = drain_open(fd, &(struct drain_request){.give_back = true, .most_bytes = most_bytes}, &error);
	ck_assert_msg(d != NULL, "%s", error.text);
	return d;
}

/* Two looks while a part grows, is closed, given back and taken again. */
START_TEST(parts_that_were_read_are_given_back)
{
	struct drain *d = drain_it(0);
	ck_assert_ptr_null(drain_open(fd, &(struct drain_request){.give_back = true}, &error)); /* one at a time */
	record(0, 0, A, 0x1000, rows[0], 64);
	fake_segment_write(f, fd);
	ck_assert_int_eq(drain_take(d), DRAIN_ON);
	ck_assert_uint_eq(drained_word(0), 0);
	record(0, 1, F, 0x1000, rows[0], 64);
	fake_part(f, 0)->closed = 1;
	record(1, 2, A, 0x1000, rows[0], 64);
	fake_segment_write(f, fd);
	ck_assert_int_eq(drain_take(d), DRAIN_ON);
	ck_assert_uint_eq(drained_word(0), 1);
	ck_assert_uint_eq(drained_word(1), 0);
	*fake_part(f, 0) = (struct mtrace_stream_part){.round = 2};
	fake_control(f)->stream_drained[0] = 1;
	record(0, 3, A, 0x2000, rows[0], 64);
	fake_stream(f)->end = 4;
	fake_stream(f)->ended = 1;
	fake_segment_write(f, fd);
	ck_assert_int_eq(drain_take(d), DRAIN_ENDED);
	struct profile_process *process = profile_add_process(p);
	drain_finish(d, p, process);
	ck_assert_uint_eq(process->stream.events, 4);
	drain_close(d);
	ck_assert_int_eq(read_segment_fd(fd, "segment", p, NULL, &error), 0); /* others do not show a part of it as the whole */
	ck_assert_uint_eq(p->processes[1].stream.asked_ms, 0);
}
END_TEST

/* Number 1 comes so many looks after 2, in a stream that goes on. Returns how many frees were seen in their order. */
static uint64_t freed_when_late_by(int looks)
{
	struct drain *d = drain_it(0);
	record(0, 0, A, 0x1000, rows[0], 64);
	record(0, 2, A, 0x1000, rows[1], 8);
	fake_segment_write(f, fd);
	while (looks-- > 0)
		ck_assert_int_eq(drain_take(d), DRAIN_ON);
	record(1, 1, F, 0x1000, rows[0], 64);
	fake_segment_write(f, fd);
	ck_assert_int_eq(drain_take(d), DRAIN_ON);
	ck_assert_int_eq(read_segment_fd(fd, "segment", p, NULL, &error), 0);
	drain_finish(d, p, &p->processes[0]);
	drain_close(d);
	ck_assert_uint_eq(p->processes[0].stream.events, 3);
	read_lifetimes(&p->processes[0], &joined);
	uint64_t freed = joined.total.freed_blocks;
	lifetimes_free(&joined);
	return freed;
}

START_TEST(an_event_under_way_is_waited_for)
{
	ck_assert_uint_eq(freed_when_late_by(5), 1);
}
END_TEST

/* So that what comes after one that was killed does not pile up. */
START_TEST(but_not_for_ever)
{
	ck_assert_uint_eq(freed_when_late_by(100), 0);
}
END_TEST

START_TEST(a_number_that_never_comes_does_not_keep_it_from_ending)
{
	struct drain *d = drain_it(0);
	record(0, 0, A, 0x1000, rows[0], 64);
	record(0, 2, F, 0x1000, rows[0], 64);
	fake_stream(f)->end = 9;
	fake_stream(f)->ended = 1;
	fake_segment_write(f, fd);
	enum drain_state state = DRAIN_ON;
	for (int looks = 0; looks < 200 && state == DRAIN_ON; looks++)
		state = drain_take(d);
	ck_assert_int_eq(state, DRAIN_ENDED);
	struct profile_process *process = profile_add_process(p);
	drain_finish(d, p, process);
	ck_assert_uint_eq(process->stream.events, 2);
	drain_close(d);
}
END_TEST

START_TEST(no_more_is_kept_than_was_asked_for)
{
	struct drain *d = drain_it(100000);
	enum drain_state state = DRAIN_ON;
	uint64_t number = 0;
	for (uint32_t round = 1; state == DRAIN_ON && round < 20000; round++) {
		*fake_part(f, 0) = (struct mtrace_stream_part){.round = round};
		fake_control(f)->stream_drained[0] = round - 1;
		while (fake_part(f, 0)->count < MTRACE_STREAM_RECORDS)
			record(0, number++, A, random_word() >> 17 << 4, rows[0], random_word() % 100000);
		ck_assert_int_eq(pwrite(fd, fake_stream(f), 3 * MTRACE_STREAM_PARTS_OFFSET / 2, /* head, descriptions, the part */
					(off_t)fake_header(f)->regions[MTRACE_REGION_STREAM].offset), 3 * MTRACE_STREAM_PARTS_OFFSET / 2);
		state = drain_take(d);
	}
	uint32_t stop = 0;
	ck_assert_int_eq(state, DRAIN_CUT);
	ck_assert_int_eq(pread(fd, &stop, 4, MTRACE_CONTROL_OFFSET + offsetof(struct mtrace_control, stream_stop)), 4);
	ck_assert_uint_eq(stop, 1);
	struct profile_process *process = profile_add_process(p);
	drain_finish(d, p, process);
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < process->stream.part_count; i++)
		bytes += process->stream.parts[i].stored_bytes;
	ck_assert_uint_eq(process->stream.most_bytes, 100000);
	ck_assert_uint_gt(bytes, 50000);
	ck_assert_uint_lt(bytes, 1000000); /* one part more than fits, at most */
	drain_close(d);
}
END_TEST

/* ---- recordings ---- */

static char *emitted(const struct profile *of, bool json)
{
	static const struct lifetimes *all[2];
	struct emit_options o = {.limit = 0, .lifetimes = all, .target = "x"};
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	read_lifetimes(&of->processes[0], &joined);
	all[0] = &joined;
	ck_assert_int_eq(json ? emit_json(of, &o, out) : emit_text(of, &o, out), 0);
	fclose(out);
	lifetimes_free(&joined);
	return text;
}

static void make_report(void)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < 40; i++) {
		record(0, n++, A, 0x1000, rows[0], 64);
		record(0, n++, F, 0x1000, rows[0], 64);
		if (i % 4 == 0)
			record(1, n++, A, 0x2000 + i * 16, rows[1], 8);
		if (i % 4 == 3)
			record(0, n++, F, 0x2000 + (i - 3) * 16, rows[1], 8);
	}
	record(2, n++, F, 0x9000, rows[0], 64);
	fake_header(f)->counters[MTRACE_COUNTER_stream_dropped] = 12;
	read_it();
	lifetimes_free(&joined);
}

START_TEST(as_golden_files_have_it)
{
	make_report();
	char *text = emitted(p, false);
	golden_same("lifetimes.txt", text);
	free(text);
	text = emitted(p, true);
	golden_same("lifetimes.json", text);
	free(text);
}
END_TEST

START_TEST(a_recording_carries_them)
{
	char path[] = "/tmp/mtrace-lifetimes-XXXXXX";
	close(mkstemp(path));
	make_report();
	struct profile *again = profile_new();
	ck_assert_msg(write_recording(path, true, p, &error) == 0, "%s", error.text);
	ck_assert_msg(read_recording(path, again, &error) == 0, "%s", error.text);
	for (int json = 0; json < 2; json++) {
		char *before = emitted(p, json), *after = emitted(again, json);
		ck_assert_str_eq(before, after);
		free(before);
		free(after);
	}
	/* one bit in a part: the rest is as it was, and the part is said to be lost */
	uint8_t *bytes = (uint8_t *)(uintptr_t)again->processes[0].stream.parts[0].bytes;
	bytes[again->processes[0].stream.parts[0].stored_bytes / 2] ^= 4;
	ck_assert_uint_eq(read_lifetimes(&again->processes[0], &joined), 1);
	ck_assert_uint_eq(joined.total.allocated_blocks, 0);
	lifetimes_free(&joined);
	unlink(path);
	profile_free(again);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lifetimes");
	TCase *joins = tcase_create("joins"), *drains = tcase_create("drains");
	if (getenv("MTRACE_SEED"))
		seed = strtoull(getenv("MTRACE_SEED"), NULL, 0);
	printf("seed %llu\n", (unsigned long long)seed);
	tcase_set_timeout(joins, 120);
	tcase_set_timeout(drains, 120);
	tcase_add_test(joins, temporary_is_freed_by_the_next_operation_of_its_thread);
	tcase_add_test(joins, what_was_not_seen_is_not_guessed);
	tcase_add_test(joins, lifetimes_fall_into_decades);
	tcase_add_test(joins, as_a_plain_reference_joins);
	tcase_add_checked_fixture(drains, setup, teardown);
	tcase_add_test(drains, parts_are_put_in_the_order_of_numbers);
	tcase_add_test(drains, what_is_not_of_the_stream_is_left_out);
	tcase_add_test(drains, counts_beyond_a_part_are_not_believed);
	tcase_add_test(drains, parts_that_were_read_are_given_back);
	tcase_add_test(drains, an_event_under_way_is_waited_for);
	tcase_add_test(drains, but_not_for_ever);
	tcase_add_test(drains, a_number_that_never_comes_does_not_keep_it_from_ending);
	tcase_add_test(drains, no_more_is_kept_than_was_asked_for);
	tcase_add_test(drains, as_golden_files_have_it);
	tcase_add_test(drains, a_recording_carries_them);
	suite_add_tcase(suite, joins);
	suite_add_tcase(suite, drains);
	return run_suite(suite);
}
