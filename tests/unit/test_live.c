/* live: the contract of live.h, against a reference map and under threads. */
#include <pthread.h>

#include "live.h"
#include "room.h"

#define MALLOC MTRACE_FAMILY_MALLOC
#define POOL MTRACE_FAMILY_POOL
#define NOT_TOLD UINT32_MAX /* a side, by a removal in line */

static void setup(void)
{
	room_open(256 << 20);
	ck_assert(live_init());
}

static struct live_block block_of(uint32_t row, uint64_t size)
{
	return (struct live_block){.row = row, .size = size, .side = live_side(77, 5)};
}

/* As the tracker does it, with `near`: in line, then by the function that knows better. */
static enum live_result put_in(enum mtrace_family family, uintptr_t address, const struct live_block *block,
			       struct live_block *old, struct live_near *near)
{
	if (near && live_put(live_find(family, address, near), address, block->row, block->side, block->size))
		return LIVE_DONE;
	return live_insert(family, address, block, old);
}

static bool take_out(enum mtrace_family family, uintptr_t address, struct live_block *old, struct live_near *near)
{
	old->side = NOT_TOLD;
	if (near && live_drop(live_find(family, address, near), address, old))
		return true;
	return live_remove(family, address, old);
}

static void expect_removed(uintptr_t address, uint32_t row, uint64_t size)
{
	struct live_block old;
	ck_assert(take_out(MALLOC, address, &old, NULL));
	ck_assert_uint_eq(old.row, row);
	ck_assert_uint_eq(old.size, size);
}

START_TEST(a_block_comes_back_whole)
{
	struct live_block block = block_of(9, 123), old;
	ck_assert_int_eq(put_in(MALLOC, 0x7f0000001230, &block, &old, NULL), LIVE_DONE);
	ck_assert(take_out(MALLOC, 0x7f0000001230, &old, NULL));
	ck_assert_uint_eq(old.row, 9);
	ck_assert_uint_eq(old.size, 123);
	ck_assert_uint_eq(old.side, live_side(77, 5));
	ck_assert(!take_out(MALLOC, 0x7f0000001230, &old, NULL));
}
END_TEST

START_TEST(families_do_not_meet)
{
	struct live_block block = block_of(1, 10), other = block_of(2, 20), old;
	ck_assert_int_eq(put_in(MALLOC, 0x1000, &block, &old, NULL), LIVE_DONE);
	ck_assert_int_eq(put_in(POOL, 0x1000, &other, &old, NULL), LIVE_DONE);
	expect_removed(0x1000, 1, 10);
	ck_assert(take_out(POOL, 0x1000, &old, NULL));
	ck_assert_uint_eq(old.row, 2);
}
END_TEST

START_TEST(a_missed_free_is_reported_with_what_was_there)
{
	struct live_block first = block_of(3, 30), second = block_of(4, 40), old;
	put_in(MALLOC, 0x555500001000, &first, &old, NULL);
	ck_assert_int_eq(put_in(MALLOC, 0x555500001000, &second, &old, NULL), LIVE_REPLACED);
	ck_assert_uint_eq(old.row, 3);
	ck_assert_uint_eq(old.size, 30);
	expect_removed(0x555500001000, 4, 40);
}
END_TEST

START_TEST(sizes_of_256_mib_and_more_are_exact)
{
	static const uint64_t sizes[] = {(1u << 28) - 2, (1u << 28) - 1, 1u << 28, 5ull << 30, 1ull << 46};
	for (unsigned i = 0; i < 5; i++) {
		struct live_block block = block_of(1, sizes[i]), old;
		put_in(MALLOC, 0x7f0000000010 + i * 4096, &block, &old, NULL);
	}
	for (unsigned i = 0; i < 5; i++)
		expect_removed(0x7f0000000010 + i * 4096, 1, sizes[i]);
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_huge_sizes_lost), 0);
}
END_TEST

