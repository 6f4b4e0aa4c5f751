/*
 * managed: see managed.h. Who commits memory is told apart from who reserves it by the JVM's own word for it, os::commit_memory
 * in every collector but ZGC, which maps what it has committed.
 */
#include "model/managed.h"

#include <ctype.h>
#include <string.h>

static const struct {
	enum managed_area area;
	enum managed_how how;
	const char *part;
} frames[] = {
#define MANAGED_FRAME(area, how, part) {MANAGED_##area, MANAGED_##how, part},
#include "model/managed.def"
};
enum { FRAMES = sizeof frames / sizeof frames[0] };

static const struct {
	const char *id, *name, *next, *text;
} areas[MANAGED_AREAS] = {
#define MANAGED_AREA(area, id, name, next, text) [MANAGED_##area] = {id, name, next, text},
#include "model/managed.def"
};

const char *managed_id(enum managed_area area)
{
	return area < MANAGED_AREAS ? areas[area].id : NULL;
}

const char *managed_name(enum managed_area area)
{
	return area < MANAGED_AREAS ? areas[area].name : NULL;
}

const char *managed_next(enum managed_area area)
{
	return area < MANAGED_AREAS ? areas[area].next : NULL;
}

const char *managed_next_text(enum managed_area area)
{
	return area < MANAGED_AREAS ? areas[area].text : NULL;
}

static bool is_libjvm(const struct profile_process *process, const struct profile_frame *frame)
{
	const char *path = frame->module < process->module_count ? process->modules[frame->module].path : NULL;
	const char *slash = path ? strrchr(path, '/') : NULL;
	return path && strcmp(slash ? slash + 1 : path, "libjvm.so") == 0;
}

/* NULL: a frame of something else, or without a name. */
static const char *jvm_function(const struct profile_process *process, const struct profile_frame *frame)
{
	return frame->name_count && is_libjvm(process, frame) ? frame->names[0].function : NULL;
}

static bool is_inside_a_word(const char *function, const char *at)
{
	return at > function && (isalnum((unsigned char)at[-1]) || at[-1] == '_');
}

/* The arguments name classes, too: "(G1RegionToSpaceMapper*)" says nothing of whose memory it is. */
static bool has_part(const char *function, const char *part)
{
	const char *arguments = strchr(function, '('), *at = strstr(function, part);
	size_t bytes = strlen(part);
	bool is_whole = bytes > 2 && strcmp(part + bytes - 2, "::") == 0;
	while (at && is_whole && is_inside_a_word(function, at))
		at = strstr(at + 1, part);
	return at && (!arguments || at < arguments);
}

/* The lowest row of the table that one of the frames has. Frames of the JVM stand together: those further out than the first
   other code are at work for something else. */
static size_t row_of(const struct profile_process *process, const struct profile_stack *stack, enum mtrace_kind kind)
{
	size_t row = FRAMES;
	const char *function;
	for (uint32_t f = 0; f < stack->frame_count; f++) {
		function = jvm_function(process, &process->frames[stack->frames[f]]);
		if (!function)
			break;
		for (size_t i = 0; i < row; i++)
			if ((frames[i].how == MANAGED_MAPPING) == (kind == MTRACE_KIND_MMAP) && has_part(function, frames[i].part))
				row = i;
	}
	return row;
}

static bool commits(const struct profile_process *process, const struct profile_stack *stack)
{
	for (uint32_t f = 0; f < stack->frame_count; f++) {
		const char *function = jvm_function(process, &process->frames[stack->frames[f]]);
		if (function && (strstr(function, "commit_memory") || strstr(function, "ZPhysicalMemory")))
			return true;
	}
	return false;
}

struct managed managed_of(const struct profile_process *process, const struct profile_stack *stack)
{
	if (stack->kind != MTRACE_KIND_MMAP && stack->kind != MTRACE_KIND_MALLOC)
		return (struct managed){.area = MANAGED_NONE};
	size_t row = row_of(process, stack, stack->kind);
	if (row == FRAMES)
		return (struct managed){.area = MANAGED_NONE};
	struct managed m = {frames[row].area, frames[row].how};
	if (m.how == MANAGED_MAPPING && commits(process, stack))
		m.how = MANAGED_COMMIT;
	return m;
}
