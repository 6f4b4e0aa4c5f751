/*
 * segment_files: segments as files: where they go, what they are called, the images of one process, dead ones. The other
 * half of the room segment; segment.c makes, lays out and grows what is opened here.
 *
 * Places, in this order:
 *   a directory  the one that was asked for, or /dev/shm, or /tmp if that is in memory. One file per image.
 *   held         dir=/proc/PID/fd: `mtrace run` found no such directory, and keeps empty memfds named after the run for
 *                the processes it traces. Who opens one and gets its lock while it is empty has it; the file is held
 *                from before its first byte, so the record survives any death of the process. An ended one that was
 *                read is emptied by `mtrace run`, and free again.
 *   nowhere      a memfd of our own. Its descriptor is closed as always, so that nobody can open it but who may use
 *                /proc/PID/map_files (CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE), and it dies with the process.
 *                MTRACE_FEATURE_DIES_WITH_PROCESS says so.
 * Async-signal-safe. Stack: 3 KiB.
 */
#ifndef MTRACE_SEGMENT_FILES_H
#define MTRACE_SEGMENT_FILES_H

#include <stdbool.h>
#include <stdint.h>

enum { SEGMENT_PATH_BYTES = 512 };

enum segment_place_kind { PLACE_DIR, PLACE_HELD, PLACE_NOWHERE };

struct segment_place {
	enum segment_place_kind kind;
	bool forked;     /* a forked child asks */
	const char *dir; /* absolute */
};

/* The place for `asked`, a directory or "" to choose. A relative one is where it was when it was first asked for:
   the program may change its working directory, and its forks must find the same place. */
struct segment_place segment_find_place(const char *asked);

/* Room there, for all; UINT64_MAX: only memory bounds it. */
uint64_t segment_place_free(const struct segment_place *place);

/* A new file for this process, begun at `start`; its name goes to `path` ("" nowhere), *image counts the images before
   it, and the one just before is marked as ended by exec. The place may turn into nowhere. -errno: refused. */
int segment_open_new(struct segment_place *place, uint32_t pid, uint64_t start, char *path, uint32_t *image);

/* What was opened for nothing. */
void segment_discard(const struct segment_place *place, const char *path, int fd);

#endif
