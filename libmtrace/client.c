/*
 * client: the public API of mtrace.h, as the program finds it by its weak references or by dlsym. Entry points only.
 */
#define MTRACE_BUILDING
#include "mtrace.h"

#include "boot.h"
#include "format.h"
#include "here.h"
#include "tracker.h"

void mtrace_mark(const char *name)
{
	if (boot_ready())
		tracker_mark(name, 0);
}

void mtrace_snapshot(const char *tag)
{
	if (boot_ready())
		tracker_mark(tag, MTRACE_MARK_SNAPSHOT);
}

int mtrace_active(void)
{
	return boot_ready();
}

void mtrace_pool_alloc(const void *pool, const void *ptr, size_t size)
{
	(void)pool; /* the stack tells pools apart */
	if (ptr && boot_ready())
		tracker_pool_allocated(ptr, size, HERE_START);
}

void mtrace_pool_free(const void *pool, const void *ptr)
{
	(void)pool;
	if (ptr && boot_ready())
		tracker_pool_freeing(ptr);
}
