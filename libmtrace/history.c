#include "history.h"

#include <string.h>

#include "epochs.h"

enum { CLASSES = 8, UNITS_LEAST = 4 }; /* an array has UNITS_LEAST << class units, its head among them */
static_assert((UNITS_LEAST << (CLASSES - 1)) - 1 == MTRACE_PAST_PLACES_MOST, "format.h");
static_assert(MTRACE_BOUNDARIES + 2 < MTRACE_PAST_PLACES_MOST, "what is kept has room");

/* Heads of lists: tag << 32 | unit. The tag changes with every store, so a unit that came back is not taken for the same. */
static _Atomic uint64_t free_lists[CLASSES];

bool history_init(void)
{
	for (int i = 0; i < CLASSES; i++)
		atomic_store_explicit(&free_lists[i], 0, memory_order_relaxed);
	return true;
}

static struct mtrace_past *unit_at(uint32_t id)
{
	return (struct mtrace_past *)(void *)segment.base[MTRACE_REGION_HISTORY] + id;
}

static struct mtrace_past_head *head_at(uint32_t id)
{
	return (struct mtrace_past_head *)(void *)unit_at(id);
}

static uint64_t word_of(uint32_t array, uint32_t epoch)
{
	return (uint64_t)array << 32 | epoch;
}

_Atomic uint64_t *history_word(uint32_t row)
{
	uint64_t end = (row + 1ull) * sizeof(uint64_t);
	if (unlikely(!segment_has(MTRACE_REGION_PASTS, end)) && !segment_ensure(MTRACE_REGION_PASTS, end))
		return NULL;
	return (_Atomic uint64_t *)(void *)segment.base[MTRACE_REGION_PASTS] + row;
}

/* ---- arrays ------------------------------------------------------------------------------------------- */

static uint32_t places_of(unsigned class)
{
	return ((uint32_t)UNITS_LEAST << class) - 1;
}

static unsigned class_for(uint32_t entries)
{
	unsigned class = 0;
	while (class < CLASSES - 1 && places_of(class) < entries)
		class++;
	return class;
}

/* How many places the array has, looked at once, before it is followed; 0: it is none. Whoever writes into the segment
   may change its head after that, so nobody asks it again. */
static uint32_t places_in(uint32_t id)
{
	if (id == 0 || id == MTRACE_PAST_LOST || !segment_id_ok(MTRACE_REGION_HISTORY, id, sizeof(struct mtrace_past)))
		return 0;
	uint32_t places = __atomic_load_n(&head_at(id)->places, __ATOMIC_RELAXED);
	if (places != places_of(class_for(places)))
		return (uint32_t)segment_damaged();
	return segment_id_ok(MTRACE_REGION_HISTORY, (uint64_t)id + places, sizeof(struct mtrace_past)) ? places : 0;
}

/* The head of the list may be somebody else's by the time its `next` is read; then the tag differs. What a list leads to
   has stood in the segment: all of the array must be there. */
static uint32_t take_free(unsigned class)
{
	uint64_t head = atomic_load_explicit(&free_lists[class], memory_order_acquire);
	while ((uint32_t)head) {
		if (!segment_id_ok(MTRACE_REGION_HISTORY, (head & UINT32_MAX) + places_of(class), sizeof(struct mtrace_past)))
			return 0;
		uint64_t rest = ((head >> 32) + 1) << 32 | __atomic_load_n(&head_at((uint32_t)head)->next, __ATOMIC_RELAXED);
		if (atomic_compare_exchange_weak_explicit(&free_lists[class], &head, rest, memory_order_acquire,
							  memory_order_acquire))
			return (uint32_t)head;
	}
	return 0;
}

static void put_free(uint32_t id, unsigned class)
{
	uint64_t head = atomic_load_explicit(&free_lists[class], memory_order_relaxed);
	do
		__atomic_store_n(&head_at(id)->next, (uint32_t)head, __ATOMIC_RELAXED);
	while (!atomic_compare_exchange_weak_explicit(&free_lists[class], &head, ((head >> 32) + 1) << 32 | id,
						      memory_order_release, memory_order_relaxed)); /* pairs: take_free */
}

