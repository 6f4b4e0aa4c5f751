/* policy: see policy.h. */
#include "gate/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "die.h"
#include "emit/emit_text.h"
#include "gate/suppressions.h"

void policy_init(struct policy *policy)
{
	*policy = (struct policy){.strings = profile_new()};
}

void policy_free(struct policy *policy)
{
	free(policy->lines);
	profile_free(policy->strings);
	*policy = (struct policy){0};
}

/* ---- words of a line ---- */

enum { WORDS_MOST = 6 };

/* Blanks part words; "…" keeps them together; # begins a comment. -1: too many, or a quote that is not closed. */
static int split(char *line, char *words[WORDS_MOST])
{
	int count = 0;
	for (char *at = line;;) {
		at += strspn(at, " \t\r\n");
		if (*at == '\0' || *at == '#')
			return count;
		if (count == WORDS_MOST)
			return -1;
		char *end = *at == '"' ? strchr(at + 1, '"') : at + strcspn(at, " \t\r\n");
		if (!end)
			return -1;
		words[count++] = at + (*at == '"');
		at = end + (*end != '\0');
		*end = '\0';
	}
}

static bool take_size(const char *text, double *limit)
{
	static const struct { const char *unit; double factor; } units[] = {
		{"", 1}, {"B", 1}, {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1 << 30}};
	char *end;
	*limit = strtod(text, &end);
	for (size_t i = 0; end != text && *limit >= 0 && i < sizeof units / sizeof units[0]; i++) {
		if (strcmp(end, units[i].unit) != 0)
			continue;
		*limit *= units[i].factor;
		return *limit < 9e18;
	}
	return false;
}

static bool take_number(const char *text, const char *unit, double *limit)
{
	char *end;
	*limit = strtod(text, &end);
	return end != text && strcmp(end, unit) == 0 && *limit >= 0 && *limit < 1e15;
}

static bool take_what(const char *word, bool has_peak, enum policy_what *what)
{
	*what = strcmp(word, "live") == 0 ? POLICY_LIVE : strcmp(word, "growth") == 0 ? POLICY_GROWTH : POLICY_PEAK;
	return *what != POLICY_PEAK || (has_peak && strcmp(word, "peak") == 0);
}

static bool take_max(char *const *words, int count, struct policy_line *line)
{
	if (count == 4 && strcmp(words[1], "total") == 0) {
		line->of = POLICY_TOTAL;
		return take_what(words[2], true, &line->what) && take_size(words[3], &line->limit);
	}
	if (count == 3 && strcmp(words[1], "baseline") == 0) {
		line->of = POLICY_BASELINE;
		line->what = POLICY_AMOUNT;
		return take_number(words[2], "%", &line->limit);
	}
	if (count != 5 || (strcmp(words[1], "stack") != 0 && strcmp(words[1], "module") != 0) || !words[2][0])
		return false;
	line->of = strcmp(words[1], "stack") == 0 ? POLICY_STACK : POLICY_MODULE;
	line->pattern = words[2];
	return take_what(words[3], false, &line->what) && take_size(words[4], &line->limit);
}

static bool take_require(char *const *words, int count, struct policy_line *line)
{
	line->what = POLICY_AMOUNT;
	if (count == 3 && strcmp(words[1], "drops") == 0) {
		line->of = POLICY_DROPS;
		return take_number(words[2], "", &line->limit);
	}
	line->of = POLICY_SYMBOLS;
	return count == 3 && strcmp(words[1], "symbols") == 0 && take_number(words[2], "%", &line->limit);
}

/* ---- lines ---- */

static void append(struct policy *policy, struct policy_line *line, const char *text)
{
	size_t length = strcspn(text, "#\r\n");
	while (length && (text[length - 1] == ' ' || text[length - 1] == '\t'))
		length--;
	text += strspn(text, " \t");
	struct policy_line *more = reallocarray(policy->lines, policy->count + 1, sizeof *more);
	if (!more)
		die(2, "out of memory");
	line->text = profile_string_n(policy->strings, text, length);
	if (line->pattern)
		line->pattern = profile_string(policy->strings, line->pattern);
	policy->lines = more;
	policy->lines[policy->count++] = *line;
}

int policy_read_line(struct policy *policy, const char *text, const char **wrong)
{
	char copy[POLICY_LINE_BYTES], *words[WORDS_MOST];
	struct policy_line line = {0};
	snprintf(copy, sizeof copy, "%s", text);
	int count = strlen(text) < sizeof copy ? split(copy, words) : -1;
	if (count == 0)
		return 1;
	bool is_max = count > 0 && strcmp(words[0], "max") == 0, is_require = count > 0 && strcmp(words[0], "require") == 0;
	*wrong = is_max       ? "it reads: max total live|peak|growth SIZE, max stack|module PATTERN live|growth SIZE, max baseline %"
	         : is_require ? "it reads: require drops N, or require symbols N%"
	                      : "a line begins with max or require";
	if (policy->count >= POLICY_LINES_MOST)
		*wrong = "4 096 lines at most";
	else if ((is_max && take_max(words, count, &line)) || (is_require && take_require(words, count, &line))) {
		append(policy, &line, text);
		return 0;
	}
	return -1;
}

int policy_read(struct policy *policy, const char *path, char error[512])
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	const char *wrong = NULL;
	size_t room = 0;
	unsigned number = 0;
	if (!file) {
		snprintf(error, 512, "--policy %.300s: %s", path, strerror(errno));
		return -1;
	}
	while (!wrong && getline(&line, &room, file) >= 0) {
		const char *why = NULL;
		number++;
		if (policy_read_line(policy, line, &why) < 0)
			wrong = why;
	}
	if (wrong)
		snprintf(error, 512, "--policy %.200s:%u: %s", path, number, wrong);
	free(line);
	fclose(file);
	return wrong ? -1 : 0;
}

/* ---- asking ---- */

const struct policy_line *policy_find(const struct policy *policy, enum policy_of of, enum policy_what what)
{
	const struct policy_line *found = NULL;
	for (size_t i = 0; i < policy->count; i++)
		if (policy->lines[i].of == of && policy->lines[i].what == what)
			found = &policy->lines[i];
	return found;
}

static bool has_name(const struct policy_line *line, const struct profile_process *process, const struct profile_frame *frame)
{
	for (uint32_t i = 0; i < frame->name_count; i++)
		if (suppressions_matches(line->pattern, frame->names[i].function))
			return true;
	return suppressions_matches(line->pattern, emit_module_path(process, frame));
}

bool policy_is_about(const struct policy_line *line, const struct profile_process *process, const struct profile_stack *stack)
{
	char module[512];
	if (line->of == POLICY_MODULE) {
		emit_module_label(process, stack, module, sizeof module);
		return suppressions_matches(line->pattern, module);
	}
	for (uint32_t i = 0; line->of == POLICY_STACK && i < stack->frame_count; i++)
		if (has_name(line, process, &process->frames[stack->frames[i]]))
			return true;
	return line->of == POLICY_TOTAL;
}
