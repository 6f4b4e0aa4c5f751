/*
 * cmd_snap: `mtrace snap TARGET -o REC`: a recording of a process as it is, running or dead, with names and history.
 */
#include "command.h"

#include <stddef.h>

#include "model/profile.h"
#include "read/read.h"
#include "show.h"

enum { OUTPUT, FORCE, SEARCH };

const struct command_option cmd_snap_options[] = {
	[OUTPUT] = {"-o", "REC", "the recording to write"},
	[FORCE] = {"-f", NULL, "replace it if it is there"},
	[SEARCH] = {"--search", "DIR", "look there for files with symbols, too (may be given again)"},
	{NULL, NULL, NULL},
};

enum { MOST_SEARCH = 32 };

struct request {
	const char *target, *output;
	bool overwrite;
	const char *search[MOST_SEARCH + 1];
	size_t search_count;
};

static bool take(struct request *r, int option, const char *value)
{
	switch (option) {
	case OUTPUT: r->output = value; return true;
	case FORCE: r->overwrite = true; return true;
	case SEARCH:
		if (r->search_count < MOST_SEARCH)
			r->search[r->search_count++] = value;
		return show_is_directory("snap", value);
	case -3: return show_one_target("snap", &r->target, value);
	default: return false;
	}
}

static bool parse(int argc, char **argv, const struct command *self, struct request *r)
{
	struct option_cursor cursor = {.index = 1};
	for (int option; (option = option_or_operand(argc, argv, self, &cursor)) != -1;)
		if (!take(r, option, cursor.value))
			return false;
	if (!r->target)
		warn("snap: of what? give a pid (`mtrace ps` lists them), a segment file, a recording, or `last`");
	else if (!r->output)
		warn("snap: into which file? mtrace snap %s -o REC.mtr", r->target);
	else
		return true;
	return false;
}

static int save(const struct request *r, const struct profile *p)
{
	struct read_error error = {""};
	if (p->processes[0].mode == PROFILE_OUTSIDE) {
		warn("snap: %s is not traced: there is nothing to keep; `mtrace doctor %s` says how to trace it", r->target,
		     r->target);
		return EXIT_NOTHING;
	}
	if (write_recording(r->output, r->overwrite, p, &error) != 0) {
		warn("snap: %s", error.text);
		return EXIT_TROUBLE;
	}
	warn("%s is kept in %s; then: mtrace report %s", r->target, r->output, r->output);
	return EXIT_DONE;
}

int cmd_snap(int argc, char **argv, const struct command *self)
{
	struct request r = {.target = NULL};
	if (!parse(argc, argv, self, &r))
		return EXIT_TROUBLE;
	struct profile *p = show_open("snap", r.target, r.search_count ? r.search : NULL);
	if (!p)
		return EXIT_TROUBLE;
	int code = save(&r, p);
	profile_free(p);
	return code;
}
