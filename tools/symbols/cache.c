/*
 * cache: see cache.h. Called by symbols.c and keep.c.
 *
 * A file is a magic and one chunk (read/codec.h), so a damaged one is seen by its checksum and counts as empty. It is
 * written beside its place and renamed: a reader sees an old or a new one, never half of one. Of two writers at the same
 * time one loses its additions, which are found again later. Bounds: CODEC_ROWS_MAX addresses and SAVED_BYTES_MAX a
 * file, DIRECTORY_BYTES_MAX for all.
 */
#include "cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "model/profile.h"
#include "read/codec.h"

#define CACHE_MAGIC "MTRSYM\r\n"
#define CACHE_VERSION 1u
#define SAVED_BYTES_MAX (CODEC_RAW_MAX / 2)
#define DIRECTORY_BYTES_MAX (512ull << 20)
#define USED_SECONDS 3600 /* how old the mark of last use may be before it is renewed */

enum { COLUMN_ADDRESS = 1, COLUMN_COUNT, COLUMN_FUNCTION, COLUMN_FILE, COLUMN_LINE };

/* ---- the directory ---- */

bool cache_directory(const char *wanted, char directory[CACHE_PATH_MAX])
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int n;

	if (wanted)
		n = snprintf(directory, CACHE_PATH_MAX, "%s", wanted);
	else if (xdg && xdg[0] == '/')
		n = snprintf(directory, CACHE_PATH_MAX, "%s/mtrace", xdg);
	else if (home && home[0] == '/')
		n = snprintf(directory, CACHE_PATH_MAX, "%s/.cache/mtrace", home);
	else
		n = 0;
	return n > 0 && n < CACHE_PATH_MAX - 200;
}

