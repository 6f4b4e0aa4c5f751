/*
 * find: what target.c needs of find.c beyond read.h.
 */
#ifndef MTRACE_READ_FIND_H
#define MTRACE_READ_FIND_H

#include <stddef.h>

struct read_found;

/* Fills everything but the path from an open segment; -EINVAL or -ENODATA when it is none. */
int find_describe(int fd, struct read_found *found);

/* The usual directories below `root` ("" or "/proc/PID/root"). */
int find_segments_under(const char *root, struct read_found **found, size_t *count);

#endif
