/*
 * test_tools_symbols_files: where symbols are looked for: debug links, --search, the vdso's own memory; another build's
 * file and odd files are never used; and `mtrace symbolize`, which adds names to a recording made elsewhere.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "built.h"
#include "command.h"
#include "model/profile.h"
#include "read/read.h"
#include "symbols/files.h"

START_TEST(test_debug_link)
{
	static const char *const places[] = {"a.debug", ".debug/a.debug"};
	struct profile *p;

	built_split();
	ck_assert_int_eq(built_shell("objcopy --add-gnu-debuglink=a.debug a"), 0);
	ck_assert_int_eq(built_shell("mkdir -p .debug && mv a.debug moved && mv moved %s", places[_i]), 0);
	p = built_outer("a");
	ck_assert_uint_eq(built_resolve(p, "", NULL).with_line, 1);
	profile_free(p);
}
END_TEST

START_TEST(test_search_directories)
{
	static const char *const scripts[] = {
		"id=$(readelf -n whole | awk '/Build ID/{print $3}'); mkdir -p s/.build-id/${id:0:2} && "
		"cp a.debug s/.build-id/${id:0:2}/${id:2}.debug",
		"id=$(readelf -n whole | awk '/Build ID/{print $3}'); mkdir -p s/${id:0:2} && cp a.debug s/${id:0:2}/${id:2}.debug",
		"id=$(readelf -n whole | awk '/Build ID/{print $3}'); mkdir -p s/$id && cp a.debug s/$id/debuginfo",
		"mkdir -p s && cp whole s/bare",
		"mkdir -p s && cp a.debug s/bare.debug",
		"mkdir -p s/$PWD && cp whole s/$PWD/bare",
	};
	char search[BUILT_PATH_BYTES];
	struct profile *p;

	built_split();
	ck_assert_int_eq(built_shell("cat > place.sh <<'X'\n%s\nX\nbash place.sh", scripts[_i]), 0);
	built_path(search, "s");
	p = built_outer("bare");
	ck_assert_uint_eq(built_resolve(p, "", search).with_line, 1);
	profile_free(p);
	p = built_outer("bare"); /* the program itself is gone: a recording from elsewhere */
	ck_assert_int_eq(built_shell("rm bare"), 0);
	ck_assert_uint_eq(built_resolve(p, "", NULL).named, 0);
	ck_assert_uint_eq(built_resolve(p, "", search).with_line, 1);
	profile_free(p);
}
END_TEST

START_TEST(test_search_finds_what_has_another_name)
{
	char search[BUILT_PATH_BYTES];
	struct profile *p;

	built_split();
	ck_assert_int_eq(built_shell("mkdir -p s/below && mkfifo s/fifo && ln -s s s/round && cp whole s/below/libunpacked1.so && "
				     "echo 'int main(void) { return 0; }' > other.c && gcc -O2 -g -Wl,--build-id=sha1 other.c -o s/other"), 0);
	built_path(search, "s");
	p = built_outer("bare");
	ck_assert_int_eq(built_shell("rm bare"), 0);
	ck_assert_uint_eq(built_resolve(p, "", search).named, 0);
	ck_assert_int_eq(built_shell("cp whole s/libunpacked2.so"), 0);
	ck_assert_uint_eq(built_resolve(p, "", search).with_line, 1);
	profile_free(p);
}
END_TEST

START_TEST(test_other_build_is_never_used)
{
	struct profile *p;
	char search[BUILT_PATH_BYTES];

	built_split();
	p = built_outer("bare");
	ck_assert_int_eq(built_shell("sed 's/n \\* 2/n * 3/' a.c > other.c && mkdir -p s .debug && "
				     "gcc -O2 -g -Wl,--build-id=sha1 other.c -o s/bare && cp s/bare s/bare.debug && cp s/bare bare.debug && "
				     "cp s/bare .debug/bare.debug && cp -f s/bare bare"), 0);
	built_path(search, "s");
	ck_assert_uint_eq(built_resolve(p, "", search).named, 0);
	profile_free(p);
}
END_TEST

START_TEST(test_file_with_id_does_not_stand_for_one_without)
{
	struct profile *p;

	built_split();
	p = built_outer("whole");
	p->processes[0].modules[0].build_id_bytes = 0;
	ck_assert_uint_eq(built_resolve(p, "", NULL).named, 0);
	ck_assert_int_eq(built_shell("gcc -O2 -g -Wl,--build-id=none a.c -o whole"), 0);
	ck_assert_uint_eq(built_resolve(p, "", NULL).with_line, 1);
	profile_free(p);
}
END_TEST

