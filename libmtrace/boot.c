#include "boot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
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
	bool late;                /* the library was loaded into a program that ran, and records when it is attached */
	_Atomic uint32_t waking;  /* somebody ends a pause */
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

static uint32_t mode_asked(void)
{
	return strcmp(options.mode, "off") ? MTRACE_MODE_EXACT : MTRACE_MODE_OFF;
}

enum { TOO_SMALL = -1 };

static int make(const struct segment_request *request)
{
	enum segment_error error = segment_create(request);
	if (error)
		return (int)error;
	if (!tracker_init()) {
		segment_undo();
		return TOO_SMALL;
	}
	segment_add_private(bytes_touched());
	return 0;
}

static const char *make_segment(bool forked)
{
	int trouble = make(&(struct segment_request){.dir = options.dir, .cap_bytes = options.memory, .mode = mode_asked(),
						    .forked = forked});
	static const char too_small[] = "no room for its first tables; free space in its directory, or raise MTRACE_OPTIONS=memory=";
	return !trouble ? NULL : trouble == TOO_SMALL ? too_small : segment_error_text((enum segment_error)trouble);
}

static void tell_beginning(void)
{
	const struct mtrace_header *h = segment.header;
	ring_put(&(struct ring_record){.kind = h->forked ? MTRACE_RING_forked : MTRACE_RING_start,
				       .value = {h->pid, h->forked ? h->parent_pid : h->image}});
}

/* From here on every event is recorded. Release pairs with guard_tracking. */
static void set_active(void)
{
	bool simply = boot_is_allocators((const void *)real._exit); /* libc has both */
	guard_set_active(simply ? GUARD_SIMPLY : GUARD_ASIDE);
}

/* All but that: what `active` becomes is the last store of starting. */
static void start_segment(void)
{
	uint32_t generation = ++process.generation;
	atomic_store_explicit(&owner_page->generation, GUARD_ASK | (uint64_t)generation << 32 | EPOCH_FIRST, memory_order_relaxed);
	atomic_store_explicit(&segment.header->state, MTRACE_STATE_LIVE, memory_order_release);
}

