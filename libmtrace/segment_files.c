#include "segment_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "options.h"
#include "segment.h"

#define PLACE_LEAST (1ull << 20) /* free bytes; less is not worth beginning */

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

static const char *end_of(const char *path)
{
	/* cppcheck-suppress ctuPointerArith ; the last byte of the array */
	return path + SEGMENT_PATH_BYTES - 1;
}

static void put_path(char *path, const char *dir, const char *name)
{
	put_text(put_text(put_text(path, end_of(path), dir), end_of(path), "/"), end_of(path), name);
}

/* "mtrace.<pid>.": what the files of all processes with that number begin with, one after the other. */
static char *put_prefix(char *at, const char *end, uint32_t pid)
{
	return put_text(put_number(put_text(at, end, MTRACE_SEGMENT_PREFIX), end, pid), end, ".");
}

static void put_name(char *at, const char *end, uint32_t pid, uint64_t start, uint32_t image)
{
	at = put_text(put_number(put_prefix(at, end, pid), end, start), end, ".");
	put_number(at, end, image);
}

static uint64_t take_number(const char **at)
{
	uint64_t value = 0;
	for (; **at >= '0' && **at <= '9'; ++*at)
		value = value * 10 + (uint64_t)(**at - '0');
	return value;
}

static bool read_exactly(int fd, void *buffer, size_t bytes, uint64_t offset)
{
	return plat_read_at(fd, buffer, bytes, offset) == (long)bytes;
}

/* ---- places ---------------------------------------------------------------------------------------- */

static const char *absolute(const char *asked)
{
	static char seen[OPTION_TEXT_BYTES], whole[SEGMENT_PATH_BYTES];
	if (asked[0] == '/' || strlen(asked) >= sizeof seen)
		return asked;
	if (!strcmp(asked, seen))
		return whole;
	char *end = whole + SEGMENT_PATH_BYTES / 2; /* a longer one would be cut to another directory's name */
	long n = plat_readlink("/proc/self/cwd", whole, SEGMENT_PATH_BYTES / 2);
	if (n <= 0 || whole[0] != '/' || whole + n + 1 >= end)
		return asked;
	put_text(put_text(whole + n, end_of(whole), "/"), end_of(whole), asked);
	put_text(seen, seen + sizeof seen - 1, asked);
	return whole;
}

static bool can_create_in(const char *dir)
{
	return plat_is_memory_dir(dir) && plat_writable_dir(dir) && plat_free_bytes(dir) >= PLACE_LEAST;
}

/* A disk file only when asked: a dirty page can stall a host thread behind writeback. */
struct segment_place segment_find_place(const char *asked)
{
	if (asked[0]) {
		const char *dir = absolute(asked);
		return (struct segment_place){.kind = strncmp(dir, "/proc/", 6) ? PLACE_DIR : PLACE_HELD, .dir = dir};
	}
	if (can_create_in("/dev/shm"))
		return (struct segment_place){.kind = PLACE_DIR, .dir = "/dev/shm"};
	if (can_create_in("/tmp"))
		return (struct segment_place){.kind = PLACE_DIR, .dir = "/tmp"};
	return (struct segment_place){.kind = PLACE_NOWHERE, .dir = ""};
}

uint64_t segment_place_free(const struct segment_place *place)
{
	return place->kind == PLACE_DIR ? plat_free_bytes(place->dir) : UINT64_MAX;
}

/* ---- what `mtrace run` holds ----------------------------------------------------------------------------- */

/* Is that descriptor one of those kept for this run? *for_images: not for forks. */
static bool is_held(const char *descriptor, bool *for_images)
{
	char target[128], wanted[128];
	const char *end = wanted + sizeof wanted - 1, *rest = target;
	put_text(put_text(wanted, end, "/memfd:" MTRACE_HELD_NAME), end, options.run);
	size_t length = strlen(wanted);
	if (!options.run[0] || plat_readlink(descriptor, target, sizeof target) <= 0 || strncmp(target, wanted, length))
		return false;
	rest += length;
	*for_images = !strncmp(rest, MTRACE_HELD_IMAGES, strlen(MTRACE_HELD_IMAGES));
	rest += *for_images ? strlen(MTRACE_HELD_IMAGES) : 0;
	return !strcmp(rest, " (deleted)");
}

