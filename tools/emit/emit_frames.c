/*
 * emit_frames: what a frame is called, for every emitter: its function, else its module and offset, else its address,
 * else the marker. What a module is called: the program itself goes by the name that the user typed. And text that
 * cannot harm a terminal or break a line.
 */
#include <inttypes.h>
#include <string.h>

#include "emit/emit_text.h"

const char *emit_basename(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash && slash[1] != '\0' ? slash + 1 : path;
}

const char *emit_module_path(const struct profile_process *process, const struct profile_frame *frame)
{
	return frame->module < process->module_count ? process->modules[frame->module].path : "";
}

/* As the user typed it: Debian's redis-server is a link to redis-check-rdb. A login shell's name begins with '-'. */
const char *emit_program(const struct profile_process *process)
{
	const char *typed = process->arg_count ? emit_basename(process->args[0]) : "";
	typed += typed[0] == '-';
	if (typed[0] != '\0' && strpbrk(typed, " /") == NULL)
		return typed;
	return process->exe[0] != '\0' ? emit_basename(process->exe) : "(unknown program)";
}

const char *emit_module(const struct profile_process *process, const struct profile_frame *frame)
{
	const char *path = emit_module_path(process, frame);
	if (frame->kind == MTRACE_FRAME_JAVA)
		return "Java";
	if (path[0] != '\0' && strcmp(path, process->exe) == 0)
		return emit_program(process);
	return emit_basename(path);
}

const char *emit_function(const struct profile_frame *frame, uint32_t name)
{
	if (frame->kind == MTRACE_FRAME_MARKER)
		return profile_marker_name((uint32_t)frame->value);
	if (frame->kind == MTRACE_FRAME_NONE)
		return "[damaged]";
	const char *function = name < frame->name_count ? frame->names[name].function : NULL;
	return function || frame->kind != MTRACE_FRAME_JAVA ? function : "[Java method]";
}

void emit_frame_text(const struct profile_process *process, const struct profile_frame *frame, uint32_t name, char *out,
                     size_t size)
{
	const char *function = emit_function(frame, name), *module = emit_module(process, frame);
	if (function)
		snprintf(out, size, "%s", function);
	else if (module[0] != '\0')
		snprintf(out, size, "%s+0x%" PRIx64, module, frame->value);
	else
		snprintf(out, size, "0x%" PRIx64, frame->value);
}

const char *emit_language(const struct profile_frame *frame)
{
	return frame->kind == MTRACE_FRAME_JAVA ? "java" : "native";
}

uint32_t emit_names_of(const struct profile_frame *frame)
{
	return frame->name_count ? frame->name_count : 1;
}

/* ---- text ---- */

size_t emit_width(const char *s)
{
	size_t n = 0;
	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* C0 and C1 controls and DEL; the latter two bytes long in UTF-8. */
static size_t control(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;
	if (u[0] < ' ' || u[0] == 127)
		return 1;
	return u[0] == 0xc2 && u[1] >= 0x80 && u[1] < 0xa0 ? 2 : 0;
}

void emit_text_cut(FILE *out, const char *s, size_t columns)
{
	bool fits = emit_width(s) <= columns;
	size_t left = fits ? columns : columns - 1;
	while (*s != '\0') {
		size_t skip = control(s), n = 1;
		if (left == 0)
			break;
		while (!skip && ((unsigned char)s[n] & 0xc0) == 0x80)
			n++;
		if (skip)
			fputc('?', out);
		else
			fwrite(s, 1, n, out);
		s += skip ? skip : n;
		left--;
	}
	if (!fits)
		fputs("…", out);
}

void emit_text_padded(FILE *out, const char *s, size_t columns)
{
	emit_text_cut(out, s, columns);
	for (size_t n = emit_width(s); n < columns; n++)
		fputc(' ', out);
}

/* ---- labels of groups ---- */

void emit_site_label(const struct profile_process *process, const struct profile_stack *stack, char *out, size_t size)
{
	uint32_t site = profile_site(process, stack);
	if (site >= stack->frame_count) {
		snprintf(out, size, "(no frame of the program's own)");
		return;
	}
	const struct profile_frame *frame = &process->frames[stack->frames[site]];
	char text[512];
	emit_frame_text(process, frame, profile_own_name(process, frame), text, sizeof text);
	snprintf(out, size, "%s  %s", text, emit_module(process, frame));
}

void emit_module_label(const struct profile_process *process, const struct profile_stack *stack, char *out,
                         size_t size)
{
	uint32_t site = profile_site(process, stack);
	const char *module = "(no frame of the program's own)";
	if (site < stack->frame_count)
		module = emit_module(process, &process->frames[stack->frames[site]]);
	snprintf(out, size, "%s", module[0] ? module : "(no module)");
}

void emit_kind_label(const struct profile_process *process, const struct profile_stack *stack, char *out, size_t size)
{
	(void)process;
	snprintf(out, size, "%s", profile_kind_name(stack->kind));
}
