/*
 * test_tools_command: what all commands share: options before and after operands, "did you mean", the table of
 * commands; and the targets that commands open, with the line that a person reads when there is nothing to open.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "fake_segment.h"
#include "model/profile.h"
#include "read/read.h"
#include "run.h"

/* ---- options ---- */

static const struct command_option options[] = {
	{"--json", NULL, "h"}, {"-o", "FILE", "h"}, {"--by", "WHAT", "h"}, {"-f", NULL, "h"}, {NULL, NULL, NULL},
};
static const struct command command = {.name = "report", .usage = "mtrace report", .summary = "s", .options = options};
static struct option_cursor cursor;

static int next(int argc, const char *const *argv)
{
	return option_next(argc, (char **)argv, &command, &cursor);
}

static void begin(void)
{
	cursor = (struct option_cursor){.index = 1};
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr)); /* the lines about wrong options */
}

START_TEST(options_in_all_their_spellings)
{
	const char *argv[] = {"report", "--json", "-oa", "-o", "b", "--by=site", "--by", "kind", "-f", "1234", "--json", NULL};
	const int wanted[] = {0, 1, 1, 2, 2, 3, -1};
	const char *values[] = {NULL, "a", "b", "site", "kind", NULL, NULL};
	for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
		ck_assert_int_eq(next(11, argv), wanted[i]);
		if (values[i])
			ck_assert_str_eq(cursor.value, values[i]);
	}
	ck_assert_str_eq(argv[cursor.index], "1234");
}
END_TEST

START_TEST(operands_between_options)
{
	const char *argv[] = {"report", "1234", "--json", "--", "--by", NULL};
	ck_assert_int_eq(option_or_operand(5, (char **)argv, &command, &cursor), -3);
	ck_assert_str_eq(cursor.value, "1234");
	ck_assert_int_eq(option_or_operand(5, (char **)argv, &command, &cursor), 0);
	ck_assert_int_eq(option_or_operand(5, (char **)argv, &command, &cursor), -3);
	ck_assert_str_eq(cursor.value, "--by");
	ck_assert_int_eq(option_or_operand(5, (char **)argv, &command, &cursor), -1);
}
END_TEST

START_TEST(wrong_options_are_refused)
{
	const char *const wrong[][3] = {{"report", "--jsn"}, {"report", "--json=1"}, {"report", "-o"}, {"report", "-x"}, {"report", "--by"}};
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		cursor.index = 1;
		ck_assert_int_eq(next(2, wrong[i]), -2);
	}
}
END_TEST

START_TEST(nearest_is_close_or_nothing)
{
	static const char *const names[] = {"report", "run", "leaks", "ledger", "--json", "doctor", NULL};
	ck_assert_str_eq(nearest("reprot", names), "report");
	ck_assert_str_eq(nearest("rnu", names), "run");
	ck_assert_str_eq(nearest("leak", names), "leaks");
	ck_assert_str_eq(nearest("--jsno", names), "--json");
	ck_assert_ptr_null(nearest("frobnicate", names));
	ck_assert_ptr_null(nearest("", names));
	ck_assert_ptr_null(nearest("x", names));
}
END_TEST

START_TEST(the_table_begins_with_the_six)
{
	static const char *const six[] = {"run", "attach", "leaks", "ledger", "diff", "gate"};
	for (int i = 0; i < 6; i++) {
		ck_assert_str_eq(commands[i].name, six[i]);
		ck_assert(commands[i].first);
	}
	for (const struct command *c = commands + 6; c->name; c++)
		ck_assert(!c->first);
	for (const struct command *c = commands; c->name; c++) {
		ck_assert_int_eq(strncmp(c->usage, "mtrace ", 7), 0);
		ck_assert_ptr_nonnull(c->run);
		for (const struct command *other = commands; other != c; other++)
			ck_assert_str_ne(other->name, c->name);
		ck_assert(c->run != cmd_absent || c->options == NULL);
	}
}
END_TEST

