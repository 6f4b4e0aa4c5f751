/*
 * plat_slots: the words through which loaded objects call functions of other objects (slots of the GOT), read and replaced
 * while the process runs. Takes the loader's lock and may allocate: only from where the program itself could call dlopen.
 *
 * An object may be unloaded at any time, or be in the middle of being loaded: its slots are not relocated yet then, or just
 * being made read-only. So each is opened once more before it is looked at: that waits for who loads it, and keeps it. The
 * list is copied first, since nothing may be opened while it is gone through. Bound: OBJECTS_MOST objects, NAMES_BYTES of
 * names; what is beyond them stays as it is.
 *
 * A slot is changed by compare-and-swap: a call that resolves the function at this instant writes it too, and may come
 * last; that slot is found at the next visit. Its page is writable for that long, and then again what the kernel says it
 * was. Slots are 8 bytes and aligned, so who calls through one sees the old function or the new.
 */
#include "plat.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__x86_64__)
__asm__(".symver dlopen, dlopen@GLIBC_2.2.5");
enum { JUMP_SLOT = R_X86_64_JUMP_SLOT, GLOB_DAT = R_X86_64_GLOB_DAT };
#else
#error "plat_slots.c: the kinds of relocation are missing for this processor"
#endif

enum { PAGE = 4096, OBJECTS_MOST = 4096, NAMES_BYTES = 512 << 10 };

/* ---- which objects there are ---- */

struct listed {
	uint64_t unloads; /* so many have been unloaded so far */
	uint32_t count, names_used;
	struct {
		uintptr_t bias;
		uint32_t name; /* in names */
	} at[OBJECTS_MOST];
	char names[NAMES_BYTES];
};

static int list_one(struct dl_phdr_info *info, size_t bytes, void *context)
{
	struct listed *list = context;
	size_t length = strlen(info->dlpi_name) + 1;
	if (bytes >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof info->dlpi_subs)
		list->unloads = info->dlpi_subs;
	if (list->count == OBJECTS_MOST || length > NAMES_BYTES - list->names_used)
		return 1;
	list->at[list->count].bias = info->dlpi_addr;
	list->at[list->count++].name = list->names_used;
	memcpy(list->names + list->names_used, info->dlpi_name, length);
	list->names_used += (uint32_t)length;
	return 0;
}

/* ---- one object ---- */

struct tables {
	const ElfW(Sym) *symbols;
	const char *names;
	const ElfW(Rela) *relocations[2];
	size_t bytes[2];
};

static void read_tables(const ElfW(Dyn) *dynamic, struct tables *t)
{
	*t = (struct tables){NULL, NULL, {NULL, NULL}, {0, 0}};
	for (const ElfW(Dyn) *d = dynamic; d->d_tag != DT_NULL; d++) {
		switch (d->d_tag) {
		case DT_SYMTAB: t->symbols = (const void *)d->d_un.d_ptr; break;
		case DT_STRTAB: t->names = (const void *)d->d_un.d_ptr; break;
		case DT_JMPREL: t->relocations[0] = (const void *)d->d_un.d_ptr; break;
		case DT_PLTRELSZ: t->bytes[0] = d->d_un.d_val; break;
		case DT_RELA: t->relocations[1] = (const void *)d->d_un.d_ptr; break;
		case DT_RELASZ: t->bytes[1] = d->d_un.d_val; break;
		default: break;
		}
	}
}

struct visit {
	plat_slot_choice *choose;
	void *context;
	struct plat_slots_count count;
	uintptr_t page; /* open for writing, 0 none */
	int protection; /* what it was */
};

static void close_page(struct visit *v)
{
	if (v->page && !(v->protection & PROT_WRITE))
		plat_protect((void *)v->page, PAGE, v->protection);
	v->page = 0;
}

