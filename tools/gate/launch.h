/*
 * launch: the command under the gate: started with the shim, its segments in a directory of their own that goes with the gate;
 * waited for, stopped, and read when it is over. And the helpers that the user gave (--ready, --load, --settle), which are
 * the shell's, untraced, with PID in their environment.
 *
 * The command keeps our standard descriptors and process group. SIGINT, SIGTERM and SIGHUP to the gate end the command, with
 * the same signal, and leave the run inconclusive.
 */
#ifndef MTRACE_GATE_LAUNCH_H
#define MTRACE_GATE_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "gate/plan.h"
#include "run/collect.h"
#include "run/locate.h"
#include "run/spawn.h"

struct launch {
	char path[LOCATE_PATH_BYTES], shim[LOCATE_PATH_BYTES], dir[LOCATE_PATH_BYTES];
	char run_id[32];
	struct spawn_inherited inherited;
	struct collect collect;
	pid_t pid;
	bool ended, stopped;
	int interrupted; /* the signal that tells us to stop; 0: none */
	int wait_status;
	uint64_t next_look_ns;
};

/* 0, or -1 with one line in `error`: nothing was started. *untraceable: because nothing could be recorded in it. */
int launch_start(struct launch *l, const struct gate_plan *plan, char error[512], bool *untraceable);

/* Until the time on launch_now_ns' clock, or the end, or a signal to us; looks after segments of dead children meanwhile.
   false: it has ended, or we are to stop. */
bool launch_wait(struct launch *l, uint64_t until_ns);
uint64_t launch_now_ns(void);

/* A command of the shell. Its exit status, 128 + signal; -1: it could not be started, or we are to stop. */
int launch_help(struct launch *l, const char *command);

/* Sends the signal, and SIGKILL when it is still there after some seconds. */
void launch_stop(struct launch *l, int signal);

/* Everything that was recorded and is not read yet, also of processes that run on. */
struct profile *launch_read(struct launch *l);

/* Removes the directory. */
void launch_end(struct launch *l);

#endif
