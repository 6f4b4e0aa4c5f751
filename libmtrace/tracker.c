#include "tracker.h"

#include <string.h>

#include "capture.h"
#include "control.h"
#include "cuts.h"
#include "epochs.h"
#include "event.h"
#include "exhaustions.h"
#include "history.h"
#include "modules.h"
#include "news.h"
#include "options.h"
#include "regions.h"
#include "slots.h"
#include "stream.h"

/* Of whoever applies the log of ranges, whichever thread that is. */
static struct counts_tallies tallies_of_ranges;

static void count_range_gone(const struct mtrace_range *gone, const struct mtrace_range_op *by)
{
	bool is_block = !(gone->thread_flags & MTRACE_RANGE_PART);
	struct counts_change change = {.freed_blocks = is_block, .freed_bytes = gone->end - gone->start,
				       .aged_blocks = is_block && gone->tick < epochs_window_begin(by->tick)};
	counts_change_in(&tallies_of_ranges, gone->row, &change, by->epoch);
}

bool tracker_init(void)
{
	workspace_begin_bytes();
	capture_init();
	counts_grew = news_growth;
	ring_init();
	control_init();
	stream_init();
	cuts_init();
	if (!(stacks_init() && live_init() && epochs_init(options.epoch) && history_init() && counts_init() && regions_init() &&
	      slots_init() && unwind_init() && mixed_init()))
		return false;
	counts_prepare(&tallies_of_ranges, COUNTS_FOLD_OF_RANGES);
	regions_gone = count_range_gone;
	return true;
}

/* ---- blocks ---------------------------------------------------------------------------------------- */

/* A thread that has ended, as far as it told, keeps no part of the stream. */
static void leave_stream_if_ended(struct thread_state *self)
{
	if (!self->work)
		stream_close(&self->pen);
}

/* Where counts_live_is_due says so. */
static __attribute__((noinline)) void look_closer(struct thread_state *self, uint32_t what, uintptr_t p, uint32_t row,
						  uint64_t size)
{
	counts_settle_live(self);
	stream_put(self, what, p, row, size);
	leave_stream_if_ended(self);
}

static __attribute__((cold, noinline)) void count_nested(struct thread_state *self, int64_t bytes)
{
	counts_add_live(bytes);
	if (self->pen.ordinal)
		stream_drop(self);
}

/* The process's live bytes, and the stream, which a pool's blocks are in, too; JNI's are in neither. */
static inline void tell_of_block(const struct event *e, enum mtrace_family family, uint32_t what, uintptr_t p,
				 const struct live_block *block)
{
	int64_t bytes = what == MTRACE_STREAM_FREED ? -(int64_t)block->size : (int64_t)block->size;
	if (unlikely(family > MTRACE_FAMILY_POOL))
		return;
	if (unlikely(family != MTRACE_FAMILY_MALLOC))
		bytes = 0;
	if (unlikely(e->nested))
		count_nested(e->self, bytes);
	else if (counts_live_is_due(e->self, bytes))
		look_closer(e->self, family == MTRACE_FAMILY_MALLOC ? what : what | MTRACE_STREAM_POOL, p, block->row, block->size);
}

static inline struct live_block new_block(const struct thread_state *self, uint32_t row, size_t size)
{
	return (struct live_block){.row = row, .side = self->side, .size = size};
}

static inline __attribute__((always_inline)) void record_freed(const struct event *e, enum mtrace_family family, uintptr_t p,
							       const struct live_block *old)
{
	counts_freed_of_age(event_tallies(e), old->row, old->size, old->side, &e->self->aged_side);
	tell_of_block(e, family, MTRACE_STREAM_FREED, p, old);
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
	record_freed(e, family, p, &old);
}

