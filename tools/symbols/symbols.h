/*
 * symbols: names, files and lines for the frames of a profile. One interface over libdw (ELF, DWARF,
 * .gnu_debugdata, debug links, debuginfod when DEBUGINFOD_URLS is set), demanglers and a cache by build-id.
 */
#ifndef MTRACE_SYMBOLS_H
#define MTRACE_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct profile;

struct symbols_options {
	const char *const *search; /* extra directories for files by name or by build-id, NULL-terminated, or NULL */
	const char *cache_dir;     /* NULL: $XDG_CACHE_HOME/mtrace or ~/.cache/mtrace; "" : no cache */
	pid_t pid;                 /* a live process whose /proc/PID/root and map_files may be looked into; 0 none */
	bool again;                /* also frames that already have names without a line */
};

struct symbols_result {
	uint64_t frames, named, with_line;
};

/* Fills names of every NATIVE frame of every process. A file whose build-id differs is never used. */
void symbols_resolve(struct profile *profile, const struct symbols_options *options, struct symbols_result *result);

/* Copies into the cache, by build-id, those mapped libraries of a live process that are deleted or lie in a
   temporary directory, so that their symbols survive. Cheap when called again. Returns how many were copied. */
int symbols_keep_vanishing(pid_t pid, const char *cache_dir);

/* Demangles C++ (Itanium), Rust (legacy and v0). Returns malloc'd text, or NULL when it is not mangled. */
char *symbols_demangle(const char *mangled);

#endif
