/*
 * diff_text: what changed, for people: both sides, how well they could be joined, then each kind: its totals, how many
 * are new, grew, shrank, are gone, and the largest changes. `+` is more in B. Fits 80 columns and up.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "emit/diff.h"
#include "emit/emit_text.h"

/* What a few seconds grew says nothing of an hour. */
#define RATE_NS 60000000000u

struct tally {
	size_t rows;
	int64_t bytes;
};

/* ---- rows by what the user asked ---- */

void emit_diff_make(const struct profile *a, const struct profile *b, enum emit_by by, bool allocated,
                    struct diff *diff)
{
	if (by == EMIT_BY_THREAD)
		diff_threads(a, b, emit_thread_label, diff);
	else if (by == EMIT_BY_STACK)
		diff_stacks(a, b, allocated, diff);
	else
		diff_groups(a, b, allocated,
		            by == EMIT_BY_SITE     ? emit_site_label
		            : by == EMIT_BY_MODULE ? emit_module_label
		                                   : emit_kind_label,
		            diff);
}

uint64_t emit_diff_elapsed(const struct emit_diff *d)
{
	const struct profile_process *a = &d->a->processes[0], *b = &d->b->processes[0];
	bool same = a->pid == b->pid && a->start_time == b->start_time && a->image == b->image && a->start_time;
	return same && b->lived_ns > a->lived_ns ? b->lived_ns - a->lived_ns : 0;
}

/* ---- figures ---- */

/* Sums of what a damaged file says must not wrap. */
static int64_t sum(int64_t a, int64_t b)
{
	int64_t both;
	if (__builtin_add_overflow(a, b, &both) || both < -INT64_MAX)
		return a < 0 ? -INT64_MAX : INT64_MAX;
	return both;
}

static int64_t per_hour(int64_t change, uint64_t elapsed_ns)
{
	double rate = (double)change * 3.6e12 / (double)elapsed_ns;
	return rate > 9e18 || rate < -9e18 ? (rate < 0 ? -INT64_MAX : INT64_MAX) : (int64_t)rate;
}

static const char *signed_bytes(char out[40], int64_t bytes)
{
	char size[32];
	emit_bytes(size, bytes < 0 ? (uint64_t)-bytes : (uint64_t)bytes);
	snprintf(out, 40, "%s%s", bytes < 0 ? "-" : "+", size);
	return out;
}

static const char *signed_count(char out[40], int64_t count)
{
	char digits[32];
	emit_count(digits, count < 0 ? (uint64_t)-count : (uint64_t)count);
	snprintf(out, 40, "%s%s", count < 0 ? "-" : "+", digits);
	return out;
}

static uint64_t bytes_of(const struct diff *d, const struct profile_counts *c)
{
	return d->allocated ? c->alloc_bytes : c->live_bytes;
}

static uint64_t blocks_of(const struct diff *d, const struct profile_counts *c)
{
	return d->allocated ? c->alloc_blocks : c->live_blocks;
}

/* ---- head ---- */

static uint64_t drops_of(const struct profile *p)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < p->process_count; i++)
		for (uint32_t k = 0; k < p->processes[i].counter_count; k++)
			if (strncmp(p->processes[i].counters[k].name, "drop_", 5) == 0)
				n = profile_sum(n, p->processes[i].counters[k].value);
	return n;
}

static void side(const struct page *page, const char *name, const char *target, const struct profile *p)
{
	char end[128], drops[32];
	uint32_t counted = 0;
	const struct profile_process *first = &p->processes[0];
	for (uint32_t i = 0; i < p->process_count; i++)
		counted += diff_counts_process(&p->processes[i]);
	text_label(page, name);
	emit_text_cut(page->out, target, page->columns - 12);
	fputc('\n', page->out);
	text_label(page, "");
	emit_text_cut(page->out, emit_program(first), 40);
	emit_end_text(first, end, sizeof end);
	fprintf(page->out, ", pid %u, %s\n", first->pid, end);
	if (p->process_count > 1) {
		text_label(page, "");
		fprintf(page->out, "%u processes together", counted);
		if (counted < p->process_count)
			fprintf(page->out, ", %u that went on to exec left out", p->process_count - counted);
		fputc('\n', page->out);
	}
	if (drops_of(p)) {
		emit_count(drops, drops_of(p));
		text_label(page, "");
		fprintf(page->out,
		        "%s drops: what is here is the least there was (mtrace report says what was dropped)\n", drops);
	}
}

static void joins(const struct page *page, const struct emit_diff *d)
{
	const struct diff *diff = d->diff;
	char id[32], names[32], several[32];
	emit_count(id, diff->joined[DIFF_BY_ID]);
	emit_count(names, diff->joined[DIFF_BY_NAMES]);
	emit_count(several, diff->ambiguous);
	text_label(page, "joined");
	fprintf(page->out, "%s by build-id and offset, %s by function names\n", id, names);
	if (diff->ambiguous) {
		text_label(page, "");
		fprintf(page->out, "%s of these are several stacks each: the same functions, other places in them\n",
		        several);
	}
	if ((diff->unnamed_a || diff->unnamed_b) && diff->lone_a && diff->lone_b) {
		emit_count(id, diff->unnamed_a);
		emit_count(names, diff->unnamed_b);
		text_label(page, "");
		fprintf(page->out, "%s in A and %s in B have frames without names, and no partner;\n", id, names);
		text_label(page, "");
		fprintf(page->out, "if it was rebuilt between: mtrace symbolize --search DIR RECORDING, then again\n");
	}
}

