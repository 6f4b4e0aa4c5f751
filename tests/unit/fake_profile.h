/*
 * fake_profile: profiles made up for tests of what reads, writes and shows them.
 */
#ifndef MTRACE_FAKE_PROFILE_H
#define MTRACE_FAKE_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct profile;

/* Any profile that a reader could give: every field set from the seed, `size` about as many rows per table. */
struct profile *fake_profile_random(uint64_t seed, uint32_t size);

/* Fixed small ones, the same for ever: "plain" (one process, names and lines), "unnamed" (no names),
   "forks" (three processes, with marks, threads, a ledger). NULL: no such fixture. */
struct profile *fake_profile_fixture(const char *name);

/* Field by field, texts by content. False: `why` says what differs. */
bool fake_profile_same(const struct profile *a, const struct profile *b, char *why, size_t bytes);

#endif
