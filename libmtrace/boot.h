/*
 * boot: is this process recorded, and the way there: looking up the real functions, the bootstrap arena, the first
 * event, a forked child's segment, the end. Called by hooks and client; calls everything below.
 *
 * States of a process: not booted (libc is not ready, or we are inside boot itself: events pass by), refused (not a
 * target, or no segment could be made: hooks forward, for good), recording, forked (the owner page is wiped: the first
 * event makes a segment of its own).
 */
#ifndef MTRACE_BOOT_H
#define MTRACE_BOOT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "guard.h"

/* The functions behind ours. NULL: not looked up yet, or (LAZY) not there. */
struct real_functions {
#define EAGER(ret, name, params) ret(*name) params;
#define LAZY(ret, name, params) ret(*name) params;
#define NEW(name, params, args) void *(*name)params;
#define DELETE(name, params, args) void (*name) params;
#include "wrapped.def"
};
extern struct real_functions real;

/* Not recording yet: boots, or makes a forked child's segment. true: record this event. */
bool boot_wake(void);

/* true: record this event. */
static inline bool boot_ready(void)
{
	return guard_tracking() || boot_wake();
}

/* Looks a LAZY function up at its first call: behind us in search order, else in the object that calls (a C++ library
   loaded RTLD_LOCAL brings operators that only it can see). NULL: nowhere. Not async-signal-safe the first time. */
void *boot_look_up(void **slot, const char *name, uintptr_t caller);

static inline void *boot_find(void **slot, const char *name, uintptr_t caller)
{
	void *found = __atomic_load_n(slot, __ATOMIC_RELAXED); /* a function's address: nothing else is read through it */
	return likely(found) ? found : boot_look_up(slot, name, caller);
}

/* The object that defines the real malloc, and whether a function lies in it. */
extern struct plat_object boot_allocator;

static inline bool boot_is_allocators(const void *function)
{
	return (uintptr_t)function - boot_allocator.start < boot_allocator.end - boot_allocator.start;
}

/* Blocks served while the allocator is not known, recognised by address for the life of the process. */
void *boot_alloc(size_t size, size_t alignment);
bool boot_owns(const void *p);
size_t boot_size(const void *p);

/* The process is about to set this limit on itself. */
void boot_note_limit(int resource, const struct rlimit *limit);

/* The process ends here and now (_exit, quick_exit). */
void boot_note_end(uint32_t end, int status);

#endif