/* Looked at before it is opened, since others of its descriptors may not bear that, and after: its number may have been
   given to another file. */
static int open_held(const char *path, bool *for_images)
{
	char opened[48];
	const char *end = opened + sizeof opened - 1;
	int fd = is_held(path, for_images) ? plat_open(path, O_RDWR | O_NONBLOCK, 0) : -ENOENT;
	if (fd < 0)
		return fd;
	put_number(put_text(opened, end, "/proc/self/fd/"), end, (uint64_t)fd);
	if (is_held(opened, for_images))
		return fd;
	plat_close(fd);
	return -ESTALE;
}

/* Takes the first one that is empty and not locked: -ENOENT when all are taken. */
struct held_search {
	const char *dir;
	bool forked;
	char *path;
	int fd;
};

static bool take_if_free(const char *name, void *context)
{
	struct held_search *s = context;
	bool for_images;
	put_path(s->path, s->dir, name);
	s->fd = open_held(s->path, &for_images);
	if (s->fd < 0)
		return true;
	/* the lock first: who has it and finds the file empty is the only one */
	if (!(for_images && s->forked) && !plat_lock_exclusive(s->fd) && !plat_file_bytes(s->fd))
		return false;
	plat_close(s->fd);
	s->fd = -ENOENT;
	return true;
}

static int take_held(const struct segment_place *place, char *path)
{
	struct held_search s = {.dir = place->dir, .forked = place->forked, .path = path, .fd = -ENOENT};
	plat_list_dir(place->dir, take_if_free, &s);
	return s.fd;
}

/* ---- the images of one process ------------------------------------------------------------------------- */

struct image_search {
	struct segment_place place;
	uint32_t pid;
	uint64_t start;
	char prefix[32];
	bool closed_too; /* those, too, that may not be opened: it gave up a user's rights before it called exec. `fd` is negative */
	/* true: that was it, look no further. `fd` is open for reading and writing. */
	bool (*visit)(const struct segment_place *place, const char *path, int fd, uint32_t image, void *context);
	void *context;
	bool found;
};

/* "mtrace.<pid>.<start>.<image>", when it is of that process. The start time is asked for once there is something to
   compare it with, which is seldom. */
static bool is_its_name(struct image_search *s, const char *name, uint32_t *image)
{
	size_t length = strlen(s->prefix);
	if (strncmp(name, s->prefix, length))
		return false;
	const char *at = name + length;
	uint64_t start = take_number(&at);
	if (!s->start)
		s->start = plat_start_time(s->pid);
	if (start != s->start || *at != '.')
		return false;
	at++;
	*image = (uint32_t)take_number(&at);
	return true;
}

static int open_named(struct image_search *s, const char *name, char *path, uint32_t *image)
{
	if (!is_its_name(s, name, image))
		return -ENOENT;
	put_path(path, s->place.dir, name);
	int fd = plat_open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0 || plat_is_own_fd(fd))
		return fd;
	plat_close(fd);
	return -EPERM;
}

static int open_its_held(struct image_search *s, const char *name, char *path, uint32_t *image)
{
	uint32_t who[2];
	uint64_t start;
	bool for_images;
	put_path(path, s->place.dir, name);
	int fd = open_held(path, &for_images);
	if (fd < 0)
		return fd;
	if (!s->start)
		s->start = plat_start_time(s->pid);
	static_assert(offsetof(struct mtrace_header, image) == offsetof(struct mtrace_header, pid) + 4, "read as one");
	if (read_exactly(fd, who, sizeof who, offsetof(struct mtrace_header, pid)) && who[0] == s->pid &&
	    read_exactly(fd, &start, sizeof start, offsetof(struct mtrace_header, start_time)) && start == s->start) {
		*image = who[1];
		return fd;
	}
	plat_close(fd);
	return -ENOENT;
}

static bool look_at(const char *name, void *context)
{
	struct image_search *s = context;
	char path[SEGMENT_PATH_BYTES];
	uint32_t image = 0;
	int fd = s->place.kind == PLACE_HELD ? open_its_held(s, name, path, &image) : open_named(s, name, path, &image);
	bool is_closed = fd < 0 && fd != -ENOENT && s->place.kind == PLACE_DIR && s->closed_too;
	if (fd < 0 && !is_closed)
		return true;
	s->found = s->visit(&s->place, path, fd, image, s->context);
	if (fd >= 0)
		plat_close(fd);
	return !s->found;
}