static inline __attribute__((always_inline)) void record_block(const struct event *e, enum mtrace_family family, uintptr_t p,
							       const struct live_block *block)
{
	if (unlikely(!e->work) || unlikely(!live_put(live_find(family, p, &e->work->near), p, block->row, block->side, block->size)))
		insert_block(e, family, p, block);
	counts_allocated(event_tallies(e), block->row, block->size);
	tell_of_block(e, family, MTRACE_STREAM_ALLOCATED, p, block);
}

static inline __attribute__((always_inline)) void record_allocation(struct event *e, enum mtrace_kind kind,
								    enum mtrace_family family, const void *p, size_t size,
								    const struct unwind_start *at)
{
	struct live_block block = new_block(e->self, capture_row(e, kind, at), size);
	record_block(e, family, (uintptr_t)p, &block);
	e->self->allocated = p;
	event_leave(e);
}

static inline __attribute__((always_inline)) void record_free(struct event *e, enum mtrace_family family, const void *p)
{
	struct live_block old;
	if (likely(live_remove(family, (uintptr_t)p, &old)))
		record_freed(e, family, (uintptr_t)p, &old);
	else
		record_unknown_free(e, p);
	event_leave(e);
}

void tracker_allocated(const void *p, size_t size, const struct here *here)
{
	struct event event = event_enter_at((uintptr_t)here);
	struct unwind_start at = here_start(here);
	record_allocation(&event, MTRACE_KIND_MALLOC, MTRACE_FAMILY_MALLOC, p, size, &at);
}

void tracker_freeing(const void *p)
{
	struct event event = event_enter();
	record_free(&event, MTRACE_FAMILY_MALLOC, p);
}

/* ---- the usual event's rest (usual.h) ---- */

static bool is_usual(const struct thread_state *self, const struct mtrace_tally *tally, uint32_t row)
{
	return counts_is_own(tally, row) && likely(self->pen.place) && likely(!counts_live_is_beyond(self, COUNTS_LIVE_ROOM));
}

static __attribute__((noinline)) void put_in_stream(struct thread_state *self, uint32_t what, const void *p, uint32_t row,
						    size_t size)
{
	counts_settle_live(self);
	stream_put(self, what, (uintptr_t)p, row, size);
}

static __attribute__((noinline)) void *count_due_allocated(struct thread_state *self, void *p, uint32_t row, size_t size)
{
	put_in_stream(self, MTRACE_STREAM_ALLOCATED, p, row, size);
	counts_allocated(&self->work->tallies, row, size);
	event_go_out(self);
	return p;
}

/* What is rare in it is left to another function, as a whole: so the common case needs no frame. */
__attribute__((noinline)) void *tracker_finish_due(void *p, uint32_t row, size_t size)
{
	struct thread_state *self = &thread_self;
	struct mtrace_tally *tally = counts_tally(&self->work->tallies, row);
	self->allocated = p;
	if (!is_usual(self, tally, row))
		return count_due_allocated(self, p, row, size);
	stream_write(self, MTRACE_STREAM_ALLOCATED, stream_number(), (uintptr_t)p, row, size);
	counts_add_allocated(tally, size);
	event_go_out(self);
	return p;
}

__attribute__((noinline)) void *tracker_finish_elsewhere(void *p, uint32_t row, size_t size)
{
	struct thread_state *self = &thread_self;
	counts_allocated(&self->work->tallies, row, size);
	self->allocated = p;
	event_go_out(self);
	return p;
}

static __attribute__((noinline)) void insert_slowly(struct thread_state *self, uintptr_t p, uint32_t row, size_t size)
{
	struct live_block block = new_block(self, row, size);
	insert_block(&(struct event){.self = self, .work = self->work}, MTRACE_FAMILY_MALLOC, p, &block);
}

__attribute__((noinline)) void *tracker_finish_put(void *p, uint32_t row, size_t size, uint64_t leaf,
						   struct mtrace_live_line *line, uint64_t home)
{
	struct thread_state *self = &thread_self;
	struct live_place place = {leaf, line, home};
	if (unlikely(!leaf))
		place = live_find(MTRACE_FAMILY_MALLOC, (uintptr_t)p, &self->work->near);
	if (unlikely(!live_put(place, (uintptr_t)p, row, self->side, size)))
		insert_slowly(self, (uintptr_t)p, row, size);
	return tracker_count_allocated(self, self->work, p, row, size);
}

