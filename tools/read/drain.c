/*
 * drain: takes events out of the parts of a stream (format.h), puts them in the order of their numbers, and keeps them
 * compressed. Called every few milliseconds while a process streams, and once for a segment as it is.
 *
 * Order: events are kept while their numbers follow each other without a hole. A hole is an event under way, or one that
 * never came: after PATIENCE looks without any progress it is passed over, and what still comes for it later is kept where
 * it comes. Nothing in the file is believed: a part has no more records than it has room for, and none is read outside
 * the region. Memory: what the parts hold, a few times over, and what is kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "die.h"
#include "format.h"
#include "read/codec.h"
#include "read/read.h"
#include "read/stream.h"

enum { PATIENCE = 32 };

struct drain {
	int fd;
	int page; /* a descriptor that the control page is written through; -1: nothing is given back */
	uint64_t most_bytes;
	struct mtrace_header header;
	struct mtrace_stream_head head; /* as of the last look */
	uint32_t ordinal;               /* 0: there was no stream yet */

	struct mtrace_stream_part described[MTRACE_STREAM_PARTS];
	uint32_t round[MTRACE_STREAM_PARTS]; /* being read, or the last that was */
	uint32_t seen[MTRACE_STREAM_PARTS];  /* records of it that were */
	uint32_t drained[MTRACE_STREAM_PARTS];
	uint32_t given[MTRACE_STREAM_PARTS]; /* drained, when it was opened */

	struct lifetimes_event *pending;
	size_t pending_count, pending_capacity;
	uint64_t next;  /* number that comes now */
	unsigned stuck; /* looks without progress */
	uint64_t last_tick;
	bool cut;
	uint64_t dropped; /* until it was cut */
	struct stream_writer kept;
};

/* ---- opening ---- */

static bool read_at(int fd, void *to, size_t bytes, uint64_t offset)
{
	return pread(fd, to, bytes, (off_t)offset) == (ssize_t)bytes;
}

static struct drain *refuse(struct drain *d, struct read_error *error, const char *why)
{
	snprintf(error->text, sizeof error->text, "%s", why);
	drain_close(d);
	return NULL;
}

static const struct mtrace_region *region_of(const struct drain *d)
{
	return &d->header.regions[MTRACE_REGION_STREAM];
}

static bool look_at_header(struct drain *d)
{
	const struct mtrace_region *r = region_of(d);
	return read_at(d->fd, &d->header, sizeof d->header, MTRACE_HEADER_OFFSET) &&
	       memcmp(d->header.magic, MTRACE_SEGMENT_MAGIC, sizeof d->header.magic) == 0 &&
	       d->header.region_count > MTRACE_REGION_STREAM && r->element_bytes == MTRACE_STREAM_PART_BYTES &&
	       r->offset >= MTRACE_REGIONS_OFFSET && r->offset % MTRACE_PAGE_BYTES == 0 && r->offset < INT64_MAX / 2;
}

static bool lock(struct drain *d)
{
	struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)region_of(d)->offset,
			      .l_len = sizeof d->head};
	return fcntl(d->page, F_OFD_SETLK, &range) == 0;
}

struct drain *drain_open(int fd, const struct drain_request *request, struct read_error *error)
{
	struct drain *d = calloc(1, sizeof *d);
	char path[64];
	if (!d)
		die(2, "out of memory");
	d->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	d->page = -1;
	d->most_bytes = request->most_bytes;
	if (d->fd < 0 || !look_at_header(d))
		return refuse(d, error, "its libmtrace.so is of a version that has no events");
	if (request->give_back) {
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		d->page = open(path, O_RDWR | O_CLOEXEC);
	}
	if (request->give_back && d->page < 0)
		return refuse(d, error, "its segment may not be written: ask as its owner or as root");
	if (request->give_back && !lock(d))
		return refuse(d, error, "another mtrace takes its events just now");
	read_at(d->fd, d->drained, sizeof d->drained,
		MTRACE_CONTROL_OFFSET + offsetof(struct mtrace_control, stream_drained));
	memcpy(d->given, d->drained, sizeof d->given);
	return d;
}

void drain_close(struct drain *d)
{
	if (!d)
		return;
	if (d->fd >= 0)
		close(d->fd);
	if (d->page >= 0)
		close(d->page);
	free(d->pending);
	stream_writer_free(&d->kept);
	free(d);
}

/* ---- out of the parts ---- */

static uint32_t parts_there(const struct drain *d)
{
	const struct mtrace_region *r = region_of(d);
	uint64_t committed = r->committed_bytes < r->reserved_bytes ? r->committed_bytes : r->reserved_bytes;
	uint64_t parts = committed > MTRACE_STREAM_PARTS_OFFSET
				 ? (committed - MTRACE_STREAM_PARTS_OFFSET) / MTRACE_STREAM_PART_BYTES : 0;
	parts = parts < d->head.parts ? parts : d->head.parts;
	return parts < MTRACE_STREAM_PARTS ? (uint32_t)parts : MTRACE_STREAM_PARTS;
}

