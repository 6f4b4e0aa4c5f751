#include "segment.h"

#include <errno.h>
#include <string.h>

#include "guard.h"
#include "log.h"
#include "options.h"
#include "segment_files.h"

struct segment segment;

/* What a region holds, and the share of the cap that its reserved range gets; fixed ones state bytes. Reserved ranges
   are address space and file offsets only: what counts against the cap is what is committed. */
struct region_row {
	uint32_t element_bytes;
	uint32_t cap_percent;
	uint64_t fixed_bytes;
	uint64_t first_used; /* elements in use from the start: the unused index 0, the roots */
};

static const struct region_row region_rows[MTRACE_REGION_COUNT] = {
	[MTRACE_REGION_FRAMES] = {sizeof(struct mtrace_frame), 25, 0, 1},
	[MTRACE_REGION_FRAME_BUCKETS] = {sizeof(uint32_t), 3, 0, 0},
	[MTRACE_REGION_NODES] = {sizeof(struct mtrace_node), 50, 0, MTRACE_FIRST_NODE},
	[MTRACE_REGION_NODE_BUCKETS] = {sizeof(uint32_t), 7, 0, 0},
	[MTRACE_REGION_ROWS] = {sizeof(struct mtrace_row), 50, 0, 1},
	[MTRACE_REGION_LIVE_ROOT] = {sizeof(uint64_t), 0, MTRACE_LIVE_ROOT_ENTRIES * sizeof(uint64_t), 0},
	[MTRACE_REGION_LIVE_CHUNKS] = {sizeof(struct mtrace_live_chunk), 50, 0, 1},
	[MTRACE_REGION_LIVE_LEAVES] = {sizeof(uint64_t), 10, 0, 1},
	[MTRACE_REGION_LIVE_LINES] = {sizeof(struct mtrace_live_line), 100, 0, 1},
	[MTRACE_REGION_LIVE_HUGE] = {sizeof(struct mtrace_live_huge), 0, MTRACE_LIVE_HUGE_ENTRIES * 16, 0},
	[MTRACE_REGION_MODULES] = {sizeof(struct mtrace_module), 0, 2u << 20, 1},
	[MTRACE_REGION_STRINGS] = {1, 0, 2u << 20, 1},
	[MTRACE_REGION_THREADS] = {sizeof(struct mtrace_thread), 0, 65536u * sizeof(struct mtrace_thread), 1},
	[MTRACE_REGION_MARKS] = {sizeof(struct mtrace_mark), 0, 1u << 20, 1},
	[MTRACE_REGION_RANGES] = {sizeof(struct mtrace_range), 0,
				  sizeof(struct mtrace_range_table) + MTRACE_RANGES_MAX * sizeof(struct mtrace_range), 0},
	[MTRACE_REGION_RANGE_LOG] = {sizeof(struct mtrace_range_op), 0,
				     MTRACE_RANGE_LOG_ENTRIES * sizeof(struct mtrace_range_op), 0},
	[MTRACE_REGION_TALLIES] = {sizeof(struct mtrace_tally), 25, 0, MTRACE_FIRST_TALLY},
	[MTRACE_REGION_FOLDS] = {sizeof(struct mtrace_fold), 0, MTRACE_FOLDS_MAX * sizeof(struct mtrace_fold), 0},
	[MTRACE_REGION_RANGES_OTHER] = {sizeof(struct mtrace_range), 0, MTRACE_RANGES_MAX * sizeof(struct mtrace_range), 0},
	[MTRACE_REGION_EPOCHS] = {sizeof(struct mtrace_boundary), 0, MTRACE_BOUNDARIES * sizeof(struct mtrace_boundary), 0},
	[MTRACE_REGION_PASTS] = {sizeof(uint64_t), 10, 0, 0},
	[MTRACE_REGION_HISTORY] = {sizeof(struct mtrace_past), 25, 0, 1},
	[MTRACE_REGION_RING] = {sizeof(struct mtrace_ring_slot), 0, MTRACE_RING_BYTES_MOST, 0},
	[MTRACE_REGION_METHODS] = {sizeof(struct mtrace_method), 3, 0, 1},
	[MTRACE_REGION_METHOD_NAMES] = {1, 12, 0, 1},
	[MTRACE_REGION_STREAM] = {MTRACE_STREAM_PART_BYTES, 10, 0, 0},
	[MTRACE_REGION_EXHAUSTIONS] = {sizeof(struct mtrace_exhaustion), 0, 16u << 10, 1},
	[MTRACE_REGION_CLASSES] = {sizeof(struct mtrace_class), 0, 16u << 10, 1},
};

