/*
 * leaks_text: verdicts as a list, for people: how much of the growth of resident memory it holds (below half, the first
 * line says that the answer is elsewhere), when the limit is reached, then each stack or group, worst first, with its
 * verdict, what is live of it, and its frames. What neither grew nor shows a shape is counted, and listed when asked for.
 */
#include <inttypes.h>
#include <string.h>

#include "emit/emit_text.h"
#include "emit/verdict_text.h"
#include "model/leaks.h"

enum { INDENT = 5 };
#define NOTABLE_BYTES (1 << 20) /* RSS moves by less for no reason at all */

static const char *signed_bytes(char out[40], int64_t bytes)
{
	char size[32];
	emit_bytes(size, bytes < 0 ? (uint64_t)-bytes : (uint64_t)bytes);
	snprintf(out, 40, "%c%s", bytes < 0 ? '-' : '+', size);
	return out;
}

/* ---- what is listed ---- */

static bool has_shape(const struct verdict *v)
{
	return v->kind == VERDICT_LEAK || v->kind == VERDICT_CACHE || v->kind == VERDICT_GC_LAG || v->kind == VERDICT_SPIKE;
}

bool emit_leaks_lists(const struct emit_options *o, const struct leaks_row *row)
{
	const struct verdict *v = &row->verdict;
	if (o->verdicts)
		return o->verdicts >> v->kind & 1;
	if (o->limit && row->managed.area != MANAGED_NONE && row->managed.how != MANAGED_RECORD)
		return false; /* the head says what of it grew: no stack of libjvm's tells more */
	return o->limit == 0 || has_shape(v) || row->change_bytes > 0;
}

uint32_t emit_leaks_listed(const struct emit_options *o, const struct leaks *l, int64_t *change)
{
	uint32_t n = 0;
	*change = 0;
	for (size_t i = 0; i < l->count; i++) {
		if (!emit_leaks_lists(o, &l->rows[i]) || (o->limit && n == o->limit))
			continue;
		n++;
		*change += leaks_is_resident(l->rows[i].kind) ? l->rows[i].change_bytes : 0;
	}
	return n;
}

/* ---- the head ---- */

static const char *things(const struct page *page, uint32_t n)
{
	if (page->options->by == EMIT_BY_STACK)
		return n == 1 ? "stack" : "stacks";
	return n == 1 ? "row" : "rows";
}

/* Enough to speak of shares, and less than half of it in the list. */
static bool is_elsewhere(const struct leaks *l, int64_t grew, int64_t change)
{
	return grew >= NOTABLE_BYTES && grew >= (int64_t)(l->rss_end / 100) && change < grew / 2;
}

/* Returns their sum. */
static int64_t areas_of_growth(const struct page *page)
{
	char text[40];
	int64_t sum = 0;
	for (enum managed_area i = 0; i < MANAGED_AREAS; i++) {
		int64_t change = leaks_area_change(page->judged, i);
		if (change)
			fprintf(page->out, "%s %s, ", signed_bytes(text, change), managed_name(i));
		sum += change;
	}
	fputc('\n', page->out);
	text_label(page, "");
	return sum;
}

static void rest_of_growth(const struct page *page, int64_t grew, int64_t change)
{
	const struct leaks *l = page->judged;
	int64_t native = l->has_areas_rss ? l->native_change : l->live_change;
	int64_t rest = grew - native - l->tracker_change;
	char others[40], tracker[40], text[40];
	text_label(page, "");
	fprintf(page->out, "%s in others, %s libmtrace itself, ", signed_bytes(others, native - change),
	        signed_bytes(tracker, l->tracker_change));
	if (l->has_areas_rss)
		rest -= areas_of_growth(page);
	if (rest >= 0)
		fprintf(page->out, "%s not in live blocks\n", signed_bytes(text, rest));
	else
		fprintf(page->out, "%s of it untouched, or resident before%s\n", signed_bytes(text, -rest) + 1,
		        l->rss_before_ns ? " or since" : "");
}

