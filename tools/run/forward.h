/*
 * forward: the life of `mtrace run` while its command runs: it passes signals on, stops and goes on with the command,
 * reaps, and learns how the command ended.
 *
 * The command stays in our process group, so what the terminal or kill(2) sends to the whole group (SIGINT, SIGTSTP,
 * SIGWINCH, …) reaches it without us; what somebody sends to us alone is passed on. A witness tells which it was.
 * A SIGSTOP to us alone stops only us: nobody can see it coming.
 *
 * Programs that go to the background leave as they would without us: we are no subreaper, so their parent becomes the
 * real init and getppid() tells them the truth; when the command itself has ended, the run is over. As pid 1 we reap
 * whatever is handed to us.
 */
#ifndef MTRACE_RUN_FORWARD_H
#define MTRACE_RUN_FORWARD_H

#include <sys/types.h>

#include "run/witness.h"

struct forward {
	pid_t command;
	int signals;        /* signalfd */
	struct witness witness;
	pid_t companion;    /* 0 none */
	int wait_status;    /* of the command, once it has ended */
	int companion_status;
	int command_ended, companion_ended;
	long long stop_asked_ms; /* when a stop signal last reached us; 0 none */
	int just_resumed;        /* the SIGCONT that woke us, most likely the command as well, is still to be read */
	void (*on_end)(void *context, int wait_status); /* the command has ended */
	void (*on_hurry)(void *context);                /* SIGINT, SIGTERM and the like after that */
	void *context;
};

/* All signals must be blocked already. 0 or -errno. */
int forward_open(struct forward *f, pid_t command);

/* Until the command and the companion have ended. */
void forward_until_end(struct forward *f);

#endif
