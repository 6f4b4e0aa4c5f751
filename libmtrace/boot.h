/*
 * boot: is this process recorded, and the way there: looking up the real functions, the bootstrap arena, the first
 * event, a forked child's segment, the end. Called by hooks and client; calls everything below.
 *
 * States of a process: not booted (libc is not ready, or we are inside boot itself: events pass by), refused (not a
 * target, or no segment could be made: hooks forward, for good), recording, asleep (mode=off, or detached: until
 * `mtrace attach`), forked (the owner page is wiped: the first event makes a segment of its own; the child of a sleeper
 * is refused). A library that was loaded into a program that runs is refused until it is attached.
 */
#ifndef MTRACE_BOOT_H
#define MTRACE_BOOT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "format.h"
#include "guard.h"

/* The functions behind ours. NULL: not looked up yet, or (LAZY) not there. */
struct real_functions {
#define EAGER(ret, name, params) ret(*name) params;
#define LAZY(ret, name, params) ret(*name) params;
#define NEW(name, params, args) void *(*name)params;
#define DELETE(name, params, args) void (*name) params;
#include "wrapped.def"
};
extern struct real_functions real SHIM_OWN;

/* Not recording yet: boots, or makes a forked child's segment. true: record this event. */
bool boot_wake(void);

/* true: record this event. */
static inline bool boot_ready(void)
{
	return guard_tracking() || boot_wake();
}

/* Looks a LAZY function up at its first call: in the object that calls and what it was linked with (a library loaded
   RTLD_LOCAL brings operators that only it can see), else behind us in search order. NULL: nowhere. Use what it
   returns: it is not always kept. Async-signal-safe unless the function is nowhere in what the caller was linked with. */
void *boot_look_up(void **slot, const char *name, uintptr_t caller);

static inline void *boot_find(void **slot, const char *name, uintptr_t caller)
{
	void *found = __atomic_load_n(slot, __ATOMIC_RELAXED); /* a function's address: nothing else is read through it */
	return likely(found) ? found : boot_look_up(slot, name, caller);
}

/* What to do with an event, whoever of the program calls: see enum guard_active. UNDECIDED: ask boot_ready. */
static inline uint32_t boot_active(void)
{
	return atomic_load_explicit(&owner_page->active, memory_order_acquire);
}

/* The object that defines the real malloc, and whether a function lies in it. */
extern struct plat_object boot_allocator SHIM_OWN;

static inline bool boot_is_allocators(const void *function)
{
	return (uintptr_t)function - boot_allocator.start < boot_allocator.end - boot_allocator.start;
}

/* Around dlclose: functions that are kept stay loaded, none is kept meanwhile. */
void boot_closing(void);
void boot_closed(void);

/* Blocks served while the allocator is not known, recognised by address for the life of the process. */
void *boot_alloc(size_t size, size_t alignment);
enum { BOOT_ARENA_BYTES = 256 << 10 };
extern char boot_arena[BOOT_ARENA_BYTES] SHIM_OWN;

static inline bool boot_owns(const void *p)
{
	return (uintptr_t)p - (uintptr_t)boot_arena < BOOT_ARENA_BYTES;
}

size_t boot_size(const void *p);

/* The process is about to set this limit on itself. */
void boot_note_limit(int resource, const struct rlimit *limit);

/* The process is about to restrict its own system calls: to read, write and exit, or by a filter. */
void boot_note_filter(bool strict, const void *program);

/* The process ends here and now (_exit, quick_exit). */
void boot_note_end(uint32_t end, int status);

/* ---- in a program that runs ----
 *
 * From the thread that was asked to, which holds no lock: not from a hook. Begin, then put the hooks in place, then end:
 * when the first event is recorded every free leads through us as well. */
enum mtrace_attach_result boot_attach_begin(const char *options); /* done: go on with the rest */
void boot_attach_end(void);
enum mtrace_attach_result boot_detach(void); /* first this, then the hooks are taken out */
bool boot_is_late(void);

/* ---- the parts of boot ---- */

/* boot_symbols: once, before threads. Takes the loader's lock. true: we came late; then what comes first in the list of
   objects is the real function, and it is called with that lock held, by our constructor. */
bool boot_find_real_functions(void);

/* The same where libc is not glibc: by dlsym alone, all of them at once. */
void boot_find_by_name(void);

/* An allocator linked into the executable, or preloaded before us: the program's calls do not reach us, but for those
   that it does not define (reallocarray, say), and these must go on to it, never past it. */
extern bool boot_foreign_in_front SHIM_OWN;

/* boot_target: is this process image to be recorded? */
bool boot_is_target(void);

/* It is: what it execs in children is not, unless follow= says so, however far down and whoever is its parent then. */
void boot_mark_descendants(void);

#endif
