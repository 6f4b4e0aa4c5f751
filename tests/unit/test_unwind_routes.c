/*
 * test_unwind_routes: the trie of ways in, over made-up stacks of made-up functions: what it finds is always what the walk
 * came to; hundreds of stacks in turn are found again; a word that changed anywhere, another sp or kind, another outer stack,
 * another stamp: nothing is found, or what that is; full, it is emptied, and rests where learning does not pay. What is found
 * is handed on to the recent ways, of which the same must hold.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"
#include "unwind/routes.h"

enum { DEPTH = 24, WORDS = 512, STAMP = 7, KIND = 1 };

static uintptr_t stack[WORDS]; /* grows downwards, as they do */
static struct memo *memo;
static struct routes *routes;
static struct recents *recents;

static void setup(void)
{
	memo = calloc(1, sizeof *memo);
	routes = calloc(1, sizeof *routes);
	recents = calloc(1, sizeof *recents);
	memset(stack, 0, sizeof stack);
}

static void teardown(void)
{
	free(memo);
	free(routes);
	free(recents);
}

/* ---- a stack: functions from the outermost inwards; a function is its return address and the size of its frame ---- */

static uintptr_t pc_of(uint32_t function)
{
	return 0x400000 + function * 64;
}

static size_t words_of(uint32_t function)
{
	return 2 + function % 5;
}

struct made {
	struct memo_frame frames[DEPTH];
	struct unwind_start start;
};

/* Writes it, and what a walk would find: how far out the next frame is, is the function's own. */
static struct made make(const uint32_t *functions)
{
	struct made made;
	uintptr_t *sp = stack + WORDS;
	for (uint32_t i = 0; i < DEPTH; i++) {
		sp -= words_of(functions[i]);
		made.frames[i] = (struct memo_frame){.sp = (uintptr_t)sp, .check = pc_of(functions[i]), .tag = 1,
		                                     .rule = RULE_NOT_SAVED};
		sp[-1] = pc_of(functions[i]);
	}
	made.start = (struct unwind_start){pc_of(functions[DEPTH - 1]), (uintptr_t)sp, 0};
	return made;
}

static uint32_t sum_of(const struct memo_frame *frames, uint32_t count)
{
	uint32_t sum = 17;
	for (uint32_t i = 0; i < count; i++)
		sum = sum * 1000003 + (uint32_t)frames[i].check;
	return sum | 1;
}

/* As memo_walk and the tracker leave it. Returns how many of the outermost frames were there. */
static uint32_t walk(const struct made *made)
{
	uint32_t kept = 0;
	while (kept < memo->count && kept < DEPTH && memo->frames[kept].sp == made->frames[kept].sp &&
	       memo->frames[kept].check == made->frames[kept].check)
		kept++;
	memcpy(memo->frames + kept, made->frames + kept, (DEPTH - kept) * sizeof *made->frames);
	for (uint32_t i = kept; i < DEPTH; i++)
		memo->frames[i].note = sum_of(made->frames, i + 1);
	for (uint32_t i = kept ? kept : 1; i < DEPTH; i++)
		memo_list_arrival(memo, &memo->frames[i - 1], &memo->frames[i]);
	memo->count = DEPTH;
	memo->end = UNWIND_WHOLE;
	memo->generation = STAMP;
	return kept;
}

static uint32_t find_as(const struct made *made, uint64_t stamp, uint32_t kind)
{
	const struct route *found = routes_find(routes, memo, &made->start, stamp, kind);
	return found ? routes_result(routes, found) : 0;
}

static uint32_t find(const struct made *made)
{
	return find_as(made, STAMP, KIND);
}

static void learn_as(const struct made *made, uint32_t kept, uint32_t result)
{
	routes_learn(routes, memo, &made->start, kept, STAMP, KIND, result);
}

/* What is found is right; else it is walked and learnt. */
static bool recall(const uint32_t *functions)
{
	struct made made = make(functions);
	uint32_t wanted = sum_of(made.frames, DEPTH), found = find(&made);
	if (found) {
		ck_assert_uint_eq(found, wanted);
		return true;
	}
	learn_as(&made, walk(&made), wanted);
	return false;
}

/* Walked and learnt, `kept` of its outermost frames being a memo's already, with the result 99. */
static void learn(const struct made *made, uint32_t kept)
{
	walk(made);
	learn_as(made, kept, 99);
}

static uint64_t state;

static uint32_t below(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % n;
}

