#include "live.h"

#include "segment.h"
#include "hash.h"

#define ROOT_MASK (MTRACE_LIVE_ROOT_ENTRIES - 1)
#define LINES_MOST 128u
#define GRANULES 512u /* of 8 bytes, of a page */

typedef _Atomic uint64_t atomic_word;

static atomic_word *root_at(uint32_t i)
{
	return (atomic_word *)(void *)segment.base[MTRACE_REGION_LIVE_ROOT] + i;
}

static struct mtrace_live_chunk *chunk_at(uint32_t id)
{
	return (struct mtrace_live_chunk *)(void *)segment.base[MTRACE_REGION_LIVE_CHUNKS] + id;
}

static atomic_word *extra_leaf_at(uint32_t id)
{
	return (atomic_word *)(void *)segment.base[MTRACE_REGION_LIVE_LEAVES] + id;
}

static struct mtrace_live_line *line_at(uint64_t id)
{
	return (struct mtrace_live_line *)(void *)segment.base[MTRACE_REGION_LIVE_LINES] + id;
}

static struct mtrace_live_huge *huge_at(uint32_t i)
{
	return (struct mtrace_live_huge *)(void *)segment.base[MTRACE_REGION_LIVE_HUGE] + i;
}

static void make_no_line(void)
{
	for (uint32_t i = 0; i < MTRACE_LIVE_SLOTS; i++)
		atomic_store_explicit(&live_no_line()->word[i], MTRACE_SLOT_CLOSED, memory_order_relaxed);
}

bool live_init(void)
{
	if (!segment_ensure(MTRACE_REGION_LIVE_ROOT, MTRACE_LIVE_ROOT_ENTRIES * sizeof(uint64_t)) ||
	    !segment_ensure(MTRACE_REGION_LIVE_LINES, sizeof(struct mtrace_live_line)))
		return false;
	make_no_line();
	return true;
}

/* ---- sizes of 256 MiB and more ------------------------------------------------------------------------ */

static uint64_t huge_key(enum mtrace_family family, uintptr_t address)
{
	return (uint64_t)family << 61 | address;
}

static struct mtrace_live_huge *huge_find(uint64_t key, uint64_t want)
{
	uint32_t at = (uint32_t)hash_mix(key);
	for (uint32_t i = 0; i < MTRACE_LIVE_HUGE_ENTRIES; i++) {
		struct mtrace_live_huge *h = huge_at((at + i) % MTRACE_LIVE_HUGE_ENTRIES);
		if (atomic_load_explicit(&h->address, memory_order_acquire) == want)
			return h;
	}
	return NULL;
}

/* Takes an empty entry, then writes the size; the block's word follows, so a reader that sees the word sees both. */
static void huge_store(uint64_t key, uint64_t size)
{
	if (!segment_ensure(MTRACE_REGION_LIVE_HUGE, MTRACE_LIVE_HUGE_ENTRIES * sizeof(struct mtrace_live_huge))) {
		segment_count(MTRACE_COUNTER_huge_sizes_lost);
		return;
	}
	for (;;) {
		struct mtrace_live_huge *h = huge_find(key, key);
		uint64_t empty = 0;
		if (!h && !(h = huge_find(key, 0))) {
			segment_count(MTRACE_COUNTER_huge_sizes_lost);
			return;
		}
		if (atomic_load_explicit(&h->address, memory_order_relaxed) != key &&
		    !atomic_compare_exchange_strong_explicit(&h->address, &empty, key, memory_order_acq_rel,
							     memory_order_relaxed))
			continue;
		atomic_store_explicit(&h->size, size, memory_order_release);
		return;
	}
}

static uint64_t huge_size(uint64_t key)
{
	if (!segment_has(MTRACE_REGION_LIVE_HUGE, 1))
		return MTRACE_SLOT_SIZE_HUGE;
	const struct mtrace_live_huge *h = huge_find(key, key);
	return h ? atomic_load_explicit(&h->size, memory_order_acquire) : MTRACE_SLOT_SIZE_HUGE;
}

