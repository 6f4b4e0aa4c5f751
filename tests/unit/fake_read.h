/*
 * fake_read: what the reader makes of a fake segment, as of a process that lives or is dead.
 */
#ifndef TESTS_FAKE_READ_H
#define TESTS_FAKE_READ_H

#include <stdbool.h>

#include "fake_segment.h"
#include "model/profile.h"

/* The reader must take it, and see whether its writer is alive. The caller frees it. */
struct profile *fake_segment_read(const struct fake_segment *f, bool alive);

#endif
