#include "epochs.h"

enum { EPOCH_LAST = 0x7ffffff0, NO_UNIT = 0 };

static uint64_t window_ticks;
static _Atomic uint32_t last_unit;    /* the window that was opened last */
static _Atomic uint64_t last_look;    /* tick */
/* Resident memory, when it was asked for last. Two words without order: one of an instant before beside the other misleads
   nobody, since they are of instants this close. */
static _Atomic uint64_t rss_bytes, rss_ns;
enum { RSS_LEAST_NS = 10000000 }; /* to ask takes some 3 us, and marks may come at every step of a program's work */

static struct mtrace_boundary *boundary_at(uint32_t i)
{
	return (struct mtrace_boundary *)(void *)segment.base[MTRACE_REGION_EPOCHS] + i;
}

bool epochs_init(uint64_t window_ms)
{
	window_ticks = window_ms * MTRACE_TICKS_PER_SECOND / 1000;
	segment.header->epoch_ticks = (uint32_t)window_ticks;
	atomic_store_explicit(&last_unit, 0, memory_order_relaxed);
	atomic_store_explicit(&last_look, 0, memory_order_relaxed);
	atomic_store_explicit(&rss_ns, 0, memory_order_relaxed);
	return segment_ensure(MTRACE_REGION_EPOCHS, MTRACE_BOUNDARIES * sizeof(struct mtrace_boundary));
}

/* ---- one boundary ------------------------------------------------------------------------------------- */

static uint64_t state_of(uint32_t epoch, enum mtrace_boundary_state state)
{
	return (uint64_t)epoch << 2 | state;
}

/* Free, or there and to be given up. acquire: the one who let it go is done with it. */
static bool claim(struct mtrace_boundary *b, uint64_t state)
{
	return MTRACE_BOUNDARY_STATE(state) != MTRACE_BOUNDARY_CLAIMED && MTRACE_BOUNDARY_STATE(state) != MTRACE_BOUNDARY_PENDING &&
	       atomic_compare_exchange_strong_explicit(&b->state, &state, MTRACE_BOUNDARY_CLAIMED, memory_order_acq_rel,
						       memory_order_relaxed);
}

/* The boundary is claimed and filled. In a forked child the word reads zero, and nothing is ended any more. */
static bool end_epoch(struct mtrace_boundary *b)
{
	enum { TRIES = 64 };
	uint64_t now = atomic_load_explicit(&owner_page->generation, memory_order_relaxed);
	for (int i = 0; i < TRIES && guard_process(now) && (uint32_t)now < EPOCH_LAST; i++) {
		atomic_store_explicit(&b->state, state_of((uint32_t)now, MTRACE_BOUNDARY_PENDING), memory_order_release);
		uint64_t seen = now;
		if (atomic_compare_exchange_strong_explicit(&owner_page->generation, &seen, now + 1, memory_order_acq_rel,
							    memory_order_relaxed)) { /* E1, E2; pairs: epochs_now */
			atomic_store_explicit(&b->state, state_of((uint32_t)now, MTRACE_BOUNDARY_THERE),
					      memory_order_release);
			return true;
		}
		now = seen;
	}
	atomic_store_explicit(&b->state, MTRACE_BOUNDARY_FREE, memory_order_release);
	return false;
}

static uint64_t resident_at(uint64_t mono_ns)
{
	uint64_t asked_ns = atomic_load_explicit(&rss_ns, memory_order_relaxed);
	if (asked_ns && mono_ns - asked_ns < RSS_LEAST_NS)
		return atomic_load_explicit(&rss_bytes, memory_order_relaxed);
	uint64_t bytes = plat_resident();
	atomic_store_explicit(&rss_bytes, bytes, memory_order_relaxed);
	atomic_store_explicit(&rss_ns, mono_ns, memory_order_relaxed);
	return bytes;
}

static void fill(struct mtrace_boundary *b, uint64_t mono_ns, uint32_t unit, uint32_t mark)
{
	b->mono_ns = mono_ns;
	b->active_tick = atomic_load_explicit(&last_look, memory_order_relaxed);
	b->unit = unit;
	b->mark = mark;
	b->live_bytes = atomic_load_explicit(&segment.hot->live_bytes, memory_order_relaxed);
	b->peak_bytes = atomic_load_explicit(&segment.hot->peak_bytes, memory_order_relaxed);
	b->rss_bytes = resident_at(mono_ns);
	b->tracker_bytes = atomic_load_explicit(&segment.committed_total, memory_order_relaxed);
}

/* ---- by time ------------------------------------------------------------------------------------------ */

/* While nobody looked, nothing changed: the boundary stands for all of (last, unit], of which the roundest lasts longest. */
static uint32_t roundest(uint32_t last, uint32_t unit)
{
	while ((unit & (unit - 1)) > last)
		unit &= unit - 1;
	return unit;
}