static bool open_page(struct visit *v, uintptr_t address)
{
	uintptr_t page = address & ~(uintptr_t)(PAGE - 1);
	if (page == v->page)
		return true;
	close_page(v);
	int protection = plat_protection(page);
	if (protection < 0 || (!(protection & PROT_WRITE) && plat_protect((void *)page, PAGE, protection | PROT_WRITE)))
		return false;
	v->page = page;
	v->protection = protection;
	return true;
}

static void replace(struct visit *v, uintptr_t *at, uintptr_t held, uintptr_t wanted)
{
	if (!open_page(v, (uintptr_t)at))
		v->count.refused++;
	else if (__atomic_compare_exchange_n(at, &held, wanted, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		v->count.changed++;
}

static void look_at(struct visit *v, const struct plat_object *object, const struct tables *t, const ElfW(Rela) *r)
{
	unsigned type = ELF64_R_TYPE(r->r_info);
	uintptr_t *at = (uintptr_t *)(object->bias + r->r_offset);
	if ((type != JUMP_SLOT && type != GLOB_DAT) || (uintptr_t)at % sizeof *at ||
	    (uintptr_t)at - object->start >= object->end - object->start)
		return;
	const ElfW(Sym) *symbol = &t->symbols[ELF64_R_SYM(r->r_info)];
	struct plat_slot slot = {.name = t->names + symbol->st_name, .held = __atomic_load_n(at, __ATOMIC_RELAXED)};
	slot.in = object->start;
	slot.unbound = type == JUMP_SLOT && symbol->st_shndx == SHN_UNDEF && slot.held - object->start < object->end - object->start;
	uintptr_t wanted = v->choose(&slot, v->context);
	if (wanted && wanted != slot.held)
		replace(v, at, slot.held, wanted);
}

static void visit_object(struct visit *v, const struct link_map *map)
{
	struct plat_object object;
	struct tables t;
	if (!plat_find_object((uintptr_t)map->l_ld, &object) || object.bias != map->l_addr)
		return;
	read_tables(map->l_ld, &t);
	for (int i = 0; i < 2 && t.symbols && t.names; i++)
		for (size_t n = 0; t.relocations[i] && n < t.bytes[i] / sizeof(ElfW(Rela)); n++)
			look_at(v, &object, &t, &t.relocations[i][n]);
	close_page(v);
}

/* ---- all of them ---- */

/* Ours, the loader's and the kernel's are left alone. */
static bool is_visited(const struct listed *list, uint32_t i)
{
	const char *name = list->names + list->at[i].name;
	return strncmp(name, "linux-", 6) != 0 && (list->at[i].bias != plat_loader_base() || !list->at[i].bias);
}

static void visit_listed(struct visit *v, const struct listed *list, uint32_t i, int (*close)(void *))
{
	const char *name = list->names + list->at[i].name;
	if (!is_visited(list, i))
		return;
	void *handle = dlopen(name[0] ? name : NULL, RTLD_LAZY | (name[0] ? RTLD_NOLOAD : 0));
	const struct link_map *map = handle; /* glibc's handles are */
	if (map && map->l_addr == list->at[i].bias && map->l_ld != _DYNAMIC)
		visit_object(v, map);
	if (handle)
		close(handle);
}

/* New objects come last in the list, so those before were seen, unless one went. */
struct plat_slots_count plat_visit_slots(struct plat_slots_seen *seen, plat_slot_choice *choose, void *context,
					 int (*close)(void *))
{
	struct visit v = {.choose = choose, .context = context};
	struct listed *list = plat_map_private(sizeof *list);
	if (!list)
		return v.count;
	dl_iterate_phdr(list_one, list);
	uint32_t first = seen && seen->unloads == list->unloads ? seen->objects : 0;
	for (uint32_t i = first; i < list->count; i++)
		visit_listed(&v, list, i, close);
	if (seen)
		*seen = (struct plat_slots_seen){.unloads = list->unloads, .objects = list->count};
	plat_unmap(list, sizeof *list);
	return v.count;
}
