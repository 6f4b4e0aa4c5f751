/*
 * profile: what was read, in memory: one or more traced processes with their stacks and counts.
 *
 * Filled by read/ (live segment, dead segment, recording, or from outside), named by symbols/, used by the
 * emitters, which take a `const struct profile *` and know nothing of files or pids. All indices were
 * checked when it was filled; strings are UTF-8, owned by the profile (profile_string). Not thread-safe.
 */
#ifndef MTRACE_PROFILE_H
#define MTRACE_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format.h"

/* One name for a frame: the physical function, or a function inlined at that place. */
struct profile_name {
	const char *function; /* demangled; NULL: unknown */
	const char *file;     /* NULL: unknown */
	uint32_t line;        /* 0: unknown */
	bool inlined;         /* this function is inlined into the next name of the same frame */
	const char *signature; /* of a Java method, as class files have it: "(I)V"; NULL: unknown, or no Java */
};

struct profile_module {
	const char *path;
	uint8_t build_id[32];
	uint8_t build_id_bytes; /* 0: none */
	uint64_t start, end, bias; /* where it was first mapped */
};

struct profile_frame {
	uint64_t value;  /* see enum mtrace_frame_kind */
	uint32_t module; /* index in modules, PROFILE_NO_MODULE none */
	uint16_t kind;
	uint16_t flags; /* MTRACE_FRAME_EXACT */
	const struct profile_name *names; /* innermost first; NULL until symbolised */
	uint32_t name_count;
};
#define PROFILE_NO_MODULE UINT32_MAX

struct profile_counts {
	uint64_t alloc_blocks, alloc_bytes;
	uint64_t freed_blocks, freed_bytes;
	uint64_t live_blocks, live_bytes;
};

struct profile_stack {
	uint64_t id; /* stable across runs: hash of kind and (build-id or path, offset) of every frame */
	enum mtrace_kind kind;
	struct profile_counts counts;
	const uint32_t *frames; /* indices in frames, innermost first */
	uint32_t frame_count;
	uint32_t marker; /* enum mtrace_marker: 0 the stack is whole */
	uint32_t history_from; /* index in boundaries: what it had counted is known from there on; UINT32_MAX never */
	uint64_t aged_blocks; /* of counts.freed_blocks: born before the window of time in which they went; process->has_aged */
};

/* Live blocks of one stack by one thread, born in one power-of-two age class: what --by thread and ages need. */
struct profile_live {
	uint32_t stack;  /* index in stacks */
	uint32_t thread; /* index in threads, PROFILE_NO_THREAD unknown */
	uint64_t birth_tick;
	uint64_t blocks, bytes;
};
#define PROFILE_NO_THREAD UINT32_MAX

/* A mapped range that is live. */
struct profile_range {
	uint64_t start, end;
	uint32_t stack; /* index in stacks */
};

struct profile_thread {
	uint32_t tid;
	const char *name;
	bool ended;
	bool inside; /* was inside a hook of ours when the segment was read */
	uint64_t start_tick, end_tick, stack_bytes;
	uint32_t stack; /* index of its creation stack, UINT32_MAX unknown */
	uint32_t id;    /* the segment's, which events have; 0 unknown */
};

struct profile_mark {
	const char *name;
	uint64_t time_ns; /* since the process's segment was made */
	uint32_t flags;
};

/* An instant at which what stacks had counted is known: a mark, or the end of a window of time. Ascending. */
struct profile_boundary {
	uint64_t time_ns;   /* since the process's segment was made */
	uint64_t active_ns; /* the last event before it that looked at the clock: from there to time_ns nothing changed */
	uint64_t live_bytes, peak_live_bytes; /* malloc kind, of the process, within threads x 64 KiB */
	uint64_t rss_bytes, tracker_bytes;    /* resident memory, and tracker_bytes of the process; 0: not known */
	uint32_t unit;      /* time: which multiple of process->window_ns; 0: a mark */
	uint32_t mark;      /* index in marks, PROFILE_NO_MARK none */
};
#define PROFILE_NO_MARK UINT32_MAX

/* What a stack counted since the boundary before; at its history_from, all that it had counted. By stack, then boundary;
   none where nothing changed. model/history.h adds them up. */
