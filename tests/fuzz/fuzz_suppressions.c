/*
 * fuzz_suppressions: a file of suppressions, of whoever sent one; the first line is a function's name that they are held
 * against, and that a row is written for. What is written must be read again as one row that covers it.
 */
#include "fuzz.h"
#include "gate/suppressions.h"
#include "model/profile.h"

static struct profile_name names[] = {{"inlined", "/src/a.h", 3, true}, {NULL, "/src/a.c", 7, false}, {"main", NULL, 0, false}};
static struct profile_module module = {.path = "/opt/app/server"};
static struct profile_frame frames[] = {
	{.kind = MTRACE_FRAME_NATIVE, .names = names, .name_count = 2}, {.kind = MTRACE_FRAME_NATIVE, .names = names + 2, .name_count = 1},
	{.kind = MTRACE_FRAME_NATIVE, .value = 9},
};
static const uint32_t path[] = {0, 1, 2};
static struct profile_stack stack = {.kind = MTRACE_KIND_MALLOC, .frames = path, .frame_count = 3, .counts = {.live_blocks = 3, .live_bytes = 99}};
static struct profile_process process = {.exe = "/opt/app/server", .modules = &module, .module_count = 1, .frames = frames, .frame_count = 3};

static void check_rows(const struct suppressions *s)
{
	for (size_t i = 0; i < s->count; i++) {
		struct suppression *row = &s->rows[i];
		fuzz_require(!strchr(row->pattern, '\n'), "a pattern is of one line");
		fuzz_require(row->line >= 1, "a row has a line");
		fuzz_require(row->until == 0 || (row->until >= 19000101 && row->until <= 99991231), "a day is a day");
		suppressions_matches_all(row);
		suppressions_cover(row, &stack.counts);
		suppressions_is_exceeded(row);
		fuzz_require(!suppressions_is_expired(row, 19000101), "nothing expired in 1900");
	}
	for (size_t i = 0; i < s->problem_count && i < SUPPRESSIONS_PROBLEMS; i++)
		fuzz_require(memchr(s->problems[i].text, 0, sizeof s->problems[i].text) != NULL, "a problem is a string");
}

static void write_again(void)
{
	static struct suppression_names written;
	struct suppressions again;
	char *text = NULL;
	size_t bytes = 0;
	if (!suppressions_name(&process, &stack, &written))
		return;
	FILE *out = open_memstream(&text, &bytes);
	suppressions_write(out, &written, &stack.counts, 20270131);
	fclose(out);
	suppressions_init(&again);
	suppressions_read_text(&again, "again", text, bytes);
	fuzz_require(again.problem_count == 0 && again.count == 1, "what is written is read as one row");
	fuzz_require(suppressions_find(&again, &process, &stack) == &again.rows[0], "and covers what it was written for");
	suppressions_free(&again);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct suppressions s;
	const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
	size_t n = end ? (size_t)(end - data) : 0;
	char *function = strndup((const char *)data, n);
	names[1].function = function;
	suppressions_init(&s);
	suppressions_read_text(&s, "fuzz", (const char *)data + n, size - n);
	struct suppression *row = suppressions_find(&s, &process, &stack);
	fuzz_require(!row || (row >= s.rows && row < s.rows + s.count), "the row found is one of them");
	suppressions_need_names(&s, &process, &stack);
	check_rows(&s);
	suppressions_free(&s);
	write_again();
	free(function);
	return 0;
}