/* Every 8-byte granule of a page whose first block predicted a single line. */
START_TEST(a_page_predicted_wrong_holds_all_its_blocks)
{
	struct live_block large = block_of(1, 4000), old;
	put_in(MALLOC, 0x10000000, &large, &old, NULL);
	for (uint32_t i = 1; i < 512; i++) {
		struct live_block small = block_of(i, 8);
		ck_assert_int_eq(put_in(MALLOC, 0x10000000 + i * 8, &small, &old, NULL), LIVE_DONE);
	}
	for (uint32_t i = 1; i < 512; i++)
		expect_removed(0x10000000 + i * 8, i, 8);
	expect_removed(0x10000000, 1, 4000);
}
END_TEST

/* In line, at every granule of a page: what is there is found, what is not there is not, nothing is taken twice. */
START_TEST(each_granule_is_its_own)
{
	struct live_near near = {0};
	struct live_block block = block_of(1, 8), old;
	for (uintptr_t granule = 0; granule < 512; granule++) {
		ck_assert(!take_out(MALLOC, 0x10000000 + granule * 8, &old, &near));
		ck_assert_int_eq(put_in(MALLOC, 0x10000000 + granule * 8, &block, &old, &near), LIVE_DONE);
		ck_assert_int_eq(put_in(MALLOC, 0x10000000 + granule * 8, &block, &old, &near), LIVE_REPLACED);
	}
	for (uintptr_t granule = 512; granule-- > 0;) {
		ck_assert(take_out(MALLOC, 0x10000000 + granule * 8, &old, &near));
		ck_assert(!take_out(MALLOC, 0x10000000 + granule * 8, &old, &near));
	}
}
END_TEST

/* Somebody wrote into the chain of a page's leaves: a look-up ends, and says so. */
START_TEST(a_chain_that_goes_round_ends)
{
	struct live_near near = {0};
	struct live_block block = block_of(1, 4000), old;
	for (uintptr_t granule = 0; granule < 512; granule++)
		put_in(MALLOC, 0x10000000 + granule * 8, &block, &old, &near);
	_Atomic uint64_t *extra = (void *)segment.base[MTRACE_REGION_LIVE_LEAVES];
	uint64_t used = atomic_load(&segment.used[MTRACE_REGION_LIVE_LEAVES]);
	ck_assert_uint_gt(used, 2);
	for (uint64_t id = 1; id < used; id++) /* each leads to itself */
		atomic_store(&extra[id], (atomic_load(&extra[id]) & ((1ull << 40) - 1)) | id << 40);
	for (uintptr_t granule = 0; granule < 512; granule++)
		take_out(MALLOC, 0x10000000 + granule * 8, &old, &near);
	ck_assert(!take_out(MALLOC, 0x10000000, &old, &near));
	ck_assert_uint_gt(room_counter(MTRACE_COUNTER_damaged_ids), 0);
}
END_TEST

/* Somebody wrote another chunk's number into a root entry: there is none like it. */
START_TEST(a_chunk_that_is_not_there_is_not_followed)
{
	struct live_block block = block_of(1, 40), old;
	put_in(MALLOC, 0x10000000, &block, &old, NULL);
	_Atomic uint64_t *roots = (void *)segment.base[MTRACE_REGION_LIVE_ROOT];
	_Atomic uint64_t *entry = &roots[live_root_place(live_root_key(MALLOC, 0x10000000))];
	atomic_store(entry, atomic_load(entry) | 0x7fff0000u);
	ck_assert_int_eq(put_in(MALLOC, 0x10001000, &block, &old, NULL), LIVE_FULL);
	ck_assert(!take_out(MALLOC, 0x10000000, &old, NULL));
	ck_assert_uint_gt(room_counter(MTRACE_COUNTER_damaged_ids), 0);
}
END_TEST

