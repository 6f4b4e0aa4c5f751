#include "modules.h"

#include <string.h>

#include "segment.h"

static struct mtrace_module *module_at(uint64_t id)
{
	return (struct mtrace_module *)(void *)segment.base[MTRACE_REGION_MODULES] + id;
}

static const char *string_at(uint32_t offset)
{
	return segment.base[MTRACE_REGION_STRINGS] + offset;
}

enum { PATH_MOST = 512 };

/* The executable has no name in the loader's list; a library opened by a relative path has one that only the working
   directory of that moment explains. The vDSO's has no slash and stays. */
static const char *path_of(const struct plat_object *object, char buffer[PATH_MOST])
{
	const char *path = object->path;
	if (!path || !path[0])
		return segment.info->exe;
	if (path[0] == '/' || !strchr(path, '/'))
		return path;
	return plat_mapped_path(object->start, buffer, PATH_MOST) ? buffer : path;
}

static uint32_t kept_build_id_bytes(const struct plat_object *object)
{
	uint32_t most = sizeof module_at(0)->build_id;
	return object->build_id ? (object->build_id_bytes < most ? object->build_id_bytes : most) : 0;
}

/* The executable's stands in the segment, and whoever writes there may take its end away: it is looked for no further. */
static uint64_t length_of(const char *path)
{
	enum { LONGEST = 4096 };
	return strnlen(path, LONGEST);
}

/* No byte behind the end of `path` is looked at, on either side. */
static bool is_string(uint32_t at, const char *path)
{
	uint64_t length = length_of(path);
	return segment_id_ok(MTRACE_REGION_STRINGS, at, 1) && segment_has(MTRACE_REGION_STRINGS, at + length + 1) &&
	       !memcmp(string_at(at), path, length) && !string_at(at)[length];
}

/* A number that was another process's, long ago, may be ours: its ids are not (`known`). */
static bool is_same(uint32_t id, const struct plat_object *object, const char *path)
{
	const struct mtrace_module *m = module_at(id);
	uint32_t bytes = kept_build_id_bytes(object);
	return segment_has(MTRACE_REGION_MODULES, (id + 1ull) * sizeof *m) && m->build_id_bytes == bytes &&
	       !memcmp(m->build_id, object->build_id ? object->build_id : m->build_id, bytes) &&
	       is_string(__atomic_load_n(&m->path, __ATOMIC_RELAXED), path);
}

static uint64_t module_count(void)
{
	uint64_t used = atomic_load_explicit(&segment.used[MTRACE_REGION_MODULES], memory_order_relaxed);
	while (used > 1 && !segment_has(MTRACE_REGION_MODULES, used * sizeof(struct mtrace_module)))
		used--;
	return used;
}

static uint32_t keep_string(const char *text)
{
	uint64_t length = length_of(text);
	uint64_t at = segment_reserve(MTRACE_REGION_STRINGS, length + 1); /* zero: always terminated */
	if (at > UINT32_MAX)
		return 0;
	memcpy(segment.base[MTRACE_REGION_STRINGS] + at, text, length);
	return (uint32_t)at;
}

/* ---- mapped now or not ----------------------------------------------------------------------------------- */

/* Where each module is mapped now, as far as frames showed it; 0: nowhere, or not watched. The address only tells
   whether the module is still there, so a race between two threads costs a line of news. */
enum { WATCHED = 4096 };
static _Atomic uintptr_t mapped_at[WATCHED];
static _Atomic uint32_t mapped_in; /* the process that these are of */

static void watch_this_process(void)
{
	uint32_t before = atomic_load_explicit(&mapped_in, memory_order_relaxed);
	if (before == segment.pid)
		return;
	for (uint32_t id = 0; before && id < WATCHED; id++) /* of the process that forked this one: other ids */
		atomic_store_explicit(&mapped_at[id], 0, memory_order_relaxed);
	atomic_store_explicit(&mapped_in, segment.pid, memory_order_relaxed);
}

/* true: it was not known to be mapped. */
static bool note_mapped(uint32_t id, uintptr_t start)
{
	watch_this_process();
	return id < WATCHED && !atomic_exchange_explicit(&mapped_at[id], start, memory_order_relaxed);
}

uint32_t modules_next_gone(uint32_t after, uintptr_t *start)
{
	uint64_t count = module_count();
	watch_this_process();
	for (uint64_t id = after + 1ull; id < count && id < WATCHED; id++) {
		*start = atomic_load_explicit(&mapped_at[id], memory_order_relaxed);
		uintptr_t was = *start;
		if (was && !plat_is_loaded(was) &&
		    atomic_compare_exchange_strong_explicit(&mapped_at[id], &was, 0, memory_order_relaxed, memory_order_relaxed))
			return (uint32_t)id;
	}
	return 0;
}

/* ---- one module ------------------------------------------------------------------------------------------ */

static uint32_t make_module(const struct plat_object *object, const char *path)
{
	uint64_t id = segment_reserve(MTRACE_REGION_MODULES, 1);
	if (id > UINT32_MAX) {
		segment_count(MTRACE_COUNTER_drop_modules_full);
		return 0;
	}
	struct mtrace_module *m = module_at(id);
	m->path = keep_string(path);
	m->start = object->start;
	m->end = object->end;
	m->bias = object->bias;
	m->build_id_bytes = (uint8_t)kept_build_id_bytes(object);
	if (object->build_id)
		memcpy(m->build_id, object->build_id, m->build_id_bytes);
	atomic_store_explicit(&m->ready, 1, memory_order_release); /* pairs: readers */
	return (uint32_t)id;
}

/* Modules in the order in which they were made known, each once. An entry is claimed by compare-and-swap when its module is
   complete and stays: of two threads that make the same module at once, the later takes the other's, and what it made has no
   frames. An entry of another process is free: this one is a fork of it, with a segment of its own.
   release: the module's words are written (pairs: the acquire of who finds it). */
enum { KNOWN_MOST = 1 << 15 }; /* more than there is room for in the segment */
static _Atomic uint64_t known[KNOWN_MOST]; /* process << 32 | id */

static uint32_t find_or_make(const struct plat_object *object, const char *path)
{
	const uint32_t process = segment.pid;
	uint32_t made = 0;
	for (uint32_t i = 0; i < KNOWN_MOST; i++) {
		uint64_t entry = atomic_load_explicit(&known[i], memory_order_acquire);
		if (entry >> 32 != process) {
			if (!made && !(made = make_module(object, path)))
				return 0;
			if (atomic_compare_exchange_strong_explicit(&known[i], &entry, (uint64_t)process << 32 | made,
			                                            memory_order_acq_rel, memory_order_acquire))
				return made;
		}
		if (is_same((uint32_t)entry, object, path))
			return (uint32_t)entry;
	}
	return made;
}

uint32_t modules_of(const struct plat_object *object, bool *news)
{
	char buffer[PATH_MOST];
	uint32_t id = find_or_make(object, path_of(object, buffer));
	*news = id && note_mapped(id, object->start);
	return id;
}
