/*
 * pool: the memory of a profile, see pool.c. Used by model/ only; others go through profile_alloc and
 * profile_string. Dies on exhaustion. Not thread-safe.
 */
#ifndef MTRACE_POOL_H
#define MTRACE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct profile_pool;

struct profile_pool *pool_new(void);
void pool_free(struct profile_pool *pool);
void *pool_alloc(struct profile_pool *pool, size_t count, size_t bytes); /* zeroed, aligned to 16 */
const char *pool_string(struct profile_pool *pool, const char *s, size_t n); /* at most n bytes, UTF-8 */

#endif
