/*
 * cmd_symbolize: names for a recording whose command ran elsewhere, or before its debug information was at hand.
 *
 * The recording keeps build-ids and offsets, so any machine that has the files (or reaches a debuginfod) can add
 * names later. The result replaces the recording, whole or not at all, or goes to -o. Says on stderr what was found and
 * which files are still missing, the one with most live bytes behind it first. Never uses a file of another build.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "emit/emit.h"
#include "model/profile.h"
#include "read/read.h"
#include "show.h"
#include "symbols/symbols.h"

enum { OPTION_SEARCH, OPTION_AGAIN, OPTION_OUTPUT };

const struct command_option cmd_symbolize_options[] = {
	[OPTION_SEARCH] = {"--search", "DIR", "look here too, for files by name and by build-id; may be given again"},
	[OPTION_AGAIN] = {"--again", NULL, "also look again for frames that have a name but no line"},
	[OPTION_OUTPUT] = {"-o", "FILE", "write here instead of replacing the recording"},
	{NULL, NULL, NULL},
};

#define MISSING_SHOWN 20

struct request {
	const char *recording, *output;
	const char **search; /* NULL-terminated */
	size_t search_count;
	bool again;
};

/* A file that frames are in and that was not found, or has no debug information: no frame in it has a line. */
struct missing {
	const struct profile_module *module;
	uint64_t live_bytes; /* of the stacks that go through it */
	uint64_t frames, named, with_line;
};

/* ---- arguments ---- */

static void add_search(struct request *q, const char *directory)
{
	const char **more = reallocarray(q->search, q->search_count + 2, sizeof(*more));

	if (!more)
		die(EXIT_TROUBLE, "out of memory");
	q->search = more;
	q->search[q->search_count++] = directory;
	q->search[q->search_count] = NULL;
}

static bool take_operand(struct request *q, const char *word)
{
	if (q->recording)
		warn("symbolize: one recording at a time, not %s as well", word);
	else
		q->recording = word;
	return q->recording == word;
}

static bool parse(int argc, char **argv, const struct command *self, struct request *q)
{
	struct option_cursor cursor = {.index = 1};
	int option;

	while ((option = option_or_operand(argc, argv, self, &cursor)) != -1) {
		if (option == -2 || (option == -3 && !take_operand(q, cursor.value)))
			return false;
		if (option == OPTION_SEARCH && !show_is_directory("symbolize", cursor.value))
			return false;
		if (option == OPTION_SEARCH)
			add_search(q, cursor.value);
		else if (option == OPTION_AGAIN)
			q->again = true;
		else if (option == OPTION_OUTPUT)
			q->output = cursor.value;
	}
	if (!q->recording)
		warn("symbolize: which recording? %s", self->usage);
	return q->recording != NULL;
}

/* ---- what is still missing ---- */

static bool is_lacking(const struct profile_frame *frame)
{
	return frame->kind == MTRACE_FRAME_NATIVE && !(frame->name_count && (frame->names[0].file || frame->names[0].line));
}

static bool same_file(const struct profile_module *a, const struct profile_module *b)
{
	if (a->build_id_bytes || b->build_id_bytes)
		return a->build_id_bytes == b->build_id_bytes && memcmp(a->build_id, b->build_id, a->build_id_bytes) == 0;
	return strcmp(a->path, b->path) == 0;
}

struct missing_list {
	struct missing *at;
	size_t count;
};

static struct missing *missing_of(struct missing_list *list, const struct profile_module *module)
{
	for (size_t i = 0; i < list->count; i++)
		if (same_file(list->at[i].module, module))
			return &list->at[i];
	list->at = reallocarray(list->at, list->count + 1, sizeof(*list->at));
	if (!list->at)
		die(EXIT_TROUBLE, "out of memory");
	list->at[list->count] = (struct missing){.module = module};
	return &list->at[list->count++];
}

/* Which entry of the list each module of a process is; a number beyond it for none. */
static size_t *index_modules(const struct profile_process *process, struct missing_list *list)
{
	size_t *index = calloc(process->module_count + 1, sizeof(*index));
	bool *lacking = calloc(process->module_count + 1, sizeof(*lacking));

	if (!index || !lacking)
		die(EXIT_TROUBLE, "out of memory");
	for (uint32_t i = 0; i < process->frame_count; i++)
		if (is_lacking(&process->frames[i]))
			lacking[process->frames[i].module] = true;
	for (uint32_t i = 0; i < process->module_count; i++)
		index[i] = lacking[i] ? (size_t)(missing_of(list, &process->modules[i]) - list->at) : SIZE_MAX;
	free(lacking);
	return index;
}

