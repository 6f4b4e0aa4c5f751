/*
 * test_tools_profile: the contract of the model: strings, ids that are equal across runs, merging, order, sums, and
 * which frame is the user's own.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/profile.h"
#include "run.h"

static struct profile *p;
static struct profile_process *q;

static void setup(void)
{
	p = profile_new();
	q = profile_add_process(p);
	q->modules = profile_alloc(p, 2, sizeof *q->modules);
	q->module_count = 2;
	q->modules[0].path = "/opt/app/server";
	q->modules[1].path = "/lib/x86_64-linux-gnu/libc.so.6";
	q->frames = profile_alloc(p, 8, sizeof *q->frames);
	q->frame_count = 8;
	for (uint32_t i = 0; i < 8; i++)
		q->frames[i] = (struct profile_frame){.value = i, .module = 0, .kind = MTRACE_FRAME_NATIVE};
	q->stacks = profile_alloc(p, 8, sizeof *q->stacks);
}

static void teardown(void)
{
	profile_free(p);
}

static struct profile_stack *add(enum mtrace_kind kind, uint64_t live, uint64_t alloc, uint32_t frame)
{
	struct profile_stack *s = &q->stacks[q->stack_count++];
	uint32_t *frames = profile_alloc(p, 1, sizeof *frames);
	frames[0] = frame;
	*s = (struct profile_stack){.kind = kind, .frames = frames, .frame_count = 1};
	s->counts = (struct profile_counts){.live_bytes = live, .live_blocks = 1, .alloc_bytes = alloc, .alloc_blocks = 1};
	return s;
}

START_TEST(strings_are_interned_and_utf8)
{
	ck_assert_ptr_eq(profile_string(p, "abc"), profile_string_n(p, "abcdef", 3));
	ck_assert_str_eq(profile_string(p, "grün"), "grün");
	ck_assert_str_eq(profile_string(p, "a\xff" "b"), "a\xef\xbf\xbd" "b");
	ck_assert_str_eq(profile_string(p, "\xc0\x80"), "\xef\xbf\xbd\xef\xbf\xbd"); /* overlong */
	ck_assert_str_eq(profile_string(p, "\xed\xa0\x80x") + 9, "x");               /* surrogate */
	ck_assert_str_eq(profile_string(p, "\xe2\x82"), "\xef\xbf\xbd\xef\xbf\xbd"); /* cut short */
	ck_assert_str_eq(profile_string_n(p, "ab\0cd", 5), "ab");
	for (int i = 0; i < 5000; i++) {
		char name[32];
		snprintf(name, sizeof name, "name %d", i);
		ck_assert_ptr_eq(profile_string(p, name), profile_string(p, name));
	}
}
END_TEST

START_TEST(memory_is_zeroed_aligned_and_stays)
{
	for (size_t n = 0; n < 200000; n = n * 3 + 1) {
		unsigned char *a = profile_alloc(p, n, 1);
		ck_assert_uint_eq((uintptr_t)a % 16, 0);
		for (size_t i = 0; i < n; i++)
			ck_assert_uint_eq(a[i], 0);
		memset(a, 1, n);
	}
}
END_TEST

START_TEST(stacks_are_sorted_merged_and_summed)
{
	add(MTRACE_KIND_MALLOC, 10, 20, 1);
	add(MTRACE_KIND_MALLOC, 30, 30, 2);
	add(MTRACE_KIND_MALLOC, 5, 9, 1);
	add(MTRACE_KIND_MMAP, 10, 100, 1);
	q->live_count = 1;
	q->live = profile_alloc(p, 1, sizeof *q->live);
	q->live[0].stack = 2;
	q->thread_count = 2;
	q->threads = profile_alloc(p, 2, sizeof *q->threads);
	q->threads[0].stack = 1;
	q->threads[1].stack = UINT32_MAX;
	profile_finish_process(p, q);
	ck_assert_uint_eq(q->stack_count, 3);
	ck_assert_uint_eq(q->stacks[0].counts.live_bytes, 30);
	ck_assert_uint_eq(q->stacks[1].counts.live_bytes, 15);
	ck_assert_uint_eq(q->stacks[1].counts.alloc_bytes, 29);
	ck_assert_int_eq(q->stacks[2].kind, MTRACE_KIND_MMAP);
	ck_assert_uint_eq(q->live[0].stack, 1);
	ck_assert_uint_eq(q->threads[0].stack, 0);
	ck_assert_uint_eq(q->threads[1].stack, UINT32_MAX);
	ck_assert_uint_eq(q->totals.live_bytes, 45);
	ck_assert_uint_eq(q->by_kind[MTRACE_KIND_MMAP].live_bytes, 10);
	ck_assert_uint_ge(q->peak_live_bytes, 45);
}
END_TEST

