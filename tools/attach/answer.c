/*
 * answer: see answer.h.
 */
#include "attach/answer.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the answer ---- */

int answer_parse(char *bytes, size_t length, struct answer *answer)
{
	const char *at = bytes;
	bool negative = *at == '-';
	at += negative;
	long code = 0;
	if (!isdigit((unsigned char)*at) || memchr(bytes, '\0', length))
		return -EPROTO;
	for (; isdigit((unsigned char)*at); at++)
		code = code > INT_MAX / 10 ? INT_MAX : code * 10 + (*at - '0');
	if (*at != '\n' && *at != '\0')
		return -EPROTO;
	*answer = (struct answer){bytes, at + (*at == '\n'), (int)(negative ? -code : code)};
	return 0;
}

void answer_free(struct answer *answer)
{
	free(answer->bytes);
	*answer = (struct answer){NULL, "", 0};
}

void answer_first_line(const struct answer *answer, char *line, size_t bytes)
{
	const char *text = answer->text + strspn(answer->text, " \t\r\n");
	snprintf(line, bytes, "%.*s", (int)strcspn(text, "\r\n"), text);
}

/* JDK 8 prints the number alone. */
bool answer_returned(const struct answer *answer, int *code)
{
	static const char words[] = "return code: ";
	const char *at = strstr(answer->text, words);
	at = at ? at + sizeof words - 1 : answer->text;
	char *end;
	long value = strtol(at, &end, 10);
	if (end == at || (*end != '\n' && *end != '\r' && *end != '\0'))
		return false;
	*code = (int)value;
	return true;
}

/* ---- tables ---- */

/* Bytes with or without a unit, as JVMs print them: 17, 17K, 17KB. */
static bool take_bytes(const char **at, uint64_t *value)
{
	static const char units[] = "KMGT";
	if (!isdigit((unsigned char)**at))
		return false;
	uint64_t n = 0;
	for (; isdigit((unsigned char)**at); ++*at)
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, (uint64_t)(**at - '0'), &n))
			return false;
	const char *unit = **at ? strchr(units, **at) : NULL;
	unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
	if (shift && n >> (64 - shift))
		return false;
	*at += unit != NULL;
	*value = n << shift;
	return true;
}

/* "NAME=BYTES" somewhere in [from, to). */
static bool take_field(const char *from, const char *to, const char *name, uint64_t *value)
{
	size_t length = strlen(name);
	const char *at = memmem(from, (size_t)(to - from), name, length);
	return at && (at += length) < to && take_bytes(&at, value);
}

static int add_row(struct answer_table *table, const char *name, size_t length, uint64_t first, uint64_t second)
{
	if (table->count == ANSWER_ROWS_MOST)
		return 0;
	if ((table->count & (table->count - 1)) == 0) {
		struct answer_row *rows = reallocarray(table->rows, table->count ? 2 * table->count : 1, sizeof *rows);
		if (!rows)
			return -ENOMEM;
		table->rows = rows;
	}
	char *copy = strndup(name, length);
	if (!copy)
		return -ENOMEM;
	table->rows[table->count++] = (struct answer_row){copy, first, second};
	return 0;
}

void answer_table_free(struct answer_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->rows[i].name);
	free(table->rows);
	*table = (struct answer_table){NULL, 0, {NULL, 0, 0}};
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct answer_row *)a)->name, ((const struct answer_row *)b)->name);
}

const struct answer_row *answer_row_of(const struct answer_table *table, const char *name)
{
	const struct answer_row wanted = {(char *)name, 0, 0};
	return table->count ? bsearch(&wanted, table->rows, table->count, sizeof wanted, by_name) : NULL;
}

/* One class of two loaders has two rows: they become one. The order is by name then. */
static void merge(struct answer_table *table)
{
	size_t kept = 0;
	if (table->count)
		qsort(table->rows, table->count, sizeof *table->rows, by_name);
	for (size_t i = 0; i < table->count; i++) {
		struct answer_row *row = &table->rows[i], *last = kept ? &table->rows[kept - 1] : NULL;
		if (!last || strcmp(last->name, row->name) != 0) {
			table->rows[kept++] = *row;
			continue;
		}
		last->first += row->first;
		last->second += row->second;
		free(row->name);
	}
	table->count = kept;
}

static int finish(struct answer_table *table, int code)
{
	if (code == 0 && table->count == 0)
		code = -ENODATA;
	if (code)
		answer_table_free(table);
	else
		merge(table);
	return code;
}

