/*
 * workspace: what one thread keeps for itself, in its slot: tallies, and what it remembers of the live table, the trie and
 * its walks. Called by event (who has it), capture and tracker (who use it).
 *
 * Only its own thread uses it, and never inside a signal handler that interrupted a hook; a hook that was left half way by a
 * jump leaves one that must be mended. It passes to the next thread of the slot; in a forked child it is a copy, whose
 * ids are another segment's. Private memory, counted as it is touched (design 5.1: bounded by SLOTS_MOST).
 */
#ifndef MTRACE_WORKSPACE_H
#define MTRACE_WORKSPACE_H

#include "counts.h"
#include "live.h"
#include "mixed.h"
#include "mixed_memo.h"
#include "stacks.h"
#include "unwind/memo.h"
#include "unwind/routes.h"

enum { DEPTH_MOST = 256 }; /* of depth= */

/* The nodes of the last stack that went through other languages, from the outermost frame inwards. */
struct mixed_past {
	uint32_t count, kind, end;
	struct {
		uint32_t tag, node;
	} at[DEPTH_MOST];
};

struct workspace {
	uint32_t slot;    /* its index */
	uint32_t process; /* of the owner page's generation: which process it was prepared for */
	uint32_t deepest; /* frames that it has had room for: what is beyond them was never touched */
	/* what the notes of the memo's frames are: nodes of stacks of `kind` that begin with frames[first] under `marker`;
	   or with frames[1] under the node `under`, which is 0 else. NONE: nothing */
	uint32_t kind, first, marker, under;
	uint32_t count, row; /* the row of all `count` frames */
	uint32_t walks;      /* or looks for a route in place of one */
	struct counts_tallies tallies;
	struct live_near near;
	struct stacks_children children;
	uint64_t tenure; /* counts what ends everything remembered of a stack, in its upper half */
	struct recents recents;
	struct memo memo;
	uint32_t
		mixed_touched; /* frames beyond native ones that there was room for; 0: what follows was never touched */
	uint32_t deep_left; /* walks from `deep_sp` or further in that are not given to `beyond`: capture.c */
	uintptr_t deep_sp;  /* 0: none are */
	struct mixed_past past;
	struct mixed_near near_code;
	struct mixed_memo beyond; /* of the memo's frames */
	uint32_t routes_touched;  /* bytes of what follows; 0: it was never used */
	struct routes routes;
};

/* For the calling thread; NULL: no slot to be had. What its last thread left stays true in one process but for the memo,
   which is of another stack. */
struct workspace *workspace_claim(void);

/* The hook that used it last was perhaps left half way: nothing remembered of a stack is looked at again. */
void workspace_mend(struct workspace *work);

/* Once per process: what other threads' slots, or the parent's, take already. */
void workspace_begin_bytes(void);

/* The slot was touched for a walk of `depth` frames, for stacks of other languages, for routes. Only when that is news: cold. */
void workspace_note_deepest(struct workspace *work, uint32_t depth);
void workspace_note_mixed(struct workspace *work, uint32_t frames);
void workspace_note_routes(struct workspace *work);

/* Whose stack, and under which rules: what was remembered under another stamp is not looked at. */
static inline uint64_t workspace_stamp(const struct workspace *work)
{
	return rules_epoch() + work->tenure;
}

#endif
