/*
 * hooks: the interposed names. One shape, no policy: when this event is not to be recorded, the real function; else
 * the real function with the tracker beside it, after an allocation, before a free.
 *
 * A block goes back only to the allocator that made it; blocks of the bootstrap arena are recognised by address, for
 * the life of the process. errno is what the real function left. Nothing here may be called by our own code.
 *
 * madvise is not among them: it changes what is resident, never who owns it, and the record has nothing that would
 * change with it; what is resident the reader measures itself.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "births.h"
#include "boot.h"
#include "control.h"
#include "format.h"
#include "here.h"
#include "hooks.h"
#include "tracker.h"
#include "usual.h"

#define EXPORT __attribute__((visibility("default"))) extern
#define CALLER ((uintptr_t)__builtin_return_address(0) - 1)

enum { MALLOC_ALIGNMENT = 16 };

/* Prototypes for the names that no header declares. */
EXPORT void free_sized(void *p, size_t size);
EXPORT void free_aligned_sized(void *p, size_t alignment, size_t size);
EXPORT void *mallocx(size_t size, int flags);
EXPORT void *rallocx(void *old, size_t size, int flags);
EXPORT size_t xallocx(void *p, size_t size, size_t extra, int flags);
EXPORT void dallocx(void *p, int flags);
EXPORT void sdallocx(void *p, size_t size, int flags);
#define NEW(name, params, args) EXPORT void *name params;
#define DELETE(name, params, args) EXPORT void name params;
#include "wrapped.def"
EXPORT void cfree(void *p);

/* ---- is it the program that calls? ----------------------------------------------------------------------- */

/* An allocator outside libc may implement one function by another that it calls by name, which leads through us: that
   is its own affair, and would count twice. The thread's real calls under way that may do so are counted, where there is
   such an allocator. */
static inline void go_inside_allocator(struct thread_state *self)
{
	self->usual = GUARD_NEVER; /* G2 */
	self->inside_allocator++;
}

static inline void leave_allocator(struct thread_state *self)
{
	self->inside_allocator--;
	guard_renew_usual(self);
}

#define INSIDE(call)                                                                                                   \
	({                                                                                                             \
		__typeof__(call) result_;                                                                              \
		if (likely(boot_active() != GUARD_ASIDE)) {                                                            \
			result_ = (call);                                                                              \
		} else {                                                                                               \
			go_inside_allocator(&thread_self);                                                             \
			result_ = (call);                                                                              \
			leave_allocator(&thread_self);                                                                 \
		}                                                                                                      \
		result_;                                                                                               \
	})

static __attribute__((cold, noinline)) bool records_aside(uintptr_t caller)
{
	return boot_ready() && !(thread_self.inside_allocator && boot_is_allocators((const void *)caller));
}

/* Asleep, and nobody wakes us: the least that a hook can be. The real functions are known. */
static inline bool sleeps(void)
{
	return likely(boot_active() == GUARD_ASLEEP) && !control_has_news();
}

/* Is this event of the malloc family to be recorded? */
static inline bool records(uintptr_t caller)
{
	uint32_t active = boot_active();
	if (active == GUARD_SIMPLY)
		return true;
	if (active == GUARD_ASLEEP && !control_has_news())
		return false;
	if (active == GUARD_ASIDE && thread_self.inside_allocator == 0)
		return true;
	return active != GUARD_PASSIVE && records_aside(caller);
}

/* ---- malloc and its family: allocation ------------------------------------------------------------------- */

/* What is not the usual event, if events are to be recorded: a handler may have forked in the real call, say. */
static __attribute__((noinline)) void *allocated_otherwise(void *p, size_t size, const struct here *here)
{
	if (records(here->pc - 1))
		tracker_allocated(p, size, here);
	return p;
}

/* The entry points' frame is looked at: what they call last is not to be a jump. */
#define NO_JUMP(p) __asm__ volatile("" : "+r"(p))

/* The two that malloc is, each jumped to: its frame is where the entry point's would be. */
static __attribute__((noinline)) void *malloc_asked(size_t size)
{
	if (likely(!records(CALLER)))
		return real.malloc ? real.malloc(size) : boot_alloc(size, MALLOC_ALIGNMENT);
	void *p = real.malloc(size);
	if (likely(p))
		tracker_allocated(p, size, HERE);
	return p;
}

