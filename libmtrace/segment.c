#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "guard.h"
#include "options.h"

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
				  sizeof(struct mtrace_range_table) + 2ull * MTRACE_RANGES_MAX * sizeof(struct mtrace_range), 0},
	[MTRACE_REGION_RANGE_LOG] = {sizeof(struct mtrace_range_op), 0,
				     MTRACE_RANGE_LOG_ENTRIES * sizeof(struct mtrace_range_op), 0},
	[MTRACE_REGION_TALLIES] = {sizeof(struct mtrace_tally), 25, 0, MTRACE_FIRST_TALLY},
	[MTRACE_REGION_FOLDS] = {sizeof(struct mtrace_fold), 0, MTRACE_FOLDS_MAX * sizeof(struct mtrace_fold), 0},
};

enum { STEP_LEAST = 32 << 10, STEP_MOST = 4 << 20 };
#define CAP_LEAST (1ull << 20)
#define CAP_DEFAULT_LEAST (64ull << 20)
#define CAP_DEFAULT_MOST (4ull << 30)

/* ---- text ------------------------------------------------------------------------------------------ */

static char *put_text(char *at, const char *end, const char *text)
{
	while (*text && at < end)
		*at++ = *text++;
	*at = 0;
	return at;
}

static char *put_number(char *at, const char *end, uint64_t value)
{
	char digits[24], *digit = digits + sizeof digits - 1;
	*digit = 0;
	do {
		*--digit = (char)('0' + value % 10);
	} while (value /= 10);
	return put_text(at, end, digit);
}

/* "mtrace.<pid>.<start>.": what the files of one process begin with. */
static char *put_prefix(char *at, const char *end, uint32_t pid, uint64_t start)
{
	at = put_text(at, end, MTRACE_SEGMENT_PREFIX);
	at = put_text(put_number(at, end, pid), end, ".");
	return put_text(put_number(at, end, start), end, ".");
}

static void put_segment_path(char *path, size_t bytes, const char *dir, uint32_t pid, uint64_t start, uint32_t image)
{
	const char *end = path + bytes - 1;
	char *at = put_text(put_text(path, end, dir), end, "/");
	put_number(put_prefix(at, end, pid, start), end, image);
}

/* ---- small pieces of other files ---------------------------------------------------------------------- */

static bool read_exactly(int fd, void *buffer, size_t bytes, uint64_t offset)
{
	return plat_read_at(fd, buffer, bytes, offset) == (long)bytes;
}

/* ---- sizes ----------------------------------------------------------------------------------------- */