static uint32_t new_array(unsigned class)
{
	uint64_t id = take_free(class);
	if (!id)
		id = segment_reserve(MTRACE_REGION_HISTORY, places_of(class) + 1);
	if (id >= MTRACE_PAST_LOST)
		return 0;
	head_at((uint32_t)id)->places = places_of(class);
	return (uint32_t)id;
}

void history_give_back(uint64_t before, uint64_t after)
{
	uint32_t id = MTRACE_PAST_ARRAY(before), places = id != MTRACE_PAST_ARRAY(after) ? places_in(id) : 0;
	if (places)
		put_free(id, class_for(places));
}

/* ---- what an array says ---------------------------------------------------------------------------------- */

struct view {
	const struct mtrace_past *entries;
	uint32_t count, places, known_from;
};

static struct view view_of(uint64_t word)
{
	uint32_t id = MTRACE_PAST_ARRAY(word), last = 0;
	struct view v = {.known_from = id == MTRACE_PAST_LOST ? MTRACE_PAST_EPOCH(word) : 0};
	v.places = places_in(id);
	if (!v.places)
		return v;
	v.entries = unit_at(id + 1);
	v.known_from = head_at(id)->known_from;
	while (v.count < v.places && v.entries[v.count].epoch > last && v.entries[v.count].epoch < MTRACE_PAST_EPOCH(word))
		last = v.entries[v.count++].epoch;
	return v;
}

static void end_entries(struct mtrace_past *entries, uint32_t count, uint32_t places)
{
	if (count < places)
		entries[count].epoch = 0;
}

/* ---- leaving out what no boundary needs -------------------------------------------------------------------- */

/* needed: a bit for each entry that a kept boundary falls to. */
struct needs {
	const struct view *view;
	uint64_t bits[(MTRACE_PAST_PLACES_MOST + 64) / 64];
};

/* The last entry that is not after `epoch`. */
static void note_need(uint32_t epoch, void *context)
{
	struct needs *n = context;
	uint32_t low = 0, high = n->view->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (n->view->entries[middle].epoch <= epoch)
			low = middle + 1;
		else
			high = middle;
	}
	if (low)
		n->bits[(low - 1) / 64] |= 1ull << (low - 1) % 64;
}

static bool is_needed(const struct needs *n, uint32_t i)
{
	return n->bits[i / 64] >> i % 64 & 1;
}

/* Boundaries up to the one that ends R - 1 fall to the entries; later ones to what comes behind them, which is kept. */
static void find_needs(struct needs *n, const struct view *v)
{
	memset(n, 0, sizeof *n);
	n->view = v;
	epochs_kept(note_need, n);
}

static uint32_t count_needed(const struct needs *n)
{
	uint32_t count = 0;
	for (size_t i = 0; i < sizeof n->bits / sizeof n->bits[0]; i++)
		count += (uint32_t)__builtin_popcountll(n->bits[i]);
	return count;
}

/* Copies the needed entries from the skip-th on; behind them there is room for one more. Returns how many. */
static uint32_t copy_needed(const struct needs *n, uint32_t skip, struct mtrace_past *to)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < n->view->count; i++) {
		if (!is_needed(n, i))
			continue;
		if (skip)
			skip--;
		else
			to[count++] = n->view->entries[i];
	}
	return count;
}

/* ---- changes -------------------------------------------------------------------------------------------- */

static uint64_t lose(uint32_t epoch)
{
	segment_count(MTRACE_COUNTER_drop_history_full);
	return word_of(MTRACE_PAST_LOST, epoch);
}

uint64_t history_lose(uint64_t word, uint32_t epoch)
{
	return lose(MTRACE_PAST_EPOCH(word) > epoch ? MTRACE_PAST_EPOCH(word) : epoch);
}

static struct mtrace_past ending(const struct mtrace_past *now, uint32_t epoch)
{
	struct mtrace_past entry = *now;
	entry.epoch = epoch;
	return entry;
}