static __attribute__((noinline)) void *malloc_usual(size_t size)
{
	void *p = real.malloc(size);
	struct thread_state *self = &thread_self;
	if (unlikely(!p))
		return p;
	if (likely(usual_begin(self, (uintptr_t)HERE)))
		p = usual_allocated(self, p, size, HERE);
	else
		p = allocated_otherwise(p, size, HERE);
	NO_JUMP(p);
	return p;
}

EXPORT void *malloc(size_t size)
{
	if (likely(!guard_asks()))
		return malloc_usual(size);
	return sleeps() ? real.malloc(size) : malloc_asked(size);
}

/* The same for all others, whose real function was called as `records` said. */
static __attribute__((noinline)) void note_allocated(void *p, size_t size, const struct here *here)
{
	struct thread_state *self = &thread_self;
	if (likely(usual_begin(self, (uintptr_t)here)))
		(void)usual_allocated(self, p, size, here);
	else
		tracker_allocated(p, size, here);
}

EXPORT void *calloc(size_t count, size_t size)
{
	size_t bytes;
	if (unlikely(!records(CALLER))) {
		if (real.calloc)
			return real.calloc(count, size);
		return __builtin_mul_overflow(count, size, &bytes) ? NULL : boot_alloc(bytes, MALLOC_ALIGNMENT);
	}
	void *p = INSIDE(real.calloc(count, size));
	if (likely(p))
		note_allocated(p, count * size, HERE); /* it did not overflow: the allocator said so */
	return p;
}

static int aligned_in_arena(void **out, size_t alignment, size_t size)
{
	*out = boot_alloc(size, alignment);
	return *out ? 0 : ENOMEM;
}

EXPORT int posix_memalign(void **out, size_t alignment, size_t size)
{
	if (unlikely(!records(CALLER)))
		return real.posix_memalign ? real.posix_memalign(out, alignment, size) : aligned_in_arena(out, alignment, size);
	int error = INSIDE(real.posix_memalign(out, alignment, size));
	if (likely(!error && *out))
		note_allocated(*out, size, HERE);
	return error;
}

/* aligned_alloc, memalign, valloc, pvalloc: one body. `alignment` is what the arena needs when there is no other. */
#define ALIGNED(name, params, args, alignment)                                                                         \
	EXPORT void *name params                                                                                       \
	{                                                                                                              \
		if (unlikely(!records(CALLER)))                                                                        \
			return real.name ? real.name args : boot_alloc(size, alignment);                               \
		void *p = INSIDE(real.name args);                                                                      \
		if (likely(p))                                                                                         \
			note_allocated(p, size, HERE);                                                                 \
		return p;                                                                                              \
	}

ALIGNED(aligned_alloc, (size_t alignment, size_t size), (alignment, size), alignment)
ALIGNED(memalign, (size_t alignment, size_t size), (alignment, size), alignment)
ALIGNED(valloc, (size_t size), (size), MTRACE_PAGE_BYTES)
ALIGNED(pvalloc, (size_t size), (size), MTRACE_PAGE_BYTES)

/* ---- reallocation ------------------------------------------------------------------------------------ */

/* Out of the arena: a block of the real allocator with what was there; the arena's stays where it is. */
static void *leave_arena(void *old, size_t size, const struct here *here)
{
	bool record = boot_ready();
	void *p = real.malloc ? real.malloc(size) : boot_alloc(size, MALLOC_ALIGNMENT);
	size_t had = boot_size(old);
	if (!p)
		return NULL;
	if (record)
		tracker_allocated(p, size, here);
	return memcpy(p, old, had < size ? had : size);
}

/* In line: `here` is the frame of who calls it. */
static inline __attribute__((always_inline)) void *reallocate(void *old, size_t size, const struct here *here)
{
	if (unlikely(boot_owns(old))) {
		void *p = leave_arena(old, size, here);
		NO_JUMP(p);
		return p;
	}
	if (unlikely(!records(here->pc - 1))) {
		if (real.realloc)
			return real.realloc(old, size);
		return old ? NULL : boot_alloc(size, MALLOC_ALIGNMENT);
	}
	struct tracker_move move = {.known = false};
	if (likely(old))
		tracker_realloc_begin(&move, old);
	void *p = INSIDE(real.realloc(old, size));
	struct unwind_start at = here_start(here);
	tracker_realloc_end(&move, old, p, size, &at);
	return p;
}

