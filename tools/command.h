/*
 * command: what mtrace.c's table and the cmd_*.c share. Exit codes (but the gate's): 0 done, 1 nothing found where
 * something was asked for, 2 usage or I/O. stdout is data, stderr is talk.
 */
#ifndef MTRACE_COMMAND_H
#define MTRACE_COMMAND_H

#include <stdbool.h>

#include "die.h"

enum { EXIT_DONE = 0, EXIT_NOTHING = 1, EXIT_TROUBLE = 2 };

/* One row of the table in mtrace.c. `options`: NULL-terminated rows for help, man page and nearest-match. */
struct command_option {
	const char *name;     /* "--json", "-o" */
	const char *argument; /* NULL: takes none; "[=WORD]": may have one, behind a '=' */
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

/* Options of a command: defined in the cmd_*.c that reads them (name NULL ends them), named here so that the table
   in mtrace.c can point at them. `--help` is understood by every command and stands in no table. */
extern const struct command_option cmd_run_options[];
extern const struct command_option cmd_report_options[];
extern const struct command_option cmd_leaks_options[];
extern const struct command_option cmd_follow_options[];
extern const struct command_option cmd_gate_options[];
extern const struct command_option cmd_export_options[];
extern const struct command_option cmd_ps_options[];
extern const struct command_option cmd_doctor_options[];
extern const struct command_option cmd_symbolize_options[];
extern const struct command_option cmd_diff_options[];
extern const struct command_option cmd_baseline_options[];
extern const struct command_option cmd_mark_options[];
extern const struct command_option cmd_snap_options[];
extern const struct command_option cmd_attach_options[];
extern const struct command_option cmd_detach_options[];
extern const struct command_option cmd_jvm_options[];
extern const struct command_option cmd_supp_options[];
extern const struct command_option cmd_help_options[];

int cmd_run(int argc, char **argv, const struct command *self);
int cmd_report(int argc, char **argv, const struct command *self); /* report and leaks */
int cmd_follow(int argc, char **argv, const struct command *self);
int cmd_follow_on(const char *target); /* after its report: from now on, if it is traced and lives */
int cmd_gate(int argc, char **argv, const struct command *self);
int cmd_export(int argc, char **argv, const struct command *self);
int cmd_ps(int argc, char **argv, const struct command *self);
int cmd_doctor(int argc, char **argv, const struct command *self);
int cmd_symbolize(int argc, char **argv, const struct command *self);
int cmd_diff(int argc, char **argv, const struct command *self);
int cmd_baseline(int argc, char **argv, const struct command *self);
int cmd_mark(int argc, char **argv, const struct command *self);
int cmd_snap(int argc, char **argv, const struct command *self);
int cmd_attach(int argc, char **argv, const struct command *self); /* attach and detach */
int cmd_jvm(int argc, char **argv, const struct command *self);
int cmd_supp(int argc, char **argv, const struct command *self);
int cmd_version(int argc, char **argv, const struct command *self);
int cmd_help(int argc, char **argv, const struct command *self);
int cmd_absent(int argc, char **argv, const struct command *self); /* named by the design, not in this version */

/* options.c: walks argv against self->options. Returns the next option's index in self->options, -1 at the first
   operand or the end, -2 after printing one line about an unknown option (with the nearest) or a missing argument.
   "--name=value", "--name value" and "-oVALUE" are accepted; "--" ends the options. */
struct option_cursor {
	int index;         /* next argv element; starts at 1 */
	const char *value; /* argument of the option just returned, NULL none */
	bool ended;        /* "--" was seen: only operands follow */
};
int option_next(int argc, char **argv, const struct command *self, struct option_cursor *cursor);

/* The same for commands whose options may stand after the operands: -3 with cursor->value at an operand, -1 at the
   end only. */
int option_or_operand(int argc, char **argv, const struct command *self, struct option_cursor *cursor);

/* options.c: "--help" (or "-h") among the options prints this on stdout and exits 0: a command sees none of it. */
void command_help(const struct command *self);

/* nearest.c: the entry of `names` (NULL-terminated) closest to `word`, or NULL when none is close. */
const char *nearest(const char *word, const char *const *names);

extern const char mtrace_version[];

#endif
