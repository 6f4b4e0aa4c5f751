/*
 * java: how the agent comes into a JVM that `mtrace run` starts. A launcher of the JDK (told by the library that launchers
 * are linked with, not by its name) is given it as its first argument. Where a JVM is started by something else, a script
 * that names java or a command line that leads to a launcher, it goes by JDK_JAVA_OPTIONS, which the java launchers of JDK 9
 * and later take, with a line on stderr; not by JAVA_TOOL_OPTIONS, which reaches every JVM below, older ones and build tools
 * too. All other commands are started as they are.
 *
 * An agent that is told of exhaustion makes the JVM log a line on stdout then: -Xlog:jvmti=off, in front of the program's own
 * options, keeps it from that. Where it is not known (JDK 8) the agent is told to do without.
 */
#ifndef MTRACE_RUN_JAVA_H
#define MTRACE_RUN_JAVA_H

#include <stdbool.h>

struct java_agent {
	char **argv;        /* of the command, the agent's argument in it where it takes one; the caller's argv else */
	char *java_options; /* value of JDK_JAVA_OPTIONS, NULL: as it is */
};

/* `path`: the command's file. `follow`: the globs of the children that are traced, "" none. Both results live as long as the
   program. */
void java_set_up(const char *path, char **argv, const char *shim, const char *follow, struct java_agent *agent);

#endif
