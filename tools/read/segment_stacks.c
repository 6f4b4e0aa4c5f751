/*
 * segment_stacks: rows become stacks with counts. The path of a row is read from its node to the root of its kind;
 * a frame that cannot be right becomes the "[damaged]" frame (index 0), a path that reaches no root is left out,
 * since not even its kind is known.
 *
 * Live figures come from the live table and the range map, freed = allocated - live, so that stacks add up to the
 * totals to the byte; what the rows themselves say of freed blocks is only a check.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "read/segment.h"

/* Most frame references kept for one segment (1 GiB of them); a hostile file could ask for far more. */
#define MOST_REFERENCES (1u << 28)

struct paths {
	struct segment *s;
	uint64_t references;
	uint32_t full_frame; /* the marker frame for paths beyond MOST_REFERENCES; 0 none made */
	uint64_t counted_live, tabled_live; /* blocks of the kinds that have one, by rows and by the live table */
};

/* One that was handed out and not finished (its writer was killed, or lost a race) is damaged only where a stack has it: walk. */
static void read_frame(struct segment *s, const struct mtrace_frame *f, struct profile_frame *to)
{
	*to = (struct profile_frame){.value = f->value, .module = PROFILE_NO_MODULE, .kind = f->kind, .flags = f->flags};
	bool known_marker = f->kind != MTRACE_FRAME_MARKER || f->value < MTRACE_MARKER_COUNT;
	if (f->kind > MTRACE_FRAME_JAVA || !known_marker)
		*to = (struct profile_frame){.module = PROFILE_NO_MODULE};
	else if (f->kind == MTRACE_FRAME_JAVA)
		segment_name_method(s, to);
	else if (f->kind == MTRACE_FRAME_NATIVE && f->module != 0 && f->module <= s->process->module_count)
		to->module = f->module - 1;
}

static bool lacks_module(const struct profile_frame *f)
{
	return f->kind == MTRACE_FRAME_NATIVE && f->module == PROFILE_NO_MODULE;
}

/* Index = frame id; 0 is the damaged frame, one more at the end says "table full". */
static void read_frames(struct paths *p)
{
	struct segment *s = p->s;
	uint64_t count = s->regions[MTRACE_REGION_FRAMES].count;
	if (count > UINT32_MAX - 2)
		count = UINT32_MAX - 2;
	struct profile_frame *frames = profile_alloc(s->profile, count + 2, sizeof *frames);
	frames[0].module = PROFILE_NO_MODULE;
	uint32_t n = 1;
	for (; n < count; n++)
		read_frame(s, segment_element(s, MTRACE_REGION_FRAMES, n), &frames[n]);
	frames[n] = (struct profile_frame){
		.value = MTRACE_MARKER_TABLE_FULL, .module = PROFILE_NO_MODULE, .kind = MTRACE_FRAME_MARKER};
	p->full_frame = n;
	s->process->frames = frames;
	s->process->frame_count = n + 1;
}

