/*
 * counts: every event is in exactly one place, whatever collides, is preempted, ends or is killed. The sums are taken
 * as a reader takes them: rows, folds that are valid, tallies.
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
#include "slots.h"

enum { ROWS = 3000, THREADS = 4 };

static uint64_t rows_first;

static void setup(void)
{
	room_open(256 << 20);
	ck_assert(epochs_init(10000) && history_init() && counts_init());
	rows_first = segment_reserve(MTRACE_REGION_ROWS, ROWS);
	ck_assert_uint_ne(rows_first, UINT64_MAX);
}

/* ---- sums, as a reader's ---- */

struct sums {
	struct counts_change of[ROWS];
};

/* Where the regions are: in our own segment, or in the file of one that was killed. */
struct view {
	const struct mtrace_row *rows;
	const struct mtrace_tally *tallies;
	const struct mtrace_fold *folds;
	uint64_t tally_count, fold_count, first;
};

static const struct mtrace_fold *fold_of(const struct view *v, uint32_t row, uint32_t tally)
{
	for (uint64_t i = 0; i < v->fold_count; i++)
		if (v->folds[i].valid && (row ? v->folds[i].row == row : v->folds[i].tally == tally))
			return &v->folds[i];
	return NULL;
}

static void sum_up(const struct view *v, struct sums *s)
{
	for (uint32_t i = 0; i < ROWS; i++) {
		uint32_t row = (uint32_t)(v->first + i);
		const struct mtrace_fold *f = fold_of(v, row, 0);
		const struct mtrace_row *r = &v->rows[row];
		s->of[i] = f ? (struct counts_change){f->alloc_blocks, f->alloc_bytes, f->freed_blocks, f->freed_bytes, f->aged_blocks}
			     : (struct counts_change){r->alloc_blocks, r->alloc_bytes, r->freed_blocks, r->freed_bytes,
						      r->aged_blocks};
	}
	for (uint32_t i = 1; i < v->tally_count; i++) {
		const struct mtrace_tally *t = &v->tallies[i];
		uint32_t row = t->row & MTRACE_TALLY_ROW;
		if (!row || fold_of(v, 0, i))
			continue;
		ck_assert_uint_lt(row - v->first, ROWS);
		struct counts_change *c = &s->of[row - v->first];
		c->alloc_blocks += t->alloc_blocks;
		c->alloc_bytes += t->alloc_bytes;
		c->freed_blocks += t->freed_blocks;
		c->freed_bytes += t->freed_bytes;
		c->aged_blocks += t->aged_blocks;
	}
}

static struct view own_view(void)
{
	return (struct view){
		.rows = (void *)segment.base[MTRACE_REGION_ROWS], .tallies = (void *)segment.base[MTRACE_REGION_TALLIES],
		.folds = (void *)segment.base[MTRACE_REGION_FOLDS], .first = rows_first,
		.tally_count = segment.committed[MTRACE_REGION_TALLIES] / sizeof(struct mtrace_tally),
		.fold_count = segment.committed[MTRACE_REGION_FOLDS] / sizeof(struct mtrace_fold)};
}

/* ---- events ---- */

static uint64_t size_of_row(uint64_t row)
{
	return row * 8 + 16;
}

/* Rows near each other, far apart, and at the same place of the table of tallies. */
static uint32_t choose_row(uint64_t *state)
{
	uint64_t r = room_random(state);
	uint64_t span = r & 7 ? COUNTS_CHUNK_TALLIES * 2 : ROWS;
	uint64_t stride = r & 8 ? COUNTS_CHUNK_TALLIES * COUNTS_CHUNKS : 1;
	return (uint32_t)(rows_first + (r >> 8) % span * stride % ROWS);
}

static void one_event(struct counts_tallies *t, uint64_t *state, struct counts_change *truth)
{
	uint32_t row = choose_row(state);
	uint64_t bytes = size_of_row(row);
	if (*state & 1 << 20) {
		counts_allocated(t, row, bytes);
		truth[row - rows_first].alloc_blocks++;
	} else {
		uint32_t side = (uint32_t)(*state >> 40), limit = 1u << 22;
		counts_freed_of_age(t, row, bytes, side, &limit);
		truth[row - rows_first].freed_blocks++;
		truth[row - rows_first].aged_blocks += side < limit;
	}
}

