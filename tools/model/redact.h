/*
 * redact: hides values that look like passwords, tokens and keys in a command line, before it is shown or saved.
 *
 * Called by the readers on every command line (segment, recording of an older version, /proc/PID/cmdline). Works in
 * place on the strings it is given: none ever grows, the name of what was hidden stays ("--password=***"), and a
 * second pass changes nothing. It errs on the side of hiding too much. What has neither a telling name nor a known
 * shape cannot be recognised: a command line is no place for secrets, redacted or not.
 */
#ifndef MTRACE_REDACT_H
#define MTRACE_REDACT_H

#include <stddef.h>

/* Hides secrets in args[0..count). The strings must be writable. */
void redact_args(char **args, size_t count);

/* The same for one string on its own, such as a line of text that may hold a whole command. */
void redact_text(char *text);

#endif
