/*
 * fuzz_recording: the recording reader. The first byte of an input says what the rest is: even: a file, byte for byte (the
 * framing); odd: chunks (type, process, length, payload), which are packed as the writer packs them, so that the
 * checksums are right and the payloads are what is fuzzed.
 *
 * FUZZ_SEED_FROM=REC FUZZ_SEED=FILE writes a recording in the second form, and ends.
 */
#include <errno.h>

#include "fuzz_profile.h"
#include "read/codec.h"
#include "read/recording.h"

enum { CHUNKS = 64 };

static void put_header(FILE *out, uint32_t processes)
{
	uint8_t head[RECORDING_HEADER_BYTES] = {0};
	memcpy(head, RECORDING_MAGIC, 8);
	codec_store32(head + RECORDING_AT_VERSION, RECORDING_VERSION);
	codec_store32(head + RECORDING_AT_MIN_VERSION, RECORDING_MIN_VERSION);
	codec_store32(head + RECORDING_AT_HEADER_BYTES, RECORDING_HEADER_BYTES);
	codec_store32(head + RECORDING_AT_PROCESS_COUNT, processes);
	codec_store32(head + RECORDING_AT_CRC, codec_crc(head, RECORDING_AT_CRC));
	fwrite(head, 1, sizeof head, out);
}

static void put_chunks(FILE *out, struct fuzz_input *in)
{
	put_header(out, (uint32_t)fuzz_number(in, 1));
	for (uint32_t n = 0; in->left && n < CHUNKS; n++) {
		struct codec_chunk chunk = {.sequence = n};
		chunk.type = (uint32_t)fuzz_number(in, 1);
		chunk.process = (uint32_t)fuzz_number(in, 1);
		size_t bytes = fuzz_number(in, 4) % 65536;
		if (bytes > in->left)
			bytes = in->left;
		struct codec_buffer raw = {0};
		codec_put_bytes(&raw, fuzz_bytes(in, bytes), bytes);
		codec_write_chunk(out, &chunk, &raw);
		codec_buffer_free(&raw);
	}
}

static void make_seed(const char *from, const char *to)
{
	FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
	struct codec_chunk chunk;
	uint8_t *raw;
	if (!in || !out || fseek(in, RECORDING_HEADER_BYTES, SEEK_SET))
		exit(2);
	fwrite("\1\1", 1, 2, out);
	while (codec_read_chunk(in, &chunk) == CODEC_OK && codec_read_body(in, &chunk, &raw) == CODEC_OK) {
		uint8_t head[6] = {(uint8_t)chunk.type, (uint8_t)chunk.process};
		codec_store32(head + 2, (uint32_t)chunk.raw_bytes);
		fwrite(head, 1, sizeof head, out);
		fwrite(raw, 1, chunk.raw_bytes, out);
		free(raw);
	}
	fclose(out);
	exit(0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	if (getenv("FUZZ_SEED_FROM"))
		make_seed(getenv("FUZZ_SEED_FROM"), getenv("FUZZ_SEED"));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	int is_packed = fuzz_number(&in, 1) & 1;
	int fd = memfd_create("recording", MFD_CLOEXEC);
	FILE *out = fdopen(fd, "wb");
	if (is_packed)
		put_chunks(out, &in);
	else
		fwrite(in.at, 1, in.left, out);
	fflush(out);
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	struct profile *profile = profile_new();
	struct read_error error = {""};
	if (read_recording(path, profile, &error) == 0)
		fuzz_use_profile(profile);
	else
		fuzz_require(error.text[0] != 0, "a refusal says why");
	profile_free(profile);
	fclose(out);
	return 0;
}
