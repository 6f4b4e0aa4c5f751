/*
 * test_tools_managed: which memory is a JVM's own, by the functions of libjvm on the way to it; and that growth of it is said
 * first and called no leak, while a native leak beside it still is one.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emit/emit.h"
#include "model/leaks.h"
#include "model/managed.h"
#include "run.h"

#define SECOND 1000000000ull
#define MIB (1ll << 20)

/* ---- a process with stacks of one or two frames each ---- */

enum { JVM, APP, MODULES };
static struct profile_module modules[MODULES] = {{.path = "/usr/lib/jvm/lib/server/libjvm.so"}, {.path = "/opt/app/libapp.so"}};

enum { RESERVE, COMMIT, RECORD, NATIVE, META, OTHER_RECORD, STACKS };
enum { RECORDED_CODE = 6, RECORDED_CLASS, FRAMES }; /* beside the six that stacks have */
static struct profile_name names[] = {
	{.function = "ReservedHeapSpace::ReservedHeapSpace(unsigned long, unsigned long, bool)"},
	{.function = "os::commit_memory_or_exit(char*, unsigned long, unsigned long, bool, char const*)"},
	{.function = "G1PageBasedVirtualSpace::commit(unsigned long, unsigned long)"},
	{.function = "G1CardSet::add_card(unsigned long)"},
	{.function = "app_open"},
	{.function = "metaspace::VirtualSpaceNode::commit_range(MetaWordImpl**, unsigned long)"},
	[RECORDED_CODE] = {.function = ""},
	[RECORDED_CLASS] = {.function = ""},
};
static struct profile_frame frames[] = {
	{.kind = MTRACE_FRAME_NATIVE, .module = JVM, .names = &names[0], .name_count = 1},
	{.kind = MTRACE_FRAME_NATIVE, .module = JVM, .names = &names[1], .name_count = 1},
	{.kind = MTRACE_FRAME_NATIVE, .module = JVM, .names = &names[2], .name_count = 1},
	{.kind = MTRACE_FRAME_NATIVE, .module = JVM, .names = &names[3], .name_count = 1},
	{.kind = MTRACE_FRAME_NATIVE, .module = APP, .names = &names[4], .name_count = 1},
	{.kind = MTRACE_FRAME_NATIVE, .module = JVM, .names = &names[5], .name_count = 1},
	[RECORDED_CODE] = {.kind = MTRACE_FRAME_NATIVE, .module = JVM, .names = &names[RECORDED_CODE], .name_count = 1},
	[RECORDED_CLASS] = {.kind = MTRACE_FRAME_NATIVE, .module = JVM, .names = &names[RECORDED_CLASS], .name_count = 1},
};
static const uint32_t paths[STACKS][2] = {{0}, {1, 2}, {3}, {4}, {1, 5}, {3}};

static void fill(struct profile_process *p, struct profile_stack stacks[STACKS])
{
	*p = (struct profile_process){.pid = 4127, .exe = "/usr/bin/java", .shim_version = "", .modules = modules,
	                              .module_count = MODULES, .frames = frames, .frame_count = FRAMES, .stacks = stacks,
	                              .stack_count = STACKS, .lived_ns = 100 * SECOND};
	for (uint32_t i = 0; i < STACKS; i++)
		stacks[i] = (struct profile_stack){
			.id = i + 1, .kind = i == RECORD || i == NATIVE || i == OTHER_RECORD ? MTRACE_KIND_MALLOC : MTRACE_KIND_MMAP, .frames = paths[i],
			.frame_count = i == COMMIT || i == META ? 2 : 1,
			.counts = {.alloc_blocks = 1, .alloc_bytes = 1, .live_blocks = 1, .live_bytes = 1}};
}

/* ---- whose it is ---- */

static struct managed of_function(enum mtrace_kind kind, uint32_t module, const char *function)
{
	struct profile_name name = {.function = function};
	struct profile_frame frame = {.kind = MTRACE_FRAME_NATIVE, .module = module, .names = &name, .name_count = function != NULL};
	uint32_t path = 0;
	struct profile_process p = {.modules = modules, .module_count = MODULES, .frames = &frame, .frame_count = 1};
	struct profile_stack s = {.kind = kind, .frames = &path, .frame_count = 1};
	return managed_of(&p, &s);
}

