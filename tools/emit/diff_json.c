/*
 * diff_json: a diff as JSON, complete: rows that did not change too, so that rows add up to totals. Fields are
 * documented in mtrace(1); fields may be added, never changed. Written row by row.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>

#include "die.h"
#include "emit/diff.h"
#include "emit/emit_text.h"

static void text(const char *s, FILE *out)
{
	json_t *j = json_string(s ? s : "");
	if (!j)
		j = json_string("?"); /* not UTF-8 */
	if (!j)
		die(2, "out of memory");
	json_dumpf(j, out, JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(j);
}

/* JSON integers are signed for most readers; only a damaged file can hold more. */
static uint64_t number(uint64_t n)
{
	return n > INT64_MAX ? INT64_MAX : n;
}

static void counts(const char *key, const struct profile_counts *c, FILE *out)
{
	fprintf(out,
	        "\"%s\":{\"live_blocks\":%" PRIu64 ",\"live_bytes\":%" PRIu64 ",\"alloc_blocks\":%" PRIu64
	        ",\"alloc_bytes\":%" PRIu64 "}",
	        key, number(c->live_blocks), number(c->live_bytes), number(c->alloc_blocks), number(c->alloc_bytes));
}

static void change(const struct profile_counts *a, const struct profile_counts *b, FILE *out)
{
	fprintf(out,
	        ",\"live_blocks_change\":%" PRId64 ",\"live_bytes_change\":%" PRId64 ",\"alloc_bytes_change\":%" PRId64,
	        diff_less(b->live_blocks, a->live_blocks), diff_less(b->live_bytes, a->live_bytes),
	        diff_less(b->alloc_bytes, a->alloc_bytes));
}

static void side(const char *key, const char *target, const struct profile *p, FILE *out)
{
	const struct profile_process *first = &p->processes[0];
	uint32_t counted = 0;
	for (uint32_t i = 0; i < p->process_count; i++)
		counted += diff_counts_process(&p->processes[i]);
	fprintf(out, "\"%s\":{\"target\":", key);
	text(target, out);
	fputs(",\"exe\":", out);
	text(first->exe, out);
	fprintf(out, ",\"pid\":%u,\"image\":%u,\"processes\":%u,\"lived_ns\":%" PRIu64 ",\"end\":\"%s\"}", first->pid,
	        first->image, counted, number(first->lived_ns), profile_end_name(first->end));
}

static void kinds(const struct diff *d, FILE *out)
{
	const char *comma = "";
	fputs(",\n\"kinds\":[", out);
	for (unsigned k = MTRACE_KIND_MALLOC; k < MTRACE_KIND_COUNT; k++) {
		const struct profile_counts *a = &d->a[k], *b = &d->b[k];
		if (!a->alloc_blocks && !b->alloc_blocks && !a->live_blocks && !b->live_blocks &&
		    k != MTRACE_KIND_MALLOC)
			continue;
		fprintf(out, "%s\n{\"kind\":\"%s\",", comma, profile_kind_name((enum mtrace_kind)k));
		counts("a", a, out);
		fputc(',', out);
		counts("b", b, out);
		change(a, b, out);
		fputc('}', out);
		comma = ",";
	}
	fputc(']', out);
}

static void frames(const struct diff_side *s, FILE *out)
{
	const char *comma = "";
	fputs(",\"frames\":[", out);
	for (uint32_t i = 0; i < s->stack->frame_count; i++) {
		const struct profile_frame *f = &s->process->frames[s->stack->frames[i]];
		bool is_place = f->kind == MTRACE_FRAME_NATIVE || f->kind == MTRACE_FRAME_ABSOLUTE;
		for (uint32_t n = 0; n < emit_names_of(f); n++) {
			const struct profile_name *name = n < f->name_count ? &f->names[n] : NULL;
			fprintf(out, "%s{\"function\":", comma);
			text(emit_function(f, n), out);
			fputs(",\"module\":", out);
			text(emit_module_path(s->process, f), out);
			fprintf(out, ",\"offset\":%" PRIu64 ",\"file\":", is_place ? number(f->value) : 0);
			text(name ? name->file : NULL, out);
			fprintf(out, ",\"line\":%u}", name ? name->line : 0);
			comma = ",";
		}
	}
	fputc(']', out);
}

static void row(const struct diff *d, const struct diff_row *r, FILE *out)
{
	fprintf(out, "{\"kind\":\"%s\",\"change\":\"%s\",\"joined\":\"%s\",", profile_kind_name(r->kind),
	        diff_change_name(diff_change_of(d, r)), diff_join_name(r->join));
	counts("a", &r->a.counts, out);
	fputc(',', out);
	counts("b", &r->b.counts, out);
	change(&r->a.counts, &r->b.counts, out);
	fprintf(out, ",\"stacks_a\":%u,\"stacks_b\":%u", r->a.stacks, r->b.stacks);
	if (r->label) {
		fputs(",\"label\":", out);
		text(r->label, out);
	}
	if (r->a.stack)
		fprintf(out, ",\"id_a\":\"%016" PRIx64 "\"", r->a.stack->id);
	if (r->b.stack)
		fprintf(out, ",\"id_b\":\"%016" PRIx64 "\"", r->b.stack->id);
	if (r->a.stack || r->b.stack)
		frames(r->b.stack ? &r->b : &r->a, out);
	fputc('}', out);
}

static void rows(const struct emit_diff *d, FILE *out)
{
	size_t shown = d->limit && d->limit < d->diff->count ? d->limit : d->diff->count;
	fprintf(out, ",\n\"rows_left_out\":%zu,\"rows\":[", d->diff->count - shown);
	for (size_t i = 0; i < shown; i++) {
		fputs(i ? ",\n" : "\n", out);
		row(d->diff, &d->diff->rows[i], out);
	}
	fputs("]}\n", out);
}

int emit_diff_json(const struct emit_diff *d, FILE *out)
{
	static const char *const by[] = {"stack", "site", "module", "thread", "kind"};
	const struct diff *diff = d->diff;
	fprintf(out, "{\"schema\":1,\"version\":\"%s\",", MTRACE_VERSION);
	side("a", d->target_a, d->a, out);
	fputs(",\n", out);
	side("b", d->target_b, d->b, out);
	fprintf(out, ",\n\"by\":\"%s\",\"ranked_by\":\"%s\",\"elapsed_ns\":%" PRIu64, by[d->by],
	        diff->allocated ? "alloc_bytes" : "live_bytes", emit_diff_elapsed(d));
	fprintf(out,
	        ",\"joined\":{\"id\":%zu,\"names\":%zu,\"none\":%zu,\"ambiguous\":%zu,\"unnamed_a\":%zu,\"unnamed_b\":%"
	        "zu}",
	        diff->joined[DIFF_BY_ID], diff->joined[DIFF_BY_NAMES], diff->joined[DIFF_BY_NONE], diff->ambiguous,
	        diff->unnamed_a, diff->unnamed_b);
	kinds(diff, out);
	rows(d, out);
	return ferror(out) ? -EIO : 0;
}