START_TEST(a_move_keeps_the_block_until_it_ends)
{
	struct live_block block = block_of(3, 30), now = block_of(4, 60), old;
	struct live_move move;
	put_in(MALLOC, 0x2000, &block, &old, NULL);
	ck_assert(live_begin_move(MALLOC, 0x2000, 5, &move));
	ck_assert_uint_eq(move.old.size, 30);
	ck_assert(live_move_in_place(&move, &now));
	expect_removed(0x2000, 4, 60);
	ck_assert(!live_begin_move(MALLOC, 0x2000, 5, &move));
}
END_TEST

START_TEST(a_cancelled_move_leaves_all_as_it_was)
{
	struct live_block block = block_of(3, 30), old;
	struct live_move move;
	put_in(MALLOC, 0x2000, &block, &old, NULL);
	live_begin_move(MALLOC, 0x2000, 9, &move);
	live_cancel_move(&move, 9);
	ck_assert(take_out(MALLOC, 0x2000, &old, NULL));
	ck_assert_uint_eq(old.size, 30);
	ck_assert_uint_eq(MTRACE_SIDE_THREAD(old.side), 5);
}
END_TEST

/* Another thread got the address while we moved away from it, and is moving an equal block by now. */
START_TEST(a_move_ends_only_its_own_block)
{
	struct live_block block = block_of(3, 30), theirs = {.row = 3, .size = 30, .side = live_side(1, 6)}, old;
	struct live_move ours, their_move;
	put_in(MALLOC, 0x2000, &block, &old, NULL);
	live_begin_move(MALLOC, 0x2000, 5, &ours);
	ck_assert_int_eq(put_in(MALLOC, 0x2000, &theirs, &old, NULL), LIVE_DONE); /* over moving: no missed free */
	live_begin_move(MALLOC, 0x2000, 6, &their_move);
	live_end_move(&ours, 5);
	live_cancel_move(&their_move, 6);
	expect_removed(0x2000, 3, 30);
}
END_TEST

static void expect_same(const struct live_block *a, const struct live_block *b)
{
	ck_assert_uint_eq(a->row, b->row);
	ck_assert_uint_eq(a->size, b->size);
	ck_assert(a->side == NOT_TOLD || a->side == b->side);
}

struct given_up {
	uint32_t blocks[2];
	uint64_t bytes[2];
};

static void give_up(enum mtrace_family family, uintptr_t address, const struct live_block *old, void *context)
{
	ck_assert_uint_eq(address >> 20, 0x7f0000000000 >> 20);
	struct given_up *sum = context;
	ck_assert(family == MALLOC || family == POOL);
	sum->blocks[family]++;
	sum->bytes[family] += old->size;
	ck_assert_uint_eq(old->row, family == MALLOC ? 9 : 11);
}

/* ---- leaves behind others ---- */

static uint32_t closed_slots(void)
{
	const struct mtrace_live_line *lines = (void *)segment.base[MTRACE_REGION_LIVE_LINES];
	uint32_t closed = 0;
	for (uint64_t i = 1; i < atomic_load(&segment.used[MTRACE_REGION_LIVE_LINES]); i++)
		for (uint32_t slot = 0; slot < MTRACE_LIVE_SLOTS; slot++)
			closed += lines[i].word[slot] == MTRACE_SLOT_CLOSED;
	return closed;
}

/* The page of six blocks, 8 bytes apart, of which the first has a line to itself, as it is large: five stand in that line,
   and the sixth in the first line of a larger leaf in front of it. */
#define CROWDED ((uintptr_t)0x7f0000000000)
enum { CROWD = 6 };

static void crowd(void)
{
	struct live_block old;
	for (uint32_t i = 0; i < CROWD; i++) {
		struct live_block block = block_of(i + 1, i ? 8 : 4000);
		ck_assert_int_eq(put_in(MALLOC, CROWDED + i * 8, &block, &old, NULL), LIVE_DONE);
	}
}