__attribute__((noinline)) void *tracker_finish_changed(void *p, size_t size, const struct here *here)
{
	struct unwind_start at = here_start(here);
	return tracker_finish_put(p, capture_changed(&thread_self, MTRACE_KIND_MALLOC, &at), size, 0, NULL, 0);
}

static __attribute__((noinline)) void *count_due_freed(struct thread_state *self, void *p, uint32_t row, size_t size,
						       uint32_t side)
{
	put_in_stream(self, MTRACE_STREAM_FREED, p, row, size);
	counts_freed_of_age(&self->work->tallies, row, size, side, &self->aged_side);
	event_go_out(self);
	return p;
}

__attribute__((noinline)) void *tracker_finish_freed_due(void *p, uint32_t row, size_t size, uint32_t side)
{
	struct thread_state *self = &thread_self;
	struct mtrace_tally *tally = counts_tally(&self->work->tallies, row);
	if (!is_usual(self, tally, row))
		return count_due_freed(self, p, row, size, side);
	stream_write(self, MTRACE_STREAM_FREED, stream_number(), (uintptr_t)p, row, size);
	counts_add_freed(tally, size, side < self->aged_side);
	event_go_out(self);
	return p;
}

__attribute__((noinline)) void *tracker_finish_freed_elsewhere(void *p, uint32_t row, size_t size, uint32_t side)
{
	struct thread_state *self = &thread_self;
	counts_freed_of_age(&self->work->tallies, row, size, side, &self->aged_side);
	event_go_out(self);
	return p;
}

__attribute__((noinline)) bool tracker_finish_freeing(void *p)
{
	struct thread_state *self = &thread_self;
	struct live_block old;
	if (unlikely(!live_drop(live_find(MTRACE_FAMILY_MALLOC, (uintptr_t)p, &self->work->near), (uintptr_t)p, &old)) &&
	    unlikely(!live_remove(MTRACE_FAMILY_MALLOC, (uintptr_t)p, &old))) {
		event_go_out(self);
		return false;
	}
	if (counts_live_is_due(self, -(int64_t)old.size))
		(void)tracker_finish_freed_due(p, old.row, old.size, old.side);
	else
		(void)tracker_finish_freed_elsewhere(p, old.row, old.size, old.side);
	return true;
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
	struct event event = event_enter();
	record_allocation(&event, MTRACE_KIND_POOL, MTRACE_FAMILY_POOL, p, size, at);
}

void tracker_pool_freeing(const void *p)
{
	struct event event = event_enter();
	record_free(&event, MTRACE_FAMILY_POOL, p);
}

/* ---- JNI: references, buffers, attached threads ----------------------------------------------------------- */

static void insert_another(const struct event *e, uintptr_t key, const struct live_block *block)
{
	if (live_insert_another(MTRACE_FAMILY_JNI_BUFFER, key, block) != LIVE_DONE)
		segment_count(MTRACE_COUNTER_drop_live_full);
	counts_allocated(event_tallies(e), block->row, block->size);
}

void tracker_jni_made(const struct tracker_handle *handle, size_t size, const struct unwind_start *at)
{
	struct event event = event_enter(), *e = &event;
	struct live_block block = new_block(e->self, capture_row(e, handle->kind, at), size);
	if (handle->family == MTRACE_FAMILY_JNI_BUFFER)
		insert_another(e, handle->key, &block);
	else
		record_block(e, handle->family, handle->key, &block);
	event_leave(e);
}

