/*
 * stream: what is put in is there, whole and in the order that numbers say, by threads that know nothing of each other; parts
 * are written again only when they were drained; what has no room is counted and told; it ends for all; and a writer that
 * is killed leaves only whole records. The reader here is written from format.h alone.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#include "options.h"
#include "room.h"
#include "stream.h"

enum { THREADS = 4, NEVER = 12 * 3600 * 1000 };

static struct thread_state self;

static void open_stream(uint64_t cap)
{
	room_open(cap);
	options.events = 0;
	stream_init();
	self = (struct thread_state){.id = 7};
}

static void setup(void)
{
	open_stream(64 << 20);
}

/* ---- a reader ---- */

static struct mtrace_stream_head *head(void)
{
	return (struct mtrace_stream_head *)(void *)segment.base[MTRACE_REGION_STREAM];
}

static struct mtrace_stream_part *part_at(uint32_t i)
{
	return (struct mtrace_stream_part *)(void *)(head() + 1) + i;
}

static const uint64_t *record_at(uint32_t part, uint32_t i)
{
	const char *parts = segment.base[MTRACE_REGION_STREAM] + MTRACE_STREAM_PARTS_OFFSET;
	return (const uint64_t *)(const void *)(parts + (size_t)part * MTRACE_STREAM_PART_BYTES) + 3 * i;
}

static void drain(uint32_t part)
{
	atomic_store(&segment.control->stream_drained[part], part_at(part)->round);
}

static void drain_all(void)
{
	for (uint32_t i = 0; i < head()->parts; i++)
		if (part_at(i)->closed || part_at(i)->count == MTRACE_STREAM_RECORDS)
			drain(i);
}

static uint64_t records(void)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < head()->parts; i++)
		n += part_at(i)->count;
	return n;
}

/* ---- records that can be told from any other bytes ---- */

static void put(struct thread_state *who, uint64_t n)
{
	stream_put(who, n & 1 ? MTRACE_STREAM_FREED : MTRACE_STREAM_ALLOCATED, (n << 8 | who->id) * 8, (uint32_t)(n % 5000), n * 3);
}

static bool is_right(const uint64_t *word, uint32_t thread, uint64_t n)
{
	return MTRACE_STREAM_WHAT(word[0]) == (n & 1 ? MTRACE_STREAM_FREED : MTRACE_STREAM_ALLOCATED) &&
	       word[1] == (n << 8 | thread) * 8 && MTRACE_STREAM_ROW(word[2]) == n % 5000 && MTRACE_STREAM_SIZE(word[2]) == n * 3;
}

static uint64_t n_of(const uint64_t *word)
{
	return word[1] / 8 >> 8;
}

/* ---- one thread ---- */

START_TEST(there_is_none_until_one_begins)
{
	stream_look(&self);
	ck_assert_uint_eq(self.pen.ordinal, 0);
	put(&self, 0);
	ck_assert_uint_eq(segment.committed[MTRACE_REGION_STREAM], 0);
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_stream_dropped), 0);
	struct thread_state fresh = {.id = 1}; /* as a handler finds it that comes before anything was prepared */
	put(&fresh, 0);
}
END_TEST

START_TEST(what_is_put_is_there_in_order)
{
	enum { MANY = 3 * MTRACE_STREAM_RECORDS + 5 };
	self.tick = 100;
	stream_begin(NEVER, 100);
	stream_look(&self);
	for (uint64_t n = 0; n < MANY; n++)
		put(&self, n);
	ck_assert_uint_eq(head()->ordinal, 1);
	ck_assert_uint_eq(head()->begin_tick, 100);
	ck_assert_uint_eq(head()->parts, 4);
	for (uint64_t n = 0; n < MANY; n++) {
		uint32_t part = (uint32_t)(n / MTRACE_STREAM_RECORDS), i = (uint32_t)(n % MTRACE_STREAM_RECORDS);
		const uint64_t *word = record_at(part, i);
		ck_assert_uint_lt(i, part_at(part)->count);
		ck_assert(is_right(word, 7, n));
		ck_assert_uint_eq(MTRACE_STREAM_NUMBER(word[0]), n);
		ck_assert_uint_eq(MTRACE_STREAM_TICK(word[0]), 100);
		ck_assert_uint_eq(part_at(part)->thread, 7);
	}
	ck_assert_uint_eq(part_at(0)->closed, 1);
	ck_assert_uint_eq(part_at(3)->closed, 0);
	stream_close(&self.pen);
	ck_assert_uint_eq(part_at(3)->closed, 1);
	ck_assert_uint_eq(records(), MANY);
}
END_TEST