/* A new array, and its class. */
struct room {
	uint32_t id;
	unsigned class;
};

/* As many of the newest needed entries as fit, and the row's totals behind them. */
static uint64_t move_to(const struct room *to, const struct needs *n, const struct mtrace_past *last, uint32_t epoch)
{
	struct mtrace_past *entries = unit_at(to->id + 1);
	uint32_t places = places_of(to->class), needed = count_needed(n);
	uint32_t skip = needed + 1 > places ? needed + 1 - places : 0;
	uint32_t count = copy_needed(n, skip, entries);
	entries[count++] = *last;
	end_entries(entries, count, places);
	head_at(to->id)->known_from = skip ? entries[0].epoch : n->view->known_from;
	if (skip)
		segment_count(MTRACE_COUNTER_drop_history_full);
	return word_of(to->id, epoch);
}

/* A quarter of its room is left free, so that an array is copied seldom. Without room for a large one, a smaller one. */
static __attribute__((noinline)) uint64_t advance_by_copy(const struct view *v, const struct mtrace_past *last, uint32_t epoch)
{
	struct needs n;
	find_needs(&n, v);
	uint32_t needed = count_needed(&n);
	struct room to = {.class = class_for(needed + 1 + needed / 3)};
	while (!(to.id = new_array(to.class)) && to.class)
		to.class--;
	return to.id ? move_to(&to, &n, last, epoch) : lose(epoch);
}

uint64_t history_advance(uint64_t word, const struct mtrace_past *now, uint32_t epoch)
{
	uint32_t was = MTRACE_PAST_EPOCH(word);
	if (was == 0) /* the row's first change, or its first that can be remembered */
		return now->alloc_blocks ? lose(epoch) : word_of(0, epoch);
	struct mtrace_past last = ending(now, was);
	struct view v = view_of(word);
	if (v.count == v.places)
		return advance_by_copy(&v, &last, epoch);
	struct mtrace_past *entries = unit_at(MTRACE_PAST_ARRAY(word) + 1);
	entries[v.count] = last; /* H1: its epoch is not below R yet */
	end_entries(entries, v.count + 1, v.places);
	return word_of(MTRACE_PAST_ARRAY(word), epoch);
}

static void add(struct mtrace_past *to, const struct mtrace_past *change)
{
	to->live_blocks += change->live_blocks;
	to->live_bytes += change->live_bytes;
	to->alloc_blocks += change->alloc_blocks;
	to->alloc_bytes += change->alloc_bytes;
}

/* The entries, with one for `epoch` among them, and the change in that one and all later ones. */
static uint32_t copy_amended(const struct view *v, const struct mtrace_past *change, uint32_t epoch, struct mtrace_past *to)
{
	uint32_t count = 0, i = 0;
	for (; i < v->count && v->entries[i].epoch <= epoch; i++)
		to[count++] = v->entries[i];
	if (count == 0 || to[count - 1].epoch != epoch) {
		to[count] = count ? to[count - 1] : (struct mtrace_past){0};
		to[count++].epoch = epoch;
	}
	add(&to[count - 1], change);
	for (; i < v->count; i++) {
		to[count] = v->entries[i];
		add(&to[count++], change);
	}
	return count;
}

uint64_t history_amend(uint64_t word, const struct mtrace_past *change, uint32_t epoch)
{
	struct view v = view_of(word);
	if (MTRACE_PAST_ARRAY(word) == MTRACE_PAST_LOST)
		return word;
	struct room to = {.class = class_for(v.count + 1)};
	to.id = v.count < MTRACE_PAST_PLACES_MOST ? new_array(to.class) : 0;
	if (!to.id)
		return lose(MTRACE_PAST_EPOCH(word));
	struct mtrace_past *entries = unit_at(to.id + 1);
	uint32_t count = copy_amended(&v, change, epoch, entries);
	end_entries(entries, count, places_of(to.class));
	head_at(to.id)->known_from = v.known_from;
	return word_of(to.id, MTRACE_PAST_EPOCH(word));
}
