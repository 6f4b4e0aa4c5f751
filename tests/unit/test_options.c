/* options: the grammar of MTRACE_OPTIONS. */
#include "options.h"
#include "room.h"

static struct options o;

START_TEST(without_text_all_are_defaults)
{
	options_parse(&o, NULL);
	ck_assert_str_eq(o.mode, "exact");
	ck_assert_uint_eq(o.depth, 128);
	ck_assert_uint_eq(o.keep, 3);
	ck_assert_str_eq(o.dir, "");
	ck_assert_uint_eq(o.bad, 0);
}
END_TEST

START_TEST(each_type_is_read)
{
	options_parse(&o, "mode=off:memory=64m:depth=7:follow=java*,worker-?:dir=/run/x");
	ck_assert_str_eq(o.mode, "off");
	ck_assert_uint_eq(o.memory, 64 << 20);
	ck_assert_uint_eq(o.depth, 7);
	ck_assert_str_eq(o.follow, "java*,worker-?");
	ck_assert_str_eq(o.dir, "/run/x");
	ck_assert_uint_eq(o.bad, 0);
}
END_TEST

START_TEST(a_later_key_wins_and_empty_words_are_nothing)
{
	options_parse(&o, "::depth=5::depth=9:");
	ck_assert_uint_eq(o.depth, 9);
	ck_assert_uint_eq(o.bad, 0);
}
END_TEST

START_TEST(what_is_wrong_keeps_the_default_and_is_counted)
{
	options_parse(&o, "depht=5:depth=0x5:depth=100000:mode=fast:memory=5q:memory=99999999999999999999:keep");
	ck_assert_uint_eq(o.depth, 128);
	ck_assert_str_eq(o.mode, "exact");
	ck_assert_uint_eq(o.memory, 0);
	ck_assert_uint_eq(o.bad, 7);
	ck_assert_str_eq(o.first_bad, "depht=5");
}
END_TEST

START_TEST(text_that_does_not_fit_is_refused)
{
	char text[600] = "dir=";
	memset(text + 4, 'x', 500);
	options_parse(&o, text);
	ck_assert_str_eq(o.dir, "");
	ck_assert_uint_eq(o.bad, 1);
}
END_TEST

START_TEST(globs)
{
	ck_assert(options_match("java", "java"));
	ck_assert(options_match("a,ja*", "java"));
	ck_assert(options_match("*", ""));
	ck_assert(options_match("w?rk*r", "worker"));
	ck_assert(options_match("*a*b*c", "xxaxxbxxc"));
	ck_assert(!options_match("", "java"));
	ck_assert(!options_match("jav", "java"));
	ck_assert(!options_match("java?", "java"));
	ck_assert(!options_match("*a*b*c", "xxaxxbxx"));
}
END_TEST

/* Whatever the text, fields stay terminated and in their bounds. */
START_TEST(random_text_does_no_harm)
{
	static const char letters[] = "=:,*0123456789kmgdepthmodirnyx/-";
	uint64_t state = room_seed();
	for (int round = 0; round < 200000; round++) {
		char text[80];
		size_t length = room_random(&state) % 79;
		for (size_t i = 0; i < length; i++)
			text[i] = letters[room_random(&state) % (sizeof letters - 1)];
		text[length] = 0;
		options_parse(&o, text);
		ck_assert_uint_ge(o.depth, 1);
		ck_assert_uint_le(o.depth, 256);
		ck_assert_uint_lt(strlen(o.dir), sizeof o.dir);
		ck_assert_uint_lt(strlen(o.first_bad), sizeof o.first_bad);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("options");
	TCase *plain = tcase_create("plain");
	tcase_add_test(plain, without_text_all_are_defaults);
	tcase_add_test(plain, each_type_is_read);
	tcase_add_test(plain, a_later_key_wins_and_empty_words_are_nothing);
	tcase_add_test(plain, what_is_wrong_keeps_the_default_and_is_counted);
	tcase_add_test(plain, text_that_does_not_fit_is_refused);
	tcase_add_test(plain, globs);
	tcase_add_test(plain, random_text_does_no_harm);
	suite_add_tcase(suite, plain);
	return run_suite(suite);
}
