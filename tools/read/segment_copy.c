/*
 * segment_copy: moves bytes from the file into private memory, and is the only one that touches the file.
 *
 * pread, never a mapping of the file. Bounded by committed_bytes, by what the region reserved, by the file's size and
 * by where the file has data at all: a 10 GiB sparse file with 1 MiB in it costs 1 MiB, whatever its header claims.
 * The header is read anew before each region, since a running process grows it.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "read/segment.h"

static int read_exactly(int fd, void *to, size_t bytes, uint64_t offset)
{
	unsigned char *p = to;
	while (bytes > 0) {
		ssize_t n = pread(fd, p, bytes, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		p += n;
		offset += (uint64_t)n;
		bytes -= (size_t)n;
	}
	return 0;
}

int segment_copy_head(struct segment *s)
{
	struct stat st;
	if (fstat(s->fd, &st) != 0)
		return -errno;
	s->file_bytes = (uint64_t)st.st_size;
	return read_exactly(s->fd, s->head, sizeof s->head, 0);
}

/* 0: as wide as the format says; STRINGS are bytes; the range map is one thing; bucket regions are not read. */
static size_t element_bytes(enum mtrace_region_id id)
{
	switch (id) {
	case MTRACE_REGION_FRAMES: return sizeof(struct mtrace_frame);
	case MTRACE_REGION_NODES: return sizeof(struct mtrace_node);
	case MTRACE_REGION_ROWS: return sizeof(struct mtrace_row);
	case MTRACE_REGION_LIVE_ROOT: return sizeof(uint64_t);
	case MTRACE_REGION_LIVE_CHUNKS: return sizeof(struct mtrace_live_chunk);
	case MTRACE_REGION_LIVE_LEAVES: return sizeof(uint64_t);
	case MTRACE_REGION_LIVE_LINES: return sizeof(struct mtrace_live_line);
	case MTRACE_REGION_LIVE_HUGE: return sizeof(struct mtrace_live_huge);
	case MTRACE_REGION_MODULES: return sizeof(struct mtrace_module);
	case MTRACE_REGION_STRINGS: return 1;
	case MTRACE_REGION_THREADS: return sizeof(struct mtrace_thread);
	case MTRACE_REGION_MARKS: return sizeof(struct mtrace_mark);
	case MTRACE_REGION_RANGES: return 1;
	case MTRACE_REGION_RANGE_LOG: return sizeof(struct mtrace_range_op);
	case MTRACE_REGION_TALLIES: return sizeof(struct mtrace_tally);
	case MTRACE_REGION_FOLDS: return sizeof(struct mtrace_fold);
	case MTRACE_REGION_RANGES_OTHER: return 1;
	case MTRACE_REGION_EPOCHS: return sizeof(struct mtrace_boundary);
	case MTRACE_REGION_PASTS: return sizeof(uint64_t);
	case MTRACE_REGION_HISTORY: return sizeof(struct mtrace_past);
	case MTRACE_REGION_RING: return sizeof(struct mtrace_ring_slot);
	case MTRACE_REGION_METHODS: return sizeof(struct mtrace_method);
	case MTRACE_REGION_METHOD_NAMES: return 1;
	case MTRACE_REGION_EXHAUSTIONS: return sizeof(struct mtrace_exhaustion);
	case MTRACE_REGION_CLASSES: return sizeof(struct mtrace_class);
	default: return 0;
	}
}

/* As this segment's writer made them: those of format 1 lack what came at their end since. 0: not to be understood. */
static size_t stored_bytes(const struct segment *s, enum mtrace_region_id id)
{
	size_t each = element_bytes(id), stored = segment_header(s)->regions[id].element_bytes;
	bool was_narrow = id == MTRACE_REGION_ROWS || id == MTRACE_REGION_TALLIES;
	if (each == 1 || stored == each || (was_narrow && stored == MTRACE_ROW_BYTES_1))
		return each == 1 ? 1 : stored;
	return 0;
}