/* The `varied` innermost levels choose among four functions each. */
static void path(uint32_t number, uint32_t varied, uint32_t outer, uint32_t functions[DEPTH])
{
	for (uint32_t i = 0; i < DEPTH; i++)
		functions[i] = i < DEPTH - varied ? 100 + outer * 50 + i : i * 4 + (number >> 2 * (i - (DEPTH - varied)) & 3);
}

START_TEST(hundreds_of_stacks_are_found_again)
{
	uint32_t functions[DEPTH], found = 0;
	for (int i = 0; i < 20000; i++) {
		path(below(200), 4, 0, functions);
		found += recall(functions);
	}
	ck_assert_uint_gt(found, 19500);
}
END_TEST

/* Outer frames that change now and then make what is known of all ways worthless, and never wrong. */
START_TEST(another_outer_stack_is_another_result)
{
	uint32_t functions[DEPTH], found = 0;
	for (int i = 0; i < 20000; i++) {
		path(below(60), 3, (uint32_t)(i / 500) % 3, functions);
		found += recall(functions);
	}
	ck_assert_uint_gt(found, 10000);
}
END_TEST

START_TEST(a_word_that_changed_is_noticed)
{
	uint32_t functions[DEPTH];
	path(77, 4, 0, functions);
	recall(functions);
	struct made made = make(functions);
	ck_assert_uint_eq(find(&made), sum_of(made.frames, DEPTH));
	for (uint32_t i = 0; i + 1 < DEPTH; i++) {
		uintptr_t *word = (uintptr_t *)made.frames[i].sp - 1, was = *word;
		*word = was + 64;
		ck_assert_msg(!find(&made), "frame %u is another one", i);
		*word = was;
	}
	ck_assert_uint_ne(find(&made), 0);
	ck_assert_uint_eq(find_as(&made, STAMP, KIND + 1), 0);
	ck_assert_uint_eq(find_as(&made, STAMP + (1ull << 32), KIND), 0);
	made.start.sp -= 8;
	ck_assert_uint_eq(find(&made), 0);
	made.start.sp += 8;
	made.start.pc++;
	ck_assert_uint_eq(find(&made), 0);
	made.start.pc--;
	memo->frames[DEPTH - 6].note ^= 8; /* what is further out is not what it was, the memo says */
	for (uint32_t i = 0; i < DEPTH; i++)
		memo->frames[i].note ^= 8;
	ck_assert_uint_eq(find(&made), 0);
}
END_TEST

static struct made make_one(void)
{
	uint32_t functions[DEPTH];
	path(5, 4, 0, functions);
	return make(functions);
}

/* The frame at `i` needs the register that the frame inside it has saved: where that stands now, as 4096. */
static uintptr_t *load_register(struct made *made, uint32_t i)
{
	uintptr_t *saved = (uintptr_t *)(made->frames[i].sp - 16);
	made->frames[i + 1].rule = 16; /* slot 2: below the return address */
	made->frames[i].flags = MEMO_NEED_FP | MEMO_LOADS_FP;
	made->frames[i].fp = *saved = 4096;
	return saved;
}

/* The frame register at the start decides further out: it is compared. */
START_TEST(the_frame_register_is_compared_where_it_matters)
{
	struct made made = make_one();
	for (uint32_t i = 0; i < DEPTH; i++) {
		made.frames[i].flags = MEMO_NEED_FP;
		made.frames[i].fp = 4096;
	}
	made.start.fp = 4096;
	learn(&made, 0);
	ck_assert_uint_eq(find(&made), 99);
	made.start.fp = 8192;
	ck_assert_uint_eq(find(&made), 0);
}
END_TEST

/* A frame that loads the register which an outer one needs: that word is compared, too. */
START_TEST(a_saved_frame_register_is_compared)
{
	struct made made = make_one();
	uintptr_t *saved = load_register(&made, DEPTH - 2);
	learn(&made, 0);
	ck_assert_uint_eq(find(&made), 99);
	*saved = 8192;
	ck_assert_uint_eq(find(&made), 0);
}
END_TEST

/* And where it is the memo that tells what is outside. */
START_TEST(a_saved_frame_register_is_compared_in_the_memo)
{
	struct made made = make_one();
	uintptr_t *saved = load_register(&made, 3);
	learn(&made, DEPTH - 4);
	ck_assert_uint_eq(find(&made), 99);
	*saved = 8192;
	ck_assert_uint_eq(find(&made), 0);
}
END_TEST