bool cache_make_room(const char *directory, const char *room, char path[CACHE_PATH_MAX])
{
	struct stat st;

	if (snprintf(path, CACHE_PATH_MAX, "%s/%s", directory, room) >= CACHE_PATH_MAX)
		return false;
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	mkdir(path, 0700);
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

int cache_open_new(const char *path, char temporary[CACHE_PATH_MAX])
{
	if (snprintf(temporary, CACHE_PATH_MAX, "%s.%ld.new", path, (long)getpid()) >= CACHE_PATH_MAX)
		return -1;
	unlink(temporary); /* of an earlier process with our pid */
	return open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

void cache_hex(const uint8_t *build_id, size_t bytes, char *hex)
{
	hex[0] = '\0';
	for (size_t i = 0; i < bytes; i++)
		sprintf(hex + 2 * i, "%02x", build_id[i]);
}

static bool file_path(const char *directory, const uint8_t *build_id, size_t bytes, char path[CACHE_PATH_MAX])
{
	char hex[65];

	if (!bytes || bytes > 32)
		return false;
	cache_hex(build_id, bytes, hex);
	return snprintf(path, CACHE_PATH_MAX, "%s/symbols/%s", directory, hex) < CACHE_PATH_MAX;
}

/* ---- reading ---- */

struct texts {
	const char **text;
	size_t count;
};

static bool read_texts(struct codec_cursor *c, struct profile *owner, struct texts *texts)
{
	uint64_t first = codec_get_varint(c), count = codec_get_varint(c);
	struct codec_cursor lengths = *c;
	size_t capacity = 0;

	if (first != 1 || count > (uint64_t)(c->end - c->at))
		return false;
	for (uint64_t i = 0; i < count; i++)
		codec_get_varint(c);
	texts->text = codec_grow(NULL, &capacity, count + 1, sizeof(char *));
	for (; texts->count < count && !c->bad; texts->count++) {
		uint64_t length = codec_get_varint(&lengths);
		const uint8_t *bytes = codec_get_bytes(c, length);

		if (!bytes)
			return false;
		texts->text[texts->count] = profile_string_n(owner, (const char *)bytes, length);
	}
	return !c->bad;
}

static const char *text_at(const struct texts *texts, uint64_t number)
{
	return number && number <= texts->count ? texts->text[number - 1] : NULL;
}

static bool read_entries(struct cache *cache, const struct codec_columns *columns, const struct texts *texts)
{
	const struct codec_column *address = codec_column(columns, COLUMN_ADDRESS), *count = codec_column(columns, COLUMN_COUNT);
	const struct codec_column *function = codec_column(columns, COLUMN_FUNCTION), *file = codec_column(columns, COLUMN_FILE);
	const struct codec_column *line = codec_column(columns, COLUMN_LINE);
	struct profile_name *names;
	size_t used = 0;

	if (!address || !count || !function || !file || !line || count->count != address->count ||
	    file->count != function->count || line->count != function->count)
		return false;
	names = profile_alloc(cache->owner, function->count + 1, sizeof(*names));
	for (size_t i = 0; i < address->count; i++) {
		uint64_t n = count->values[i];

		if (n > function->count - used || (i && address->values[i] <= address->values[i - 1]))
			return false;
		for (uint64_t k = used; k < used + n; k++)
			names[k] = (struct profile_name){text_at(texts, function->values[k]), text_at(texts, file->values[k]),
							 (uint32_t)line->values[k], k + 1 < used + n, NULL};
		cache_add(cache, address->values[i], n ? names + used : NULL, (uint32_t)n);
		used += n;
	}
	return true;
}

static bool read_payload(struct cache *cache, const uint8_t *raw, size_t bytes)
{
	struct codec_cursor c = {raw, raw + bytes, false};
	struct codec_columns columns = {.count = 0};
	struct texts texts = {NULL, 0};
	uint64_t version = codec_get_varint(&c);
	bool good = false;

	cache->lines = codec_get_varint(&c);
	cache->fingerprint = codec_get_varint(&c);
	if (version == CACHE_VERSION && read_texts(&c, cache->owner, &texts) && texts.count) {
		snprintf(cache->link, sizeof(cache->link), "%s", texts.text[0]);
		good = codec_get_columns(&c, &columns) && read_entries(cache, &columns, &texts);
		codec_columns_free(&columns);
	}
	free(texts.text);
	return good;
}

static bool read_file(struct cache *cache, FILE *in)
{
	struct codec_chunk chunk;
	uint8_t *raw = NULL;
	char magic[8];
	bool good = fread(magic, 8, 1, in) == 1 && memcmp(magic, CACHE_MAGIC, 8) == 0 &&
		    codec_read_chunk(in, &chunk) == CODEC_OK && codec_read_body(in, &chunk, &raw) == CODEC_OK &&
		    read_payload(cache, raw, chunk.raw_bytes);

	free(raw);
	return good;
}

/* Its modification time says when it was last of use: what cache_prune goes by. */
static void note_use(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && time(NULL) - st.st_mtime > USED_SECONDS)
		futimens(fd, NULL);
}

void cache_load(struct cache *cache, struct profile *owner, const char *directory, const uint8_t *build_id, size_t bytes)
{
	char path[CACHE_PATH_MAX];
	FILE *in;

	*cache = (struct cache){.owner = owner};
	if (!file_path(directory, build_id, bytes, path))
		return;
	in = fopen(path, "re");
	if (!in)
		return;
	if (read_file(cache, in)) {
		note_use(fileno(in));
	} else {
		cache_free(cache);
		*cache = (struct cache){.owner = owner};
	}
	fclose(in);
}

/* ---- entries ---- */

const struct cache_entry *cache_find(const struct cache *cache, uint64_t address)
{
	size_t low = 0, high = cache->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (cache->entries[middle].address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < cache->count && cache->entries[low].address == address ? &cache->entries[low] : NULL;
}

void cache_add(struct cache *cache, uint64_t address, const struct profile_name *names, uint32_t count)
{
	cache->entries = codec_grow(cache->entries, &cache->capacity, cache->count + 1, sizeof(*cache->entries));
	cache->entries[cache->count++] = (struct cache_entry){address, names, count};
}

static int compare_entries(const void *left, const void *right)
{
	const struct cache_entry *a = left, *b = right;

	return a->address < b->address ? -1 : a->address > b->address;
}

void cache_sort(struct cache *cache)
{
	if (cache->count)
		qsort(cache->entries, cache->count, sizeof(*cache->entries), compare_entries);
}

void cache_free(struct cache *cache)
{
	free(cache->entries);
	cache->entries = NULL;
	cache->count = cache->capacity = 0;
}

/* ---- writing ---- */

struct columns {
	uint64_t *address, *count, *function, *file, *line;
	size_t names;
};

static size_t count_names(const struct cache *cache)
{
	size_t names = 0;

	for (size_t i = 0; i < cache->count; i++)
		names += cache->entries[i].count;
	return names;
}

static void put_columns(struct codec_buffer *out, const struct cache *cache, struct codec_strings *strings)
{
	size_t names = count_names(cache), used = 0, capacity = 0;
	uint64_t *values = codec_grow(NULL, &capacity, 2 * cache->count + 3 * names + 1, sizeof(uint64_t));
	uint64_t *address = values, *count = address + cache->count, *function = count + cache->count;
	uint64_t *file = function + names, *line = file + names;

	for (size_t i = 0; i < cache->count; i++) {
		const struct cache_entry *e = &cache->entries[i];

		address[i] = e->address;
		count[i] = e->count;
		for (uint32_t k = 0; k < e->count; k++, used++) {
			function[used] = codec_string_number(strings, e->names[k].function);
			file[used] = codec_string_number(strings, e->names[k].file);
			line[used] = e->names[k].line;
		}
	}
	codec_put_column(out, COLUMN_ADDRESS, CODEC_DELTA, address, cache->count);
	codec_put_column(out, COLUMN_COUNT, CODEC_VARINT, count, cache->count);
	codec_put_column(out, COLUMN_FUNCTION, CODEC_DELTA, function, names);
	codec_put_column(out, COLUMN_FILE, CODEC_DELTA, file, names);
	codec_put_column(out, COLUMN_LINE, CODEC_DELTA, line, names);
	free(values);
}

static void put_payload(struct codec_buffer *out, const struct cache *cache)
{
	struct codec_strings strings = {0};
	struct codec_buffer columns = {0};

	codec_string_number(&strings, cache->link); /* always the first */
	put_columns(&columns, cache, &strings);
	codec_put_varint(out, CACHE_VERSION);
	codec_put_varint(out, cache->lines);
	codec_put_varint(out, cache->fingerprint);
	codec_put_new_strings(out, &strings);
	codec_put_bytes(out, columns.bytes, columns.used);
	codec_buffer_free(&columns);
	codec_strings_free(&strings);
}

static bool write_file(int fd, const struct codec_buffer *raw)
{
	struct codec_chunk chunk = {.type = 0, .flags = CODEC_REQUIRED};
	FILE *out = fdopen(fd, "wb");
	bool good;

	if (!out) {
		close(fd);
		return false;
	}
	good = fwrite(CACHE_MAGIC, 8, 1, out) == 1 && codec_write_chunk(out, &chunk, raw) == 0;
	return fclose(out) == 0 && good;
}

void cache_save(const struct cache *cache, const char *directory, const uint8_t *build_id, size_t bytes)
{
	char room[CACHE_PATH_MAX], path[CACHE_PATH_MAX], temporary[CACHE_PATH_MAX];
	struct codec_buffer raw = {0};
	int fd;

	if (cache->count > CODEC_ROWS_MAX || !file_path(directory, build_id, bytes, path) ||
	    !cache_make_room(directory, "symbols", room))
		return;
	put_payload(&raw, cache);
	fd = raw.used <= SAVED_BYTES_MAX ? cache_open_new(path, temporary) : -1;
	if (fd >= 0 && (!write_file(fd, &raw) || rename(temporary, path) != 0))
		unlink(temporary);
	codec_buffer_free(&raw);
}

/* ---- the bound ---- */

struct old_file {
	char path[CACHE_PATH_MAX];
	uint64_t bytes;
	time_t used;
};

struct old_files {
	struct old_file *files;
	size_t count, capacity;
	uint64_t bytes;
};

static void list_room(const char *directory, const char *room, struct old_files *list)
{
	char path[CACHE_PATH_MAX];
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%s", directory, room);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		struct old_file *file;

		if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
			continue;
		list->files = codec_grow(list->files, &list->capacity, list->count + 1, sizeof(*list->files));
		file = &list->files[list->count];
		if (snprintf(file->path, sizeof(file->path), "%s/%s/%s", directory, room, entry->d_name) >= CACHE_PATH_MAX)
			continue;
		file->bytes = (uint64_t)st.st_size;
		file->used = st.st_mtime;
		list->bytes += file->bytes;
		list->count++;
	}
	if (dir)
		closedir(dir);
}

static int compare_use(const void *left, const void *right)
{
	const struct old_file *a = left, *b = right;

	return a->used < b->used ? -1 : a->used > b->used;
}

void cache_prune(const char *directory)
{
	struct old_files list = {0};

	list_room(directory, "symbols", &list);
	list_room(directory, "files", &list);
	if (list.bytes > DIRECTORY_BYTES_MAX) {
		qsort(list.files, list.count, sizeof(*list.files), compare_use);
		for (size_t i = 0; i < list.count && list.bytes > DIRECTORY_BYTES_MAX / 4 * 3; i++) {
			unlink(list.files[i].path);
			list.bytes -= list.files[i].bytes;
		}
	}
	free(list.files);
}
