/*
 * windows: when an observed process is looked at: for so long, in equal windows; at each line of standard input; or at
 * each mark of one name. Ends earlier when the process ends, or on SIGINT: what was seen until then counts.
 */
#ifndef MTRACE_WINDOWS_H
#define MTRACE_WINDOWS_H

#include <stdbool.h>
#include <stdint.h>

#include "observe/observe.h"

enum { WINDOWS_MOST = 64 }; /* of equal ones: twice what slopes are computed from */

struct windows {
	uint64_t for_ns;     /* at most so long; 0: until the lines, the marks or the process end */
	bool on_line;        /* each line read ends a window, and is answered with "window N" on stderr, when it was taken */
	const char *on_mark; /* each mark of that name ends a window; NULL: not asked for */
	const char *command; /* for what is said on stderr */
	bool progress;       /* stderr is a terminal */
	uint64_t lost_marks; /* out: came before the one before had been seen */
};

/* false: not even one window could be taken. */
bool windows_take(struct windows *w, struct observe *o);

#endif