EXPORT void *realloc(void *old, size_t size)
{
	return reallocate(old, size, HERE);
}

/* glibc's calls realloc through the PLT and would be counted twice. */
EXPORT void *reallocarray(void *old, size_t count, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return reallocate(old, bytes, HERE);
}

/* ---- free ------------------------------------------------------------------------------------------ */

/* Shared by everything that frees: true when the real function must not see the block. */
static inline bool freeing(void *p, uintptr_t caller)
{
	if (unlikely(!p))
		return false;
	if (unlikely(boot_owns(p)))
		return true;
	if (likely(records(caller)))
		tracker_freeing(p);
	return false;
}

static __attribute__((noinline)) void free_asked(void *p, uintptr_t caller)
{
	if (!freeing(p, caller) && real.free)
		real.free(p);
}

static __attribute__((noinline)) void free_otherwise(void *p, uintptr_t caller)
{
	if (sleeps() && !boot_owns(p))
		real.free(p);
	else
		free_asked(p, caller);
}

/* The event is under way. What is nowhere may be a block of the arena. */
static __attribute__((noinline)) void *free_elsewhere(void *p, uintptr_t caller)
{
	if (tracker_finish_freeing(p))
		return p;
	free_otherwise(p, caller);
	return NULL;
}

EXPORT void free(void *p)
{
	struct thread_state *self = &thread_self;
	if (unlikely(!p) || unlikely(!usual_begin(self, (uintptr_t)__builtin_dwarf_cfa()))) {
		free_otherwise(p, CALLER);
		return;
	}
	struct live_block old;
	if (likely(usual_drop(self, p, &old)))
		p = usual_freed(self, p, &old);
	else if (!(p = free_elsewhere(p, CALLER)))
		return;
	real.free(p);
}

EXPORT void cfree(void *p)
{
	if (!freeing(p, CALLER) && real.free)
		real.free(p);
}

EXPORT void free_sized(void *p, size_t size)
{
	if (freeing(p, CALLER))
		return;
	void (*function)(void *, size_t) = boot_find((void **)&real.free_sized, "free_sized", CALLER);
	if (function)
		function(p, size);
	else
		real.free(p);
}

EXPORT void free_aligned_sized(void *p, size_t alignment, size_t size)
{
	if (freeing(p, CALLER))
		return;
	void (*function)(void *, size_t, size_t) = boot_find((void **)&real.free_aligned_sized, "free_aligned_sized", CALLER);
	if (function)
		function(p, alignment, size);
	else
		real.free(p);
}

EXPORT size_t malloc_usable_size(void *p)
{
	if (unlikely(boot_owns(p)))
		return boot_size(p);
	if (unlikely(!real.malloc_usable_size))
		(void)boot_ready();
	return real.malloc_usable_size ? real.malloc_usable_size(p) : 0;
}

/* ---- jemalloc's own entry points -------------------------------------------------------------------------- */

/* The low six bits of flags are log2 of the alignment, bit 6 asks for zeroes (jemalloc(3)). Without jemalloc: the
   real allocator, so that a program that found the name here gets what it asked for. */
static void *without_jemalloc(size_t size, int flags)
{
	size_t alignment = (size_t)1 << (flags & 63);
	void *p = alignment > MALLOC_ALIGNMENT ? real.memalign(alignment, size) : real.malloc(size);
	return p && (flags & 64) ? memset(p, 0, size) : p;
}

EXPORT void *mallocx(size_t size, int flags)
{
	bool record = boot_ready();
	void *(*function)(size_t, int) = boot_find((void **)&real.mallocx, "mallocx", CALLER);
	void *p = function ? function(size, flags) : without_jemalloc(size, flags);
	if (likely(record && p))
		tracker_allocated(p, size, HERE);
	return p;
}

