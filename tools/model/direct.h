/*
 * direct: whose memory outside the Java heap a stack's blocks are, where its Java methods tell: a pool's, the JVM's counted
 * direct memory, a library's own. One table, direct.def. Pure.
 */
#ifndef MTRACE_DIRECT_H
#define MTRACE_DIRECT_H

#include "model/profile.h"

struct direct_owner {
	const char *id;   /* stable */
	const char *part; /* of a method's name */
	const char *text; /* what it means, and what to do next */
};

/* NULL: not known. Of malloc's blocks only: other kinds say themselves what they are. */
const struct direct_owner *direct_owner_of(const struct profile_process *process, const struct profile_stack *stack);

#endif
