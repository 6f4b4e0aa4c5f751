/*
 * symbols: see symbols.h. Gathers the frames that want names, module by module, asks the cache, and opens a file only
 * for what the cache does not know.
 *
 * Called by cmd_run, cmd_report (of a live process) and cmd_symbolize. A cache entry that was made without debug
 * information is believed only as long as nothing has changed where debug information might lie (files_fingerprint).
 */
#include "symbols.h"

#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "command.h"
#include "dwarf.h"
#include "files.h"
#include "model/profile.h"
#include "read/codec.h"

/* A frame that wants a name. */
struct wanted {
	struct profile_frame *frame;
	const struct profile_module *module;
	uint64_t address; /* of the call, in the module's own address space */
};

struct wanted_list {
	struct wanted *at;
	size_t count, capacity;
};

/* One call of symbols_resolve. */
struct resolver {
	struct profile *profile;
	const struct symbols_options *options;
	struct profile *scratch; /* owns what the caches hold */
	char cache_dir[CACHE_PATH_MAX];
	char kept_dir[CACHE_PATH_MAX + 8];
	bool has_cache, saved;
};

/* ---- what wants a name ---- */

static bool has_name(const struct profile_frame *frame)
{
	return frame->name_count && frame->names[0].function;
}

static bool has_line(const struct profile_frame *frame)
{
	for (uint32_t i = 0; i < frame->name_count; i++)
		if (frame->names[i].line)
			return true;
	return false;
}

static bool is_native(const struct profile_process *process, const struct profile_frame *frame)
{
	return frame->kind == MTRACE_FRAME_NATIVE && frame->module < process->module_count;
}

static void gather(const struct profile_process *process, bool again, struct wanted_list *list)
{
	for (uint32_t i = 0; i < process->frame_count; i++) {
		struct profile_frame *frame = &process->frames[i];

		if (!is_native(process, frame) || (has_name(frame) && !(again && !has_line(frame))))
			continue;
		list->at = codec_grow(list->at, &list->capacity, list->count + 1, sizeof(*list->at));
		list->at[list->count++] = (struct wanted){frame, &process->modules[frame->module],
							  frame->value - (frame->flags & MTRACE_FRAME_EXACT ? 0 : 1)};
	}
}

/* By build-id; modules without one by path. */
static int compare_modules(const struct profile_module *a, const struct profile_module *b)
{
	if (a->build_id_bytes != b->build_id_bytes)
		return a->build_id_bytes < b->build_id_bytes ? -1 : 1;
	if (a->build_id_bytes)
		return memcmp(a->build_id, b->build_id, a->build_id_bytes);
	return strcmp(a->path, b->path);
}

static int compare_wanted(const void *left, const void *right)
{
	const struct wanted *a = left, *b = right;
	int order = compare_modules(a->module, b->module);

	return order ? order : a->address < b->address ? -1 : a->address > b->address;
}

/* ---- one module ---- */

static void give_names(struct resolver *r, struct profile_frame *frame, const struct profile_name *names, uint32_t count)
{
	struct profile_name *copy;

	if (!count || (has_name(frame) && !names[0].line && count <= frame->name_count))
		return; /* what it has is no worse */
	copy = profile_alloc(r->profile, count, sizeof(*copy));
	for (uint32_t i = 0; i < count; i++) {
		copy[i] = names[i];
		copy[i].function = names[i].function ? profile_string(r->profile, names[i].function) : NULL;
		copy[i].file = names[i].file ? profile_string(r->profile, names[i].file) : NULL;
	}
	frame->names = copy;
	frame->name_count = count;
}

static struct files_module where(const struct resolver *r, const struct profile_module *module)
{
	return (struct files_module){
		.path = module->path,
		.build_id = module->build_id,
		.build_id_bytes = module->build_id_bytes,
		.start = module->start,
		.end = module->end,
		.bias = module->bias,
		.search = r->options->search,
		.kept_dir = r->has_cache ? r->kept_dir : NULL,
		.pid = r->options->pid,
	};
}

/* Drops what was found without debug information when it is worth another look. */
static void forget_stale(const struct resolver *r, struct cache *cache, const struct files_module *m)
{
	if (cache->lines || !cache->count)
		return;
	if (r->options->again || files_fingerprint(m, cache->link) != cache->fingerprint)
		cache->count = 0;
}

