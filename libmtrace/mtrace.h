/*
 * mtrace.h: talk to libmtrace from a program that may or may not run under it.
 *
 * Header only: include it and call; there is nothing to link, and nothing happens unless libmtrace.so is preloaded.
 * C89 and later, C++98 and later, gcc and clang; with other compilers, on systems without ELF, and in statically
 * linked programs every call compiles to nothing or does nothing.
 *
 * How a call finds libmtrace: through a weak reference, which the dynamic loader binds in position-independent
 * programs and in shared objects; else (code built with -fno-pie, where the link editor silently leaves that
 * reference NULL) through dlsym, once per source file. A program for glibc before 2.34 that is built with -fno-pie
 * needs -ldl for that. What was looked up stays: a libmtrace that is loaded later is not noticed.
 *
 * For all functions here: they return nothing that can fail, do not change errno, do not block and do not allocate
 * in the program's heap; any thread may call them at any time, without locking. They are async-signal-safe but
 * for the first call in a source file that has to go through dlsym: there, call mtrace_active() once at start-up.
 * Without libmtrace a call costs about a nanosecond.
 *
 * Other languages: dlsym(RTLD_DEFAULT, "mtrace_mark") finds the same functions.
 */
#ifndef MTRACE_H
#define MTRACE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(MTRACE_BUILDING)
/* libmtrace itself: the prototypes of what it exports. */
#define MTRACE_API __attribute__((__visibility__("default"))) extern
#elif defined(__ELF__) && defined(__GNUC__)
/* always_inline and artificial: no frame of this header stands between the caller and libmtrace. */
#define MTRACE_API static __inline__ __attribute__((__always_inline__, __artificial__, __unused__))
#else
#define MTRACE_API static
#endif

#if defined(MTRACE_BUILDING) || !defined(__ELF__) || !defined(__GNUC__)
#define MTRACE_NAMED(symbol)
#else
/* The inline functions must not define, in the program, the very symbols that they refer to weakly. */
#define MTRACE_NAMED(symbol) __asm__(symbol)
#endif

/*
 * Puts a named instant into the record: "start of the nightly job", "warmed up". Reports show marks with their time;
 * two of them bound a window: `mtrace diff REC@a REC@b`. What this thread did before the call is counted before the mark;
 * what any thread does that can know of it, after.
 *
 * name: NUL-terminated, UTF-8; the first 47 bytes are kept. NULL is taken as "".
 * The table of marks is bounded: when it is full the mark is dropped and counted (drop_marks_full). What stacks held at
 * them is kept for 128: of more, every other one of the older half loses that, and is counted (marks_thinned).
 * Cost: some microseconds, independent of the number of live blocks; and each thread's next event on each stack costs a
 * little more.
 */
MTRACE_API void mtrace_mark(const char *name) MTRACE_NAMED("mtrace_mark.inline");

/*
 * A mark that also asks for a recording of this process as it stands, to be compared with another one's: under
 * `mtrace run -o REC.mtr` it becomes REC.TAG.mtr, then REC.TAG.2.mtr and so on. Without `mtrace run` it is a mark.
 *
 * The call does not wait. `mtrace run` looks about twice a second: what is kept is the state when it looks, up to a
 * second after the call (more on a machine that has no time left), and the mark says when the call was made. So
 * go on only after that second where the exact state matters. Asked for shortly before the process ends or execs, it
 * is not kept, and `mtrace run` says so; the recording of the whole run has the state at the end. One tag asked for
 * again between two looks is kept once. In file names, blanks, slashes and what a shell would treat become '_'.
 * tag, bound and cost as for mtrace_mark.
 */
MTRACE_API void mtrace_snapshot(const char *tag) MTRACE_NAMED("mtrace_snapshot.inline");

/*
 * 1 when libmtrace is loaded and recording this process, 0 when not: it is absent, dormant (mode=off), or gave up.
 */
MTRACE_API int mtrace_active(void) MTRACE_NAMED("mtrace_active.inline");

/*
 * A block handed out by an allocator of the program's own: recorded as kind `pool`, with the stack of this call.
 * It is reported beside the malloc kind, never added to it (the pool's own memory is already counted there).
 *
 * pool: any address that stands for the pool, the same at mtrace_pool_free; NULL is a pool like any other.
 * ptr:  the block's address; NULL: the call does nothing. Call it after the pool has handed the block out.
 *       An address recorded again without mtrace_pool_free counts as a free that was missed (implicit_frees).
 * size: bytes that the program asked for; 0 is recorded as a block of 0 bytes.
 * Cost: like one recorded malloc, the walk of the stack included.
 */
MTRACE_API void mtrace_pool_alloc(const void *pool, const void *ptr, size_t size)
	MTRACE_NAMED("mtrace_pool_alloc.inline");