START_TEST(test_odd_files_do_not_hang_or_crash)
{
	static const char *const scripts[] = {"mkfifo x", "mkdir x", "printf '\\177ELF' > x", "ln -s x x",
					      "head -c 3000 whole > x", "cp whole x; printf 'zzzzzzzz' | dd of=x bs=1 seek=40 conv=notrunc 2>dd.log"};
	char path[BUILT_PATH_BYTES];
	struct profile *p;

	built_split();
	p = built_outer("whole");
	p->processes[0].modules[0].path = profile_string(p, "/nonexistent");
	ck_assert_int_eq(built_shell("%s", scripts[_i]), 0);
	p->processes[0].modules[0].path = profile_string(p, built_path(path, "x"));
	built_resolve(p, "", NULL);
	profile_free(p);
}
END_TEST

START_TEST(test_vdso)
{
	char line[256], path[BUILT_PATH_BYTES], text[64] = "";
	uint64_t start = 0, address;
	FILE *maps = fopen("/proc/self/maps", "r");
	struct profile *p;
	FILE *out;
	int fd;

	while (fgets(line, sizeof(line), maps))
		if (strstr(line, "[vdso]"))
			start = strtoull(line, NULL, 16);
	fclose(maps);
	if (!start) {
		printf("skipped the vdso: this kernel gives none\n");
		return;
	}
	out = fopen(built_path(path, "vdso"), "w");
	fwrite((const void *)(uintptr_t)start, 4096, 2, out);
	fclose(out);
	built_output(text, sizeof(text), "nm -D vdso | awk '/clock_gettime/{print $1; exit}'");
	address = strtoull(text, NULL, 16) + 1;
	p = built_profile("vdso", &address, 1, MTRACE_FRAME_EXACT);
	fd = open(path, O_RDONLY);
	p->processes[0].modules[0].build_id_bytes = (uint8_t)files_build_id(fd, p->processes[0].modules[0].build_id);
	close(fd);
	p->processes[0].modules[0].path = "linux-vdso.so.1";
	built_resolve(p, "", NULL);
	ck_assert_msg(strstr(built_name(p), "clock_gettime") != NULL, "%s", built_name(p));
	profile_free(p);
}
END_TEST

/* ---- mtrace symbolize ---- */

START_TEST(test_symbolize_a_recording_made_elsewhere)
{
	char recording[BUILT_PATH_BYTES], search[BUILT_PATH_BYTES], said[4096];
	char *whole[] = {"symbolize", recording, "--search", search, NULL}, *none[] = {"symbolize", recording, NULL};
	const struct command self = {"symbolize", "usage", "", false, cmd_symbolize, cmd_symbolize_options};
	struct read_error error;
	struct profile *p, *q = profile_new();
	int saved = dup(2);

	built_split();
	built_path(recording, "r.mtr");
	built_path(search, "s");
	p = built_outer("bare");
	setenv("XDG_CACHE_HOME", built_directory, 1);
	ck_assert_int_eq(built_shell("mkdir s && mv whole s/bare && rm bare"), 0);
	ck_assert_int_eq(write_recording(recording, false, p, &error), 0);
	ck_assert_int_eq(built_shell("touch said"), 0);
	built_path(said, "said");
	ck_assert_int_ge(dup2(open(said, O_WRONLY), 2), 0);
	ck_assert_int_eq(cmd_symbolize(2, none, &self), EXIT_NOTHING);
	ck_assert_int_eq(cmd_symbolize(4, whole, &self), EXIT_DONE);
	dup2(saved, 2);
	built_output(said, sizeof(said), "cat said");
	ck_assert_msg(strstr(said, "not found") && strstr(said, "0 of 1 frames") && strstr(said, "1 of 1 frames"), "%s", said);
	ck_assert_int_eq(read_recording(recording, q, &error), 0);
	ck_assert_str_eq(built_frame(q, 0)->names[built_frame(q, 0)->name_count - 1].function, "outer");
	profile_free(p);
	profile_free(q);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("files");

	tcase_add_loop_test(tests, test_debug_link, 0, 2);
	tcase_add_loop_test(tests, test_search_directories, 0, 6);
	tcase_add_test(tests, test_search_finds_what_has_another_name);
	tcase_add_test(tests, test_other_build_is_never_used);
	tcase_add_test(tests, test_file_with_id_does_not_stand_for_one_without);
	tcase_add_loop_test(tests, test_odd_files_do_not_hang_or_crash, 0, 6);
	tcase_add_test(tests, test_vdso);
	tcase_add_test(tests, test_symbolize_a_recording_made_elsewhere);
	return built_run("symbols: files", tests);
}
