/*
 * news: what the tracker tells the ring (ring.def says what each record has). Called within a hook, at any depth; as safe as
 * ring_put. A record is put after what it names was published.
 */
#ifndef MTRACE_NEWS_H
#define MTRACE_NEWS_H

#include "guard.h"
#include "ring.h"

/* kind: thread_start or thread_end. */
void news_thread(const struct thread_state *self, enum mtrace_ring_kind kind);

/* Makes a mark, and tells of it. */
void news_make_mark(const char *name, uint32_t flags);

/* For counts_grew: mappings and threads only count what was allocated, or go by their own tables, and are no news. */
void news_growth(uint32_t row, uint64_t was, uint64_t now);

/* A module that was not known, mapped at [start, end). */
void news_module(uint32_t id, uintptr_t start, uintptr_t end);

/* kind: map, unmap or remap of [start, end); small ones are no news. */
void news_mapping(enum mtrace_ring_kind kind, uint32_t row, uintptr_t start, uintptr_t end);

#endif
