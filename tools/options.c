/*
 * options: walks argv against a command's table of options; the same table prints its help. Every command's first
 * loop is option_next. Long options take "--name=value" or "--name value", short ones "-o value" or "-ovalue".
 */
#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_OPTIONS = 64 };

static void complain(const char *word, const struct command *self)
{
	const char *names[MOST_OPTIONS + 2];
	size_t n = 0;
	for (const struct command_option *o = self->options; o && o->name && n < MOST_OPTIONS; o++)
		names[n++] = o->name;
	names[n++] = "--help";
	names[n] = NULL;
	char name[64];
	snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
	const char *close = nearest(name, names);
	if (close)
		warn("%s: unknown option %s; did you mean %s?", self->name, name, close);
	else
		warn("%s: unknown option %s; `mtrace %s --help` lists them", self->name, name, self->name);
}

/* Does `word` spell option `o`? Leaves what follows the name ("" or "=value" or, after a short one, "value"). */
static const char *spelled(const char *word, const struct command_option *o)
{
	size_t n = strlen(o->name);
	if (strncmp(word, o->name, n) != 0)
		return NULL;
	bool is_short = o->name[1] != '-';
	if (word[n] == '\0' || word[n] == '=' || (is_short && o->argument))
		return word + n;
	return NULL;
}

static int take_argument(int argc, char **argv, const struct command *self, int which, const char *rest,
                         struct option_cursor *cursor)
{
	const struct command_option *o = &self->options[which];
	if (*rest != '\0' && !o->argument) {
		warn("%s: %s takes no argument", self->name, o->name);
		return -2;
	}
	bool is_optional = o->argument && o->argument[0] == '[';
	if (!o->argument || (is_optional && *rest == '\0'))
		return which;
	if (*rest != '\0') {
		cursor->value = rest + (*rest == '=');
	} else if (cursor->index < argc) {
		cursor->value = argv[cursor->index++];
	} else {
		warn("%s: %s needs an argument: %s", self->name, o->name, o->argument);
		return -2;
	}
	return which;
}

int option_next(int argc, char **argv, const struct command *self, struct option_cursor *cursor)
{
	cursor->value = NULL;
	if (cursor->index >= argc || cursor->ended)
		return -1;
	const char *word = argv[cursor->index];
	if (word[0] != '-' || word[1] == '\0')
		return -1;
	cursor->index++;
	if (strcmp(word, "--") == 0) {
		cursor->ended = true;
		return -1;
	}
	for (int i = 0; self->options && self->options[i].name; i++) {
		const char *rest = spelled(word, &self->options[i]);
		if (rest)
			return take_argument(argc, argv, self, i, rest, cursor);
	}
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
		command_help(self);
		exit(EXIT_DONE);
	}
	complain(word, self);
	return -2;
}

int option_or_operand(int argc, char **argv, const struct command *self, struct option_cursor *cursor)
{
	int option = option_next(argc, argv, self, cursor);
	if (option != -1 || cursor->index >= argc)
		return option;
	cursor->value = argv[cursor->index++];
	return -3;
}

void command_help(const struct command *self)
{
	printf("usage: %s\n\n%s%s\n", self->usage, self->summary, self->run == cmd_absent ? " (not in this version)" : "");
	if (!self->options || !self->options->name)
		return;
	printf("\n");
	for (const struct command_option *o = self->options; o->name; o++) {
		char left[80];
		bool has_word = o->argument && o->argument[0] != '[';
		snprintf(left, sizeof left, "%s%s%s", o->name, has_word ? " " : "", o->argument ? o->argument : "");
		printf("  %-24s%s%s\n", left, strlen(left) < 24 ? "" : "\n                          ", o->help);
	}
}
