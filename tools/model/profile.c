/*
 * profile: see profile.h. Here: making and freeing one, and the last step of every reader, profile_finish_process,
 * which gives stacks their ids, merges equal ones, sums and sorts.
 */
#include "model/profile.h"

#include <stdlib.h>
#include <string.h>

#include "die.h"
#include "model/pool.h"

struct profile *profile_new(void)
{
	struct profile *p = calloc(1, sizeof *p);
	if (!p)
		die(2, "out of memory");
	p->pool = pool_new();
	return p;
}

void profile_free(struct profile *p)
{
	if (!p)
		return;
	pool_free(p->pool);
	free(p->processes);
	free(p);
}

struct profile_process *profile_add_process(struct profile *p)
{
	struct profile_process *more = reallocarray(p->processes, p->process_count + 1, sizeof *more);
	if (!more)
		die(2, "out of memory");
	p->processes = more;
	struct profile_process *added = &more[p->process_count++];
	memset(added, 0, sizeof *added);
	added->exe = added->cwd = added->run_id = added->shim_version = "";
	return added;
}

void *profile_alloc(struct profile *p, size_t count, size_t bytes)
{
	return pool_alloc(p->pool, count, bytes);
}

const char *profile_string(struct profile *p, const char *s)
{
	return pool_string(p->pool, s, SIZE_MAX);
}

const char *profile_string_n(struct profile *p, const char *s, size_t n)
{
	return pool_string(p->pool, s, n);
}

uint64_t profile_sum(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void profile_counts_add(struct profile_counts *to, const struct profile_counts *from)
{
	to->alloc_blocks = profile_sum(to->alloc_blocks, from->alloc_blocks);
	to->alloc_bytes = profile_sum(to->alloc_bytes, from->alloc_bytes);
	to->freed_blocks = profile_sum(to->freed_blocks, from->freed_blocks);
	to->freed_bytes = profile_sum(to->freed_bytes, from->freed_bytes);
	to->live_blocks = profile_sum(to->live_blocks, from->live_blocks);
	to->live_bytes = profile_sum(to->live_bytes, from->live_bytes);
}

uint64_t profile_counter_of(const struct profile_process *process, const char *name)
{
	for (uint32_t i = 0; i < process->counter_count; i++)
		if (strcmp(process->counters[i].name, name) == 0)
			return process->counters[i].value;
	return 0;
}

int profile_by_allocated(const void *a, const void *b)
{
	const struct profile_stack *x = *(const struct profile_stack *const *)a, *y = *(const struct profile_stack *const *)b;
	if (x->counts.alloc_bytes != y->counts.alloc_bytes)
		return x->counts.alloc_bytes > y->counts.alloc_bytes ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* ---- ids ---------------------------------------------------------------------------------------------
 *
 * A stack's id is a hash of its kind and of (build-id or path, offset) of every frame, or a Java frame's method and
 * place in it: equal code gives equal ids in two runs, wherever it was loaded. Frames without a module have only their
 * address, so ids of stacks through other JIT code hold within one run.
 */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	return h ^ h >> 29;
}

static uint64_t hash_text(const void *bytes, size_t n)
{
	const unsigned char *s = bytes;
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < n; i++)
		h = (h ^ s[i]) * 0x100000001b3u;
	return mix(h, n);
}

static uint64_t module_hash(const struct profile_module *m)
{
	if (m->build_id_bytes)
		return hash_text(m->build_id, m->build_id_bytes);
	return hash_text(m->path, strlen(m->path));
}

/* Methods are numbered as they are met: their names tell them, with the place in them. */
static uint64_t method_hash(const struct profile_frame *f)
{
	uint64_t h = f->value & UINT32_MAX;
	for (uint32_t i = 0; i < f->name_count; i++) {
		const struct profile_name *name = &f->names[i];
		h = mix(h, name->function ? hash_text(name->function, strlen(name->function)) : 0);
		h = mix(h, name->file ? hash_text(name->file, strlen(name->file)) : 0);
		if (!name->file && name->signature) /* compiled without lines: overloads differ by that alone */
			h = mix(h, hash_text(name->signature, strlen(name->signature)));
	}
	return h;
}

