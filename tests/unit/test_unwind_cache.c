/*
 * unwind_cache: the tags that callers keep beside the rules: theirs alone, until the module generation changes.
 */
#include "unwind_shapes.h"

#include <sys/wait.h>

/* ---- tags ---- */

static uintptr_t tag_pc;
static uint32_t tag_seen;

static NOINLINE void look_at_tag(void)
{
	struct unwind_start start = ORACLE_START();
	struct unwind_frame frames[2];
	enum unwind_end end;
	ck_assert_uint_eq(unwind_walk(&start, &oracle_bounds, frames, 2, &end), 2);
	tag_pc = frames[0].pc;
	tag_seen = frames[0].tag;
	KEEP_FRAME();
}

START_TEST(tags_stay_with_their_pc)
{
	for (uint32_t i = 0; i < 3; i++) {
		chain_plain(0, look_at_tag);
		ck_assert_uint_eq(tag_seen, i ? 1000 + i - 1 : 0);
		unwind_set_tag(tag_pc, true, 77); /* another frame: no entry, no effect */
		unwind_set_tag(tag_pc, false, 1000 + i);
	}
	unwind_forget();
	chain_plain(0, look_at_tag);
	ck_assert_uint_eq(tag_seen, 0);
}
END_TEST

START_TEST(tags_do_not_outlive_generations_that_come_round)
{
	chain_plain(0, look_at_tag);
	unwind_set_tag(tag_pc, false, 5);
	for (int i = 0; i < 65535; i++)
		unwind_forget();
	chain_plain(0, look_at_tag);
	ck_assert_uint_eq(tag_seen, 0);
	for (int i = 0; i < 10; i++)
		unwind_forget();
	chain_plain(0, oracle_compare);
	oracle_expect(1);
}
END_TEST

START_TEST(tags_are_not_inherited_by_fork)
{
	chain_plain(0, look_at_tag);
	unwind_set_tag(tag_pc, false, 9);
	pid_t child = fork();
	if (child == 0) {
		bool again = unwind_init();
		tag_seen = 1;
		chain_plain(0, look_at_tag);
		_exit(!again || tag_seen != 0);
	}
	int status;
	waitpid(child, &status, 0);
	ck_assert_int_eq(status, 0);
	chain_plain(0, look_at_tag);
	ck_assert_uint_eq(tag_seen, 9);
}
END_TEST

/* The trampoline and the interrupted frame are exact: their tags have entries of their own. */
static uint32_t exact_tags[2];
static unsigned exact_seen;

static NOINLINE void tag_exact_frames(void)
{
	static struct unwind_frame frames[64];
	struct unwind_start start = ORACLE_START();
	enum unwind_end end;
	size_t count = unwind_walk(&start, &oracle_bounds, frames, 64, &end);
	exact_seen = 0;
	for (size_t i = 0; i < count; i++) {
		if (!frames[i].exact || exact_seen == 2)
			continue;
		exact_tags[exact_seen] = frames[i].tag;
		unwind_set_tag(frames[i].pc, true, 40 + exact_seen++);
	}
	KEEP_FRAME();
}

static void on_signal_tagging(int number)
{
	(void)number;
	tag_exact_frames();
}

START_TEST(tags_of_interrupted_frames)
{
	struct sigaction act = { .sa_handler = on_signal_tagging };
	sigaction(SIGUSR1, &act, NULL);
	for (uint32_t i = 0; i < 2; i++) {
		raise(SIGUSR1);
		ck_assert_uint_eq(exact_seen, 2);
		ck_assert_uint_eq(exact_tags[0], i ? 40 : 0);
		ck_assert_uint_eq(exact_tags[1], i ? 41 : 0);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("unwind_cache");
	TCase *walks = walking_case(suite, "walks");
	tcase_add_test(walks, tags_stay_with_their_pc);
	tcase_add_test(walks, tags_do_not_outlive_generations_that_come_round);
	tcase_add_test(walks, tags_are_not_inherited_by_fork);
	tcase_add_test(walks, tags_of_interrupted_frames);
	return run_suite(suite);
}
