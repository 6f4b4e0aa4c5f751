#include "cuts.h"

#include <stdatomic.h>
#include <string.h>

#include "format.h"
#include "options.h"

static _Atomic uint64_t seen;

void cuts_init(void)
{
	atomic_store_explicit(&seen, 0, memory_order_relaxed);
}

/* Cuts are off their even places by less than half a window: number `n` is one of the two nearest, or none. */
static bool is_cut(uint64_t n)
{
	uint64_t first = options.cut_first, last = options.cut_last, windows = options.cut_windows;
	if (n < first || n > last)
		return false;
	uint64_t near = (n - first) * windows / (last - first);
	for (uint64_t i = near ? near - 1 : 0; i <= near + 1 && i <= windows; i++)
		if (mtrace_cut(first, last, windows, i) == n)
			return true;
	return false;
}

enum cut cuts_take(const char *name)
{
	if (options.cut_last <= options.cut_first || !options.cut_windows)
		return CUT_NONE;
	if (options.cut[0] && strcmp(options.cut, name ? name : "") != 0)
		return CUT_OTHER;
	return is_cut(atomic_fetch_add_explicit(&seen, 1, memory_order_relaxed) + 1) ? CUT_HERE : CUT_BETWEEN;
}