static void huge_clear(uint64_t key)
{
	struct mtrace_live_huge *h = segment_has(MTRACE_REGION_LIVE_HUGE, 1) ? huge_find(key, key) : NULL;
	if (h)
		atomic_store_explicit(&h->address, 0, memory_order_release);
}

/* Before the word that says so. What the block before it had was read by then. */
static inline void huge_replace(uint64_t key, uint64_t old, uint64_t size)
{
	if (unlikely(size >= MTRACE_SLOT_SIZE_HUGE))
		huge_store(key, size);
	else if (unlikely(old >= MTRACE_SLOT_SIZE_HUGE))
		huge_clear(key);
}

/* ---- words ----------------------------------------------------------------------------------------- */

static uint64_t make_word(uintptr_t address, const struct live_block *block)
{
	return live_word(address, block->row, block->size < MTRACE_SLOT_SIZE_HUGE ? block->size : MTRACE_SLOT_SIZE_HUGE);
}

static void read_block(uint64_t key, uint64_t word, uint32_t side, struct live_block *out)
{
	*out = (struct live_block){.row = MTRACE_SLOT_ROW(word), .size = MTRACE_SLOT_SIZE(word), .side = side};
	if (unlikely(out->size == MTRACE_SLOT_SIZE_HUGE))
		out->size = huge_size(key);
}

/* ---- from an address to its page's leaf entry ------------------------------------------------------------ */

/* The id in a root entry; 0: it is nobody's, and somebody else wrote it. */
static uint32_t chunk_of(uint64_t entry)
{
	uint32_t id = (uint32_t)entry;
	return segment_id_ok(MTRACE_REGION_LIVE_CHUNKS, id, sizeof(struct mtrace_live_chunk)) ? id : 0;
}

/* The chunk's id of an address, 0 none. Root entries never change once set, so a miss at an empty one is final for
   the caller: who inserted before has been ordered before us by the allocator. */
static uint32_t find_chunk(uint64_t key)
{
	uint32_t at = live_root_place(key);
	for (uint32_t i = 0; i < MTRACE_LIVE_ROOT_ENTRIES; i++) {
		uint64_t entry = atomic_load_explicit(root_at((at + i) & ROOT_MASK), memory_order_acquire); /* pairs: L3 */
		if (!entry)
			return 0;
		if (entry >> 32 == key)
			return chunk_of(entry);
	}
	return 0;
}

__attribute__((noinline)) struct mtrace_live_chunk *live_find_chunk(enum mtrace_family family, uintptr_t address,
								    struct live_near *near)
{
	uint32_t place = live_near_place(address), id = find_chunk(live_root_key(family, address));
	if (!id)
		return NULL;
	/* a thread that is cancelled half way leaves an entry without a key */
	near->entry[place].key = 0;
	atomic_signal_fence(memory_order_seq_cst);
	near->entry[place].chunk = chunk_at(id);
	atomic_signal_fence(memory_order_seq_cst);
	near->entry[place].key = live_near_key(family, address);
	return chunk_at(id);
}

static __attribute__((cold, noinline)) uint32_t make_chunk(uint64_t key)
{
	uint64_t id = segment_reserve(MTRACE_REGION_LIVE_CHUNKS, 1);
	if (id > UINT32_MAX)
		return 0;
	uint32_t at = live_root_place(key);
	for (uint32_t i = 0; i < MTRACE_LIVE_ROOT_ENTRIES; i++) {
		uint64_t entry = 0;
		/* release: the chunk is committed (zero) before it is found (pairs: find_chunk) */
		if (atomic_compare_exchange_strong_explicit(root_at((at + i) & ROOT_MASK), &entry, key << 32 | id,
							    memory_order_release, memory_order_acquire))
			return (uint32_t)id;
		if (entry >> 32 == key)
			return chunk_of(entry);
	}
	return 0;
}

