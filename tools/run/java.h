/*
 * java: how the agent comes into a JVM that `mtrace run` starts. A launcher of the JDK (told by the library that launchers
 * are linked with, not by its name) is given it as its first argument. Where a JVM is started by something else, a script
 * that names java or a command line that leads to a launcher, it goes by JAVA_TOOL_OPTIONS, which every JVM below that finds
 * and says so in a line of its own. All other commands are started as they are.
 */
#ifndef MTRACE_RUN_JAVA_H
#define MTRACE_RUN_JAVA_H

#include <stdbool.h>

struct java_agent {
	char **argv;        /* of the command, the agent's argument in it where it takes one; the caller's argv else */
	char *tool_options; /* value of JAVA_TOOL_OPTIONS, NULL: as it is */
};

/* `path`: the command's file. `follow`: the globs of the children that are traced, "" none. Both results live as long as the
   program. */
void java_set_up(const char *path, char **argv, const char *shim, const char *follow, struct java_agent *agent);

#endif
