#include "mixed.h"

#include "lang/known.h"
#include "methods.h"
#include "segment.h"
#include "stacks.h"

enum { LOOKS_MOST = 4096 };

_Atomic uint32_t mixed_looks = LOOKS_MOST;

bool mixed_init(void)
{
	return known_init() && methods_init();
}

struct mixed {
	struct unwind_start *at;
	struct mixed_near *near;
	const struct unwind_bounds *bounds;
	uintptr_t from; /* where the walk left native code first: what is further out is in use */
	struct unwind_frame *frames;
	size_t count, keep;
};

/* ---- Java frames ---------------------------------------------------------------------------------------------- */

static uint64_t value_of(uint32_t method, uint32_t bci, uint32_t line)
{
	return (uint64_t)method << 32 | bci << 16 | (line <= UINT16_MAX ? line : 0);
}

/* 0: it has no name that can be read, or there is no room for a frame. */
static __attribute__((noinline)) uint32_t intern_scope(const struct jvm_scope *scope, uint32_t *bottom)
{
	struct jvm_method method;
	if (!jvm_describe(scope, &method))
		return 0;
	uint32_t id = methods_of(&method);
	if (!id)
		segment_count(MTRACE_COUNTER_drop_methods_full);
	*bottom |= method.is_bottom;
	return stacks_frame(MTRACE_FRAME_JAVA, 0, value_of(id, scope->bci, method.line), 0);
}

/* Makes ids of a frame's methods; 0: they cannot be read. */
static __attribute__((cold, noinline)) size_t expand(const struct jvm_frame *frame, uint32_t ids[JVM_INLINED_MOST],
						     uint32_t *bottom)
{
	struct jvm_scope scopes[JVM_INLINED_MOST];
	size_t count = jvm_scopes(frame, scopes);
	for (size_t i = 0; i < count; i++)
		if (!(ids[i] = intern_scope(&scopes[i], bottom)))
			return 0;
	if (count == 0 || count > KNOWN_IDS)
		return count;
	struct known_frame known = {.key = {frame->key[0], frame->key[1]}, .identity = jvm_identity(frame),
				    .bottom = *bottom, .count = (uint32_t)count};
	for (size_t i = 0; i < count; i++)
		known.ids[i] = ids[i];
	known_keep(&known);
	return count;
}

/* Innermost first. Those beyond `keep` are left out. */
static void put(struct mixed *x, const uint32_t *ids, size_t count)
{
	for (size_t i = 0; i < count && x->count < x->keep; i++)
		x->frames[x->count++] = (struct unwind_frame){.tag = ids[i]};
}

static __attribute__((noinline)) bool put_new(struct mixed *x, const struct jvm_frame *frame, uint32_t *bottom)
{
	uint32_t ids[JVM_INLINED_MOST];
	size_t count = expand(frame, ids, bottom);
	put(x, ids, count);
	return count != 0;
}

static uint32_t near_place(uintptr_t pc)
{
	return (uint32_t)((pc * 0x9e3779b97f4a7c15u) >> 56) % MIXED_NEAR;
}

/* A thread that is cancelled half way leaves an entry without a pc. */
static void remember(struct mixed_near *near, uintptr_t pc, const struct jvm_frame *frame, const struct known_frame *known)
{
	uint32_t place = near_place(pc);
	near->entry[place].step.pc = 0;
	atomic_signal_fence(memory_order_seq_cst);
	if (known->bottom || known->count > MIXED_NEAR_IDS || !jvm_remember(&near->entry[place].step, pc, frame))
		return;
	near->entry[place].count = known->count;
	for (uint32_t i = 0; i < known->count; i++)
		near->entry[place].ids[i] = known->ids[i];
	atomic_signal_fence(memory_order_seq_cst);
	near->entry[place].step.pc = pc;
}

/* `pc`: where the walk was before the step that gave `frame`. */
static bool put_java(struct mixed *x, uintptr_t pc, const struct jvm_frame *frame, uint32_t *bottom)
{
	struct known_frame known;
	*bottom = 0;
	if (!known_find(frame->key, &known) || known.identity != jvm_identity(frame))
		return put_new(x, frame, bottom);
	put(x, known.ids, known.count);
	*bottom = known.bottom;
	if (x->near)
		remember(x->near, pc, frame, &known);
	return true;
}

/* Steps over compiled frames that this thread remembers. false: one cannot be left. */
static bool walk_near(struct mixed *x)
{
	while (x->near && x->count < x->keep) {
		uint32_t place = near_place(x->at->pc);
		if (x->near->entry[place].step.pc != x->at->pc)
			break;
		enum jvm_step step = jvm_step_again(&x->near->entry[place].step, x->at, x->from, x->bounds);
		if (step != JVM_JAVA)
			return step != JVM_LOST;
		put(x, x->near->entry[place].ids, x->near->entry[place].count);
	}
	return true;
}

/* Until code that is not the JVM's (true, *x->at is there), or the end. */
static bool walk_java(struct mixed *x, enum unwind_end *end)
{
	struct jvm_frame frame;
	uint32_t bottom = 0;
	while (jvm_has_code(x->at->pc)) {
		*end = UNWIND_LOST;
		if (!walk_near(x))
			return false;
		if (!jvm_has_code(x->at->pc))
			break;
		uintptr_t pc = x->at->pc;
		enum jvm_step step = x->count < x->keep ? jvm_step(x->at, x->from, x->bounds, &frame) : JVM_LOST;
		*end = x->count < x->keep ? UNWIND_LOST : UNWIND_TOO_DEEP;
		if (step == JVM_LOST || (step == JVM_JAVA && !put_java(x, pc, &frame, &bottom)))
			return false;
		*end = UNWIND_VIRTUAL;
		if (step == JVM_BOTTOM || bottom)
			return false;
	}
	return true;
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */

static __attribute__((cold, noinline)) bool find_jvm(const struct unwind_frame *frames, size_t count)
{
	uint32_t left = atomic_load_explicit(&mixed_looks, memory_order_relaxed);
	if (left)
		atomic_compare_exchange_strong_explicit(&mixed_looks, &left, left - 1, memory_order_relaxed, memory_order_relaxed);
	for (size_t i = 0; i < count; i++)
		if (frames[i].pc && jvm_find(frames[i].pc)) {
			segment_add_private(KNOWN_BYTES + METHODS_BYTES); /* at most */
			return true;
		}
	return false;
}

/* Native rules from *x->at on; true: they ended in the JVM's code, whose frame is not among those stored. */
static bool walk_native(struct mixed *x, enum unwind_end *end)
{
	if (x->count == x->keep) {
		*end = UNWIND_TOO_DEEP;
		return false;
	}
	size_t more = unwind_walk_on(x->at, x->bounds, x->frames + x->count, x->keep - x->count, end);
	x->count += more;
	if (*end != UNWIND_NO_RULES || more == 0 || !jvm_has_code(x->at->pc))
		return false;
	x->count--;
	return true;
}

size_t mixed_walk(struct unwind_start *at, const struct unwind_bounds *bounds, struct mixed_near *near,
		  struct unwind_frame *frames, size_t count, size_t keep, enum unwind_end *end)
{
	struct mixed x = {at, near, bounds, at->sp, frames, count ? count - 1 : 0, keep};
	*end = UNWIND_NO_RULES;
	if (!atomic_load_explicit(&jvm_code, memory_order_acquire) && !find_jvm(frames, count))
		return count;
	if (!count || !jvm_has_code(at->pc))
		return count;
	while (walk_java(&x, end) && walk_native(&x, end))
		;
	return x.count;
}
