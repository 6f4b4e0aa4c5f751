/*
 * fake_profile: see fake_profile.h. Seeded, so that a failure can be had again. Linked with every unit test of the
 * tools; it knows the profile and nothing of files.
 */
#include "fake_profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/profile.h"

/* splitmix64 */
static uint64_t next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint32_t below(uint64_t *state, uint32_t limit)
{
	return limit ? (uint32_t)(next(state) % limit) : 0;
}

/* Numbers of all sizes, the ends of the range more often than chance would have them. */
static uint64_t number(uint64_t *state)
{
	uint32_t bits = below(state, 66);

	return bits >= 64 ? UINT64_MAX * (bits & 1) : next(state) >> bits;
}

static const char *text(struct profile *p, uint64_t *state)
{
	static const char *const pieces[] = {"main", "std::vector<int>::push_back(int const&)", "/usr/lib/libc.so.6", "x",
					     "日本語", "a\nb", "", "operator new[](unsigned long)", " ", "\t\"\\"};
	char buffer[256];

	snprintf(buffer, sizeof(buffer), "%s%s%u", pieces[below(state, 10)], pieces[below(state, 10)], below(state, 40));
	return profile_string(p, below(state, 12) ? buffer : pieces[below(state, 10)]);
}

static struct profile_counts counts(uint64_t *state)
{
	return (struct profile_counts){number(state), number(state), number(state),
				       number(state), number(state), number(state)};
}

static void fill_modules(struct profile *p, struct profile_process *process, uint64_t *state, uint32_t size)
{
	process->module_count = below(state, size / 4 + 2);
	process->modules = profile_alloc(p, process->module_count, sizeof(*process->modules));
	for (uint32_t i = 0; i < process->module_count; i++) {
		struct profile_module *m = &process->modules[i];

		*m = (struct profile_module){.path = text(p, state), .start = number(state), .end = number(state),
					     .bias = number(state)};
		m->build_id_bytes = (uint8_t)(below(state, 3) ? 20 : below(state, 33));
		for (uint32_t k = 0; k < m->build_id_bytes; k++)
			m->build_id[k] = (uint8_t)next(state);
	}
}

static void name_frame(struct profile *p, struct profile_frame *frame, uint64_t *state)
{
	struct profile_name *names;

	frame->name_count = below(state, 4);
	if (!frame->name_count)
		return;
	frame->names = names = profile_alloc(p, frame->name_count, sizeof(*names));
	for (uint32_t i = 0; i < frame->name_count; i++)
		names[i] = (struct profile_name){.function = below(state, 9) ? text(p, state) : NULL,
						 .file = below(state, 4) ? text(p, state) : NULL,
						 .line = below(state, 5) ? below(state, 5000) : UINT32_MAX,
						 .inlined = i + 1 < frame->name_count,
						 .signature = below(state, 4) ? NULL : text(p, state)};
}

static void fill_frames(struct profile *p, struct profile_process *process, uint64_t *state, uint32_t size)
{
	process->frame_count = below(state, size * 2 + 1) + 1;
	process->frames = profile_alloc(p, process->frame_count, sizeof(*process->frames));
	for (uint32_t i = 0; i < process->frame_count; i++) {
		struct profile_frame *f = &process->frames[i];

		f->kind = (uint16_t)(1 + below(state, 3));
		f->module = PROFILE_NO_MODULE;
		if (f->kind == MTRACE_FRAME_NATIVE && process->module_count)
			f->module = below(state, process->module_count);
		else if (f->kind == MTRACE_FRAME_NATIVE)
			f->kind = MTRACE_FRAME_ABSOLUTE;
		f->value = f->kind == MTRACE_FRAME_MARKER ? 1 + below(state, MTRACE_MARKER_COUNT - 1) : number(state);
		f->flags = (uint16_t)below(state, 2);
		name_frame(p, f, state);
	}
}