enum { STEP_LEAST = 16 << 10, STEP_MOST = 4 << 20 };
#define CAP_LEAST (1ull << 20)
#define CAP_DEFAULT_LEAST (64ull << 20)
#define CAP_DEFAULT_MOST (4ull << 30)

/* ---- sizes ----------------------------------------------------------------------------------------- */

static uint64_t page_up(uint64_t bytes)
{
	return (bytes + MTRACE_PAGE_BYTES - 1) & ~(uint64_t)(MTRACE_PAGE_BYTES - 1);
}

static uint64_t page_down(uint64_t bytes)
{
	return bytes & ~(uint64_t)(MTRACE_PAGE_BYTES - 1);
}

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
	return value < low ? low : value > high ? high : value;
}

static uint64_t at_most(uint64_t value, uint64_t most)
{
	return value < most ? value : most;
}

/* 1/8 of the memory limit, and never more than half of what is left of it, or of the directory that others use too. */
static uint64_t default_cap(const struct segment_place *place)
{
	uint64_t limit, headroom;
	plat_memory(&limit, &headroom);
	uint64_t cap = clamp(limit / 8, CAP_DEFAULT_LEAST, CAP_DEFAULT_MOST);
	cap = at_most(cap, headroom / 2);
	cap = at_most(cap, segment_place_free(place) / 2);
	return cap < CAP_LEAST ? CAP_LEAST : cap;
}

static uint64_t reserved_bytes(const struct region_row *row, uint64_t cap)
{
	return page_up(row->fixed_bytes ? row->fixed_bytes : cap / 100 * row->cap_percent + MTRACE_PAGE_BYTES);
}

/* Where each region of this process's segment lies. */
static struct segment_extent {
	uint64_t offset, reserved_bytes;
} extents[MTRACE_REGION_COUNT];

/* Lays the regions out for a cap; returns the size of the file. */
static uint64_t layout(uint64_t cap)
{
	uint64_t at = MTRACE_REGIONS_OFFSET;
	for (int i = 0; i < MTRACE_REGION_COUNT; i++) {
		extents[i].offset = at;
		extents[i].reserved_bytes = reserved_bytes(&region_rows[i], cap);
		at += extents[i].reserved_bytes;
	}
	return at;
}

/* Halves the cap until the file fits under RLIMIT_FSIZE and in an eighth of what RLIMIT_AS leaves. 0: it never does. */
static uint64_t fit_cap(uint64_t cap, bool *file_limit)
{
	uint64_t file = plat_file_size_limit(), space = plat_address_space_left() / 8;
	while (cap >= CAP_LEAST) {
		uint64_t bytes = layout(cap);
		if (bytes <= file && bytes <= space)
			return cap;
		*file_limit = bytes > file;
		cap /= 2;
	}
	return 0;
}

/* ---- growth ---------------------------------------------------------------------------------------- */

static int commit_pages(uint64_t offset, uint64_t bytes)
{
	char *at = (char *)segment.header + offset;
	int error = plat_commit(at, bytes);
	if (error != -EINVAL)
		return error;
	/* Before Linux 5.14. A memfd's file system has no bound but memory: nothing there can end in SIGBUS. */
	if (segment.place != PLACE_DIR)
		return 0;
	return plat_commit_by_file(segment.path, &segment.mark, offset, at, bytes);
}