/* "-   Java Heap (reserved=67108864, committed=67108864)" */
static int native_memory_line(const char *line, const char *end, struct answer_table *table)
{
	const char *open = memchr(line, '(', (size_t)(end - line)), *name = line + 1;
	uint64_t reserved, committed;
	if (*line != '-' || !open)
		return 0;
	while (name < open && *name == ' ')
		name++;
	const char *name_end = open;
	while (name_end > name && name_end[-1] == ' ')
		name_end--;
	if (name == name_end || !take_field(open, end, "reserved=", &reserved) ||
	    !take_field(open, end, "committed=", &committed))
		return 0;
	return add_row(table, name, (size_t)(name_end - name), reserved, committed);
}

static const char *end_of_line(const char *line)
{
	return line + strcspn(line, "\n");
}

int answer_native_memory(const char *text, struct answer_table *table)
{
	static const char total[] = "Total:";
	int code = 0;
	*table = (struct answer_table){NULL, 0, {NULL, 0, 0}};
	for (const char *line = text, *end; code == 0 && *line; line = end + (*end == '\n')) {
		end = end_of_line(line);
		if (strncmp(line, total, sizeof total - 1) == 0 &&
		    take_field(line, end, "reserved=", &table->total.first))
			take_field(line, end, "committed=", &table->total.second);
		code = native_memory_line(line, end, table);
	}
	return finish(table, code);
}

static const char *skip_blanks(const char *at)
{
	return at + strspn(at, " \t");
}

/* "   1:          9349        2516888  [B (java.base@17.0.15)": the module is not part of a class's name. */
static int histogram_line(const char *line, const char *end, struct answer_table *table)
{
	uint64_t rank, instances, bytes;
	const char *at = skip_blanks(line);
	if (!take_bytes(&at, &rank) || *at != ':')
		return 0;
	at = skip_blanks(at + 1);
	if (!take_bytes(&at, &instances))
		return 0;
	at = skip_blanks(at);
	if (!take_bytes(&at, &bytes))
		return 0;
	at = skip_blanks(at);
	const char *name_end = at + strcspn(at, " \t\r\n");
	if (name_end > end || name_end == at)
		return 0;
	return add_row(table, at, (size_t)(name_end - at), instances, bytes);
}

int answer_histogram(const char *text, struct answer_table *table)
{
	int code = 0;
	*table = (struct answer_table){NULL, 0, {NULL, 0, 0}};
	for (const char *line = text, *end; code == 0 && *line; line = end + (*end == '\n')) {
		end = end_of_line(line);
		code = histogram_line(line, end, table);
	}
	for (size_t i = 0; i < table->count; i++) {
		table->total.first += table->rows[i].first;
		table->total.second += table->rows[i].second;
	}
	return finish(table, code);
}

/* ---- the heap ---- */

static bool is_java_heap(const char *line, size_t bytes)
{
	line = skip_blanks(line);
	return strncmp(line, "Metaspace", 9) != 0 && strncmp(line, "class space", 11) != 0 && bytes > 0;
}

/* "used 3702K" (most collectors) and "3702K used" (Shenandoah); "8% used" is neither. */
static uint64_t used_in(const char *line, const char *end)
{
	static const char word[] = "used";
	const char *at = memmem(line, (size_t)(end - line), word, sizeof word - 1);
	uint64_t value;
	if (!at)
		return 0;
	const char *behind = skip_blanks(at + sizeof word - 1), *before = at;
	if (behind < end && take_bytes(&behind, &value))
		return value;
	while (before > line && before[-1] == ' ')
		before--;
	while (before > line && (isalnum((unsigned char)before[-1])))
		before--;
	return take_bytes(&before, &value) && skip_blanks(before) == at ? value : 0;
}

uint64_t answer_heap_used(const char *text)
{
	uint64_t sum = 0, more;
	for (const char *line = text, *end; *line; line = end + (*end == '\n')) {
		end = end_of_line(line);
		if (is_java_heap(line, (size_t)(end - line)) && (more = used_in(line, end)) > 0)
			sum = sum + more < sum ? UINT64_MAX : sum + more;
	}
	return sum;
}

/* "[0x…, 0x…, 0x…)" after each generation and space; its first is where it begins, its last where what is reserved ends. */
static const char *next_place(const char *text, uint64_t *start, uint64_t *end)
{
	const char *open = strstr(text, "[0x");
	char *at;
	if (!open)
		return NULL;
	*start = *end = strtoull(open + 1, &at, 16);
	while (strncmp(at, ", 0x", 4) == 0 || strncmp(at, ",0x", 3) == 0)
		*end = strtoull(at + strcspn(at, "0"), &at, 16);
	return at;
}

bool answer_heap_place(const char *text, uint64_t *start, uint64_t *end)
{
	uint64_t from, to;
	*start = UINT64_MAX;
	*end = 0;
	while ((text = next_place(text, &from, &to)) != NULL) {
		*start = from < *start ? from : *start;
		*end = to > *end ? to : *end;
	}
	return *end > *start && *start > 0;
}
