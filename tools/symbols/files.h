/*
 * files: where the file of a module, or its debug information, may be found; and the one rule about them: a file
 * whose build-id differs from the module's is never used.
 */
#ifndef MTRACE_SYMBOLS_FILES_H
#define MTRACE_SYMBOLS_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BUILD_ID_BYTES_MAX 32

/* What is looked for, and where. */
struct files_module {
	const char *path;
	const uint8_t *build_id;
	size_t build_id_bytes; /* 0: none; then only a file without one is taken */
	uint64_t start, end, bias; /* where it was mapped */
	const char *const *search; /* directories, NULL-terminated, or NULL */
	const char *kept_dir;      /* of files by build-id that symbols_keep_vanishing copied, NULL none */
	pid_t pid;                 /* live process with it, 0 none */
};

/* The file itself, else a debug file that can stand for it. A descriptor, or -1. */
int files_open_module(const struct files_module *m);

/* Debug information: in the search directories and in the container of the live process. The places of the system (debug
   links, /usr/lib/debug, debuginfod) are libdwfl's. `link`: name in .gnu_debuglink, or NULL. `path` gets its name.
   A descriptor, or -1. */
int files_open_debug(const struct files_module *m, const char *link, uint32_t link_crc, char *path, size_t path_bytes);

/* Is this an ELF file with that build-id (0 bytes: without one)? */
bool files_matches(int fd, const uint8_t *build_id, size_t build_id_bytes);

/* The build-id of an ELF file; bytes, 0 none. */
size_t files_build_id(int fd, uint8_t build_id[BUILD_ID_BYTES_MAX]);

/* A number that changes when debug information may have appeared or gone at a place that files_* or libdwfl look at. */
uint64_t files_fingerprint(const struct files_module *m, const char *link);

#endif