START_TEST(an_area_is_told_by_the_jvms_functions)
{
	ck_assert_int_eq(of_function(MTRACE_KIND_MMAP, JVM, "HeapReserver::reserve(unsigned long)").area, MANAGED_HEAP);
	ck_assert_int_eq(of_function(MTRACE_KIND_MMAP, JVM, "CodeHeap::expand_by(unsigned long)").area, MANAGED_CODE);
	ck_assert_int_eq(of_function(MTRACE_KIND_MMAP, JVM, "metaspace::Metachunk::f()").area, MANAGED_METASPACE);
	ck_assert_int_eq(of_function(MTRACE_KIND_MMAP, JVM, "PSVirtualSpace::expand_by(unsigned long)").area, MANAGED_HEAP);
	ck_assert_int_eq(of_function(MTRACE_KIND_MMAP, JVM, "DefNewGeneration::f()").area, MANAGED_HEAP);
	ck_assert_int_eq(of_function(MTRACE_KIND_MALLOC, JVM, "G1CardSet::f()").how, MANAGED_RECORD);
	ck_assert_int_eq(of_function(MTRACE_KIND_MALLOC, JVM, "Method::link_method(methodHandle const&)").area, MANAGED_METASPACE);
	ck_assert_int_eq(of_function(MTRACE_KIND_MALLOC, JVM, "AdapterHandlerLibrary::get_adapter(AdapterBlob*)").area, MANAGED_CODE);
}
END_TEST

START_TEST(others_have_none)
{
	ck_assert_int_eq(of_function(MTRACE_KIND_MMAP, APP, "CodeHeap::expand_by(unsigned long)").area, MANAGED_NONE);
	ck_assert_int_eq(of_function(MTRACE_KIND_MMAP, JVM, NULL).area, MANAGED_NONE);
	ck_assert_int_eq(of_function(MTRACE_KIND_MMAP, JVM, "os::map_memory(CodeHeap::f*)").area, MANAGED_NONE);
	ck_assert_int_eq(of_function(MTRACE_KIND_MALLOC, JVM, "CodeHeap::expand_by(unsigned long)").area, MANAGED_NONE);
	ck_assert_int_eq(of_function(MTRACE_KIND_MALLOC, JVM, "ciMethod::ensure_method_data()").area, MANAGED_NONE);
	ck_assert_int_eq(of_function(MTRACE_KIND_THREAD, JVM, "CodeHeap::expand_by(unsigned long)").area, MANAGED_NONE);
}
END_TEST

/* A CompiledMethod is no Method: its maps are kept with its code. */
START_TEST(records_of_code_stand_before_those_of_classes)
{
	struct profile_stack stacks[STACKS];
	struct profile_process p;
	fill(&p, stacks);
	names[RECORDED_CODE].function = "CodeBlob::CodeBlob(char const*, CodeBuffer*)";
	names[RECORDED_CLASS].function = "Method::link_method(methodHandle const&)";
	stacks[RECORD].frames = (const uint32_t[]){RECORDED_CODE, RECORDED_CLASS};
	stacks[RECORD].frame_count = 2;
	ck_assert_int_eq(managed_of(&p, &stacks[RECORD]).area, MANAGED_CODE);
	names[RECORDED_CODE].function = "CompiledMethod::CompiledMethod(Method*, char const*)";
	names[RECORDED_CLASS].function = "nmethod::nmethod(Method*, CompilerType)";
	ck_assert_int_eq(managed_of(&p, &stacks[RECORD]).area, MANAGED_CODE);
}
END_TEST

START_TEST(what_is_committed_is_told_from_what_is_reserved)
{
	struct profile_stack stacks[STACKS];
	struct profile_process p;
	fill(&p, stacks);
	ck_assert_int_eq(managed_of(&p, &stacks[RESERVE]).how, MANAGED_MAPPING);
	ck_assert_int_eq(managed_of(&p, &stacks[COMMIT]).how, MANAGED_COMMIT);
	ck_assert_int_eq(managed_of(&p, &stacks[COMMIT]).area, MANAGED_HEAP);
	ck_assert_int_eq(managed_of(&p, &stacks[META]).area, MANAGED_METASPACE);
	ck_assert_int_eq(managed_of(&p, &stacks[META]).how, MANAGED_COMMIT);
}
END_TEST

