/*
 * cmd_mark: `mtrace mark TARGET NAME`. Exit 0 when the mark is there, 1 when the process is idle and has not taken it yet.
 */
#include "command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "read/read.h"
#include "run/mark.h"

enum { WAIT };

const struct command_option cmd_mark_options[] = {
	[WAIT] = {"--wait", "SECONDS", "how long to wait until the process has taken it (default 2)"},
	{NULL, NULL, NULL},
};

enum { WAIT_MS = 2000, SECONDS_MOST = 86400 };

struct request {
	const char *target, *name;
	unsigned wait_ms;
};

static bool take_wait(struct request *r, const char *text)
{
	char *end;
	double seconds = strtod(text, &end);
	if (end == text || *end != '\0' || !(seconds >= 0 && seconds <= SECONDS_MOST)) {
		warn("mark: --wait takes seconds, 0 to %d; not %s", SECONDS_MOST, text);
		return false;
	}
	r->wait_ms = (unsigned)(seconds * 1000);
	return true;
}

static bool take_operand(struct request *r, const char *word)
{
	if (!r->target)
		r->target = word;
	else if (!r->name)
		r->name = word;
	else
		warn("mark: one process and one name; %s is one too many (quote names with blanks)", word);
	return r->target == word || r->name == word;
}

static bool parse(int argc, char **argv, const struct command *self, struct request *r)
{
	struct option_cursor cursor = {.index = 1};
	for (int option; (option = option_or_operand(argc, argv, self, &cursor)) != -1;)
		if (option == -2 || (option == WAIT && !take_wait(r, cursor.value)) ||
		    (option == -3 && !take_operand(r, cursor.value)))
			return false;
	if (!r->name)
		warn("mark: of which process, and with which name? mtrace mark PID NAME; `mtrace ps` lists processes");
	else if (r->name[0] == '\0' || strlen(r->name) > MARK_NAME_MOST)
		warn("mark: a name has 1 to %d bytes; this one has %zu", MARK_NAME_MOST, strlen(r->name));
	else
		return true;
	return false;
}

int cmd_mark(int argc, char **argv, const struct command *self)
{
	struct request r = {.wait_ms = WAIT_MS};
	struct read_error error = {""};
	if (!parse(argc, argv, self, &r))
		return EXIT_TROUBLE;
	int code = mark_request(r.target, r.name, r.wait_ms, &error);
	if (code == 0)
		warn("mark %s is in the record of %s; then: mtrace report %s@%s", r.name, r.target, r.target, r.name);
	else if (code == -EAGAIN)
		warn("mark: %s is idle: not taken yet; its next allocation takes it, and until then nothing changes", r.target);
	else
		warn("mark: %s", error.text);
	return code == 0 ? EXIT_DONE : code == -EAGAIN ? EXIT_NOTHING : EXIT_TROUBLE;
}
