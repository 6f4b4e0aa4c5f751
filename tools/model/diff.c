/*
 * diff: see diff.h. Every stack of both sides becomes an entry with a key; entries are sorted, and a run of equal keys is
 * a row. Keys are 128 bits of hash: a million stacks collide once in 10^26 comparisons.
 */
#include "model/diff.h"

#include <stdlib.h>
#include <string.h>

#include "die.h"

enum { SIDE_A, SIDE_B };

struct entry {
	uint64_t key[2];
	const char *label; /* compared after the key; NULL in stacks */
	const struct profile_process *process;
	const struct profile_stack *stack;
	struct profile_counts counts;
	uint32_t side;
	enum mtrace_kind kind;
};

struct entries {
	struct entry *list;
	size_t count;
};

static void *must(void *memory)
{
	if (!memory)
		die(2, "out of memory");
	return memory;
}

bool diff_counts_process(const struct profile_process *process)
{
	return process->end != PROFILE_EXEC && process->mode != PROFILE_OUTSIDE;
}

int64_t diff_less(uint64_t b, uint64_t a)
{
	if (b >= a)
		return b - a > INT64_MAX ? INT64_MAX : (int64_t)(b - a);
	return a - b > INT64_MAX ? -INT64_MAX : -(int64_t)(a - b);
}

/* ---- what a frame is called, as a number ---- */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	return h ^ h >> 29;
}

static uint64_t text_hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3u;
	return mix(h, 1);
}

static const char *basename_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static bool has_name(const struct profile_frame *frame)
{
	return frame->name_count && frame->names[0].function;
}

/* A frame with a name is its functions, wherever they moved; one without is a place in a file of that name. */
static uint64_t frame_hash(const struct profile_process *process, const struct profile_frame *frame)
{
	uint64_t h = mix(2, frame->kind);
	if (has_name(frame)) {
		for (uint32_t i = 0; i < frame->name_count; i++)
			h = mix(h, text_hash(frame->names[i].function ? frame->names[i].function : "?"));
		return h;
	}
	if (frame->module < process->module_count)
		h = mix(h, text_hash(basename_of(process->modules[frame->module].path)));
	return mix(h, frame->value);
}

static uint64_t *frame_hashes(const struct profile_process *process)
{
	uint64_t *hashes = must(calloc((size_t)process->frame_count + 1, sizeof *hashes));
	for (uint32_t i = 0; i < process->frame_count; i++)
		hashes[i] = frame_hash(process, &process->frames[i]);
	return hashes;
}

static void name_key(const struct profile_stack *stack, const uint64_t *hashes, uint64_t key[2])
{
	key[0] = mix(3, stack->kind);
	key[1] = mix(5, stack->kind);
	for (uint32_t i = 0; i < stack->frame_count; i++) {
		key[0] = mix(key[0], hashes[stack->frames[i]]);
		key[1] = mix(key[1] + 0x6a09e667f3bcc909u, hashes[stack->frames[i]]);
	}
}

static bool has_unnamed_frame(const struct entry *e)
{
	for (uint32_t i = 0; i < e->stack->frame_count; i++) {
		const struct profile_frame *f = &e->process->frames[e->stack->frames[i]];
		if (f->kind == MTRACE_FRAME_NATIVE && !has_name(f))
			return true;
	}
	return false;
}

/* ---- entries ---- */

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int by_key(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int order = compare(x->kind, y->kind);
	order = order ? order : compare(x->key[0], y->key[0]);
	order = order ? order : compare(x->key[1], y->key[1]);
	order = order || !x->label ? order : strcmp(x->label, y->label);
	order = order ? order : compare(x->side, y->side);
	order = order ? order : compare(y->counts.live_bytes, x->counts.live_bytes);
	return order || !x->stack || !y->stack ? order : compare(x->stack->id, y->stack->id);
}

static bool same_key(const struct entry *x, const struct entry *y)
{
	return x->kind == y->kind && x->key[0] == y->key[0] && x->key[1] == y->key[1] &&
	       (!x->label || strcmp(x->label, y->label) == 0);
}