/* ---- what grew ---- */

enum { INSTANTS = 33 };

/* Bytes per window of each stack; resident memory, and what of it is the heap: 0 not known. */
struct course {
	int64_t heap, record, native, meta, other_record, rss, heap_rss;
};

static struct leaks judged(const struct course *c, struct profile_process *p, struct profile_stack stacks[STACKS])
{
	const int64_t each[STACKS] = {-c->heap, c->heap, c->record, c->native, c->meta, c->other_record};
	struct growth g;
	struct leaks l;
	fill(p, stacks);
	growth_init(&g);
	for (int64_t i = 0; i < INSTANTS; i++) {
		uint64_t rss = c->rss ? (uint64_t)(100 * MIB + i * c->rss) : 0;
		ck_assert(growth_begin(&g, &(struct growth_instant){(uint64_t)(i + 1) * SECOND, rss, 0, 0}));
		for (uint32_t s = 0; s < STACKS; s++) {
			int64_t bytes = 1024 * MIB + i * each[s];
			growth_put(&g, s, &(struct growth_counts){(uint64_t)bytes, (uint64_t)(100 + (each[s] ? i : 0)), 0, 0});
		}
	}
	if (c->heap_rss) {
		g.has_managed = true;
		g.managed_begin[MANAGED_HEAP] = 50 * MIB;
		g.managed_end[MANAGED_HEAP] = (uint64_t)(50 * MIB + (INSTANTS - 1) * c->heap_rss);
	}
	leaks_judge(&g, NULL, p, NULL, &l);
	growth_free(&g);
	return l;
}

static enum verdict_kind verdict_of_stack(const struct leaks *l, uint32_t stack)
{
	return leaks_verdict_of(l, stack)->kind;
}

/* "flat": one of the verdicts on what does not grow. */
static const char *told(const struct leaks *l, uint32_t stack)
{
	enum verdict_kind kind = verdict_of_stack(l, stack);
	return kind == VERDICT_STARTUP || kind == VERDICT_UNKNOWN ? "flat" : verdict_name(kind);
}

static const struct {
	struct course course;
	enum managed_area not_native;
	const char *record, *native;
} courses[] = {
	/* committed, as a dead process's segment has it */
	{{.heap = 10 * MIB, .record = 4096}, MANAGED_HEAP, "java-heap", "flat"},
	{{.meta = 1 * MIB}, MANAGED_METASPACE, "flat", "flat"},
	/* the records alone grow: a leak of the JVM's */
	{{.record = 4096}, MANAGED_NONE, "leak", "flat"},
	/* a native leak beside it stays one; a larger one is the answer */
	{{.heap = 10 * MIB, .record = 4096, .native = 1 * MIB}, MANAGED_HEAP, "java-heap", "leak"},
	{{.heap = 1 * MIB, .record = 4096, .native = 10 * MIB}, MANAGED_NONE, "java-heap", "leak"},
	/* an area that grew by little explains its records as long as it grew by more than they did */
	{{.heap = 8192, .record = 4096}, MANAGED_NONE, "java-heap", "flat"},
	{{.heap = 8192, .record = 4096, .native = 1 * MIB}, MANAGED_NONE, "java-heap", "leak"},
	{{.heap = 2048, .record = 4096}, MANAGED_NONE, "leak", "flat"},
	{{.heap = 2048, .record = 4096, .other_record = -8192}, MANAGED_NONE, "leak", "flat"},
	{{.heap = 8192, .record = 4096, .other_record = 8192}, MANAGED_NONE, "leak", "flat"},
	{{.record = 4096, .rss = 4096, .heap_rss = 8192}, MANAGED_NONE, "java-heap", "flat"},
	{{.heap = 8192, .record = 4096, .rss = 4096, .heap_rss = 1}, MANAGED_NONE, "leak", "flat"},
	/* with records that are larger than the area itself */
	{{.heap = 65536, .record = 1 * MIB}, MANAGED_HEAP, "java-heap", "flat"},
	{{.heap = 65536, .record = 1 * MIB, .native = 2 * MIB}, MANAGED_NONE, "leak", "leak"},
	/* metaspace grows, and the heap's records: beside it, or next to nothing */
	{{.meta = 1 * MIB, .record = 4096}, MANAGED_METASPACE, "leak", "flat"},
	{{.meta = 1 * MIB, .record = 512}, MANAGED_METASPACE, "java-heap", "flat"},
	/* measured: of one size from the start, and touched; committed and never touched; not what RSS grew by */
	{{.rss = 10 * MIB, .heap_rss = 9 * MIB}, MANAGED_HEAP, "flat", "flat"},
	{{.heap = 10 * MIB, .rss = 4096, .heap_rss = 1}, MANAGED_NONE, "flat", "flat"},
	{{.heap = 1 * MIB, .rss = 10 * MIB, .heap_rss = 1 * MIB}, MANAGED_NONE, "flat", "flat"},
	/* too little to be an answer */
	{{.heap = 4096}, MANAGED_NONE, "flat", "flat"},
};

