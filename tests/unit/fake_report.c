/* fake_report: see fake_report.h. Frames are made in the order of `frames` below; stacks name them by number. */
#include "fake_report.h"

#include <string.h>

#include "model/profile.h"

static struct profile *p;
static struct profile_process *q;

static const struct { const char *path; uint8_t build_id; } modules[] = {
	{"/opt/app/server", 0x11}, {"/usr/lib/libstore.so.4", 0x22}, {"/lib/x86_64-linux-gnu/libc.so.6", 0x33},
};

struct named {
	unsigned kind;
	uint32_t module;
	uint64_t value;
	struct profile_name names[3];
};

static const struct named frames[] = {
	{MTRACE_FRAME_NATIVE, 0, 0x1010, {{"operator new(unsigned long)", NULL, 0, false, NULL}}},
	{MTRACE_FRAME_NATIVE, 1, 0x2020, {{"std::vector<int, std::allocator<int> >::reserve(unsigned long)", "/usr/include/c++/12/bits/vector.tcc", 79, true, NULL},
	                                  {"store::Cache::fill(std::string const&; int)", "/src/store/cache.cc", 214, false, NULL}}},
	{MTRACE_FRAME_NATIVE, 0, 0x3030, {{"handle_request", "/src/app/server.c", 58, false, NULL}}},
	{MTRACE_FRAME_NATIVE, 0, 0x4040, {{"main", "/src/app/server.c", 12, false, NULL}}},
	{MTRACE_FRAME_NATIVE, 2, 0x5050, {{"__libc_start_main", NULL, 0, false, NULL}}},
	{MTRACE_FRAME_NATIVE, 0, 0x6060, {{NULL, NULL, 0, false, NULL}}},
	{MTRACE_FRAME_ABSOLUTE, PROFILE_NO_MODULE, 0x7fff12345678, {{NULL, NULL, 0, false, NULL}}},
	{MTRACE_FRAME_MARKER, PROFILE_NO_MODULE, MTRACE_MARKER_NO_RULES, {{NULL, NULL, 0, false, NULL}}},
	{MTRACE_FRAME_NATIVE, 2, 0x8080, {{"strdup", NULL, 0, false, NULL}}},
	{MTRACE_FRAME_NATIVE, 0, 0x9090, {{"tree::walk<std::map<std::string, std::vector<double, std::allocator<double> > > >(tree::Node*, "
	                                   "int)", "/src/app/tree.cc", 7, false, NULL}}},
};
enum { NEW, RESERVE, HANDLE, MAIN, START, UNNAMED, JIT, NO_RULES, STRDUP, WALK, FRAMES };

static void add_modules(void)
{
	q->module_count = 3;
	q->modules = profile_alloc(p, 3, sizeof *q->modules);
	for (uint32_t i = 0; i < 3; i++) {
		q->modules[i].path = modules[i].path;
		q->modules[i].build_id_bytes = 20;
		memset(q->modules[i].build_id, modules[i].build_id, 20);
	}
}

static void add_frames(void)
{
	struct profile_frame *to = profile_alloc(p, FRAMES, sizeof *to);
	for (uint32_t i = 0; i < FRAMES; i++) {
		uint32_t n = frames[i].names[0].function ? 1 : 0;
		n += frames[i].names[1].function != NULL;
		to[i] = (struct profile_frame){.value = frames[i].value, .module = frames[i].module, .kind = (uint16_t)frames[i].kind,
		                               .names = n ? frames[i].names : NULL, .name_count = n};
	}
	q->frames = to;
	q->frame_count = FRAMES;
}

static uint32_t add_stack(enum mtrace_kind kind, const uint32_t *path, uint32_t length, struct profile_counts counts)
{
	struct profile_stack *s = &q->stacks[q->stack_count];
	uint32_t *kept = profile_alloc(p, length, sizeof *kept);
	if (length)
		memcpy(kept, path, length * sizeof *kept);
	counts.freed_blocks = counts.alloc_blocks - counts.live_blocks;
	counts.freed_bytes = counts.alloc_bytes - counts.live_bytes;
	*s = (struct profile_stack){.kind = kind, .counts = counts, .frames = kept, .frame_count = length};
	return q->stack_count++;
}

static void add_stacks(void)
{
	uint32_t deep[40] = {NEW, RESERVE};
	for (uint32_t i = 2; i < 38; i++)
		deep[i] = WALK;
	deep[38] = MAIN;
	deep[39] = START;
	q->stacks = profile_alloc(p, 8, sizeof *q->stacks);
	add_stack(MTRACE_KIND_MALLOC, (uint32_t[]){NEW, RESERVE, HANDLE, MAIN, START}, 5, (struct profile_counts){
		.alloc_blocks = 92000, .alloc_bytes = 1500000000, .live_blocks = 90411, .live_bytes = 1481763717});
	add_stack(MTRACE_KIND_MALLOC, (uint32_t[]){STRDUP, UNNAMED, JIT, NO_RULES}, 4, (struct profile_counts){
		.alloc_blocks = 10, .alloc_bytes = 700, .live_blocks = 9, .live_bytes = 640});
	add_stack(MTRACE_KIND_MALLOC, deep, 40, (struct profile_counts){
		.alloc_blocks = 5000000, .alloc_bytes = 320000000, .live_blocks = 0, .live_bytes = 0});
	add_stack(MTRACE_KIND_MALLOC, deep, 39, (struct profile_counts){
		.alloc_blocks = 100, .alloc_bytes = 409600, .live_blocks = 100, .live_bytes = 409600});
	add_stack(MTRACE_KIND_MALLOC, NULL, 0, (struct profile_counts){
		.alloc_blocks = 1, .alloc_bytes = 16, .live_blocks = 1, .live_bytes = 16});
	add_stack(MTRACE_KIND_MMAP, (uint32_t[]){HANDLE, MAIN, START}, 3, (struct profile_counts){
		.alloc_blocks = 4, .alloc_bytes = 4 << 20, .live_blocks = 4, .live_bytes = 4 << 20});
	add_stack(MTRACE_KIND_THREAD, (uint32_t[]){MAIN, START}, 2, (struct profile_counts){
		.alloc_blocks = 64, .alloc_bytes = 64ull << 23, .live_blocks = 64, .live_bytes = 64ull << 23});
}

