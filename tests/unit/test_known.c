/* known: what was kept of a frame is found by its whole key or not at all, and never half of two writes. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include <check.h>
#include <stdlib.h>

#include "lang/known.h"
#include "run.h"

static void setup(void)
{
	ck_assert(known_init());
}

/* Everything in it follows from its number. */
static struct known_frame frame_of(uint64_t number, uint64_t round)
{
	struct known_frame f = {.key = {number, number ^ 0x55}, .identity = round, .bottom = (uint32_t)round & 1};
	f.count = 1 + (uint32_t)(number + round) % KNOWN_IDS;
	for (uint32_t i = 0; i < f.count; i++)
		f.ids[i] = (uint32_t)(number * 31 + round * 7 + i);
	return f;
}

static bool is_whole(const struct known_frame *f)
{
	struct known_frame want = frame_of(f->key[0], f->identity);
	bool same = f->key[1] == want.key[1] && f->count == want.count && f->bottom == want.bottom;
	for (uint32_t i = 0; same && i < f->count; i++)
		same = f->ids[i] == want.ids[i];
	return same;
}

START_TEST(a_frame_is_found_by_its_whole_key)
{
	struct known_frame f = frame_of(0x7f0012345678, 3), found;
	uint64_t other[2] = {f.key[0], f.key[1] + 1};
	ck_assert(!known_find(f.key, &found));
	known_keep(&f);
	ck_assert(known_find(f.key, &found));
	ck_assert(is_whole(&found));
	ck_assert_uint_eq(found.identity, 3);
	ck_assert(!known_find(other, &found));
}
END_TEST

START_TEST(what_is_kept_later_replaces_it)
{
	struct known_frame f = frame_of(0x7f0012345678, 3), g = frame_of(0x7f0012345678, 4), found;
	known_keep(&f);
	known_keep(&g);
	ck_assert(known_find(f.key, &found));
	ck_assert_uint_eq(found.identity, 4);
}
END_TEST

START_TEST(more_than_there_is_room_for_is_forgotten_never_mixed_up)
{
	struct known_frame f, found;
	uint32_t hits = 0;
	for (uint64_t n = 1; n <= 4 * KNOWN_ENTRIES; n++) {
		f = frame_of(n * 16, n);
		known_keep(&f);
	}
	for (uint64_t n = 1; n <= 4 * KNOWN_ENTRIES; n++) {
		f = frame_of(n * 16, n);
		if (!known_find(f.key, &found))
			continue;
		hits++;
		ck_assert(is_whole(&found) && found.identity == n);
	}
	ck_assert_uint_gt(hits, KNOWN_ENTRIES / 2);
}
END_TEST

START_TEST(a_forked_child_knows_nothing)
{
	struct known_frame f = frame_of(0x7f0012345678, 3), found;
	int status;
	known_keep(&f);
	pid_t child = fork();
	if (child == 0)
		_exit(known_init() && !known_find(f.key, &found) ? 0 : 1);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert(known_find(f.key, &found));
}
END_TEST

enum { FEW = 4, ROUNDS = 200000 };
static _Atomic uint32_t torn;

static void *keep_and_find(void *seed)
{
	for (uint64_t round = 0; round < ROUNDS; round++) {
		struct known_frame f = frame_of(16 + round % FEW, round + (uintptr_t)seed), found;
		known_keep(&f);
		if (known_find(f.key, &found) && !is_whole(&found))
			atomic_fetch_add(&torn, 1);
	}
	return NULL;
}

START_TEST(readers_never_see_half_of_a_write)
{
	pthread_t threads[4];
	for (uintptr_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, keep_and_find, (void *)(i * 1000003)), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(torn, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("known");
	TCase *c = tcase_create("known");
	tcase_add_checked_fixture(c, setup, NULL);
	tcase_set_timeout(c, 120);
	tcase_add_test(c, a_frame_is_found_by_its_whole_key);
	tcase_add_test(c, what_is_kept_later_replaces_it);
	tcase_add_test(c, more_than_there_is_room_for_is_forgotten_never_mixed_up);
	tcase_add_test(c, a_forked_child_knows_nothing);
	tcase_add_test(c, readers_never_see_half_of_a_write);
	suite_add_tcase(s, c);
	return run_suite(s);
}
