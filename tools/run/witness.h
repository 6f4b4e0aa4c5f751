/*
 * witness: a process that only stands in our process group, to tell whether a signal was sent to the whole group (the
 * command has it already) or to `mtrace run` alone (it must be passed on). Nothing else tells them apart.
 *
 * It blocks every signal and sleeps; what is pending for it is read from /proc. The kernel signals the members of a
 * group newest first, so the witness, forked after the command, has a signal before we do.
 */
#ifndef MTRACE_RUN_WITNESS_H
#define MTRACE_RUN_WITNESS_H

#include <stdbool.h>
#include <sys/types.h>

struct witness {
	pid_t pid; /* 0 none */
	int line;  /* a socket to it */
};

/* All signals must be blocked. Without a witness, witness_saw says false. */
void witness_open(struct witness *w);

/* Has the whole group got that signal? Forgets it. */
bool witness_saw(struct witness *w, int signal);

void witness_close(struct witness *w);

#endif
