/*
 * ring: only whole records are ever seen, in the order of their numbers, none invented: with the ring full many times
 * over, read meanwhile, written from many threads and from handlers, and with the writer killed at any instruction. The
 * reader here is written from format.h alone.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "counts.h"
#include "options.h"
#include "ring.h"
#include "room.h"

enum { THREADS = 4, SMALL = 16384 / 64 - 1 };

static void open_ring(uint64_t bytes)
{
	room_open(64 << 20);
	options.ring = bytes;
	ring_init();
}

static void setup(void)
{
	open_ring(16384);
}

/* ---- a reader ---- */

struct seen {
	uint64_t sequence;
	uint64_t word[MTRACE_RING_WORDS];
};

struct view {
	const char *region;
	uint64_t slots; /* that are there */
};

static struct view own_view(void)
{
	uint64_t bytes = segment.committed[MTRACE_REGION_RING];
	uint64_t slots = ((struct mtrace_ring_head *)(void *)segment.base[MTRACE_REGION_RING])->slots;
	ck_assert_uint_gt(slots, 0);
	return (struct view){segment.base[MTRACE_REGION_RING], slots < bytes / 64 - 1 ? slots : bytes / 64 - 1};
}

static uint64_t next_of(const struct view *v)
{
	return ((const struct mtrace_ring_head *)(const void *)v->region)->next;
}

static struct mtrace_ring_slot *slot_at(const struct view *v, uint64_t i)
{
	return (struct mtrace_ring_slot *)(uintptr_t)v->region + 1 + i;
}

/* One record, or false. */
static bool look(const struct view *v, uint64_t i, struct seen *to)
{
	struct mtrace_ring_slot *slot = slot_at(v, i);
	uint64_t state = atomic_load_explicit(&slot->state, memory_order_acquire);
	if (state == 0 || (state & MTRACE_RING_BUSY))
		return false;
	for (int k = 0; k < MTRACE_RING_WORDS; k++)
		to->word[k] = atomic_load_explicit(&slot->word[k], memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire);
	to->sequence = MTRACE_RING_SEQUENCE(state);
	return atomic_load_explicit(&slot->state, memory_order_relaxed) == state;
}

static int by_sequence(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;
	return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

/* All records that are there, in order. */
static size_t look_at_all(const struct view *v, struct seen *to)
{
	size_t count = 0;
	for (uint64_t i = 0; i < v->slots; i++)
		count += look(v, i, &to[count]);
	qsort(to, count, sizeof *to, by_sequence);
	return count;
}

static struct seen all[70000];

/* ---- records that can be told from any other bytes ---- */

static uint64_t mixed(uint64_t lane, uint64_t n)
{
	uint64_t h = (lane << 40 | n) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 32;
}

static void put(uint32_t lane, uint64_t n)
{
	ring_put(&(struct ring_record){.kind = MTRACE_RING_mark, .thread = lane, .subject = (uint32_t)n,
				       .value = {n, mixed(lane, n), ~n, mixed(n, lane)}});
}

static uint32_t lane_of(const struct seen *s)
{
	return (uint32_t)(s->word[1] >> 32);
}

static bool is_right(const struct seen *s)
{
	uint64_t lane = lane_of(s), n = s->word[3];
	return (s->word[1] & 0xffffffff) == MTRACE_RING_mark && (uint32_t)s->word[2] == (uint32_t)n && s->word[4] == mixed(lane, n) &&
	       s->word[5] == ~n && s->word[6] == mixed(n, lane) &&
	       s->word[2] >> 32 == mtrace_ring_check(s->sequence, s->word);
}

/* ---- one thread ---- */

START_TEST(what_is_put_is_there_in_order)
{
	struct view v = own_view();
	ck_assert_uint_eq(look_at_all(&v, all), 0);
	for (uint64_t n = 0; n < 100; n++)
		put(7, n);
	ck_assert_uint_eq(look_at_all(&v, all), 100);
	for (uint64_t n = 0; n < 100; n++) {
		ck_assert(is_right(&all[n]));
		ck_assert_uint_eq(all[n].sequence, n);
		ck_assert_uint_eq(all[n].word[3], n);
		ck_assert_uint_ge(all[n].word[0], n ? all[n - 1].word[0] : 0);
	}
	ck_assert_uint_eq(next_of(&v), 100);
}
END_TEST

START_TEST(a_full_ring_has_the_last_ones)
{
	struct view v = own_view();
	for (uint64_t n = 0; n < 3 * SMALL + 5; n++) {
		put(1, n);
		size_t count = look_at_all(&v, all);
		ck_assert_uint_eq(count, n + 1 < SMALL ? n + 1 : SMALL);
		ck_assert_uint_eq(all[count - 1].word[3], n);
		ck_assert_uint_eq(all[0].word[3], n + 1 - count); /* what a reader that came no sooner has lost */
	}
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_ring_unfinished), 0);
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_ring_held_back), 0);
}
END_TEST

