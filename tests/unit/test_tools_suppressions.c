/*
 * test_tools_suppressions: the contract of suppressions: LeakSanitizer's patterns and files, what comments say of a row, whose
 * row covers a stack, when it is expired or exceeded, and that what is written covers what it was written for.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gate/suppressions.h"
#include "run.h"

/* ---- patterns ---- */

static const struct { const char *pattern, *text; bool matches; } patterns[] = {
	{"foo", "a foo b", true}, {"foo", "fo", false}, {"foo", "", false}, {"foo", NULL, false}, {"", "x", true}, {"", "", false},
	{"*", "x", true}, {"^", "x", true}, {"$", "x", false}, {"^$", "x", false}, {"^*$", "x", true},
	{"^foo", "foobar", true}, {"^foo", "a foo", false}, {"foo$", "a foo", true}, {"foo$", "foobar", false},
	{"foo$", "foo foo", false}, /* taken where it is first found */
	{"^foo$", "foo", true}, {"^foo$", "foofoo", false}, {"a*c", "abc", true}, {"a*c", "cba", false}, {"a*c", "ac", true},
	{"^a*c$", "abc", true}, {"a*c$", "acbc", false}, {"*c", "abc", true}, {"^*c", "abc", true}, {"a*$", "abc", true},
	{"ab$cd", "xab", true}, {"ab$cd", "abcd", false}, {"a^b", "a^b", true}, {"a^b", "ab", false}, {"a**b", "ab", true},
	{"std::vector<int*>", "std::vector<int const*>", true}, {"f(char*)$", "f(char*)", true},
};

START_TEST(a_pattern_matches_as_leaksanitizer_says)
{
	ck_assert_msg(suppressions_matches(patterns[_i].pattern, patterns[_i].text) == patterns[_i].matches, "'%s' on '%s'",
	              patterns[_i].pattern, patterns[_i].text);
}
END_TEST

/* ---- files ---- */

static struct suppressions s;

static void setup(void)
{
	suppressions_init(&s);
}

static void teardown(void)
{
	suppressions_free(&s);
}

static void read_text(const char *text)
{
	suppressions_read_text(&s, "f.supp", text, strlen(text));
}

START_TEST(a_file_of_leaksanitizer_is_read_as_it_is)
{
	read_text("# known\n\n  leak:one \t\r\n\tleak:two words\n#leak:not this\nleak:\nleak: blank\nleak:last");
	ck_assert_uint_eq(s.problem_count, 0);
	ck_assert_uint_eq(s.count, 5);
	ck_assert_str_eq(s.rows[0].pattern, "one");
	ck_assert_str_eq(s.rows[1].pattern, "two words");
	ck_assert_str_eq(s.rows[2].pattern, "");
	ck_assert_str_eq(s.rows[3].pattern, " blank");
	ck_assert_str_eq(s.rows[4].pattern, "last");
	ck_assert_uint_eq(s.rows[4].line, 8);
	ck_assert_str_eq(s.rows[4].file, "f.supp");
	ck_assert_ptr_null(s.rows[0].reason);
	ck_assert_uint_eq(s.rows[0].max_bytes, UINT64_MAX);
	ck_assert_uint_eq(s.rows[0].until, 0);
}
END_TEST

START_TEST(comments_say_more_of_the_row_that_follows)
{
	read_text("# mtrace: reason=\"a pool, bounded\" owner=@platform until=2027-01-31\n#mtrace:max=64KiB  max-blocks=9\n"
	          "# and a word to people\n\n#   mtrace: at=site caller=\"^run(int, char*)$\"\nleak:^fill$\nleak:other\n");
	ck_assert_uint_eq(s.problem_count, 0);
	ck_assert_uint_eq(s.count, 2);
	const struct suppression *row = &s.rows[0];
	ck_assert_str_eq(row->reason, "a pool, bounded");
	ck_assert_str_eq(row->owner, "@platform");
	ck_assert_uint_eq(row->until, 20270131);
	ck_assert_uint_eq(row->max_bytes, 64 << 10);
	ck_assert_uint_eq(row->max_blocks, 9);
	ck_assert(row->at_site);
	ck_assert_str_eq(row->caller, "^run(int, char*)$");
	ck_assert_ptr_null(s.rows[1].reason);
	ck_assert(!s.rows[1].at_site);
	ck_assert_uint_eq(s.rows[1].max_bytes, UINT64_MAX);
}
END_TEST

