/*
 * files: see files.h. Called by symbols/dwarf.c and symbols.c.
 *
 * Every candidate is opened without blocking, must be a regular file, and must have the module's build-id; what has
 * none can only stand for a module that has none. Nothing is ever written here.
 */
#include "files.h"
#include "image.h"

#include <dirent.h>
#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define SYSTEM_DEBUG_DIR "/usr/lib/debug"
#define ENTRIES_MOST 4096

/* ---- identity ---- */

static size_t elf_build_id(Elf *elf, uint8_t build_id[BUILD_ID_BYTES_MAX])
{
	const void *id;
	ssize_t n = dwelf_elf_gnu_build_id(elf, &id);

	if (n <= 0 || n > BUILD_ID_BYTES_MAX)
		return 0;
	memcpy(build_id, id, (size_t)n);
	return (size_t)n;
}

/* Elf of a regular file, or NULL. */
static Elf *open_elf(int fd)
{
	struct stat st;
	Elf *elf;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return NULL;
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	if (elf && elf_kind(elf) != ELF_K_ELF) {
		elf_end(elf);
		elf = NULL;
	}
	return elf;
}

size_t files_build_id(int fd, uint8_t build_id[BUILD_ID_BYTES_MAX])
{
	Elf *elf = open_elf(fd);
	size_t n = elf ? elf_build_id(elf, build_id) : 0;

	if (elf)
		elf_end(elf);
	return n;
}

bool files_matches(int fd, const uint8_t *build_id, size_t build_id_bytes)
{
	uint8_t id[BUILD_ID_BYTES_MAX];
	Elf *elf = open_elf(fd);
	bool same;

	if (!elf)
		return false;
	same = elf_build_id(elf, id) == build_id_bytes && memcmp(id, build_id, build_id_bytes) == 0;
	elf_end(elf);
	return same;
}

static bool has_section(int fd, const char *wanted)
{
	Elf *elf = open_elf(fd);
	Elf_Scn *section = NULL;
	size_t names;
	bool found = false;

	if (!elf)
		return false;
	if (elf_getshdrstrndx(elf, &names) == 0)
		while (!found && (section = elf_nextscn(elf, section))) {
			GElf_Shdr header;
			const char *name = gelf_getshdr(section, &header) ? elf_strptr(elf, names, header.sh_name) : NULL;

			found = name && header.sh_type != SHT_NOBITS && strcmp(name, wanted) == 0;
		}
	elf_end(elf);
	return found;
}

static bool has_debug(int fd)
{
	return has_section(fd, ".debug_info") || has_section(fd, ".zdebug_info");
}

/* The checksum that .gnu_debuglink holds: of the whole file. */
static bool has_crc(int fd, uint32_t wanted)
{
	static unsigned char buffer[65536];
	uLong crc = crc32(0, NULL, 0);
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, buffer, sizeof(buffer), at)) > 0) {
		crc = crc32(crc, buffer, (uInt)n);
		at += n;
	}
	return n == 0 && crc == wanted;
}

/* ---- candidates: paths made of a directory and what is known of the module ---- */

