/*
 * cuts: which of the program's marks end a window, when a gate said so before it started (options cut, cut_first, cut_last,
 * cut_windows): of a million marks a hundred are kept, at numbers that format.h's mtrace_cut gives, and all others only
 * counted; so marks may come as fast as they like. Without these options every mark is one of its own, as ever.
 *
 * Lock-free, async-signal-safe; one addition a mark. A forked child counts from the start: it does work of its own.
 */
#ifndef MTRACE_CUTS_H
#define MTRACE_CUTS_H

#include <stdint.h>

enum cut {
	CUT_NONE,    /* nobody asked for cuts: a mark like any */
	CUT_HERE,    /* this one is a cut */
	CUT_BETWEEN, /* it has the name, and is none: it is counted */
	CUT_OTHER    /* another name: named, but it ends no window */
};

/* A new segment: no mark was seen yet. */
void cuts_init(void);

/* A mark of that name came. Relaxed: the number is all that threads share here; what they did before their marks is ordered
   by the end of the epoch (epochs.h). */
enum cut cuts_take(const char *name);

#endif