EXPORT void *rallocx(void *old, size_t size, int flags)
{
	bool record = boot_ready();
	void *(*function)(void *, size_t, int) = boot_find((void **)&real.rallocx, "rallocx", CALLER);
	struct tracker_move move = {.known = false};
	if (record)
		tracker_realloc_begin(&move, old);
	void *p = function ? function(old, size, flags) : real.realloc(old, size);
	if (record)
		tracker_realloc_end(&move, old, p, size, HERE_START);
	return p;
}

/* In place or not at all; the result is the block's real size. */
EXPORT size_t xallocx(void *p, size_t size, size_t extra, int flags)
{
	bool record = boot_ready();
	size_t (*function)(void *, size_t, size_t, int) = boot_find((void **)&real.xallocx, "xallocx", CALLER);
	struct tracker_move move = {.known = false};
	if (!function)
		return malloc_usable_size(p);
	if (record)
		tracker_realloc_begin(&move, p);
	size_t now = function(p, size, extra, flags);
	if (record)
		tracker_realloc_end(&move, p, now >= size ? p : NULL, size ? size : 1, HERE_START);
	return now;
}

EXPORT void dallocx(void *p, int flags)
{
	if (freeing(p, CALLER))
		return;
	void (*function)(void *, int) = boot_find((void **)&real.dallocx, "dallocx", CALLER);
	if (function)
		function(p, flags);
	else
		real.free(p);
}

EXPORT void sdallocx(void *p, size_t size, int flags)
{
	if (freeing(p, CALLER))
		return;
	void (*function)(void *, size_t, int) = boot_find((void **)&real.sdallocx, "sdallocx", CALLER);
	if (function)
		function(p, size, flags);
	else
		real.free(p);
}

/* ---- C++ operators -------------------------------------------------------------------------------------- */

/* Nobody defines the operator (it never happens in a program that links): what malloc gives. */
static void *without_operator(size_t size)
{
	void *p = malloc(size);
	if (!p)
		abort(); /* we cannot throw std::bad_alloc, and returning NULL from new is undefined */
	return p;
}

