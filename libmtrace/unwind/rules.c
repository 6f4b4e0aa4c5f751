/* rules: see rules.h. */
#include "unwind/rules.h"

#include <string.h>

#include "plat.h"
#include "unwind/memory.h"

#define GENERATIONS 0x10000u

static struct rules_entry *_Atomic rules_map;
_Atomic uint32_t rules_generation = 1; /* never 0 in the low 16 bits: a wiped entry has generation 0 */
static _Atomic uint32_t rules_victim;  /* which of a full line goes next */

/* Where the pages touched are counted. They are known by a bit each behind the entries: what forgets the entries, in a
   forked child, forgets the bits. */
static _Atomic uint64_t unwanted;
static _Atomic uint64_t *touched_bytes = &unwanted;
enum { MAP_BYTES = RULES_BYTES + RULES_PAGE_BYTES };
_Static_assert(RULES_BYTES / RULES_PAGE_BYTES / 8 <= RULES_PAGE_BYTES, "a page of bits");

void rules_count_bytes(_Atomic uint64_t *bytes)
{
	touched_bytes = bytes;
}

static void note_touched(struct rules_entry *map, const struct rules_entry *entry)
{
	uint64_t page = (uint64_t)((const char *)entry - (const char *)map) / RULES_PAGE_BYTES, bit = 1ull << page % 64;
	_Atomic uint64_t *bits = (_Atomic uint64_t *)(map + RULES_ENTRIES) + page / 64;
	if (atomic_load_explicit(bits, memory_order_relaxed) &
	    bit) /* relaxed, all three: figures, they order nothing */
		return;
	if (!(atomic_fetch_or_explicit(bits, bit, memory_order_relaxed) & bit))
		atomic_fetch_add_explicit(touched_bytes, RULES_PAGE_BYTES, memory_order_relaxed);
}

bool rules_init(void)
{
	if (atomic_load_explicit(&rules_map, memory_order_acquire))
		return true;
	void *map = plat_map_private(MAP_BYTES);
	if (!map)
		return false;
	if (plat_wipe_on_fork(map, MAP_BYTES) < 0) { /* tags of the parent would be wrong in the child */
		plat_unmap(map, MAP_BYTES);
		return false;
	}
	atomic_store_explicit(&rules_map, map, memory_order_release); /* pairs: rules_view */
	return true;
}

struct rules_view rules_view(void)
{
	struct rules_view view;
	view.map = atomic_load_explicit(&rules_map, memory_order_acquire); /* pairs: rules_init */
	view.epoch = rules_epoch();
	view.generation = view.epoch % GENERATIONS;
	return view;
}

static void clear(struct rules_entry *entry)
{
	if (!atomic_load_explicit(&entry->word1, memory_order_relaxed)) /* an untouched page stays untouched */
		return;
	atomic_store_explicit(&entry->word1, 0, memory_order_relaxed); /* R1 */
	atomic_store_explicit(&entry->word0, 0, memory_order_relaxed);
}

static void clear_all(void)
{
	struct rules_entry *map = atomic_load_explicit(&rules_map, memory_order_acquire);
	for (uint32_t i = 0; map && i < RULES_ENTRIES; i++)
		clear(&map[i]);
}

void rules_forget(void)
{
	uint32_t old = atomic_load_explicit(&rules_generation, memory_order_relaxed);
	uint32_t next;
	do {
		next = (old + 1) % GENERATIONS ? old + 1 : old + 2;
		if (next % GENERATIONS < old % GENERATIONS)
			clear_all(); /* R3 */
	} while (!atomic_compare_exchange_weak_explicit(&rules_generation, &old, next, memory_order_acq_rel,
	                                                memory_order_relaxed)); /* R2 */
}

/* ---- entries ---- */

static struct rules_entry *line_of(const struct rules_view *view, uintptr_t pc)
{
	return (struct rules_entry *)((uintptr_t)rules_place(view, pc) &
	                              ~(RULES_WAYS * sizeof(struct rules_entry) - 1));
}

uint64_t rules_find(const struct rules_view *view, uintptr_t pc, uint64_t exact)
{
	struct rules_entry *line = line_of(view, pc);
	for (unsigned way = 0; way < RULES_WAYS; way++) {
		uint64_t word1 = rules_read(&line[way], rules_key(view, pc, exact));
		if (word1)
			return word1;
	}
	return 0;
}

static void write_entry(struct rules_entry *entry, uint64_t key, uint64_t word1)
{
	atomic_store_explicit(&entry->word1, word1, memory_order_relaxed); /* R1 */
	atomic_store_explicit(&entry->word0, key ^ rules_mix(word1), memory_order_relaxed);
}

/* Empty, torn or of another generation: nobody misses it. */
static bool is_vacant(const struct rules_view *view, struct rules_entry *entry)
{
	uint64_t word1 = atomic_load_explicit(&entry->word1, memory_order_relaxed);
	uint64_t key = atomic_load_explicit(&entry->word0, memory_order_relaxed) ^ rules_mix(word1);
	return word1 == 0 || key % GENERATIONS != view->generation;
}

static struct rules_entry *choose_entry(const struct rules_view *view, uintptr_t pc)
{
	struct rules_entry *own = rules_place(view, pc);
	struct rules_entry *line = line_of(view, pc);
	if (is_vacant(view, own))
		return own;
	for (unsigned way = 0; way < RULES_WAYS; way++) {
		if (is_vacant(view, &line[way]))
			return &line[way];
	}
	return &line[atomic_fetch_add_explicit(&rules_victim, 1, memory_order_relaxed) % RULES_WAYS];
}

