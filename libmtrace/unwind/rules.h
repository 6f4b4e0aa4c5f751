/*
 * rules: pc -> the packed rule of its frame, and a number of the caller's beside it. One cache for the process, filled
 * from .eh_frame on a miss. Called by walk.c per frame, by the public functions of unwind.h.
 *
 * Lock-free and async-signal-safe. Bound: RULES_BYTES of private memory, touched as code is met, wiped in forked
 * children. When full, entries of one cache line replace each other.
 *
 * The cache, one entry of two words, four entries to a cache line:
 *
 *   word1 = rule << 32 | tag         rule is never 0, so word1 0 is an empty entry
 *   word0 = key ^ mix(word1)         key = pc << 17 | exact << 16 | generation
 *
 *   word        | writers                   | readers         | order
 *   word0,word1 | any thread, any time, two | any thread, any | relaxed: see R1
 *               | separate stores           | time            |
 *   generation  | rules_forget              | start of a walk | acq_rel / acquire: see R2
 *   map         | rules_init, once          | start of a walk | release / acquire
 *
 * R1. A pair is believed only if word0 == key ^ mix(word1) for the key looked for. Words of two different writes
 *     agree for some wanted key by chance only (their products would have to differ exactly as the keys do); otherwise
 *     a torn or half-written pair is a miss and is filled again. A pair that agrees was written as a pair, and all it
 *     says is in the pair: nothing else needs to be ordered with it.
 * R2. A rule is true for pc as long as the code at pc stays. It is stored under the generation read at the start of
 *     a walk that had a frame there; code with a frame in it is not unmapped. The program's own order (dlclose, then
 *     rules_forget, then somebody runs new code at that address) carries the new generation to whoever walks there.
 * R3. 16 bits of generation come round after 65 535 forgets: the cache is emptied before a number is used again.
 */
#ifndef MTRACE_UNWIND_RULES_H
#define MTRACE_UNWIND_RULES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "plat.h"
#include "unwind/arch.h"
#include "unwind/cfi.h"

#define RULES_WAYS 4u
#define RULES_ENTRIES (64u * 1024u)
#define RULES_BYTES (RULES_ENTRIES * sizeof(struct rules_entry))
#define RULES_PAGE_BYTES 4096u

struct rules_entry {
	_Atomic uint64_t word0;
	_Atomic uint64_t word1;
};
_Static_assert(sizeof(struct rules_entry) == 16, "four entries to a cache line");

/* What a walk needs of the cache: its memory (NULL: there is none) and the generation it runs under. */
struct rules_view {
	struct rules_entry *map;
	uint64_t generation; /* 16 bits, as in a key */
	uint64_t epoch;      /* the same, not cut; never 0 */
};

extern _Atomic uint32_t rules_generation SHIM_OWN; /* never 0 */

static inline uint64_t rules_epoch(void)
{
	return atomic_load_explicit(&rules_generation, memory_order_acquire); /* R2 */
}

/* Code that never has rules, and where no object will ever be: a JVM's, [*low, *high). What is said first stays. */
void rules_never(const uintptr_t *low, const uintptr_t *high);

bool rules_init(void);
void rules_count_bytes(_Atomic uint64_t *bytes);
struct rules_view rules_view(void);
void rules_forget(void);
void rules_set_tag(uintptr_t pc, bool exact, uint32_t tag);

/* rule << 32 | tag, never 0: from anywhere in the cache, else by the tables, and remembered. */
uint64_t rules_fetch(const struct rules_view *view, uintptr_t pc, bool exact);

/* The whole row behind a rule, for the full walk. `tables` serves cfi_block. */
enum cfi_end rules_row(uintptr_t pc, bool exact, struct cfi_tables *tables, struct cfi_row *row);

/* ---- the hit, exposed for the walk ---- */

static inline uint64_t rules_mix(uint64_t word1)
{
	return word1 * 0x9e3779b97f4a7c15u; /* odd: no two words give one value */
}

static inline uint64_t rules_key(const struct rules_view *view, uintptr_t pc, uint64_t exact)
{
	return (uint64_t)pc << 17 | exact << 16 | view->generation;
}

/* An entry's own place follows the code: 16 bytes of it share one, 64 bytes a cache line, 1 MiB never collides. */
static inline struct rules_entry *rules_place(const struct rules_view *view, uintptr_t pc)
{
	uintptr_t offset = (pc ^ (pc >> 16)) & (RULES_BYTES - sizeof(struct rules_entry));
	return (struct rules_entry *)((char *)view->map + offset);
}

static inline uint32_t rules_rule(uint64_t word1)
{
	return (uint32_t)(word1 >> 32);
}

static inline uint32_t rules_tag(uint64_t word1)
{
	return (uint32_t)word1;
}

/* The entry's second word when it is key's, which is never 0; else 0. A key is never 0, so an empty entry misses. */
static inline __attribute__((always_inline)) uint64_t rules_read(struct rules_entry *entry, uint64_t key)
{
	uint64_t word1 = atomic_load_explicit(&entry->word1, memory_order_relaxed); /* R1 */
	uint64_t word0 = atomic_load_explicit(&entry->word0, memory_order_relaxed); /* R1 */
	return __builtin_expect(word0 == (key ^ rules_mix(word1)), 1) ? word1 : 0;
}

/* Anywhere in the line; 0: not there. */
uint64_t rules_find(const struct rules_view *view, uintptr_t pc, uint64_t exact);

#endif
