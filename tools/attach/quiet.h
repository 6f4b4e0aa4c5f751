/*
 * quiet: a JVM that has an agent for its exhaustion logs that on its standard output, which is the program's. While we listen it
 * is told not to: the tag jvmti of its first log output is switched off, and back to the usual level afterwards. Only where
 * that output is as JVMs have it without -Xlog; what somebody configured is left alone.
 */
#ifndef MTRACE_ATTACH_QUIET_H
#define MTRACE_ATTACH_QUIET_H

#include <stdbool.h>

struct hotspot;
struct read_error;

/* 0: it will print nothing; or -errno and one line in error->text: -ENOTSUP its log is configured, or it has none. */
int quiet_begin(const struct hotspot *jvm, struct read_error *error);

/* As it was, if it was us. */
void quiet_end(const struct hotspot *jvm);

/* Pure: does the answer to "VM.log list" say that the first output is stdout, with just these selections? */
bool quiet_output_is(const char *answer, const char *selections);

#endif
