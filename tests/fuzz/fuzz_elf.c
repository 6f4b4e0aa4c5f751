/*
 * fuzz_elf: what reads the ELF files of others: who is to be traced (model/elf_facts), the build-id of a module, and its
 * symbols and lines (symbols/, over libdw). The first byte says what the rest is: even: a file, byte for byte; odd: changes
 * (offset, length, bytes) to the small library that fuzz.sh made, `elf` beside this program.
 */
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>

#include "fuzz.h"
#include "model/elf_facts.h"
#include "model/profile.h"
#include "symbols/dwarf.h"
#include "symbols/files.h"

enum { MOST = 1 << 20, CHANGE_MOST = 64 };
static uint8_t pristine[MOST], changed[MOST];
static size_t pristine_bytes;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	char program[PATH_MAX], path[PATH_MAX + 16];
	snprintf(program, sizeof program, "%s", (*argv)[0]);
	snprintf(path, sizeof path, "%s/elf", dirname(program));
	setenv("DEBUGINFOD_URLS", "", 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, pristine, sizeof pristine);
	if (n <= 0) {
		fprintf(stderr, "fuzz_elf: there is no library %s; run tests/fuzz/fuzz.sh\n", path);
		exit(2);
	}
	pristine_bytes = (size_t)n;
	close(fd);
	return 0;
}

static void change(struct fuzz_input *in)
{
	memcpy(changed, pristine, pristine_bytes);
	while (in->left) {
		size_t at = fuzz_number(in, 3) % pristine_bytes, bytes = 1 + fuzz_number(in, 1) % CHANGE_MOST;
		bytes = bytes < in->left ? bytes : in->left;
		bytes = bytes < pristine_bytes - at ? bytes : pristine_bytes - at;
		memcpy(changed + at, fuzz_bytes(in, bytes), bytes);
	}
}

static void take_facts(const char *path)
{
	struct elf_facts facts;
	for (int thorough = 0; thorough < 2; thorough++)
		if (elf_facts_read(path, thorough, &facts) == 0) {
			fuzz_require(memchr(facts.loader, 0, sizeof facts.loader) && memchr(facts.build_id, 0, sizeof facts.build_id),
			             "texts end");
			const char *refusal = elf_facts_refusal(&facts);
			fuzz_require(!refusal || refusal[0], "a refusal says why");
		}
}

static void take_names(const char *path, int fd)
{
	uint8_t build_id[BUILD_ID_BYTES_MAX];
	size_t bytes = files_build_id(fd, build_id);
	fuzz_require(bytes <= sizeof build_id, "a build-id has room");
	struct files_module module = {.path = path, .build_id = build_id, .build_id_bytes = bytes, .end = MOST};
	struct dwarf_file *file = dwarf_open(&module);
	if (!file)
		return;
	struct profile *owner = profile_new();
	for (uint64_t address = 0; address < pristine_bytes; address += 61) {
		const struct profile_name *names = NULL;
		uint32_t count = dwarf_names(file, address, owner, &names);
		for (uint32_t i = 0; i < count; i++)
			fuzz_require(!names[i].function || strlen(names[i].function) < MOST, "a name is a text");
	}
	dwarf_has_lines(file);
	dwarf_link(file);
	dwarf_close(file);
	profile_free(owner);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	const uint8_t *bytes = changed;
	size_t count = pristine_bytes;
	char path[64];
	if (fuzz_number(&in, 1) & 1) {
		change(&in);
	} else {
		bytes = in.at;
		count = in.left;
	}
	int fd = memfd_create("elf", MFD_CLOEXEC);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (write(fd, bytes, count) == (ssize_t)count) {
		take_facts(path);
		take_names(path, fd);
	}
	close(fd);
	return 0;
}
