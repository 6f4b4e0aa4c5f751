/*
 * image: what a process has mapped of a deleted file, made an ELF file again. The process is this one: it writes a
 * library, loads it, deletes it, and asks for it by an address in it.
 */
#include <check.h>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "run.h"
#include "symbols/files.h"
#include "symbols/image.h"

static char directory[32];
static char library[64], whole[64];
static void *handle;

static int shell(const char *format, const char *a, const char *b)
{
	char command[256];
	snprintf(command, sizeof command, format, a, b);
	return system(command);
}

static void load(void)
{
	strcpy(directory, "/tmp/mtrace-image.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(library, sizeof library, "%s/lib.so", directory);
	snprintf(whole, sizeof whole, "%s/whole", directory);
	ck_assert_int_eq(shell("printf 'int many[5000] = {1};\\nint image_entry(int n) { return many[n] += n; }\\n' | "
	                       "gcc -g -O1 -fPIC -shared -Wl,--build-id=sha1 -x c - -o %s%s", library, ""), 0);
	ck_assert_int_eq(shell("cp %s %s", library, whole), 0);
	handle = dlopen(library, RTLD_NOW);
	ck_assert_ptr_nonnull(handle);
	ck_assert_int_eq(unlink(library), 0);
}

static void unload(void)
{
	dlclose(handle);
	shell("rm -rf %s%s", directory, "");
}

/* The dynamic section's entry of that tag, as the file has it. */
static uint64_t entry_of(int fd, Elf64_Sxword tag)
{
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	Elf64_Dyn entry;
	ck_assert_int_eq(pread(fd, &header, sizeof header, 0), sizeof header);
	for (unsigned i = 0; i < header.e_phnum; i++) {
		ck_assert_int_eq(pread(fd, &segment, sizeof segment, (off_t)(header.e_phoff + i * sizeof segment)), sizeof segment);
		for (uint64_t at = 0; segment.p_type == PT_DYNAMIC && at < segment.p_filesz; at += sizeof entry) {
			ck_assert_int_eq(pread(fd, &entry, sizeof entry, (off_t)(segment.p_offset + at)), sizeof entry);
			if (entry.d_tag == tag)
				return entry.d_un.d_val;
		}
	}
	ck_abort_msg("no entry %ld", (long)tag);
}

static void same_bytes(int a, int b, uint64_t offset, uint64_t size)
{
	char *x = malloc(size), *y = malloc(size);
	ck_assert_int_eq(pread(a, x, size, (off_t)offset), (ssize_t)size);
	ck_assert_int_eq(pread(b, y, size, (off_t)offset), (ssize_t)size);
	ck_assert_mem_eq(x, y, size);
	free(x);
	free(y);
}

START_TEST(a_deleted_library_is_made_again)
{
	static const Elf64_Sxword tags[] = {DT_SYMTAB, DT_STRTAB, DT_GNU_HASH, DT_STRSZ};
	uint8_t id[BUILD_ID_BYTES_MAX], whole_id[BUILD_ID_BYTES_MAX];
	int image = image_of_mapping(getpid(), (uint64_t)(uintptr_t)dlsym(handle, "image_entry"));
	int file = open(whole, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(image, 0);
	ck_assert_uint_eq(files_build_id(image, id), 20);
	ck_assert_uint_eq(files_build_id(file, whole_id), 20);
	ck_assert_mem_eq(id, whole_id, 20);
	for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++)
		ck_assert_uint_eq(entry_of(image, tags[i]), entry_of(file, tags[i]));
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	ck_assert_int_eq(pread(image, &header, sizeof header, 0), sizeof header);
	ck_assert_uint_eq(header.e_shnum, 0);
	for (unsigned i = 0, code = 0; i < header.e_phnum; i++) {
		ck_assert_int_eq(pread(file, &segment, sizeof segment, (off_t)(header.e_phoff + i * sizeof segment)), sizeof segment);
		if (segment.p_type == PT_LOAD && (segment.p_flags & PF_X))
			same_bytes(file, image, segment.p_offset, segment.p_filesz);
		code += segment.p_type == PT_LOAD && (segment.p_flags & PF_X);
		ck_assert(i + 1 < header.e_phnum || code > 0);
	}
	close(image);
	close(file);
}
END_TEST

START_TEST(what_is_no_library_is_refused)
{
	int local = 0, text = memfd_create("text", 0);
	ck_assert_int_eq(write(text, "no ELF file at all\n", 19), 19);
	void *mapped = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, text, 0);
	ck_assert_int_eq(image_of_mapping(getpid(), (uint64_t)(uintptr_t)mapped), -1);
	ck_assert_int_eq(image_of_mapping(getpid(), (uint64_t)(uintptr_t)&local), -1); /* the stack: no file */
	ck_assert_int_eq(image_of_mapping(getpid(), 0), -1);
	ck_assert_int_eq(image_of_mapping(4194303, 0x1000), -1);
	munmap(mapped, 4096);
	close(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tools: image");
	TCase *c = tcase_create("image");
	tcase_add_checked_fixture(c, load, unload);
	tcase_add_test(c, a_deleted_library_is_made_again);
	tcase_add_test(c, what_is_no_library_is_refused);
	suite_add_tcase(suite, c);
	return run_suite(suite);
}
