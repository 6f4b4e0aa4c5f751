/*
 * marks: named instants put in by the program. Append-only; async-signal-safe, O(1). Bound: 16 000; then counted.
 */
#ifndef MTRACE_MARKS_H
#define MTRACE_MARKS_H

#include <stdint.h>

/* The mark's id; 0 when the table is full. */
uint32_t marks_add(const char *name, uint32_t flags);

#endif
