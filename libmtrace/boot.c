#include "boot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "epochs.h"
#include "log.h"
#include "options.h"
#include "ring.h"
#include "segment.h"
#include "threads.h"
#include "tracker.h"

struct plat_object boot_allocator;

static struct owner_page early_page; /* stands in until the real one is mapped: nothing is recorded */
struct owner_page *owner_page = &early_page;

/* Private to the process and copied into its children, unlike the owner page. */
static struct {
	_Atomic uint32_t booting; /* somebody is, or has been */
	_Atomic uint32_t booted;
	bool tracked;             /* this image is a target; its forks are too */
	uint32_t generation;      /* of the owner page, the last one given out in this line of processes */
} process;

/* ---- the bootstrap arena --------------------------------------------------------------------------------- */

enum { ARENA_HEADER = 16 };
char boot_arena[BOOT_ARENA_BYTES] __attribute__((aligned(4096)));
static _Atomic size_t arena_used;
static _Atomic uint32_t arena_blocks;

/* Never given back; a size stands 16 bytes before each block. Beyond the arena's end: no memory, as malloc would say. */
void *boot_alloc(size_t size, size_t alignment)
{
	size_t room = size + alignment + ARENA_HEADER;
	size_t at = size < BOOT_ARENA_BYTES ? atomic_fetch_add_explicit(&arena_used, room, memory_order_relaxed) : BOOT_ARENA_BYTES;
	if (at + room > BOOT_ARENA_BYTES)
		return NULL;
	uintptr_t block = ((uintptr_t)boot_arena + at + ARENA_HEADER + alignment - 1) & ~(uintptr_t)(alignment - 1);
	memcpy((void *)(block - ARENA_HEADER), &size, sizeof size);
	atomic_fetch_add_explicit(&arena_blocks, 1, memory_order_relaxed);
	return (void *)block;
}

size_t boot_size(const void *p)
{
	size_t size;
	memcpy(&size, (const char *)p - ARENA_HEADER, sizeof size);
	return size;
}

/* What the arena has handed out, and the owner page. */
static uint64_t bytes_touched(void)
{
	size_t used = atomic_load_explicit(&arena_used, memory_order_relaxed);
	used = used < BOOT_ARENA_BYTES ? used : BOOT_ARENA_BYTES;
	return ((used + MTRACE_PAGE_BYTES - 1) & ~(uint64_t)(MTRACE_PAGE_BYTES - 1)) + MTRACE_PAGE_BYTES;
}

/* ---- starting --------------------------------------------------------------------------------------- */

static bool map_owner_page(void)
{
	struct owner_page *page = plat_map_private(MTRACE_PAGE_BYTES);
	if (!page || plat_wipe_on_fork(page, MTRACE_PAGE_BYTES))
		return false;
	owner_page = page;
	return true;
}

static const char *make_segment(bool forked)
{
	uint32_t mode = strcmp(options.mode, "off") ? MTRACE_MODE_EXACT : MTRACE_MODE_OFF;
	struct segment_request request = {.dir = options.dir, .cap_bytes = options.memory, .mode = mode, .forked = forked};
	enum segment_error error = segment_create(&request);
	if (error)
		return segment_error_text(error);
	if (!tracker_init())
		return "the segment is too small; raise MTRACE_OPTIONS=memory=";
	segment_add_private(bytes_touched());
	return NULL;
}

static void tell_beginning(void)
{
	const struct mtrace_header *h = segment.header;
	ring_put(&(struct ring_record){.kind = h->forked ? MTRACE_RING_forked : MTRACE_RING_start,
				       .value = {h->pid, h->forked ? h->parent_pid : h->image}});
}

/* From here on every event is recorded: the last store of starting. Release pairs with guard_tracking. */
static void start_recording(void)
{
	uint32_t generation = ++process.generation;
	bool simply = boot_is_allocators((const void *)real._exit); /* libc has both */
	atomic_store_explicit(&owner_page->generation, (uint64_t)generation << 32 | EPOCH_FIRST, memory_order_relaxed);
	atomic_store_explicit(&segment.header->state, MTRACE_STATE_LIVE, memory_order_release);
	if (segment.header->mode != MTRACE_MODE_EXACT)
		return;
	tell_beginning();
	atomic_store_explicit(&owner_page->active, simply ? GUARD_SIMPLY : GUARD_ASIDE, memory_order_release);
}

static void set_counter(enum mtrace_counter counter, uint64_t value)
{
	atomic_store_explicit(&segment.header->counters[counter], value, memory_order_relaxed);
}

static void say_bad_options(void)
{
	set_counter(MTRACE_COUNTER_drop_bad_options, options.bad);
	if (!options.bad)
		return;
	log_trouble("not understood in MTRACE_OPTIONS: ", options.first_bad, "MTRACE_OPTIONS=help=1 prints the table");
}

static void print_line(const char *line, void *context)
{
	(void)context;
	log_line(line);
}

static void print_help_and_exit(void)
{
	log_line("libmtrace " MTRACE_VERSION ": MTRACE_OPTIONS=key=value:key=value");
	options_describe(print_line, NULL);
	real._exit(0);
}