static atomic_word *leaf_of(enum mtrace_family family, uintptr_t address, bool make)
{
	uint64_t key = live_root_key(family, address);
	uint32_t chunk = find_chunk(key);
	if (unlikely(!chunk) && (!make || !(chunk = make_chunk(key))))
		return NULL;
	return &chunk_at(chunk)->leaves[address >> 12 & (MTRACE_LIVE_PAGES_PER_CHUNK - 1)];
}

/* ---- slots ----------------------------------------------------------------------------------------- */

struct slot {
	atomic_word *word;
	uint64_t value;
};

/* The leaf entry behind this one; 0: none. Leaves behind are smaller (L3), so every chain ends, whoever wrote it. */
static uint64_t next_leaf(uint64_t leaf)
{
	uint32_t id = MTRACE_LEAF_NEXT(leaf);
	if (likely(!id))
		return 0;
	if (!segment_id_ok(MTRACE_REGION_LIVE_LEAVES, id, sizeof(uint64_t)))
		return 0;
	uint64_t next = atomic_load_explicit(extra_leaf_at(id), memory_order_relaxed); /* never changes */
	if (likely(MTRACE_LEAF_LINES(next) < MTRACE_LEAF_LINES(leaf)))
		return next;
	segment_damaged();
	return 0;
}

static bool find_in_line(struct mtrace_live_line *line, uint64_t granules, struct slot *found)
{
	for (uint32_t slots = live_of_granule(line, granules); slots; slots &= slots - 1) {
		found->word = &line->word[__builtin_ctz(slots)];
		found->value = atomic_load_explicit(found->word, memory_order_acquire); /* pairs: live_take */
		if (live_is(found->value, granules) && likely(found->value != MTRACE_SLOT_CLOSED))
			return true;
	}
	return false;
}

static atomic_word *empty_in_line(struct mtrace_live_line *line, uint64_t home)
{
	uint32_t slots = live_empty(line);
	return slots ? &line->word[live_choose_slot(line, slots, home)] : NULL;
}

/* The slot of the address, or the first empty one seen on the way (`empty`, may be NULL). Returns whether found. */
static bool find_slot(uint64_t leaf, uintptr_t address, struct slot *found, struct slot *empty)
{
	uint64_t granules = live_granules(address);
	for (; leaf; leaf = next_leaf(leaf)) {
		struct mtrace_live_line *line = live_line(leaf, address);
		if (line == live_no_line())
			return segment_damaged();
		if (find_in_line(line, granules, found))
			return true;
		if (empty && !empty->word)
			empty->word = empty_in_line(line, live_home(live_way_into(leaf, address)));
	}
	return false;
}

__attribute__((noinline)) uint32_t live_look_through(struct mtrace_live_line *line, uintptr_t address)
{
	struct slot found;
	return find_in_line(line, live_granules(address), &found) ? (uint32_t)(found.word - line->word) : MTRACE_LIVE_SLOTS;
}

/* ---- what is behind a line (L7) ---- */

static bool has_no_block(struct mtrace_live_line *line)
{
	for (uint32_t i = 0; i < MTRACE_LIVE_SLOTS; i++) {
		uint64_t word = atomic_load_explicit(&line->word[i], memory_order_relaxed);
		if (word && word != MTRACE_SLOT_CLOSED)
			return false;
	}
	return true;
}

/* false: a block was put there first. Relaxed: nothing is published; that it is closed is all there is to know. */
static bool close_line(struct mtrace_live_line *line)
{
	for (uint32_t i = 0; i < MTRACE_LIVE_SLOTS; i++) {
		uint64_t word = 0;
		if (!atomic_compare_exchange_strong_explicit(&line->word[i], &word, MTRACE_SLOT_CLOSED, memory_order_relaxed,
							     memory_order_relaxed) &&
		    word != MTRACE_SLOT_CLOSED)
			return false;
	}
	return true;
}

