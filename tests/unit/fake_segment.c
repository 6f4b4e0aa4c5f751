/* fake_segment: see fake_segment.h. */
#include "fake_segment.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void must(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fake_segment: %s\n", what);
	abort();
}

struct shape {
	uint32_t element_bytes, elements;
};

static const struct shape shapes[MTRACE_REGION_COUNT] = {
	[MTRACE_REGION_FRAMES] = {sizeof(struct mtrace_frame), 4096},
	[MTRACE_REGION_FRAME_BUCKETS] = {4, 1024},
	[MTRACE_REGION_NODES] = {sizeof(struct mtrace_node), 4096},
	[MTRACE_REGION_NODE_BUCKETS] = {4, 1024},
	[MTRACE_REGION_ROWS] = {sizeof(struct mtrace_row), 1024},
	[MTRACE_REGION_LIVE_ROOT] = {8, MTRACE_LIVE_ROOT_ENTRIES},
	[MTRACE_REGION_LIVE_CHUNKS] = {sizeof(struct mtrace_live_chunk), 8},
	[MTRACE_REGION_LIVE_LEAVES] = {8, 512},
	[MTRACE_REGION_LIVE_LINES] = {sizeof(struct mtrace_live_line), 8192},
	[MTRACE_REGION_LIVE_HUGE] = {sizeof(struct mtrace_live_huge), MTRACE_LIVE_HUGE_ENTRIES},
	[MTRACE_REGION_MODULES] = {sizeof(struct mtrace_module), 128},
	[MTRACE_REGION_STRINGS] = {1, 65536},
	[MTRACE_REGION_THREADS] = {sizeof(struct mtrace_thread), 256},
	[MTRACE_REGION_MARKS] = {sizeof(struct mtrace_mark), 64},
	[MTRACE_REGION_RANGES] = {1, sizeof(struct mtrace_range_table) + MTRACE_RANGES_MAX * sizeof(struct mtrace_range)},
	[MTRACE_REGION_RANGE_LOG] = {sizeof(struct mtrace_range_op), MTRACE_RANGE_LOG_ENTRIES},
	[MTRACE_REGION_TALLIES] = {sizeof(struct mtrace_tally), 1024},
	[MTRACE_REGION_FOLDS] = {sizeof(struct mtrace_fold), MTRACE_FOLDS_MAX},
	[MTRACE_REGION_RANGES_OTHER] = {1, MTRACE_RANGES_MAX * sizeof(struct mtrace_range)},
	[MTRACE_REGION_EPOCHS] = {sizeof(struct mtrace_boundary), MTRACE_BOUNDARIES},
	[MTRACE_REGION_PASTS] = {8, 1024},
	[MTRACE_REGION_HISTORY] = {sizeof(struct mtrace_past), 1024},
	[MTRACE_REGION_RING] = {sizeof(struct mtrace_ring_slot), FAKE_RING_SLOTS + 1},
	[MTRACE_REGION_METHODS] = {sizeof(struct mtrace_method), 64},
	[MTRACE_REGION_METHOD_NAMES] = {1, 4096},
	[MTRACE_REGION_STREAM] = {MTRACE_STREAM_PART_BYTES, MTRACE_STREAM_PARTS_OFFSET / MTRACE_STREAM_PART_BYTES + FAKE_PARTS},
};

static uint64_t page_up(uint64_t n)
{
	return (n + MTRACE_PAGE_BYTES - 1) / MTRACE_PAGE_BYTES * MTRACE_PAGE_BYTES;
}

static void describe(struct fake_segment *f)
{
	struct mtrace_header *h = fake_header(f);
	memcpy(h->magic, MTRACE_SEGMENT_MAGIC, sizeof h->magic);
	h->version = MTRACE_SEGMENT_VERSION;
	h->min_version = MTRACE_SEGMENT_MIN_VERSION;
	h->header_bytes = sizeof *h;
	h->machine = 62;
	h->little_endian = 1;
	h->word_bits = 64;
	h->pid = 4127;
	h->parent_pid = 1;
	h->start_time = 987654;
	h->wall_start_ns = 1700000000000000000u;
	h->mono_start_ns = 1000000000u;
	h->state = MTRACE_STATE_LIVE;
	h->region_count = MTRACE_REGION_COUNT;
	h->counter_count = MTRACE_COUNTER_COUNT;
	h->committed_bytes = 1 << 20;
	h->file_bytes = f->bytes;
	strcpy(h->shim_version, "0.0.0-fake");
	strcpy(fake_info(f)->exe, "/opt/app/server");
	strcpy(fake_info(f)->cwd, "/srv");
}