START_TEST(what_grew_most_is_found)
{
	struct profile_stack stacks[STACKS];
	struct profile_process p;
	struct leaks l = judged(&courses[_i].course, &p, stacks);
	ck_assert_int_eq(l.not_native, courses[_i].not_native);
	ck_assert_str_eq(told(&l, RECORD), courses[_i].record);
	ck_assert_str_eq(told(&l, NATIVE), courses[_i].native);
	ck_assert_str_eq(verdict_name(verdict_of_stack(&l, COMMIT)), "java-heap");
	ck_assert_str_eq(verdict_name(verdict_of_stack(&l, META)), "metaspace");
	bool has_leak = !strcmp(courses[_i].record, "leak") || !strcmp(courses[_i].native, "leak");
	ck_assert_int_eq(l.rows[0].verdict.kind == VERDICT_LEAK, has_leak);
	ck_assert_int_eq(l.leak_per_hour > 0, has_leak);
	leaks_free(&l);
}
END_TEST

static char *text_of(const struct course *c)
{
	struct profile_stack stacks[STACKS];
	struct profile_process p;
	struct leaks l = judged(c, &p, stacks);
	struct profile profile = {.processes = &p, .process_count = 1};
	struct emit_options o = {.leaks = true, .limit = 10, .judged = &l, .target = "4127"};
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);
	p.by_kind[MTRACE_KIND_MALLOC].alloc_blocks = 1;
	emit_text(&profile, &o, out);
	fclose(out);
	leaks_free(&l);
	return text;
}

START_TEST(it_stands_first_and_no_leak_follows)
{
	char *text = text_of(&courses[0].course);
	const char *first = strstr(text, "NOT A NATIVE LEAK: java-heap. +320.00 MiB Java heap, live native memory +128.00 KiB");
	ck_assert_ptr_nonnull(first);
	ck_assert(first < strstr(text, "  RSS "));
	ck_assert_ptr_null(strstr(text, "LEAK  "));
	ck_assert_ptr_null(strstr(text, "G1PageBasedVirtualSpace")); /* no stack of the JVM's own that commits it */
	ck_assert_ptr_nonnull(strstr(text, "next  mtrace jvm 4127 histogram --baseline\n"));
	free(text);
	text = text_of(&courses[3].course);
	ck_assert_ptr_nonnull(strstr(text, "MOST OF IT IS NOT NATIVE: java-heap. "));
	ck_assert_ptr_nonnull(strstr(text, "LEAK  "));
	free(text);
	text = text_of(&courses[2].course);
	ck_assert_ptr_null(strstr(text, "NATIVE"));
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tools: a JVM's own areas");
	TCase *plain = tcase_create("plain");
	tcase_add_test(plain, an_area_is_told_by_the_jvms_functions);
	tcase_add_test(plain, others_have_none);
	tcase_add_test(plain, records_of_code_stand_before_those_of_classes);
	tcase_add_test(plain, what_is_committed_is_told_from_what_is_reserved);
	tcase_add_loop_test(plain, what_grew_most_is_found, 0, sizeof courses / sizeof courses[0]);
	tcase_add_test(plain, it_stands_first_and_no_leak_follows);
	suite_add_tcase(suite, plain);
	return run_suite(suite);
}
