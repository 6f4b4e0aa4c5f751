/*
 * environment: the two variables by which a traced program differs from an untracked one.
 */
#ifndef MTRACE_RUN_ENVIRONMENT_H
#define MTRACE_RUN_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define ENVIRONMENT_OPTIONS_BYTES 4096

/* The text of MTRACE_OPTIONS, built from the user's own and what the command line adds. Later settings win. */
struct environment_options {
	char text[ENVIRONMENT_OPTIONS_BYTES];
	size_t used;
	bool full; /* something did not fit */
};

void environment_begin(struct environment_options *options); /* with the user's own MTRACE_OPTIONS, if set */
void environment_add(struct environment_options *options, const char *key, const char *value);

/* The value of the last `key=` in there, copied; "" when there is none. */
void environment_get(const struct environment_options *options, const char *key, char *out, size_t bytes);

/* Is "key=value" an option of the shim, with nothing in it that would split it? NULL, or what is wrong with it. */
const char *environment_check(const char *assignment);

/* Why that path cannot stand in LD_PRELOAD; NULL when it can. */
const char *environment_check_shim(const char *shim);

/* Sets LD_PRELOAD (shim first, what was there kept) and MTRACE_OPTIONS (with run= and pid= of the caller) in this
   process. `shim` NULL: leaves the environment as it is. Returns 0 or -errno. */
int environment_apply(struct environment_options *options, const char *shim, const char *run_id);

#endif
