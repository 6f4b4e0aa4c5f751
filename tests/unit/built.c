/* built: see built.h. */
#include "built.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/profile.h"
#include "run.h"
#include "symbols/files.h"

char built_directory[64];

/* ---- sources ---- */

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

/* ---- the directory ---- */

char *built_path(char out[BUILT_PATH_BYTES], const char *name)
{
	snprintf(out, BUILT_PATH_BYTES, "%s/%s", built_directory, name);
	return out;
}

static void command_of(char *command, size_t bytes, const char *format, va_list arguments)
{
	int n = snprintf(command, bytes, "cd %s && ", built_directory);

	vsnprintf(command + n, bytes - (size_t)n, format, arguments);
}

int built_shell(const char *format, ...)
{
	char command[4096];
	va_list arguments;

	va_start(arguments, format);
	command_of(command, sizeof(command), format, arguments);
	va_end(arguments);
	return system(command);
}

char *built_output(char *buffer, size_t bytes, const char *format, ...)
{
	char command[4096];
	va_list arguments;
	FILE *in;

	va_start(arguments, format);
	command_of(command, sizeof(command), format, arguments);
	va_end(arguments);
	in = popen(command, "r");
	ck_assert_ptr_nonnull(in);
	buffer[fread(buffer, 1, bytes - 1, in)] = '\0';
	pclose(in);
	return buffer;
}

void built_source(const char *name, const char *text)
{
	char path[BUILT_PATH_BYTES];
	FILE *out = fopen(built_path(path, name), "w");

	ck_assert_ptr_nonnull(out);
	fputs(text, out);
	fclose(out);
}

static void setup(void)
{
	strcpy(built_directory, "/tmp/mtrace-symbols-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(built_directory));
	unsetenv("DEBUGINFOD_URLS");
	built_source("a.c", c_source);
	built_source("a.cc", cc_source);
	built_source("a.rs", rs_source);
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", built_directory);
	ck_assert_int_eq(system(command), 0);
}

int built_run(const char *suite, TCase *tests)
{
	Suite *all = suite_create(suite);

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 120);
	suite_add_tcase(all, tests);
	return run_suite(all);
}

/* ---- programs ---- */

void built_split(void)
{
	ck_assert_int_eq(built_shell("gcc -O2 -g -Wl,--build-id=sha1 a.c -o a && cp a whole && objcopy --only-keep-debug a a.debug"
				     " && strip -g a && cp a bare && strip -s bare"), 0);
}

uint32_t built_addresses(const char *name, uint64_t *addresses, uint32_t most, unsigned every)
{
	char *text = malloc(8 << 20), *line;
	uint32_t count = 0;

	built_output(text, 8 << 20, "objdump -d --no-show-raw-insn -j .text %s | grep -oE '^ +[0-9a-f]+:' | awk 'NR%%%u==0'",
		     name, every);
	for (line = strtok(text, "\n"); line && count < most; line = strtok(NULL, "\n"))
		addresses[count++] = strtoull(line, NULL, 16);
	free(text);
	ck_assert_uint_gt(count, 10);
	return count;
}

uint64_t built_address(const char *name, const char *symbol)
{
	char text[64];

	built_output(text, sizeof(text), "nm -C %s | awk '$3 == \"%s\" {print $1; exit}'", name, symbol);
	ck_assert_msg(text[0] != '\0', "no symbol %s", symbol);
	return strtoull(text, NULL, 16);
}

/* ---- profiles ---- */

struct profile *built_profile(const char *name, const uint64_t *addresses, uint32_t count, uint16_t flags)
{
	struct profile *p = profile_new();
	struct profile_process *process = profile_add_process(p);
	struct profile_module *module = profile_alloc(p, 1, sizeof(*module));
	char path[256];
	int fd;

	snprintf(path, sizeof(path), name[0] == '/' ? "%s%s" : "%s/%s", name[0] == '/' ? "" : built_directory, name);
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

struct profile *built_outer(const char *name)
{
	uint64_t address = built_address("whole", "outer") + 4;

	return built_profile(name, &address, 1, MTRACE_FRAME_EXACT);
}

struct symbols_result built_resolve(struct profile *p, const char *cache, const char *search)
{
	const char *directories[] = {search, NULL};
	struct symbols_options options = {.cache_dir = cache, .search = search ? directories : NULL};
	struct symbols_result result;

	symbols_resolve(p, &options, &result);
	return result;
}

const struct profile_frame *built_frame(const struct profile *p, uint32_t i)
{
	return &p->processes[0].frames[i];
}

const char *built_name(const struct profile *p)
{
	const struct profile_frame *first = built_frame(p, 0);

	return first->name_count && first->names[0].function ? first->names[0].function : "(none)";
}
