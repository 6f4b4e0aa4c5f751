/*
 * codec_strings: the texts of a file being written, each once. See codec.h.
 *
 * Called by recording_write.c and symbols/cache.c. It keeps pointers, not copies: the texts must outlive it. Bound: 16
 * bytes and less a text; dies on exhaustion.
 */
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "command.h"

static uint64_t hash_text(const char *s)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

	while (*s)
		h = (h ^ (uint8_t)*s++) * 0x100000001b3u;
	return h ^ h >> 29;
}

static uint32_t *find_slot(const struct codec_strings *strings, const char *s)
{
	size_t i = hash_text(s) & (strings->slot_count - 1);

	while (strings->slots[i] && strcmp(strings->text[strings->slots[i] - 1], s) != 0)
		i = (i + 1) & (strings->slot_count - 1);
	return &strings->slots[i];
}

static void grow_slots(struct codec_strings *strings)
{
	strings->slot_count = strings->slot_count ? strings->slot_count * 2 : 256;
	free(strings->slots);
	strings->slots = calloc(strings->slot_count, sizeof(uint32_t));
	if (!strings->slots)
		die(EXIT_TROUBLE, "out of memory");
	for (size_t i = 0; i < strings->count; i++)
		*find_slot(strings, strings->text[i]) = (uint32_t)i + 1;
}

uint64_t codec_string_number(struct codec_strings *strings, const char *s)
{
	uint32_t *slot;

	if (!s)
		return 0;
	if (strings->count * 2 >= strings->slot_count)
		grow_slots(strings);
	slot = find_slot(strings, s);
	if (!*slot) {
		strings->text = codec_grow(strings->text, &strings->capacity, strings->count + 1, sizeof(char *));
		strings->text[strings->count++] = s;
		*slot = (uint32_t)strings->count;
	}
	return *slot;
}

void codec_put_new_strings(struct codec_buffer *b, struct codec_strings *strings)
{
	codec_put_varint(b, strings->written + 1);
	codec_put_varint(b, strings->count - strings->written);
	for (size_t i = strings->written; i < strings->count; i++)
		codec_put_varint(b, strlen(strings->text[i]));
	for (size_t i = strings->written; i < strings->count; i++)
		codec_put_bytes(b, strings->text[i], strlen(strings->text[i]));
	strings->written = strings->count;
}

void codec_strings_free(struct codec_strings *strings)
{
	free(strings->text);
	free(strings->slots);
	*strings = (struct codec_strings){0};
}
