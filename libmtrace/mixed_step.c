/* mixed_step: see mixed_step.h. */
#include "mixed_step.h"

#include <string.h>

#include "lang/jvm_again.h"
#include "lang/known.h"
#include "methods.h"
#include "segment.h"
#include "stacks.h"

/* ---- a frame that is new ---------------------------------------------------------------------------------------- */

static uint64_t value_of(uint32_t method, uint32_t bci, uint32_t line)
{
	return (uint64_t)method << 32 | bci << 16 | (line <= UINT16_MAX ? line : 0);
}

/* 0: it has no name that can be read, or there is no room for a frame. */
static __attribute__((noinline)) uint32_t intern_scope(const struct jvm_scope *scope, bool *is_bottom)
{
	struct jvm_method method;
	if (!jvm_describe(scope, &method))
		return 0;
	uint32_t id = methods_of(&method);
	if (!id)
		segment_count(MTRACE_COUNTER_drop_methods_full);
	*is_bottom |= method.is_bottom;
	return stacks_frame(MTRACE_FRAME_JAVA, 0, value_of(id, scope->bci, method.line), 0);
}

/* Makes ids of a frame's methods; false: they cannot be read. */
static __attribute__((cold, noinline)) bool expand(const struct jvm_frame *frame, struct mixed_met *met)
{
	struct jvm_scope scopes[JVM_INLINED_MOST];
	size_t count = jvm_scopes(frame, scopes);
	for (size_t i = 0; i < count; i++)
		if (!(met->room[i] = intern_scope(&scopes[i], &met->is_bottom)))
			return false;
	met->ids = met->room;
	met->count = (uint32_t)count;
	if (count == 0 || count > KNOWN_IDS)
		return count;
	struct known_frame known = {.key = {frame->key[0], frame->key[1]},
	                            .identity = jvm_identity(frame),
	                            .bottom = met->is_bottom,
	                            .count = (uint32_t)count};
	for (size_t i = 0; i < count; i++)
		known.ids[i] = met->room[i];
	known_keep(&known);
	return true;
}

/* ---- frames that were met before -------------------------------------------------------------------------------- */

/* A thread that is cancelled half way leaves an entry without a pc. */
static void begin_entry(struct mixed_near_entry *e)
{
	e->past.pc = 0;
	atomic_signal_fence(memory_order_seq_cst);
}

static void end_entry(struct mixed_near_entry *e, struct jvm_past past)
{
	uintptr_t pc = past.pc;
	past.pc = 0;
	e->past = past;
	atomic_signal_fence(memory_order_seq_cst);
	e->past.pc = pc;
}

/* In the place of the older one of its set, unless it is there under what it was before. */
static void keep_near(struct mixed_near *near, const struct mixed_met *met)
{
	struct mixed_near_entry *e = mixed_near_set(near, met->past.pc), *older = e + 1;
	if (met->way != JVM_BY_SIZE || !met->is_known || met->is_bottom || !met->count || met->count > MIXED_NEAR_IDS)
		return;
	if (e->past.pc && e->past.pc != met->past.pc) {
		begin_entry(older);
		older->count = e->count;
		memcpy(older->ids, e->ids, sizeof e->ids);
		end_entry(older, e->past);
	}
	begin_entry(e);
	e->count = met->count;
	for (uint32_t i = 0; i < met->count; i++)
		e->ids[i] = met->ids[i];
	end_entry(e, met->past);
}

/* `pc`: where the walk was before the step that gave `frame`. */
static enum jvm_step find_ids(uintptr_t pc, const struct jvm_frame *frame, struct mixed_near *near,
                              struct mixed_met *met)
{
	struct known_frame known;
	uint64_t identity;
	if (!known_find(frame->key, &known) || known.identity != (identity = jvm_identity(frame)))
		return expand(frame, met) ? JVM_JAVA : JVM_LOST;
	met->is_bottom = known.bottom;
	met->is_known = jvm_remember(&met->past, pc, frame, identity);
	met->count = known.count;
	for (uint32_t i = 0; i < known.count; i++)
		met->room[i] = known.ids[i];
	met->ids = met->room;
	if (near)
		keep_near(near, met);
	return JVM_JAVA;
}

static __attribute__((noinline)) enum jvm_step step_far(struct unwind_start *at, uintptr_t from,
                                                        const struct unwind_bounds *bounds, struct mixed_near *near,
                                                        struct mixed_met *met)
{
	struct jvm_frame frame;
	uintptr_t pc = at->pc;
	enum jvm_step step = jvm_step(at, from, bounds, &frame);
	if (step == JVM_LOST)
		return step;
	met->way = frame.way;
	met->count = 0;
	met->is_bottom = step == JVM_BOTTOM;
	met->is_known = false;
	if (step == JVM_JAVA)
		return find_ids(pc, &frame, near, met);
	met->is_known = jvm_remember(&met->past, pc, &frame, 0);
	return step;
}

enum jvm_step mixed_step(struct unwind_start *at, uintptr_t from, const struct unwind_bounds *bounds,
                         struct mixed_near *near, struct mixed_met *met)
{
	const struct mixed_near_entry *e = near ? mixed_near_find(near, at->pc) : NULL;
	enum jvm_step step = JVM_OTHER;
	if (e) {
		met->way = JVM_BY_SIZE;
		met->is_bottom = false;
		met->is_known = true;
		met->past = e->past;
		met->ids = e->ids;
		met->count = e->count;
		step = jvm_step_again(&met->past, at, from, bounds);
	}
	return likely(step != JVM_OTHER) ? step : step_far(at, from, bounds, near, met);
}
