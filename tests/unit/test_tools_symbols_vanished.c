/*
 * test_tools_symbols_vanished: libraries that are deleted while a process has them mapped.
 */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "built.h"
#include "model/profile.h"
#include "symbols/symbols.h"

static pid_t start_holder(const char *library)
{
	int ready[2];
	pid_t pid;

	built_source("hold.c", "#include <dlfcn.h>\n#include <unistd.h>\n"
			       "int main(int c, char **v) { if (!dlopen(v[1], RTLD_NOW)) return 1; write(1, \"x\", 1); pause(); }\n");
	ck_assert_int_eq(built_shell("gcc hold.c -o hold -ldl 2>cc.log"), 0);
	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		char path[BUILT_PATH_BYTES], argument[BUILT_PATH_BYTES];

		dup2(ready[1], 1);
		built_path(path, "hold");
		execl(path, path, built_path(argument, library), (char *)NULL);
		_exit(127);
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], (char[1]){0}, 1), 1);
	close(ready[0]);
	return pid;
}

static void stop_holder(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* A deleted file can be opened through the process that has it mapped; but the kernel wants a capability for that,
   and without it there is only what is in memory: exported names, no lines. */
static unsigned lines_of_deleted(void)
{
	char path[96], line[512];
	int fd;
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long from = 0, to = 0, inode = 0;

	while (!inode && fgets(line, sizeof(line), maps))
		ck_assert_int_eq(sscanf(line, "%lx-%lx %*s %*s %*s %lu", &from, &to, &inode), 3);
	fclose(maps);
	ck_assert_uint_ne(inode, 0);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", from, to);
	fd = open(path, O_RDONLY);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

START_TEST(test_deleted_library_is_kept)
{
	char cache[BUILT_PATH_BYTES];
	struct profile *p;
	struct symbols_result result;
	pid_t pid;

	ck_assert_int_eq(built_shell("gcc -O2 -g -fPIC -shared -Wl,--build-id=sha1 a.c -o lib.so && cp lib.so whole"), 0);
	built_path(cache, "cache");
	p = built_outer("lib.so");
	pid = start_holder("lib.so");
	ck_assert_int_eq(built_shell("rm lib.so whole"), 0);
	ck_assert_int_ge(symbols_keep_vanishing(pid, cache), 1);
	ck_assert_int_eq(symbols_keep_vanishing(pid, cache), 0);
	stop_holder(pid);
	ck_assert_int_eq(built_shell("rm -rf cache/symbols"), 0);
	result = built_resolve(p, cache, NULL);
	ck_assert_uint_eq(result.named, 1);
	ck_assert_uint_eq(result.with_line, lines_of_deleted());
	ck_assert_int_eq(symbols_keep_vanishing(pid, cache), 0); /* nobody there any more */
	profile_free(p);
}
END_TEST

START_TEST(test_deleted_library_of_a_live_process)
{
	struct profile *p;
	struct symbols_options options = {.cache_dir = ""};
	struct symbols_result result;
	char line[512], maps[64];
	pid_t pid;
	FILE *in;

	ck_assert_int_eq(built_shell("gcc -O2 -g -fPIC -shared -Wl,--build-id=sha1 a.c -o lib.so && cp lib.so whole"), 0);
	p = built_outer("lib.so");
	pid = start_holder("lib.so");
	ck_assert_int_eq(built_shell("rm lib.so"), 0);
	snprintf(maps, sizeof(maps), "/proc/%d/maps", pid);
	in = fopen(maps, "r");
	while (fgets(line, sizeof(line), in))
		if (strstr(line, "lib.so") && strstr(line, "r-xp"))
			sscanf(line, "%lx-%lx", &p->processes[0].modules[0].start, &p->processes[0].modules[0].end);
	fclose(in);
	options.pid = pid;
	symbols_resolve(p, &options, &result);
	stop_holder(pid);
	ck_assert_uint_eq(result.named, 1);
	ck_assert_uint_eq(result.with_line, lines_of_deleted());
	profile_free(p);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("vanished");

	tcase_add_test(tests, test_deleted_library_is_kept);
	tcase_add_test(tests, test_deleted_library_of_a_live_process);
	return built_run("symbols: vanished", tests);
}
