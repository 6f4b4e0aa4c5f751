/*
 * test_tools_symbols: the contract of symbols_resolve, symbols_keep_vanishing and symbols_demangle.
 *
 * Programs are compiled into a temporary directory; addr2line and nm of binutils say what the right answer is. What
 * cannot be tried here (no rustc) is said loudly on a line "skipped …".
 */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "model/profile.h"
#include "read/read.h"
#include "symbols/files.h"
#include "symbols/symbols.h"
#include "symbols/table.h"

static char directory[64];

/* ---- helpers ---- */

__attribute__((format(printf, 1, 2))) static int shell(const char *format, ...)
{
	char command[4096], line[3900];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	snprintf(command, sizeof(command), "cd %s && %s", directory, line);
	return system(command);
}

/* Standard output of a command, cut at `bytes`. */
static char *output(char *buffer, size_t bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));
static char *output(char *buffer, size_t bytes, const char *format, ...)
{
	char command[4096], line[3900];
	va_list arguments;
	FILE *in;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	snprintf(command, sizeof(command), "cd %s && %s", directory, line);
	in = popen(command, "r");
	ck_assert_ptr_nonnull(in);
	buffer[fread(buffer, 1, bytes - 1, in)] = '\0';
	pclose(in);
	return buffer;
}

static const char c_source[] =
	"#include <stdlib.h>\n"
	"void *sink[8];\n"
	"static inline __attribute__((always_inline)) void *innermost(int n)\n"
	"{\n"
	"	return malloc((size_t)n);\n" /* line 5 */
	"}\n"
	"static inline __attribute__((always_inline)) void *between(int n)\n"
	"{\n"
	"	return innermost(n + 1);\n" /* line 9 */
	"}\n"
	"__attribute__((noinline)) void outer(int n)\n"
	"{\n"
	"	sink[n & 7] = between(n * 2);\n" /* line 13 */
	"}\n"
	"__attribute__((noinline)) static void local_function(int n)\n"
	"{\n"
	"	sink[0] = malloc(n); sink[1] = malloc(n);\n"
	"}\n"
	"int main(int c, char **v) { outer(c); local_function(c); return v == 0; }\n";

static const char cc_source[] =
	"#include <cstdlib>\n#include <map>\n#include <string>\n"
	"namespace shop { namespace {\n"
	"template <class K, class V> class Cache {\n"
	"	std::map<K, V> map_;\n"
	"public:\n"
	"	__attribute__((noinline)) void put(const K &k, V v) { map_[k] = v; }\n"
	"	__attribute__((noinline)) static void *operator()(int n) = delete;\n"
	"	explicit operator bool() const { return !map_.empty(); }\n"
	"};\n"
	"} struct Order { virtual ~Order(); char *text; Order(); };\n"
	"Order::Order() : text((char *)std::malloc(9)) {}\n"
	"Order::~Order() { std::free(text); }\n"
	"template <typename T> __attribute__((noinline)) T *make() { return new T(); }\n"
	"}\n"
	"int main(int c, char **) {\n"
	"	shop::Cache<int, std::string> cache;\n"
	"	for (int i = 0; i < c; i++) cache.put(i, std::string(100, 'x'));\n"
	"	delete shop::make<shop::Order>();\n"
	"	return !cache;\n"
	"}\n";

static const char rs_source[] =
	"mod store { pub struct Pool<T> { pub v: Vec<T> }\n"
	"impl<T: Clone> Pool<T> { #[inline(never)] pub fn add(&mut self, t: &T) { self.v.push(t.clone()); } } }\n"
	"#[inline(always)] fn grow(n: usize) -> Vec<u8> { vec![1u8; n] }\n"
	"#[inline(never)] fn outer(n: usize) -> usize { grow(n).len() }\n"
	"fn main() { let mut p = store::Pool { v: vec![] }; p.add(&String::from(\"x\"));\n"
	"println!(\"{} {}\", outer(std::env::args().count()), p.v.len()); }\n";

static void write_source(const char *name, const char *text)
{
	char path[128];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	out = fopen(path, "w");
	ck_assert_ptr_nonnull(out);
	fputs(text, out);
	fclose(out);
}

