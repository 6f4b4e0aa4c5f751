/*
 * elf_facts: see elf_facts.h. Two passes: what the kernel sees (script, mode bits, capabilities, program headers),
 * then what the linker left behind (sections, needed libraries, symbols).
 */
#include "model/elf_facts.h"

#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SCRIPT_LINKS_MAX 5   /* as the kernel: a script run by a script run by … */
#define SCRIPT_LINE_BYTES 256 /* the kernel reads no more of a #! line */

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#else
#define OUR_MACHINE EM_NONE
#endif

/* A defined function of that name tells whose allocator is built in. The last row is the fallback. */
static const struct marker {
	const char *symbol;
	const char *means;
} allocator_markers[] = {
	{"mallocx", "jemalloc"},        {"je_malloc", "jemalloc"}, {"je_mallctl", "jemalloc"}, {"mallctl", "jemalloc"},
	{"tc_malloc", "tcmalloc"},      {"mi_malloc", "mimalloc"}, {"rpmalloc", "rpmalloc"},   {"sn_malloc", "snmalloc"},
	{"scalable_malloc", "tbbmalloc"},
}, sanitizer_markers[] = {
	{"__asan_init", "AddressSanitizer"},  {"__tsan_init", "ThreadSanitizer"}, {"__msan_init", "MemorySanitizer"},
	{"__hwasan_init", "HWAddressSanitizer"}, {"__lsan_init", "LeakSanitizer"}, {"__dfsan_init", "DataFlowSanitizer"},
}, allocator_libraries[] = {
	{"libjemalloc.so", "jemalloc"}, {"libtcmalloc", "tcmalloc"}, {"libmimalloc", "mimalloc"},
	{"libtbbmalloc", "tbbmalloc"},  {"libsnmalloc", "snmalloc"},
}, sanitizer_libraries[] = {
	{"libasan.so", "AddressSanitizer"}, {"libtsan.so", "ThreadSanitizer"}, {"liblsan.so", "LeakSanitizer"},
	{"libhwasan.so", "HWAddressSanitizer"}, {"libclang_rt.asan", "AddressSanitizer"},
	{"libclang_rt.tsan", "ThreadSanitizer"}, {"libclang_rt.msan", "MemorySanitizer"},
};

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static const char *find_exact(const struct marker *rows, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(rows[i].symbol, name) == 0)
			return rows[i].means;
	return NULL;
}

static const char *find_prefix(const struct marker *rows, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strncmp(rows[i].symbol, name, strlen(rows[i].symbol)) == 0)
			return rows[i].means;
	return NULL;
}

/* ---- what the kernel sees ---- */

/* The interpreter a #! line names, in `line`; false when the file is no script. */
static bool read_script_line(const char *path, char line[SCRIPT_LINE_BYTES])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, line, SCRIPT_LINE_BYTES - 1);
	close(fd);
	if (n < 3 || line[0] != '#' || line[1] != '!')
		return false;
	line[n] = '\0';
	char *name = line + 2 + strspn(line + 2, " \t");
	name[strcspn(name, " \t\r\n")] = '\0';
	memmove(line, name, strlen(name) + 1);
	return line[0] == '/';
}

static void follow_scripts(const char *path, struct elf_facts *facts)
{
	char line[SCRIPT_LINE_BYTES];
	snprintf(facts->path, sizeof facts->path, "%s", path);
	for (int i = 0; i < SCRIPT_LINKS_MAX && read_script_line(facts->path, line); i++) {
		if (i == 0)
			snprintf(facts->script, sizeof facts->script, "%s", path);
		snprintf(facts->path, sizeof facts->path, "%s", line);
	}
}

/* As the kernel decides AT_SECURE: only what would change who we are counts. */
static void read_privilege(struct elf_facts *facts)
{
	struct stat st;
	if (stat(facts->path, &st) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		return;
	if ((st.st_mode & S_ISUID) && st.st_uid != getuid())
		facts->secure_by = "set-user-id";
	else if ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && st.st_gid != getgid())
		facts->secure_by = "set-group-id";
	else if (getuid() != 0 && getxattr(facts->path, "security.capability", NULL, 0) > 0)
		facts->secure_by = "file capabilities";
	facts->secure = facts->secure_by != NULL;
}

static void read_loader(Elf *elf, const GElf_Phdr *header, struct elf_facts *facts)
{
	size_t size = 0;
	const char *file = elf_rawfile(elf, &size);
	if (!file || header->p_offset >= size || header->p_filesz > size - header->p_offset)
		return;
	size_t n = header->p_filesz < sizeof facts->loader ? header->p_filesz : sizeof facts->loader - 1;
	memcpy(facts->loader, file + header->p_offset, n);
	facts->musl = strstr(facts->loader, "ld-musl") != NULL;
}

