#include "capture.h"

#include <errno.h>
#include <string.h>

#include "modules.h"
#include "news.h"
#include "options.h"

enum { DEPTH_USUAL = 128 };
#define SKIPPED UINT32_MAX /* the tag of our own frames: not part of the program's stack */

static struct plat_object own_object, loader_object;
static enum { WALK_MEMO, WALK_RULES, WALK_LIBUNWIND, WALK_NONE } walk_by;
static bool walks_twice; /* memo=2 */

static void find_object(uintptr_t address, struct plat_object *object)
{
	if (!plat_find_object(address, object))
		memset(object, 0, sizeof *object);
}

static bool is_in(const struct plat_object *object, uintptr_t address)
{
	return address - object->start < object->end - object->start;
}

void capture_init(void)
{
	find_object((uintptr_t)&capture_init, &own_object);
	find_object(plat_loader_base(), &loader_object);
	walk_by = options.memo ? WALK_MEMO : WALK_RULES;
	walks_twice = options.memo == 2;
	if (!strcmp(options.unwind, "none"))
		walk_by = WALK_NONE;
	if (!strcmp(options.unwind, "libunwind") && unwind_libunwind_init())
		walk_by = WALK_LIBUNWIND;
}

/* ---- from a walk to a row ------------------------------------------------------------------------------ */

