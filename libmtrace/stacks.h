/*
 * stacks: every call stack once: frames interned by (kind, module, value), a trie of nodes (parent, frame), and a row
 * of counts where a stack ends. Ids are 32-bit, append-only, never freed; readers in other processes need no lock.
 * Lock-free, async-signal-safe. A lookup is a bucket, about two elements, and their cache lines.
 * Bound: the segment's cap; when full, the path is cut at a node [table full] and counted, the bytes still count.
 */
#ifndef MTRACE_STACKS_H
#define MTRACE_STACKS_H

#include <stdbool.h>
#include <stdint.h>

#include "format.h"
#include "plat.h"

/* Lays out the roots and the rows every kind falls back to. false: no room. */
bool stacks_init(void);

/* The frame's id, made when it is new; 0 when the table is full. */
uint32_t stacks_frame(enum mtrace_frame_kind kind, uint32_t module, uint64_t value, uint32_t flags);

/* The child of `parent` (a node or a kind's root) for `frame`; 0 when the table is full. */
uint32_t stacks_node(uint32_t parent, uint32_t frame);

/* The children that one thread found last: private to it, and true for ever, since nodes are never freed. */
enum { STACKS_CHILDREN_BITS = 10, STACKS_CHILDREN = 1 << STACKS_CHILDREN_BITS };
struct stacks_children {
	struct {
		uint64_t key; /* parent << 32 | frame, 0 none */
		uint32_t node;
		uint32_t reserved;
	} entry[STACKS_CHILDREN];
	uint32_t made; /* the last one that was new, and this thread's to make: who asks sets it to 0 before */
};

/* stacks_node, and remembers it. */
uint32_t stacks_find_child(struct stacks_children *children, uint32_t parent, uint32_t frame);

/* The nodes of `count` frames, 1 to STACKS_CHAIN, one below the other: the first is a child of `parent`, which is
   children->made. So all of them are new, unless another thread is faster, and what linking them reads is asked for all at
   once, not waited for node by node. Returns how many have their nodes; the others, if any, are to be asked for one by one. A
   race that is lost leaves the ids that were reserved for what is below unused. */
enum { STACKS_CHAIN = 16 };
uint32_t stacks_chain(struct stacks_children *children, uint32_t parent, const uint32_t *frames, uint32_t count,
		      uint32_t *nodes);

static inline uint32_t stacks_child_place(uint64_t key)
{
	return (uint32_t)((key ^ key >> 31) * 0x9e3779b97f4a7c15u >> (64 - STACKS_CHILDREN_BITS));
}

static inline uint32_t stacks_child(struct stacks_children *children, uint32_t parent, uint32_t frame)
{
	uint64_t key = (uint64_t)parent << 32 | frame;
	uint32_t place = stacks_child_place(key);
	if (likely(children->entry[place].key == key))
		return children->entry[place].node;
	return stacks_find_child(children, parent, frame);
}

/* ---- whole paths ----
 *
 * Where the node of a stack of many frames was found last, by a hash of all its frames: one line to look at, and then those of
 * the nodes themselves, from the innermost outwards, which were made one after the other and mostly lie so. Only believed when
 * each of them agrees. */

static inline uint64_t stacks_path(uint64_t outer, uint32_t frame)
{
	return (outer ^ frame) * 0x9e3779b97f4a7c15u;
}

/* Of frames that stand below `node`. */
static inline uint64_t stacks_path_below(uint32_t node)
{
	return stacks_path(0, node);
}

/* Perhaps the node of the path; 0: not known. */
uint32_t stacks_known_path(uint64_t path);
void stacks_note_path(uint64_t path, uint32_t node);

/* Its parent, if it is a node that ends in the frame; else 0. */
uint32_t stacks_parent(uint32_t node, uint32_t frame);

/* The row of the stack that ends in `node`; 0 when the table is full. *made becomes true when it is new. */
uint32_t stacks_row(uint32_t node, bool *made);

/* The kind of a row's stack, by way of its root. */
enum mtrace_kind stacks_kind(uint32_t row);

/* The row for events of `kind` whose stack could not be kept: a single marker frame. Never 0 after stacks_init. */
uint32_t stacks_fallback_row(enum mtrace_kind kind, enum mtrace_marker marker);

/* The frame of a marker. Never 0 after stacks_init. */
uint32_t stacks_marker_frame(enum mtrace_marker marker);

#endif
