/*
 * victim_sandbox: forbids itself system calls, and goes on within what it allowed: `victim_sandbox HOW [END]`. Prints "well"
 * and ends with 0; the same untracked. Its allocations after that are on new stacks, more than any table holds at the start.
 *
 * HOW: prctl, syscall   a filter that kills for all but what this program calls, installed by either function
 *      errno            one that answers EPERM instead
 *      trap             one that sends SIGSYS, whose handler ends the program
 *      strict           SECCOMP_MODE_STRICT: read, write, exit
 *      two              one that allows all, then one that kills
 * END: fork, thread: a child, a thread, is made behind the filter, and allocates.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "by_ways.h"

static int allocate(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (!allocate_by(i, 13, 16 + i % 100))
			return 0;
	return 1;
}

/* What this program and its libc call behind the filter. */
static const int allowed[] = {SYS_write, SYS_brk, SYS_mmap, SYS_munmap, SYS_exit_group, SYS_exit, SYS_newfstatat, SYS_futex,
	SYS_fstat, SYS_clone3, SYS_clone, SYS_wait4, SYS_set_robust_list, SYS_rseq, SYS_rt_sigreturn, SYS_rt_sigaction, SYS_sched_getaffinity, SYS_getrandom,
	SYS_madvise};
enum { ALLOWED = sizeof allowed / sizeof allowed[0] };

static void make_filter(struct sock_filter *code, struct sock_fprog *program, uint32_t otherwise, int is_for_threads)
{
	int n = 0;
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (int i = 0; i < ALLOWED; i++) {
		if (allowed[i] == SYS_madvise && !is_for_threads)
			continue;
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed[i], 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	if (is_for_threads) { /* libc protects the guard of a stack, and blocks signals while it makes a thread */
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigprocmask, 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, otherwise);
	*program = (struct sock_fprog){.len = (unsigned short)n, .filter = code};
}

static void on_sigsys(int number)
{
	(void)number;
	(void)!write(1, "SIGSYS\n", 7);
	_exit(1);
}

static int install(const char *how, int is_for_threads)
{
	struct sock_filter code[2 * ALLOWED + 16];
	struct sock_fprog program;
	uint32_t otherwise = SECCOMP_RET_KILL_PROCESS;
	if (!strcmp(how, "errno"))
		otherwise = SECCOMP_RET_ERRNO | EPERM;
	if (!strcmp(how, "trap") && (otherwise = SECCOMP_RET_TRAP))
		signal(SIGSYS, on_sigsys);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	if (!strcmp(how, "strict"))
		return prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0);
	if (!strcmp(how, "two")) {
		struct sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
		struct sock_fprog harmless = {.len = 1, .filter = all};
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &harmless, 0, 0))
			return -1;
	}
	make_filter(code, &program, otherwise, is_for_threads);
	if (!strcmp(how, "syscall"))
		return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

static void *thread(void *unused)
{
	return allocate(3000) ? unused : NULL;
}

static int end_by(const char *end)
{
	int status = 1;
	pthread_t t;
	void *result = NULL;
	if (!strcmp(end, "fork")) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(allocate(3000) ? 0 : 2);
		return waitpid(pid, &status, 0) == pid && status == 0;
	}
	if (!strcmp(end, "thread"))
		return pthread_create(&t, NULL, thread, &status) == 0 && pthread_join(t, &result) == 0 && result == &status;
	return 1;
}

/* Six arguments through libc's syscall(), the last of them on the stack: the second page of this program's file. */
static int has_six_arguments(void)
{
	char first[8] = "", *page = NULL;
	FILE *self = fopen("/proc/self/exe", "rb");
	if (!self || fseek(self, 4096, SEEK_SET) || fread(first, 1, sizeof first, self) != sizeof first)
		return 0;
	page = (char *)syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, fileno(self), 4096L);
	fclose(self);
	return page != MAP_FAILED && !memcmp(page, first, sizeof first);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	const char *end = argc > 2 ? argv[2] : "";
	if (!allocate(10) || !has_six_arguments())
		return 3;
	if (!strcmp(argv[1], "strict")) { /* neither more heap nor exit_group: what it needs is there */
		void *volatile room = malloc(100000);
		free(room);
		if (install("strict", 0))
			return 4;
		int is_well = allocate(300);
		(void)!write(1, is_well ? "well\n" : "no\n", is_well ? 5 : 3);
		syscall(SYS_exit, 0);
	}
	if (install(argv[1], end[0] != 0))
		return 4;
	puts(allocate(8000) && end_by(end) ? "well" : "no");
	return 0;
}