static bool search_place(struct image_search *s)
{
	put_prefix(s->prefix, s->prefix + sizeof s->prefix - 1, s->pid);
	plat_list_dir(s->place.dir, look_at, s);
	return s->found;
}

/* Wherever they may be: a segment is not always where the next one would be made. */
static bool search(const char *asked, struct image_search *s)
{
	if (asked[0]) {
		s->place = segment_find_place(asked);
		return search_place(s);
	}
	s->place = (struct segment_place){.kind = PLACE_DIR, .dir = "/dev/shm"};
	if (search_place(s))
		return true;
	s->place.dir = "/tmp";
	return search_place(s);
}

static bool is_alive(const struct segment_place *place, const char *path, int fd, uint32_t image, void *unused)
{
	(void)place, (void)path, (void)image, (void)unused;
	return plat_is_locked(fd);
}

static bool is_forked(const struct segment_place *place, const char *path, int fd, uint32_t image, void *unused)
{
	uint32_t forked = 0;
	(void)place, (void)path, (void)image, (void)unused;
	return read_exactly(fd, &forked, sizeof forked, offsetof(struct mtrace_header, forked)) && forked == 1;
}

void segment_discard(const struct segment_place *place, const char *path, int fd)
{
	if (place->kind == PLACE_HELD)
		plat_truncate_fd(fd, 0);
	else if (path[0])
		plat_unlink(path);
}

static bool discard_forked(const struct segment_place *place, const char *path, int fd, uint32_t image, void *unused)
{
	if (is_forked(place, path, fd, image, unused))
		segment_discard(place, path, fd);
	return false;
}

/* Nobody can open what is nowhere, but it is seen. */
static bool is_alive_nowhere(uint32_t pid)
{
	char maps[32], name[48];
	const char *maps_end = maps + sizeof maps - 1, *name_end = name + sizeof name - 1;
	put_text(put_number(put_text(maps, maps_end, "/proc/"), maps_end, pid), maps_end, "/maps");
	put_prefix(put_text(name, name_end, "/memfd:"), name_end, pid);
	return plat_maps_file(maps, name);
}

bool segment_is_alive(const char *dir, uint32_t pid)
{
	return search(dir, &(struct image_search){.pid = pid, .visit = is_alive}) ||
	       (segment_find_place(dir).kind == PLACE_NOWHERE && is_alive_nowhere(pid));
}

bool segment_was_forked(const char *dir, uint32_t pid)
{
	return search(dir, &(struct image_search){.pid = pid, .visit = is_forked});
}

void segment_forget_forked(const char *dir)
{
	search(dir, &(struct image_search){.pid = plat_pid(), .visit = discard_forked});
}

/* ---- a new one ------------------------------------------------------------------------------------- */

/* The highest image so far, and the next number. */
static bool note_highest(const struct segment_place *place, const char *path, int fd, uint32_t image, void *context)
{
	uint32_t *next = context;
	(void)place, (void)path, (void)fd;
	*next = image >= *next && image < UINT32_MAX ? image + 1 : *next;
	return false;
}

/* The image before this one, of the same pid, ended by exec: nobody holds its lock any more. */
static bool mark_exec(const struct segment_place *place, const char *path, int fd, uint32_t image, void *context)
{
	uint32_t end = MTRACE_END_EXEC;
	uint64_t now = plat_mono_ns();
	(void)place, (void)path;
	if (image + 1 != *(const uint32_t *)context)
		return false;
	plat_write_at(fd, &end, sizeof end, offsetof(struct mtrace_header, end));
	plat_write_at(fd, &now, sizeof now, offsetof(struct mtrace_header, end_mono_ns));
	return true;
}

/* Numbers only rise while one file of the process is left: the image before ours is the highest. */
static uint32_t next_image(const struct segment_place *place, uint32_t pid, uint64_t start)
{
	uint32_t next = 0;
	struct image_search s = {
		.place = *place, .pid = pid, .start = start, .closed_too = true, .visit = note_highest, .context = &next};
	search_place(&s);
	return next;
}

