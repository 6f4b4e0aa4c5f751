/*
 * test_tools_gate_outputs: a result in every form, as tests/golden has it (UPDATE=1 rewrites them; tests/programs/outputs_gate.sh
 * has them read by those whose forms they are); the bounds that services have; and what becomes of text that a format forbids.
 */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "fake_result.h"
#include "gate/finding.h"
#include "gate/outputs.h"
#include "gate/plain.h"
#include "golden.h"
#include "run.h"

#define ROOT "/src/store"

static void junit(const struct gate_result *r, FILE *out)
{
	outputs_junit(r, ROOT, out);
}

static void sarif(const struct gate_result *r, FILE *out)
{
	outputs_sarif(r, ROOT, out);
}

static void github(const struct gate_result *r, FILE *out)
{
	outputs_github(r, ROOT, out);
}

static const struct output {
	const char *extension;
	void (*write)(const struct gate_result *r, FILE *out);
} outputs[] = {{"xml", junit}, {"sarif", sarif}, {"github", github}, {"md", outputs_markdown}};
enum { JUNIT, SARIF, GITHUB, MARKDOWN, OUTPUTS };

/* malloc'd */
static char *written(enum fake_result_kind kind, const struct output *output)
{
	struct fake_result fake;
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);
	fake_result(kind, &fake);
	output->write(&fake.result, out);
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_uint_eq(strlen(text), bytes);
	fake_result_free(&fake);
	return text;
}

/* Our version becomes "x". */
static void hide_version(char *text)
{
	char field[64];
	snprintf(field, sizeof field, "\"version\": \"%s\"", mtrace_version);
	char *at = strstr(text, field);
	if (!at)
		return;
	char *end = at + strlen(field) - 1;
	at += strlen("\"version\": \"");
	*at = 'x';
	memmove(at + 1, end, strlen(end) + 1);
}

START_TEST(each_form_is_as_it_was)
{
	enum fake_result_kind kind = (enum fake_result_kind)(_i / OUTPUTS);
	const struct output *output = &outputs[_i % OUTPUTS];
	char name[64], *text = written(kind, output);
	snprintf(name, sizeof name, "gate-%s.%s", fake_result_names[kind], output->extension);
	hide_version(text);
	golden_same(name, text);
	free(text);
}
END_TEST

START_TEST(the_same_result_is_written_the_same)
{
	char *once = written(FAKE_FAIL, &outputs[_i]), *again = written(FAKE_FAIL, &outputs[_i]);
	ck_assert_str_eq(once, again);
	free(once);
	free(again);
}
END_TEST

/* ---- bounds ---- */

static size_t count_of(const char *text, const char *what)
{
	size_t n = 0;
	for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what))
		n++;
	return n;
}

START_TEST(github_gets_ten_errors_and_is_told_of_the_rest)
{
	char *text = written(FAKE_MANY, &outputs[GITHUB]);
	ck_assert_uint_eq(count_of(text, "::error "), 10);
	ck_assert_uint_eq(count_of(text, "\n"), 11);
	ck_assert_ptr_nonnull(strstr(text, "::notice title=mtrace gate::5040 more findings"));
	free(text);
}
END_TEST

START_TEST(a_summary_stays_below_a_mebibyte)
{
	char *text = written(FAKE_MANY, &outputs[MARKDOWN]);
	ck_assert_uint_lt(strlen(text), 1 << 20);
	ck_assert_uint_gt(strlen(text), 1 << 19);
	ck_assert_uint_eq(count_of(text, " more have no room on this page."), 2);
	ck_assert_ptr_nonnull(strstr(text, "The command: "));
	ck_assert_uint_eq(count_of(text, "\n```") % 2, 0);
	free(text);
}
END_TEST

START_TEST(sarif_has_five_thousand_results_at_most)
{
	char *text = written(FAKE_MANY, &outputs[SARIF]);
	json_t *document = json_loads(text, 0, NULL);
	ck_assert_ptr_nonnull(document);
	const json_t *results = json_object_get(json_array_get(json_object_get(document, "runs"), 0), "results");
	ck_assert_uint_eq(json_array_size(results), 5000);
	json_decref(document);
	free(text);
}
END_TEST

