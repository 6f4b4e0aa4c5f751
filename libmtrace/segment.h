/*
 * segment: the shared file of format.h: made, laid out, grown, and never larger than its cap.
 *
 * The stores reserve elements here and fill them. Growth is idempotent: two threads may commit the same pages, one of
 * them accounts for it. A commit populates pages before they are used, so a full tmpfs is an error code here and never
 * a SIGBUS in the host. When a region cannot grow it is full for good: its store degrades and counts.
 * Lock-free, async-signal-safe after segment_create.
 */
#ifndef MTRACE_SEGMENT_H
#define MTRACE_SEGMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "format.h"
#include "plat.h"

struct segment {
	struct mtrace_header *header;
	struct mtrace_hot *hot;
	struct mtrace_control *control;
	struct mtrace_info *info;
	char *base[MTRACE_REGION_COUNT];
	/* Private copies of what the header tells readers: what we rely on cannot be scribbled on by others. */
	_Atomic uint64_t committed[MTRACE_REGION_COUNT]; /* bytes */
	_Atomic uint64_t used[MTRACE_REGION_COUNT];      /* elements */
	_Atomic uint64_t committed_total;
	uint64_t cap_bytes, file_bytes;
	uint32_t pid; /* whose it is; in a forked child still its parent's until it has its own */
	_Atomic uint32_t full[MTRACE_REGION_COUNT]; /* sticky */
	char path[512]; /* "" : a file without a name */
	uint32_t place; /* enum segment_place_kind */
	struct plat_mark mark; /* of the file, for growth on kernels without MADV_POPULATE_WRITE */
};

extern struct segment segment SHIM_OWN; /* this process's; meaningful while guard_tracking() */

struct segment_request {
	const char *dir; /* "" : choose; see segment_files.h */
	uint64_t cap_bytes; /* 0: choose */
	uint32_t mode;
	bool forked;
	bool attached; /* to a program that runs */
};

enum segment_error {
	SEGMENT_OK = 0,
	SEGMENT_NO_DIR,     /* no memory-backed directory can be written, and memfd_create is refused */
	SEGMENT_NO_FILE,    /* open refused */
	SEGMENT_FILE_LIMIT, /* RLIMIT_FSIZE is below what the file needs */
	SEGMENT_NO_SPACE,   /* not even the first pages */
	SEGMENT_NO_MAP      /* RLIMIT_AS, or the kernel refused */
};

/* Makes the file of this process image and maps it. Single caller per process. On error nothing is left behind. */
enum segment_error segment_create(const struct segment_request *request);
const char *segment_error_text(enum segment_error error);

/* Takes back what segment_create made, before anybody used it. */
void segment_undo(void);

/* The next four: segment_files.c. */

/* Unlinks the own user's dead segments of the same program but the first and the newest keep-1. */
void segment_prune(uint64_t keep);

/* Does `pid` have a segment whose writer lives? Directories as segment_create chooses them. */
bool segment_is_alive(const char *dir, uint32_t pid);

/* Did this process record as a forked child before it called exec? */
bool segment_was_forked(const char *dir, uint32_t pid);

/* Unlinks what this process recorded as a forked child before exec: it is not a target any more. */
void segment_forget_forked(const char *dir);

/* Commits the region's first `bytes`. false: full. */
bool segment_ensure(enum mtrace_region_id region, uint64_t bytes);

/* Hands out `count` adjacent elements; their bytes are zero. UINT64_MAX: full. */
uint64_t segment_reserve(enum mtrace_region_id region, uint64_t count);

/* Are the region's bytes [0, end) there? Acquire pairs with the grower's release: pages are populated first. */
static inline bool segment_has(enum mtrace_region_id region, uint64_t end)
{
	return end <= atomic_load_explicit(&segment.committed[region], memory_order_acquire);
}

/* Is the region's byte at `offset` there? */
static inline bool segment_has_begun(enum mtrace_region_id region, uint64_t offset)
{
	return offset < atomic_load_explicit(&segment.committed[region], memory_order_acquire);
}

/* Somebody else wrote into the segment: it is marked poisoned, and this process records no more. Returns false. */
bool segment_damaged(void);

/* May an id that was loaded from the segment be followed? */
static inline bool segment_id_ok(enum mtrace_region_id region, uint64_t id, uint64_t element_bytes)
{
	return likely(segment_has(region, (id + 1) * element_bytes)) || segment_damaged();
}

static inline void segment_count(enum mtrace_counter counter)
{
	atomic_fetch_add_explicit(&segment.header->counters[counter], 1, memory_order_relaxed);
}

/* The tracker touched so much more of its private memory. */
static inline void segment_add_private(uint64_t bytes)
{
	atomic_fetch_add_explicit(&segment.hot->private_bytes, bytes, memory_order_relaxed); /* a figure: orders nothing */
}

/* The end record; the first one wins. */
void segment_note_end(enum mtrace_end end, int status);

/* In a forked child: private zeroes where the parent's segment was in use, for what was under way to be lost in; until
   it makes a segment of its own. */
void segment_replace_by_zeroes(void);
void segment_drop_zeroes(void);

/* The program is about to limit its own address space: what is reserved but not in use goes, so that the limit is all
   its own. Regions keep a little to grow by, then they are full. Call it where no other thread records, if possible:
   one that grows a region at this instant finds it full. */
void segment_release_reserve(void);

/* At a clean exit: committed pages that no element uses go back to the system. Other threads may record meanwhile, and
   events may still come. Their ids are spent: once per process. */
void segment_give_back(void);

#endif
