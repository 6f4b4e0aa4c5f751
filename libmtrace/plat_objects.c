/*
 * plat_objects: which loaded object contains a pc, and where its unwind tables, build-id and name are. Called on every
 * miss of the rule cache and for every new frame of the stacks.
 *
 * glibc 2.35 and later answer lock-free (_dl_find_object, looked up once: naming it would tie us to 2.35).
 * Before, /proc/self/maps is read by raw system calls and what was found is remembered until plat_objects_forget.
 * Never takes a lock, never allocates, never calls dl_iterate_phdr (the loader's lock: lessons 11). The caller has a
 * frame in the object, so its memory stays while we read. Bounds: KNOWN_OBJECTS remembered (more are found by reading
 * the maps again), NAME_BYTES of their paths (more have none).
 *
 * Remembered objects (fallback only):
 *   field       | writer                     | readers        | order
 *   generation  | who holds known_busy       | any thread     | written last (release), read first and again (K1)
 *   the object  | the same, generation 0     | any thread     | plain words between two fences (K1)
 *   known_now   | plat_objects_forget        | all            | acq_rel / acquire
 * K1. An entry is overwritten only by a later generation, after its own was set to 0: a reader that sees the current
 *     generation before and after copying has copied one whole object.
 */
#include "plat.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#define PAGE 4096u
#define HEADERS_MAX 64u /* program headers of one object; the largest seen has 14 */

/* The ABI of glibc's _dl_find_object on 64-bit machines without a data base (all but i386 and its like). */
struct found_object {
	unsigned long long flags;
	void *map_start;
	void *map_end;
	struct link_map *link_map;
	void *eh_frame; /* PT_GNU_EH_FRAME */
	unsigned long long reserved[7];
};
#ifdef DLFO_EH_SEGMENT_TYPE
_Static_assert(sizeof(struct found_object) == sizeof(struct dl_find_object), "glibc's ABI");
_Static_assert(offsetof(struct found_object, map_start) == offsetof(struct dl_find_object, dlfo_map_start), "ABI");
_Static_assert(offsetof(struct found_object, map_end) == offsetof(struct dl_find_object, dlfo_map_end), "ABI");
_Static_assert(offsetof(struct found_object, link_map) == offsetof(struct dl_find_object, dlfo_link_map), "ABI");
_Static_assert(offsetof(struct found_object, eh_frame) == offsetof(struct dl_find_object, dlfo_eh_frame), "ABI");
#endif

static int (*find_by_libc)(void *pc, struct found_object *out); /* set once, from the constructor */
static bool force_maps;                                          /* tests */

/* The executable, whose ELF header need not be mapped: its program headers come from the kernel. */
static struct {
	const ElfW(Phdr) *headers;
	uint32_t count;
	uintptr_t bias;
} executable;

/* ---- program headers ---- */

static const ElfW(Phdr) *headers_of(const struct plat_object *object)
{
	return object->headers;
}

/* The headers by the ELF header at the start of the mapping: it is there in all that linkers make, but is checked. */
static bool read_elf_header(uintptr_t start, struct plat_object *out)
{
	const ElfW(Ehdr) *elf = (const void *)start;
	if ((start & (PAGE - 1)) || !plat_readable(start))
		return false;
	if (memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0 || elf->e_ident[EI_CLASS] != ELFCLASS64 ||
	    elf->e_phentsize != sizeof(ElfW(Phdr)) || elf->e_phnum > HEADERS_MAX)
		return false;
	if (elf->e_phoff % sizeof(uintptr_t) || elf->e_phoff > PAGE - elf->e_phnum * sizeof(ElfW(Phdr)))
		return false;
	out->headers = (const void *)(start + elf->e_phoff);
	out->header_count = elf->e_phnum;
	return true;
}

bool plat_object_span(const struct plat_object *object, uintptr_t address, uintptr_t *low, uintptr_t *high)
{
	for (uint32_t i = 0; i < object->header_count; i++) {
		const ElfW(Phdr) *header = &headers_of(object)[i];
		uintptr_t start = object->bias + header->p_vaddr;
		if (header->p_type != PT_LOAD || !(header->p_flags & PF_R) || address - start >= header->p_filesz)
			continue;
		*low = start;
		*high = start + header->p_filesz;
		return true;
	}
	return false;
}