struct profile_change {
	uint32_t stack;    /* index in stacks */
	uint32_t boundary; /* index in boundaries */
	uint64_t alloc_blocks, alloc_bytes, freed_blocks, freed_bytes;
};

/* A record of the ring: see ring.def and model/events.h. */
struct profile_event {
	uint64_t sequence;
	uint64_t time_ns; /* since the process's segment was made */
	uint32_t kind;    /* enum mtrace_ring_kind, or one that this version does not know */
	uint32_t thread;  /* who put it: index in threads, PROFILE_NO_THREAD unknown */
	uint32_t stack;   /* its subject: index in stacks, UINT32_MAX none */
	uint32_t module;  /* likewise: index in modules, PROFILE_NO_MODULE none */
	uint64_t value[4];
	const char *text; /* the field of form text or mark; "" none */
};

/* A part of a stream as recordings have it: see read/stream.h. */
struct profile_stream_part {
	const uint8_t *bytes;
	uint32_t stored_bytes, raw_bytes, crc;
};

/* Every event of a bounded time (--events), in parts that are opened when they are asked for. */
struct profile_stream {
	uint64_t asked_ms; /* 0: there is none */
	uint64_t begin_ns, end_ns; /* since the process's segment was made */
	uint64_t events;     /* allocations and frees that are kept */
	uint64_t dropped;    /* that the process had no room for */
	uint64_t most_bytes; /* its limit of size (--events-size), if that cut it; else 0 */
	struct profile_stream_part *parts;
	uint32_t part_count;
};

/* A JVM ran out of something; ascending by time. */
struct profile_exhaustion {
	uint64_t time_ns;   /* since the process's segment was made */
	uint32_t what;      /* MTRACE_EXHAUSTED_* */
	uint32_t thread;    /* index in threads, PROFILE_NO_THREAD unknown */
	const char *text;   /* the JVM's own */
	uint32_t histogram; /* enum mtrace_histogram: what follows is known of the whole heap, or of a part */
	uint64_t objects, bytes, pause_ns;
};

/* One of the largest classes at an exhaustion. By exhaustion, then largest first. */
struct profile_class {
	uint32_t exhaustion; /* index in exhaustions */
	const char *name;    /* as Java has it: java.lang.String[] */
	uint64_t objects, bytes;
};

struct profile_counter {
	const char *name;
	uint64_t value;
};

enum profile_end_reason {
	PROFILE_RUNNING, PROFILE_EXIT, PROFILE_SIGNAL, PROFILE_KILLED, PROFILE_EXEC
};

/* Resident memory by owner; bytes add up to rss_bytes. Filled for a live process. */
struct profile_ledger_row {
	const char *owner; /* stable id */
	const char *label;
	const char *measured_by;
	uint64_t bytes;
};

struct profile_process {
	uint32_t pid, image, parent_pid;
	uint64_t start_time;
	bool forked;
	const char *exe, *cwd, *run_id, *shim_version;
	const char **args; /* redacted */
	uint32_t arg_count;
	enum { PROFILE_EXACT, PROFILE_SAMPLE, PROFILE_OFF, PROFILE_OUTSIDE } mode;
	uint64_t sample_bytes;
	uint64_t wall_start_ns;
	uint64_t lived_ns; /* until its end, or until it was read; 0 unknown */
	/* Recording began, or began again, in a program that ran: blocks of before are not known, and their frees are unknown.
	   Ended by `mtrace detach`, since when nothing is recorded. Times since wall_start_ns. */
	bool attached, detached;
	uint64_t attached_ns, detached_ns;
	uint64_t active_ns; /* its last event that looked at the clock: idle since; 0 unknown */

	enum profile_end_reason end;
	int end_status; /* exit status, or signal number */
	bool in_tracker; /* it crashed, and a thread was inside libmtrace then */
	bool poisoned;
	bool jni; /* JNI kinds were recorded, from some moment on */

	struct profile_counts totals; /* malloc kind */
	uint64_t peak_live_bytes;
	struct profile_counts by_kind[MTRACE_KIND_COUNT];
	uint64_t tracker_bytes; /* the segment's committed bytes, and these: */
	uint64_t tracker_private_bytes; /* touched beside the segment, at most; 0: not told by a shim of before */
	uint64_t unsettled_stacks; /* read while they changed too fast for one instant: allocated more, perhaps, than is said */
	struct profile_counter *counters; /* every counter of the segment, zero or not, in counters.def order */
	uint32_t counter_count;