static uint64_t description_offset(const struct drain *d, uint32_t i)
{
	return region_of(d)->offset + (1 + (uint64_t)i) * sizeof(struct mtrace_stream_part);
}

/* Ticks of a stream fit into 20 bits; a thread's may be a little older than its begin. */
static uint64_t whole_tick(const struct drain *d, uint32_t tick)
{
	uint32_t since = (tick - (uint32_t)d->head.begin_tick) & 0xfffff;
	return d->head.begin_tick + (since < 0xf0000 ? since : 0);
}

static struct lifetimes_event *add_pending(struct drain *d)
{
	d->pending = codec_grow(d->pending, &d->pending_capacity, d->pending_count + 1, sizeof *d->pending);
	return &d->pending[d->pending_count++];
}

static void add_record(struct drain *d, const uint64_t word[3], uint32_t thread)
{
	*add_pending(d) = (struct lifetimes_event){
		.number = MTRACE_STREAM_NUMBER(word[0]), .tick = whole_tick(d, MTRACE_STREAM_TICK(word[0])),
		.what = MTRACE_STREAM_WHAT(word[0]), .address = word[1], .size = MTRACE_STREAM_SIZE(word[2]),
		.stack = MTRACE_STREAM_ROW(word[2]), .thread = thread};
}

/* What was lost stands before the first record of the part. */
static void add_gap(struct drain *d, uint64_t first, const struct mtrace_stream_part *part)
{
	*add_pending(d) = (struct lifetimes_event){.number = MTRACE_STREAM_NUMBER(first), .what = MTRACE_STREAM_GAP,
						   .tick = whole_tick(d, MTRACE_STREAM_TICK(first)), .thread = part->thread,
						   .size = part->lost};
}

static void take_records(struct drain *d, uint32_t i, uint32_t count)
{
	uint64_t words[MTRACE_STREAM_RECORDS][3];
	uint32_t seen = d->seen[i], more = count - seen, thread = d->described[i].thread;
	uint64_t offset = region_of(d)->offset + MTRACE_STREAM_PARTS_OFFSET + (uint64_t)i * MTRACE_STREAM_PART_BYTES;
	if (!read_at(d->fd, words, more * sizeof words[0], offset + seen * sizeof words[0]))
		return;
	if (seen == 0 && d->described[i].lost)
		add_gap(d, words[0][0], &d->described[i]);
	for (uint32_t k = 0; k < more; k++)
		add_record(d, words[k], thread);
	d->seen[i] = count;
}

/* After `closed` was seen, `count` is the last one; both may have been read while they were written, in whatever order. */
static bool is_closed(struct drain *d, uint32_t i)
{
	if (!d->described[i].closed)
		return false;
	uint32_t round = d->described[i].round;
	return read_at(d->fd, &d->described[i], sizeof d->described[i], description_offset(d, i)) &&
	       d->described[i].round == round;
}

static void take_part(struct drain *d, uint32_t i)
{
	const struct mtrace_stream_part *part = &d->described[i];
	if (part->round == d->drained[i])
		return;
	if (part->round != d->round[i]) {
		d->round[i] = part->round;
		d->seen[i] = 0;
	}
	bool closed = is_closed(d, i);
	uint32_t count = part->count < MTRACE_STREAM_RECORDS ? part->count : MTRACE_STREAM_RECORDS;
	if (count > d->seen[i])
		take_records(d, i, count);
	if (closed || d->seen[i] == MTRACE_STREAM_RECORDS)
		d->drained[i] = d->round[i];
}

static bool give_back(struct drain *d)
{
	return d->page < 0 || pwrite(d->page, d->drained, sizeof d->drained,
				     MTRACE_CONTROL_OFFSET + offsetof(struct mtrace_control, stream_drained)) ==
				      (ssize_t)sizeof d->drained;
}

static void take_parts(struct drain *d)
{
	uint32_t parts = parts_there(d);
	if (!read_at(d->fd, d->described, parts * sizeof d->described[0], description_offset(d, 0)))
		return;
	for (uint32_t i = 0; i < parts; i++)
		take_part(d, i);
	give_back(d); /* where that fails the process drops events, and says so */
}

/* ---- into order ---- */

static int compare(const void *left, const void *right)
{
	const struct lifetimes_event *a = left, *b = right;
	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	return (b->what == MTRACE_STREAM_GAP) - (a->what == MTRACE_STREAM_GAP);
}

static void sort_pending(struct drain *d)
{
	for (size_t i = 1; i < d->pending_count; i++)
		if (compare(&d->pending[i - 1], &d->pending[i]) > 0) {
			qsort(d->pending, d->pending_count, sizeof *d->pending, compare);
			return;
		}
}

static bool is_over(const struct drain *d)
{
	return d->head.ended == d->ordinal || d->head.ordinal != d->ordinal;
}

static bool is_beyond_end(const struct drain *d, uint64_t number)
{
	return d->head.ended == d->ordinal && number >= d->head.end;
}

