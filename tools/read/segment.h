/*
 * segment: what the files segment*.c share. A segment is copied into private memory, region by region, and only the
 * copy is looked at: the file may be truncated, grown or scribbled over at any time (a mapping would be SIGBUS), and
 * what was checked must not change before it is used.
 *
 * Order of copying, for a process that runs on: who refers is copied before what it refers to (live blocks, ranges,
 * threads; then history; then rows; then nodes; then frames; then modules; then strings). Ids only grow and what they name never
 * changes, so every id found in an earlier copy is valid in a later one. Rows, being copied after the live blocks,
 * have counted whatever is live there: blocks born in between look freed, and nothing is live that was never
 * allocated. For a dead process all of it is one instant.
 */
#ifndef MTRACE_READ_SEGMENT_H
#define MTRACE_READ_SEGMENT_H

#include "format.h"
#include "model/profile.h"

struct segment_region {
	const unsigned char *bytes; /* private copy, NULL when there is nothing */
	size_t mapped_bytes;        /* of the mapping that holds it */
	uint64_t count;             /* whole elements in it; index 0 included */
	bool used;                  /* held a former copy before this one */
};

/* What the live table or the range map say about a row. */
struct segment_live_row {
	uint64_t blocks, bytes;
};

/* What a row counted, tallies included. */
struct segment_counts {
	uint64_t alloc_blocks, alloc_bytes, freed_blocks, freed_bytes;
	uint64_t aged_blocks; /* of freed_blocks: 0 before format 2 */
};

/* A boundary that is kept, see format.h; ascending by epoch. */
struct segment_boundary {
	uint32_t epoch;
	struct mtrace_boundary said;
};

/* What is known of one row at one instant: what segment_history.c needs of it. */
struct segment_past {
	uint32_t row;
	struct segment_counts totals; /* its own */
	uint64_t word;                /* of PASTS */
	const struct mtrace_tally *const *tallies; /* of the row, those that hold; the first tally_count */
	size_t tally_count;
};

/* Live blocks by (row, thread, age class): see segment_live.c. */
struct segment_groups {
	struct segment_group *slots; /* open addressing, power of two */
	size_t count, mask;
};

/* Records of the ring, whole and in order. */
struct segment_ring {
	struct segment_record {
		uint64_t sequence;
		uint64_t word[MTRACE_RING_WORDS];
	} *records;
	uint32_t count;
	uint64_t next;  /* number that the next record would have had */
	uint64_t first; /* those below it are overwritten, or as good as that */
};

struct segment {
	int fd;
	const char *path;
	bool alive;
	uint64_t file_bytes;
	_Alignas(8) unsigned char head[MTRACE_REGIONS_OFFSET]; /* header, hot, control, info */
	struct segment_region regions[MTRACE_REGION_COUNT];

	struct profile *profile;
	struct profile_process *process;
	struct segment_live_row *live_of_row; /* by row id */
	struct segment_counts *counts_of_row; /* by row id */
	struct segment_boundary *boundaries;
	uint32_t boundary_count;
	uint32_t *history_from; /* by row id, history_rows of them: index in boundaries, UINT32_MAX: nothing is known */
	uint64_t history_rows;
	size_t change_capacity; /* of process->changes, whose `stack` is a row id until segment_read_stacks */
	uint32_t *mark_of_id;   /* by mark id: index in process->marks; PROFILE_NO_MARK none */
	uint32_t *stack_of_row;               /* by row id; UINT32_MAX none */
	uint32_t *thread_of_id;               /* by thread id; PROFILE_NO_THREAD none */
	struct segment_groups groups;
	struct segment_ring ring;
	uint64_t now_tick;
	uint64_t skipped; /* damaged records left out */
};

static inline const struct mtrace_header *segment_header(const struct segment *s)
{
	return (const struct mtrace_header *)(const void *)(s->head + MTRACE_HEADER_OFFSET);
}