static void make_directory(void)
{
	strcpy(directory, "/tmp/mtrace-symbols-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	unsetenv("DEBUGINFOD_URLS");
	write_source("a.c", c_source);
	write_source("a.cc", cc_source);
	write_source("a.rs", rs_source);
}

static void remove_directory(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	ck_assert_int_eq(system(command), 0);
}

/* A profile with one module and these addresses as frames. `name` is in our directory, or absolute. */
static struct profile *profile_of(const char *name, const uint64_t *addresses, uint32_t count, uint16_t flags)
{
	struct profile *p = profile_new();
	struct profile_process *process = profile_add_process(p);
	struct profile_module *module = profile_alloc(p, 1, sizeof(*module));
	char path[256];
	int fd;

	snprintf(path, sizeof(path), name[0] == '/' ? "%s%s" : "%s/%s", name[0] == '/' ? "" : directory, name);
	fd = open(path, O_RDONLY);
	module->path = profile_string(p, path);
	module->end = 1ull << 40;
	if (fd >= 0) {
		module->build_id_bytes = (uint8_t)files_build_id(fd, module->build_id);
		close(fd);
	}
	process->modules = module;
	process->module_count = 1;
	process->frames = profile_alloc(p, count, sizeof(*process->frames));
	process->frame_count = count;
	for (uint32_t i = 0; i < count; i++)
		process->frames[i] = (struct profile_frame){.value = addresses[i], .kind = MTRACE_FRAME_NATIVE, .flags = flags};
	return p;
}

static struct symbols_result resolve(struct profile *p, const char *cache, const char *search)
{
	const char *directories[] = {search, NULL};
	struct symbols_options options = {.cache_dir = cache, .search = search ? directories : NULL};
	struct symbols_result result;

	symbols_resolve(p, &options, &result);
	return result;
}

/* Up to `most` instruction addresses of .text. */
static uint32_t text_addresses(const char *name, uint64_t *addresses, uint32_t most, unsigned every)
{
	char *text = malloc(8 << 20), *line;
	uint32_t count = 0;

	output(text, 8 << 20, "objdump -d --no-show-raw-insn -j .text %s | grep -oE '^ +[0-9a-f]+:' | awk 'NR%%%u==0'", name, every);
	for (line = strtok(text, "\n"); line && count < most; line = strtok(NULL, "\n"))
		addresses[count++] = strtoull(line, NULL, 16);
	free(text);
	ck_assert_uint_gt(count, 10);
	return count;
}

static uint64_t symbol_address(const char *name, const char *symbol)
{
	char text[64];

	output(text, sizeof(text), "nm -C %s | awk '$3 == \"%s\" {print $1; exit}'", name, symbol);
	ck_assert_msg(text[0] != '\0', "no symbol %s", symbol);
	return strtoull(text, NULL, 16);
}

/* The address after the n-th call in a function: what a stack holds. */
static uint64_t return_address(const char *name, const char *function, int n)
{
	char text[64];

	output(text, sizeof(text),
	       "objdump -d --no-show-raw-insn --disassemble=%s %s | grep -A1 -E '\\b(call|jmp) ' | grep -vE '\\b(call|jmp) |--' |"
	       "sed -n %dp | grep -oE '^ +[0-9a-f]+'", function, name, n);
	ck_assert_msg(text[0] != '\0', "no call %d in %s", n, function);
	return strtoull(text, NULL, 16);
}

static const struct profile_frame *frame(const struct profile *p, uint32_t i)
{
	return &p->processes[0].frames[i];
}

static const char *first_name(const struct profile *p)
{
	return frame(p, 0)->name_count && frame(p, 0)->names[0].function ? frame(p, 0)->names[0].function : "(none)";
}

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
	char *text = malloc(64 << 20), *line, *lines[400], path[128];
	uint32_t count = 0, at = 0;
	FILE *out;

	snprintf(path, sizeof(path), "%s/addresses", directory);
	out = fopen(path, "w");
	for (uint32_t i = 0; i < p->processes[0].frame_count; i++)
		fprintf(out, "%llx\n", (unsigned long long)frame(p, i)->value);
	fclose(out);
	output(text, 64 << 20, "addr2line -afiC -e %s < addresses | sed 's/ (discriminator [0-9]*)//'", name);
	line = strtok(text, "\n"); /* "0x…" of the first */
	while (line && at < p->processes[0].frame_count) {
		for (count = 0; (line = strtok(NULL, "\n")) && strncmp(line, "0x0", 3) != 0;)
			if (count < 398)
				lines[count++] = line;
		compare_frame(frame(p, at++), lines, count / 2, &tally);
	}
	free(text);
	printf("%s: %u as addr2line, %u not, %u without a name\n", name, tally.same, tally.different, tally.unnamed);
	return tally;
}