/* Sets start and end from the PT_LOADs; false when pc lies in none of them. */
static bool read_extent(struct plat_object *object, uintptr_t pc)
{
	bool inside = false;
	object->start = UINTPTR_MAX;
	object->end = 0;
	for (uint32_t i = 0; i < object->header_count; i++) {
		const ElfW(Phdr) *header = &headers_of(object)[i];
		if (header->p_type != PT_LOAD)
			continue;
		uintptr_t start = (object->bias + header->p_vaddr) & ~(uintptr_t)(PAGE - 1);
		uintptr_t end = (object->bias + header->p_vaddr + header->p_memsz + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
		object->start = start < object->start ? start : object->start;
		object->end = end > object->end ? end : object->end;
		inside |= pc - start < end - start;
	}
	return inside;
}

/* One PT_NOTE segment: names and contents padded to 4 bytes (8 where the segment says so). */
static void read_notes(struct plat_object *object, const ElfW(Phdr) *segment)
{
	uintptr_t at = object->bias + segment->p_vaddr, low, high;
	uintptr_t align = segment->p_align == 8 ? 8 : 4;
	if (!plat_object_span(object, at, &low, &high) || segment->p_filesz > high - at || at % 4)
		return;
	high = at + segment->p_filesz;
	while (high - at >= sizeof(ElfW(Nhdr))) {
		const ElfW(Nhdr) *note = (const void *)at;
		uintptr_t name = sizeof *note, data = (name + note->n_namesz + align - 1) & ~(align - 1);
		uintptr_t next = (data + note->n_descsz + align - 1) & ~(align - 1);
		if (note->n_namesz > high - at || note->n_descsz > high - at || data + note->n_descsz > high - at)
			return;
		if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && memcmp((const char *)at + name, "GNU", 4) == 0) {
			object->build_id = (const uint8_t *)at + data;
			object->build_id_bytes = note->n_descsz;
			return;
		}
		if (next > high - at)
			return;
		at += next;
	}
}

static void read_segments(struct plat_object *object)
{
	object->build_id = NULL;
	object->build_id_bytes = 0;
	object->eh_frame_hdr = 0;
	for (uint32_t i = 0; i < object->header_count; i++) {
		const ElfW(Phdr) *header = &headers_of(object)[i];
		if (header->p_type == PT_NOTE && !object->build_id)
			read_notes(object, header);
		else if (header->p_type == PT_GNU_EH_FRAME)
			object->eh_frame_hdr = object->bias + header->p_vaddr;
	}
}


static void use_executable(struct plat_object *out)
{
	out->headers = executable.headers;
	out->header_count = executable.count;
	out->bias = executable.bias;
}

static void use_no_headers(struct plat_object *out)
{
	out->headers = NULL;
	out->header_count = 0;
}

/* ---- glibc 2.35 and later ---- */

static bool find_with_libc(uintptr_t pc, struct plat_object *out)
{
	struct found_object found;
	if (find_by_libc((void *)pc, &found) != 0)
		return false;
	out->start = (uintptr_t)found.map_start;
	out->end = (uintptr_t)found.map_end;
	out->path = found.link_map->l_name ? found.link_map->l_name : "";
	/* by name: the map of a non-PIE executable with gaps need not hold its own headers */
	if (!out->path[0] && found.link_map->l_addr == executable.bias)
		use_executable(out);
	else if (!read_elf_header(out->start, out))
		use_no_headers(out);
	out->bias = found.link_map->l_addr;
	read_segments(out);
	if (!out->eh_frame_hdr)
		out->eh_frame_hdr = (uintptr_t)found.eh_frame;
	return true;
}

/* ---- before: remembered objects ---- */

#define KNOWN_OBJECTS 512u
#define NAME_BYTES (64u * 1024u)

struct known_object {
	_Atomic uint32_t generation; /* 0: being written, or never was */
	struct plat_object object;
};

