/*
 * json: the report document, schema 1 (design section 9; fields may be added, never changed). Integers are bytes and
 * counts. Stacks are written one by one, and a frame is encoded once however many stacks it is in: a million stacks
 * do not become a million trees in memory.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "die.h"
#include "emit/emit_text.h"
#include "emit/events.h"
#include "emit/lifetimes.h"
#include "emit/verdict_text.h"
#include "model/direct.h"
#include "model/exhaustion.h"
#include "model/leaks.h"

static json_t *must(json_t *j)
{
	if (!j)
		die(2, "out of memory");
	return j;
}

/* JSON integers are signed here; only a damaged file can hold more. */
static json_t *number(uint64_t n)
{
	return must(json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n));
}

static json_t *string(const char *s)
{
	json_t *j = json_string(s ? s : "");
	return j ? j : must(json_string("?")); /* only if somebody put text in that is not UTF-8 */
}

static void set(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value) != 0)
		die(2, "out of memory");
}

static void set_number(json_t *object, const char *key, uint64_t value)
{
	set(object, key, number(value));
}

static void append(json_t *array, json_t *value)
{
	if (json_array_append_new(array, value) != 0)
		die(2, "out of memory");
}

static void dump(json_t *j, FILE *out)
{
	json_dumpf(j, out, JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(j);
}

/* ---- parts of a process ---- */

static json_t *end(const struct profile_process *p)
{
	json_t *o = must(json_object());
	set(o, "reason", string(profile_end_name(p->end)));
	set(o, "status", must(json_integer(p->end_status)));
	set(o, "in_tracker", json_boolean(p->in_tracker));
	return o;
}

static json_t *totals(const struct profile_process *p)
{
	json_t *o = must(json_object());
	set_number(o, "alloc_blocks", p->totals.alloc_blocks);
	set_number(o, "alloc_bytes", p->totals.alloc_bytes);
	set_number(o, "freed_blocks", p->totals.freed_blocks);
	set_number(o, "freed_bytes", p->totals.freed_bytes);
	set_number(o, "live_blocks", p->totals.live_blocks);
	set_number(o, "live_bytes", p->totals.live_bytes);
	set_number(o, "peak_live_bytes", p->peak_live_bytes);
	return o;
}

/* malloc stands in totals; every other kind that was seen, here. */
static json_t *by_kind(const struct profile_process *p)
{
	json_t *o = must(json_object());
	for (unsigned kind = MTRACE_KIND_MALLOC + 1; kind < MTRACE_KIND_COUNT; kind++) {
		const struct profile_counts *c = &p->by_kind[kind];
		if (c->alloc_blocks == 0 && c->live_blocks == 0)
			continue;
		json_t *k = must(json_object());
		set_number(k, "live_blocks", c->live_blocks);
		set_number(k, "live_bytes", c->live_bytes);
		set_number(k, "alloc_blocks", c->alloc_blocks);
		set_number(k, "alloc_bytes", c->alloc_bytes);
		set(o, profile_kind_name((enum mtrace_kind)kind), k);
	}
	return o;
}

/* drops: those that happened, by reason; counters: all of them under their own names. */
static json_t *trust(const struct profile_process *p)
{
	json_t *o = must(json_object()), *drops = must(json_object()), *all = must(json_object());
	for (uint32_t i = 0; i < p->counter_count; i++) {
		const struct profile_counter *c = &p->counters[i];
		if (strncmp(c->name, "drop_", 5) == 0 && c->value)
			set_number(drops, c->name + 5, c->value);
		set_number(all, c->name, c->value);
	}
	set_number(o, "unknown_frees", profile_counter_of(p, "unknown_frees"));
	set_number(o, "implicit_frees", profile_counter_of(p, "implicit_frees"));
	set_number(o, "inherited_frees", profile_counter_of(p, "inherited_frees"));
	set_number(o, "truncated_stacks", profile_counter_of(p, "truncated_stacks"));
	set_number(o, "unsettled_stacks", p->unsettled_stacks);
	set(o, "drops", drops);
	set_number(o, "tracker_bytes", p->tracker_bytes);
	set_number(o, "tracker_private_bytes", p->tracker_private_bytes);
	set(o, "counters", all);
	set_number(o, "damaged_records", p->skipped);
	set(o, "poisoned", json_boolean(p->poisoned));
	if (profile_has_jvm(p))
		set(o, "jni_counted", json_boolean(p->jni));
	if (p->note)
		set(o, "note", string(p->note));
	return o;
}

static json_t *ledger(const struct profile_process *p)
{
	json_t *o = must(json_object()), *rows = must(json_array());
	for (uint32_t i = 0; i < p->ledger_count; i++) {
		json_t *row = must(json_object());
		set(row, "owner", string(p->ledger[i].owner));
		set(row, "label", string(p->ledger[i].label));
		set_number(row, "bytes", p->ledger[i].bytes);
		set(row, "measured_by", string(p->ledger[i].measured_by));
		append(rows, row);
	}
	set_number(o, "rss_bytes", p->rss_bytes);
	set(o, "rows", rows);
	return o;
}

static json_t *marks(const struct profile_process *p)
{
	json_t *array = must(json_array());
	for (uint32_t i = 0; i < p->mark_count; i++) {
		json_t *mark = must(json_object());
		set(mark, "name", string(p->marks[i].name));
		set_number(mark, "time_ns", p->marks[i].time_ns);
		append(array, mark);
	}
	return array;
}

/* What was written to the ring, and what of it is not in events. */
static json_t *ring(const struct profile_process *p)
{
	json_t *o = must(json_object());
	uint64_t kept = profile_sum(p->events_overwritten, p->event_count);
	set_number(o, "written", p->events_written);
	set_number(o, "kept", p->event_count);
	set_number(o, "overwritten", p->events_overwritten);
	set_number(o, "unfinished", p->events_written > kept ? p->events_written - kept : 0);
	set_number(o, "held_back", profile_counter_of(p, "ring_held_back"));
	return o;
}

/* The last ones, as many as rows are asked for. */
static void events(const struct profile_process *p, const struct emit_options *o, FILE *out)
{
	uint32_t first = o->limit && o->limit < p->event_count ? p->event_count - o->limit : 0;
	fprintf(out, ",\n\"events\":[");
	for (uint32_t i = first; i < p->event_count; i++) {
		fputs(i > first ? ",\n" : "\n", out);
		dump(emit_event_json(p, &p->events[i], false), out);
	}
	fputs("]", out);
}

static json_t *threads(const struct profile_process *p)
{
	json_t *array = must(json_array());
	for (uint32_t i = 0; i < p->thread_count; i++) {
		json_t *thread = must(json_object());
		set_number(thread, "tid", p->threads[i].tid);
		set(thread, "name", string(p->threads[i].name));
		set(thread, "ended", json_boolean(p->threads[i].ended));
		append(array, thread);
	}
	return array;
}

static json_t *creators(const struct profile_process *p, const struct profile_exhaustion *x)
{
	json_t *array = must(json_array());
	struct exhaustion_threads *groups;
	uint32_t all;
	size_t count = exhaustion_threads(p, x, &groups, &all);
	for (size_t i = 0; i < count; i++) {
		char id[20];
		json_t *o = must(json_object());
		snprintf(id, sizeof id, "%016" PRIx64, groups[i].stack < p->stack_count ? p->stacks[groups[i].stack].id : 0);
		set(o, "stack", groups[i].stack < p->stack_count ? string(id) : must(json_null()));
		set_number(o, "threads", groups[i].threads);
		append(array, o);
	}
	free(groups);
	return array;
}

static json_t *classes(const struct profile_process *p, uint32_t exhaustion)
{
	json_t *array = must(json_array());
	for (uint32_t i = 0; i < p->class_count; i++) {
		if (p->classes[i].exhaustion != exhaustion)
			continue;
		json_t *o = must(json_object());
		set(o, "class", string(p->classes[i].name));
		set_number(o, "objects", p->classes[i].objects);
		set_number(o, "bytes", p->classes[i].bytes);
		append(array, o);
	}
	return array;
}

static json_t *heap_of(const struct profile_process *p, uint32_t exhaustion)
{
	const struct profile_exhaustion *x = &p->exhaustions[exhaustion];
	json_t *o = must(json_object());
	set_number(o, "objects", x->objects);
	set_number(o, "bytes", x->bytes);
	set_number(o, "pause_ns", x->pause_ns);
	set(o, "whole", json_boolean(x->histogram == MTRACE_HISTOGRAM_WHOLE));
	set(o, "classes", classes(p, exhaustion));
	return o;
}

static const char *what_of(const struct profile_exhaustion *x)
{
	if (x->what & MTRACE_EXHAUSTED_HEAP)
		return "java-heap";
	return x->what & MTRACE_EXHAUSTED_THREADS ? "threads" : "other";
}

/* When a JVM ran out of something, before it threw its error. */
static json_t *exhaustions(const struct profile_process *p)
{
	json_t *array = must(json_array());
	for (uint32_t i = 0; i < p->exhaustion_count; i++) {
		const struct profile_exhaustion *x = &p->exhaustions[i];
		json_t *o = must(json_object());
		set(o, "what", string(what_of(x)));
		set(o, "text", string(x->text));
		set_number(o, "time_ns", x->time_ns);
		set_number(o, "tid", x->thread < p->thread_count ? p->threads[x->thread].tid : 0);
		set(o, "threads_by_stack", creators(p, x));
		if (x->histogram)
			set(o, "heap", heap_of(p, i));
		append(array, o);
	}
	return array;
}

static json_t *arguments(const struct profile_process *p)
{
	json_t *array = must(json_array());
	for (uint32_t i = 0; i < p->arg_count; i++)
		append(array, string(p->args[i]));
	return array;
}

/* ---- stacks ---- */

static json_t *frame_name(const struct profile_process *p, const struct profile_frame *f, uint32_t i)
{
	const struct profile_name *name = i < f->name_count ? &f->names[i] : NULL;
	bool is_place = f->kind == MTRACE_FRAME_NATIVE || f->kind == MTRACE_FRAME_ABSOLUTE;
	json_t *o = must(json_object());
	set(o, "function", string(emit_function(f, i)));
	set(o, "module", string(emit_module_path(p, f)));
	set_number(o, "offset", is_place ? f->value : 0);
	set(o, "file", string(name ? name->file : NULL));
	set_number(o, "line", name ? name->line : 0);
	set(o, "language", string(emit_language(f)));
	if (name && name->signature)
		set(o, "signature", string(name->signature));
	if (name && name->inlined)
		set(o, "inlined", json_true());
	return o;
}

json_t *emit_json_frames(const struct profile_process *p, const struct profile_stack *stack)
{
	json_t *array = must(json_array());
	for (uint32_t f = 0; f < stack->frame_count; f++)
		for (uint32_t i = 0; i < emit_names_of(&p->frames[stack->frames[f]]); i++)
			append(array, frame_name(p, &p->frames[stack->frames[f]], i));
	return array;
}

/* The text of one frame, all its names, without brackets: made once, then copied into every stack. */
static const char *frame_text(const struct profile_process *p, uint32_t index, char **texts)
{
	if (texts[index])
		return texts[index];
	const struct profile_frame *f = &p->frames[index];
	json_t *array = must(json_array());
	for (uint32_t i = 0; i < emit_names_of(f); i++)
		append(array, frame_name(p, f, i));
	char *text = json_dumps(array, JSON_COMPACT);
	json_decref(array);
	if (!text)
		die(2, "out of memory");
	size_t n = strlen(text);
	memmove(text, text + 1, n - 2);
	text[n - 2] = '\0';
	return texts[index] = text;
}

/* What the verdict says beside its word, and what it was found from. */
static void judgement(const struct leaks_row *row, FILE *out)
{
	fprintf(out, ",\"live_bytes_change\":%" PRId64 ",\"live_blocks_change\":%" PRId64 ",\"oldest_ns\":%" PRIu64
	        ",\"judged\":", row->change_bytes, row->change_blocks, row->oldest_ns);
	emit_verdict_json(&row->verdict, out);
}

static void stack(const struct profile_process *p, const struct profile_stack *s, const struct leaks_row *row, char **texts,
                  FILE *out)
{
	const struct profile_counts *c = &s->counts;
	fprintf(out, "{\"id\":\"%016" PRIx64 "\",\"kind\":\"%s\",\"live_blocks\":%" PRIu64 ",\"live_bytes\":%" PRIu64, s->id,
	        profile_kind_name(s->kind), c->live_blocks, c->live_bytes);
	fprintf(out, ",\"alloc_blocks\":%" PRIu64 ",\"alloc_bytes\":%" PRIu64, c->alloc_blocks, c->alloc_bytes);
	fprintf(out, ",\"freed_blocks\":%" PRIu64 ",\"freed_bytes\":%" PRIu64, c->freed_blocks, c->freed_bytes);
	fprintf(out, ",\"verdict\":\"%s\"", row ? verdict_name(row->verdict.kind) : "unknown");
	if (row)
		judgement(row, out);
	const struct direct_owner *owner = direct_owner_of(p, s);
	const char *area = managed_id(managed_of(p, s).area);
	if (owner || area)
		fprintf(out, ",\"owner\":\"%s\"", owner ? owner->id : area);
	fprintf(out, ",\"whole\":%s,\"frames\":[", s->marker ? "false" : "true");
	for (uint32_t i = 0; i < s->frame_count; i++)
		fprintf(out, "%s%s", i ? "," : "", frame_text(p, s->frames[i], texts));
	fputs("]}", out);
}

/* What is left of a range behind a hole has bytes, and its block may be elsewhere. */
static bool is_live(const struct profile_counts *c)
{
	return c->live_blocks || c->live_bytes;
}

/* With verdicts: worst first, those that were asked for; of leaks, what is live or was, since the first window. */
static uint32_t choose_judged(const struct emit_options *o, const struct leaks *l, const struct profile_stack **chosen)
{
	uint32_t n = 0;
	for (size_t i = 0; i < l->count; i++) {
		const struct leaks_row *row = &l->rows[i];
		bool is_listed = !o->verdicts || (o->verdicts >> row->verdict.kind & 1);
		if (is_listed && (!o->leaks || is_live(&row->counts) || row->change_blocks))
			chosen[n++] = row->stack;
	}
	return n;
}

static uint32_t choose(const struct profile_process *p, const struct emit_options *o, const struct profile_stack **chosen)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < p->stack_count; i++)
		if (!o->leaks || is_live(&p->stacks[i].counts))
			chosen[n++] = &p->stacks[i];
	if (o->allocated)
		qsort(chosen, n, sizeof *chosen, profile_by_allocated);
	return n;
}