START_TEST(finishing_twice_changes_nothing)
{
	add(MTRACE_KIND_MALLOC, 10, 20, 1);
	add(MTRACE_KIND_MALLOC, 30, 30, 2);
	profile_finish_process(p, q);
	uint64_t first = q->stacks[0].id, second = q->stacks[1].id;
	profile_finish_process(p, q);
	ck_assert_uint_eq(q->stacks[0].id, first);
	ck_assert_uint_eq(q->stacks[1].id, second);
	ck_assert_uint_eq(q->totals.live_bytes, 40);
}
END_TEST

static uint64_t id_of_first(void)
{
	profile_finish_process(p, q);
	uint64_t id = q->stacks[0].id;
	q->stack_count = 1;
	return id;
}

START_TEST(ids_go_by_code_not_by_place)
{
	add(MTRACE_KIND_MALLOC, 1, 1, 3);
	uint64_t by_path = id_of_first();
	q->modules[0].bias = q->modules[0].start = 0x7f0000000000;
	ck_assert_uint_eq(id_of_first(), by_path);
	q->modules[0].build_id_bytes = 20;
	uint64_t by_build_id = id_of_first();
	q->modules[0].path = "/elsewhere/server";
	ck_assert_uint_eq(id_of_first(), by_build_id);
	ck_assert_uint_ne(by_build_id, by_path);
	q->frames[3].value++;
	ck_assert_uint_ne(id_of_first(), by_build_id);
	q->frames[3].value--;
	q->stacks[0].kind = MTRACE_KIND_POOL;
	ck_assert_uint_ne(id_of_first(), by_build_id);
}
END_TEST

START_TEST(sums_do_not_wrap)
{
	add(MTRACE_KIND_MALLOC, UINT64_MAX, UINT64_MAX, 1);
	add(MTRACE_KIND_MALLOC, 5, 5, 2);
	profile_finish_process(p, q);
	ck_assert_uint_eq(q->totals.live_bytes, UINT64_MAX);
}
END_TEST

/* ---- sites ---- */

static const char *const of_the_runtime[] = {
	"malloc", "calloc.part.0", "operator new(unsigned long)", "operator new[](unsigned long, std::nothrow_t const&)",
	"std::vector<int, std::allocator<int> >::push_back(int const&)",
	"void std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >::_M_construct<char const*>(char const*)",
	"std::unique_ptr<A<B>, C> std::make_unique<A<B> >()", "g_malloc0", "xmalloc", "PyMem_RawMalloc", "_PyObject_GC_New", "je_malloc",
	"zmalloc", "zrealloc_usable", "os::malloc(unsigned long, MEMFLAGS, NativeCallStack const&)", "__libc_start_main",
	"__libc_start_call_main", "_dl_map_object", "__gnu_cxx::new_allocator<int>::allocate(unsigned long, void const*)",
	"<alloc::vec::Vec<T> as core::clone::Clone>::clone", "alloc::raw_vec::finish_grow", "sqlite3MemMalloc", "runtime.mallocgc",
	"Unsafe_AllocateMemory0", "start_thread", "strdup", "__rust_alloc",
	"<T as alloc::slice::hack::ConvertVec>::to_vec", "<u8 as alloc::vec::spec_from_elem::SpecFromElem>::from_elem",
	"<&T as core::fmt::Display>::fmt", "core::clone::impls::<impl core::clone::Clone for &T>::clone",
};

static const char *const of_the_user[] = {
	"main", "handle_request", "my_malloc_counter", "mallocate", "freeze", "store::Cache::fill(std::string const&)",
	"std_lookalike", "void app::push<std::vector<int> >(std::vector<int>&)", "app::operator new_thing()", "(anonymous namespace)::build(int)",
	"std::string app::name()", "cloned", "core::Engine::start()", "do_malloc", "PyList_New", "lambda_std::run",
	"bool app::operator< <int>(app::X<int> const&, app::X<int> const&)", "<app::Row as core::clone::Clone>::clone",
	"<T as app::Keep>::keep", "app::Cache<T>::keep",
};

START_TEST(runtime_functions_are_known)
{
	for (size_t i = 0; i < sizeof of_the_runtime / sizeof of_the_runtime[0]; i++)
		ck_assert_msg(profile_is_runtime(of_the_runtime[i], NULL), "%s is the runtime's", of_the_runtime[i]);
	for (size_t i = 0; i < sizeof of_the_user / sizeof of_the_user[0]; i++)
		ck_assert_msg(!profile_is_runtime(of_the_user[i], NULL), "%s is the user's", of_the_user[i]);
	ck_assert(profile_is_runtime("anything", "/lib/x86_64-linux-gnu/libc.so.6"));
	ck_assert(profile_is_runtime(NULL, "/usr/lib/libstdc++.so.6"));
	ck_assert(!profile_is_runtime(NULL, "/usr/lib/libcrypto.so.3"));
}
END_TEST

