/*
 * test_tools_recording: the contract of read_recording and write_recording.
 *
 * What was written is read back to the last field; nothing that can be done to the bytes makes the reader crash, hang,
 * or give a damaged file for a whole one; files of earlier versions (tests/compat) are read as they were then.
 * The seed of what is random is printed; MTRACE_SEED sets it.
 */
#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "emit/emit.h"
#include "fake_profile.h"
#include "model/profile.h"
#include "read/read.h"
#include "read/recording.h"
#include "run.h"

static char directory[64];
static char path[96];
static uint64_t seed = 20240607;

static void make_directory(void)
{
	strcpy(directory, "/tmp/mtrace-recording-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/a.mtr", directory);
}

static void remove_directory(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	ck_assert_int_eq(system(command), 0);
}

/* ---- files as bytes ---- */

struct bytes {
	unsigned char *at;
	size_t count;
};

static struct bytes load(const char *file)
{
	FILE *in = fopen(file, "rb");
	struct bytes b = {malloc(64 << 20), 0};

	ck_assert_ptr_nonnull(in);
	b.count = fread(b.at, 1, 64 << 20, in);
	fclose(in);
	return b;
}

static void store(const char *file, const void *bytes, size_t count)
{
	FILE *out = fopen(file, "wb");

	ck_assert_ptr_nonnull(out);
	ck_assert_uint_eq(fwrite(bytes, 1, count, out), count);
	ck_assert_int_eq(fclose(out), 0);
}

static void write_ok(const struct profile *p)
{
	struct read_error error = {""};

	ck_assert_msg(write_recording(path, true, p, &error) == 0, "%s", error.text);
}

/* Reads `path`. NULL and the reason in error, or the profile. */
static struct profile *read_back(struct read_error *error)
{
	struct profile *p = profile_new();

	error->text[0] = '\0';
	if (read_recording(path, p, error) == 0)
		return p;
	ck_assert_msg(strstr(error->text, path) != NULL, "no path in: %s", error->text);
	profile_free(p);
	return NULL;
}

static bool has_note(const struct profile *p)
{
	for (uint32_t i = 0; i < p->process_count; i++)
		if (p->processes[i].note && strstr(p->processes[i].note, "recording"))
			return true;
	return false;
}

/* Every index of what was read may be followed: touches all. */
static void walk(const struct profile *p)
{
	volatile uint64_t sum = 0;

	for (uint32_t i = 0; i < p->process_count; i++) {
		const struct profile_process *process = &p->processes[i];

		sum += strlen(process->exe) + strlen(process->cwd) + strlen(process->run_id) + strlen(process->shim_version);
		for (uint32_t k = 0; k < process->arg_count; k++)
			sum += strlen(process->args[k]);
		for (uint32_t k = 0; k < process->stack_count; k++)
			for (uint32_t n = 0; n < process->stacks[k].frame_count; n++)
				sum += process->frames[process->stacks[k].frames[n]].value;
		for (uint32_t k = 0; k < process->frame_count; k++) {
			const struct profile_frame *f = &process->frames[k];

			sum += f->module == PROFILE_NO_MODULE ? 0 : strlen(process->modules[f->module].path);
			for (uint32_t n = 0; n < f->name_count; n++)
				sum += f->names[n].function ? strlen(f->names[n].function) : 0;
		}
		for (uint32_t k = 0; k < process->live_count; k++) {
			sum += process->stacks[process->live[k].stack].id;
			if (process->live[k].thread != PROFILE_NO_THREAD)
				sum += process->threads[process->live[k].thread].tid;
		}
		for (uint32_t k = 0; k < process->thread_count; k++)
			if (process->threads[k].stack != UINT32_MAX)
				sum += process->stacks[process->threads[k].stack].id;
		for (uint32_t k = 0; k < process->counter_count; k++)
			sum += strlen(process->counters[k].name);
		for (uint32_t k = 0; k < process->mark_count; k++)
			sum += strlen(process->marks[k].name);
	}
}

/* ---- whole files ---- */

START_TEST(test_round_trip)
{
	for (uint32_t i = 0; i < 400; i++) {
		struct profile *p = fake_profile_random(seed + i, 1 + i % 150), *q;
		struct read_error error;
		char why[200] = "";

		write_ok(p);
		q = read_back(&error);
		ck_assert_msg(q != NULL, "seed %llu: %s", (unsigned long long)seed + i, error.text);
		ck_assert_msg(fake_profile_same(p, q, why, sizeof(why)), "seed %llu: %s", (unsigned long long)seed + i, why);
		profile_free(p);
		profile_free(q);
	}
}
END_TEST