static void expect_sums(const struct counts_change *truth)
{
	static struct sums s;
	struct view v = own_view();
	sum_up(&v, &s);
	for (uint32_t i = 0; i < ROWS; i++) {
		ck_assert_uint_eq(s.of[i].alloc_blocks, truth[i].alloc_blocks);
		ck_assert_uint_eq(s.of[i].freed_blocks, truth[i].freed_blocks);
		ck_assert_uint_eq(s.of[i].aged_blocks, truth[i].aged_blocks);
		ck_assert_uint_eq(s.of[i].alloc_bytes, truth[i].alloc_blocks * size_of_row(rows_first + i));
		ck_assert_uint_eq(s.of[i].freed_bytes, truth[i].freed_blocks * size_of_row(rows_first + i));
	}
}

START_TEST(sums_are_exact_through_every_collision)
{
	static struct counts_change truth[ROWS];
	struct counts_tallies t;
	uint64_t state = room_seed();
	counts_prepare(&t, 0);
	for (int i = 0; i < 2000000; i++)
		one_event(&t, &state, truth);
	expect_sums(truth);
}
END_TEST

START_TEST(without_a_workspace_rows_are_counted_in_place)
{
	static struct counts_change truth[ROWS];
	uint64_t state = room_seed();
	for (int i = 0; i < 100000; i++)
		one_event(NULL, &state, truth);
	expect_sums(truth);
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_drop_counts), 0);
}
END_TEST

/* Somebody was taken out of the process while he held a row: nobody waits for him, and nothing is lost. */
START_TEST(a_row_that_is_held_for_ever_stops_nobody)
{
	static struct counts_change truth[ROWS];
	struct counts_tallies t;
	uint64_t state = room_seed();
	counts_prepare(&t, 0);
	for (uint32_t i = 0; i < 50; i++)
		counts_row((uint32_t)rows_first + i * 37)->version = 1;
	for (int i = 0; i < 300000; i++) {
		one_event(&t, &state, truth);
		if (i % 3000 == 0) { /* as a signal handler would */
			uint32_t held = (uint32_t)(i / 3000 % 50 * 37);
			counts_allocated(NULL, (uint32_t)rows_first + held, size_of_row(rows_first + held));
			truth[held].alloc_blocks++;
		}
	}
	expect_sums(truth);
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_drop_counts), 0);
}
END_TEST

START_TEST(events_with_no_place_left_are_dropped_and_counted)
{
	for (uint32_t i = 0; i < MTRACE_FIRST_TALLY; i++)
		counts_row((uint32_t)rows_first + i)->version = 1;
	for (uint32_t i = 0; i < MTRACE_FIRST_TALLY; i++)
		counts_allocated(NULL, (uint32_t)rows_first + i, 8);
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_drop_counts), 1); /* 63 strays */
}
END_TEST

/* A fold that was cut in two by a jump out of a signal handler, at each of its stores. */
START_TEST(a_fold_cut_short_is_settled)
{
	for (int step = 0; step < 6; step++) {
		struct counts_tallies t;
		counts_prepare(&t, 7);
		uint32_t row = (uint32_t)rows_first + 100 + (uint32_t)step;
		counts_allocated(&t, row, 10);
		counts_allocated(&t, row, 10);
		struct mtrace_row *r = counts_row(row);
		struct mtrace_tally *tally = counts_tally(&t, row);
		ck_assert_uint_eq(tally->row, row);
		r->version = 1;
		*t.fold = (struct mtrace_fold){.valid = 1, .row = row, .alloc_blocks = 2, .alloc_bytes = 20,
					       .tally = (uint32_t)(tally - own_view().tallies)};
		if (step > 0)
			r->alloc_blocks = 2;
		if (step > 1)
			r->alloc_bytes = 20;
		if (step > 2)
			tally->row = 0;
		static struct sums s;
		struct view v = own_view();
		sum_up(&v, &s);
		ck_assert_uint_eq(s.of[row - rows_first].alloc_blocks, 2);
		counts_settle(&t);
		sum_up(&v, &s);
		ck_assert_uint_eq(s.of[row - rows_first].alloc_blocks, 2);
		ck_assert_uint_eq(s.of[row - rows_first].alloc_bytes, 20);
		ck_assert_uint_eq(r->version, 2);
		counts_settle(&t);
		ck_assert_uint_eq(t.fold->valid, 0);
	}
}
END_TEST