START_TEST(the_site_is_the_first_frame_that_is_the_users)
{
	static const struct profile_name wrapper[] = {{.function = "xmalloc"}}, own[] = {{.function = "load"}};
	static const struct profile_name inlined[] = {{.function = "std::max<int>(int, int)", .inlined = true}, {.function = "grow"}};
	struct profile_stack *s = add(MTRACE_KIND_MALLOC, 1, 1, 0);
	s->frames = (const uint32_t[]){0, 1, 2, 3};
	s->frame_count = 4;
	q->frames[0].module = 1; /* libc, no name */
	q->frames[1].names = wrapper;
	q->frames[1].name_count = 1;
	q->frames[2].names = own;
	q->frames[2].name_count = 1;
	ck_assert_uint_eq(profile_site(q, s), 2);
	q->frames[2].names = inlined;
	q->frames[2].name_count = 2;
	ck_assert_uint_eq(profile_site(q, s), 2);
	ck_assert_uint_eq(profile_own_name(q, &q->frames[2]), 1);
	s->frame_count = 2;
	ck_assert_uint_eq(profile_site(q, s), 2); /* none: the count */
	q->frames[0].kind = MTRACE_FRAME_MARKER;
	ck_assert_uint_eq(profile_site(q, s), 2);
}
END_TEST

static const struct profile_name *named(const char *function)
{
	struct profile_name *name = profile_alloc(p, 1, sizeof *name);
	name->function = function;
	return name;
}

START_TEST(the_site_of_a_java_stack_is_the_users_java_code_or_its_own_library)
{
	static const char *const functions[] = {"inflateInit2_", "Java_java_util_zip_Inflater_init", "java.util.zip.Inflater.<init>",
						"shop.Order.load"};
	struct profile_stack *s = add(MTRACE_KIND_MALLOC, 1, 1, 0);
	s->frames = (const uint32_t[]){0, 1, 2, 3};
	s->frame_count = 4;
	for (uint32_t i = 0; i < 4; i++) {
		q->frames[i].names = named(functions[i]);
		q->frames[i].name_count = 1;
		q->frames[i].module = i < 2 ? i : PROFILE_NO_MODULE;
		q->frames[i].kind = i < 2 ? MTRACE_FRAME_NATIVE : MTRACE_FRAME_JAVA;
	}
	q->modules[0].path = "/usr/lib/libz.so.1";
	q->modules[1].path = "/opt/jdk/lib/libzip.so";
	ck_assert_uint_eq(profile_site(q, s), 3);
	q->modules[1].path = "/opt/shop/libshop.so";
	ck_assert_uint_eq(profile_site(q, s), 0);
	q->modules[1].path = "/opt/jdk/lib/libzip.so";
	q->frames[3].names = named("java.lang.Thread.run");
	ck_assert_uint_eq(profile_site(q, s), 0); /* nothing but the JDK: as in any stack */
}
END_TEST

START_TEST(a_java_library_is_not_the_users_where_somebody_called_it)
{
	static const char *const functions[] = {"db::Arena::Arena(unsigned long)", "Java_org_db_Store_iterator", "org.db.Store.iterator",
						"org.db.util.Walk.<init>", "shop.Order.load", "org.db.Runner.run"};
	struct profile_name lined = {.function = "Java_org_db_Store_iterator", .file = "store.c", .line = 7};
	struct profile_stack *s = add(MTRACE_KIND_MALLOC, 1, 1, 0);
	s->frames = (const uint32_t[]){0, 1, 2, 3, 4, 5};
	s->frame_count = 6;
	for (uint32_t i = 0; i < 6; i++) {
		q->frames[i].names = named(functions[i]);
		q->frames[i].name_count = 1;
		q->frames[i].module = i < 2 ? 0 : PROFILE_NO_MODULE;
		q->frames[i].kind = i < 2 ? MTRACE_FRAME_NATIVE : MTRACE_FRAME_JAVA;
	}
	q->modules[0].path = "/tmp/libdbjni123.so";
	ck_assert_uint_eq(profile_site(q, s), 4);
	q->frames[1].names = &lined;
	ck_assert_uint_eq(profile_site(q, s), 0); /* native code that was compiled beside the classes */
	q->frames[1].names = named(functions[1]);
	q->frames[4].names = named("java.lang.Thread.run");
	ck_assert_uint_eq(profile_site(q, s), 0); /* its own thread: nobody called it */
	q->frames[2].names = named("Store.iterator");
	ck_assert_uint_eq(profile_site(q, s), 0); /* a class in no package is no library's */
	q->modules[0].path = "/opt/jdk/lib/libjvm.so";
	q->frames[2].names = named("java.nio.ByteBuffer.allocateDirect");
	q->frames[3].names = named("io.netty.buffer.PoolArena.allocate");
	q->frames[4].names = named("shop.Order.load");
	ck_assert_uint_eq(profile_site(q, s), 4); /* Netty's pool is for others */
	s->frame_count = 4;
	ck_assert_uint_eq(profile_site(q, s), 3);
}
END_TEST