static void read_program_headers(Elf *elf, struct elf_facts *facts)
{
	size_t count = 0;
	facts->is_static = true;
	if (elf_getphdrnum(elf, &count) != 0)
		return;
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr header;
		if (!gelf_getphdr(elf, (int)i, &header))
			continue;
		if (header.p_type == PT_GNU_EH_FRAME)
			facts->has_unwind_rules = true;
		if (header.p_type != PT_INTERP)
			continue;
		facts->is_static = false;
		read_loader(elf, &header, facts);
	}
}

/* ---- what the linker left ---- */

static void note_library(const char *name, struct elf_facts *facts)
{
	if (!facts->linked_allocator)
		facts->linked_allocator = find_prefix(allocator_libraries, ROWS(allocator_libraries), name);
	if (strcmp(name, "libjli.so") == 0)
		facts->jvm_launcher = true;
	const char *sanitizer = find_prefix(sanitizer_libraries, ROWS(sanitizer_libraries), name);
	if (sanitizer) {
		facts->sanitizer = sanitizer;
		facts->sanitizer_first = true;
	}
}

static void read_needed(Elf *elf, Elf_Scn *section, const GElf_Shdr *header, struct elf_facts *facts)
{
	Elf_Data *data = elf_getdata(section, NULL);
	GElf_Dyn entry;
	for (int i = 0; data && gelf_getdyn(data, i, &entry) && entry.d_tag != DT_NULL; i++) {
		if (entry.d_tag != DT_NEEDED)
			continue;
		const char *name = elf_strptr(elf, header->sh_link, entry.d_un.d_val);
		if (name)
			note_library(name, facts);
	}
}

static void note_symbol(const char *name, struct elf_facts *facts, bool *defines_malloc)
{
	if (strcmp(name, "malloc") == 0)
		*defines_malloc = true;
	const char *allocator = find_exact(allocator_markers, ROWS(allocator_markers), name);
	if (allocator)
		facts->allocator = allocator;
	const char *sanitizer = find_exact(sanitizer_markers, ROWS(sanitizer_markers), name);
	if (sanitizer && !facts->sanitizer)
		facts->sanitizer = sanitizer;
}

static void read_symbols(Elf *elf, Elf_Scn *section, const GElf_Shdr *header, struct elf_facts *facts)
{
	Elf_Data *data = elf_getdata(section, NULL);
	bool defines_malloc = false;
	GElf_Sym symbol;
	for (int i = 1; data && gelf_getsym(data, i, &symbol); i++) {
		if (symbol.st_shndx == SHN_UNDEF || GELF_ST_TYPE(symbol.st_info) != STT_FUNC)
			continue;
		const char *name = elf_strptr(elf, header->sh_link, symbol.st_name);
		if (name)
			note_symbol(name, facts, &defines_malloc);
	}
	if (defines_malloc && !facts->allocator)
		facts->allocator = "its own";
}

static void note_section(const char *name, struct elf_facts *facts)
{
	static const struct {
		const char *name;
		size_t fact;
	} rows[] = {
		{".debug_info", offsetof(struct elf_facts, has_debug_info)},
		{".zdebug_info", offsetof(struct elf_facts, has_debug_info)},
		{".gnu_debugdata", offsetof(struct elf_facts, has_symbols)},
		{".symtab", offsetof(struct elf_facts, has_symbols)},
		{".eh_frame", offsetof(struct elf_facts, has_unwind_rules)},
		{".go.buildinfo", offsetof(struct elf_facts, go)},
		{".note.go.buildid", offsetof(struct elf_facts, go)},
	};
	for (size_t i = 0; i < ROWS(rows); i++)
		if (strcmp(rows[i].name, name) == 0)
			*(bool *)((char *)facts + rows[i].fact) = true;
}

static void read_notes(Elf_Scn *section, struct elf_facts *facts)
{
	Elf_Data *data = elf_getdata(section, NULL);
	GElf_Nhdr note;
	size_t at = 0, name, text;
	while (data && (at = gelf_getnote(data, at, &note, &name, &text)) > 0) {
		if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != 4 || memcmp((char *)data->d_buf + name, "GNU", 4) != 0 ||
		    note.n_descsz == 0 || note.n_descsz > 32)
			continue;
		facts->has_build_id = true;
		for (size_t i = 0; i < note.n_descsz; i++)
			sprintf(facts->build_id + 2 * i, "%02x", ((unsigned char *)data->d_buf + text)[i]);
	}
}

