/*
 * scale: see scale.h. With two values all that can be asked is whether there is more; with three and more each step must
 * bring at least half of what its share would be, so that a cache that was full in between is none.
 */
#include "gate/scale.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "die.h"

#define STEADY_SHARE 0.5

static bool take_values(struct scale *s, const char *text)
{
	size_t length = strlen(text);
	bool braces = length > 1 && text[0] == '{' && text[length - 1] == '}';
	const char *at = text + braces, *end = text + length - braces;
	while (at < end && s->count < SCALE_MOST) {
		char *rest;
		unsigned long long value = strtoull(at, &rest, 10);
		bool rises = value && value <= PLAN_STEPS_MOST && (s->count == 0 || value > s->values[s->count - 1]);
		if (!isdigit((unsigned char)*at) || (rest < end && *rest != ',') || rest > end || !rises)
			return false;
		s->values[s->count++] = value;
		at = rest + 1;
	}
	return at == end + 1 && s->count >= 2;
}

bool scale_take(struct scale *s, const char *text)
{
	size_t n = strcspn(text, "=");
	*s = (struct scale){.count = 0};
	if (text[n] != '=' || n == 0 || n >= sizeof s->name || isdigit((unsigned char)text[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)text[i]) && text[i] != '_')
			return false;
	memcpy(s->name, text, n);
	return take_values(s, text + n + 1);
}

/* ---- arguments ---- */

/* How many characters of `at` are the variable: "$N" with no letter after it, or "${N}". 0: none. */
static size_t variable_at(const struct scale *s, const char *at)
{
	size_t n = strlen(s->name);
	if (strncmp(at, "${", 2) == 0 && strncmp(at + 2, s->name, n) == 0 && at[2 + n] == '}')
		return n + 3;
	if (at[0] == '$' && strncmp(at + 1, s->name, n) == 0 && !isalnum((unsigned char)at[1 + n]) && at[1 + n] != '_')
		return n + 1;
	return 0;
}

static char *replace(const struct scale *s, uint64_t value, const char *text)
{
	char *made = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&made, &size);
	if (!out)
		die(2, "out of memory");
	while (*text) {
		size_t n = variable_at(s, text);
		if (n)
			fprintf(out, "%llu", (unsigned long long)value);
		else
			fputc(*text, out);
		text += n ? n : 1;
	}
	if (fclose(out) != 0)
		die(2, "out of memory");
	return made;
}

char **scale_arguments(const struct scale *s, size_t run, char **argv)
{
	size_t count = 0;
	char text[32];
	while (argv[count])
		count++;
	char **made = calloc(count + 1, sizeof *made);
	if (!made)
		die(2, "out of memory");
	for (size_t i = 0; i < count; i++)
		made[i] = replace(s, s->values[run], argv[i]);
	snprintf(text, sizeof text, "%llu", (unsigned long long)s->values[run]);
	setenv(s->name, text, 1);
	return made;
}

void scale_free_arguments(char **argv)
{
	for (size_t i = 0; argv[i]; i++)
		free(argv[i]);
	free(argv);
}

/* ---- what is left ---- */

struct scale_growth scale_growth_of(const struct scale *s, const char *identity)
{
	uint64_t blocks[SCALE_MOST] = {0}, bytes[SCALE_MOST] = {0};
	size_t last = s->count - 1;
	for (size_t i = 0; i < s->count; i++) {
		const struct baseline_row *row = baseline_find(&s->left[i], identity);
		blocks[i] = row ? row->blocks : 0;
		bytes[i] = row ? row->bytes : 0;
	}
	double span = (double)(s->values[last] - s->values[0]);
	struct scale_growth g = {.blocks = ((double)blocks[last] - (double)blocks[0]) / span,
	                         .bytes = ((double)bytes[last] - (double)bytes[0]) / span};
	bool by_blocks = g.blocks >= 1;
	g.grows = by_blocks || (g.blocks >= 0 && g.bytes >= 1);
	for (size_t i = 1; i < s->count && g.grows; i++) {
		double share = (double)(s->values[i] - s->values[i - 1]), came = by_blocks ? (double)blocks[i] - (double)blocks[i - 1]
		                                                                            : (double)bytes[i] - (double)bytes[i - 1];
		g.grows = came >= STEADY_SHARE * share * (by_blocks ? g.blocks : g.bytes);
	}
	return g;
}

void scale_free(struct scale *s)
{
	for (size_t i = 0; i < s->done; i++) {
		baseline_free(&s->left[i]);
		collect_fini(&s->runs[i].collect);
	}
	s->done = 0;
}
