/*
 * ask: one question to a JVM by its own attach socket, and its answer. No JDK tools.
 *
 * A JVM that has never been attached to does not listen yet: it does when it finds .attach_pidN beside its /tmp or its
 * working directory and gets SIGQUIT. The signal is sent only while it is known to have a handler for it, to that very
 * process, and with the file there, since a JVM that does not see the file writes a dump of its threads to its stdout.
 * Then a question is one connection: version, command, three arguments, each ended by a NUL; the answer ends with it.
 */
#ifndef MTRACE_ATTACH_ASK_H
#define MTRACE_ATTACH_ASK_H

#include "attach/answer.h"

struct hotspot;
struct read_error;

struct question {
	const char *command;     /* at most 16 bytes */
	const char *argument[3]; /* NULL: "" ; at most 1024 bytes each */
	unsigned listen_ms;      /* to wait until it listens, start-up included */
	unsigned answer_ms;      /* to wait for the answer, from its last byte on */
};

/* 0, and the answer is the caller's to free; or -errno with one line in error->text: -EPERM it takes no attach, -ETIMEDOUT
   it did not listen or answer in time, -ESRCH it ended, -EPROTO what came is no answer. */
int ask(const struct hotspot *jvm, const struct question *question, struct answer *answer, struct read_error *error);

/* The same for a diagnostic command (what jcmd sends): its text as one argument. */
int ask_command(const struct hotspot *jvm, const char *text, struct answer *answer, struct read_error *error);

enum { ASK_LISTEN_MS = 10000, ASK_ANSWER_MS = 600000 };

#endif
