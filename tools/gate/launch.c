/*
 * launch: see launch.h. All signals are blocked (spawn_take_over_signals) and taken one by one, so that nothing is done in a
 * handler.
 */
#include "gate/launch.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "model/elf_facts.h"
#include "run/environment.h"
#include "symbols/symbols.h"

/* Dead segments are read as soon as they are seen, and looked for so often. */
#define LOOK_NS 200000000u
enum { STOP_SECONDS = 20, KEPT_DEAD = 64 };

uint64_t launch_now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- before the start ---- */

static int refuse(char error[512], const char *what, const char *why)
{
	snprintf(error, 512, "%.200s: %.280s", what, why);
	return -1;
}

static void make_run_id(struct launch *l)
{
	uint64_t chance = launch_now_ns();
	if (getrandom(&chance, sizeof chance, GRND_NONBLOCK) != sizeof chance)
		chance ^= (uint64_t)getpid() << 40;
	snprintf(l->run_id, sizeof l->run_id, "g%08x-%016llx", (unsigned)getpid(), (unsigned long long)chance);
}

/* A directory of our own, where segments would be made anyway: no other process's shim removes anything there. */
static int make_directory(struct launch *l, const struct environment_options *options, char error[512])
{
	char named[LOCATE_PATH_BYTES];
	const char *why = "", *base = named;
	environment_get(options, "dir", named, sizeof named);
	if (!named[0] && !(base = locate_segment_dir(&why)))
		return refuse(error, "/dev/shm", why);
	int n = snprintf(l->dir, sizeof l->dir, "%s/mtrace-gate.XXXXXX", base);
	if (n >= (int)sizeof l->dir || !mkdtemp(l->dir)) {
		l->dir[0] = '\0';
		return refuse(error, base, strerror(errno));
	}
	return 0;
}

static bool is_set(const struct environment_options *options, const char *key)
{
	char value[LOCATE_PATH_BYTES];
	environment_get(options, key, value, sizeof value);
	return value[0] != '\0';
}

static void add_number(struct environment_options *options, const char *key, uint64_t value)
{
	char text[32];
	snprintf(text, sizeof text, "%llu", (unsigned long long)value);
	environment_add(options, key, text);
}

/* Short windows of time: for children that make no marks. */
static void set_options(const struct launch *l, const struct gate_plan *plan, struct environment_options *options)
{
	environment_add(options, "dir", l->dir);
	add_number(options, "keep", KEPT_DEAD);
	if (plan->follow || !is_set(options, "follow"))
		environment_add(options, "follow", plan->follow ? plan->follow : "*");
	if (!is_set(options, "epoch"))
		environment_add(options, "epoch", "100");
	if (plan->unit != GATE_BY_MARK)
		return;
	if (plan->mark)
		environment_add(options, "cut", plan->mark);
	add_number(options, "cut_first", plan_cut(plan, 0));
	add_number(options, "cut_last", plan_steps(plan));
	add_number(options, "cut_windows", plan->windows);
}

static int find_program(struct launch *l, const struct gate_plan *plan, char error[512], bool *untraceable)
{
	struct elf_facts *facts = calloc(1, sizeof *facts);
	int failed = locate_command(plan->argv[0], l->path);
	const char *why = failed == -ENOENT || failed == -ENOTDIR ? "command not found" : failed ? strerror(-failed) : NULL;
	if (!why && locate_shim(l->shim) != 0)
		why = "libmtrace.so was not found beside mtrace";
	if (!why)
		why = environment_check_shim(l->shim);
	if (!why && facts && elf_facts_read(l->path, false, facts) == 0 && elf_facts_refusal(facts)) {
		why = elf_facts_refusal(facts);
		*untraceable = true;
	}
	if (why)
		refuse(error, plan->argv[0], why);
	free(facts);
	return why ? -1 : 0;
}