static struct known_object known[KNOWN_OBJECTS];
static _Atomic uint32_t known_now = 1;
static uint32_t known_used;            /* entries of known_writing; only who holds known_busy */
static uint32_t known_writing;         /* the generation they are of */
static atomic_flag known_busy = ATOMIC_FLAG_INIT;
static char known_names[NAME_BYTES];
static uint32_t known_names_used;

void plat_objects_forget(void)
{
	if (atomic_fetch_add_explicit(&known_now, 1, memory_order_acq_rel) == UINT32_MAX)
		atomic_fetch_add_explicit(&known_now, 1, memory_order_acq_rel); /* 0 is nobody's */
}

static bool copy_known(struct known_object *entry, uint32_t now, uintptr_t pc, struct plat_object *out)
{
	if (atomic_load_explicit(&entry->generation, memory_order_acquire) != now) /* K1 */
		return false;
	*out = entry->object; /* may be torn, and is thrown away then: a race to TSan, which knows no fences either */
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&entry->generation, memory_order_relaxed) != now) /* K1 */
		return false;
	return pc - out->start < out->end - out->start;
}

static bool find_known(uintptr_t pc, struct plat_object *out)
{
	uint32_t now = atomic_load_explicit(&known_now, memory_order_acquire);
	for (uint32_t i = 0; i < KNOWN_OBJECTS; i++) {
		if (copy_known(&known[i], now, pc, out))
			return true;
		if (atomic_load_explicit(&known[i].generation, memory_order_relaxed) == 0)
			return false; /* entries are used in order */
	}
	return false;
}

/* The path, kept for the life of the process; "" when there is no room. Only who holds known_busy. */
static const char *keep_name(const char *path)
{
	uint32_t length = (uint32_t)strlen(path) + 1;
	for (uint32_t at = 0; at < known_names_used; at += (uint32_t)strlen(known_names + at) + 1) {
		if (strcmp(known_names + at, path) == 0)
			return known_names + at;
	}
	if (length > NAME_BYTES - known_names_used)
		return "";
	memcpy(known_names + known_names_used, path, length);
	known_names_used += length;
	return known_names + known_names_used - length;
}

static void write_known(struct plat_object *object, uint32_t now)
{
	if (now != atomic_load_explicit(&known_now, memory_order_acquire))
		return; /* forgotten meanwhile: entries go from older to newer generations only (K1) */
	if (known_writing != now) {
		known_writing = now;
		known_used = 0;
	}
	if (known_used == KNOWN_OBJECTS)
		return;
	struct known_object *entry = &known[known_used++];
	atomic_store_explicit(&entry->generation, 0, memory_order_relaxed); /* K1 */
	atomic_thread_fence(memory_order_release);
	entry->object = *object;
	atomic_store_explicit(&entry->generation, now, memory_order_release); /* pairs: copy_known */
}

/* Nobody waits: while another thread, or the code we interrupted, writes, this object is simply not remembered. */
static void remember(struct plat_object *object, const char *path, uint32_t now)
{
	object->path = "";
	if (atomic_flag_test_and_set_explicit(&known_busy, memory_order_acquire))
		return;
	object->path = keep_name(path);
	write_known(object, now);
	atomic_flag_clear_explicit(&known_busy, memory_order_release);
}

/* ---- before: /proc/self/maps ---- */

#define PATH_BYTES 512u /* as long as the segment keeps them */
#define MAPS_BYTES 256u /* on the stack of whoever allocates */

struct maps_line {
	uintptr_t start;
	uintptr_t end;
	uint64_t offset;
	uint64_t inode;
	int protection;
	char path[PATH_BYTES]; /* "" when longer */
};

struct maps_reader {
	int fd;
	uint32_t at;
	uint32_t filled;
	char buffer[MAPS_BYTES];
};

/* The next character; 0 at the end. */
static char next_char(struct maps_reader *r)
{
	if (r->at == r->filled) {
		long got = plat_read(r->fd, r->buffer, MAPS_BYTES);
		r->at = 0;
		r->filled = got > 0 ? (uint32_t)got : 0;
		if (got <= 0)
			return 0;
	}
	return r->buffer[r->at++];
}

