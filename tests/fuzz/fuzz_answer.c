/*
 * fuzz_answer: what a JVM, or whoever sits behind its socket, says, and what another process's /proc files hold. The first
 * byte says as what the rest is read.
 */
#include "attach/answer.h"
#include "attach/hotspot.h"
#include "fuzz.h"

static void check_table(int code, struct answer_table *table)
{
	if (code != 0)
		return;
	fuzz_require(table->count > 0, "a table has rows");
	for (size_t i = 1; i < table->count; i++)
		fuzz_require(strcmp(table->rows[i - 1].name, table->rows[i].name) < 0, "a name comes once");
	fuzz_require(answer_row_of(table, table->rows[0].name) == &table->rows[0], "a row is found by its name");
	answer_table_free(table);
}

static void read_tables(const char *text)
{
	struct answer_table table;
	check_table(answer_native_memory(text, &table), &table);
	check_table(answer_histogram(text, &table), &table);
	answer_heap_used(text);
}

static void read_answer(char *text, size_t size)
{
	struct answer answer;
	char line[40];
	int code;
	if (answer_parse(text, size, &answer) != 0)
		return;
	answer_first_line(&answer, line, sizeof line);
	fuzz_require(!strchr(line, '\n'), "a line is one line");
	answer_returned(&answer, &code);
	read_tables(answer.text);
}

/* The kernel's text ends in a NUL, each of the two. */
static void read_options(const char *text, size_t size)
{
	struct hotspot jvm = {.pid = 1};
	char *arguments = strndup(text, size / 2);
	hotspot_read_options(&jvm, arguments, size / 2 < strlen(arguments) ? size / 2 : strlen(arguments),
	                     text + size / 2, size - size / 2);
	free(arguments);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint64_t as = fuzz_number(&in, 1) % 3, value;
	size = in.left;
	char *text = malloc(size + 1);
	memcpy(text, in.at, size);
	text[size] = 0;
	if (as == 0)
		read_answer(text, size);
	else if (as == 1)
		read_options(text, size);
	else
		hotspot_status_number(text, "SigCgt:", 0, 16, &value);
	free(text);
	return 0;
}