static uint64_t page_up(uint64_t bytes)
{
	return (bytes + MTRACE_PAGE_BYTES - 1) & ~(uint64_t)(MTRACE_PAGE_BYTES - 1);
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
static uint64_t default_cap(const char *dir)
{
	uint64_t cap = clamp(plat_memory_limit() / 8, CAP_DEFAULT_LEAST, CAP_DEFAULT_MOST);
	cap = at_most(cap, plat_memory_headroom() / 2);
	cap = at_most(cap, plat_free_bytes(dir) / 2);
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
	if (error == -EINVAL) /* before Linux 5.14 */
		error = plat_commit_by_file(segment.path, segment.device, segment.inode, offset, at, bytes);
	return error;
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
uint64_t segment_reserve(enum mtrace_region_id region, uint64_t count)
{
	if (unlikely(atomic_load_explicit(&segment.full[region], memory_order_relaxed)))
		return UINT64_MAX;
	atomic_fetch_add_explicit(&segment.header->regions[region].used, count, memory_order_relaxed);
	uint64_t first = atomic_fetch_add_explicit(&segment.used[region], count, memory_order_seq_cst); /* pairs: give_back */
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
	atomic_store_explicit(&owner_page->active, 0, memory_order_relaxed);
	return false;
}

/* ---- the images of one process ------------------------------------------------------------------------- */

struct images {
	char prefix[64];
	uint32_t image[64]; /* those found, in no order; more than fit are left out */
	uint32_t count;
};

static bool note_image(const char *name, void *context)
{
	struct images *found = context;
	size_t length = strlen(found->prefix);
	if (strncmp(name, found->prefix, length))
		return true;
	uint32_t image = 0;
	for (const char *digit = name + length; *digit >= '0' && *digit <= '9'; digit++)
		image = image * 10 + (uint32_t)(*digit - '0');
	found->image[found->count++] = image;
	return found->count < sizeof found->image / sizeof found->image[0];
}

static void find_images(const char *dir, uint32_t pid, uint64_t start, struct images *found)
{
	found->count = 0;
	put_prefix(found->prefix, found->prefix + sizeof found->prefix - 1, pid, start);
	plat_list_dir(dir, note_image, found);
}

/* Calls visit(path) for the files of pid's images until it returns true; whether one did. */
static bool any_image(const char *dir, uint32_t pid, bool (*visit)(const char *path))
{
	const char *dirs[] = {dir[0] ? dir : "/dev/shm", dir[0] ? NULL : "/tmp"};
	uint64_t start = plat_start_time(pid);
	for (int d = 0; d < 2 && dirs[d]; d++) {
		struct images found;
		find_images(dirs[d], pid, start, &found);
		for (uint32_t i = 0; i < found.count; i++) {
			char path[512];
			put_segment_path(path, sizeof path, dirs[d], pid, start, found.image[i]);
			if (plat_is_own_file(path) && visit(path))
				return true;
		}
	}
	return false;
}

static bool is_forked(const char *path)
{
	uint32_t forked = 0;
	int fd = plat_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0)
		return false;
	read_exactly(fd, &forked, sizeof forked, offsetof(struct mtrace_header, forked));
	plat_close(fd);
	return forked == 1;
}

static bool unlink_forked(const char *path)
{
	if (is_forked(path))
		plat_unlink(path);
	return false;
}

bool segment_is_alive(const char *dir, uint32_t pid)
{
	return any_image(dir, pid, plat_is_locked);
}

bool segment_was_forked(const char *dir, uint32_t pid)
{
	return any_image(dir, pid, is_forked);
}

void segment_forget_forked(const char *dir)
{
	any_image(dir, plat_pid(), unlink_forked);
}

/* ---- creation -------------------------------------------------------------------------------------- */

static bool can_create_in(const char *dir)
{
	return plat_writable_dir(dir) && plat_free_bytes(dir) >= CAP_LEAST;
}

/* A disk file only when asked: a dirty page can stall a host thread behind writeback. */
static const char *choose_dir(const char *asked)
{
	if (asked[0])
		return asked;
	if (plat_is_memory_dir("/dev/shm") && can_create_in("/dev/shm"))
		return "/dev/shm";
	if (plat_is_memory_dir("/tmp") && can_create_in("/tmp"))
		return "/tmp";
	return NULL;
}

/* The image before this one, of the same pid, ended by exec: nobody holds its lock any more. */
static void mark_exec(const char *dir, uint32_t pid, uint64_t start, uint32_t image)
{
	char path[512];
	put_segment_path(path, sizeof path, dir, pid, start, image);
	int fd = plat_open(path, O_RDWR | O_NOFOLLOW, 0);
	if (fd < 0)
		return;
	uint32_t end = MTRACE_END_EXEC;
	uint64_t now = plat_mono_ns();
	plat_write_at(fd, &end, sizeof end, offsetof(struct mtrace_header, end));
	plat_write_at(fd, &now, sizeof now, offsetof(struct mtrace_header, end_mono_ns));
	plat_close(fd);
}

/* Numbers only rise while one file of the process is left: the image before ours is the highest. */
static int open_new(const char *dir, uint32_t pid, uint64_t start, uint32_t *image)
{
	struct images found;
	uint32_t next = 0;
	find_images(dir, pid, start, &found);
	for (uint32_t i = 0; i < found.count; i++)
		next = found.image[i] >= next ? found.image[i] + 1 : next;
	put_segment_path(segment.path, sizeof segment.path, dir, pid, start, next);
	int fd = plat_open(segment.path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (fd >= 0 && next > 0)
		mark_exec(dir, pid, start, next - 1);
	*image = next;
	return fd;
}

static void describe_process(struct mtrace_info *info)
{
	plat_readlink("/proc/self/exe", info->exe, sizeof info->exe);
	plat_readlink("/proc/self/cwd", info->cwd, sizeof info->cwd);
	long n = plat_read_file("/proc/self/cmdline", info->args, sizeof info->args);
	info->args_bytes = n > 0 ? (uint32_t)n : 0;
	info->args_total = info->args_bytes;
	memcpy(info->run_id, options.run, sizeof info->run_id); /* options.def bounds it at 31 */
	const char *text = plat_env("MTRACE_OPTIONS");
	if (text)
		strncpy(info->options, text, sizeof info->options - 1);
}

static void fill_header(struct mtrace_header *h, const struct segment_request *request, uint32_t image, uint64_t cap)
{
	memcpy(h->magic, MTRACE_SEGMENT_MAGIC, sizeof h->magic);
	h->version = MTRACE_SEGMENT_VERSION;
	h->min_version = MTRACE_SEGMENT_MIN_VERSION;
	h->header_bytes = sizeof *h;
	h->machine = 62;
	h->little_endian = 1;
	h->word_bits = 64;
	h->pid = plat_pid();
	h->image = image;
	h->start_time = plat_start_time(h->pid);
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
	h->file_bytes = layout(cap);
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

static enum segment_error map_file(int fd, const struct segment_request *request, uint32_t image, uint64_t cap)
{
	void *base = NULL;
	uint64_t bytes = layout(cap);
	int error = plat_truncate_fd(fd, bytes);
	if (error)
		return SEGMENT_NO_SPACE;
	plat_file_identity(fd, &segment.device, &segment.inode);
	if (take_lock(fd) || plat_map_segment(fd, bytes, &base))
		return SEGMENT_NO_MAP;
	segment.header = base; /* for commit_pages */
	if (commit_pages(0, MTRACE_REGIONS_OFFSET)) {
		plat_unmap(base, bytes);
		return SEGMENT_NO_SPACE;
	}
	fill_header(base, request, image, cap);
	set_pointers(base, cap);
	describe_process(segment.info);
	return SEGMENT_OK;
}

enum segment_error segment_create(const struct segment_request *request)
{
	const char *dir = choose_dir(request->dir);
	if (!dir)
		return SEGMENT_NO_DIR;
	bool file_limit = false;
	uint64_t cap = fit_cap(request->cap_bytes ? request->cap_bytes : default_cap(dir), &file_limit);
	if (!cap)
		return file_limit ? SEGMENT_FILE_LIMIT : SEGMENT_NO_MAP;
	uint32_t pid = plat_pid(), image = 0;
	int fd = open_new(dir, pid, plat_start_time(pid), &image);
	if (fd < 0)
		return SEGMENT_NO_FILE;
	enum segment_error error = map_file(fd, request, image, cap);
	plat_close(fd); /* the mapping keeps the file, and with it the lock */
	if (error)
		plat_unlink(segment.path);
	return error;
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

static uint64_t mapped_bytes(void)
{
	const struct segment_extent *last = &extents[MTRACE_REGION_COUNT - 1];
	return last->offset + last->reserved_bytes;
}

static bool is_zeroes;

void segment_replace_by_zeroes(void)
{
	is_zeroes = is_zeroes || plat_map_zeroes_at(segment.header, mapped_bytes()); /* a child's child has them already */
}

void segment_drop_zeroes(void)
{
	if (is_zeroes)
		plat_unmap(segment.header, mapped_bytes());
	is_zeroes = false;
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

/* First the promise is taken back, then `used` is looked at once more: whoever reserved before that is seen, whoever
   reserves after it finds the lower figure and commits again (store then load here, add then load there, all
   seq_cst: one of the two sees the other). */
static void give_back_of(enum mtrace_region_id region)
{
	enum { SLACK = 32 << 10 };
	struct mtrace_region *r = &segment.header->regions[region];
	uint64_t element = region_rows[region].element_bytes;
	uint64_t have = atomic_load_explicit(&segment.committed[region], memory_order_acquire);
	uint64_t keep = page_up(atomic_load_explicit(&segment.used[region], memory_order_relaxed) * element) + SLACK;
	if (keep >= have ||
	    !atomic_compare_exchange_strong_explicit(&segment.committed[region], &have, keep, memory_order_seq_cst,
						     memory_order_relaxed))
		return;
	atomic_fetch_sub_explicit(&r->committed_bytes, have - keep, memory_order_relaxed);
	atomic_fetch_sub_explicit(&segment.header->committed_bytes, have - keep, memory_order_relaxed);
	atomic_fetch_sub_explicit(&segment.committed_total, have - keep, memory_order_relaxed);
	if (atomic_load_explicit(&segment.used[region], memory_order_seq_cst) * element <= keep)
		plat_give_back(segment.base[region] + keep, have - keep);
	else
		segment_ensure(region, have);
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
	atomic_thread_fence(memory_order_seq_cst);
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

/* ---- old segments ---------------------------------------------------------------------------------- */

enum { PRUNE_MOST = 64 };

struct dead_list {
	const char *dir;
	uint32_t count;
	struct {
		uint64_t started_ns;
		char name[64];
	} dead[PRUNE_MOST];
};

/* Same program, and not one that our own `mtrace run` is about to save. */
static bool is_kin(const char *exe, const char *run_id)
{
	const struct mtrace_info *own = segment.info;
	return !memcmp(exe, own->exe, sizeof own->exe) &&
	       (!own->run_id[0] || memcmp(run_id, own->run_id, sizeof own->run_id) != 0);
}

/* Is it a dead segment of our user, of the same program? Reads three small pieces of the file. */
static bool is_dead_kin(const char *path, uint64_t *started_ns)
{
	char exe[sizeof segment.info->exe], run_id[sizeof segment.info->run_id];
	uint64_t start;
	if (!plat_is_own_file(path) || plat_is_locked(path))
		return false;
	int fd = plat_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0)
		return false;
	bool kin = read_exactly(fd, exe, sizeof exe, MTRACE_INFO_OFFSET + offsetof(struct mtrace_info, exe)) &&
		   read_exactly(fd, run_id, sizeof run_id, MTRACE_INFO_OFFSET + offsetof(struct mtrace_info, run_id)) &&
		   read_exactly(fd, &start, sizeof start, offsetof(struct mtrace_header, wall_start_ns)) &&
		   is_kin(exe, run_id);
	plat_close(fd);
	*started_ns = kin ? start : 0;
	return kin;
}

static bool note_dead(const char *name, void *context)
{
	struct dead_list *list = context;
	char path[512];
	uint64_t started;
	size_t length = strlen(name);
	if (strncmp(name, MTRACE_SEGMENT_PREFIX, strlen(MTRACE_SEGMENT_PREFIX)) || length >= sizeof list->dead[0].name)
		return true;
	const char *end = path + sizeof path - 1;
	put_text(put_text(put_text(path, end, list->dir), end, "/"), end, name);
	if (!strcmp(path, segment.path) || !is_dead_kin(path, &started))
		return true;
	uint32_t i = list->count++;
	for (; i > 0 && list->dead[i - 1].started_ns > started; i--)
		list->dead[i] = list->dead[i - 1];
	list->dead[i].started_ns = started;
	memcpy(list->dead[i].name, name, length + 1);
	return list->count < PRUNE_MOST;
}

void segment_prune(uint64_t keep)
{
	static struct dead_list list; /* 5 KiB: too much for a host's stack; only boot calls this, once */
	char dir[512], path[512];
	memcpy(dir, segment.path, sizeof dir);
	*strrchr(dir, '/') = 0;
	list.dir = dir;
	list.count = 0;
	plat_list_dir(dir, note_dead, &list);
	const char *end = path + sizeof path - 1;
	/* oldest first: [0] is the first one and stays, like the newest keep - 1 */
	for (uint32_t i = keep ? 1 : 0; i + (keep ? keep - 1 : 0) < list.count; i++) {
		put_text(put_text(put_text(path, end, dir), end, "/"), end, list.dead[i].name);
		plat_unlink(path);
	}
}
