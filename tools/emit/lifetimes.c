/* lifetimes: see lifetimes.h. */
#include "emit/lifetimes.h"

#include <inttypes.h>
#include <string.h>

#include "die.h"

static uint64_t ns_of(uint64_t ticks)
{
	return ticks < UINT64_MAX / 1000000000u ? ticks * (1000000000u / MTRACE_TICKS_PER_SECOND) : UINT64_MAX;
}

static uint64_t lasted_ns(const struct profile_stream *s)
{
	return s->end_ns > s->begin_ns ? s->end_ns - s->begin_ns : 0;
}

/* ---- text ---- */

/* How much of the process's time that is, and why not more. */
static void heading(const struct page *page)
{
	const struct profile_stream *s = &page->process->stream;
	char lasted[32], lived[32], from[32], n[32], most[32];
	emit_duration(lasted, lasted_ns(s));
	emit_duration(lived, page->process->lived_ns);
	emit_duration(from, s->begin_ns);
	emit_count(n, s->dropped);
	emit_bytes(most, s->most_bytes);
	text_begin(page, "4");
	fprintf(page->out, "events");
	text_end(page);
	fprintf(page->out, ": %s of %s, from %s on, %s dropped", lasted, lived, from, s->dropped ? n : "none");
	if (s->most_bytes)
		fprintf(page->out, "; cut: %s of --events-size are full", most);
	fputc('\n', page->out);
}

static void amount(const struct page *page, const char *label, uint64_t blocks, uint64_t of)
{
	char n[32], share[16];
	emit_count(n, blocks);
	emit_share(share, blocks, of);
	fprintf(page->out, "  %-28s %13s %5s\n", label, n, share);
}

static void buckets(const struct page *page, const struct lifetimes_row *t)
{
	static const char *const operations[LIFETIMES_OPERATIONS] = {
		"1 operation", "up to 10", "up to 100", "up to 1 000", "up to 10 000", "up to 100 000", "up to 1 000 000", "more",
	};
	static const char *const times[LIFETIMES_TIMES] = {"1/8 s", "up to 1 s", "up to 10 s", "up to 100 s", "more"};
	fprintf(page->out, "freed within, in operations of the allocating thread:\n");
	for (int i = 0; i < LIFETIMES_OPERATIONS; i++)
		if (t->by_operations[i])
			amount(page, operations[i], t->by_operations[i], t->allocated_blocks);
	fprintf(page->out, "freed within, in time:\n");
	for (int i = 0; i < LIFETIMES_TIMES; i++)
		if (t->by_time[i])
			amount(page, times[i], t->by_time[i], t->allocated_blocks);
}

static void summary(const struct page *page, const struct lifetimes *l)
{
	const struct lifetimes_row *t = &l->total;
	char n[32];
	emit_count(n, t->allocated_blocks);
	fprintf(page->out, "  %-28s %13s\n", "blocks allocated", n);
	amount(page, "temporary", t->temporary_blocks, t->allocated_blocks);
	amount(page, "freed by another thread", t->elsewhere_blocks, t->allocated_blocks);
	amount(page, "live at the end of the events", lifetimes_outlived(t), t->allocated_blocks);
	if (t->unseen_blocks)
		amount(page, "freed by an event not seen", t->unseen_blocks, t->allocated_blocks);
	emit_count(n, l->older_blocks);
	fprintf(page->out, "  %-28s %13s\n", "older blocks freed", n);
	buckets(page, t);
}

static void print_row(const struct page *page, const struct lifetimes_row *row, unsigned number)
{
	const struct profile_process *p = page->process;
	char temporary[32], all[32], share[16], bytes[32];
	emit_count(temporary, row->temporary_blocks);
	emit_count(all, row->allocated_blocks);
	emit_share(share, row->temporary_blocks, row->allocated_blocks);
	emit_bytes(bytes, row->temporary_bytes);
	fprintf(page->out, "%3u ", number);
	text_begin(page, "1");
	fprintf(page->out, "%11s temporary of %9s allocated (%s), %s", temporary, all, share, bytes);
	text_end(page);
	if (row->stack >= p->stack_count) {
		fprintf(page->out, "\n%*s(stack not known)\n", TEXT_INDENT, "");
		return;
	}
	fprintf(page->out, "   %016" PRIx64 "\n", p->stacks[row->stack].id);
	text_frames(page, &p->stacks[row->stack]);
}

static size_t count_temporary(const struct lifetimes *l)
{
	size_t n = 0;
	while (n < l->row_count && l->rows[n].temporary_blocks)
		n++;
	return n;
}