/* Any key's entry may be overwritten at any time, by us too: R1 makes a lost tag a tag to be set again. */
void rules_set_tag(uintptr_t pc, bool exact, uint32_t tag)
{
	struct rules_view view = rules_view();
	if (!view.map || pc >> ARCH_PC_BITS)
		return;
	struct rules_entry *line = line_of(&view, pc);
	uint64_t key = rules_key(&view, pc, exact);
	for (unsigned way = 0; way < RULES_WAYS; way++) {
		uint64_t word1 = rules_read(&line[way], key);
		if (word1)
			write_entry(&line[way], key, (word1 & ~(uint64_t)UINT32_MAX) | tag);
	}
}

/* ---- code without rules ---- */

static const uintptr_t *bare_low;
static const uintptr_t *_Atomic bare_high; /* release, after bare_low; acquire: is_bare */

void rules_never(const uintptr_t *low, const uintptr_t *high)
{
	bare_low = low;
	atomic_store_explicit(&bare_high, high, memory_order_release);
}

static bool is_bare(uintptr_t pc)
{
	const uintptr_t *high = atomic_load_explicit(&bare_high, memory_order_acquire);
	return high && pc - *bare_low < *high - *bare_low;
}

/* ---- filling ---- */

static bool is_sigreturn(uintptr_t pc)
{
	return plat_readable(pc) && plat_readable(pc + ARCH_SIGRETURN_BYTES - 1) &&
	       memcmp((const void *)pc, sigreturn_code, ARCH_SIGRETURN_BYTES) == 0;
}

static bool find_tables(const struct plat_object *object, struct cfi_tables *tables)
{
	struct cfi_span *header = &tables->header_span, *frames = &tables->frames_span;
	tables->header = object->eh_frame_hdr;
	if (!plat_object_span(object, tables->header, &header->low, &header->high))
		return false;
	return plat_object_span(object, cfi_frames(header, tables->header), &frames->low, &frames->high);
}

static enum cfi_end row_in(const struct plat_object *object, uintptr_t lookup, struct cfi_tables *tables,
                           struct cfi_row *row)
{
	if (!object->eh_frame_hdr)
		return CFI_NOT_COVERED;
	return find_tables(object, tables) ? cfi_row_at(tables, lookup, row) : CFI_BROKEN;
}

enum cfi_end rules_row(uintptr_t pc, bool exact, struct cfi_tables *tables, struct cfi_row *row)
{
	struct plat_object object;
	uintptr_t lookup = exact ? pc : pc - 1;
	if (pc == 0 || pc >> ARCH_PC_BITS || !plat_find_object(lookup, &object))
		return CFI_NOT_COVERED;
	return row_in(&object, lookup, tables, row);
}

/* A function's first instruction that no call returns to: somebody put it on a new stack as its last return address
   (makecontext, coroutine libraries). Without rules for the byte before it, a call there (code without rules that ends in
   a call which never returns) is told by its bytes; what could be a call counts as one. */
static bool is_made_bottom(const struct plat_object *object, uintptr_t pc)
{
	struct cfi_tables tables;
	struct cfi_row row;
	struct cfi_span code = {0, 0};
	if (row_in(object, pc, &tables, &row) != CFI_FOUND || row.function != pc)
		return false;
	return !plat_object_span(object, pc - 1, &code.low, &code.high) || !arch_follows_call(&code, pc);
}

static enum rule_kind kind_without_row(const struct plat_object *object, uintptr_t pc, bool exact, enum cfi_end end)
{
	if (is_sigreturn(pc))
		return RULE_SIGNAL;
	if (end == CFI_NOT_COVERED && !exact && is_made_bottom(object, pc))
		return RULE_OUTERMOST;
	return end == CFI_FOUND ? RULE_FULL : end == CFI_BROKEN ? RULE_BAD : RULE_NONE;
}

static uint32_t rule_in(const struct plat_object *object, uintptr_t pc, bool exact)
{
	struct cfi_tables tables;
	struct cfi_row row;
	enum cfi_end end = row_in(object, exact ? pc : pc - 1, &tables, &row);
	if (end == CFI_FOUND && !row.signal)
		return rule_from_row(&tables, &row);
	return rule_make(kind_without_row(object, pc, exact, end), 0, RULE_NOT_SAVED);
}

static __attribute__((cold, noinline)) uint64_t fetch(const struct rules_view *view, uintptr_t pc, bool exact)
{
	struct plat_object object;
	uint64_t known = rules_find(view, pc, exact);
	if (known)
		return known;
	if (pc < MEMORY_LOWEST || pc >> ARCH_PC_BITS || !plat_find_object(exact ? pc : pc - 1, &object))
		return (uint64_t)rule_make(RULE_NONE, 0, RULE_NOT_SAVED) << 32;
	uint64_t word1 = (uint64_t)rule_in(&object, pc, exact) << 32;
	struct rules_entry *entry = choose_entry(view, pc);
	note_touched(view->map, entry);
	write_entry(entry, rules_key(view, pc, exact), word1);
	return word1;
}

/* What is in no object (JIT code) is not remembered: an object may come there without anybody telling us. */
__attribute__((noinline)) uint64_t rules_fetch(const struct rules_view *view, uintptr_t pc, bool exact)
{
	return is_bare(pc) ? (uint64_t)rule_make(RULE_NONE, 0, RULE_NOT_SAVED) << 32 : fetch(view, pc, exact);
}