struct fake_segment *fake_segment_new(void)
{
	struct fake_segment *f = calloc(1, sizeof *f);
	uint64_t offset = MTRACE_REGIONS_OFFSET;
	must(f != NULL, "memory");
	for (int id = 0; id < MTRACE_REGION_COUNT; id++)
		offset += page_up((uint64_t)shapes[id].element_bytes * shapes[id].elements);
	f->bytes = offset;
	f->image = calloc(1, f->bytes);
	must(f->image != NULL, "memory");
	describe(f);
	offset = MTRACE_REGIONS_OFFSET;
	for (int id = 0; id < MTRACE_REGION_COUNT; id++) {
		struct mtrace_region *r = &fake_header(f)->regions[id];
		r->offset = offset;
		r->reserved_bytes = page_up((uint64_t)shapes[id].element_bytes * shapes[id].elements);
		r->committed_bytes = r->reserved_bytes;
		r->element_bytes = shapes[id].element_bytes;
		r->used = id == MTRACE_REGION_NODES ? MTRACE_FIRST_NODE : 1;
		offset += r->reserved_bytes;
	}
	f->lines_used = 1;
	return f;
}

void fake_segment_free(struct fake_segment *f)
{
	free(f->image);
	free(f);
}

static bool is_zero(const unsigned char *page, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (page[i])
			return false;
	return true;
}

void fake_segment_write(const struct fake_segment *f, int fd)
{
	must(ftruncate(fd, 0) == 0 && ftruncate(fd, (off_t)f->bytes) == 0, "ftruncate");
	for (size_t at = 0; at < f->bytes; at += MTRACE_PAGE_BYTES)
		if (!is_zero(f->image + at, MTRACE_PAGE_BYTES))
			must(pwrite(fd, f->image + at, MTRACE_PAGE_BYTES, (off_t)at) == MTRACE_PAGE_BYTES, "pwrite");
}

void fake_segment_save(const struct fake_segment *f, const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	must(fd >= 0, path);
	fake_segment_write(f, fd);
	close(fd);
}

struct mtrace_header *fake_header(struct fake_segment *f)
{
	return (void *)(f->image + MTRACE_HEADER_OFFSET);
}

struct mtrace_info *fake_info(struct fake_segment *f)
{
	return (void *)(f->image + MTRACE_INFO_OFFSET);
}

struct mtrace_hot *fake_hot(struct fake_segment *f)
{
	return (void *)(f->image + MTRACE_HOT_OFFSET);
}

void *fake_element(struct fake_segment *f, enum mtrace_region_id region, uint64_t index)
{
	must(index < shapes[region].elements, "a region is full");
	return f->image + fake_header(f)->regions[region].offset + index * shapes[region].element_bytes;
}

void fake_args(struct fake_segment *f, const char *const *args)
{
	struct mtrace_info *info = fake_info(f);
	info->args_bytes = 0;
	for (; *args; args++) {
		strcpy(info->args + info->args_bytes, *args);
		info->args_bytes += (uint32_t)strlen(*args) + 1;
	}
	info->args_total = info->args_bytes;
}

static void *take(struct fake_segment *f, enum mtrace_region_id region, uint32_t *id)
{
	struct mtrace_region *r = &fake_header(f)->regions[region];
	*id = (uint32_t)r->used++;
	return fake_element(f, region, *id);
}

static uint32_t add_text(struct fake_segment *f, enum mtrace_region_id region, const char *s)
{
	struct mtrace_region *r = &fake_header(f)->regions[region];
	uint32_t at = (uint32_t)r->used;
	strcpy(fake_element(f, region, at), s);
	r->used += strlen(s) + 1;
	return at;
}