/* One size up: a quarter of what is there, within the steps, at least what is asked for. */
static uint64_t next_size(const struct segment_extent *e, uint64_t have, uint64_t need)
{
	uint64_t step = clamp(have / 4, STEP_LEAST, STEP_MOST);
	uint64_t want = page_up(need > have + step ? need : have + step);
	return want < e->reserved_bytes ? want : e->reserved_bytes;
}

static bool set_full(enum mtrace_region_id region)
{
	atomic_store_explicit(&segment.full[region], 1, memory_order_relaxed);
	return false;
}

/* have -> want by one of the threads that populated it; that one accounts for the pages and tells the readers.
   Release: pages before the word that lets others use them (pairs: segment_has). */
static void publish_growth(enum mtrace_region_id region, uint64_t have, uint64_t want)
{
	struct mtrace_header *h = segment.header;
	if (!atomic_compare_exchange_strong_explicit(&segment.committed[region], &have, want, memory_order_acq_rel,
						     memory_order_acquire))
		return;
	atomic_fetch_add_explicit(&segment.committed_total, want - have, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->committed_bytes, want - have, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->regions[region].committed_bytes, want - have, memory_order_release);
}

__attribute__((cold, noinline)) bool segment_ensure(enum mtrace_region_id region, uint64_t bytes)
{
	const struct segment_extent *e = &extents[region];
	for (;;) {
		uint64_t have = atomic_load_explicit(&segment.committed[region], memory_order_acquire);
		if (bytes <= have)
			return true;
		if (bytes > e->reserved_bytes || atomic_load_explicit(&segment.full[region], memory_order_relaxed))
			return set_full(region);
		uint64_t want = next_size(e, have, bytes);
		uint64_t total = atomic_load_explicit(&segment.committed_total, memory_order_relaxed);
		if (total + (want - have) > segment.cap_bytes || commit_pages(e->offset + have, want - have))
			return set_full(region);
		publish_growth(region, have, want);
	}
}

/* The readers' count first: it is never below what may have been published. */
static inline uint64_t hand_out(enum mtrace_region_id region, uint64_t count)
{
	atomic_fetch_add_explicit(&segment.header->regions[region].used, count, memory_order_relaxed);
	return atomic_fetch_add_explicit(&segment.used[region], count, memory_order_relaxed);
}

uint64_t segment_reserve(enum mtrace_region_id region, uint64_t count)
{
	if (unlikely(atomic_load_explicit(&segment.full[region], memory_order_relaxed)))
		return UINT64_MAX;
	uint64_t first = hand_out(region, count);
	uint64_t end = (first + count) * region_rows[region].element_bytes;
	if (unlikely(!segment_has(region, end)) && !segment_ensure(region, end))
		return UINT64_MAX;
	return first;
}

bool segment_damaged(void)
{
	segment_count(MTRACE_COUNTER_damaged_ids);
	atomic_store_explicit(&segment.header->state, MTRACE_STATE_POISONED, memory_order_relaxed);
	atomic_store_explicit(&owner_page->refused, 1, memory_order_relaxed);
	/* Not in a forked child, which finds zeroes where its parent's segment was. Said at the end: a hook may have little stack. */
	if (guard_tracking())
		atomic_store_explicit(&owner_page->damaged, 1, memory_order_relaxed);
	guard_set_active(GUARD_UNDECIDED);
	return false;
}

/* ---- creation -------------------------------------------------------------------------------------- */

static void describe_process(struct mtrace_info *info)
{
	plat_executable(info->exe, sizeof info->exe);
	plat_readlink("/proc/self/cwd", info->cwd, sizeof info->cwd);
	long n = plat_read_file("/proc/self/cmdline", info->args, sizeof info->args);
	info->args_bytes = n > 0 ? (uint32_t)n : 0;
	info->args_total = info->args_bytes;
	memcpy(info->run_id, options.run, sizeof info->run_id); /* options.def bounds it at 31 */
	const char *text = plat_env("MTRACE_OPTIONS");
	if (text)
		strncpy(info->options, text, sizeof info->options - 1);
}