static void head(const struct page *page, const struct emit_diff *d)
{
	char time[32];
	side(page, "A", d->target_a, d->a);
	side(page, "B", d->target_b, d->b);
	if (emit_diff_elapsed(d)) {
		emit_duration(time, emit_diff_elapsed(d));
		text_label(page, "between");
		fprintf(page->out, "%s of the same process\n", time);
	}
	if (d->by == EMIT_BY_STACK)
		joins(page, d);
}

/* ---- rows ---- */

/* On a narrow page what it was before has no room. */
static void group(const struct page *page, const char *label, const char *a, const char *b)
{
	bool narrow = page->columns < 100;
	if (!narrow)
		fprintf(page->out, "  %11s ->", a);
	fprintf(page->out, " %11s  ", b);
	emit_text_cut(page->out, label, page->columns - (narrow ? 52 : 66));
	fputc('\n', page->out);
}

static void row(struct page *page, const struct emit_diff *d, const struct diff_row *r, size_t number)
{
	char bytes[40], blocks[40], a[32], b[32];
	emit_bytes(a, bytes_of(d->diff, &r->a.counts));
	emit_bytes(b, bytes_of(d->diff, &r->b.counts));
	fprintf(page->out, "%3zu ", number);
	text_begin(page, "1");
	fprintf(page->out, "%-7s %12s %12s blocks", diff_change_name(diff_change_of(d->diff, r)),
	        signed_bytes(bytes, diff_bytes(d->diff, r)), signed_count(blocks, diff_blocks(d->diff, r)));
	text_end(page);
	if (r->label) {
		group(page, r->label, a, b);
		return;
	}
	fprintf(page->out, "  %11s -> %11s", a, b);
	const struct diff_side *shown = r->b.stack ? &r->b : &r->a;
	fprintf(page->out, "  %016" PRIx64 "\n", shown->stack->id);
	if (r->join == DIFF_BY_NAMES && (r->a.stacks > 1 || r->b.stacks > 1))
		fprintf(page->out, "%*s(%u stacks in A, %u in B; the largest is shown)\n", TEXT_INDENT, "", r->a.stacks,
		        r->b.stacks);
	page->process = shown->process;
	text_frames(page, shown->stack);
}

/* ---- kinds ---- */

static size_t tally_kind(const struct diff *d, size_t from, struct tally tallies[DIFF_CHANGES])
{
	size_t i = from;
	memset(tallies, 0, sizeof(struct tally[DIFF_CHANGES]));
	for (; i < d->count && d->rows[i].kind == d->rows[from].kind; i++) {
		struct tally *t = &tallies[diff_change_of(d, &d->rows[i])];
		t->rows++;
		t->bytes = sum(t->bytes, diff_bytes(d, &d->rows[i]));
	}
	return i - from;
}

static void kind_head(const struct page *page, const struct emit_diff *d, enum mtrace_kind kind,
                      const struct tally *tallies)
{
	const struct diff *diff = d->diff;
	uint64_t a = bytes_of(diff, &diff->a[kind]), b = bytes_of(diff, &diff->b[kind]), elapsed = emit_diff_elapsed(d);
	int64_t change = diff_less(b, a);
	char from[32], to[32], bytes[40], blocks[40], hour[40];
	emit_bytes(from, a);
	emit_bytes(to, b);
	fputc('\n', page->out);
	text_begin(page, "4");
	fprintf(page->out, "%s", profile_kind_name(kind));
	text_end(page);
	fprintf(page->out, "%s: %s -> %s, %s", diff->allocated ? " allocated" : "", from, to,
	        signed_bytes(bytes, change));
	fprintf(page->out, " in %s blocks",
	        signed_count(blocks, diff_less(blocks_of(diff, &diff->b[kind]), blocks_of(diff, &diff->a[kind]))));
	if (elapsed >= RATE_NS && !diff->allocated)
		fprintf(page->out, ", %s per hour", signed_bytes(hour, per_hour(change, elapsed)));
	fputs("\n   ", page->out);
	for (int i = DIFF_NEW; i < DIFF_CHANGES; i++)
		if (tallies[i].rows)
			fprintf(page->out, " %s %zu (%s)", diff_change_name((enum diff_change)i), tallies[i].rows,
			        signed_bytes(bytes, tallies[i].bytes));
	fprintf(page->out, " same %zu\n", tallies[DIFF_SAME].rows);
}

static uint32_t limit_of(const struct emit_diff *d, enum mtrace_kind kind)
{
	struct emit_options o = {.limit = d->limit};
	return text_limit(&o, kind);
}

static void kind(struct page *page, const struct emit_diff *d, size_t from, size_t count, const struct tally *tallies)
{
	size_t changed = count - tallies[DIFF_SAME].rows, most = limit_of(d, d->diff->rows[from].kind);
	char bytes[40];
	int64_t left = 0;
	kind_head(page, d, d->diff->rows[from].kind, tallies);
	for (size_t i = 0; i < changed; i++) { /* rows that are the same come last */
		if (i < most)
			row(page, d, &d->diff->rows[from + i], i + 1);
		else
			left = sum(left, diff_bytes(d->diff, &d->diff->rows[from + i]));
	}
	if (changed > most)
		fprintf(page->out, "  … %zu smaller changes, %s together: -n 0 shows all\n", changed - most,
		        signed_bytes(bytes, left));
}

int emit_diff_text(const struct emit_diff *d, FILE *out)
{
	struct emit_options options = {.color = d->color, .full = d->full};
	struct page page = {.out = out, .options = &options, .columns = d->columns ? d->columns : 100};
	struct tally tallies[DIFF_CHANGES];
	head(&page, d);
	for (size_t i = 0, n; i < d->diff->count; i += n) {
		n = tally_kind(d->diff, i, tallies);
		kind(&page, d, i, n, tallies);
	}
	return ferror(out) ? -EIO : 0;
}
