/*
 * options: MTRACE_OPTIONS=key=value:key=value, parsed by the table options.def. Read once per image, before the first
 * event is recorded; read-only afterwards. Pure: no memory, no I/O.
 */
#ifndef MTRACE_OPTIONS_H
#define MTRACE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPTION_TEXT_BYTES 260

struct options {
#define X(type, name, preset, low, high, help) OPTION_##type(name)
#define OPTION_SIZE(name) uint64_t name;
#define OPTION_NUMBER(name) uint64_t name;
#define OPTION_TEXT(name) char name[OPTION_TEXT_BYTES];
#define OPTION_CHOICE(name) char name[16];
#include "options.def"
#undef X
#undef OPTION_SIZE
#undef OPTION_NUMBER
#undef OPTION_TEXT
#undef OPTION_CHOICE
	uint32_t bad;       /* how many words were not understood */
	char first_bad[64]; /* the first of them */
};

extern struct options options;

/* Defaults, then `text` (NULL: nothing). A later key wins. What is not understood keeps the default and is counted. */
void options_parse(struct options *o, const char *text);

/* Calls put(line, context) for each row of the table: "  name=default  help". */
void options_describe(void (*put)(const char *line, void *context), void *context);

/* Does `name` match one of the globs (only * and ?) in the comma-separated list? An empty list matches nothing. */
bool options_match(const char *globs, const char *name);

#endif