START_TEST(it_grows_as_it_fills_and_to_its_size)
{
	open_ring(1 << 20);
	uint64_t before = own_view().slots;
	ck_assert_uint_lt(before, 1000);
	for (uint64_t n = 0; n < 40000; n++)
		put(1, n);
	struct view v = own_view();
	ck_assert_uint_eq(v.slots, (1 << 20) / 64 - 1);
	ck_assert_uint_eq(look_at_all(&v, all), v.slots);
	ck_assert_uint_eq(all[0].word[3], 40000 - v.slots);
}
END_TEST

/* Memory is refused half way: what is there makes the round, and still holds the last records. */
START_TEST(a_ring_that_cannot_grow_makes_do)
{
	open_ring(1 << 20);
	for (uint64_t n = 0; n < 700; n++)
		put(1, n);
	atomic_store(&segment.full[MTRACE_REGION_RING], 1);
	struct view v = own_view();
	ck_assert_uint_lt(v.slots, 1100);
	for (uint64_t n = 700; n < 9000; n++)
		put(1, n);
	ck_assert_uint_eq(own_view().slots, v.slots);
	ck_assert_uint_eq(look_at_all(&v, all), v.slots);
	for (uint64_t i = 0; i < v.slots; i++)
		ck_assert_uint_eq(all[i].word[3], 9000 - v.slots + i);
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_ring_unfinished), 0);
}
END_TEST

START_TEST(a_slot_left_busy_costs_a_number_and_no_record)
{
	struct view v = own_view();
	for (uint64_t n = 0; n < 10; n++)
		put(1, n);
	atomic_store(&slot_at(&v, 12)->state, MTRACE_RING_STATE(12) | MTRACE_RING_BUSY);
	for (uint64_t n = 10; n < 5 * SMALL; n++)
		put(1, n);
	size_t count = look_at_all(&v, all);
	ck_assert_uint_eq(count, SMALL - 1);
	for (size_t i = 0; i < count; i++) {
		ck_assert(is_right(&all[i]));
		ck_assert_uint_eq(all[i].word[3], 5 * SMALL - count + i);
		ck_assert_uint_ne(all[i].sequence % SMALL, 12);
	}
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_ring_unfinished), 0);
}
END_TEST

START_TEST(what_finds_every_slot_taken_is_counted)
{
	struct view v = own_view();
	for (uint64_t i = 0; i < v.slots; i++)
		atomic_store(&slot_at(&v, i)->state, MTRACE_RING_STATE(i) | MTRACE_RING_BUSY);
	for (uint64_t n = 0; n < 50; n++)
		put(1, n);
	ck_assert_uint_eq(look_at_all(&v, all), 0);
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_ring_unfinished), 50);
}
END_TEST

/* A slot that somebody else's hand gave a later number is left alone: numbers in a slot never fall. */
START_TEST(a_later_number_is_not_overwritten)
{
	struct view v = own_view();
	atomic_store(&slot_at(&v, 3)->state, MTRACE_RING_STATE(1000000));
	for (uint64_t n = 0; n < SMALL; n++)
		put(1, n);
	ck_assert_uint_eq(atomic_load(&slot_at(&v, 3)->state), MTRACE_RING_STATE(1000000));
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_ring_unfinished), 0);
}
END_TEST

START_TEST(what_comes_too_often_is_held_back_and_counted)
{
	struct timespec from, to;
	const uint64_t puts = 100000;
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (uint64_t n = 0; n < puts; n++)
		ring_put(&(struct ring_record){.kind = MTRACE_RING_map, .value = {n, 1 << 20}});
	clock_gettime(CLOCK_MONOTONIC, &to);
	struct view v = own_view();
	uint64_t kept = next_of(&v), seconds = (uint64_t)(to.tv_sec - from.tv_sec) + 2;
	ck_assert_uint_eq(kept + room_counter(MTRACE_COUNTER_ring_held_back), puts);
	ck_assert_uint_ge(kept, 100);
	ck_assert_uint_le(kept, 100 * seconds);
	put(1, 1); /* other kinds are not held back by it */
	ck_assert_uint_eq(next_of(&v), kept + 1);
}
END_TEST