START_TEST(test_round_trip_over_many_chunks)
{
	struct profile *p = fake_profile_random(seed, 70000), *q;
	struct read_error error;
	char why[200] = "";

	write_ok(p);
	q = read_back(&error);
	ck_assert_msg(q != NULL, "%s", error.text);
	ck_assert_msg(fake_profile_same(p, q, why, sizeof(why)), "%s", why);
	profile_free(p);
	profile_free(q);
}
END_TEST

START_TEST(test_file_is_private_and_complete_or_absent)
{
	struct profile *p = fake_profile_fixture("plain");
	struct read_error error = {""};
	char command[128];
	struct stat st;

	write_ok(p);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_ne(write_recording(path, false, p, &error), 0);
	ck_assert_ptr_nonnull(strstr(error.text, path));
	ck_assert_int_ne(write_recording("/nonexistent/a.mtr", false, p, &error), 0);
	ck_assert_int_ne(write_recording(directory, true, p, &error), 0);
	snprintf(command, sizeof(command), "test \"$(ls -A %s)\" = a.mtr", directory);
	ck_assert_int_eq(system(command), 0);
	profile_free(p);
}
END_TEST

START_TEST(test_links_are_replaced_not_followed)
{
	struct profile *p = fake_profile_fixture("plain");
	struct bytes victim;
	char target[128];

	snprintf(target, sizeof(target), "%s/victim", directory);
	store(target, "untouched", 9);
	ck_assert_int_eq(symlink(target, path), 0);
	write_ok(p);
	victim = load(target);
	ck_assert_uint_eq(victim.count, 9);
	free(victim.at);
	profile_free(p);
}
END_TEST

START_TEST(test_device_is_written_into)
{
	struct profile *p = fake_profile_fixture("plain");
	struct read_error error = {""};
	struct stat st;

	ck_assert_msg(write_recording("/dev/null", true, p, &error) == 0, "%s", error.text);
	ck_assert_int_eq(stat("/dev/null", &st), 0);
	ck_assert(S_ISCHR(st.st_mode));
	ck_assert_int_ne(write_recording("/dev/full", true, p, &error), 0);
	profile_free(p);
}
END_TEST

/* As many stacks as redis has, over as many frames, with names. */
START_TEST(test_size)
{
	struct profile *p = fake_profile_random(seed, 10);
	struct profile_process *process = &p->processes[0];
	struct stat st;
	uint32_t count = 3000, depth = 18;

	p->process_count = 1;
	process->live_count = process->thread_count = 0;
	process->module_count = 1;
	process->modules = profile_alloc(p, 1, sizeof(*process->modules));
	process->modules[0].path = "/usr/bin/redis-server";
	process->frame_count = 4000;
	process->frames = profile_alloc(p, 4000, sizeof(*process->frames));
	for (uint32_t i = 0; i < 4000; i++) {
		struct profile_name *name = profile_alloc(p, 1, sizeof(*name));
		char text[64];

		snprintf(text, sizeof(text), "someFunctionName%u", i / 3);
		*name = (struct profile_name){profile_string(p, text), "/build/redis/src/networking.c", 100 + i * 7 % 3000, false, NULL};
		process->frames[i] = (struct profile_frame){0x40000 + i * 977 % 1500000, 0, MTRACE_FRAME_NATIVE, 0, name, 1};
	}
	process->stack_count = count;
	process->stacks = profile_alloc(p, count, sizeof(*process->stacks));
	for (uint32_t i = 0; i < count; i++) {
		uint32_t *frames = profile_alloc(p, depth, sizeof(*frames));
		uint64_t r = (i + 1) * 0x9e3779b97f4a7c15u;

		for (uint32_t k = 0; k < depth; k++) /* outer frames vary less than inner ones */
			frames[depth - 1 - k] = (uint32_t)(k * 200 + (r >> 20) % (k / 2 + 1));
		process->stacks[i] = (struct profile_stack){r, MTRACE_KIND_MALLOC, {r >> 50, r >> 44, 5, 5, r >> 55, r >> 45},
							    frames, depth, 0, 0, 0};
	}
	write_ok(p);
	ck_assert_int_eq(stat(path, &st), 0);
	printf("recording of %u stacks: %lld bytes\n", count, (long long)st.st_size);
	ck_assert_int_lt(st.st_size, 200000);
	profile_free(p);
}
END_TEST

