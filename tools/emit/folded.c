/*
 * folded: "root;…;leaf N" lines for flame graph tools: root first, N bytes live (or allocated). ';' in a name becomes
 * ':', a line break a blank; inlined functions may carry the _[i] suffix that viewers color. One kind unless all are
 * asked for: kinds are never added, so then each stands below a frame with its name. Several processes stand below a
 * frame each. Stacks that hold nothing are left out.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "emit/emit_text.h"

static void put(FILE *out, const char *s)
{
	for (; *s != '\0'; s++)
		fputc(*s == ';' ? ':' : (unsigned char)*s < ' ' ? ' ' : *s, out);
}

static void put_frame(const struct profile_process *p, const struct profile_frame *f, const struct emit_options *o,
                      FILE *out)
{
	char text[4096];
	for (uint32_t i = emit_names_of(f); i-- > 0;) { /* names are innermost first */
		fputc(';', out);
		emit_frame_text(p, f, i, text, sizeof text);
		put(out, text);
		if (o->inlined_tag && i < f->name_count && f->names[i].inlined)
			fputs("_[i]", out);
	}
}

static void put_stack(const struct profile_process *p, const struct profile_stack *s, const struct emit_options *o,
                      const char *process_name, FILE *out)
{
	/* The first frame of a line has no ';' before it: process, kind, or else the program. */
	if (process_name) {
		put(out, process_name);
		fprintf(out, " (%u)", p->pid);
	}
	if (o->kind == MTRACE_KIND_NONE)
		fprintf(out, "%s%s", process_name ? ";" : "", profile_kind_name(s->kind));
	if (!process_name && o->kind != MTRACE_KIND_NONE)
		put(out, emit_program(p));
	for (uint32_t i = s->frame_count; i-- > 0;)
		put_frame(p, &p->frames[s->frames[i]], o, out);
	fprintf(out, " %" PRIu64 "\n", o->allocated ? s->counts.alloc_bytes : s->counts.live_bytes);
}

static void put_process(const struct profile_process *p, const struct emit_options *o, const char *name, FILE *out)
{
	uint32_t shown = 0;
	for (uint32_t i = 0; i < p->stack_count && (o->limit == 0 || shown < o->limit); i++) {
		const struct profile_stack *s = &p->stacks[i];
		bool wanted = o->kind == MTRACE_KIND_NONE || s->kind == o->kind;
		if (!wanted || (o->allocated ? s->counts.alloc_bytes : s->counts.live_bytes) == 0)
			continue;
		put_stack(p, s, o, name, out);
		shown++;
	}
}

int emit_folded(const struct profile *p, const struct emit_options *o, FILE *out)
{
	for (uint32_t i = 0; i < p->process_count; i++) {
		const struct profile_process *one = &p->processes[i];
		put_process(one, o, p->process_count > 1 ? emit_program(one) : NULL, out);
	}
	return ferror(out) ? -EIO : 0;
}