static void end_image_before(const struct segment_place *place, uint32_t pid, uint64_t start, uint32_t image)
{
	struct image_search s = {.place = *place, .pid = pid, .start = start, .visit = mark_exec, .context = &image};
	if (image > 0)
		search_place(&s);
}

static int open_file(const struct segment_place *place, uint32_t pid, uint64_t start, char *path, uint32_t image)
{
	if (place->kind == PLACE_HELD)
		return take_held(place, path);
	char *at = put_text(put_text(path, end_of(path), place->dir), end_of(path), "/");
	put_name(at, end_of(path), pid, start, image);
	return plat_open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
}

static int open_nowhere(struct segment_place *place, uint32_t pid, uint64_t start, char *path)
{
	char name[64];
	place->kind = PLACE_NOWHERE;
	path[0] = 0;
	put_name(name, name + sizeof name - 1, pid, start, 0);
	return plat_memfd(name);
}

int segment_open_new(struct segment_place *place, uint32_t pid, uint64_t start, char *path, uint32_t *image)
{
	int fd = -ENOENT;
	*image = 0;
	if (place->kind != PLACE_NOWHERE) {
		*image = next_image(place, pid, start);
		fd = open_file(place, pid, start, path, *image);
	}
	if (fd >= 0)
		end_image_before(place, pid, start, *image);
	return fd >= 0 || place->kind == PLACE_DIR ? fd : open_nowhere(place, pid, start, path);
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

/* The beginning of struct mtrace_info. */
struct kin {
	char exe[sizeof((struct mtrace_info *)0)->exe];
	char cwd[sizeof((struct mtrace_info *)0)->cwd];
	char run_id[sizeof((struct mtrace_info *)0)->run_id];
};
static_assert(offsetof(struct kin, run_id) == offsetof(struct mtrace_info, run_id), "read as one");

/* Same program, and not one that our own `mtrace run` is about to save. */
static bool is_kin(int fd)
{
	static struct kin other; /* 2 KiB: too much for a host's stack; only segment_prune's callers come here, one at a time */
	const struct mtrace_info *own = segment.info;
	return read_exactly(fd, &other, sizeof other, MTRACE_INFO_OFFSET) && !memcmp(other.exe, own->exe, sizeof own->exe) &&
	       (!own->run_id[0] || memcmp(other.run_id, own->run_id, sizeof own->run_id) != 0);
}

/* When a dead segment of our user, of the same program, was begun; 0: it is none. */
static uint64_t dead_kin_since(const char *path)
{
	uint64_t started = 0;
	int fd = plat_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0)
		return 0;
	if (!plat_is_own_fd(fd) || !is_kin(fd) || plat_is_locked(fd) ||
	    !read_exactly(fd, &started, sizeof started, offsetof(struct mtrace_header, wall_start_ns)))
		started = 0;
	plat_close(fd);
	return started;
}

static bool note_dead(const char *name, void *context)
{
	struct dead_list *list = context;
	char path[SEGMENT_PATH_BYTES];
	size_t length = strlen(name);
	if (strncmp(name, MTRACE_SEGMENT_PREFIX, strlen(MTRACE_SEGMENT_PREFIX)) || length >= sizeof list->dead[0].name)
		return true;
	put_path(path, list->dir, name);
	uint64_t started = strcmp(path, segment.path) ? dead_kin_since(path) : 0;
	if (!started)
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
	char dir[SEGMENT_PATH_BYTES], path[SEGMENT_PATH_BYTES];
	if (segment.path[0] != '/' || !strncmp(segment.path, "/proc/", 6))
		return; /* nothing of ours is left behind there */
	memcpy(dir, segment.path, sizeof dir);
	*strrchr(dir, '/') = 0;
	list.dir = dir;
	list.count = 0;
	plat_list_dir(dir, note_dead, &list);
	/* oldest first: [0] is the first one and stays, like the newest keep - 1 */
	for (uint32_t i = keep ? 1 : 0; i + (keep ? keep - 1 : 0) < list.count; i++) {
		put_path(path, dir, list.dead[i].name);
		plat_unlink(path);
	}
}
