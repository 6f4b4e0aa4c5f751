/*
 * patch: see patch.h. The rows and what they stand for are set once, before anything is patched; then only read.
 */
#include "patch.h"

#include <errno.h>
#include <string.h>

#include "boot.h"
#include "segment.h"

enum { ROWS_MOST = 96 };

static struct {
	const struct patch_row *rows;
	uint32_t count;
	uintptr_t expected[ROWS_MOST]; /* by row; 0: not to be patched */
	void *(*dlopen)(const char *file, int mode);
	int (*dlclose)(void *handle);
} to;

static _Atomic uint32_t in_place;  /* the hooks are: what comes is patched, too */
static _Atomic uint32_t looking;   /* pid of who looks through the objects, 0 nobody: a fork leaves none behind */
static _Atomic uint32_t look_again;
static struct plat_slots_seen seen; /* only who is looking */

static void *patch_dlopen(const char *file, int mode);

/* ---- which slots ---- */

static bool is_operator(const char *name)
{
	return name[0] == '_' && name[1] == 'Z';
}

/* C++ operators that only call malloc need no hook: malloc has one. */
static uintptr_t expected_of(const struct patch_row *row)
{
	void *function = row->real ? *row->real : plat_symbol_before(row->name);
	return is_operator(row->name) && !boot_is_allocators(function) ? 0 : (uintptr_t)function;
}

void patch_init(const struct patch_row *rows, uint32_t count)
{
	to.rows = rows;
	to.count = count < ROWS_MOST ? count : ROWS_MOST;
	for (uint32_t i = 0; i < to.count; i++)
		to.expected[i] = expected_of(&rows[i]);
	*(void **)&to.dlopen = plat_symbol_before("dlopen");
	*(void **)&to.dlclose = plat_symbol_before("dlclose");
}

/* Would the loader resolve it to `expected`? Its search begins in the global scope, where that is the first, but for
   objects that were opened RTLD_DEEPBIND: where what they were linked with has another one, nobody can tell. */
static bool leads_to(const struct plat_slot *slot, uintptr_t expected)
{
	uintptr_t linked = (uintptr_t)plat_symbol_linked(slot->name, slot->in);
	return !linked || linked == expected;
}

static uintptr_t replaced(const struct plat_slot *slot, uintptr_t expected, const void *hook)
{
	bool is = expected && (slot->held == expected || (slot->unbound && leads_to(slot, expected)));
	return is ? (uintptr_t)hook : 0;
}

static uintptr_t choose_hook(const struct plat_slot *slot, void *unused)
{
	(void)unused;
	if (!strcmp(slot->name, "dlopen"))
		return replaced(slot, (uintptr_t)to.dlopen, (const void *)patch_dlopen);
	for (uint32_t i = 0; i < to.count; i++)
		if (!strcmp(slot->name, to.rows[i].name))
			return replaced(slot, to.expected[i], to.rows[i].hook);
	return 0;
}

static uintptr_t choose_real(const struct plat_slot *slot, void *unused)
{
	(void)unused;
	if (slot->held == (uintptr_t)patch_dlopen)
		return (uintptr_t)to.dlopen;
	for (uint32_t i = 0; i < to.count; i++)
		if (slot->held == (uintptr_t)to.rows[i].hook && !strcmp(slot->name, to.rows[i].name))
			return to.expected[i];
	return 0;
}

/* ---- through all objects ---- */

static bool begin_look(void)
{
	uint32_t own = plat_pid(), holder = 0;
	while (!atomic_compare_exchange_strong_explicit(&looking, &holder, own, memory_order_acquire, memory_order_relaxed)) {
		if (holder == own)
			return false;
	}
	return true;
}

static void end_look(void)
{
	atomic_store_explicit(&looking, 0, memory_order_release); /* pairs: begin_look */
}

/* acquire: who asked for another look had its objects in the list before. */
static bool is_asked_again(void)
{
	return atomic_exchange_explicit(&look_again, 0, memory_order_acq_rel);
}

static uint32_t look_at_new(void)
{
	uint32_t refused = 0;
	atomic_store_explicit(&look_again, 1, memory_order_release);
	while (atomic_load_explicit(&look_again, memory_order_acquire) && begin_look()) {
		while (is_asked_again() && atomic_load_explicit(&in_place, memory_order_acquire))
			refused += plat_visit_slots(&seen, choose_hook, NULL, to.dlclose).refused;
		end_look();
	}
	return refused;
}

/* Waits for who looks: it takes as long as a dlopen. */
static void take_look(void)
{
	while (!begin_look())
		plat_yield();
}

/* Twice: a call that was resolving its function meanwhile wrote its slot after us. */
uint32_t patch_in(void)
{
	if (!to.dlopen || !to.dlclose)
		return 0;
	take_look();
	seen = (struct plat_slots_seen){.objects = 0};
	(void)plat_visit_slots(NULL, choose_hook, NULL, to.dlclose);
	uint32_t refused = plat_visit_slots(&seen, choose_hook, NULL, to.dlclose).refused;
	atomic_store_explicit(&in_place, 1, memory_order_release);
	end_look();
	return refused;
}

void patch_out(void)
{
	if (!to.dlclose)
		return;
	take_look();
	atomic_store_explicit(&in_place, 0, memory_order_release);
	(void)plat_visit_slots(NULL, choose_real, NULL, to.dlclose);
	(void)plat_visit_slots(NULL, choose_real, NULL, to.dlclose);
	end_look();
}

/* ---- dlopen ---- */

/* A path says where the file is, whoever asks, but for $ORIGIN and the like. */
static bool is_plain_path(const char *file)
{
	return file && strchr(file, '/') && !strchr(file, '$');
}

static __attribute__((noinline)) void *open_and_look(const char *file, int mode)
{
	void *handle = to.dlopen(file, mode);
	if (handle && atomic_load_explicit(&in_place, memory_order_acquire) && guard_tracking()) {
		int saved = errno;
		for (uint32_t refused = look_at_new(); refused; refused--)
			segment_count(MTRACE_COUNTER_drop_slots);
		errno = saved;
	}
	return handle;
}

/* The real one sees who called us: the last call is a jump (tests/programs/attach.sh: $ORIGIN). */
static __attribute__((noinline, optimize("optimize-sibling-calls"))) void *patch_dlopen(const char *file, int mode)
{
	return is_plain_path(file) ? open_and_look(file, mode) : to.dlopen(file, mode);
}