static void add_people(void)
{
	static const char *const names[] = {"main", "pool-1-thread-1", "pool-1-thread-12", ""};
	static const char *args[] = {"/opt/app/server", "--port", "8080", "--token=***"};
	q->args = args;
	q->arg_count = 4;
	q->thread_count = 4;
	q->threads = profile_alloc(p, 4, sizeof *q->threads);
	for (uint32_t i = 0; i < 4; i++)
		q->threads[i] = (struct profile_thread){.tid = 4127 + i, .name = names[i], .stack = UINT32_MAX};
	q->live_count = 3;
	q->live = profile_alloc(p, 3, sizeof *q->live);
	q->live[0] = (struct profile_live){.stack = 0, .thread = 1, .blocks = 90000, .bytes = 1480000000};
	q->live[1] = (struct profile_live){.stack = 0, .thread = 2, .blocks = 411, .bytes = 1763717};
	q->live[2] = (struct profile_live){.stack = 1, .thread = PROFILE_NO_THREAD, .blocks = 9, .bytes = 640};
	q->mark_count = 2;
	q->marks = profile_alloc(p, 2, sizeof *q->marks);
	q->marks[0] = (struct profile_mark){.name = "warm", .time_ns = 1500000000};
	q->marks[1] = (struct profile_mark){.name = "load \"a\"\n", .time_ns = 62000000000};
}

/* A list of its own: goldens do not change when counters are added. */
static void add_counters(void)
{
	static struct profile_counter counters[] = {
		{"unknown_frees", 12}, {"implicit_frees", 0}, {"inherited_frees", 0}, {"bootstrap_blocks", 2},
		{"truncated_stacks", 12345}, {"stacks_no_rules", 12340}, {"drop_live_full", 7}, {"drop_marks_full", 0},
		{"thread_ids_reused", 1}, {"counter-99", 3},
	};
	q->counters = counters;
	q->counter_count = sizeof counters / sizeof counters[0];
}

static void add_server(void)
{
	q = profile_add_process(p);
	q->pid = 4127;
	q->parent_pid = 1;
	q->exe = "/opt/app/server";
	q->cwd = "/srv";
	q->run_id = "r1";
	q->shim_version = "0.0.0";
	q->mode = PROFILE_EXACT;
	q->wall_start_ns = 1700000000000000000u;
	q->lived_ns = 11100ull * 1000000000u;
	q->end = PROFILE_KILLED;
	q->in_tracker = true;
	q->peak_live_bytes = 1500000000;
	q->tracker_bytes = 24u << 20;
	q->tracker_private_bytes = 3u << 20;
	q->unsettled_stacks = 1234; /* which no process has that was killed: for its line to be seen */
	add_modules();
	add_frames();
	add_stacks();
	add_people();
	add_counters();
	profile_finish_process(p, q);
}

static void add_child(void)
{
	q = profile_add_process(p);
	q->pid = 4140;
	q->parent_pid = 4127;
	q->exe = "/opt/app/server";
	q->shim_version = "0.0.0";
	q->forked = true;
	q->end = PROFILE_EXIT;
	q->end_status = 3;
	q->lived_ns = 1230000000;
	q->tracker_bytes = 1u << 20;
	add_modules();
	add_frames();
	q->stacks = profile_alloc(p, 1, sizeof *q->stacks);
	add_stack(MTRACE_KIND_MALLOC, (uint32_t[]){HANDLE, MAIN, START}, 3, (struct profile_counts){
		.alloc_blocks = 3, .alloc_bytes = 300, .live_blocks = 2, .live_bytes = 200});
	profile_finish_process(p, q);
}

struct profile *fake_report(void)
{
	p = profile_new();
	add_server();
	add_child();
	return p;
}

struct profile *fake_report_outside(void)
{
	static struct profile_ledger_row rows[] = {
		{"heap", "heap ([heap])", "smaps", 900 << 20}, {"anonymous", "anonymous mappings", "smaps", 100 << 20},
		{"files", "files and libraries", "smaps", 24 << 20},
	};
	p = profile_new();
	q = profile_add_process(p);
	q->pid = 812;
	q->exe = "/usr/sbin/nginx";
	q->mode = PROFILE_OUTSIDE;
	q->ledger = rows;
	q->ledger_count = 3;
	q->rss_bytes = 1024u << 20;
	q->thread_count = 34;
	q->threads = profile_alloc(p, 34, sizeof *q->threads);
	for (uint32_t i = 0; i < 34; i++)
		q->threads[i] = (struct profile_thread){.tid = 812 + i, .stack = UINT32_MAX,
			.name = i == 0 ? "nginx" : i & 1 ? "pool-1-thread-7" : "pool-12-thread-34"};
	profile_finish_process(p, q);
	return p;
}