START_TEST(what_is_behind_a_line_is_closed_when_it_is_empty)
{
	struct live_near near = {0};
	struct live_block block = block_of(9, 8), old;
	struct live_place before_it_grew;
	put_in(MALLOC, CROWDED, &block, &old, &near);
	before_it_grew = live_find(MALLOC, CROWDED + 64, &near);
	ck_assert(take_out(MALLOC, CROWDED, &old, &near));
	crowd();
	ck_assert_int_eq(live_mixed(live_find(MALLOC, CROWDED, &near).line), LIVE_BY_PAGE);
	for (uint32_t i = 0; i < CROWD - 1; i++) { /* while one is left, all is looked through and nothing closed */
		struct live_block again = block_of(1, 8);
		ck_assert_int_eq(put_in(MALLOC, CROWDED + 128, &again, &old, &near), LIVE_DONE);
		ck_assert(take_out(MALLOC, CROWDED + 128, &old, &near));
		ck_assert_uint_eq(closed_slots(), 0);
		expect_removed(CROWDED + i * 8, i + 1, i ? 8 : 4000);
	}
	ck_assert_int_eq(put_in(MALLOC, CROWDED, &block, &old, &near), LIVE_DONE);
	ck_assert_uint_eq(closed_slots(), MTRACE_LIVE_SLOTS);
	ck_assert_int_eq(live_mixed(live_find(MALLOC, CROWDED, &near).line), LIVE_BY_LINE);
	ck_assert(!live_put(before_it_grew, CROWDED + 64, block.row, block.side, block.size));
	ck_assert_int_eq(put_in(MALLOC, CROWDED, &block, &old, &near), LIVE_REPLACED);
	expect_removed(CROWDED, 9, 8);
	expect_removed(CROWDED + (CROWD - 1) * 8, CROWD, 8);
	ck_assert(!take_out(MALLOC, CROWDED, &old, &near));
}
END_TEST

START_TEST(a_missed_free_behind_a_line_is_reported)
{
	struct live_near near = {0};
	struct live_block block = block_of(9, 8), old;
	crowd();
	for (uint32_t i = 0; i < CROWD; i++) {
		ck_assert_int_eq(put_in(MALLOC, CROWDED + i * 8, &block, &old, &near), LIVE_REPLACED);
		ck_assert_uint_eq(old.row, i + 1);
		ck_assert_int_eq(put_in(MALLOC, CROWDED + i * 8, &block, &old, &near), LIVE_REPLACED);
		ck_assert_uint_eq(old.row, 9);
	}
}
END_TEST

/* A line of 26 whose granules, 158 to 177, are of two lines of the three behind. */
START_TEST(a_line_before_two_others_forgets_neither)
{
	struct live_near near = {0};
	struct live_block first = block_of(1, 290), small = block_of(2, 8), old;
	ck_assert_int_eq(put_in(MALLOC, CROWDED + 171 * 8, &first, &old, &near), LIVE_DONE);
	for (uint32_t i = 0; i < CROWD; i++)
		ck_assert_int_eq(put_in(MALLOC, CROWDED + i * 8, &small, &old, &near), LIVE_DONE);
	for (uint32_t i = 0; i < CROWD; i++)
		ck_assert(take_out(MALLOC, CROWDED + i * 8, &old, &near));
	ck_assert_int_eq(put_in(MALLOC, CROWDED + 160 * 8, &small, &old, &near), LIVE_DONE);
	ck_assert_ptr_eq(live_find(MALLOC, CROWDED + 160 * 8, &near).line, live_find(MALLOC, CROWDED + 171 * 8, &near).line);
	ck_assert_int_eq(put_in(MALLOC, CROWDED + 171 * 8, &small, &old, &near), LIVE_REPLACED);
	ck_assert_uint_eq(old.row, 1);
}
END_TEST

START_TEST(what_is_closed_stays_so_when_all_is_removed)
{
	struct live_near near = {0};
	struct live_block block = block_of(9, 8), old;
	struct given_up sum = {{0, 0}, {0, 0}};
	crowd();
	for (uint32_t i = 0; i < CROWD; i++)
		ck_assert(take_out(MALLOC, CROWDED + i * 8, &old, &near));
	put_in(MALLOC, CROWDED, &block, &old, &near);
	live_remove_all(give_up, &sum);
	ck_assert_uint_eq(sum.blocks[MALLOC], 1);
	ck_assert_uint_eq(closed_slots(), MTRACE_LIVE_SLOTS);
}
END_TEST