START_TEST(stacks_of_java_frames_are_told_by_names_not_by_numbers)
{
	uint64_t ids[3];
	for (uint32_t round = 0; round < 3; round++) {
		struct profile_stack *s = add(MTRACE_KIND_MALLOC, 1, 1, 0);
		s->frames = (const uint32_t[]){0};
		s->frame_count = 1;
		q->frames[0] = (struct profile_frame){.value = (uint64_t)(round + 1) << 32 | 5, .module = PROFILE_NO_MODULE,
						      .kind = MTRACE_FRAME_JAVA, .name_count = 1};
		q->frames[0].names = named(round < 2 ? "a.B.c" : "a.B.d");
		profile_finish_process(p, q);
		ids[round] = q->stacks[0].id;
		q->stack_count = 0;
	}
	ck_assert_uint_eq(ids[0], ids[1]);
	ck_assert_uint_ne(ids[0], ids[2]);
}
END_TEST

/* What was compiled without file and lines tells its overloads by their signatures alone; else the line does, in the value. */
START_TEST(stacks_of_overloads_without_lines_are_two)
{
	static const char *const signatures[] = {"(I)V", "(J)V", "(I)V"};
	uint64_t ids[3];
	for (uint32_t round = 0; round < 3; round++) {
		struct profile_stack *s = add(MTRACE_KIND_MALLOC, 1, 1, 0);
		struct profile_name name = {.function = "a.B.c", .signature = signatures[round]};
		s->frames = (const uint32_t[]){0};
		s->frame_count = 1;
		q->frames[0] = (struct profile_frame){.value = (uint64_t)(round + 1) << 32, .module = PROFILE_NO_MODULE,
						      .kind = MTRACE_FRAME_JAVA, .names = &name, .name_count = 1};
		profile_finish_process(p, q);
		ids[round] = q->stacks[0].id;
		q->stack_count = 0;
		q->frames[0].name_count = 0;
	}
	ck_assert_uint_ne(ids[0], ids[1]);
	ck_assert_uint_eq(ids[0], ids[2]);
}
END_TEST

START_TEST(every_kind_and_marker_has_a_name)
{
	for (unsigned kind = 1; kind < MTRACE_KIND_COUNT; kind++)
		ck_assert_str_ne(profile_kind_name((enum mtrace_kind)kind), "unknown");
	for (uint32_t marker = 1; marker < MTRACE_MARKER_COUNT; marker++)
		ck_assert_int_eq(profile_marker_name(marker)[0], '[');
	ck_assert_str_eq(profile_kind_name((enum mtrace_kind)99), "unknown");
	ck_assert_str_eq(profile_marker_name(99), "[unknown]");
	ck_assert_str_eq(profile_end_name(PROFILE_KILLED), "killed");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tools: profile");
	TCase *t = tcase_create("all");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, strings_are_interned_and_utf8);
	tcase_add_test(t, memory_is_zeroed_aligned_and_stays);
	tcase_add_test(t, stacks_are_sorted_merged_and_summed);
	tcase_add_test(t, finishing_twice_changes_nothing);
	tcase_add_test(t, ids_go_by_code_not_by_place);
	tcase_add_test(t, sums_do_not_wrap);
	tcase_add_test(t, runtime_functions_are_known);
	tcase_add_test(t, the_site_is_the_first_frame_that_is_the_users);
	tcase_add_test(t, stacks_of_java_frames_are_told_by_names_not_by_numbers);
	tcase_add_test(t, stacks_of_overloads_without_lines_are_two);
	tcase_add_test(t, the_site_of_a_java_stack_is_the_users_java_code_or_its_own_library);
	tcase_add_test(t, a_java_library_is_not_the_users_where_somebody_called_it);
	tcase_add_test(t, every_kind_and_marker_has_a_name);
	suite_add_tcase(s, t);
	return run_suite(s);
}