static void count_frames(const struct profile_process *process, const size_t *index, struct missing_list *list)
{
	for (uint32_t i = 0; i < process->frame_count; i++) {
		const struct profile_frame *frame = &process->frames[i];
		struct missing *m;

		if (frame->kind != MTRACE_FRAME_NATIVE || index[frame->module] == SIZE_MAX)
			continue;
		m = &list->at[index[frame->module]];
		m->frames++;
		m->named += frame->name_count && frame->names[0].function;
		m->with_line += !is_lacking(frame);
	}
}

/* A stack counts once for each file, however many of its frames are in there. */
static void count_bytes(const struct profile_process *process, const size_t *index, struct missing_list *list)
{
	size_t *last = calloc(list->count + 1, sizeof(*last)); /* the stack that was counted last, + 1 */

	if (!last)
		die(EXIT_TROUBLE, "out of memory");
	for (uint32_t i = 0; i < process->stack_count; i++) {
		const struct profile_stack *stack = &process->stacks[i];

		for (uint32_t k = 0; k < stack->frame_count; k++) {
			const struct profile_frame *frame = &process->frames[stack->frames[k]];
			size_t at = is_lacking(frame) ? index[frame->module] : SIZE_MAX;

			if (at == SIZE_MAX || last[at] == i + 1u)
				continue;
			last[at] = i + 1u;
			list->at[at].live_bytes = profile_sum(list->at[at].live_bytes, stack->counts.live_bytes);
		}
	}
	free(last);
}

static int compare_missing(const void *left, const void *right)
{
	const struct missing *a = left, *b = right;

	if (a->live_bytes != b->live_bytes)
		return a->live_bytes > b->live_bytes ? -1 : 1;
	return a->frames > b->frames ? -1 : a->frames < b->frames;
}

static void say_missing(const struct missing *m)
{
	char bytes[32], hex[2 * sizeof(m->module->build_id) + 1] = "none";

	for (size_t i = 0; i < m->module->build_id_bytes && i < sizeof(m->module->build_id); i++)
		sprintf(hex + 2 * i, "%02x", m->module->build_id[i]);
	emit_bytes(bytes, m->live_bytes);
	warn("%s: %s, build-id %s (%llu frames, %llu named, %s live)", m->named ? "no debug information" : "not found, or stripped",
	     m->module->path, hex, (unsigned long long)m->frames, (unsigned long long)m->named, bytes);
}

static void say_worst(struct missing_list *list)
{
	size_t said = 0, left_out = 0;

	if (list->count)
		qsort(list->at, list->count, sizeof(*list->at), compare_missing);
	for (size_t i = 0; i < list->count; i++) {
		if (list->at[i].with_line)
			continue; /* found; what lacks a line there is assembler */
		if (said < MISSING_SHOWN)
			say_missing(&list->at[i]);
		left_out += said++ >= MISSING_SHOWN;
	}
	if (left_out)
		warn("and %zu more files", left_out);
}

static void say_all_missing(const struct profile *profile)
{
	struct missing_list list = {NULL, 0};

	for (uint32_t i = 0; i < profile->process_count; i++) {
		size_t *index = index_modules(&profile->processes[i], &list);

		count_frames(&profile->processes[i], index, &list);
		count_bytes(&profile->processes[i], index, &list);
		free(index);
	}
	say_worst(&list);
	free(list.at);
}

/* ---- the work ---- */

static int symbolize(struct profile *profile, const struct request *q)
{
	struct symbols_options options = {.search = q->search, .again = q->again};
	const char *output = q->output ? q->output : q->recording;
	struct symbols_result result;
	struct read_error error;

	symbols_resolve(profile, &options, &result);
	if (write_recording(output, true, profile, &error) != 0) {
		warn("%s", error.text);
		return EXIT_TROUBLE;
	}
	warn("%s: %llu of %llu frames have a name, %llu a line", output, (unsigned long long)result.named,
	     (unsigned long long)result.frames, (unsigned long long)result.with_line);
	say_all_missing(profile);
	return result.frames && !result.named ? EXIT_NOTHING : EXIT_DONE;
}

int cmd_symbolize(int argc, char **argv, const struct command *self)
{
	struct request q = {0};
	struct profile *profile;
	struct read_error error;
	int code = EXIT_TROUBLE;

	if (!parse(argc, argv, self, &q)) {
		free(q.search);
		return EXIT_TROUBLE;
	}
	profile = profile_new();
	if (read_recording(q.recording, profile, &error) != 0)
		warn("%s", error.text);
	else
		code = symbolize(profile, &q);
	profile_free(profile);
	free(q.search);
	return code;
}
