/*
 * test_tools_diff: what a diff promises: every stack of both sides is in one row and rows add up to totals; equal code
 * joins by id, rebuilt code by its functions, and several stacks of one list say so; the other way round everything is
 * negated; JSON is JSON, whatever is in the profile. Golden: UPDATE=1 rewrites.
 */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emit/diff.h"
#include "fake_profile.h"
#include "fake_report.h"
#include "golden.h"
#include "model/diff.h"
#include "model/profile.h"
#include "run.h"

/* ---- any profiles ---- */

/* Counts small enough that no sum reaches the end of the range, ids as readers make them. */
static struct profile *any(uint64_t seed)
{
	struct profile *p = fake_profile_random(seed, 60);
	for (uint32_t i = 0; i < p->process_count; i++) {
		struct profile_process *q = &p->processes[i];
		for (uint32_t k = 0; k < q->stack_count; k++) {
			uint64_t *c = &q->stacks[k].counts.alloc_blocks;
			for (size_t n = 0; n < sizeof q->stacks[k].counts / sizeof *c; n++)
				c[n] >>= 20;
		}
		for (uint32_t k = 0; k < q->live_count; k++) {
			q->live[k].blocks >>= 20;
			q->live[k].bytes >>= 20;
		}
		profile_finish_process(p, q);
	}
	return p;
}

static uint64_t live_bytes(const struct profile *p, enum mtrace_kind kind)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < p->process_count; i++)
		sum += diff_counts_process(&p->processes[i]) ? p->processes[i].by_kind[kind].live_bytes : 0;
	return sum;
}

static size_t counted_stacks(const struct profile *p)
{
	size_t n = 0;
	for (uint32_t i = 0; i < p->process_count; i++)
		for (uint32_t k = 0; diff_counts_process(&p->processes[i]) && k < p->processes[i].stack_count; k++) {
			const struct profile_counts *c = &p->processes[i].stacks[k].counts;
			n += c->live_blocks || c->live_bytes || c->alloc_blocks;
		}
	return n;
}

static void check_sums(const struct diff *d, const struct profile *a, const struct profile *b)
{
	uint64_t in_a[MTRACE_KIND_COUNT] = {0}, in_b[MTRACE_KIND_COUNT] = {0};
	size_t stacks_a = 0, stacks_b = 0;
	for (size_t i = 0; i < d->count; i++) {
		const struct diff_row *r = &d->rows[i];
		in_a[r->kind] += r->a.counts.live_bytes;
		in_b[r->kind] += r->b.counts.live_bytes;
		stacks_a += r->a.stacks;
		stacks_b += r->b.stacks;
		ck_assert(r->a.stacks || r->b.stacks);
	}
	for (unsigned k = 0; k < MTRACE_KIND_COUNT; k++) {
		ck_assert_uint_eq(in_a[k], live_bytes(a, (enum mtrace_kind)k));
		ck_assert_uint_eq(in_b[k], live_bytes(b, (enum mtrace_kind)k));
		ck_assert_uint_eq(in_a[k], d->a[k].live_bytes);
		ck_assert_uint_eq(in_b[k], d->b[k].live_bytes);
	}
	ck_assert_uint_eq(stacks_a, counted_stacks(a));
	ck_assert_uint_eq(stacks_b, counted_stacks(b));
}

START_TEST(rows_add_up)
{
	struct diff d;
	for (uint64_t seed = 0; seed < 60; seed++) {
		struct profile *a = any(seed), *b = any(seed % 3 ? seed + 1 : seed);
		diff_stacks(a, b, false, &d);
		check_sums(&d, a, b);
		diff_free(&d);
		for (enum emit_by by = EMIT_BY_SITE; by <= EMIT_BY_MODULE; by++) {
			emit_diff_make(a, b, by, false, &d);
			check_sums(&d, a, b);
			diff_free(&d);
		}
		profile_free(a);
		profile_free(b);
	}
}
END_TEST