/* Is it so of every line behind `leaf` that could have blocks of the leaf's line number `at`? */
static bool is_so_behind(uint64_t leaf, uint32_t at, bool (*is_so)(struct mtrace_live_line *line))
{
	uint32_t lines = MTRACE_LEAF_LINES(leaf);
	uint32_t first = (at * GRANULES + lines - 1) / lines, next = ((at + 1) * GRANULES + lines - 1) / lines;
	while ((leaf = next_leaf(leaf))) {
		struct mtrace_live_line *line = live_line(leaf, first * 8), *last = live_line(leaf, (next - 1) * 8);
		if (line == live_no_line() || last == live_no_line())
			return segment_damaged();
		for (; line <= last; line++)
			if (!is_so(line))
				return false;
	}
	return true;
}

__attribute__((noinline)) bool live_put_before(struct live_place at, uintptr_t address, uint64_t word, uint32_t side)
{
	uint64_t line = (uint64_t)(at.line - line_at(MTRACE_LEAF_LINE(at.leaf)));
	struct slot found;
	if (unlikely(line >= MTRACE_LEAF_LINES(at.leaf))) /* somebody wrote into the segment */
		return false;
	if (is_so_behind(at.leaf, (uint32_t)line, has_no_block) && is_so_behind(at.leaf, (uint32_t)line, close_line))
		atomic_store_explicit(&at.line->mixed, LIVE_BY_LINE, memory_order_relaxed); /* L6 */
	else if (find_slot(next_leaf(at.leaf), address, &found, NULL))
		return false;
	return live_put_anywhere(at, address, word, side);
}

static uint64_t first_leaf(atomic_word *page)
{
	return atomic_load_explicit(page, memory_order_acquire); /* pairs: L3 */
}


/* The side of a slot: lines are aligned to their size. */
static _Atomic uint32_t *side_of(atomic_word *word)
{
	struct mtrace_live_line *line = (void *)((uintptr_t)word & ~(sizeof *line - 1));
	return &line->side[word - line->word];
}

/* How many lines for a page whose first block has this size: as many as blocks of that size need, by glibc's
   rounding (16 bytes, a word of header, 32 at least). */
static uint32_t predict_lines(uint64_t size)
{
	uint64_t stride = size < 24 ? 32 : (size + 8 + 15) & ~15ull;
	uint64_t blocks = stride >= 4096 ? 1 : 4096 / stride + 1;
	return (uint32_t)((blocks + MTRACE_LIVE_SLOTS - 1) / MTRACE_LIVE_SLOTS);
}

/* What pages of this program came to need, in 64ths of a line: a page whose first block is large may be filled by small
   ones, and starting too small costs more than it saves. A hint, so races do not matter. */
static _Atomic uint32_t usual_lines;

static uint32_t first_lines(uint64_t size)
{
	uint32_t usual = atomic_load_explicit(&usual_lines, memory_order_relaxed), predicted = predict_lines(size);
	atomic_store_explicit(&usual_lines, usual - usual / 64, memory_order_relaxed);
	return predicted > usual / 64 ? predicted : usual / 64;
}

static void note_outgrown(uint32_t lines)
{
	uint32_t usual = atomic_load_explicit(&usual_lines, memory_order_relaxed);
	if (lines * 64 > usual)
		atomic_store_explicit(&usual_lines, usual + (lines * 64 - usual) / 16, memory_order_relaxed);
}

/* Gives the page its first leaf, or a larger one in front of those it has: most of its blocks will be there, and it is
   where is looked first. `entry` is what the caller found full: if there is another by now, somebody else has added one,
   which is success (and a page whose leaf has LINES_MOST gets no second one of that size, L3). */