void tracker_jni_releasing(const struct tracker_handle *handle)
{
	struct event event = event_enter(), *e = &event;
	struct live_block old;
	bool known = handle->family == MTRACE_FAMILY_JNI_BUFFER ? live_remove_one(handle->family, handle->key, &old)
								: live_remove(handle->family, handle->key, &old);
	if (likely(known))
		counts_freed_of_age(event_tallies(e), old.row, old.size, old.side, &e->self->aged_side);
	else
		segment_count(MTRACE_COUNTER_unknown_jni_releases);
	event_leave(e);
}

bool tracker_jni_release_begin(const struct tracker_handle *handle, struct live_move *move)
{
	struct event event = event_enter(), *e = &event;
	bool known = live_begin_move(handle->family, handle->key, e->self->id, move);
	event_leave(e);
	return known;
}

void tracker_jni_release_end(const struct live_move *move, bool done)
{
	struct event event = event_enter(), *e = &event;
	if (done) {
		live_end_move(move, e->self->id);
		counts_freed_of_age(event_tallies(e), move->old.row, move->old.size, move->old.side, &e->self->aged_side);
	} else {
		live_cancel_move(move, e->self->id);
	}
	event_leave(e);
}

/* ---- reallocation --------------------------------------------------------------------------------------- */

/* From the real call on, the old block's address may be anybody's: its free has its number before that. */
void tracker_realloc_begin(struct tracker_move *m, const void *old)
{
	struct event event = event_enter(), *e = &event;
	m->known = live_begin_move(MTRACE_FAMILY_MALLOC, (uintptr_t)old, e->self->id, &m->move);
	m->in_stream = m->known && !e->nested && e->self->pen.ordinal;
	m->number = m->in_stream ? stream_number() : 0;
	event_leave(e);
}

/* The number that the move took is an event of its own, or is told to be nothing. */
static __attribute__((noinline)) void put_move_in_stream(const struct event *e, const struct tracker_move *m, uint32_t what,
							 uintptr_t old)
{
	if (e->nested)
		return;
	if (stream_has_room(e->self))
		stream_write(e->self, what, m->number, old, m->move.old.row, m->move.old.size);
	leave_stream_if_ended(e->self);
}

/* Where a stream began in between, it is without this. */
static void record_moved(const struct event *e, const struct tracker_move *m, uintptr_t old)
{
	const struct live_block *block = &m->move.old;
	counts_freed(event_tallies(e), block->row, block->size);
	if (unlikely(e->nested))
		count_nested(e->self, -(int64_t)block->size);
	else if (counts_live_is_due(e->self, -(int64_t)block->size))
		counts_settle_live(e->self);
	if (unlikely(m->in_stream))
		put_move_in_stream(e, m, MTRACE_STREAM_FREED, old);
}

/* The old block counts as freed, the new one as allocated. */
static void finish_move(const struct event *e, struct tracker_move *m, uintptr_t old, uintptr_t now,
			const struct live_block *block)
{
	if (m->known && now == old && live_move_in_place(&m->move, block)) {
		counts_allocated(event_tallies(e), block->row, block->size);
		tell_of_block(e, MTRACE_FAMILY_MALLOC, MTRACE_STREAM_ALLOCATED, now, block);
	} else {
		record_block(e, MTRACE_FAMILY_MALLOC, now, block);
		if (m->known && now != old)
			live_end_move(&m->move, e->self->id);
	}
	if (m->known)
		record_moved(e, m, old);
}

static void finish_without_block(const struct event *e, struct tracker_move *m, uintptr_t old, size_t size)
{
	if (!m->known)
		return;
	if (size) { /* refused: the old block lives on */
		live_cancel_move(&m->move, e->self->id);
		if (m->in_stream)
			put_move_in_stream(e, m, MTRACE_STREAM_NOTHING, old);
		return;
	}
	live_end_move(&m->move, e->self->id);
	record_moved(e, m, old);
}