static void expect_like_addr2line(const char *name, unsigned every)
{
	static uint64_t addresses[20000];
	uint32_t count = text_addresses(name, addresses, 20000, every);
	struct profile *p = profile_of(name, addresses, count, MTRACE_FRAME_EXACT);
	struct tally tally;

	resolve(p, "", NULL);
	tally = compare_with_addr2line(name, p);
	ck_assert_uint_gt(tally.same, count * 8 / 10);
	ck_assert_uint_le(tally.different, count / 50);
	profile_free(p);
}

START_TEST(test_c_like_addr2line)
{
	ck_assert_int_eq(shell("gcc -O2 -g a.c -o a"), 0);
	expect_like_addr2line("a", 1);
}
END_TEST

START_TEST(test_cc_like_addr2line)
{
	ck_assert_int_eq(shell("sed -i '/= delete/d' a.cc && g++ -O2 -g a.cc -o a"), 0);
	expect_like_addr2line("a", 1);
}
END_TEST

START_TEST(test_clang_without_aranges)
{
	if (shell("clang --version >clang.log 2>&1")) {
		printf("skipped clang's debug information: no clang\n");
		return;
	}
	ck_assert_int_eq(shell("clang -O2 -g a.c -o a"), 0);
	expect_like_addr2line("a", 1);
}
END_TEST

START_TEST(test_rust_like_addr2line)
{
	static const char *const manglings[] = {"legacy", "v0"};

	if (shell("rustc --version >rustc.log 2>&1")) {
		printf("skipped Rust: no rustc\n");
		return;
	}
	if (shell("RUSTC_BOOTSTRAP=1 rustc -Z unstable-options -O -g -C symbol-mangling-version=%s a.rs -o a 2>rustc.log", manglings[_i])) {
		ck_assert_msg(_i == 0, "rustc cannot build: see rustc.log");
		printf("skipped Rust's legacy mangling: this rustc has none\n");
		return;
	}
	expect_like_addr2line("a", 20);
}
END_TEST

/* ---- inlined functions, return addresses ---- */

START_TEST(test_inlined_functions_innermost_first)
{
	uint64_t address;
	struct profile *p;
	const struct profile_name *n;

	ck_assert_int_eq(shell("gcc -O2 -g a.c -o a"), 0);
	address = return_address("a", "outer", 1);
	p = profile_of("a", &address, 1, 0);
	resolve(p, "", NULL);
	n = frame(p, 0)->names;
	ck_assert_uint_eq(frame(p, 0)->name_count, 3);
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
	uint64_t address;
	struct profile *p;

	write_source("b.c", "#include <stdlib.h>\n"
			    "__attribute__((noinline, noreturn)) void ends(int n) { abort(); }\n"
			    "int main(int c, char **v) { if (c) ends(c); return v == 0; }\n");
	ck_assert_int_eq(shell("gcc -O1 -g -falign-functions=1 -fno-optimize-sibling-calls b.c -o b 2>cc.log"), 0);
	address = symbol_address("b", "ends");
	output((char[64]){0}, 64, "true");
	{
		char text[64];

		output(text, sizeof(text), "nm -S b | awk '$4 == \"ends\" {print $2}'");
		address += strtoull(text, NULL, 16);
	}
	p = profile_of("b", &address, 1, 0);
	resolve(p, "", NULL);
	ck_assert_str_eq(first_name(p), "ends");
	profile_free(p);
	p = profile_of("b", &address, 1, MTRACE_FRAME_EXACT);
	resolve(p, "", NULL);
	ck_assert_str_ne(first_name(p), "ends");
	profile_free(p);
}
END_TEST

