/*
 * settle: what a program frees only when it is asked to (a collector, a trim) is freed before a window ends: the command of
 * --settle, then its live bytes, looked at until they stop falling, since finalizers and cleaners go on when a collection has
 * returned long ago. What went while we waited is added up by stack, so that it can be said whose memory waits to be freed.
 *
 * Cost: some looks at the tables of counts for each window, LOOKS_CALM at the least. Bound: SETTLE_SECONDS for each; what falls
 * on after that is counted, and the window ends all the same.
 */
#ifndef MTRACE_GATE_SETTLE_H
#define MTRACE_GATE_SETTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gate/judge.h"
#include "gate/launch.h"
#include "gate/watch.h"
#include "read/read.h"

enum { SETTLE_SECONDS = 5 };

/* One process of the watch. */
struct settle_process {
	struct read_instant now;
	int64_t *went;   /* by row id: bytes that were live when we began less those when it was calm, of all times */
	size_t count;
	bool is_read;    /* at the last look */
	bool is_counted; /* it was there when we began this time */
	bool is_lost;    /* it went away between: its figures are none */
};

struct settle {
	struct settle_process of[WATCH_MOST]; /* as the watch has them */
	uint64_t times, restless;             /* restless: it was still falling at the end */
};

/* The command's exit status; when that is 0 it is calm, or gone. */
int settle_run(struct settle *s, struct watch *w, struct launch *l, const char *command);

/* What went, into the cases of the judge. */
void settle_tell(const struct settle *s, const struct watch *w, struct judge *j);
void settle_free(struct settle *s);

#endif
