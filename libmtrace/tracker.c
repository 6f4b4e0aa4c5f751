#include "tracker.h"

#include <errno.h>
#include <string.h>

#include "counts.h"
#include "marks.h"
#include "modules.h"
#include "options.h"
#include "regions.h"
#include "segment.h"
#include "stacks.h"
#include "threads.h"

enum { DEPTH_USUAL = 128, DEPTH_MOST = 256 };
#define SKIPPED UINT32_MAX /* the tag of our own frames: not part of the program's stack */

static struct plat_object own_object, loader_object;
static enum { WALK_RULES, WALK_LIBUNWIND, WALK_NONE } walk_by;

static void find_object(uintptr_t address, struct plat_object *object)
{
	if (!plat_find_object(address, object))
		memset(object, 0, sizeof *object);
}

static bool is_in(const struct plat_object *object, uintptr_t address)
{
	return address - object->start < object->end - object->start;
}

bool tracker_init(void)
{
	find_object((uintptr_t)&tracker_init, &own_object);
	find_object(plat_loader_base(), &loader_object);
	walk_by = WALK_RULES;
	if (!strcmp(options.unwind, "none"))
		walk_by = WALK_NONE;
	if (!strcmp(options.unwind, "libunwind") && unwind_libunwind_init())
		walk_by = WALK_LIBUNWIND;
	return stacks_init() && live_init() && regions_init() && unwind_init();
}

/* ---- in and out -------------------------------------------------------------------------------------- */

/* `inside` is what a crash report looks at: stored before anything else of ours runs in this event. */
static struct thread_state *enter(void)
{
	struct thread_state *self = &thread_self;
	if (unlikely(self->generation != atomic_load_explicit(&owner_page->generation, memory_order_relaxed)))
		threads_enter(self, NULL);
	self->nested++;
	if (likely(self->record))
		atomic_store_explicit(&self->record->inside, self->nested, memory_order_relaxed);
	threads_tick(self);
	return self;
}

static void leave(struct thread_state *self)
{
	self->nested--;
	if (likely(self->record))
		atomic_store_explicit(&self->record->inside, self->nested, memory_order_relaxed);
}

/* ---- from a walk to a row ------------------------------------------------------------------------------ */

/* The frame's id, found anew for a pc whose tag is not known: its module is looked up and the frame interned. */
static __attribute__((cold, noinline)) uint32_t resolve_frame(const struct unwind_frame *frame)
{
	struct plat_object object;
	uintptr_t code = frame->pc - !frame->exact;
	uint32_t id, flags = frame->exact ? MTRACE_FRAME_EXACT : 0;
	if (is_in(&own_object, code))
		id = SKIPPED;
	else if (plat_find_object(code, &object))
		id = stacks_frame(MTRACE_FRAME_NATIVE, modules_of(&object), frame->pc - object.bias, flags);
	else
		id = stacks_frame(MTRACE_FRAME_ABSOLUTE, 0, frame->pc, flags);
	if (id)
		unwind_set_tag(frame->pc, frame->exact, id);
	return id;
}

static __attribute__((cold, noinline)) uint32_t full_row(enum mtrace_kind kind)
{
	segment_count(MTRACE_COUNTER_drop_stacks_full);
	return stacks_fallback_row(kind, MTRACE_MARKER_TABLE_FULL);
}

static __attribute__((cold)) void count_truncated(enum unwind_end end)
{
	segment_count(MTRACE_COUNTER_truncated_stacks);
	switch (end) {
	case UNWIND_TOO_DEEP: segment_count(MTRACE_COUNTER_stacks_too_deep); break;
	case UNWIND_NO_RULES: segment_count(MTRACE_COUNTER_stacks_no_rules); break;
	case UNWIND_BAD_RULES: segment_count(MTRACE_COUNTER_stacks_bad_rules); break;
	default: segment_count(MTRACE_COUNTER_stacks_unreadable); break;
	}
}

/* Code without rules is JIT code nearly always; its address says nothing and would split one stack into many. */
static size_t without_nameless_end(const struct unwind_frame *frames, size_t count, enum unwind_end end)
{
	struct plat_object object;
	if (count < 2 || end != UNWIND_NO_RULES || frames[count - 1].tag ||
	    plat_find_object(frames[count - 1].pc - 1, &object))
		return count;
	return count - 1;
}

/* The loader's first instructions, which run the constructors of a starting program, have no rules: nothing called
   them. */
static enum unwind_end judge_end(const struct unwind_frame *frames, size_t count, enum unwind_end end)
{
	return end == UNWIND_NO_RULES && count && is_in(&loader_object, frames[count - 1].pc) ? UNWIND_WHOLE : end;
}

