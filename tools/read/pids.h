/*
 * pids: who a process is, whichever namespace its pid is said in. Called by target.c, and through read_pid_here (read.h)
 * by who has a segment and wants its process.
 */
#ifndef MTRACE_READ_PIDS_H
#define MTRACE_READ_PIDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct pids_of {
	uint32_t pid;        /* as we see it */
	uint32_t pids[32];   /* in every namespace it is in, ours included */
	size_t pid_count;
	uint64_t start_time; /* ticks since the machine began, in all namespaces the same */
	uid_t uid;
};

/* false: there is no such process. */
bool pids_identify(uint32_t pid, struct pids_of *id);
bool pids_have(const struct pids_of *id, uint32_t pid);

#endif
