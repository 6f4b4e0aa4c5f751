/*
 * text_stacks: stacks, kind by kind, with the share of the kind that they hold. A frame is one line: function, where,
 * and an arrow at the user's own frame. Long stacks are folded around that frame unless all of it was asked for.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "emit/emit_text.h"
#include "model/direct.h"
#include "model/leaks.h"

struct line {
	const struct profile_frame *frame;
	uint32_t name;
	bool is_site;
};

enum { ARROW = 14 }; /* "  <- your code" */

static bool is_inlined(const struct line *l)
{
	return l->name < l->frame->name_count && l->frame->names[l->name].inlined;
}

static void where(const struct page *page, const struct line *l, char *out, size_t size)
{
	const struct profile_name *name = l->name < l->frame->name_count ? &l->frame->names[l->name] : NULL;
	if (l->frame->kind == MTRACE_FRAME_MARKER || l->frame->kind == MTRACE_FRAME_NONE)
		out[0] = '\0';
	else if (name && name->file && name->line)
		snprintf(out, size, "%s:%u", emit_basename(name->file), name->line);
	else
		snprintf(out, size, "%s", emit_module(page->process, l->frame));
}

static void print_line(const struct page *page, const struct line *l)
{
	char text[1024], place[256];
	uint32_t room = page->columns - TEXT_INDENT - ARROW, names = room * 2 / 3, places = room - names - 1;
	emit_frame_text(page->process, l->frame, l->name, text, sizeof text);
	where(page, l, place, sizeof place);
	if (l->is_site)
		text_begin(page, "1");
	fprintf(page->out, "%*s", TEXT_INDENT, "");
	if (place[0] == '\0' && !l->is_site) {
		emit_text_cut(page->out, text, room);
		fputc('\n', page->out);
		return;
	}
	emit_text_padded(page->out, text, names);
	fputc(' ', page->out);
	if (l->is_site)
		emit_text_padded(page->out, place, places);
	else
		emit_text_cut(page->out, place, places + ARROW);
	if (l->is_site)
		fputs("  <- your code", page->out);
	else if (is_inlined(l))
		fputs(" (inlined)", page->out);
	if (l->is_site)
		text_end(page);
	fputc('\n', page->out);
}

/* One line per name of every frame. Returns how many; *site is the user's own line, the count when there is none. */
static uint32_t lines_of(const struct page *page, const struct profile_stack *stack, struct line *lines, uint32_t *site)
{
	uint32_t own = profile_site(page->process, stack), n = 0;
	*site = UINT32_MAX;
	for (uint32_t i = 0; i < stack->frame_count; i++) {
		const struct profile_frame *frame = &page->process->frames[stack->frames[i]];
		uint32_t mine = i == own ? profile_own_name(page->process, frame) : UINT32_MAX;
		for (uint32_t name = 0; name < emit_names_of(frame); name++) {
			if (lines)
				lines[n] = (struct line){frame, name, name == mine};
			if (name == mine)
				*site = n;
			n++;
		}
	}
	return n;
}

static bool is_shown(const struct page *page, uint32_t i, uint32_t n, uint32_t site)
{
	if (page->options->full || n <= 16 || i < 3 || i + 2 >= n)
		return true;
	uint32_t from = site == UINT32_MAX ? 0 : site, to = from + 9;
	return i + 1 >= from && i < to;
}

static void print_owner(const struct page *page, const struct profile_stack *stack)
{
	const struct direct_owner *owner = direct_owner_of(page->process, stack);
	char line[160];
	size_t length;
	for (const char *text = owner ? owner->text : ""; *text != '\0'; text += length + (text[length] == '\n')) {
		length = strcspn(text, "\n");
		snprintf(line, sizeof line, "%.*s", (int)length, text);
		fprintf(page->out, "%*s", TEXT_INDENT, "");
		emit_text_cut(page->out, line, page->columns - TEXT_INDENT);
		fputc('\n', page->out);
	}
}