START_TEST(sizes_beyond_what_fits_are_the_most_that_does)
{
	stream_begin(NEVER, 0);
	stream_look(&self);
	stream_put(&self, MTRACE_STREAM_ALLOCATED, 64, (1u << MTRACE_SLOT_ROW_BITS) - 1, UINT64_MAX);
	ck_assert_uint_eq(MTRACE_STREAM_SIZE(record_at(0, 0)[2]), MTRACE_STREAM_SIZE_MOST);
	ck_assert_uint_eq(MTRACE_STREAM_ROW(record_at(0, 0)[2]), (1u << MTRACE_SLOT_ROW_BITS) - 1);
}
END_TEST

START_TEST(a_part_is_written_again_only_when_it_was_drained)
{
	stream_begin(NEVER, 0);
	stream_look(&self);
	for (uint64_t n = 0; n < 2 * MTRACE_STREAM_RECORDS; n++)
		put(&self, n);
	put(&self, 9999);
	ck_assert_uint_eq(head()->parts, 3);
	ck_assert_uint_eq(part_at(0)->round, 1);
	drain(0);
	for (uint64_t n = 1; n <= 2 * MTRACE_STREAM_RECORDS; n++) /* fills the third, takes the first, and one more */
		put(&self, 10000 + n);
	ck_assert_uint_eq(part_at(0)->round, 2);
	ck_assert_uint_eq(part_at(1)->round, 1);
	ck_assert(is_right(record_at(1, 0), 7, MTRACE_STREAM_RECORDS));
	ck_assert(is_right(record_at(0, 0), 7, 10000 + MTRACE_STREAM_RECORDS));
	ck_assert_uint_eq(head()->parts, 4);
}
END_TEST

/* Dropped, counted, and the thread's next part says how many. */
START_TEST(full)
{
	open_stream(128 << 20);
	stream_begin(NEVER, 0);
	stream_look(&self);
	uint64_t most = (uint64_t)MTRACE_STREAM_PARTS * MTRACE_STREAM_RECORDS, n = 0;
	for (; n < most + 5000; n++)
		put(&self, n);
	ck_assert_uint_eq(head()->parts, MTRACE_STREAM_PARTS);
	ck_assert_uint_eq(records(), most);
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_stream_dropped), 5000);
	ck_assert_uint_eq(stream_numbers.next, most);
	drain(500);
	for (; part_at(500)->round == 1 && n < most + 5000 + 2 * STREAM_SKIP; n++)
		put(&self, n);
	ck_assert_uint_eq(part_at(500)->round, 2);
	ck_assert_uint_eq(part_at(500)->lost, room_counter(MTRACE_COUNTER_stream_dropped));
	uint64_t told = part_at(500)->lost;
	ck_assert_uint_ge(told, 5000);
	ck_assert_uint_le(told, 5000 + STREAM_SKIP);
	for (uint64_t i = 0; i <= MTRACE_STREAM_RECORDS; i++)
		put(&self, i);
	drain(501);
	for (uint64_t i = 0; part_at(501)->round == 1 && i < 2 * STREAM_SKIP; i++)
		put(&self, i);
	ck_assert_uint_eq(told + part_at(501)->lost, room_counter(MTRACE_COUNTER_stream_dropped));
}
END_TEST

START_TEST(a_segment_without_room_has_none)
{
	segment.full[MTRACE_REGION_STREAM] = 1;
	stream_begin(NEVER, 0);
	stream_look(&self);
	put(&self, 0);
	ck_assert_uint_eq(self.pen.ordinal, 0);
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_stream_dropped), 1);
}
END_TEST

/* ---- begin and end ---- */