/* Who makes the segment. */
struct maker {
	uint32_t pid, image;
	uint64_t start;
};

static void fill_header(struct mtrace_header *h, const struct segment_request *request, const struct maker *maker,
			uint64_t cap)
{
	memcpy(h->magic, MTRACE_SEGMENT_MAGIC, sizeof h->magic);
	h->version = MTRACE_SEGMENT_VERSION;
	h->min_version = MTRACE_SEGMENT_MIN_VERSION;
	h->header_bytes = sizeof *h;
	h->machine = 62;
	h->little_endian = 1;
	h->word_bits = 64;
	h->features_optional = MTRACE_FEATURE_RANGES_FREED;
	if (segment.place == PLACE_NOWHERE)
		h->features_optional |= MTRACE_FEATURE_DIES_WITH_PROCESS;
	h->features_optional |= request->attached ? MTRACE_FEATURE_ATTACHED : 0;
	h->pid = maker->pid;
	h->image = maker->image;
	h->start_time = maker->start;
	h->parent_pid = plat_parent_pid();
	h->forked = request->forked;
	h->wall_start_ns = plat_wall_ns();
	h->mono_start_ns = plat_mono_ns();
	h->pid_namespace = plat_namespace_inode("/proc/self/ns/pid");
	h->mode = request->mode;
	h->cap_bytes = cap;
	h->region_count = MTRACE_REGION_COUNT;
	h->counter_count = MTRACE_COUNTER_COUNT;
	strncpy(h->shim_version, MTRACE_VERSION, sizeof h->shim_version - 1);
	h->file_bytes = segment.file_bytes;
	atomic_store_explicit(&h->committed_bytes, MTRACE_REGIONS_OFFSET, memory_order_relaxed);
}

static void set_region(struct mtrace_region *r, int i, char *base)
{
	r->offset = extents[i].offset;
	r->reserved_bytes = extents[i].reserved_bytes;
	r->element_bytes = region_rows[i].element_bytes;
	atomic_store_explicit(&r->used, region_rows[i].first_used, memory_order_relaxed);
	atomic_store_explicit(&segment.used[i], region_rows[i].first_used, memory_order_relaxed);
	atomic_store_explicit(&segment.committed[i], 0, memory_order_relaxed);
	atomic_store_explicit(&segment.full[i], 0, memory_order_relaxed);
	segment.base[i] = base + extents[i].offset;
}

static void set_pointers(char *base, uint64_t cap)
{
	segment.hot = (struct mtrace_hot *)(void *)(base + MTRACE_HOT_OFFSET);
	segment.control = (struct mtrace_control *)(void *)(base + MTRACE_CONTROL_OFFSET);
	segment.info = (struct mtrace_info *)(void *)(base + MTRACE_INFO_OFFSET);
	segment.cap_bytes = cap;
	atomic_store_explicit(&segment.committed_total, MTRACE_REGIONS_OFFSET, memory_order_relaxed);
	for (int i = 0; i < MTRACE_REGION_COUNT; i++)
		set_region(&segment.header->regions[i], i, base);
}

/* A reader that looks whether we live holds a shared lock for an instant. */
static int take_lock(int fd)
{
	int error;
	for (int tries = 0; (error = plat_lock_exclusive(fd)) && tries < 1000; tries++)
		plat_yield();
	return error;
}

/* pid, image, start time: whose file it is. */
static void set_mark(void)
{
	enum { AT = offsetof(struct mtrace_header, pid) };
	memcpy(segment.mark.word, (const char *)segment.header + AT, sizeof segment.mark.word);
	segment.mark.offset = AT;
}