/* ---- damaged files ---- */

static void expect_damage_seen(const char *what, size_t at)
{
	struct read_error error;
	struct profile *p = read_back(&error);

	if (!p) {
		ck_assert_msg(strlen(error.text) > strlen(path) + 10, "%s at %zu: no reason", what, at);
		return;
	}
	walk(p);
	ck_assert_msg(has_note(p), "%s at %zu was not noticed", what, at);
	profile_free(p);
}

START_TEST(test_every_byte_flipped)
{
	struct profile *p = fake_profile_fixture("forks");
	struct bytes b;

	write_ok(p);
	b = load(path);
	for (size_t i = 0; i < b.count; i++) {
		b.at[i] ^= (unsigned char)(1u << i % 8);
		store(path, b.at, b.count);
		expect_damage_seen("a flipped bit", i);
		b.at[i] ^= (unsigned char)(1u << i % 8);
	}
	free(b.at);
	profile_free(p);
}
END_TEST

START_TEST(test_every_truncation)
{
	struct profile *p = fake_profile_fixture("forks"), *q;
	struct read_error error;
	struct bytes b;

	write_ok(p);
	b = load(path);
	for (size_t i = 0; i < b.count; i++) {
		store(path, b.at, i);
		expect_damage_seen("a cut", i);
	}
	store(path, b.at, b.count - 10); /* only the END is gone: all the rest must be there */
	q = read_back(&error);
	ck_assert_ptr_nonnull(q);
	ck_assert_uint_eq(q->process_count, 3);
	ck_assert_uint_eq(q->processes[2].stack_count, 3);
	ck_assert_uint_eq(q->processes[2].skipped, 0);
	free(b.at);
	profile_free(p);
	profile_free(q);
}
END_TEST

/* A cut file has the rows of its whole chunks, and counts the others. */
START_TEST(test_truncated_counts)
{
	struct profile *p = fake_profile_random(seed + 3, 20000), *q;
	struct read_error error;
	const struct profile_process *had = &p->processes[0], *have;
	struct bytes b;

	p->process_count = 1;
	write_ok(p);
	b = load(path);
	store(path, b.at, b.count / 2);
	q = read_back(&error);
	ck_assert_msg(q != NULL, "%s", error.text);
	have = &q->processes[0];
	ck_assert_uint_eq(have->skipped - had->skipped,
			  had->module_count - have->module_count + had->frame_count - have->frame_count +
				  had->stack_count - have->stack_count + had->live_count - have->live_count +
				  had->thread_count - have->thread_count + had->mark_count - have->mark_count +
				  had->counter_count - have->counter_count + had->ledger_count - have->ledger_count +
						  had->boundary_count - have->boundary_count +
						  had->change_count - have->change_count);
	walk(q);
	free(b.at);
	profile_free(p);
	profile_free(q);
}
END_TEST

/* ---- files that lie, with right checksums ---- */

struct parts {
	unsigned char header[RECORDING_HEADER_BYTES];
	struct codec_chunk chunk[200];
	struct codec_buffer raw[200];
	size_t count;
};

static void open_parts(struct parts *parts)
{
	FILE *in = fopen(path, "rb");

	memset(parts, 0, sizeof(*parts));
	ck_assert_uint_eq(fread(parts->header, sizeof(parts->header), 1, in), 1);
	while (codec_read_chunk(in, &parts->chunk[parts->count]) == CODEC_OK) {
		struct codec_buffer *raw = &parts->raw[parts->count];

		ck_assert_int_eq(codec_read_body(in, &parts->chunk[parts->count], &raw->bytes), CODEC_OK);
		raw->used = raw->capacity = parts->chunk[parts->count].raw_bytes;
		parts->count++;
	}
	fclose(in);
}

static void seal_parts(struct parts *parts)
{
	FILE *out = fopen(path, "wb");

	codec_store32(parts->header + RECORDING_AT_CRC, codec_crc(parts->header, RECORDING_AT_CRC));
	ck_assert_uint_eq(fwrite(parts->header, sizeof(parts->header), 1, out), 1);
	for (size_t i = 0; i < parts->count; i++)
		ck_assert_int_eq(codec_write_chunk(out, &parts->chunk[i], &parts->raw[i]), 0);
	fclose(out);
}