static void share(const struct page *page, uint32_t listed, int64_t change)
{
	const struct leaks *l = page->judged;
	int64_t grew = (int64_t)l->rss_end - (int64_t)l->rss_begin;
	char rss[40], now[32], text[40], part[16], before[32];
	emit_bytes(now, l->rss_end);
	if (!l->rss_begin) {
		text_label(page, "RSS");
		fprintf(page->out, "%s%s%s in the %u %s below\n", l->rss_end ? now : "",
		        l->rss_end ? " now, what it was then is not known (--for measures it); " : "its growth is not known; ",
		        signed_bytes(text, change), listed, things(page, listed));
		return;
	}
	if (l->not_native == MANAGED_NONE && is_elsewhere(l, grew, change)) {
		text_begin(page, "1");
		emit_share(part, (uint64_t)(change > 0 ? change : 0), (uint64_t)grew);
		fprintf(page->out, "  the answer is not in this list: it holds %s of what RSS grew by\n", part);
		text_end(page);
	}
	text_label(page, "RSS");
	fprintf(page->out, "%s to %s", signed_bytes(rss, grew), now);
	emit_duration(before, l->rss_before_ns);
	if (l->rss_before_ns)
		fprintf(page->out, ", %s before the end", before);
	fprintf(page->out, ": %s", signed_bytes(text, change));
	emit_share(part, (uint64_t)change, (uint64_t)grew);
	if (grew >= change && change > 0)
		fprintf(page->out, " (%s)", part);
	fprintf(page->out, " in the %u %s below,\n", listed, things(page, listed));
	rest_of_growth(page, grew, change);
}

static void limit(const struct page *page)
{
	const struct leaks *l = page->judged;
	uint64_t left = leaks_time_to_limit(l);
	char size[32], time[32], rate[40];
	if (!l->limit_bytes)
		return;
	emit_bytes(size, l->limit_bytes);
	text_label(page, "limit");
	fprintf(page->out, "%s (%s)", size, l->limit_from);
	emit_duration(time, left);
	if (left)
		fprintf(page->out, ": reached in %s, at the leaks' rate of %s per hour", time,
		        signed_bytes(rate, (int64_t)l->leak_per_hour));
	fputc('\n', page->out);
}

static void tally(const struct page *page)
{
	const struct leaks *l = page->judged;
	size_t of[VERDICT_KINDS] = {0}, grew = 0;
	const char *between = "";
	char n[32];
	for (size_t i = 0; i < l->count; i++) {
		of[l->rows[i].verdict.kind]++;
		grew += l->rows[i].verdict.kind == VERDICT_UNKNOWN && l->rows[i].change_bytes > 0;
	}
	text_label(page, "verdicts");
	for (unsigned i = VERDICT_LEAK; i <= VERDICT_KINDS; i++) {
		unsigned kind = i % VERDICT_KINDS; /* unknown last */
		if (!of[kind])
			continue;
		emit_count(n, of[kind]);
		fprintf(page->out, "%s%s %s", between, n, verdict_name((enum verdict_kind)kind));
		between = ", ";
	}
	emit_count(n, grew);
	if (of[VERDICT_UNKNOWN])
		fprintf(page->out, " (%s of these grew)", n);
	fputc('\n', page->out);
}

/* Which windows they were. */
static void observed(const struct page *page)
{
	const struct leaks *l = page->judged;
	char time[32], least[32], most[32];
	emit_duration(time, l->observed_ns);
	text_label(page, "observed");
	fprintf(page->out, "%s in %zu windows%s", time, l->windows, l->from_history ? " of its own history" : "");
	if (l->by_steps) {
		fprintf(page->out, ", each a step%s of its work", l->from_history ? ", or some," : "");
	} else if (l->from_history) {
		emit_duration(least, l->window_least_ns);
		emit_duration(most, l->window_most_ns);
		fprintf(page->out, ", of %s to %s", least, most);
	}
	fprintf(page->out, "%s\n", l->windows < VERDICT_WINDOWS ? ": too few for verdicts, it takes 8" : "");
}

static bool has_leak(const struct leaks *l)
{
	return l->count && l->rows[0].verdict.kind == VERDICT_LEAK; /* worst first */
}

