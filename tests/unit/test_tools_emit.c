/*
 * test_tools_emit: the contract of the emitters: golden files (UPDATE=1 rewrites them, then read the difference), and
 * properties that hold for any profile: JSON that python reads with the fields of schema 1, folded lines that flame
 * graph tools split as they should, numbers as people expect them, nothing that moves a terminal's cursor.
 */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "emit/emit.h"
#include "emit/emit_text.h"
#include "fake_report.h"
#include "golden.h"
#include "model/profile.h"
#include "run.h"

typedef int emitter(const struct profile *, const struct emit_options *, FILE *);

/* The caller frees it. */
static char *emitted(emitter *emit, const struct profile *p, struct emit_options o)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	ck_assert_int_eq(emit(p, &o, out), 0);
	fclose(out);
	return text;
}

static void golden(const char *name, emitter *emit, struct profile *p, struct emit_options o)
{
	char *text = emitted(emit, p, o);
	golden_same(name, text);
	free(text);
	profile_free(p);
}

/* Debian's redis-server is a link to redis-check-rdb; JSON keeps the true path. */
START_TEST(the_program_goes_by_the_name_that_was_typed)
{
	static const char *const typed[][2] = {
		{"redis-server", "redis-server"}, {"/usr/bin/redis-server", "redis-server"}, {"-bash", "bash"},
		{"worker: idle", "server"}, {"", "server"}, {"odd/", "server"},
	};
	for (size_t i = 0; i < sizeof typed / sizeof typed[0]; i++) {
		struct profile *p = fake_report();
		struct profile_process *process = &p->processes[0];
		const char *args[] = {typed[i][0]};
		process->args = args;
		process->arg_count = 1;
		ck_assert_str_eq(emit_program(process), typed[i][1]);
		ck_assert_str_eq(emit_module(process, &process->frames[0]), typed[i][1]);
		ck_assert_str_eq(emit_module(process, &process->frames[1]), "libstore.so.4");
		ck_assert_str_eq(emit_module_path(process, &process->frames[0]), "/opt/app/server");
		process->arg_count = 0;
		ck_assert_str_eq(emit_program(process), "server");
		profile_free(p);
	}
}
END_TEST

START_TEST(golden_report)
{
	golden("report.txt", emit_text, fake_report(), (struct emit_options){.limit = 10, .target = "last"});
}
END_TEST

START_TEST(golden_report_80_columns)
{
	golden("report-80.txt", emit_text, fake_report(), (struct emit_options){.limit = 1, .columns = 80, .full = true});
}
END_TEST

START_TEST(golden_report_colored)
{
	golden("report-color.txt", emit_text, fake_report(), (struct emit_options){.limit = 1, .color = true});
}
END_TEST

START_TEST(golden_leaks)
{
	golden("leaks.txt", emit_text, fake_report(), (struct emit_options){.limit = 10, .leaks = true, .target = "last"});
}
END_TEST

START_TEST(golden_groups)
{
	golden("by-site.txt", emit_text, fake_report(), (struct emit_options){.by = EMIT_BY_SITE, .target = "last"});
	golden("by-module.txt", emit_text, fake_report(), (struct emit_options){.by = EMIT_BY_MODULE});
	golden("by-thread.txt", emit_text, fake_report(), (struct emit_options){.by = EMIT_BY_THREAD});
	golden("by-kind.txt", emit_text, fake_report(), (struct emit_options){.by = EMIT_BY_KIND});
	golden("allocated.txt", emit_text, fake_report(), (struct emit_options){.allocated = true, .limit = 2});
}
END_TEST

START_TEST(golden_outside)
{
	golden("outside.txt", emit_text, fake_report_outside(), (struct emit_options){.limit = 10, .target = "812"});
}
END_TEST

START_TEST(golden_data)
{
	golden("report.json", emit_json, fake_report(), (struct emit_options){.limit = 0});
	golden("outside.json", emit_json, fake_report_outside(), (struct emit_options){.limit = 0});
	golden("live.folded", emit_folded, fake_report(), (struct emit_options){.kind = MTRACE_KIND_MALLOC});
	golden("all.folded", emit_folded, fake_report(),
	       (struct emit_options){.kind = MTRACE_KIND_NONE, .allocated = true, .inlined_tag = true});
}
END_TEST

/* ---- JSON ---- */

