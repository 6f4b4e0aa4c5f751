#include "tracker.h"

#include <errno.h>
#include <string.h>

#include "control.h"
#include "counts.h"
#include "epochs.h"
#include "history.h"
#include "marks.h"
#include "mixed.h"
#include "modules.h"
#include "options.h"
#include "regions.h"
#include "ring.h"
#include "segment.h"
#include "slots.h"
#include "stacks.h"
#include "threads.h"
#include "unwind/memo.h"

enum { DEPTH_USUAL = 128, DEPTH_MOST = 256 };
#define SKIPPED UINT32_MAX /* the tag of our own frames: not part of the program's stack */

/* The nodes of the last stack that went through other languages, from the outermost frame inwards. */
struct mixed_past {
	uint32_t count, kind, end;
	struct {
		uint32_t tag, node;
	} at[DEPTH_MOST];
};

/* A thread's slot. Only its own thread uses it, and never inside a signal handler that interrupted a hook. */
struct workspace {
	uint32_t slot;      /* its index */
	uint32_t process;   /* of the owner page's generation: which process it was prepared for */
	uint32_t deepest;   /* frames that it has had room for: what is beyond them was never touched */
	/* what the notes of the memo's frames are: nodes of stacks of `kind` that begin with frames[first] under `marker`;
	   NONE: nothing */
	uint32_t kind, first, marker;
	uint32_t count, row; /* the row of all `count` frames */
	struct counts_tallies tallies;
	struct live_near near;
	struct stacks_children children;
	uint64_t tenure;    /* counts what ends everything remembered of a stack, in its upper half */
	struct recents recents;
	struct memo memo;
	bool has_mixed;     /* what follows was touched: the thread's stacks have gone through another language */
	struct mixed_past past;
	struct mixed_near mixed;
};

static struct plat_object own_object, loader_object;
static enum { WALK_MEMO, WALK_RULES, WALK_LIBUNWIND, WALK_NONE } walk_by;

static void find_object(uintptr_t address, struct plat_object *object)
{
	if (!plat_find_object(address, object))
		memset(object, 0, sizeof *object);
}

static bool is_in(const struct plat_object *object, uintptr_t address)
{
	return address - object->start < object->end - object->start;
}

/* ---- memory of our own ------------------------------------------------------------------------------- */

/* Of all slots; a forked child has the parent's. */
static _Atomic uint64_t slots_touched;

/* At most: all of a slot but the pages behind the deepest walk, in both lists of frames (of which one page may be shared). */
static uint64_t slot_bytes_touched(uint32_t deepest)
{
	uint64_t pages = (UNWIND_MAX_DEPTH - deepest) * sizeof(struct memo_frame) / MTRACE_PAGE_BYTES;
	uint64_t all = (offsetof(struct workspace, has_mixed) + MTRACE_PAGE_BYTES - 1) & ~(uint64_t)(MTRACE_PAGE_BYTES - 1);
	return all - (pages > 1 ? 2 * (pages - 1) * MTRACE_PAGE_BYTES : 0);
}

/* Once when it is new, then as its thread's stack grows by a page of frames: ten times in all. Killed in between: a few
   pages are not told of. */
static __attribute__((cold, noinline)) void note_deepest(struct workspace *work, uint32_t depth)
{
	enum { AT_A_TIME = MTRACE_PAGE_BYTES / sizeof(struct memo_frame) };
	uint32_t deepest = depth + AT_A_TIME < UNWIND_MAX_DEPTH ? depth + AT_A_TIME : UNWIND_MAX_DEPTH;
	uint64_t more = slot_bytes_touched(deepest) - (work->deepest ? slot_bytes_touched(work->deepest) : 0);
	work->deepest = deepest;
	atomic_fetch_add_explicit(&slots_touched, more, memory_order_relaxed);
	segment_add_private(more);
}

static __attribute__((cold, noinline)) void note_mixed(struct workspace *work)
{
	uint64_t more = (sizeof *work - offsetof(struct workspace, has_mixed)) & ~(uint64_t)(MTRACE_PAGE_BYTES - 1);
	work->has_mixed = true;
	atomic_fetch_add_explicit(&slots_touched, more, memory_order_relaxed);
	segment_add_private(more);
}

static void begin_private_bytes(void)
{
	segment_add_private(SLOTS_OWNERS_BYTES + atomic_load_explicit(&slots_touched, memory_order_relaxed));
	unwind_count_bytes(&segment.hot->private_bytes);
}

/* Mappings and threads only count what was allocated, or go by their own tables. */
static void tell_growth(uint32_t row, uint64_t was, uint64_t now)
{
	if (ring_power_crossed(was, now) && stacks_kind(row) == MTRACE_KIND_MALLOC)
		ring_put_grow(row, was, now);
}

bool tracker_init(void)
{
	find_object((uintptr_t)&tracker_init, &own_object);
	find_object(plat_loader_base(), &loader_object);
	begin_private_bytes();
	walk_by = options.memo ? WALK_MEMO : WALK_RULES;
	if (!strcmp(options.unwind, "none"))
		walk_by = WALK_NONE;
	if (!strcmp(options.unwind, "libunwind") && unwind_libunwind_init())
		walk_by = WALK_LIBUNWIND;
	counts_grew = tell_growth;
	ring_init();
	control_init();
	return stacks_init() && live_init() && epochs_init(options.epoch) && history_init() && counts_init() &&
	       regions_init() && slots_init() && unwind_init() && mixed_init();
}