/* Random operations on addresses that crowd a few pages, against a plain array. */
START_TEST(random_operations_match_a_reference)
{
	enum { PLACES = 4096, ROUNDS = 2000000 };
	static struct live_block reference[PLACES];
	uint64_t state = room_seed();
	struct live_near near = {0};
	for (int round = 0; round < ROUNDS; round++) {
		uint32_t place = (uint32_t)(room_random(&state) % PLACES);
		uintptr_t address = 0x7f1234000000 + (uintptr_t)place * 16;
		struct live_block old;
		struct live_block was = reference[place];
		if (was.row && room_random(&state) % 8) {
			ck_assert(take_out(MALLOC, address, &old, &near));
			expect_same(&old, &was);
			reference[place].row = 0;
		} else { /* some of them over a block whose free was missed */
			uint64_t size = room_random(&state) % 64 ? room_random(&state) % 5000 : room_random(&state) >> 20;
			reference[place] = (struct live_block){.row = (uint32_t)(room_random(&state) % 1000000 + 1),
							       .size = size, .side = live_side((uint32_t)(state & 0xffff), 3)};
			ck_assert_int_eq(put_in(MALLOC, address, &reference[place], &old, &near),
					 was.row ? LIVE_REPLACED : LIVE_DONE);
			if (was.row)
				expect_same(&old, &was);
		}
	}
	ck_assert_uint_gt(closed_slots(), 0);
}
END_TEST

/* Threads on interleaved addresses of the same lines: nobody loses a block to a neighbour. */
enum { THREADS = 4, EACH = 20000 };

static void *hammer(void *argument)
{
	uintptr_t lane = (uintptr_t)argument;
	struct live_block old;
	struct live_near near = {0};
	for (uint32_t repeats = room_times(20) + 1; repeats > 0; repeats--) {
		for (uintptr_t i = 0; i < EACH; i++) {
			struct live_block block = {.row = (uint32_t)(lane + 1), .size = i, .side = live_side(0, (uint32_t)lane)};
			if (put_in(MALLOC, 0x7f0000000000 + (i * THREADS + lane) * 32, &block, &old, &near) != LIVE_DONE)
				return "insert";
		}
		for (uintptr_t i = 0; i < EACH; i++)
			if (!take_out(MALLOC, 0x7f0000000000 + (i * THREADS + lane) * 32, &old, &near) ||
			    old.row != lane + 1 || old.size != i)
				return "remove";
	}
	return NULL;
}

/* Of both families, one beside the other, small and huge, a chain of leaves, and one that is moving. */
START_TEST(all_blocks_are_removed_each_once)
{
	enum { BLOCKS = 5000 };
	struct given_up sum = {{0, 0}, {0, 0}};
	struct live_block old;
	struct live_move move;
	for (uint64_t i = 0; i < BLOCKS; i++) {
		struct live_block block = block_of(i % 2 ? 9 : 11, i % 100 ? 16 : 1ull << 33);
		ck_assert_int_eq(put_in(i % 2 ? MALLOC : POOL, 0x7f0000000000 + i * 8, &block, &old, NULL), LIVE_DONE);
	}
	ck_assert(live_begin_move(MALLOC, 0x7f0000000008, 5, &move));
	live_remove_all(give_up, &sum);
	ck_assert_uint_eq(sum.blocks[MALLOC], BLOCKS / 2);
	ck_assert_uint_eq(sum.blocks[POOL], BLOCKS / 2);
	ck_assert_uint_eq(sum.bytes[MALLOC], 16 * BLOCKS / 2);
	ck_assert_uint_eq(sum.bytes[POOL], 16 * (BLOCKS / 2 - BLOCKS / 100) + (BLOCKS / 100 * (1ull << 33)));
	for (uint64_t i = 0; i < BLOCKS; i++)
		ck_assert(!take_out(i % 2 ? MALLOC : POOL, 0x7f0000000000 + i * 8, &old, NULL));
	live_remove_all(give_up, &sum);
	ck_assert_uint_eq(sum.blocks[MALLOC], BLOCKS / 2);
}
END_TEST