START_TEST(text_is_cut_and_ended)
{
	uint64_t value[2];
	ring_text(value, "a name that is longer than it may be");
	ck_assert_str_eq((const char *)value, "a name that is ");
	ring_text(value, "");
	ck_assert_uint_eq(value[0] | value[1], 0);
}
END_TEST

START_TEST(growth_is_told_at_powers_of_two)
{
	static const struct {
		uint64_t was, now, power;
	} cases[] = {
		{0, 0, 0}, {0, (1 << 20) - 1, 0}, {0, 1 << 20, 1 << 20}, {(1 << 20) - 1, 1 << 20, 1 << 20},
		{1 << 20, (1 << 20) + 1, 0}, {1 << 20, 2 << 20, 2 << 20}, {0, (5ull << 30) + 1, 4ull << 30},
		{3 << 20, 1 << 20, 0}, {2 << 20, 2 << 20, 0}, {UINT64_MAX, 0, 0}, {0, UINT64_MAX, 1ull << 63},
		{(4 << 20) - 1, (8 << 20) - 1, 4 << 20},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ck_assert_uint_eq(ring_power_crossed(cases[i].was, cases[i].now), cases[i].power);
	struct view v = own_view();
	ring_put_grow(77, 5 << 20, 7 << 20);
	ck_assert_uint_eq(next_of(&v), 0);
	ring_put_grow(77, 5 << 20, 9 << 20);
	ck_assert_uint_eq(look_at_all(&v, all), 1);
	ck_assert_uint_eq(all[0].word[1] & 0xffff, MTRACE_RING_grow);
	ck_assert_uint_eq((uint32_t)all[0].word[2], 77);
	ck_assert_uint_eq(all[0].word[3], 9 << 20);
	ck_assert_uint_eq(all[0].word[4], 8 << 20);
}
END_TEST

static uint64_t grew[2][8];
static size_t grew_times[2];
static uint32_t grew_first;

static void note_growth(uint32_t row, uint64_t was, uint64_t now)
{
	uint32_t which = row != grew_first;
	uint64_t power = ring_power_crossed(was, now);
	if (power && grew_times[which] < 8)
		grew[which][grew_times[which]++] = power;
}

/* Two rows whose tallies want one place, so that they are folded, or counted in the rows, all the time. */
START_TEST(a_row_that_grows_is_told_at_each_power_once)
{
	struct counts_tallies t;
	ck_assert(counts_init());
	counts_prepare(&t, 0);
	counts_grew = note_growth;
	grew_first = (uint32_t)segment_reserve(MTRACE_REGION_ROWS, 2048);
	for (int i = 0; i < 24000; i++)
		counts_allocated(&t, grew_first + (i / 12 % 2 ? 1024 : 0), 2000);
	for (int which = 0; which < 2; which++) {
		ck_assert_uint_eq(grew_times[which], 5); /* 24 MB each: 1, 2, 4, 8, 16 MiB */
		for (size_t i = 0; i < 5; i++)
			ck_assert_uint_eq(grew[which][i], 1ull << (20 + i));
	}
}
END_TEST

static uint64_t count_kind(enum mtrace_ring_kind kind, uint64_t first_value)
{
	struct view v = own_view();
	uint64_t count = 0, n = look_at_all(&v, all);
	for (uint64_t i = 0; i < n; i++)
		count += (all[i].word[1] & 0xffff) == kind && all[i].word[3] == first_value;
	return count;
}

START_TEST(a_sample_a_second_and_each_warning_once)
{
	atomic_store(&segment.hot->live_bytes, 12345);
	for (uint64_t tick = 0; tick < 10 * MTRACE_TICKS_PER_SECOND; tick++)
		for (int threads = 0; threads < 3; threads++)
			ring_watch(0, tick);
	ck_assert_uint_eq(count_kind(MTRACE_RING_sample, 12345), 9);
	ck_assert_uint_eq(count_kind(MTRACE_RING_table_full, MTRACE_REGION_MARKS), 0);
	while (segment_reserve(MTRACE_REGION_MARKS, 1) < (1 << 20) / 64 * 15 / 16)
		;
	ring_watch_now(0, 161);
	ring_watch_now(0, 162);
	ck_assert_uint_eq(count_kind(MTRACE_RING_table_near_full, MTRACE_REGION_MARKS), 1);
	while (segment_reserve(MTRACE_REGION_MARKS, 1) != UINT64_MAX)
		;
	segment_count(MTRACE_COUNTER_drop_marks_full);
	segment_count(MTRACE_COUNTER_unknown_frees); /* no drop */
	ring_watch_now(0, 163);
	ring_watch_now(0, 164);
	ck_assert_uint_eq(count_kind(MTRACE_RING_table_full, MTRACE_REGION_MARKS), 1);
	ck_assert_uint_eq(count_kind(MTRACE_RING_drops_begin, MTRACE_COUNTER_drop_marks_full), 1);
	ck_assert_uint_eq(count_kind(MTRACE_RING_drops_begin, MTRACE_COUNTER_unknown_frees), 0);
}
END_TEST

START_TEST(memory_that_runs_out_is_told_once)
{
	for (int i = 0; i < 3; i++)
		ring_watch_now(0, 1);
	ck_assert_uint_eq(count_kind(MTRACE_RING_memory_near_full, segment.committed_total), 0);
	while (segment_reserve(MTRACE_REGION_LIVE_LINES, 1000) != UINT64_MAX)
		;
	for (int i = 0; i < 3; i++)
		ring_watch_now(0, 2);
	ck_assert_uint_eq(count_kind(MTRACE_RING_memory_near_full, segment.committed_total), 1);
}
END_TEST

/* ---- many threads ---- */

static _Atomic bool stop;
static uint32_t puts_each;

static void *put_many(void *lane)
{
	for (uint64_t n = 0; n < puts_each; n++)
		put((uint32_t)(uintptr_t)lane, n);
	return NULL;
}

/* Reads all the time: whatever it sees is whole, and each lane's records come in the order they were put. */
static void *read_meanwhile(void *unused)
{
	static struct seen seen[SMALL];
	struct view v = own_view();
	uintptr_t bad = 0, looks = 0;
	while (!atomic_load(&stop)) {
		uint64_t last[THREADS] = {0};
		size_t count = look_at_all(&v, seen);
		for (size_t i = 0; i < count; i++) {
			uint32_t lane = lane_of(&seen[i]);
			bool good = is_right(&seen[i]) && lane < THREADS && seen[i].word[3] >= last[lane % THREADS];
			bad += !good;
			last[lane % THREADS] = seen[i].word[3];
		}
		looks++;
	}
	(void)unused;
	return (void *)(looks ? bad : (uintptr_t)-1);
}

START_TEST(threads_write_and_a_reader_sees_only_whole_records)
{
	pthread_t threads[THREADS], reader;
	void *bad;
	puts_each = room_times(200000);
	pthread_create(&reader, NULL, read_meanwhile, NULL);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, put_many, (void *)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&stop, true);
	pthread_join(reader, &bad);
	ck_assert_uint_eq((uintptr_t)bad, 0);
	struct view v = own_view();
	size_t count = look_at_all(&v, all);
	ck_assert_uint_ge(count, SMALL - 2 * THREADS); /* numbers given up by who was overtaken */
	ck_assert_uint_ge(next_of(&v), THREADS * (uint64_t)puts_each - room_counter(MTRACE_COUNTER_ring_unfinished));
	ck_assert_uint_lt(room_counter(MTRACE_COUNTER_ring_unfinished), THREADS * puts_each / 100);
}
END_TEST

