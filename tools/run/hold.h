/*
 * hold: files in memory for the segments of a run where no directory in memory can be written. They are made before the
 * command starts, empty, and named after the run; its processes find them as /proc/PID/fd of `mtrace run` (libmtrace's
 * segment_files.h). The companion inherits them, and with them the record, however the command or `mtrace run` ends.
 *
 * Bound: 128 images and forks at one time and 32 more images; what comes beyond is recorded in memory that dies with its
 * process.
 */
#ifndef MTRACE_RUN_HOLD_H
#define MTRACE_RUN_HOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Makes them. `dir`: what the processes are told. false: the kernel refuses. */
bool hold_open(const char *run_id, char *dir, size_t bytes);

/* Are there any, and is this one of them? */
bool hold_is_open(void);
bool hold_has(int fd);

/* Where this process finds them itself, also when the one that made them was killed. */
#define HOLD_OWN_DIR "/proc/self/fd"

/* Does `path` name one of them? */
bool hold_has_path(const char *path);

/* Empties one whose segment was read and has no writer any more: it can be taken again. 0 or -errno. */
int hold_free(const char *path);

#endif