/* Collects the path of `node`, innermost first; returns the kind, NONE when it reaches no root. */
static enum mtrace_kind walk(struct paths *p, uint32_t node, uint32_t *path, uint32_t *length)
{
	struct segment *s = p->s;
	for (*length = 0; node >= MTRACE_FIRST_NODE; ++*length) {
		const struct mtrace_node *n = segment_element(s, MTRACE_REGION_NODES, node);
		if (!n || *length == MTRACE_MAX_DEPTH + 2)
			return MTRACE_KIND_NONE;
		uint32_t frame = (uint32_t)n->key;
		bool is_known = frame != 0 && frame < p->full_frame && s->process->frames[frame].kind != MTRACE_FRAME_NONE;
		s->skipped += !is_known || lacks_module(&s->process->frames[frame]);
		path[*length] = is_known ? frame : 0;
		node = (uint32_t)(n->key >> 32);
	}
	return node < MTRACE_KIND_COUNT ? (enum mtrace_kind)node : MTRACE_KIND_NONE;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static struct profile_counts counts_of(struct paths *p, uint32_t id, enum mtrace_kind kind)
{
	const struct segment_counts *row = &p->s->counts_of_row[id];
	const struct segment_live_row *live = &p->s->live_of_row[id];
	struct profile_counts c = {.alloc_blocks = row->alloc_blocks, .alloc_bytes = row->alloc_bytes};
	bool has_table = profile_lives_in_table(kind) || kind == MTRACE_KIND_MMAP || kind == MTRACE_KIND_THREAD;
	c.live_blocks = has_table ? live->blocks : less(c.alloc_blocks, row->freed_blocks);
	c.live_bytes = has_table ? live->bytes : less(c.alloc_bytes, row->freed_bytes);
	if (profile_lives_in_table(kind)) {
		p->counted_live = profile_sum(p->counted_live, less(c.alloc_blocks, row->freed_blocks));
		p->tabled_live = profile_sum(p->tabled_live, c.live_blocks);
		/* in the table but not counted yet: the writer was stopped between the two */
		if (c.alloc_blocks < c.live_blocks)
			c.alloc_blocks = c.live_blocks;
		if (c.alloc_bytes < c.live_bytes)
			c.alloc_bytes = c.live_bytes;
	}
	c.freed_blocks = less(c.alloc_blocks, c.live_blocks);
	c.freed_bytes = less(c.alloc_bytes, c.live_bytes);
	return c;
}

static const uint32_t *keep_path(struct paths *p, const uint32_t *path, uint32_t *length)
{
	const uint32_t *from = path;
	if (p->references + *length > MOST_REFERENCES) {
		p->s->skipped++;
		from = &p->full_frame;
		*length = 1;
	}
	p->references += *length;
	uint32_t *kept = profile_alloc(p->s->profile, *length, sizeof *kept);
	memcpy(kept, from, *length * sizeof *kept);
	return kept;
}

/* Rows of mapped ranges of a shim of before do not, and those of threads only while each has an identity of its own. */
static bool knows_what_went(const struct segment *s, enum mtrace_kind kind)
{
	const struct mtrace_header *h = segment_header(s);
	return kind == MTRACE_KIND_MMAP ? (h->features_optional & MTRACE_FEATURE_RANGES_FREED) != 0
	     : kind == MTRACE_KIND_THREAD ? h->counters[MTRACE_COUNTER_drop_threads_full] == 0 : true;
}

static void read_row(struct paths *p, uint32_t id)
{
	struct segment *s = p->s;
	const struct mtrace_row *row = segment_element(s, MTRACE_REGION_ROWS, id);
	uint32_t path[MTRACE_MAX_DEPTH + 2], length;
	s->stack_of_row[id] = UINT32_MAX;
	if (s->counts_of_row[id].alloc_blocks == 0 && s->live_of_row[id].bytes == 0 && s->live_of_row[id].blocks == 0)
		return; /* handed out, nothing counted yet */
	enum mtrace_kind kind = walk(p, row->node, path, &length);
	if (kind == MTRACE_KIND_NONE) {
		s->skipped++;
		return;
	}
	struct profile_stack *stack = &s->process->stacks[s->process->stack_count];
	stack->kind = kind;
	stack->counts = counts_of(p, id, kind);
	stack->aged_blocks = s->counts_of_row[id].aged_blocks;
	stack->history_from = id < s->history_rows ? s->history_from[id] : 0;
	if (!knows_what_went(s, kind))
		stack->history_from = UINT32_MAX;
	stack->frame_count = length;
	stack->frames = keep_path(p, path, &stack->frame_count);
	s->stack_of_row[id] = s->process->stack_count++;
}

/* Threads are blocks of their own kind: alive is one that has not ended. */
static void add_threads(struct segment *s)
{
	uint64_t rows = s->regions[MTRACE_REGION_ROWS].count;
	for (uint32_t i = 0; i < s->process->thread_count; i++) {
		const struct profile_thread *t = &s->process->threads[i];
		if (t->ended || t->stack == UINT32_MAX || t->stack >= rows)
			continue;
		s->live_of_row[t->stack].blocks++;
		s->live_of_row[t->stack].bytes = profile_sum(s->live_of_row[t->stack].bytes, t->stack_bytes);
	}
}

/* Row ids become stack indices in what points at them. */
static void renumber(struct segment *s)
{
	struct profile_process *process = s->process;
	uint64_t rows = s->regions[MTRACE_REGION_ROWS].count;
	uint32_t kept = 0;
	for (uint32_t i = 0; i < process->live_count; i++) {
		uint32_t stack = s->stack_of_row[process->live[i].stack];
		if (stack == UINT32_MAX)
			continue;
		process->live[kept] = process->live[i];
		process->live[kept++].stack = stack;
	}
	process->live_count = kept;
	kept = 0;
	for (uint32_t i = 0; i < process->range_count; i++) {
		uint32_t stack = s->stack_of_row[process->ranges[i].stack];
		if (stack == UINT32_MAX)
			continue;
		process->ranges[kept] = process->ranges[i];
		process->ranges[kept++].stack = stack;
	}
	process->range_count = kept;
	kept = 0;
	for (uint32_t i = 0; i < process->change_count; i++) {
		uint32_t row = process->changes[i].stack, stack = row < rows ? s->stack_of_row[row] : UINT32_MAX;
		if (stack == UINT32_MAX)
			continue;
		process->changes[kept] = process->changes[i];
		process->changes[kept++].stack = stack;
	}
	process->change_count = kept;
	for (uint32_t i = 0; i < process->thread_count; i++) {
		uint32_t row = process->threads[i].stack;
		process->threads[i].stack = row < rows ? s->stack_of_row[row] : UINT32_MAX;
	}
	for (uint32_t i = 0; i < process->event_count; i++) {
		uint32_t row = process->events[i].stack;
		process->events[i].stack = row < rows ? s->stack_of_row[row] : UINT32_MAX;
	}
}

static uint64_t counter(const struct profile_process *process, unsigned which)
{
	return which < process->counter_count ? process->counters[which].value : 0;
}

/* For a dead process rows and live table may differ by the one event per thread that was in flight. */
static void compare(const struct paths *p)
{
	struct profile_process *process = p->s->process;
	uint64_t in_flight = 1;
	for (uint32_t i = 0; i < process->thread_count; i++)
		in_flight += !process->threads[i].ended;
	uint64_t apart = less(p->counted_live, p->tabled_live) + less(p->tabled_live, p->counted_live);
	uint64_t not_tabled = counter(process, MTRACE_COUNTER_drop_live_full);
	if (p->s->alive || process->note || apart <= in_flight)
		return;
	char note[160];
	if (not_tabled)
		snprintf(note, sizeof note, "the table of live blocks was full: %llu blocks are counted as freed below",
		         (unsigned long long)not_tabled);
	else
		snprintf(note, sizeof note, "counts and live blocks disagree by %llu blocks, more than were in flight",
		         (unsigned long long)apart);
	process->note = profile_string(p->s->profile, note);
}

/* Mappings but no malloc: what an allocator linked into the program looks like from here. */
static void note_no_malloc(struct profile_process *process)
{
	for (uint32_t i = 0; i < process->stack_count; i++)
		if (process->stacks[i].kind == MTRACE_KIND_MALLOC || process->stacks[i].kind == MTRACE_KIND_POOL)
			return;
	if (process->stack_count && !process->note)
		process->note = "no call of malloc was seen: it made none, or has an allocator of its own inside";
}

void segment_read_stacks(struct segment *s)
{
	struct paths p = {.s = s};
	uint64_t rows = s->regions[MTRACE_REGION_ROWS].count;
	read_frames(&p);
	add_threads(s);
	s->stack_of_row = profile_alloc(s->profile, rows, sizeof *s->stack_of_row);
	s->process->stacks = profile_alloc(s->profile, rows, sizeof *s->process->stacks);
	if (rows > 0)
		s->stack_of_row[0] = UINT32_MAX; /* not in use */
	for (uint64_t id = 1; id < rows; id++)
		read_row(&p, (uint32_t)id);
	renumber(s);
	s->process->has_aged = segment_header(s)->version >= 2;
	s->process->stack_of_row = s->stack_of_row;
	s->process->row_count = (uint32_t)rows;
	compare(&p);
	note_no_malloc(s->process);
}
