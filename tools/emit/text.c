/*
 * text: the report for people. One section per process: title, trust box, kinds, then stacks or groups; at the end
 * what to type next. Fits 80 columns and up. Color only when asked for (the command asks for it on a terminal).
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "emit/emit_text.h"
#include "emit/lifetimes.h"
#include "model/leaks.h"

void text_begin(const struct page *page, const char *sgr)
{
	if (page->options->color)
		fprintf(page->out, "\x1b[%sm", sgr);
}

void text_end(const struct page *page)
{
	if (page->options->color)
		fputs("\x1b[0m", page->out);
}

void text_label(const struct page *page, const char *label)
{
	fprintf(page->out, "  %-9s ", label);
}

/* ---- title ---- */

static void title(const struct page *page)
{
	const struct profile_process *p = page->process;
	char line[4096] = "";
	size_t n = 0;
	for (uint32_t i = 0; i < p->arg_count && n < sizeof line; i++)
		n += (size_t)snprintf(line + n, sizeof line - n, "%s%s", i ? " " : "", i ? p->args[i] : emit_basename(p->args[i]));
	text_begin(page, "1");
	emit_text_cut(page->out, n ? line : emit_basename(p->exe[0] ? p->exe : "(unknown program)"), page->columns);
	text_end(page);
	fputc('\n', page->out);
	text_label(page, "pid");
	fprintf(page->out, "%u", p->pid);
	if (p->image)
		fprintf(page->out, ", image %u (after %u exec)", p->image, p->image);
	fputs(", ", page->out);
	emit_text_cut(page->out, p->exe[0] ? p->exe : "(unknown program)", page->columns - 32);
	if (p->shim_version[0])
		fprintf(page->out, ", libmtrace %s", p->shim_version);
	fputc('\n', page->out);
}

/* ---- kinds ---- */

static void ledger(const struct page *page);

void text_kinds(const struct page *page)
{
	char live[32], live_n[32], alloc[32], alloc_n[32], peak[32];
	fprintf(page->out, "\n%-16s %11s %13s %11s %13s\n", "kind", "live", "blocks", "allocated", "blocks");
	for (unsigned kind = MTRACE_KIND_MALLOC; kind < MTRACE_KIND_COUNT; kind++) {
		const struct profile_counts *c = &page->process->by_kind[kind];
		if (c->alloc_blocks == 0 && c->live_blocks == 0 && kind != MTRACE_KIND_MALLOC)
			continue;
		emit_bytes(live, c->live_bytes);
		emit_count(live_n, c->live_blocks);
		emit_bytes(alloc, c->alloc_bytes);
		emit_count(alloc_n, c->alloc_blocks);
		fprintf(page->out, "%-16s %11s %13s %11s %13s", profile_kind_name((enum mtrace_kind)kind), live, live_n, alloc,
		        alloc_n);
		emit_bytes(peak, page->process->peak_live_bytes);
		if (kind == MTRACE_KIND_MALLOC)
			fprintf(page->out, "   peak %s", peak);
		fputc('\n', page->out);
	}
	if (page->process->ledger_count && page->options->by == EMIT_BY_STACK)
		ledger(page);
}

static void marks(const struct page *page)
{
	uint32_t shown = page->process->mark_count < 10 || page->options->limit == 0 ? page->process->mark_count : 10;
	if (shown)
		fprintf(page->out, "\n%u marks\n", page->process->mark_count);
	for (uint32_t i = page->process->mark_count - shown; i < page->process->mark_count; i++) {
		char at[32];
		emit_duration(at, page->process->marks[i].time_ns);
		fprintf(page->out, "%16s  ", at);
		emit_text_cut(page->out, page->process->marks[i].name, 60);
		fputc('\n', page->out);
	}
}

/* ---- from outside ---- */

static void ledger(const struct page *page)
{
	const struct profile_process *p = page->process;
	char size[32], share[16];
	emit_bytes(size, p->rss_bytes);
	fprintf(page->out, "\n%11s  resident, by class of mapping\n", size);
	for (uint32_t i = 0; i < p->ledger_count; i++) {
		emit_bytes(size, p->ledger[i].bytes);
		emit_share(share, p->ledger[i].bytes, p->rss_bytes);
		fprintf(page->out, "%11s  %5s  ", size, share);
		emit_text_padded(page->out, p->ledger[i].label ? p->ledger[i].label : p->ledger[i].owner, 44);
		fprintf(page->out, "  %s\n", p->ledger[i].measured_by ? p->ledger[i].measured_by : "");
	}
}

void text_outside(const struct page *page)
{
	text_label(page, "mode");
	fprintf(page->out, "read from outside: it was not started under mtrace, so there are no stacks\n");
	if (page->process->note) {
		text_label(page, "note");
		fprintf(page->out, "%s\n", page->process->note);
	}
	ledger(page);
	text_threads(page);
}

/* ---- sections ---- */

static bool recorded_nothing(const struct profile_process *p)
{
	for (unsigned kind = 0; kind < MTRACE_KIND_COUNT; kind++)
		if (p->by_kind[kind].alloc_blocks)
			return false;
	return true;
}