/* ---- without debug information ---- */

START_TEST(test_symbol_table_alone)
{
	uint64_t addresses[3];
	struct profile *p;
	struct symbols_result result;

	ck_assert_int_eq(shell("gcc -O2 a.c -o a"), 0);
	addresses[0] = symbol_address("a", "outer") + 1;
	addresses[1] = symbol_address("a", "main") + 1;
	addresses[2] = 0x7fffffff;
	p = profile_of("a", addresses, 3, MTRACE_FRAME_EXACT);
	result = resolve(p, "", NULL);
	ck_assert_uint_eq(result.frames, 3);
	ck_assert_uint_eq(result.named, 2);
	ck_assert_uint_eq(result.with_line, 0);
	ck_assert_str_eq(first_name(p), "outer");
	ck_assert_uint_eq(frame(p, 2)->name_count, 0);
	profile_free(p);
}
END_TEST

/* A stripped program has few symbols: what lies far from all of them must stay without a name. */
START_TEST(test_stripped_gives_no_wrong_names)
{
	uint64_t address;
	struct profile *p;
	struct symbols_result result;

	ck_assert_int_eq(shell("gcc -O2 -rdynamic a.c -o a"), 0);
	address = symbol_address("a", "local_function") + 2;
	ck_assert_int_eq(shell("strip a"), 0);
	p = profile_of("a", &address, 1, MTRACE_FRAME_EXACT);
	result = resolve(p, "", NULL);
	ck_assert_uint_eq(result.named, 0);
	profile_free(p);
}
END_TEST

