/*
 * codec: the byte-level grammar of a recording and of the symbol cache: growing buffers, varints, columns, and
 * chunks (a 40-byte header, then zstd). Used by read/recording*.c and symbols/cache.c; knows nothing of profiles.
 *
 * Everything is little-endian whatever the machine. Decoding is hostile-safe: a cursor never passes its end, a
 * chunk is never inflated beyond CODEC_RAW_MAX, and no count is believed before it is compared with the bytes there.
 */
#ifndef MTRACE_CODEC_H
#define MTRACE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CODEC_RAW_MAX (16u << 20)    /* most raw bytes of a chunk */
#define CODEC_STORED_MAX (17u << 20) /* most stored bytes of a chunk: what zstd may need for that */
#define CODEC_ROWS_MAX 65536u        /* most rows of a table in one chunk */

/* ---- buffers: append-only, dies on exhaustion of memory ---- */
struct codec_buffer {
	uint8_t *bytes;
	size_t used, capacity;
};
void codec_put_bytes(struct codec_buffer *b, const void *bytes, size_t count);
void codec_put_varint(struct codec_buffer *b, uint64_t value);
void codec_buffer_free(struct codec_buffer *b);

/* ---- cursors: what is left to decode. The first thing out of bounds sets `bad`, and all later reads give 0 ---- */
struct codec_cursor {
	const uint8_t *at, *end;
	bool bad;
};
uint64_t codec_get_varint(struct codec_cursor *c);
const uint8_t *codec_get_bytes(struct codec_cursor *c, uint64_t count); /* NULL when they are not there */

/* ---- columns: id, encoding, byte length, then the values ---- */
enum codec_encoding {
	CODEC_VARINT = 0, /* each value as a varint */
	CODEC_DELTA = 1,  /* the zigzag of each value's difference from the one before, as a varint */
	CODEC_BYTES = 2   /* one byte a value; values up to 255 */
};
struct codec_column {
	uint64_t id;
	uint64_t *values; /* owned: codec_columns_free */
	size_t count;
};
void codec_put_column(struct codec_buffer *b, uint64_t id, enum codec_encoding e, const uint64_t *values, size_t count);

/* Decodes `count` columns. Columns of an unknown encoding are left out, as are those beyond the 64th. False: damaged. */
#define CODEC_COLUMNS_MAX 64
struct codec_columns {
	struct codec_column column[CODEC_COLUMNS_MAX];
	size_t count;
	uint64_t bytes; /* memory they hold */
};
bool codec_get_columns(struct codec_cursor *c, struct codec_columns *out);
const struct codec_column *codec_column(const struct codec_columns *columns, uint64_t id); /* NULL: not there */
void codec_columns_free(struct codec_columns *columns);

static inline uint64_t codec_zigzag(int64_t v)
{
	return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}

static inline int64_t codec_unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1 ^ -(v & 1));
}

/* ---- strings by content, numbered from 1 as they come; 0 is NULL. The texts are the caller's ---- */
struct codec_strings {
	const char **text; /* [number - 1] */
	size_t count, capacity;
	uint32_t *slots; /* open addressing over numbers, 0 empty */
	size_t slot_count;
	size_t written; /* how many codec_put_new_strings has put */
};
uint64_t codec_string_number(struct codec_strings *strings, const char *s);
/* Number of the first new one, how many, the length of each, then their bytes. */
void codec_put_new_strings(struct codec_buffer *b, struct codec_strings *strings);
void codec_strings_free(struct codec_strings *strings);

/* ---- chunks ---- */
#define CODEC_CHUNK_BYTES 40u /* header */
#define CODEC_REQUIRED 1u     /* flag: a reader that does not know this type must refuse the file */
struct codec_chunk {
	uint32_t type, flags, process, sequence;
	uint64_t raw_bytes, stored_bytes;
	uint32_t body_crc;
};
enum codec_status { CODEC_OK, CODEC_END_OF_FILE, CODEC_CUT_SHORT, CODEC_DAMAGED, CODEC_BODY_DAMAGED };

/* Compresses `raw` and writes header and body. 0 or -errno. Sets the chunk's sizes and crc. */
int codec_write_chunk(FILE *out, struct codec_chunk *chunk, const struct codec_buffer *raw);
/* The same in two steps: *stored is malloc'd, chunk->stored_bytes long; NULL: raw is too large. */
enum codec_effort { CODEC_QUICK = 1, CODEC_SMALL = 6 }; /* zstd's levels */
uint8_t *codec_pack(struct codec_chunk *chunk, const struct codec_buffer *raw, enum codec_effort effort);
int codec_write_packed(FILE *out, const struct codec_chunk *chunk, const uint8_t *stored);
/* Reads one chunk header. DAMAGED: its own checksum or bounds are wrong, so what follows cannot be found. */
enum codec_status codec_read_chunk(FILE *in, struct codec_chunk *chunk);
/* Reads the body that follows. raw == NULL: skips it. *raw is malloc'd, chunk->raw_bytes long. BODY_DAMAGED: the
   next chunk can still be read. */
enum codec_status codec_read_body(FILE *in, const struct codec_chunk *chunk, uint8_t **raw);
/* The same in two steps: *stored is malloc'd, chunk->stored_bytes long, as is *raw then. */
enum codec_status codec_read_stored(FILE *in, const struct codec_chunk *chunk, uint8_t **stored);
enum codec_status codec_unpack(const struct codec_chunk *chunk, const uint8_t *stored, uint8_t **raw);

/* ---- fixed-width little-endian words ---- */
static inline void codec_store32(uint8_t *at, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> 8 * i);
}

static inline uint32_t codec_load32(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline void codec_store64(uint8_t *at, uint64_t v)
{
	codec_store32(at, (uint32_t)v);
	codec_store32(at + 4, (uint32_t)(v >> 32));
}

static inline uint64_t codec_load64(const uint8_t *at)
{
	return codec_load32(at) | (uint64_t)codec_load32(at + 4) << 32;
}

uint32_t codec_crc(const void *bytes, size_t count);

/* Memory that ends the program with one line when there is none. */
void *codec_grow(void *p, size_t *capacity, size_t needed, size_t element_bytes);

#endif