START_TEST(threads_share_lines_without_loss)
{
	pthread_t threads[THREADS];
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, hammer, (void *)i);
	for (int i = 0; i < THREADS; i++) {
		void *trouble;
		pthread_join(threads[i], &trouble);
		ck_assert_msg(!trouble, "%s", (const char *)trouble);
	}
	ck_assert_uint_gt(closed_slots(), 0);
}
END_TEST

/* ---- an address that may be live several times ---- */

#define BUFFER MTRACE_FAMILY_JNI_BUFFER

START_TEST(one_address_several_times)
{
	struct live_block old;
	uint64_t sum = 0;
	for (uint32_t i = 1; i <= 15; i++) {
		struct live_block block = block_of(i, 8 * i);
		ck_assert_int_eq(live_insert_another(BUFFER, 0x7f0000001230, &block), LIVE_DONE);
	}
	for (uint32_t i = 1; i <= 15; i++) {
		ck_assert(live_remove_one(BUFFER, 0x7f0000001230, &old));
		ck_assert_uint_eq(old.size, 8 * old.row);
		sum += old.row;
	}
	ck_assert_uint_eq(sum, 15 * 16 / 2); /* each of them once */
	ck_assert(!live_remove_one(BUFFER, 0x7f0000001230, &old));
}
END_TEST

START_TEST(too_often_at_one_address_is_said)
{
	struct live_block block = block_of(1, 8), old;
	uint32_t n = 0;
	while (n < 10000 && live_insert_another(BUFFER, 0x7f0000001230, &block) == LIVE_DONE)
		n++;
	ck_assert_uint_lt(n, 10000);
	ck_assert_int_eq(live_insert_another(BUFFER, 0x7f0000001800, &block), LIVE_DONE); /* elsewhere on the page */
	for (uint32_t i = 0; i < n; i++)
		ck_assert(live_remove_one(BUFFER, 0x7f0000001230, &old));
	ck_assert(!live_remove_one(BUFFER, 0x7f0000001230, &old));
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_damaged_ids), 0);
}
END_TEST

static void *hold_at_one_address(void *seed)
{
	uint64_t state = (uint64_t)seed * 7919 + 1;
	struct live_block block = block_of(1, 8), old;
	for (int i = 0; i < 200000; i++) {
		uint32_t holds = (uint32_t)(room_random(&state) % 4);
		for (uint32_t h = 0; h < holds; h++)
			if (live_insert_another(BUFFER, 0x7f0000001230, &block) != LIVE_DONE)
				return "full";
		for (uint32_t h = 0; h < holds; h++)
			if (!live_remove_one(BUFFER, 0x7f0000001230, &old))
				return "a block that was put in is gone";
	}
	return NULL;
}

static void run_threads(void *(*body)(void *))
{
	pthread_t threads[THREADS];
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, body, (void *)i);
	for (int i = 0; i < THREADS; i++) {
		void *trouble;
		pthread_join(threads[i], &trouble);
		ck_assert_msg(!trouble, "%s", (const char *)trouble);
	}
}

START_TEST(each_remove_is_one_inserts)
{
	struct live_block old;
	run_threads(hold_at_one_address);
	ck_assert(!live_remove_one(BUFFER, 0x7f0000001230, &old));
}
END_TEST

