/*
 * plain: text that any format can hold: valid UTF-8, and of controls only tabs and line breaks. What a program is called, and
 * what a file of suppressions says, need be neither.
 */
#ifndef MTRACE_GATE_PLAIN_H
#define MTRACE_GATE_PLAIN_H

/* malloc'd; what no text may have (also in XML 1.0) is U+FFFD. NULL is "". Dies without memory. */
char *plain_text(const char *s);

#endif
