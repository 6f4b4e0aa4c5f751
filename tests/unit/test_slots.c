/* test_slots: see slots.h. */
#include <pthread.h>

#include "room.h"
#include "slots.h"

enum { THREADS = 4, BYTES = 8192 };

START_TEST(a_slot_is_used_again_with_what_was_in_it)
{
	uint32_t first, second, third;
	char *memory = slots_claim(plat_pid(), 1, BYTES, &first), *other = slots_claim(plat_pid(), 2, BYTES, &second);
	ck_assert_ptr_nonnull(memory);
	ck_assert_ptr_nonnull(other);
	ck_assert_uint_ne(first, second);
	ck_assert(memory[0] == 0 && memory[BYTES - 1] == 0);
	memory[BYTES - 1] = 7;
	slots_release(first);
	ck_assert_ptr_eq(slots_claim(plat_pid(), 3, BYTES, &third), memory);
	ck_assert_uint_eq(third, first);
	ck_assert_int_eq(memory[BYTES - 1], 7);
}
END_TEST

/* Nobody has a living thread's slot, nor one too many. */
START_TEST(there_are_no_more_than_that)
{
	uint32_t index;
	for (uint32_t i = 0; i < SLOTS_MOST; i++)
		ck_assert_ptr_nonnull(slots_claim(plat_pid(), plat_tid(), BYTES, &index));
	ck_assert_ptr_null(slots_claim(plat_pid(), UINT32_MAX, BYTES, &index));
}
END_TEST

/* What the last owner left is there for the next: plain words, ordered by release and claim alone. */
struct shared {
	uint64_t owner, uses;
};

static void *claim_and_release(void *argument)
{
	uint32_t tid = (uint32_t)(uintptr_t)argument, index;
	for (uint32_t i = 0; i < room_times(100000); i++) {
		struct shared *mine = slots_claim(plat_pid(), tid, BYTES, &index);
		if (!mine || mine->owner)
			return "somebody else has it";
		mine->owner = tid;
		mine->uses++;
		mine->owner = 0;
		slots_release(index);
	}
	return NULL;
}

START_TEST(a_slot_has_one_owner)
{
	pthread_t threads[THREADS];
	uint64_t uses = 0;
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, claim_and_release, (void *)(i + 1));
	for (int i = 0; i < THREADS; i++) {
		void *trouble;
		pthread_join(threads[i], &trouble);
		ck_assert_msg(!trouble, "%s", (const char *)trouble);
	}
	for (uint32_t i = 0, index; i < SLOTS_MOST; i++) {
		struct shared *memory = slots_claim(plat_pid(), THREADS + 1, BYTES, &index);
		uses += memory->uses;
	}
	ck_assert_uint_eq(uses, (uint64_t)THREADS * room_times(100000));
}
END_TEST

static void setup(void)
{
	ck_assert(slots_init());
}

int main(void)
{
	Suite *suite = suite_create("slots");
	TCase *threads = tcase_create("threads"), *plain = tcase_create("plain");
	tcase_add_checked_fixture(threads, setup, NULL);
	tcase_add_test(threads, a_slot_has_one_owner);
	tcase_set_timeout(threads, 60);
	suite_add_tcase(suite, threads);
	tcase_add_checked_fixture(plain, setup, NULL);
	tcase_add_test(plain, a_slot_is_used_again_with_what_was_in_it);
	tcase_add_test(plain, there_are_no_more_than_that);
	suite_add_tcase(suite, plain);
	return run_suite(suite);
}