/*
 * The block goes back to its pool. Call it before the pool can hand the address out again.
 *
 * pool, ptr: as given to mtrace_pool_alloc; NULL ptr: the call does nothing. A ptr that is not recorded is counted
 * (unknown_frees) and otherwise ignored. Cost: constant, no walk.
 */
MTRACE_API void mtrace_pool_free(const void *pool, const void *ptr) MTRACE_NAMED("mtrace_pool_free.inline");

#if defined(MTRACE_BUILDING)

/* defined in libmtrace */

#elif defined(__ELF__) && defined(__GNUC__)

/* weakref: the reference stays weak, and a program's own strong use of the same name stays strong. */
typedef void (*mtrace_found_)(void);
static mtrace_found_ mtrace_dlsym_(void *, const char *) __attribute__((__weakref__("dlsym")));
static void mtrace_weak_mark_(const char *) __attribute__((__weakref__("mtrace_mark")));
static void mtrace_weak_snapshot_(const char *) __attribute__((__weakref__("mtrace_snapshot")));
static int mtrace_weak_active_(void) __attribute__((__weakref__("mtrace_active")));
static void mtrace_weak_pool_alloc_(const void *, const void *, size_t)
	__attribute__((__weakref__("mtrace_pool_alloc")));
static void mtrace_weak_pool_free_(const void *, const void *) __attribute__((__weakref__("mtrace_pool_free")));

enum mtrace_function_ { MTRACE_MARK_, MTRACE_SNAPSHOT_, MTRACE_ACTIVE_, MTRACE_POOL_ALLOC_, MTRACE_POOL_FREE_ };

/* What dlsym says, asked once per source file. Threads that ask at the same time store the same answers; `known` is
   released after them. The 0 is RTLD_DEFAULT, which <dlfcn.h> gives only to _GNU_SOURCE. */
static __attribute__((__unused__, __noinline__)) mtrace_found_ mtrace_lookup_(enum mtrace_function_ function)
{
	static mtrace_found_ found[5];
	static int known;
	static const char *const names[5] = {"mtrace_mark", "mtrace_snapshot", "mtrace_active", "mtrace_pool_alloc",
	                                     "mtrace_pool_free"};
	int i;

	if (!__atomic_load_n(&known, __ATOMIC_ACQUIRE)) {
		for (i = 0; mtrace_dlsym_ && i < 5; i++)
			__atomic_store_n(&found[i], mtrace_dlsym_((void *)0, names[i]), __ATOMIC_RELAXED);
		__atomic_store_n(&known, 1, __ATOMIC_RELEASE);
	}
	return __atomic_load_n(&found[function], __ATOMIC_RELAXED);
}

MTRACE_API void mtrace_mark(const char *name)
{
	typedef void (*type)(const char *);
	type call = mtrace_weak_mark_ ? mtrace_weak_mark_ : (type)mtrace_lookup_(MTRACE_MARK_);
	if (call)
		call(name);
}

MTRACE_API void mtrace_snapshot(const char *tag)
{
	typedef void (*type)(const char *);
	type call = mtrace_weak_snapshot_ ? mtrace_weak_snapshot_ : (type)mtrace_lookup_(MTRACE_SNAPSHOT_);
	if (call)
		call(tag);
}

MTRACE_API int mtrace_active(void)
{
	typedef int (*type)(void);
	type call = mtrace_weak_active_ ? mtrace_weak_active_ : (type)mtrace_lookup_(MTRACE_ACTIVE_);
	return call ? call() : 0;
}

MTRACE_API void mtrace_pool_alloc(const void *pool, const void *ptr, size_t size)
{
	typedef void (*type)(const void *, const void *, size_t);
	type call = mtrace_weak_pool_alloc_ ? mtrace_weak_pool_alloc_ : (type)mtrace_lookup_(MTRACE_POOL_ALLOC_);
	if (call)
		call(pool, ptr, size);
}

MTRACE_API void mtrace_pool_free(const void *pool, const void *ptr)
{
	typedef void (*type)(const void *, const void *);
	type call = mtrace_weak_pool_free_ ? mtrace_weak_pool_free_ : (type)mtrace_lookup_(MTRACE_POOL_FREE_);
	if (call)
		call(pool, ptr);
}

#else /* no ELF, or an unknown compiler */

MTRACE_API void mtrace_mark(const char *name)
{
	(void)name;
}

MTRACE_API void mtrace_snapshot(const char *tag)
{
	(void)tag;
}

MTRACE_API int mtrace_active(void)
{
	return 0;
}

MTRACE_API void mtrace_pool_alloc(const void *pool, const void *ptr, size_t size)
{
	(void)pool;
	(void)ptr;
	(void)size;
}

MTRACE_API void mtrace_pool_free(const void *pool, const void *ptr)
{
	(void)pool;
	(void)ptr;
}

#endif

#ifdef __cplusplus
}
#endif

#endif
