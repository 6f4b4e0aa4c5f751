/* segment: the file, its growth, its cap, and what happens to old ones. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
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

/* The number that a command prints; %s in it is the directory. */
static unsigned number_of(const char *format)
{
	unsigned number = 0;
	char command[160];
	snprintf(command, sizeof command, format, dir);
	FILE *pipe = popen(command, "r");
	ck_assert_int_eq(fscanf(pipe, "%u", &number), 1);
	pclose(pipe);
	return number;
}

static unsigned files(void)
{
	return number_of("ls '%s' | wc -l");
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

/* Somebody wrote into the header, which is for readers: what is unmapped is what was mapped. */
START_TEST(an_undone_segment_is_gone_whatever_it_says)
{
	ck_assert_int_eq(create(16 << 20), SEGMENT_OK);
	char *at = (char *)segment.header;
	segment.header->file_bytes = MTRACE_PAGE_BYTES;
	segment_undo();
	for (uint64_t page = 0; page < MTRACE_REGIONS_OFFSET; page += MTRACE_PAGE_BYTES)
		ck_assert_int_ne(msync(at + page, 1, MS_ASYNC), 0);
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
	ck_assert_uint_eq(number_of("for f in '%s'/*; do flock -s -n $f true && echo dead; done | grep -c dead"), 1);
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

/* Threads go on while the exit gives back: what they hold stays theirs, to the byte, and its ids stay good. Several
   chunks at a time, which is more than any slack. */
enum { APPENDERS = 3, APPENDED = 400, AT_A_TIME = 8 };
static _Atomic int appending;
static _Atomic uint64_t bad_ids, lost, refused;

static void *append_and_look_back(void *argument)
{
	struct mtrace_live_chunk *chunks = (struct mtrace_live_chunk *)(void *)segment.base[MTRACE_REGION_LIVE_CHUNKS];
	uint64_t before = 0;
	for (int i = 0; i < APPENDED; i++) {
		uint64_t id = segment_reserve(MTRACE_REGION_LIVE_CHUNKS, AT_A_TIME);
		if (id == UINT64_MAX) {
			refused++;
			break;
		}
		id += AT_A_TIME - 1;
		lost += chunks[id].leaves[0] != 0 || (before && chunks[before].leaves[0] != before);
		chunks[id].leaves[0] = id;
		bad_ids += !segment_id_ok(MTRACE_REGION_LIVE_CHUNKS, id, sizeof *chunks);
		before = id;
	}
	appending--;
	return argument;
}

START_TEST(giving_back_hurts_nobody_who_goes_on)
{
	pthread_t threads[APPENDERS];
	ck_assert_int_eq(create(16ull << 30), SEGMENT_OK);
	appending = APPENDERS;
	for (int i = 0; i < APPENDERS; i++)
		pthread_create(&threads[i], NULL, append_and_look_back, NULL);
	while (appending)
		segment_give_back();
	for (int i = 0; i < APPENDERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(bad_ids, 0);
	ck_assert_uint_eq(lost, 0);
	ck_assert_uint_eq(refused, 0);
	ck_assert_uint_eq(atomic_load(&segment.header->state), MTRACE_STATE_CREATING); /* not poisoned */
}
END_TEST

/* What a hook that the fork interrupted may still touch reads as zero; the host's own mappings, in what was released,
   are not touched, neither when the zeroes come nor when they go. */
static char *hosts;

static int read_in_child(void)
{
	segment_replace_by_zeroes();
	for (int i = 0; i < MTRACE_REGION_COUNT; i++) {
		uint64_t there = atomic_load(&segment.header->regions[i].committed_bytes);
		if (there) /* the header's own words are zeroes too */
			return 1;
	}
	const uint64_t *rows = (const uint64_t *)(const void *)segment.base[MTRACE_REGION_ROWS];
	for (uint64_t i = 0; i < (1 << 20) / sizeof *rows; i++)
		if (rows[i])
			return 2;
	if (memcmp(hosts, "host", 4))
		return 3;
	segment_drop_zeroes();
	return memcmp(hosts, "host", 4) ? 4 : 0;
}

/* A growth that the fork interrupted between its pages and its word, a region's first one as well, is not published. */
static int grow_in_child(void)
{
	uint64_t nothing = 0;
	segment_replace_by_zeroes();
	if (atomic_compare_exchange_strong(&segment.committed[MTRACE_REGION_CLASSES], &nothing, 1 << 14))
		return 2;
	if (segment_ensure(MTRACE_REGION_ROWS, 8 << 20) || segment_reserve(MTRACE_REGION_MARKS, 1) != UINT64_MAX)
		return 1;
	return 0;
}

static int child_of_a_child(void)
{
	segment_replace_by_zeroes();
	int status = in_child(read_in_child);
	return status ? 10 + status : memcmp(hosts, "host", 4) ? 4 : 0;
}

START_TEST(zeroes_stand_only_where_we_were)
{
	ck_assert_int_eq(create(512 << 20), SEGMENT_OK);
	ck_assert(segment_ensure(MTRACE_REGION_ROWS, 1 << 20));
	memset(segment.base[MTRACE_REGION_ROWS], 7, 1 << 20);
	segment_release_reserve();
	char *hole = segment.base[MTRACE_REGION_ROWS] + (8 << 20);
	hosts = mmap(hole, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	ck_assert_ptr_eq(hosts, hole);
	memcpy(hosts, "host", 4);
	ck_assert_int_eq(in_child(read_in_child), 0);
	ck_assert_int_eq(in_child(child_of_a_child), 0);
	ck_assert_int_eq(in_child(grow_in_child), 0);
}
END_TEST

/* Address space of a child is its own: zeroes cost what is in use, not what is reserved. */
static int limit_in_child(void)
{
	struct rlimit limit = {200 << 20, 200 << 20};
	segment_replace_by_zeroes();
	setrlimit(RLIMIT_AS, &limit);
	void *p = mmap(NULL, 64 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? 1 : 0;
}

START_TEST(zeroes_are_no_larger_than_what_they_stand_for)
{
	ck_assert_int_eq(create(512 << 20), SEGMENT_OK);
	ck_assert_int_eq(in_child(limit_in_child), 0);
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

/* ---- places ---- */

static int make_by_name(void)
{
	segment_create(&(struct segment_request){.dir = strrchr(dir, '/') + 1, .cap_bytes = 16 << 20});
	return access(segment.path, F_OK) ? 1 : 0;
}

/* A relative directory is where it was when the program began, for its forks too, wherever they went meanwhile. */
START_TEST(a_relative_directory_stays_where_it_was)
{
	ck_assert_int_eq(chdir("/dev/shm"), 0);
	ck_assert_int_eq(make_by_name(), 0);
	ck_assert_int_eq(segment.path[0], '/');
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(in_child(make_by_name), 0);
	ck_assert_uint_eq(files(), 2);
}
END_TEST

static bool hide(const char *path)
{
	char command[128];
	snprintf(command, sizeof command, "mount -t tmpfs -o ro,size=64k tmpfs '%s'", path);
	return system(command) == 0;
}

static bool dies_with_process(void)
{
	return (segment.header->features_optional & MTRACE_FEATURE_DIES_WITH_PROCESS) != 0;
}

/* 77: this needs the right to mount. */
static int without_directories(void)
{
	if (unshare(CLONE_NEWNS) || system("mount --make-rprivate /") || !hide("/dev/shm") || !hide("/tmp"))
		return 77;
	if (segment_create(&(struct segment_request){.dir = "", .cap_bytes = 16 << 20}) != SEGMENT_OK)
		return 1;
	if (segment.path[0] || !dies_with_process())
		return 2;
	if (system("ls -l /proc/$PPID/fd | grep -q memfd") == 0)
		return 3; /* its descriptor is the host's to see */
	if (!segment_is_alive("", (uint32_t)getpid()) || segment_is_alive("", (uint32_t)getppid()))
		return 5; /* or children that exec would be taken for targets */
	segment_prune(0);
	memset(segment.base[MTRACE_REGION_ROWS] + 40 * segment_reserve(MTRACE_REGION_ROWS, 1), 1, 40);
	return segment_ensure(MTRACE_REGION_ROWS, 4 << 20) ? 0 : 4;
}

START_TEST(without_a_directory_it_is_in_memory)
{
	int result = in_child(without_directories);
	ck_assert_msg(result == 0 || result == 77, "status %d", result);
}
END_TEST

enum { HELD = 3 };
static int held[HELD];
static char held_dir[64];

static void hold(const char *run)
{
	char name[64];
	snprintf(options.run, sizeof options.run, "%s", run);
	snprintf(name, sizeof name, MTRACE_HELD_NAME "%s", run);
	snprintf(held_dir, sizeof held_dir, "/proc/%d/fd", getpid());
	for (int i = 0; i < HELD; i++)
		held[i] = memfd_create(name, MFD_CLOEXEC);
}

static enum segment_error create_held(void)
{
	return segment_create(&(struct segment_request){.dir = held_dir, .cap_bytes = 16 << 20});
}

static int make_held_and_be_killed(void)
{
	if (create_held() != SEGMENT_OK || dies_with_process())
		return 1;
	segment_note_end(MTRACE_END_EXIT, 42);
	raise(SIGKILL);
	return 2;
}

static unsigned held_in_use(uint32_t pid)
{
	unsigned count = 0;
	struct mtrace_header h;
	for (int i = 0; i < HELD; i++)
		count += pread(held[i], &h, sizeof h, 0) == sizeof h && (!pid || h.pid == pid);
	return count;
}

START_TEST(a_held_segment_outlives_its_process)
{
	struct mtrace_header h;
	hold("r-1");
	ck_assert_int_eq(in_child(make_held_and_be_killed), 1000 + SIGKILL);
	ck_assert_uint_eq(held_in_use(0), 1);
	for (int i = 0; i < HELD; i++)
		if (pread(held[i], &h, sizeof h, 0) == sizeof h)
			ck_assert_int_eq(h.end_status, 42);
	for (int i = 1; i < HELD; i++)
		ck_assert_int_eq(in_child(make_held_and_be_killed), 1000 + SIGKILL);
	ck_assert_uint_eq(held_in_use(0), HELD);
	ck_assert_int_eq(in_child(make_held_and_be_killed), 1); /* none left: it dies with the process, and says so */
	ck_assert_int_eq(ftruncate(held[1], 0), 0);
	ck_assert_int_eq(in_child(make_held_and_be_killed), 1000 + SIGKILL);
	ck_assert_uint_eq(held_in_use(0), HELD);
}
END_TEST

static int make_forked(void)
{
	struct segment_request request = {.dir = held_dir, .cap_bytes = 16 << 20, .forked = true};
	return segment_create(&request) == SEGMENT_OK ? dies_with_process() : 2;
}

static int make_image(void)
{
	return create_held() == SEGMENT_OK ? dies_with_process() : 2;
}

START_TEST(forks_leave_some_for_images)
{
	hold("r-5");
	close(held[HELD - 1]);
	held[HELD - 1] = memfd_create(MTRACE_HELD_NAME "r-5" MTRACE_HELD_IMAGES, MFD_CLOEXEC);
	for (int i = 0; i < HELD - 1; i++)
		ck_assert_int_eq(in_child(make_forked), 0);
	ck_assert_int_eq(in_child(make_forked), 1);
	ck_assert_int_eq(in_child(make_image), 0);
	ck_assert_int_eq(in_child(make_image), 1);
}
END_TEST

/* Both of one process, as if it had called exec in between. */
static int make_two_images(void)
{
	if (create_held() != SEGMENT_OK || segment.header->image != 0 || create_held() != SEGMENT_OK)
		return 1;
	return segment.header->image == 1 && held_in_use((uint32_t)getpid()) == 2 ? 0 : 2;
}

START_TEST(held_images_are_numbered_and_the_one_before_has_ended)
{
	struct mtrace_header h;
	unsigned ended = 0;
	hold("r-2");
	ck_assert_int_eq(in_child(make_two_images), 0);
	for (int i = 0; i < HELD; i++)
		ended += pread(held[i], &h, sizeof h, 0) == sizeof h && h.end == MTRACE_END_EXEC && h.image == 0;
	ck_assert_uint_eq(ended, 1);
}
END_TEST

static int exec_forgets(void)
{
	struct segment_request request = {.dir = held_dir, .cap_bytes = 16 << 20, .forked = true};
	if (segment_create(&request) != SEGMENT_OK || !segment_was_forked(held_dir, (uint32_t)getpid()) ||
	    !segment_is_alive(held_dir, (uint32_t)getpid()))
		return 1;
	munmap(segment.header, segment.header->file_bytes); /* as exec does */
	segment_forget_forked(held_dir);
	return held_in_use(0) ? 2 : 0;
}

START_TEST(a_held_fork_is_forgotten_at_exec)
{
	hold("r-3");
	ck_assert_int_eq(in_child(exec_forgets), 0);
}
END_TEST

/* What else the holder has open is not ours, empty or not. */
START_TEST(other_descriptors_of_the_holder_are_left_alone)
{
	int pipes[2], other = memfd_create("mtrace.held.r-9", 0), file;
	char path[128];
	struct stat st;
	snprintf(path, sizeof path, "%s/memfd:mtrace.held.r-4 (deleted)", dir);
	file = open(path, O_RDWR | O_CREAT, 0600);
	ck_assert_int_eq(pipe(pipes), 0);
	hold("r-4");
	for (int i = 0; i < HELD; i++)
		close(held[i]);
	ck_assert_int_eq(in_child(make_held_and_be_killed), 1);
	ck_assert_int_eq(fstat(other, &st), 0);
	ck_assert_int_eq(st.st_size, 0);
	ck_assert_int_eq(fstat(file, &st), 0);
	ck_assert_int_eq(st.st_size, 0);
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
	TCase *plain = tcase_create("plain"), *threads = tcase_create("threads");
	tcase_add_checked_fixture(plain, setup, teardown);
	tcase_set_timeout(plain, 60);
	tcase_add_test(plain, the_file_says_who_and_is_private);
	tcase_add_test(plain, an_undone_segment_is_gone_whatever_it_says);
	tcase_add_test(plain, the_lock_lasts_as_long_as_the_process);
	tcase_add_test(plain, reserved_elements_are_zero_and_apart);
	tcase_add_test(plain, the_cap_holds_and_full_is_for_good);
	tcase_add_test(plain, what_is_given_back_can_be_taken_again);
	tcase_add_test(plain, zeroes_stand_only_where_we_were);
	tcase_add_test(plain, zeroes_are_no_larger_than_what_they_stand_for);
	tcase_add_test(plain, limits_make_it_smaller_or_refuse);
	tcase_add_test(plain, an_unusable_directory_is_said);
	tcase_add_test(plain, a_relative_directory_stays_where_it_was);
	tcase_add_test(plain, without_a_directory_it_is_in_memory);
	tcase_add_test(plain, a_held_segment_outlives_its_process);
	tcase_add_test(plain, forks_leave_some_for_images);
	tcase_add_test(plain, held_images_are_numbered_and_the_one_before_has_ended);
	tcase_add_test(plain, a_held_fork_is_forgotten_at_exec);
	tcase_add_test(plain, other_descriptors_of_the_holder_are_left_alone);
	tcase_add_test(plain, a_full_file_system_is_no_signal);
	tcase_add_test(plain, old_segments_are_pruned);
	tcase_add_test(plain, the_end_is_noted_once);
	suite_add_tcase(suite, plain);
	tcase_add_checked_fixture(threads, setup, teardown);
	tcase_set_timeout(threads, 60);
	tcase_add_test(threads, giving_back_hurts_nobody_who_goes_on);
	suite_add_tcase(suite, threads);
	return run_suite(suite);
}
