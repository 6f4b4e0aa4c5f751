/* children: storms of fork, vfork, posix_spawn, exec and raw clone. */
#include "storm.h"

#include <sched.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void expect(pid_t pid, int wanted)
{
	int status;
	if (pid < 0)
		truth_die("no child");
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			truth_die("waitpid");
	if (status == wanted)
		return;
	fprintf(stderr, "a child ended with %#x, expected %#x\n", (unsigned)status, (unsigned)wanted);
	_exit(99);
}

/* The truth is the parent's: a child keeps its own, which nobody reads. */
static void leave_truth(void)
{
	static struct truth_thread nobodys;
	truth_me = &nobodys;
}

static void allocate_in_child(struct truth_block inherited)
{
	leave_truth();
	free(inherited.pointer);
	void *kept[40];
	for (int i = 0; i < 40; i++)
		kept[i] = malloc((size_t)(i * 37 % 900) + 1);
	for (int i = 0; i < 40; i++)
		kept[i] = realloc(kept[i], (size_t)(i * 91 % 900) + 1);
	for (int i = 0; i < 36; i++) /* four stay */
		free(kept[i]);
}

static void run_child(int how, struct truth_block inherited)
{
	allocate_in_child(inherited);
	if (how % 5 == 1)
		execl("/bin/true", "true", (char *)NULL);
	if (how % 5 == 2) {
		pid_t grandchild = fork();
		if (grandchild == 0) {
			allocate_in_child(no_block);
			_exit(0);
		}
		expect(grandchild, 0);
	}
	if (how % 5 == 3)
		kill(getpid(), SIGKILL);
	_exit(0);
}

void *fork_driver(void *argument)
{
	truth_join_thread((uint32_t)(uintptr_t)argument);
	for (int i = 0; !is_over(); i++) {
		struct truth_block block = exchange((uint32_t)i, no_block); /* the child frees its copy */
		pid_t pid = fork();
		if (pid == 0)
			run_child(i, block);
		exchange((uint32_t)i + 7, block);
		expect(pid, i % 5 == 3 ? SIGKILL : 0);
		count_round();
	}
	return NULL;
}

void storm_fork(void)
{
	run(3, (void *(*const[])(void *)){fork_driver, fork_driver}, 2);
}

/* Runs on the suspended parent's state and heap, and is recorded as its thread. */
TRUTH_FUNCTION void truth_in_vfork(int how, struct truth_block *block)
{
	pid_t pid = vfork();
	if (pid == 0) {
		truth_free(*block);
		*block = truth_take(TAKE_VFORK, 100 + (unsigned)how % 50);
		if (how % 3 == 1)
			execl("/bin/true", "true", (char *)NULL);
		_exit(0);
	}
	expect(pid, 0);
}

void *vfork_driver(void *argument)
{
	truth_join_thread((uint32_t)(uintptr_t)argument);
	static struct truth_block blocks[16];
	struct truth_block *block = &blocks[(uintptr_t)argument % 16]; /* not in a register over vfork */
	for (int i = 0; !is_over(); i++) {
		truth_in_vfork(i, block);
		count_round();
	}
	return NULL;
}

void storm_vfork(void)
{
	run(3, (void *(*const[])(void *)){vfork_driver, vfork_driver}, 2);
}

void *spawn_driver(void *unused)
{
	char *arguments[] = {(char *)"true", NULL};
	char *shell[] = {(char *)"sh", (char *)"-c", (char *)"exit 3", NULL};
	for (int i = 0; !is_over(); i++) {
		pid_t pid;
		posix_spawn_file_actions_t actions;
		posix_spawn_file_actions_init(&actions);
		posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
		posix_spawn_file_actions_addopen(&actions, 9, "/dev/null", O_RDONLY, 0);
		int is_shell = i % 4 == 0;
		if (posix_spawnp(&pid, is_shell ? "sh" : "true", &actions, NULL, is_shell ? shell : arguments, environ))
			truth_die("posix_spawn");
		posix_spawn_file_actions_destroy(&actions);
		expect(pid, is_shell ? 3 << 8 : 0);
		if (i % 8 == 0 && system("exit 4") != 4 << 8)
			truth_die("system");
		count_round();
	}
	return unused;
}

void storm_spawn(void)
{
	run(3, (void *(*const[])(void *)){spawn_driver, spawn_driver}, 2);
}

/* The same pid, image after image, with threads at work when the old one is thrown away. */
void storm_exec(void)
{
	const char *carried = getenv("STORM_EXEC"); /* rounds and the end, from the image before */
	if (carried) {
		char *rest;
		rounds = strtoull(carried, &rest, 10);
		ends_ms = strtoull(rest, NULL, 10);
	}
	pthread_t t[2];
	uint64_t last = ends_ms;
	int is_last = is_over();
	ends_ms = now_ms() + 40; /* of the threads of this image */
	for (int i = 0; i < 2; i++)
		if (pthread_create(&t[i], NULL, load, (void *)(uintptr_t)(LOADS_FIRST + i)))
			truth_die("pthread_create");
	if (is_last) {
		pthread_join(t[0], NULL);
		pthread_join(t[1], NULL);
		return;
	}
	usleep(1000 * (useconds_t)(5 + rounds % 12));
	char next[64];
	snprintf(next, sizeof next, "%llu %llu", (unsigned long long)rounds + 1, (unsigned long long)last);
	setenv("STORM_EXEC", next, 1);
	execl(self, "storm", "exec", seconds, truth_path, (char *)NULL);
	truth_die(self);
}

TRUTH_FUNCTION int truth_in_clone(void *argument)
{
	struct truth_block *block = argument;
	truth_free(*block);
	*block = truth_take(TAKE_CLONE, 77);
	truth_stay();
	return 0;
}

enum { CLONE_STACK = 64 << 10 };

void *clone_driver(void *argument)
{
	truth_join_thread((uint32_t)(uintptr_t)argument);
	char *stack = mmap(NULL, CLONE_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct truth_block block = no_block;
	for (int i = 0; !is_over(); i++) {
		if (i % 2) { /* another stack, the same thread pointer, as posix_spawn does it */
			expect(clone(truth_in_clone, stack + CLONE_STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, &block), 0);
		} else { /* a fork that no atfork handler sees; glibc's locks are as they were, so it may only end */
			long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
			if (pid == 0)
				syscall(SYS_exit_group, 0);
			expect((pid_t)pid, 0);
		}
		count_round();
	}
	return NULL;
}

void storm_clone(void)
{
	run(3, (void *(*const[])(void *)){clone_driver, clone_driver}, 2);
}

/* The raw child of a process of one thread may allocate: nobody holds a lock. */
void storm_clone_alone(void)
{
	for (int i = 0; !is_over(); i++) {
		struct truth_block block = truth_take(TAKE_ALONE, 64);
		long pid = i % 2 ? (long)_Fork() : syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
		if (pid == 0) {
			allocate_in_child(block);
			_exit(0);
		}
		expect((pid_t)pid, 0);
		truth_free(block);
		count_round();
	}
}
