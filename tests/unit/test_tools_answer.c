/*
 * test_tools_answer: what a JVM says, read; and when it is not asked at all.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach/answer.h"
#include "attach/hotspot.h"
#include "attach/quiet.h"
#include "run.h"

/* ---- answers ---- */

static int parse(const char *text, struct answer *answer)
{
	return answer_parse(strdup(text), strlen(text), answer);
}

START_TEST(test_an_answer_is_a_code_and_a_text)
{
	struct answer a;
	char line[16];
	ck_assert_int_eq(parse("0\nfirst\nsecond\n", &a), 0);
	ck_assert_int_eq(a.code, 0);
	ck_assert_str_eq(a.text, "first\nsecond\n");
	answer_first_line(&a, line, sizeof line);
	ck_assert_str_eq(line, "first");
	answer_free(&a);
	ck_assert_int_eq(parse("-101\n\n much too long a line", &a), 0);
	ck_assert_int_eq(a.code, -101);
	answer_first_line(&a, line, sizeof line);
	ck_assert_str_eq(line, "much too long a");
	answer_free(&a);
}
END_TEST

START_TEST(test_what_is_no_answer)
{
	static const char *const texts[] = {"", "\n", "x\n", "-\n", "12x\n", "HTTP/1.1 200 OK\n"};
	struct answer a;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		char *text = strdup(texts[i]);
		ck_assert_int_eq(answer_parse(text, strlen(text), &a), -EPROTO);
		free(text);
	}
	char zero[] = "0\na\0b";
	ck_assert_int_eq(answer_parse(zero, sizeof zero - 1, &a), -EPROTO);
}
END_TEST

START_TEST(test_what_a_library_returned)
{
	static const struct {
		const char *text;
		bool said;
		int code;
	} cases[] = {
		{"0\nreturn code: 0\n", true, 0},
		{"0\nreturn code: -7\n", true, -7},
		{"0\n3\n", true, 3},
		{"0\nx.so was not loaded.\n", false, 0},
		{"0\n", false, 0},
		{"0\nreturn code: 3x\n", false, 0},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct answer a;
		int code = 0;
		ck_assert_int_eq(parse(cases[i].text, &a), 0);
		ck_assert_int_eq(answer_returned(&a, &code), cases[i].said);
		ck_assert_int_eq(code, cases[i].code);
		answer_free(&a);
	}
}
END_TEST

/* ---- tables ---- */

static void check_row(const struct answer_table *table, const char *name, uint64_t first, uint64_t second)
{
	const struct answer_row *row = answer_row_of(table, name);
	ck_assert_msg(row != NULL, "no row %s", name);
	ck_assert_uint_eq(row->first, first);
	ck_assert_uint_eq(row->second, second);
}

START_TEST(test_native_memory)
{
	static const char text[] = "\nNative Memory Tracking:\n\nTotal: reserved=1540887543, committed=130925559\n"
				   "       malloc: 6493175 #3775\n\n"
				   "-                 Java Heap (reserved=64MB, committed=2KB)\n"
				   "                            (mmap: reserved=67108864, committed=67108864) \n"
				   "-                        GC (reserved=7, committed=5)\n";
	struct answer_table table;
	ck_assert_int_eq(answer_native_memory(text, &table), 0);
	ck_assert_uint_eq(table.count, 2);
	check_row(&table, "Java Heap", 64 << 20, 2048);
	check_row(&table, "GC", 7, 5);
	ck_assert_uint_eq(table.total.first, 1540887543);
	ck_assert_uint_eq(table.total.second, 130925559);
	ck_assert_ptr_null(answer_row_of(&table, "Total"));
	answer_table_free(&table);
	ck_assert_int_eq(answer_native_memory("Native memory tracking is not enabled\n", &table), -ENODATA);
}
END_TEST

START_TEST(test_histogram)
{
	static const char text[] = " num     #instances         #bytes  class name (module)\n"
				   "-------------------------------------------------------\n"
				   "   1:          9349        2516888  [B (java.base@17.0.15)\n"
				   "   2:             3             48  app.Node\n"
				   "   3:             1             16  app.Node (app@1)\n"
				   "   4:            18446744073709551616  1  too.Large\n"
				   "Total         25679        3484368\n";
	struct answer_table table;
	ck_assert_int_eq(answer_histogram(text, &table), 0);
	ck_assert_uint_eq(table.count, 2);
	check_row(&table, "[B", 9349, 2516888);
	check_row(&table, "app.Node", 4, 64); /* of two loaders */
	ck_assert_uint_eq(table.total.first, 9353);
	ck_assert_uint_eq(table.total.second, 2516952);
	answer_table_free(&table);
	ck_assert_int_eq(answer_histogram("", &table), -ENODATA);
}
END_TEST

START_TEST(test_heap_in_use)
{
	ck_assert_uint_eq(
		answer_heap_used(
			" garbage-first heap   total 17408K, used 3702K [0x00000000fc000000)\n"
			"  region size 1024K, 1 young (1024K)\n"
			" Metaspace       used 79K, committed 320K\n  class space    used 3K, committed 128K\n"),
		3702 << 10);
	ck_assert_uint_eq(
		answer_heap_used(" def new generation   total 78656K, used 5K [0x\n  eden space 69952K,   8% used [0x\n"
	                         " tenured generation   total 174784K, used 7K [0x\n"),
		12 << 10);
	ck_assert_uint_eq(answer_heap_used("Shenandoah Heap\n 512M max, 512M soft max, 128M committed, 23M used\n"),
	                  23 << 20);
	ck_assert_uint_eq(answer_heap_used(" ZHeap           used 10M, capacity 120M\n"), 10 << 20);
	ck_assert_uint_eq(answer_heap_used("nothing used here\n"), 0);
}
END_TEST

