/*
 * findings: see findings.h. Order: leaks; those that the policy allows go; those that suppressions cover are kept, and do not
 * count; then bounds, demands, the baseline. The worst stand first, equal ones by name, so that two runs of one program read
 * the same.
 */
#include "gate/findings.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "die.h"
#include "emit/emit_text.h"
#include "emit/verdict_text.h"
#include "gate/finding.h"
#include "gate/identity.h"
#include "gate/settle.h"

#define NO_GROWTH "no stack may grow"
#define ROUNDING 1e-4 /* steps went through whole nanoseconds on their way, and windows may be as short as 10 us */

struct making {
	const struct findings_input *in;
	struct gate_result *r;
	struct profile *pool;
	size_t room, held_room, note_room;
	bool is_unresolved;
};

/* ---- words and tables ---- */

static const char *words(struct making *m, const char *format, ...) __attribute__((format(printf, 2, 3)));

static const char *words(struct making *m, const char *format, ...)
{
	char text[1024];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	return profile_string(m->pool, text);
}

/* The pool's arrays do not grow: a larger one takes the place, and the old one stays in the pool. */
static void *grown(struct making *m, void *old, size_t count, size_t *room, size_t bytes)
{
	if (count < *room)
		return old;
	*room = *room ? 2 * *room : 16;
	void *more = profile_alloc(m->pool, *room, bytes);
	if (count)
		memcpy(more, old, count * bytes);
	return more;
}

static struct gate_finding *add(struct making *m, const struct gate_finding *finding)
{
	struct gate_result *r = m->r;
	r->findings = grown(m, r->findings, r->finding_count, &m->room, sizeof *r->findings);
	r->findings[r->finding_count] = *finding;
	return &r->findings[r->finding_count++];
}

static void hold(struct making *m, const char *rule)
{
	struct gate_result *r = m->r;
	r->rules_held = grown(m, r->rules_held, r->rules_held_count, &m->held_room, sizeof *r->rules_held);
	r->rules_held[r->rules_held_count++] = rule;
}

static void note(struct making *m, const struct suppression *row, enum gate_trouble trouble)
{
	struct gate_result *r = m->r;
	r->notes = grown(m, r->notes, r->note_count, &m->note_room, sizeof *r->notes);
	r->notes[r->note_count++] = (struct gate_supp_note){row, trouble, row ? row->live_bytes : 0, row ? row->live_blocks : 0};
}

static const char *bytes_text(struct making *m, uint64_t bytes)
{
	char text[32];
	emit_bytes(text, bytes);
	return profile_string(m->pool, text);
}

/* ---- leaks ---- */

static void add_leak(struct making *m, const struct judge_case *c, const struct leaks_row *row)
{
	const struct verdict *v = &row->verdict;
	add(m, &(struct gate_finding){.rule = GATE_RULE_LEAK, .fails = true, .process = c->process, .stack = row->stack,
	                              .identity = identity_of(m->pool, c->process, row->stack), .verdict = v,
	                              .per_step = v->per_window * c->step_windows, .low = v->low * c->step_windows,
	                              .high = v->high * c->step_windows, .per_window = v->per_window,
	                              .change_bytes = row->change_bytes, .change_blocks = row->change_blocks,
	                              .live_bytes = row->counts.live_bytes, .live_blocks = row->counts.live_blocks,
	                              .reason = emit_verdict_why(v->why), .budget = NO_GROWTH});
}

static void find_leaks(struct making *m)
{
	const struct judge *j = m->in->judge;
	for (size_t i = 0; i < j->count; i++)
		for (size_t k = 0; j->cases[i].is_judged && k < j->cases[i].leaks.count; k++)
			if (j->cases[i].leaks.rows[k].verdict.kind == VERDICT_LEAK)
				add_leak(m, &j->cases[i], &j->cases[i].leaks.rows[k]);
}

static void find_scaled(struct making *m)
{
	const struct scale *s = m->in->scale;
	const struct baseline *left = &s->left[s->count - 1];
	for (size_t i = 0; i < left->count; i++) {
		const struct baseline_row *row = &left->rows[i], *first = baseline_find(&s->left[0], row->identity);
		struct scale_growth g = scale_growth_of(s, row->identity);
		if (!g.grows)
			continue;
		add(m, &(struct gate_finding){.rule = GATE_RULE_LEAK, .fails = true, .process = row->process, .stack = row->stack,
		                              .identity = profile_string(m->pool, row->identity), .per_step = g.bytes,
		                              .low = g.bytes, .high = g.bytes, .per_window = g.bytes,
		                              .change_bytes = (int64_t)(row->bytes - (first ? first->bytes : 0)),
		                              .change_blocks = (int64_t)(row->blocks - (first ? first->blocks : 0)),
		                              .live_bytes = row->bytes, .live_blocks = row->blocks,
		                              .reason = words(m, "is left at the end, and more of it with more work (%s)", s->name),
		                              .budget = NO_GROWTH});
	}
}

