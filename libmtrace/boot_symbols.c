/*
 * boot_symbols: the functions behind ours. Those that are there at start are looked up before anything is recorded and
 * before there are threads; the others at their first call, on any thread, by the objects' own tables: in a process
 * that runs, dlsym's lock may be held by whom our caller is waited for.
 */
#include "boot.h"

#include <errno.h>

struct real_functions real;
bool boot_foreign_in_front;
static bool late;
static bool by_name; /* the objects' tables are not what we know */

static bool is_own(const void *function)
{
	struct plat_object object;
	uintptr_t own = (uintptr_t)&is_own;
	return function && plat_find_object((uintptr_t)function, &object) && own >= object.start && own < object.end;
}

static void *find_real(const char *name)
{
	void *front = boot_foreign_in_front || late ? plat_symbol_before(name) : NULL;
	return front ? front : plat_symbol_next(name);
}

static void find_eager(void)
{
	late = plat_is_late();
	boot_foreign_in_front = !late && plat_symbol_before("malloc") != NULL;
#define EAGER(ret, name, params) *(void **)&real.name = find_real(#name);
#include "wrapped.def"
}

static void find_early(void **slot, const char *name)
{
	/* a failure would allocate in an allocator that starts */
	*slot = late ? plat_symbol_before(name) : plat_symbol_next_if_any(name, (uintptr_t)&is_own);
}

/* LAZY functions and operators that are there already. */
static void find_what_is_there(void)
{
#define LAZY(ret, name, params) find_early((void **)&real.name, #name);
#include "wrapped.def"
	find_early((void **)&real._Znwm, "_Znwm");
	if (real._Znwm) {
#define NEW(name, params, args) find_early((void **)&real.name, #name);
#define DELETE(name, params, args) find_early((void **)&real.name, #name);
#include "wrapped.def"
	}
}

bool boot_find_real_functions(void)
{
	plat_symbols_init((uintptr_t)&is_own);
	find_eager();
	find_what_is_there();
	return late;
}

void boot_find_by_name(void)
{
	by_name = true;
#define EAGER(ret, name, params) *(void **)&real.name = plat_symbol_next(#name);
#define LAZY(ret, name, params) *(void **)&real.name = plat_symbol_next(#name);
#define NEW(name, params, args) *(void **)&real.name = plat_symbol_next(#name);
#define DELETE(name, params, args) *(void **)&real.name = plat_symbol_next(#name);
#include "wrapped.def"
	plat_symbols_forget_failure();
}

/* ---- functions that came with a library opened later ----
 *
 * One that was found is kept for everybody, so the object that defines it must stay loaded. To ask for that takes the
 * loader's lock, which a constructor may hold that waits for the thread that found it. It is asked for when something is
 * about to be unloaded: dlclose takes that lock in any case.
 */

enum { STAYING_MOST = 16 };
#define ONE_CLOSING (1ull << 32)
static _Atomic uintptr_t staying[STAYING_MOST]; /* where each object begins; filled in order, never changed */

/* Bit i: staying[i] has functions that are kept. From bit 32 up: dlclose calls under way, and no bit is set meanwhile:
   who closes has seen all that there are. A dlclose that never returns, or that a fork cut off, leaves look-ups slow. */
static _Atomic uint64_t keeping;
static _Atomic uint32_t asked_to_stay; /* same bits */

static uintptr_t object_start(uintptr_t address)
{
	struct plat_object object;
	return plat_find_object(address, &object) ? object.start : 0;
}

/* 0: no object, or one too many. */
static uint64_t bit_of_definer(const void *function)
{
	uintptr_t start = object_start((uintptr_t)function);
	for (uint32_t i = 0; start && i < STAYING_MOST; i++) {
		uintptr_t none = 0;
		if (atomic_compare_exchange_strong_explicit(&staying[i], &none, start, memory_order_acq_rel,
							    memory_order_acquire) || none == start)
			return 1ull << i;
	}
	return 0;
}

static bool may_keep(const void *function)
{
	uint64_t bit = bit_of_definer(function), now = atomic_load_explicit(&keeping, memory_order_acquire);
	do {
		if (now & bit)
			return true;
		if (!bit || now >= ONE_CLOSING)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&keeping, &now, now | bit, memory_order_acq_rel,
							memory_order_acquire));
	return true;
}

static void ask_to_stay(uintptr_t start)
{
	struct plat_object object;
	if (plat_find_object(start, &object) && object.path)
		plat_pin_loaded(object.path);
}

/* In what the caller was linked with; else in the global scope, by dlsym and under the loader's lock. */
static void *find_late(const char *name, uintptr_t caller)
{
	void *found = plat_symbol_linked(name, caller);
	if (!found)
		found = plat_symbol_next(name);
	return is_own(found) ? NULL : found;
}

static bool keep(void **slot, void *found)
{
	if (!found || !may_keep(found))
		return false;
	__atomic_store_n(slot, found, __ATOMIC_RELAXED);
	return true;
}

/* C++ came with a library: all its operators at once, of one definer. */
static void keep_operators(uintptr_t caller)
{
#define NEW(name, params, args)                                                                                        \
	if (!real.name)                                                                                                \
		keep((void **)&real.name, plat_symbol_linked(#name, caller));
#define DELETE(name, params, args) NEW(name, params, args)
#include "wrapped.def"
}

static bool is_operator(const char *name)
{
	return name[0] == '_' && name[1] == 'Z';
}

/* The object that each function was looked up from last, in vain: it is not there for that one. */
static _Atomic uintptr_t missed[sizeof real / sizeof(void *)];

__attribute__((cold, noinline)) void *boot_look_up(void **slot, const char *name, uintptr_t caller)
{
	if (by_name)
		return plat_symbol_next(name);
	_Atomic uintptr_t *miss = &missed[slot - (void **)&real];
	uintptr_t from = object_start(caller);
	if (from && atomic_load_explicit(miss, memory_order_relaxed) == from)
		return NULL;
	int saved = errno;
	void *found = find_late(name, caller);
	if (!found)
		atomic_store_explicit(miss, from, memory_order_relaxed);
	if (keep(slot, found) && is_operator(name))
		keep_operators(caller);
	errno = saved;
	return found;
}

/* ---- unloading ---- */

void boot_closing(void)
{
	uint64_t now = atomic_fetch_add_explicit(&keeping, ONE_CLOSING, memory_order_acq_rel);
	for (uint32_t i = 0; i < STAYING_MOST; i++) {
		uint32_t bit = 1u << i;
		if (!(now & bit) || atomic_load_explicit(&asked_to_stay, memory_order_relaxed) & bit)
			continue;
		ask_to_stay(atomic_load_explicit(&staying[i], memory_order_relaxed));
		atomic_fetch_or_explicit(&asked_to_stay, bit, memory_order_relaxed); /* after: twice does no harm */
	}
}

/* Another object may come to lie where a caller lay. */
void boot_closed(void)
{
	for (size_t i = 0; i < sizeof missed / sizeof missed[0]; i++)
		atomic_store_explicit(&missed[i], 0, memory_order_relaxed);
	atomic_fetch_sub_explicit(&keeping, ONE_CLOSING, memory_order_acq_rel);
}