static json_t *parsed(struct profile *p, struct emit_options o)
{
	json_error_t error;
	char *text = emitted(emit_json, p, o);
	json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	ck_assert_msg(j != NULL, "%d: %s", error.line, error.text);
	free(text);
	return j;
}

/* "key:type key:type …": s string, i integer, b boolean, o object, a array */
static void has_fields(const json_t *object, const char *fields)
{
	char copy[512], *save;
	snprintf(copy, sizeof copy, "%s", fields);
	for (char *field = strtok_r(copy, " ", &save); field; field = strtok_r(NULL, " ", &save)) {
		char *type = strchr(field, ':');
		*type++ = '\0';
		const json_t *value = json_object_get(object, field);
		ck_assert_msg(value != NULL, "no field %s", field);
		bool good = *type == 's' ? json_is_string(value) : *type == 'i' ? json_is_integer(value) :
		            *type == 'b' ? json_is_boolean(value) : *type == 'o' ? json_is_object(value) : json_is_array(value);
		ck_assert_msg(good, "field %s is of another type", field);
	}
}

static void check_process(const json_t *process)
{
	size_t i, k;
	json_t *stack, *frame;
	json_int_t live = 0, blocks = 0, alloc = 0;
	has_fields(process, "pid:i image:i exe:s args:a mode:s sample_bytes:i end:o totals:o by_kind:o trust:o ledger:o stacks:a marks:a");
	has_fields(json_object_get(process, "end"), "reason:s status:i in_tracker:b");
	const json_t *totals = json_object_get(process, "totals");
	has_fields(totals, "alloc_blocks:i alloc_bytes:i freed_blocks:i freed_bytes:i live_blocks:i live_bytes:i peak_live_bytes:i");
	has_fields(json_object_get(process, "trust"),
	           "unknown_frees:i implicit_frees:i inherited_frees:i truncated_stacks:i unsettled_stacks:i drops:o tracker_bytes:i tracker_private_bytes:i");
	has_fields(json_object_get(process, "ledger"), "rss_bytes:i rows:a");
	json_array_foreach(json_object_get(process, "stacks"), i, stack) {
		has_fields(stack, "id:s kind:s live_blocks:i live_bytes:i alloc_blocks:i alloc_bytes:i verdict:s frames:a");
		ck_assert_uint_eq(strlen(json_string_value(json_object_get(stack, "id"))), 16);
		json_array_foreach(json_object_get(stack, "frames"), k, frame)
			has_fields(frame, "function:s module:s offset:i file:s line:i language:s");
		if (strcmp(json_string_value(json_object_get(stack, "kind")), "malloc") != 0)
			continue;
		live += json_integer_value(json_object_get(stack, "live_bytes"));
		blocks += json_integer_value(json_object_get(stack, "live_blocks"));
		alloc += json_integer_value(json_object_get(stack, "alloc_bytes"));
	}
	ck_assert_int_eq(live, json_integer_value(json_object_get(totals, "live_bytes")));
	ck_assert_int_eq(blocks, json_integer_value(json_object_get(totals, "live_blocks")));
	ck_assert_int_eq(alloc, json_integer_value(json_object_get(totals, "alloc_bytes")));
}

START_TEST(json_has_the_fields_of_schema_1_and_adds_up)
{
	size_t i;
	json_t *process, *j = parsed(fake_report(), (struct emit_options){.limit = 0});
	has_fields(j, "schema:i version:s processes:a");
	ck_assert_int_eq(json_integer_value(json_object_get(j, "schema")), 1);
	ck_assert_uint_eq(json_array_size(json_object_get(j, "processes")), 2);
	json_array_foreach(json_object_get(j, "processes"), i, process)
		check_process(process);
	json_decref(j);
}
END_TEST

START_TEST(json_limit_says_what_it_left_out)
{
	json_t *j = parsed(fake_report(), (struct emit_options){.limit = 2});
	const json_t *process = json_array_get(json_object_get(j, "processes"), 0);
	ck_assert_uint_eq(json_array_size(json_object_get(process, "stacks")), 2);
	ck_assert_int_eq(json_integer_value(json_object_get(process, "stacks_left_out")), 5);
	json_decref(j);
}
END_TEST

START_TEST(json_is_read_by_python)
{
	FILE *python = popen("python3 -m json.tool > /dev/null", "w");
	struct profile *p = fake_report();
	ck_assert_ptr_nonnull(python);
	ck_assert_int_eq(emit_json(p, &(struct emit_options){.limit = 0}, python), 0);
	ck_assert_int_eq(pclose(python), 0);
	profile_free(p);
}
END_TEST