static void fill_stacks(struct profile *p, struct profile_process *process, uint64_t *state, uint32_t size)
{
	process->stack_count = below(state, size + 1);
	process->stacks = profile_alloc(p, process->stack_count, sizeof(*process->stacks));
	for (uint32_t i = 0; i < process->stack_count; i++) {
		struct profile_stack *s = &process->stacks[i];
		uint32_t depth = below(state, 24), *frames = profile_alloc(p, depth + 1, sizeof(*frames));
		const struct profile_stack *like = i && below(state, 3) ? s - 1 - below(state, i) : NULL;

		for (uint32_t k = 0; k < depth; k++) /* many share their outer frames with another */
			frames[depth - 1 - k] = like && k < like->frame_count && k < depth / 2
							? like->frames[like->frame_count - 1 - k]
							: below(state, process->frame_count);
		*s = (struct profile_stack){next(state), (enum mtrace_kind)below(state, MTRACE_KIND_COUNT), counts(state),
					    frames, depth, below(state, MTRACE_MARKER_COUNT), UINT32_MAX, next(state)};
	}
}

static void fill_threads(struct profile *p, struct profile_process *process, uint64_t *state, uint32_t size)
{
	process->thread_count = below(state, size / 4 + 2);
	process->threads = profile_alloc(p, process->thread_count, sizeof(*process->threads));
	for (uint32_t i = 0; i < process->thread_count; i++)
		process->threads[i] = (struct profile_thread){
			.tid = (uint32_t)next(state), .name = text(p, state), .ended = below(state, 2), .inside = below(state, 2),
			.start_tick = number(state), .end_tick = number(state), .stack_bytes = number(state),
			.stack = process->stack_count && below(state, 3) ? below(state, process->stack_count) : UINT32_MAX};
}

static void fill_live(struct profile *p, struct profile_process *process, uint64_t *state, uint32_t size)
{
	process->live_count = process->stack_count ? below(state, size * 2) : 0;
	process->live = profile_alloc(p, process->live_count, sizeof(*process->live));
	for (uint32_t i = 0; i < process->live_count; i++)
		process->live[i] = (struct profile_live){
			.stack = below(state, process->stack_count), .birth_tick = number(state), .blocks = number(state),
			.thread = process->thread_count && below(state, 4) ? below(state, process->thread_count)
									   : PROFILE_NO_THREAD,
			.bytes = number(state)};
}

static void fill_small(struct profile *p, struct profile_process *process, uint64_t *state)
{
	process->mark_count = below(state, 5);
	process->marks = profile_alloc(p, process->mark_count, sizeof(*process->marks));
	for (uint32_t i = 0; i < process->mark_count; i++)
		process->marks[i] = (struct profile_mark){text(p, state), number(state), (uint32_t)next(state)};
	process->counter_count = below(state, 30);
	process->counters = profile_alloc(p, process->counter_count, sizeof(*process->counters));
	for (uint32_t i = 0; i < process->counter_count; i++)
		process->counters[i] = (struct profile_counter){text(p, state), number(state)};
	process->ledger_count = below(state, 6);
	process->ledger = profile_alloc(p, process->ledger_count, sizeof(*process->ledger));
	for (uint32_t i = 0; i < process->ledger_count; i++)
		process->ledger[i] = (struct profile_ledger_row){text(p, state), text(p, state), text(p, state), number(state)};
}

/* After stacks and marks. */
static void fill_history(struct profile *p, struct profile_process *process, uint64_t *state, uint32_t size)
{
	process->window_ns = number(state);
	process->active_ns = number(state);
	process->boundary_count = below(state, size < 24 ? size + 1 : 24);
	process->boundaries = profile_alloc(p, process->boundary_count, sizeof(*process->boundaries));
	for (uint32_t i = 0; i < process->boundary_count; i++)
		process->boundaries[i] = (struct profile_boundary){
			number(state), number(state), number(state), number(state), number(state), number(state), (uint32_t)number(state),
			process->mark_count && below(state, 2) ? below(state, process->mark_count) : PROFILE_NO_MARK};
	process->changes = profile_alloc(p, (size_t)process->stack_count * process->boundary_count, sizeof(*process->changes));
	for (uint32_t i = 0; i < process->stack_count; i++) {
		uint32_t from = below(state, process->boundary_count + 1);

		process->stacks[i].history_from = from < process->boundary_count || !process->boundary_count ? from : UINT32_MAX;
		for (uint32_t k = from; k < process->boundary_count; k++)
			if (below(state, 8) == 0)
				process->changes[process->change_count++] = (struct profile_change){
					i, k, number(state), number(state), number(state), number(state)};
	}
}