static enum segment_error map_file(int fd, const struct segment_request *request, const struct maker *maker, uint64_t cap)
{
	void *base = NULL;
	uint64_t bytes = layout(cap);
	int error = plat_truncate_fd(fd, bytes);
	if (error)
		return SEGMENT_NO_SPACE;
	segment.mark.offset = 0;
	if (take_lock(fd) || plat_map_segment(fd, bytes, &base))
		return SEGMENT_NO_MAP;
	segment.header = base; /* for commit_pages */
	segment.file_bytes = bytes;
	segment.pid = maker->pid;
	if (commit_pages(0, MTRACE_REGIONS_OFFSET)) {
		plat_unmap(base, bytes);
		return SEGMENT_NO_SPACE;
	}
	fill_header(base, request, maker, cap);
	set_mark();
	set_pointers(base, cap);
	describe_process(segment.info);
	return SEGMENT_OK;
}

static void say_where(const struct segment_request *request)
{
	if (segment.place == PLACE_NOWHERE && !request->forked)
		log_trouble("recording in memory that dies with the process: ", segment_error_text(SEGMENT_NO_DIR), NULL);
}

enum segment_error segment_create(const struct segment_request *request)
{
	struct segment_place place = segment_find_place(request->dir);
	struct maker maker = {.pid = plat_pid()};
	place.forked = request->forked;
	bool file_limit = false;
	uint64_t cap = fit_cap(request->cap_bytes ? request->cap_bytes : default_cap(&place), &file_limit);
	if (!cap)
		return file_limit ? SEGMENT_FILE_LIMIT : SEGMENT_NO_MAP;
	maker.start = plat_start_time(maker.pid);
	int fd = segment_open_new(&place, maker.pid, maker.start, segment.path, &maker.image);
	if (fd < 0)
		return place.kind == PLACE_NOWHERE ? SEGMENT_NO_DIR : SEGMENT_NO_FILE;
	segment.place = place.kind;
	enum segment_error error = map_file(fd, request, &maker, cap);
	if (error)
		segment_discard(&place, segment.path, fd);
	plat_close(fd); /* the mapping keeps the file, and with it the lock */
	if (!error)
		say_where(request);
	return error;
}

/* A file that `mtrace run` holds stays: it is empty of events, and says by its state that it was never in use. */
void segment_undo(void)
{
	if (segment.place == PLACE_DIR && segment.path[0])
		plat_unlink(segment.path);
	for (int i = 0; i < MTRACE_REGION_COUNT; i++)
		atomic_store_explicit(&segment.committed[i], 0, memory_order_relaxed); /* no fork shall find them */
	plat_unmap(segment.header, segment.file_bytes);
	segment.header = NULL;
}

const char *segment_error_text(enum segment_error error)
{
	switch (error) {
	case SEGMENT_NO_DIR: return "no directory in memory can be written (/dev/shm, /tmp); set MTRACE_OPTIONS=dir=DIR";
	case SEGMENT_NO_FILE: return "its directory refuses a new file; set MTRACE_OPTIONS=dir=DIR";
	case SEGMENT_FILE_LIMIT: return "the file size limit (ulimit -f) is too low; raise it";
	case SEGMENT_NO_SPACE: return "its directory is full; free space there or set MTRACE_OPTIONS=dir=DIR";
	case SEGMENT_NO_MAP: return "it cannot be mapped (ulimit -v?); raise the limit or set MTRACE_OPTIONS=memory=16m";
	default: return "";
	}
}

/* ---- in a forked child ------------------------------------------------------------------------------ */

/* How much of each region is zeroes now, and of what lies before them: [MTRACE_REGION_COUNT]. */
static uint64_t zeroes[MTRACE_REGION_COUNT + 1];

static char *place_of(int i)
{
	return i < MTRACE_REGION_COUNT ? segment.base[i] : (char *)segment.header;
}

/* Only what was committed: nobody touches more, and all else, what segment_release_reserve gave up too, may be the
   host's by now, or its address space to use up. */
static void put_zeroes(int i, uint64_t bytes)
{
	if (bytes && !zeroes[i] && plat_map_zeroes_at(place_of(i), bytes))
		zeroes[i] = bytes;
}

/* Nothing grows any more: an interrupted growth, a region's first one too, fails to publish, since `committed` is not
   what it was, and finds its region full at the next look. NO_GROWTH is what no growth begins with, and no element fits. */