static const struct { const char *text; uint64_t bytes; } sizes[] = {
	{"0", 0}, {"512", 512}, {"512B", 512}, {"1k", 1024}, {"1KB", 1024}, {"64KiB", 65536}, {"2M", 2 << 20}, {"3gib", 3ull << 30},
};

START_TEST(sizes_are_written_as_everywhere)
{
	char text[80];
	snprintf(text, sizeof text, "# mtrace: max=%s\nleak:x\n", sizes[_i].text);
	read_text(text);
	ck_assert_uint_eq(s.problem_count, 0);
	ck_assert_uint_eq(s.rows[0].max_bytes, sizes[_i].bytes);
}
END_TEST

static const struct { const char *text; uint32_t line; const char *words; } wrongs[] = {
	{"leak:a\nrace:b\n", 2, "race:b: is no suppression; a line is leak:PATTERN"}, {"\n\nfoo", 3, "foo: is no suppression"},
	{"Leak:a", 1, "is no suppression"}, {"leak :a", 1, "is no suppression"}, {"{\n", 1, "is no suppression"},
	{"# mtrace: reson=x\nleak:a", 1, "reson= is not known; did you mean reason=?"},
	{"# mtrace: colour=x\nleak:a", 1, "there are reason, owner"}, {"# mtrace: until=2027-02-30\nleak:a", 1, "no day"},
	{"# mtrace: until=tomorrow\nleak:a", 1, "until=2027-01-31"}, {"# mtrace: max=64Kib2\nleak:a", 1, "no size"},
	{"# mtrace: max=-1\nleak:a", 1, "no size"}, {"# mtrace: max=99999999999999999999\nleak:a", 1, "no size"},
	{"# mtrace: max=18446744073709551615k\nleak:a", 1, "no size"}, {"# mtrace: max-blocks=9k\nleak:a", 1, "no number"},
	{"# mtrace: reason=\"open\nleak:a", 1, "no quote at its end"}, {"# mtrace: hello\nleak:a", 1, "NAME=VALUE"},
	{"# mtrace: =x\nleak:a", 1, "NAME=VALUE"}, {"# mtrace: at=end\nleak:a", 1, "at=site"},
	{"leak:a\n\n# mtrace: owner=me\n# more\n", 3, "must follow"},
};

START_TEST(a_wrong_line_is_named_with_what_to_do)
{
	read_text(wrongs[_i].text);
	ck_assert_uint_eq(s.problem_count, 1);
	ck_assert_uint_eq(s.problems[0].line, wrongs[_i].line);
	ck_assert_str_eq(s.problems[0].file, "f.supp");
	ck_assert_msg(strstr(s.problems[0].text, wrongs[_i].words) != NULL, "%s", s.problems[0].text);
}
END_TEST

START_TEST(a_nul_byte_is_a_wrong_line)
{
	suppressions_read_text(&s, "f", "leak:a\0b\nleak:c\n", 16);
	ck_assert_uint_eq(s.problem_count, 1);
	ck_assert_uint_eq(s.problems[0].line, 1);
	ck_assert_uint_eq(s.count, 1);
}
END_TEST

START_TEST(more_problems_than_there_is_room_for_are_counted)
{
	for (int i = 0; i < 100; i++)
		read_text("x\n");
	ck_assert_uint_eq(s.problem_count, 100);
}
END_TEST

START_TEST(several_files_follow_each_other)
{
	char path[] = "/tmp/mtrace-supp-XXXXXX";
	int fd = mkstemp(path);
	read_text("leak:first\n");
	ck_assert_int_eq(dprintf(fd, "leak:second\n"), 12);
	ck_assert_int_eq(suppressions_read(&s, path), 0);
	ck_assert_str_eq(s.rows[1].file, path);
	ck_assert_str_eq(s.rows[1].pattern, "second");
	ck_assert_int_eq(ftruncate(fd, SUPPRESSIONS_FILE_BYTES + 1), 0);
	ck_assert_int_eq(suppressions_read(&s, path), -EFBIG);
	unlink(path);
	close(fd);
	ck_assert_int_eq(suppressions_read(&s, path), -ENOENT);
	ck_assert_int_eq(suppressions_read(&s, "/tmp"), -EISDIR);
	ck_assert_uint_eq(s.count, 2);
}
END_TEST

