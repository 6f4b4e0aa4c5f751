/* events: see events.h. The fields of ring.def are taken apart once. */
#include "model/events.h"

#include <stdio.h>
#include <string.h>

#include "format.h"

#define NONE EVENT_OF_NONE
#define STACK EVENT_OF_STACK
#define MODULE EVENT_OF_MODULE

static struct event_kind kinds[MTRACE_RING_COUNT];

static const struct {
	const char *name;
	enum event_subject subject;
	const char *text;
	const char *field[EVENT_FIELDS];
} rows[MTRACE_RING_COUNT] = {
#define X(kind, per_second, subject, text, a, b, c, d) [MTRACE_RING_##kind] = {#kind, subject, text, {a, b, c, d}},
#include "ring.def"
#undef X
};

static enum event_form form_of(const char *word)
{
	static const char *const names[] = {"", "number", "bytes", "address", "end", "table", "counter", "mark", "text"};
	for (int form = EVENT_NUMBER; form <= EVENT_TEXT; form++)
		if (strcmp(names[form], word) == 0)
			return (enum event_form)form;
	return EVENT_UNUSED;
}

static struct event_field parse(const char *text)
{
	struct event_field field = {.form = EVENT_UNUSED};
	const char *colon = strchr(text, ':');
	snprintf(field.name, sizeof field.name, "%.*s", colon ? (int)(colon - text) : (int)strlen(text), text);
	if (text[0])
		field.form = form_of(colon ? colon + 1 : "number");
	return field;
}

const struct event_kind *event_kind_of(uint32_t kind)
{
	if (kind == MTRACE_RING_none || kind >= MTRACE_RING_COUNT)
		return NULL;
	struct event_kind *k = &kinds[kind];
	if (k->name)
		return k;
	for (int i = 0; i < EVENT_FIELDS; i++)
		k->field[i] = parse(rows[kind].field[i]);
	k->subject = rows[kind].subject;
	k->text = rows[kind].text;
	k->name = rows[kind].name;
	return k;
}

const char *event_word(enum event_form form, uint64_t value)
{
	static const char *const ends[] = {"without a word", "exit", "_exit", "quick_exit", "exec"};
	static const char *const tables[MTRACE_REGION_COUNT] = {
		[MTRACE_REGION_FRAMES] = "of frames", [MTRACE_REGION_FRAME_BUCKETS] = "of frame buckets",
		[MTRACE_REGION_NODES] = "of stack nodes", [MTRACE_REGION_NODE_BUCKETS] = "of stack node buckets",
		[MTRACE_REGION_ROWS] = "of counts", [MTRACE_REGION_LIVE_ROOT] = "of address ranges",
		[MTRACE_REGION_LIVE_CHUNKS] = "of address chunks", [MTRACE_REGION_LIVE_LEAVES] = "of crowded pages",
		[MTRACE_REGION_LIVE_LINES] = "of live blocks", [MTRACE_REGION_LIVE_HUGE] = "of huge blocks",
		[MTRACE_REGION_MODULES] = "of modules", [MTRACE_REGION_STRINGS] = "of names",
		[MTRACE_REGION_THREADS] = "of threads", [MTRACE_REGION_MARKS] = "of marks",
		[MTRACE_REGION_RANGES] = "of mappings", [MTRACE_REGION_RANGE_LOG] = "of mapping operations",
		[MTRACE_REGION_TALLIES] = "of threads' counts", [MTRACE_REGION_FOLDS] = "of counts under way",
		[MTRACE_REGION_RANGES_OTHER] = "of mappings (second copy)", [MTRACE_REGION_RING] = "of news",
	};
	static const char *const counters[] = {
#define X(name, help) #name,
#include "counters.def"
#undef X
	};
	switch (form) {
	case EVENT_END: return value < sizeof ends / sizeof ends[0] ? ends[value] : NULL;
	case EVENT_TABLE: return value < MTRACE_REGION_COUNT ? tables[value] : NULL;
	case EVENT_COUNTER: return value < sizeof counters / sizeof counters[0] ? counters[value] : NULL;
	default: return NULL;
	}
}
