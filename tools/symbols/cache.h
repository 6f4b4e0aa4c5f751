/*
 * cache: names that were found once, by build-id and address, in a file per build-id; and the directory they share
 * with the copies of vanishing libraries:
 *
 *      DIR/symbols/<build-id>    names
 *      DIR/files/<build-id>      ELF files (keep.c)
 */
#ifndef MTRACE_SYMBOLS_CACHE_H
#define MTRACE_SYMBOLS_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct profile;
struct profile_name;

#define CACHE_PATH_MAX 4096

/* DIR: `wanted`, or the default when it is NULL. False: there is none ("" was wanted, no home directory). */
bool cache_directory(const char *wanted, char directory[CACHE_PATH_MAX]);
/* Makes the directory DIR/room, 0700, and those above it. */
bool cache_make_room(const char *directory, const char *room, char path[CACHE_PATH_MAX]);
/* A new file beside `path` to be renamed to it, 0600; -1 when it cannot be made. */
int cache_open_new(const char *path, char temporary[CACHE_PATH_MAX]);
void cache_hex(const uint8_t *build_id, size_t bytes, char *hex); /* 2 * bytes + 1 */

struct cache_entry {
	uint64_t address;
	const struct profile_name *names; /* NULL: there is no name */
	uint32_t count;
};

/* What is known of one build-id. Names and texts belong to `owner`. */
struct cache {
	struct profile *owner;
	bool lines;           /* debug information was there when it was made */
	uint64_t fingerprint; /* of the places it was looked for (files_fingerprint) */
	char link[256];       /* .gnu_debuglink, "" none */
	struct cache_entry *entries; /* by address, each once */
	size_t count, capacity;
	bool changed;
};

/* An absent, damaged or foreign file gives an empty cache. */
void cache_load(struct cache *cache, struct profile *owner, const char *directory, const uint8_t *build_id, size_t bytes);
const struct cache_entry *cache_find(const struct cache *cache, uint64_t address);
/* Addresses must come in ascending order between two calls of cache_sort. */
void cache_add(struct cache *cache, uint64_t address, const struct profile_name *names, uint32_t count);
void cache_sort(struct cache *cache);
/* Failing to save is not an error: the names are found again next time. */
void cache_save(const struct cache *cache, const char *directory, const uint8_t *build_id, size_t bytes);
void cache_free(struct cache *cache);

/* Removes the files used least recently while all together are above the bound. */
void cache_prune(const char *directory);

#endif