void text_frames(const struct page *page, const struct profile_stack *stack)
{
	uint32_t site, n = lines_of(page, stack, NULL, &site), hidden = 0;
	if (n == 0)
		fprintf(page->out, "%*s(no frames)\n", TEXT_INDENT, "");
	struct line *lines = calloc(n + 1, sizeof *lines);
	if (!lines)
		return;
	lines_of(page, stack, lines, &site);
	for (uint32_t i = 0; i <= n; i++) {
		if (i < n && !is_shown(page, i, n, site)) {
			hidden++;
			continue;
		}
		if (hidden == 1)
			print_line(page, &lines[i - 1]);
		else if (hidden > 1)
			fprintf(page->out, "%*s… %u more\n", TEXT_INDENT + 2, "", hidden);
		hidden = 0;
		if (i < n)
			print_line(page, &lines[i]);
	}
	free(lines);
	print_owner(page, stack);
}

static void print_stack(const struct page *page, const struct profile_stack *stack, uint32_t number)
{
	const struct profile_counts *c = &stack->counts;
	char live[32], live_n[32], alloc[32], alloc_n[32];
	emit_bytes(live, c->live_bytes);
	emit_count(live_n, c->live_blocks);
	emit_bytes(alloc, c->alloc_bytes);
	emit_count(alloc_n, c->alloc_blocks);
	fprintf(page->out, "%3u ", number);
	text_begin(page, "1");
	if (page->options->allocated)
		fprintf(page->out, "%11s in %9s allocated", alloc, alloc_n);
	else
		fprintf(page->out, "%11s in %9s live", live, live_n);
	text_end(page);
	if (page->options->allocated)
		fprintf(page->out, "%11s in %9s live", live, live_n);
	else
		fprintf(page->out, "%11s in %9s allocated", alloc, alloc_n);
	const struct verdict *v = page->judged ? leaks_verdict_of(page->judged, (uint32_t)(stack - page->process->stacks)) : NULL;
	fprintf(page->out, "   %016" PRIx64 "%s%s\n", stack->id, v ? "  " : "", v ? verdict_name(v->kind) : "");
	text_frames(page, stack);
}

/* ---- choosing ---- */

/* The stacks of a kind with anything to rank, largest first (the profile is sorted by live bytes already). */
static uint32_t choose(const struct page *page, enum mtrace_kind kind, const struct profile_stack **chosen)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < page->process->stack_count; i++) {
		const struct profile_stack *s = &page->process->stacks[i];
		if (s->kind == kind && text_rank(page->options, &s->counts) > 0)
			chosen[n++] = s;
	}
	if (page->options->allocated)
		qsort(chosen, n, sizeof *chosen, profile_by_allocated);
	return n;
}

static void heading(const struct page *page, enum mtrace_kind kind, uint64_t shown_bytes, uint32_t shown,
                    uint32_t count)
{
	uint64_t whole = text_rank(page->options, &page->process->by_kind[kind]);
	char part[32], all[32], share[16], n[32];
	emit_bytes(part, shown_bytes);
	emit_bytes(all, whole);
	emit_share(share, shown_bytes, whole);
	emit_count(n, count);
	text_begin(page, "4");
	fprintf(page->out, "%s", profile_kind_name(kind));
	text_end(page);
	fprintf(page->out, ": %s of %s %s (%s) in %s%u of %s stacks\n", part, all,
	        page->options->allocated ? "allocated" : "live", share, shown < count ? "the largest " : "", shown, n);
}

static void stacks_of_kind(const struct page *page, enum mtrace_kind kind, const struct profile_stack **chosen)
{
	uint32_t count = choose(page, kind, chosen), shown = text_limit(page->options, kind);
	uint64_t bytes = 0;
	if (count == 0)
		return;
	if (shown > count)
		shown = count;
	for (uint32_t i = 0; i < shown; i++)
		bytes = profile_sum(bytes, text_rank(page->options, &chosen[i]->counts));
	fputc('\n', page->out);
	heading(page, kind, bytes, shown, count);
	for (uint32_t i = 0; i < shown; i++)
		print_stack(page, chosen[i], i + 1);
}

void text_stacks(const struct page *page)
{
	const struct profile_stack **chosen = calloc(page->process->stack_count + 1, sizeof *chosen);
	for (unsigned kind = MTRACE_KIND_MALLOC; chosen && kind < MTRACE_KIND_COUNT; kind++)
		stacks_of_kind(page, (enum mtrace_kind)kind, chosen);
	free(chosen);
}