void tracker_realloc_end(struct tracker_move *m, const void *old, const void *now, size_t size,
			 const struct unwind_start *at)
{
	struct event event = event_enter(), *e = &event;
	if (old && !m->known && (now || !size)) /* not where it failed */
		record_unknown_free(e, old);
	if (now) {
		struct live_block block = new_block(e->self, capture_row(e, MTRACE_KIND_MALLOC, at), size);
		finish_move(e, m, (uintptr_t)old, (uintptr_t)now, &block);
	} else {
		finish_without_block(e, m, (uintptr_t)old, size);
	}
	event_leave(e);
}

/* ---- mapped ranges ------------------------------------------------------------------------------------ */

static uintptr_t page_end(const void *p, size_t bytes)
{
	return ((uintptr_t)p + bytes + MTRACE_PAGE_BYTES - 1) & ~(uintptr_t)(MTRACE_PAGE_BYTES - 1);
}

static struct regions_event by(const struct event *e)
{
	return (struct regions_event){e->self->id, (uint32_t)e->self->tick, event_epoch(e)};
}

void tracker_mapped(const void *p, size_t bytes, uint32_t flags, const struct unwind_start *at)
{
	struct event event = event_enter(), *e = &event;
	uint32_t row = capture_row(e, MTRACE_KIND_MMAP, at);
	uintptr_t start = (uintptr_t)p, end = page_end(p, bytes);
	counts_allocated(event_tallies(e), row, end - start);
	struct regions_event who = by(e);
	if (!regions_map(start, end, row, flags, &who))
		counts_freed(event_tallies(e), row, end - start); /* the map does not have it */
	news_mapping(MTRACE_RING_map, row, start, end);
	event_leave(e);
}

void tracker_unmap_end(uint32_t token, const void *p, size_t bytes, bool done)
{
	struct event event = event_enter(), *e = &event;
	uintptr_t start = (uintptr_t)p, end = done ? page_end(p, bytes) : start;
	struct regions_event who = by(e);
	regions_end_move(token, start, end, 0, &who);
	news_mapping(MTRACE_RING_unmap, 0, start, end);
	event_leave(e);
}

uint32_t tracker_remap_begin(const void *p, size_t bytes)
{
	struct event event = event_enter(), *e = &event;
	uint32_t token = regions_begin_move((uintptr_t)p, page_end(p, bytes));
	event_leave(e);
	return token;
}

void tracker_remap_end(uint32_t token, const void *now, size_t bytes, const struct unwind_start *at)
{
	struct event event = event_enter(), *e = &event;
	uint32_t row = now ? capture_row(e, MTRACE_KIND_MMAP, at) : 0;
	uintptr_t start = (uintptr_t)now, end = now ? page_end(now, bytes) : start;
	if (now)
		counts_allocated(event_tallies(e), row, end - start);
	struct regions_event who = by(e);
	if (!regions_end_move(token, start, end, row, &who) && now)
		counts_freed(event_tallies(e), row, end - start);
	news_mapping(MTRACE_RING_remap, row, start, end);
	event_leave(e);
}

/* ---- threads ---------------------------------------------------------------------------------------- */

uint32_t tracker_thread_created(uint64_t stack_bytes, const struct unwind_start *at)
{
	struct event event = event_enter(), *e = &event;
	uint32_t row = capture_row(e, MTRACE_KIND_THREAD, at);
	counts_allocated(event_tallies(e), row, stack_bytes);
	event_leave(e);
	return row;
}

void tracker_thread_failed(uint32_t row, uint64_t stack_bytes)
{
	struct event event = event_enter(), *e = &event;
	counts_freed(event_tallies(e), row, stack_bytes);
	event_leave(e);
}

void tracker_thread_started(uint32_t row, uint64_t stack_bytes)
{
	event_begin_thread(&thread_self, &(struct thread_birth){.row = row, .stack_bytes = stack_bytes});
}