static void fill_process(struct profile *p, struct profile_process *process, uint64_t *state)
{
	process->pid = (uint32_t)next(state);
	process->image = below(state, 9);
	process->parent_pid = (uint32_t)next(state);
	process->start_time = number(state);
	process->forked = below(state, 2);
	process->exe = text(p, state);
	process->cwd = text(p, state);
	process->run_id = text(p, state);
	process->shim_version = text(p, state);
	process->arg_count = below(state, 6);
	process->args = profile_alloc(p, process->arg_count + 1, sizeof(char *));
	for (uint32_t i = 0; i < process->arg_count; i++)
		process->args[i] = text(p, state);
	process->mode = below(state, 4);
	process->end = (enum profile_end_reason)below(state, 5);
	process->end_status = (int)next(state);
	process->in_tracker = below(state, 2);
	process->poisoned = below(state, 2);
	process->jni = below(state, 2);
	process->note = below(state, 3) ? NULL : text(p, state);
	process->totals = counts(state);
	for (uint32_t i = 0; i < MTRACE_KIND_COUNT; i++)
		process->by_kind[i] = counts(state);
	for (uint64_t *v[] = {&process->sample_bytes, &process->wall_start_ns, &process->lived_ns, &process->peak_live_bytes,
			      &process->tracker_bytes, &process->tracker_private_bytes,
			      &process->unsettled_stacks, &process->rss_bytes, NULL}, **at = v; *at; at++)
		**at = number(state);
	process->skipped = below(state, 100);
}

struct profile *fake_profile_random(uint64_t seed, uint32_t size)
{
	struct profile *p = profile_new();
	uint64_t state = seed;
	uint32_t processes = 1 + below(&state, 3);

	for (uint32_t i = 0; i < processes; i++) {
		struct profile_process *process = profile_add_process(p);

		fill_process(p, process, &state);
		fill_modules(p, process, &state, size);
		fill_frames(p, process, &state, size);
		fill_stacks(p, process, &state, size);
		fill_threads(p, process, &state, size);
		fill_live(p, process, &state, size);
		fill_small(p, process, &state);
		fill_history(p, process, &state, size);
	}
	return p;
}

/* ---- fixtures: never change one that has been stored; add another ---- */

static void fixture_modules(struct profile *p, struct profile_process *process)
{
	process->module_count = 2;
	process->modules = profile_alloc(p, 2, sizeof(*process->modules));
	process->modules[0] = (struct profile_module){.path = "/usr/bin/example", .build_id_bytes = 20,
						      .start = 0x555555554000, .end = 0x555555560000, .bias = 0x555555554000};
	process->modules[1] = (struct profile_module){.path = "/usr/lib/libexample.so.1", .start = 0x7ffff7a00000,
						      .end = 0x7ffff7b00000, .bias = 0x7ffff7a00000};
	for (uint8_t i = 0; i < 20; i++)
		process->modules[0].build_id[i] = (uint8_t)(0xa0 + i);
}

static void fixture_names(struct profile *p, struct profile_process *process)
{
	struct profile_name *names = profile_alloc(p, 4, sizeof(*names));

	names[0] = (struct profile_name){"copy_in(char const*)", "/src/example.cc", 12, true, NULL};
	names[1] = (struct profile_name){"cache::insert(std::string)", "/src/example.cc", 40, false, NULL};
	names[2] = (struct profile_name){"main", "/src/main.cc", 7, false, NULL};
	names[3] = (struct profile_name){"run_plugin", NULL, 0, false, NULL};
	process->frames[0].names = &names[0];
	process->frames[0].name_count = 2;
	process->frames[1].names = &names[2];
	process->frames[1].name_count = 1;
	process->frames[2].names = &names[3];
	process->frames[2].name_count = 1;
}

