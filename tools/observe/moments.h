/*
 * moments: recordings of one process, made one after the other (mtrace_snapshot(), `mtrace baseline`), as windows between
 * them. They may be given in any order. Cost: each is read once; of all but the last only the counts are kept.
 */
#ifndef MTRACE_MOMENTS_H
#define MTRACE_MOMENTS_H

#include <stddef.h>

#include "model/growth.h"
#include "read/read.h"

struct profile;

/* NULL and one line in error->text: one cannot be read, or is of another process. Else the profile of the latest, its
   first process the one that all have; series of `growth` are indices in its stacks. */
struct profile *moments_read(const char *const *targets, size_t count, struct growth *growth, struct read_error *error);

#endif
