/*
 * log: one line on stderr, at most, and only on trouble or when asked (log=). Raw write, no stdio, errno untouched,
 * async-signal-safe. Never stdout.
 */
#ifndef MTRACE_LOG_H
#define MTRACE_LOG_H

/* When the library comes: from here on lines go to what is stderr now, and nowhere when that has become another file. */
void log_begin(void);

/* "libmtrace: <what><detail>; <cure>\n"; detail and cure may be NULL. Only the first call per image prints. */
void log_trouble(const char *what, const char *detail, const char *cure);

/* The same without the limit, for help=1 and log=start. */
void log_line(const char *text);

#endif
