/*
 * segment_exhaustions: when a JVM ran out of something, and the largest classes of its heap then, named as Java names them.
 */
#include <string.h>

#include "read/segment.h"

enum { CLASS_NAME_BYTES = 256 };

static const char *primitive(char letter)
{
	static const char *const names[] = {['Z'] = "boolean", ['B'] = "byte", ['C'] = "char", ['S'] = "short", ['I'] = "int",
	                                    ['J'] = "long", ['F'] = "float", ['D'] = "double"};
	return (unsigned char)letter < sizeof names / sizeof names[0] ? names[(unsigned char)letter] : NULL;
}

/* "[Ljava/lang/String;" is java.lang.String[]; what is not a signature stays as it is. */
static const char *class_name(struct segment *s, const char *signature)
{
	char name[CLASS_NAME_BYTES];
	size_t dimensions = strspn(signature, "["), n = 0;
	const char *element = signature + dimensions;
	if (element[0] == 'L')
		n = strcspn(++element, ";");
	else if (primitive(element[0]) && !element[1])
		n = strlen(element = primitive(element[0]));
	if (n == 0 || n + 2 * dimensions >= sizeof name)
		return profile_string(s->profile, signature);
	for (size_t i = 0; i < n; i++)
		name[i] = element[i] == '/' ? '.' : element[i];
	for (size_t i = 0; i < dimensions; i++, n += 2)
		memcpy(name + n, "[]", 2);
	return profile_string_n(s->profile, name, n);
}

static void read_exhaustion(struct segment *s, const struct mtrace_exhaustion *x, struct profile_exhaustion *to)
{
	uint64_t start = segment_header(s)->mono_start_ns, threads = s->regions[MTRACE_REGION_THREADS].count;
	*to = (struct profile_exhaustion){
		.time_ns = x->mono_ns > start ? x->mono_ns - start : 0,
		.what = x->what,
		.thread = x->thread < threads ? s->thread_of_id[x->thread] : PROFILE_NO_THREAD,
		.text = profile_string_n(s->profile, x->text, strnlen(x->text, sizeof x->text)),
		.histogram = x->histogram <= MTRACE_HISTOGRAM_CUT ? x->histogram : MTRACE_HISTOGRAM_NONE,
		.objects = x->objects, .bytes = x->bytes, .pause_ns = x->pause_ns,
	};
}

/* Classes of a histogram that was not finished are left out. */
static void read_classes(struct segment *s, uint32_t id, uint32_t exhaustion)
{
	struct profile_process *p = s->process;
	for (uint64_t i = 1; i < s->regions[MTRACE_REGION_CLASSES].count; i++) {
		const struct mtrace_class *c = segment_element(s, MTRACE_REGION_CLASSES, i);
		char signature[sizeof c->signature + 1] = "";
		if (c->exhaustion != id)
			continue;
		memcpy(signature, c->signature, sizeof c->signature);
		p->classes[p->class_count++] = (struct profile_class){exhaustion, class_name(s, signature), c->objects, c->bytes};
	}
}

void segment_read_exhaustions(struct segment *s)
{
	struct profile_process *p = s->process;
	uint64_t count = s->regions[MTRACE_REGION_EXHAUSTIONS].count;
	p->exhaustions = profile_alloc(s->profile, count, sizeof *p->exhaustions);
	p->classes = profile_alloc(s->profile, s->regions[MTRACE_REGION_CLASSES].count, sizeof *p->classes);
	for (uint64_t id = 1; id < count; id++) {
		const struct mtrace_exhaustion *x = segment_element(s, MTRACE_REGION_EXHAUSTIONS, id);
		if (!x->ready)
			continue;
		read_exhaustion(s, x, &p->exhaustions[p->exhaustion_count]);
		if (p->exhaustions[p->exhaustion_count].histogram)
			read_classes(s, (uint32_t)id, p->exhaustion_count);
		p->exhaustion_count++;
	}
}