START_TEST(what_is_built_in_is_sound)
{
	suppressions_add_built_in(&s);
	ck_assert_uint_gt(s.count, 10);
	for (size_t i = 0; i < s.count; i++) {
		const struct suppression *row = &s.rows[i];
		ck_assert(suppressions_is_built_in(row));
		ck_assert_ptr_nonnull(row->reason);
		ck_assert_msg(row->pattern[0] == '^', "%s", row->pattern);
		ck_assert_ptr_null(strstr(row->pattern, ".so"));
		ck_assert(!suppressions_matches_all(row));
	}
}
END_TEST

/* ---- days ---- */

START_TEST(days_compare_as_they_follow)
{
	uint32_t day = 0, next = 0;
	ck_assert(suppressions_date("2024-02-29", &day));
	ck_assert_uint_eq(day, 20240229);
	ck_assert(!suppressions_date("2023-02-29", &next) && !suppressions_date("2023-13-01", &next) && !suppressions_date("", &next));
	ck_assert(!suppressions_date("2023-1-01", &next) && !suppressions_date("2023-01-01x", &next) && !suppressions_date("2023/01/01", &next));
	ck_assert(!suppressions_date("0000-00-00", &next) && !suppressions_date("1013-02-30", &next));
	ck_assert_uint_eq(next, 0);
	ck_assert_uint_eq(suppressions_days_later(20241231, 1), 20250101);
	ck_assert_uint_eq(suppressions_days_later(20240228, 2), 20240301);
	ck_assert_uint_eq(suppressions_days_later(20261122, 90), 20270220);
	ck_assert_uint_gt(suppressions_today(), 20250101);
}
END_TEST

START_TEST(the_last_day_is_still_good)
{
	read_text("# mtrace: until=2027-01-31\nleak:a\nleak:b\n");
	ck_assert(!suppressions_is_expired(&s.rows[0], 20270131));
	ck_assert(suppressions_is_expired(&s.rows[0], 20270201));
	ck_assert(!suppressions_is_expired(&s.rows[1], 99991231));
}
END_TEST

/* ---- which row covers a stack ---- */

static struct profile *p;
static struct profile_process *q;

static const struct profile_name in_malloc[] = {{"malloc", NULL, 0, false, NULL}};
static const struct profile_name in_fill[] = {{"grow", "/src/pool.h", 7, true, NULL}, {"fill", "/src/fill.c", 9, true, NULL}, {"load", "/src/load.c", 3, false, NULL}};
static const struct profile_name in_main[] = {{"main", "/src/main.c", 1, false, NULL}};
static const struct profile_name in_java[] = {{"app.Store$Part.put", "Store.java", 5, false, NULL}};

static void setup_stack(void)
{
	static uint32_t path[] = {0, 1, 2, 3, 4};
	setup();
	p = profile_new();
	q = profile_add_process(p);
	q->exe = "/opt/app/server";
	q->module_count = 2;
	q->modules = profile_alloc(p, 2, sizeof *q->modules);
	q->modules[0].path = "/usr/lib/libstore.so.4";
	q->modules[1].path = "/opt/app/server";
	q->frame_count = 5;
	q->frames = profile_alloc(p, 5, sizeof *q->frames);
	q->frames[0] = (struct profile_frame){.kind = MTRACE_FRAME_NATIVE, .module = 0, .names = in_malloc, .name_count = 1};
	q->frames[1] = (struct profile_frame){.kind = MTRACE_FRAME_NATIVE, .module = 0, .names = in_fill, .name_count = 3};
	q->frames[2] = (struct profile_frame){.kind = MTRACE_FRAME_JAVA, .module = PROFILE_NO_MODULE, .names = in_java, .name_count = 1};
	q->frames[3] = (struct profile_frame){.kind = MTRACE_FRAME_NATIVE, .module = 1, .names = in_main, .name_count = 1};
	q->frames[4] = (struct profile_frame){.kind = MTRACE_FRAME_NATIVE, .module = 1, .value = 0x40};
	q->stack_count = 1;
	q->stacks = profile_alloc(p, 1, sizeof *q->stacks);
	q->stacks[0] = (struct profile_stack){.kind = MTRACE_KIND_MALLOC, .frames = path, .frame_count = 5,
	                                      .counts = {.live_blocks = 3, .live_bytes = 3000}};
}

static void teardown_stack(void)
{
	profile_free(p);
	teardown();
}

static uint32_t line_found(void)
{
	const struct suppression *row = suppressions_find(&s, q, &q->stacks[0]);
	return row ? row->line : 0;
}

