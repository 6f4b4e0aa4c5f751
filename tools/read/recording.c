/*
 * recording: reads what recording_write wrote, maybe elsewhere, maybe by a newer mtrace, maybe damaged or hostile.
 *
 * Called by read/target.c and by commands that take a recording. Each chunk is checked on its own and taken whole or
 * not at all; what other parts point at is checked when a process is complete (recording_settle), and rows that point at
 * something lost are left out. Everything left out is counted in process->skipped, with one line in process->note.
 *
 * Bound: the memory used, besides one chunk, is at most RECORDING_BASE_BYTES plus RECORDING_RATIO bytes for each byte
 * of the file that has been read (recording_charge), so that a small file cannot make us large.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "read.h"
#include "recording_reader.h"

__attribute__((format(printf, 3, 4))) static int refuse(struct reader *r, int code, const char *format, ...)
{
	va_list arguments;
	int n = snprintf(r->error->text, sizeof(r->error->text), "%s: ", r->path);

	va_start(arguments, format);
	if (n > 0 && (size_t)n < sizeof(r->error->text))
		vsnprintf(r->error->text + n, sizeof(r->error->text) - (size_t)n, format, arguments);
	va_end(arguments);
	return code;
}

/* ---- chunks ---- */

/* Chunks of a process stand together, and processes in order. */
static bool enter_process(struct reader *r, uint32_t number)
{
	if (r->open && number == r->file_process)
		return true;
	if (number >= r->process_count || (r->processes + r->open && number <= r->file_process))
		return false;
	recording_close_process(r);
	r->open = true;
	r->file_process = number;
	r->described = (struct profile_process){.exe = recording_lost_string(r)};
	recording_settle_description(r, &r->described);
	return true;
}

static int refuse_newer(struct reader *r, const char *what, unsigned long long which)
{
	return refuse(r, -ENOTSUP,
		      "written by mtrace %s (recording version %u, for readers from %u on); this is mtrace %s (recording "
		      "version %u), which does not know its %s %llu: read it with mtrace %s or newer",
		      r->tool_version, r->version, r->min_version, mtrace_version, RECORDING_VERSION, what, which,
		      r->tool_version);
}

/* A part of a stream is kept as it is, and opened when it is asked for. */
static enum codec_status read_stream_part(struct reader *r, const struct codec_chunk *chunk)
{
	uint8_t *stored = NULL, *bytes;
	enum codec_status status = codec_read_stored(r->in, chunk, &stored);

	if (status != CODEC_OK)
		return status;
	if (enter_process(r, chunk->process) && recording_charge(r, chunk->stored_bytes + sizeof(*r->parts))) {
		bytes = profile_alloc(r->profile, chunk->stored_bytes, 1);
		memcpy(bytes, stored, chunk->stored_bytes);
		r->parts = codec_grow(r->parts, &r->part_capacity, r->part_count + 1, sizeof(*r->parts));
		r->parts[r->part_count++] = (struct profile_stream_part){bytes, (uint32_t)chunk->stored_bytes,
									(uint32_t)chunk->raw_bytes, chunk->body_crc};
	} else {
		r->why = "is damaged";
	}
	free(stored);
	return CODEC_OK;
}

/* The body of a chunk that we know. CODEC_OK also when it is damaged: the next one can be read. */
static enum codec_status read_known(struct reader *r, const struct codec_chunk *chunk)
{
	uint8_t *raw = NULL;
	enum codec_status status;

	if (chunk->type == RECORDING_STREAM)
		return read_stream_part(r, chunk);
	status = codec_read_body(r->in, chunk, &raw);
	if (status != CODEC_OK && status != CODEC_BODY_DAMAGED)
		return status;
	if (!enter_process(r, chunk->process) || status != CODEC_OK ||
	    !recording_read_payload(r, (enum recording_type)chunk->type, raw, chunk->raw_bytes)) {
		r->why = "is damaged";
		r->lost += !recording_tables[chunk->type].array; /* other tables are counted by their length */
	}
	free(raw);
	return CODEC_OK;
}

static void read_end(struct reader *r, const struct codec_chunk *chunk)
{
	uint8_t *raw = NULL;

	if (codec_read_body(r->in, chunk, &raw) == CODEC_OK) {
		struct codec_cursor c = {raw, raw + chunk->raw_bytes, false};

		if (codec_get_varint(&c) != r->chunks || codec_get_varint(&c) != r->process_count || c.bad)
			r->why = "is damaged";
	} else {
		r->why = "is damaged at its end";
	}
	free(raw);
}

