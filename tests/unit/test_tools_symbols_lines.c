/*
 * test_tools_symbols_lines: functions, lines and inlined frames: as addr2line of binutils says them, for what gcc, g++,
 * clang and rustc make.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "built.h"
#include "model/profile.h"

/* ---- comparison with addr2line ----
 *
 * libbfd gives a function's name also to the padding after it, and "main" to a lambda that is inlined into main; and it
 * names the including file of an #include in the middle of a function. So: where both know a line it must be the
 * same line; where the depth is the same the names must be, but for a name it has repeated from the outer frame.
 */
struct tally {
	uint32_t same, different, unnamed;
};

static void compare_frame(const struct profile_frame *ours, char **lines, uint32_t theirs, struct tally *tally)
{
	bool same = ours->name_count == theirs;

	if (!ours->name_count || !ours->names[0].function) { /* between two functions */
		tally->unnamed++;
		return;
	}
	for (uint32_t i = 0; same && i < theirs; i++) {
		const struct profile_name *name = &ours->names[i];
		const char *function = lines[2 * i], *colon = strrchr(lines[2 * i + 1], ':');
		unsigned line = colon ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
		bool repeated = i + 1 < theirs && strcmp(function, lines[2 * theirs - 2]) == 0;

		same = (repeated || strcmp(name->function ? name->function : "??", function) == 0) &&
		       (name->line == line || !line) && (!name->file || !line || strncmp(name->file, lines[2 * i + 1],
									  strlen(name->file)) == 0);
	}
	tally->same += same;
	tally->different += !same;
	if (!same && tally->different <= 5)
		printf("  differs: ours %u deep, %s:%u; addr2line %u deep, %s %s\n", ours->name_count,
		       ours->names[0].function ? ours->names[0].function : "??", ours->names[0].line, theirs, lines[0], lines[1]);
}

static struct tally compare_with_addr2line(const char *name, const struct profile *p)
{
	struct tally tally = {0, 0, 0};
	char *text = malloc(64 << 20), *line, *lines[400], path[BUILT_PATH_BYTES];
	uint32_t count = 0, at = 0;
	FILE *out;

	out = fopen(built_path(path, "addresses"), "w");
	for (uint32_t i = 0; i < p->processes[0].frame_count; i++)
		fprintf(out, "%llx\n", (unsigned long long)built_frame(p, i)->value);
	fclose(out);
	built_output(text, 64 << 20, "addr2line -afiC -e %s < addresses | sed 's/ (discriminator [0-9]*)//'", name);
	line = strtok(text, "\n"); /* "0x…" of the first */
	while (line && at < p->processes[0].frame_count) {
		for (count = 0; (line = strtok(NULL, "\n")) && strncmp(line, "0x0", 3) != 0;)
			if (count < 398)
				lines[count++] = line;
		compare_frame(built_frame(p, at++), lines, count / 2, &tally);
	}
	free(text);
	printf("%s: %u as addr2line, %u not, %u without a name\n", name, tally.same, tally.different, tally.unnamed);
	return tally;
}

static void expect_like_addr2line(const char *name, unsigned every)
{
	static uint64_t addresses[20000];
	uint32_t count = built_addresses(name, addresses, 20000, every);
	struct profile *p = built_profile(name, addresses, count, MTRACE_FRAME_EXACT);
	struct tally tally;

	built_resolve(p, "", NULL);
	tally = compare_with_addr2line(name, p);
	ck_assert_uint_gt(tally.same, count * 8 / 10);
	ck_assert_uint_le(tally.different, count / 50);
	profile_free(p);
}

START_TEST(test_c_like_addr2line)
{
	ck_assert_int_eq(built_shell("gcc -O2 -g a.c -o a"), 0);
	expect_like_addr2line("a", 1);
}
END_TEST

START_TEST(test_cc_like_addr2line)
{
	ck_assert_int_eq(built_shell("sed -i '/= delete/d' a.cc && g++ -O2 -g a.cc -o a"), 0);
	expect_like_addr2line("a", 1);
}
END_TEST

START_TEST(test_clang_without_aranges)
{
	if (built_shell("clang --version >clang.log 2>&1")) {
		printf("skipped clang's debug information: no clang\n");
		return;
	}
	ck_assert_int_eq(built_shell("clang -O2 -g a.c -o a"), 0);
	expect_like_addr2line("a", 1);
}
END_TEST

