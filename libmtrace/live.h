/*
 * live: every live block, found by its address: (family, address) -> (row, size, birth, thread).
 *
 * Shape: see format.h. Blocks that lie side by side in memory lie side by side here, so the table follows the
 * allocator's own locality: a lookup is the root entry (hot), the page's leaf entry, and one cache line. A page's
 * first block predicts how many the page will hold and sizes its leaf; a page that holds more gets another, larger leaf
 * in front of it, up to 128 lines, which never overflow.
 *
 * Invariants
 *   L1 a slot word is 0 (empty), a whole block, or closed (L7). An empty one is taken, and a full one replaced or a move
 *      ended, by compare-and-swap; a full one is cleared or tagged by a plain store of who frees or reallocates the block: it
 *      is nobody else's until the real allocator has it back, and no insert takes a slot that is full.
 *   L2 an address has at most one slot with its granule on its page's chain of leaves (allocators hand an address out
 *      once; a second insert finds the first one's slot and replaces it).
 *   L3 root entries go from 0 to a value once. A page's leaf entry goes from 0 to its first leaf, and from a leaf to a
 *      larger one whose `next` is the entry it takes the place of; entries behind others never change.
 *   L4 birth and thread follow the word; they may be the slot's former ones until the inserting hook returns.
 *   L6 a line says how far a block of its may be from its home slot (enum live_mixed): in another slot of the line, which is
 *      said before the block is there, or in a smaller leaf, which a leaf's lines say from before it is found until what is
 *      behind them is closed (L7). So in a line of neither one look tells whether a block is there. Who looks for a block of
 *      its own sees what was said when it was put in, by the order that brought it the address.
 *   L7 a slot of a leaf that has another one in front of it may be closed: when it is empty, by compare-and-swap, for good. So
 *      of a line behind which all slots that could have its blocks are closed, no block is there, or will be.
 *   L5 where an address may be live several times (the family JNI_BUFFER), L2 does not hold, slots are cleared by
 *      compare-and-swap, too, and such an address is never replaced or moved: each success of a remove is one insert's.
 * After kill -9: all of them; a leaf that was reserved but not linked is lost memory, nothing else.
 *
 *   op x op      insert   remove   begin/end/cancel_move
 *   insert         ok       ok       ok   (an insert over a moving block replaces it: the block had moved)
 *   remove         ok       host's bug (double free): one of them finds nothing
 *   *_move         ok       host's bug; a move ends only what still bears the mover's own tag
 *   insert_another and remove_one: ok with each other, and never on a family of the others
 *
 * Lock-free, async-signal-safe, O(1). Bound: about 15 bytes a block for small ones, 64 bytes a page at least; the
 * segment's cap; when full the insert says so and the block is counted per stack only.
 */
#ifndef MTRACE_LIVE_H
#define MTRACE_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format.h"
#include "segment.h"

struct live_block {
	uint32_t row;
	uint32_t side; /* birth, in its 16-bit form, and thread: live_side */
	uint64_t size;
};

static inline uint32_t live_side(uint32_t birth, uint32_t thread)
{
	return birth << 16 | thread;
}

enum live_result {
	LIVE_DONE,
	LIVE_REPLACED, /* another block was there: its free was missed; it is in *old */
	LIVE_FULL
};

bool live_init(void);

enum live_result live_insert(enum mtrace_family family, uintptr_t address, const struct live_block *block,
                             struct live_block *old);

/* Removes every block, when recording goes on after a pause, and calls visit for each. Who still has an event of before the
   pause under way may find its block gone (it counts an unknown free), or count its free a second time. */
void live_remove_all(void (*visit)(enum mtrace_family family, uintptr_t address, const struct live_block *old, void *context),
                     void *context);

/* false: no such block. */
bool live_remove(enum mtrace_family family, uintptr_t address, struct live_block *old);

/* The same where an address may be live several times at once (L5): the insert replaces nothing, the remove takes any one of
   them. LIVE_FULL also when there are more at one address than its page has room for: some 20. */
enum live_result live_insert_another(enum mtrace_family family, uintptr_t address, const struct live_block *block);
bool live_remove_one(enum mtrace_family family, uintptr_t address, struct live_block *old);

/* ---- the common case, in line: the page has a leaf, the block's line has room, the block was not there ---- */

