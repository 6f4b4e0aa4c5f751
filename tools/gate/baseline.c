/* baseline: see baseline.h. A line is "BYTES BLOCKS IDENTITY"; it is read back by the same rule. */
#include "gate/baseline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "die.h"
#include "gate/identity.h"

#define FIRST_LINE "# mtrace gate baseline 1: bytes, blocks, stack; sorted by stack. mtrace gate --update-baseline writes it\n"

static int by_identity(const void *a, const void *b)
{
	const struct baseline_row *x = a, *y = b;
	int order = strcmp(x->identity, y->identity);
	return order ? order : (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

static void append(struct baseline *b, const struct baseline_row *row, size_t *capacity)
{
	if (b->count == *capacity) {
		*capacity = *capacity ? 2 * *capacity : 256;
		b->rows = reallocarray(b->rows, *capacity, sizeof *b->rows);
		if (!b->rows)
			die(2, "out of memory");
	}
	b->rows[b->count++] = *row;
}

/* Sorted; of one identity one row, the largest first. */
static void settle(struct baseline *b)
{
	size_t kept = 0;
	if (b->count)
		qsort(b->rows, b->count, sizeof *b->rows, by_identity);
	for (size_t i = 0; i < b->count; i++) {
		struct baseline_row *row = &b->rows[i];
		b->blocks = profile_sum(b->blocks, row->blocks);
		b->bytes = profile_sum(b->bytes, row->bytes);
		if (kept && strcmp(b->rows[kept - 1].identity, row->identity) == 0) {
			b->rows[kept - 1].blocks = profile_sum(b->rows[kept - 1].blocks, row->blocks);
			b->rows[kept - 1].bytes = profile_sum(b->rows[kept - 1].bytes, row->bytes);
		} else {
			b->rows[kept++] = *row;
		}
	}
	b->count = kept;
}

static void append_process(struct baseline *b, const struct profile_process *process, size_t *capacity)
{
	for (uint32_t k = 0; k < process->stack_count; k++) {
		const struct profile_stack *stack = &process->stacks[k];
		bool counts = stack->kind == MTRACE_KIND_MALLOC || stack->kind == MTRACE_KIND_POOL;
		if (!counts || !stack->counts.live_blocks)
			continue;
		append(b, &(struct baseline_row){identity_of(b->strings, process, stack), stack->counts.live_blocks,
		                                 stack->counts.live_bytes, process, stack}, capacity);
	}
}

void baseline_of(const struct judge *judge, struct baseline *b)
{
	size_t capacity = 0;
	*b = (struct baseline){.strings = profile_new()};
	for (size_t i = 0; i < judge->count; i++)
		if (judge->cases[i].is_judged)
			append_process(b, judge->cases[i].process, &capacity);
	settle(b);
}

void baseline_of_profile(const struct profile *profile, struct baseline *b)
{
	size_t capacity = 0;
	*b = (struct baseline){.strings = profile_new()};
	for (uint32_t i = 0; i < profile->process_count; i++)
		if (profile->processes[i].end != PROFILE_EXEC)
			append_process(b, &profile->processes[i], &capacity);
	settle(b);
}

void baseline_free(struct baseline *b)
{
	free(b->rows);
	profile_free(b->strings);
	*b = (struct baseline){0};
}

/* ---- files ---- */

static bool take_line(const char *line, struct baseline *b, size_t *capacity)
{
	struct baseline_row row = {0};
	int at = 0;
	size_t length = strcspn(line, "\r\n");
	if (line[0] == '#' || length == 0)
		return true;
	bool is_digit = line[0] >= '0' && line[0] <= '9';
	if (!is_digit || sscanf(line, "%" SCNu64 " %" SCNu64 " %n", &row.bytes, &row.blocks, &at) != 2 || at == 0 ||
	    (size_t)at >= length)
		return false;
	row.identity = profile_string_n(b->strings, line + at, length - (size_t)at);
	append(b, &row, capacity);
	return true;
}

int baseline_read(const char *path, struct baseline *b, char error[512])
{
	char *line = NULL;
	size_t room = 0, capacity = 0;
	unsigned number = 0;
	bool good = true;
	FILE *file = fopen(path, "re");
	if (!file) {
		snprintf(error, 512, "--baseline %.200s: %s; --update-baseline writes it", path, strerror(errno));
		return errno == ENOENT ? -ENOENT : -1;
	}
	*b = (struct baseline){.strings = profile_new()};
	while (good && getline(&line, &room, file) >= 0) {
		good = (++number > 1 || strncmp(line, "# mtrace gate baseline 1", 24) == 0) && strlen(line) < BASELINE_LINE_BYTES &&
		       take_line(line, b, &capacity);
	}
	if (!good)
		snprintf(error, 512, "--baseline %.200s:%u: %s", path, number, number == 1 ? "is no baseline of this version" :
		         "is no line of a baseline: bytes, blocks, stack; a merge that was not finished?");
	free(line);
	fclose(file);
	if (good && number)
		settle(b);
	else
		baseline_free(b);
	if (good && !number)
		snprintf(error, 512, "--baseline %.200s: is empty; --update-baseline writes it", path);
	return good && number ? 0 : -1;
}

/* The old one stays whole until the new one is. */
int baseline_write(const char *path, const struct baseline *b, char error[512])
{
	char *beside = NULL;
	if (asprintf(&beside, "%s.new", path) < 0)
		die(2, "out of memory");
	FILE *file = fopen(beside, "we");
	if (file) {
		fputs(FIRST_LINE, file);
		for (size_t i = 0; i < b->count; i++)
			fprintf(file, "%" PRIu64 " %" PRIu64 " %s\n", b->rows[i].bytes, b->rows[i].blocks, b->rows[i].identity);
	}
	bool good = file && !ferror(file);
	if (file && fclose(file) != 0)
		good = false;
	if (good && rename(beside, path) != 0)
		good = false;
	if (!good)
		snprintf(error, 512, "--baseline %.300s: cannot be written: %s", path, strerror(errno));
	if (!good && file)
		unlink(beside);
	free(beside);
	return good ? 0 : -1;
}

/* ---- comparing ---- */

const struct baseline_row *baseline_find(const struct baseline *b, const char *identity)
{
	struct baseline_row wanted = {.identity = identity};
	size_t low = 0, high = b->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(b->rows[middle].identity, wanted.identity) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < b->count && strcmp(b->rows[low].identity, identity) == 0 ? &b->rows[low] : NULL;
}

bool baseline_exceeds(uint64_t is, uint64_t was, double per_cent)
{
	return is > was && (double)(is - was) > (double)was * per_cent / 100;
}
