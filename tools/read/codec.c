/*
 * codec: see codec.h. Buffers, varints, columns and chunks of recordings and of the symbol cache.
 *
 * Called by read/recording.c, read/recording_write.c and symbols/cache.c. It must never trust a length it has read:
 * all of them are checked against the bytes that are really there, and inflation stops at CODEC_RAW_MAX.
 */
#include "codec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "command.h"

void *codec_grow(void *p, size_t *capacity, size_t needed, size_t element_bytes)
{
	size_t wanted = *capacity ? *capacity : 16;

	if (needed <= *capacity)
		return p;
	while (wanted < needed)
		wanted *= 2;
	p = reallocarray(p, wanted, element_bytes);
	if (!p)
		die(EXIT_TROUBLE, "out of memory");
	*capacity = wanted;
	return p;
}

/* ---- buffers ---- */

void codec_put_bytes(struct codec_buffer *b, const void *bytes, size_t count)
{
	b->bytes = codec_grow(b->bytes, &b->capacity, b->used + count, 1);
	if (count)
		memcpy(b->bytes + b->used, bytes, count);
	b->used += count;
}

enum { VARINT_BYTES_MOST = 10 };

/* `at` has room for VARINT_BYTES_MOST. Returns what is behind it. */
static uint8_t *put_varint_at(uint8_t *at, uint64_t value)
{
	for (; value > 0x7f; value >>= 7)
		*at++ = (uint8_t)(value | 0x80);
	*at++ = (uint8_t)value;
	return at;
}

static uint8_t *room_for(struct codec_buffer *b, size_t bytes)
{
	b->bytes = codec_grow(b->bytes, &b->capacity, b->used + bytes, 1);
	return b->bytes + b->used;
}

void codec_put_varint(struct codec_buffer *b, uint64_t value)
{
	uint8_t *at = room_for(b, VARINT_BYTES_MOST);

	b->used = (size_t)(put_varint_at(at, value) - b->bytes);
}

void codec_buffer_free(struct codec_buffer *b)
{
	free(b->bytes);
	*b = (struct codec_buffer){0};
}

/* ---- cursors ---- */

uint64_t codec_get_varint(struct codec_cursor *c)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64 && c->at < c->end; shift += 7) {
		uint8_t byte = *c->at++;

		if (shift == 63 && byte > 1)
			break;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	c->bad = true;
	c->at = c->end;
	return 0;
}

const uint8_t *codec_get_bytes(struct codec_cursor *c, uint64_t count)
{
	const uint8_t *bytes = c->at;

	if (c->bad || count > (uint64_t)(c->end - c->at)) {
		c->bad = true;
		c->at = c->end;
		return NULL;
	}
	c->at += count;
	return bytes;
}

/* ---- columns ---- */

static void put_values(struct codec_buffer *b, enum codec_encoding e, const uint64_t *values, size_t count)
{
	uint64_t previous = 0;
	uint8_t *at = room_for(b, count * (e == CODEC_BYTES ? 1 : VARINT_BYTES_MOST));

	for (size_t i = 0; i < count; i++) {
		if (e == CODEC_BYTES)
			*at++ = (uint8_t)values[i];
		else if (e == CODEC_DELTA)
			at = put_varint_at(at, codec_zigzag((int64_t)(values[i] - previous)));
		else
			at = put_varint_at(at, values[i]);
		previous = values[i];
	}
	b->used = (size_t)(at - b->bytes);
}

void codec_put_column(struct codec_buffer *b, uint64_t id, enum codec_encoding e, const uint64_t *values, size_t count)
{
	struct codec_buffer body = {0};

	put_values(&body, e, values, count);
	codec_put_varint(b, id);
	codec_put_varint(b, e);
	codec_put_varint(b, body.used);
	codec_put_bytes(b, body.bytes, body.used);
	codec_buffer_free(&body);
}

/* Every value takes at least one byte, so the length bounds what is allocated. */
static bool get_values(struct codec_column *column, enum codec_encoding e, const uint8_t *bytes, size_t length)
{
	struct codec_cursor c = {bytes, bytes + length, false};
	uint64_t previous = 0;
	size_t capacity = 0;

	column->values = codec_grow(NULL, &capacity, length ? length : 1, sizeof(uint64_t));
	while (c.at < c.end) {
		uint64_t v = e == CODEC_BYTES ? *c.at++ : codec_get_varint(&c);

		previous = e == CODEC_DELTA ? previous + (uint64_t)codec_unzigzag(v) : v;
		column->values[column->count++] = previous;
	}
	return !c.bad;
}

static bool get_column(struct codec_cursor *c, struct codec_columns *out)
{
	uint64_t id = codec_get_varint(c), encoding = codec_get_varint(c), length = codec_get_varint(c);
	const uint8_t *bytes = codec_get_bytes(c, length);
	struct codec_column *column = &out->column[out->count];

	if (!bytes)
		return false;
	if (encoding > CODEC_BYTES || out->count == CODEC_COLUMNS_MAX)
		return true;
	*column = (struct codec_column){.id = id};
	out->count++;
	out->bytes += length * sizeof(uint64_t);
	return get_values(column, (enum codec_encoding)encoding, bytes, length);
}

bool codec_get_columns(struct codec_cursor *c, struct codec_columns *out)
{
	*out = (struct codec_columns){.count = 0};
	while (c->at < c->end)
		if (!get_column(c, out))
			return false;
	return !c->bad;
}

const struct codec_column *codec_column(const struct codec_columns *columns, uint64_t id)
{
	for (size_t i = 0; i < columns->count; i++)
		if (columns->column[i].id == id)
			return &columns->column[i];
	return NULL;
}