/* ---- what the policy allows to grow ---- */

/* Of all leaks that the line is about. */
static double growth_under(const struct making *m, const struct policy_line *line)
{
	double sum = 0;
	for (size_t i = 0; i < m->r->finding_count; i++) {
		const struct gate_finding *f = &m->r->findings[i];
		if (f->rule == GATE_RULE_LEAK && policy_is_about(line, f->process, f->stack))
			sum += f->per_step;
	}
	return sum;
}

/* The last line about it counts; those of stacks before those of modules, and of the total. */
static const struct policy_line *allowance_of(const struct making *m, const struct gate_finding *f)
{
	const struct policy *policy = m->in->policy;
	const struct policy_line *best = NULL;
	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_line *line = &policy->lines[i];
		bool closer = !best || line->of == best->of || line->of == POLICY_STACK || best->of == POLICY_TOTAL;
		if (line->what == POLICY_GROWTH && closer && policy_is_about(line, f->process, f->stack))
			best = line;
	}
	return best;
}

static void allow_growth(struct making *m)
{
	struct gate_result *r = m->r;
	bool *allowed = profile_alloc(m->pool, r->finding_count + 1, sizeof *allowed);
	size_t kept = 0;
	for (size_t i = 0; i < r->finding_count; i++) {
		struct gate_finding *f = &r->findings[i];
		const struct policy_line *line = allowance_of(m, f);
		if (line)
			f->budget = line->text;
		double grew = line ? line->of == POLICY_STACK ? f->per_step : growth_under(m, line) : 0;
		allowed[i] = line && grew <= line->limit * (1 + ROUNDING);
	}
	for (size_t i = 0; i < r->finding_count; i++)
		if (!allowed[i])
			r->findings[kept++] = r->findings[i];
	if (kept < r->finding_count)
		hold(m, words(m, "growth that the policy allows: %zu stacks", r->finding_count - kept));
	r->finding_count = kept;
}

/* ---- suppressions ---- */

static void cover(struct making *m, struct gate_finding *f, uint32_t today)
{
	struct suppressions *s = m->in->suppressions;
	struct suppression *row = suppressions_find(s, f->process, f->stack);
	if (!row) {
		if (suppressions_need_names(s, f->process, f->stack)) {
			m->is_unresolved = true;
			f->fails = false;
		}
		return;
	}
	suppressions_cover(row, &f->stack->counts);
	f->suppression = row;
	f->fails = suppressions_is_expired(row, today);
}

static void cover_all(struct making *m)
{
	uint32_t today = suppressions_today();
	for (size_t i = 0; i < m->r->finding_count; i++)
		if (m->r->findings[i].stack)
			cover(m, &m->r->findings[i], today);
	for (size_t i = 0; i < m->in->suppressions->count; i++) {
		const struct suppression *row = &m->in->suppressions->rows[i];
		bool is_ours = !suppressions_is_built_in(row);
		if (!row->stacks && is_ours)
			note(m, row, GATE_UNUSED);
		else if (row->stacks && suppressions_is_expired(row, today))
			note(m, row, GATE_EXPIRED);
		if (!row->stacks || !suppressions_is_exceeded(row))
			continue;
		note(m, row, GATE_EXCEEDED);
		add(m, &(struct gate_finding){.rule = GATE_RULE_SUPPRESSION, .fails = true, .label = words(m, "leak:%s", row->pattern),
		                              .identity = words(m, "suppression %s", row->pattern), .live_bytes = row->live_bytes,
		                              .live_blocks = row->live_blocks, .suppression = row,
		                              .reason = words(m, "covers %s in %" PRIu64 " blocks, more than it may",
		                                              bytes_text(m, row->live_bytes), row->live_blocks),
		                              .budget = words(m, "%s:%u", row->file, row->line)});
	}
	if (m->is_unresolved)
		note(m, NULL, GATE_UNRESOLVED);
}

/* ---- bounds ---- */

