/*
 * built: programs built on the spot in a directory of their own, and profiles with frames in them: what the suites of
 * symbols share. What cannot be tried here (no rustc) is said loudly on a line "skipped …".
 */
#ifndef TESTS_BUILT_H
#define TESTS_BUILT_H

#include <check.h>
#include <stddef.h>
#include <stdint.h>

#include "symbols/symbols.h"

struct profile;
struct profile_frame;

enum { BUILT_PATH_BYTES = 96 };

/* Runs the suite; each test in a fresh directory with the sources a.c, a.cc and a.rs, two minutes at most. */
int built_run(const char *suite, TCase *tests);

extern char built_directory[64];
char *built_path(char out[BUILT_PATH_BYTES], const char *name); /* of that file in the directory; returns out */
void built_source(const char *name, const char *text);

/* Commands run there. The status; or standard output, cut at `bytes`. */
int built_shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *built_output(char *buffer, size_t bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* a.c as `whole`, as `a` with its debug information in a.debug, and as `bare` without any symbols. */
void built_split(void);

uint64_t built_address(const char *name, const char *symbol);
uint32_t built_addresses(const char *name, uint64_t *addresses, uint32_t most, unsigned every); /* instructions of .text */

/* A profile with one module and these addresses as frames. `name` is in our directory, or absolute. */
struct profile *built_profile(const char *name, const uint64_t *addresses, uint32_t count, uint16_t flags);
struct profile *built_outer(const char *name); /* one frame, in the function outer of `whole` */

struct symbols_result built_resolve(struct profile *p, const char *cache, const char *search);
const struct profile_frame *built_frame(const struct profile *p, uint32_t i);
const char *built_name(const struct profile *p); /* of the first frame, "(none)" */

#endif
