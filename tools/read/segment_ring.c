/*
 * segment_ring: the records of a segment's ring (format.h), whole ones only, oldest first.
 *
 * The ring of a process that runs on changes while it is copied, so it is copied twice. A slot whose state is the same
 * and not busy in both copies was not written in between, since a state never comes back; whatever order a copy took its
 * words in, the check then says whether they are those of that record. What is busy or does not agree is being written,
 * or was when its writer was killed. A ring that is damaged costs records of the ring, and nothing in a report.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "model/events.h"
#include "read/segment.h"

static const struct mtrace_ring_head *head_of(const struct segment_region *copy)
{
	return copy->count ? (const struct mtrace_ring_head *)(const void *)copy->bytes : NULL;
}

static bool take(const struct mtrace_ring_slot *before, const struct mtrace_ring_slot *slot, struct segment_record *to)
{
	uint64_t words[MTRACE_RING_WORDS];
	uint64_t state = slot->state;
	if (state == 0 || (state & MTRACE_RING_BUSY) || before->state != state)
		return false;
	memcpy(words, (const void *)slot->word, sizeof words);
	to->sequence = MTRACE_RING_SEQUENCE(state);
	memcpy(to->word, words, sizeof words);
	return words[2] >> 32 == mtrace_ring_check(to->sequence, words);
}

static int by_sequence(const void *a, const void *b)
{
	const struct segment_record *x = a, *y = b;
	return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

/* One of each number. */
static uint32_t sort(struct segment_record *records, uint32_t count)
{
	uint32_t kept = 0;
	qsort(records, count, sizeof *records, by_sequence);
	for (uint32_t i = 0; i < count; i++)
		if (kept == 0 || records[i].sequence != records[kept - 1].sequence)
			records[kept++] = records[i];
	return kept;
}

/* Records of the round before stand where the number that came after was given up; between them and the others are holes. */
static void leave_out_survivors(struct segment_ring *ring)
{
	uint32_t old = 0;
	while (old < ring->count && ring->records[old].sequence < ring->first)
		old++;
	ring->count -= old;
	memmove(ring->records, ring->records + old, ring->count * sizeof *ring->records);
}

static void take_all(struct segment *s, const struct segment_region *before, const struct segment_region *after)
{
	struct segment_ring *ring = &s->ring;
	const struct mtrace_ring_head *head = head_of(after);
	uint64_t slots = after->count < before->count ? after->count : before->count;
	if (!head || slots > MTRACE_RING_BYTES_MOST / sizeof(struct mtrace_ring_slot))
		return;
	ring->records = profile_alloc(s->profile, slots, sizeof *ring->records);
	for (uint64_t i = 1; i < slots; i++) {
		size_t at = i * sizeof(struct mtrace_ring_slot);
		ring->count += take((const void *)(before->bytes + at), (const void *)(after->bytes + at), &ring->records[ring->count]);
	}
	ring->count = sort(ring->records, ring->count);
	ring->next = head->next;
	if (ring->count && ring->records[ring->count - 1].sequence >= ring->next) /* written since the head was copied */
		ring->next = ring->records[ring->count - 1].sequence + 1;
	ring->first = head->slots && ring->next > head->slots ? ring->next - head->slots : 0;
	leave_out_survivors(ring);
}

void segment_copy_ring(struct segment *s)
{
	segment_copy_region(s, MTRACE_REGION_RING);
	struct segment_region before = s->regions[MTRACE_REGION_RING];
	if (!s->alive) {
		take_all(s, &before, &before);
		return;
	}
	memset(&s->regions[MTRACE_REGION_RING], 0, sizeof before);
	segment_copy_region(s, MTRACE_REGION_RING);
	take_all(s, &before, &s->regions[MTRACE_REGION_RING]);
	if (before.bytes)
		munmap((void *)(uintptr_t)before.bytes, before.mapped_bytes);
}

/* ---- events ---- */

static const char *mark_name(struct segment *s, uint64_t id)
{
	const struct mtrace_mark *m = id ? segment_element(s, MTRACE_REGION_MARKS, id) : NULL;
	return m && m->ready ? profile_string_n(s->profile, m->name, sizeof m->name) : NULL;
}

/* The name of a mark whose record is not there is what its event has of it. */
static const char *text_of(struct segment *s, const struct event_kind *kind, const struct segment_record *r)
{
	const char *text = "", *mark = NULL;
	for (int i = 0; i < EVENT_FIELDS; i++) {
		char characters[17] = "";
		if (kind->field[i].form == EVENT_MARK)
			mark = mark_name(s, r->word[3 + i]);
		if (kind->field[i].form != EVENT_TEXT || i + 1 >= EVENT_FIELDS)
			continue;
		memcpy(characters, &r->word[3 + i], 16);
		text = profile_string(s->profile, characters);
	}
	return mark ? mark : text;
}

static void read_event(struct segment *s, const struct segment_record *r, struct profile_event *to)
{
	uint32_t thread = (uint32_t)(r->word[1] >> 32), subject = (uint32_t)r->word[2];
	const struct event_kind *kind = event_kind_of((uint32_t)(r->word[1] & 0xffff));
	*to = (struct profile_event){
		.sequence = r->sequence, .time_ns = r->word[0], .kind = (uint32_t)(r->word[1] & 0xffff),
		.thread = PROFILE_NO_THREAD, .stack = UINT32_MAX, .module = PROFILE_NO_MODULE, .text = ""};
	memcpy(to->value, &r->word[3], sizeof to->value);
	if (thread < s->regions[MTRACE_REGION_THREADS].count)
		to->thread = s->thread_of_id[thread];
	if (!kind)
		return;
	if (kind->subject == EVENT_OF_STACK && subject)
		to->stack = subject;
	if (kind->subject == EVENT_OF_MODULE && subject && subject <= s->process->module_count)
		to->module = subject - 1;
	to->text = text_of(s, kind, r);
}

void segment_read_events(struct segment *s)
{
	struct profile_process *process = s->process;
	process->events = profile_alloc(s->profile, s->ring.count, sizeof *process->events);
	for (uint32_t i = 0; i < s->ring.count; i++)
		read_event(s, &s->ring.records[i], &process->events[i]);
	process->event_count = s->ring.count;
	process->events_written = s->ring.next;
	process->events_overwritten = s->ring.first;
}