struct held_bytes {
	uint64_t bytes, blocks;
	const struct profile_process *process; /* of the largest of its stacks */
	const struct profile_stack *stack;
};

static void add_stack(struct held_bytes *h, const struct profile_process *process, const struct profile_stack *stack)
{
	h->bytes = profile_sum(h->bytes, stack->counts.live_bytes);
	h->blocks = profile_sum(h->blocks, stack->counts.live_blocks);
	if (h->stack && h->stack->counts.live_bytes >= stack->counts.live_bytes)
		return;
	h->process = process;
	h->stack = stack;
}

/* What all stacks hold that the line is about: malloc alone, in which other kinds lie. */
static struct held_bytes held_under(const struct making *m, const struct policy_line *line)
{
	const struct judge *j = m->in->judge;
	struct held_bytes h = {0};
	for (size_t i = 0; i < j->count; i++)
		for (uint32_t k = 0; j->cases[i].is_judged && k < j->cases[i].process->stack_count; k++) {
			const struct profile_stack *stack = &j->cases[i].process->stacks[k];
			if (stack->kind == MTRACE_KIND_MALLOC && policy_is_about(line, j->cases[i].process, stack))
				add_stack(&h, j->cases[i].process, stack);
		}
	return h;
}

static void break_bound(struct making *m, const struct policy_line *line, uint64_t is, const struct held_bytes *h)
{
	const char *what = line->what == POLICY_PEAK ? "the peak of live bytes" : "what is live at the end of the work";
	bool is_stack = line->of == POLICY_STACK;
	add(m, &(struct gate_finding){.rule = GATE_RULE_BUDGET, .fails = true, .process = is_stack ? h->process : NULL,
	                              .stack = is_stack ? h->stack : NULL,
	                              .label = is_stack ? NULL : line->of == POLICY_MODULE ? line->pattern : "total",
	                              .identity = words(m, "budget %s", line->text), .live_bytes = h->bytes, .live_blocks = h->blocks,
	                              .reason = words(m, "%s is %s, more than %s", what, bytes_text(m, is),
	                                              bytes_text(m, (uint64_t)line->limit)),
	                              .budget = line->text});
}

static void check_bound(struct making *m, const struct policy_line *line)
{
	struct held_bytes h = held_under(m, line);
	uint64_t is = line->what == POLICY_PEAK ? m->r->peak_bytes : h.bytes;
	if ((double)is > line->limit)
		break_bound(m, line, is, &h);
	else
		hold(m, line->text);
}

/* ---- demands ---- */

static void demand(struct making *m, const struct policy_line *line, bool holds, const char *reason)
{
	if (holds) {
		hold(m, line->text);
		return;
	}
	const char *what = line->of == POLICY_DROPS ? "drops" : "symbols";
	add(m, &(struct gate_finding){.rule = GATE_RULE_REQUIRE, .fails = true, .label = what,
	                              .identity = words(m, "require %s", what),
	                              .reason = reason, .budget = line->text});
}

static void check_policy(struct making *m)
{
	const struct policy *policy = m->in->policy;
	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_line *line = &policy->lines[i];
		if (line->of == POLICY_DROPS)
			demand(m, line, (double)m->r->drops <= line->limit,
			       words(m, "%" PRIu64 " events, or facts about them, were dropped", m->r->drops));
		else if (line->of == POLICY_SYMBOLS)
			demand(m, line, m->r->symbols_share * 100 >= line->limit,
			       words(m, "%.1f %% of the frames have a name", m->r->symbols_share * 100));
		else if (line->what == POLICY_LIVE || line->what == POLICY_PEAK)
			check_bound(m, line);
	}
}

/* ---- the baseline ---- */

static void grew(struct making *m, const struct baseline_row *row, const struct baseline_row *was, const char *budget)
{
	uint64_t bytes = was ? was->bytes : 0, blocks = was ? was->blocks : 0;
	const char *reason = was ? words(m, "holds %s; the baseline says %s", bytes_text(m, row->bytes), bytes_text(m, bytes))
	                         : words(m, "holds %s; the baseline does not have it", bytes_text(m, row->bytes));
	add(m, &(struct gate_finding){.rule = GATE_RULE_BASELINE, .fails = true, .process = row->process, .stack = row->stack,
	                              .label = row->stack ? NULL : "total", .identity = row->identity,
	                              .change_bytes = (int64_t)(row->bytes - bytes), .change_blocks = (int64_t)(row->blocks - blocks),
	                              .live_bytes = row->bytes, .live_blocks = row->blocks, .reason = reason, .budget = budget});
}

