/*
 * spawn: see spawn.h. The child reports a failed exec through a close-on-exec pipe, so that "not found" is known for
 * certain and no exit status of the command is mistaken for ours.
 */
#include "run/spawn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "run/aside.h"
#include "run/environment.h"
#include "run/hold.h"

#ifndef SYS_close_range
#define SYS_close_range 436 /* in headers since glibc 2.34; the same on every architecture */
#endif

extern char **environ;

void spawn_take_over_signals(struct spawn_inherited *inherited)
{
	sigset_t all;
	struct sigaction fresh = {.sa_handler = SIG_DFL};
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &inherited->mask);
	sigaction(SIGCHLD, &fresh, &inherited->child_action);
	inherited->death_signal = 0;
	prctl(PR_GET_PDEATHSIG, &inherited->death_signal, 0, 0, 0);
}

int spawn_above_stdio(int fd)
{
	if (fd < 0 || fd > 2)
		return fd;
	int high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	close(fd);
	return high;
}

int spawn_pipe(int ends[2])
{
	if (pipe2(ends, O_CLOEXEC) != 0)
		return -errno;
	ends[0] = spawn_above_stdio(ends[0]);
	ends[1] = spawn_above_stdio(ends[1]);
	if (ends[0] >= 0 && ends[1] >= 0)
		return 0;
	int failed = errno;
	for (int i = 0; i < 2; i++)
		if (ends[i] >= 0)
			close(ends[i]);
	return -failed;
}

static void restore_inherited(const struct spawn_inherited *inherited, pid_t parent)
{
	sigaction(SIGCHLD, &inherited->child_action, NULL);
	if (inherited->death_signal) {
		prctl(PR_SET_PDEATHSIG, inherited->death_signal, 0, 0, 0);
		if (getppid() != parent)
			raise(inherited->death_signal);
	}
	sigprocmask(SIG_SETMASK, &inherited->mask, NULL);
}

/* A script without #! is the shell's, as execvp has it. */
static int exec_as_script(const struct spawn_request *request)
{
	size_t count = 0;
	while (request->argv[count])
		count++;
	char **argv = calloc(count + 2, sizeof *argv);
	if (!argv)
		return -ENOMEM;
	argv[0] = (char *)"/bin/sh";
	argv[1] = (char *)request->path;
	for (size_t i = 1; i < count; i++)
		argv[i + 1] = request->argv[i];
	execve(argv[0], argv, environ);
	return -errno;
}

static int become_command(const struct spawn_request *request, pid_t parent)
{
	aside_take_back();
	int failed = environment_apply(request->options, request->shim, request->run_id);
	if (failed)
		return failed;
	if (request->java_options && setenv("JDK_JAVA_OPTIONS", request->java_options, 1) != 0)
		return -errno;
	restore_inherited(request->inherited, parent);
	execve(request->path, request->argv, environ);
	return errno == ENOEXEC ? exec_as_script(request) : -errno;
}

/* 0 when the pipe closed by itself: the exec was done. */
static int read_failure(int fd)
{
	int failed = 0;
	ssize_t n;
	do {
		n = read(fd, &failed, sizeof failed);
	} while (n < 0 && errno == EINTR);
	return n == sizeof failed ? failed : 0;
}

pid_t spawn_command(const struct spawn_request *request)
{
	int ends[2];
	int failed = spawn_pipe(ends);
	if (failed)
		return failed;
	pid_t parent = getpid();
	pid_t child = fork();
	if (child == 0) {
		failed = become_command(request, parent);
		if (write(ends[1], &failed, sizeof failed) < 0)
			failed = 0;
		_exit(125);
	}
	if (child < 0)
		failed = -errno;
	close(ends[1]);
	if (child > 0)
		failed = read_failure(ends[0]);
	close(ends[0]);
	return failed ? failed : child;
}

/* close_range(2) where the kernel has it (5.9), else what /proc lists. What is held for the command's segments stays. */
static void close_from(int first)
{
	if (!hold_is_open() && syscall(SYS_close_range, first, ~0u, 0) == 0)
		return;
	DIR *d = opendir("/proc/self/fd");
	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));)
		if (atoi(e->d_name) >= first && atoi(e->d_name) != dirfd(d) && !hold_has(atoi(e->d_name)))
			close(atoi(e->d_name));
	closedir(d);
}

void spawn_let_go(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
	}
	if (fcntl(STDERR_FILENO, F_GETFD) < 0 && null >= 0)
		dup2(null, STDERR_FILENO);
	close_from(3);
}