static const struct { const char *text; uint32_t line; } found[] = {
	{"leak:fill\n", 1}, {"leak:nothing\n", 0}, {"leak:libstore.so\n", 1}, {"leak:^/src/fill.c$\n", 1}, {"leak:Store.java\n", 1},
	{"leak:^app.Store*Part.put$\n", 1}, {"leak:^/opt/app/server$\n", 1},
	{"leak:main\nleak:grow\nleak:grow\n", 2},    /* the innermost frame first, then the first row */
	{"leak:fill\nleak:libstore\n", 2},           /* a module before its functions, in the frame further in */
	{"leak:load.c\nleak:^load$\n", 2},           /* a function before its file */
	{"# mtrace: at=site\nleak:grow\n", 2}, {"# mtrace: at=site\nleak:main\n", 0}, {"# mtrace: at=site\nleak:libstore\n", 0},
	{"# mtrace: caller=^main$\nleak:fill\n", 2}, {"# mtrace: caller=^fill$\nleak:grow\n", 2},
	{"# mtrace: caller=^grow$\nleak:fill\n", 0}, {"# mtrace: caller=^fill$\nleak:fill\n", 0},
	{"# mtrace: caller=^load$\nleak:libstore\n", 2}, {"# mtrace: caller=^nobody$\nleak:fill\nleak:load\n", 3},
};

START_TEST(a_row_covers_by_function_file_or_module_of_any_frame)
{
	read_text(found[_i].text);
	ck_assert_uint_eq(s.problem_count, 0);
	ck_assert_msg(line_found() == found[_i].line, "line %u, not %u, of\n%s", line_found(), found[_i].line, found[_i].text);
}
END_TEST

START_TEST(what_it_covers_is_added_up_against_its_bounds)
{
	read_text("# mtrace: max=6000\nleak:a\n# mtrace: max-blocks=5\nleak:b\nleak:c\n");
	for (size_t i = 0; i < 3; i++) {
		ck_assert(!suppressions_is_exceeded(&s.rows[i]));
		suppressions_cover(&s.rows[i], &q->stacks[0].counts);
		ck_assert(!suppressions_is_exceeded(&s.rows[i]));
		suppressions_cover(&s.rows[i], &q->stacks[0].counts);
	}
	ck_assert(!suppressions_is_exceeded(&s.rows[0]));
	ck_assert(suppressions_is_exceeded(&s.rows[1]));
	suppressions_cover(&s.rows[0], &(struct profile_counts){.live_bytes = 1});
	ck_assert(suppressions_is_exceeded(&s.rows[0]));
	suppressions_cover(&s.rows[2], &(struct profile_counts){.live_bytes = UINT64_MAX, .live_blocks = UINT64_MAX});
	ck_assert_uint_eq(s.rows[2].live_bytes, UINT64_MAX);
	ck_assert_uint_eq(s.rows[2].stacks, 3);
}
END_TEST

START_TEST(a_frame_without_a_name_may_be_the_one_that_was_meant)
{
	ck_assert(!suppressions_need_names(&s, q, &q->stacks[0]));
	suppressions_add_built_in(&s);
	ck_assert(!suppressions_need_names(&s, q, &q->stacks[0]));
	read_text("leak:gone\n");
	ck_assert(suppressions_need_names(&s, q, &q->stacks[0]));
	suppressions_cover(&s.rows[s.count - 1], &q->stacks[0].counts);
	ck_assert(!suppressions_need_names(&s, q, &q->stacks[0]));
	read_text("leak:gone too\n");
	q->stacks[0].frame_count = 4;
	ck_assert(!suppressions_need_names(&s, q, &q->stacks[0]));
}
END_TEST

/* ---- what is written ---- */

static void write_and_read(const struct suppression_names *names)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);
	suppressions_write(out, names, &q->stacks[0].counts, 20270220);
	fclose(out);
	suppressions_read_text(&s, "written", text, bytes);
	ck_assert_msg(s.problem_count == 0, "%s: %s", s.problems[0].text, text);
	free(text);
}

START_TEST(what_is_written_covers_that_stack)
{
	struct suppression_names names;
	ck_assert(suppressions_name(q, &q->stacks[0], &names));
	ck_assert_str_eq(names.pattern, "^grow$");
	ck_assert_str_eq(names.caller, "^fill$");
	write_and_read(&names);
	const struct suppression *row = suppressions_find(&s, q, &q->stacks[0]);
	ck_assert_ptr_eq(row, &s.rows[0]);
	ck_assert(row->at_site);
	ck_assert_uint_eq(row->until, 20270220);
	ck_assert_uint_eq(row->max_bytes, 4096);
	ck_assert_uint_eq(row->max_blocks, 4);
	ck_assert_int_eq(strncmp(row->reason, "TODO", 4), 0);
}
END_TEST