START_TEST(full_is_said_and_the_rest_goes_on)
{
	struct live_block block = block_of(1, 64), old;
	uintptr_t address = 0x7f0000000000;
	while (put_in(MALLOC, address, &block, &old, NULL) == LIVE_DONE)
		address += 80;
	ck_assert_uint_gt(address - 0x7f0000000000, 80 * 100);
	ck_assert_int_eq(put_in(MALLOC, address, &block, &old, NULL), LIVE_FULL);
	expect_removed(0x7f0000000000, 1, 64);
}
END_TEST

/* Design section 8: at most 32 % of live bytes at 64-byte blocks, 2.5 % at 1 KiB. */
static double bytes_per_block(uint64_t stride, uint64_t size, unsigned blocks)
{
	struct live_block block = block_of(1, size), old;
	for (unsigned i = 0; i < blocks; i++)
		ck_assert_int_eq(put_in(MALLOC, 0x7f0000000000 + i * stride, &block, &old, NULL), LIVE_DONE);
	uint64_t lines = atomic_load(&segment.used[MTRACE_REGION_LIVE_LINES]) * sizeof(struct mtrace_live_line);
	uint64_t chunks = atomic_load(&segment.used[MTRACE_REGION_LIVE_CHUNKS]) * sizeof(struct mtrace_live_chunk);
	return (double)(lines + chunks) / blocks;
}

START_TEST(memory_for_64_byte_blocks)
{
	ck_assert_double_le(bytes_per_block(80, 64, 500000), 0.32 * 64);
}
END_TEST

START_TEST(memory_for_1_kib_blocks)
{
	ck_assert_double_le(bytes_per_block(1040, 1024, 200000), 0.025 * 1024);
}
END_TEST

static void setup_small(void)
{
	room_open(1 << 20);
	ck_assert(live_init());
}

int main(void)
{
	Suite *suite = suite_create("live");
	TCase *plain = tcase_create("plain"), *threads = tcase_create("threads");
	tcase_add_checked_fixture(plain, setup, NULL);
	tcase_set_timeout(plain, 60);
	tcase_add_test(plain, a_block_comes_back_whole);
	tcase_add_test(plain, families_do_not_meet);
	tcase_add_test(plain, a_missed_free_is_reported_with_what_was_there);
	tcase_add_test(plain, sizes_of_256_mib_and_more_are_exact);
	tcase_add_test(plain, a_page_predicted_wrong_holds_all_its_blocks);
	tcase_add_test(plain, each_granule_is_its_own);
	tcase_add_test(plain, a_chain_that_goes_round_ends);
	tcase_add_test(plain, a_move_keeps_the_block_until_it_ends);
	tcase_add_test(plain, a_chunk_that_is_not_there_is_not_followed);
	tcase_add_test(plain, a_cancelled_move_leaves_all_as_it_was);
	tcase_add_test(plain, a_move_ends_only_its_own_block);
	tcase_add_test(plain, what_is_behind_a_line_is_closed_when_it_is_empty);
	tcase_add_test(plain, a_missed_free_behind_a_line_is_reported);
	tcase_add_test(plain, a_line_before_two_others_forgets_neither);
	tcase_add_test(plain, what_is_closed_stays_so_when_all_is_removed);
	tcase_add_test(plain, random_operations_match_a_reference);
	tcase_add_test(plain, one_address_several_times);
	tcase_add_test(plain, too_often_at_one_address_is_said);
	tcase_add_test(plain, all_blocks_are_removed_each_once);
	tcase_add_test(plain, memory_for_64_byte_blocks);
	tcase_add_test(plain, memory_for_1_kib_blocks);
	suite_add_tcase(suite, plain);
	tcase_add_checked_fixture(threads, setup, NULL);
	tcase_set_timeout(threads, 60);
	tcase_add_test(threads, threads_share_lines_without_loss);
	tcase_add_test(threads, each_remove_is_one_inserts);
	suite_add_tcase(suite, threads);
	TCase *small = tcase_create("small");
	tcase_add_checked_fixture(small, setup_small, NULL);
	tcase_add_test(small, full_is_said_and_the_rest_goes_on);
	suite_add_tcase(suite, small);
	return run_suite(suite);
}