/* ---- threads ---- */

struct lane {
	uint32_t index;
	uint64_t state;
	struct counts_change truth[ROWS];
};

static void *count_in_lane(void *argument)
{
	struct lane *lane = argument;
	struct counts_tallies t;
	counts_prepare(&t, lane->index);
	uint32_t times = room_times(500000);
	for (uint32_t i = 0; i < times; i++) {
		one_event(i % 1000 ? &t : NULL, &lane->state, lane->truth);
		if (i % 500 == 499) { /* epochs end while others fold: they share the arrays of their rows' histories */
			epochs_end_at_mark(1, i);
			counts_enter_epoch(&t, epochs_now());
		}
	}
	return NULL;
}

START_TEST(threads_share_rows_and_lose_nothing)
{
	static struct lane lanes[THREADS];
	static struct counts_change truth[ROWS];
	pthread_t threads[THREADS];
	for (uint32_t i = 0; i < THREADS; i++) {
		lanes[i] = (struct lane){.index = i, .state = room_seed() + i};
		pthread_create(&threads[i], NULL, count_in_lane, &lanes[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		for (uint32_t row = 0; row < ROWS; row++) {
			truth[row].alloc_blocks += lanes[i].truth[row].alloc_blocks;
			truth[row].freed_blocks += lanes[i].truth[row].freed_blocks;
			truth[row].aged_blocks += lanes[i].truth[row].aged_blocks;
		}
	}
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_drop_counts), 0);
	expect_sums(truth);
}
END_TEST

/* ---- kill -9 ---- */

/* In memory that the killer shares: events begun and events done, per thread and row. */
struct tape {
	_Atomic uint32_t ready;
	uint64_t rows_first;
	char path[600]; /* of the segment */
	struct {
		_Atomic uint32_t begun[ROWS], done[ROWS];
	} lanes[THREADS];
};

static void *count_on_tape(void *argument)
{
	struct tape *tape = ((void **)argument)[0];
	uintptr_t lane = (uintptr_t)((void **)argument)[1];
	struct counts_tallies t;
	uint64_t state = 88172645463325252u + lane;
	counts_prepare(&t, (uint32_t)lane);
	for (;;) {
		uint32_t row = choose_row(&state), i = row - (uint32_t)rows_first;
		atomic_store_explicit(&tape->lanes[lane].begun[i], tape->lanes[lane].begun[i] + 1, memory_order_relaxed);
		counts_allocated(&t, row, size_of_row(row));
		atomic_store_explicit(&tape->lanes[lane].done[i], tape->lanes[lane].done[i] + 1, memory_order_relaxed);
	}
	return NULL;
}

static void run_until_killed(struct tape *tape)
{
	struct segment_request request = {.dir = room_dir, .cap_bytes = 256 << 20};
	ck_assert_int_eq(segment_create(&request), SEGMENT_OK);
	room_page.generation = 1ull << 32 | EPOCH_FIRST;
	ck_assert(epochs_init(10000) && history_init() && counts_init());
	tape->rows_first = rows_first = segment_reserve(MTRACE_REGION_ROWS, ROWS);
	strcpy(tape->path, segment.path);
	static void *arguments[THREADS][2];
	for (uintptr_t i = 0; i < THREADS; i++) {
		pthread_t thread;
		arguments[i][0] = tape;
		arguments[i][1] = (void *)i;
		pthread_create(&thread, NULL, count_on_tape, arguments[i]);
	}
	atomic_store(&tape->ready, 1);
	for (;;)
		pause();
}

static const void *region_of(const char *file, enum mtrace_region_id id, uint64_t *count)
{
	const struct mtrace_region *r = &((const struct mtrace_header *)(const void *)file)->regions[id];
	*count = r->committed_bytes / r->element_bytes;
	return file + r->offset;
}