/* ---- in and out -------------------------------------------------------------------------------------- */

/* The hook that used it last was perhaps left half way. */
static void mend_workspace(struct workspace *work)
{
	memo_forget(&work->memo);
	work->tenure += 1ull << 32;
	work->kind = MTRACE_KIND_NONE;
	if (work->has_mixed)
		work->past.count = 0;
	counts_settle(&work->tallies);
}

static void forget_ids(struct workspace *work)
{
	memset(&work->near, 0, sizeof work->near);
	memset(&work->children, 0, sizeof work->children);
	if (work->has_mixed)
		memset(&work->mixed, 0, sizeof work->mixed);
}

/* A slot brings its last thread's tallies and children, which stay true in one process, and a memo of another stack. */
static struct workspace *claim_workspace(void)
{
	uint32_t index, process = (uint32_t)(atomic_load_explicit(&owner_page->generation, memory_order_relaxed) >> 32);
	struct workspace *work = slots_claim(segment.header->pid, plat_tid(), sizeof *work, &index);
	if (!work)
		return NULL;
	work->slot = index;
	if (work->process == 0)
		work->recents.credit = RECENT_CREDIT;
	if (work->process != process) { /* new, or of the process that forked this one: its ids are another segment's */
		if (work->process)
			forget_ids(work);
		counts_prepare(&work->tallies, index);
	}
	work->process = process;
	if (!work->deepest)
		note_deepest(work, 0);
	mend_workspace(work);
	counts_enter_epoch(&work->tallies, epochs_now());
	return work;
}

static void tell_thread(const struct thread_state *self, enum mtrace_ring_kind kind)
{
	struct mtrace_thread *t = self->record;
	struct ring_record news = {.kind = kind, .thread = self->id, .value[0] = plat_tid()};
	if (kind == MTRACE_RING_thread_start) {
		news.subject = atomic_load_explicit(&t->row, memory_order_relaxed);
		news.value[1] = atomic_load_explicit(&t->stack_bytes, memory_order_relaxed);
	}
	news.value[2] = atomic_load_explicit(&t->name[0], memory_order_relaxed);
	news.value[3] = atomic_load_explicit(&t->name[1], memory_order_relaxed);
	ring_put(&news);
}

/* `entered` meanwhile: see in_forked_child of boot. */
static __attribute__((cold, noinline)) void begin_thread(struct thread_state *self, const struct thread_birth *birth)
{
	threads_enter(self, birth);
	self->work = claim_workspace();
	self->entered = (uintptr_t)__builtin_frame_address(0);
	atomic_signal_fence(memory_order_seq_cst);
	if (self->id)
		tell_thread(self, MTRACE_RING_thread_start);
	atomic_signal_fence(memory_order_seq_cst);
	self->entered = 0;
}

static void make_mark(const char *name, uint32_t flags)
{
	struct ring_record news = {.kind = MTRACE_RING_mark, .thread = thread_self.id};
	news.value[0] = marks_add(name, flags);
	news.value[1] = (flags & MTRACE_MARK_SNAPSHOT) != 0;
	ring_text(&news.value[2], name ? name : "");
	ring_put(&news);
}

/* The thread is new, or its process is; or a new epoch began, and the thread's next look at the clock, which is this
   event's unless a handler makes it, sees to that. acquire: epochs.h, E1. */
static __attribute__((cold, noinline)) void catch_up(struct thread_state *self)
{
	uint64_t generation = atomic_load_explicit(&owner_page->generation, memory_order_acquire);
	if (self->generation >> 32 != generation >> 32) {
		begin_thread(self, NULL);
		return;
	}
	self->events_left = 0;
	self->generation = generation;
}

/* Only in the outermost hook of a thread. */
static __attribute__((cold, noinline)) void look_around(struct thread_state *self)
{
	threads_look_at_clock(self);
	epochs_look(self->tick);
	control_look(make_mark);
	ring_watch(self->id, self->tick);
	if (self->work)
		counts_enter_epoch(&self->work->tallies, epochs_now());
}

/* One call of a hook. */
struct event {
	struct thread_state *self;
	struct workspace *work; /* NULL: none to be had, or a hook that a handler interrupted has it */
	bool nested;
};

/* A handler that interrupted a hook runs further in by its signal frame at least; less is a call from the same depth. */
enum { SIGNAL_FRAME_LEAST = 512 };

static bool is_on_own_stack(const struct thread_state *self, uintptr_t address)
{
	return address - self->stack_low < self->stack_high - self->stack_low;
}

/* A signal stack may be part of the thread's own: only the kernel knows. */
static bool is_on_another_stack(const struct thread_state *self, uintptr_t here)
{
	uintptr_t low, high;
	return !is_on_own_stack(self, here) ||
	       (plat_signal_stack(&low, &high) && here - low < high - low && self->entered - low >= high - low);
}

