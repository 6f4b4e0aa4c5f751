/*
 * text_groups: the same figures by site, by module or by thread: rows with equal keys become one. A table per kind;
 * kinds are never added to each other.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "emit/emit_text.h"

struct group {
	const char *label, *where; /* equal strings are equal pointers (interned), but for folded thread names */
	struct profile_counts counts;
	uint32_t members;
};

struct groups {
	struct group *rows;
	uint32_t count, capacity;
	uint32_t *slots; /* open addressing: index + 1 */
	uint32_t mask;
};

static uint32_t hash(const char *a, const char *b)
{
	uint32_t h = 2166136261u;
	for (; *a; a++)
		h = (h ^ (unsigned char)*a) * 16777619u;
	for (h ^= 0xff; *b; b++)
		h = (h ^ (unsigned char)*b) * 16777619u;
	return h ^ h >> 15;
}

static bool reserve(struct groups *g)
{
	if (g->count < g->capacity)
		return true;
	uint32_t capacity = g->capacity ? g->capacity * 2 : 256;
	struct group *rows = reallocarray(g->rows, capacity, sizeof *rows);
	uint32_t *slots = calloc((size_t)capacity * 2, sizeof *slots);
	if (rows)
		g->rows = rows;
	if (!rows || !slots) {
		free(slots);
		return false;
	}
	free(g->slots);
	g->slots = slots;
	g->mask = capacity * 2 - 1;
	g->capacity = capacity;
	for (uint32_t i = 0; i < g->count; i++) {
		uint32_t at = hash(rows[i].label, rows[i].where) & g->mask;
		while (slots[at])
			at = (at + 1) & g->mask;
		slots[at] = i + 1;
	}
	return true;
}

/* The row of (label, where), made when it is new; NULL without memory. */
static struct group *row_of(struct groups *g, const char *label, const char *where)
{
	if (!reserve(g))
		return NULL;
	uint32_t at = hash(label, where) & g->mask;
	for (; g->slots[at]; at = (at + 1) & g->mask) {
		struct group *row = &g->rows[g->slots[at] - 1];
		if (strcmp(row->label, label) == 0 && strcmp(row->where, where) == 0)
			return row;
	}
	char *own_label = strdup(label), *own_where = strdup(where);
	if (!own_label || !own_where) {
		free(own_label);
		free(own_where);
		return NULL;
	}
	g->rows[g->count] = (struct group){.label = own_label, .where = own_where};
	g->slots[at] = ++g->count;
	return &g->rows[g->count - 1];
}

static void free_groups(struct groups *g)
{
	for (uint32_t i = 0; i < g->count; i++) {
		free((char *)(uintptr_t)g->rows[i].label);
		free((char *)(uintptr_t)g->rows[i].where);
	}
	free(g->rows);
	free(g->slots);
	memset(g, 0, sizeof *g);
}

/* ---- keys ---- */

static void add_stack(const struct page *page, struct groups *g, const struct profile_stack *stack)
{
	char label[1024] = "(no frame of the program's own)";
	const char *where = "";
	uint32_t site = profile_site(page->process, stack);
	if (site < stack->frame_count) {
		const struct profile_frame *frame = &page->process->frames[stack->frames[site]];
		where = emit_module(page->process, frame);
		if (page->options->by == EMIT_BY_SITE)
			emit_frame_text(page->process, frame, profile_own_name(page->process, frame), label, sizeof label);
		else
			snprintf(label, sizeof label, "%s", where[0] ? where : "(no module)");
	}
	struct group *row = row_of(g, label, page->options->by == EMIT_BY_SITE ? where : "");
	if (!row)
		return;
	profile_counts_add(&row->counts, &stack->counts);
	row->members++;
}

void text_fold_digits(char *out, size_t size, const char *name)
{
	size_t o = 0;
	for (; *name != '\0' && o + 1 < size; name++) {
		if (!isdigit((unsigned char)*name))
			out[o++] = *name;
		else if (o == 0 || out[o - 1] != '#')
			out[o++] = '#';
	}
	out[o] = '\0';
}

void emit_thread_label(const struct profile_process *process, uint32_t thread, char *out, size_t size)
{
	if (thread >= process->thread_count)
		snprintf(out, size, "(unknown thread)");
	else if (process->threads[thread].name[0] == '\0')
		snprintf(out, size, "(no name)");
	else
		text_fold_digits(out, size, process->threads[thread].name);
}

static void add_live(const struct page *page, struct groups *g, const struct profile_live *live, unsigned char *seen)
{
	char label[64];
	emit_thread_label(page->process, live->thread, label, sizeof label);
	struct group *row = row_of(g, label, "");
	if (!row)
		return;
	row->counts.live_blocks = profile_sum(row->counts.live_blocks, live->blocks);
	row->counts.live_bytes = profile_sum(row->counts.live_bytes, live->bytes);
	if (live->thread < page->process->thread_count && !seen[live->thread]) {
		seen[live->thread] = 1;
		row->members++;
	}
}

