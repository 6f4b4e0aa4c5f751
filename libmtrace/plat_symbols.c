/*
 * plat_symbols: functions by their names: by the dynamic linker, and by the objects' own tables. dlsym and dlopen are
 * bound to their oldest versions, so that what is built on a new glibc loads on an old one; there they live in
 * libdl.so.2, which we therefore name as needed. Both take the loader's lock, and a look-up that fails allocates its
 * message: not async-signal-safe. plat_symbol_linked takes no lock and allocates nothing.
 */
#include "plat.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>

#if defined(__x86_64__)
#define OLDEST "GLIBC_2.2.5"
#else
#define OLDEST "GLIBC_2.17"
#endif
__asm__(".symver dlsym, dlsym@" OLDEST);
__asm__(".symver dlopen, dlopen@" OLDEST);
__asm__(".symver dlerror, dlerror@" OLDEST);

void *plat_symbol_next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

void plat_symbols_forget_failure(void)
{
	(void)dlerror();
}

/* ---- what one object defines, by its own tables --------------------------------------------------------------
 *
 * Not by dlsym: asked about a non-PIE executable that takes the address of a function, it answers with the
 * executable's own jump to that function, and it cannot be asked about an object that nobody opened.
 */

struct object {
	uintptr_t bias;
	const ElfW(Dyn) *dynamic;
};

struct symbol_table {
	const ElfW(Sym) *symbols;
	const char *names;
	const uint32_t *gnu_hash, *hash;
	const uint16_t *versions;
	unsigned type; /* what is looked for: STT_FUNC, STT_OBJECT */
};

static const ElfW(Dyn) *entry_of(const struct object *object, int64_t tag)
{
	for (const ElfW(Dyn) *d = object->dynamic; d && d->d_tag != DT_NULL; d++) {
		if (d->d_tag == tag)
			return d;
	}
	return NULL;
}

static const void *table_of(const struct object *object, int64_t tag)
{
	const ElfW(Dyn) *d = entry_of(object, tag);
	return d ? (const void *)d->d_un.d_ptr : NULL;
}

static bool read_tables(const struct object *object, struct symbol_table *t)
{
	t->symbols = table_of(object, DT_SYMTAB);
	t->names = table_of(object, DT_STRTAB);
	t->gnu_hash = table_of(object, DT_GNU_HASH);
	t->hash = table_of(object, DT_HASH);
	t->versions = table_of(object, DT_VERSYM);
	return t->symbols && t->names && (t->gnu_hash || t->hash);
}

/* The highest bit of a version: kept for programs of old, what is linked today gets another. */
static bool is_of_old(const struct symbol_table *t, uint32_t index)
{
	return t->versions && t->versions[index] >> 15;
}

static void *defined_at(const struct object *object, const struct symbol_table *t, uint32_t index, const char *name)
{
	const ElfW(Sym) *s = &t->symbols[index];
	if (s->st_shndx == SHN_UNDEF || ELF64_ST_TYPE(s->st_info) != t->type || strcmp(t->names + s->st_name, name) ||
	    is_of_old(t, index))
		return NULL;
	return (void *)(object->bias + s->st_value);
}

/* header: buckets, first symbol, Bloom words, shift; then the Bloom filter, the buckets, a hash per symbol whose lowest
   bit ends a chain (binutils' "GNU hash" section). */
static void *search_gnu_hash(const struct object *object, const struct symbol_table *t, const char *name)
{
	uint32_t hash = 5381;
	for (const char *c = name; *c; c++)
		hash = hash * 33 + (uint8_t)*c;
	const uint32_t *h = t->gnu_hash, *buckets = h + 4 + h[2] * (sizeof(ElfW(Addr)) / sizeof *h);
	const uint32_t *chain = buckets + h[0];
	uint32_t index = h[0] ? buckets[hash % h[0]] : 0;
	for (; index >= h[1] && index; index++) {
		uint32_t other = chain[index - h[1]];
		void *found = (other | 1) == (hash | 1) ? defined_at(object, t, index, name) : NULL;
		if (found || (other & 1))
			return found;
	}
	return NULL;
}