static void compare(struct making *m)
{
	const struct baseline *before = m->in->before, *now = m->in->now;
	const struct policy_line *line = policy_find(m->in->policy, POLICY_BASELINE, POLICY_AMOUNT);
	double per_cent = line ? line->limit : BASELINE_TOLERANCE;
	const char *budget = line ? line->text : "max baseline 2%";
	size_t found = m->r->finding_count;
	for (size_t i = 0; i < now->count; i++) {
		const struct baseline_row *row = &now->rows[i], *was = baseline_find(before, row->identity);
		bool notable = (double)row->bytes >= BASELINE_NOTABLE_SHARE * (double)now->bytes;
		if (notable && baseline_exceeds(row->bytes, was ? was->bytes : 0, per_cent))
			grew(m, row, was, budget);
	}
	if (baseline_exceeds(now->bytes, before->bytes, per_cent))
		grew(m, &(struct baseline_row){"total", now->blocks, now->bytes, NULL, NULL},
		     &(struct baseline_row){"total", before->blocks, before->bytes, NULL, NULL}, budget);
	if (found == m->r->finding_count)
		hold(m, words(m, "baseline: %s then, %s now", bytes_text(m, before->bytes), bytes_text(m, now->bytes)));
}

/* ---- a stack that must be gone ---- */

static bool is_the_one(const struct making *m, const struct profile_process *process, const struct profile_stack *stack)
{
	char id[32];
	snprintf(id, sizeof id, "%016" PRIx64, stack->id);
	return strcmp(id, m->in->gone.named) == 0 || strcmp(identity_of(m->pool, process, stack), m->in->gone.identity) == 0;
}

/* NULL, or why nothing can be said of it. */
static const char *expect_gone(struct making *m)
{
	const struct judge *j = m->in->judge;
	uint64_t ran = 0;
	bool grew_on = false, leaks = false;
	for (size_t i = 0; i < j->count; i++)
		for (size_t k = 0; j->cases[i].is_judged && k < j->cases[i].leaks.count; k++) {
			const struct leaks_row *row = &j->cases[i].leaks.rows[k];
			if (!is_the_one(m, j->cases[i].process, row->stack))
				continue;
			ran = profile_sum(ran, row->counts.alloc_blocks);
			leaks |= row->verdict.kind == VERDICT_LEAK;
			grew_on |= row->verdict.kind == VERDICT_UNKNOWN && row->change_blocks > 0 && row->verdict.z > 0;
		}
	if (!ran)
		return words(m, "%s did not run: nothing is proven", m->in->gone.named);
	if (leaks) {
		add(m, &(struct gate_finding){.rule = GATE_RULE_GONE, .fails = true, .label = m->in->gone.named,
		                              .identity = m->in->gone.identity, .reason = "it ran, and it leaks still",
		                              .budget = "--expect-gone"});
		return NULL;
	}
	if (grew_on)
		return words(m, "%s ran, and holds more and more, though no leak is certain: more work would tell",
		             m->in->gone.named);
	hold(m, words(m, "%s ran, and leaks no more", m->in->gone.named));
	return NULL;
}

/* ---- the run as a whole ---- */

static bool is_drop(const char *counter)
{
	return strncmp(counter, "drop_", 5) == 0 || strcmp(counter, "damaged_ids") == 0;
}

static void count_frames(const struct profile_process *process, uint64_t *named, uint64_t *all)
{
	for (uint32_t i = 0; i < process->stack_count; i++)
		for (uint32_t k = 0; process->stacks[i].counts.live_blocks && k < process->stacks[i].frame_count; k++) {
			const struct profile_frame *frame = &process->frames[process->stacks[i].frames[k]];
			*named += emit_function(frame, 0) != NULL;
			++*all;
		}
}