static size_t run_of(const struct entries *e, size_t from)
{
	size_t n = 1;
	while (from + n < e->count && same_key(&e->list[from], &e->list[from + n]))
		n++;
	return n;
}

static size_t count_stacks(const struct profile *p)
{
	size_t n = 0;
	for (uint32_t i = 0; i < p->process_count; i++)
		n += diff_counts_process(&p->processes[i]) ? p->processes[i].stack_count : 0;
	return n;
}

static bool is_nothing(const struct profile_counts *c)
{
	return c->live_blocks == 0 && c->live_bytes == 0 && c->alloc_blocks == 0;
}

static void add_stacks(struct entries *e, const struct profile *p, uint32_t side)
{
	for (uint32_t i = 0; i < p->process_count; i++) {
		const struct profile_process *process = &p->processes[i];
		for (uint32_t k = 0; diff_counts_process(process) && k < process->stack_count; k++) {
			const struct profile_stack *stack = &process->stacks[k];
			if (is_nothing(&stack->counts))
				continue;
			e->list[e->count++] = (struct entry){.key = {stack->id, 0},
			                                     .process = process,
			                                     .stack = stack,
			                                     .counts = stack->counts,
			                                     .side = side,
			                                     .kind = stack->kind};
		}
	}
}

static void gather(struct entries *e, const struct profile *a, const struct profile *b)
{
	*e = (struct entries){must(calloc(count_stacks(a) + count_stacks(b) + 1, sizeof *e->list)), 0};
	add_stacks(e, a, SIDE_A);
	add_stacks(e, b, SIDE_B);
}

/* ---- rows ---- */

static void begin(struct diff *d, size_t most, bool allocated)
{
	*d = (struct diff){.rows = must(calloc(most + 1, sizeof *d->rows)), .allocated = allocated};
}

static void add_to_side(struct diff_side *side, const struct entry *e)
{
	if (!side->stack || e->counts.live_bytes > side->stack->counts.live_bytes) {
		side->process = e->process;
		side->stack = e->stack;
	}
	profile_counts_add(&side->counts, &e->counts);
	side->stacks++;
}

/* A run of entries as one row. */
static struct diff_row *add_row(struct diff *d, const struct entry *run, size_t n, enum diff_join join)
{
	struct diff_row *row = &d->rows[d->count++];
	*row = (struct diff_row){.kind = run->kind, .label = run->label};
	for (size_t i = 0; i < n; i++)
		add_to_side(run[i].side == SIDE_A ? &row->a : &row->b, &run[i]);
	row->join = join == DIFF_BY_LABEL || (row->a.stacks && row->b.stacks) ? join : DIFF_BY_NONE;
	d->joined[row->join]++;
	profile_counts_add(&d->a[row->kind], &row->a.counts);
	profile_counts_add(&d->b[row->kind], &row->b.counts);
	return row;
}

static bool has_both(const struct entry *run, size_t n)
{
	return run[0].side != run[n - 1].side; /* sorted by side within a key */
}

static uint64_t magnitude(int64_t n)
{
	return n < 0 ? (uint64_t)-n : (uint64_t)n;
}

static int by_change(const void *a, const void *b, void *context)
{
	const struct diff *d = context;
	const struct diff_row *x = a, *y = b;
	int order = compare(x->kind, y->kind);
	order = order ? order : compare(magnitude(diff_bytes(d, y)), magnitude(diff_bytes(d, x)));
	order = order ? order : compare(magnitude(diff_blocks(d, y)), magnitude(diff_blocks(d, x)));
	order = order ? order : compare(y->b.counts.live_bytes, x->b.counts.live_bytes);
	if (order || x->label)
		return order ? order : strcmp(x->label, y->label);
	return compare((x->b.stack ? x->b.stack : x->a.stack)->id, (y->b.stack ? y->b.stack : y->a.stack)->id);
}

