/*
 * cmd_report: `mtrace report` and `mtrace leaks`: the same document, in full or what is live alone. Exit 1 when the
 * run recorded no allocation: a run that observed nothing is never a pass.
 */
#include "command.h"

#include <stdio.h>
#include <string.h>

#include "emit/emit.h"
#include "model/profile.h"
#include "show.h"

enum { BY, JSON, ROWS, ALL, OUTPUT, ALLOCATED, FULL, SEARCH };

#define OPTIONS(first) \
	[BY] = {"--by", "stack|site|module|thread|kind", first}, \
	[JSON] = {"--json", NULL, "the report document as JSON (schema 1), complete unless -n is given"}, \
	[ROWS] = {"-n", "N", "rows shown per process, 0 all (default 10)"}, \
	[ALL] = {"--all", NULL, "the same as -n 0"}, \
	[OUTPUT] = {"-o", "FILE", "write there instead of stdout; .json means --json"}, \
	[ALLOCATED] = {"--allocated", NULL, "rank by what was ever allocated, not by what is live"}, \
	[FULL] = {"--full", NULL, "every frame of every stack, none folded away"}, \
	[SEARCH] = {"--search", "DIR", "look there for files with symbols, too (may be given again)"}, \
	{NULL, NULL, NULL}

const struct command_option cmd_report_options[] = {OPTIONS("what rows are (default: stack)")};
const struct command_option cmd_leaks_options[] = {OPTIONS("what rows are (default: stack)")};

enum { MOST_SEARCH = 32 };

struct request {
	struct emit_options emit;
	const char *target, *output;
	const char *search[MOST_SEARCH + 1];
	size_t search_count;
	bool json, has_limit;
};

static bool take_target(const char *command, struct request *r, const char *word)
{
	if (r->target) {
		warn("%s: one target at a time: %s or %s?", command, r->target, word);
		return false;
	}
	r->target = word;
	return true;
}

static bool take(const struct command *self, struct request *r, int option, const char *value)
{
	switch (option) {
	case BY: return show_by(self->name, value, &r->emit.by);
	case JSON: r->json = true; return true;
	case ROWS: r->has_limit = true; return show_number(self->name, value, &r->emit.limit);
	case ALL: r->has_limit = true; r->emit.limit = 0; return true;
	case OUTPUT: r->output = value; return true;
	case ALLOCATED: r->emit.allocated = true; return true;
	case FULL: r->emit.full = true; return true;
	case SEARCH:
		if (!show_is_directory(self->name, value))
			return false;
		if (r->search_count < MOST_SEARCH)
			r->search[r->search_count++] = value;
		return true;
	case -3: return take_target(self->name, r, value);
	default: return false;
	}
}

static bool parse(int argc, char **argv, const struct command *self, struct request *r)
{
	struct option_cursor cursor = {.index = 1};
	for (int option; (option = option_or_operand(argc, argv, self, &cursor)) != -1;)
		if (!take(self, r, option, cursor.value))
			return false;
	if (!r->target) {
		warn("%s: of what? give a pid, a segment file, a recording, or `last`", self->name);
		return false;
	}
	if (r->output && show_has_extension(r->output, ".json"))
		r->json = true;
	if (!r->has_limit)
		r->emit.limit = r->json ? 0 : 10;
	return true;
}

int cmd_report(int argc, char **argv, const struct command *self)
{
	struct request r = {.emit = {.leaks = strcmp(self->name, "leaks") == 0}};
	FILE *out;
	if (!parse(argc, argv, self, &r))
		return EXIT_TROUBLE;
	r.emit.target = r.target;
	struct profile *p = show_open(self->name, r.target, r.search_count ? r.search : NULL);
	if (!p)
		return EXIT_TROUBLE;
	int code = EXIT_TROUBLE;
	if (show_output(self->name, r.output, &out) == 0) {
		show_dress(out, &r.emit.color, &r.emit.columns);
		if (r.json)
			emit_json(p, &r.emit, out);
		else
			emit_text(p, &r.emit, out);
		if (show_close(self->name, r.output, out) == 0)
			code = show_recorded(self->name, r.target, p);
	}
	profile_free(p);
	return code;
}
