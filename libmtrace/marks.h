/*
 * marks: named instants put in by the program, or by `mtrace mark`. A mark ends an epoch (epochs.h), so that what its
 * thread did before is counted before it, and what any thread does once it can know of it, after. Append-only;
 * async-signal-safe. Bound: 16 000; then counted.
 */
#ifndef MTRACE_MARKS_H
#define MTRACE_MARKS_H

#include <stdint.h>

/* In place of an id: the mark lies between two cuts (cuts.h), and was only counted. */
#define MARKS_BETWEEN UINT32_MAX

/* The mark's id; 0 when the table is full. */
uint32_t marks_add(const char *name, uint32_t flags);

#endif