START_TEST(with_itself_everything_is_the_same)
{
	struct diff d;
	for (uint64_t seed = 0; seed < 60; seed++) {
		struct profile *a = any(seed), *b = any(seed);
		for (enum emit_by by = EMIT_BY_STACK; by <= EMIT_BY_KIND; by++) {
			emit_diff_make(a, b, by, false, &d);
			for (size_t i = 0; i < d.count; i++)
				ck_assert_int_eq(diff_change_of(&d, &d.rows[i]), DIFF_SAME);
			ck_assert_uint_eq(d.joined[DIFF_BY_NAMES] + d.joined[DIFF_BY_NONE], 0);
			diff_free(&d);
		}
		profile_free(a);
		profile_free(b);
	}
}
END_TEST

START_TEST(the_other_way_round_all_is_negated)
{
	struct diff d, e;
	for (uint64_t seed = 0; seed < 60; seed++) {
		struct profile *a = any(seed), *b = any(seed + 7);
		diff_stacks(a, b, seed & 1, &d);
		diff_stacks(b, a, seed & 1, &e);
		int64_t forth = 0, back = 0;
		ck_assert_uint_eq(d.count, e.count);
		for (size_t i = 0; i < d.count; i++) {
			forth += diff_bytes(&d, &d.rows[i]);
			back += diff_bytes(&e, &e.rows[i]);
		}
		ck_assert_int_eq(forth, -back);
		ck_assert_uint_eq(d.ambiguous, e.ambiguous);
		ck_assert_uint_eq(d.unnamed_a, e.unnamed_b);
		for (int k = 0; k < DIFF_JOINS; k++)
			ck_assert_uint_eq(d.joined[k], e.joined[k]);
		diff_free(&d);
		diff_free(&e);
		profile_free(a);
		profile_free(b);
	}
}
END_TEST

START_TEST(differences_do_not_wrap)
{
	ck_assert_int_eq(diff_less(5, 3), 2);
	ck_assert_int_eq(diff_less(3, 5), -2);
	ck_assert_int_eq(diff_less(UINT64_MAX, 0), INT64_MAX);
	ck_assert_int_eq(diff_less(0, UINT64_MAX), -INT64_MAX);
	ck_assert_int_eq(diff_less(UINT64_MAX, UINT64_MAX), 0);
}
END_TEST

static char *emitted(const struct emit_diff *e, bool json)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	ck_assert_int_eq(json ? emit_diff_json(e, out) : emit_diff_text(e, out), 0);
	fclose(out);
	return text;
}

/* Numbers of all sizes, texts of all sorts. */
START_TEST(whatever_is_in_it_json_is_json_and_text_is_text)
{
	for (uint64_t seed = 0; seed < 100; seed++) {
		struct profile *a = fake_profile_random(seed, 40), *b = fake_profile_random(seed + 1, 40);
		struct diff d;
		enum emit_by by = (enum emit_by)(seed % 5);
		emit_diff_make(a, b, by, seed & 1, &d);
		struct emit_diff e = {.a = a, .b = b, .target_a = "a\"\n", .target_b = "b", .diff = &d, .by = by, .limit = seed % 4,
		                      .color = seed & 2, .full = seed & 1, .columns = seed & 4 ? 60 : 0};
		char *text = emitted(&e, true);
		json_t *j = json_loads(text, 0, NULL);
		ck_assert_ptr_nonnull(j);
		size_t rows = json_array_size(json_object_get(j, "rows"));
		ck_assert_uint_eq(rows, e.limit && e.limit < d.count ? e.limit : d.count);
		json_decref(j);
		free(text);
		text = emitted(&e, false);
		for (const char *s = text; *s; s++)
			ck_assert(*s == '\n' || *s == 27 || (unsigned char)*s >= ' ');
		free(text);
		diff_free(&d);
		profile_free(a);
		profile_free(b);
	}
}
END_TEST

/* ---- a server, rebuilt ---- */

/* The same functions at other offsets of a module with another build-id; the largest stack grew by a half, one of two is
   gone, a thread's blocks moved. */
