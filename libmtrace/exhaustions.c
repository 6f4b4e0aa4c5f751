#include "exhaustions.h"

#include <string.h>

#include "plat.h"
#include "segment.h"

enum { KINDS = 8 };

static struct mtrace_exhaustion *exhaustion_at(uint32_t id)
{
	return (struct mtrace_exhaustion *)(void *)segment.base[MTRACE_REGION_EXHAUSTIONS] + id;
}

/* In a forked child they have been used up by its parent: it has no JVM. */
static bool may_keep(uint32_t what)
{
	static _Atomic uint32_t kept[KINDS];
	return atomic_fetch_add_explicit(&kept[what % KINDS], 1, memory_order_relaxed) < EXHAUSTIONS_OF_A_KIND;
}

uint32_t exhaustions_add(uint32_t what, const char *text, uint32_t thread)
{
	uint64_t id = may_keep(what) ? segment_reserve(MTRACE_REGION_EXHAUSTIONS, 1) : UINT64_MAX;
	if (id > UINT32_MAX) {
		segment_count(MTRACE_COUNTER_drop_exhaustions);
		return 0;
	}
	struct mtrace_exhaustion *x = exhaustion_at((uint32_t)id);
	x->what = what;
	x->mono_ns = plat_mono_ns();
	x->thread = thread;
	strncpy(x->text, text, sizeof x->text - 1); /* the region is zero: always terminated */
	atomic_store_explicit(&x->ready, 1, memory_order_release); /* pairs: readers */
	return (uint32_t)id;
}

void exhaustions_add_class(uint32_t id, const char *signature, uint64_t objects, uint64_t bytes)
{
	uint64_t at = segment_reserve(MTRACE_REGION_CLASSES, 1);
	if (at > UINT32_MAX)
		return;
	struct mtrace_class *c = (struct mtrace_class *)(void *)segment.base[MTRACE_REGION_CLASSES] + at;
	*c = (struct mtrace_class){.exhaustion = id, .objects = objects, .bytes = bytes};
	strncpy(c->signature, signature, sizeof c->signature - 1);
}

void exhaustions_end_classes(uint32_t id, const struct exhaustions_heap *heap)
{
	struct mtrace_exhaustion *x = exhaustion_at(id);
	x->objects = heap->objects;
	x->bytes = heap->bytes;
	x->pause_ns = heap->pause_ns;
	atomic_store_explicit(&x->histogram, heap->histogram, memory_order_release); /* pairs: readers */
}