static int open_quietly(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

/* fd, or -1, closed, when it is another build than the module's. */
static int if_matching(int fd, const struct files_module *m)
{
	if (fd >= 0 && !files_matches(fd, m->build_id, m->build_id_bytes)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int open_matching(const char *path, const struct files_module *m)
{
	return if_matching(open_quietly(path), m);
}

static void hex_of(const struct files_module *m, char hex[2 * BUILD_ID_BYTES_MAX + 1])
{
	hex[0] = '\0';
	for (size_t i = 0; i < m->build_id_bytes && i < BUILD_ID_BYTES_MAX; i++)
		sprintf(hex + 2 * i, "%02x", m->build_id[i]);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The ways a directory may hold files by build-id. */
static const char *const id_layouts[] = {"%s/.build-id/%.2s/%s.debug", "%s/%.2s/%s.debug", "%s/.build-id/%.2s/%s"};

/* The n-th path in `directory` that may be the module or its debug information; false after the last. */
static bool candidate(const struct files_module *m, const char *directory, const char *link, unsigned n, char path[PATH_MAX])
{
	char hex[2 * BUILD_ID_BYTES_MAX + 1];
	int length = 0;

	hex_of(m, hex);
	path[0] = '\0';
	if (n < 3 && m->build_id_bytes > 1)
		length = snprintf(path, PATH_MAX, id_layouts[n], directory, hex, hex + 2);
	else if ((n == 3 || n == 4) && m->build_id_bytes)
		length = snprintf(path, PATH_MAX, "%s/%s/%s", directory, hex, n == 3 ? "debuginfo" : "executable");
	else if (n == 5 && m->build_id_bytes)
		length = snprintf(path, PATH_MAX, "%s/%s", directory, hex);
	else if (n == 6 && link && !strchr(link, '/'))
		length = snprintf(path, PATH_MAX, "%s/%s", directory, link);
	else if ((n == 7 || n == 8) && m->path[0] == '/')
		length = snprintf(path, PATH_MAX, "%s%s%s", directory, m->path, n == 7 ? "" : ".debug");
	else if ((n == 9 || n == 10) && *base_name(m->path))
		length = snprintf(path, PATH_MAX, "%s/%s%s", directory, base_name(m->path), n == 9 ? "" : ".debug");
	if (length >= PATH_MAX)
		path[0] = '\0';
	return n <= 10;
}

static int open_in(const struct files_module *m, const char *directory)
{
	char path[PATH_MAX];
	int fd = -1;

	for (unsigned n = 0; fd < 0 && candidate(m, directory, NULL, n, path); n++)
		if (path[0])
			fd = open_matching(path, m);
	return fd;
}

/* What a program unpacked was mapped under a name of its own: any file of the directory that has the module's build-id. */
static int open_any_in(const struct files_module *m, const char *directory)
{
	DIR *d = m->build_id_bytes ? opendir(directory) : NULL;
	int fd = -1;

	for (unsigned n = 0; d && fd < 0 && n < ENTRIES_MOST; n++) {
		const struct dirent *entry = readdir(d);

		if (!entry)
			break;
		if (entry->d_type == DT_REG || entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN)
			fd = if_matching(openat(dirfd(d), entry->d_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), m);
	}
	if (d)
		closedir(d);
	return fd;
}

/* ---- the module in a live process ---- */

/* What the process has in memory of a file that is gone and that we may not open. */
static int open_image(const struct files_module *m, unsigned long address)
{
	return if_matching(image_of_mapping(m->pid, address), m);
}

/* A mapping of the module: by its address, which tells also after the file was deleted. */
static int open_mapping(const struct files_module *m)
{
	char path[64], line[PATH_MAX + 128];
	FILE *maps;
	int fd = -1;

	snprintf(path, sizeof(path), "/proc/%ld/maps", (long)m->pid);
	maps = fopen(path, "re");
	while (maps && fd < 0 && fgets(line, sizeof(line), maps)) {
		unsigned long from, to, inode;

		if (sscanf(line, "%lx-%lx %*s %*s %*s %lu", &from, &to, &inode) != 3 || !inode)
			continue;
		if (to <= m->start || from >= m->end)
			continue;
		snprintf(path, sizeof(path), "/proc/%ld/map_files/%lx-%lx", (long)m->pid, from, to);
		fd = open_matching(path, m);
	}
	if (maps)
		fclose(maps);
	return fd;
}

static int open_in_process(const struct files_module *m)
{
	char path[PATH_MAX];
	int fd = -1;

	if (m->path[0] == '/' && snprintf(path, sizeof(path), "/proc/%ld/root%s", (long)m->pid, m->path) < PATH_MAX)
		fd = open_matching(path, m);
	if (fd < 0)
		fd = open_mapping(m);
	if (fd < 0 && m->build_id_bytes) {
		snprintf(path, sizeof(path), "/proc/%ld/exe", (long)m->pid);
		fd = open_matching(path, m);
	}
	if (fd < 0 && m->build_id_bytes && m->path[0] == '/' && access(m->path, F_OK) != 0)
		fd = open_image(m, m->start);
	return fd;
}

/* The kernel's own library, as this process has it: the same when the build-id is. */
static int open_vdso(const struct files_module *m)
{
	const unsigned char *start = (const unsigned char *)(uintptr_t)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)(const void *)start;
	size_t bytes;
	int fd;

	if (!start || (strncmp(base_name(m->path), "linux-vdso", 10) != 0 && strcmp(m->path, "[vdso]") != 0))
		return -1;
	bytes = header->e_shoff + (size_t)header->e_shnum * header->e_shentsize;
	fd = memfd_create("vdso", MFD_CLOEXEC);
	if (fd >= 0 && (write(fd, start, bytes) != (ssize_t)bytes || !files_matches(fd, m->build_id, m->build_id_bytes))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* ---- the two questions ---- */

int files_open_module(const struct files_module *m)
{
	int fd = -1;

	if (m->pid)
		fd = open_in_process(m);
	if (fd < 0 && m->path[0] == '/')
		fd = open_matching(m->path, m);
	if (fd < 0 && m->kept_dir && m->build_id_bytes)
		fd = open_in(m, m->kept_dir);
	for (size_t i = 0; fd < 0 && m->search && m->search[i]; i++)
		fd = open_in(m, m->search[i]);
	if (fd < 0)
		fd = open_vdso(m);
	if (fd < 0 && m->build_id_bytes)
		fd = open_in(m, SYSTEM_DEBUG_DIR);
	for (size_t i = 0; fd < 0 && m->search && m->search[i]; i++)
		fd = open_any_in(m, m->search[i]);
	return fd;
}

/* Without a build-id only the checksum of a debug link can tell that it belongs. */
static int open_debug_file(const struct files_module *m, const char *path, bool is_link, uint32_t link_crc)
{
	int fd = open_quietly(path);
	bool good;

	if (fd < 0)
		return -1;
	good = m->build_id_bytes ? files_matches(fd, m->build_id, m->build_id_bytes) : is_link && has_crc(fd, link_crc);
	if (good && has_debug(fd))
		return fd;
	close(fd);
	return -1;
}

static int open_debug_in(const struct files_module *m, const char *directory, const char *link, uint32_t crc, char path[PATH_MAX])
{
	int fd = -1;

	for (unsigned n = 0; fd < 0 && candidate(m, directory, link, n, path); n++)
		if (path[0])
			fd = open_debug_file(m, path, n == 6, crc);
	return fd;
}

int files_open_debug(const struct files_module *m, const char *link, uint32_t link_crc, char *path, size_t path_bytes)
{
	char found[PATH_MAX] = "", directory[64];
	int fd = -1;

	for (size_t i = 0; fd < 0 && m->search && m->search[i]; i++)
		fd = open_debug_in(m, m->search[i], link, link_crc, found);
	if (fd < 0 && m->pid) {
		snprintf(directory, sizeof(directory), "/proc/%ld/root" SYSTEM_DEBUG_DIR, (long)m->pid);
		fd = open_debug_in(m, directory, link, link_crc, found);
	}
	snprintf(path, path_bytes, "%s", found);
	return fd;
}

/* ---- has anything changed? ---- */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 31;
}

static uint64_t mix_text(uint64_t h, const char *s)
{
	while (*s)
		h = mix(h, (unsigned char)*s++);
	return h;
}

static uint64_t mix_file(uint64_t h, const char *path)
{
	struct stat st;

	if (!path[0] || stat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return h;
	h = mix_text(h, path);
	h = mix(h, (uint64_t)st.st_size);
	return mix(mix(h, (uint64_t)st.st_mtim.tv_sec), (uint64_t)st.st_mtim.tv_nsec);
}

static uint64_t mix_directory(uint64_t h, const struct files_module *m, const char *directory, const char *link)
{
	char path[PATH_MAX];

	for (unsigned n = 0; candidate(m, directory, link, n, path); n++)
		h = mix_file(h, path);
	return h;
}

/* Files came into it, or went. */
static uint64_t mix_entries(uint64_t h, const char *directory)
{
	struct stat st;

	if (stat(directory, &st) != 0)
		return h;
	return mix(mix(h, (uint64_t)st.st_mtim.tv_sec), (uint64_t)st.st_mtim.tv_nsec);
}

/* Where a debug link leads: beside the file, in .debug below, and under the system's directory. */
static uint64_t mix_link(uint64_t h, const struct files_module *m, const char *link)
{
	int directory = (int)(base_name(m->path) - m->path);
	char path[PATH_MAX];

	if (!directory || strchr(link, '/'))
		return h;
	for (unsigned n = 0; n < 3; n++)
		if (snprintf(path, sizeof(path), "%s%.*s%s%s", n == 2 ? SYSTEM_DEBUG_DIR : "", directory, m->path,
			     n == 1 ? ".debug/" : "", link) < PATH_MAX)
			h = mix_file(h, path);
	return h;
}

uint64_t files_fingerprint(const struct files_module *m, const char *link)
{
	const char *urls = getenv("DEBUGINFOD_URLS");
	uint64_t h = mix_file(1, m->path);

	h = mix_directory(h, m, SYSTEM_DEBUG_DIR, NULL);
	for (size_t i = 0; m->search && m->search[i]; i++)
		h = mix_entries(mix_directory(h, m, m->search[i], link), m->search[i]);
	if (m->kept_dir)
		h = mix_directory(h, m, m->kept_dir, NULL);
	if (link && *link)
		h = mix_link(h, m, link);
	return mix_text(h, urls ? urls : "");
}
