/*
 * mark: asks a running process to put a mark into its record, or its events into its segment, by the control page of the
 * segment (format.h): the only bytes of it that mtrace ever writes. No signal, no stop; the process's next hook that looks
 * at the clock does it. `mtrace attach` and `mtrace detach` go the same way where the library was there from the start.
 */
#ifndef MTRACE_RUN_MARK_H
#define MTRACE_RUN_MARK_H

#include <stdint.h>

struct read_error;

/* 0: it is there. -EAGAIN: asked for, and not taken within `wait_ms`: the process is idle, and its next allocation takes
   it. Else -errno with one line in error->text, and nothing was written. */
int mark_request(const char *target, const char *name, unsigned wait_ms, struct read_error *error);

/* Likewise asks for events for so long (drain.c takes them). `fd`: of its segment, `target`: for messages. When it was not
   taken, it is taken back. */
int events_request(int fd, const char *target, uint64_t ms, unsigned wait_ms, struct read_error *error);

/* Likewise a command that takes no argument: MTRACE_COMMAND_ATTACH, MTRACE_COMMAND_DETACH. */
int control_request(const char *target, uint32_t command, unsigned wait_ms, struct read_error *error);

/* Bytes of a name, without its end. */
enum { MARK_NAME_MOST = 47 };

#endif