static inline uint32_t live_granule(uintptr_t address)
{
	return (uint32_t)(address & 4095) >> 3;
}

static inline uint64_t live_root_key(enum mtrace_family family, uintptr_t address)
{
	return (uint64_t)family << 23 | (address >> 24 & 0x7fffff);
}

/* Fibonacci hashing (Knuth, 6.4): neighbouring 16 MiB do not meet. */
static inline uint32_t live_root_place(uint64_t key)
{
	return (uint32_t)(key * 0x9e3779b97f4a7c15u >> (64 - MTRACE_LIVE_ROOT_BITS));
}

/* The chunks that one thread met last: private to it, and true for ever, since chunks stay where they are (L3). */
enum { LIVE_NEAR_BITS = 4 };
struct live_near {
	struct {
		uint64_t key; /* live_near_key */
		struct mtrace_live_chunk *chunk;
	} entry[1 << LIVE_NEAR_BITS];
};

/* Never 0. All bits of the address: the program may free what it likes. */
static inline uint64_t live_near_key(enum mtrace_family family, uintptr_t address)
{
	return address >> 24 | (family + 1ull) << 40;
}

/* As live_root_place: the arenas of glibc begin at multiples of 64 MiB. */
static inline uint32_t live_near_place(uintptr_t address)
{
	return (uint32_t)(address >> 24) * 0x9e3779b9u >> (32 - LIVE_NEAR_BITS);
}

/* The chunk of an address, NULL none. Remembered in `near`. */
struct mtrace_live_chunk *live_find_chunk(enum mtrace_family family, uintptr_t address, struct live_near *near);

/* The same of a chunk that is remembered; 0: it is not, or there is none. */
static inline uint64_t live_leaf_remembered(enum mtrace_family family, uintptr_t address, const struct live_near *near)
{
	uint32_t place = live_near_place(address);
	if (unlikely(near->entry[place].key != live_near_key(family, address)))
		return 0;
	return atomic_load_explicit(&near->entry[place].chunk->leaves[address >> 12 & (MTRACE_LIVE_PAGES_PER_CHUNK - 1)],
				    memory_order_acquire); /* pairs: L3 */
}

/* The page's leaf entry; 0: there is none. */
static inline uint64_t live_first_leaf(enum mtrace_family family, uintptr_t address, struct live_near *near)
{
	if (unlikely(near->entry[live_near_place(address)].key != live_near_key(family, address)) &&
	    !live_find_chunk(family, address, near))
		return 0;
	return live_leaf_remembered(family, address, near);
}

/* Line 0, in which no block is found and none is put: every slot is closed. */
static inline struct mtrace_live_line *live_no_line(void)
{
	return (struct mtrace_live_line *)(void *)segment.base[MTRACE_REGION_LIVE_LINES];
}

/* A block's place in a leaf: the line, above SHIFT, and how far into what the line is for, in 4096ths. In bytes, not granules:
   that is an instruction less. */
enum { LIVE_PLACE_SHIFT = 12 };
static inline uint64_t live_way_into(uint64_t leaf, uintptr_t address)
{
	return (address & 4088) * MTRACE_LEAF_LINES(leaf);
}

/* live_no_line: there is no leaf (entry 0), or the entry is damaged. */
static inline struct mtrace_live_line *live_line_at(uint64_t leaf, uint64_t way)
{
	uint64_t offset = (MTRACE_LEAF_LINE(leaf) + (way >> LIVE_PLACE_SHIFT)) * sizeof(struct mtrace_live_line);
	if (unlikely(!segment_has_begun(MTRACE_REGION_LIVE_LINES, offset))) /* commits are whole pages */
		offset = 0;
	return (struct mtrace_live_line *)(void *)(segment.base[MTRACE_REGION_LIVE_LINES] + offset);
}

static inline struct mtrace_live_line *live_line(uint64_t leaf, uintptr_t address)
{
	return live_line_at(leaf, live_way_into(leaf, address));
}

/* The slot of its line that a block has to itself where blocks are as far apart as its leaf expects (L6). */
static inline uint64_t live_home(uint64_t way)
{
	return (way & ((1u << LIVE_PLACE_SHIFT) - 1)) * MTRACE_LIVE_SLOTS >> LIVE_PLACE_SHIFT;
}