static void *search_all(const struct object *object, const struct symbol_table *t, const char *name)
{
	void *found = NULL;
	for (uint32_t i = 1; i < t->hash[1] && !found; i++)
		found = defined_at(object, t, i, name);
	return found;
}

static void *defined_in(const struct object *object, const char *name, unsigned type)
{
	struct symbol_table t = {.type = type};
	if (!read_tables(object, &t))
		return NULL;
	return t.gnu_hash ? search_gnu_hash(object, &t, name) : search_all(object, &t, name);
}

/* ---- in front of us and behind ---- */

static struct {
	const struct link_map *first; /* the program: never unloaded */
	const struct link_map *own;   /* us: never unloaded either */
	uintptr_t own_address;        /* of ours, by which `own` was found */
} list;

/* The vDSO's tables are not relocated in its dynamic section; it defines nothing of interest. */
static bool is_vdso(const struct link_map *object)
{
	return strncmp(object->l_name, "linux-", 6) == 0;
}

static void *search(const struct link_map *object, const struct link_map *end, const char *name)
{
	void *function = NULL;
	for (; object && object != end && !function; object = object->l_next)
		function = is_vdso(object) ? NULL : defined_in(&(struct object){object->l_addr, object->l_ld}, name, STT_FUNC);
	return function;
}

/* glibc's handles are its list of objects, in search order. */
static const struct link_map *object_of(uintptr_t address)
{
	struct plat_object object;
	const struct link_map *entry = plat_find_object(address, &object) ? dlopen(NULL, RTLD_LAZY) : NULL;
	while (entry && entry->l_addr != object.bias)
		entry = entry->l_next;
	return entry;
}

void plat_symbols_init(uintptr_t own)
{
	list.own = object_of(own);
	list.own_address = own;
	list.first = list.own ? dlopen(NULL, RTLD_LAZY) : NULL;
}

void *plat_symbol_before(const char *name)
{
	return search(list.first, list.own, name);
}

void *plat_symbol_next_if_any(const char *name, uintptr_t from)
{
	const struct link_map *object = list.own && from == list.own_address ? list.own : object_of(from);
	return object && search(object->l_next, NULL, name) ? plat_symbol_next(name) : NULL;
}

/* Preloaded or linked, our names are in the global scope; a look-up that fails leaves its message to the next dlerror of
   this thread, so it is made only where somebody else's malloc comes first. */
bool plat_is_late(void)
{
	return plat_symbol_before("malloc") && !dlsym(dlopen(NULL, RTLD_LAZY), "mtrace_active");
}

/* ---- in the scope of one object, without the loader's lock ---------------------------------------------------
 *
 * dlopen holds that lock while constructors run, and one of these may wait for the thread that asks us. The caller's
 * object and what it was linked with stay loaded for as long as the caller runs, so their tables can be read as they
 * are. Which objects these are is looked up in the loader's list. Its other entries may come and go meanwhile: one is
 * read only where its memory is, its names before anything of the object itself, and followed only while its neighbour
 * knows it; a list that changes under us ends the search, and the caller asks dlsym.
 */

enum { SCOPE_MOST = 64 }; /* objects, 1 KiB of stack */

struct scope {
	struct object at[SCOPE_MOST];
	uint32_t count;
};

static bool is_there(const void *p, size_t bytes)
{
	return plat_readable((uintptr_t)p) && plat_readable((uintptr_t)p + bytes - 1);
}

static const struct link_map *next_in_list(const struct link_map *object)
{
	const struct link_map *next = __atomic_load_n(&object->l_next, __ATOMIC_ACQUIRE);
	return next && is_there(next, sizeof *next) && next->l_prev == object ? next : NULL;
}

