/*
 * cmd_help: the table of commands for people (the six of the incident first), and, with --man-table, for the man page
 * generator: one tab-separated line per command and option, so that pages cannot drift from the program.
 */
#include "command.h"

#include <stdio.h>
#include <string.h>

const struct command_option cmd_help_options[] = {
	{"--man-table", NULL, "print the tables of commands and options, tab-separated, for scripts"},
	{NULL, NULL, NULL},
};

int cmd_absent(int argc, char **argv, const struct command *self)
{
	struct option_cursor cursor = {.index = 1};
	bool asks_help = argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
	if (asks_help)
		option_next(argc, argv, self, &cursor); /* prints it and exits */
	warn("%s is not in version %s yet; `mtrace help` shows what is", self->name, mtrace_version);
	return EXIT_TROUBLE;
}

static void list(bool first)
{
	for (const struct command *c = commands; c->name; c++)
		if (c->first == first)
			printf("  %-10s %s%s\n", c->name, c->summary,
			       c->run == cmd_absent ? "  (not in this version)" : "");
}

static void overview(void)
{
	printf("mtrace %s: who holds the memory of a process, by full call stack\n\n", mtrace_version);
	printf("usage: mtrace COMMAND [options] …      mtrace TARGET reports it (and, on a terminal, follows it)\n\n");
	list(true);
	printf("\nmore\n");
	list(false);
	printf("\nTARGET is a pid, a segment file, a recording, or `last`.\n");
	printf("start  mtrace run -- PROGRAM …      then      mtrace report last\n");
	printf("       mtrace COMMAND --help lists its options\n");
}

/* command<TAB>name<TAB>first|more<TAB>present|absent<TAB>usage<TAB>summary
   option<TAB>command<TAB>name<TAB>argument<TAB>help */
static void man_table(void)
{
	for (const struct command *c = commands; c->name; c++) {
		printf("command\t%s\t%s\t%s\t%s\t%s\n", c->name, c->first ? "first" : "more",
		       c->run == cmd_absent ? "absent" : "present", c->usage, c->summary);
		for (const struct command_option *o = c->options; o && o->name; o++)
			printf("option\t%s\t%s\t%s\t%s\n", c->name, o->name, o->argument ? o->argument : "", o->help);
	}
}

static int help_on(const char *name)
{
	for (const struct command *c = commands; c->name; c++) {
		if (strcmp(c->name, name) == 0) {
			command_help(c);
			return EXIT_DONE;
		}
	}
	warn("help: there is no command %s; `mtrace help` lists them", name);
	return EXIT_TROUBLE;
}

int cmd_help(int argc, char **argv, const struct command *self)
{
	struct option_cursor cursor = {.index = 1};
	int option = option_next(argc, argv, self, &cursor);
	if (option == -2)
		return EXIT_TROUBLE;
	if (option == 0)
		man_table();
	else if (cursor.index < argc)
		return help_on(argv[cursor.index]);
	else
		overview();
	return EXIT_DONE;
}
