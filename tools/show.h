/*
 * show: what commands that show a profile have in common: the target opened and its frames named, and the place where
 * the output goes. Messages are made here, since only commands call it.
 */
#ifndef MTRACE_SHOW_H
#define MTRACE_SHOW_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "emit/emit.h"

struct profile;
struct profile_process;

/* Reads the target and names its frames (again with `search` directories); TARGET@MARK: as it was at that mark. NULL
   after one line on stderr. */
struct profile *show_open(const char *command, const char *target, const char *const *search);

/* The same for a profile that was read already. */
void show_name(struct profile *p, const char *const *search);

/* Takes an operand, of which there may be one. false after one line on stderr. */
bool show_one_target(const char *command, const char **target, const char *value);

/* A size (2g, 512m, 1000000) and a duration (90s, 10m, 2h) that OPTION was given. false after one line on stderr. */
bool show_size(const char *command, const char *option, const char *text, uint64_t *bytes);
bool show_duration(const char *command, const char *option, const char *text, uint64_t *ns);

/* NULL: stdout. "-" too. -1 after one line on stderr. */
int show_output(const char *command, const char *path, FILE **out);
int show_close(const char *command, const char *path, FILE *out); /* -1 when not all was written */

/* Is DIR of --search a directory? false after one line on stderr. */
bool show_is_directory(const char *command, const char *path);

/* Which of `names`, which end with NULL, is the word that OPTION was given? -1 after one line on stderr. */
int show_choice(const char *command, const char *option, const char *word, const char *const *names);
bool show_by(const char *command, const char *word, enum emit_by *by); /* --by, likewise */

/* A number of rows for -n; false after one line on stderr. */
bool show_number(const char *command, const char *text, uint32_t *number);

/* Color, and how many columns, when it goes to a terminal; else neither is changed. */
void show_dress(FILE *out, bool *color, uint32_t *columns);

/* Ends with ".json" and the like? */
bool show_has_extension(const char *path, const char *extension);

/* Why a run recorded no allocation, in one clause. NULL when it did record some (or was read from outside). */
const char *show_why_nothing(const struct profile_process *process);

/* EXIT_DONE; EXIT_NOTHING after one line on stderr when no process of it recorded any: one that only execs may well have. */
int show_recorded(const char *command, const char *target, const struct profile *p);

#endif
