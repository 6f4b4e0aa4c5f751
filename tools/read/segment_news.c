/*
 * segment_news: looks at a ring again and again, for `mtrace follow`. A look without news is two short reads; one with
 * news copies the ring and the tables that the new records name, never the blocks that are live.
 */
#include <errno.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "model/events.h"
#include "read/read.h"
#include "read/segment.h"

enum { PATIENCE = 5 }; /* looks at a record that its writer does not finish: preempted for a second, or gone for good */

static bool is_locked(int fd)
{
	if (flock(fd, LOCK_SH | LOCK_NB) != 0)
		return errno == EWOULDBLOCK;
	flock(fd, LOCK_UN);
	return false;
}

static uint64_t next_of(const struct segment *s)
{
	const struct mtrace_region *r = &segment_header(s)->regions[MTRACE_REGION_RING];
	struct mtrace_ring_head head;
	if (segment_header(s)->region_count <= MTRACE_REGION_RING || r->committed_bytes < sizeof head ||
	    pread(s->fd, &head, sizeof head, (off_t)r->offset) != sizeof head)
		return 0;
	return head.next;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The records between the reader's position and `sequence` are not there. False: one of them may still come. */
static bool pass_gap(struct read_news *news, const struct segment_ring *ring, uint64_t sequence)
{
	uint64_t gap = sequence - news->position;
	uint64_t lapped = ring->first > news->position ? least(ring->first - news->position, gap) : 0;
	news->overwritten += lapped;
	news->position += lapped;
	if (news->position == sequence)
		return true;
	if (news->alive && ++news->waited <= PATIENCE)
		return false;
	news->unfinished += sequence - news->position;
	news->position = sequence;
	return true;
}

/* Keeps of the ring what is to be told now. */
static void choose(struct read_news *news, struct segment_ring *ring)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < ring->count; i++) {
		uint64_t sequence = ring->records[i].sequence;
		if (sequence < news->position)
			continue;
		if (!pass_gap(news, ring, sequence))
			break;
		news->waited = 0;
		news->position = sequence + 1;
		ring->records[kept++] = ring->records[i];
	}
	ring->count = kept;
	if (!news->alive && news->position < ring->next)
		pass_gap(news, ring, ring->next);
}

/* ---- what they name ---- */

static bool names_stacks(const struct segment_ring *ring)
{
	for (uint32_t i = 0; i < ring->count; i++) {
		const struct event_kind *kind = event_kind_of((uint32_t)(ring->records[i].word[1] & 0xffff));
		if (kind && kind->subject == EVENT_OF_STACK && (uint32_t)ring->records[i].word[2])
			return true;
	}
	return false;
}

static void copy_named(struct segment *s)
{
	segment_copy_region(s, MTRACE_REGION_THREADS);
	segment_copy_region(s, MTRACE_REGION_MARKS);
	if (names_stacks(&s->ring)) {
		segment_copy_region(s, MTRACE_REGION_ROWS);
		segment_copy_region(s, MTRACE_REGION_NODES);
		segment_copy_region(s, MTRACE_REGION_FRAMES);
	}
	segment_copy_region(s, MTRACE_REGION_MODULES);
	segment_copy_region(s, MTRACE_REGION_STRINGS);
}

/* Rows that are named become stacks, as if they had counted something. */
static void read_named_stacks(struct segment *s)
{
	struct profile_process *process = s->process;
	uint64_t rows = s->regions[MTRACE_REGION_ROWS].count;
	s->counts_of_row = profile_alloc(s->profile, rows, sizeof *s->counts_of_row);
	s->live_of_row = profile_alloc(s->profile, rows, sizeof *s->live_of_row);
	for (uint32_t i = 0; i < process->event_count; i++)
		if (process->events[i].stack < rows)
			s->counts_of_row[process->events[i].stack].alloc_blocks = 1;
	for (uint32_t i = 0; i < process->thread_count; i++)
		process->threads[i].stack = UINT32_MAX;
	segment_read_stacks(s);
}

/* Only frames of those stacks are to be given names. */
static void keep_used_frames(struct profile *profile, struct profile_process *process)
{
	uint32_t *place = profile_alloc(profile, process->frame_count, sizeof *place); /* + 1; 0: not kept yet */
	struct profile_frame *kept = profile_alloc(profile, process->frame_count, sizeof *kept);
	uint32_t count = 0;
	for (uint32_t i = 0; i < process->stack_count; i++) {
		const struct profile_stack *stack = &process->stacks[i];
		uint32_t *frames = profile_alloc(profile, stack->frame_count, sizeof *frames);
		for (uint32_t f = 0; f < stack->frame_count; f++) {
			uint32_t old = stack->frames[f];
			if (!place[old]) {
				kept[count] = process->frames[old];
				place[old] = ++count;
			}
			frames[f] = place[old] - 1;
		}
		process->stacks[i].frames = frames;
	}
	process->frames = kept;
	process->frame_count = count;
}

static void fill(struct segment *s)
{
	copy_named(s);
	s->process = profile_add_process(s->profile);
	segment_read_facts(s);
	segment_read_modules(s);
	segment_read_threads(s);
	segment_read_events(s);
	read_named_stacks(s);
	keep_used_frames(s->profile, s->process);
	profile_finish_process(s->profile, s->process);
	s->process->note = NULL; /* nothing was counted */
}

int read_segment_news(struct read_news *news, struct profile *profile)
{
	struct segment s = {.fd = news->fd, .path = "segment", .profile = profile};
	s.alive = news->alive = is_locked(news->fd); /* first: what a dead one wrote is all there at the look after it */
	int code = segment_copy_head(&s);
	if (code == 0 && !segment_is_readable(&s))
		code = -EINVAL;
	if (code != 0)
		return code;
	const struct mtrace_header *h = segment_header(&s);
	news->held_back = h->counter_count > MTRACE_COUNTER_ring_held_back ? h->counters[MTRACE_COUNTER_ring_held_back] : 0;
	if (next_of(&s) <= news->position)
		return 0;
	segment_copy_ring(&s);
	choose(news, &s.ring);
	bool any = s.ring.count != 0;
	if (any)
		fill(&s);
	segment_copy_free(&s);
	return any;
}

int read_segment_who(int fd, struct profile *profile)
{
	struct segment s = {.fd = fd, .path = "segment", .profile = profile, .alive = is_locked(fd)};
	int code = segment_copy_head(&s);
	if (code == 0 && !segment_is_readable(&s))
		code = -EINVAL;
	if (code != 0)
		return code;
	s.process = profile_add_process(profile);
	segment_read_facts(&s);
	return 0;
}
