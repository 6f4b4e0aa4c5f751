/*
 * hotspot: a running HotSpot JVM, seen from outside: is the process one, will it take an attach, and where its files are.
 *
 * Looks and touches nothing. Everything of the process that is opened here is opened while it is known to be the one that
 * was asked for: a pid may be used again. A container's JVM is reached through /proc/PID/root, its own pid is the
 * innermost of NSpid. What the JVM checks of us: the owner of the file by which it is asked to listen is its own effective
 * user or root, and who connects has its effective user and group (or is root, since JDK 11). So root acts as that user.
 */
#ifndef MTRACE_ATTACH_HOTSPOT_H
#define MTRACE_ATTACH_HOTSPOT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct read_error;

struct hotspot {
	pid_t pid;           /* as we see it */
	pid_t inner_pid;     /* as it sees itself */
	uint64_t start_time; /* clock ticks since boot */
	uid_t uid;           /* effective, as we see them */
	gid_t gid;
	int process;      /* pidfd, -1: this kernel has none */
	int root;         /* its root directory, O_PATH */
	int temporary;    /* its /tmp, O_PATH */
	int working;      /* its working directory, O_PATH; -1: not to be had */
	bool is_disabled; /* it takes no attach */
	bool is_silent;   /* it listens from its start on, and SIGQUIT would end it, or be the program's */
};

/* Waits at most `wait_ms` for a process that has just started to have its JVM in it. 0, or -errno and one line in
   error->text: -ESRCH no such process, -EACCES another user's, -ENOEXEC no HotSpot JVM. */
int hotspot_open(pid_t pid, unsigned wait_ms, struct hotspot *jvm, struct read_error *error);
void hotspot_close(struct hotspot *jvm);

/* Does it have a handler for SIGQUIT? Without one the signal ends it. */
bool hotspot_catches_quit(const struct hotspot *jvm);
bool hotspot_is_there(const struct hotspot *jvm);

/* Does this absolute path of ours lead to the same file there? */
bool hotspot_sees(const struct hotspot *jvm, const char *path);

/* One SIGQUIT to that process and no other. */
int hotspot_send_quit(const struct hotspot *jvm);

/* As its user from here on, and back: only root changes. */
int hotspot_become(const struct hotspot *jvm);
void hotspot_become_self(void);

/* hotspot_options.c: what these arguments (as in /proc/PID/cmdline) and this environment (as in /proc/PID/environ) say of
   attaching: -XX:+DisableAttachMechanism, -Xrs. Options of files named by @FILE, -XX:Flags and -XX:VMOptionsFile are not
   seen. */
void hotspot_read_options(struct hotspot *jvm, const char *arguments, size_t argument_bytes, const char *environment,
                          size_t environment_bytes);

/* hotspot_options.c: the number behind `field` ("Uid:") of /proc/PID/status; `nth` from 0, -1 the last. */
bool hotspot_status_number(const char *status, const char *field, int nth, unsigned base, uint64_t *value);

#endif
