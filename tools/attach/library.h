/*
 * library: libmtrace.so, where a JVM can load it from: in its own mount namespace, readable for its user, and not on a file
 * system that forbids programs. Where the file that we have is none of that, a copy is made in the JVM's /tmp, or where
 * else it can be, and removed when it is loaded: the JVM keeps what it has mapped.
 */
#ifndef MTRACE_ATTACH_LIBRARY_H
#define MTRACE_ATTACH_LIBRARY_H

#include <limits.h>
#include <stdbool.h>

struct hotspot;
struct read_error;

struct library {
	char path[PATH_MAX]; /* as the JVM sees it */
	int directory;       /* of the copy, -1: there is none */
	int parent;          /* of that directory */
	char name[64];       /* its name there */
};

/* The path by which it is in the process already, loaded or preloaded. false: it is not. */
bool library_find_loaded(const struct hotspot *jvm, char path[PATH_MAX]);

/* `file`: ours. 0 or -errno and one line. */
int library_place(const struct hotspot *jvm, const char *file, struct library *library, struct read_error *error);
void library_remove(const struct hotspot *jvm, struct library *library);

#endif
