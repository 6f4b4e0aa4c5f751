/*
 * streams: see streams.h. A process that is idle does not end its stream itself: SLACK_MS after its time nothing is expected
 * any more.
 */
#include "run/streams.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "read/read.h"

enum { LOOK_MS = 4, SLACK_MS = 2000 };

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void begin(const struct streams *s, struct collect_segment *segment)
{
	struct read_error error;
	int fd = open(segment->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	segment->was_drained = true;
	if (fd < 0)
		return;
	segment->drain = drain_open(fd, &(struct drain_request){.give_back = true, .most_bytes = s->most_bytes}, &error);
	segment->drain_until_ms = now_ms() + s->for_ms + SLACK_MS;
	close(fd);
}

/* Does it go on? What was taken stays with the segment in any case. */
static bool take(struct collect_segment *segment)
{
	if (!segment->drain || now_ms() > segment->drain_until_ms)
		return false;
	enum drain_state state = drain_take(segment->drain);
	if (state == DRAIN_ENDED || state == DRAIN_CUT)
		segment->drain_until_ms = 0;
	return state == DRAIN_ON || state == DRAIN_NONE;
}

int streams_look(const struct streams *s, struct collect *collect)
{
	bool any = false;
	for (size_t i = 0; s->for_ms && i < collect->count; i++) {
		struct collect_segment *segment = &collect->segments[i];
		if (segment->is_read || segment->is_gone)
			continue;
		if (segment->alive && !segment->was_drained)
			begin(s, segment);
		any |= take(segment);
	}
	return any ? LOOK_MS : -1;
}