void text_lifetimes(const struct page *page)
{
	const struct lifetimes *l = page->lifetimes;
	if (!l)
		return;
	size_t count = count_temporary(l), shown = text_limit(page->options, MTRACE_KIND_MALLOC);
	shown = shown < count ? shown : count;
	fputc('\n', page->out);
	heading(page);
	summary(page, l);
	if (count == 0)
		return;
	text_begin(page, "4");
	fprintf(page->out, "temporary");
	text_end(page);
	fprintf(page->out, ": freed by the next operation of their thread, in %s%zu of %zu stacks\n",
	        shown < count ? "the most frequent " : "", shown, count);
	for (size_t i = 0; i < shown; i++)
		print_row(page, &l->rows[i], (unsigned)i + 1);
}

/* ---- JSON ---- */

static json_t *must(json_t *j)
{
	if (!j)
		die(2, "out of memory");
	return j;
}

static void set(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value) != 0)
		die(2, "out of memory");
}

static json_t *number(uint64_t n)
{
	return must(json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n));
}

static json_t *numbers(const uint64_t *values, size_t count)
{
	json_t *array = must(json_array());
	for (size_t i = 0; i < count; i++)
		if (json_array_append_new(array, number(values[i])) != 0)
			die(2, "out of memory");
	return array;
}

static json_t *row_json(const struct lifetimes_row *r)
{
	json_t *o = must(json_object());
	set(o, "alloc_blocks", number(r->allocated_blocks));
	set(o, "alloc_bytes", number(r->allocated_bytes));
	set(o, "freed_blocks", number(r->freed_blocks));
	set(o, "freed_bytes", number(r->freed_bytes));
	set(o, "temporary_blocks", number(r->temporary_blocks));
	set(o, "temporary_bytes", number(r->temporary_bytes));
	set(o, "freed_elsewhere_blocks", number(r->elsewhere_blocks));
	set(o, "freed_unseen_blocks", number(r->unseen_blocks));
	set(o, "outlived_blocks", number(lifetimes_outlived(r)));
	set(o, "by_operations", numbers(r->by_operations, LIFETIMES_OPERATIONS));
	set(o, "by_time", numbers(r->by_time, LIFETIMES_TIMES));
	return o;
}

static json_t *id_of(const struct profile_process *p, uint32_t stack)
{
	char id[17] = "";
	if (stack < p->stack_count)
		snprintf(id, sizeof id, "%016" PRIx64, p->stacks[stack].id);
	return must(json_string(id));
}

static json_t *rows_json(const struct profile_process *p, const struct lifetimes *l, uint32_t limit)
{
	json_t *array = must(json_array());
	for (size_t i = 0; i < l->row_count && (limit == 0 || i < limit); i++) {
		json_t *row = row_json(&l->rows[i]);
		set(row, "stack", id_of(p, l->rows[i].stack));
		if (json_array_append_new(array, row) != 0)
			die(2, "out of memory");
	}
	return array;
}

json_t *emit_lifetimes_json(const struct profile_process *process, const struct lifetimes *l, const struct emit_options *o)
{
	const struct profile_stream *s = &process->stream;
	json_t *j = must(json_object());
	set(j, "asked_ms", number(s->asked_ms));
	set(j, "begin_ns", number(s->begin_ns));
	set(j, "lasted_ns", number(lasted_ns(s)));
	set(j, "events", number(s->events));
	set(j, "dropped", number(s->dropped));
	set(j, "cut_at_bytes", number(s->most_bytes));
	set(j, "older_freed_blocks", number(l->older_blocks));
	set(j, "total", row_json(&l->total));
	set(j, "stacks", rows_json(process, l, o->limit));
	return j;
}

/* ---- one line each ---- */

void emit_event_heading(FILE *out)
{
	fputs("pid,image,number,time_ns,thread,event,kind,address,bytes,stack\n", out);
}

static uint32_t tid_of(const struct profile_process *p, uint32_t id)
{
	for (uint32_t i = id && id <= p->thread_count ? id - 1 : 0; i < p->thread_count; i++)
		if (p->threads[i].id == id)
			return p->threads[i].tid;
	return 0;
}

void emit_event_line(const struct profile_process *process, const struct lifetimes_event *e, FILE *out)
{
	uint32_t what = e->what & ~MTRACE_STREAM_POOL;
	const char *name = what == MTRACE_STREAM_ALLOCATED ? "alloc" : what == MTRACE_STREAM_FREED ? "free" : "lost";
	const char *kind = what == MTRACE_STREAM_GAP ? "" : e->what & MTRACE_STREAM_POOL ? "pool" : "malloc";
	fprintf(out, "%u,%u,%" PRIu64 ",%" PRIu64 ",%u,%s,%s,0x%" PRIx64 ",%" PRIu64 ",", process->pid, process->image, e->number,
	        ns_of(e->tick), tid_of(process, e->thread), name, kind, e->address, e->size);
	if (e->stack < process->stack_count && what != MTRACE_STREAM_GAP)
		fprintf(out, "%016" PRIx64, process->stacks[e->stack].id);
	fputc('\n', out);
}
