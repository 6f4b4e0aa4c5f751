/*
 * exhaustions: when a JVM ran out of heap, metaspace or threads, and the largest classes of its heap then. Append-only, in
 * the segment; called by the tracker and by the agent's callback for it, which is no hook: one thread writes one record.
 * Bound: EXHAUSTIONS_OF_A_KIND for each combination of what is exhausted; more are counted.
 */
#ifndef MTRACE_EXHAUSTIONS_H
#define MTRACE_EXHAUSTIONS_H

#include <stdint.h>

#include "format.h"

enum { EXHAUSTIONS_OF_A_KIND = 8 };

/* Its id; 0: only counted. */
uint32_t exhaustions_add(uint32_t what, const char *text, uint32_t thread);

/* Largest first; then exhaustions_end_classes, once. Without room they are fewer. */
void exhaustions_add_class(uint32_t id, const char *signature, uint64_t objects, uint64_t bytes);
struct exhaustions_heap {
	uint64_t objects, bytes, pause_ns;
	enum mtrace_histogram histogram;
};
void exhaustions_end_classes(uint32_t id, const struct exhaustions_heap *heap);

#endif