/* Where the debug packages of Linux distributions put it. */
static void look_for_debug_file(struct elf_facts *facts)
{
	char path[160];
	if (facts->has_debug_info || !facts->has_build_id)
		return;
	snprintf(path, sizeof path, "/usr/lib/debug/.build-id/%.2s/%s.debug", facts->build_id, facts->build_id + 2);
	facts->has_debug_info = access(path, R_OK) == 0;
}

static void read_sections(Elf *elf, bool thorough, struct elf_facts *facts)
{
	size_t names = 0;
	if (elf_getshdrstrndx(elf, &names) != 0)
		return;
	for (Elf_Scn *section = elf_nextscn(elf, NULL); section; section = elf_nextscn(elf, section)) {
		GElf_Shdr header;
		if (!gelf_getshdr(section, &header))
			continue;
		const char *name = elf_strptr(elf, names, header.sh_name);
		if (name)
			note_section(name, facts);
		if (header.sh_type == SHT_DYNAMIC)
			read_needed(elf, section, &header, facts);
		if (header.sh_type == SHT_NOTE)
			read_notes(section, facts);
		if (header.sh_type == SHT_DYNSYM || (thorough && header.sh_type == SHT_SYMTAB))
			read_symbols(elf, section, &header, facts);
	}
}

/* A static program has glibc's own malloc inside: that is not worth a line beside "static". */
static void settle(struct elf_facts *facts)
{
	if (facts->is_static && facts->allocator && strcmp(facts->allocator, "its own") == 0)
		facts->allocator = NULL;
}

static void read_elf(Elf *elf, bool thorough, struct elf_facts *facts)
{
	GElf_Ehdr header;
	if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header))
		return;
	facts->is_elf = true;
	facts->word_bits = gelf_getclass(elf) == ELFCLASS32 ? 32 : 64;
	facts->machine = header.e_machine;
	read_program_headers(elf, facts);
	read_sections(elf, thorough, facts);
	look_for_debug_file(facts);
	settle(facts);
}

int elf_facts_read(const char *path, bool thorough, struct elf_facts *facts)
{
	memset(facts, 0, sizeof *facts);
	follow_scripts(path, facts);
	read_privilege(facts);
	int fd = open(facts->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	elf_version(EV_CURRENT);
	Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	if (elf)
		read_elf(elf, thorough, facts);
	elf_end(elf);
	close(fd);
	return 0;
}

/* ---- what follows from them ---- */

static bool is_foreign(const struct elf_facts *f)
{
	return f->word_bits != 8 * sizeof(void *) || f->machine != OUR_MACHINE;
}

static const char *describe_foreign(const struct elf_facts *f)
{
	if (f->word_bits == 32)
		return "it is a 32-bit program and libmtrace.so is 64-bit: build the program for 64 bits";
	return "it is built for another processor than libmtrace.so";
}

static const char *describe_allocator(const struct elf_facts *f)
{
	static char text[160];
	bool has_name = strcmp(f->allocator, "its own") != 0;
	snprintf(text, sizeof text, "it has %s%s allocator linked into it, and calls that one directly: link the allocator"
		" dynamically, or without it", has_name ? "the " : "an", has_name ? f->allocator : "");
	return text;
}

static const char *describe_sanitizer(const struct elf_facts *f)
{
	static char text[160];
	snprintf(text, sizeof text, "it is built with %s, which brings its own allocator and must be alone: build it "
		"without", f->sanitizer);
	return text;
}

static const char *describe_secure(const struct elf_facts *f)
{
	static char text[160];
	snprintf(text, sizeof text, "it gains rights by %s, so the loader ignores LD_PRELOAD: run it as the user it "
		"becomes", f->secure_by);
	return text;
}

const char *elf_facts_refusal(const struct elf_facts *f)
{
	if (!f->is_elf)
		return NULL;
	if (is_foreign(f))
		return describe_foreign(f);
	if (f->is_static)
		return f->go ? "it is a static Go program, into which nothing can be preloaded: build it with CGO_ENABLED=1"
			     : "it is statically linked, so nothing can be preloaded into it: link it dynamically";
	if (f->musl)
		return "it uses the musl C library and libmtrace.so is built for glibc: use a glibc build of it";
	if (f->secure)
		return describe_secure(f);
	if (f->sanitizer)
		return describe_sanitizer(f);
	if (f->allocator)
		return describe_allocator(f);
	return NULL;
}

bool elf_facts_preload_hurts(const struct elf_facts *f)
{
	return f->is_elf && (is_foreign(f) || f->musl || f->sanitizer);
}