static void fixture_frames(struct profile *p, struct profile_process *process)
{
	process->frame_count = 5;
	process->frames = profile_alloc(p, 5, sizeof(*process->frames));
	process->frames[0] = (struct profile_frame){.value = 0x1234, .module = 0, .kind = MTRACE_FRAME_NATIVE};
	process->frames[1] = (struct profile_frame){.value = 0x2040, .module = 0, .kind = MTRACE_FRAME_NATIVE};
	process->frames[2] = (struct profile_frame){.value = 0x8f01, .module = 1, .kind = MTRACE_FRAME_NATIVE,
						    .flags = MTRACE_FRAME_EXACT};
	process->frames[3] = (struct profile_frame){.value = 0x7fffe0001000, .module = PROFILE_NO_MODULE,
						    .kind = MTRACE_FRAME_ABSOLUTE};
	process->frames[4] = (struct profile_frame){.value = MTRACE_MARKER_TRUNCATED, .module = PROFILE_NO_MODULE,
						    .kind = MTRACE_FRAME_MARKER};
}

static void fixture_stacks(struct profile *p, struct profile_process *process)
{
	static const uint32_t paths[3][3] = {{0, 1, 0}, {2, 1, 0}, {2, 3, 4}};
	static const struct profile_counts all[3] = {
		{100, 6400, 10, 640, 90, 5760}, {7, 4096, 0, 0, 7, 4096}, {3, 300, 3, 300, 0, 0}};

	process->stack_count = 3;
	process->stacks = profile_alloc(p, 3, sizeof(*process->stacks));
	for (uint32_t i = 0; i < 3; i++)
		process->stacks[i] = (struct profile_stack){
			.id = 0x1111111111111111u * (i + 1), .kind = i == 1 ? MTRACE_KIND_MMAP : MTRACE_KIND_MALLOC,
			.counts = all[i], .frames = paths[i], .frame_count = i == 2 ? 3 : 2,
			.marker = i == 2 ? MTRACE_MARKER_TRUNCATED : MTRACE_MARKER_NONE};
	process->by_kind[MTRACE_KIND_MALLOC] = (struct profile_counts){103, 6700, 13, 940, 90, 5760};
	process->by_kind[MTRACE_KIND_MMAP] = all[1];
	process->totals = process->by_kind[MTRACE_KIND_MALLOC];
	process->peak_live_bytes = 6000;
}

static void fixture_process(struct profile *p, uint32_t pid, bool named)
{
	struct profile_process *process = profile_add_process(p);

	process->pid = pid;
	process->parent_pid = 1;
	process->exe = "/usr/bin/example";
	process->cwd = "/srv";
	process->run_id = "fixture";
	process->shim_version = "0.1.0";
	process->arg_count = 2;
	process->args = profile_alloc(p, 2, sizeof(char *));
	process->args[0] = "example";
	process->args[1] = "--size=3";
	process->end = PROFILE_EXIT;
	process->end_status = 3;
	process->lived_ns = 1500000000;
	process->tracker_bytes = 1 << 20;
	fixture_modules(p, process);
	fixture_frames(p, process);
	if (named)
		fixture_names(p, process);
	fixture_stacks(p, process);
}

static void fixture_extras(struct profile *p, struct profile_process *process)
{
	process->thread_count = 1;
	process->threads = profile_alloc(p, 1, sizeof(*process->threads));
	process->threads[0] = (struct profile_thread){.tid = process->pid, .name = "example", .start_tick = 1, .stack = 0};
	process->live_count = 1;
	process->live = profile_alloc(p, 1, sizeof(*process->live));
	process->live[0] = (struct profile_live){.stack = 0, .thread = 0, .birth_tick = 9, .blocks = 90, .bytes = 5760};
	process->mark_count = 1;
	process->marks = profile_alloc(p, 1, sizeof(*process->marks));
	process->marks[0] = (struct profile_mark){"warm", 500000000, MTRACE_MARK_SNAPSHOT};
	process->counter_count = 1;
	process->counters = profile_alloc(p, 1, sizeof(*process->counters));
	process->counters[0] = (struct profile_counter){"unknown_frees", 2};
	process->ledger_count = 1;
	process->ledger = profile_alloc(p, 1, sizeof(*process->ledger));
	process->ledger[0] = (struct profile_ledger_row){"unexplained", "unexplained", "smaps", 8192};
	process->rss_bytes = 8192;
}

