/*
 * direct: see direct.h.
 */
#include "model/direct.h"

#include <string.h>

static const struct direct_owner owners[] = {
#define X(id, part, text) {id, part, text},
#include "model/direct.def"
#undef X
};

static bool has_method(const struct profile_process *process, const struct profile_stack *stack, const char *part)
{
	for (uint32_t i = 0; i < stack->frame_count; i++) {
		const struct profile_frame *f = &process->frames[stack->frames[i]];
		if (f->kind == MTRACE_FRAME_JAVA && f->name_count && f->names[0].function && strstr(f->names[0].function, part))
			return true;
	}
	return false;
}

/* Most stacks have no Java method at all. */
static bool is_java(const struct profile_process *process, const struct profile_stack *stack)
{
	for (uint32_t i = 0; i < stack->frame_count; i++)
		if (process->frames[stack->frames[i]].kind == MTRACE_FRAME_JAVA)
			return true;
	return false;
}

const struct direct_owner *direct_owner_of(const struct profile_process *process, const struct profile_stack *stack)
{
	if (stack->kind != MTRACE_KIND_MALLOC || !is_java(process, stack))
		return NULL;
	for (size_t i = 0; i < sizeof owners / sizeof owners[0]; i++)
		if (has_method(process, stack, owners[i].part))
			return &owners[i];
	return NULL;
}