/* `judged`: rows are stacks, or NULL. Stacks that are not listed are left out, like those beyond the limit. */
static void stacks(const struct profile_process *p, const struct emit_options *o, const struct leaks *judged, FILE *out)
{
	char **texts = calloc(p->frame_count + 1, sizeof *texts);
	const struct profile_stack **chosen = calloc(p->stack_count + 1, sizeof *chosen);
	if (!texts || !chosen)
		die(2, "out of memory");
	uint32_t all = choose(p, o, chosen), n = judged && o->leaks ? choose_judged(o, judged, chosen) : all;
	uint32_t shown = o->limit && o->limit < n ? o->limit : n, left_out = all > shown ? all - shown : n - shown;
	fprintf(out, ",\n\"stacks_left_out\":%u,\"stacks\":[", left_out);
	for (uint32_t i = 0; i < shown; i++) {
		fputs(i ? ",\n" : "\n", out);
		uint32_t index = (uint32_t)(chosen[i] - p->stacks);
		stack(p, chosen[i], judged ? &judged->rows[judged->row_of_stack[index]] : NULL, texts, out);
	}
	fputs("]", out);
	for (uint32_t i = 0; i < p->frame_count; i++)
		free(texts[i]);
	free(texts);
	free(chosen);
}

/* Of a JVM's own areas. */
static json_t *areas(const struct leaks *l)
{
	json_t *all = must(json_object());
	for (enum managed_area i = 0; i < MANAGED_AREAS; i++) {
		json_t *o = must(json_object());
		set(o, "committed_bytes_change", must(json_integer(l->areas[i].committed_change)));
		set(o, "records_bytes_change", must(json_integer(l->areas[i].records_change)));
		if (l->has_areas_rss) {
			set_number(o, "rss_bytes_begin", l->areas[i].rss_begin);
			set_number(o, "rss_bytes_end", l->areas[i].rss_end);
		}
		set(all, managed_id(i), o);
	}
	return all;
}

