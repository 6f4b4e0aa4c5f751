/*
 * plugin: loaded, used and unloaded by host.c. Its table of patterns is built at the first use and never freed, so
 * every load leaves one behind. When the process is looked at, the plugin is not mapped any more.
 */
#include <stdlib.h>
#include <string.h>

struct patterns {
	size_t count;
	char text[256][64];
};

static struct patterns *table;

static struct patterns *patterns_compile(const char *word)
{
	struct patterns *p = calloc(1, sizeof *p);
	while (p && p->count < 256)
		strncpy(p->text[p->count++], word, 63);
	return p;
}

int plugin_match(const char *word);

int plugin_match(const char *word)
{
	if (!table)
		table = patterns_compile(word);
	return table && !strcmp(table->text[0], word);
}