static bool add_leaf(atomic_word *page, uint64_t entry, uint64_t size)
{
	uint64_t behind = 0;
	if (first_leaf(page) != entry)
		return true;
	uint32_t doubled = MTRACE_LEAF_LINES(entry) * 2, lines = entry ? predict_lines(size) : first_lines(size);
	if (entry && lines < doubled)
		lines = doubled < LINES_MOST ? doubled : LINES_MOST;
	if (entry)
		note_outgrown(lines);
	uint64_t first = segment_reserve(MTRACE_REGION_LIVE_LINES, lines);
	if (first > UINT32_MAX)
		return false;
	for (uint32_t i = 0; entry && i < lines; i++)
		atomic_store_explicit(&line_at(first + i)->mixed, LIVE_BY_PAGE, memory_order_relaxed); /* L6 */
	if (entry) {
		behind = segment_reserve(MTRACE_REGION_LIVE_LEAVES, 1);
		if (behind >= 1u << 24)
			return false;
		atomic_store_explicit(extra_leaf_at((uint32_t)behind), entry, memory_order_relaxed);
	}
	/* release: the lines are committed (zero), and the entry behind is written, before they are found */
	atomic_compare_exchange_strong_explicit(page, &entry, behind << 40 | (uint64_t)lines << 32 | first,
						memory_order_release, memory_order_relaxed);
	return true;
}

static bool set_slot(struct slot *slot, uint64_t word, uint32_t side)
{
	if (!atomic_compare_exchange_strong_explicit(slot->word, &slot->value, word, memory_order_acq_rel,
						     memory_order_acquire))
		return false;
	atomic_store_explicit(side_of(slot->word), side, memory_order_relaxed); /* L4 */
	return true;
}

/* ---- verbs ----------------------------------------------------------------------------------------- */

__attribute__((noinline)) enum live_result live_insert(enum mtrace_family family, uintptr_t address,
						       const struct live_block *block, struct live_block *old)
{
	atomic_word *page = leaf_of(family, address, true);
	uint64_t word = make_word(address, block);
	if (!page)
		return LIVE_FULL;
	for (int tries = 0; tries < 64; tries++) { /* each failure is another thread's success, or a leaf more */
		struct slot found, empty = {NULL, 0};
		uint64_t leaf = first_leaf(page);
		if (unlikely(find_slot(leaf, address, &found, &empty))) {
			read_block(huge_key(family, address), found.value,
				   atomic_load_explicit(side_of(found.word), memory_order_relaxed), old);
			bool moved = found.value & MTRACE_SLOT_MOVING;
			huge_replace(huge_key(family, address), old->size, block->size);
			if (set_slot(&found, word, block->side))
				return moved ? LIVE_DONE : LIVE_REPLACED;
		} else if (likely(empty.word)) {
			huge_replace(huge_key(family, address), 0, block->size);
			if (likely(set_slot(&empty, word, block->side)))
				return LIVE_DONE;
		} else if (!add_leaf(page, leaf, block->size)) {
			return LIVE_FULL;
		}
	}
	return LIVE_FULL;
}

__attribute__((noinline)) bool live_remove(enum mtrace_family family, uintptr_t address, struct live_block *old)
{
	atomic_word *page = leaf_of(family, address, false);
	struct slot found;
	if (!page || !find_slot(first_leaf(page), address, &found, NULL))
		return false;
	read_block(huge_key(family, address), found.value, atomic_load_explicit(side_of(found.word), memory_order_relaxed), old);
	if (unlikely(old->size >= MTRACE_SLOT_SIZE_HUGE))
		huge_clear(huge_key(family, address));
	atomic_store_explicit(found.word, 0, memory_order_release); /* L1 */
	return true;
}

/* ---- an address that may be live several times (L5) ---------------------------------------------------------- */

/* An empty slot where the address may stand; NULL: none, or damaged. */
static atomic_word *find_empty(uint64_t leaf, uintptr_t address)
{
	for (; leaf; leaf = next_leaf(leaf)) {
		struct mtrace_live_line *line = live_line(leaf, address);
		if (line == live_no_line())
			return NULL;
		atomic_word *empty = empty_in_line(line, live_home(live_way_into(leaf, address)));
		if (empty)
			return empty;
	}
	return NULL;
}