static uint64_t *frame_hashes(const struct profile_process *process)
{
	uint64_t *modules = calloc(process->module_count + 1, sizeof *modules);
	uint64_t *frames = calloc(process->frame_count + 1, sizeof *frames);
	if (!modules || !frames)
		die(2, "out of memory");
	for (uint32_t i = 0; i < process->module_count; i++)
		modules[i] = module_hash(&process->modules[i]);
	for (uint32_t i = 0; i < process->frame_count; i++) {
		const struct profile_frame *f = &process->frames[i];
		uint64_t module = f->module < process->module_count ? modules[f->module] : 0;
		uint64_t value = f->kind == MTRACE_FRAME_JAVA ? method_hash(f) : f->value;
		frames[i] = mix(mix(module, value), f->kind | (f->flags & MTRACE_FRAME_EXACT) << 16);
	}
	free(modules);
	return frames;
}

static void name_stack(const struct profile_process *process, const uint64_t *hashes, struct profile_stack *stack)
{
	uint64_t h = mix(0x6d74726163650001u, stack->kind);
	for (uint32_t i = 0; i < stack->frame_count; i++)
		h = mix(h, hashes[stack->frames[i]]);
	stack->id = h;
	stack->marker = 0;
	if (stack->frame_count == 0)
		return;
	const struct profile_frame *outermost = &process->frames[stack->frames[stack->frame_count - 1]];
	if (outermost->kind == MTRACE_FRAME_MARKER)
		stack->marker = (uint32_t)outermost->value;
}

/* ---- order, merging -------------------------------------------------------------------------------- */

struct position {
	const struct profile_stack *stack;
	uint32_t old;
};

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int by_id(const void *a, const void *b)
{
	const struct position *x = a, *y = b;
	int order = compare(x->stack->id, y->stack->id);
	return order ? order : compare(x->old, y->old);
}

static int by_bytes(const void *a, const void *b)
{
	const struct profile_stack *x = ((const struct position *)a)->stack, *y = ((const struct position *)b)->stack;
	int order = compare(y->counts.live_bytes, x->counts.live_bytes);
	if (order == 0)
		order = compare(y->counts.alloc_bytes, x->counts.alloc_bytes);
	return order ? order : compare(x->id, y->id);
}

/* Equal stacks become one: a lost race in the shim, or one library mapped from two paths, makes two of them.
   Fills merged_into[old index] and leaves the survivors first in `order`; returns how many. */
static uint32_t merge_equal(struct profile_process *process, struct position *order, uint32_t *merged_into)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < process->stack_count; i++) {
		struct profile_stack *stack = &process->stacks[order[i].old];
		if (kept > 0 && order[kept - 1].stack->id == stack->id) {
			struct profile_stack *first = &process->stacks[order[kept - 1].old];
			profile_counts_add(&first->counts, &stack->counts);
			first->aged_blocks = profile_sum(first->aged_blocks, stack->aged_blocks);
			if (first->history_from < stack->history_from)
				first->history_from = stack->history_from;
			merged_into[order[i].old] = order[kept - 1].old;
			continue;
		}
		merged_into[order[i].old] = order[i].old;
		order[kept++] = order[i];
	}
	return kept;
}

static void renumber(struct profile_process *process, const uint32_t *new_index)
{
	for (uint32_t i = 0; i < process->live_count; i++)
		process->live[i].stack = new_index[process->live[i].stack];
	for (uint32_t i = 0; i < process->range_count; i++)
		process->ranges[i].stack = new_index[process->ranges[i].stack];
	for (uint32_t i = 0; i < process->thread_count; i++)
		if (process->threads[i].stack != UINT32_MAX)
			process->threads[i].stack = new_index[process->threads[i].stack];
	for (uint32_t i = 0; i < process->change_count; i++)
		process->changes[i].stack = new_index[process->changes[i].stack];
	for (uint32_t i = 0; i < process->row_count; i++)
		if (process->stack_of_row[i] != UINT32_MAX)
			process->stack_of_row[i] = new_index[process->stack_of_row[i]];
	for (uint32_t i = 0; i < process->event_count; i++)
		if (process->events[i].stack != UINT32_MAX)
			process->events[i].stack = new_index[process->events[i].stack];
}

static int by_stack_and_boundary(const void *a, const void *b)
{
	const struct profile_change *x = a, *y = b;
	int order = compare(x->stack, y->stack);
	return order ? order : compare(x->boundary, y->boundary);
}

