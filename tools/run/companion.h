/*
 * companion: the process of ours that reads while the command runs and saves when it has ended.
 *
 * It lives in a session of its own, so that neither the terminal nor a kill of the command's process group takes the
 * record with it; when `mtrace run` itself is killed, it saves what there is and leaves the command alone. Nothing
 * else runs in `mtrace run` beside it, so that a signal is never forwarded late.
 */
#ifndef MTRACE_RUN_COMPANION_H
#define MTRACE_RUN_COMPANION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct companion_task {
	pid_t command;
	uint64_t command_start; /* field 22 of its /proc/PID/stat */
	const char *run_id;
	const char *segment_dir;
	const char *output;     /* where the recording goes; NULL: it is not made */
	bool output_is_ours;    /* a default name: another may be taken when it is there already, or cannot be written */
	bool overwrite;
	bool symbols;
	uint64_t events_ms;     /* every event for so long, 0: none */
	uint64_t events_bytes;  /* kept of each process */
	const char *untracked;  /* why nothing will be recorded, NULL */
	const char *program;    /* its base name, for messages */
};

struct companion;

/* Starts it. NULL when that cannot be done (errno says why). */
struct companion *companion_start(const struct companion_task *task);
pid_t companion_pid(const struct companion *c);

void companion_command_ended(struct companion *c, int wait_status);
void companion_hurry(struct companion *c); /* leave the symbols, save now */

/* What there is to say at the end, after companion_pid() was waited for with that status: one line without a newline.
   *trouble: nothing was recorded or saved, so that -q does not silence it. */
const char *companion_last_word(struct companion *c, int wait_status, bool *trouble);

#endif
