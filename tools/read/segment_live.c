/*
 * segment_live: the blocks that are live, from the table that is reached by address (format.h). Every chunk, leaf
 * entry and line is used once at most: a table that names one twice is damaged there, and the work stays bounded by
 * the bytes of the file.
 *
 * What a slot says is counted twice: for its row (exact), and for its (row, thread, age class) group, which is what
 * reports by thread and by age need; single blocks are not kept.
 */
#include <stdlib.h>
#include <string.h>

#include "die.h"
#include "read/segment.h"

/* ---- groups ---- */

struct segment_group {
	uint64_t key; /* class << 42 | thread << 26 | row; 0 free (row 0 has no blocks) */
	uint64_t blocks, bytes;
	uint64_t oldest_tick;
};

static struct segment_group *group_of(struct segment_groups *groups, uint64_t key)
{
	size_t at = (size_t)(key * 0x9e3779b97f4a7c15u >> 20) & groups->mask;
	while (groups->slots[at].key != 0 && groups->slots[at].key != key)
		at = (at + 1) & groups->mask;
	return &groups->slots[at];
}

static void grow_groups(struct segment_groups *groups)
{
	struct segment_group *old = groups->slots;
	size_t old_slots = old ? groups->mask + 1 : 0, slots = old ? 2 * old_slots : 1024;
	groups->slots = calloc(slots, sizeof *groups->slots);
	if (!groups->slots)
		die(2, "out of memory for the table of live blocks");
	groups->mask = slots - 1;
	for (size_t i = 0; i < old_slots; i++)
		if (old[i].key)
			*group_of(groups, old[i].key) = old[i];
	free(old);
}

static unsigned age_class(uint64_t now, uint64_t birth)
{
	uint64_t age = now > birth ? now - birth : 0;
	return age ? 64u - (unsigned)__builtin_clzll(age) : 0;
}

void segment_add_live(struct segment *s, uint32_t row, uint32_t thread_id, uint64_t birth_tick, uint64_t blocks, uint64_t bytes)
{
	struct segment_live_row *r = &s->live_of_row[row];
	r->blocks += blocks;
	r->bytes = profile_sum(r->bytes, bytes);
	struct segment_groups *groups = &s->groups;
	if (!groups->slots || groups->count * 2 > groups->mask)
		grow_groups(groups);
	uint64_t key = (uint64_t)age_class(s->now_tick, birth_tick) << 42 | (uint64_t)(thread_id & 0xffff) << 26 |
	               (row & ((1u << MTRACE_SLOT_ROW_BITS) - 1));
	struct segment_group *g = group_of(groups, key);
	if (g->key == 0) {
		*g = (struct segment_group){.key = key, .oldest_tick = birth_tick};
		groups->count++;
	}
	g->blocks += blocks;
	g->bytes = profile_sum(g->bytes, bytes);
	if (birth_tick < g->oldest_tick)
		g->oldest_tick = birth_tick;
}

void segment_finish_live(struct segment *s)
{
	struct segment_groups *groups = &s->groups;
	struct profile_live *live = profile_alloc(s->profile, groups->count, sizeof *live);
	uint64_t threads = s->regions[MTRACE_REGION_THREADS].count;
	s->process->live = live;
	for (size_t i = 0; groups->slots && i <= groups->mask; i++) {
		const struct segment_group *g = &groups->slots[i];
		if (g->key == 0)
			continue;
		uint32_t id = (uint32_t)(g->key >> 26 & 0xffff);
		live[s->process->live_count++] = (struct profile_live){
			.stack = (uint32_t)(g->key & ((1u << MTRACE_SLOT_ROW_BITS) - 1)), /* a row id until the stacks are there */
			.thread = id < threads ? s->thread_of_id[id] : PROFILE_NO_THREAD,
			.birth_tick = g->oldest_tick,
			.blocks = g->blocks,
			.bytes = g->bytes,
		};
	}
	free(groups->slots);
	memset(groups, 0, sizeof *groups);
}

/* ---- sizes that do not fit a slot ---- */

static int by_address(const void *a, const void *b)
{
	uint64_t x = ((const struct mtrace_live_huge *)a)->address, y = ((const struct mtrace_live_huge *)b)->address;
	return x < y ? -1 : x > y;
}

struct walk {
	struct segment *s;
	struct mtrace_live_huge *huge; /* sorted by address */
	size_t huge_count;
	unsigned char *seen_chunks, *seen_leaves, *seen_lines; /* one bit each */
};

static void sort_huge(struct walk *w)
{
	const struct segment_region *r = &w->s->regions[MTRACE_REGION_LIVE_HUGE];
	w->huge_count = r->count < MTRACE_LIVE_HUGE_ENTRIES ? r->count : MTRACE_LIVE_HUGE_ENTRIES;
	w->huge = profile_alloc(w->s->profile, w->huge_count, sizeof *w->huge);
	if (w->huge_count == 0)
		return;
	memcpy((void *)w->huge, r->bytes, w->huge_count * sizeof *w->huge);
	qsort(w->huge, w->huge_count, sizeof *w->huge, by_address);
}

