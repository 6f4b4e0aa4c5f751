#include "mixed.h"

#include "lang/known.h"
#include "methods.h"
#include "options.h"
#include "segment.h"
#include "unwind/rules.h"

enum { LOOKS_MOST = 4096 };

_Atomic uint32_t mixed_looks = LOOKS_MOST;

bool mixed_init(void)
{
	if (!options.java)
		atomic_store_explicit(&mixed_looks, 0, memory_order_relaxed); /* before the first walk */
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

/* Innermost first. Those beyond `keep` are left out. */
static void put(struct mixed *x, const struct mixed_met *met)
{
	for (size_t i = 0; i < met->count && x->count < x->keep; i++)
		x->frames[x->count++] = (struct unwind_frame){.tag = met->ids[i]};
}

/* Until code that is not the JVM's (true, *x->at is there), or the end. */
static bool walk_java(struct mixed *x, enum unwind_end *end)
{
	struct mixed_met met;
	while (jvm_has_code(x->at->pc)) {
		enum jvm_step step =
			x->count < x->keep ? mixed_step(x->at, x->from, x->bounds, x->near, &met) : JVM_LOST;
		*end = x->count < x->keep ? UNWIND_LOST : UNWIND_TOO_DEEP;
		if (step == JVM_LOST)
			return false;
		put(x, &met);
		*end = UNWIND_VIRTUAL;
		if (met.is_bottom)
			return false;
	}
	return true;
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

static __attribute__((cold, noinline)) bool find_jvm(const struct unwind_frame *frames, size_t count)
{
	uint32_t left = atomic_load_explicit(&mixed_looks, memory_order_relaxed);
	if (left)
		atomic_compare_exchange_strong_explicit(&mixed_looks, &left, left - 1, memory_order_relaxed,
		                                        memory_order_relaxed);
	for (size_t i = 0; i < count; i++)
		if (frames[i].pc && jvm_find(frames[i].pc)) {
			segment_add_private(KNOWN_BYTES + METHODS_BYTES); /* at most */
			const struct jvm_code *code = atomic_load_explicit(&jvm_code, memory_order_acquire);
			rules_never(code->low, code->high);
			return true;
		}
	return false;
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