/* Opens the module and finds what the cache does not know. The frames come by address. */
static void find_names(struct resolver *r, struct cache *cache, const struct files_module *m, const struct wanted *at,
		       size_t count)
{
	struct dwarf_file *file = dwarf_open(m);
	const struct profile_name *names;
	size_t known = cache->count;
	struct cache old = *cache;

	if (!file)
		return;
	for (size_t i = 0; i < count; i++) {
		uint32_t found;

		old.count = known;
		old.entries = cache->entries; /* moves as it grows */
		if ((i && at[i].address == at[i - 1].address) || cache_find(&old, at[i].address))
			continue;
		found = dwarf_names(file, at[i].address, r->scratch, &names);
		cache_add(cache, at[i].address, names, found);
	}
	cache_sort(cache);
	cache->changed = cache->count != known;
	cache->lines = dwarf_has_lines(file);
	snprintf(cache->link, sizeof(cache->link), "%s", dwarf_link(file));
	cache->fingerprint = files_fingerprint(m, cache->link);
	dwarf_close(file);
}

static bool knows_all(const struct cache *cache, const struct wanted *at, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!cache_find(cache, at[i].address))
			return false;
	return true;
}

static void save(struct resolver *r, const struct cache *cache, const struct profile_module *module)
{
	if (!r->has_cache || !cache->changed)
		return;
	cache_save(cache, r->cache_dir, module->build_id, module->build_id_bytes);
	r->saved = true;
}

static void resolve_module(struct resolver *r, struct wanted *at, size_t count)
{
	const struct profile_module *module = at[0].module;
	struct files_module m = where(r, module);
	struct cache cache = {.owner = r->scratch};

	if (r->has_cache)
		cache_load(&cache, r->scratch, r->cache_dir, module->build_id, module->build_id_bytes);
	forget_stale(r, &cache, &m);
	if (!knows_all(&cache, at, count))
		find_names(r, &cache, &m, at, count);
	for (size_t i = 0; i < count; i++) {
		const struct cache_entry *entry = cache_find(&cache, at[i].address);

		if (entry)
			give_names(r, at[i].frame, entry->names, entry->count);
	}
	save(r, &cache, module);
	cache_free(&cache);
}

/* ---- all of them ---- */

static void count_frames(const struct profile *profile, struct symbols_result *result)
{
	*result = (struct symbols_result){0};
	for (uint32_t i = 0; i < profile->process_count; i++) {
		const struct profile_process *process = &profile->processes[i];

		for (uint32_t k = 0; k < process->frame_count; k++) {
			if (process->frames[k].kind != MTRACE_FRAME_NATIVE)
				continue;
			result->frames++;
			result->named += has_name(&process->frames[k]);
			result->with_line += has_line(&process->frames[k]);
		}
	}
}

static void resolve_all(struct resolver *r, struct wanted_list *list)
{
	size_t first = 0;

	if (list->count)
		qsort(list->at, list->count, sizeof(*list->at), compare_wanted);
	for (size_t i = 1; i <= list->count; i++) {
		if (i < list->count && compare_modules(list->at[i].module, list->at[first].module) == 0)
			continue;
		resolve_module(r, list->at + first, i - first);
		first = i;
	}
}

void symbols_resolve(struct profile *profile, const struct symbols_options *options, struct symbols_result *result)
{
	static const struct symbols_options none;
	struct resolver r = {.profile = profile, .options = options ? options : &none};
	struct wanted_list list = {0};
	struct symbols_result unused;

	for (uint32_t i = 0; i < profile->process_count; i++)
		gather(&profile->processes[i], r.options->again, &list);
	r.has_cache = cache_directory(r.options->cache_dir, r.cache_dir);
	snprintf(r.kept_dir, sizeof(r.kept_dir), "%s/files", r.cache_dir);
	r.scratch = profile_new();
	resolve_all(&r, &list);
	if (r.saved)
		cache_prune(r.cache_dir);
	profile_free(r.scratch);
	free(list.at);
	count_frames(profile, result ? result : &unused);
}