	struct profile_module *modules;
	uint32_t module_count;
	struct profile_frame *frames;
	uint32_t frame_count;
	struct profile_stack *stacks; /* by live bytes, then allocated bytes, then id */
	uint32_t stack_count;
	struct profile_live *live;
	uint32_t live_count;
	struct profile_range *ranges; /* by address; of a segment only: a recording has none */
	uint32_t range_count;
	uint32_t *stack_of_row; /* index in stacks by row id of the segment, UINT32_MAX none; in recordings only with a stream */
	uint32_t row_count;
	struct profile_thread *threads;
	uint32_t thread_count;
	struct profile_mark *marks;
	uint32_t mark_count;
	uint64_t window_ns; /* the shortest window of history, 0: there is none */
	bool has_aged;      /* stacks know how many of their freed blocks were old */
	struct profile_boundary *boundaries;
	uint32_t boundary_count;
	struct profile_change *changes;
	uint32_t change_count;
	struct profile_event *events; /* what the ring held, oldest first */
	uint32_t event_count;
	uint64_t events_written;      /* ever; those not in events were overwritten or never finished */
	uint64_t events_overwritten;
	struct profile_stream stream;
	struct profile_exhaustion *exhaustions;
	uint32_t exhaustion_count;
	struct profile_class *classes;
	uint32_t class_count;
	struct profile_ledger_row *ledger;
	uint32_t ledger_count;
	uint64_t rss_bytes; /* 0: not measured */

	uint64_t skipped; /* records that were damaged and left out */
	const char *note; /* one line to show in the trust box, NULL none */
};

struct profile {
	struct profile_process *processes; /* [0] is the last image of the command's own pid */
	uint32_t process_count;
	struct profile_pool *pool; /* owns every array and string of the profile */
};

struct profile *profile_new(void);
void profile_free(struct profile *p);
struct profile_process *profile_add_process(struct profile *p); /* zeroed; may move the others */

/* Memory that lives as long as the profile. Dies on exhaustion (die() of tools/die.h). */
void *profile_alloc(struct profile *p, size_t count, size_t bytes); /* zeroed */
const char *profile_string(struct profile *p, const char *s);       /* interned copy */
const char *profile_string_n(struct profile *p, const char *s, size_t n);

/* Computes stack ids, markers, totals, by_kind, and sorts stacks; renumbers what points at them, and sorts changes. */
void profile_finish_process(struct profile *p, struct profile_process *process);

/* The index of the frame reports call the site: the innermost that belongs neither to the allocator nor to the
   language runtime. frame_count when there is none. */
uint32_t profile_site(const struct profile_process *process, const struct profile_stack *stack);

/* Is this function (NULL: unknown name) of that module part of the allocator or the language runtime? One table. */
bool profile_is_runtime(const char *function, const char *module_path);

/* The name of a frame that is the user's own: the first that is not the runtime's; 0 when there is none. */
uint32_t profile_own_name(const struct profile_process *process, const struct profile_frame *frame);

/* Sums that cannot wrap, whatever a damaged file says. */
uint64_t profile_sum(uint64_t a, uint64_t b);
void profile_counts_add(struct profile_counts *to, const struct profile_counts *from);

/* A JVM is in it: libjvm.so has a frame in some stack. */
bool profile_has_jvm(const struct profile_process *process);

/* A counter of counters.def, by its name; 0 when the recording does not have it. */
uint64_t profile_counter_of(const struct profile_process *process, const char *name);

/* For qsort of pointers to stacks: by what was ever allocated, largest first. */
int profile_by_allocated(const void *a, const void *b);

/* Blocks of the kind stand in the table of live blocks, one by one, with their ages. */
bool profile_lives_in_table(enum mtrace_kind kind);

const char *profile_kind_name(enum mtrace_kind kind);     /* "malloc", "jni-global", … */
const char *profile_marker_name(uint32_t marker);         /* "[truncated]", … */
const char *profile_end_name(enum profile_end_reason end);

#endif