/* ---- handlers ---- */

static volatile sig_atomic_t interruptions;

static void put_in_handler(int signal)
{
	(void)signal;
	put(1, (uint64_t)interruptions);
	interruptions++;
}

START_TEST(a_handler_may_interrupt_a_put)
{
	struct sigaction action = {.sa_handler = put_in_handler};
	struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
	open_ring(4 << 20);
	struct view v;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	uint64_t n = 0;
	while (interruptions < (int)room_times(500))
		put(0, n++);
	setitimer(ITIMER_REAL, &never, NULL);
	v = own_view();
	size_t count = look_at_all(&v, all);
	uint64_t last[2] = {0}, of_handler = 0;
	for (size_t i = 0; i < count; i++) {
		ck_assert(is_right(&all[i]));
		ck_assert_uint_ge(all[i].word[3], last[lane_of(&all[i])]);
		last[lane_of(&all[i])] = all[i].word[3];
		of_handler += lane_of(&all[i]) == 1;
	}
	ck_assert_uint_gt(of_handler, 0);
	ck_assert_uint_eq(last[0], n - 1);
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_ring_unfinished), 0);
}
END_TEST

/* ---- kill -9 ---- */

/* In memory that the killer shares. */
struct tape {
	_Atomic uint32_t ready;
	char path[600]; /* of the segment */
	_Atomic uint64_t begun[THREADS], done[THREADS];
};

