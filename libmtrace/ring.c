#include "ring.h"

#include <string.h>

#include "options.h"
#include "segment.h"

/* Ours, not the segment's: nobody else's hand leads us out of what is committed. All of a new process's. */
static struct {
	_Atomic uint64_t next;
	_Atomic uint64_t slots;        /* in a round; only shrinks. 0: no ring */
	_Atomic uint64_t sample_tick;  /* when the next one is due */
	_Atomic uint64_t told_near, told_full, told_drops; /* bits by region and by counter; bit MTRACE_REGION_COUNT: memory= */
	_Atomic uint64_t spent[MTRACE_RING_COUNT]; /* second << 16 | records of the kind in it */
} ring;

static const uint16_t per_second[MTRACE_RING_COUNT] = {
#define X(kind, per_second, subject, text, a, b, c, d) [MTRACE_RING_##kind] = per_second,
#include "ring.def"
#undef X
};

enum { LEAST_BYTES = 16 << 10, MEMORY_SHARE = 16 }; /* never more than 1/16 of memory= */

static struct mtrace_ring_head *head(void)
{
	return (struct mtrace_ring_head *)(void *)segment.base[MTRACE_REGION_RING];
}

static void set_round(uint64_t slots)
{
	atomic_store_explicit(&head()->slots, slots, memory_order_relaxed); /* readers' idea of what is lost, no more */
	atomic_store_explicit(&ring.slots, slots, memory_order_relaxed);
}

void ring_init(void)
{
	uint64_t bytes = options.ring, most = segment.cap_bytes / MEMORY_SHARE;
	bytes = bytes < most ? bytes : most;
	bytes = bytes < LEAST_BYTES ? LEAST_BYTES : bytes;
	memset(&ring, 0, sizeof ring);
	atomic_store_explicit(&ring.sample_tick, MTRACE_TICKS_PER_SECOND, memory_order_relaxed);
	if (segment_ensure(MTRACE_REGION_RING, LEAST_BYTES))
		set_round(bytes / sizeof(struct mtrace_ring_slot) - 1);
}

/* ---- one record -------------------------------------------------------------------------------------- */

/* The round becomes what is there. Records that lie elsewhere by the longer round are told apart by their numbers. */
static __attribute__((cold)) uint64_t shrink_round(void)
{
	uint64_t committed = atomic_load_explicit(&segment.committed[MTRACE_REGION_RING], memory_order_acquire);
	uint64_t slots = committed / sizeof(struct mtrace_ring_slot);
	slots = slots > 1 ? slots - 1 : 0;
	set_round(slots);
	return slots;
}

static bool is_there(uint64_t index)
{
	uint64_t end = (index + 2) * sizeof(struct mtrace_ring_slot);
	return segment_has(MTRACE_REGION_RING, end) || segment_ensure(MTRACE_REGION_RING, end);
}

/* NULL: there is no ring. */
static struct mtrace_ring_slot *slot_of(uint64_t sequence)
{
	uint64_t slots = atomic_load_explicit(&ring.slots, memory_order_relaxed);
	if (slots && !is_there(sequence % slots))
		slots = shrink_round();
	return slots ? (struct mtrace_ring_slot *)(void *)(head() + 1) + sequence % slots : NULL;
}

/* Readers' number first: it is never below what is in the slots. */
static uint64_t take_number(void)
{
	atomic_fetch_add_explicit(&head()->next, 1, memory_order_relaxed);
	return atomic_fetch_add_explicit(&ring.next, 1, memory_order_relaxed);
}

/* N1. acquire pairs with the commit of the record that was there. */
static bool make_busy(struct mtrace_ring_slot *slot, uint64_t sequence)
{
	uint64_t was = atomic_load_explicit(&slot->state, memory_order_relaxed);
	uint64_t ours = MTRACE_RING_STATE(sequence) | MTRACE_RING_BUSY;
	return !(was & MTRACE_RING_BUSY) && was < ours &&
	       atomic_compare_exchange_strong_explicit(&slot->state, &was, ours, memory_order_acquire, memory_order_relaxed);
}

static void fill(struct mtrace_ring_slot *slot, uint64_t sequence, const uint64_t word[MTRACE_RING_WORDS])
{
	uint64_t check = mtrace_ring_check(sequence, word);
	atomic_thread_fence(memory_order_release); /* busy before any word: pairs with a reader's second look */
	for (int i = 0; i < MTRACE_RING_WORDS; i++)
		atomic_store_explicit(&slot->word[i], i == 2 ? word[i] | check << 32 : word[i], memory_order_relaxed);
	atomic_store_explicit(&slot->state, MTRACE_RING_STATE(sequence), memory_order_release); /* commit */
}

static bool append(const uint64_t word[MTRACE_RING_WORDS])
{
	if (!atomic_load_explicit(&ring.slots, memory_order_relaxed))
		return false;
	for (int tries = 0; tries < RING_TRIES; tries++) {
		uint64_t sequence = take_number();
		struct mtrace_ring_slot *slot = slot_of(sequence);
		if (!slot)
			return false;
		if (likely(make_busy(slot, sequence))) {
			fill(slot, sequence, word);
			return true;
		}
	}
	return false;
}

/* ---- not too many ------------------------------------------------------------------------------------ */

/* Two threads that begin a second at once may both be the first: the bound is one of news, not of memory. */
static bool is_allowed(enum mtrace_ring_kind kind, uint64_t time_ns)
{
	uint64_t second = time_ns / 1000000000u, spent;
	if (!per_second[kind])
		return true;
	spent = atomic_load_explicit(&ring.spent[kind], memory_order_relaxed);
	if (spent >> 16 != second) {
		atomic_store_explicit(&ring.spent[kind], second << 16 | 1, memory_order_relaxed);
		return true;
	}
	if ((spent & 0xffff) >= per_second[kind])
		return false;
	atomic_fetch_add_explicit(&ring.spent[kind], 1, memory_order_relaxed);
	return true;
}