/* ---- targets ---- */

static char directory[64];
static struct profile *p;
static struct read_error error;

static void make_directory(void)
{
	strcpy(directory, "/tmp/mtrace-target-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	setenv("XDG_STATE_HOME", directory, 1);
	p = profile_new();
}

static void remove_directory(void)
{
	char line[128];
	snprintf(line, sizeof line, "rm -rf '%s'", directory);
	ck_assert_int_eq(system(line), 0);
	profile_free(p);
}

static const char *in_directory(const char *name)
{
	static char path[256];
	snprintf(path, sizeof path, "%s/%s", directory, name);
	return path;
}

static const char *save_segment(const char *name)
{
	struct fake_segment *f = fake_segment_new();
	fake_malloc(f, fake_stack(f, MTRACE_KIND_MALLOC, fake_module(f, "/a", 1), (uint64_t[]){1, 0}), 0x7f0000000000, 100, 0);
	fake_segment_save(f, in_directory(name));
	fake_segment_free(f);
	return in_directory(name);
}

static void save_text(const char *name, const char *text)
{
	FILE *out = fopen(in_directory(name), "w");
	fputs(text, out);
	fclose(out);
}

static void refused(const char *target, const char *words)
{
	ck_assert_int_ne(read_target(target, p, &error), 0);
	ck_assert_msg(strstr(error.text, words) != NULL, "\"%s\" lacks \"%s\"", error.text, words);
	ck_assert_ptr_null(strchr(error.text, '\n'));
	ck_assert_uint_eq(p->process_count, 0);
}

START_TEST(a_segment_file_is_read)
{
	ck_assert_int_eq(read_target(save_segment("mtrace.4127.987654.0"), p, &error), 0);
	ck_assert_uint_eq(p->processes[0].totals.live_bytes, 100);
}
END_TEST

START_TEST(last_follows_the_link)
{
	refused("last", "no recording yet");
	mkdir(in_directory("mtrace"), 0700);
	char segment[256];
	snprintf(segment, sizeof segment, "%s", save_segment("seg"));
	ck_assert_int_eq(symlink(segment, in_directory("mtrace/last")), 0);
	ck_assert_int_eq(read_target("last", p, &error), 0);
	profile_free(p);
	p = profile_new();
	unlink(segment);
	refused("last", "is gone");
}
END_TEST

START_TEST(what_is_no_target_is_told_in_one_line)
{
	refused(in_directory("nothing"), "no such file");
	refused(directory, "not a regular file");
	save_text("empty", "");
	refused(in_directory("empty"), "empty");
	save_text("text", "hello world, this is a text\n");
	refused(in_directory("text"), "neither a segment nor a recording");
	save_text("copy", "MTRSEG\n0000");
	refused(in_directory("copy"), "text mode");
	save_text("short", "MTRSEG\r\n0000");
	refused(in_directory("short"), "cut short");
	refused("/dev/null", "not a regular file");
	refused("", "give a pid");
	refused("0", "not a process id");
	refused("99999999", "not a process id");
	refused("4194303", "no such process");
}
END_TEST

/* Each test is a process of its own: becoming nobody does not reach the others. */
START_TEST(what_belongs_to_others_is_told_in_one_line)
{
	char roots[16];
	save_text("locked", "MTRSEG\r\n0000");
	chmod(in_directory("locked"), 0);
	snprintf(roots, sizeof roots, "%d", (int)getppid());
	if (getuid() == 0)
		ck_assert_int_eq(seteuid(65534), 0);
	refused(in_directory("locked"), "as its owner or as root");
	if (getuid() != 0)
		return;
	refused(roots, "belongs to user root");
	ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(a_fifo_does_not_hang)
{
	ck_assert_int_eq(mkfifo(in_directory("fifo"), 0600), 0);
	refused(in_directory("fifo"), "not a regular file");
}
END_TEST

START_TEST(segments_are_listed_oldest_first)
{
	struct read_found *found;
	size_t count;
	save_segment("mtrace.4127.987654.0");
	struct fake_segment *f = fake_segment_new();
	fake_header(f)->image = 1;
	fake_segment_save(f, in_directory("mtrace.4127.987654.1"));
	save_text("mtrace.text", "not one");
	ck_assert_int_eq(symlink("mtrace.4127.987654.0", in_directory("mtrace.link")), 0);
	int holder = open(in_directory("mtrace.4127.987654.1"), O_RDWR);
	ck_assert_int_eq(flock(holder, LOCK_EX), 0);
	ck_assert_int_eq(read_list_segments(directory, &found, &count), 0);
	ck_assert_uint_eq(count, 2);
	ck_assert_uint_eq(found[0].image, 0);
	ck_assert(!found[0].alive);
	ck_assert_uint_eq(found[1].image, 1);
	ck_assert(found[1].alive);
	ck_assert_str_eq(found[1].exe, "/opt/app/server");
	read_list_free(found, count);
	fake_segment_free(f);
	close(holder);
	ck_assert_int_ne(read_list_segments(in_directory("nowhere"), &found, &count), 0);
	ck_assert_uint_eq(count, 0);
}
END_TEST

/* This very process maps a segment: it is found through the memory map, wherever it lies, even unlinked. */
START_TEST(a_pid_is_found_by_its_mapping)
{
	char stat[1024] = "", pid[16];
	FILE *in = fopen("/proc/self/stat", "r");
	ck_assert_uint_gt(fread(stat, 1, sizeof stat - 1, in), 0);
	fclose(in);
	char *at = strrchr(stat, ')');
	for (int field = 2; field < 22; field++)
		at = strchr(at + 1, ' ');
	struct fake_segment *f = fake_segment_new();
	fake_header(f)->pid = (uint32_t)getpid();
	fake_header(f)->start_time = strtoull(at, NULL, 10);
	fake_segment_save(f, in_directory("mtrace.1.1.0"));
	int holder = open(in_directory("mtrace.1.1.0"), O_RDWR);
	ck_assert_int_eq(flock(holder, LOCK_EX), 0);
	void *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, holder, 0);
	ck_assert_ptr_ne(map, MAP_FAILED);
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	ck_assert_msg(read_target(pid, p, &error) == 0, "%s", error.text);
	ck_assert_int_eq(p->processes[0].mode, PROFILE_EXACT);
	ck_assert_int_eq(p->processes[0].end, PROFILE_RUNNING);
	fake_header(f)->start_time++; /* somebody else who had this pid */
	fake_segment_write(f, holder);
	profile_free(p);
	p = profile_new();
	read_target(pid, p, &error);
	ck_assert(p->process_count == 0 || p->processes[0].mode == PROFILE_OUTSIDE);
	fake_segment_free(f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tools: commands and targets");
	TCase *line = tcase_create("command line"), *target = tcase_create("targets");
	tcase_add_checked_fixture(line, begin, NULL);
	tcase_add_test(line, options_in_all_their_spellings);
	tcase_add_test(line, operands_between_options);
	tcase_add_test(line, wrong_options_are_refused);
	tcase_add_test(line, nearest_is_close_or_nothing);
	tcase_add_test(line, the_table_begins_with_the_six);
	tcase_add_checked_fixture(target, make_directory, remove_directory);
	tcase_add_test(target, a_segment_file_is_read);
	tcase_add_test(target, last_follows_the_link);
	tcase_add_test(target, what_is_no_target_is_told_in_one_line);
	tcase_add_test(target, what_belongs_to_others_is_told_in_one_line);
	tcase_add_test(target, a_fifo_does_not_hang);
	tcase_add_test(target, segments_are_listed_oldest_first);
	tcase_add_test(target, a_pid_is_found_by_its_mapping);
	suite_add_tcase(s, line);
	suite_add_tcase(s, target);
	return run_suite(s);
}