/* Of stacks that became one, those of the same boundary become one, too; and all before both are known, one at that. */
static void merge_changes(struct profile_process *process)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < process->change_count; i++) {
		struct profile_change c = process->changes[i];
		uint32_t from = process->stacks[c.stack].history_from;
		if (from == UINT32_MAX)
			continue;
		if (c.boundary < from)
			c.boundary = from;
		struct profile_change *last = kept ? &process->changes[kept - 1] : NULL;
		if (!last || last->stack != c.stack || last->boundary != c.boundary) {
			process->changes[kept++] = c;
			continue;
		}
		last->alloc_blocks = profile_sum(last->alloc_blocks, c.alloc_blocks);
		last->alloc_bytes = profile_sum(last->alloc_bytes, c.alloc_bytes);
		last->freed_blocks = profile_sum(last->freed_blocks, c.freed_blocks);
		last->freed_bytes = profile_sum(last->freed_bytes, c.freed_bytes);
	}
	process->change_count = kept;
}

static void sort_stacks(struct profile *p, struct profile_process *process)
{
	uint32_t count = process->stack_count;
	struct position *order = calloc(count + 1, sizeof *order);
	uint32_t *merged_into = calloc(count + 1, sizeof *merged_into), *new_index = calloc(count + 1, sizeof *new_index);
	if (!order || !merged_into || !new_index)
		die(2, "out of memory");
	for (uint32_t i = 0; i < count; i++)
		order[i] = (struct position){&process->stacks[i], i};
	qsort(order, count, sizeof *order, by_id);
	uint32_t kept = merge_equal(process, order, merged_into);
	qsort(order, kept, sizeof *order, by_bytes);

	struct profile_stack *sorted = profile_alloc(p, kept, sizeof *sorted);
	for (uint32_t i = 0; i < kept; i++) {
		sorted[i] = *order[i].stack;
		new_index[order[i].old] = i;
	}
	for (uint32_t i = 0; i < count; i++)
		merged_into[i] = new_index[merged_into[i]];
	renumber(process, merged_into);
	process->stacks = sorted;
	process->stack_count = kept;
	if (process->change_count)
		qsort(process->changes, process->change_count, sizeof *process->changes, by_stack_and_boundary);
	merge_changes(process);
	free(order);
	free(merged_into);
	free(new_index);
}

void profile_finish_process(struct profile *p, struct profile_process *process)
{
	uint64_t *hashes = frame_hashes(process);
	for (uint32_t i = 0; i < process->stack_count; i++)
		name_stack(process, hashes, &process->stacks[i]);
	free(hashes);
	sort_stacks(p, process);
	memset(process->by_kind, 0, sizeof process->by_kind);
	for (uint32_t i = 0; i < process->stack_count; i++)
		profile_counts_add(&process->by_kind[process->stacks[i].kind], &process->stacks[i].counts);
	process->totals = process->by_kind[MTRACE_KIND_MALLOC];
	if (process->peak_live_bytes < process->totals.live_bytes)
		process->peak_live_bytes = process->totals.live_bytes;
}

/* ---- names ---- */

bool profile_has_jvm(const struct profile_process *process)
{
	for (uint32_t i = 0; i < process->module_count; i++) {
		const char *path = process->modules[i].path, *slash = path ? strrchr(path, '/') : NULL;
		if (slash && strcmp(slash, "/libjvm.so") == 0)
			return true;
	}
	return false;
}

bool profile_lives_in_table(enum mtrace_kind kind)
{
	return kind == MTRACE_KIND_MALLOC || kind == MTRACE_KIND_POOL ||
	       (kind >= MTRACE_KIND_JNI_GLOBAL && kind <= MTRACE_KIND_ATTACHED_THREAD);
}

const char *profile_kind_name(enum mtrace_kind kind)
{
	static const char *const names[MTRACE_KIND_COUNT] = {
		"none", "malloc", "mmap", "pool", "thread", "jni-global", "jni-weak", "jni-buffer", "attached-thread",
		"goroutine",
	};
	return (unsigned)kind < MTRACE_KIND_COUNT ? names[kind] : "unknown";
}

const char *profile_marker_name(uint32_t marker)
{
	static const char *const names[MTRACE_MARKER_COUNT] = {
		"", "[truncated]", "[table full]", "[no unwind rules]", "[bad unwind rules]", "[unreadable]",
		"[no stack]", "[loop]", "[virtual thread]", "[lost in Java code]",
	};
	return marker < MTRACE_MARKER_COUNT ? names[marker] : "[unknown]";
}

const char *profile_end_name(enum profile_end_reason end)
{
	static const char *const names[] = {"running", "exit", "signal", "killed", "exec"};
	return (unsigned)end < sizeof names / sizeof names[0] ? names[end] : "unknown";
}
