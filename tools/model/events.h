/*
 * events: what the records of the ring are, from ring.def: the one table that text, JSON and reader go by.
 */
#ifndef MTRACE_EVENTS_H
#define MTRACE_EVENTS_H

#include <stdint.h>

enum { EVENT_FIELDS = 4 };

enum event_form {
	EVENT_UNUSED, EVENT_NUMBER, EVENT_BYTES, EVENT_ADDRESS, EVENT_END, EVENT_TABLE, EVENT_COUNTER, EVENT_MARK, EVENT_TEXT
};

enum event_subject { EVENT_OF_NONE, EVENT_OF_STACK, EVENT_OF_MODULE };

struct event_field {
	char name[24];
	enum event_form form;
};

struct event_kind {
	const char *name;
	enum event_subject subject;
	const char *text; /* {field}, {stack}, {module} */
	struct event_field field[EVENT_FIELDS];
};

/* NULL: this version does not know it. */
const struct event_kind *event_kind_of(uint32_t kind);

/* What a value of form end, table or counter is called; NULL: not known. */
const char *event_word(enum event_form form, uint64_t value);

#endif
