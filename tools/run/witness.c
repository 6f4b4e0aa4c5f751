/*
 * witness: see witness.h.
 */
#include "run/witness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MS 100 /* a witness that is stopped does not answer */

static void forget_pending(void)
{
	sigset_t all;
	const struct timespec now = {0};
	sigfillset(&all);
	while (sigtimedwait(&all, NULL, &now) > 0 || errno == EINTR)
		continue;
}

/* Its standard descriptors must not keep anybody's pipe open. */
static void stand_by(int line)
{
	char byte;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "mtrace-witness");
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	while (read(line, &byte, 1) == 1) {
		forget_pending();
		if (write(line, &byte, 1) != 1)
			break;
	}
	_exit(0);
}

void witness_open(struct witness *w)
{
	int ends[2];
	*w = (struct witness){.line = -1};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		return;
	w->pid = fork();
	if (w->pid == 0) {
		close(ends[0]);
		stand_by(ends[1]);
	}
	close(ends[1]);
	w->line = ends[0];
	if (w->pid < 0)
		witness_close(w);
}

static unsigned long long pending_of(pid_t pid)
{
	char path[32], line[256];
	unsigned long long mask = 0;
	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof line, file))
		if (sscanf(line, "ShdPnd: %llx", &mask) == 1)
			break;
	if (file)
		fclose(file);
	return mask;
}

bool witness_saw(struct witness *w, int signal)
{
	char byte = 0;
	struct pollfd answer = {.fd = w->line, .events = POLLIN};
	if (!w->pid || !(pending_of(w->pid) >> (signal - 1) & 1))
		return false;
	if (send(w->line, &byte, 1, MSG_NOSIGNAL) == 1 && poll(&answer, 1, ANSWER_MS) == 1 && read(w->line, &byte, 1) != 1)
		witness_close(w);
	return true;
}

void witness_close(struct witness *w)
{
	if (w->pid > 0) {
		kill(w->pid, SIGKILL);
		waitpid(w->pid, NULL, 0);
	}
	if (w->line >= 0)
		close(w->line);
	*w = (struct witness){.line = -1};
}
