/* emit events: see events.h. ring.def says what a kind's line is made of and what its fields are called. */
#include "emit/events.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "die.h"
#include "emit/emit_text.h"
#include "model/events.h"

enum { FRAMES_SHOWN = 3, KIND_COLUMNS = 16 };

static json_t *must(json_t *value)
{
	if (!value)
		die(2, "out of memory");
	return value;
}

/* ---- fields ---- */

static const struct profile_thread *thread_of(const struct profile_process *p, const struct profile_event *e)
{
	return e->thread < p->thread_count ? &p->threads[e->thread] : NULL;
}

static void put_frame(const struct profile_process *p, const struct profile_frame *frame, FILE *out)
{
	const struct profile_name *name = frame->name_count ? &frame->names[0] : NULL;
	char text[512];
	emit_frame_text(p, frame, 0, text, sizeof text);
	emit_text_cut(out, text, 60);
	if (name && name->file && name->line) {
		fputc(' ', out);
		emit_text_cut(out, emit_basename(name->file), 40);
		fprintf(out, ":%u", name->line);
	}
}

static bool is_runtime(const struct profile_process *p, const struct profile_frame *frame)
{
	return profile_is_runtime(emit_function(frame, 0), emit_module_path(p, frame));
}

/* From the site outwards: who did it, and who called that. Libraries' start-up code says nothing. */
static void put_stack(const struct profile_process *p, const struct profile_event *e, FILE *out)
{
	const struct profile_stack *stack = e->stack < p->stack_count ? &p->stacks[e->stack] : NULL;
	uint32_t site = stack ? profile_site(p, stack) : 0, shown = 0;
	if (!stack || !stack->frame_count) {
		fputs("(unknown)", out);
		return;
	}
	site = site < stack->frame_count ? site : 0;
	for (uint32_t i = site; i < stack->frame_count && shown < FRAMES_SHOWN; i++) {
		const struct profile_frame *frame = &p->frames[stack->frames[i]];
		if (i > site && is_runtime(p, frame))
			break;
		fputs(shown++ ? " <- " : "", out);
		put_frame(p, frame, out);
	}
}

static void put_value(const struct profile_event *e, enum event_form form, uint64_t value, FILE *out)
{
	char text[32];
	const char *word = event_word(form, value);
	switch (form) {
	case EVENT_BYTES:
		emit_bytes(text, value);
		fputs(text, out);
		break;
	case EVENT_ADDRESS: fprintf(out, "0x%" PRIx64, value); break;
	case EVENT_MARK:
	case EVENT_TEXT: emit_text_cut(out, e->text, 64); break;
	case EVENT_END:
	case EVENT_TABLE:
	case EVENT_COUNTER:
		if (word)
			fputs(word, out);
		else
			fprintf(out, "number %" PRIu64, value);
		break;
	default: fprintf(out, "%" PRIu64, value);
	}
}

static void put_field(const struct profile_process *p, const struct profile_event *e, const struct event_kind *kind,
                      const char *name, FILE *out)
{
	if (strcmp(name, "stack") == 0)
		put_stack(p, e, out);
	else if (strcmp(name, "module") == 0)
		emit_text_cut(out, e->module < p->module_count ? p->modules[e->module].path : "(unknown)", 200);
	for (int i = 0; i < EVENT_FIELDS; i++)
		if (kind->field[i].form != EVENT_UNUSED && strcmp(kind->field[i].name, name) == 0)
			put_value(e, kind->field[i].form, e->value[i], out);
}

static void put_filled(const struct profile_process *p, const struct profile_event *e, const struct event_kind *kind, FILE *out)
{
	bool has_subject = e->stack < p->stack_count || e->module < p->module_count;
	for (const char *at = kind->text; *at;) {
		char name[24];
		size_t length = strcspn(at, "{[]");
		fwrite(at, 1, length, out);
		at += length;
		if (*at == '[' && !has_subject)
			at += strcspn(at, "]");
		if (*at != '{') {
			at += *at != '\0';
			continue;
		}
		snprintf(name, sizeof name, "%.*s", (int)strcspn(at + 1, "}"), at + 1);
		put_field(p, e, kind, name, out);
		at += strcspn(at, "}");
		at += *at == '}';
	}
}