static uint32_t place_of(uint32_t unit)
{
	uint32_t k = (uint32_t)__builtin_ctz(unit);
	k = k < MTRACE_BOUNDARIES_OF_TIME / 8 ? k : MTRACE_BOUNDARIES_OF_TIME / 8 - 1;
	return k * 8 + (uint32_t)((uint64_t)unit >> (k + 1)) % 8;
}

static __attribute__((noinline)) void open_window(uint32_t last, uint32_t unit)
{
	uint32_t round = roundest(last, unit);
	struct mtrace_boundary *b = boundary_at(place_of(round));
	if (!claim(b, atomic_load_explicit(&b->state, memory_order_relaxed)))
		return;
	fill(b, plat_mono_ns(), round, 0);
	end_epoch(b);
}

uint64_t epochs_window_begin(uint64_t tick)
{
	return tick - tick % window_ticks;
}

void epochs_look(uint64_t tick)
{
	uint32_t unit = (uint32_t)(tick / window_ticks), last = atomic_load_explicit(&last_unit, memory_order_relaxed);
	if (unlikely(unit > last) && atomic_compare_exchange_strong_explicit(&last_unit, &last, unit, memory_order_relaxed,
									     memory_order_relaxed))
		open_window(last, unit);
	if (tick > atomic_load_explicit(&last_look, memory_order_relaxed))
		atomic_store_explicit(&last_look, tick, memory_order_relaxed);
}

/* ---- at marks ----------------------------------------------------------------------------------------- */

/* How many of the marks that are there are older; in *count how many are there. */
static uint32_t rank_of(uint64_t state, uint32_t *count)
{
	uint32_t older = 0;
	*count = 0;
	for (uint32_t i = MTRACE_BOUNDARIES_OF_TIME; i < MTRACE_BOUNDARIES; i++) {
		uint64_t other = atomic_load_explicit(&boundary_at(i)->state, memory_order_relaxed);
		if (MTRACE_BOUNDARY_STATE(other) != MTRACE_BOUNDARY_THERE)
			continue;
		older += other < state;
		++*count;
	}
	return older;
}

static _Atomic uint64_t *mark_state(uint32_t i)
{
	return &boundary_at(MTRACE_BOUNDARIES_OF_TIME + i)->state;
}

static bool is_thinned(uint64_t state)
{
	uint32_t count, rank = rank_of(state, &count);
	return MTRACE_BOUNDARY_STATE(state) == MTRACE_BOUNDARY_THERE && rank % 2 && rank < count / 2;
}

/* The first one stays, whatever comes. Chosen first, since ranks change with each that goes; a place that somebody else
   thinned and filled meanwhile has a newer mark than any of those. */
static __attribute__((noinline)) void thin_marks(void)
{
	uint64_t chosen[MTRACE_BOUNDARIES_OF_MARKS / 64] = {0}, newest = 0;
	for (uint32_t i = 0; i < MTRACE_BOUNDARIES_OF_MARKS; i++) {
		uint64_t state = atomic_load_explicit(mark_state(i), memory_order_relaxed);
		if (!is_thinned(state))
			continue;
		chosen[i / 64] |= 1ull << i % 64;
		newest = state > newest ? state : newest;
	}
	for (uint32_t i = 0; i < MTRACE_BOUNDARIES_OF_MARKS; i++) {
		uint64_t state = atomic_load_explicit(mark_state(i), memory_order_relaxed);
		if (chosen[i / 64] >> i % 64 & 1 && MTRACE_BOUNDARY_STATE(state) == MTRACE_BOUNDARY_THERE && state <= newest &&
		    atomic_compare_exchange_strong_explicit(mark_state(i), &state, MTRACE_BOUNDARY_FREE, memory_order_acq_rel,
							    memory_order_relaxed)) /* E3 */
			segment_count(MTRACE_COUNTER_marks_thinned);
	}
}

static struct mtrace_boundary *claim_for_mark(void)
{
	for (uint32_t i = MTRACE_BOUNDARIES_OF_TIME; i < MTRACE_BOUNDARIES; i++)
		if (claim(boundary_at(i), MTRACE_BOUNDARY_FREE))
			return boundary_at(i);
	return NULL;
}

void epochs_end_at_mark(uint32_t mark, uint64_t mono_ns)
{
	struct mtrace_boundary *b = claim_for_mark();
	if (!b) {
		thin_marks();
		b = claim_for_mark();
	}
	if (b)
		fill(b, mono_ns, NO_UNIT, mark);
	if (!b || !end_epoch(b))
		segment_count(MTRACE_COUNTER_drop_marks_counts);
}

/* ---- which are kept -------------------------------------------------------------------------------------- */

void epochs_kept(void (*put)(uint32_t epoch, void *context), void *context)
{
	for (uint32_t i = 0; i < MTRACE_BOUNDARIES; i++) {
		uint64_t state = atomic_load_explicit(&boundary_at(i)->state, memory_order_acquire);
		if (MTRACE_BOUNDARY_STATE(state) >= MTRACE_BOUNDARY_PENDING)
			put(MTRACE_BOUNDARY_EPOCH(state), context);
	}
}