void tracker_thread_ended(void)
{
	struct event event = event_enter(), *e = &event;
	struct thread_state *self = e->self;
	struct mtrace_thread *t = self->record;
	uint32_t row = atomic_load_explicit(&t->row, memory_order_relaxed);
	bool first = threads_note_end(self);
	if (first)
		news_thread(self, MTRACE_RING_thread_end);
	if (first && row)
		counts_freed_of_age(event_tallies(e), row, atomic_load_explicit(&t->stack_bytes, memory_order_relaxed),
				    threads_side_of(t->start_tick), &self->aged_side);
	counts_flush_live(self);
	stream_close(&self->pen);
	event_leave(e);
	struct workspace *work = self->work;
	self->usual = GUARD_NEVER; /* G2 */
	atomic_signal_fence(memory_order_seq_cst);
	self->work = NULL; /* before another thread may have it: what still comes does without */
	if (work)
		slots_release(work->slot);
}

void tracker_thread_named(uintptr_t handle, const char *name)
{
	struct event event = event_enter(), *e = &event;
	uint32_t tid = threads_note_name(handle, name);
	struct ring_record news = {.kind = MTRACE_RING_thread_name, .thread = e->self->id, .value[0] = tid};
	ring_text(&news.value[2], name);
	ring_put(&news);
	event_leave(e);
}

void tracker_mark(const char *name, uint32_t flags)
{
	struct event event = event_enter(), *e = &event;
	if (!e->nested)
		counts_flush_live(e->self); /* the curve has it at the mark */
	news_make_mark(name, flags);
	event_leave(e);
}

uint32_t tracker_exhausted(uint32_t what, const char *text)
{
	char name[64] = "exhausted: ";
	struct event event = event_enter(), *e = &event;
	uint32_t id = exhaustions_add(what, text, e->self->id);
	strncat(name, text, sizeof name - sizeof "exhausted: ");
	if (!e->nested)
		counts_flush_live(e->self);
	if (id)
		news_make_mark(name, 0);
	event_leave(e);
	return id;
}

/* ---- the process ------------------------------------------------------------------------------------- */

void tracker_forked(void)
{
	struct event event = event_enter(), *e = &event;
	ring_put(&(struct ring_record){.kind = MTRACE_RING_fork, .thread = e->self->id});
	event_leave(e);
}

void tracker_unloaded(void)
{
	struct event event = event_enter(), *e = &event;
	uintptr_t start;
	for (uint32_t id = 0; (id = modules_next_gone(id, &start)) != 0;)
		ring_put(&(struct ring_record){.kind = MTRACE_RING_module_unmap, .thread = e->self->id, .subject = id,
					       .value[0] = start});
	event_leave(e);
}

void tracker_ending(uint32_t end, int status)
{
	struct event event = event_enter(), *e = &event;
	if (!e->nested)
		counts_flush_live(e->self);
	ring_watch_now(e->self->id, e->self->tick);
	ring_put(&(struct ring_record){.kind = MTRACE_RING_exit, .thread = e->self->id, .value = {end, (uint64_t)status & 0xff}});
	event_leave(e);
}

/* ---- after a pause ------------------------------------------------------------------------------------- */

static void give_up_block(enum mtrace_family family, uintptr_t address, const struct live_block *old, void *context)
{
	record_freed(context, family, address, old);
	segment_count(MTRACE_COUNTER_drop_pause);
}

static void give_up_threads(const struct event *e)
{
	for (uint32_t id = 0; (id = threads_next_gone(id)) != 0;) {
		uint64_t stack_bytes;
		uint32_t row = threads_birth(id, &stack_bytes);
		if (row)
			counts_freed(event_tallies(e), row, stack_bytes);
	}
}

void tracker_give_up(void)
{
	struct event event = event_enter(), *e = &event;
	struct regions_event who = by(e);
	live_remove_all(give_up_block, e);
	regions_unmap(0, ~(uintptr_t)(MTRACE_PAGE_BYTES - 1), &who);
	give_up_threads(e);
	event_leave(e);
}
