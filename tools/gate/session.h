/*
 * session: one run of a gate's command from start to end, by its plan: what is driven, when windows end, what is read. Leaves
 * the processes judged.
 */
#ifndef MTRACE_GATE_SESSION_H
#define MTRACE_GATE_SESSION_H

#include <stdbool.h>

#include "gate/judge.h"
#include "gate/launch.h"
#include "gate/plan.h"
#include "gate/scale.h"
#include "gate/settle.h"
#include "gate/watch.h"

struct session {
	struct launch launch;
	struct watch watch;
	struct settle settle;
	struct judge judge;
	struct profile *profile; /* GATE_BY_MARK: all processes; else NULL, and the cases have theirs */
	char trouble[512];       /* why the run tells nothing, one clause; "" it does */
	bool is_started;
};

/* Where the run is saved, whole and with names, before it is judged; NULL: nowhere. */
typedef bool session_save(const struct profile *profile, void *context);

/* 0; -1 with one line in `error`: it could not be started, or not be saved. */
int session_run(struct session *s, const struct gate_plan *plan, session_save *save, void *context, char error[512]);

/* The command again and again, with the values of `scale`; the judge has what is left of the last. */
int session_run_scaled(struct session *s, const struct gate_plan *plan, struct scale *scale, char error[512]);

int session_status(const struct session *s); /* as in gate_result */
void session_free(struct session *s);

#endif
