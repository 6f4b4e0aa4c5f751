/*
 * forward: see forward.h. Every signal is blocked in this process and read from a signalfd, so nothing here runs in a
 * signal handler and no disposition is ever changed.
 */
#include "run/forward.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STOP_ANSWER_MS 5000 /* a stop of the command this long after a stop signal to us still is the answer to it */

int forward_open(struct forward *f, pid_t command)
{
	sigset_t all;
	sigfillset(&all);
	*f = (struct forward){.command = command};
	f->signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (f->signals < 0)
		return -errno;
	witness_open(&f->witness);
	return 0;
}

static long long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- stopping and going on ---- */

static bool is_stop(int signal)
{
	return signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

/* Stops this process as the command was stopped, for our parent (a shell with job control) to see. */
static void stop_with(int signal)
{
	struct sigaction fresh = {.sa_handler = SIG_DFL}, kept;
	sigset_t one;
	if (!is_stop(signal)) {
		raise(SIGSTOP);
		return;
	}
	sigemptyset(&one);
	sigaddset(&one, signal);
	sigaction(signal, &fresh, &kept);
	raise(signal);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	sigprocmask(SIG_BLOCK, &one, NULL);
	sigaction(signal, &kept, NULL);
}

static void stop_too(struct forward *f, int signal)
{
	f->stop_asked_ms = 0;
	stop_with(signal);
	f->just_resumed = 1;
}

/* The command has stopped. We stop as well when a stop signal reached us too; when the command alone was stopped, we
   must be awake for its end. */
static void command_stopped(struct forward *f, int signal)
{
	bool asked = f->stop_asked_ms && now_ms() - f->stop_asked_ms < STOP_ANSWER_MS;
	f->stop_asked_ms = 0;
	if (asked)
		stop_too(f, signal);
}

static bool command_is_stopped(const struct forward *f)
{
	char path[32], line[512];
	snprintf(path, sizeof path, "/proc/%d/stat", (int)f->command);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
	if (fd >= 0)
		close(fd);
	line[n > 0 ? n : 0] = '\0';
	const char *state = strrchr(line, ')');
	return state && state[1] == ' ' && state[2] == 'T';
}

/* ---- reaping ---- */

static void note_child(struct forward *f, pid_t pid, int status)
{
	if (pid == f->command && WIFSTOPPED(status)) {
		command_stopped(f, WSTOPSIG(status));
	} else if (pid == f->command && !WIFCONTINUED(status)) {
		f->wait_status = status;
		f->command_ended = 1;
		if (f->on_end)
			f->on_end(f->context, status);
	} else if (pid == f->companion && !WIFSTOPPED(status) && !WIFCONTINUED(status)) {
		f->companion_status = status;
		f->companion_ended = 1;
	} else if (pid == f->witness.pid && !WIFSTOPPED(status) && !WIFCONTINUED(status)) {
		f->witness.pid = 0;
	}
}

static void reap(struct forward *f)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) != 0) {
		if (pid > 0)
			note_child(f, pid, status);
		else if (errno != EINTR)
			return;
	}
}

/* ---- passing on ---- */

/* The whole process group got it, and the command, unless it left the group, with it. Without a witness only what the
   terminal sends is known for that. */
static bool has_it_already(struct forward *f, const struct signalfd_siginfo *info)
{
	bool sent_to_group = witness_saw(&f->witness, (int)info->ssi_signo);
	if (!f->witness.pid)
		sent_to_group = info->ssi_code == SI_KERNEL && (info->ssi_signo == SIGINT || info->ssi_signo == SIGQUIT ||
		                                                info->ssi_signo == SIGTSTP || info->ssi_signo == SIGWINCH);
	return sent_to_group && getpgid(f->command) == getpgrp();
}

/* A program that signals its parent means the one it would have without us; not itself. But without us it might be
   pid 1 itself. */
static bool is_for_its_parent(const struct forward *f, const struct signalfd_siginfo *info)
{
	return info->ssi_code <= 0 && (pid_t)info->ssi_pid == f->command && getpid() != 1;
}

static void pass_on(const struct forward *f, const struct signalfd_siginfo *info)
{
	if (info->ssi_code != SI_QUEUE) {
		kill(f->command, (int)info->ssi_signo);
		return;
	}
	union sigval value = {.sival_ptr = (void *)(uintptr_t)info->ssi_ptr};
	sigqueue(f->command, (int)info->ssi_signo, value);
}

static void signalled(struct forward *f, const struct signalfd_siginfo *info)
{
	int signal = (int)info->ssi_signo;
	if (is_stop(signal))
		f->stop_asked_ms = now_ms();
	bool woke_us = signal == SIGCONT && f->just_resumed;
	f->just_resumed = 0;
	bool is_passed_on = !has_it_already(f, info) && !is_for_its_parent(f, info) && !(woke_us && !command_is_stopped(f));
	if (is_passed_on)
		pass_on(f, info);
	/* SIGCHLD has the lower number: that the command stopped may have been read before what stopped it and us */
	if (is_stop(signal) && command_is_stopped(f))
		stop_too(f, signal);
}

static bool means_hurry(int signal)
{
	return signal == SIGINT || signal == SIGTERM || signal == SIGHUP || signal == SIGQUIT;
}

static void take(struct forward *f, const struct signalfd_siginfo *info)
{
	if (info->ssi_signo == SIGCHLD)
		reap(f);
	else if (!f->command_ended)
		signalled(f, info);
	else if (means_hurry((int)info->ssi_signo) && f->on_hurry)
		f->on_hurry(f->context);
}

static bool is_over(const struct forward *f)
{
	return f->command_ended && (f->companion_ended || !f->companion);
}

void forward_until_end(struct forward *f)
{
	struct signalfd_siginfo info;
	struct pollfd fd = {.fd = f->signals, .events = POLLIN};
	reap(f);
	while (!is_over(f)) {
		if (poll(&fd, 1, -1) < 0 && errno != EINTR)
			break;
		while (!is_over(f) && read(f->signals, &info, sizeof info) == sizeof info)
			take(f, &info);
	}
	witness_close(&f->witness);
}
