/*
 * capture: from where an event began to the row of its stack: by what the thread remembers, else by a walk, through other
 * languages if it leads there, and the trie. Called by tracker; composes unwind, mixed and stacks in the thread's workspace.
 *
 * A row is there for every event: one that stands for a full table, or for no stack, if need be. Async-signal-safe,
 * re-entrant: a nested event has no workspace and walks into its own stack.
 */
#ifndef MTRACE_CAPTURE_H
#define MTRACE_CAPTURE_H

#include "event.h"
#include "format.h"

/* Once per process, after options and the rule cache. */
void capture_init(void);

/* The row of the event's stack. Never 0. */
uint32_t capture_row(const struct event *e, enum mtrace_kind kind, const struct unwind_start *at);

/* The same for a thread in its workspace, where capture_again knew nothing. */
uint32_t capture_changed(struct thread_state *self, enum mtrace_kind kind, const struct unwind_start *at);

/* The row of a stack seen lately, 0: look for it. *fp is the frame register, looked at only if it matters. */
static inline __attribute__((always_inline)) uint32_t capture_again(struct workspace *work, enum mtrace_kind kind,
								    uintptr_t pc, uintptr_t sp, const uintptr_t *fp)
{
	const struct recent *recent = recents_find(&work->recents, &work->memo, pc, sp, fp, workspace_stamp(work), kind);
	return likely(recent) ? recent->result : 0;
}

#endif