/* ---- text ---- */

void emit_clock(const struct profile_process *p, uint64_t time_ns, char out[32])
{
	uint64_t wall = profile_sum(p->wall_start_ns, time_ns);
	time_t seconds = (time_t)(wall / 1000000000u);
	struct tm local;
	char clock[16] = "--:--:--";
	if (localtime_r(&seconds, &local))
		strftime(clock, sizeof clock, "%H:%M:%S", &local);
	snprintf(out, 32, "%s.%03u", clock, (unsigned)(wall / 1000000u % 1000u));
}

void emit_event_text(const struct profile_process *p, const struct profile_event *e, FILE *out)
{
	const struct event_kind *kind = event_kind_of(e->kind);
	const struct profile_thread *thread = thread_of(p, e);
	char clock[32];
	emit_clock(p, e->time_ns, clock);
	if (!kind) {
		fprintf(out, "%s  kind %u: this mtrace does not know what that is\n", clock, e->kind);
		return;
	}
	fprintf(out, "%s  ", clock);
	emit_text_padded(out, kind->name, KIND_COLUMNS);
	fputs("  ", out);
	put_filled(p, e, kind, out);
	if (thread && (kind->subject == EVENT_OF_STACK || e->kind == MTRACE_RING_mark) && e->kind != MTRACE_RING_thread_start) {
		fputs("  [", out);
		emit_text_cut(out, thread->name, 16);
		fprintf(out, " %u]", thread->tid);
	}
	fputc('\n', out);
}

/* ---- JSON ---- */

static void set(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, must(value)) != 0)
		die(2, "out of memory");
}

/* Only a damaged file holds more than JSON's integers do. */
static json_t *number(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *string(const char *text)
{
	json_t *value = json_string(text);
	return value ? value : json_string("?"); /* only if somebody put text in that is not UTF-8 */
}

static json_t *thread_json(const struct profile_thread *thread)
{
	json_t *object = must(json_object());
	set(object, "tid", number(thread->tid));
	set(object, "name", string(thread->name));
	return object;
}

static bool has_mark(const struct event_kind *kind)
{
	for (int i = 0; i < EVENT_FIELDS; i++)
		if (kind->field[i].form == EVENT_MARK)
			return true;
	return false;
}

static void set_field(json_t *object, const struct profile_event *e, const struct event_field *field, uint64_t value)
{
	const char *word = event_word(field->form, value);
	if (field->form == EVENT_MARK || field->form == EVENT_TEXT)
		set(object, field->name, string(e->text));
	else
		set(object, field->name, word ? string(word) : number(value));
}

json_t *emit_event_json(const struct profile_process *p, const struct profile_event *e, bool frames)
{
	const struct event_kind *kind = event_kind_of(e->kind);
	const struct profile_thread *thread = thread_of(p, e);
	json_t *object = must(json_object());
	char id[24];
	set(object, "sequence", number(e->sequence));
	set(object, "time_ns", number(e->time_ns));
	set(object, "kind", kind ? string(kind->name) : json_sprintf("kind-%u", e->kind));
	if (thread)
		set(object, "thread", thread_json(thread));
	if (e->stack < p->stack_count) {
		snprintf(id, sizeof id, "%016" PRIx64, p->stacks[e->stack].id);
		set(object, "stack", string(id));
		if (frames)
			set(object, "frames", emit_json_frames(p, &p->stacks[e->stack]));
	}
	if (e->module < p->module_count)
		set(object, "module", string(p->modules[e->module].path));
	for (int i = 0; kind && i < EVENT_FIELDS; i++) /* a mark's text is its name already */
		if (kind->field[i].form != EVENT_UNUSED && !(kind->field[i].form == EVENT_TEXT && has_mark(kind)))
			set_field(object, e, &kind->field[i], e->value[i]);
	return object;
}
