/*
 * fuzz_options: MTRACE_OPTIONS, as the shim reads it in somebody's process: any text, any globs.
 */
#include "fuzz.h"
#include "options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	memcpy(text, data, size);
	text[size] = 0;
	static struct options parsed;
	memset(&parsed, 0xee, sizeof parsed);
	options_parse(&parsed, text);
	fuzz_require(parsed.depth >= 1 && parsed.depth <= 256, "depth is within its bounds");
	fuzz_require(!strcmp(parsed.mode, "exact") || !strcmp(parsed.mode, "off"), "mode is one of its choices");
	fuzz_require(memchr(parsed.dir, 0, sizeof parsed.dir) != NULL, "dir is a string");
	fuzz_require(memchr(parsed.first_bad, 0, sizeof parsed.first_bad) != NULL, "first_bad is a string");
	char *name = memchr(text, '\n', size); /* the first line is a list of globs, the rest a name */
	if (name) {
		*name++ = 0;
		options_match(text, name);
	}
	free(text);
	return 0;
}
