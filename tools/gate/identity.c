/*
 * identity: see identity.h. Innermost first. Functions in a row of one file name it once; a frame without a name is its file
 * alone, since its offset moves with every build, and several in a row are one. Blanks in names (C++) become '_', so that
 * words of a line stay apart.
 */
#include "gate/identity.h"

#include <stdio.h>
#include <stdlib.h>

#include "die.h"
#include "emit/emit_text.h"

static void put_word(FILE *out, const char *word)
{
	for (; *word; word++)
		fputc((unsigned char)*word <= ' ' || *word == 127 ? '_' : *word, out);
}

/* Of the stack so far. */
struct line {
	FILE *out;
	const char *module; /* of the frame before, whose functions name it */
	bool any, was_unnamed;
};

static void put_function(struct line *line, const char *function, const char *module)
{
	fputc(line->any ? '<' : ' ', line->out);
	put_word(line->out, function);
	if (!line->any || line->module != module) {
		fputc('@', line->out);
		put_word(line->out, module);
	}
	line->any = true;
	line->module = module;
}

static void put_frame(struct line *line, const struct profile_process *process, const struct profile_frame *frame)
{
	const char *module = emit_module(process, frame);
	bool unnamed = !emit_function(frame, 0);
	if (unnamed && line->was_unnamed && line->module == module)
		return;
	for (uint32_t i = 0; !unnamed && i < emit_names_of(frame); i++) {
		const char *function = emit_function(frame, i);
		put_function(line, function ? function : "?", module);
	}
	if (unnamed)
		put_function(line, "?", module);
	line->was_unnamed = unnamed;
}

const char *identity_of(struct profile *pool, const struct profile_process *process, const struct profile_stack *stack)
{
	char *text = NULL;
	size_t size = 0;
	struct line line = {.out = open_memstream(&text, &size)};
	if (!line.out)
		die(2, "out of memory");
	fputs(profile_kind_name(stack->kind), line.out);
	for (uint32_t i = 0; i < stack->frame_count; i++)
		put_frame(&line, process, &process->frames[stack->frames[i]]);
	if (fclose(line.out) != 0)
		die(2, "out of memory");
	const char *kept = profile_string(pool, text);
	free(text);
	return kept;
}