START_TEST(it_ends_when_its_time_is_over)
{
	struct thread_state other = {.id = 8, .tick = 10};
	self.tick = 10;
	stream_begin(2000, 10);
	stream_begin(NEVER, 10); /* one is on: nothing */
	stream_look(&self);
	stream_look(&other);
	put(&self, 0);
	put(&other, 1);
	self.tick = 10 + 2 * MTRACE_TICKS_PER_SECOND - 1;
	stream_look(&self);
	ck_assert_uint_eq(self.pen.ordinal, 1);
	put(&self, 2);
	self.tick++;
	stream_look(&self);
	ck_assert_uint_eq(self.pen.ordinal, 0);
	ck_assert_uint_eq(head()->ended, 1);
	ck_assert_uint_eq(head()->end, 3);
	ck_assert_uint_eq(head()->end_tick, self.tick);
	put(&self, 3); /* nowhere */
	put(&other, 4); /* does not know yet: beyond the end */
	ck_assert_uint_eq(stream_numbers.next, 4);
	ck_assert_uint_eq(part_at(0)->closed, 1);
	stream_look(&other);
	ck_assert_uint_eq(other.pen.ordinal, 0);
	stream_begin(1000, self.tick);
	stream_look(&self);
	ck_assert_uint_eq(self.pen.ordinal, 2);
	ck_assert_uint_eq(head()->first, 4);
}
END_TEST

START_TEST(it_ends_when_nobody_wants_more)
{
	stream_begin(NEVER, 0);
	stream_look(&self);
	atomic_store(&segment.control->stream_stop, 2); /* of another one */
	stream_look(&self);
	ck_assert_uint_eq(self.pen.ordinal, 1);
	atomic_store(&segment.control->stream_stop, 1);
	stream_look(&self);
	ck_assert_uint_eq(self.pen.ordinal, 0);
	ck_assert_uint_eq(head()->ended, 1);
}
END_TEST

START_TEST(times_out_of_bounds_begin_none)
{
	stream_begin(0, 0);
	stream_begin((uint64_t)MTRACE_STREAM_MS_MOST + 1, 0);
	stream_begin(UINT64_MAX, 0);
	stream_look(&self);
	ck_assert_uint_eq(self.pen.ordinal, 0);
}
END_TEST

START_TEST(an_option_begins_one_with_the_process)
{
	options.events = 1500;
	stream_init();
	stream_look(&self);
	ck_assert_uint_eq(self.pen.ordinal, 1);
	ck_assert_uint_eq(head()->asked_ms, 1500);
	options.events = 0;
}
END_TEST

/* ---- threads ---- */

enum { ENOUGH = 3000000, ROOM = 2 * ENOUGH };
static atomic_bool enough;
static _Atomic uint64_t puts_done;

static void *put_until_enough(void *argument)
{
	struct thread_state me = {.id = (uint32_t)(uintptr_t)argument};
	uint64_t n = 0;
	stream_look(&me);
	for (; !atomic_load(&enough); n++)
		put(&me, n);
	stream_close(&me.pen);
	atomic_fetch_add(&puts_done, n);
	return NULL;
}

/* Checks the finished parts that were not looked at, and drains them; returns their records. */
static uint64_t take_finished(unsigned char *seen, uint32_t *done)
{
	uint64_t found = 0;
	for (uint32_t i = 0; i < head()->parts; i++) {
		uint32_t round = atomic_load(&part_at(i)->round);
		if (round == done[i])
			continue;
		uint32_t thread = part_at(i)->thread; /* the round comes last */
		uint32_t closed = atomic_load(&part_at(i)->closed), count = atomic_load(&part_at(i)->count);
		if (!closed && count < MTRACE_STREAM_RECORDS)
			continue;
		bool right = thread >= 1 && thread <= THREADS; /* check writes a line for each of its own */
		for (uint32_t k = 0; k < count && right; k++) {
			const uint64_t *word = record_at(i, k);
			uint64_t number = MTRACE_STREAM_NUMBER(word[0]);
			right = is_right(word, thread, n_of(word)) && number < ROOM && seen[number]++ == 0;
		}
		ck_assert(right);
		found += count;
		done[i] = round;
		drain(i);
	}
	return found;
}

