/*
 * methods: see methods.h. Two private tables of the same kind, from a text's hash to where it is in the segment: strings,
 * and methods by their four strings. Open addressing, filled only; an entry is stored by compare-and-swap after what it
 * names is complete (release; pairs: the acquire of who finds it). Wiped in forked children.
 */
#include "methods.h"

#include <stdatomic.h>
#include <string.h>

#include "hash.h"
#include "segment.h"

enum { PROBES_MOST = 64 };

struct table {
	_Atomic uint32_t *_Atomic entries; /* 0: empty */
	uint32_t size;                     /* a power of two */
};
static struct table strings = {.size = METHODS_STRINGS_MOST}, methods = {.size = METHODS_MOST};

static bool map_table(struct table *t)
{
	if (atomic_load_explicit(&t->entries, memory_order_acquire)) /* a forked child */
		return true;
	void *map = plat_map_private(t->size * sizeof(uint32_t));
	if (!map)
		return false;
	if (plat_wipe_on_fork(map, t->size * sizeof(uint32_t))) {
		plat_unmap(map, t->size * sizeof(uint32_t));
		return false;
	}
	atomic_store_explicit(&t->entries, map, memory_order_release);
	return true;
}

bool methods_init(void)
{
	return map_table(&strings) && map_table(&methods);
}

/* What is looked for, how to tell it and how to make it. */
struct wanted {
	uint64_t hash;
	const void *what;
	bool (*is)(uint32_t at, const void *what);
	uint32_t (*make)(const void *what); /* 0: no room */
};

static uint32_t find_or_make(struct table *t, const struct wanted *w)
{
	_Atomic uint32_t *entries = atomic_load_explicit(&t->entries, memory_order_acquire);
	uint32_t made = 0;
	for (uint32_t i = 0; entries && i < PROBES_MOST; i++) {
		_Atomic uint32_t *entry = &entries[(w->hash + i) & (t->size - 1)];
		uint32_t at = atomic_load_explicit(entry, memory_order_acquire);
		if (!at) {
			if (!made && !(made = w->make(w->what)))
				return 0;
			if (atomic_compare_exchange_strong_explicit(entry, &at, made, memory_order_acq_rel, memory_order_acquire))
				return made;
		}
		if (w->is(at, w->what))
			return at;
	}
	return made;
}

/* ---- strings ------------------------------------------------------------------------------------------------ */

static bool is_string(uint32_t at, const void *text)
{
	uint64_t end = (uint64_t)at + strlen(text) + 1;
	return segment_has(MTRACE_REGION_METHOD_NAMES, end) &&
	       !strcmp(segment.base[MTRACE_REGION_METHOD_NAMES] + at, text);
}

static uint32_t make_string(const void *text)
{
	uint64_t bytes = strlen(text) + 1, at = segment_reserve(MTRACE_REGION_METHOD_NAMES, bytes);
	if (at > UINT32_MAX)
		return 0;
	memcpy(segment.base[MTRACE_REGION_METHOD_NAMES] + at, text, bytes);
	return (uint32_t)at;
}

static uint64_t hash_text(const char *text)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3u;
	return hash_mix(h);
}

/* false: no room. The empty string is at 0. */
static bool keep_string(const char *text, uint32_t *at)
{
	struct wanted w = {hash_text(text), text, is_string, make_string};
	*at = text[0] ? find_or_make(&strings, &w) : 0;
	return *at || !text[0];
}

/* ---- methods ------------------------------------------------------------------------------------------------- */

static struct mtrace_method *method_at(uint32_t id)
{
	return (struct mtrace_method *)(void *)segment.base[MTRACE_REGION_METHODS] + id;
}

static bool is_method(uint32_t id, const void *what)
{
	const struct mtrace_method *want = what, *m = method_at(id);
	return segment_id_ok(MTRACE_REGION_METHODS, id, sizeof *m) && m->klass == want->klass && m->name == want->name &&
	       m->signature == want->signature && m->file == want->file;
}

static uint32_t make_method(const void *what)
{
	uint64_t id = segment_reserve(MTRACE_REGION_METHODS, 1);
	if (id > UINT32_MAX)
		return 0;
	*method_at((uint32_t)id) = *(const struct mtrace_method *)what;
	return (uint32_t)id;
}

uint32_t methods_of(const struct jvm_method *method)
{
	struct mtrace_method want = {0};
	if (!keep_string(method->klass, &want.klass) || !keep_string(method->name, &want.name) ||
	    !keep_string(method->signature, &want.signature) || !keep_string(method->file, &want.file))
		return 0;
	uint64_t hash = hash_mix((uint64_t)want.klass << 32 | want.name);
	struct wanted w = {hash_mix(hash ^ want.signature ^ (uint64_t)want.file << 32), &want, is_method, make_method};
	return find_or_make(&methods, &w);
}
