/*
 * snapshot: what mtrace_snapshot(tag) of a traced program asks for: a recording of that process as it stands, beside
 * the run's own, REC.TAG.mtr. Called by the companion only, every half second; the work is done in processes of their
 * own, so that neither the program nor its end waits for it.
 *
 * Bound: SNAPSHOT_WRITERS at a time, what comes meanwhile waits; SNAPSHOT_MOST files in a run.
 */
#ifndef MTRACE_RUN_SNAPSHOT_H
#define MTRACE_RUN_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "run/collect.h"
#include "run/save.h"

enum { SNAPSHOT_WRITERS = 4, SNAPSHOT_MOST = 900 };

struct snapshot_tag {
	char text[64]; /* as it stands in file names */
	unsigned times;
};

struct snapshots {
	struct save_request request; /* as for the run's own recording; the rest follows from the tags */
	struct snapshot_tag *tags;
	size_t tag_count, tag_capacity;
	pid_t writers[SNAPSHOT_WRITERS]; /* 0: none */
	uint64_t seen;                   /* marks that asked for one and were acted upon */
	unsigned begun, saved, late, failed;
	char *trouble; /* shared with the writers: why the last one failed */
};

void snapshots_begin(struct snapshots *s, const struct save_request *request);

/* Looks for new marks in the segments of processes that run, and starts to save what they ask for. */
void snapshots_look(struct snapshots *s, struct collect *collect);

/* Waits until all is written; gives up what is not when `hurry_fd` becomes readable (-1: never). */
void snapshots_end(struct snapshots *s, int hurry_fd);

/* For the closing line, after collect_all(): " and 2 snapshots; …what went wrong", or "". True when something did. */
bool snapshots_describe(const struct snapshots *s, const struct profile *profile, char *out, size_t bytes);

#endif
