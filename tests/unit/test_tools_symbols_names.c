/*
 * test_tools_symbols_names: names without debug information, how names are shown, and demangling, which is bounded.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "built.h"
#include "model/profile.h"
#include "symbols/symbols.h"
#include "symbols/table.h"

/* ---- without debug information ---- */

START_TEST(test_symbol_table_alone)
{
	uint64_t addresses[3];
	struct profile *p;
	struct symbols_result result;

	ck_assert_int_eq(built_shell("gcc -O2 a.c -o a"), 0);
	addresses[0] = built_address("a", "outer") + 1;
	addresses[1] = built_address("a", "main") + 1;
	addresses[2] = 0x7fffffff;
	p = built_profile("a", addresses, 3, MTRACE_FRAME_EXACT);
	result = built_resolve(p, "", NULL);
	ck_assert_uint_eq(result.frames, 3);
	ck_assert_uint_eq(result.named, 2);
	ck_assert_uint_eq(result.with_line, 0);
	ck_assert_str_eq(built_name(p), "outer");
	ck_assert_uint_eq(built_frame(p, 2)->name_count, 0);
	profile_free(p);
}
END_TEST

/* A stripped program has few symbols: what lies far from all of them must stay without a name. */
START_TEST(test_stripped_gives_no_wrong_names)
{
	uint64_t address;
	struct profile *p;
	struct symbols_result result;

	ck_assert_int_eq(built_shell("gcc -O2 -rdynamic a.c -o a"), 0);
	address = built_address("a", "local_function") + 2;
	ck_assert_int_eq(built_shell("strip a"), 0);
	p = built_profile("a", &address, 1, MTRACE_FRAME_EXACT);
	result = built_resolve(p, "", NULL);
	ck_assert_uint_eq(result.named, 0);
	profile_free(p);
}
END_TEST

START_TEST(test_names_as_shown)
{
	static const char *const rows[][2] = {
		{"memcpy@@GLIBC_2.14", "memcpy"},
		{"pthread_create@GLIBC_2.2.5", "pthread_create"},
		{"parse.part.0", "parse"},
		{"parse.part.0.cold", "parse"},
		{"parse.isra.0.constprop.12", "parse"},
		{"_ZN2ns5outerEi.cold", "ns::outer(int)"},
		{"_ZN2ns5outerEi.llvm.1234567", "ns::outer(int)"},
		{"plain", "plain"},
		{"runtime.mallocgc", "runtime.mallocgc"},
		{"a.partial", "a.partial"},
		{"@odd", "@odd"},
		{".part.0", ".part.0"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *shown = table_shown(rows[i][0]);

		ck_assert_str_eq(shown, rows[i][1]);
		free(shown);
	}
}
END_TEST

/* ---- demangling ---- */

START_TEST(test_demangle_like_cxxfilt)
{
	static const char *const rows[][2] = {
		{"_ZN2ns5CacheISsE3putEiSs", "ns::Cache<std::string>::put(int, std::string)"},
		{"_Znwm", "operator new(unsigned long)"},
		{"_ZZ4mainENKUliE_clEi", "main::{lambda(int)#1}::operator()(int) const"},
		{"_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"},
		{"_RNvCskwGfYPst2Cb_3foo16example_function", "foo::example_function"},
		{"malloc", NULL},
		{"_Z", NULL},
		{"_ZZZZZZZZZ", NULL},
		{"_R", NULL},
		{"", NULL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *text = symbols_demangle(rows[i][0]);

		ck_assert_msg(rows[i][1] ? text && strcmp(text, rows[i][1]) == 0 : !text, "%s: %s", rows[i][0], text ? text : "NULL");
		free(text);
	}
}
END_TEST

/* Each argument refers twice to the one before: 60 MB of text if it were written out. Such a name, and one that is
   itself too long, stay as they are. */
START_TEST(test_demangle_is_bounded)
{
	char name[20000] = "_Z1fSt4pairI1AS0_E"; /* S_ is std::pair, S0_ is A, S1_ is pair<A, A> */

	for (int i = 1; i <= 20; i++) {
		char more[16], digit = (char)(i < 10 ? '0' + i : 'A' + i - 10);

		snprintf(more, sizeof(more), "S_IS%c_S%c_E", digit, digit);
		strcat(name, more);
	}
	ck_assert_ptr_null(symbols_demangle(name));
	memset(name, 'P', sizeof(name) - 1);
	memcpy(name, "_Z1f", 4);
	name[sizeof(name) - 1] = '\0';
	ck_assert_ptr_null(symbols_demangle(name));
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("names");

	tcase_add_test(tests, test_symbol_table_alone);
	tcase_add_test(tests, test_stripped_gives_no_wrong_names);
	tcase_add_test(tests, test_names_as_shown);
	tcase_add_test(tests, test_demangle_like_cxxfilt);
	tcase_add_test(tests, test_demangle_is_bounded);
	return built_run("symbols: names", tests);
}