static void finish(struct diff *d)
{
	qsort_r(d->rows, d->count, sizeof *d->rows, by_change, d);
}

/* ---- stacks ---- */

/* Rows for ids that both sides have; the rest moves to the front. */
static void join_by_id(struct entries *e, struct diff *d)
{
	size_t left = 0;
	qsort(e->list, e->count, sizeof *e->list, by_key);
	for (size_t i = 0, n; i < e->count; i += n) {
		n = run_of(e, i);
		if (has_both(&e->list[i], n)) {
			add_row(d, &e->list[i], n, DIFF_BY_ID);
			continue;
		}
		memmove(&e->list[left], &e->list[i], n * sizeof *e->list);
		left += n;
	}
	e->count = left;
}

/* Hashes of a process's frames are made when its first stack without a partner is met. */
static void key_by_names(struct entries *e, const struct profile *p, uint32_t side)
{
	uint64_t **hashes = must(calloc((size_t)p->process_count + 1, sizeof *hashes));
	for (size_t i = 0; i < e->count; i++) {
		struct entry *entry = &e->list[i];
		if (entry->side != side)
			continue;
		uint64_t **of = &hashes[entry->process - p->processes];
		if (!*of)
			*of = frame_hashes(entry->process);
		name_key(entry->stack, *of, entry->key);
	}
	for (uint32_t i = 0; i < p->process_count; i++)
		free(hashes[i]);
	free(hashes);
}

/* Without a partner: one row for each id, however its functions are called. */
static void add_lone(struct diff *d, struct entry *run, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		run[i].key[0] = run[i].stack->id;
		run[i].key[1] = 0;
	}
	qsort(run, n, sizeof *run, by_key);
	struct entries lone = {run, n};
	for (size_t i = 0, same; i < n; i += same) {
		same = run_of(&lone, i);
		add_row(d, &run[i], same, DIFF_BY_NONE);
		*(run[i].side == SIDE_A ? &d->lone_a : &d->lone_b) += 1;
		if (has_unnamed_frame(&run[i]))
			*(run[i].side == SIDE_A ? &d->unnamed_a : &d->unnamed_b) += 1;
	}
}

static void join_by_names(struct entries *e, struct diff *d)
{
	qsort(e->list, e->count, sizeof *e->list, by_key);
	for (size_t i = 0, n; i < e->count; i += n) {
		n = run_of(e, i);
		if (!has_both(&e->list[i], n)) {
			add_lone(d, &e->list[i], n);
			continue;
		}
		const struct diff_row *row = add_row(d, &e->list[i], n, DIFF_BY_NAMES);
		d->ambiguous += row->a.stacks > 1 || row->b.stacks > 1;
	}
}

void diff_stacks(const struct profile *a, const struct profile *b, bool allocated, struct diff *d)
{
	struct entries e;
	gather(&e, a, b);
	begin(d, e.count, allocated);
	join_by_id(&e, d);
	key_by_names(&e, a, SIDE_A);
	key_by_names(&e, b, SIDE_B);
	join_by_names(&e, d);
	free(e.list);
	finish(d);
}

/* ---- groups ---- */

static void keep_label(struct diff *d, struct entry *e, const char *label)
{
	e->label = d->labels[d->label_count++] = must(strdup(label));
	e->key[0] = text_hash(label);
	e->key[1] = 0;
}

static void group(struct entries *e, struct diff *d)
{
	qsort(e->list, e->count, sizeof *e->list, by_key);
	for (size_t i = 0, n; i < e->count; i += n) {
		n = run_of(e, i);
		struct diff_row *row = add_row(d, &e->list[i], n, DIFF_BY_LABEL);
		row->a.stack = row->b.stack = NULL;
		row->a.process = row->b.process = NULL;
	}
	free(e->list);
	finish(d);
}

