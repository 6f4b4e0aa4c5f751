/*
 * libunwind: the same walk by libunwind, for comparison (unwind=libunwind) and as the tests' oracle.
 *
 * Loaded at run time, RTLD_LOCAL: its _Unwind_* must never capture the host's exceptions. It takes the loader's lock,
 * opens a pipe and blocks signals (design 5.2): never the default. It starts in our own frames, which are skipped
 * until *start is reached. Bound: OWN_FRAMES of ours, UNWIND_MAX_DEPTH of the program's.
 */
#include "unwind/libunwind.h"

#include "plat.h"

#include <string.h>

#if __has_include(<libunwind.h>)
#define UNW_LOCAL_ONLY
#include <libunwind.h>

#define OWN_FRAMES 32u
#define STRING(x) STRING_OF(x)
#define STRING_OF(x) #x

static struct {
	int (*get_context)(unw_tdep_context_t *context);
	int (*init_local)(unw_cursor_t *cursor, unw_context_t *context);
	int (*step)(unw_cursor_t *cursor);
	int (*get_reg)(unw_cursor_t *cursor, int reg, unw_word_t *value);
	int (*is_signal_frame)(unw_cursor_t *cursor);
	int (*function_at)(unw_addr_space_t space, unw_word_t pc, unw_proc_info_t *info, void *argument);
	void (*flush_cache)(unw_addr_space_t space, unw_word_t low, unw_word_t high);
	unw_addr_space_t *space;
} library;
_Static_assert(sizeof(unw_context_t) <= sizeof(struct libunwind_registers), "room for its registers");

static bool find(void *handle, const char *name, void *function)
{
	void *symbol = plat_symbol_in(handle, name);
	memcpy(function, &symbol, sizeof symbol);
	return symbol != NULL;
}

static bool find_all(void *handle)
{
	return find(handle, STRING(UNW_ARCH_OBJ(getcontext)), &library.get_context) &&
	       find(handle, STRING(UNW_OBJ(init_local)), &library.init_local) &&
	       find(handle, STRING(UNW_OBJ(step)), &library.step) &&
	       find(handle, STRING(UNW_OBJ(get_reg)), &library.get_reg) &&
	       find(handle, STRING(UNW_OBJ(is_signal_frame)), &library.is_signal_frame) &&
	       find(handle, STRING(UNW_OBJ(get_proc_info_by_ip)), &library.function_at) &&
	       find(handle, STRING(UNW_ARCH_OBJ(flush_cache)), &library.flush_cache) &&
	       find(handle, STRING(UNW_OBJ(local_addr_space)), &library.space);
}

bool unwind_libunwind_init(void)
{
	void *handle = plat_load_private("libunwind.so.8");
	return handle && find_all(handle);
}

/* It remembers rules by pc, and does not notice by itself that code has gone (lessons 12). */
void unwind_libunwind_forget(void)
{
	if (library.space)
		library.flush_cache(*library.space, 0, 0);
}

static uintptr_t register_of(unw_cursor_t *cursor, int reg)
{
	unw_word_t value = 0;
	return library.get_reg(cursor, reg, &value) == 0 ? (uintptr_t)value : 0;
}

static bool leave_own_frames(unw_cursor_t *cursor, const struct unwind_start *start)
{
	for (unsigned n = 0; n < OWN_FRAMES; n++) {
		if (register_of(cursor, UNW_REG_SP) == start->sp && register_of(cursor, UNW_REG_IP) == start->pc)
			return true;
		if (library.step(cursor) <= 0)
			return false;
	}
	return false;
}

static enum unwind_end end_of(int stepped)
{
	return stepped == 0                 ? UNWIND_WHOLE
	       : stepped == -UNW_ENOINFO    ? UNWIND_NO_RULES
	       : stepped == -UNW_EBADFRAME  ? UNWIND_LOOP
	       : stepped == -UNW_EINVALIDIP ? UNWIND_UNREADABLE
	                                    : UNWIND_BAD_RULES;
}

/* libunwind says "signal frame" of the interrupted frame; the trampoline is the one before. */
static size_t walk(unw_cursor_t *cursor, struct unwind_frame *frames, size_t keep, enum unwind_end *end)
{
	for (size_t depth = 0;; depth++) {
		uintptr_t pc = register_of(cursor, UNW_REG_IP);
		bool interrupted = depth && library.is_signal_frame(cursor) > 0;
		if (interrupted)
			frames[depth - 1].exact = 1;
		if (depth == keep || pc == 0) {
			*end = pc == 0 ? UNWIND_WHOLE : UNWIND_TOO_DEEP;
			return depth;
		}
		frames[depth] = (struct unwind_frame){pc, 0, interrupted};
		int stepped = library.step(cursor);
		if (stepped <= 0) {
			*end = end_of(stepped);
			return depth + 1;
		}
	}
}

libunwind_capture *unwind_libunwind_capture(void)
{
	return (libunwind_capture *)library.get_context;
}

size_t unwind_libunwind_walk_from(const struct libunwind_registers *registers, const struct unwind_start *start,
                                  struct unwind_frame *frames, size_t keep, enum unwind_end *end)
{
	unw_cursor_t cursor;
	*end = UNWIND_BAD_RULES;
	if (library.init_local(&cursor, (unw_context_t *)(uintptr_t)registers) != 0 ||
	    !leave_own_frames(&cursor, start))
		return 0;
	return walk(&cursor, frames, keep, end);
}

size_t unwind_libunwind_walk(const struct unwind_start *start, const struct unwind_bounds *bounds,
                             struct unwind_frame *frames, size_t keep, enum unwind_end *end)
{
	struct libunwind_registers registers;
	(void)bounds;
	*end = UNWIND_BAD_RULES;
	if (!library.get_context || library.get_context((unw_tdep_context_t *)registers.bytes) != 0)
		return 0;
	return unwind_libunwind_walk_from(&registers, start, frames, keep, end);
}

uintptr_t unwind_libunwind_function(uintptr_t pc)
{
	unw_proc_info_t info;
	return library.function_at(*library.space, pc, &info, NULL) == 0 ? (uintptr_t)info.start_ip : 0;
}

#else /* built without libunwind's headers */

void unwind_libunwind_forget(void)
{
}

bool unwind_libunwind_init(void)
{
	return false;
}

size_t unwind_libunwind_walk(const struct unwind_start *start, const struct unwind_bounds *bounds,
                             struct unwind_frame *frames, size_t keep, enum unwind_end *end)
{
	(void)start, (void)bounds, (void)frames, (void)keep;
	*end = UNWIND_NO_RULES;
	return 0;
}

libunwind_capture *unwind_libunwind_capture(void)
{
	return NULL;
}

size_t unwind_libunwind_walk_from(const struct libunwind_registers *registers, const struct unwind_start *start,
                                  struct unwind_frame *frames, size_t keep, enum unwind_end *end)
{
	(void)registers;
	return unwind_libunwind_walk(start, NULL, frames, keep, end);
}

uintptr_t unwind_libunwind_function(uintptr_t pc)
{
	(void)pc;
	return 0;
}
#endif