static struct tape *new_tape(void)
{
	snprintf(room_dir, sizeof room_dir, "/dev/shm/mtrace-unit.%d", getpid());
	ck_assert_int_eq(mkdir(room_dir, 0700), 0);
	return mmap(NULL, sizeof(struct tape), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static void make_ring_of_victim(struct tape *tape)
{
	struct segment_request request = {.dir = room_dir, .cap_bytes = 64 << 20};
	ck_assert_int_eq(segment_create(&request), SEGMENT_OK);
	options.ring = 16384;
	ring_init();
	strcpy(tape->path, segment.path);
}

static void *put_on_tape(void *argument)
{
	struct tape *tape = ((void **)argument)[0];
	uint32_t lane = (uint32_t)(uintptr_t)((void **)argument)[1];
	for (uint64_t n = 0;; n++) {
		atomic_store_explicit(&tape->begun[lane], n + 1, memory_order_relaxed);
		put(lane, n);
		atomic_store_explicit(&tape->done[lane], n + 1, memory_order_relaxed);
	}
	return NULL;
}

static void run_until_killed(struct tape *tape)
{
	static void *arguments[THREADS][2];
	make_ring_of_victim(tape);
	for (uintptr_t i = 0; i < THREADS; i++) {
		pthread_t thread;
		arguments[i][0] = tape;
		arguments[i][1] = (void *)i;
		pthread_create(&thread, NULL, put_on_tape, arguments[i]);
	}
	atomic_store(&tape->ready, 1);
	for (;;)
		pause();
}

/* What the dead process left, and nothing more of it afterwards. */
static struct view view_of_dead(const struct tape *tape, const char **file, size_t *bytes)
{
	struct stat st;
	int fd = open(tape->path, O_RDONLY);
	ck_assert_int_eq(fstat(fd, &st), 0);
	*bytes = (size_t)st.st_size;
	*file = mmap(NULL, *bytes, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(*file, MAP_FAILED);
	close(fd);
	ck_assert_int_eq(unlink(tape->path), 0);
	const struct mtrace_region *r = &((const struct mtrace_header *)(const void *)*file)->regions[MTRACE_REGION_RING];
	struct view v = {*file + r->offset, r->committed_bytes / 64 - 1};
	uint64_t slots = ((const struct mtrace_ring_head *)(const void *)v.region)->slots;
	v.slots = slots < v.slots ? slots : v.slots;
	return v;
}

static void end_now(pid_t child)
{
	kill(child, SIGKILL);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
}

/* Of the last round only numbers that were under way are missing; what is there was put, in order. Returns the records. */
static size_t expect_whole(const struct tape *tape, const struct view *v)
{
	uint64_t last[THREADS], next = next_of(v);
	size_t count = look_at_all(v, all);
	memset(last, 0xff, sizeof last); /* - 1 */
	for (size_t i = 0; i < count; i++) {
		uint32_t lane = lane_of(&all[i]);
		ck_assert(is_right(&all[i]));
		ck_assert_uint_lt(lane, THREADS);
		ck_assert_uint_lt(all[i].sequence, next);
		ck_assert_uint_lt(all[i].word[3], tape->begun[lane]);
		ck_assert(last[lane] == UINT64_MAX || all[i].word[3] > last[lane]);
		ck_assert(i == 0 || all[i].sequence > all[i - 1].sequence);
		last[lane] = all[i].word[3];
	}
	uint64_t expected = next < v->slots ? next : v->slots;
	ck_assert_uint_ge(count + 2 * THREADS, expected);
	return count;
}

static size_t kill_once(struct tape *tape, unsigned wait_us)
{
	const char *file;
	size_t bytes;
	memset(tape, 0, sizeof *tape);
	pid_t child = fork();
	if (child == 0)
		run_until_killed(tape);
	while (!atomic_load(&tape->ready))
		usleep(100);
	usleep(wait_us);
	end_now(child);
	struct view v = view_of_dead(tape, &file, &bytes);
	size_t count = expect_whole(tape, &v);
	munmap((void *)(uintptr_t)file, bytes);
	return count;
}

START_TEST(killed_at_random_only_what_was_put_is_there)
{
	struct tape *tape = new_tape();
	uint64_t state = room_seed(), records = 0;
	for (int round = 0; round < 500; round++)
		records += kill_once(tape, (unsigned)(room_random(&state) % 3000));
	ck_assert_uint_gt(records, 500 * 50);
	rmdir(room_dir);
}
END_TEST

/* Puts `before` records, stops, puts one more under the debugger's steps. */
static void put_in_steps(struct tape *tape, uint64_t before)
{
	make_ring_of_victim(tape);
	for (uint64_t n = 0; n < before; n++)
		put(0, n);
	tape->begun[0] = before + 1;
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	put(0, before);
	tape->done[0] = before + 1;
	raise(SIGSTOP);
	_exit(0);
}

/* Killed after `steps` instructions. true: the put had been done by then. */
static bool killed_after(struct tape *tape, uint64_t before, unsigned steps, bool *seen)
{
	const char *file;
	size_t bytes;
	int status = 0;
	memset(tape, 0, sizeof *tape);
	pid_t child = fork();
	if (child == 0)
		put_in_steps(tape, before);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	for (unsigned i = 0; i < steps && !tape->done[0]; i++) {
		ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
		ck_assert_int_eq(waitpid(child, &status, 0), child);
	}
	bool done = tape->done[0] != 0;
	end_now(child);
	struct view v = view_of_dead(tape, &file, &bytes);
	uint64_t round = v.slots, old = before < round ? before : round;
	size_t count = look_at_all(&v, all);
	for (size_t i = 0; i < count; i++)
		ck_assert(is_right(&all[i]));
	*seen = count && all[count - 1].word[3] == before;
	/* all those before, but for the one whose place it takes */
	ck_assert_uint_ge(count - *seen + (before >= round), old);
	ck_assert_uint_eq(all[count - 1].word[3], *seen ? before : before - 1);
	munmap((void *)(uintptr_t)file, bytes);
	return done;
}

/* Into an empty slot, and over an old record. Reading the clock takes a few instructions more or less each time. */
START_TEST(killed_at_every_instruction_of_a_put)
{
	static const uint64_t before[] = {5, SMALL * 2 + 9};
	struct tape *tape = new_tape();
	for (size_t which = 0; which < 2; which++) {
		unsigned steps = 0, unseen = 0;
		for (bool done = false, seen; !done; steps++) {
			done = killed_after(tape, before[which], steps, &seen);
			ck_assert(seen || !done);
			unseen += !seen;
		}
		ck_assert_uint_gt(unseen, 50); /* it was stepped through, not jumped over */
		ck_assert_uint_gt(steps, unseen);
	}
	rmdir(room_dir);
}
END_TEST

static Suite *ring_suite(void)
{
	Suite *suite = suite_create("ring");
	TCase *one = tcase_create("one thread"), *many = tcase_create("threads"), *killed = tcase_create("kill -9");
	tcase_add_checked_fixture(one, setup, NULL);
	tcase_add_checked_fixture(many, setup, NULL);
	tcase_add_test(one, what_is_put_is_there_in_order);
	tcase_add_test(one, a_full_ring_has_the_last_ones);
	tcase_add_test(one, it_grows_as_it_fills_and_to_its_size);
	tcase_add_test(one, a_ring_that_cannot_grow_makes_do);
	tcase_add_test(one, a_slot_left_busy_costs_a_number_and_no_record);
	tcase_add_test(one, what_finds_every_slot_taken_is_counted);
	tcase_add_test(one, a_later_number_is_not_overwritten);
	tcase_add_test(one, what_comes_too_often_is_held_back_and_counted);
	tcase_add_test(one, text_is_cut_and_ended);
	tcase_add_test(one, growth_is_told_at_powers_of_two);
	tcase_add_test(one, a_row_that_grows_is_told_at_each_power_once);
	tcase_add_test(one, a_sample_a_second_and_each_warning_once);
	tcase_add_test(one, memory_that_runs_out_is_told_once);
	tcase_add_test(many, threads_write_and_a_reader_sees_only_whole_records);
	tcase_add_test(many, a_handler_may_interrupt_a_put);
	tcase_set_timeout(one, 60);
	tcase_set_timeout(many, 120);
	tcase_set_timeout(killed, 240);
	tcase_add_test(killed, killed_at_random_only_what_was_put_is_there);
	tcase_add_test(killed, killed_at_every_instruction_of_a_put);
	suite_add_tcase(suite, one);
	suite_add_tcase(suite, many);
	suite_add_tcase(suite, killed);
	return suite;
}

int main(void)
{
	return run_suite(ring_suite());
}
