/*
 * test_tools_outside: what can be seen of a process without our library: resident memory by class of mapping, threads
 * by name, the redacted command line; and one clear line where nothing can be seen.
 *
 * The victim is a forked child that lays out memory of every class and waits. The rows must add up to the resident
 * memory of the same pass, and each class must hold what the child put there.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model/profile.h"
#include "read/mappings.h"
#include "read/read.h"
#include "run.h"

#define MIB (1ull << 20)
#define WORKERS 3

static pid_t victim;
static struct profile *profile;
static struct read_error error;

/* ---- the victim ---- */

static void *touch(void *p, size_t bytes)
{
	memset(p, 0x5a, bytes);
	__asm__ volatile("" : : "r"(p) : "memory");
	return p;
}

static void *work(void *name)
{
	char deep[2 * MIB];
	prctl(PR_SET_NAME, name);
	touch(deep, sizeof deep);
	pause();
	return deep[1] ? NULL : name;
}

/* 6 MiB in the brk heap, in 2 stacks of 8 MiB or so each, shared memory, an arena's shape, and plain anonymous. */
static void lay_out(void)
{
	pthread_t thread;
	for (int i = 0; i < WORKERS; i++)
		ck_assert_int_eq(pthread_create(&thread, NULL, work, (void *)(i ? "pool-worker" : "listener")), 0);
	touch(sbrk(6 * MIB), 6 * MIB);
	touch(mmap(NULL, 5 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), 5 * MIB);
	char *wide = mmap(NULL, 128 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *arena = (char *)(((uintptr_t)wide + 64 * MIB - 1) & ~(64 * MIB - 1));
	munmap(wide, (size_t)(arena - wide));
	munmap(arena + 64 * MIB, (size_t)(wide + 64 * MIB - arena));
	mprotect(arena, 7 * MIB, PROT_READ | PROT_WRITE);
	touch(arena, 7 * MIB);
	touch(mmap(NULL, 9 * MIB, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 9 * MIB);
}

static void start_victim(void)
{
	int ready[2];
	char byte;
	ck_assert_int_eq(pipe(ready), 0);
	victim = fork();
	if (victim == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		lay_out();
		usleep(200000); /* the workers touch their stacks */
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(0);
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	profile = profile_new();
	error.text[0] = '\0';
}

static void end_victim(void)
{
	kill(victim, SIGKILL);
	waitpid(victim, NULL, 0);
	profile_free(profile);
}

static uint64_t bytes_of(const struct profile_process *process, const char *owner)
{
	for (uint32_t i = 0; i < process->ledger_count; i++)
		if (strcmp(process->ledger[i].owner, owner) == 0)
			return process->ledger[i].bytes;
	return 0;
}

static const struct profile_process *look(void)
{
	int code = read_outside(victim, profile, &error);
	ck_assert_msg(code == 0, "%s", error.text);
	ck_assert_uint_eq(profile->process_count, 1);
	return &profile->processes[0];
}

/* ---- what is seen ---- */

START_TEST(rows_add_up_to_the_resident_memory)
{
	const struct profile_process *process = look();
	uint64_t sum = 0;
	for (uint32_t i = 0; i < process->ledger_count; i++) {
		ck_assert_uint_gt(process->ledger[i].bytes, 0);
		ck_assert_str_eq(process->ledger[i].measured_by, "smaps");
		sum += process->ledger[i].bytes;
	}
	ck_assert_uint_eq(sum, process->rss_bytes);
	ck_assert_uint_gt(sum, 30 * MIB);
}
END_TEST

START_TEST(each_class_holds_what_was_put_there)
{
	const struct profile_process *process = look();
	ck_assert_uint_ge(bytes_of(process, "heap"), 6 * MIB);
	ck_assert_uint_ge(bytes_of(process, "shared-memory"), 5 * MIB);
	ck_assert_uint_ge(bytes_of(process, "malloc-arenas"), 7 * MIB);
	ck_assert_uint_lt(bytes_of(process, "malloc-arenas"), 9 * MIB);
	ck_assert_uint_ge(bytes_of(process, "anonymous"), 9 * MIB);
	ck_assert_uint_ge(bytes_of(process, "thread-stacks"), WORKERS * 2 * MIB);
	ck_assert_uint_lt(bytes_of(process, "thread-stacks"), WORKERS * 3 * MIB);
	ck_assert_uint_gt(bytes_of(process, "file-code"), 0);
	ck_assert_uint_gt(bytes_of(process, "main-stack"), 0);
}
END_TEST

START_TEST(threads_have_names)
{
	const struct profile_process *process = look();
	unsigned workers = 0;
	ck_assert_uint_eq(process->thread_count, WORKERS + 1);
	for (uint32_t i = 0; i < process->thread_count; i++)
		workers += strcmp(process->threads[i].name, "pool-worker") == 0;
	ck_assert_uint_eq(workers, WORKERS - 1);
}
END_TEST

START_TEST(it_says_who_it_is)
{
	const struct profile_process *process = look();
	ck_assert_uint_eq(process->pid, (uint32_t)victim);
	ck_assert_uint_eq(process->parent_pid, (uint32_t)getpid());
	ck_assert_int_eq(process->mode, PROFILE_OUTSIDE);
	ck_assert_int_eq(process->end, PROFILE_RUNNING);
	ck_assert_ptr_nonnull(strstr(process->exe, "test_tools_outside"));
	ck_assert_uint_gt(process->lived_ns, 0);
	ck_assert_uint_lt(process->lived_ns, 600ull * 1000000000);
}
END_TEST

START_TEST(the_command_line_is_redacted)
{
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execlp("sh", "sh", "-c", "kill -STOP $$; :", "sh", "--password=hunter2", (char *)NULL);
		_exit(127);
	}
	usleep(200000);
	struct profile *own = profile_new();
	ck_assert_msg(read_outside(child, own, &error) == 0, "%s", error.text);
	ck_assert_uint_eq(own->processes[0].arg_count, 5);
	ck_assert_str_eq(own->processes[0].args[4], "--password=***");
	profile_free(own);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}
END_TEST

START_TEST(the_ledger_of_a_known_process_is_filled_alike)
{
	struct profile_process *process = profile_add_process(profile);
	ck_assert_int_eq(read_outside_ledger(victim, profile, process, &error), 0);
	ck_assert_uint_ge(bytes_of(process, "heap"), 6 * MIB);
	ck_assert_uint_eq(process->thread_count, 0);
}
END_TEST

/* ---- what cannot be seen ---- */

static void expect_error(pid_t pid, int code, const char *says)
{
	struct profile *empty = profile_new();
	struct read_error e = {""};
	ck_assert_int_eq(read_outside(pid, empty, &e), code);
	ck_assert_msg(strstr(e.text, says), "%s", e.text);
	ck_assert_ptr_null(strchr(e.text, '\n'));
	ck_assert_uint_eq(empty->process_count, 0);
	profile_free(empty);
}

START_TEST(no_such_process)
{
	expect_error(4194303, -ENOENT, "no process 4194303");
}
END_TEST

START_TEST(a_zombie_and_a_kernel_thread)
{
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	usleep(100000);
	expect_error(child, -ESRCH, "waits to be reaped");
	waitpid(child, NULL, 0);
}
END_TEST

START_TEST(another_users_process)
{
	if (geteuid() != 0)
		return;
	pid_t child = fork();
	if (child == 0) {
		struct profile *empty = profile_new();
		struct read_error e = {""};
		if (setgid(65534) != 0 || setuid(65534) != 0)
			_exit(1);
		int code = read_outside(victim, empty, &e);
		_exit(code == -EACCES && strstr(e.text, "root") ? 0 : 2);
	}
	int status;
	waitpid(child, &status, 0);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* A process may end between any two reads: an error or a whole answer, never a part of one. */
START_TEST(it_may_end_while_being_read)
{
	unsigned whole = 0, gone = 0;
	for (int i = 0; i < 200; i++) {
		pid_t child = fork();
		if (child == 0) {
			touch(malloc(MIB), MIB);
			usleep((unsigned)(i * 10));
			_exit(0);
		}
		struct profile *own = profile_new();
		struct read_error e = {""};
		int code = read_outside(child, own, &e);
		if (code == 0)
			ck_assert_uint_gt(own->processes[0].rss_bytes, 0);
		else
			ck_assert_msg(e.text[0] && own->process_count == 0, "%s", e.text);
		whole += code == 0;
		gone += code != 0;
		profile_free(own);
		waitpid(child, NULL, 0);
	}
	ck_assert_uint_eq(whole + gone, 200);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("outside");
	TCase *cases = tcase_create("outside");
	tcase_set_timeout(cases, 60);
	tcase_add_checked_fixture(cases, start_victim, end_victim);
	tcase_add_test(cases, rows_add_up_to_the_resident_memory);
	tcase_add_test(cases, each_class_holds_what_was_put_there);
	tcase_add_test(cases, threads_have_names);
	tcase_add_test(cases, it_says_who_it_is);
	tcase_add_test(cases, the_command_line_is_redacted);
	tcase_add_test(cases, the_ledger_of_a_known_process_is_filled_alike);
	tcase_add_test(cases, no_such_process);
	tcase_add_test(cases, a_zombie_and_a_kernel_thread);
	tcase_add_test(cases, another_users_process);
	tcase_add_test(cases, it_may_end_while_being_read);
	suite_add_tcase(suite, cases);
	return run_suite(suite);
}