static void take_case(struct making *m, const struct judge_case *c, uint64_t *named, uint64_t *all)
{
	struct gate_result *r = m->r;
	r->processes_judged++;
	r->stacks_judged += c->leaks.count - c->unjudged;
	r->stacks_unjudged += c->unjudged;
	r->live_bytes = profile_sum(r->live_bytes, c->process->by_kind[MTRACE_KIND_MALLOC].live_bytes);
	r->live_blocks = profile_sum(r->live_blocks, c->process->by_kind[MTRACE_KIND_MALLOC].live_blocks);
	r->live_change += c->live_change;
	if (c->turned_over)
		hold(m, words(m, "%" PRIu64 " stack%s grew only as others of the same function shrank", c->turned_over,
		              c->turned_over == 1 ? "" : "s"));
	r->peak_bytes = c->peak_bytes > r->peak_bytes ? c->peak_bytes : r->peak_bytes;
	r->alloc_blocks = profile_sum(r->alloc_blocks, c->alloc_blocks);
	for (uint32_t i = 0; i < c->process->counter_count; i++)
		if (is_drop(c->process->counters[i].name))
			r->drops = profile_sum(r->drops, c->process->counters[i].value);
	count_frames(c->process, named, all);
}

/* What waits to be freed, whose it is, and how often that was looked at. */
static void take_settled(struct making *m)
{
	const struct judge *j = m->in->judge;
	const struct judge_case *most = NULL;
	uint64_t bytes = 0, stacks = 0;
	char subject[512];
	for (size_t i = 0; i < j->count; i++) {
		const struct judge_case *c = &j->cases[i];
		bytes = profile_sum(bytes, c->settled_bytes);
		stacks += c->settled_stacks;
		most = c->settled_most && (!most || c->settled_bytes > most->settled_bytes) ? c : most;
	}
	if (!j->settled)
		return;
	if (most) {
		finding_subject(&(struct gate_finding){.process = most->process, .stack = most->settled_most}, subject, sizeof subject);
		hold(m, words(m, "it settled %" PRIu64 " times, when %s of %" PRIu64 " stack%s were freed, which had waited; most: %s",
		              j->settled, bytes_text(m, bytes), stacks, stacks == 1 ? "" : "s", subject));
	} else {
		hold(m, words(m, "it settled %" PRIu64 " times, and nothing had waited for that", j->settled));
	}
	if (j->restless)
		hold(m, words(m, "and %" PRIu64 " times not within %d s", j->restless, SETTLE_SECONDS));
}

/* The process that the figures are of: the one that did most steps. */
static const struct judge_case *main_case(const struct judge *j)
{
	const struct judge_case *best = NULL;
	for (size_t i = 0; i < j->count; i++)
		if (j->cases[i].is_judged && !j->cases[i].by_time && (!best || j->cases[i].steps > best->steps))
			best = &j->cases[i];
	return best;
}

static void take_main(const struct making *m, const struct judge_case *c)
{
	struct gate_result *r = m->r;
	r->windows = c->windows;
	r->work_steps = c->steps;
	r->steady_from = c->steady_from > c->first_step ? c->steady_from : 0;
	r->warmup_steps = m->in->plan->warmup + c->warmup_found;
	r->warmup_found = c->warmup_found > 0;
	r->seconds = (double)c->work_ns / 1e9;
	r->has_sight = c->sight >= 0;
	r->sight_per_step = r->has_sight ? c->sight * c->step_windows : 0;
}

static void take_run(struct making *m)
{
	const struct judge *j = m->in->judge;
	struct gate_result *r = m->r;
	uint64_t named = 0, all = 0;
	const struct judge_case *c = main_case(j);
	r->unit = m->in->plan->unit;
	r->mark = m->in->plan->mark;
	r->steps_seen = j->steps_seen;
	r->processes = j->processes;
	for (size_t i = 0; i < j->count; i++)
		if (j->cases[i].is_judged)
			take_case(m, &j->cases[i], &named, &all);
	r->settles = m->in->plan->settle != NULL;
	take_settled(m);
	r->symbols_share = all ? (double)named / (double)all : 1;
	if (c && !m->in->scale)
		take_main(m, c);
}

static void take_scale(const struct making *m)
{
	const struct scale *s = m->in->scale;
	struct gate_result *r = m->r;
	r->mark = s->name;
	r->windows = s->count;
	r->work_steps = s->values[s->count - 1] - s->values[0];
	r->stacks_judged = s->left[s->count - 1].count;
	r->live_change = (int64_t)(s->left[s->count - 1].bytes - s->left[0].bytes);
}

/* ---- the outcome ---- */

static bool any_whole(const struct judge *j)
{
	for (size_t i = 0; i < j->count; i++)
		if (j->cases[i].is_judged && j->cases[i].is_whole)
			return true;
	return false;
}