/* Reads on until END or until nothing more can be found; r->why tells if that was not right. */
static int read_chunks(struct reader *r)
{
	for (;; r->chunks++) {
		struct codec_chunk chunk;
		enum codec_status status = codec_read_chunk(r->in, &chunk);

		if (status == CODEC_OK) {
			r->read_bytes += CODEC_CHUNK_BYTES + chunk.stored_bytes;
			if (chunk.type == RECORDING_END)
				return read_end(r, &chunk), 0;
			if (chunk.type < RECORDING_TYPES)
				status = read_known(r, &chunk);
			else if (chunk.flags & CODEC_REQUIRED)
				return refuse_newer(r, "part of type", chunk.type);
			else
				status = codec_read_body(r->in, &chunk, NULL);
		}
		if (status == CODEC_OK)
			continue;
		r->why = status == CODEC_DAMAGED ? "is damaged" : "is cut short";
		return 0;
	}
}

/* ---- the file ---- */

static int read_header(struct reader *r)
{
	uint8_t h[RECORDING_HEADER_BYTES];
	uint64_t features;
	uint32_t header_bytes;

	if (fread(h, 1, sizeof(h), r->in) != sizeof(h) || memcmp(h, RECORDING_MAGIC, 8) != 0)
		return refuse(r, -EINVAL, "not a recording: it does not begin as one, or ends within its first %u bytes",
			      RECORDING_HEADER_BYTES);
	if (codec_load32(h + RECORDING_AT_CRC) != codec_crc(h, RECORDING_AT_CRC))
		return refuse(r, -EINVAL, "a damaged recording: its header has a wrong checksum; copy it again");
	r->version = codec_load32(h + RECORDING_AT_VERSION);
	r->min_version = codec_load32(h + RECORDING_AT_MIN_VERSION);
	r->process_count = codec_load32(h + RECORDING_AT_PROCESS_COUNT);
	memcpy(r->tool_version, h + RECORDING_AT_TOOL_VERSION, sizeof(r->tool_version) - 1);
	features = codec_load64(h + RECORDING_AT_FEATURES_REQUIRED);
	header_bytes = codec_load32(h + RECORDING_AT_HEADER_BYTES);
	if (r->min_version > RECORDING_VERSION)
		return refuse_newer(r, "format, version", r->min_version);
	if (features)
		return refuse_newer(r, "required features, mask", features);
	if (header_bytes < sizeof(h) || header_bytes > RECORDING_HEADER_BYTES_MAX)
		return refuse(r, -EINVAL, "a damaged recording: its header claims %u bytes", header_bytes);
	for (uint32_t i = sizeof(h); i < header_bytes; i++)
		if (getc(r->in) == EOF)
			break;
	r->read_bytes = header_bytes;
	return 0;
}

/* After the last process: a file that lost whole processes says so on the last one there is. */
static void note_missing_processes(struct reader *r)
{
	struct profile_process *last;
	char text[512];

	if (r->processes == r->process_count || !r->profile->process_count)
		return;
	last = &r->profile->processes[r->profile->process_count - 1];
	snprintf(text, sizeof(text), "%s%s%u of %u processes of the recording are missing", last->note ? last->note : "",
		 last->note ? "; " : "", r->process_count - r->processes, r->process_count);
	last->note = profile_string(r->profile, text);
}

static int read_file(struct reader *r)
{
	int code = read_header(r);

	if (!code)
		code = read_chunks(r);
	if (code)
		return code;
	recording_close_process(r);
	if (!r->processes)
		return refuse(r, -EINVAL, "the recording %s, and holds no process", r->why ? r->why : "is empty");
	note_missing_processes(r);
	return 0;
}

static void free_reader(struct reader *r)
{
	for (int i = 0; i < RECORDING_TYPES; i++)
		free(r->tables[i].rows);
	free(r->ranks);
	free(r->parts);
	free(r->strings);
}

int read_recording(const char *path, struct profile *profile, struct read_error *error)
{
	struct reader r = {.profile = profile, .error = error, .path = path};
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), code;

	r.in = fd < 0 ? NULL : fdopen(fd, "rb");
	if (!r.in) {
		code = -errno;
		if (fd >= 0)
			close(fd);
		return refuse(&r, code, "cannot be read: %s", strerror(-code));
	}
	code = read_file(&r);
	fclose(r.in);
	free_reader(&r);
	return code;
}