static bool nothing_is_live(const struct profile_process *p)
{
	for (unsigned kind = 0; kind < MTRACE_KIND_COUNT; kind++)
		if (p->by_kind[kind].live_blocks)
			return false;
	return true;
}

static void live_heading(const struct page *page)
{
	fprintf(page->out, "\nlive %s, largest first (not a verdict)\n",
	        page->process->end == PROFILE_RUNNING ? "now" : "at end");
	if (page->options->no_verdict)
		fprintf(page->out, "no verdict: %s\n", page->options->no_verdict);
}

static void section(const struct page *page)
{
	title(page);
	if (page->process->mode == PROFILE_OUTSIDE) {
		text_outside(page);
		return;
	}
	text_trust(page);
	text_exhausted(page);
	if (recorded_nothing(page->process)) {
		fprintf(page->out, "\nnothing was recorded\n");
		return;
	}
	if (page->judged && page->options->leaks) {
		text_leaks(page);
		return;
	}
	if (page->options->leaks)
		live_heading(page);
	else
		text_kinds(page);
	if (nothing_is_live(page->process) && !page->options->allocated)
		fprintf(page->out, "\nnothing is live: all of it was freed; --allocated ranks what was\n");
	if (page->options->by == EMIT_BY_STACK)
		text_stacks(page);
	else if (page->options->by != EMIT_BY_KIND)
		text_groups(page);
	if (!page->options->leaks) {
		text_lifetimes(page);
		marks(page);
	}
}

/* The JVM says what is in its areas, while it runs. */
static void next_of_jvm(const struct page *page)
{
	enum managed_area area = page->judged->not_native;
	if (page->process->end == PROFILE_RUNNING)
		fprintf(page->out, "mtrace jvm %u %s", page->process->pid, managed_next(area));
	else
		fprintf(page->out, "mtrace jvm PID %s, while the next one runs", managed_next(area));
	fprintf(page->out, "\n        %s\n      ", managed_next_text(area));
}

/* A leak: what to compare with after the cure. None: smaller ones take longer. */
static void next_of_leaks(const struct page *page)
{
	const char *t = page->options->target;
	if (page->judged->leak_per_hour > 0)
		fprintf(page->out, "mtrace baseline %s               keeps this; `mtrace diff %s` shows what came since\n      ", t, t);
	else if (!page->judged->by_steps)
		fprintf(page->out, "mtrace leaks %s --for 15m        a longer look sees smaller leaks\n      ", t);
}

/* What a collector has not come to yet looks as a leak does, until it comes. */
static void next_of_collected(const struct page *page)
{
	if (page->judged->leak_per_hour <= 0 || !profile_has_jvm(page->process))
		return;
	if (page->process->end == PROFILE_RUNNING)
		fprintf(page->out, "mtrace jvm %u gc                   frees what waits for Java's collector: what is left leaks\n      ",
		        page->process->pid);
	else
		fputs("mtrace gate --settle 'mtrace jvm $PID gc' --load …     leaks, or waits for Java's collector?\n      ", page->out);
}

static void next(const struct page *page)
{
	const char *t = page->options->target;
	if (!t)
		return;
	fputc('\n', page->out);
	if (page->process->mode == PROFILE_OUTSIDE) {
		fprintf(page->out, "next  mtrace doctor %-12s says whether stacks can be had, and how\n", t);
		fprintf(page->out, "      mtrace run -- CMD         starts it again with every block and its stack recorded\n");
		return;
	}
	fputs("next  ", page->out);
	if (page->judged && page->options->leaks && page->judged->not_native != MANAGED_NONE)
		next_of_jvm(page);
	else if (page->judged && page->options->leaks && page->process->end == PROFILE_RUNNING)
		next_of_leaks(page);
	if (page->judged && page->options->leaks && page->judged->not_native == MANAGED_NONE)
		next_of_collected(page);
	if (page->options->by != EMIT_BY_SITE)
		fprintf(page->out, "mtrace report %s --by site          which function holds how much\n      ", t);
	else
		fprintf(page->out, "mtrace report %s                    the stacks behind these\n      ", t);
	fprintf(page->out, "mtrace export %s -o live.folded     for a flame graph\n", t);
}

int emit_text(const struct profile *p, const struct emit_options *o, FILE *out)
{
	struct page page = {.out = out, .options = o, .columns = o->columns ? o->columns : 100};
	if (page.columns < 60)
		page.columns = 60;
	for (uint32_t i = 0; i < p->process_count; i++) {
		page.process = &p->processes[i];
		page.judged = i == 0 ? o->judged : NULL;
		page.lifetimes = o->lifetimes ? o->lifetimes[i] : NULL;
		if (i > 0)
			fputs("\n", out);
		section(&page);
	}
	page.process = &p->processes[0];
	page.judged = o->judged;
	if (p->process_count)
		next(&page);
	return ferror(out) ? -EIO : 0;
}