START_TEST(cases_of_one_name_are_told_apart)
{
	struct fake_result fake;
	char *text = NULL;
	size_t bytes;
	fake_result(FAKE_MANY, &fake);
	fake.result.finding_count = 9;
	FILE *out = open_memstream(&text, &bytes);
	outputs_junit(&fake.result, NULL, out);
	fclose(out);
	ck_assert_uint_eq(count_of(text, "name=\"store::Cache::fill(std::string const&amp;; int) &lt; handle_request\""), 1);
	ck_assert_uint_eq(count_of(text, "&lt; handle_request (2)\""), 1);
	ck_assert_uint_eq(count_of(text, "&lt; handle_request (3)\""), 1);
	ck_assert_ptr_nonnull(strstr(strstr(text, "&lt; handle_request\""), "&lt; handle_request (2)\""));
	free(text);
	fake.findings[0].identity = "malloc z"; /* the worst, and the last of them by what it is */
	out = open_memstream(&text, &bytes);
	outputs_junit(&fake.result, NULL, out);
	fclose(out);
	const char *worst = strstr(text, "&lt; handle_request (3)\"");
	ck_assert_ptr_nonnull(worst);
	ck_assert_ptr_nonnull(strstr(worst, "&lt; handle_request\""));
	free(text);
	fake_result_free(&fake);
}
END_TEST

/* ---- text ---- */

static const struct { const char *text, *plain; } texts[] = {
	{NULL, ""}, {"", ""}, {"plain", "plain"}, {"t\tn\n", "t\tn\n"}, {"\x01\x1f\x7f\r", "????"}, {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
	{"\xff" "a", "?a"}, {"a\xc3", "a?"}, {"\xc3(", "?("}, {"\xc0\xaf", "??"}, {"\xe0\x80\xaf", "???"}, {"\xed\xa0\x80", "?"},
	{"\xef\xbf\xbe\xef\xbf\xbf", "??"}, {"\xf4\x90\x80\x80", "?"}, {"\xc2\x85", "?"}, {"\xf8\x88\x80\x80\x80", "?????"},
};

START_TEST(what_no_text_may_have_is_replaced)
{
	char wanted[128] = "", *plain = plain_text(texts[_i].text);
	for (const char *c = texts[_i].plain; *c; c++)
		strcat(wanted, *c == '?' ? "\xef\xbf\xbd" : (char[]){*c, 0});
	ck_assert_str_eq(plain, wanted);
	free(plain);
}
END_TEST

static const struct { const char *file, *root, *path; bool relative; } paths[] = {
	{"/src/a.c", "/src", "a.c", true}, {"/src/a.c", "/src/", "a.c", true}, {"/srcs/a.c", "/src", "/srcs/a.c", false},
	{"/src/a.c", "/", "/src/a.c", false}, {"/src/a.c", NULL, "/src/a.c", false}, {"./a.c", "/src", "a.c", true},
	{"a/b.c", NULL, "a/b.c", true}, {"../a.c", "/src", "../a.c", false}, {"/src/x/../../etc/a.c", "/src", "/src/x/../../etc/a.c", false},
	{"/src/a..c", "/src", "a..c", true},
};

START_TEST(paths_are_those_of_the_repository_where_they_can_be)
{
	struct finding_place place;
	ck_assert(finding_path(paths[_i].file, paths[_i].root, &place));
	ck_assert_str_eq(place.path, paths[_i].path);
	ck_assert(place.is_relative == paths[_i].relative);
}
END_TEST

START_TEST(a_fingerprint_is_of_rule_and_identity_alone)
{
	struct fake_result fake;
	char one[17], two[17], other[17];
	fake_result(FAKE_FAIL, &fake);
	struct gate_finding f = fake.findings[0];
	finding_fingerprint(&f, one);
	f.live_bytes = 1;
	f.stack = NULL;
	f.reason = "other";
	finding_fingerprint(&f, two);
	ck_assert_str_eq(one, two);
	f.rule = GATE_RULE_BASELINE;
	finding_fingerprint(&f, other);
	ck_assert_str_ne(one, other);
	f.rule = GATE_RULE_LEAK;
	f.identity = "malloc other";
	finding_fingerprint(&f, other);
	ck_assert_str_ne(one, other);
	fake_result_free(&fake);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("gate_outputs");
	TCase *t = tcase_create("outputs");
	tcase_add_loop_test(t, each_form_is_as_it_was, 0, FAKE_MANY * OUTPUTS);
	tcase_add_loop_test(t, the_same_result_is_written_the_same, 0, OUTPUTS);
	tcase_add_test(t, github_gets_ten_errors_and_is_told_of_the_rest);
	tcase_add_test(t, a_summary_stays_below_a_mebibyte);
	tcase_add_test(t, sarif_has_five_thousand_results_at_most);
	tcase_add_test(t, cases_of_one_name_are_told_apart);
	tcase_add_loop_test(t, what_no_text_may_have_is_replaced, 0, (int)(sizeof texts / sizeof texts[0]));
	tcase_add_loop_test(t, paths_are_those_of_the_repository_where_they_can_be, 0, (int)(sizeof paths / sizeof paths[0]));
	tcase_add_test(t, a_fingerprint_is_of_rule_and_identity_alone);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