static const char *why_no_windows(struct making *m)
{
	const struct gate_plan *plan = m->in->plan;
	uint64_t seen = m->r->steps_seen;
	if (m->in->judge->processes == 0)
		return "no process of the command was recorded";
	if (plan->unit == GATE_BY_MARK && seen == 0)
		return words(m, "no mark%s%s came: put mtrace_mark(\"…\") at the end of the loop's body; or --load, --every, --scale",
		             plan->mark ? " " : "", plan->mark ? plan->mark : "");
	if (seen < plan_steps(plan))
		return words(m, "%" PRIu64 " of %" PRIu64 " %s came: it ended early, or --phase asks for too many", seen,
		             plan_steps(plan),
		             plan->unit == GATE_BY_MARK ? "marks" : gate_unit_word(plan->unit, true));
	return words(m, "%" PRIu64 " windows are too few: a verdict takes %d", m->r->windows, VERDICT_WINDOWS);
}

/* Why what was seen is not all there was; NULL when it is. */
static const char *why_incomplete(struct making *m)
{
	const struct gate_result *r = m->r;
	if (m->in->trouble)
		return m->in->trouble;
	if (!m->in->scale && !any_whole(m->in->judge))
		return why_no_windows(m);
	if (r->alloc_blocks == 0)
		return m->in->scale ? "no allocation was seen" : "no allocation was seen while it worked";
	if (!m->in->scale && !r->has_sight)
		return "no leak of any size would have been seen: what is live goes up and down too much; more work would tell";
	return NULL;
}

static size_t failing(const struct gate_result *r)
{
	size_t count = 0;
	for (size_t i = 0; i < r->finding_count; i++)
		count += r->findings[i].fails;
	return count;
}

static const char *why_failed(struct making *m)
{
	size_t of[GATE_RULES] = {0}, rules = 0, which = 0;
	for (size_t i = 0; i < m->r->finding_count; i++)
		of[m->r->findings[i].rule] += m->r->findings[i].fails;
	for (size_t i = 0; i < GATE_RULES; i++) {
		rules += of[i] > 0;
		which = of[i] && !of[which] ? i : which;
	}
	size_t count = failing(m->r);
	if (rules == 1 && which == GATE_RULE_LEAK)
		return words(m, "%zu stack%s with the work that is done", count, count == 1 ? " grows" : "s grow");
	return words(m, "%zu finding%s%s", count, count == 1 ? "" : "s", rules > 1 ? ", of more than one rule" : "");
}

static void decide(struct making *m, const char *gone)
{
	struct gate_result *r = m->r;
	const char *incomplete = why_incomplete(m);
	if (incomplete || (gone && !failing(r))) {
		r->outcome = GATE_INCONCLUSIVE;
		r->reason = incomplete ? incomplete : gone;
	} else if (failing(r)) {
		r->outcome = GATE_FAIL;
		r->reason = why_failed(m);
	} else if (r->status > 0 && !r->stopped) {
		r->outcome = GATE_INCONCLUSIVE;
		r->reason = words(m, "nothing grows, but the command itself failed: exit status %d", r->status);
	} else if (m->is_unresolved) {
		r->outcome = GATE_INCONCLUSIVE;
		r->reason = "a stack that grows has no names, so that suppressions cannot be looked up: install symbols";
	} else {
		r->outcome = GATE_PASS;
		r->reason = "nothing grows with the work that is done";
	}
}

static int worst_first(const void *a, const void *b)
{
	const struct gate_finding *x = a, *y = b;
	if (x->fails != y->fails)
		return x->fails ? -1 : 1;
	if (x->rule != y->rule)
		return x->rule < y->rule ? -1 : 1;
	if (x->per_step > y->per_step || x->per_step < y->per_step)
		return x->per_step > y->per_step ? -1 : 1;
	if (x->change_bytes != y->change_bytes)
		return x->change_bytes > y->change_bytes ? -1 : 1;
	return strcmp(x->identity, y->identity);
}

void findings_make(const struct findings_input *in, struct gate_result *r, struct profile *pool)
{
	struct making m = {.in = in, .r = r, .pool = pool};
	const char *gone = NULL;
	take_run(&m);
	if (in->scale)
		take_scale(&m);
	if (in->scale)
		find_scaled(&m);
	else
		find_leaks(&m);
	allow_growth(&m);
	if (r->finding_count == 0)
		hold(&m, NO_GROWTH);
	check_policy(&m);
	if (in->before)
		compare(&m);
	if (in->gone.named)
		gone = expect_gone(&m);
	cover_all(&m);
	if (r->finding_count)
		qsort(r->findings, r->finding_count, sizeof *r->findings, worst_first);
	decide(&m, gone);
}