uint32_t fake_module(struct fake_segment *f, const char *path, uint8_t build_id_byte)
{
	uint32_t id;
	struct mtrace_module *m = take(f, MTRACE_REGION_MODULES, &id);
	m->path = add_text(f, MTRACE_REGION_STRINGS, path);
	m->start = 0x555500000000u + id * 0x1000000u;
	m->end = m->start + 0x800000;
	m->bias = m->start;
	m->build_id_bytes = build_id_byte ? 20 : 0;
	memset(m->build_id, build_id_byte, m->build_id_bytes);
	m->ready = 1;
	return id;
}

uint32_t fake_method(struct fake_segment *f, const char *klass, const char *name, const char *file)
{
	uint32_t id;
	struct mtrace_method *m = take(f, MTRACE_REGION_METHODS, &id);
	m->klass = add_text(f, MTRACE_REGION_METHOD_NAMES, klass);
	m->name = add_text(f, MTRACE_REGION_METHOD_NAMES, name);
	m->file = add_text(f, MTRACE_REGION_METHOD_NAMES, file);
	return id;
}

uint32_t fake_frame(struct fake_segment *f, unsigned kind, uint32_t module, uint64_t value)
{
	uint32_t id;
	struct mtrace_frame *frame = take(f, MTRACE_REGION_FRAMES, &id);
	frame->kind = (uint16_t)kind;
	frame->module = module;
	frame->value = value;
	return id;
}

uint32_t fake_node(struct fake_segment *f, uint32_t parent, uint32_t frame)
{
	uint32_t id;
	struct mtrace_node *node = take(f, MTRACE_REGION_NODES, &id);
	node->key = (uint64_t)parent << 32 | frame;
	return id;
}

uint32_t fake_row(struct fake_segment *f, uint32_t node)
{
	uint32_t id;
	struct mtrace_row *row = take(f, MTRACE_REGION_ROWS, &id);
	row->node = node;
	if (node >= MTRACE_FIRST_NODE)
		((struct mtrace_node *)fake_element(f, MTRACE_REGION_NODES, node))->row = id;
	return id;
}

uint32_t fake_stack(struct fake_segment *f, enum mtrace_kind kind, uint32_t module, const uint64_t *values)
{
	uint32_t node = kind;
	size_t n = 0;
	while (values[n])
		n++;
	while (n-- > 0)
		node = fake_node(f, node, fake_frame(f, MTRACE_FRAME_NATIVE, module, values[n]));
	return fake_row(f, node);
}

uint32_t fake_thread(struct fake_segment *f, uint32_t tid, const char *name, uint32_t row)
{
	uint32_t id;
	struct mtrace_thread *t = take(f, MTRACE_REGION_THREADS, &id);
	char text[16] = {0};
	memcpy(text, name, strlen(name) < 15 ? strlen(name) : 15);
	memcpy((void *)t->name, text, sizeof text);
	t->tid = tid;
	t->row = row;
	t->stack_bytes = 8 << 20;
	return id;
}

void fake_mark(struct fake_segment *f, const char *name, uint64_t after_ns)
{
	uint32_t id;
	struct mtrace_mark *m = take(f, MTRACE_REGION_MARKS, &id);
	snprintf(m->name, sizeof m->name, "%s", name);
	m->mono_ns = fake_header(f)->mono_start_ns + after_ns;
	m->ready = 1;
}

/* ---- the ring ---- */

struct mtrace_ring_head *fake_ring(struct fake_segment *f)
{
	return fake_element(f, MTRACE_REGION_RING, 0);
}