static void free_parts(struct parts *parts)
{
	for (size_t i = 0; i < parts->count; i++)
		codec_buffer_free(&parts->raw[i]);
}

static uint64_t random_number(void)
{
	static uint64_t state;

	state = (state ? state : seed) * 6364136223846793005u + 1442695040888963407u;
	return state >> 20;
}

static void mutate(struct parts *parts)
{
	static const unsigned char edges[] = {0, 1, 0x7f, 0x80, 0xff};
	size_t which = random_number() % parts->count;
	struct codec_buffer *raw = &parts->raw[which];

	if (raw->used && random_number() % 8)
		raw->bytes[random_number() % raw->used] =
			(unsigned char)(random_number() % 2 ? edges[random_number() % 5] : random_number());
	else if (random_number() % 3 == 0)
		parts->chunk[which].process = (uint32_t)random_number() % 5;
	else if (random_number() % 2)
		parts->chunk[which].type = (uint32_t)random_number() % 12;
	else
		raw->used -= raw->used ? random_number() % raw->used : 0;
}

START_TEST(test_lies_with_right_checksums)
{
	for (uint32_t i = 0; i < 1500; i++) {
		struct profile *p = i % 3 ? fake_profile_random(seed + i % 7, 6) : fake_profile_fixture("forks"), *q;
		struct read_error error;
		struct parts parts;

		write_ok(p);
		open_parts(&parts);
		for (uint64_t n = 1 + random_number() % 4; n > 0; n--)
			mutate(&parts);
		seal_parts(&parts);
		q = read_back(&error);
		if (q)
			walk(q);
		profile_free(q);
		profile_free(p);
		free_parts(&parts);
	}
}
END_TEST

/* A chunk of one table whose columns the test makes up. */
static void append_chunk(struct parts *parts, uint32_t type, uint32_t flags, uint64_t first, uint64_t rows, const char *columns,
			 size_t count)
{
	struct codec_buffer *raw = &parts->raw[parts->count];

	codec_put_varint(raw, first);
	codec_put_varint(raw, rows);
	codec_put_varint(raw, 1);
	codec_put_varint(raw, 0);
	codec_put_bytes(raw, columns, count);
	parts->chunk[parts->count++] = (struct codec_chunk){.type = type, .flags = flags};
}

START_TEST(test_absurd_counts_are_refused)
{
	static const uint64_t absurd[] = {65537, 1u << 31, 1ull << 40, UINT64_MAX};
	struct read_error error;
	struct profile *p = fake_profile_fixture("plain"), *q;

	for (size_t i = 0; i < 8; i++)
		for (uint32_t type = 0; type < RECORDING_TYPES; type++) {
			struct parts parts;

			write_ok(p);
			open_parts(&parts);
			codec_buffer_free(&parts.raw[--parts.count]); /* END */
			append_chunk(&parts, type, CODEC_REQUIRED, i < 4 ? 0 : absurd[i - 4], i < 4 ? absurd[i] : 1, "", 0);
			seal_parts(&parts);
			q = read_back(&error);
			ck_assert(!q || has_note(q));
			profile_free(q);
			free_parts(&parts);
		}
	profile_free(p);
}
END_TEST

/* Ten thousand chunks of 65536 rows without a column would be some 40 GB of frames. */
START_TEST(test_bomb)
{
	struct profile *p = fake_profile_fixture("plain"), *q;
	struct parts parts;
	struct read_error error;
	FILE *out;
	long before, after;

	write_ok(p);
	open_parts(&parts);
	codec_buffer_free(&parts.raw[--parts.count]);
	seal_parts(&parts);
	out = fopen(path, "ab");
	before = ftell(out);
	for (uint64_t i = 0; i < 10000; i++) {
		struct codec_buffer raw = {0};
		struct codec_chunk chunk = {.type = RECORDING_LIVE, .flags = CODEC_REQUIRED};

		codec_put_varint(&raw, 65536 * i);
		codec_put_varint(&raw, 65536);
		codec_put_varint(&raw, 1);
		codec_put_varint(&raw, 0);
		ck_assert_int_eq(codec_write_chunk(out, &chunk, &raw), 0);
		codec_buffer_free(&raw);
	}
	after = ftell(out);
	fclose(out);
	ck_assert_int_lt(after - before, 1 << 20);
	q = read_back(&error);
	ck_assert(!q || has_note(q));
	profile_free(q);
	profile_free(p);
	free_parts(&parts);
}
END_TEST