/* Does `path` end in the component `name`? Its pages are looked at as they are reached. */
static bool ends_in(const char *path, const char *name)
{
	const char *last = path;
	for (const char *c = path;; c++) {
		if ((c == path || (uintptr_t)c % 4096 == 0) && !plat_readable((uintptr_t)c))
			return false;
		if (!*c)
			return strcmp(last, name) == 0;
		if (*c == '/')
			last = c + 1;
	}
}

static bool has_soname(const struct link_map *entry, const char *name)
{
	struct plat_object object; /* is it what it seems, and still loaded? */
	if (!plat_find_object((uintptr_t)entry->l_ld, &object) || object.bias != entry->l_addr)
		return false;
	const struct object candidate = {entry->l_addr, entry->l_ld};
	const char *names = table_of(&candidate, DT_STRTAB);
	const ElfW(Dyn) *soname = entry_of(&candidate, DT_SONAME);
	return names && soname && plat_readable((uintptr_t)names) && strcmp(names + soname->d_un.d_val, name) == 0;
}

/* The name that an object was linked with is its file's nearly always, else the one that stands in it. */
static const struct link_map *find_needed(const char *name)
{
	const char *slash = strrchr(name, '/');
	const char *file = slash ? slash + 1 : name;
	for (const struct link_map *entry = list.first; entry; entry = next_in_list(entry)) {
		if (ends_in(entry->l_name, file))
			return entry;
	}
	for (const struct link_map *entry = list.first; entry; entry = next_in_list(entry)) {
		if (has_soname(entry, name))
			return entry;
	}
	return NULL;
}

static void add_object(struct scope *s, uintptr_t bias, const ElfW(Dyn) *dynamic)
{
	for (uint32_t i = 0; i < s->count; i++) {
		if (s->at[i].dynamic == dynamic)
			return;
	}
	if (s->count < SCOPE_MOST && dynamic != list.own->l_ld)
		s->at[s->count++] = (struct object){bias, dynamic};
}

static void add_caller(struct scope *s, uintptr_t caller)
{
	struct plat_object object;
	if (!list.own || !plat_find_object(caller, &object))
		return;
	const ElfW(Phdr) *headers = object.headers;
	for (uint32_t i = 0; i < object.header_count; i++) {
		if (headers[i].p_type == PT_DYNAMIC)
			add_object(s, object.bias, (const void *)(object.bias + headers[i].p_vaddr));
	}
}

static void add_needed(struct scope *s, const struct object *object)
{
	const char *names = table_of(object, DT_STRTAB);
	for (const ElfW(Dyn) *d = object->dynamic; names && d->d_tag != DT_NULL; d++) {
		const struct link_map *entry = d->d_tag == DT_NEEDED ? find_needed(names + d->d_un.d_val) : NULL;
		if (entry)
			add_object(s, entry->l_addr, entry->l_ld);
	}
}

void *plat_symbol_linked(const char *name, uintptr_t caller)
{
	struct scope scope = {.count = 0};
	add_caller(&scope, caller);
	for (uint32_t i = 0; i < scope.count; i++) {
		void *function = defined_in(&scope.at[i], name, STT_FUNC);
		if (function)
			return function;
		add_needed(&scope, &scope.at[i]);
	}
	return NULL;
}

const void *plat_variable_of(const char *name, uintptr_t caller)
{
	struct scope scope = {.count = 0};
	add_caller(&scope, caller);
	return scope.count ? defined_in(&scope.at[0], name, STT_OBJECT) : NULL;
}

/* ---- of the loader ---- */

void plat_pin_loaded(const char *path)
{
	if (path[0])
		(void)dlopen(path, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

void *plat_load_private(const char *soname)
{
	return dlopen(soname, RTLD_LOCAL | RTLD_NOW);
}

void *plat_symbol_in(void *library, const char *name)
{
	return dlsym(library, name);
}