/* ---- folded ---- */

START_TEST(folded_lines_add_up)
{
	struct profile *p = fake_report();
	uint64_t sum = 0;
	char *save, *text = emitted(emit_folded, p, (struct emit_options){.kind = MTRACE_KIND_MALLOC});
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *blank = strrchr(line, ' ');
		ck_assert_ptr_nonnull(blank);
		sum += strtoull(blank + 1, NULL, 10);
	}
	ck_assert_uint_eq(sum, p->processes[0].totals.live_bytes + p->processes[1].totals.live_bytes);
	free(text);
	profile_free(p);
}
END_TEST

/* ---- text ---- */

static void widest_is(struct emit_options o, size_t columns)
{
	struct profile *p = fake_report();
	char *save, *text = emitted(emit_text, p, o);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		ck_assert_msg(emit_width(line) <= columns, "%zu columns: %s", emit_width(line), line);
	free(text);
	profile_free(p);
}

START_TEST(text_fits_the_page)
{
	for (unsigned by = EMIT_BY_STACK; by <= EMIT_BY_KIND; by++)
		widest_is((struct emit_options){.by = (enum emit_by)by, .columns = 100, .target = "last", .full = true}, 100);
}
END_TEST

START_TEST(text_has_no_control_characters)
{
	struct profile *p = fake_report();
	p->processes[0].exe = "/tmp/\x1b[2J\a\xc2\x9b";
	p->processes[0].args = (const char *[]){"a\nb\x1b[31m"};
	p->processes[0].arg_count = 1;
	p->processes[0].threads[0].name = "x\x1b]0;";
	for (unsigned by = EMIT_BY_STACK; by <= EMIT_BY_KIND; by++) {
		char *text = emitted(emit_text, p, (struct emit_options){.by = (enum emit_by)by});
		for (const char *c = text; *c; c++)
			ck_assert_msg(*c == '\n' || ((unsigned char)*c >= ' ' && *c != 127), "control character %d", *c);
		ck_assert_ptr_null(strstr(text, "\xc2\x9b"));
		free(text);
	}
	profile_free(p);
}
END_TEST

static void bytes_are(uint64_t n, const char *wanted)
{
	char text[32];
	emit_bytes(text, n);
	ck_assert_str_eq(text, wanted);
}

static void duration_is(uint64_t ns, const char *wanted)
{
	char text[32];
	emit_duration(text, ns);
	ck_assert_str_eq(text, wanted);
}

START_TEST(numbers_read_well)
{
	char text[64];
	bytes_are(0, "0 B");
	bytes_are(1023, "1023 B");
	bytes_are(1024, "1.00 KiB");
	bytes_are(1024 * 1024 - 1, "1.00 MiB");
	bytes_are(1481763717, "1.38 GiB");
	bytes_are(UINT64_MAX, "16.00 EiB");
	duration_is(1230000000, "1.23 s");
	duration_is(12ull * 1000000000, "12 s");
	duration_is(11100ull * 1000000000, "3 h 5 min");
	emit_count(text, 1234567);
	ck_assert_str_eq(text, "1 234 567");
	text_fold_digits(text, sizeof text, "pool-12-thread-345");
	ck_assert_str_eq(text, "pool-#-thread-#");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tools: emitters");
	TCase *t = tcase_create("all");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, the_program_goes_by_the_name_that_was_typed);
	tcase_add_test(t, golden_report);
	tcase_add_test(t, golden_report_80_columns);
	tcase_add_test(t, golden_report_colored);
	tcase_add_test(t, golden_leaks);
	tcase_add_test(t, golden_groups);
	tcase_add_test(t, golden_outside);
	tcase_add_test(t, golden_data);
	tcase_add_test(t, json_has_the_fields_of_schema_1_and_adds_up);
	tcase_add_test(t, json_limit_says_what_it_left_out);
	tcase_add_test(t, json_is_read_by_python);
	tcase_add_test(t, folded_lines_add_up);
	tcase_add_test(t, text_fits_the_page);
	tcase_add_test(t, text_has_no_control_characters);
	tcase_add_test(t, numbers_read_well);
	suite_add_tcase(s, t);
	return run_suite(s);
}
