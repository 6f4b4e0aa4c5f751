/*
 * recording: the grammar of a recording, shared by its writer, its reader and nobody else. mtrace-format.5 tells it
 * in prose; the tables in recording_tables.c are the truth.
 *
 * A recording is a 64-byte header, then chunks (codec.h), the last of type END. The chunks of one process stand
 * together, in the order of enum recording_type. The payload of a chunk is
 *
 *      first row, rows, first string, strings   (varints)
 *      length of each string (varints), then their bytes
 *      columns                                  (codec.h)
 *
 * Strings are numbered from 1 through one process, as they are first used; 0 is "no string". A column that is not there
 * is all zeros, one that is not known is left out: columns may be added without a new version. Ids of chunk types and
 * columns are never used again for something else.
 */
#ifndef MTRACE_RECORDING_H
#define MTRACE_RECORDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec.h"
#include "model/profile.h"

#define RECORDING_MAGIC "MTRREC\r\n"
#define RECORDING_VERSION 1u
#define RECORDING_MIN_VERSION 1u /* lowest reader version that understands what we write */
#define RECORDING_HEADER_BYTES 64u
#define RECORDING_HEADER_BYTES_MAX 4096u

/* Where things stand in the header. */
enum {
	RECORDING_AT_VERSION = 8,
	RECORDING_AT_MIN_VERSION = 12,
	RECORDING_AT_HEADER_BYTES = 16,
	RECORDING_AT_PROCESS_COUNT = 20,
	RECORDING_AT_FEATURES_REQUIRED = 24,
	RECORDING_AT_FEATURES_OPTIONAL = 32,
	RECORDING_AT_TOOL_VERSION = 40, /* 16 bytes of text */
	RECORDING_AT_CRC = 60           /* of the 60 bytes before it */
};

/* Chunk types. Those below RECORDING_TYPES carry a table. */
enum recording_type {
	RECORDING_PROCESS = 0,
	RECORDING_KINDS,
	RECORDING_COUNTERS,
	RECORDING_LEDGER,
	RECORDING_MARKS,
	RECORDING_MODULES,
	RECORDING_FRAMES,
	RECORDING_NAMES,
	RECORDING_STACKS,
	RECORDING_THREADS,
	RECORDING_LIVE,
	RECORDING_BOUNDARIES, /* from here on a reader may do without */
	RECORDING_CHANGES,
	RECORDING_EVENTS, /* not required: older readers do without */
	RECORDING_ROWS,   /* only with a stream: stacks by the segment's row ids */
	RECORDING_STREAM, /* not taken apart before somebody asks: see stream.h */
	RECORDING_EXHAUSTIONS,
	RECORDING_CLASSES,
	RECORDING_TYPES,
	RECORDING_END = 255
};

/* Columns that are lists or need a step of their own; all other ids are in recording_tables.c, below 64. */
enum recording_list {
	RECORDING_ARGS = 64,         /* PROCESS: strings */
	RECORDING_BUILD_IDS = 65,    /* MODULES: bytes of all build-ids */
	RECORDING_NAME_COUNTS = 66,  /* NAMES: names of each frame, then one entry per name in the four below */
	RECORDING_FUNCTIONS = 67,
	RECORDING_FILES = 68,
	RECORDING_LINES = 69,
	RECORDING_INLINED = 70,
	RECORDING_RANKS = 71,        /* STACKS: place in the profile's order, less the chunk's first row */
	RECORDING_SHARED = 72,       /* STACKS: outermost frames in common with the stack before, in the chunk */
	RECORDING_OWN = 73,          /* STACKS: frames after these, from the outside inwards */
	RECORDING_STACK_FRAMES = 74, /* STACKS: the own frames of all */
	RECORDING_SIGNATURES = 75    /* NAMES: strings, as 67; absent where no name has one. Older readers do without */
};

enum recording_form {
	FORM_NUMBER, /* unsigned of 1, 2, 4 or 8 bytes; enums too */
	FORM_SIGNED, /* int, as zigzag */
	FORM_FLAG,   /* bool */
	FORM_STRING, /* const char *, as a string number */
	FORM_INDEX   /* u32 whose all-ones means none: stored as index + 1 */
};

struct recording_field {
	uint8_t id;
	uint8_t form;     /* enum recording_form */
	uint8_t encoding; /* enum codec_encoding: of the writer; the reader goes by what the column says */
	uint8_t width;    /* bytes in memory */
	uint16_t offset;
};

struct recording_table {
	const char *name;
	const struct recording_field *fields;
	uint16_t field_count;
	uint16_t row_bytes;
	uint16_t array, count; /* offsets in struct profile_process of the array's pointer and of its length; 0 none */
	bool positional;       /* rows are pointed at by their number */
};
extern const struct recording_table recording_tables[RECORDING_TYPES];

/* The field of a row in memory, as the number that is stored (but for strings), and back. False: does not fit. */
uint64_t recording_load(const struct recording_field *f, const void *row);
bool recording_store(const struct recording_field *f, void *row, uint64_t value);

/* The array of a table in a process. */
void *recording_array(const struct recording_table *t, const struct profile_process *process, uint32_t *count);
void recording_set_array(const struct recording_table *t, struct profile_process *process, void *rows, uint32_t count);

#endif