static struct profile *rebuilt(bool names)
{
	struct profile *p = fake_report();
	for (uint32_t i = 0; i < p->process_count; i++) {
		struct profile_process *q = &p->processes[i];
		q->modules[0].build_id[3] ^= 1;
		for (uint32_t k = 0; k < q->frame_count; k++) {
			if (q->frames[k].module == 0)
				q->frames[k].value += 0x4a0;
			if (q->frames[k].module == 0 && !names)
				q->frames[k].name_count = 0;
		}
		q->stacks[0].counts.live_bytes += q->stacks[0].counts.live_bytes / 2;
		q->stacks[0].counts.live_blocks += 45205;
		if (q->live_count)
			q->live[1].bytes += 700 << 20;
		profile_finish_process(p, q);
	}
	return p;
}

static const struct diff_row *row_of(const struct diff *d, enum mtrace_kind kind, size_t n)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->rows[i].kind == kind && n-- == 0)
			return &d->rows[i];
	return NULL;
}

START_TEST(a_rebuilt_program_joins_by_its_functions)
{
	struct profile *a = fake_report(), *b = rebuilt(true);
	struct diff d;
	diff_stacks(a, b, false, &d);
	const struct diff_row *r = row_of(&d, MTRACE_KIND_THREAD, 0);
	ck_assert_int_eq(r->join, DIFF_BY_NAMES);
	ck_assert_int_eq(diff_change_of(&d, r), DIFF_SAME);
	r = row_of(&d, MTRACE_KIND_MALLOC, 0);
	ck_assert_int_eq(r->join, DIFF_BY_NAMES);
	ck_assert_int_eq(diff_change_of(&d, r), DIFF_GREW);
	ck_assert_uint_eq(r->a.stacks, 1);
	ck_assert_uint_eq(r->b.stacks, 1);
	/* strdup in libc, a frame without a name, a JIT address: the offset moved, and nothing tells that it is the same */
	ck_assert_uint_eq(d.joined[DIFF_BY_NONE], 2);
	ck_assert_uint_eq(d.unnamed_a, 1);
	ck_assert_uint_eq(d.unnamed_b, 1);
	ck_assert_uint_eq(d.joined[DIFF_BY_ID], 1); /* the stack without frames */
	diff_free(&d);
	profile_free(a);
	profile_free(b);
}
END_TEST

START_TEST(without_names_it_does_not_join_and_says_so)
{
	struct profile *a = fake_report(), *b = rebuilt(false);
	struct diff d;
	diff_stacks(a, b, false, &d);
	ck_assert_uint_eq(d.joined[DIFF_BY_NAMES], 0);
	ck_assert_uint_gt(d.unnamed_b, 3);
	diff_free(&d);
	profile_free(a);
	profile_free(b);
}
END_TEST

/* A frame at another offset of one function: two stacks in B for one in A. */
START_TEST(several_stacks_of_one_list_are_one_row)
{
	struct profile *a = fake_report(), *b = rebuilt(true);
	struct profile_process *q = &b->processes[0];
	struct profile_stack *stacks = profile_alloc(b, q->stack_count + 1, sizeof *stacks);
	struct profile_frame *frames = profile_alloc(b, q->frame_count + 1, sizeof *frames);
	memcpy(stacks, q->stacks, q->stack_count * sizeof *stacks);
	memcpy(frames, q->frames, q->frame_count * sizeof *frames);
	uint32_t *path = profile_alloc(b, 3, sizeof *path);
	frames[q->frame_count] = frames[2]; /* handle_request */
	frames[q->frame_count].value += 8;
	path[0] = q->frame_count;
	path[1] = 3;
	path[2] = 4;
	stacks[q->stack_count] = (struct profile_stack){.kind = MTRACE_KIND_MMAP, .frames = path, .frame_count = 3,
	                                                .counts = {.alloc_blocks = 1, .live_blocks = 1, .live_bytes = 4096}};
	q->stacks = stacks;
	q->frames = frames;
	q->stack_count++;
	q->frame_count++;
	profile_finish_process(b, q);
	struct diff d;
	diff_stacks(a, b, false, &d);
	const struct diff_row *r = row_of(&d, MTRACE_KIND_MMAP, 0);
	ck_assert_int_eq(r->join, DIFF_BY_NAMES);
	ck_assert_uint_eq(r->a.stacks, 1);
	ck_assert_uint_eq(r->b.stacks, 2);
	ck_assert_int_eq(diff_bytes(&d, r), 4096);
	ck_assert_uint_eq(r->b.stack->counts.live_bytes, 4 << 20); /* the largest stands for them */
	ck_assert_uint_eq(d.ambiguous, 1);
	ck_assert_ptr_null(row_of(&d, MTRACE_KIND_MMAP, 1));
	diff_free(&d);
	profile_free(a);
	profile_free(b);
}
END_TEST