/* A number in base 10 or 16; eats the character behind it. */
static uint64_t read_number(struct maps_reader *r, unsigned base)
{
	uint64_t value = 0;
	for (;;) {
		char c = next_char(r);
		unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 99;
		if (digit >= base)
			return value;
		value = value * base + digit;
	}
}

static void skip_word(struct maps_reader *r)
{
	char c;
	do {
		c = next_char(r);
	} while (c && c != ' ' && c != '\n');
}

/* "rw-p" and the space behind it. */
static int read_protection(struct maps_reader *r)
{
	int protection = 0;
	for (char c = next_char(r); c && c != ' ' && c != '\n'; c = next_char(r))
		protection |= c == 'r' ? PROT_READ : c == 'w' ? PROT_WRITE : c == 'x' ? PROT_EXEC : 0;
	return protection;
}

/* The rest of the line without the spaces before it; "" when it does not fit. The kernel writes newlines in names as
   \012 and puts " (deleted)" behind files that are gone. */
static void read_path(struct maps_reader *r, char *path)
{
	static const char deleted[] = " (deleted)";
	uint32_t length = 0;
	for (char c = next_char(r); c && c != '\n'; c = next_char(r)) {
		if (length < PATH_BYTES && (length || c != ' '))
			path[length++] = c;
	}
	path[length == PATH_BYTES ? 0 : length] = '\0';
	size_t tail = sizeof deleted - 1;
	if (length < PATH_BYTES && length > tail && memcmp(path + length - tail, deleted, tail) == 0)
		path[length - tail] = '\0';
}

/* start-end perms offset device inode path */
static bool read_line(struct maps_reader *r, struct maps_line *line)
{
	line->start = read_number(r, 16);
	line->end = read_number(r, 16);
	line->protection = read_protection(r);
	line->offset = read_number(r, 16);
	skip_word(r);
	line->inode = read_number(r, 10);
	if (r->at && r->buffer[r->at - 1] == '\n') /* no path, and no spaces where it would be */
		line->path[0] = '\0';
	else
		read_path(r, line->path);
	return line->end != 0;
}

static bool is_vdso(const struct maps_line *line)
{
	return strcmp(line->path, "[vdso]") == 0;
}

/* The ELF file that is mapped from its beginning at first->start: does it reach to pc? */
static bool use_mapping(uintptr_t pc, uintptr_t start, struct plat_object *out)
{
	if (!read_elf_header(start, out) || !out->header_count)
		return false;
	for (uint32_t i = 0; i < out->header_count; i++) {
		const ElfW(Phdr) *header = &headers_of(out)[i];
		if (header->p_type != PT_LOAD)
			continue;
		out->bias = start - (header->p_vaddr & ~(uintptr_t)(PAGE - 1));
		return read_extent(out, pc);
	}
	return false;
}

/* A mapping of a file's first page. The data of a small file has one too, and a file can be loaded twice in a row: the
   last two of one file are both candidates. */
struct first_pages {
	uintptr_t start[2];
	uint64_t inode;
};

static void note_first_page(struct first_pages *first, const struct maps_line *line)
{
	first->start[1] = line->inode == first->inode ? first->start[0] : 0;
	first->start[0] = line->start;
	first->inode = line->inode;
}

/* Finds the object that pc lies in, but for its path. */
static bool search_maps(struct maps_reader *r, uintptr_t pc, struct plat_object *out)
{
	struct maps_line line;
	struct first_pages first = { { 0, 0 }, 0 };
	while (read_line(r, &line) && line.start <= pc) {
		if (line.offset == 0 && (line.inode || is_vdso(&line)))
			note_first_page(&first, &line);
		if (pc >= line.end)
			continue;
		if (!first.start[0] || line.inode != first.inode)
			return false;
		return use_mapping(pc, first.start[0], out) || (first.start[1] && use_mapping(pc, first.start[1], out));
	}
	return false;
}