/* ---- when a JVM takes no attach ---- */

enum { TAKES, DISABLED, SILENT };

#define OPTIONS(arguments, environment) read_options(arguments, sizeof(arguments), environment, sizeof(environment))

static int read_options(const char *arguments, size_t argument_bytes, const char *environment, size_t environment_bytes)
{
	struct hotspot jvm = {.pid = 1};
	hotspot_read_options(&jvm, arguments, argument_bytes, environment, environment_bytes);
	return jvm.is_disabled ? DISABLED : jvm.is_silent ? SILENT : TAKES;
}

START_TEST(test_options)
{
	ck_assert_int_eq(OPTIONS("java\0-cp\0x\0Main", ""), TAKES);
	ck_assert_int_eq(OPTIONS("java\0-Xrs\0Main", ""), SILENT);
	ck_assert_int_eq(OPTIONS("java\0-XX:+ReduceSignalUsage\0Main", ""), SILENT);
	ck_assert_int_eq(OPTIONS("java\0-XX:+ReduceSignalUsage\0-XX:-ReduceSignalUsage\0Main", ""), TAKES);
	ck_assert_int_eq(OPTIONS("java\0-XX:+DisableAttachMechanism\0Main", ""), DISABLED);
	ck_assert_int_eq(OPTIONS("java\0Main\0-Xrs", ""), TAKES); /* the program's own */
	ck_assert_int_eq(OPTIONS("java\0-jar\0x.jar\0-Xrs", ""), TAKES);
	ck_assert_int_eq(OPTIONS("java\0-cp\0-Xrs\0Main", ""), TAKES);
	ck_assert_int_eq(OPTIONS("java\0Main", "A=b\0JAVA_TOOL_OPTIONS=-Xmx1g -Xrs"), SILENT);
	ck_assert_int_eq(OPTIONS("java\0Main", "XJAVA_TOOL_OPTIONS=-Xrs"), TAKES);
	ck_assert_int_eq(OPTIONS("java\0-Xrs\0Main", "_JAVA_OPTIONS=-XX:-ReduceSignalUsage"),
	                 TAKES); /* it has the last word */
}
END_TEST

START_TEST(test_fields_of_status)
{
	static const char text[] = "Name:\tUid: 7\nUid:\t1\t2\t3\t4\nNSpid:\t812\t17\t1\nSigCgt:\t0000000181005cCf\n";
	uint64_t value;
	ck_assert(hotspot_status_number(text, "Uid:", 1, 10, &value) && value == 2);
	ck_assert(hotspot_status_number(text, "NSpid:", -1, 10, &value) && value == 1);
	ck_assert(hotspot_status_number(text, "SigCgt:", 0, 16, &value) && value == 0x181005ccf);
	ck_assert(!hotspot_status_number(text, "Uid:", 4, 10, &value));
	ck_assert(!hotspot_status_number(text, "Gid:", 0, 10, &value));
}
END_TEST

START_TEST(test_where_the_heap_is)
{
	uint64_t start, end;
	ck_assert(answer_heap_place(" garbage-first heap   total 16384K, used 1K [0x00000000e0000000, 0x0000000100000000)\n"
				    "  region size 1024K\n Metaspace used 63K\n", &start, &end));
	ck_assert(start == 0xe0000000 && end == 0x100000000);
	ck_assert(answer_heap_place(" def new total 1K, used 0K [0x00000000f4000000, 0x00000000f4600000, 0x00000000f8000000)\n"
				    " tenured total 1K, used 0K [0x00000000f8000000, 0x00000000f8a00000, 0x0000000100000000)\n", &start, &end));
	ck_assert(start == 0xf4000000 && end == 0x100000000);
	ck_assert(!answer_heap_place(" ZHeap           used 12M, capacity 128M, max capacity 512M\n", &start, &end));
	ck_assert(!answer_heap_place("[0x", &start, &end));
	ck_assert(!answer_heap_place("[0x10, 0x", &start, &end));
	ck_assert(!answer_heap_place("", &start, &end));
}
END_TEST

START_TEST(the_first_log_output_is_told)
{
	static const char usual[] = "Available log levels: off\nLog output configuration:\n #0: stdout all=warning uptime,level,tags\n"
				    " #1: stderr all=off uptime,level,tags\n";
	ck_assert(quiet_output_is(usual, "all=warning"));
	ck_assert(!quiet_output_is(usual, "all=warning,jvmti=off"));
	ck_assert(!quiet_output_is(usual, "all=off"));
	ck_assert(!quiet_output_is(usual, "all=warn"));
	ck_assert(quiet_output_is(" #0: stdout all=warning,jvmti=off uptime (reconfigured)\n", "all=warning,jvmti=off"));
	ck_assert(!quiet_output_is(" #0: stdout all=warning,jvmti=off uptime (reconfigured)\n", "all=warning"));
	ck_assert(!quiet_output_is(" #0: stdout all=warning,gc=info uptime,level,tags\n", "all=warning"));
	ck_assert(!quiet_output_is("", "all=warning"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("answer");
	TCase *tests = tcase_create("answers of a JVM");
	tcase_add_test(tests, test_an_answer_is_a_code_and_a_text);
	tcase_add_test(tests, test_what_is_no_answer);
	tcase_add_test(tests, test_what_a_library_returned);
	tcase_add_test(tests, test_native_memory);
	tcase_add_test(tests, test_histogram);
	tcase_add_test(tests, test_heap_in_use);
	tcase_add_test(tests, test_options);
	tcase_add_test(tests, test_fields_of_status);
	tcase_add_test(tests, test_where_the_heap_is);
	tcase_add_test(tests, the_first_log_output_is_told);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