static uint32_t module_of(const struct plat_object *object)
{
	bool is_new;
	uint32_t id = modules_of(object, &is_new);
	if (is_new)
		news_module(id, object->start, object->end);
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
	return likely(end == UNWIND_WHOLE) ? (uint32_t)kind
	                                   : stacks_node(kind, stacks_marker_frame((enum mtrace_marker)end));
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

static inline uint32_t tag_of(struct memo_frame *f)
{
	if (unlikely(!f->tag))
		f->tag = resolve_frame(memo_pc(f), f->flags & MEMO_EXACT);
	return f->tag;
}

/* The frames from f inwards, the node of whose outside neighbour was just made: theirs are new, too. Returns the first that has
   none yet; *node: the last. */
static struct memo_frame *note_new_nodes(struct workspace *work, struct memo_frame *f, const struct memo_frame *end,
                                         uint32_t *node)
{
	uint32_t tags[STACKS_CHAIN], nodes[STACKS_CHAIN], count = 0, done;
	for (; count < STACKS_CHAIN && f + count != end; count++) {
		tags[count] = tag_of(f + count);
		if (!tags[count] || tags[count] == SKIPPED)
			break;
	}
	done = count > 1 ? stacks_chain(&work->children, *node, tags, count, nodes) : 0;
	uint64_t path = f[-1].path;
	for (uint32_t i = 0; i < done; i++, f++) {
		f->path = path = stacks_path(path, tags[i]);
		f->note = *node = nodes[i];
	}
	return f;
}

/* Notes the nodes of frames[from .. count), which stand below `node`, if their path as a whole is known; else they have none. */
static bool note_path(struct memo *m, uint32_t from, uint32_t node, uint64_t path)
{
	struct memo_frame *first = m->frames + from, *f = first, *end = m->frames + m->count;
	for (; f != end; f++) {
		if (unlikely(!f->tag) || unlikely(f->tag == SKIPPED))
			return false;
		f->path = path = stacks_path(path, f->tag);
	}
	uint32_t below = stacks_known_path(path);
	while (below && f != first) {
		(--f)->note = below;
		below = stacks_parent(below, f->tag);
	}
	if (likely(below == node))
		return true;
	for (; f != end; f++) /* another path's */
		f->note = 0;
	return false;
}

/* One by one. */
static uint32_t note_each(struct workspace *work, uint32_t from, uint32_t node, uint64_t path)
{
	struct memo *m = &work->memo;
	work->children.made = 0;
	for (struct memo_frame *f = m->frames + from, *end = m->frames + m->count; f != end;) {
		uint32_t tag = tag_of(f);
		if (unlikely(!tag))
			return 0;
		if (likely(tag != SKIPPED)) {
			node = stacks_child(&work->children, node, tag);
			path = stacks_path(path, tag);
		}
		if (unlikely(!node))
			return 0;
		f->note = node;
		f++->path = path;
		if (unlikely(node == work->children.made)) {
			f = note_new_nodes(work, f, end, &node);
			path = f[-1].path;
		}
	}
	return node;
}

/* Notes the nodes of frames[from .. count), whose outside neighbour's node is `node`; frames[first] is the first below a root, or
   below another language's. 0: the table is full. */
static uint32_t note_nodes(struct workspace *work, uint32_t first, uint32_t from, uint32_t node)
{
	struct memo *m = &work->memo;
	uint64_t path = from > first ? m->frames[from - 1].path : stacks_path_below(node);
	if (unlikely(!node)) /* the table had no room for the root's marker */
		return 0;
	if (m->count - from < 2)
		return note_each(work, from, node, path);
	if (note_path(m, from, node, path))
		return m->frames[m->count - 1].note;
	node = note_each(work, from, node, path);
	if (likely(node))
		stacks_note_path(m->frames[m->count - 1].path, node);
	return node;
}

/* The outermost `kept` frames are as they were at the last capture. */
static void row_of_memo(struct workspace *work, enum mtrace_kind kind, uint32_t kept)
{
	struct extent x = extent_of(&work->memo);
	bool noted =
		work->kind == kind && !work->under && work->first == x.first && work->marker == x.end && kept > x.first;
	uint32_t from = noted ? kept : x.first;
	uint32_t node = note_nodes(work, x.first, from, noted ? work->memo.frames[kept - 1].note : root_of(kind, x.end));
	uint32_t row = node ? row_of_known_node(node, x.end) : 0;
	work->kind =
		row ? kind : MTRACE_KIND_NONE; /* the next event of this stack looks again, and is counted as well */
	work->first = x.first;
	work->marker = x.end;
	work->under = 0;
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

/* The memo has the native frames as far as rules go; beyond them it is walked anew. */
static __attribute__((noinline)) void capture_beyond_anew(struct workspace *work, enum mtrace_kind kind,
                                                          const struct unwind_bounds *bounds)
{
	struct memo *m = &work->memo;
	const struct memo_frame *last = &m->frames[0];
	struct unwind_start at = {memo_pc(last), last->sp, last->fp};
	enum unwind_end end = UNWIND_TOO_DEEP;
	size_t count = 0;
	for (uint32_t i = m->count; i-- > 0 && count < options.depth; count++) {
		struct memo_frame *f = &m->frames[i];
		if (unlikely(!f->tag) && i > 0)
			f->tag = resolve_frame(memo_pc(f), f->flags & MEMO_EXACT);
		m->plain[count] = (struct unwind_frame){memo_pc(f), f->tag, f->flags & MEMO_EXACT};
	}
	if (likely(m->count <= options.depth))
		count = mixed_walk(&at, bounds, &work->near_code, m->plain, count, options.depth, &end);
	work->kind = MTRACE_KIND_NONE;
	work->row = row_of_mixed(work, kind, m->plain, count, end);
}

static __attribute__((cold, noinline)) uint32_t resolve_beyond(struct mixed_memo *b, uint32_t id, uintptr_t pc)
{
	return b->ids[id] = resolve_frame(pc, false);
}

/* Notes the nodes of frames[b->noted .. count), under `node`. Returns the innermost; 0: the table is full. */
static uint32_t note_beyond(struct workspace *work, uint32_t node)
{
	struct mixed_memo *b = &work->beyond;
	const uint32_t *ids = b->ids;
	uint32_t id = mixed_ids_begin(b, b->noted);
	for (struct mixed_frame *f = b->frames + b->noted, *end = b->frames + b->count; f != end; f++) {
		for (uint32_t ids_end = f->ids; id != ids_end; id++) {
			uint32_t tag = likely(ids[id]) ? ids[id] : resolve_beyond(b, id, f->pc);
			if (unlikely(!tag))
				return 0;
			if (likely(tag != SKIPPED) && unlikely(!(node = stacks_child(&work->children, node, tag))))
				return 0;
		}
		f->note = node;
	}
	b->noted = b->count;
	return node;
}

/* The node that the native frames stand under. */
static uint32_t node_beyond(struct workspace *work, enum mtrace_kind kind)
{
	struct mixed_memo *b = &work->beyond;
	if (unlikely(b->kind != kind || b->marker != b->end)) {
		b->noted = 0;
		b->kind = kind;
		b->marker = b->end;
	}
	uint32_t node = b->noted ? b->frames[b->noted - 1].note : root_of(kind, (enum unwind_end)b->end);
	return node ? note_beyond(work, node) : 0;
}

/* `kept`: of the memo's outermost frames, as they were; frames[0] is the code that the walk went on from. */
static void row_beneath(struct workspace *work, enum mtrace_kind kind, uint32_t kept, uint32_t under)
{
	bool noted = under && work->kind == kind && work->under == under && kept > 0;
	uint32_t node = under, row, count = work->memo.count;
	if (noted && kept == count && work->count == count)
		return;
	if (count > 1 && node)
		node = note_nodes(work, 1, noted && kept > 1 ? kept : 1,
		                  noted && kept > 1 ? work->memo.frames[kept - 1].note : under);
	row = node ? row_of_known_node(node, (enum unwind_end)work->beyond.end) : 0;
	work->kind = row ? kind : MTRACE_KIND_NONE;
	work->under = under;
	work->count = count;
	work->row = row ? row : full_row(kind);
}

/* Deeper than depth=, or just as deep and not whole: what is cut is not the memo's to say. */
static bool is_cut(const struct memo *m, const struct mixed_memo *b)
{
	return m->count - 1 + mixed_ids_begin(b, b->count) + (b->end != UNWIND_WHOLE) > options.depth;
}

/* The memo could not tell the stack that began there, deeper as it is than depth= or than the memo, or strange further out:
   what is called from there is no less so, and the memo is not asked again but now and then. */
enum { DEEP_LEFT = 64 };

static bool is_too_deep(struct workspace *work, uintptr_t sp)
{
	if (likely(sp > work->deep_sp) || work->deep_left == 0)
		return false;
	work->deep_left--;
	return true;
}

static __attribute__((cold, noinline)) void note_too_deep(struct workspace *work, uintptr_t sp)
{
	work->deep_sp = work->deep_sp > sp ? work->deep_sp : sp;
	work->deep_left = DEEP_LEFT;
}

/* true: work->beyond is what lies from *at on, to the end. */
static bool walk_beyond(struct workspace *work, const struct unwind_start *at, const struct unwind_bounds *bounds)
{
	if (unlikely(!jvm_has_code(at->pc)) || unlikely(is_too_deep(work, at->sp)))
		return false;
	bool is_whole = mixed_memo_walk(&work->beyond, at, bounds, &work->near_code) &&
	                likely(!is_cut(&work->memo, &work->beyond));
	if (unlikely(work->beyond.count > work->mixed_touched))
		workspace_note_mixed(work, MIXED_FRAMES);
	if (unlikely(!is_whole))
		note_too_deep(work, at->sp);
	else if (unlikely(at->sp <= work->deep_sp))
		work->deep_sp = 0;
	return is_whole;
}

/* Beyond the native frames, whose outermost `kept` are the last walk's, there is the code of another language. */
static __attribute__((noinline)) uint32_t capture_mixed(struct thread_state *self, enum mtrace_kind kind, uint32_t kept)
{
	struct unwind_bounds bounds = {self->stack_low, self->stack_high};
	struct workspace *work = self->work;
	struct memo *m = &work->memo;
	struct unwind_start at = {memo_pc(&m->frames[0]), m->frames[0].sp, m->frames[0].fp};
	if (unlikely(!work->mixed_touched))
		workspace_note_mixed(work, MIXED_USUAL);
	if (likely(walk_beyond(work, &at, &bounds)))
		row_beneath(work, kind, kept, node_beyond(work, kind));
	else
		capture_beyond_anew(work, kind, &bounds);
	return work->row;
}

/* One walk in ROUTES_ANEW is made all the same: the memo follows the program to where it is, and nearer joints are learnt.
   Without, CPython's walks, of which few frames differ, came to cost more by routes than anew (2 441 instructions an allocation
   against 2 314; 2 279 when there were no routes). */
static inline uint32_t row_by_route(struct workspace *work, enum mtrace_kind kind, const struct unwind_start *at, uint64_t stamp)
{
	if (!work->routes_touched || ++work->walks % ROUTES_ANEW == 0)
		return 0;
	const struct route *found = routes_find(&work->routes, &work->memo, at, stamp, kind);
	if (!found)
		return 0;
	routes_hand_on(&work->routes, found, &work->recents, at, stamp);
	return routes_result(&work->routes, found);
}

/* The memo's walk came to work->row. */
static inline void remember(struct workspace *work, enum mtrace_kind kind, const struct unwind_start *at, uint32_t kept,
                            uint64_t stamp)
{
	recents_remember(&work->recents, &work->memo, at, kept, stamp, kind, work->row);
	if (unlikely(!work->routes_touched) && ++work->walks < ROUTES_AFTER)
		return;
	routes_learn(&work->routes, &work->memo, at, kept, stamp, kind, work->row);
	if (unlikely(routes_bytes(&work->routes) > work->routes_touched))
		workspace_note_routes(work);
}

/* The same stack as at the last event, through other languages: all that its walk was decided by is as it was (memo.h, M1 to M5;
   mixed_memo.h, X1 to X4), and so are its nodes and its row. capture_mixed would find that, too, by asking more; not that
   rules still end where the JVM's code begins, which they do for good (rules_never). */
static bool is_mixed_again(const struct workspace *work, enum mtrace_kind kind, const struct unwind_start *at)
{
	const struct memo *m = &work->memo;
	const struct mixed_memo *b = &work->beyond;
	const struct memo_frame *last = &m->frames[0];
	const struct unwind_start from = {memo_pc(last), last->sp, last->fp};
	uint64_t epoch = rules_epoch();
	return work->kind == kind && work->count == m->count && b->count && b->noted == b->count && b->kind == kind &&
	       b->marker == b->end && b->frames[b->count - 1].note == work->under && memo_is_again(m, at, epoch) &&
	       jvm_has_code(from.pc) && mixed_memo_stands(b, &from, epoch);
}

/* 0: the memo cannot. Not remembered: a row that stands for another. */
static inline __attribute__((always_inline)) uint32_t capture_by_memo(struct thread_state *self, enum mtrace_kind kind,
                                                                      const struct unwind_start *at)
{
	struct unwind_bounds bounds = {self->stack_low, self->stack_high};
	struct workspace *work = self->work;
	if (unlikely(work->under) && is_mixed_again(work, kind, at))
		return work->row;
	uint64_t stamp = workspace_stamp(work);
	uint32_t known = row_by_route(work, kind, at, stamp);
	if (known)
		return known;
	uint32_t kept = walk_by == WALK_MEMO ? memo_walk(&work->memo, at, &bounds) : MEMO_CANNOT;
	if (unlikely(kept == MEMO_CANNOT))
		return 0;
	if (unlikely(work->memo.count > work->deepest))
		workspace_note_deepest(work, work->memo.count);
	if (unlikely(work->memo.end == UNWIND_NO_RULES) && mixed_goes_on(memo_pc(&work->memo.frames[0])))
		return capture_mixed(self, kind, kept);
	if (kept != work->count || kept != work->memo.count || work->kind != kind || work->under)
		row_of_memo(work, kind, kept);
	if (likely(work->kind == kind) && likely(!walks_twice))
		remember(work, kind, at, kept, stamp);
	return work->row;
}

/* Rows are equal where stacks are, whoever made them (stacks.h, modules.h, methods.h); and what another thread changes of this
   one's stack meanwhile, the return address of a frame that is deoptimised, changes no row (jvm.h). What the walk from end to
   end says is believed. */
static __attribute__((cold, noinline)) uint32_t compare(struct thread_state *self, enum mtrace_kind kind,
                                                        const struct unwind_start *at, uint32_t row)
{
	uint32_t plain = capture_plainly(&(struct event){.self = self, .work = self->work}, kind, at);
	if (plain != row)
		segment_count(MTRACE_COUNTER_memo_differs);
	return plain;
}

__attribute__((noinline)) uint32_t capture_changed(struct thread_state *self, enum mtrace_kind kind,
                                                   const struct unwind_start *at)
{
	if (walk_by == WALK_NONE)
		return stacks_fallback_row(kind, MTRACE_MARKER_NO_STACK);
	uint32_t row = capture_by_memo(self, kind, at);
	if (unlikely(!row))
		return capture_otherwise(&(struct event){.self = self, .work = self->work}, kind, at);
	return unlikely(walks_twice) ? compare(self, kind, at, row) : row;
}

uint32_t capture_row(const struct event *e, enum mtrace_kind kind, const struct unwind_start *at)
{
	struct workspace *work = e->work;
	if (unlikely(!work))
		return capture_otherwise(e, kind, at);
	uint32_t row = capture_again(work, kind, at->pc, at->sp, &at->fp);
	return likely(row) ? row : capture_changed(e->self, kind, at);
}
