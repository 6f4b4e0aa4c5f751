#include "workspace.h"

#include <string.h>

#include "epochs.h"
#include "slots.h"

/* ---- memory ------------------------------------------------------------------------------------------ */

/* Of all slots; a forked child has the parent's. */
static _Atomic uint64_t slots_touched;

/* Of the end of a list; one page may be shared with what follows. */
static uint64_t untouched(uint64_t elements, uint64_t size)
{
	uint64_t pages = elements * size / MTRACE_PAGE_BYTES;
	return pages > 1 ? (pages - 1) * MTRACE_PAGE_BYTES : 0;
}

/* At most: all of a slot but what the deepest walk has left of both lists of frames, and of their words. */
static uint64_t slot_bytes_touched(uint32_t deepest)
{
	uint32_t frames = UNWIND_MAX_DEPTH - deepest;
	uint64_t all = (offsetof(struct workspace, mixed_touched) + MTRACE_PAGE_BYTES - 1) &
	               ~(uint64_t)(MTRACE_PAGE_BYTES - 1);
	return all - 2 * untouched(frames, sizeof(struct memo_frame)) - untouched(2 * frames, sizeof(struct memo_word));
}

static void note_touched(uint64_t bytes)
{
	atomic_fetch_add_explicit(&slots_touched, bytes, memory_order_relaxed);
	segment_add_private(bytes);
}

/* Once when it is new, then as its thread's stack grows by a page of frames: a dozen times in all. Killed in between: a few
   pages are not told of. */
__attribute__((cold, noinline)) void workspace_note_deepest(struct workspace *work, uint32_t depth)
{
	enum { AT_A_TIME = MTRACE_PAGE_BYTES / sizeof(struct memo_frame) };
	uint32_t deepest = depth + AT_A_TIME < UNWIND_MAX_DEPTH ? depth + AT_A_TIME : UNWIND_MAX_DEPTH;
	uint64_t more = slot_bytes_touched(deepest) - (work->deepest ? slot_bytes_touched(work->deepest) : 0);
	work->deepest = deepest;
	note_touched(more);
}

/* At most: all but what lies between the frames at both ends of the list. */
static uint64_t mixed_bytes_touched(uint32_t frames)
{
	uint64_t all = offsetof(struct workspace, routes_touched) - offsetof(struct workspace, mixed_touched);
	uint64_t untouched = frames < MIXED_FRAMES / 2 ? (MIXED_FRAMES - 2 * frames) * sizeof(struct mixed_frame) : 0;
	return (all - untouched) & ~(uint64_t)(MTRACE_PAGE_BYTES - 1);
}

__attribute__((cold, noinline)) void workspace_note_mixed(struct workspace *work, uint32_t frames)
{
	uint64_t more =
		mixed_bytes_touched(frames) - (work->mixed_touched ? mixed_bytes_touched(work->mixed_touched) : 0);
	work->mixed_touched = frames;
	note_touched(more);
}

__attribute__((cold, noinline)) void workspace_note_routes(struct workspace *work)
{
	uint32_t bytes = routes_bytes(&work->routes);
	note_touched(bytes - work->routes_touched);
	work->routes_touched = bytes;
}

void workspace_begin_bytes(void)
{
	segment_add_private(SLOTS_OWNERS_BYTES + atomic_load_explicit(&slots_touched, memory_order_relaxed));
	unwind_count_bytes(&segment.hot->private_bytes);
}

/* ---- whose it is ------------------------------------------------------------------------------------- */

void workspace_mend(struct workspace *work)
{
	memo_forget(&work->memo);
	work->tenure += 1ull << 32;
	work->kind = MTRACE_KIND_NONE;
	if (work->mixed_touched) {
		work->deep_sp = 0;
		work->past.count = 0;
		mixed_memo_forget(&work->beyond);
	}
	counts_settle(&work->tallies);
}

static void forget_ids(struct workspace *work)
{
	memset(&work->near, 0, sizeof work->near);
	memset(&work->children, 0, sizeof work->children);
	if (work->mixed_touched)
		memset(&work->near_code, 0, sizeof work->near_code);
}

struct workspace *workspace_claim(void)
{
	uint32_t index, process = guard_process(atomic_load_explicit(&owner_page->generation, memory_order_relaxed));
	if (!process) /* a forked child, which goes on with a hook that its fork interrupted: none is prepared for it */
		return NULL;
	struct workspace *work = slots_claim(segment.pid, plat_tid(), sizeof *work, &index);
	if (!work)
		return NULL;
	work->slot = index;
	if (work->process == 0)
		work->recents.credit = RECENT_CREDIT;
	if (work->process != process) { /* new, or of the process that forked this one: its ids are another segment's */
		if (work->process)
			forget_ids(work);
		counts_prepare(&work->tallies, COUNTS_FOLD_OF_SLOTS + index);
	}
	work->process = process;
	if (!work->deepest)
		workspace_note_deepest(work, 0);
	workspace_mend(work);
	counts_enter_epoch(&work->tallies, epochs_now());
	return work;
}
