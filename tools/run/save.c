/*
 * save: see save.h.
 */
#include "run/save.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "read/read.h"
#include "run/locate.h"
#include "symbols/symbols.h"

#define PATH_BYTES 4096
#define NAMES_TRIED 1000 /* prog.pid.mtr, prog.pid.2.mtr, … */

/* ---- a process that may fail ---- */

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		errno = 0; /* not allowed: then not */
	close(fd);
}

static void enter_expendable(void)
{
	struct rlimit none = {0, 0};
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	write_text("/proc/self/oom_score_adj", "1000");
}

void save_enter_background(void)
{
	struct sched_param zero = {0};
	enter_expendable();
	sched_setscheduler(0, SCHED_IDLE, &zero);
}

/* Waits for `child`, or kills it as soon as the user is in a hurry. Returns its wait status. */
static int wait_or_hurry(pid_t child, int hurry_fd)
{
	struct pollfd fds[2] = {{.fd = (int)syscall(SYS_pidfd_open, child, 0), .events = POLLIN},
	                        {.fd = hurry_fd, .events = POLLIN}};
	int status = 0;
	while (fds[0].fd >= 0 && !(fds[0].revents & POLLIN)) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (!fds[1].revents)
			continue;
		kill(child, SIGKILL);
		break;
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	if (fds[0].fd >= 0)
		close(fds[0].fd);
	return status;
}

/* ---- writing ---- */

static int write_once(const struct save_request *request, const char *path, const struct profile *profile,
                      struct read_error *error)
{
	return write_recording(path, request->overwrite, profile, error);
}

/* A name of ours that is taken gets a number: a recording is never lost for the sake of its name. */
static int write_under_free_name(const struct save_request *request, char *path, const struct profile *profile,
                                 struct read_error *error)
{
	size_t stem = strlen(path) - strlen(".mtr");
	int code = -EEXIST;
	for (unsigned n = request->number ? request->number : 1; code == -EEXIST && n < NAMES_TRIED; n++) {
		if (n > 1)
			snprintf(path + stem, PATH_BYTES - stem, ".%u.mtr", n);
		code = write_once(request, path, profile, error);
	}
	return code;
}

static int write_in_state_dir(const struct save_request *request, char *path, const struct profile *profile,
                              struct read_error *error)
{
	char dir[LOCATE_PATH_BYTES];
	const char *slash = strrchr(request->output, '/');
	const char *base = slash ? slash + 1 : request->output;
	struct read_error second;
	if (locate_state_dir(dir) != 0 || strlen(dir) + strlen(base) + 2 > PATH_BYTES - 16)
		return -ENOENT;
	strcpy(path, dir);
	strcat(strcat(path, "/"), base);
	int code = write_under_free_name(request, path, profile, &second);
	if (code != 0)
		*error = second;
	return code;
}

static int write_somewhere(const struct save_request *request, char *path, const struct profile *profile,
                           struct read_error *error)
{
	snprintf(path, PATH_BYTES, "%s", request->output);
	if (!request->output_is_ours && !request->numbered)
		return write_once(request, path, profile, error);
	int code = write_under_free_name(request, path, profile, error);
	if (code == 0 || !request->output_is_ours)
		return code;
	int elsewhere = write_in_state_dir(request, path, profile, error);
	return elsewhere == -ENOENT ? code : elsewhere;
}

/* ---- with names ---- */

struct answer {
	int code;
	char path[PATH_BYTES];
	struct read_error error;
};

static void send_answer(int fd, const struct answer *answer)
{
	const char *p = (const char *)answer;
	for (size_t left = sizeof *answer; left > 0;) {
		ssize_t n = write(fd, p, left);
		if (n < 0)
			return;
		p += n;
		left -= (size_t)n;
	}
}

static void save_in_child(struct profile *profile, const struct save_request *request, int fd)
{
	struct symbols_options options = {0};
	struct symbols_result result = {0};
	struct answer answer = {0};
	enter_expendable();
	symbols_resolve(profile, &options, &result);
	answer.code = write_somewhere(request, answer.path, profile, &answer.error);
	send_answer(fd, &answer);
	_exit(0);
}

static bool receive_answer(int fd, struct answer *answer)
{
	size_t have = 0;
	while (have < sizeof *answer) {
		ssize_t n = read(fd, (char *)answer + have, sizeof *answer - have);
		if (n <= 0)
			return false;
		have += (size_t)n;
	}
	return true;
}

/* An answer larger than a pipe would block the child before we wait: PIPE_BUF is not, a pipe's 64 KiB is enough. */
static_assert(sizeof(struct answer) < 16384, "fits a pipe");

static bool save_with_names(struct profile *profile, const struct save_request *request, struct answer *answer,
                            char why[256])
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	pid_t child = fork();
	if (child == 0)
		save_in_child(profile, request, ends[1]);
	close(ends[1]);
	int status = child > 0 ? wait_or_hurry(child, request->hurry_fd) : -1;
	bool done = child > 0 && WIFEXITED(status) && receive_answer(ends[0], answer);
	close(ends[0]);
	if (child < 0)
		snprintf(why, 256, "no process for symbols: %s", strerror(errno));
	else if (!done && WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		snprintf(why, 256, "reading debug information failed (%s)", strsignal(WTERMSIG(status)));
	else if (!done)
		snprintf(why, 256, "interrupted while reading symbols");
	return done;
}

int save_profile(struct profile *profile, const struct save_request *request, char *path, bool *unnamed,
                 struct read_error *error)
{
	struct answer answer = {0};
	char why[256] = "";
	*unnamed = false;
	if (request->symbols && save_with_names(profile, request, &answer, why)) {
		strcpy(path, answer.path);
		*error = answer.error;
		return answer.code;
	}
	int code = write_somewhere(request, path, profile, error);
	*unnamed = request->symbols;
	if (code == 0)
		snprintf(error->text, sizeof error->text, "%s", why);
	return code;
}

/* ---- last ---- */

void save_last_link(const char *path)
{
	char whole[PATH_MAX], dir[LOCATE_PATH_BYTES], *link = NULL, *fresh = NULL;
	if (locate_state_dir(dir) != 0 || !realpath(path, whole))
		return;
	if (asprintf(&link, "%s/last", dir) < 0 || asprintf(&fresh, "%s/last.%d", dir, (int)getpid()) < 0)
		return;
	if (symlink(whole, fresh) == 0 && rename(fresh, link) != 0)
		unlink(fresh);
	free(link);
	free(fresh);
}
