/* page: see page.h. */
#include "gate/page.h"

#include <inttypes.h>
#include <string.h>

#include "emit/emit_text.h"
#include "gate/suppressions.h"

enum { COLUMNS = 100, INDENT = 5 };

static const char *outcome_word(enum gate_outcome outcome)
{
	return outcome == GATE_PASS ? "PASS" : outcome == GATE_FAIL ? "FAIL" : "INCONCLUSIVE";
}

void page_bytes(char out[48], double bytes, bool sign)
{
	double size = bytes < 0 ? -bytes : bytes;
	const char *before = bytes < 0 ? "-" : sign ? "+" : "";
	char text[32];
	if (size > 0 && size < 10) {
		snprintf(out, 48, "%s%.2g B", before, size);
		return;
	}
	emit_bytes(text, size < 1e18 ? (uint64_t)(size + 0.5) : (uint64_t)1e18);
	snprintf(out, 48, "%s%s", before, text);
}

static void label(FILE *out, const char *name)
{
	fprintf(out, "  %-9s ", name);
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/* ---- the head ---- */

static void windows_line(const struct gate_result *r, FILE *out)
{
	char windows[32], steps[32], warmup[32], steady[32];
	emit_count(windows, r->windows);
	emit_count(steps, r->work_steps);
	emit_count(warmup, r->warmup_steps);
	emit_count(steady, r->steady_from);
	label(out, "work");
	if (r->unit == GATE_BY_SCALE) {
		fprintf(out, "%s runs, with %s %s more in the last than in the first\n", windows, steps, r->mark ? r->mark : "N");
		return;
	}
	fprintf(out, "%s %s in %s windows", steps, gate_unit_word(r->unit, r->work_steps != 1), windows);
	if (r->mark)
		fprintf(out, ", each ends at a mark \"%s\"", r->mark);
	fputc('\n', out);
	label(out, "warm-up");
	fprintf(out, "%s left out%s; ", warmup, r->warmup_found ? ", being not steady yet" : r->warmup_steps ? ", as asked" : "");
	if (r->steady_from)
		fprintf(out, "steady only from %s on: ask for a longer warm-up\n", steady);
	else
		fprintf(out, "steady from then on\n");
}

/* Rounded up: what is printed would have been seen. */
static void sight_line(const struct gate_result *r, FILE *out)
{
	char bytes[48], steps[32];
	double sight = r->sight_per_step;
	emit_count(steps, r->work_steps);
	label(out, "sight");
	if (r->unit == GATE_BY_SCALE) {
		fprintf(out, "would have caught one block, or one byte of a block that grows, for each unit of %s\n",
		        r->mark ? r->mark : "N");
	} else if (!r->has_sight) {
		fprintf(out, "no leak of any size would have been called one\n");
	} else {
		if (sight >= 10 && (double)(uint64_t)sight < sight)
			sight = (double)(uint64_t)sight + 1;
		else if (sight < 10)
			sight = sight * 1.05;
		page_bytes(bytes, sight, false);
		fprintf(out, "would have caught >= %s per %s over %s %s, in nine of ten stacks\n", bytes, gate_unit_word(r->unit, false),
		        steps, gate_unit_word(r->unit, true));
	}
}

static void total_line(const struct gate_result *r, FILE *out)
{
	char live[32], blocks[32], change[48], peak[32], drops[32];
	emit_bytes(live, r->live_bytes);
	emit_count(blocks, r->live_blocks);
	page_bytes(change, (double)r->live_change, true);
	emit_bytes(peak, r->peak_bytes);
	emit_count(drops, r->drops);
	label(out, "total");
	fprintf(out, "%s live in %s blocks, %s over the work; peak %s; %s drop%s; %.0f %% of frames named\n", live, blocks,
	        change, peak, drops, plural(r->drops), r->symbols_share * 100);
	label(out, "judged");
	fprintf(out, "%" PRIu64 " stack%s of %" PRIu64 " of %" PRIu64 " process%s", r->stacks_judged, plural(r->stacks_judged),
	        r->processes_judged, r->processes, r->processes == 1 ? "" : "es");
	if (r->stacks_unjudged)
		fprintf(out, "; %" PRIu64 " not: mappings and threads at marks, or no history", r->stacks_unjudged);
	fputc('\n', out);
}

static void command_line(const struct gate_result *r, FILE *out)
{
	label(out, "command");
	emit_text_cut(out, r->command, COLUMNS - 12);
	if (r->stopped)
		fprintf(out, "  (stopped by the gate)");
	else if (r->status > 128)
		fprintf(out, "  (ended by signal %d)", r->status - 128);
	else if (r->status > 0)
		fprintf(out, "  (exit status %d)", r->status);
	fputc('\n', out);
}

static void head(const struct gate_result *r, const struct page_options *o, FILE *out)
{
	if (o->color)
		fputs(r->outcome == GATE_PASS ? "\x1b[1;32m" : "\x1b[1;31m", out);
	fprintf(out, "%s", outcome_word(r->outcome));
	if (o->color)
		fputs("\x1b[0m", out);
	fprintf(out, "  %s\n", r->reason);
	command_line(r, out);
	if (r->windows || r->unit == GATE_BY_SCALE)
		windows_line(r, out);
	sight_line(r, out);
	total_line(r, out);
	for (size_t i = 0; i < r->rules_held_count; i++) {
		label(out, i ? "" : "held");
		fprintf(out, "%s\n", r->rules_held[i]);
	}
}

/* ---- findings ---- */

static void frames(const struct gate_finding *f, const struct page_options *o, FILE *out)
{
	struct emit_options options = {.full = o->full, .color = o->color, .columns = o->columns};
	struct page page = {.out = out, .options = &options, .process = f->process, .columns = o->columns ? o->columns : COLUMNS};
	text_frames(&page, f->stack);
}

static void line(FILE *out, const char *name)
{
	fprintf(out, "%*s%-8s ", INDENT, "", name);
}

static void slope_line(const struct gate_result *r, const struct gate_finding *f, FILE *out)
{
	char slope[48], low[48], high[48], change[48], blocks[32];
	page_bytes(slope, f->per_step, true);
	page_bytes(low, f->low, true);
	page_bytes(high, f->high, true);
	page_bytes(change, (double)f->change_bytes, true);
	emit_count(blocks, (uint64_t)(f->change_blocks < 0 ? -f->change_blocks : f->change_blocks));
	fprintf(out, "%s per %s", slope, gate_unit_word(r->unit, false));
	if (f->low < f->high)
		fprintf(out, " (%s to %s)", low, high);
	fprintf(out, ", %s in %s%s blocks in all\n", change, f->change_blocks < 0 ? "-" : "", blocks);
}

static void title_line(const struct gate_result *r, const struct gate_finding *f, FILE *out)
{
	char change[48], live[32], blocks[32];
	if (f->rule == GATE_RULE_LEAK) {
		slope_line(r, f, out);
		return;
	}
	if (f->label)
		fprintf(out, "%s", f->label);
	if (f->rule == GATE_RULE_BASELINE) {
		page_bytes(change, (double)f->change_bytes, true);
		fprintf(out, "%s%s in %+" PRId64 " blocks", f->label ? "  " : "", change, f->change_blocks);
	} else if (f->rule == GATE_RULE_BUDGET) {
		emit_bytes(live, f->live_bytes);
		emit_count(blocks, f->live_blocks);
		fprintf(out, "%s%s live in %s blocks", f->label ? "  " : "", live, blocks);
	}
	fputc('\n', out);
}

/* The lines that would accept it. */
static void advice(const struct gate_finding *f, FILE *out)
{
	struct suppression_names names;
	if (!suppressions_name(f->process, f->stack, &names))
		return;
	line(out, "accept");
	fprintf(out, "with these two lines in a file for --suppressions, and a reason:\n");
	suppressions_write(out, &names, &f->stack->counts, 0);
}

static void finding(const struct gate_result *r, const struct gate_finding *f, const struct page_options *o, unsigned number,
                    FILE *out)
{
	fprintf(out, "\n%3u  %s  ", number, f->fails ? gate_rule_word(f->rule) : "accepted");
	title_line(r, f, out);
	line(out, "why");
	fprintf(out, "%s\n", f->reason);
	if (f->budget) {
		line(out, "rule");
		fprintf(out, "%s\n", f->budget);
	}
	if (f->suppression) {
		line(out, "accepted");
		fprintf(out, "%s:%u leak:%s%s%s\n", f->suppression->file, f->suppression->line, f->suppression->pattern,
		        f->suppression->reason ? ": " : "", f->suppression->reason ? f->suppression->reason : "");
	}
	if (f->stack)
		frames(f, o, out);
	if (f->fails && f->rule == GATE_RULE_LEAK)
		advice(f, out);
}

static void notes(const struct gate_result *r, FILE *out)
{
	static const char *const words[GATE_TROUBLES] = {
		[GATE_UNUSED] = "was not needed: remove it, or `mtrace supp lint`",
		[GATE_EXPIRED] = "has expired: its stacks count again",
		[GATE_EXCEEDED] = "covers more than it may",
		[GATE_UNRESOLVED] = "a suppression may cover a stack that has no names here"};
	for (size_t i = 0; i < r->note_count; i++) {
		const struct gate_supp_note *n = &r->notes[i];
		label(out, i ? "" : "accepted");
		if (n->suppression)
			fprintf(out, "%s:%u leak:%s ", n->suppression->file, n->suppression->line, n->suppression->pattern);
		fprintf(out, "%s\n", words[n->trouble]);
	}
}

static void cache_advice(const struct gate_result *r, FILE *out)
{
	bool any = false;
	for (size_t i = 0; i < r->finding_count; i++)
		any |= r->findings[i].fails && r->findings[i].rule == GATE_RULE_LEAK;
	if (!any)
		return;
	fprintf(out, "\nif it is a cache that fills: give it more work than its bound (--phase work:%" PRIu64 "), or let it grow\n"
	             "by a line in the file of --policy, max stack FUNCTION growth SIZE; or accept it by name (--suppressions)\n",
	        r->work_steps * 4);
}

/* What a collector has not come to yet looks as a leak does, until it comes. */
static void collector_advice(const struct gate_result *r, FILE *out)
{
	static const char *const how[GATE_UNITS] = {
		[GATE_BY_MARK] = "let it come before each mark (System.gc()); or --load and --settle",
		[GATE_BY_TIME] = "--settle 'mtrace jvm $PID gc' lets it come before each window ends",
		[GATE_BY_LOAD] = "--settle 'mtrace jvm $PID gc' lets it come before each window ends",
		[GATE_BY_SCALE] = "let it come before the end (System.gc())"};
	bool any = false;
	for (size_t i = 0; i < r->finding_count && !r->settles; i++) {
		const struct gate_finding *f = &r->findings[i];
		any |= f->fails && f->rule == GATE_RULE_LEAK && f->process && profile_has_jvm(f->process);
	}
	if (any)
		fprintf(out, "\nif it waits for Java's collector: %s\n", how[r->unit]);
}

void page_write(const struct gate_result *r, const struct page_options *o, FILE *out)
{
	unsigned number = 0;
	head(r, o, out);
	notes(r, out);
	for (size_t i = 0; i < r->finding_count && (!o->limit || number < o->limit); i++)
		finding(r, &r->findings[i], o, ++number, out);
	if (number < r->finding_count)
		fprintf(out, "\n     … %zu more: -n 0 shows all\n", r->finding_count - number);
	cache_advice(r, out);
	collector_advice(r, out);
	if (r->recording)
		fprintf(out, "\nnext   mtrace leaks %s\n", r->recording);
}