/* segment_copy.c: reads the first MTRACE_REGIONS_OFFSET bytes; 0, or -errno (-ENODATA: shorter than that). */
int segment_copy_head(struct segment *s);
/* Copies what is committed (and there, in a sparse file) of one region. Trouble leaves it shorter. */
void segment_copy_region(struct segment *s, enum mtrace_region_id id);
/* The map of ranges changes in place: copied until two looks at its first word agree. */
void segment_copy_ranges(struct segment *s);
/* segment_ring.c: the ring changes all the time: copied twice, and a record believed that is the same in both. */
void segment_copy_ring(struct segment *s);
/* segment_counts.c: copies ROWS, TALLIES and FOLDS, ROWS no longer than counts_of_row, which it fills; says how many rows
   it could not read as of one instant. */
void segment_copy_counts(struct segment *s);
/* The same for history: copies PASTS and HISTORY beside them, and gives each row that can be believed to segment_take_past. */
void segment_copy_history(struct segment *s);

/* segment_history.c: boundaries; begin before, end after the history is copied: only what was kept all the time is read. */
void segment_begin_boundaries(struct segment *s);
void segment_end_boundaries(struct segment *s);
void segment_begin_pasts(struct segment *s, uint64_t rows);
void segment_take_past(struct segment *s, const struct segment_past *past);
/* Went in that epoch, and the row's own counts do not have it. */
void segment_add_gone(struct segment *s, uint32_t row, uint32_t epoch, uint64_t blocks, uint64_t bytes);
void segment_read_boundaries(struct segment *s); /* into the process; after marks */

void segment_copy_free(struct segment *s);

/* Element `index` of a region as `type`, NULL when there is none. */
const void *segment_element(const struct segment *s, enum mtrace_region_id id, uint64_t index);
/* A NUL-terminated string of STRINGS, interned; "" when the offset is bad. */
const char *segment_string(struct segment *s, uint32_t offset);

/* segment_methods.c: gives a Java frame its method's name, file and line. */
void segment_name_method(struct segment *s, struct profile_frame *frame);

/* segment_frames.c: a segment that this reader understands, by its head alone. */
bool segment_is_readable(const struct segment *s);
/* Opens s->path and copies its head, for those who read parts only. 0, or -errno and nothing open. */
int segment_open_part(struct segment *s);
bool segment_is_readable(const struct segment *s); /* by its head: ours, whole, and of a version that we know */
bool segment_is_locked(int fd);                    /* segment.c: its process is alive */

/* segment_facts.c: who the process is, how it ended, counters, modules, threads, marks. */
void segment_read_facts(struct segment *s);
void segment_read_modules(struct segment *s);
void segment_read_threads(struct segment *s); /* before live and stacks: ids of threads */
void segment_read_marks(struct segment *s);
/* segment_exhaustions.c: after threads. */
void segment_read_exhaustions(struct segment *s);
/* segment_ring.c: after threads, modules and marks. The events' stacks are row ids until segment_read_stacks. */
void segment_read_events(struct segment *s);

/* segment_live.c: walks the live table; fills live_of_row and process->live (its `stack` still a row id). */
void segment_read_live(struct segment *s);
/* segment_ranges.c: the range map and its log; adds to live_of_row. The other: adds to history what went by operations that
   rows do not know of. */
void segment_read_ranges(struct segment *s);
void segment_tell_ranges(struct segment *s);

/* A block seen live, or a piece of a range, which is a block or none: counts for its row, and for its (row, thread, age
   class) group. */
void segment_add_live(struct segment *s, uint32_t row, uint32_t thread_id, uint64_t birth_tick, uint64_t blocks, uint64_t bytes);
void segment_finish_live(struct segment *s); /* groups become process->live */

/* segment_stacks.c: frames, then a stack with counts for every row. Last step. */
void segment_read_stacks(struct segment *s);

#endif
