#include "counts.h"

void counts_flush_live(struct thread_state *self)
{
	int64_t delta = self->live_delta;
	self->live_delta = 0;
	int64_t live = atomic_fetch_add_explicit(&segment.hot->live_bytes, delta, memory_order_relaxed) + delta;
	int64_t peak = atomic_load_explicit(&segment.hot->peak_bytes, memory_order_relaxed);
	while (live > peak && !atomic_compare_exchange_weak_explicit(&segment.hot->peak_bytes, &peak, live,
								     memory_order_relaxed, memory_order_relaxed))
		;
}
