/*
 * segment_marks: only the new marks of a segment, for `mtrace run`, which looks often: one short read of its head while
 * there are none.
 */
#include <string.h>
#include <unistd.h>

#include "read/read.h"
#include "read/segment.h"

/* Marks that are reserved and within what is committed, the unused 0 included. */
static uint64_t marks_there(const struct segment *s)
{
	const struct mtrace_region *r = &segment_header(s)->regions[MTRACE_REGION_MARKS];
	uint64_t most = r->committed_bytes / sizeof(struct mtrace_mark), used = r->used;
	return used < most ? used : most;
}

static size_t take_marks(struct segment *s, uint64_t *next, struct read_mark *marks, size_t room)
{
	size_t count = 0;
	segment_copy_region(s, MTRACE_REGION_MARKS);
	for (; count < room; ++*next) {
		const struct mtrace_mark *m = segment_element(s, MTRACE_REGION_MARKS, *next);
		if (!m || !m->ready) /* its writer is about to: the next look begins with it */
			break;
		struct read_mark *to = &marks[count++];
		*to = (struct read_mark){.id = *next, .snapshot = (m->flags & MTRACE_MARK_SNAPSHOT) != 0};
		memcpy(to->name, m->name, sizeof m->name);
		to->name[sizeof m->name - 1] = '\0';
	}
	return count;
}

size_t read_segment_marks(const char *path, uint64_t *next, struct read_mark *marks, size_t room)
{
	struct segment s = {.path = path};
	size_t count = 0;
	if (segment_open_part(&s) != 0)
		return 0;
	if (*next == 0)
		*next = 1;
	if (marks_there(&s) > *next)
		count = take_marks(&s, next, marks, room);
	segment_copy_free(&s);
	close(s.fd);
	return count;
}