/* Whatever the reader keeps up with: what is there is right, each number once, and the rest is counted. */
START_TEST(many_threads_at_once)
{
	pthread_t threads[THREADS];
	static unsigned char seen[ROOM];
	uint64_t found = 0;
	uint32_t done[MTRACE_STREAM_PARTS] = {0};
	stream_begin(NEVER, 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, put_until_enough, (void *)(i + 1)), 0);
	while (found < room_times(ENOUGH))
		found += take_finished(seen, done);
	atomic_store(&enough, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	found += take_finished(seen, done);
	ck_assert_uint_eq(found + room_counter(MTRACE_COUNTER_stream_dropped), puts_done);
	ck_assert_uint_eq(stream_numbers.next, found);
}
END_TEST

/* What one thread does before it hands over has the lower number (M3). */
static _Atomic uint64_t turn;
static uint64_t numbers[2][20000];

static void *take_turns(void *argument)
{
	uint64_t me = (uintptr_t)argument;
	for (uint64_t n = 0; n < 20000; n++) {
		while (atomic_load_explicit(&turn, memory_order_acquire) != 2 * n + me)
			sched_yield();
		numbers[me][n] = stream_number();
		atomic_store_explicit(&turn, 2 * n + me + 1, memory_order_release);
	}
	return NULL;
}

START_TEST(numbers_follow_the_hand_over)
{
	pthread_t other;
	turn = 0;
	ck_assert_int_eq(pthread_create(&other, NULL, take_turns, (void *)1), 0);
	take_turns((void *)0);
	pthread_join(other, NULL);
	for (int n = 0; n < 20000; n++) {
		ck_assert_uint_lt(numbers[0][n], numbers[1][n]);
		ck_assert(n == 0 || numbers[1][n - 1] < numbers[0][n]);
	}
}
END_TEST

enum { NUMBERS = 5000000 };

static void *take_numbers(void *unused)
{
	for (uint32_t i = 0; i < room_times(NUMBERS); i++)
		stream_number();
	return unused;
}

START_TEST(no_number_is_taken_twice)
{
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, take_numbers, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(stream_numbers.next, (uint64_t)THREADS * room_times(NUMBERS));
}
END_TEST

/* ---- death, and others' hands ---- */

/* The child writes into the segment that we look into. */
static pid_t fork_writer(void)
{
	ck_assert_int_eq(madvise(segment.header, segment.header->file_bytes, MADV_DOFORK), 0);
	pid_t child = fork();
	ck_assert_int_ge(child, 0);
	return child;
}

static void end_now(pid_t child)
{
	ck_assert_int_eq(kill(child, SIGKILL), 0);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
}

/* Records that are counted, every one of them whole. */
static uint64_t expect_whole(void)
{
	uint64_t bytes = segment.header->regions[MTRACE_REGION_STREAM].committed_bytes, whole = 0;
	if (bytes < MTRACE_STREAM_PARTS_OFFSET)
		return 0; /* before it began */
	ck_assert_int_eq(mprotect(segment.base[MTRACE_REGION_STREAM], bytes, PROT_READ | PROT_WRITE), 0);
	for (uint32_t i = 0; i < head()->parts; i++) {
		ck_assert_uint_le(part_at(i)->count, MTRACE_STREAM_RECORDS);
		bool right = true;
		for (uint32_t k = 0; part_at(i)->round && k < part_at(i)->count; k++, whole++)
			right &= is_right(record_at(i, k), 7, n_of(record_at(i, k)));
		ck_assert(right);
	}
	return whole;
}

START_TEST(killed_at_random)
{
	uint64_t seed = room_seed(), whole = 0;
	for (int round = 0; round < (int)room_times(60); round++) {
		open_stream(64 << 20);
		pid_t child = fork_writer();
		if (child == 0) {
			stream_begin(NEVER, 0);
			stream_look(&self);
			for (uint64_t n = 0;; n++) {
				put(&self, n);
				if (n % 1000 == 0)
					drain_all();
			}
		}
		nanosleep(&(struct timespec){.tv_nsec = (long)(room_random(&seed) % 3000000)}, NULL);
		end_now(child);
		whole += expect_whole();
	}
	ck_assert_uint_gt(whole, 1000);
}
END_TEST