struct mtrace_ring_slot *fake_news(struct fake_segment *f, enum mtrace_ring_kind kind, uint32_t thread, uint32_t subject,
                                   const uint64_t value[4])
{
	struct mtrace_ring_head *head = fake_ring(f);
	uint64_t sequence = head->next++;
	struct mtrace_ring_slot *slot = fake_element(f, MTRACE_REGION_RING, 1 + sequence % FAKE_RING_SLOTS);
	uint64_t words[MTRACE_RING_WORDS] = {sequence * 1000000u, (uint64_t)kind | (uint64_t)thread << 32, subject,
	                                     value[0], value[1], value[2], value[3]};
	words[2] |= (uint64_t)mtrace_ring_check(sequence, words) << 32;
	head->slots = FAKE_RING_SLOTS;
	memcpy((void *)slot->word, words, sizeof words);
	slot->state = MTRACE_RING_STATE(sequence);
	return slot;
}

/* ---- counts and live blocks ---- */

void fake_count(struct fake_segment *f, uint32_t row, uint64_t blocks, uint64_t bytes, uint64_t freed_blocks,
                uint64_t freed_bytes)
{
	struct mtrace_row *r = fake_element(f, MTRACE_REGION_ROWS, row);
	r->alloc_blocks += blocks;
	r->alloc_bytes += bytes;
	r->freed_blocks += freed_blocks;
	r->freed_bytes += freed_bytes;
}

enum { LINES = 16 }; /* lines per page here: the format allows any number up to 255 */

static uint64_t *leaf_of(struct fake_segment *f, unsigned family, uint64_t address, bool make)
{
	uint64_t key = (uint64_t)family << 23 | address >> 24;
	for (uint32_t i = 0; i < MTRACE_LIVE_ROOT_ENTRIES; i++) {
		uint64_t *root = fake_element(f, MTRACE_REGION_LIVE_ROOT, (key * 2654435761u + i) % MTRACE_LIVE_ROOT_ENTRIES);
		uint32_t chunk = (uint32_t)*root;
		if (*root == 0 && !make)
			return NULL;
		if (*root == 0) {
			take(f, MTRACE_REGION_LIVE_CHUNKS, &chunk);
			*root = key << 32 | chunk;
		}
		if (*root >> 32 == key)
			return (uint64_t *)fake_element(f, MTRACE_REGION_LIVE_CHUNKS, chunk) + (address >> 12) % MTRACE_LIVE_PAGES_PER_CHUNK;
	}
	return NULL;
}

static uint64_t add_leaf(struct fake_segment *f)
{
	struct mtrace_region *lines = &fake_header(f)->regions[MTRACE_REGION_LIVE_LINES];
	uint64_t first = f->lines_used;
	f->lines_used += LINES;
	lines->used = f->lines_used;
	return (uint64_t)LINES << 32 | first;
}

static struct mtrace_live_line *line_of(struct fake_segment *f, uint64_t leaf, uint64_t address)
{
	uint32_t granule = (uint32_t)(address & 4095) >> 3;
	return fake_element(f, MTRACE_REGION_LIVE_LINES, MTRACE_LEAF_LINE(leaf) + (granule * MTRACE_LEAF_LINES(leaf) >> 9));
}

static bool put(struct mtrace_live_line *line, uint64_t word, uint32_t thread)
{
	for (unsigned i = 0; i < MTRACE_LIVE_SLOTS; i++) {
		if (line->word[i] == 0) {
			line->word[i] = word;
			line->side[i] = thread;
			return true;
		}
	}
	return false;
}

static void note_huge(struct fake_segment *f, unsigned family, uint64_t address, uint64_t size)
{
	for (uint32_t i = 0; i < MTRACE_LIVE_HUGE_ENTRIES; i++) {
		struct mtrace_live_huge *h =
			fake_element(f, MTRACE_REGION_LIVE_HUGE, ((address >> 4) + i) % MTRACE_LIVE_HUGE_ENTRIES);
		if (h->address != 0)
			continue;
		h->address = (uint64_t)family << 61 | address;
		h->size = size;
		return;
	}
}