static uint64_t since_start_ns(void)
{
	uint64_t now = plat_mono_ns(), start = segment.header->mono_start_ns;
	return now > start ? now - start : 0;
}

void ring_put(const struct ring_record *r)
{
	uint64_t now = since_start_ns();
	uint64_t word[MTRACE_RING_WORDS] = {now, (uint64_t)r->kind | (uint64_t)r->thread << 32, r->subject,
					    r->value[0], r->value[1], r->value[2], r->value[3]};
	if (!is_allowed(r->kind, now))
		segment_count(MTRACE_COUNTER_ring_held_back);
	else if (!append(word))
		segment_count(MTRACE_COUNTER_ring_unfinished);
}

void ring_text(uint64_t value[2], const char *name)
{
	char text[16] = {0};
	memcpy(text, name, strnlen(name, sizeof text - 1));
	memcpy(value, text, sizeof text);
}

void ring_put_grow(uint32_t row, uint64_t was, uint64_t now)
{
	uint64_t power = ring_power_crossed(was, now);
	if (power)
		ring_put(&(struct ring_record){.kind = MTRACE_RING_grow, .subject = row, .value = {now, power}});
}

/* ---- what the process is like --------------------------------------------------------------------------- */

/* true for the one who says it first. */
static bool is_first_to_tell(_Atomic uint64_t *told, unsigned bit)
{
	uint64_t mask = 1ull << bit;
	return !(atomic_load_explicit(told, memory_order_relaxed) & mask) &&
	       !(atomic_fetch_or_explicit(told, mask, memory_order_relaxed) & mask);
}

static bool is_nearly(uint64_t used, uint64_t most)
{
	return most && used >= most - most / 8;
}

/* Of tables with fixed places `used` says nothing; the ring itself makes do with what it has. */
static void watch_table(uint32_t thread, enum mtrace_region_id region)
{
	const struct mtrace_region *r = &segment.header->regions[region];
	uint64_t used = atomic_load_explicit(&segment.used[region], memory_order_relaxed) * r->element_bytes;
	bool is_full = atomic_load_explicit(&segment.full[region], memory_order_relaxed);
	struct ring_record record = {.thread = thread, .value = {region, used, r->reserved_bytes}};
	if (is_full && is_first_to_tell(&ring.told_full, region)) {
		record.kind = MTRACE_RING_table_full;
		ring_put(&record);
	} else if (!is_full && is_nearly(used, r->reserved_bytes) && is_first_to_tell(&ring.told_near, region)) {
		record.kind = MTRACE_RING_table_near_full;
		ring_put(&record);
	}
}

static void watch_memory(uint32_t thread)
{
	uint64_t used = atomic_load_explicit(&segment.committed_total, memory_order_relaxed);
	if (is_nearly(used, segment.cap_bytes) && is_first_to_tell(&ring.told_near, MTRACE_REGION_COUNT))
		ring_put(&(struct ring_record){.kind = MTRACE_RING_memory_near_full, .thread = thread,
					       .value = {used, segment.cap_bytes}});
}

static void watch_drops(uint32_t thread)
{
	static const char *const names[] = {
#define X(name, help) #name,
#include "counters.def"
#undef X
	};
	static_assert(sizeof names / sizeof names[0] <= 64, "one bit each");
	for (unsigned i = 0; i < MTRACE_COUNTER_COUNT; i++) {
		uint64_t count = atomic_load_explicit(&segment.header->counters[i], memory_order_relaxed);
		if (count && !strncmp(names[i], "drop_", 5) && is_first_to_tell(&ring.told_drops, i))
			ring_put(&(struct ring_record){.kind = MTRACE_RING_drops_begin, .thread = thread, .value = {i, count}});
	}
}

void ring_watch_now(uint32_t thread, uint64_t tick)
{
	int64_t live = atomic_load_explicit(&segment.hot->live_bytes, memory_order_relaxed);
	int64_t peak = atomic_load_explicit(&segment.hot->peak_bytes, memory_order_relaxed);
	uint64_t tracker = atomic_load_explicit(&segment.committed_total, memory_order_relaxed);
	uint64_t threads = atomic_load_explicit(&segment.used[MTRACE_REGION_THREADS], memory_order_relaxed);
	atomic_store_explicit(&ring.sample_tick, tick + MTRACE_TICKS_PER_SECOND, memory_order_relaxed);
	ring_put(&(struct ring_record){.kind = MTRACE_RING_sample, .thread = thread,
				       .value = {live > 0 ? (uint64_t)live : 0, peak > 0 ? (uint64_t)peak : 0, tracker, threads - 1}});
	for (int region = 0; region < MTRACE_REGION_RING; region++)
		watch_table(thread, (enum mtrace_region_id)region);
	watch_memory(thread);
	watch_drops(thread);
}

/* The compare-and-swap chooses one of the threads that see the same tick. */
void ring_watch(uint32_t thread, uint64_t tick)
{
	uint64_t due = atomic_load_explicit(&ring.sample_tick, memory_order_relaxed);
	if (likely(tick < due) ||
	    !atomic_compare_exchange_strong_explicit(&ring.sample_tick, &due, tick + MTRACE_TICKS_PER_SECOND,
						     memory_order_relaxed, memory_order_relaxed))
		return;
	ring_watch_now(thread, tick);
}