/* libstdc++'s operators call malloc: a tail call leaves no frame of ours between. */
#define NEW(name, params, args)                                                                                        \
	EXPORT void *name params                                                                                       \
	{                                                                                                              \
		void *(*function) params = boot_find((void **)&real.name, #name, CALLER);                              \
		if (unlikely(!function))                                                                               \
			return without_operator(size);                                                                 \
		if (likely(!boot_is_allocators((const void *)function) || !boot_ready()))                              \
			return function args;                                                                          \
		tracker_operator_begin();                                                                              \
		void *p = function args;                                                                               \
		if (likely(p))                                                                                         \
			tracker_operator_allocated(p, size, HERE);                                                     \
		return p;                                                                                              \
	}

#define DELETE(name, params, args)                                                                                     \
	EXPORT void name params                                                                                        \
	{                                                                                                              \
		void (*function) params = boot_find((void **)&real.name, #name, CALLER);                               \
		if (unlikely(!function)) {                                                                             \
			free(p);                                                                                       \
			return;                                                                                        \
		}                                                                                                      \
		if (unlikely(boot_owns(p)))                                                                            \
			return;                                                                                        \
		if (likely(!boot_is_allocators((const void *)function) || !p || !boot_ready())) {                      \
			function args;                                                                                 \
			return;                                                                                        \
		}                                                                                                      \
		tracker_operator_deleting(p);                                                                          \
		function args;                                                                                         \
		tracker_operator_deleted();                                                                            \
	}
#include "wrapped.def"

/* ---- mappings -------------------------------------------------------------------------------------------- */

static uint32_t range_flags(int protection, int flags)
{
	return ((uint32_t)protection & 0xff) | (flags & MAP_ANONYMOUS ? 0 : MTRACE_RANGE_FILE);
}

EXPORT void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	bool record = boot_ready();
	if (unlikely(!real.mmap))
		return plat_mmap(address, bytes, protection, flags, fd, offset);
	void *p = real.mmap(address, bytes, protection, flags, fd, offset);
	if (record && p != MAP_FAILED)
		tracker_mapped(p, bytes, range_flags(protection, flags), HERE_START);
	return p;
}

EXPORT void *mmap64(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
	__attribute__((alias("mmap")));

/* The kernel may refuse (EINVAL, ENOMEM): then the record is as it was. */
EXPORT int munmap(void *address, size_t bytes)
{
	if (unlikely(!boot_ready() || !bytes))
		return likely(real.munmap) ? real.munmap(address, bytes) : plat_munmap(address, bytes);
	uint32_t token = tracker_remap_begin(address, bytes);
	int error = real.munmap(address, bytes);
	tracker_unmap_end(token, address, bytes, !error);
	return error;
}

/* Only MREMAP_FIXED brings a fifth argument; passing what is in its place otherwise is what libc does too. */
EXPORT void *mremap(void *address, size_t bytes, size_t new_bytes, int flags, ...)
{
	va_list more;
	va_start(more, flags);
	void *fixed = va_arg(more, void *);
	va_end(more);
	if (unlikely(!boot_ready()))
		return real.mremap ? real.mremap(address, bytes, new_bytes, flags, fixed) : MAP_FAILED;
	uint32_t token = tracker_remap_begin(address, bytes);
	void *p = real.mremap(address, bytes, new_bytes, flags, fixed);
	tracker_remap_end(token, p == MAP_FAILED ? NULL : p, new_bytes, HERE_START);
	return p;
}

/* One call that moves the break: begin before it, end after it. */
struct break_move {
	uintptr_t before, now;
	uint32_t token; /* of what goes, when it shrinks */
};

static void break_begin(struct break_move *m, uintptr_t now)
{
	m->before = (uintptr_t)real.sbrk(0);
	m->now = now;
	m->token = m->now < m->before ? tracker_remap_begin((const void *)m->now, m->before - m->now) : 0;
}

static void break_end(const struct break_move *m, bool done, const struct unwind_start *at)
{
	if (m->now < m->before)
		tracker_unmap_end(m->token, (const void *)m->now, m->before - m->now, done);
	else if (m->now > m->before && done)
		tracker_mapped((const void *)m->before, m->now - m->before, PROT_READ | PROT_WRITE, at);
}

EXPORT void *sbrk(intptr_t bytes)
{
	struct break_move move;
	bool record = boot_ready() && bytes;
	if (unlikely(!real.sbrk))
		return (void *)-1;
	if (record)
		break_begin(&move, (uintptr_t)real.sbrk(0) + (uintptr_t)bytes);
	void *before = real.sbrk(bytes);
	if (record)
		break_end(&move, before != (void *)-1, HERE_START);
	return before;
}

EXPORT int brk(void *address)
{
	struct break_move move;
	bool record = boot_ready();
	if (unlikely(!real.brk))
		return -1;
	if (record)
		break_begin(&move, (uintptr_t)address);
	int error = real.brk(address);
	if (record)
		break_end(&move, !error, HERE_START);
	return error;
}

/* ---- limits ------------------------------------------------------------------------------------------ */

/* Our prototypes say int where glibc's say an enum of its own: the same to the caller. */
#define RESOURCE(name, alias_name, params, args, own)                                                                  \
	EXPORT int hook_##name params __asm__(#name);                                                                  \
	EXPORT int hook_##name params                                                                                  \
	{                                                                                                              \
		int(*function) params = boot_find((void **)&real.name, #name, CALLER);                                 \
		if (own)                                                                                               \
			boot_note_limit(resource, limit);                                                              \
		return function args;                                                                                  \
	}                                                                                                              \
	EXPORT int hook_##alias_name params __asm__(#alias_name) __attribute__((alias(#name)));

RESOURCE(setrlimit, setrlimit64, (int resource, const struct rlimit *limit), (resource, limit), true)
RESOURCE(prlimit, prlimit64, (pid_t pid, int resource, const struct rlimit *limit, struct rlimit *old),
	 (pid, resource, limit, old), pid == 0 || (uint32_t)pid == plat_pid())

/* Both pass on what registers hold, given or not. */
EXPORT int hook_prctl(int option, long a, long b, long c, long d) __asm__("prctl");
EXPORT int hook_prctl(int option, long a, long b, long c, long d)
{
	int (*function)(int, long, long, long, long) = boot_find((void **)&real.prctl, "prctl", CALLER);
	if (unlikely(option == PR_SET_SECCOMP))
		boot_note_filter(a == SECCOMP_MODE_STRICT, (const void *)b);
	return function(option, a, b, c, d);
}

/* The seventh argument is on the stack, where one was given; else a word of the caller's that is not ours to touch. So the
   real function is jumped to, which leaves it where it is; and our frame is gone when a raw clone or vfork comes back twice.
   That it is a jump is -O2's doing, whatever the rest is built with: tests/programs/faults.sh sees when it is not. */
EXPORT long hook_syscall(long number, long a, long b, long c, long d, long e) __asm__("syscall");
EXPORT __attribute__((optimize("O2"))) long hook_syscall(long number, long a, long b, long c, long d, long e)
{
	long (*function)(long, long, long, long, long, long) = boot_find((void **)&real.syscall, "syscall", CALLER);
	if (unlikely(number == SYS_seccomp && (a == SECCOMP_SET_MODE_STRICT || a == SECCOMP_SET_MODE_FILTER)))
		boot_note_filter(a == SECCOMP_SET_MODE_STRICT, (const void *)c);
	return function(number, a, b, c, d, e);
}

/* ---- threads, ends, unloading ----------------------------------------------------------------------------- */

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
	births_function *create = boot_find((void **)&real.pthread_create, "pthread_create", CALLER);
	if (unlikely(!boot_ready()))
		return create(thread, attributes, start, argument);
	return births_create(create, thread, attributes, start, argument, HERE_START);
}

EXPORT int pthread_setname_np(pthread_t thread, const char *name)
{
	int (*function)(pthread_t, const char *) = boot_find((void **)&real.pthread_setname_np, "pthread_setname_np", CALLER);
	int error = function(thread, name);
	if (!error && boot_ready())
		tracker_thread_named((uintptr_t)thread, name);
	return error;
}

EXPORT __attribute__((noreturn)) void _exit(int status)
{
	if (guard_tracking()) /* a forked child that only ends makes no segment for that */
		boot_note_end(MTRACE_END_UNDERSCORE_EXIT, status);
	if (real._exit)
		real._exit(status);
	plat_exit(status);
}

EXPORT __attribute__((noreturn)) void _Exit(int status) __attribute__((alias("_exit")));

EXPORT __attribute__((noreturn)) void quick_exit(int status)
{
	if (boot_ready()) /* boots where nothing was first: the real function is needed */
		boot_note_end(MTRACE_END_QUICK_EXIT, status);
	real.quick_exit(status);
	__builtin_unreachable();
}

/* Before: what is cached of the object is gone before its code is. After: what was cached while it went. */
EXPORT int dlclose(void *handle)
{
	int (*function)(void *) = boot_find((void **)&real.dlclose, "dlclose", CALLER);
	boot_closing();
	unwind_forget();
	int error = function(handle);
	unwind_forget();
	boot_closed();
	if (boot_ready())
		tracker_unloaded();
	return error;
}

/* ---- the hooks by name, for those who put them in place later ------------------------------------------------- */

/* By names that nobody can take from us: what the exported ones mean here is whatever came first in the process. */
#define OWN(name) extern const char own_##name[] SHIM_OWN;  \
	__asm__(".hidden own_" #name "\n.globl own_" #name "\n.set own_" #name ", " #name);
#define EAGER(ret, name, params) OWN(name)
#define LAZY(ret, name, params) OWN(name)
#define INNER(ret, name, params)
#define ALSO(name) OWN(name)
#define NEW(name, params, args) OWN(name)
#define DELETE(name, params, args) OWN(name)
#include "wrapped.def"

const struct patch_row hooks[] = {
#define EAGER(ret, name, params) {#name, own_##name, (void **)(void *)&real.name},
#define LAZY(ret, name, params) {#name, own_##name, (void **)(void *)&real.name},
#define INNER(ret, name, params)
#define ALSO(name) {#name, own_##name, NULL},
#define NEW(name, params, args) {#name, own_##name, (void **)(void *)&real.name},
#define DELETE(name, params, args) {#name, own_##name, (void **)(void *)&real.name},
#include "wrapped.def"
};
const uint32_t hooks_count = sizeof hooks / sizeof hooks[0];