bool fake_insert(struct fake_segment *f, unsigned family, uint64_t address, uint64_t size, uint32_t row, uint32_t thread)
{
	uint64_t *leaf = leaf_of(f, family, address, true);
	uint64_t small = size < MTRACE_SLOT_SIZE_HUGE ? size : MTRACE_SLOT_SIZE_HUGE;
	uint64_t word = (address & 4095) >> 3 << 55 | small << MTRACE_SLOT_ROW_BITS | row;
	if (size >= MTRACE_SLOT_SIZE_HUGE)
		note_huge(f, family, address, size);
	if (*leaf == 0)
		*leaf = add_leaf(f);
	while (!put(line_of(f, *leaf, address), word, thread)) {
		uint32_t next = MTRACE_LEAF_NEXT(*leaf);
		if (next == 0) {
			uint64_t *second = take(f, MTRACE_REGION_LIVE_LEAVES, &next);
			*second = add_leaf(f);
			*leaf |= (uint64_t)next << 40;
		}
		leaf = fake_element(f, MTRACE_REGION_LIVE_LEAVES, next);
	}
	return true;
}

uint64_t *fake_slot(struct fake_segment *f, unsigned family, uint64_t address)
{
	uint64_t *leaf = leaf_of(f, family, address, false);
	while (leaf && *leaf) {
		struct mtrace_live_line *line = line_of(f, *leaf, address);
		for (unsigned i = 0; i < MTRACE_LIVE_SLOTS; i++)
			if (line->word[i] && MTRACE_SLOT_GRANULE(line->word[i]) == (address & 4095) >> 3)
				return (uint64_t *)&line->word[i];
		uint32_t next = MTRACE_LEAF_NEXT(*leaf);
		leaf = next ? fake_element(f, MTRACE_REGION_LIVE_LEAVES, next) : NULL;
	}
	return NULL;
}

bool fake_remove(struct fake_segment *f, unsigned family, uint64_t address)
{
	uint64_t *slot = fake_slot(f, family, address);
	if (slot)
		*slot = 0;
	return slot != NULL;
}

void fake_malloc(struct fake_segment *f, uint32_t row, uint64_t address, uint64_t size, uint32_t thread)
{
	fake_insert(f, MTRACE_FAMILY_MALLOC, address, size, row, thread);
	fake_count(f, row, 1, size, 0, 0);
}

void fake_free(struct fake_segment *f, uint32_t row, uint64_t address, uint64_t size)
{
	must(fake_remove(f, MTRACE_FAMILY_MALLOC, address), "free of a block that is not live");
	fake_count(f, row, 0, 0, 1, size);
}

/* ---- ranges ---- */

void fake_range(struct fake_segment *f, uint64_t start, uint64_t end, uint32_t row)
{
	struct mtrace_range_table *table = fake_element(f, MTRACE_REGION_RANGES, 0);
	struct mtrace_range *ranges = (void *)(table + 1);
	ranges[table->count[0]++] = (struct mtrace_range){.start = start, .end = end, .row = row};
}

void fake_range_op(struct fake_segment *f, enum mtrace_range_kind kind, uint64_t start, uint64_t end, uint32_t row,
                   uint32_t token)
{
	struct mtrace_range_table *table = fake_element(f, MTRACE_REGION_RANGES, 0);
	uint64_t sequence = table->next++;
	struct mtrace_range_op *op = fake_element(f, MTRACE_REGION_RANGE_LOG, sequence % MTRACE_RANGE_LOG_ENTRIES);
	*op = (struct mtrace_range_op){.start = start, .end = end, .row = row, .op = kind, .token = token};
	op->commit = sequence + 1;
}

struct mtrace_stream_head *fake_stream(struct fake_segment *f)
{
	return fake_element(f, MTRACE_REGION_STREAM, 0);
}

struct mtrace_stream_part *fake_part(struct fake_segment *f, uint32_t part)
{
	return (struct mtrace_stream_part *)(void *)(fake_stream(f) + 1) + part;
}

struct mtrace_stream_record *fake_record(struct fake_segment *f, uint32_t part, uint32_t index)
{
	char *parts = (char *)(void *)fake_stream(f) + MTRACE_STREAM_PARTS_OFFSET;
	return (struct mtrace_stream_record *)(void *)(parts + (size_t)part * MTRACE_STREAM_PART_BYTES) + index;
}

struct mtrace_control *fake_control(struct fake_segment *f)
{
	return (void *)(f->image + MTRACE_CONTROL_OFFSET);
}
