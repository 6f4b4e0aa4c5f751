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

/* The file that descriptor 2 was when the library came. A program that closed it (a daemon) may have a file of its own
   there by now, and no line of ours belongs into that. Both 0: it was closed. */
static uint64_t stderr_device, stderr_inode;

void log_begin(void)
{
	plat_file_identity(2, &stderr_device, &stderr_inode);
}

static bool is_still_stderr(void)
{
	uint64_t device = 0, inode = 0;
	plat_file_identity(2, &device, &inode);
	return inode && device == stderr_device && inode == stderr_inode;
}

static void put(struct line *line)
{
	line->text[line->length++] = '\n';
	if (is_still_stderr())
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
