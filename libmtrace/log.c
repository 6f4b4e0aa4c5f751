#include "log.h"

#include <stdatomic.h>
#include <string.h>

#include "options.h"
#include "plat.h"

struct line {
	char text[600];
	size_t length;
};

static void add(struct line *line, const char *text)
{
	for (; text && *text && line->length < sizeof line->text - 1; text++)
		line->text[line->length++] = *text;
}

static void put(struct line *line)
{
	line->text[line->length++] = '\n';
	(void)plat_write(2, line->text, line->length);
}

void log_trouble(const char *what, const char *detail, const char *cure)
{
	static _Atomic unsigned said;
	if (!strcmp(options.log, "nothing") || atomic_exchange_explicit(&said, 1, memory_order_relaxed))
		return;
	struct line line = {.length = 0};
	add(&line, "libmtrace: ");
	add(&line, what);
	add(&line, detail);
	if (cure)
		add(&line, "; ");
	add(&line, cure);
	put(&line);
}

void log_line(const char *text)
{
	struct line line = {.length = 0};
	add(&line, text);
	put(&line);
}
