/*
 * attach: a JVM that runs loads the library and calls Agent_OnAttach, on its Attach Listener thread, which holds no lock and
 * may do what any thread may. The same to end it, and to begin again: the library stays for good.
 *
 * First the segment, then the hooks into all slots, which only forward yet, then all is recorded: a block that is recorded
 * is freed through us, too. Ended the other way round. A library that was preloaded has its hooks in place from the start:
 * then this only wakes it.
 */
#include <string.h>

#include "agent.h"
#include "boot.h"
#include "hooks.h"
#include "segment.h"

__attribute__((visibility("default"))) extern int32_t Agent_OnAttach(struct java_vm *vm, char *text, void *reserved);

/* Others of ours may come before or after; the real functions must be known. */
__attribute__((constructor)) static void attach_constructor(void)
{
	(void)boot_ready();
	if (boot_is_late())
		patch_init(hooks, hooks_count);
}

static enum mtrace_attach_result attach(const char *text)
{
	enum mtrace_attach_result result = boot_attach_begin(text);
	if (result != MTRACE_ATTACH_done)
		return result;
	uint32_t refused = boot_is_late() ? patch_in() : 0;
	for (; refused; refused--)
		segment_count(MTRACE_COUNTER_drop_slots);
	boot_attach_end();
	return MTRACE_ATTACH_done;
}

/* Of a JVM that is recorded, alone. */
static enum mtrace_attach_result listen(void)
{
	return boot_ready() && agent_listen(true) ? MTRACE_ATTACH_done : MTRACE_ATTACH_not_traced;
}

static enum mtrace_attach_result detach(void)
{
	(void)agent_listen(false);
	enum mtrace_attach_result result = boot_detach();
	if (result == MTRACE_ATTACH_done && boot_is_late())
		patch_out();
	return result;
}

/* The agent quietly: a JVM that is listened to for exhaustion logs it on the program's standard output, until it is told
   not to. */
int32_t Agent_OnAttach(struct java_vm *vm, char *text, void *reserved)
{
	(void)reserved;
	if (text && !strcmp(text, MTRACE_ATTACH_DETACH))
		return (int32_t)detach();
	if (text && !strcmp(text, MTRACE_ATTACH_LISTEN))
		return (int32_t)listen();
	enum mtrace_attach_result result = attach(text);
	if (result == MTRACE_ATTACH_done)
		agent_start(vm, "quiet", true);
	return (int32_t)result;
}