START_TEST(test_rust_like_addr2line)
{
	static const char *const manglings[] = {"legacy", "v0"};

	if (built_shell("rustc --version >rustc.log 2>&1")) {
		printf("skipped Rust: no rustc\n");
		return;
	}
	if (built_shell("RUSTC_BOOTSTRAP=1 rustc -Z unstable-options -O -g -C symbol-mangling-version=%s a.rs -o a 2>rustc.log",
			manglings[_i])) {
		ck_assert_msg(_i == 0, "rustc cannot build: see rustc.log");
		printf("skipped Rust's legacy mangling: this rustc has none\n");
		return;
	}
	expect_like_addr2line("a", 20);
}
END_TEST

/* ---- inlined functions, return addresses ---- */

/* The address after the n-th call in a function: what a stack holds. */
static uint64_t return_address(const char *name, const char *function, int n)
{
	char text[64];

	built_output(text, sizeof(text),
		     "objdump -d --no-show-raw-insn --disassemble=%s %s | grep -A1 -E '\\b(call|jmp) ' | grep -vE '\\b(call|jmp) |--' |"
		     "sed -n %dp | grep -oE '^ +[0-9a-f]+'", function, name, n);
	ck_assert_msg(text[0] != '\0', "no call %d in %s", n, function);
	return strtoull(text, NULL, 16);
}

START_TEST(test_inlined_functions_innermost_first)
{
	uint64_t address;
	struct profile *p;
	const struct profile_name *n;

	ck_assert_int_eq(built_shell("gcc -O2 -g a.c -o a"), 0);
	address = return_address("a", "outer", 1);
	p = built_profile("a", &address, 1, 0);
	built_resolve(p, "", NULL);
	n = built_frame(p, 0)->names;
	ck_assert_uint_eq(built_frame(p, 0)->name_count, 3);
	ck_assert_str_eq(n[0].function, "innermost");
	ck_assert_str_eq(n[1].function, "between");
	ck_assert_str_eq(n[2].function, "outer");
	ck_assert_uint_eq(n[0].line, 5);
	ck_assert_uint_eq(n[1].line, 9);
	ck_assert_uint_eq(n[2].line, 13);
	ck_assert(n[0].inlined && n[1].inlined && !n[2].inlined);
	ck_assert_ptr_nonnull(strstr(n[0].file, "a.c"));
	ck_assert_int_eq(n[0].file[0], '/');
	profile_free(p);
}
END_TEST

/* A call that never returns is the last instruction: its return address belongs to the next function. */
START_TEST(test_return_address_means_the_call)
{
	char text[64];
	uint64_t address;
	struct profile *p;

	built_source("b.c", "#include <stdlib.h>\n"
			    "__attribute__((noinline, noreturn)) void ends(int n) { abort(); }\n"
			    "int main(int c, char **v) { if (c) ends(c); return v == 0; }\n");
	ck_assert_int_eq(built_shell("gcc -O1 -g -falign-functions=1 -fno-optimize-sibling-calls b.c -o b 2>cc.log"), 0);
	address = built_address("b", "ends");
	address += strtoull(built_output(text, sizeof(text), "nm -S b | awk '$4 == \"ends\" {print $2}'"), NULL, 16);
	p = built_profile("b", &address, 1, 0);
	built_resolve(p, "", NULL);
	ck_assert_str_eq(built_name(p), "ends");
	profile_free(p);
	p = built_profile("b", &address, 1, MTRACE_FRAME_EXACT);
	built_resolve(p, "", NULL);
	ck_assert_str_ne(built_name(p), "ends");
	profile_free(p);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("lines");

	tcase_add_test(tests, test_c_like_addr2line);
	tcase_add_test(tests, test_cc_like_addr2line);
	tcase_add_test(tests, test_clang_without_aranges);
	tcase_add_loop_test(tests, test_rust_like_addr2line, 0, 2);
	tcase_add_test(tests, test_inlined_functions_innermost_first);
	tcase_add_test(tests, test_return_address_means_the_call);
	return built_run("symbols: lines", tests);
}
