/*
 * command: what mtrace.c's table and the cmd_*.c share. Exit codes (but the gate's): 0 done, 1 nothing found where
 * something was asked for, 2 usage or I/O. stdout is data, stderr is talk.
 */
#ifndef MTRACE_COMMAND_H
#define MTRACE_COMMAND_H

#include <stdbool.h>

enum { EXIT_DONE = 0, EXIT_NOTHING = 1, EXIT_TROUBLE = 2 };

/* One row of the table in mtrace.c. `options`: NULL-terminated rows for help, man page and nearest-match. */
struct command_option {
	const char *name;     /* "--json", "-o" */
	const char *argument; /* NULL: takes none */
	const char *help;
};

struct command {
	const char *name;
	const char *usage; /* "mtrace report [options] TARGET" */
	const char *summary;
	bool first;       /* one of the six shown first by help */
	int (*run)(int argc, char **argv, const struct command *self);
	const struct command_option *options;
};

extern const struct command commands[]; /* ends with a NULL name */

int cmd_run(int argc, char **argv, const struct command *self);
int cmd_report(int argc, char **argv, const struct command *self); /* report and leaks */
int cmd_export(int argc, char **argv, const struct command *self);
int cmd_ps(int argc, char **argv, const struct command *self);
int cmd_doctor(int argc, char **argv, const struct command *self);
int cmd_symbolize(int argc, char **argv, const struct command *self);
int cmd_version(int argc, char **argv, const struct command *self);
int cmd_help(int argc, char **argv, const struct command *self);

/* options.c: walks argv against self->options. Returns the next option's index in self->options, -1 at the first
   operand or the end, -2 after printing one line about an unknown option (with the nearest) or a missing argument.
   "--name=value", "--name value" and "-oVALUE" are accepted; "--" ends the options. */
struct option_cursor {
	int index;         /* next argv element; starts at 1 */
	const char *value; /* argument of the option just returned, NULL none */
};
int option_next(int argc, char **argv, const struct command *self, struct option_cursor *cursor);

/* die.c: one line on stderr, "mtrace: …", and exit(code). warn: the same without the exit. */
void die(int code, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* nearest.c: the entry of `names` (NULL-terminated) closest to `word`, or NULL when none is close. */
const char *nearest(const char *word, const char *const *names);

extern const char mtrace_version[];

#endif