static void collect(const struct page *page, enum mtrace_kind kind, struct groups *g)
{
	const struct profile_process *process = page->process;
	if (page->options->by != EMIT_BY_THREAD) {
		for (uint32_t i = 0; i < process->stack_count; i++)
			if (process->stacks[i].kind == kind)
				add_stack(page, g, &process->stacks[i]);
		return;
	}
	unsigned char *seen = calloc(process->thread_count + 1, 1);
	for (uint32_t i = 0; seen && i < process->live_count; i++)
		if (process->stacks[process->live[i].stack].kind == kind)
			add_live(page, g, &process->live[i], seen);
	free(seen);
}

/* ---- the table ---- */

static int by_live(const void *a, const void *b)
{
	const struct group *x = a, *y = b;
	if (x->counts.live_bytes != y->counts.live_bytes)
		return x->counts.live_bytes > y->counts.live_bytes ? -1 : 1;
	if (x->counts.alloc_bytes != y->counts.alloc_bytes)
		return x->counts.alloc_bytes > y->counts.alloc_bytes ? -1 : 1;
	int order = strcmp(x->label, y->label);
	return order ? order : strcmp(x->where, y->where);
}

static int by_allocated(const void *a, const void *b)
{
	const struct group *x = a, *y = b;
	if (x->counts.alloc_bytes != y->counts.alloc_bytes)
		return x->counts.alloc_bytes > y->counts.alloc_bytes ? -1 : 1;
	return by_live(a, b);
}

static void print_row(const struct page *page, const struct group *row, uint64_t whole)
{
	char live[32], live_n[32], alloc[32], members[32], share[16];
	emit_bytes(live, row->counts.live_bytes);
	emit_count(live_n, row->counts.live_blocks);
	emit_bytes(alloc, row->counts.alloc_bytes);
	emit_count(members, row->members);
	emit_share(share, text_rank(page->options, &row->counts), whole);
	bool by_thread = page->options->by == EMIT_BY_THREAD;
	uint32_t taken = by_thread ? 42 : 54, room = page->columns > taken + 24 ? page->columns - taken : 24;
	fprintf(page->out, "%11s %11s %6s ", live, live_n, share);
	if (!by_thread)
		fprintf(page->out, "%11s ", alloc);
	fprintf(page->out, "%8s  ", members);
	size_t where = emit_width(row->where), most = room / 3;
	where = where < most ? where : most;
	emit_text_cut(page->out, row->label, where ? room - where - 2 : room);
	if (where) {
		fputs("  ", page->out);
		emit_text_cut(page->out, row->where, where);
	}
	fputc('\n', page->out);
}

static void print_head(const struct page *page, enum mtrace_kind kind)
{
	static const char *const what[] = {"", "site", "module", "thread", ""};
	bool by_thread = page->options->by == EMIT_BY_THREAD;
	fputc('\n', page->out);
	text_begin(page, "4");
	fprintf(page->out, "%s", profile_kind_name(kind));
	text_end(page);
	fprintf(page->out, " by %s%s\n", what[page->options->by],
	        by_thread ? ", that allocated it; digits in names folded" : "");
	fprintf(page->out, "%11s %11s %6s ", "live", "blocks", "share");
	if (!by_thread)
		fprintf(page->out, "%11s ", "allocated");
	fprintf(page->out, "%8s  %s\n", by_thread ? "threads" : "stacks", what[page->options->by]);
}

static void print_groups(const struct page *page, enum mtrace_kind kind, struct groups *g)
{
	uint64_t whole = text_rank(page->options, &page->process->by_kind[kind]);
	uint32_t shown = text_limit(page->options, kind);
	qsort(g->rows, g->count, sizeof *g->rows, page->options->allocated ? by_allocated : by_live);
	print_head(page, kind);
	for (uint32_t i = 0; i < g->count && i < shown; i++)
		print_row(page, &g->rows[i], whole);
	if (g->count > shown)
		fprintf(page->out, "%11s and %u smaller ones: -n 0 shows all\n", "…", g->count - shown);
}

void text_groups(const struct page *page)
{
	for (unsigned kind = MTRACE_KIND_MALLOC; kind < MTRACE_KIND_COUNT; kind++) {
		struct groups g = {0};
		collect(page, (enum mtrace_kind)kind, &g);
		if (g.count)
			print_groups(page, (enum mtrace_kind)kind, &g);
		free_groups(&g);
	}
}

/* ---- threads of a process that is only seen from outside ---- */

void text_threads(const struct page *page)
{
	struct groups g = {0};
	char label[64], n[32];
	for (uint32_t i = 0; i < page->process->thread_count; i++) {
		emit_thread_label(page->process, i, label, sizeof label);
		struct group *row = row_of(&g, label, "");
		if (row)
			row->counts.live_bytes = ++row->members;
	}
	if (g.count)
		qsort(g.rows, g.count, sizeof *g.rows, by_live);
	emit_count(n, page->process->thread_count);
	fprintf(page->out, "\n%11s  threads, by name with digits folded\n", n);
	uint32_t shown = page->options->limit ? page->options->limit : UINT32_MAX;
	for (uint32_t i = 0; i < g.count && i < shown; i++) {
		emit_count(n, g.rows[i].members);
		fprintf(page->out, "%11s  ", n);
		emit_text_cut(page->out, g.rows[i].label, 64);
		fputc('\n', page->out);
	}
	if (g.count > shown)
		fprintf(page->out, "%11s  and %u other names: -n 0 shows all\n", "…", g.count - shown);
	free_groups(&g);
}
