/*
 * known: frames of other languages that were met before: what the caller made of each, up to KNOWN_IDS numbers, by the
 * frame's key. One cache for the process; private memory of KNOWN_BYTES, touched as frames are met, wiped in forked
 * children (the numbers are another segment's there).
 *
 * Lock-free and async-signal-safe. An entry is a sequence lock: `version` is odd while it is written. A writer takes it
 * by compare-and-swap and never waits: who does not get it does without. A reader believes what it copied when the version
 * was even before and the same after. Keys are compared whole. Entries replace each other: a frame that is not found is
 * expanded anew, to the same numbers.
 *
 *   word     | writer                       | readers    | order
 *   version  | CAS even -> odd, store even  | any thread | acquire on taking, release on giving back; readers: acquire
 *            |                              |            | before, and after an acquire fence (pairs: the writer's fence)
 *   the rest | who holds the odd version    | any thread | relaxed
 */
#ifndef MTRACE_LANG_KNOWN_H
#define MTRACE_LANG_KNOWN_H

#include <stdbool.h>
#include <stdint.h>

enum { KNOWN_IDS = 22, KNOWN_ENTRIES = 1 << 14 };
#define KNOWN_BYTES (KNOWN_ENTRIES * (uint64_t)128)

struct known_frame {
	uint64_t key[2];
	uint64_t identity;  /* the caller's: what must hold besides */
	uint32_t bottom;    /* the caller's: nothing of this language is further out */
	uint32_t count;
	uint32_t ids[KNOWN_IDS];
};

bool known_init(void);

/* false: not met, or forgotten. */
bool known_find(const uint64_t key[2], struct known_frame *frame);
void known_keep(const struct known_frame *frame);

#endif