static void on_exit_note(int status, void *unused)
{
	(void)unused;
	boot_note_end(MTRACE_END_EXIT, status);
	if (guard_tracking())
		segment_give_back();
}

static void in_forking_parent(void)
{
	if (guard_tracking())
		tracker_forked();
}

/* fork may be called by a signal handler that interrupted one of our hooks, and the child returns into it: it finds
   zeroes where the parent's segment was. One that was half way through an event has ids of that segment in hand: such a
   child is not recorded. (A raw clone does not come here.) */
static void in_forked_child(void)
{
	if (guard_tracking())
		return;
	segment_replace_by_zeroes();
	if (thread_self.entered && thread_self.generation >> 32 == process.generation)
		atomic_store_explicit(&owner_page->refused, 1, memory_order_relaxed);
}

static void start(void)
{
	if (plat_secure_exec())
		return;
	options_parse(&options, plat_env("MTRACE_OPTIONS"));
	if (!plat_find_object((uintptr_t)real.malloc, &boot_allocator))
		memset(&boot_allocator, 0, sizeof boot_allocator);
	if (options.help)
		print_help_and_exit();
	if (!boot_is_target()) {
		segment_forget_forked(options.dir);
		return;
	}
	if (boot_foreign_in_front) {
		log_trouble("inactive: another allocator is in front: ", boot_allocator.path && boot_allocator.path[0]
			    ? boot_allocator.path : "linked into the program",
			    "name libmtrace.so first in LD_PRELOAD, or link the program without it");
		return;
	}
	if (!map_owner_page()) {
		log_trouble("inactive: ", "the kernel refuses memory that is wiped on fork", "Linux 4.14 or newer is needed");
		return;
	}
	const char *trouble = make_segment(false);
	if (trouble) {
		log_trouble("inactive: ", trouble, NULL);
		return;
	}
	segment_prune(options.keep);
	say_bad_options();
	set_counter(MTRACE_COUNTER_bootstrap_blocks, atomic_load_explicit(&arena_blocks, memory_order_relaxed));
	process.tracked = segment.header->mode == MTRACE_MODE_EXACT;
	if (process.tracked)
		pthread_atfork(NULL, in_forking_parent, in_forked_child);
	boot_mark_descendants();
	start_recording();
}

/* libc is usable once it has its environment; calls before that come from the loader alone. */
static bool boot(void)
{
	uint32_t nobody = 0;
	if (!real.malloc && !plat_libc_ready())
		return false;
	if (!atomic_compare_exchange_strong_explicit(&process.booting, &nobody, 1, memory_order_acquire,
						     memory_order_relaxed))
		return false;
	int saved = errno;
	plat_objects_init();
	boot_find_real_functions();
	start();
	errno = saved;
	atomic_store_explicit(&process.booted, 1, memory_order_release);
	return guard_tracking();
}

/* A forked child makes its own segment at its first event. Events of other threads meanwhile pass by, counted. */
static __attribute__((noinline)) bool boot_child(void)
{
	uint32_t nobody = 0;
	if (!atomic_compare_exchange_strong_explicit(&owner_page->creating, &nobody, 1, memory_order_acquire,
						     memory_order_relaxed)) {
		atomic_fetch_add_explicit(&owner_page->missed, 1, memory_order_relaxed);
		return false;
	}
	segment_drop_zeroes();
	const char *trouble = make_segment(true);
	if (trouble) {
		atomic_store_explicit(&owner_page->refused, 1, memory_order_relaxed);
		log_trouble("a forked child is not recorded: ", trouble, NULL);
		return false;
	}
	segment_prune(options.keep);
	start_recording();
	set_counter(MTRACE_COUNTER_drop_fork, atomic_load_explicit(&owner_page->missed, memory_order_relaxed));
	return true;
}

__attribute__((cold, noinline)) bool boot_wake(void)
{
	if (!atomic_load_explicit(&process.booted, memory_order_acquire))
		return boot();
	if (process.tracked && !atomic_load_explicit(&owner_page->refused, memory_order_relaxed))
		return boot_child();
	atomic_store_explicit(&owner_page->active, GUARD_PASSIVE, memory_order_relaxed); /* decided: it is not asked again */
	return false;
}

void boot_note_limit(int resource, const struct rlimit *limit)
{
	if (resource == RLIMIT_AS && limit && limit->rlim_cur != RLIM_INFINITY && guard_tracking() &&
	    plat_pid() == segment.header->pid)
		segment_release_reserve();
}

/* A vfork child shares our memory and ends without us. */
void boot_note_end(uint32_t end, int status)
{
	if (!guard_tracking() || plat_pid() != segment.header->pid)
		return;
	if (atomic_load_explicit(&segment.header->end, memory_order_relaxed) == MTRACE_END_NONE)
		tracker_ending(end, status);
	segment_note_end((enum mtrace_end)end, status);
}

__attribute__((constructor)) static void boot_constructor(void)
{
	(void)boot_ready(); /* events of other constructors may have been first */
	if (process.tracked)
		on_exit(on_exit_note, NULL);
}
