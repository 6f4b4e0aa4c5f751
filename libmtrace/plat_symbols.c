/*
 * plat_symbols: the dynamic linker's look-ups. Bound to the oldest versions of dlsym and dlopen, so that what is built
 * on a new glibc loads on an old one; there they live in libdl.so.2, which we therefore name as needed.
 * Not async-signal-safe: the loader's lock is taken, and a look-up that fails allocates its message.
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

void *plat_symbol_next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

void *plat_symbol_any(const char *name)
{
	return dlsym(RTLD_DEFAULT, name);
}

/* ---- what one object defines, by its own tables --------------------------------------------------------------
 *
 * Not by dlsym: asked about a non-PIE executable that takes the address of a function, it answers with the
 * executable's own jump to that function, and it cannot be asked about an object that nobody opened.
 */

struct symbol_table {
	const ElfW(Sym) *symbols;
	const char *names;
	const uint32_t *gnu_hash, *hash;
};

static void read_tables(const struct link_map *object, struct symbol_table *t)
{
	*t = (struct symbol_table){.symbols = NULL};
	for (const ElfW(Dyn) *d = object->l_ld; d && d->d_tag != DT_NULL; d++) {
		switch (d->d_tag) {
		case DT_SYMTAB: t->symbols = (const void *)d->d_un.d_ptr; break;
		case DT_STRTAB: t->names = (const void *)d->d_un.d_ptr; break;
		case DT_GNU_HASH: t->gnu_hash = (const void *)d->d_un.d_ptr; break;
		case DT_HASH: t->hash = (const void *)d->d_un.d_ptr; break;
		default: break;
		}
	}
}

static void *defined_at(const struct link_map *object, const struct symbol_table *t, uint32_t index, const char *name)
{
	const ElfW(Sym) *s = &t->symbols[index];
	if (s->st_shndx == SHN_UNDEF || ELF64_ST_TYPE(s->st_info) != STT_FUNC || strcmp(t->names + s->st_name, name))
		return NULL;
	return (void *)(object->l_addr + s->st_value);
}

/* header: buckets, first symbol, Bloom words, shift; then the Bloom filter, the buckets, a hash per symbol whose lowest
   bit ends a chain (binutils' "GNU hash" section). */
static void *search_gnu_hash(const struct link_map *object, const struct symbol_table *t, const char *name)
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

static void *search_all(const struct link_map *object, const struct symbol_table *t, const char *name)
{
	void *found = NULL;
	for (uint32_t i = 1; i < t->hash[1] && !found; i++)
		found = defined_at(object, t, i, name);
	return found;
}

static void *defined_in(const struct link_map *object, const char *name)
{
	struct symbol_table t;
	read_tables(object, &t);
	if (!t.symbols || !t.names || !(t.gnu_hash || t.hash))
		return NULL;
	return t.gnu_hash ? search_gnu_hash(object, &t, name) : search_all(object, &t, name);
}

/* The vDSO's tables are not relocated in its dynamic section; it defines nothing of interest. */
static bool is_vdso(const struct link_map *object)
{
	return strncmp(object->l_name, "linux-", 6) == 0;
}

static void *search(const struct link_map *object, const struct link_map *end, const char *name)
{
	void *function = NULL;
	for (; object && object != end && !function; object = object->l_next)
		function = is_vdso(object) ? NULL : defined_in(object, name);
	return function;
}

/* glibc's handles are its list of objects, in search order. */
static const struct link_map *object_of(uintptr_t own)
{
	struct plat_object ours;
	const struct link_map *object = plat_find_object(own, &ours) ? dlopen(NULL, RTLD_LAZY) : NULL;
	while (object && object->l_addr != ours.bias)
		object = object->l_next;
	return object;
}

void *plat_symbol_before(const char *name, uintptr_t own)
{
	const struct link_map *ours = object_of(own);
	return ours ? search(dlopen(NULL, RTLD_LAZY), ours, name) : NULL;
}

void *plat_symbol_next_if_any(const char *name, uintptr_t own)
{
	const struct link_map *ours = object_of(own);
	return ours && search(ours->l_next, NULL, name) ? plat_symbol_next(name) : NULL;
}

void *plat_open_loaded(const char *path)
{
	return dlopen(path[0] ? path : NULL, RTLD_LAZY | RTLD_NOLOAD);
}

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
