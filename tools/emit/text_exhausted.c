/*
 * text_exhausted: in the box at the head of a section, when a JVM ran out of something: what, when, on which thread; the
 * largest classes of its heap, and who had made the threads. Of each kind the first time, and how often more.
 */
#include <stdlib.h>

#include "emit/emit_text.h"
#include "model/exhaustion.h"

enum { CLASSES_SHOWN = 8, CREATORS_SHOWN = 4, LABEL_BYTES = 512 };

static uint32_t more_of(const struct profile_process *p, uint32_t i)
{
	uint32_t more = 0;
	for (uint32_t j = i + 1; j < p->exhaustion_count; j++)
		more += p->exhaustions[j].what == p->exhaustions[i].what;
	return more;
}

static bool is_first(const struct profile_process *p, uint32_t i)
{
	for (uint32_t j = 0; j < i; j++)
		if (p->exhaustions[j].what == p->exhaustions[i].what)
			return false;
	return true;
}

static void headline(const struct page *page, uint32_t i)
{
	const struct profile_exhaustion *x = &page->process->exhaustions[i];
	char at[32], thread[64];
	uint32_t more = more_of(page->process, i);
	emit_duration(at, x->time_ns);
	emit_thread_label(page->process, x->thread, thread, sizeof thread);
	text_label(page, "exhausted");
	text_begin(page, "1");
	emit_text_cut(page->out, x->text[0] ? x->text : "something of the JVM's", page->columns - 40);
	text_end(page);
	fprintf(page->out, ", at %s, by ", at);
	emit_text_cut(page->out, thread, 24);
	if (more)
		fprintf(page->out, "; %u more", more);
	fputc('\n', page->out);
}

static void classes(const struct page *page, uint32_t i)
{
	const struct profile_process *p = page->process;
	const struct profile_exhaustion *x = &p->exhaustions[i];
	char bytes[32], objects[32], pause[32];
	uint32_t shown = 0;
	if (!x->histogram)
		return;
	emit_bytes(bytes, x->bytes);
	emit_count(objects, x->objects);
	emit_duration(pause, x->pause_ns);
	text_label(page, "");
	fprintf(page->out, "%s in %s objects%s, counted in %s; the largest classes:\n", bytes, objects,
	        x->histogram == MTRACE_HISTOGRAM_CUT ? " (of more: it took too long)" : "", pause);
	for (uint32_t c = 0; c < p->class_count && (shown < CLASSES_SHOWN || !page->options->limit); c++) {
		if (p->classes[c].exhaustion != i)
			continue;
		emit_bytes(bytes, p->classes[c].bytes);
		emit_count(objects, p->classes[c].objects);
		text_label(page, "");
		fprintf(page->out, "%11s in %11s  ", bytes, objects);
		emit_text_cut(page->out, p->classes[c].name, page->columns - 42);
		fputc('\n', page->out);
		shown++;
	}
}

static void creators(const struct page *page, uint32_t i)
{
	const struct profile_process *p = page->process;
	struct exhaustion_threads *groups;
	char label[LABEL_BYTES] = "(not known)", n[32];
	uint32_t all;
	size_t count = exhaustion_threads(p, &p->exhaustions[i], &groups, &all);
	emit_count(n, all);
	text_label(page, "");
	fprintf(page->out, "%s threads then; who had made more than one of them:\n", n);
	for (size_t g = 0; g < count && groups[g].threads > 1 && (g < CREATORS_SHOWN || !page->options->limit); g++) {
		if (groups[g].stack < p->stack_count)
			emit_site_label(p, &p->stacks[groups[g].stack], label, sizeof label);
		emit_count(n, groups[g].threads);
		text_label(page, "");
		fprintf(page->out, "%11s  ", n);
		emit_text_cut(page->out, label, page->columns - 28);
		fputc('\n', page->out);
		snprintf(label, sizeof label, "(not known)");
	}
	free(groups);
}

void text_exhausted(const struct page *page)
{
	for (uint32_t i = 0; i < page->process->exhaustion_count; i++) {
		if (!is_first(page->process, i))
			continue;
		headline(page, i);
		classes(page, i);
		if (page->process->exhaustions[i].what & MTRACE_EXHAUSTED_THREADS)
			creators(page, i);
	}
}
