/*
 * hotspot_options: what the command line and the environment say of attaching, and fields of /proc/PID/status: text of
 * somebody else's process, which may be anything. Pure.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "attach/hotspot.h"

static bool is(const char *word, size_t bytes, const char *text)
{
	return strlen(text) == bytes && memcmp(word, text, bytes) == 0;
}

/* A later one wins over an earlier one. */
static void take_option(struct hotspot *jvm, const char *word, size_t bytes)
{
	static const struct {
		const char *name;
		size_t offset;
	} flags[] = {
		{"DisableAttachMechanism", offsetof(struct hotspot, is_disabled)},
		{"ReduceSignalUsage", offsetof(struct hotspot, is_silent)},
	};
	if (is(word, bytes, "-Xrs"))
		jvm->is_silent = true;
	if (bytes < 6 || memcmp(word, "-XX:", 4) != 0 || (word[4] != '+' && word[4] != '-'))
		return;
	for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
		if (is(word + 5, bytes - 5, flags[i].name))
			*(bool *)((char *)jvm + flags[i].offset) = word[4] == '+';
}

/* Does the option take the next word? Of the launcher's own, these do. */
static bool takes_next(const char *word)
{
	static const char *const names[] = {"-cp",
	                                    "-classpath",
	                                    "--class-path",
	                                    "-p",
	                                    "--module-path",
	                                    "--upgrade-module-path",
	                                    "--add-modules",
	                                    "--add-reads",
	                                    "--add-exports",
	                                    "--add-opens",
	                                    "--limit-modules",
	                                    "--patch-module",
	                                    "--enable-native-access"};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(word, names[i]) == 0)
			return true;
	return false;
}

/* Up to the class, the module or the archive that is run: what follows is the program's. The text ends in a NUL. */
static void take_arguments(struct hotspot *jvm, const char *text, size_t bytes)
{
	bool skip = true; /* the program's name */
	for (const char *word = text; word < text + bytes; word += strlen(word) + 1) {
		if (skip) {
			skip = false;
			continue;
		}
		if (word[0] == '@')
			continue;
		if (word[0] != '-' || strcmp(word, "-jar") == 0 || strcmp(word, "-m") == 0 ||
		    strcmp(word, "--module") == 0)
			return;
		take_option(jvm, word, strlen(word));
		skip = takes_next(word);
	}
}

static void take_words(struct hotspot *jvm, const char *text)
{
	for (size_t n; *(text += strspn(text, " \t\n\v\f\r")) != '\0'; text += n) {
		n = strcspn(text, " \t\n\v\f\r");
		take_option(jvm, text, n);
	}
}

static void take_variable(struct hotspot *jvm, const char *text, size_t bytes, const char *name)
{
	size_t length = strlen(name);
	for (const char *entry = text; entry && entry < text + bytes; entry += strlen(entry) + 1)
		if (strncmp(entry, name, length) == 0)
			take_words(jvm, entry + length);
}

void hotspot_read_options(struct hotspot *jvm, const char *arguments, size_t argument_bytes, const char *environment,
                          size_t environment_bytes)
{
	take_variable(jvm, environment, environment_bytes, "JAVA_TOOL_OPTIONS=");
	take_variable(jvm, environment, environment_bytes, "JDK_JAVA_OPTIONS=");
	take_arguments(jvm, arguments, argument_bytes);
	take_variable(jvm, environment, environment_bytes, "_JAVA_OPTIONS=");
}

/* The field begins a line: a process's name is in there, too, and may hold anything but a newline. */
bool hotspot_status_number(const char *status, const char *field, int nth, unsigned base, uint64_t *value)
{
	size_t length = strlen(field);
	const char *line = status;
	while (line && strncmp(line, field, length) != 0) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (!line)
		return false;
	const char *at = line + length, *found = NULL;
	for (int i = 0; nth < 0 || i <= nth; i++) {
		at += strspn(at, " \t");
		if (*at == '\n' || *at == '\0')
			break;
		found = nth < 0 || i == nth ? at : NULL;
		at += strcspn(at, " \t\n");
	}
	if (!found)
		return false;
	char *end;
	*value = strtoull(found, &end, (int)base);
	return end != found;
}