static bool is_full(const struct drain *d)
{
	uint32_t parts = d->kept.part_count;
	uint64_t last = parts ? d->kept.parts[parts - 1].stored_bytes : 0;
	return d->most_bytes && d->kept.stored_bytes + last > d->most_bytes;
}

static void keep(struct drain *d, const struct lifetimes_event *e)
{
	uint32_t what = e->what & ~MTRACE_STREAM_POOL;
	if (e->number < d->head.first || is_beyond_end(d, e->number) || d->cut)
		return;
	if (what != MTRACE_STREAM_ALLOCATED && what != MTRACE_STREAM_FREED && e->what != MTRACE_STREAM_GAP)
		return;
	stream_writer_put(&d->kept, e);
	d->last_tick = e->tick > d->last_tick ? e->tick : d->last_tick;
	d->cut = is_full(d);
}

/* Keeps what has its turn; `all`: whatever there is. */
static void keep_in_order(struct drain *d, bool all)
{
	size_t taken = 0;
	sort_pending(d);
	for (; taken < d->pending_count; taken++) {
		const struct lifetimes_event *e = &d->pending[taken];
		if (e->number > d->next && !all)
			break;
		keep(d, e);
		if (e->what != MTRACE_STREAM_GAP && e->number >= d->next)
			d->next = e->number + 1;
	}
	d->pending_count -= taken;
	if (d->pending_count)
		memmove(d->pending, d->pending + taken, d->pending_count * sizeof *d->pending);
	d->stuck = taken ? 0 : d->stuck + 1;
}

/* ---- a look ---- */

static bool look_at_head(struct drain *d)
{
	if (!look_at_header(d) || region_of(d)->committed_bytes < MTRACE_STREAM_PARTS_OFFSET ||
	    !read_at(d->fd, &d->head, sizeof d->head, region_of(d)->offset) || !d->head.ordinal)
		return false;
	if (!d->ordinal) {
		d->ordinal = d->head.ordinal;
		d->next = d->head.first;
	}
	return true;
}

static uint64_t counted_drops(const struct drain *d)
{
	uint64_t drops = d->header.counter_count > MTRACE_COUNTER_stream_dropped
				 ? d->header.counters[MTRACE_COUNTER_stream_dropped] : 0;
	return drops > d->head.dropped ? drops - d->head.dropped : 0;
}

static void tell_to_end(struct drain *d)
{
	if (d->page >= 0 && pwrite(d->page, &d->ordinal, sizeof d->ordinal,
				   MTRACE_CONTROL_OFFSET + offsetof(struct mtrace_control, stream_stop)) < 0)
		errno = 0; /* then it ends when its time is over */
}

enum drain_state drain_take(struct drain *d)
{
	if (!look_at_head(d))
		return d->ordinal ? DRAIN_ENDED : DRAIN_NONE;
	bool over = is_over(d); /* before the parts: what is put in later is beyond its end */
	take_parts(d);
	keep_in_order(d, d->stuck >= PATIENCE);
	if (d->cut) {
		tell_to_end(d);
		d->dropped = d->dropped ? d->dropped : counted_drops(d);
		return DRAIN_CUT;
	}
	bool all = d->pending_count == 0 && (is_beyond_end(d, d->next) || d->stuck >= PATIENCE);
	return over && (all || d->stuck >= PATIENCE) ? DRAIN_ENDED : DRAIN_ON;
}

/* What somebody else took is missing here. */
static bool is_taken_elsewhere(const struct drain *d)
{
	uint32_t parts = parts_there(d);
	for (uint32_t i = 0; d->page < 0 && i < parts; i++)
		if (d->given[i])
			return true;
	return false;
}

static uint64_t ns_of(uint64_t ticks)
{
	return ticks < UINT32_MAX ? ticks * (1000000000u / MTRACE_TICKS_PER_SECOND) : 0;
}

/* An end that the process did not write is that of the process, or of the time asked for. */
static uint64_t end_ns(const struct drain *d, uint64_t begin_ns, uint64_t lived_ns)
{
	uint64_t asked_ns = begin_ns + (d->head.asked_ms <= MTRACE_STREAM_MS_MOST ? d->head.asked_ms : 0) * 1000000u;
	uint64_t end = d->cut ? ns_of(d->last_tick) : d->head.ended == d->ordinal ? ns_of(d->head.end_tick)
		     : lived_ns < asked_ns ? lived_ns : asked_ns;
	return end > begin_ns ? end : begin_ns;
}

void drain_finish(struct drain *d, struct profile *profile, struct profile_process *process)
{
	if (!look_at_head(d) || is_taken_elsewhere(d))
		return;
	take_parts(d);
	keep_in_order(d, true);
	struct profile_stream *s = &process->stream;
	uint64_t begin_ns = ns_of(d->head.begin_tick);
	*s = (struct profile_stream){.asked_ms = d->head.asked_ms, .begin_ns = begin_ns,
				     .end_ns = end_ns(d, begin_ns, process->lived_ns), .dropped = d->cut ? d->dropped : counted_drops(d),
				     .most_bytes = d->cut ? d->most_bytes : 0};
	stream_writer_give(&d->kept, profile, s);
}