/* What grew is the JVM's own: that comes first, since nothing below is the answer. */
static void not_native(const struct page *page)
{
	const struct leaks *l = page->judged;
	const struct leaks_area *a = &l->areas[l->not_native];
	char grew[40], native[40], begin[32], end[32];
	int64_t change = leaks_area_change(l, l->not_native);
	signed_bytes(grew, change);
	signed_bytes(native, l->native_change);
	text_begin(page, "1");
	fprintf(page->out, "%s: %s. %s %s, live native memory %s\n",
	        has_leak(l) ? "MOST OF IT IS NOT NATIVE" : "NOT A NATIVE LEAK", managed_id(l->not_native), grew,
	        managed_name(l->not_native), native);
	text_end(page);
	text_label(page, managed_id(l->not_native));
	emit_bytes(begin, a->rss_begin);
	emit_bytes(end, a->rss_end);
	if (l->has_areas_rss)
		fprintf(page->out, "%s to %s resident, by smaps of what the JVM mapped for it\n", begin, end);
	else
		fprintf(page->out, "what the JVM committed for it; how much of that is resident is not known\n");
}

static void head(const struct page *page, uint32_t listed, int64_t change)
{
	const struct leaks *l = page->judged;
	char sight[32];
	fputc('\n', page->out);
	if (l->not_native != MANAGED_NONE)
		not_native(page);
	share(page, listed, change);
	limit(page);
	observed(page);
	if (l->sight_per_hour >= 0) {
		emit_bytes(sight, (uint64_t)l->sight_per_hour);
		text_label(page, "sight");
		fprintf(page->out, "a steady leak of %s per hour or more would have been called one,\n", sight);
		text_label(page, "");
		fprintf(page->out, "in nine of ten %s; smaller ones take a longer look\n", things(page, 2));
	}
	tally(page);
}

/* ---- rows ---- */

static void live_line(const struct page *page, const struct leaks_row *row)
{
	char bytes[32], blocks[32], oldest[32], change[40], stacks[32];
	emit_bytes(bytes, row->counts.live_bytes);
	emit_count(blocks, row->counts.live_blocks);
	fprintf(page->out, "%*s%-8s %s in %s %s blocks", INDENT, "", "live", bytes, blocks, profile_kind_name(row->kind));
	if (row->oldest_ns) {
		emit_duration(oldest, row->oldest_ns);
		fprintf(page->out, ", oldest %s", oldest);
	}
	if (row->verdict.windows < VERDICT_WINDOWS)
		fprintf(page->out, ", %s since the first window", signed_bytes(change, row->change_bytes));
	emit_count(stacks, row->stacks);
	if (row->label)
		fprintf(page->out, ", %s %s\n", stacks, row->stacks == 1 ? "stack" : "stacks");
	else
		fprintf(page->out, "   %016" PRIx64 "\n", row->stack->id);
}

static void print_row(const struct page *page, const struct leaks_row *row, uint32_t number)
{
	fputc('\n', page->out);
	text_begin(page, row->verdict.kind == VERDICT_LEAK ? "1" : "0");
	emit_verdict(&row->verdict, number, INDENT, page->out);
	text_end(page);
	live_line(page, row);
	if (row->label) {
		fprintf(page->out, "%*s%-8s ", INDENT, "", "where");
		emit_text_cut(page->out, row->label, page->columns - INDENT - 9);
		fputc('\n', page->out);
	} else {
		text_frames(page, row->stack);
	}
}

void text_leaks(const struct page *page)
{
	const struct leaks *l = page->judged;
	int64_t change;
	uint32_t listed = emit_leaks_listed(page->options, l, &change), n = 0, all = 0;
	head(page, listed, change);
	for (size_t i = 0; i < l->count; i++) {
		if (!emit_leaks_lists(page->options, &l->rows[i]))
			continue;
		all++;
		if (n < listed)
			print_row(page, &l->rows[i], ++n);
	}
	if (n < all)
		fprintf(page->out, "\n%*s… %u more: -n 0 lists all\n", INDENT, "", all - n);
	if (all == 0 && !page->options->verdicts)
		fprintf(page->out, "\nnothing grew that could be told from what comes and goes; -n 0 lists all the same\n");
	else if (all == 0)
		fprintf(page->out, "\nno %s has such a verdict\n", things(page, 1));
}
