/*
 * test_tools_counts: what a reader makes of a row's totals, its tallies and a fold that was stopped after each of its
 * stores: the same counts every time, whether the process is dead or its thread only stands still there.
 */
#include <check.h>
#include <string.h>

#include "fake_read.h"
#include "model/profile.h"
#include "read/read.h"
#include "run.h"

enum { STRAY = 5, OTHER = MTRACE_FIRST_TALLY, FOLDED, UNNAMED };
enum { STAGES = 10 };

static struct fake_segment *f;
static uint32_t row;

static void set_tally(uint32_t id, uint32_t of, uint64_t n)
{
	struct mtrace_region *r = &fake_header(f)->regions[MTRACE_REGION_TALLIES];
	struct mtrace_tally *t = fake_element(f, MTRACE_REGION_TALLIES, id);
	*t = (struct mtrace_tally){.row = of, .alloc_blocks = n, .alloc_bytes = 10 * n};
	if (r->used <= id)
		r->used = id + 1;
}

/* The stores of a fold, in the order of libmtrace/counts.h C2 and C3; those from `stage` on are not done. */
static void fold_until(int stage)
{
	struct mtrace_row *r = fake_element(f, MTRACE_REGION_ROWS, row);
	struct mtrace_fold *d = fake_element(f, MTRACE_REGION_FOLDS, 3);
	struct mtrace_tally *t = fake_element(f, MTRACE_REGION_TALLIES, FOLDED);
	if (stage > 0)
		r->version++;
	if (stage > 1)
		*d = (struct mtrace_fold){.row = row, .tally = FOLDED, .alloc_blocks = 107, .alloc_bytes = 1070};
	if (stage > 2)
		d->valid = 1;
	if (stage > 3)
		r->alloc_blocks = 107;
	if (stage > 4)
		r->alloc_bytes = 1070;
	if (stage > 5)
		t->row = 0;
	if (stage > 6)
		d->valid = 0;
	if (stage > 7)
		r->version++;
	if (stage > 8) { /* the tally is another row's; what a second thread had counted is in the totals by now, too */
		t->row = row + 1;
		set_tally(OTHER, 0, 3);
		r->alloc_blocks = 110;
		r->alloc_bytes = 1100;
	}
}

static void setup(void)
{
	f = fake_segment_new();
	uint32_t module = fake_module(f, "/usr/bin/thing", 7);
	row = fake_stack(f, MTRACE_KIND_JNI_GLOBAL, module, (const uint64_t[]){0x10, 0x20, 0});
	fake_stack(f, MTRACE_KIND_JNI_WEAK, module, (const uint64_t[]){0x30, 0});
	fake_count(f, row, 100, 1000, 0, 0);
	set_tally(STRAY, row, 1);
	set_tally(OTHER, row, 3);
	set_tally(FOLDED, row, 7);
	set_tally(UNNAMED, 0, 1000); /* its place was given up: what it says is nothing's */
}

static void teardown(void)
{
	fake_segment_free(f);
}

static void check(int stage, bool alive)
{
	struct profile *p = fake_segment_read(f, alive);
	const struct profile_counts *c = &p->processes[0].by_kind[MTRACE_KIND_JNI_GLOBAL];
	ck_assert_msg(c->alloc_blocks == 111 && c->alloc_bytes == 1110, "stage %d, alive %d: %llu blocks, %llu bytes", stage,
	              alive, (unsigned long long)c->alloc_blocks, (unsigned long long)c->alloc_bytes);
	ck_assert_uint_eq(p->processes[0].by_kind[MTRACE_KIND_JNI_WEAK].alloc_blocks, stage > 8 ? 7 : 0);
	ck_assert_uint_eq(p->processes[0].unsettled_stacks, 0);
	profile_free(p);
}

START_TEST(a_fold_that_stopped_is_read)
{
	fold_until(_i);
	check(_i, true);
	check(_i, false);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tools: counts");
	TCase *reads = tcase_create("reads");
	tcase_add_checked_fixture(reads, setup, teardown);
	tcase_add_loop_test(reads, a_fold_that_stopped_is_read, 0, STAGES);
	suite_add_tcase(s, reads);
	return run_suite(s);
}
