#include "options.h"

#include <string.h>

enum option_type { SIZE, NUMBER, TEXT, CHOICE };

struct option_row {
	enum option_type type;
	const char *name;
	const char *preset;
	uint64_t low, high;
	const char *help;
	size_t offset;
};

static const struct option_row rows[] = {
#define X(type, name, preset, low, high, help) {type, #name, preset, low, high, help, offsetof(struct options, name)},
#include "options.def"
#undef X
};
enum { ROWS = sizeof rows / sizeof rows[0] };

struct options options;

static uint64_t unit_of(char c)
{
	switch (c) {
	case 'k': case 'K': return 1u << 10;
	case 'm': case 'M': return 1u << 20;
	case 'g': case 'G': return 1u << 30;
	default: return 0;
	}
}

static bool parse_amount(const char *text, size_t length, bool units, uint64_t *out)
{
	uint64_t value = 0;
	size_t i = 0;
	for (; i < length && text[i] >= '0' && text[i] <= '9'; i++) {
		if (value > (UINT64_MAX - 9) / 10)
			return false;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	if (i == 0)
		return false;
	if (units && i + 1 == length && unit_of(text[i])) {
		if (value > UINT64_MAX / unit_of(text[i]))
			return false;
		value *= unit_of(text[i++]);
	}
	*out = value;
	return i == length;
}

/* The choices stand in help behind its last ": ", separated by '|'. */
static bool is_choice(const char *help, const char *text, size_t length)
{
	const char *at = strrchr(help, ':') + 2;
	for (;;) {
		size_t word = strcspn(at, "|");
		if (word == length && !memcmp(at, text, length))
			return true;
		if (!at[word])
			return false;
		at += word + 1;
	}
}

static bool store_text(char *field, size_t bytes, const char *text, size_t length)
{
	if (length >= bytes)
		return false;
	memcpy(field, text, length);
	field[length] = 0;
	return true;
}

static bool store(struct options *o, const struct option_row *row, const char *text, size_t length)
{
	char *field = (char *)o + row->offset;
	uint64_t value;
	switch (row->type) {
	case TEXT:
		return length <= row->high && store_text(field, OPTION_TEXT_BYTES, text, length);
	case CHOICE:
		return is_choice(row->help, text, length) && store_text(field, 16, text, length);
	default:
		if (!parse_amount(text, length, row->type == SIZE, &value) || value > row->high)
			return false;
		if (value < row->low && (value != 0 || row->preset[0] != '0'))
			return false;
		memcpy(field, &value, sizeof value);
		return true;
	}
}

static const struct option_row *find_row(const char *name, size_t length)
{
	for (size_t i = 0; i < ROWS; i++)
		if (strlen(rows[i].name) == length && !memcmp(rows[i].name, name, length))
			return &rows[i];
	return NULL;
}

static void note_bad(struct options *o, const char *word, size_t length)
{
	if (o->bad++)
		return;
	size_t kept = length < sizeof o->first_bad - 1 ? length : sizeof o->first_bad - 1;
	memcpy(o->first_bad, word, kept);
	o->first_bad[kept] = 0;
}

static void parse_word(struct options *o, const char *word, size_t length)
{
	const char *equals = memchr(word, '=', length);
	if (!equals) {
		note_bad(o, word, length);
		return;
	}
	const struct option_row *row = find_row(word, (size_t)(equals - word));
	if (!row || !store(o, row, equals + 1, length - (size_t)(equals + 1 - word)))
		note_bad(o, word, length);
}

void options_parse(struct options *o, const char *text)
{
	memset(o, 0, sizeof *o);
	for (size_t i = 0; i < ROWS; i++)
		store(o, &rows[i], rows[i].preset, strlen(rows[i].preset));
	while (text && *text) {
		size_t length = strcspn(text, ":");
		if (length)
			parse_word(o, text, length);
		text += length + (text[length] == ':');
	}
}

static size_t append(char *line, size_t at, size_t bytes, const char *text)
{
	for (; *text && at + 1 < bytes; text++)
		line[at++] = *text;
	line[at] = 0;
	return at;
}

void options_describe(void (*put)(const char *line, void *context), void *context)
{
	for (size_t i = 0; i < ROWS; i++) {
		char line[256];
		size_t at = append(line, 0, sizeof line, "  ");
		at = append(line, at, sizeof line, rows[i].name);
		at = append(line, at, sizeof line, "=");
		at = append(line, at, sizeof line, rows[i].preset);
		do {
			at = append(line, at, sizeof line, " ");
		} while (at < 22);
		append(line, at, sizeof line, rows[i].help);
		put(line, context);
	}
}

static bool glob(const char *pattern, size_t length, const char *name)
{
	const char *end = pattern + length, *star = NULL, *retry = NULL;
	while (*name) {
		if (pattern < end && *pattern == '*') {
			star = pattern++;
			retry = name;
		} else if (pattern < end && (*pattern == '?' || *pattern == *name)) {
			pattern++;
			name++;
		} else if (star) {
			pattern = star + 1;
			name = ++retry;
		} else {
			return false;
		}
	}
	while (pattern < end && *pattern == '*')
		pattern++;
	return pattern == end;
}

bool options_match(const char *globs, const char *name)
{
	while (*globs) {
		size_t length = strcspn(globs, ",");
		if (length && glob(globs, length, name))
			return true;
		globs += length + (globs[length] == ',');
	}
	return false;
}
