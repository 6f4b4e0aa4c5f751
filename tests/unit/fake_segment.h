/*
 * fake_segment: segments made up byte by byte from format.h, for tests of what reads them. The image is kept in memory
 * (a few MiB, mostly zeros) and written to a file, sparse. Nothing here comes from the shim: two readings of format.h
 * must agree.
 */
#ifndef MTRACE_FAKE_SEGMENT_H
#define MTRACE_FAKE_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format.h"

struct fake_segment {
	unsigned char *image;
	size_t bytes;
	uint32_t lines_used; /* of the live table */
};

struct fake_segment *fake_segment_new(void); /* a live state, exact mode, pid 4127, no tables filled */
void fake_segment_free(struct fake_segment *f);
void fake_segment_write(const struct fake_segment *f, int fd);          /* truncates first; pages of zeros are holes */
void fake_segment_save(const struct fake_segment *f, const char *path); /* the same, to a file of mode 0600 */

struct mtrace_header *fake_header(struct fake_segment *f);
struct mtrace_info *fake_info(struct fake_segment *f);
struct mtrace_hot *fake_hot(struct fake_segment *f);
void *fake_element(struct fake_segment *f, enum mtrace_region_id region, uint64_t index);
void fake_args(struct fake_segment *f, const char *const *args);

/* Each returns the new id. */
uint32_t fake_module(struct fake_segment *f, const char *path, uint8_t build_id_byte); /* 0: without build-id */
uint32_t fake_method(struct fake_segment *f, const char *klass, const char *name, const char *file);
uint32_t fake_frame(struct fake_segment *f, unsigned kind, uint32_t module, uint64_t value);
uint32_t fake_node(struct fake_segment *f, uint32_t parent, uint32_t frame);
uint32_t fake_row(struct fake_segment *f, uint32_t node);
/* A stack of native frames of one module, innermost first; values end at 0. */
uint32_t fake_stack(struct fake_segment *f, enum mtrace_kind kind, uint32_t module, const uint64_t *values);
uint32_t fake_thread(struct fake_segment *f, uint32_t tid, const char *name, uint32_t row);
void fake_mark(struct fake_segment *f, const char *name, uint64_t after_ns);

/* One more record in the ring, which holds FAKE_RING_SLOTS; millisecond n is when record n was put. */
#define FAKE_RING_SLOTS 63u
struct mtrace_ring_head *fake_ring(struct fake_segment *f);
struct mtrace_ring_slot *fake_news(struct fake_segment *f, enum mtrace_ring_kind kind, uint32_t thread, uint32_t subject,
                                   const uint64_t value[4]);

/* The stream: its head, and a part with its records, of which there are FAKE_PARTS. */
#define FAKE_PARTS 4u
struct mtrace_stream_head *fake_stream(struct fake_segment *f);
struct mtrace_stream_part *fake_part(struct fake_segment *f, uint32_t part);
struct mtrace_stream_record *fake_record(struct fake_segment *f, uint32_t part, uint32_t index);
struct mtrace_control *fake_control(struct fake_segment *f);

/* Counts of a row, the live table, and both at once. */
void fake_count(struct fake_segment *f, uint32_t row, uint64_t blocks, uint64_t bytes, uint64_t freed_blocks,
                uint64_t freed_bytes);
bool fake_insert(struct fake_segment *f, unsigned family, uint64_t address, uint64_t size, uint32_t row, uint32_t thread);
bool fake_remove(struct fake_segment *f, unsigned family, uint64_t address); /* false: not there */
void fake_malloc(struct fake_segment *f, uint32_t row, uint64_t address, uint64_t size, uint32_t thread);
void fake_free(struct fake_segment *f, uint32_t row, uint64_t address, uint64_t size);
uint64_t *fake_slot(struct fake_segment *f, unsigned family, uint64_t address); /* NULL: not there */

/* The map of ranges: entries of copy 0, and operations appended to the log. */
void fake_range(struct fake_segment *f, uint64_t start, uint64_t end, uint32_t row);
void fake_range_op(struct fake_segment *f, enum mtrace_range_kind op, uint64_t start, uint64_t end, uint32_t row,
                   uint32_t token);

#endif