/* In these, `used` counts what was handed out from the start; the others are tables or rings, read whole. */
static bool is_append_only(enum mtrace_region_id id)
{
	return id != MTRACE_REGION_LIVE_ROOT && id != MTRACE_REGION_LIVE_HUGE && id != MTRACE_REGION_RANGES &&
	       id != MTRACE_REGION_RANGE_LOG && id != MTRACE_REGION_FOLDS && id != MTRACE_REGION_RANGES_OTHER &&
	       id != MTRACE_REGION_EPOCHS && id != MTRACE_REGION_PASTS && id != MTRACE_REGION_RING;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Bytes of the region worth asking the file for; 0 when its description makes no sense. */
static uint64_t wanted_bytes(struct segment *s, enum mtrace_region_id id)
{
	const struct mtrace_region *r = &segment_header(s)->regions[id];
	size_t each = stored_bytes(s, id);
	if (r->offset % MTRACE_PAGE_BYTES != 0 || r->offset < MTRACE_REGIONS_OFFSET || r->offset >= s->file_bytes ||
	    each == 0) {
		s->skipped += r->committed_bytes != 0;
		return 0;
	}
	uint64_t bytes = least(least(r->committed_bytes, r->reserved_bytes), s->file_bytes - r->offset);
	if (is_append_only(id) && r->used < bytes / each)
		bytes = r->used * each;
	return bytes;
}

/* Copies the parts of [offset, offset + bytes) that are there; returns where the last of them ends, from offset. */
static uint64_t copy_data(int fd, unsigned char *to, uint64_t offset, uint64_t bytes)
{
	uint64_t at = 0, copied = 0;
	while (at < bytes) {
		off_t data = lseek(fd, (off_t)(offset + at), SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break; /* only a hole from here on */
		uint64_t start = data < 0 ? at : (uint64_t)data - offset; /* no SEEK_DATA here: take it all as data */
		if (start >= bytes)
			break;
		off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
		uint64_t end = hole < 0 ? bytes : least(bytes, (uint64_t)hole - offset);
		if (end <= start || read_exactly(fd, to + start, end - start, offset + start) != 0)
			break; /* truncated just now: what was read so far stays, read_exactly may have left some more */
		at = copied = end;
	}
	return copied;
}

/* Reached by an index found elsewhere, never counted through: in these, elements of zeros only (live lines without a
   block) are as good as others, and a sparse file may well end in them. In the others such an element was never
   published, and a count that no data backs would only cost memory. */
static bool is_reached_by_index(enum mtrace_region_id id)
{
	return id == MTRACE_REGION_LIVE_CHUNKS || id == MTRACE_REGION_LIVE_LEAVES || id == MTRACE_REGION_LIVE_LINES;
}

/* From the last on, so that none is written over before it was moved. */
static void widen(unsigned char *elements, uint64_t count, uint64_t each, uint64_t wide)
{
	while (count-- > 0) {
		memmove(elements + count * wide, elements + count * each, each);
		memset(elements + count * wide + each, 0, wide - each);
	}
}

static void forget(struct segment_region *region)
{
	if (region->bytes)
		munmap((void *)(uintptr_t)region->bytes, region->mapped_bytes);
	memset(region, 0, sizeof *region);
}

void segment_copy_region(struct segment *s, enum mtrace_region_id id)
{
	struct segment_region *region = &s->regions[id];
	forget(region);
	if (segment_copy_head(s) != 0 || id >= segment_header(s)->region_count)
		return;
	uint64_t bytes = wanted_bytes(s, id);
	if (bytes == 0)
		return;
	uint64_t each = stored_bytes(s, id), wide = element_bytes(id), room = bytes / each * wide + bytes % each;
	void *to = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (to == MAP_FAILED) {
		s->skipped++;
		return;
	}
	region->bytes = to;
	region->mapped_bytes = room;
	/* an element that begins before a hole is whole: the hole is its zeros */
	uint64_t copied = copy_data(s->fd, to, segment_header(s)->regions[id].offset, bytes);
	region->count = is_reached_by_index(id) ? bytes / each : least((copied + each - 1) / each, bytes / each);
	if (each < wide)
		widen(to, region->count, each, wide);
}

static uint64_t ranges_current(const struct segment *s)
{
	uint64_t current = 0;
	uint64_t offset = segment_header(s)->regions[MTRACE_REGION_RANGES].offset;
	if (read_exactly(s->fd, &current, sizeof current, offset) != 0)
		return 0;
	return current;
}

void segment_copy_ranges(struct segment *s)
{
	/* An applier writes the copy that is not current, then the first word. Each application is a few
	   microseconds of some mmap call, our copy rarely longer: this many looks are ample. */
	for (int attempt = 0; attempt < 64; attempt++) {
		segment_copy_region(s, MTRACE_REGION_RANGES);
		segment_copy_region(s, MTRACE_REGION_RANGES_OTHER);
		segment_copy_region(s, MTRACE_REGION_RANGE_LOG);
		const struct segment_region *r = &s->regions[MTRACE_REGION_RANGES];
		if (!s->alive || r->count < sizeof(struct mtrace_range_table))
			return;
		if (((const struct mtrace_range_table *)(const void *)r->bytes)->current == ranges_current(s))
			return;
	}
	s->process->note = "mappings changed too fast to be read as one instant; mmap figures may be off by a few";
}

void segment_copy_free(struct segment *s)
{
	for (int id = 0; id < MTRACE_REGION_COUNT; id++)
		forget(&s->regions[id]);
}

const void *segment_element(const struct segment *s, enum mtrace_region_id id, uint64_t index)
{
	const struct segment_region *r = &s->regions[id];
	return index < r->count ? r->bytes + index * element_bytes(id) : NULL;
}

const char *segment_string(struct segment *s, uint32_t offset)
{
	const struct segment_region *strings = &s->regions[MTRACE_REGION_STRINGS];
	if (offset >= strings->count) {
		s->skipped += offset != 0;
		return "";
	}
	return profile_string_n(s->profile, (const char *)strings->bytes + offset, strings->count - offset);
}
