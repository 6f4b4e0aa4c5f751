/*
 * plat_readable: whether a page can be read, asked by a call that the kernel refuses in one way when it can and in another
 * when it cannot. Where the program forbade that call, by an error of whatever kind or by death, nothing can be read.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "plat.h"
#include "room.h"

enum { PAGE = 4096, IS_READABLE = 1, HOLE_IS_READABLE = 2, NO_FILTERS = 77 };

static char *pages, *hole;

static void setup(void)
{
	pages = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(pages, MAP_FAILED);
	hole = pages + PAGE; /* not unmapped: what the shim maps would come to lie there */
	ck_assert_int_eq(mprotect(hole, PAGE, PROT_NONE), 0);
}

static bool readable(const char *at)
{
	return plat_readable((uintptr_t)at);
}

START_TEST(every_byte_of_a_page_that_is_there)
{
	ck_assert(readable(pages));
	ck_assert(readable(hole - 1));
	ck_assert(!readable(hole));
	ck_assert(!readable(hole + PAGE - 1));
	ck_assert(readable(hole + PAGE));
	ck_assert_int_eq(mprotect(hole, PAGE, PROT_READ), 0);
	ck_assert(readable(hole));
	ck_assert_int_eq(munmap(hole, PAGE), 0);
	ck_assert(!readable(hole));
}
END_TEST

START_TEST(nothing_at_the_edges_of_the_address_space)
{
	ck_assert(!plat_readable(0));
	ck_assert(!plat_readable(PAGE - 1));
	ck_assert(!plat_readable(UINTPTR_MAX));
	ck_assert(!plat_readable(UINTPTR_MAX - PAGE));
	ck_assert(!plat_readable(1ULL << 62)); /* no address at all */
}
END_TEST

/* In a child that forbade itself the call by a filter, which the shim knows of (is_noted) or not: what can be read then. */
static int seen_behind(uint32_t answer, bool is_noted)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigprocmask, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, answer),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
	int status = 0;
	pid_t child = fork();
	if (child == 0) {
		if (is_noted)
			plat_note_filter(&program);
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0))
			_exit(NO_FILTERS);
		_exit((readable(pages) ? IS_READABLE : 0) | (readable(hole) ? HOLE_IS_READABLE : 0));
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFEXITED(status), "it died of the filter: %#x", status);
	return WEXITSTATUS(status);
}

START_TEST(an_error_from_a_filter_is_no_answer)
{
	static const int errors[] = {EPERM, ENOSYS, EACCES, EFAULT, 0};
	int allowed = seen_behind(SECCOMP_RET_ALLOW, false);
	ck_assert_msg(allowed == IS_READABLE || allowed == NO_FILTERS, "allowed: %d", allowed);
	for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
		int seen = seen_behind(SECCOMP_RET_ERRNO | (uint32_t)errors[i], false);
		ck_assert_msg(seen == 0 || seen == NO_FILTERS, "error %d: %d", errors[i], seen);
	}
}
END_TEST

/* The error that the kernel itself gives for what can be read is one that only a filter we know of can be told from. */
START_TEST(a_filter_that_is_known_is_not_asked)
{
	static const uint32_t answers[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_ERRNO | EINVAL};
	for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
		int seen = seen_behind(answers[i], true);
		ck_assert_msg(seen == 0 || seen == NO_FILTERS, "answer %#x: %d", answers[i], seen);
	}
	int seen = seen_behind(SECCOMP_RET_ALLOW, true);
	ck_assert_msg(seen == IS_READABLE || seen == NO_FILTERS, "allowed: %d", seen);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("readable");
	TCase *plain = tcase_create("plain");
	tcase_add_checked_fixture(plain, setup, NULL);
	tcase_add_test(plain, every_byte_of_a_page_that_is_there);
	tcase_add_test(plain, nothing_at_the_edges_of_the_address_space);
	tcase_add_test(plain, an_error_from_a_filter_is_no_answer);
	tcase_add_test(plain, a_filter_that_is_known_is_not_asked);
	suite_add_tcase(suite, plain);
	return run_suite(suite);
}
