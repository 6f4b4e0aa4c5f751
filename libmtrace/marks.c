#include "marks.h"

#include <string.h>

#include "cuts.h"
#include "epochs.h"
#include "segment.h"

uint32_t marks_add(const char *name, uint32_t flags)
{
	enum cut cut = flags ? CUT_OTHER : cuts_take(name); /* what asks for a recording is no step of the work */
	if (cut == CUT_BETWEEN) {
		segment_count(MTRACE_COUNTER_marks_between);
		return MARKS_BETWEEN;
	}
	uint64_t id = segment_reserve(MTRACE_REGION_MARKS, 1);
	if (id > UINT32_MAX) {
		segment_count(MTRACE_COUNTER_drop_marks_full);
		return 0;
	}
	struct mtrace_mark *m = (struct mtrace_mark *)(void *)segment.base[MTRACE_REGION_MARKS] + id;
	m->mono_ns = plat_mono_ns();
	m->flags = flags;
	strncpy(m->name, name ? name : "", sizeof m->name - 1); /* the region is zero: always terminated */
	atomic_store_explicit(&m->ready, 1, memory_order_release); /* pairs: readers */
	if (cut != CUT_OTHER)
		epochs_end_at_mark((uint32_t)id, m->mono_ns);
	return (uint32_t)id;
}