/* ---- versions ---- */

START_TEST(test_unknown_optional_part_is_skipped)
{
	struct profile *p = fake_profile_fixture("forks"), *q;
	struct read_error error;
	struct parts parts;
	char why[100];

	write_ok(p);
	open_parts(&parts);
	parts.chunk[parts.count] = parts.chunk[parts.count - 1]; /* END moves up */
	parts.raw[parts.count] = parts.raw[parts.count - 1];
	parts.raw[parts.count].used = 0;
	codec_put_varint(&parts.raw[parts.count], parts.count);
	codec_put_varint(&parts.raw[parts.count], 3);
	parts.raw[parts.count - 1] = (struct codec_buffer){0};
	codec_put_bytes(&parts.raw[parts.count - 1], "from the future", 15);
	parts.chunk[parts.count - 1] = (struct codec_chunk){.type = 77};
	parts.count++;
	seal_parts(&parts);
	q = read_back(&error);
	ck_assert_msg(q != NULL, "%s", error.text);
	ck_assert_msg(fake_profile_same(p, q, why, sizeof(why)), "%s", why);
	profile_free(q);
	parts.chunk[parts.count - 2].flags = CODEC_REQUIRED;
	seal_parts(&parts);
	ck_assert_ptr_null(read_back(&error));
	ck_assert_msg(strstr(error.text, "77") && strstr(error.text, "version 1") && strstr(error.text, "newer"), "%s",
		      error.text);
	profile_free(p);
	free_parts(&parts);
}
END_TEST

START_TEST(test_newer_version_is_refused_naming_both)
{
	struct profile *p = fake_profile_fixture("plain");
	struct read_error error;
	struct parts parts;

	write_ok(p);
	open_parts(&parts);
	codec_store32(parts.header + RECORDING_AT_VERSION, 9);
	codec_store32(parts.header + RECORDING_AT_MIN_VERSION, 8);
	memcpy(parts.header + RECORDING_AT_TOOL_VERSION, "7.5.3", 6);
	seal_parts(&parts);
	ck_assert_ptr_null(read_back(&error));
	ck_assert_msg(strstr(error.text, "7.5.3") && strstr(error.text, "version 9") && strstr(error.text, "version 1"), "%s",
		      error.text);
	codec_store32(parts.header + RECORDING_AT_MIN_VERSION, 1); /* newer, but readable */
	seal_parts(&parts);
	profile_free(read_back(&error));
	ck_assert_str_eq(error.text, "");
	codec_store64(parts.header + RECORDING_AT_FEATURES_REQUIRED, 4);
	seal_parts(&parts);
	ck_assert_ptr_null(read_back(&error));
	profile_free(p);
	free_parts(&parts);
}
END_TEST

START_TEST(test_other_files_are_refused)
{
	struct read_error error;

	store(path, "", 0);
	ck_assert_ptr_null(read_back(&error));
	store(path, "MTRSEG\r\n and more, and more, and more, and more, and more, and more", 64);
	ck_assert_ptr_null(read_back(&error));
	ck_assert_ptr_nonnull(strstr(error.text, "not a recording"));
	unlink(path);
	ck_assert_ptr_null(read_back(&error));
}
END_TEST

/* ---- stored files: tests/compat/v1-NAME.mtr reads to v1-NAME.json ----
 *
 * Every member of the stored JSON must be there and equal; members that a later mtrace adds may. MTRACE_FIXTURES=write
 * makes those of this version anew (tests/compat/make-fixtures.sh), only for a new version: the old ones stay.
 */
static const char *const fixtures[] = {"plain", "unnamed", "forks"};

static void contains(const json_t *actual, const json_t *expected, const char *where)
{
	const char *key;
	json_t *value;
	size_t i;

	if (json_is_object(expected)) {
		json_object_foreach((json_t *)expected, key, value) {
			ck_assert_msg(json_object_get(actual, key) != NULL, "%s: no member %s", where, key);
			contains(json_object_get(actual, key), value, key);
		}
	} else if (json_is_array(expected)) {
		ck_assert_msg(json_array_size(actual) == json_array_size(expected), "%s: not as many", where);
		json_array_foreach(expected, i, value)
			contains(json_array_get(actual, i), value, where);
	} else {
		ck_assert_msg(json_equal(actual, expected), "%s: differs", where);
	}
}

