/* jvm_blob: see jvm_blob.h. */
#include "lang/jvm_blob.h"

#include <stdatomic.h>
#include <string.h>

#include "lang/jvm_memory.h"

enum { HEAPS_MOST = 8, HOPS_MOST = 4096, NAME_BYTES = 32 };
#define SEGMENT_FREE 0xffu

/* CodeHeap objects, made before the first Java frame and never freed. `heap_count` is published last. */
static uintptr_t heaps[HEAPS_MOST];
static _Atomic uint32_t heap_count;

static bool is_heap(struct jvm_memory *m, uintptr_t heap)
{
	const struct jvm_layout *l = &jvm_layout;
	int32_t log2;
	return jvm_is_readable(m, heap + (uintptr_t)l->heap_memory, 64) &&
	       jvm_is_readable(m, heap + (uintptr_t)l->heap_segments, 64) &&
	       jvm_load(m, heap + (uintptr_t)l->heap_log2, &log2, sizeof log2) && log2 >= 4 && log2 <= 16;
}

/* Several threads may do this at once: they write the same words. */
bool jvm_blobs_init(void)
{
	struct jvm_memory m = {0};
	uintptr_t array = jvm_word(jvm_layout.code_heaps), data;
	int32_t length;
	if (!array || !jvm_load(&m, array + (uintptr_t)jvm_layout.array_length, &length, sizeof length) || length < 1 ||
	    length > HEAPS_MOST || !jvm_load_word(&m, array + (uintptr_t)jvm_layout.array_data, &data))
		return false;
	for (int32_t i = 0; i < length; i++)
		if (!jvm_load_word(&m, data + (uintptr_t)i * sizeof data, &heaps[i]) || !is_heap(&m, heaps[i]))
			return false;
	atomic_store_explicit(&heap_count, (uint32_t)length, memory_order_release);
	return true;
}

/* ---- from a pc to its block: the segment map says, for each segment, how many to go back, or less ------------- */

static uintptr_t low_of(uintptr_t space)
{
	return jvm_word(space + (uintptr_t)jvm_layout.space_low);
}

static uintptr_t high_of(uintptr_t space)
{
	return jvm_word(space + (uintptr_t)jvm_layout.space_high);
}

static uintptr_t heap_of(uintptr_t pc)
{
	uint32_t count = atomic_load_explicit(&heap_count, memory_order_acquire);
	for (uint32_t i = 0; i < count; i++) {
		uintptr_t memory = heaps[i] + (uintptr_t)jvm_layout.heap_memory;
		if (pc >= low_of(memory) && pc < high_of(memory))
			return heaps[i];
	}
	return 0;
}

static uintptr_t block_of(uintptr_t heap, uintptr_t pc)
{
	uintptr_t low = low_of(heap + (uintptr_t)jvm_layout.heap_memory);
	uintptr_t segments = heap + (uintptr_t)jvm_layout.heap_segments;
	const volatile uint8_t *map = (const volatile uint8_t *)low_of(segments);
	int32_t log2 = jvm_int(heap + (uintptr_t)jvm_layout.heap_log2);
	uintptr_t segment = (pc - low) >> log2;
	if (segment >= high_of(segments) - (uintptr_t)map)
		return 0;
	for (uint32_t hops = 0; hops < HOPS_MOST; hops++) {
		uint8_t back = map[segment];
		if (back == SEGMENT_FREE || back > segment)
			return 0;
		if (back == 0)
			return low + (segment << log2);
		segment -= back;
	}
	return 0;
}

/* ---- kinds, by the blob's name: "nmethod" and "native nmethod" are literals of libjvm -------------------------- */

static _Atomic uintptr_t method_names[2], other_names[64];

static uintptr_t name_of(uintptr_t blob)
{
	return jvm_word(blob + (uintptr_t)jvm_layout.blob_name);
}

static bool load_name(uintptr_t at, char name[NAME_BYTES])
{
	struct jvm_memory m = {0};
	uint32_t n = 0;
	for (; n < NAME_BYTES - 1; n++)
		if (!jvm_load(&m, at + n, &name[n], 1) || !name[n])
			break;
	name[n] = '\0';
	return n != 0;
}

/* Said once by its text, then by its address: a literal's says so for good, and no other name comes to lie there. */
static bool is_method_name(uintptr_t at)
{
	_Atomic uintptr_t *other = &other_names[at >> 4 & 63];
	char name[NAME_BYTES];
	if (at == atomic_load_explicit(&method_names[0], memory_order_relaxed) ||
	    at == atomic_load_explicit(&method_names[1], memory_order_relaxed))
		return true;
	if (at == atomic_load_explicit(other, memory_order_relaxed) || !load_name(at, name))
		return false;
	bool native = !strcmp(name, "native nmethod");
	if (native || !strcmp(name, "nmethod"))
		atomic_store_explicit(&method_names[native], at, memory_order_relaxed);
	else
		atomic_store_explicit(other, at, memory_order_relaxed);
	return native || !strcmp(name, "nmethod");
}

bool jvm_blob_is_named(const struct jvm_blob *blob, const char *begin)
{
	char name[NAME_BYTES];
	return load_name(name_of(blob->start), name) && !strncmp(name, begin, strlen(begin));
}

bool jvm_blob_at(uintptr_t pc, struct jvm_blob *blob)
{
	const struct jvm_layout *l = &jvm_layout;
	uintptr_t heap = heap_of(pc), block = heap ? block_of(heap, pc) : 0;
	if (!block)
		return false;
	uintptr_t start = block + (uintptr_t)l->block_bytes, bytes = (uintptr_t)jvm_int(start + (uintptr_t)l->blob_size);
	blob->start = start;
	blob->end = start + bytes;
	blob->code = l->is_new ? start + (uintptr_t)jvm_int(start + (uintptr_t)l->blob_code_offset)
			       : jvm_word(start + (uintptr_t)l->blob_code);
	blob->frame_words = jvm_int(start + (uintptr_t)l->blob_frame_words);
	if (pc < blob->code || blob->code < start || pc - start >= bytes)
		return false;
	blob->is_method = is_method_name(name_of(start));
	return true;
}