/* What all verdicts have in common: see mtrace-verdicts.7. Of stacks with verdict leak alone. */
static json_t *growth(const struct leaks *l)
{
	json_t *o = must(json_object());
	set_number(o, "windows", l->windows);
	set_number(o, "observed_ns", l->observed_ns);
	set(o, "by_steps", json_boolean(l->by_steps));
	set(o, "from_history", json_boolean(l->from_history));
	set_number(o, "rss_bytes_begin", l->rss_begin);
	set_number(o, "rss_bytes_end", l->rss_end);
	set_number(o, "rss_before_ns", l->rss_before_ns);
	set(o, "live_bytes_change", must(json_integer(l->live_change)));
	set(o, "native_bytes_change", must(json_integer(l->native_change)));
	if (l->has_areas)
		set(o, "areas", areas(l));
	if (l->not_native != MANAGED_NONE)
		set(o, "not_native", string(managed_id(l->not_native)));
	set(o, "tracker_bytes_change", must(json_integer(l->tracker_change)));
	set(o, "leak_bytes_per_hour", must(json_integer((json_int_t)l->leak_per_hour)));
	if (l->sight_per_hour >= 0)
		set(o, "sensitivity_bytes_per_hour", must(json_integer((json_int_t)l->sight_per_hour)));
	set_number(o, "limit_bytes", l->limit_bytes);
	if (leaks_time_to_limit(l))
		set_number(o, "limit_reached_in_ns", leaks_time_to_limit(l));
	return o;
}