static json_t *as_json(const struct profile *p)
{
	struct emit_options options = {.limit = 0};
	char *text = NULL;
	size_t bytes = 0, i, k;
	FILE *out = open_memstream(&text, &bytes);
	json_t *json, *process, *stack;

	ck_assert_int_eq(emit_json(p, &options, out), 0);
	fclose(out);
	json = json_loads(text, 0, NULL);
	ck_assert_ptr_nonnull(json);
	json_object_del(json, "version"); /* of the mtrace that shows it */
	json_array_foreach(json_object_get(json, "processes"), i, process)
		json_array_foreach(json_object_get(process, "stacks"), k, stack)
			json_object_del(stack, "verdict"); /* its own opinion */
	free(text);
	return json;
}

static void write_fixture(const char *name)
{
	struct profile *p = fake_profile_fixture(name);
	struct read_error error;
	char file[128];
	json_t *json;

	snprintf(file, sizeof(file), "tests/compat/v%u-%s.mtr", RECORDING_VERSION, name);
	ck_assert_msg(write_recording(file, true, p, &error) == 0, "%s", error.text);
	snprintf(file, sizeof(file), "tests/compat/v%u-%s.json", RECORDING_VERSION, name);
	json = as_json(p);
	ck_assert_int_eq(json_dump_file(json, file, JSON_INDENT(1) | JSON_SORT_KEYS), 0);
	json_decref(json);
	profile_free(p);
}

START_TEST(test_stored_fixtures)
{
	const char *name = fixtures[_i];
	struct profile *p, *expected = fake_profile_fixture(name);
	struct read_error error;
	json_t *stored, *json;
	char file[128], why[100];

	if (getenv("MTRACE_FIXTURES"))
		write_fixture(name);
	snprintf(file, sizeof(file), "tests/compat/v1-%s.mtr", name);
	p = profile_new();
	ck_assert_msg(read_recording(file, p, &error) == 0, "%s (run from the top of the source)", error.text);
	ck_assert_msg(fake_profile_same(expected, p, why, sizeof(why)), "%s", why);
	snprintf(file, sizeof(file), "tests/compat/v1-%s.json", name);
	stored = json_load_file(file, 0, NULL);
	ck_assert_ptr_nonnull(stored);
	json = as_json(p);
	contains(json, stored, name);
	json_decref(json);
	json_decref(stored);
	profile_free(p);
	profile_free(expected);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("recording");
	TCase *whole = tcase_create("whole"), *damaged = tcase_create("damaged"), *versions = tcase_create("versions");

	if (getenv("MTRACE_SEED"))
		seed = strtoull(getenv("MTRACE_SEED"), NULL, 0);
	printf("seed %llu\n", (unsigned long long)seed);
	tcase_add_test(whole, test_round_trip);
	tcase_add_test(whole, test_round_trip_over_many_chunks);
	tcase_add_test(whole, test_file_is_private_and_complete_or_absent);
	tcase_add_test(whole, test_links_are_replaced_not_followed);
	tcase_add_test(whole, test_device_is_written_into);
	tcase_add_test(whole, test_size);
	tcase_add_test(damaged, test_every_byte_flipped);
	tcase_add_test(damaged, test_every_truncation);
	tcase_add_test(damaged, test_truncated_counts);
	tcase_add_test(damaged, test_lies_with_right_checksums);
	tcase_add_test(damaged, test_absurd_counts_are_refused);
	tcase_add_test(damaged, test_bomb);
	tcase_add_test(versions, test_unknown_optional_part_is_skipped);
	tcase_add_test(versions, test_newer_version_is_refused_naming_both);
	tcase_add_test(versions, test_other_files_are_refused);
	tcase_add_loop_test(versions, test_stored_fixtures, 0, (int)(sizeof(fixtures) / sizeof(fixtures[0])));
	for (TCase **t = (TCase *[]){whole, damaged, versions, NULL}; *t; t++) {
		tcase_add_checked_fixture(*t, make_directory, remove_directory);
		tcase_set_timeout(*t, 120);
		suite_add_tcase(suite, *t);
	}
	return run_suite(suite);
}
