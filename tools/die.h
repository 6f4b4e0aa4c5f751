/*
 * die: the one line of talk. Everything mtrace says to a person that is not data goes through here, to stderr, as
 * "mtrace: …\n" in one write, so that lines of several processes do not mix.
 *
 * die() is for main and the commands (and for memory exhaustion anywhere); readers and emitters return errors.
 */
#ifndef MTRACE_DIE_H
#define MTRACE_DIE_H

/* One line on stderr, then exit(code). */
void die(int code, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));

/* The same without the exit. */
void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
