/* image: see image.h. Bounds: IMAGE_BYTES_MAX a file, DYNAMIC_MAX entries of the dynamic section. */
#include "image.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define IMAGE_BYTES_MAX (256ull << 20)
#define DYNAMIC_MAX 512
#define COPY_BYTES 65536

struct mapping {
	unsigned long from, to, offset, inode;
	unsigned major, minor;
};

static bool read_mapping(FILE *maps, struct mapping *m)
{
	char line[PATH_MAX + 128];

	while (fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx %*s %lx %x:%x %lu", &m->from, &m->to, &m->offset, &m->major, &m->minor, &m->inode) == 6 &&
		    m->inode)
			return true;
	return false;
}

static FILE *open_maps(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%ld/maps", (long)pid);
	return fopen(path, "re");
}

static bool find(pid_t pid, uint64_t address, struct mapping *wanted)
{
	FILE *maps = open_maps(pid);
	bool found = false;

	while (maps && !found && read_mapping(maps, wanted))
		found = wanted->from <= address && address < wanted->to;
	if (maps)
		fclose(maps);
	return found;
}

/* False when nothing could be read: a mapping without any access is left as a hole. */
static bool copy(int memory, const struct mapping *m, int image)
{
	static char bytes[COPY_BYTES];
	unsigned long size = m->to - m->from, at = 0;

	if (m->offset + size > IMAGE_BYTES_MAX)
		return false;
	while (at < size) {
		size_t want = size - at < sizeof(bytes) ? size - at : sizeof(bytes);
		ssize_t n = pread(memory, bytes, want, (off_t)(m->from + at));

		if (n <= 0 || pwrite(image, bytes, (size_t)n, (off_t)(m->offset + at)) != n)
			break;
		at += (unsigned long)n;
	}
	return at > 0;
}

static bool same_file(const struct mapping *a, const struct mapping *b)
{
	return a->inode == b->inode && a->major == b->major && a->minor == b->minor;
}

/* Where the file's first byte is mapped; 0: nowhere, or it is no ELF file (a JIT's memory, say). */
static unsigned long find_first(pid_t pid, int memory, const struct mapping *wanted)
{
	FILE *maps = open_maps(pid);
	struct mapping m;
	unsigned long first = 0;
	char magic[SELFMAG];

	while (maps && !first && read_mapping(maps, &m))
		if (same_file(&m, wanted) && m.offset == 0)
			first = m.from;
	if (maps)
		fclose(maps);
	if (!first || pread(memory, magic, SELFMAG, (off_t)first) != SELFMAG || memcmp(magic, ELFMAG, SELFMAG) != 0)
		return 0;
	return first;
}

static bool copy_all(pid_t pid, int memory, const struct mapping *wanted, int image)
{
	FILE *maps = open_maps(pid);
	struct mapping m;
	bool any = false;

	while (maps && read_mapping(maps, &m))
		if (same_file(&m, wanted))
			any |= copy(memory, &m, image);
	if (maps)
		fclose(maps);
	return any;
}

static bool is_address(Elf64_Sxword tag)
{
	static const Elf64_Sxword tags[] = {DT_SYMTAB, DT_STRTAB, DT_HASH, DT_GNU_HASH, DT_VERSYM, DT_VERDEF, DT_VERNEED};

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
		if (tags[i] == tag)
			return true;
	return false;
}

/* The loader added the library's base to addresses in the dynamic section: a file has them without. */
static void undo_loader(int image, const Elf64_Phdr *dynamic, uint64_t base)
{
	Elf64_Dyn entry;

	for (unsigned i = 0; i < DYNAMIC_MAX && i < dynamic->p_filesz / sizeof(entry); i++) {
		off_t at = (off_t)(dynamic->p_offset + i * sizeof(entry));

		if (pread(image, &entry, sizeof(entry), at) != sizeof(entry) || entry.d_tag == DT_NULL)
			return;
		if (!is_address(entry.d_tag) || entry.d_un.d_ptr < base)
			continue;
		entry.d_un.d_ptr -= base;
		if (pwrite(image, &entry, sizeof(entry), at) != sizeof(entry))
			return;
	}
}

/* There is no table of sections in memory: the header must not promise one. */
static bool finish(int image, unsigned long first)
{
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	uint64_t base = 0;

	if (pread(image, &header, sizeof(header), 0) != sizeof(header) || header.e_ident[EI_CLASS] != ELFCLASS64 ||
	    header.e_phentsize != sizeof(segment))
		return false;
	header.e_shoff = 0;
	header.e_shnum = header.e_shstrndx = 0;
	if (pwrite(image, &header, sizeof(header), 0) != sizeof(header))
		return false;
	for (unsigned i = 0, loads = 0; i < header.e_phnum; i++) {
		if (pread(image, &segment, sizeof(segment), (off_t)(header.e_phoff + i * sizeof(segment))) != sizeof(segment))
			return false;
		if (segment.p_type == PT_LOAD && loads++ == 0)
			base = first - (segment.p_vaddr - segment.p_offset);
		if (segment.p_type == PT_DYNAMIC)
			undo_loader(image, &segment, base);
	}
	return true;
}

int image_of_mapping(pid_t pid, uint64_t address)
{
	char path[64];
	struct mapping wanted;
	unsigned long first = 0;
	int memory, image;

	snprintf(path, sizeof(path), "/proc/%ld/mem", (long)pid);
	memory = open(path, O_RDONLY | O_CLOEXEC);
	if (memory < 0)
		return -1;
	image = memfd_create("image", MFD_CLOEXEC);
	if (image >= 0 && find(pid, address, &wanted))
		first = find_first(pid, memory, &wanted);
	if (image >= 0 && !(first && copy_all(pid, memory, &wanted, image) && finish(image, first))) {
		close(image);
		image = -1;
	}
	close(memory);
	return image;
}
