/*
 * spawn: starts the traced command as if `mtrace run` were not there: same stdio, directory, process group, signal
 * mask and dispositions, environment but for two variables (a third where Java is behind it); none of our descriptors.
 */
#ifndef MTRACE_RUN_SPAWN_H
#define MTRACE_RUN_SPAWN_H

#include <signal.h>
#include <sys/types.h>

struct environment_options;

/* What we inherited and must hand on. */
struct spawn_inherited {
	sigset_t mask;
	struct sigaction child_action; /* of SIGCHLD, which we cannot leave ignored */
	int death_signal;              /* PR_SET_PDEATHSIG does not survive a fork */
};

/* Blocks every signal in this process (they wait for forward_loop) and remembers what was inherited. */
void spawn_take_over_signals(struct spawn_inherited *inherited);

struct spawn_request {
	const char *path;  /* the program's file */
	char **argv;
	const char *shim;  /* NULL: untracked */
	const char *java_options; /* value of JDK_JAVA_OPTIONS; NULL: as it is */
	const char *run_id;
	struct environment_options *options;
	const struct spawn_inherited *inherited;
};

/* Starts it. Returns its pid once it is another program, or -errno of what failed (the fork, the environment, the
   exec: -ENOENT, -EACCES, …). */
pid_t spawn_command(const struct spawn_request *request);

/* Lets go of what the command shares with us: its pipes must close when it closes them. stderr stays. */
void spawn_let_go(void);

/* This descriptor, moved away from 0 to 2, which are the command's to close; close-on-exec then. Negative: as it is. */
int spawn_above_stdio(int fd);

/* A pipe that never lands on descriptors 0 to 2, both ends close-on-exec. 0 or -errno. */
int spawn_pipe(int ends[2]);

#endif