void segment_replace_by_zeroes(void)
{
	enum { NO_GROWTH = 1 };
	if (!segment.header) /* undone: what is there now is the host's */
		return;
	put_zeroes(MTRACE_REGION_COUNT, MTRACE_REGIONS_OFFSET);
	for (int i = 0; i < MTRACE_REGION_COUNT; i++) {
		uint64_t committed = atomic_exchange_explicit(&segment.committed[i], NO_GROWTH, memory_order_relaxed);
		put_zeroes(i, committed == NO_GROWTH ? 0 : committed);
		extents[i].reserved_bytes = 0;
	}
}

void segment_drop_zeroes(void)
{
	for (int i = 0; i <= MTRACE_REGION_COUNT; i++) {
		if (zeroes[i])
			plat_unmap(place_of(i), zeroes[i]);
		zeroes[i] = 0;
	}
}

/* ---- the end --------------------------------------------------------------------------------------- */

void segment_note_end(enum mtrace_end end, int status)
{
	struct mtrace_header *h = segment.header;
	uint32_t none = MTRACE_END_NONE;
	if (atomic_load_explicit(&h->end, memory_order_relaxed) != none)
		return;
	atomic_store_explicit(&h->end_status, status, memory_order_relaxed);
	atomic_store_explicit(&h->end_mono_ns, plat_mono_ns(), memory_order_relaxed);
	/* release: status and time before the word that makes them valid; the first end wins */
	atomic_compare_exchange_strong_explicit(&h->end, &none, end, memory_order_release, memory_order_relaxed);
}

/* Elements of these are found by `used` alone. The rest have fixed places. */
static bool is_appended(enum mtrace_region_id region)
{
	return region_rows[region].first_used > 0;
}

/* Other threads may be recording. So nothing is taken back that anybody may hold: the ids between those handed out and
   those that are committed are reserved, as by everybody else, and only the pages that hold none but these are given
   back. They are nobody's for good; `committed` never falls, every id handed out stays valid, and who reserves from now
   on gets ids behind them. Costs address space, which the region's next growth would have used. */
static void give_back_of(enum mtrace_region_id region)
{
	uint64_t element = region_rows[region].element_bytes;
	uint64_t have = atomic_load_explicit(&segment.committed[region], memory_order_acquire);
	uint64_t used = atomic_load_explicit(&segment.used[region], memory_order_relaxed);
	if (used * element + MTRACE_PAGE_BYTES > have)
		return;
	uint64_t count = have / element - used, first = hand_out(region, count);
	uint64_t from = page_up(first * element), to = page_down(at_most((first + count) * element, have));
	if (from >= to)
		return;
	plat_give_back(segment.base[region] + from, to - from);
	atomic_fetch_sub_explicit(&segment.header->committed_bytes, to - from, memory_order_relaxed);
	atomic_fetch_sub_explicit(&segment.committed_total, to - from, memory_order_relaxed);
}

/* The smaller bound first: who grows from now on stays below it. */
static void release_reserve_of(enum mtrace_region_id region)
{
	enum { KEPT = 2 << 20 };
	struct segment_extent *e = &extents[region];
	uint64_t reserved = e->reserved_bytes;
	uint64_t keep = page_up(atomic_load_explicit(&segment.committed[region], memory_order_acquire)) + KEPT;
	if (keep >= reserved)
		return;
	e->reserved_bytes = keep;
	atomic_thread_fence(memory_order_seq_cst); /* TSan knows no fences: without this one it says nothing */
	plat_unmap(segment.base[region] + keep, reserved - keep);
}

void segment_release_reserve(void)
{
	for (int region = 0; region < MTRACE_REGION_COUNT; region++)
		release_reserve_of((enum mtrace_region_id)region);
}

void segment_give_back(void)
{
	for (int region = 0; region < MTRACE_REGION_COUNT; region++)
		if (is_appended((enum mtrace_region_id)region))
			give_back_of((enum mtrace_region_id)region);
}