void codec_columns_free(struct codec_columns *columns)
{
	for (size_t i = 0; i < columns->count; i++)
		free(columns->column[i].values);
	columns->count = 0;
}

/* ---- chunks ---- */

uint32_t codec_crc(const void *bytes, size_t count)
{
	return (uint32_t)crc32_z(0, bytes, count);
}

static void encode_header(uint8_t out[CODEC_CHUNK_BYTES], const struct codec_chunk *chunk)
{
	codec_store32(out, chunk->type);
	codec_store32(out + 4, chunk->flags);
	codec_store32(out + 8, chunk->process);
	codec_store32(out + 12, chunk->sequence);
	codec_store64(out + 16, chunk->raw_bytes);
	codec_store64(out + 24, chunk->stored_bytes);
	codec_store32(out + 32, chunk->body_crc);
	codec_store32(out + 36, codec_crc(out, CODEC_CHUNK_BYTES - 4));
}

static void decode_header(const uint8_t in[CODEC_CHUNK_BYTES], struct codec_chunk *chunk)
{
	chunk->type = codec_load32(in);
	chunk->flags = codec_load32(in + 4);
	chunk->process = codec_load32(in + 8);
	chunk->sequence = codec_load32(in + 12);
	chunk->raw_bytes = codec_load64(in + 16);
	chunk->stored_bytes = codec_load64(in + 24);
	chunk->body_crc = codec_load32(in + 32);
}

uint8_t *codec_pack(struct codec_chunk *chunk, const struct codec_buffer *raw, enum codec_effort effort)
{
	size_t capacity = ZSTD_compressBound(raw->used), stored;
	uint8_t *body;

	if (raw->used > CODEC_RAW_MAX)
		return NULL;
	body = malloc(capacity);
	if (!body)
		die(EXIT_TROUBLE, "out of memory");
	stored = ZSTD_compress(body, capacity, raw->bytes, raw->used, (int)effort);
	if (ZSTD_isError(stored))
		die(EXIT_TROUBLE, "zstd: %s", ZSTD_getErrorName(stored));
	chunk->raw_bytes = raw->used;
	chunk->stored_bytes = stored;
	chunk->body_crc = codec_crc(body, stored);
	return body;
}

int codec_write_packed(FILE *out, const struct codec_chunk *chunk, const uint8_t *stored)
{
	uint8_t header[CODEC_CHUNK_BYTES];
	bool written;

	encode_header(header, chunk);
	errno = 0;
	written = fwrite(header, sizeof(header), 1, out) == 1 && fwrite(stored, chunk->stored_bytes, 1, out) == 1;
	return written ? 0 : errno ? -errno : -EIO;
}

int codec_write_chunk(FILE *out, struct codec_chunk *chunk, const struct codec_buffer *raw)
{
	uint8_t *stored = codec_pack(chunk, raw, CODEC_SMALL);
	int code = stored ? codec_write_packed(out, chunk, stored) : -EFBIG;

	free(stored);
	return code;
}

enum codec_status codec_read_chunk(FILE *in, struct codec_chunk *chunk)
{
	uint8_t header[CODEC_CHUNK_BYTES];
	size_t got = fread(header, 1, sizeof(header), in);

	if (got < sizeof(header))
		return got ? CODEC_CUT_SHORT : CODEC_END_OF_FILE;
	if (codec_load32(header + 36) != codec_crc(header, CODEC_CHUNK_BYTES - 4))
		return CODEC_DAMAGED;
	decode_header(header, chunk);
	if (chunk->raw_bytes > CODEC_RAW_MAX || chunk->stored_bytes > CODEC_STORED_MAX)
		return CODEC_DAMAGED;
	return CODEC_OK;
}

static enum codec_status skip_body(FILE *in, uint64_t bytes)
{
	char scratch[4096];

	while (bytes) {
		size_t want = bytes < sizeof(scratch) ? bytes : sizeof(scratch);

		if (fread(scratch, 1, want, in) != want)
			return CODEC_CUT_SHORT;
		bytes -= want;
	}
	return CODEC_OK;
}

enum codec_status codec_unpack(const struct codec_chunk *chunk, const uint8_t *stored, uint8_t **raw)
{
	size_t inflated;

	*raw = NULL;
	if (chunk->raw_bytes > CODEC_RAW_MAX || codec_crc(stored, chunk->stored_bytes) != chunk->body_crc)
		return CODEC_BODY_DAMAGED;
	*raw = malloc(chunk->raw_bytes + 1);
	if (!*raw)
		die(EXIT_TROUBLE, "out of memory");
	inflated = ZSTD_decompress(*raw, chunk->raw_bytes, stored, chunk->stored_bytes);
	if (!ZSTD_isError(inflated) && inflated == chunk->raw_bytes)
		return CODEC_OK;
	free(*raw);
	*raw = NULL;
	return CODEC_BODY_DAMAGED;
}

enum codec_status codec_read_stored(FILE *in, const struct codec_chunk *chunk, uint8_t **stored)
{
	*stored = malloc(chunk->stored_bytes + 1);
	if (!*stored)
		die(EXIT_TROUBLE, "out of memory");
	if (fread(*stored, 1, chunk->stored_bytes, in) == chunk->stored_bytes)
		return CODEC_OK;
	free(*stored);
	*stored = NULL;
	return CODEC_CUT_SHORT;
}

enum codec_status codec_read_body(FILE *in, const struct codec_chunk *chunk, uint8_t **raw)
{
	enum codec_status status;
	uint8_t *stored;

	if (!raw)
		return skip_body(in, chunk->stored_bytes);
	*raw = NULL;
	status = codec_read_stored(in, chunk, &stored);
	if (status == CODEC_OK)
		status = codec_unpack(chunk, stored, raw);
	free(stored);
	return status;
}