static void start_recording(void)
{
	start_segment();
	if (segment.header->mode != MTRACE_MODE_EXACT) {
		control_sleep();
		return;
	}
	tell_beginning();
	set_active();
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

/* What was not recorded, as far as the program did not ask for it, and nobody was told at the start. */
static const char *first_loss(void)
{
	static const char *const losses[MTRACE_COUNTER_COUNT] = {
#define X(name, help) [MTRACE_COUNTER_##name] = !__builtin_strncmp(#name, "drop_", 5) ? (help) : NULL,
#include "counters.def"
#undef X
	};
	for (uint32_t i = 0; i < MTRACE_COUNTER_COUNT; i++)
		if (losses[i] && i != MTRACE_COUNTER_drop_bad_options && i != MTRACE_COUNTER_drop_pause &&
		    atomic_load_explicit(&segment.header->counters[i], memory_order_relaxed))
			return losses[i];
	return NULL;
}

/* A server's children may be many, and their reports say it. */
static void say_losses(void)
{
	const char *loss = segment.header->forked ? NULL : first_loss();
	if (loss)
		log_trouble("not all of this process is recorded: ", loss, "mtrace report has the figures");
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
	uint32_t active = boot_active();
	if (active != GUARD_UNDECIDED) /* not wiped: a vfork child */
		return;
	segment_replace_by_zeroes();
	if (thread_self.entered && guard_process(thread_self.generation) == process.generation)
		atomic_store_explicit(&owner_page->refused, 1, memory_order_relaxed);
}

static void start(void)
{
	if (plat_secure_exec())
		return;
	log_begin();
	if (process.late) {
		(void)plat_find_object((uintptr_t)real.malloc, &boot_allocator);
		return;
	}
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
	process.tracked = true;
	plat_at_fork(in_forking_parent, in_forked_child);
	boot_mark_descendants();
	start_recording();
}

/* Another libc's loader keeps its objects in other ways: the real functions are asked for by name, and that is all.
   Said once, where a record was wanted: not by every program that a shell there starts. */
static void stand_aside(void)
{
	boot_find_by_name();
	if (plat_secure_exec())
		return;
	options_parse(&options, plat_env("MTRACE_OPTIONS"));
	log_begin();
	if (!boot_is_target())
		return;
	boot_mark_descendants();
	log_trouble("inactive: ", "this program uses musl or another C library, and libmtrace.so is built for glibc",
		    "use a glibc build of the program");
}

static void start_on_glibc(void)
{
	plat_objects_init();
	process.late = boot_find_real_functions();
	start();
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
	if (plat_is_glibc())
		start_on_glibc();
	else
		stand_aside();
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

/* ---- a pause, and what comes after it ---- */

/* The stores are those of before: the segment goes on, less what was live when the pause began. Its modules may have gone
   meanwhile, unseen where our dlclose was not in place. One thread does it, while nobody records. */
static bool go_on(void)
{
	uint32_t nobody = 0;
	if (!atomic_compare_exchange_strong_explicit(&process.waking, &nobody, 1, memory_order_acquire, memory_order_relaxed))
		return false;
	unwind_forget();
	tracker_give_up();
	segment.header->mode = MTRACE_MODE_EXACT;
	atomic_store_explicit(&segment.header->attached_mono_ns, plat_mono_ns(), memory_order_relaxed);
	if (!atomic_load_explicit(&segment.header->detached_mono_ns, memory_order_relaxed))
		tell_beginning();
	control_wake();
	set_active();
	atomic_store_explicit(&process.waking, 0, memory_order_release);
	return true;
}

static __attribute__((noinline)) bool wake_if_asked(void)
{
	uint32_t sequence;
	if (!control_has_news() || plat_pid() != segment.pid || !control_take_wake(&sequence))
		return false;
	bool woken = go_on();
	control_done(sequence);
	return woken;
}

bool boot_is_late(void)
{
	return process.late;
}

static enum mtrace_attach_result result_of(int trouble)
{
	switch (trouble) {
	case SEGMENT_OK: return MTRACE_ATTACH_done;
	case SEGMENT_NO_DIR: return MTRACE_ATTACH_no_dir;
	case SEGMENT_NO_FILE: return MTRACE_ATTACH_no_file;
	case SEGMENT_FILE_LIMIT: return MTRACE_ATTACH_file_limit;
	case SEGMENT_NO_SPACE: return MTRACE_ATTACH_no_space;
	case SEGMENT_NO_MAP: return MTRACE_ATTACH_no_map;
	default: return MTRACE_ATTACH_too_small;
	}
}

/* The first time in a program that ran without us. Nobody is in our hooks yet. */
static enum mtrace_attach_result begin_late(const char *text)
{
	options_parse(&options, text);
	if (plat_secure_exec())
		return MTRACE_ATTACH_secure;
	if (owner_page == &early_page && !map_owner_page())
		return MTRACE_ATTACH_kernel;
	int trouble = make(&(struct segment_request){.dir = options.dir, .cap_bytes = options.memory, .mode = MTRACE_MODE_EXACT,
						    .attached = true});
	if (trouble)
		return result_of(trouble);
	segment_prune(options.keep);
	say_bad_options();
	segment.header->mode = MTRACE_MODE_OFF; /* until the hooks are in place */
	start_segment();
	control_sleep();
	process.tracked = true; /* last: what is tracked and undecided is taken for a forked child */
	plat_at_fork(in_forking_parent, in_forked_child);
	plat_at_exit(on_exit_note);
	return MTRACE_ATTACH_done;
}

enum mtrace_attach_result boot_attach_begin(const char *text)
{
	if (guard_tracking())
		return MTRACE_ATTACH_already;
	if (!process.tracked && !process.late)
		return MTRACE_ATTACH_foreign;
	if (process.tracked && boot_active() != GUARD_ASLEEP)
		return MTRACE_ATTACH_ended;
	return process.tracked ? MTRACE_ATTACH_done : begin_late(text);
}

void boot_attach_end(void)
{
	if (boot_active() == GUARD_ASLEEP)
		(void)go_on();
}

/* Functions that are kept of objects which may go while our dlclose is not in place are made to stay. */
enum mtrace_attach_result boot_detach(void)
{
	if (!guard_tracking())
		return MTRACE_ATTACH_not_traced;
	control_sleep();
	boot_closing();
	boot_closed();
	return MTRACE_ATTACH_done;
}

__attribute__((cold, noinline)) bool boot_wake(void)
{
	if (!atomic_load_explicit(&process.booted, memory_order_acquire))
		return boot();
	uint32_t active = boot_active(); /* looked at once: it may have been woken since the caller looked */
	if (active == GUARD_ASLEEP)
		return wake_if_asked();
	if (active != GUARD_UNDECIDED)
		return active != GUARD_PASSIVE;
	if (process.tracked && !control_is_asleep() && !atomic_load_explicit(&owner_page->refused, memory_order_relaxed))
		return boot_child();
	guard_set_active(GUARD_PASSIVE); /* decided: it is not asked again */
	return false;
}

void boot_note_limit(int resource, const struct rlimit *limit)
{
	if (resource == RLIMIT_AS && limit && limit->rlim_cur != RLIM_INFINITY && guard_tracking() &&
	    plat_pid() == segment.pid)
		segment_release_reserve();
}

/* Of a process that forwards as well: its children may record. A vfork child's filter is its own, and so is its end: it may
   not write into our memory. */
void boot_note_filter(bool strict, const void *program)
{
	if (guard_tracking() && plat_pid() != segment.pid)
		return;
	if (strict)
		plat_note_strict();
	else
		plat_note_filter(program);
}

/* A vfork child shares our memory and ends without us. */
void boot_note_end(uint32_t end, int status)
{
	if (boot_active() == GUARD_ASLEEP && plat_pid() == segment.pid)
		segment_note_end((enum mtrace_end)end, status);
	if (atomic_load_explicit(&owner_page->damaged, memory_order_relaxed))
		log_trouble("recording stopped: ", "somebody else wrote into its segment", "mtrace report has what was recorded before");
	if (!guard_tracking() || plat_pid() != segment.pid)
		return;
	if (atomic_load_explicit(&segment.header->end, memory_order_relaxed) == MTRACE_END_NONE)
		tracker_ending(end, status);
	segment_note_end((enum mtrace_end)end, status);
	say_losses();
}

__attribute__((constructor)) static void boot_constructor(void)
{
	(void)boot_ready(); /* events of other constructors may have been first */
	if (process.tracked)
		plat_at_exit(on_exit_note);
}
