/*
 * agent: the library as a JVMTI agent, in the same process and copy as the preloaded one. Entry points only: what the JVM
 * calls (Agent_OnLoad, a few events; attach has Agent_OnAttach), and what native code calls through JNI's tables instead.
 * Without it Java frames are the same (lang/jvm); JNI's references, buffers and attached threads are not counted then.
 *
 * Everything here is called by threads of the JVM, in no hook of ours and under no lock of ours. Calls of JVMTI and JNI are
 * made here only, in callbacks and hooks of JNI functions, where the specification allows them: never from malloc.
 * In a process that is not recorded the agent does nothing.
 */
#ifndef MTRACE_AGENT_H
#define MTRACE_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "agent_tables.h"

/* For Agent_OnLoad and Agent_OnAttach. The first call that finds the process recorded does it, others do nothing. Never fails
   the JVM: trouble is one line, and JNI is not counted then. `options` "quiet": nothing that makes the JVM log a line. `runs`: it
   has begun long ago, and this is its Attach Listener thread. */
void agent_start(struct java_vm *vm, const char *options, bool runs);

/* agent_jni: `table` becomes one with our functions, which go on to what is in it now; once, before the JVM has it. */
void agent_hook_jni(void *table[]);
/* Threads that attach themselves: the VM's own table is changed in place of the pointer to it. */
void agent_hook_invocation(struct java_vm *vm);

/* agent_arrivals: before a thread attaches, and after. The first may wait, for a second at the most, while the JVM is asked for
   what it must not be asked for meanwhile. */
void agent_arrives(void);
void agent_has_arrived(void);

/* Nobody attaches from here on, and nobody is on its way: for a JVM that runs and has our table already. false: there is no need,
   and nothing to let go. Only its first caller may have others wait. */
bool agent_hold_arrivals(struct java_vm *vm);
void agent_let_arrive(void);

/* Hears of exhaustion, or does not any more: for an agent that was started quietly, in a JVM whose log is off for it by now.
   Called by the Attach Listener thread. false: there is no agent, or the JVM refuses. */
bool agent_listen(bool listens);

/* agent_exhausted: the event. */
void agent_on_exhausted(struct jvmti_env *jvmti, struct jni_env *jni, int32_t what, const void *reserved, const char *text);

/* agent_jvmti: ends the direct buffer `key` when its Java object is gone. false: nobody will tell when that is. */
bool agent_watch_object(void *object, int64_t key);
/* Called at that time; agent_jni's. */
void agent_object_gone(int64_t key);

/* Tags of objects: a key as above, which is a multiple of 8, or a class's number in a histogram. */
static inline int64_t agent_tag_of_class(uint32_t number)
{
	return (int64_t)number << 3 | 1;
}

static inline bool agent_is_class_tag(int64_t tag)
{
	return (tag & 7) == 1;
}

#endif