__attribute__((noinline)) enum live_result live_insert_another(enum mtrace_family family, uintptr_t address,
							       const struct live_block *block)
{
	atomic_word *page = leaf_of(family, address, true);
	struct live_block kept = *block;
	if (kept.size >= MTRACE_SLOT_SIZE_HUGE) /* the huge table has one size for an address */
		kept.size = MTRACE_SLOT_SIZE_HUGE - 1;
	if (kept.size != block->size)
		segment_count(MTRACE_COUNTER_huge_sizes_lost);
	for (int tries = 0; page && tries < 64; tries++) { /* each failure is another thread's success, or a leaf more */
		uint64_t leaf = first_leaf(page);
		struct slot empty = {find_empty(leaf, address), 0};
		if (empty.word && set_slot(&empty, make_word(address, &kept), kept.side))
			return LIVE_DONE;
		if (!empty.word && (MTRACE_LEAF_LINES(leaf) >= LINES_MOST || !add_leaf(page, leaf, kept.size)))
			return LIVE_FULL;
	}
	return LIVE_FULL;
}

/* L5: a look reads one slot after the other, and may miss a block that stands at each instant somewhere: another thread
   puts one where was looked, and takes the one where was not. So only many looks in a row that find nothing are believed,
   each of which would need others to do that again. */
enum { LOOKS_MOST = 256 };

__attribute__((noinline)) bool live_remove_one(enum mtrace_family family, uintptr_t address, struct live_block *old)
{
	atomic_word *page = leaf_of(family, address, false);
	struct slot found;
	for (int looks = 0; page && looks < LOOKS_MOST;) {
		if (!find_slot(first_leaf(page), address, &found, NULL)) {
			looks++;
			continue;
		}
		read_block(huge_key(family, address), found.value,
			   atomic_load_explicit(side_of(found.word), memory_order_relaxed), old);
		/* L5: acquire and release as in set_slot; each failure is another thread's remove */
		if (atomic_compare_exchange_strong_explicit(found.word, &found.value, 0, memory_order_acq_rel, memory_order_relaxed))
			return true;
	}
	return false;
}

/* ---- all of them ------------------------------------------------------------------------------------------- */

struct sweep {
	void (*visit)(enum mtrace_family family, uintptr_t address, const struct live_block *old, void *context);
	void *context;
	uint64_t page; /* family << 61 | address, see huge_key */
};

/* 0: none. */
static uint64_t take_block(atomic_word *slot)
{
	uint64_t word = atomic_load_explicit(slot, memory_order_acquire);
	while (word && word != MTRACE_SLOT_CLOSED) /* L7; each failure is its owner's free or move */
		if (atomic_compare_exchange_weak_explicit(slot, &word, 0, memory_order_acq_rel, memory_order_acquire))
			return word;
	return 0;
}

/* L1 holds but for what live.h says: an exchange finds each block once. */
static void sweep_line(const struct sweep *s, struct mtrace_live_line *line)
{
	for (uint32_t i = 0; i < MTRACE_LIVE_SLOTS; i++) {
		struct live_block old;
		uint64_t word = take_block(&line->word[i]);
		uint64_t key = s->page | (uint64_t)MTRACE_SLOT_GRANULE(word) << 3;
		if (!word)
			continue;
		read_block(key, word, atomic_load_explicit(&line->side[i], memory_order_relaxed), &old);
		if (old.size >= MTRACE_SLOT_SIZE_HUGE)
			huge_clear(key);
		s->visit((enum mtrace_family)(key >> 61), key & ((1ull << 61) - 1), &old, s->context);
	}
}

static void sweep_page(const struct sweep *s, uint64_t leaf)
{
	for (int leaves = 0; leaf && leaves < 64; leaves++, leaf = next_leaf(leaf)) {
		for (uint32_t i = 0; i < MTRACE_LEAF_LINES(leaf); i++) {
			uint64_t line = MTRACE_LEAF_LINE(leaf) + (uint64_t)i;
			if (!segment_id_ok(MTRACE_REGION_LIVE_LINES, line, sizeof(struct mtrace_live_line)))
				return;
			sweep_line(s, line_at(line));
		}
	}
}