struct profile *fake_profile_fixture(const char *name)
{
	bool forks = strcmp(name, "forks") == 0, plain = strcmp(name, "plain") == 0;
	struct profile *p;

	if (!forks && !plain && strcmp(name, "unnamed") != 0)
		return NULL;
	p = profile_new();
	for (uint32_t i = 0; i < (forks ? 3 : 1); i++) {
		fixture_process(p, 100 + i, plain || forks);
		if (forks)
			fixture_extras(p, &p->processes[i]);
	}
	return p;
}

/* ---- comparison ---- */

struct comparison {
	char *why;
	size_t bytes;
	bool differ;
};

static void check(struct comparison *c, bool same, const char *what, uint64_t index)
{
	if (!same && !c->differ)
		snprintf(c->why, c->bytes, "%s [%llu] differs", what, (unsigned long long)index);
	c->differ = c->differ || !same;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

#define SAME(member) check(c, a->member == b->member, #member, i)
#define SAME_TEXT(member) check(c, same_text(a->member, b->member), #member, i)
#define SAME_COUNTS(member) check(c, memcmp(&a->member, &b->member, sizeof(a->member)) == 0, #member, i)

static void compare_frame(struct comparison *c, const struct profile_frame *a, const struct profile_frame *b, uint64_t i)
{
	SAME(value);
	SAME(module);
	SAME(kind);
	SAME(flags);
	SAME(name_count);
	for (uint32_t k = 0; k < a->name_count && !c->differ; k++) {
		SAME_TEXT(names[k].function);
		SAME_TEXT(names[k].signature);
		SAME_TEXT(names[k].file);
		SAME(names[k].line);
		SAME(names[k].inlined);
	}
}

static void compare_stack(struct comparison *c, const struct profile_stack *a, const struct profile_stack *b, uint64_t i)
{
	SAME(id);
	SAME(kind);
	SAME(marker);
	SAME(history_from);
	SAME_COUNTS(counts);
	SAME(frame_count);
	for (uint32_t k = 0; k < a->frame_count && !c->differ; k++)
		SAME(frames[k]);
}

static void compare_module(struct comparison *c, const struct profile_module *a, const struct profile_module *b, uint64_t i)
{
	SAME_TEXT(path);
	SAME(build_id_bytes);
	check(c, memcmp(a->build_id, b->build_id, sizeof(a->build_id)) == 0, "build_id", i);
	SAME(start);
	SAME(end);
	SAME(bias);
}

static void compare_thread(struct comparison *c, const struct profile_thread *a, const struct profile_thread *b, uint64_t i)
{
	SAME(tid);
	SAME_TEXT(name);
	SAME(ended);
	SAME(inside);
	SAME(start_tick);
	SAME(end_tick);
	SAME(stack_bytes);
	SAME(stack);
}

static void compare_live(struct comparison *c, const struct profile_live *a, const struct profile_live *b, uint64_t i)
{
	SAME(stack);
	SAME(thread);
	SAME(birth_tick);
	SAME(blocks);
	SAME(bytes);
}

static void compare_history(struct comparison *c, const struct profile_process *a, const struct profile_process *b)
{
	for (uint32_t i = 0; i < a->boundary_count && !c->differ; i++) {
		SAME(boundaries[i].time_ns);
		SAME(boundaries[i].active_ns);
		SAME(boundaries[i].live_bytes);
		SAME(boundaries[i].peak_live_bytes);
		SAME(boundaries[i].rss_bytes);
		SAME(boundaries[i].tracker_bytes);
		SAME(boundaries[i].unit);
		SAME(boundaries[i].mark);
	}
	for (uint32_t i = 0; i < a->change_count && !c->differ; i++) {
		SAME(changes[i].stack);
		SAME(changes[i].boundary);
		SAME(changes[i].alloc_blocks);
		SAME(changes[i].alloc_bytes);
		SAME(changes[i].freed_blocks);
		SAME(changes[i].freed_bytes);
	}
}

static void compare_small(struct comparison *c, const struct profile_process *a, const struct profile_process *b)
{
	for (uint32_t i = 0; i < a->mark_count && !c->differ; i++) {
		SAME_TEXT(marks[i].name);
		SAME(marks[i].time_ns);
		SAME(marks[i].flags);
	}
	for (uint32_t i = 0; i < a->counter_count && !c->differ; i++) {
		SAME_TEXT(counters[i].name);
		SAME(counters[i].value);
	}
	for (uint32_t i = 0; i < a->ledger_count && !c->differ; i++) {
		SAME_TEXT(ledger[i].owner);
		SAME_TEXT(ledger[i].label);
		SAME_TEXT(ledger[i].measured_by);
		SAME(ledger[i].bytes);
	}
	for (uint32_t i = 0; i < a->arg_count && !c->differ; i++)
		SAME_TEXT(args[i]);
}

static void compare_description(struct comparison *c, const struct profile_process *a, const struct profile_process *b, uint64_t i)
{
	SAME(pid);
	SAME(image);
	SAME(parent_pid);
	SAME(start_time);
	SAME(forked);
	SAME_TEXT(exe);
	SAME_TEXT(cwd);
	SAME_TEXT(run_id);
	SAME_TEXT(shim_version);
	SAME(arg_count);
	SAME(mode);
	SAME(sample_bytes);
	SAME(wall_start_ns);
	SAME(lived_ns);
	SAME(end);
	SAME(end_status);
	SAME(in_tracker);
	SAME(poisoned);
	SAME(jni);
	SAME_COUNTS(totals);
	SAME_COUNTS(by_kind);
	SAME(peak_live_bytes);
	SAME(tracker_bytes);
	SAME(tracker_private_bytes);
	SAME(unsettled_stacks);
	SAME(rss_bytes);
	SAME(skipped);
	SAME_TEXT(note);
	SAME(module_count);
	SAME(frame_count);
	SAME(stack_count);
	SAME(live_count);
	SAME(thread_count);
	SAME(mark_count);
	SAME(counter_count);
	SAME(ledger_count);
	SAME(window_ns);
	SAME(active_ns);
	SAME(boundary_count);
	SAME(change_count);
}

static void compare_process(struct comparison *c, const struct profile_process *a, const struct profile_process *b, uint64_t i)
{
	compare_description(c, a, b, i);
	if (c->differ)
		return;
	compare_small(c, a, b);
	compare_history(c, a, b);
	for (uint32_t k = 0; k < a->module_count; k++)
		compare_module(c, &a->modules[k], &b->modules[k], k);
	for (uint32_t k = 0; k < a->frame_count; k++)
		compare_frame(c, &a->frames[k], &b->frames[k], k);
	for (uint32_t k = 0; k < a->stack_count; k++)
		compare_stack(c, &a->stacks[k], &b->stacks[k], k);
	for (uint32_t k = 0; k < a->thread_count; k++)
		compare_thread(c, &a->threads[k], &b->threads[k], k);
	for (uint32_t k = 0; k < a->live_count; k++)
		compare_live(c, &a->live[k], &b->live[k], k);
}

bool fake_profile_same(const struct profile *a, const struct profile *b, char *why, size_t bytes)
{
	struct comparison c = {why, bytes, false};

	check(&c, a->process_count == b->process_count, "process_count", b->process_count);
	for (uint32_t i = 0; i < a->process_count && !c.differ; i++)
		compare_process(&c, &a->processes[i], &b->processes[i], i);
	return !c.differ;
}
