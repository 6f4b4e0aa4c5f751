/*
 * kept: the baseline of an answer: a file of ours, so that nothing changes in the JVM, and it is there after the JVM's
 * death. Named after the process and its start; those of processes that are gone are removed when one is written.
 */
#ifndef MTRACE_ATTACH_KEPT_H
#define MTRACE_ATTACH_KEPT_H

#include <stdint.h>

struct hotspot;

/* In `dir`, "jvm.PID.START.WHAT", 0600. 0 or -errno. */
int kept_write(const char *dir, const struct hotspot *jvm, const char *what, const char *text);

/* The text, NUL-terminated, for the caller to free, and how long ago it was kept. -ENOENT: none. */
int kept_read(const char *dir, const struct hotspot *jvm, const char *what, char **text, uint64_t *age_ns);

#endif