void diff_groups(const struct profile *a, const struct profile *b, bool allocated, diff_labeller *label, struct diff *d)
{
	struct entries e;
	char text[1024];
	gather(&e, a, b);
	begin(d, e.count, allocated);
	d->labels = must(calloc(e.count + 1, sizeof *d->labels));
	for (size_t i = 0; i < e.count; i++) {
		label(e.list[i].process, e.list[i].stack, text, sizeof text);
		keep_label(d, &e.list[i], text);
	}
	group(&e, d);
}

static size_t count_live(const struct profile *p)
{
	size_t n = 0;
	for (uint32_t i = 0; i < p->process_count; i++)
		n += diff_counts_process(&p->processes[i]) ? p->processes[i].live_count : 0;
	return n;
}

static void add_live(struct entries *e, const struct profile *p, uint32_t side, diff_thread_labeller *label,
                     struct diff *d)
{
	char text[1024];
	for (uint32_t i = 0; i < p->process_count; i++) {
		const struct profile_process *process = &p->processes[i];
		for (uint32_t k = 0; diff_counts_process(process) && k < process->live_count; k++) {
			const struct profile_live *live = &process->live[k];
			const struct profile_stack *stack = &process->stacks[live->stack];
			struct entry *to = &e->list[e->count++];
			*to = (struct entry){.process = process, .stack = stack, .side = side, .kind = stack->kind};
			to->counts.live_blocks = live->blocks;
			to->counts.live_bytes = live->bytes;
			label(process, live->thread, text, sizeof text);
			keep_label(d, to, text);
		}
	}
}

void diff_threads(const struct profile *a, const struct profile *b, diff_thread_labeller *label, struct diff *d)
{
	size_t most = count_live(a) + count_live(b);
	struct entries e = {must(calloc(most + 1, sizeof *e.list)), 0};
	begin(d, most, false);
	d->labels = must(calloc(most + 1, sizeof *d->labels));
	add_live(&e, a, SIDE_A, label, d);
	add_live(&e, b, SIDE_B, label, d);
	group(&e, d);
}

void diff_free(struct diff *d)
{
	for (size_t i = 0; i < d->label_count; i++)
		free(d->labels[i]);
	free(d->labels);
	free(d->rows);
	memset(d, 0, sizeof *d);
}

/* ---- questions ---- */

static uint64_t bytes_of(const struct diff *d, const struct diff_side *side)
{
	return d->allocated ? side->counts.alloc_bytes : side->counts.live_bytes;
}

static uint64_t blocks_of(const struct diff *d, const struct diff_side *side)
{
	return d->allocated ? side->counts.alloc_blocks : side->counts.live_blocks;
}

int64_t diff_bytes(const struct diff *d, const struct diff_row *row)
{
	return diff_less(bytes_of(d, &row->b), bytes_of(d, &row->a));
}

int64_t diff_blocks(const struct diff *d, const struct diff_row *row)
{
	return diff_less(blocks_of(d, &row->b), blocks_of(d, &row->a));
}

/* By bytes; blocks decide where bytes are equal, as a JNI reference has none. */
enum diff_change diff_change_of(const struct diff *d, const struct diff_row *row)
{
	bool in_a = bytes_of(d, &row->a) || blocks_of(d, &row->a), in_b = bytes_of(d, &row->b) || blocks_of(d, &row->b);
	int64_t change = diff_bytes(d, row) ? diff_bytes(d, row) : diff_blocks(d, row);
	if (change == 0)
		return DIFF_SAME;
	if (!in_a)
		return DIFF_NEW;
	if (!in_b)
		return DIFF_GONE;
	return change > 0 ? DIFF_GREW : DIFF_SHRANK;
}

const char *diff_change_name(enum diff_change change)
{
	static const char *const names[DIFF_CHANGES] = {"same", "new", "grew", "shrank", "gone"};
	return (unsigned)change < DIFF_CHANGES ? names[change] : "unknown";
}

const char *diff_join_name(enum diff_join join)
{
	static const char *const names[DIFF_JOINS] = {"none", "id", "names", "label"};
	return (unsigned)join < DIFF_JOINS ? names[join] : "unknown";
}
