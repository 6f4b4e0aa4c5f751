/*
 * cmd_export: a profile for other programs. The format follows the file's extension unless --to says it.
 */
#include "command.h"

#include <stdio.h>
#include <string.h>

#include "emit/emit.h"
#include "emit/lifetimes.h"
#include "model/profile.h"
#include "read/read.h"
#include "show.h"

enum { TO, OUTPUT, KIND, ALLOCATED, INLINED, ROWS };

const struct command_option cmd_export_options[] = {
	[TO] = {"--to", "folded|json|csv", "the format (default: by the extension of -o)"},
	[OUTPUT] = {"-o", "FILE", "write there instead of stdout"},
	[KIND] = {"--kind", "KIND|all", "folded: blocks of this kind (default malloc); all: each below a frame with its name"},
	[ALLOCATED] = {"--allocated", NULL, "folded: what was ever allocated, not what is live"},
	[INLINED] = {"--inlined", NULL, "folded: mark inlined functions with _[i], which flame graphs color"},
	[ROWS] = {"-n", "N", "only the N largest stacks of each process (default: all)"},
	{NULL, NULL, NULL},
};

static int emit_csv(const struct profile *p, const struct emit_options *o, FILE *out);

static const struct format {
	const char *name, *extension;
	int (*emit)(const struct profile *, const struct emit_options *, FILE *);
} formats[] = {
	{"folded", ".folded", emit_folded},
	{"json", ".json", emit_json},
	{"csv", ".csv", emit_csv},
};
enum { FORMATS = sizeof formats / sizeof formats[0] };

struct request {
	struct emit_options emit;
	const struct format *format;
	const char *target, *output;
};

/* ---- every event, of those that have them ---- */

struct lines {
	const struct profile_process *process;
	FILE *out;
};

static void put_line(void *context, const struct lifetimes_event *e)
{
	const struct lines *lines = context;
	emit_event_line(lines->process, e, lines->out);
}

static int emit_csv(const struct profile *p, const struct emit_options *o, FILE *out)
{
	(void)o;
	emit_event_heading(out);
	for (uint32_t i = 0; i < p->process_count; i++) {
		struct lines lines = {&p->processes[i], out};
		uint32_t damaged = read_stream_events(&p->processes[i], put_line, &lines);
		if (damaged)
			warn("export: %u parts of the events are damaged and were left out", damaged);
	}
	return 0;
}

static bool has_events(const struct profile *p)
{
	for (uint32_t i = 0; i < p->process_count; i++)
		if (p->processes[i].stream.events)
			return true;
	return false;
}

/* ---- what was asked for ---- */

static bool choose_format(struct request *r, const char *word)
{
	const char *names[FORMATS + 1] = {NULL};
	for (int i = 0; i < FORMATS; i++)
		names[i] = formats[i].name;
	int choice = show_choice("export", "--to", word, names);
	if (choice >= 0)
		r->format = &formats[choice];
	return choice >= 0;
}

static bool choose_kind(struct request *r, const char *word)
{
	const char *names[MTRACE_KIND_COUNT + 1] = {"all"};
	for (unsigned kind = MTRACE_KIND_MALLOC; kind < MTRACE_KIND_COUNT; kind++)
		names[kind] = profile_kind_name((enum mtrace_kind)kind);
	for (unsigned i = 0; names[i]; i++) {
		if (strcmp(word, names[i]) == 0) {
			r->emit.kind = (enum mtrace_kind)i;
			return true;
		}
	}
	const char *close = nearest(word, names);
	warn("export: there is no kind %s%s%s", word, close ? "; did you mean " : "; try malloc, mmap or all",
	     close ? close : "");
	return false;
}

static bool take(struct request *r, int option, const char *value)
{
	switch (option) {
	case TO: return choose_format(r, value);
	case OUTPUT: r->output = value; return true;
	case KIND: return choose_kind(r, value);
	case ALLOCATED: r->emit.allocated = true; return true;
	case INLINED: r->emit.inlined_tag = true; return true;
	case ROWS: return show_number("export", value, &r->emit.limit);
	case -3: return show_one_target("export", &r->target, value);
	default: return false;
	}
}

static bool parse(int argc, char **argv, const struct command *self, struct request *r)
{
	struct option_cursor cursor = {.index = 1};
	for (int option; (option = option_or_operand(argc, argv, self, &cursor)) != -1;)
		if (!take(r, option, cursor.value))
			return false;
	for (int i = 0; !r->format && r->output && i < FORMATS; i++)
		if (show_has_extension(r->output, formats[i].extension))
			r->format = &formats[i];
	if (!r->target)
		warn("export: of what? give a pid, a segment file, a recording, or `last`");
	else if (!r->format)
		warn("export: in which format? --to folded, json or csv, or -o with a name that ends in .folded, .json or .csv");
	return r->target && r->format;
}

/* Folded stacks are of one kind, and of what is live unless --allocated: there may be none although a lot was recorded. */
static bool has_none(const struct request *r, const struct profile *p)
{
	for (uint32_t i = 0; i < p->process_count; i++)
		for (uint32_t s = 0; s < p->processes[i].stack_count; s++) {
			const struct profile_stack *stack = &p->processes[i].stacks[s];
			bool counts = r->emit.allocated ? stack->counts.alloc_bytes > 0 : stack->counts.live_bytes > 0;
			if (counts && (!r->emit.kind || stack->kind == r->emit.kind))
				return false;
		}
	return r->format->emit == emit_folded;
}

static int verdict(const struct request *r, const struct profile *p)
{
	const char *why = p->process_count == 1 ? show_why_nothing(&p->processes[0]) : NULL;
	if (why)
		warn("export: %s recorded no allocation: %s", r->target, why);
	else if (r->format->emit == emit_csv && !has_events(p))
		warn("export: %s has no events; `mtrace run --events` and `mtrace snap --events` record them", r->target);
	else if (has_none(r, p))
		warn("export: nothing of kind %s is %s in %s; --kind all takes every kind%s",
		     r->emit.kind ? profile_kind_name(r->emit.kind) : "all", r->emit.allocated ? "allocated" : "live", r->target,
		     r->emit.allocated ? "" : ", --allocated what was freed, too");
	else
		return EXIT_DONE;
	return EXIT_NOTHING;
}

int cmd_export(int argc, char **argv, const struct command *self)
{
	struct request r = {.emit = {.kind = MTRACE_KIND_MALLOC}};
	FILE *out;
	if (!parse(argc, argv, self, &r))
		return EXIT_TROUBLE;
	struct profile *p = show_open("export", r.target, NULL);
	if (!p)
		return EXIT_TROUBLE;
	int code = EXIT_TROUBLE;
	if (p->processes[0].mode == PROFILE_OUTSIDE && r.format->emit == emit_folded) {
		warn("export: %s is not traced, so there are no stacks to write; `mtrace doctor %s` says how to get them", r.target,
		     r.target);
		code = EXIT_NOTHING;
	} else if (show_output("export", r.output, &out) == 0) {
		r.format->emit(p, &r.emit, out);
		if (show_close("export", r.output, out) == 0)
			code = verdict(&r, p);
	}
	profile_free(p);
	return code;
}
