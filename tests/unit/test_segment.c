/* segment: the file, its growth, its cap, and what happens to old ones. */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "options.h"
#include "room.h"

static char dir[64];

static void setup(void)
{
	snprintf(dir, sizeof dir, "/dev/shm/mtrace-segment.%d", getpid());
	mkdir(dir, 0700);
	options_parse(&options, NULL);
}

static void teardown(void)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

static enum segment_error create(uint64_t cap)
{
	return segment_create(&(struct segment_request){.dir = dir, .cap_bytes = cap});
}

static unsigned files(void)
{
	unsigned count = 0;
	char command[128];
	snprintf(command, sizeof command, "ls '%s' | wc -l", dir);
	FILE *pipe = popen(command, "r");
	ck_assert_int_eq(fscanf(pipe, "%u", &count), 1);
	pclose(pipe);
	return count;
}

/* What a forked process sees; its exit status is the number of the check that failed. */
static int in_child(int (*body)(void))
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(body());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

START_TEST(the_file_says_who_and_is_private)
{
	struct stat st;
	ck_assert_int_eq(create(16 << 20), SEGMENT_OK);
	ck_assert_int_eq(stat(segment.path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_uint_eq((uint64_t)st.st_size, segment.header->file_bytes);
	ck_assert_uint_le((uint64_t)st.st_blocks * 512, 1 << 20);
	ck_assert(!memcmp(segment.header->magic, MTRACE_SEGMENT_MAGIC, 8));
	ck_assert_uint_eq(segment.header->pid, (uint32_t)getpid());
	ck_assert_uint_gt(segment.header->start_time, 0);
	ck_assert_ptr_nonnull(strstr(segment.info->exe, "test_segment"));
	ck_assert_uint_gt(segment.info->args_bytes, 0);
}
END_TEST

static bool is_locked(void)
{
	int fd = open(segment.path, O_RDONLY);
	bool locked = flock(fd, LOCK_SH | LOCK_NB) != 0;
	close(fd);
	return locked;
}

static int make_and_leave(void)
{
	return create(16 << 20) == SEGMENT_OK ? 0 : 1;
}

START_TEST(the_lock_lasts_as_long_as_the_process)
{
	ck_assert_int_eq(create(16 << 20), SEGMENT_OK);
	ck_assert(is_locked());
	ck_assert(segment_is_alive(dir, (uint32_t)getpid()));
	ck_assert_int_eq(in_child(make_and_leave), 0);
	unsigned dead = 0;
	char command[160];
	snprintf(command, sizeof command, "for f in '%s'/*; do flock -s -n $f true && echo dead; done | grep -c dead", dir);
	FILE *pipe = popen(command, "r");
	ck_assert_int_eq(fscanf(pipe, "%u", &dead), 1);
	pclose(pipe);
	ck_assert_uint_eq(dead, 1);
}
END_TEST

START_TEST(reserved_elements_are_zero_and_apart)
{
	ck_assert_int_eq(create(64 << 20), SEGMENT_OK);
	uint64_t last = 0;
	for (int i = 0; i < 100000; i++) {
		uint64_t id = segment_reserve(MTRACE_REGION_NODES, 1);
		ck_assert_uint_gt(id, last);
		struct mtrace_node *node = (struct mtrace_node *)(void *)segment.base[MTRACE_REGION_NODES] + id;
		ck_assert_uint_eq(node->key, 0);
		node->key = id;
		last = id;
	}
	ck_assert_uint_ge(atomic_load(&segment.header->regions[MTRACE_REGION_NODES].committed_bytes), 100000 * 16);
}
END_TEST

START_TEST(the_cap_holds_and_full_is_for_good)
{
	ck_assert_int_eq(create(1 << 20), SEGMENT_OK);
	while (segment_reserve(MTRACE_REGION_LIVE_LINES, 1) != UINT64_MAX)
		;
	ck_assert_uint_le(atomic_load(&segment.header->committed_bytes), 1 << 20);
	ck_assert_uint_gt(atomic_load(&segment.header->committed_bytes), 1 << 19);
	ck_assert_uint_eq(segment_reserve(MTRACE_REGION_LIVE_LINES, 1), UINT64_MAX);
}
END_TEST

START_TEST(what_is_given_back_can_be_taken_again)
{
	ck_assert_int_eq(create(64 << 20), SEGMENT_OK);
	uint64_t first = segment_reserve(MTRACE_REGION_ROWS, 1);
	ck_assert(segment_ensure(MTRACE_REGION_ROWS, 8 << 20));
	uint64_t before = atomic_load(&segment.header->committed_bytes);
	struct mtrace_row *rows = (struct mtrace_row *)(void *)segment.base[MTRACE_REGION_ROWS];
	rows[first].node = 77;
	segment_give_back();
	ck_assert_uint_lt(atomic_load(&segment.header->committed_bytes), before - (7 << 20));
	ck_assert_uint_eq(rows[first].node, 77);
	for (int i = 0; i < 200000; i++) {
		uint64_t id = segment_reserve(MTRACE_REGION_ROWS, 1);
		ck_assert_uint_ne(id, UINT64_MAX);
		rows[id].node = (uint32_t)id;
	}
}
END_TEST

static int under_file_limit(void)
{
	struct rlimit limit = {1 << 20, 1 << 20};
	setrlimit(RLIMIT_FSIZE, &limit);
	return create(64 << 20) == SEGMENT_FILE_LIMIT ? 0 : 1; /* and no SIGXFSZ */
}

static int under_address_limit(void)
{
	struct rlimit limit = {256 << 20, 256 << 20};
	setrlimit(RLIMIT_AS, &limit);
	return create(4ull << 30) == SEGMENT_OK && segment.cap_bytes < 64 << 20 ? 0 : 1;
}

START_TEST(limits_make_it_smaller_or_refuse)
{
	ck_assert_int_eq(in_child(under_file_limit), 0);
	ck_assert_int_eq(in_child(under_address_limit), 0);
}
END_TEST

START_TEST(an_unusable_directory_is_said)
{
	struct segment_request request = {.dir = "/nonexistent", .cap_bytes = 16 << 20};
	ck_assert_int_eq(segment_create(&request), SEGMENT_NO_FILE);
	ck_assert_ptr_nonnull(strstr(segment_error_text(SEGMENT_NO_FILE), "dir="));
}
END_TEST

/* A file system of 2 MiB that fills up: an error code, never SIGBUS. */
static int on_a_small_tmpfs(void)
{
	char command[160];
	snprintf(command, sizeof command, "mount -t tmpfs -o size=2m tmpfs '%s'", dir);
	if (system(command))
		return 77;
	int result = 0;
	if (create(64 << 20) != SEGMENT_OK)
		result = 1;
	uint64_t id, taken = 0;
	while (!result && (id = segment_reserve(MTRACE_REGION_LIVE_LINES, 1)) != UINT64_MAX) {
		memset(segment.base[MTRACE_REGION_LIVE_LINES] + id * 64, 1, 64);
		taken++;
	}
	snprintf(command, sizeof command, "umount -l '%s'", dir);
	(void)!system(command);
	return result ? result : taken > 1000 ? 0 : 2;
}

START_TEST(a_full_file_system_is_no_signal)
{
	int result = in_child(on_a_small_tmpfs);
	ck_assert_msg(result == 0 || result == 77, "status %d", result);
}
END_TEST

/* The first and the newest keep-1 dead ones stay; live ones and other programs' always. */
START_TEST(old_segments_are_pruned)
{
	for (int i = 0; i < 6; i++) {
		ck_assert_int_eq(in_child(make_and_leave), 0);
		usleep(2000);
	}
	ck_assert_uint_eq(files(), 6);
	ck_assert_int_eq(create(16 << 20), SEGMENT_OK);
	segment_prune(3);
	ck_assert_uint_eq(files(), 4);
	segment_prune(0);
	ck_assert_uint_eq(files(), 1);
	ck_assert_int_eq(access(segment.path, F_OK), 0);
}
END_TEST

START_TEST(the_end_is_noted_once)
{
	ck_assert_int_eq(create(16 << 20), SEGMENT_OK);
	segment_note_end(MTRACE_END_EXIT, 3);
	segment_note_end(MTRACE_END_UNDERSCORE_EXIT, 4);
	ck_assert_uint_eq(atomic_load(&segment.header->end), MTRACE_END_EXIT);
	ck_assert_int_eq(atomic_load(&segment.header->end_status), 3);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("segment");
	TCase *plain = tcase_create("plain");
	tcase_add_checked_fixture(plain, setup, teardown);
	tcase_set_timeout(plain, 60);
	tcase_add_test(plain, the_file_says_who_and_is_private);
	tcase_add_test(plain, the_lock_lasts_as_long_as_the_process);
	tcase_add_test(plain, reserved_elements_are_zero_and_apart);
	tcase_add_test(plain, the_cap_holds_and_full_is_for_good);
	tcase_add_test(plain, what_is_given_back_can_be_taken_again);
	tcase_add_test(plain, limits_make_it_smaller_or_refuse);
	tcase_add_test(plain, an_unusable_directory_is_said);
	tcase_add_test(plain, a_full_file_system_is_no_signal);
	tcase_add_test(plain, old_segments_are_pruned);
	tcase_add_test(plain, the_end_is_noted_once);
	suite_add_tcase(suite, plain);
	return room_run(suite);
}
