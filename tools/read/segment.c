/*
 * segment: one segment file, of a live or dead process, into one process of a profile. Here: opening, deciding
 * whether it is ours to read, and the order of the steps (why that order: segment.h). A segment is in use as long as
 * its process holds the lock on it; one that nobody holds belongs to a process that is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "read/read.h"
#include "read/segment.h"

#define KNOWN_FEATURES 0u /* bits of features_required that this reader understands */

static int refuse(struct read_error *error, int code, const char *path, const char *why)
{
	snprintf(error->text, sizeof error->text, "%s: %s", path, why);
	return code;
}

bool segment_is_locked(int fd)
{
	if (flock(fd, LOCK_SH | LOCK_NB) != 0)
		return errno == EWOULDBLOCK;
	flock(fd, LOCK_UN);
	return false;
}

static int check_version(const struct segment *s, struct read_error *error)
{
	const struct mtrace_header *h = segment_header(s);
	char why[200];
	if (h->min_version > MTRACE_SEGMENT_VERSION) {
		snprintf(why, sizeof why, "written in segment format %u, which needs a reader of format %u; this mtrace reads up to "
		         "%u: use the mtrace that came with that libmtrace.so", h->version, h->min_version, MTRACE_SEGMENT_VERSION);
		return refuse(error, -EPROTO, s->path, why);
	}
	if (h->features_required & ~(uint64_t)KNOWN_FEATURES) {
		snprintf(why, sizeof why, "uses features 0x%llx that this mtrace does not know: use the mtrace that came with that "
		         "libmtrace.so", (unsigned long long)h->features_required);
		return refuse(error, -EPROTO, s->path, why);
	}
	return 0;
}

static int check_header(const struct segment *s, struct read_error *error)
{
	const struct mtrace_header *h = segment_header(s);
	if (memcmp(h->magic, MTRACE_SEGMENT_MAGIC, sizeof h->magic) != 0)
		return refuse(error, -EINVAL, s->path,
		              "not a segment of libmtrace; give a pid, a segment (`mtrace ps` lists them) or "
		              "a recording");
	if (h->little_endian != 1 || h->word_bits != 64)
		return refuse(error, -EPROTO, s->path, "written on a machine of another byte order or word size; read it there");
	if (h->state == MTRACE_STATE_CREATING)
		return refuse(error, -ENODATA, s->path, s->alive ? "is being created just now; try again"
		              : "its process ended before tracing had begun; nothing was recorded");
	return check_version(s, error);
}

static void copy_all(struct segment *s)
{
	static const enum mtrace_region_id in_order[] = {
		MTRACE_REGION_LIVE_ROOT, MTRACE_REGION_LIVE_CHUNKS, MTRACE_REGION_LIVE_LEAVES, MTRACE_REGION_LIVE_LINES,
		MTRACE_REGION_LIVE_HUGE, MTRACE_REGION_EXHAUSTIONS, MTRACE_REGION_CLASSES, MTRACE_REGION_THREADS, MTRACE_REGION_MARKS,
		MTRACE_REGION_COUNT /* the counts */,
		MTRACE_REGION_NODES, MTRACE_REGION_FRAMES, MTRACE_REGION_METHODS, MTRACE_REGION_METHOD_NAMES, MTRACE_REGION_MODULES,
		MTRACE_REGION_STRINGS,
	};
	segment_copy_ring(s);
	segment_copy_ranges(s);
	segment_copy_history(s);
	for (size_t i = 0; i < sizeof in_order / sizeof in_order[0]; i++) {
		if (in_order[i] == MTRACE_REGION_COUNT)
			segment_copy_counts(s);
		else
			segment_copy_region(s, in_order[i]);
	}
}

/* What is in its parts just now. */
static void read_stream(struct segment *s)
{
	struct read_error error;
	struct drain *d = drain_open(s->fd, &(struct drain_request){.give_back = false}, &error);
	if (!d)
		return; /* of a version that has none */
	drain_finish(d, s->profile, s->process); /* nothing, if somebody else takes them */
	drain_close(d);
}

static void fill(struct segment *s)
{
	s->process = profile_add_process(s->profile);
	copy_all(s);
	s->live_of_row = profile_alloc(s->profile, s->regions[MTRACE_REGION_ROWS].count, sizeof *s->live_of_row);
	segment_read_facts(s);
	segment_read_modules(s);
	segment_read_threads(s);
	segment_read_marks(s);
	segment_read_exhaustions(s);
	segment_read_boundaries(s);
	segment_read_events(s);
	segment_read_live(s);
	segment_read_ranges(s);
	segment_finish_live(s);
	segment_read_stacks(s);
	read_stream(s);
	s->process->skipped = s->skipped;
	profile_finish_process(s->profile, s->process);
	segment_copy_free(s);
}

/* A process takes a millisecond or so to make its segment: worth waiting for, half a second at most. */
static int copy_ready_head(struct segment *s)
{
	for (int looks = 0;; looks++) {
		int code = segment_copy_head(s);
		if (code != 0 || !s->alive || looks == 50 || segment_header(s)->state != MTRACE_STATE_CREATING)
			return code;
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
}

int read_segment_fd(int fd, const char *path, struct profile *profile, bool *alive, struct read_error *error)
{
	struct segment s = {.fd = fd, .path = path, .profile = profile, .alive = segment_is_locked(fd)};
	int code = copy_ready_head(&s);
	if (code == -ENODATA)
		return refuse(error, code, path, "cut short: not even the header of a segment is whole");
	if (code != 0)
		return refuse(error, code, path, strerror(-code));
	code = check_header(&s, error);
	if (code != 0)
		return code;
	fill(&s);
	if (alive)
		*alive = s.alive;
	return 0;
}

int read_segment(const char *path, struct profile *profile, bool *alive, struct read_error *error)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return refuse(error, -errno, path, strerror(errno));
	int code = 0;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		code = refuse(error, -EINVAL, path, "not a regular file, so no segment");
	if (code == 0)
		code = read_segment_fd(fd, path, profile, alive, error);
	close(fd);
	return code;
}