START_TEST(what_went_on_to_exec_is_left_out)
{
	struct profile *a = fake_report(), *b = fake_report();
	struct diff d;
	b->processes[1].end = PROFILE_EXEC;
	diff_stacks(a, b, false, &d);
	ck_assert_int_eq(diff_less(d.b[MTRACE_KIND_MALLOC].live_bytes, d.a[MTRACE_KIND_MALLOC].live_bytes), -200);
	diff_free(&d);
	profile_free(a);
	profile_free(b);
}
END_TEST

/* ---- words ---- */

static void golden(const char *name, const struct emit_diff *e, bool json)
{
	char *text = emitted(e, json);
	golden_same(name, text);
	free(text);
}

START_TEST(golden_words)
{
	struct profile *a = fake_report(), *b = rebuilt(true);
	static const char *const names[] = {"diff.txt", "diff-by-site.txt", "diff-by-module.txt", "diff-by-thread.txt"};
	for (enum emit_by by = EMIT_BY_STACK; by <= EMIT_BY_THREAD; by++) {
		struct diff d;
		emit_diff_make(a, b, by, false, &d);
		struct emit_diff e = {.a = a, .b = b, .target_a = "v1.mtr", .target_b = "v2.mtr", .diff = &d, .by = by, .limit = 10};
		golden(names[by], &e, false);
		if (by == EMIT_BY_STACK)
			golden("diff.json", &e, true);
		diff_free(&d);
	}
	profile_free(a);
	profile_free(b);
}
END_TEST

/* One process at two times: how long between, and how much per hour. */
START_TEST(golden_words_of_one_process)
{
	struct profile *a = fake_report(), *b = fake_report();
	a->processes[0].start_time = b->processes[0].start_time = 77;
	b->processes[0].lived_ns += 1800ull * 1000000000u;
	b->processes[0].stacks[1].counts.live_bytes += 10 << 20;
	profile_finish_process(b, &b->processes[0]);
	struct diff d;
	emit_diff_make(a, b, EMIT_BY_STACK, false, &d);
	struct emit_diff e = {.a = a, .b = b, .target_a = "base.mtr", .target_b = "4127", .diff = &d, .columns = 80, .limit = 1};
	ck_assert_uint_eq(emit_diff_elapsed(&e), 1800ull * 1000000000u);
	golden("diff-baseline.txt", &e, false);
	b->processes[0].image = 1;
	ck_assert_uint_eq(emit_diff_elapsed(&e), 0);
	diff_free(&d);
	profile_free(a);
	profile_free(b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("diff");
	TCase *tests = tcase_create("diff");
	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, rows_add_up);
	tcase_add_test(tests, with_itself_everything_is_the_same);
	tcase_add_test(tests, the_other_way_round_all_is_negated);
	tcase_add_test(tests, differences_do_not_wrap);
	tcase_add_test(tests, whatever_is_in_it_json_is_json_and_text_is_text);
	tcase_add_test(tests, a_rebuilt_program_joins_by_its_functions);
	tcase_add_test(tests, without_names_it_does_not_join_and_says_so);
	tcase_add_test(tests, several_stacks_of_one_list_are_one_row);
	tcase_add_test(tests, what_went_on_to_exec_is_left_out);
	tcase_add_test(tests, golden_words);
	tcase_add_test(tests, golden_words_of_one_process);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