static struct view view_of_file(const char *file, uint64_t first)
{
	struct view v = {.first = first};
	uint64_t rows;
	v.rows = region_of(file, MTRACE_REGION_ROWS, &rows);
	v.tallies = region_of(file, MTRACE_REGION_TALLIES, &v.tally_count);
	v.folds = region_of(file, MTRACE_REGION_FOLDS, &v.fold_count);
	ck_assert_uint_ge(rows, first + ROWS);
	return v;
}

/* Each sum lies between what was done and what was begun; bytes may lack the one event in flight per thread. Returns the
   events done: none, when the kill came first. */
static uint64_t expect_between(const struct tape *tape, const struct sums *s)
{
	uint64_t blocks = 0;
	for (uint32_t i = 0; i < ROWS; i++) {
		uint64_t begun = 0, done = 0, bytes = size_of_row(tape->rows_first + i);
		for (int lane = 0; lane < THREADS; lane++) {
			begun += tape->lanes[lane].begun[i];
			done += tape->lanes[lane].done[i];
		}
		ck_assert_uint_ge(s->of[i].alloc_blocks, done);
		ck_assert_uint_le(s->of[i].alloc_blocks, begun);
		ck_assert_uint_ge(s->of[i].alloc_bytes, done * bytes);
		ck_assert_uint_le(s->of[i].alloc_bytes, begun * bytes);
		blocks += done;
	}
	return blocks;
}

static uint64_t kill_once(struct tape *tape, unsigned wait_us)
{
	static struct sums s;
	memset(tape, 0, sizeof *tape);
	pid_t child = fork();
	if (child == 0)
		run_until_killed(tape);
	while (!atomic_load(&tape->ready))
		usleep(100);
	usleep(wait_us);
	int fd = open(tape->path, O_RDONLY);
	struct stat st;
	ck_assert_int_eq(fstat(fd, &st), 0);
	kill(child, SIGKILL);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	const char *file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(file, MAP_FAILED);
	struct view v = view_of_file(file, tape->rows_first);
	sum_up(&v, &s);
	uint64_t done = expect_between(tape, &s);
	munmap((void *)(uintptr_t)file, (size_t)st.st_size);
	close(fd);
	ck_assert_int_eq(unlink(tape->path), 0);
	return done;
}

START_TEST(killed_at_any_instant_each_event_is_in_one_place)
{
	struct tape *tape = mmap(NULL, sizeof *tape, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t state = room_seed();
	snprintf(room_dir, sizeof room_dir, "/dev/shm/mtrace-unit.%d", getpid());
	ck_assert_int_eq(mkdir(room_dir, 0700), 0);
	uint64_t done = 0;
	for (int round = 0; round < 60; round++)
		done += kill_once(tape, (unsigned)(room_random(&state) % 20000));
	ck_assert_uint_gt(done, 100000);
	rmdir(room_dir);
}
END_TEST

static Suite *counts_suite(void)
{
	Suite *suite = suite_create("counts");
	TCase *one = tcase_create("one thread"), *many = tcase_create("threads"), *killed = tcase_create("kill -9");
	tcase_add_checked_fixture(one, setup, NULL);
	tcase_add_checked_fixture(many, setup, NULL);
	tcase_add_test(one, sums_are_exact_through_every_collision);
	tcase_add_test(one, without_a_workspace_rows_are_counted_in_place);
	tcase_add_test(one, a_row_that_is_held_for_ever_stops_nobody);
	tcase_add_test(one, events_with_no_place_left_are_dropped_and_counted);
	tcase_add_test(one, a_fold_cut_short_is_settled);
	tcase_add_test(many, threads_share_rows_and_lose_nothing);
	tcase_add_test(killed, killed_at_any_instant_each_event_is_in_one_place);
	tcase_set_timeout(one, 60);
	tcase_set_timeout(many, 60);
	tcase_set_timeout(killed, 120);
	suite_add_tcase(suite, one);
	suite_add_tcase(suite, many);
	suite_add_tcase(suite, killed);
	return suite;
}

int main(void)
{
	return run_suite(counts_suite());
}