static const char *mode(const struct profile_process *p)
{
	static const char *const names[] = {"exact", "sample", "off", "outside"};
	return names[p->mode];
}

static void field(FILE *out, const char *key, json_t *value)
{
	fprintf(out, ",\n\"%s\":", key);
	dump(value, out);
}

/* `judged`, `lifetimes`: of this process; NULL: none. */
static void process(const struct profile_process *p, const struct emit_options *o, const struct leaks *judged,
                    const struct lifetimes *lifetimes, FILE *out)
{
	fprintf(out, "{\"pid\":%u,\"image\":%u", p->pid, p->image);
	field(out, "exe", string(p->exe));
	field(out, "args", arguments(p));
	field(out, "cwd", string(p->cwd));
	field(out, "parent_pid", number(p->parent_pid));
	field(out, "forked", json_boolean(p->forked));
	field(out, "shim_version", string(p->shim_version));
	field(out, "started_ns", number(p->wall_start_ns));
	field(out, "lived_ns", number(p->lived_ns));
	field(out, "mode", string(mode(p)));
	field(out, "sample_bytes", number(p->sample_bytes));
	if (p->attached)
		field(out, "attached_ns", number(p->attached_ns));
	if (p->detached)
		field(out, "detached_ns", number(p->detached_ns));
	field(out, "end", end(p));
	field(out, "totals", totals(p));
	field(out, "by_kind", by_kind(p));
	field(out, "trust", trust(p));
	field(out, "ledger", ledger(p));
	field(out, "threads", threads(p));
	field(out, "marks", marks(p));
	if (p->exhaustion_count)
		field(out, "exhaustions", exhaustions(p));
	field(out, "ring", ring(p));
	if (judged)
		field(out, "growth", growth(judged));
	if (lifetimes)
		field(out, "lifetimes", emit_lifetimes_json(p, lifetimes, o));
	events(p, o, out);
	stacks(p, o, judged, out);
	fputs("}", out);
}

int emit_json(const struct profile *p, const struct emit_options *o, FILE *out)
{
	fprintf(out, "{\"schema\":1,\"version\":\"%s\",\"processes\":[", MTRACE_VERSION);
	for (uint32_t i = 0; i < p->process_count; i++) {
		fputs(i ? ",\n" : "\n", out);
		process(&p->processes[i], o, i == 0 ? o->judged : NULL, o->lifetimes ? o->lifetimes[i] : NULL, out);
	}
	fputs("]}\n", out);
	return ferror(out) ? -EIO : 0;
}