/* From the outermost frame inwards: root of the kind, marker if the walk is not whole, frames. */
static uint32_t row_of(enum mtrace_kind kind, const struct unwind_frame *frames, size_t count, enum unwind_end end)
{
	uint32_t node = kind;
	if (unlikely(end != UNWIND_WHOLE))
		end = judge_end(frames, count, end);
	if (unlikely(end != UNWIND_WHOLE)) {
		count = without_nameless_end(frames, count, end);
		node = stacks_node(node, stacks_marker_frame((enum mtrace_marker)end));
	}
	while (count-- > 0 && node) {
		uint32_t id = frames[count].tag;
		if (unlikely(!id) && !(id = resolve_frame(&frames[count])))
			return full_row(kind);
		if (likely(id != SKIPPED))
			node = stacks_node(node, id);
	}
	bool made = false;
	uint32_t row = node ? stacks_row(node, &made) : 0;
	if (unlikely(made && end != UNWIND_WHOLE))
		count_truncated(end);
	return row ? row : full_row(kind);
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

static inline __attribute__((always_inline)) uint32_t capture_with(struct thread_state *self, enum mtrace_kind kind,
								   const struct unwind_start *at,
								   struct unwind_frame *frames, size_t keep)
{
	struct unwind_bounds bounds = {self->stack_low, self->stack_high};
	enum unwind_end end = UNWIND_WHOLE;
	size_t count = likely(walk_by == WALK_RULES) ? unwind_walk(at, &bounds, frames, keep, &end)
						     : walk_with_libunwind(at, &bounds, frames, keep, &end);
	return row_of(kind, frames, count, end);
}

static __attribute__((noinline)) uint32_t capture_deep(struct thread_state *self, enum mtrace_kind kind,
						       const struct unwind_start *at)
{
	struct unwind_frame frames[DEPTH_MOST];
	return capture_with(self, kind, at, frames, options.depth < DEPTH_MOST ? options.depth : DEPTH_MOST);
}

/* libunwind allocates and takes locks: a walk inside a walk is refused. */
static bool cannot_walk(const struct thread_state *self)
{
	return walk_by == WALK_NONE || (walk_by == WALK_LIBUNWIND && self->nested > 1);
}

static __attribute__((noinline)) uint32_t capture(struct thread_state *self, enum mtrace_kind kind,
						  const struct unwind_start *at)
{
	struct unwind_frame frames[DEPTH_USUAL];
	if (unlikely(cannot_walk(self)))
		return stacks_fallback_row(kind, MTRACE_MARKER_NO_STACK);
	if (unlikely(options.depth > DEPTH_USUAL))
		return capture_deep(self, kind, at);
	return capture_with(self, kind, at, frames, options.depth);
}

/* ---- blocks ---------------------------------------------------------------------------------------- */

static struct live_block new_block(const struct thread_state *self, uint32_t row, size_t size)
{
	return (struct live_block){.row = row, .birth = self->birth, .thread = self->id, .size = size};
}

static void record_freed(struct thread_state *self, enum mtrace_family family, const struct live_block *old)
{
	counts_freed(old->row, old->size);
	if (family == MTRACE_FAMILY_MALLOC)
		counts_live(self, -(int64_t)old->size);
}

static __attribute__((cold, noinline)) void record_unknown_free(const struct thread_state *self, const void *p)
{
	if (p == self->deleting) /* its operator delete has recorded it */
		return;
	segment_count(segment.header->forked ? MTRACE_COUNTER_inherited_frees : MTRACE_COUNTER_unknown_frees);
}

static void record_block(struct thread_state *self, enum mtrace_family family, uintptr_t p, const struct live_block *block)
{
	struct live_block old;
	enum live_result result = live_insert(family, p, block, &old);
	counts_allocated(block->row, block->size);
	if (family == MTRACE_FAMILY_MALLOC)
		counts_live(self, (int64_t)block->size);
	if (likely(result == LIVE_DONE))
		return;
	if (result == LIVE_REPLACED) {
		segment_count(MTRACE_COUNTER_implicit_frees);
		record_freed(self, family, &old);
	} else {
		segment_count(MTRACE_COUNTER_drop_live_full);
	}
}

static void record_allocation(enum mtrace_kind kind, enum mtrace_family family, const void *p, size_t size,
			      const struct unwind_start *at)
{
	struct thread_state *self = enter();
	struct live_block block = new_block(self, capture(self, kind, at), size);
	record_block(self, family, (uintptr_t)p, &block);
	self->allocated = p;
	leave(self);
}

static void record_free(enum mtrace_family family, const void *p)
{
	struct thread_state *self = enter();
	struct live_block old;
	if (likely(live_remove(family, (uintptr_t)p, &old)))
		record_freed(self, family, &old);
	else
		record_unknown_free(self, p);
	leave(self);
}

void tracker_allocated(const void *p, size_t size, const struct unwind_start *at)
{
	record_allocation(MTRACE_KIND_MALLOC, MTRACE_FAMILY_MALLOC, p, size, at);
}

void tracker_freeing(const void *p)
{
	record_free(MTRACE_FAMILY_MALLOC, p);
}

void tracker_operator_begin(void)
{
	thread_self.allocated = NULL;
}

void tracker_operator_allocated(const void *p, size_t size, const struct unwind_start *at)
{
	if (thread_self.allocated != p)
		tracker_allocated(p, size, at);
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
	record_allocation(MTRACE_KIND_POOL, MTRACE_FAMILY_POOL, p, size, at);
}

void tracker_pool_freeing(const void *p)
{
	record_free(MTRACE_FAMILY_POOL, p);
}

void tracker_realloc_begin(struct tracker_move *m, const void *old)
{
	struct thread_state *self = enter();
	m->known = live_begin_move(MTRACE_FAMILY_MALLOC, (uintptr_t)old, self->id, &m->move);
	if (!m->known)
		record_unknown_free(self, old);
	leave(self);
}

/* The old block counts as freed, the new one as allocated. */
static void finish_move(struct thread_state *self, struct tracker_move *m, uintptr_t old, uintptr_t now,
			const struct live_block *block)
{
	if (m->known && now == old && live_move_in_place(&m->move, block)) {
		counts_allocated(block->row, block->size);
		counts_live(self, (int64_t)block->size);
	} else {
		record_block(self, MTRACE_FAMILY_MALLOC, now, block);
		if (m->known && now != old)
			live_end_move(&m->move, self->id);
	}
	if (m->known)
		record_freed(self, MTRACE_FAMILY_MALLOC, &m->move.old);
}

static void finish_without_block(struct thread_state *self, struct tracker_move *m, size_t size)
{
	if (!m->known)
		return;
	if (size) { /* refused: the old block lives on */
		live_cancel_move(&m->move, self->id);
		return;
	}
	live_end_move(&m->move, self->id);
	record_freed(self, MTRACE_FAMILY_MALLOC, &m->move.old);
}

void tracker_realloc_end(struct tracker_move *m, const void *old, const void *now, size_t size,
			 const struct unwind_start *at)
{
	struct thread_state *self = enter();
	if (now) {
		struct live_block block = new_block(self, capture(self, MTRACE_KIND_MALLOC, at), size);
		finish_move(self, m, (uintptr_t)old, (uintptr_t)now, &block);
	} else {
		finish_without_block(self, m, size);
	}
	leave(self);
}

/* ---- mapped ranges ------------------------------------------------------------------------------------ */

static uintptr_t page_end(const void *p, size_t bytes)
{
	return ((uintptr_t)p + bytes + MTRACE_PAGE_BYTES - 1) & ~(uintptr_t)(MTRACE_PAGE_BYTES - 1);
}

void tracker_mapped(const void *p, size_t bytes, uint32_t flags, const struct unwind_start *at)
{
	struct thread_state *self = enter();
	uint32_t row = capture(self, MTRACE_KIND_MMAP, at);
	uintptr_t start = (uintptr_t)p, end = page_end(p, bytes);
	counts_allocated(row, end - start);
	regions_map(start, end, row, self->id, (uint32_t)self->tick, flags);
	leave(self);
}

void tracker_unmapping(const void *p, size_t bytes)
{
	struct thread_state *self = enter();
	regions_unmap((uintptr_t)p, page_end(p, bytes));
	leave(self);
}

uint32_t tracker_remap_begin(const void *p, size_t bytes)
{
	struct thread_state *self = enter();
	uint32_t token = regions_begin_move((uintptr_t)p, page_end(p, bytes));
	leave(self);
	return token;
}

void tracker_remap_end(uint32_t token, const void *now, size_t bytes, const struct unwind_start *at)
{
	struct thread_state *self = enter();
	uint32_t row = now ? capture(self, MTRACE_KIND_MMAP, at) : 0;
	uintptr_t start = (uintptr_t)now, end = now ? page_end(now, bytes) : start;
	if (now)
		counts_allocated(row, end - start);
	regions_end_move(token, start, end, row, self->id, (uint32_t)self->tick);
	leave(self);
}

/* ---- threads ---------------------------------------------------------------------------------------- */

uint32_t tracker_thread_created(uint64_t stack_bytes, const struct unwind_start *at)
{
	struct thread_state *self = enter();
	uint32_t row = capture(self, MTRACE_KIND_THREAD, at);
	counts_allocated(row, stack_bytes);
	leave(self);
	return row;
}

void tracker_thread_failed(uint32_t row, uint64_t stack_bytes)
{
	struct thread_state *self = enter();
	counts_freed(row, stack_bytes);
	leave(self);
}

void tracker_thread_started(uint32_t row, uint64_t stack_bytes)
{
	threads_enter(&thread_self, &(struct thread_birth){.row = row, .stack_bytes = stack_bytes});
}

void tracker_thread_ended(void)
{
	struct thread_state *self = enter();
	struct mtrace_thread *t = self->record;
	uint32_t row = t ? atomic_load_explicit(&t->row, memory_order_relaxed) : 0;
	if (threads_note_end(self) && row)
		counts_freed(row, atomic_load_explicit(&t->stack_bytes, memory_order_relaxed));
	counts_flush_live(self);
	leave(self);
}

void tracker_thread_named(uintptr_t handle, const char *name)
{
	struct thread_state *self = enter();
	threads_note_name(handle, name);
	leave(self);
}

void tracker_mark(const char *name, uint32_t flags)
{
	struct thread_state *self = enter();
	marks_add(name, flags);
	leave(self);
}
