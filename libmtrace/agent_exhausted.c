/*
 * agent_exhausted: the JVM ran out of heap, metaspace or threads and is about to throw its error. The callback runs on the
 * thread that will, outside the JVM's locks, where JVMTI may be called. First the record, then, of the Java heap and once in
 * a process, the largest classes: a walk over all objects with the program standing still, given up after WALK_NS_MOST, so
 * that a heap of any size costs no more. Memory for it: 16 bytes a class, and a tag of the JVM's for each class.
 */
#include "agent.h"

#include <string.h>

#include "boot.h"
#include "exhaustions.h"
#include "tracker.h"

#define WALK_NS_MOST 2000000000u
enum { CLASSES_KEPT = 40, OBJECTS_BETWEEN_LOOKS = 1 << 16 };

typedef int32_t jvmti_get_classes(struct jvmti_env *jvmti, int32_t *count, void ***classes);
typedef int32_t jvmti_get_signature(struct jvmti_env *jvmti, void *class, char **signature, char **generic);
typedef int32_t jvmti_set_tag(struct jvmti_env *jvmti, void *object, int64_t tag);
typedef int32_t jvmti_walk_heap(struct jvmti_env *jvmti, int32_t filter, void *class,
				const struct jvmti_heap_callbacks *callbacks, void *context);
typedef int32_t jvmti_deallocate(struct jvmti_env *jvmti, void *memory);

#define JVMTI(env, name, type) ((type *)(env)->functions[JVMTI_##name])

struct class_count {
	uint64_t objects, bytes;
};

struct walk {
	struct jvmti_env *jvmti;
	void **classes; /* local references: the JVM drops them when the callback returns */
	uint32_t count;
	struct class_count *counts;
	uint64_t begun;
	struct exhaustions_heap heap;
};

/* Called with the program standing still: no JNI, no JVMTI, no allocation. */
static int32_t visit(int64_t class_tag, int64_t size, int64_t *tag, int32_t length, void *context)
{
	struct walk *w = context;
	uint64_t number = (uint64_t)class_tag >> 3;
	(void)tag;
	(void)length;
	if (agent_is_class_tag(class_tag) && number < w->count) {
		w->counts[number].objects++;
		w->counts[number].bytes += (uint64_t)size;
	}
	w->heap.bytes += (uint64_t)size;
	if (++w->heap.objects % OBJECTS_BETWEEN_LOOKS || plat_mono_ns() - w->begun < WALK_NS_MOST)
		return JVMTI_VISIT_GO_ON;
	w->heap.histogram = MTRACE_HISTOGRAM_CUT;
	return JVMTI_VISIT_STOP;
}

static void keep_class(const struct walk *w, uint32_t id, uint32_t number)
{
	char *signature = NULL;
	if (JVMTI(w->jvmti, GetClassSignature, jvmti_get_signature)(w->jvmti, w->classes[number], &signature, NULL))
		return;
	exhaustions_add_class(id, signature, w->counts[number].objects, w->counts[number].bytes);
	JVMTI(w->jvmti, Deallocate, jvmti_deallocate)(w->jvmti, signature);
}

static void keep_largest(const struct walk *w, uint32_t id)
{
	for (int kept = 0; kept < CLASSES_KEPT; kept++) {
		uint32_t largest = 0;
		for (uint32_t i = 1; i < w->count; i++)
			if (w->counts[i].bytes > w->counts[largest].bytes)
				largest = i;
		if (!w->counts[largest].bytes)
			return;
		keep_class(w, id, largest);
		w->counts[largest].bytes = 0;
	}
}

static void walk_heap(struct walk *w, uint32_t id)
{
	struct jvmti_heap_callbacks callbacks = {.object = visit};
	for (uint32_t i = 0; i < w->count; i++)
		if (JVMTI(w->jvmti, SetTag, jvmti_set_tag)(w->jvmti, w->classes[i], agent_tag_of_class(i)))
			return;
	w->begun = plat_mono_ns();
	w->heap.histogram = MTRACE_HISTOGRAM_WHOLE;
	if (JVMTI(w->jvmti, IterateThroughHeap, jvmti_walk_heap)(w->jvmti, 0, NULL, &callbacks, w))
		return;
	w->heap.pause_ns = plat_mono_ns() - w->begun;
	keep_largest(w, id);
	exhaustions_end_classes(id, &w->heap);
}

static void count_classes(struct jvmti_env *jvmti, uint32_t id)
{
	struct walk w = {.jvmti = jvmti};
	int32_t count = 0;
	if (JVMTI(jvmti, GetLoadedClasses, jvmti_get_classes)(jvmti, &count, &w.classes))
		return;
	w.count = (uint32_t)count;
	w.counts = count > 0 ? plat_map_private(w.count * sizeof *w.counts) : NULL;
	if (w.counts) {
		walk_heap(&w, id);
		plat_unmap(w.counts, w.count * sizeof *w.counts);
	}
	JVMTI(jvmti, Deallocate, jvmti_deallocate)(jvmti, w.classes);
}

void agent_on_exhausted(struct jvmti_env *jvmti, struct jni_env *jni, int32_t what, const void *reserved, const char *text)
{
	static _Atomic uint32_t counted;
	(void)jni;
	(void)reserved;
	uint32_t id = boot_ready() ? tracker_exhausted((uint32_t)what, text ? text : "") : 0;
	if (id && what & JVMTI_EXHAUSTED_JAVA_HEAP && !atomic_exchange_explicit(&counted, 1, memory_order_relaxed))
		count_classes(jvmti, id);
}