START_TEST(test_names_as_shown)
{
	static const char *const rows[][2] = {
		{"memcpy@@GLIBC_2.14", "memcpy"},
		{"pthread_create@GLIBC_2.2.5", "pthread_create"},
		{"parse.part.0", "parse"},
		{"parse.part.0.cold", "parse"},
		{"parse.isra.0.constprop.12", "parse"},
		{"_ZN2ns5outerEi.cold", "ns::outer(int)"},
		{"_ZN2ns5outerEi.llvm.1234567", "ns::outer(int)"},
		{"plain", "plain"},
		{"runtime.mallocgc", "runtime.mallocgc"},
		{"a.partial", "a.partial"},
		{"@odd", "@odd"},
		{".part.0", ".part.0"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *shown = table_shown(rows[i][0]);

		ck_assert_str_eq(shown, rows[i][1]);
		free(shown);
	}
}
END_TEST

/* ---- where files are found ---- */

static void build_split(void)
{
	ck_assert_int_eq(shell("gcc -O2 -g -Wl,--build-id=sha1 a.c -o a && cp a whole && objcopy --only-keep-debug a a.debug && "
			       "strip -g a && cp a bare && strip -s bare"), 0);
}

static struct profile *outer_frame(const char *name)
{
	uint64_t address = symbol_address("whole", "outer") + 4;

	return profile_of(name, &address, 1, MTRACE_FRAME_EXACT);
}

START_TEST(test_debug_link)
{
	static const char *const places[] = {"a.debug", ".debug/a.debug"};
	struct profile *p;

	build_split();
	ck_assert_int_eq(shell("objcopy --add-gnu-debuglink=a.debug a"), 0);
	ck_assert_int_eq(shell("mkdir -p .debug && mv a.debug moved && mv moved %s", places[_i]), 0);
	p = outer_frame("a");
	ck_assert_uint_eq(resolve(p, "", NULL).with_line, 1);
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
	char search[96];
	struct profile *p;

	build_split();
	ck_assert_int_eq(shell("cat > place.sh <<'X'\n%s\nX\nbash place.sh", scripts[_i]), 0);
	snprintf(search, sizeof(search), "%s/s", directory);
	p = outer_frame("bare");
	ck_assert_uint_eq(resolve(p, "", search).with_line, 1);
	profile_free(p);
	p = outer_frame("bare"); /* the program itself is gone: a recording from elsewhere */
	ck_assert_int_eq(shell("rm bare"), 0);
	ck_assert_uint_eq(resolve(p, "", NULL).named, 0);
	ck_assert_uint_eq(resolve(p, "", search).with_line, 1);
	profile_free(p);
}
END_TEST

START_TEST(test_other_build_is_never_used)
{
	struct profile *p;
	char search[96];

	build_split();
	p = outer_frame("bare");
	ck_assert_int_eq(shell("sed 's/n \\* 2/n * 3/' a.c > other.c && mkdir -p s .debug && "
			       "gcc -O2 -g -Wl,--build-id=sha1 other.c -o s/bare && cp s/bare s/bare.debug && cp s/bare bare.debug && "
			       "cp s/bare .debug/bare.debug && cp -f s/bare bare"), 0);
	snprintf(search, sizeof(search), "%s/s", directory);
	ck_assert_uint_eq(resolve(p, "", search).named, 0);
	profile_free(p);
}
END_TEST

START_TEST(test_file_with_id_does_not_stand_for_one_without)
{
	struct profile *p;

	build_split();
	p = outer_frame("whole");
	p->processes[0].modules[0].build_id_bytes = 0;
	ck_assert_uint_eq(resolve(p, "", NULL).named, 0);
	ck_assert_int_eq(shell("gcc -O2 -g -Wl,--build-id=none a.c -o whole"), 0);
	ck_assert_uint_eq(resolve(p, "", NULL).with_line, 1);
	profile_free(p);
}
END_TEST

START_TEST(test_odd_files_do_not_hang_or_crash)
{
	static const char *const scripts[] = {"mkfifo x", "mkdir x", "printf '\\177ELF' > x", "ln -s x x",
					       "head -c 3000 whole > x", "cp whole x; printf 'zzzzzzzz' | dd of=x bs=1 seek=40 conv=notrunc 2>dd.log"};
	struct profile *p;

	build_split();
	p = outer_frame("whole");
	p->processes[0].modules[0].path = profile_string(p, "/nonexistent");
	ck_assert_int_eq(shell("%s", scripts[_i]), 0);
	{
		char path[96];

		snprintf(path, sizeof(path), "%s/x", directory);
		p->processes[0].modules[0].path = profile_string(p, path);
	}
	resolve(p, "", NULL);
	profile_free(p);
}
END_TEST

START_TEST(test_vdso)
{
	char line[256], text[64] = "";
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
	snprintf(line, sizeof(line), "%s/vdso", directory);
	out = fopen(line, "w");
	fwrite((const void *)(uintptr_t)start, 4096, 2, out);
	fclose(out);
	output(text, sizeof(text), "nm -D vdso | awk '/clock_gettime/{print $1; exit}'");
	address = strtoull(text, NULL, 16) + 1;
	p = profile_of("vdso", &address, 1, MTRACE_FRAME_EXACT);
	fd = open(line, O_RDONLY);
	p->processes[0].modules[0].build_id_bytes = (uint8_t)files_build_id(fd, p->processes[0].modules[0].build_id);
	close(fd);
	p->processes[0].modules[0].path = "linux-vdso.so.1";
	resolve(p, "", NULL);
	ck_assert_msg(strstr(first_name(p), "clock_gettime") != NULL, "%s", first_name(p));
	profile_free(p);
}
END_TEST

/* ---- the cache ---- */

START_TEST(test_cache_needs_no_file)
{
	char cache[96];
	struct profile *p, *q;

	build_split();
	snprintf(cache, sizeof(cache), "%s/cache", directory);
	p = outer_frame("whole");
	q = outer_frame("whole");
	ck_assert_uint_eq(resolve(p, cache, NULL).with_line, 1);
	ck_assert_int_eq(shell("rm whole a a.debug bare"), 0);
	ck_assert_uint_eq(resolve(q, cache, NULL).with_line, 1);
	ck_assert_str_eq(first_name(p), first_name(q));
	ck_assert_str_eq(frame(p, 0)->names[0].file, frame(q, 0)->names[0].file);
	ck_assert_uint_eq(frame(p, 0)->name_count, frame(q, 0)->name_count);
	ck_assert_int_eq(shell("test $(stat -c %%a cache cache/symbols | sort -u) = 700"), 0);
	ck_assert_int_eq(shell("test $(stat -c %%a cache/symbols/* | sort -u) = 600"), 0);
	profile_free(p);
	profile_free(q);
}
END_TEST

START_TEST(test_cache_does_not_hide_debug_information)
{
	char cache[96];
	struct profile *p, *q;

	build_split();
	ck_assert_int_eq(shell("objcopy --add-gnu-debuglink=a.debug a && mv a.debug elsewhere"), 0);
	snprintf(cache, sizeof(cache), "%s/cache", directory);
	p = outer_frame("a");
	ck_assert_uint_eq(resolve(p, cache, NULL).with_line, 0);
	ck_assert_str_eq(first_name(p), "outer");
	ck_assert_int_eq(shell("mv elsewhere a.debug"), 0);
	q = outer_frame("a");
	ck_assert_uint_eq(resolve(q, cache, NULL).with_line, 1);
	profile_free(p);
	profile_free(q);
}
END_TEST

START_TEST(test_damaged_cache_is_made_anew)
{
	char cache[96];
	struct profile *p;

	build_split();
	snprintf(cache, sizeof(cache), "%s/cache", directory);
	for (int i = 0; i < 40; i++) {
		p = outer_frame("whole");
		ck_assert_uint_eq(resolve(p, cache, NULL).with_line, 1);
		profile_free(p);
		ck_assert_int_eq(shell("f=$(echo cache/symbols/*); n=$(stat -c %%s $f); "
				       "printf X | dd of=$f bs=1 seek=$((%d * n / 40)) conv=notrunc 2>/dev/null", i), 0);
	}
}
END_TEST

/* Many at once, each with other addresses: no reader sees a half file, and all is known in the end. */
START_TEST(test_cache_shared_by_many)
{
	uint64_t addresses[400];
	uint32_t count;
	char cache[96];

	build_split();
	snprintf(cache, sizeof(cache), "%s/cache", directory);
	count = text_addresses("whole", addresses, 400, 1);
	for (uint32_t k = 0; k < 4; k++) {
		if (fork() != 0)
			continue;
		for (uint32_t i = k; i < count; i += 4) {
			struct profile *p = profile_of("whole", &addresses[i], 1, MTRACE_FRAME_EXACT);

			resolve(p, cache, NULL);
			profile_free(p);
		}
		_exit(0);
	}
	for (uint32_t k = 0; k < 4; k++) {
		int status;

		ck_assert_int_gt(wait(&status), 0);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_int_eq(shell("test -z \"$(find cache -name '*.new')\""), 0);
}
END_TEST

/* ---- libraries that vanish ---- */

static pid_t start_holder(const char *library)
{
	int ready[2];
	pid_t pid;

	write_source("hold.c", "#include <dlfcn.h>\n#include <unistd.h>\n"
			       "int main(int c, char **v) { if (!dlopen(v[1], RTLD_NOW)) return 1; write(1, \"x\", 1); pause(); }\n");
	ck_assert_int_eq(shell("gcc hold.c -o hold -ldl 2>cc.log"), 0);
	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		char path[96], argument[96];

		dup2(ready[1], 1);
		snprintf(path, sizeof(path), "%s/hold", directory);
		snprintf(argument, sizeof(argument), "%s/%s", directory, library);
		execl(path, path, argument, (char *)NULL);
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
	char cache[96];
	struct profile *p;
	struct symbols_result result;
	pid_t pid;

	ck_assert_int_eq(shell("gcc -O2 -g -fPIC -shared -Wl,--build-id=sha1 a.c -o lib.so && cp lib.so whole"), 0);
	snprintf(cache, sizeof(cache), "%s/cache", directory);
	p = outer_frame("lib.so");
	pid = start_holder("lib.so");
	ck_assert_int_eq(shell("rm lib.so whole"), 0);
	ck_assert_int_ge(symbols_keep_vanishing(pid, cache), 1);
	ck_assert_int_eq(symbols_keep_vanishing(pid, cache), 0);
	stop_holder(pid);
	ck_assert_int_eq(shell("rm -rf cache/symbols"), 0);
	result = resolve(p, cache, NULL);
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

	ck_assert_int_eq(shell("gcc -O2 -g -fPIC -shared -Wl,--build-id=sha1 a.c -o lib.so && cp lib.so whole"), 0);
	p = outer_frame("lib.so");
	pid = start_holder("lib.so");
	ck_assert_int_eq(shell("rm lib.so"), 0);
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

/* ---- mtrace symbolize ---- */

START_TEST(test_symbolize_a_recording_made_elsewhere)
{
	char recording[96], search[96], said[4096];
	char *whole[] = {"symbolize", recording, "--search", search, NULL}, *none[] = {"symbolize", recording, NULL};
	const struct command self = {"symbolize", "usage", "", false, cmd_symbolize, cmd_symbolize_options};
	struct read_error error;
	struct profile *p, *q = profile_new();
	int saved = dup(2);

	build_split();
	snprintf(recording, sizeof(recording), "%s/r.mtr", directory);
	snprintf(search, sizeof(search), "%s/s", directory);
	p = outer_frame("bare");
	setenv("XDG_CACHE_HOME", directory, 1);
	ck_assert_int_eq(shell("mkdir s && mv whole s/bare && rm bare"), 0);
	ck_assert_int_eq(write_recording(recording, false, p, &error), 0);
	ck_assert_int_eq(shell("touch said"), 0);
	snprintf(said, sizeof(said), "%s/said", directory);
	ck_assert_int_ge(dup2(open(said, O_WRONLY), 2), 0);
	ck_assert_int_eq(cmd_symbolize(2, none, &self), EXIT_NOTHING);
	ck_assert_int_eq(cmd_symbolize(4, whole, &self), EXIT_DONE);
	dup2(saved, 2);
	output(said, sizeof(said), "cat said");
	ck_assert_msg(strstr(said, "not found") && strstr(said, "0 of 1 frames") && strstr(said, "1 of 1 frames"), "%s", said);
	ck_assert_int_eq(read_recording(recording, q, &error), 0);
	ck_assert_str_eq(frame(q, 0)->names[frame(q, 0)->name_count - 1].function, "outer");
	profile_free(p);
	profile_free(q);
}
END_TEST

/* ---- demangling ---- */

START_TEST(test_demangle_like_cxxfilt)
{
	static const char *const rows[][2] = {
		{"_ZN2ns5CacheISsE3putEiSs", "ns::Cache<std::string>::put(int, std::string)"},
		{"_Znwm", "operator new(unsigned long)"},
		{"_ZZ4mainENKUliE_clEi", "main::{lambda(int)#1}::operator()(int) const"},
		{"_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"},
		{"_RNvCskwGfYPst2Cb_3foo16example_function", "foo::example_function"},
		{"malloc", NULL},
		{"_Z", NULL},
		{"_ZZZZZZZZZ", NULL},
		{"_R", NULL},
		{"", NULL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *text = symbols_demangle(rows[i][0]);

		ck_assert_msg(rows[i][1] ? text && strcmp(text, rows[i][1]) == 0 : !text, "%s: %s", rows[i][0], text ? text : "NULL");
		free(text);
	}
}
END_TEST

/* Each argument refers twice to the one before: 2^60 letters if it were written out. */
START_TEST(test_demangle_is_bounded)
{
	char name[20000] = "_Z1fI1AS_E";
	struct timespec before, after;
	char *text;

	strcpy(name, "_Z1fSt4pairI1AS0_E");
	for (int i = 0; i < 60; i++) {
		char more[64], digit = (char)(i + 1 < 10 ? '0' + i + 1 : 'A' + i - 9);

		if (i >= 34)
			snprintf(more, sizeof(more), "St4pairIS1%c_S1%c_E", '0' + (i - 34) % 10, '0' + (i - 34) % 10);
		else
			snprintf(more, sizeof(more), "St4pairIS%c_S%c_E", digit, digit);
		strcat(name, more);
	}
	clock_gettime(CLOCK_MONOTONIC, &before);
	text = symbols_demangle(name);
	free(text);
	memset(name, 'P', sizeof(name) - 1);
	memcpy(name, "_Z1f", 4);
	name[sizeof(name) - 1] = '\0';
	free(symbols_demangle(name));
	clock_gettime(CLOCK_MONOTONIC, &after);
	ck_assert_int_lt(after.tv_sec - before.tv_sec, 2);
}
END_TEST

/* ---- speed: a large library, thousands of frames ---- */

START_TEST(test_thousands_of_frames_of_a_large_file)
{
	static const char *const files[] = {"/usr/lib/x86_64-linux-gnu/libstdc++.so.6", "/lib/x86_64-linux-gnu/libc.so.6"};
	static uint64_t addresses[5000];
	struct timespec before, after;
	struct symbols_result result;
	struct profile *p;

	if (access(files[_i], R_OK) != 0) {
		printf("skipped %s: not here\n", files[_i]);
		return;
	}
	for (uint32_t i = 0; i < 5000; i++)
		addresses[i] = 0xa0000 + 150 * i;
	p = profile_of(files[_i], addresses, 5000, 0);
	clock_gettime(CLOCK_MONOTONIC, &before);
	result = resolve(p, "", NULL);
	clock_gettime(CLOCK_MONOTONIC, &after);
	printf("%s: %llu of %llu frames named, %llu with lines, in %.2f s\n", files[_i], (unsigned long long)result.named,
	       (unsigned long long)result.frames, (unsigned long long)result.with_line,
	       (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9);
	ck_assert_uint_gt(result.named, 2000);
	ck_assert_int_lt(after.tv_sec - before.tv_sec, 3);
	profile_free(p);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("symbols");
	TCase *names = tcase_create("names"), *found = tcase_create("files"), *kept = tcase_create("cache");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(names, test_c_like_addr2line);
	tcase_add_test(names, test_cc_like_addr2line);
	tcase_add_test(names, test_clang_without_aranges);
	tcase_add_loop_test(names, test_rust_like_addr2line, 0, 2);
	tcase_add_test(names, test_inlined_functions_innermost_first);
	tcase_add_test(names, test_return_address_means_the_call);
	tcase_add_test(names, test_symbol_table_alone);
	tcase_add_test(names, test_stripped_gives_no_wrong_names);
	tcase_add_test(names, test_names_as_shown);
	tcase_add_test(names, test_demangle_like_cxxfilt);
	tcase_add_test(names, test_demangle_is_bounded);
	tcase_add_loop_test(names, test_thousands_of_frames_of_a_large_file, 0, 2);
	tcase_add_loop_test(found, test_debug_link, 0, 2);
	tcase_add_loop_test(found, test_search_directories, 0, 6);
	tcase_add_test(found, test_other_build_is_never_used);
	tcase_add_test(found, test_file_with_id_does_not_stand_for_one_without);
	tcase_add_loop_test(found, test_odd_files_do_not_hang_or_crash, 0, 6);
	tcase_add_test(found, test_vdso);
	tcase_add_test(found, test_symbolize_a_recording_made_elsewhere);
	tcase_add_test(kept, test_cache_needs_no_file);
	tcase_add_test(kept, test_cache_does_not_hide_debug_information);
	tcase_add_test(kept, test_damaged_cache_is_made_anew);
	tcase_add_test(kept, test_cache_shared_by_many);
	tcase_add_test(kept, test_deleted_library_is_kept);
	tcase_add_test(kept, test_deleted_library_of_a_live_process);
	for (TCase **t = (TCase *[]){names, found, kept, NULL}; *t; t++) {
		tcase_add_checked_fixture(*t, make_directory, remove_directory);
		tcase_set_timeout(*t, 120);
		suite_add_tcase(suite, *t);
	}
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
