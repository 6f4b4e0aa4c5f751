/*
 * save: the last step of a run, and of each snapshot: symbolise, write the recording; and point `last` at it. Symbolising
 * runs in a process of its own, so that debug information that crashes or stalls its reader costs the names only.
 */
#ifndef MTRACE_RUN_SAVE_H
#define MTRACE_RUN_SAVE_H

#include <stdbool.h>
#include <stddef.h>

struct profile;
struct read_error;

struct save_request {
	const char *output;
	bool output_is_ours; /* see companion.h */
	bool overwrite;
	bool symbols;
	bool numbered;   /* a name that is taken gets a number, in the directory that was named */
	unsigned number; /* the first to try; 0 and 1: the name without one */
	int hurry_fd; /* readable: stop symbolising, save now; -1 none */
};

/* Writes it; the path that was used is left in `path` (bytes >= 4096). 0, or -errno with the reason in error->text.
   *unnamed: it was saved without names, because of what `error` says. */
int save_profile(struct profile *profile, const struct save_request *request, char *path, bool *unnamed,
                 struct read_error *error);

/* Makes `last` point at it. Trouble is not worth a word: `last` is a convenience. */
void save_last_link(const char *path);

/* Child processes for the work: at idle priority, first to go when memory is short, and never a core file. */
void save_enter_background(void);

#endif