static uint64_t huge_size(struct walk *w, uint64_t key)
{
	struct mtrace_live_huge wanted = {.address = key};
	const struct mtrace_live_huge *found = bsearch(&wanted, w->huge, w->huge_count, sizeof wanted, by_address);
	return found ? found->size : MTRACE_SLOT_SIZE_HUGE; /* lost: the least it can be; the shim counted it */
}

/* ---- the walk: root, chunks, leaf entries, lines, slots ---- */

static unsigned char *bits(struct walk *w, enum mtrace_region_id id)
{
	return profile_alloc(w->s->profile, w->s->regions[id].count / 8 + 1, 1);
}

/* True the first time. */
static bool claim(unsigned char *seen, uint64_t index)
{
	unsigned char bit = (unsigned char)(1u << (index & 7));
	bool first = !(seen[index >> 3] & bit);
	seen[index >> 3] |= bit;
	return first;
}

/* key: family << 61 | address of the page. */
static void read_slot(struct walk *w, uint64_t word, uint32_t side, uint64_t key)
{
	struct segment *s = w->s;
	uint32_t row = MTRACE_SLOT_ROW(word);
	if (row == 0 || row >= s->regions[MTRACE_REGION_ROWS].count) {
		s->skipped++;
		return;
	}
	uint64_t size = MTRACE_SLOT_SIZE(word);
	if (size == MTRACE_SLOT_SIZE_HUGE)
		size = huge_size(w, key | (uint64_t)MTRACE_SLOT_GRANULE(word) << 3);
	segment_add_live(s, row, MTRACE_SIDE_THREAD(side), mtrace_birth_ticks(MTRACE_SIDE_BIRTH(side)), 1, size);
}

/* Lines of a page belong to granules in equal shares; a slot elsewhere is damaged. */
static void read_line(struct walk *w, uint64_t index, uint32_t which, uint32_t lines, uint64_t key)
{
	const struct mtrace_live_line *line = segment_element(w->s, MTRACE_REGION_LIVE_LINES, index);
	if (!line || !claim(w->seen_lines, index)) {
		w->s->skipped++;
		return;
	}
	for (unsigned i = 0; i < MTRACE_LIVE_SLOTS; i++) {
		uint64_t word = line->word[i];
		if (word == 0 || word == MTRACE_SLOT_CLOSED)
			continue;
		if (MTRACE_SLOT_GRANULE(word) * lines >> 9 == which)
			read_slot(w, word, line->side[i], key);
		else
			w->s->skipped++;
	}
}

static void read_leaves(struct walk *w, uint64_t entry, uint64_t key)
{
	while (entry != 0) {
		for (uint32_t i = 0; i < MTRACE_LEAF_LINES(entry); i++)
			read_line(w, (uint64_t)MTRACE_LEAF_LINE(entry) + i, i, MTRACE_LEAF_LINES(entry), key);
		uint32_t next = MTRACE_LEAF_NEXT(entry);
		if (next == 0)
			return;
		const uint64_t *leaf = segment_element(w->s, MTRACE_REGION_LIVE_LEAVES, next);
		if (!leaf || !claim(w->seen_leaves, next)) {
			w->s->skipped++;
			return;
		}
		entry = *leaf;
	}
}

static void read_root(struct walk *w, uint64_t root)
{
	uint32_t index = (uint32_t)root;
	const struct mtrace_live_chunk *chunk = segment_element(w->s, MTRACE_REGION_LIVE_CHUNKS, index);
	if (!chunk || index == 0 || !claim(w->seen_chunks, index)) {
		w->s->skipped++;
		return;
	}
	uint64_t family = root >> 55 & 7, address = (root >> 32 & 0x7fffff) << 24; /* family:3 | address >> 24: 23 bits */
	for (uint64_t page = 0; page < MTRACE_LIVE_PAGES_PER_CHUNK; page++)
		if (chunk->leaves[page] != 0)
			read_leaves(w, chunk->leaves[page], family << 61 | address | page << 12);
}

void segment_read_live(struct segment *s)
{
	struct walk w = {.s = s};
	sort_huge(&w);
	w.seen_chunks = bits(&w, MTRACE_REGION_LIVE_CHUNKS);
	w.seen_leaves = bits(&w, MTRACE_REGION_LIVE_LEAVES);
	w.seen_lines = bits(&w, MTRACE_REGION_LIVE_LINES);
	for (uint64_t i = 0; i < s->regions[MTRACE_REGION_LIVE_ROOT].count; i++) {
		const uint64_t *root = segment_element(s, MTRACE_REGION_LIVE_ROOT, i);
		if (*root != 0)
			read_root(&w, *root);
	}
}