/* Two walks that read the same word first, and then one the saved register and one the next return address: the first stays. */
START_TEST(the_next_word_has_one_place)
{
	struct made made = make_one();
	learn(&made, 0);
	ck_assert_uint_eq(find(&made), 99);
	uint32_t used = routes->used;
	made.frames[DEPTH - 1].rule = 16;
	made.frames[DEPTH - 2].flags = MEMO_NEED_FP | MEMO_LOADS_FP;
	memo->count = 0;
	learn(&made, 0);
	ck_assert_uint_eq(routes->used, used);
}
END_TEST

START_TEST(a_step_that_is_taken_anew_is_not_learnt)
{
	struct made made = make_one();
	made.frames[DEPTH - 1].flags = MEMO_UNUSUAL;
	learn(&made, 0);
	ck_assert_uint_eq(find(&made), 0);
}
END_TEST

START_TEST(a_step_that_is_taken_anew_in_the_memo_is_not_believed)
{
	struct made made = make_one();
	made.frames[4].flags = MEMO_UNUSUAL;
	learn(&made, DEPTH - 4);
	ck_assert_uint_gt(routes->used, 0);
	ck_assert_uint_eq(find(&made), 0);
}
END_TEST

/* Never twice the same: learning stops for a while, with little room used, and goes on. */
START_TEST(what_does_not_pay_rests)
{
	uint32_t functions[DEPTH], rested = 0, used = 0;
	for (uint32_t i = 0; i < 4 * ROUTES_REST; i++) {
		path(i * 2654435761u, 10, 0, functions);
		recall(functions);
		rested += routes->rest != 0;
		used = routes->used > used ? routes->used : used;
		ck_assert_uint_lt(routes->used, ROUTES_FIRST + 64 * ROUTES_EARNED);
		ck_assert_uint_lt(routes_bytes(routes), 80 << 10);
	}
	ck_assert_uint_gt(used, ROUTES_FIRST / 2);
	ck_assert_uint_gt(rested, 2 * ROUTES_REST);
	ck_assert_uint_lt(rested, 4 * ROUTES_REST - 100);
}
END_TEST

/* Many that come again use all the room there is, and no more. */
START_TEST(what_pays_has_all_the_room)
{
	uint32_t functions[DEPTH], used = 0, ends = 0;
	for (uint32_t round = 1; round <= 3000; round++)
		for (uint32_t i = round / 4; i < round / 4 + 20; i++) {
			path(i * 2654435761u, 10, 0, functions);
			recall(functions);
			used = routes->used > used ? routes->used : used;
			ends = routes->ends_used > ends ? routes->ends_used : ends;
			ck_assert_uint_lt(routes->used, ROUTES_MOST);
			ck_assert_uint_lt(routes->ends_used, ROUTE_ENDS_MOST);
			ck_assert_uint_eq(routes->rest, 0);
		}
	ck_assert(used > ROUTES_MOST - 2 * ROUTES_FRAMES || ends > ROUTE_ENDS_MOST - 8);
}
END_TEST

/* ---- handing on ---- */

static uint32_t find_recent(const struct made *made)
{
	const struct recent *r =
		recents_find(recents, memo, made->start.pc, made->start.sp, &made->start.fp, STAMP, KIND);
	return r ? r->result : 0;
}

/* Found, and handed on while there is credit. */
static void hand_on(const struct made *made)
{
	const struct route *found = routes_find(routes, memo, &made->start, STAMP, KIND);
	ck_assert_ptr_nonnull(found);
	recents->credit = 1;
	routes_hand_on(routes, found, recents, &made->start, STAMP);
}

/* A few in turn: once each has been handed on, recents know them all. */
START_TEST(a_few_in_turn_are_soon_recent)
{
	enum { TURNS = 1000, STACKS = 18 };
	uint32_t functions[DEPTH], recent = 0, sum;
	for (int i = 0; i < TURNS * STACKS; i++) {
		path((uint32_t)(i % STACKS) * 37, 4, 0, functions);
		struct made made = make(functions);
		const struct route *found;
		if ((sum = find_recent(&made))) {
			ck_assert_uint_eq(sum, sum_of(made.frames, DEPTH));
			recent++;
		} else if ((found = routes_find(routes, memo, &made.start, STAMP, KIND))) {
			routes_hand_on(routes, found, recents, &made.start, STAMP);
		} else {
			learn_as(&made, walk(&made), sum_of(made.frames, DEPTH));
		}
	}
	ck_assert_uint_gt(recent, (TURNS - 100) * STACKS);
}
END_TEST