void live_remove_all(void (*visit)(enum mtrace_family family, uintptr_t address, const struct live_block *old, void *context),
                     void *context)
{
	atomic_word *roots = (atomic_word *)(void *)segment.base[MTRACE_REGION_LIVE_ROOT];
	for (uint32_t i = 0; i < MTRACE_LIVE_ROOT_ENTRIES; i++) {
		uint64_t root = atomic_load_explicit(&roots[i], memory_order_acquire); /* pairs: L3 */
		uint32_t chunk = (uint32_t)root;
		if (!root || !segment_id_ok(MTRACE_REGION_LIVE_CHUNKS, chunk, sizeof(struct mtrace_live_chunk)))
			continue;
		struct mtrace_live_chunk *c = (struct mtrace_live_chunk *)(void *)segment.base[MTRACE_REGION_LIVE_CHUNKS] + chunk;
		uint64_t family = root >> 55, high = root >> 32 & 0x7fffff;
		for (uint64_t page = 0; page < MTRACE_LIVE_PAGES_PER_CHUNK; page++) {
			struct sweep s = {visit, context, family << 61 | high << 24 | page << 12};
			sweep_page(&s, atomic_load_explicit(&c->leaves[page], memory_order_acquire));
		}
	}
}

/* ---- moves ---------------------------------------------------------------------------------------------- */

static uint32_t side_with_thread(uint32_t side, uint32_t thread)
{
	return (side & 0xffff0000u) | thread;
}

/* The tag first, then the bit: whoever sees the bit and our id sees our move. */
bool live_begin_move(enum mtrace_family family, uintptr_t address, uint32_t thread, struct live_move *move)
{
	atomic_word *page = leaf_of(family, address, false);
	struct slot found;
	if (!page || !find_slot(first_leaf(page), address, &found, NULL))
		return false;
	move->word = found.word;
	move->side = side_of(found.word);
	move->key = huge_key(family, address);
	move->tagged = found.value | MTRACE_SLOT_MOVING;
	move->old_side = atomic_load_explicit(side_of(found.word), memory_order_relaxed);
	read_block(huge_key(family, address), found.value, move->old_side, &move->old);
	atomic_store_explicit(move->side, side_with_thread(move->old_side, thread), memory_order_relaxed);
	atomic_store_explicit(found.word, move->tagged, memory_order_release); /* L1 */
	return true;
}

/* An equal word may be another thread's move of another block at the same address: its side bears that thread. */
static bool still_ours(const struct live_move *move, uint32_t thread)
{
	return MTRACE_SIDE_THREAD(atomic_load_explicit(move->side, memory_order_acquire)) == thread;
}

bool live_move_in_place(const struct live_move *move, const struct live_block *block)
{
	if (unlikely(atomic_load_explicit(move->word, memory_order_relaxed) != move->tagged))
		return false;
	huge_replace(move->key, move->old.size, block->size);
	atomic_store_explicit(move->word, make_word(move->key & 4095, block), memory_order_release); /* L1: it never left us */
	atomic_store_explicit(move->side, block->side, memory_order_relaxed); /* L4 */
	return true;
}

void live_end_move(const struct live_move *move, uint32_t thread)
{
	uint64_t tagged = move->tagged;
	if (!still_ours(move, thread))
		return;
	if (unlikely(move->old.size >= MTRACE_SLOT_SIZE_HUGE))
		huge_clear(move->key);
	atomic_compare_exchange_strong_explicit(move->word, &tagged, 0, memory_order_acq_rel, memory_order_relaxed);
}

void live_cancel_move(const struct live_move *move, uint32_t thread)
{
	uint64_t tagged = move->tagged;
	if (!still_ours(move, thread))
		return;
	atomic_store_explicit(move->side, move->old_side, memory_order_relaxed);
	atomic_compare_exchange_strong_explicit(move->word, &tagged, tagged & ~MTRACE_SLOT_MOVING, memory_order_acq_rel,
						memory_order_relaxed);
}
