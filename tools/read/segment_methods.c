/*
 * segment_methods: Java frames carry their names in the segment. A method without one (its table was full, or the bytes
 * are damaged) leaves the frame without names.
 */
#include <stdio.h>
#include <string.h>

#include "read/segment.h"

enum { FUNCTION_BYTES = 1024 };

/* "" when the offset is bad. */
static const char *name_at(struct segment *s, uint32_t offset)
{
	const struct segment_region *names = &s->regions[MTRACE_REGION_METHOD_NAMES];
	if (offset >= names->count) {
		s->skipped += offset != 0;
		return "";
	}
	return profile_string_n(s->profile, (const char *)names->bytes + offset, names->count - offset);
}

void segment_name_method(struct segment *s, struct profile_frame *frame)
{
	uint32_t id = MTRACE_JAVA_METHOD(frame->value);
	const struct mtrace_method *m = id ? segment_element(s, MTRACE_REGION_METHODS, id) : NULL;
	char function[FUNCTION_BYTES];
	s->skipped += id != 0 && !m;
	if (!m)
		return;
	const char *file = name_at(s, m->file), *signature = name_at(s, m->signature);
	snprintf(function, sizeof function, "%s.%s", name_at(s, m->klass), name_at(s, m->name));
	struct profile_name *name = profile_alloc(s->profile, 1, sizeof *name);
	name->function = profile_string(s->profile, function);
	name->file = file[0] ? profile_string(s->profile, file) : NULL;
	name->signature = signature[0] ? profile_string(s->profile, signature) : NULL;
	name->line = MTRACE_JAVA_LINE(frame->value);
	frame->names = name;
	frame->name_count = 1;
}