START_TEST(a_word_of_what_was_handed_on_is_compared)
{
	struct made made = make_one();
	uintptr_t *saved = load_register(&made, DEPTH - 3);
	learn(&made, 0);
	learn(&made, DEPTH - 6);
	hand_on(&made);
	ck_assert_uint_eq(find_recent(&made), 99);
	for (uint32_t i = 0; i + 1 < DEPTH; i++) {
		uintptr_t *word = (uintptr_t *)made.frames[i].sp - 1, was = *word;
		*word = was + 64;
		ck_assert_msg(!find_recent(&made), "frame %u is another one", i);
		*word = was;
	}
	*saved = 8192;
	ck_assert_uint_eq(find_recent(&made), 0);
	*saved = 4096;
	ck_assert_uint_eq(find_recent(&made), 99);
	memo->frames[DEPTH - 7].note ^= 8;
	memo->frames[DEPTH - 2].note ^= 8;
	ck_assert_uint_eq(find_recent(&made), 0);
}
END_TEST

START_TEST(the_frame_register_of_what_was_handed_on_is_compared)
{
	struct made made = make_one();
	for (uint32_t i = 0; i < DEPTH; i++) {
		made.frames[i].flags = MEMO_NEED_FP;
		made.frames[i].fp = 4096;
	}
	made.start.fp = 4096;
	learn(&made, 0);
	hand_on(&made);
	ck_assert_uint_eq(find_recent(&made), 99);
	made.start.fp = 8192;
	ck_assert_uint_eq(find_recent(&made), 0);
}
END_TEST

static void check_each_word(struct made *made, uint32_t words)
{
	for (uint32_t i = DEPTH - 1 - words; i + 1 < DEPTH; i++) {
		uintptr_t *word = (uintptr_t *)made->frames[i].sp - 1, was = *word;
		*word = was + 64;
		ck_assert_msg(!find_recent(made), "of %u words that to frame %u is another one", words, i);
		*word = was;
	}
	ck_assert_uint_eq(find_recent(made), 99);
}

START_TEST(however_many_words_each_is_compared)
{
	struct made made = make_one();
	for (uint32_t words = 1; words < DEPTH; words++) {
		teardown();
		setup();
		made = make_one();
		learn(&made, DEPTH - words);
		hand_on(&made);
		if (words <= RECENT_WORDS)
			check_each_word(&made, words);
		else
			ck_assert_uint_eq(find_recent(&made), 0);
	}
}
END_TEST

START_TEST(stacks_too_different_are_left)
{
	static uint32_t many[UNWIND_MAX_DEPTH];
	memo->count = UNWIND_MAX_DEPTH;
	memo->generation = STAMP;
	memo->end = UNWIND_WHOLE;
	for (uint32_t i = 0; i < UNWIND_MAX_DEPTH; i++)
		memo->frames[i] = (struct memo_frame){.sp = (uintptr_t)&many[UNWIND_MAX_DEPTH - 1 - i] & ~7ul, .check = 1, .note = 1};
	struct unwind_start start = {1, memo->frames[UNWIND_MAX_DEPTH - 1].sp, 0};
	routes_learn(routes, memo, &start, UNWIND_MAX_DEPTH - ROUTES_FRAMES - 1, STAMP, KIND, 5);
	ck_assert_uint_eq(routes->used, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("unwind: routes");
	TCase *all = tcase_create("all");
	tcase_add_checked_fixture(all, setup, teardown);
	tcase_set_timeout(all, 60);
	tcase_add_test(all, hundreds_of_stacks_are_found_again);
	tcase_add_test(all, another_outer_stack_is_another_result);
	tcase_add_test(all, a_word_that_changed_is_noticed);
	tcase_add_test(all, the_frame_register_is_compared_where_it_matters);
	tcase_add_test(all, a_saved_frame_register_is_compared);
	tcase_add_test(all, the_next_word_has_one_place);
	tcase_add_test(all, a_step_that_is_taken_anew_is_not_learnt);
	tcase_add_test(all, a_saved_frame_register_is_compared_in_the_memo);
	tcase_add_test(all, a_step_that_is_taken_anew_in_the_memo_is_not_believed);
	tcase_add_test(all, what_does_not_pay_rests);
	tcase_add_test(all, what_pays_has_all_the_room);
	tcase_add_test(all, a_few_in_turn_are_soon_recent);
	tcase_add_test(all, a_word_of_what_was_handed_on_is_compared);
	tcase_add_test(all, the_frame_register_of_what_was_handed_on_is_compared);
	tcase_add_test(all, however_many_words_each_is_compared);
	tcase_add_test(all, stacks_too_different_are_left);
	suite_add_tcase(suite, all);
	return run_suite(suite);
}