/* Which slots of a line are empty, and which have blocks of a granule: bit i is slot i's. Hints: a slot's word is read, or
   exchanged, again by who believes them, and an empty one passes for one of granule 0. Where a block stands in its line is
   chance: no branch depends on it, and four instructions are what a slot costs. */
#define LIVE_GRANULE_OF(slot) /* the carry is: does it agree in the bits from SHIFT upwards? */                          \
	"mov %[granules], %[word]\n\txor " slot "(%[line]), %[word]\n\tcmp %[limit], %[word]\n\tadc %[found], %[found]\n\t"
#define LIVE_EMPTY(slot) "cmpq $1, " slot "(%[line])\n\tadc %[empty], %[empty]\n\t"
#define LIVE_EVERY_SLOT(do_) do_("32") do_("24") do_("16") do_("8") do_("0")

static inline __attribute__((always_inline)) uint32_t live_of_granule(const struct mtrace_live_line *line, uint64_t granules)
{
	uint32_t found = 0;
	uint64_t word;
	__asm__(LIVE_EVERY_SLOT(LIVE_GRANULE_OF)
		: [found] "+&r"(found), [word] "=&r"(word)
		: [line] "r"(line), "m"(line->word), [granules] "r"(granules), [limit] "r"(1ull << MTRACE_SLOT_GRANULE_SHIFT)
		: "cc");
	return found;
}

static inline __attribute__((always_inline)) uint32_t live_empty(const struct mtrace_live_line *line)
{
	uint32_t empty = 0;
	__asm__(LIVE_EVERY_SLOT(LIVE_EMPTY) : [empty] "+&r"(empty) : [line] "r"(line), "m"(line->word) : "cc");
	return empty;
}
_Static_assert(MTRACE_LIVE_SLOTS == 5 && offsetof(struct mtrace_live_line, word) == 0, "LIVE_EVERY_SLOT");

/* A granule where a word has it. */
static inline uint64_t live_granules(uintptr_t address)
{
	return (uint64_t)(address & 4088) << (MTRACE_SLOT_GRANULE_SHIFT - 3);
}

/* Never 0 and never the granule alone: a block has a row. */
static inline bool live_is(uint64_t word, uint64_t granules)
{
	return (word ^ granules) < 1ull << MTRACE_SLOT_GRANULE_SHIFT && likely(word);
}

static inline uint64_t live_word(uintptr_t address, uint32_t row, uint64_t size)
{
	return live_granules(address) | size << MTRACE_SLOT_ROW_BITS | row;
}

/* Where a block's first look goes. */
struct live_place {
	uint64_t leaf;
	struct mtrace_live_line *line;
	uint64_t home;
};

static inline struct live_place live_place_in(uint64_t leaf, uintptr_t address)
{
	uint64_t way = live_way_into(leaf, address);
	return (struct live_place){leaf, live_line_at(leaf, way), live_home(way)};
}

static inline struct live_place live_find(enum mtrace_family family, uintptr_t address, struct live_near *near)
{
	return live_place_in(live_first_leaf(family, address, near), address);
}

static inline bool live_take(struct mtrace_live_line *line, uint64_t i, uint64_t word, uint32_t side)
{
	uint64_t vacant = 0;
	if (unlikely(!atomic_compare_exchange_strong_explicit(&line->word[i], &vacant, word, memory_order_release,
							      memory_order_relaxed)))
		return false;
	atomic_store_explicit(&line->side[i], side, memory_order_relaxed); /* L4 */
	return true;
}

/* How much must be looked through for a block (L6). */
enum live_mixed {
	LIVE_BY_HOME = 0, /* its home */
	LIVE_BY_LINE = 1, /* the line */
	LIVE_BY_PAGE = 2  /* that, and the leaves behind the line's */
};

static inline uint32_t live_mixed(struct mtrace_live_line *line)
{
	return atomic_load_explicit(&line->mixed, memory_order_relaxed); /* L6 */
}

/* The two that the usual event begins with (usual.h): by one look, calling nothing, a block of less than 256 MiB that stands
   in its home, or will, in a line that is LIVE_BY_HOME. false: nothing was done. */
static inline __attribute__((always_inline)) bool live_put_home(struct live_place at, uint64_t word, uint32_t side)
{
	return live_take(at.line, at.home, word, side);
}

static inline void live_read_slot(struct live_place at, uint64_t word, struct live_block *old)
{
	old->row = MTRACE_SLOT_ROW(word);
	old->size = MTRACE_SLOT_SIZE(word);
	old->side = atomic_load_explicit(&at.line->side[at.home], memory_order_relaxed); /* L4 */
}