/* What the maps call the file at `address`; "" when they do not, or it does not fit. */
static __attribute__((noinline)) void read_mapped_path(uintptr_t address, char *path, size_t bytes)
{
	struct maps_line line;
	struct maps_reader reader = { .at = 0 };
	bool found = false;
	path[0] = '\0';
	reader.fd = plat_open("/proc/self/maps", O_RDONLY, 0);
	if (reader.fd < 0)
		return;
	while (!found && read_line(&reader, &line) && line.start <= address)
		found = address < line.end;
	plat_close(reader.fd);
	if (found && strlen(line.path) < bytes)
		memcpy(path, line.path, strlen(line.path) + 1);
}

bool plat_mapped_path(uintptr_t address, char *path, size_t bytes)
{
	read_mapped_path(address, path, bytes);
	return path[0] == '/';
}

bool plat_maps_file(const char *maps, const char *name_begin)
{
	struct maps_line line;
	struct maps_reader reader = { .at = 0 };
	bool found = false;
	reader.fd = plat_open(maps, O_RDONLY, 0);
	if (reader.fd < 0)
		return false;
	while (!found && read_line(&reader, &line))
		found = !strncmp(line.path, name_begin, strlen(name_begin));
	plat_close(reader.fd);
	return found;
}

int plat_protection(uintptr_t address)
{
	struct maps_line line;
	struct maps_reader reader = { .at = 0 };
	int protection = -1;
	reader.fd = plat_open("/proc/self/maps", O_RDONLY, 0);
	if (reader.fd < 0)
		return -1;
	while (read_line(&reader, &line) && line.start <= address)
		if (address < line.end)
			protection = line.protection;
	plat_close(reader.fd);
	return protection;
}

static bool find_in_executable(uintptr_t pc, struct plat_object *out)
{
	use_executable(out);
	out->path = "";
	return read_extent(out, pc);
}

static __attribute__((noinline)) bool find_but_for_path(uintptr_t pc, struct plat_object *out)
{
	struct maps_reader reader = { .at = 0 };
	reader.fd = plat_open("/proc/self/maps", O_RDONLY, 0);
	if (reader.fd < 0)
		return false;
	bool found = search_maps(&reader, pc, out);
	plat_close(reader.fd);
	return found;
}

/* Twice through the maps, so that no more than one path at a time is on the stack of whoever allocates. */
static __attribute__((noinline)) bool find_in_maps(uintptr_t pc, struct plat_object *out)
{
	char path[PATH_BYTES];
	uint32_t now = atomic_load_explicit(&known_now, memory_order_acquire);
	if (!find_but_for_path(pc, out))
		return false;
	read_mapped_path(out->start, path, sizeof path);
	read_segments(out);
	remember(out, path, now);
	return true;
}

static bool find_without_libc(uintptr_t pc, struct plat_object *out)
{
	if (find_in_executable(pc, out)) {
		read_segments(out);
		return true;
	}
	return find_known(pc, out) || find_in_maps(pc, out);
}

/* ---- plat.h ---- */

static uintptr_t bias_of(const ElfW(Phdr) *headers, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (headers[i].p_type == PT_PHDR)
			return (uintptr_t)headers - headers[i].p_vaddr;
	}
	return 0; /* static or old non-PIE */
}

void plat_objects_init(void)
{
	executable.headers = (const void *)getauxval(AT_PHDR);
	executable.count = executable.headers ? (uint32_t)getauxval(AT_PHNUM) : 0;
	executable.bias = bias_of(executable.headers, executable.count);
	/* Before 2.35 it is nowhere, and a dlsym that fails allocates its message. The search begins behind the program,
	   which is the one object that can be told apart without it. */
	void *symbol = plat_symbol_next_if_any("_dl_find_object", getauxval(AT_ENTRY));
	memcpy(&find_by_libc, &symbol, sizeof symbol);
}

void plat_objects_force_maps(bool force)
{
	force_maps = force;
}

bool plat_is_loaded(uintptr_t address)
{
	struct found_object found;
	return !find_by_libc || find_by_libc((void *)address, &found) == 0;
}

bool plat_find_object(uintptr_t pc, struct plat_object *out)
{
	return find_by_libc && !force_maps ? find_with_libc(pc, out) : find_without_libc(pc, out);
}
