/* known: see known.h. */
#include "lang/known.h"

#include <stdatomic.h>

#include "hash.h"
#include "plat.h"

enum { WORDS = sizeof(struct known_frame) / sizeof(uint64_t), WAYS = 2 };

struct entry {
	_Atomic uint64_t version; /* 0: never written */
	_Atomic uint64_t words[WORDS]; /* a struct known_frame */
};
_Static_assert(sizeof(struct entry) * KNOWN_ENTRIES == KNOWN_BYTES, "two cache lines each");

static struct entry *_Atomic entries;

bool known_init(void)
{
	if (atomic_load_explicit(&entries, memory_order_acquire)) /* a forked child */
		return true;
	void *map = plat_map_private(KNOWN_BYTES);
	if (!map)
		return false;
	if (plat_wipe_on_fork(map, KNOWN_BYTES)) {
		plat_unmap(map, KNOWN_BYTES);
		return false;
	}
	atomic_store_explicit(&entries, map, memory_order_release);
	return true;
}

static struct entry *set_of(const uint64_t key[2])
{
	struct entry *map = atomic_load_explicit(&entries, memory_order_acquire);
	uint64_t hash = hash_mix(key[0] ^ key[1] * 0x9e3779b97f4a7c15u);
	return map ? map + hash % KNOWN_ENTRIES / WAYS * WAYS : NULL;
}

static bool copy(struct entry *e, struct known_frame *to)
{
	uint64_t words[WORDS];
	uint64_t before = atomic_load_explicit(&e->version, memory_order_acquire);
	if (before == 0 || before & 1)
		return false;
	for (unsigned i = 0; i < WORDS; i++)
		words[i] = atomic_load_explicit(&e->words[i], memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire); /* pairs: keep_in's release fence */
	if (atomic_load_explicit(&e->version, memory_order_relaxed) != before)
		return false;
	__builtin_memcpy(to, words, sizeof words);
	return to->count <= KNOWN_IDS;
}

static bool is_of(struct entry *e, const uint64_t key[2])
{
	return atomic_load_explicit(&e->words[0], memory_order_relaxed) == key[0] &&
	       atomic_load_explicit(&e->words[1], memory_order_relaxed) == key[1];
}

bool known_find(const uint64_t key[2], struct known_frame *frame)
{
	struct entry *e = set_of(key);
	for (unsigned way = 0; e && way < WAYS; way++)
		if (is_of(&e[way], key) && copy(&e[way], frame) && frame->key[0] == key[0] && frame->key[1] == key[1])
			return true;
	return false;
}

static struct entry *choose(struct entry *set, const uint64_t key[2])
{
	for (unsigned way = 0; way < WAYS; way++)
		if (is_of(&set[way], key) || !atomic_load_explicit(&set[way].version, memory_order_relaxed))
			return &set[way];
	return &set[key[0] >> 4 & (WAYS - 1)];
}

void known_keep(const struct known_frame *frame)
{
	struct entry *e = set_of(frame->key);
	uint64_t words[WORDS];
	if (!e)
		return;
	e = choose(e, frame->key);
	uint64_t version = atomic_load_explicit(&e->version, memory_order_relaxed);
	if (version & 1 || !atomic_compare_exchange_strong_explicit(&e->version, &version, version + 1,
								    memory_order_acquire, memory_order_relaxed))
		return;
	atomic_thread_fence(memory_order_release); /* the odd version is seen before any of the words (pairs: copy) */
	__builtin_memcpy(words, frame, sizeof words);
	for (unsigned i = 0; i < WORDS; i++)
		atomic_store_explicit(&e->words[i], words[i], memory_order_relaxed);
	atomic_store_explicit(&e->version, version + 2, memory_order_release);
}