/* Killed so many instructions into a put. true: it was over by then. */
static bool killed_after(uint64_t before, unsigned steps, uint64_t *whole)
{
	int status;
	volatile int *done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	open_stream(64 << 20);
	pid_t child = fork_writer();
	if (child == 0) {
		stream_begin(NEVER, 0);
		stream_look(&self);
		for (uint64_t n = 0; n < before; n++)
			put(&self, n);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		put(&self, before);
		*done = 1;
		for (;;)
			raise(SIGSTOP);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	for (unsigned i = 0; i < steps && !*done; i++) {
		ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
		ck_assert_int_eq(waitpid(child, &status, 0), child);
	}
	bool was_done = *done;
	end_now(child);
	*whole = expect_whole();
	munmap((void *)(uintptr_t)done, 4096);
	return was_done;
}

/* Into a part that has room, and into the next one. */
START_TEST(killed_at_every_instruction_of_a_put)
{
	static const uint64_t before[] = {5, MTRACE_STREAM_RECORDS};
	for (size_t which = 0; which < 2; which++) {
		unsigned steps = 0, without = 0;
		uint64_t whole;
		for (; !killed_after(before[which], steps, &whole); steps += which ? 5 : 1) {
			ck_assert_uint_ge(whole, before[which]);
			ck_assert_uint_le(whole, before[which] + 1);
			without += whole == before[which];
			ck_assert_uint_lt(steps, 20000);
		}
		ck_assert_uint_eq(whole, before[which] + 1);
		ck_assert_uint_gt(without, 5);
	}
}
END_TEST

START_TEST(whatever_the_control_page_says)
{
	uint64_t seed = room_seed();
	uint32_t stop = 0;
	stream_begin(NEVER, 0);
	for (uint64_t n = 0; n < 400000; n++) {
		if (n % 16 == 0) {
			uint32_t i = (uint32_t)(room_random(&seed) % MTRACE_STREAM_PARTS);
			atomic_store(&segment.control->stream_drained[i], (uint32_t)room_random(&seed) % 8);
			atomic_store(&segment.control->stream_stop, n % 4096 ? stop : ++stop);
			stream_look(&self);
			if (!self.pen.ordinal)
				stream_begin(NEVER, 0);
		}
		put(&self, n);
	}
	ck_assert_uint_le(head()->parts, MTRACE_STREAM_PARTS);
	ck_assert_uint_le(stream_numbers.next + room_counter(MTRACE_COUNTER_stream_dropped), 400000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stream");
	TCase *tests = tcase_create("stream");
	tcase_set_timeout(tests, 300);
	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_test(tests, there_is_none_until_one_begins);
	tcase_add_test(tests, what_is_put_is_there_in_order);
	tcase_add_test(tests, sizes_beyond_what_fits_are_the_most_that_does);
	tcase_add_test(tests, a_part_is_written_again_only_when_it_was_drained);
	tcase_add_test(tests, full);
	tcase_add_test(tests, a_segment_without_room_has_none);
	tcase_add_test(tests, it_ends_when_its_time_is_over);
	tcase_add_test(tests, it_ends_when_nobody_wants_more);
	tcase_add_test(tests, times_out_of_bounds_begin_none);
	tcase_add_test(tests, an_option_begins_one_with_the_process);
	tcase_add_test(tests, killed_at_random);
	tcase_add_test(tests, killed_at_every_instruction_of_a_put);
	tcase_add_test(tests, whatever_the_control_page_says);
	TCase *threads = tcase_create("threads");
	tcase_set_timeout(threads, 300);
	tcase_add_checked_fixture(threads, setup, NULL);
	tcase_add_test(threads, many_threads_at_once);
	tcase_add_test(threads, numbers_follow_the_hand_over);
	tcase_add_test(threads, no_number_is_taken_twice);
	suite_add_tcase(suite, tests);
	suite_add_tcase(suite, threads);
	return run_suite(suite);
}