START_TEST(a_stack_without_names_cannot_be_written)
{
	struct suppression_names names;
	for (uint32_t i = 0; i < 5; i++)
		q->frames[i].name_count = 0;
	ck_assert(!suppressions_name(q, &q->stacks[0], &names));
}
END_TEST

START_TEST(main_is_written_with_a_warning)
{
	struct suppression_names names = {.pattern = "^main$"};
	char text[1024] = "";
	FILE *out = fmemopen(text, sizeof text, "w");
	suppressions_write(out, &names, &q->stacks[0].counts, 0);
	fclose(out);
	ck_assert_ptr_nonnull(strstr(text, "# LeakSanitizer does not know at=site"));
	ck_assert_ptr_null(strstr(text, "until="));
}
END_TEST

/* Whatever a function is called, a row that is written for it is one line, and covers it. */
START_TEST(names_of_any_letters_come_back)
{
	static const char letters[] = "ab*$^# \"=()<>:,\n\t\\\x01\xc3\xa9";
	static char function[2][24];
	static struct profile_name names[2] = {{function[0], NULL, 0, true, NULL}, {function[1], NULL, 0, false, NULL}};
	struct suppression_names written;
	uint64_t state = (uint64_t)_i * 7919 + 1;
	for (size_t which = 0; which < 2; which++)
		for (size_t i = 0; i < sizeof function[0] - 1; i++) {
			state = state * 6364136223846793005u + 1442695040888963407u;
			function[which][i] = letters[(state >> 33) % (sizeof letters - 1)];
		}
	q->frames[1].names = names;
	q->frames[1].name_count = 2;
	ck_assert(suppressions_name(q, &q->stacks[0], &written));
	ck_assert_ptr_null(strpbrk(written.pattern, "\n\r"));
	ck_assert_ptr_null(strpbrk(written.caller, "\n\r\""));
	write_and_read(&written);
	ck_assert_uint_eq(s.count, 1);
	ck_assert_ptr_eq(suppressions_find(&s, q, &q->stacks[0]), &s.rows[0]);
}
END_TEST

static Suite *suite(void)
{
	Suite *all = suite_create("suppressions");
	TCase *files = tcase_create("files"), *stacks = tcase_create("stacks");
	tcase_add_checked_fixture(files, setup, teardown);
	tcase_add_loop_test(files, a_pattern_matches_as_leaksanitizer_says, 0, (int)(sizeof patterns / sizeof patterns[0]));
	tcase_add_test(files, a_file_of_leaksanitizer_is_read_as_it_is);
	tcase_add_test(files, comments_say_more_of_the_row_that_follows);
	tcase_add_loop_test(files, sizes_are_written_as_everywhere, 0, (int)(sizeof sizes / sizeof sizes[0]));
	tcase_add_loop_test(files, a_wrong_line_is_named_with_what_to_do, 0, (int)(sizeof wrongs / sizeof wrongs[0]));
	tcase_add_test(files, a_nul_byte_is_a_wrong_line);
	tcase_add_test(files, more_problems_than_there_is_room_for_are_counted);
	tcase_add_test(files, several_files_follow_each_other);
	tcase_add_test(files, what_is_built_in_is_sound);
	tcase_add_test(files, days_compare_as_they_follow);
	tcase_add_test(files, the_last_day_is_still_good);
	suite_add_tcase(all, files);
	tcase_add_checked_fixture(stacks, setup_stack, teardown_stack);
	tcase_add_loop_test(stacks, a_row_covers_by_function_file_or_module_of_any_frame, 0, (int)(sizeof found / sizeof found[0]));
	tcase_add_test(stacks, what_it_covers_is_added_up_against_its_bounds);
	tcase_add_test(stacks, a_frame_without_a_name_may_be_the_one_that_was_meant);
	tcase_add_test(stacks, what_is_written_covers_that_stack);
	tcase_add_test(stacks, a_stack_without_names_cannot_be_written);
	tcase_add_test(stacks, main_is_written_with_a_warning);
	tcase_add_loop_test(stacks, names_of_any_letters_come_back, 0, 300);
	suite_add_tcase(all, stacks);
	return all;
}

int main(void)
{
	return run_suite(suite());
}
