/* cmd_version: which mtrace this is, and which segments it can read. */
#include "command.h"

#include <stdio.h>

#include "format.h"

const char mtrace_version[] = MTRACE_VERSION;

int cmd_version(int argc, char **argv, const struct command *self)
{
	struct option_cursor cursor = {.index = 1};
	if (option_next(argc, argv, self, &cursor) == -2)
		return EXIT_TROUBLE;
	printf("mtrace %s (segment format %u, report schema 1)\n", mtrace_version, MTRACE_SEGMENT_VERSION);
	return EXIT_DONE;
}