static inline __attribute__((always_inline)) bool live_drop_home(struct live_place at, uintptr_t address, struct live_block *old)
{
	uint64_t word = atomic_load_explicit(&at.line->word[at.home], memory_order_acquire); /* pairs: live_take */
	if (unlikely(!live_is(word, live_granules(address))))
		return false;
	live_read_slot(at, word, old);
	if (unlikely(old->size == MTRACE_SLOT_SIZE_HUGE))
		return false;
	atomic_store_explicit(&at.line->word[at.home], 0, memory_order_release); /* L1 */
	return true;
}

/* Its home, if that is empty; else another, which the line says from now on (L6): before the block is put in. */
static inline uint64_t live_choose_slot(struct mtrace_live_line *line, uint32_t empty, uint64_t home)
{
	if (empty & 1u << home)
		return home;
	if (live_mixed(line) == LIVE_BY_HOME)
		atomic_store_explicit(&line->mixed, LIVE_BY_LINE, memory_order_relaxed);
	return (uint64_t)__builtin_ctz(empty);
}

/* In a line that is LIVE_BY_LINE: any slot that is empty, unless the block is there. false: nothing was done. */
static inline bool live_put_anywhere(struct live_place at, uintptr_t address, uint64_t word, uint32_t side)
{
	uint32_t empty = live_empty(at.line), found = live_of_granule(at.line, live_granules(address));
	if (unlikely(!empty) || (unlikely(found) && (live_granule(address) || found & ~empty)))
		return false;
	return live_take(at.line, live_choose_slot(at.line, empty, at.home), word, side);
}

/* The same in a line that is LIVE_BY_PAGE, unless the block is behind it. Once nothing is, it is LIVE_BY_LINE (L7). */
bool live_put_before(struct live_place at, uintptr_t address, uint64_t word, uint32_t side);

/* Puts a new block where there is nothing in its way. false: nothing was done, live_insert knows better. `at` is what
   live_find said: leaves that came in front of it since have no slot of this address. */
static inline __attribute__((always_inline)) bool live_put(struct live_place at, uintptr_t address, uint32_t row,
							   uint32_t side, uint64_t size)
{
	uint32_t mixed = live_mixed(at.line);
	if (unlikely(size >= MTRACE_SLOT_SIZE_HUGE))
		return false;
	if (mixed == LIVE_BY_HOME)
		return live_put_home(at, live_word(address, row, size), side);
	return likely(mixed == LIVE_BY_LINE) ? live_put_anywhere(at, address, live_word(address, row, size), side)
					     : live_put_before(at, address, live_word(address, row, size), side);
}

/* The slot of a block in its line, MTRACE_LIVE_SLOTS: none. */
uint32_t live_look_through(struct mtrace_live_line *line, uintptr_t address);

/* Takes a block out of the line where most are. false: it is not there, live_remove knows better. */
static inline __attribute__((always_inline)) bool live_drop(struct live_place at, uintptr_t address, struct live_block *old)
{
	if (live_drop_home(at, address, old))
		return true;
	if (unlikely(live_mixed(at.line) == LIVE_BY_HOME))
		return false;
	at.home = live_look_through(at.line, address);
	return at.home != MTRACE_LIVE_SLOTS && live_drop_home(at, address, old);
}

/* A block that is being reallocated stays live at its old address and size until the outcome is known. The tag is
   the mover's thread id in the slot's thread field. */
struct live_move {
	_Atomic uint64_t *word;
	_Atomic uint32_t *side;
	uint64_t tagged;   /* the word with the moving bit */
	uint64_t key;      /* family and old address, as the huge table has it */
	uint32_t old_side;
	struct live_block old;
};

bool live_begin_move(enum mtrace_family family, uintptr_t address, uint32_t thread, struct live_move *move);
/* It stayed at its address with another size, stack, birth. false: the entry is not the one that was tagged. */
bool live_move_in_place(const struct live_move *move, const struct live_block *block);
/* It is gone from its old address: the entry goes, unless somebody else's block is there by now. */
void live_end_move(const struct live_move *move, uint32_t thread);
/* The reallocation failed: as before. */
void live_cancel_move(const struct live_move *move, uint32_t thread);

#endif