int launch_start(struct launch *l, const struct gate_plan *plan, char error[512], bool *untraceable)
{
	struct environment_options options;
	*l = (struct launch){.pid = 0};
	*untraceable = false;
	if (find_program(l, plan, error, untraceable) != 0)
		return -1;
	environment_begin(&options);
	make_run_id(l);
	if (make_directory(l, &options, error) != 0)
		return -1;
	set_options(l, plan, &options);
	if (options.full)
		return refuse(error, "MTRACE_OPTIONS", "too long, with what the gate adds");
	struct spawn_request request = {.path = l->path, .argv = plan->argv, .shim = l->shim, .run_id = l->run_id,
	                                .options = &options, .inherited = &l->inherited};
	fflush(stdout);
	spawn_take_over_signals(&l->inherited);
	l->pid = spawn_command(&request);
	if (l->pid < 0) {
		refuse(error, plan->argv[0], strerror(-l->pid));
		launch_end(l);
		return -1;
	}
	collect_init(&l->collect, l->run_id, l->dir, l->pid, 0);
	return 0;
}

/* ---- waiting ---- */

static void reap(struct launch *l)
{
	if (!l->ended && waitpid(l->pid, &l->wait_status, WNOHANG) == l->pid)
		l->ended = true;
}

static void look(struct launch *l)
{
	collect_scan(&l->collect);
	collect_dead(&l->collect);
	for (size_t i = 0; i < l->collect.count; i++)
		if (l->collect.segments[i].alive)
			symbols_keep_vanishing((pid_t)l->collect.segments[i].pid, NULL);
	uint64_t now = launch_now_ns();
	l->next_look_ns = now + LOOK_NS;
}

static void take_signal(struct launch *l, int signal)
{
	if (signal == SIGCHLD || signal <= 0)
		return;
	l->interrupted = signal;
	if (!l->ended)
		kill(l->pid, signal);
}

/* One signal, or `ns`. Returns it; 0: none came. */
static int wait_signal(uint64_t ns)
{
	sigset_t set;
	struct timespec timeout = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	int signal = sigtimedwait(&set, NULL, &timeout);
	return signal > 0 ? signal : 0;
}

bool launch_wait(struct launch *l, uint64_t until_ns)
{
	for (;;) {
		reap(l);
		uint64_t now = launch_now_ns();
		if (l->ended || l->interrupted || now >= until_ns)
			return !l->ended && !l->interrupted;
		if (now >= l->next_look_ns)
			look(l);
		uint64_t next = l->next_look_ns < until_ns ? l->next_look_ns : until_ns;
		now = launch_now_ns();
		take_signal(l, wait_signal(next > now ? next - now : 0));
	}
}

/* ---- helpers ---- */

static _Noreturn void become_helper(const struct launch *l, const char *command)
{
	char pid[16];
	snprintf(pid, sizeof pid, "%d", (int)l->pid);
	setenv("PID", pid, 1);
	unsetenv("MTRACE_OPTIONS");
	sigprocmask(SIG_SETMASK, &l->inherited.mask, NULL);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

int launch_help(struct launch *l, const char *command)
{
	int status;
	fflush(stdout);
	pid_t helper = fork();
	if (helper == 0)
		become_helper(l, command);
	if (helper < 0)
		return -1;
	for (;;) {
		if (waitpid(helper, &status, WNOHANG) == helper)
			return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		reap(l);
		if (launch_now_ns() >= l->next_look_ns && !l->ended)
			look(l);
		take_signal(l, wait_signal(LOOK_NS));
		if (l->interrupted) {
			kill(helper, SIGTERM);
			waitpid(helper, &status, 0);
			return -1;
		}
	}
}

/* ---- the end ---- */

void launch_stop(struct launch *l, int signal)
{
	reap(l);
	if (l->ended)
		return;
	int interrupted = l->interrupted;
	l->interrupted = 0;
	kill(l->pid, signal);
	launch_wait(l, launch_now_ns() + STOP_SECONDS * 1000000000ull);
	if (!l->ended)
		kill(l->pid, SIGKILL);
	if (!l->ended && waitpid(l->pid, &l->wait_status, 0) == l->pid)
		l->ended = true;
	l->interrupted = interrupted ? interrupted : l->interrupted;
	l->stopped = true;
}

struct profile *launch_read(struct launch *l)
{
	collect_all(&l->collect, l->ended ? l->wait_status : -1);
	return l->collect.profile;
}

void launch_end(struct launch *l)
{
	DIR *d = l->dir[0] ? opendir(l->dir) : NULL;
	for (struct dirent *e; d && (e = readdir(d));) /* what lives on records into memory that has no name any more */
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	if (l->dir[0])
		rmdir(l->dir);
	sigprocmask(SIG_SETMASK, &l->inherited.mask, NULL);
}