/* A signal handler interrupted a hook; or a hook was left by a jump out of a handler, and we run where it cannot still be:
   further out on the same stack, or on the thread's own while it was on another. */
static __attribute__((cold, noinline)) bool is_nested(const struct thread_state *self, uintptr_t here)
{
	if (is_on_another_stack(self, here) ||
	    (is_on_own_stack(self, self->entered) && here + SIGNAL_FRAME_LEAST < self->entered))
		return true;
	if (self->work)
		mend_workspace(self->work);
	return false;
}

static inline bool is_current(const struct thread_state *self)
{
	return likely(self->generation == atomic_load_explicit(&owner_page->generation, memory_order_relaxed));
}

/* `entered` decides whose the workspace is, by one store: a handler that comes before it has come and gone.
   `inside` is what a crash report looks at: stored before anything else of ours runs in this event. */
static inline void go_in(struct thread_state *self, uintptr_t here)
{
	self->entered = here;
	atomic_signal_fence(memory_order_seq_cst);
	atomic_store_explicit(&self->record->inside, 1, memory_order_relaxed);
	if (threads_tick_due(self))
		look_around(self);
}

static inline void go_out(struct thread_state *self)
{
	atomic_store_explicit(&self->record->inside, 0, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	self->entered = 0;
}

static inline __attribute__((always_inline)) struct event enter_at(uintptr_t here)
{
	struct thread_state *self = &thread_self;
	if (unlikely(!is_current(self)))
		catch_up(self);
	if (unlikely(self->entered) && is_nested(self, here))
		return (struct event){.self = self, .nested = true};
	go_in(self, here);
	return (struct event){.self = self, .work = self->work};
}

static inline __attribute__((always_inline)) struct event enter(void)
{
	return enter_at((uintptr_t)__builtin_frame_address(0));
}

static inline void leave(const struct event *e)
{
	if (likely(!e->nested))
		go_out(e->self);
}

/* The usual event: its thread is known, has a workspace, and is in no other hook. */
static inline bool enter_simply(struct thread_state *self, uintptr_t here)
{
	if (unlikely(!is_current(self)) || unlikely(self->entered) || unlikely(!self->work))
		return false;
	go_in(self, here);
	return true;
}

static inline struct counts_tallies *tallies_of(const struct event *e)
{
	return likely(e->work) ? &e->work->tallies : NULL;
}

/* ---- from a walk to a row ------------------------------------------------------------------------------ */

static uint32_t module_of(const struct plat_object *object)
{
	bool news;
	uint32_t id = modules_of(object, &news);
	if (news)
		ring_put(&(struct ring_record){.kind = MTRACE_RING_module_map, .thread = thread_self.id, .subject = id,
					       .value = {object->start, object->end}});
	return id;
}

/* The frame's id, found anew for a pc whose tag is not known: its module is looked up and the frame interned. */
static __attribute__((cold, noinline)) uint32_t resolve_frame(uintptr_t pc, bool exact)
{
	struct plat_object object;
	uintptr_t code = pc - !exact;
	uint32_t id, flags = exact ? MTRACE_FRAME_EXACT : 0;
	if (is_in(&own_object, code))
		id = SKIPPED;
	else if (plat_find_object(code, &object))
		id = stacks_frame(MTRACE_FRAME_NATIVE, module_of(&object), pc - object.bias, flags);
	else
		id = stacks_frame(MTRACE_FRAME_ABSOLUTE, 0, pc, flags);
	if (id)
		unwind_set_tag(pc, exact, id);
	return id;
}

static __attribute__((cold, noinline)) uint32_t full_row(enum mtrace_kind kind)
{
	segment_count(MTRACE_COUNTER_drop_stacks_full);
	return stacks_fallback_row(kind, MTRACE_MARKER_TABLE_FULL);
}

static __attribute__((cold)) void count_truncated(enum unwind_end end)
{
	if (end == UNWIND_VIRTUAL) /* all that is the thread's own is there */
		return;
	segment_count(MTRACE_COUNTER_truncated_stacks);
	switch (end) {
	case UNWIND_TOO_DEEP: segment_count(MTRACE_COUNTER_stacks_too_deep); break;
	case UNWIND_NO_RULES: segment_count(MTRACE_COUNTER_stacks_no_rules); break;
	case UNWIND_LOST: segment_count(MTRACE_COUNTER_stacks_lost_in_java); break;
	case UNWIND_BAD_RULES: segment_count(MTRACE_COUNTER_stacks_bad_rules); break;
	default: segment_count(MTRACE_COUNTER_stacks_unreadable); break;
	}
}

/* Code without rules is JIT code nearly always; its address says nothing and would split one stack into many. */
static bool is_nameless_end(size_t count, uintptr_t outermost, uint32_t tag, enum unwind_end end)
{
	struct plat_object object;
	return count >= 2 && end == UNWIND_NO_RULES && !tag && !plat_find_object(outermost - 1, &object);
}

/* The loader's first instructions, which run the constructors of a starting program, have no rules: nothing called
   them. */
static enum unwind_end judge_end(uintptr_t outermost, enum unwind_end end)
{
	return end == UNWIND_NO_RULES && is_in(&loader_object, outermost) ? UNWIND_WHOLE : end;
}

static uint32_t root_of(enum mtrace_kind kind, enum unwind_end end)
{
	return likely(end == UNWIND_WHOLE) ? (uint32_t)kind : stacks_node(kind, stacks_marker_frame((enum mtrace_marker)end));
}

/* 0: the table is full. */
static uint32_t row_of_known_node(uint32_t node, enum unwind_end end)
{
	bool made = false;
	uint32_t row = stacks_row(node, &made);
	if (unlikely(made && end != UNWIND_WHOLE))
		count_truncated(end);
	return row;
}

static uint32_t row_of_node(enum mtrace_kind kind, uint32_t node, enum unwind_end end)
{
	uint32_t row = likely(node) ? row_of_known_node(node, end) : 0;
	return likely(row) ? row : full_row(kind);
}

/* From the outermost frame inwards: root of the kind, marker if the walk is not whole, frames. */
static uint32_t row_of(enum mtrace_kind kind, const struct unwind_frame *frames, size_t count, enum unwind_end end)
{
	if (unlikely(end != UNWIND_WHOLE && count)) {
		end = judge_end(frames[count - 1].pc, end);
		count -= is_nameless_end(count, frames[count - 1].pc, frames[count - 1].tag, end);
	}
	uint32_t node = root_of(kind, end);
	while (count-- > 0 && node) {
		uint32_t id = frames[count].tag;
		if (unlikely(!id) && !(id = resolve_frame(frames[count].pc, frames[count].exact)))
			return full_row(kind);
		if (likely(id != SKIPPED))
			node = stacks_node(node, id);
	}
	return row_of_node(kind, node, end);
}

static __attribute__((noinline)) size_t walk_with_libunwind(const struct unwind_start *at,
							    const struct unwind_bounds *bounds,
							    struct unwind_frame *frames, size_t keep,
							    enum unwind_end *end)
{
	int saved = errno;
	size_t count = unwind_libunwind_walk(at, bounds, frames, keep, end);
	errno = saved;
	return count;
}

static inline __attribute__((always_inline)) uint32_t capture_with(const struct event *e, enum mtrace_kind kind,
								   const struct unwind_start *at,
								   struct unwind_frame *frames, size_t keep)
{
	struct unwind_bounds bounds = {e->self->stack_low, e->self->stack_high};
	struct unwind_start last = *at;
	enum unwind_end end = UNWIND_WHOLE;
	size_t count = likely(walk_by <= WALK_RULES) ? unwind_walk_on(&last, &bounds, frames, keep, &end)
						     : walk_with_libunwind(at, &bounds, frames, keep, &end);
	if (unlikely(end == UNWIND_NO_RULES) && walk_by <= WALK_RULES && mixed_goes_on(last.pc))
		count = mixed_walk(&last, &bounds, NULL, frames, count, keep, &end);
	return row_of(kind, frames, count, end);
}

static __attribute__((noinline)) uint32_t capture_deep(const struct event *e, enum mtrace_kind kind,
						       const struct unwind_start *at)
{
	struct unwind_frame frames[DEPTH_MOST];
	return capture_with(e, kind, at, frames, options.depth);
}

static __attribute__((noinline)) uint32_t capture_usual(const struct event *e, enum mtrace_kind kind,
							const struct unwind_start *at)
{
	struct unwind_frame frames[DEPTH_USUAL];
	return capture_with(e, kind, at, frames, options.depth);
}

/* Frames go where the memo would have put them; on the host's stack only where there is no workspace to use. */
static uint32_t capture_plainly(const struct event *e, enum mtrace_kind kind, const struct unwind_start *at)
{
	if (likely(e->work))
		return capture_with(e, kind, at, e->work->memo.plain, options.depth);
	return options.depth > DEPTH_USUAL ? capture_deep(e, kind, at) : capture_usual(e, kind, at);
}

/* ---- from the memo to a row ------------------------------------------------------------------------------ */

/* The memo holds up to 1 024 frames; a stack is the innermost depth= of them. */
struct extent {
	uint32_t first; /* outermost frame kept */
	enum unwind_end end;
};

static struct extent extent_of(const struct memo *m)
{
	struct extent x = {0, (enum unwind_end)m->end};
	if (unlikely(m->count > options.depth))
		return (struct extent){m->count - (uint32_t)options.depth, UNWIND_TOO_DEEP};
	if (unlikely(x.end != UNWIND_WHOLE)) {
		uintptr_t outermost = memo_pc(&m->frames[0]);
		x.end = judge_end(outermost, x.end);
		x.first = is_nameless_end(m->count, outermost, m->frames[0].tag, x.end);
	}
	return x;
}

/* Notes the nodes of frames[from .. count), whose outside neighbour's node is `node`. 0: the table is full. */
static inline uint32_t note_nodes(struct workspace *work, uint32_t from, uint32_t node)
{
	struct memo *m = &work->memo;
	for (struct memo_frame *f = m->frames + from, *end = m->frames + m->count; f != end; f++) {
		if (unlikely(!f->tag))
			f->tag = resolve_frame(memo_pc(f), f->flags & MEMO_EXACT);
		if (unlikely(!f->tag))
			return 0;
		if (likely(f->tag != SKIPPED) && !(node = stacks_child(&work->children, node, f->tag)))
			return 0;
		f->note = node;
	}
	return node;
}

/* The outermost `kept` frames are as they were at the last capture. */
static void row_of_memo(struct workspace *work, enum mtrace_kind kind, uint32_t kept)
{
	struct extent x = extent_of(&work->memo);
	bool noted = work->kind == kind && work->first == x.first && work->marker == x.end && kept > x.first;
	uint32_t from = noted ? kept : x.first;
	uint32_t node = note_nodes(work, from, noted ? work->memo.frames[kept - 1].note : root_of(kind, x.end));
	uint32_t row = node ? row_of_known_node(node, x.end) : 0;
	work->kind = row ? kind : MTRACE_KIND_NONE; /* the next event of this stack looks again, and is counted as well */
	work->first = x.first;
	work->marker = x.end;
	work->count = work->memo.count;
	work->row = row ? row : full_row(kind);
}

/* libunwind allocates and takes locks: a walk inside a walk is refused. */
static bool cannot_walk(const struct event *e)
{
	return walk_by == WALK_NONE || (walk_by == WALK_LIBUNWIND && e->nested);
}

static __attribute__((noinline)) uint32_t capture_otherwise(const struct event *e, enum mtrace_kind kind,
							    const struct unwind_start *at)
{
	if (unlikely(cannot_walk(e)))
		return stacks_fallback_row(kind, MTRACE_MARKER_NO_STACK);
	return capture_plainly(e, kind, at);
}

/* row_of; outer frames that are as they were at the last such capture have the nodes that they had. */
static uint32_t row_of_mixed(struct workspace *work, enum mtrace_kind kind, struct unwind_frame *frames, size_t count,
			     enum unwind_end end)
{
	struct mixed_past *past = &work->past;
	uint32_t same = past->kind == kind && past->end == end ? past->count : 0, n = (uint32_t)count;
	uint32_t node = root_of(kind, end);
	if (unlikely(end == UNWIND_NO_RULES || count > DEPTH_MOST)) /* its outermost frame may have to go */
		return row_of(kind, frames, count, end);
	past->count = 0; /* nothing is kept of a capture that is left half way */
	atomic_signal_fence(memory_order_seq_cst);
	for (uint32_t i = 0; i < n && node; i++) {
		struct unwind_frame *f = &frames[n - 1 - i];
		if (unlikely(!f->tag) && !(f->tag = resolve_frame(f->pc, f->exact)))
			return full_row(kind);
		same = i < same && past->at[i].tag == f->tag ? same : 0;
		node = same ? past->at[i].node : f->tag == SKIPPED ? node : stacks_child(&work->children, node, f->tag);
		past->at[i].tag = f->tag;
		past->at[i].node = node;
	}
	past->kind = kind;
	past->end = end;
	atomic_signal_fence(memory_order_seq_cst);
	past->count = node ? n : 0;
	return row_of_node(kind, node, end);
}

/* The memo has the native frames as far as rules go. What comes of the whole stack is not remembered: its other part is
   not compared. */
static __attribute__((noinline)) uint32_t capture_mixed(struct thread_state *self, enum mtrace_kind kind)
{
	struct unwind_bounds bounds = {self->stack_low, self->stack_high};
	struct memo *m = &self->work->memo;
	const struct memo_frame *last = &m->frames[0];
	struct unwind_start at = {memo_pc(last), last->sp, last->fp};
	enum unwind_end end = UNWIND_TOO_DEEP;
	size_t count = 0;
	if (unlikely(!self->work->has_mixed))
		note_mixed(self->work);
	for (uint32_t i = m->count; i-- > 0 && count < options.depth; count++) {
		struct memo_frame *f = &m->frames[i];
		if (unlikely(!f->tag) && i > 0)
			f->tag = resolve_frame(memo_pc(f), f->flags & MEMO_EXACT);
		m->plain[count] = (struct unwind_frame){memo_pc(f), f->tag, f->flags & MEMO_EXACT};
	}
	if (likely(m->count <= options.depth))
		count = mixed_walk(&at, &bounds, &self->work->mixed, m->plain, count, options.depth, &end);
	self->work->kind = MTRACE_KIND_NONE;
	return row_of_mixed(self->work, kind, m->plain, count, end);
}

/* Whose stack, and under which rules: what was remembered under another stamp is not looked at. */
static inline uint64_t stamp_of(const struct workspace *work)
{
	return rules_epoch() + work->tenure;
}

/* Not remembered: a row that stands for another. */
static __attribute__((noinline)) uint32_t capture_changed(struct thread_state *self, enum mtrace_kind kind,
							  const struct unwind_start *at)
{
	struct unwind_bounds bounds = {self->stack_low, self->stack_high};
	struct workspace *work = self->work;
	uint64_t stamp = stamp_of(work);
	uint32_t kept = walk_by == WALK_MEMO ? memo_walk(&work->memo, at, &bounds) : MEMO_CANNOT;
	if (unlikely(kept == MEMO_CANNOT))
		return capture_otherwise(&(struct event){.self = self, .work = work}, kind, at);
	if (unlikely(work->memo.count > work->deepest))
		note_deepest(work, work->memo.count);
	if (unlikely(work->memo.end == UNWIND_NO_RULES) && mixed_goes_on(memo_pc(&work->memo.frames[0])))
		return capture_mixed(self, kind);
	if (kept != work->count || kept != work->memo.count || work->kind != kind)
		row_of_memo(work, kind, kept);
	if (likely(work->kind == kind))
		recents_remember(&work->recents, &work->memo, at, kept, stamp, kind, work->row);
	return work->row;
}

/* The row of a stack seen lately, 0: look for it. */
static inline __attribute__((always_inline)) uint32_t capture_again(struct workspace *work, enum mtrace_kind kind,
								    const struct unwind_start *at)
{
	const struct recent *recent = recents_find(&work->recents, &work->memo, at, stamp_of(work), kind);
	return likely(recent) ? recent->result : 0;
}

static uint32_t capture(const struct event *e, enum mtrace_kind kind, const struct unwind_start *at)
{
	struct workspace *work = e->work;
	if (unlikely(!work))
		return capture_otherwise(e, kind, at);
	uint32_t row = capture_again(work, kind, at);
	return likely(row) ? row : capture_changed(e->self, kind, at);
}

/* ---- blocks ---------------------------------------------------------------------------------------- */

static inline void count_live(const struct event *e, int64_t bytes)
{
	if (likely(!e->nested))
		counts_live(e->self, bytes);
	else
		counts_add_live(bytes);
}

static inline struct live_block new_block(const struct thread_state *self, uint32_t row, size_t size)
{
	return (struct live_block){.row = row, .side = self->side, .size = size};
}

static inline __attribute__((always_inline)) void record_freed(const struct event *e, enum mtrace_family family,
							       const struct live_block *old)
{
	counts_freed(tallies_of(e), old->row, old->size);
	if (family == MTRACE_FAMILY_MALLOC)
		count_live(e, -(int64_t)old->size);
}

static __attribute__((cold, noinline)) void record_unknown_free(const struct event *e, const void *p)
{
	if (p == e->self->deleting) /* its operator delete has recorded it */
		return;
	segment_count(segment.header->forked ? MTRACE_COUNTER_inherited_frees : MTRACE_COUNTER_unknown_frees);
}

static __attribute__((noinline)) void insert_block(const struct event *e, enum mtrace_family family, uintptr_t p,
						   const struct live_block *block)
{
	struct live_block old;
	switch (live_insert(family, p, block, &old)) {
	case LIVE_DONE: return;
	case LIVE_FULL: segment_count(MTRACE_COUNTER_drop_live_full); return;
	case LIVE_REPLACED: break;
	}
	segment_count(MTRACE_COUNTER_implicit_frees);
	record_freed(e, family, &old);
}

static inline __attribute__((always_inline)) void record_block(const struct event *e, enum mtrace_family family, uintptr_t p,
							       const struct live_block *block)
{
	if (unlikely(!e->work) || unlikely(!live_put(live_find(family, p, &e->work->near), p, block->row, block->side, block->size)))
		insert_block(e, family, p, block);
	counts_allocated(tallies_of(e), block->row, block->size);
	if (family == MTRACE_FAMILY_MALLOC)
		count_live(e, (int64_t)block->size);
}

static inline __attribute__((always_inline)) void record_allocation(struct event *e, enum mtrace_kind kind,
								    enum mtrace_family family, const void *p, size_t size,
								    const struct unwind_start *at)
{
	struct live_block block = new_block(e->self, capture(e, kind, at), size);
	record_block(e, family, (uintptr_t)p, &block);
	e->self->allocated = p;
	leave(e);
}

static inline __attribute__((always_inline)) void record_free(struct event *e, enum mtrace_family family, const void *p)
{
	struct live_block old;
	if (likely(live_remove(family, (uintptr_t)p, &old)))
		record_freed(e, family, &old);
	else
		record_unknown_free(e, p);
	leave(e);
}

static __attribute__((noinline)) void allocated_otherwise(const void *p, size_t size, const struct here *here)
{
	struct event event = enter_at((uintptr_t)here);
	struct unwind_start at = here_start(here);
	record_allocation(&event, MTRACE_KIND_MALLOC, MTRACE_FAMILY_MALLOC, p, size, &at);
}

static __attribute__((noinline)) void freeing_otherwise(const void *p)
{
	struct event event = enter();
	record_free(&event, MTRACE_FAMILY_MALLOC, p);
}

static __attribute__((noinline)) uint32_t capture_changed_here(struct thread_state *self, const struct here *here)
{
	struct unwind_start at = here_start(here);
	return capture_changed(self, MTRACE_KIND_MALLOC, &at);
}

static __attribute__((noinline)) void insert_block_slowly(struct thread_state *self, uintptr_t p, uint32_t row, size_t size)
{
	struct live_block block = new_block(self, row, size);
	insert_block(&(struct event){.self = self, .work = self->work}, MTRACE_FAMILY_MALLOC, p, &block);
}

/* The common case of record_allocation; the block's line of the live table is asked for before the stack is known, and
   is on its way meanwhile. */
void tracker_allocated(const void *p, size_t size, const struct here *here)
{
	struct thread_state *self = &thread_self;
	if (unlikely(!enter_simply(self, (uintptr_t)here))) {
		allocated_otherwise(p, size, here);
		return;
	}
	struct unwind_start at = here_start(here);
	struct workspace *work = self->work;
	struct live_place place = live_find(MTRACE_FAMILY_MALLOC, (uintptr_t)p, &work->near);
	__builtin_prefetch(place.line, 1);
	uint32_t row = capture_again(work, MTRACE_KIND_MALLOC, &at);
	if (unlikely(!row))
		row = capture_changed_here(self, here);
	if (unlikely(!live_put(place, (uintptr_t)p, row, self->side, size)))
		insert_block_slowly(self, (uintptr_t)p, row, size);
	counts_allocated(&work->tallies, row, size);
	counts_live(self, (int64_t)size);
	self->allocated = p;
	go_out(self);
}

/* The common case of record_free. */
void tracker_freeing(const void *p)
{
	struct thread_state *self = &thread_self;
	if (unlikely(!enter_simply(self, (uintptr_t)__builtin_frame_address(0)))) {
		freeing_otherwise(p);
		return;
	}
	struct workspace *work = self->work;
	uint32_t row;
	uint64_t size;
	if (unlikely(!live_drop(live_find(MTRACE_FAMILY_MALLOC, (uintptr_t)p, &work->near), (uintptr_t)p, &row, &size))) {
		record_free(&(struct event){.self = self, .work = work}, MTRACE_FAMILY_MALLOC, p);
		return;
	}
	counts_freed(&work->tallies, row, size);
	counts_live(self, -(int64_t)size);
	go_out(self);
}

void tracker_operator_begin(void)
{
	thread_self.allocated = NULL;
}

void tracker_operator_allocated(const void *p, size_t size, const struct here *here)
{
	if (thread_self.allocated != p)
		tracker_allocated(p, size, here);
}

void tracker_operator_deleting(const void *p)
{
	tracker_freeing(p);
	thread_self.deleting = p;
}

void tracker_operator_deleted(void)
{
	thread_self.deleting = NULL;
}

void tracker_pool_allocated(const void *p, size_t size, const struct unwind_start *at)
{
	struct event event = enter();
	record_allocation(&event, MTRACE_KIND_POOL, MTRACE_FAMILY_POOL, p, size, at);
}

void tracker_pool_freeing(const void *p)
{
	struct event event = enter();
	record_free(&event, MTRACE_FAMILY_POOL, p);
}

void tracker_realloc_begin(struct tracker_move *m, const void *old)
{
	struct event event = enter(), *e = &event;
	m->known = live_begin_move(MTRACE_FAMILY_MALLOC, (uintptr_t)old, e->self->id, &m->move);
	leave(e);
}

/* The old block counts as freed, the new one as allocated. */
static void finish_move(const struct event *e, struct tracker_move *m, uintptr_t old, uintptr_t now,
			const struct live_block *block)
{
	if (m->known && now == old && live_move_in_place(&m->move, block)) {
		counts_allocated(tallies_of(e), block->row, block->size);
		count_live(e, (int64_t)block->size);
	} else {
		record_block(e, MTRACE_FAMILY_MALLOC, now, block);
		if (m->known && now != old)
			live_end_move(&m->move, e->self->id);
	}
	if (m->known)
		record_freed(e, MTRACE_FAMILY_MALLOC, &m->move.old);
}

static void finish_without_block(const struct event *e, struct tracker_move *m, size_t size)
{
	if (!m->known)
		return;
	if (size) { /* refused: the old block lives on */
		live_cancel_move(&m->move, e->self->id);
		return;
	}
	live_end_move(&m->move, e->self->id);
	record_freed(e, MTRACE_FAMILY_MALLOC, &m->move.old);
}

void tracker_realloc_end(struct tracker_move *m, const void *old, const void *now, size_t size,
			 const struct unwind_start *at)
{
	struct event event = enter(), *e = &event;
	if (old && !m->known && (now || !size)) /* not where it failed */
		record_unknown_free(e, old);
	if (now) {
		struct live_block block = new_block(e->self, capture(e, MTRACE_KIND_MALLOC, at), size);
		finish_move(e, m, (uintptr_t)old, (uintptr_t)now, &block);
	} else {
		finish_without_block(e, m, size);
	}
	leave(e);
}

/* ---- mapped ranges ------------------------------------------------------------------------------------ */

static uintptr_t page_end(const void *p, size_t bytes)
{
	return ((uintptr_t)p + bytes + MTRACE_PAGE_BYTES - 1) & ~(uintptr_t)(MTRACE_PAGE_BYTES - 1);
}

static void tell_mapping(const struct event *e, enum mtrace_ring_kind kind, uint32_t row, uintptr_t start, uintptr_t end)
{
	if (end - start >= RING_LARGE_BYTES)
		ring_put(&(struct ring_record){.kind = kind, .thread = e->self->id, .subject = row, .value = {start, end - start}});
}

void tracker_mapped(const void *p, size_t bytes, uint32_t flags, const struct unwind_start *at)
{
	struct event event = enter(), *e = &event;
	uint32_t row = capture(e, MTRACE_KIND_MMAP, at);
	uintptr_t start = (uintptr_t)p, end = page_end(p, bytes);
	counts_allocated(tallies_of(e), row, end - start);
	regions_map(start, end, row, e->self->id, (uint32_t)e->self->tick, flags);
	tell_mapping(e, MTRACE_RING_map, row, start, end);
	leave(e);
}

void tracker_unmap_end(uint32_t token, const void *p, size_t bytes, bool done)
{
	struct event event = enter(), *e = &event;
	uintptr_t start = (uintptr_t)p, end = done ? page_end(p, bytes) : start;
	regions_end_move(token, start, end, 0, 0, 0);
	tell_mapping(e, MTRACE_RING_unmap, 0, start, end);
	leave(e);
}

uint32_t tracker_remap_begin(const void *p, size_t bytes)
{
	struct event event = enter(), *e = &event;
	uint32_t token = regions_begin_move((uintptr_t)p, page_end(p, bytes));
	leave(e);
	return token;
}

void tracker_remap_end(uint32_t token, const void *now, size_t bytes, const struct unwind_start *at)
{
	struct event event = enter(), *e = &event;
	uint32_t row = now ? capture(e, MTRACE_KIND_MMAP, at) : 0;
	uintptr_t start = (uintptr_t)now, end = now ? page_end(now, bytes) : start;
	if (now)
		counts_allocated(tallies_of(e), row, end - start);
	regions_end_move(token, start, end, row, e->self->id, (uint32_t)e->self->tick);
	tell_mapping(e, MTRACE_RING_remap, row, start, end);
	leave(e);
}

/* ---- threads ---------------------------------------------------------------------------------------- */

uint32_t tracker_thread_created(uint64_t stack_bytes, const struct unwind_start *at)
{
	struct event event = enter(), *e = &event;
	uint32_t row = capture(e, MTRACE_KIND_THREAD, at);
	counts_allocated(tallies_of(e), row, stack_bytes);
	leave(e);
	return row;
}

void tracker_thread_failed(uint32_t row, uint64_t stack_bytes)
{
	struct event event = enter(), *e = &event;
	counts_freed(tallies_of(e), row, stack_bytes);
	leave(e);
}

void tracker_thread_started(uint32_t row, uint64_t stack_bytes)
{
	begin_thread(&thread_self, &(struct thread_birth){.row = row, .stack_bytes = stack_bytes});
}

void tracker_thread_ended(void)
{
	struct event event = enter(), *e = &event;
	struct thread_state *self = e->self;
	struct mtrace_thread *t = self->record;
	uint32_t row = atomic_load_explicit(&t->row, memory_order_relaxed);
	bool first = threads_note_end(self);
	if (first)
		tell_thread(self, MTRACE_RING_thread_end);
	if (first && row)
		counts_freed(tallies_of(e), row, atomic_load_explicit(&t->stack_bytes, memory_order_relaxed));
	counts_flush_live(self);
	leave(e);
	struct workspace *work = self->work;
	self->work = NULL; /* before another thread may have it: what still comes does without */
	if (work)
		slots_release(work->slot);
}

void tracker_thread_named(uintptr_t handle, const char *name)
{
	struct event event = enter(), *e = &event;
	uint32_t tid = threads_note_name(handle, name);
	struct ring_record news = {.kind = MTRACE_RING_thread_name, .thread = e->self->id, .value[0] = tid};
	ring_text(&news.value[2], name);
	ring_put(&news);
	leave(e);
}

void tracker_mark(const char *name, uint32_t flags)
{
	struct event event = enter(), *e = &event;
	if (!e->nested)
		counts_flush_live(e->self); /* the curve has it at the mark */
	make_mark(name, flags);
	leave(e);
}

/* ---- the process ------------------------------------------------------------------------------------- */

void tracker_forked(void)
{
	struct event event = enter(), *e = &event;
	ring_put(&(struct ring_record){.kind = MTRACE_RING_fork, .thread = e->self->id});
	leave(e);
}

void tracker_unloaded(void)
{
	struct event event = enter(), *e = &event;
	uintptr_t start;
	for (uint32_t id = 0; (id = modules_next_gone(id, &start)) != 0;)
		ring_put(&(struct ring_record){.kind = MTRACE_RING_module_unmap, .thread = e->self->id, .subject = id,
					       .value[0] = start});
	leave(e);
}

void tracker_ending(uint32_t end, int status)
{
	struct event event = enter(), *e = &event;
	if (!e->nested)
		counts_flush_live(e->self);
	ring_watch_now(e->self->id, e->self->tick);
	ring_put(&(struct ring_record){.kind = MTRACE_RING_exit, .thread = e->self->id, .value = {end, (uint64_t)status & 0xff}});
	leave(e);
}
