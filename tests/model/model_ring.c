/*
 * model_ring: the ring's protocol (libmtrace/ring.h) in every order: a ring of two slots, so that numbers meet in them,
 * two or three writers, one of them killed anywhere, and a reader that copies word by word.
 * RING_SOURCE: the room, or a copy of it with a fault in it.
 */
#include "interleave.h"

#include RING_SOURCE

#include "model_segment.h"

enum { SLOTS = 2, WRITERS_MOST = 3, EACH = 2 };

static uint64_t put_by[WRITERS_MOST], last_state[SLOTS];
static int writers;

static struct mtrace_ring_slot *slot_at(int i)
{
	return (struct mtrace_ring_slot *)(void *)(head() + 1) + i;
}

static uint64_t counter(enum mtrace_counter c)
{
	return atomic_load_explicit(&segment.header->counters[c], memory_order_relaxed);
}

static void reset(void)
{
	ring_init();
	memset(head(), 0, sizeof *head() + SLOTS * sizeof(struct mtrace_ring_slot));
	set_round(SLOTS);
	memset(put_by, 0, sizeof put_by);
	memset(last_state, 0, sizeof last_state);
	atomic_store_explicit(&segment.header->counters[MTRACE_COUNTER_ring_unfinished], 0, memory_order_relaxed);
}

static uint64_t mixed(uint64_t value)
{
	return value * 0x9e3779b97f4a7c15u;
}

static void put(uint32_t lane)
{
	uint64_t n = (uint64_t)lane << 32 | ++put_by[lane];
	ring_put(&(struct ring_record){.kind = MTRACE_RING_mark, .thread = lane, .subject = (uint32_t)n,
				       .value = {n, mixed(n), ~n, n}});
}

static void write_in(uint32_t lane)
{
	for (int i = 0; i < EACH; i++)
		put(lane);
}

static void writer_0(void) { write_in(0); }
static void writer_1(void) { write_in(1); }
static void writer_2(void) { put(2); }

static bool is_whole(uint64_t sequence, const uint64_t word[MTRACE_RING_WORDS])
{
	uint64_t n = word[3];
	return word[4] == mixed(n) && word[5] == ~n && word[6] == n && word[1] >> 32 == n >> 32 && (uint32_t)word[2] == (uint32_t)n &&
	       word[2] >> 32 == mtrace_ring_check(sequence, word);
}

/* N2: states grow; what stands in a slot that is not busy is whole, also for who comes after a kill. */
static void look(void)
{
	for (int i = 0; i < SLOTS; i++) {
		struct mtrace_ring_slot *slot = slot_at(i);
		uint64_t word[MTRACE_RING_WORDS], state = atomic_load_explicit(&slot->state, memory_order_relaxed);
		uint64_t was = last_state[i];
		interleave_require(state >= was || (state | MTRACE_RING_BUSY) == was, "N2: a state only grows");
		last_state[i] = state;
		if (!state || state & MTRACE_RING_BUSY)
			continue;
		for (int k = 0; k < MTRACE_RING_WORDS; k++)
			word[k] = atomic_load_explicit(&slot->word[k], memory_order_relaxed);
		interleave_require(is_whole(MTRACE_RING_SEQUENCE(state), word), "N1: one writer to a slot");
	}
}

/* Word by word, others in between: a copy between two equal looks is one record. */
static void read_slots(void)
{
	for (int i = 0; i < SLOTS; i++) {
		struct mtrace_ring_slot *slot = slot_at(i);
		uint64_t word[MTRACE_RING_WORDS], state = atomic_load_explicit(&slot->state, memory_order_acquire);
		if (!state || state & MTRACE_RING_BUSY)
			continue;
		for (int k = 0; k < MTRACE_RING_WORDS; k++)
			word[k] = atomic_load_explicit(&slot->word[k], memory_order_relaxed);
		if (atomic_load_explicit(&slot->state, memory_order_relaxed) == state)
			interleave_require(is_whole(MTRACE_RING_SEQUENCE(state), word), "N2: a copy is one whole record");
	}
}

/* Who was not killed has put in, or counted, what it had to; the newest record that was finished is there, unless its slot is
   a killed writer's. */
static void finish(void)
{
	int busy = 0, killed = 0;
	for (int i = 0; i < SLOTS; i++)
		busy += (atomic_load_explicit(&slot_at(i)->state, memory_order_relaxed) & MTRACE_RING_BUSY) != 0;
	for (int t = 0; t < writers; t++)
		killed += interleave_was_killed(t);
	interleave_require(busy <= killed, "N3: busy slots are those of killed writers");
	interleave_require(counter(MTRACE_COUNTER_ring_unfinished) == 0 || writers > SLOTS || killed, "a record is lost without need");
}

int main(void)
{
	model_open();
	options.ring = 16384;
	writers = 2;
	interleave_all(&(struct interleave){.name = "ring: two writers, a reader", .reset = reset, .look = look, .finish = finish,
					    .thread = {writer_0, writer_1, read_slots}, .preemptions = interleave_more() ? 3 : 2});
	interleave_all(&(struct interleave){.name = "ring: two writers, one killed", .reset = reset, .look = look, .finish = finish,
					    .thread = {writer_0, writer_1}, .killable = {true, true}, .preemptions = interleave_more() ? 3 : 2, .kills = 1});
	writers = 3;
	interleave_all(&(struct interleave){.name = "ring: three writers", .reset = reset, .look = look, .finish = finish,
					    .thread = {writer_0, writer_1, writer_2}, .preemptions = 2});
	return 0;
}
