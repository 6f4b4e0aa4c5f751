/*
 * format.h: the bytes of a segment, shared by the shim that writes it and the tools that read it.
 *
 * A segment is one sparse file, written by one process image and readable at any instant, also when the
 * writer was killed. It is a header (page 0), hot words (page 1), a control page (page 2), the process's
 * own description (from page 3), then regions. Each region has its own reserved range of the file and is
 * committed from its start, in steps; nothing beyond `committed_bytes` may be touched.
 *
 * Publishing rule: an element of an append-only region is filled first and made reachable by one release
 * store or compare-and-swap. A reader acquires the word that makes it reachable. An element that was
 * allocated but never published (its writer was killed, or lost a race) is unreachable and must be ignored.
 *
 * Byte order is the machine's own and is written in the header. Fixed-width fields only. A reader refuses
 * a segment whose `min_version` is above its own version, and one with an unknown bit in `features_required`.
 * This is the only header that the shim and the tools share, besides the tables it includes.
 */
#ifndef MTRACE_FORMAT_H
#define MTRACE_FORMAT_H

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define MTRACE_SEGMENT_MAGIC "MTRSEG\r\n" /* 8 bytes, no terminator; \r\n shows a text-mode copy */
#define MTRACE_SEGMENT_VERSION 3u     /* 2: no slot is closed */
#define MTRACE_SEGMENT_MIN_VERSION 3u /* lowest reader version that understands what this shim writes */

#define MTRACE_PAGE_BYTES 4096u
#define MTRACE_HEADER_OFFSET 0u
#define MTRACE_HOT_OFFSET 4096u
#define MTRACE_CONTROL_OFFSET 8192u
#define MTRACE_INFO_OFFSET 12288u
#define MTRACE_INFO_BYTES 20480u                                                /* five pages */
#define MTRACE_REGIONS_OFFSET (MTRACE_INFO_OFFSET + MTRACE_INFO_BYTES) /* 32 KiB */

/* Segment file names: mtrace.<pid>.<start time in clock ticks>.<image>. */
#define MTRACE_SEGMENT_PREFIX "mtrace."

/* ---- kinds of block (design section 2); also the ids of the root nodes of the trie ---------------- */

enum mtrace_kind {
	MTRACE_KIND_NONE = 0,
	MTRACE_KIND_MALLOC = 1,
	MTRACE_KIND_MMAP = 2,
	MTRACE_KIND_POOL = 3,
	MTRACE_KIND_THREAD = 4,
	MTRACE_KIND_JNI_GLOBAL = 5,
	MTRACE_KIND_JNI_WEAK = 6,
	MTRACE_KIND_JNI_BUFFER = 7,
	MTRACE_KIND_ATTACHED_THREAD = 8,
	MTRACE_KIND_GOROUTINE = 9,
	MTRACE_KIND_COUNT = 10
};

/* Families of the live table: address spaces that may hold the same address at the same time. Those of JNI: */
enum mtrace_family {
	MTRACE_FAMILY_MALLOC = 0,
	MTRACE_FAMILY_POOL = 1,
	MTRACE_FAMILY_JNI_REFERENCE = 2, /* jni-global, jni-weak: by the reference, without its lowest bits */
	MTRACE_FAMILY_JNI_BUFFER = 3,    /* jni-buffer: by its address; an array of the Java heap may be there several times */
	MTRACE_FAMILY_JNI_OBJECT = 4,    /* jni-buffer of NewDirectByteBuffer: by a number of its own, times 8 */
	MTRACE_FAMILY_JNI_THREAD = 5,    /* attached-thread: by its JNIEnv */
	MTRACE_FAMILY_COUNT = 8
};

/* ---- regions ---------------------------------------------------------------------------------------- */

enum mtrace_region_id {
	MTRACE_REGION_FRAMES = 0,       /* struct mtrace_frame; index = frame id, 0 unused */
	MTRACE_REGION_FRAME_BUCKETS,    /* u32 frame ids: split-ordered list heads; readers do not need it */
	MTRACE_REGION_NODES,            /* struct mtrace_node; index = node id, 0 unused, 1..15 the kinds' roots */
	MTRACE_REGION_NODE_BUCKETS,     /* u32 node ids; readers do not need it */
	MTRACE_REGION_ROWS,             /* struct mtrace_row; index = row id ("stack id"), 0 unused */
	MTRACE_REGION_LIVE_ROOT,        /* u64 live root entries, MTRACE_LIVE_ROOT_ENTRIES of them */
	MTRACE_REGION_LIVE_CHUNKS,      /* struct mtrace_live_chunk; index 0 unused */
	MTRACE_REGION_LIVE_LEAVES,      /* u64 leaf entries of second and later leaves of a page; 0 unused */
	MTRACE_REGION_LIVE_LINES,       /* struct mtrace_live_line; index 0 unused */
	MTRACE_REGION_LIVE_HUGE,        /* struct mtrace_live_huge, MTRACE_LIVE_HUGE_ENTRIES of them */
	MTRACE_REGION_MODULES,          /* struct mtrace_module; index = module id, 0 unused */
	MTRACE_REGION_STRINGS,          /* bytes; NUL-terminated strings, offset 0 is the empty string */
	MTRACE_REGION_THREADS,          /* struct mtrace_thread; index = thread id, 0 unused */
	MTRACE_REGION_MARKS,            /* struct mtrace_mark; index 0 unused */
	MTRACE_REGION_RANGES,           /* struct mtrace_range_table, then copy 0 of the range map */
	MTRACE_REGION_RANGE_LOG,        /* struct mtrace_range_op: ring of operations not yet applied */
	MTRACE_REGION_TALLIES,          /* struct mtrace_tally; 0 unused, then MTRACE_FIRST_TALLY - 1 strays, then threads' */
	MTRACE_REGION_FOLDS,            /* struct mtrace_fold, MTRACE_FOLDS_MAX of them */
	MTRACE_REGION_RANGES_OTHER,     /* struct mtrace_range: copy 1 of the range map */
	MTRACE_REGION_EPOCHS,           /* struct mtrace_boundary, MTRACE_BOUNDARIES of them */
	MTRACE_REGION_PASTS,            /* u64 by row id: where the row's history is, see MTRACE_PAST_ARRAY */
	MTRACE_REGION_HISTORY,          /* arrays of struct mtrace_past; 0 unused */
	MTRACE_REGION_RING,             /* struct mtrace_ring_head, then struct mtrace_ring_slot; may be absent */
	MTRACE_REGION_METHODS,          /* struct mtrace_method; index = method id, 0 unused */
	MTRACE_REGION_METHOD_NAMES,     /* bytes; NUL-terminated strings of METHODS, offset 0 is the empty string */
	MTRACE_REGION_STREAM,           /* struct mtrace_stream_head, descriptions, parts; may be absent, or empty */
	MTRACE_REGION_EXHAUSTIONS,      /* struct mtrace_exhaustion; index 0 unused; absent in older segments */
	MTRACE_REGION_CLASSES,          /* struct mtrace_class; index 0 unused; likewise */
	MTRACE_REGION_COUNT,
	MTRACE_REGION_MAX = 32
};

/* used: elements handed out, the unused index 0 included (so valid ids are 1 .. used-1); may run past what
   is committed when a grow failed: bound every index by committed_bytes / element_bytes as well. */
struct mtrace_region {
	uint64_t offset;                   /* from the start of the file; page-aligned */
	uint64_t reserved_bytes;           /* the most it may ever have */
	_Atomic uint64_t committed_bytes;  /* readable and writable prefix; only grows. After a clean exit with a hole in it */
	_Atomic uint64_t used;             /* elements */
	uint32_t element_bytes;
	uint32_t reserved;
};
static_assert(sizeof(struct mtrace_region) == 40, "segment format");

/* ---- page 0: the header --------------------------------------------------------------------------- */

enum mtrace_mode { MTRACE_MODE_EXACT = 0, MTRACE_MODE_SAMPLE = 1, MTRACE_MODE_OFF = 2 };

enum mtrace_state {
	MTRACE_STATE_CREATING = 0, /* not usable yet; a dead segment in this state recorded nothing */
	MTRACE_STATE_LIVE = 1,
	MTRACE_STATE_POISONED = 2 /* the shim found its own tables damaged and stopped recording */
};

enum mtrace_end {
	MTRACE_END_NONE = 0, /* still running, or killed without a word */
	MTRACE_END_EXIT = 1, /* exit(), or return from main */
	MTRACE_END_UNDERSCORE_EXIT = 2,
	MTRACE_END_QUICK_EXIT = 3,
	MTRACE_END_EXEC = 4 /* written by the image that came after */
};

enum mtrace_counter {
#define X(name, help) MTRACE_COUNTER_##name,
#include "counters.def"
#undef X
	MTRACE_COUNTER_COUNT
};
#define MTRACE_COUNTER_SLOTS 128

/* Bits of features_optional. */
#define MTRACE_FEATURE_DIES_WITH_PROCESS 1ull /* nobody holds the file: what is not read while the process lives is lost */
#define MTRACE_FEATURE_RANGES_FREED 2ull      /* rows of mapped ranges count what went, see mtrace_range_table.told */
#define MTRACE_FEATURE_JNI 4ull               /* a JVM with our agent: JNI kinds are recorded, from some moment on */
#define MTRACE_FEATURE_ATTACHED 8ull          /* the library was loaded into a program that ran: its slots lead to us, or did */

/* What Agent_OnAttach returns: the JVM hands it to who asked. */
enum mtrace_attach_result {
#define X(name, text) MTRACE_ATTACH_##name,
#include "attach.def"
#undef X
	MTRACE_ATTACH_RESULTS
};
#define MTRACE_ATTACH_DETACH "detach" /* as the options: record nothing from here on; else they are MTRACE_OPTIONS */
#define MTRACE_ATTACH_LISTEN "listen" /* likewise: hear of exhaustion, too; who asks sees to it that the JVM does not print it */

/* memfds that `mtrace run` holds for the processes of a run have this name, then the run's tag; some end in _IMAGES, and
   are not for forks, so that a storm of these leaves room for the command's own images. */
#define MTRACE_HELD_NAME MTRACE_SEGMENT_PREFIX "held."
#define MTRACE_HELD_IMAGES ".images"

struct mtrace_header {
	char magic[8];
	uint32_t version;
	uint32_t min_version;
	uint32_t header_bytes; /* sizeof(struct mtrace_header) of the writer */
	uint16_t machine;      /* ELF e_machine: 62 is x86-64, 183 aarch64 */
	uint8_t little_endian; /* 1 */
	uint8_t word_bits;     /* 64 */
	uint64_t features_required;
	uint64_t features_optional;

	uint32_t pid;         /* in the writer's own pid namespace */
	uint32_t image;       /* counts the execs of this pid: the n of the file's name */
	uint64_t start_time;  /* of the pid, clock ticks since boot (field 22 of /proc/PID/stat) */
	uint32_t parent_pid;
	uint32_t forked;      /* 1: begun in a forked child, without exec; earlier blocks are the parent's */
	uint64_t wall_start_ns; /* CLOCK_REALTIME when the segment was made */
	uint64_t mono_start_ns; /* CLOCK_MONOTONIC at the same instant; ticks count from it */
	uint64_t pid_namespace; /* inode of /proc/self/ns/pid, 0 unknown */

	uint32_t mode; /* enum mtrace_mode */
	_Atomic uint32_t state;
	uint64_t sample_bytes;
	uint64_t cap_bytes;
	uint64_t file_bytes;
	_Atomic uint64_t committed_bytes; /* sum over regions, the first MTRACE_REGIONS_OFFSET bytes included */

	_Atomic uint32_t end;  /* enum mtrace_end */
	_Atomic int32_t end_status; /* as given to exit(); valid with the three EXITs */
	_Atomic uint64_t end_mono_ns;

	uint32_t region_count;
	uint32_t counter_count; /* names in counters.def order; a reader shows unknown ones as "counter-N" */
	char shim_version[32];
	struct mtrace_region regions[MTRACE_REGION_MAX];
	_Atomic uint64_t counters[MTRACE_COUNTER_SLOTS];
	uint32_t epoch_ticks; /* the shortest window of history; beyond header_bytes of older writers */
	uint32_t reserved;
	/* CLOCK_MONOTONIC; beyond header_bytes of older writers. attached: recording began (again) in a program that ran, and
	   knows no block of before; 0: it began with the program. detached: it was ended by `mtrace detach`, and goes on if
	   attached is later. */
	_Atomic uint64_t attached_mono_ns;
	_Atomic uint64_t detached_mono_ns;
};
static_assert(offsetof(struct mtrace_header, pid) == 40, "segment format");
static_assert(offsetof(struct mtrace_header, regions) == 184, "segment format");
static_assert(offsetof(struct mtrace_header, counters) == 1464, "segment format");
static_assert(offsetof(struct mtrace_header, attached_mono_ns) == 2496, "segment format");
static_assert(sizeof(struct mtrace_header) <= MTRACE_PAGE_BYTES, "the header is one page");
static_assert((int)MTRACE_COUNTER_COUNT <= MTRACE_COUNTER_SLOTS, "counters.def");

/* ---- page 1: hot words, a cache line each ----------------------------------------------------------- */

struct mtrace_hot {
	_Atomic uint64_t tick;       /* coarse: sixteenths of a second since mono_start_ns */
	char pad0[56];
	_Atomic int64_t live_bytes;  /* malloc kind; exact within threads x 64 KiB */
	_Atomic int64_t peak_bytes;  /* the most live_bytes was; same bound */
	/* Private memory of the tracker, beside this file: what it has touched of it, at most. Slots of threads (but for the
	   far end of what holds deep stacks), unwind rules, the bootstrap arena; not the library's own code and data. Only
	   grows; a fork begins with what it has of its parent's. 0: not told, by a shim of before. */
	_Atomic uint64_t private_bytes;
	char pad1[40];
	_Atomic uint32_t command_taken; /* sequence of the last command of the control page that was carried out */
	char pad2[60];
};
static_assert(offsetof(struct mtrace_hot, private_bytes) == 80, "segment format");
static_assert(offsetof(struct mtrace_hot, command_taken) == 128, "segment format");
static_assert(sizeof(struct mtrace_hot) == 192, "segment format");

/* ---- page 2: control: the only bytes that mtrace writes -----------------------------------------------
 *
 * A writer holds a lock on this page (fcntl, open file description), and waits until the last command was taken, or gives
 * up. It stores command and argument, then the next sequence. The first hook that looks at the clock and finds a new
 * sequence carries the command out, then stores hot.command_taken.
 */
enum mtrace_command {
	MTRACE_COMMAND_NONE = 0,
	MTRACE_COMMAND_MARK = 1,  /* argument: its name */
	MTRACE_COMMAND_EVENTS = 2, /* argument: for how many milliseconds, decimal. A stream begins, unless one is on */
	MTRACE_COMMAND_DETACH = 3, /* record nothing from here on */
	MTRACE_COMMAND_ATTACH = 4  /* record again; by the first hook of any thread */
};

#define MTRACE_STREAM_PARTS 960u

/* The last two belong to the reader that drains the stream; it holds a lock (as above) on the head of STREAM. */
struct mtrace_control {
	_Atomic uint32_t sequence;
	_Atomic uint32_t command; /* enum mtrace_command */
	char argument[64];        /* NUL-terminated */
	_Atomic uint32_t stream_stop; /* ordinal of a stream of which nobody wants more */
	uint32_t reserved[13];
	_Atomic uint32_t stream_drained[MTRACE_STREAM_PARTS]; /* by part: its round that was read to the end */
};
static_assert(offsetof(struct mtrace_control, stream_drained) == 128, "segment format");
static_assert(sizeof(struct mtrace_control) <= MTRACE_PAGE_BYTES, "the control page is one page");

/* ---- page 3: who the process is ------------------------------------------------------------------------ */

struct mtrace_info {
	char exe[1024]; /* target of /proc/self/exe */
	char cwd[1024];
	char run_id[32];     /* run=… of MTRACE_OPTIONS: which `mtrace run` this belongs to, "" none */
	char options[1024];  /* MTRACE_OPTIONS as read */
	uint32_t args_bytes; /* used bytes of args */
	uint32_t args_total; /* bytes of the whole command line; more than args_bytes: it was cut */
	char args[12288];    /* NUL-separated, as in /proc/PID/cmdline; not redacted (the file is 0600) */
};
static_assert(sizeof(struct mtrace_info) <= MTRACE_INFO_BYTES, "segment format");

/* ---- frames ----------------------------------------------------------------------------------------- */

enum mtrace_frame_kind {
	MTRACE_FRAME_NONE = 0,
	MTRACE_FRAME_NATIVE = 1,   /* value = address in the module's own ELF address space (pc - bias) */
	MTRACE_FRAME_ABSOLUTE = 2, /* value = pc; no module known there (JIT code, for one) */
	MTRACE_FRAME_MARKER = 3,   /* value = enum mtrace_marker; the outermost frame of a stack that is not whole */
	MTRACE_FRAME_JAVA = 4      /* value = MTRACE_JAVA_*: a Java method, and where in it: however it was run, and inlined or not */
};

/* A frame with this flag is the exact instruction (interrupted by a signal); without it, value is a return
   address and the call is at value - 1. */
#define MTRACE_FRAME_EXACT 1u

enum mtrace_marker {
	MTRACE_MARKER_NONE = 0,
	MTRACE_MARKER_TRUNCATED = 1,   /* deeper than depth= frames */
	MTRACE_MARKER_TABLE_FULL = 2,  /* no room for more nodes: the path is cut here */
	MTRACE_MARKER_NO_RULES = 3,    /* code without unwind rules (JIT, hand-written) */
	MTRACE_MARKER_BAD_RULES = 4,   /* rules that our reader cannot evaluate */
	MTRACE_MARKER_UNREADABLE = 5,  /* the walk pointed at memory that cannot be read */
	MTRACE_MARKER_NO_STACK = 6,    /* not captured at all (bootstrap, unwind=none) */
	MTRACE_MARKER_LOOP = 7,        /* the walk did not advance */
	MTRACE_MARKER_VIRTUAL = 8,     /* a virtual thread is mounted here: all of its frames on this stack are there */
	MTRACE_MARKER_LOST = 9,        /* code of the JVM that could not be followed */
	MTRACE_MARKER_COUNT
};

/* value of a JAVA frame: method id << 32 | bytecode index << 16 | line. */
#define MTRACE_JAVA_METHOD(v) ((uint32_t)((v) >> 32))
#define MTRACE_JAVA_BCI(v) ((uint32_t)((v) >> 16 & 0xffff)) /* MTRACE_JAVA_NO_BCI: a native method, or not known */
#define MTRACE_JAVA_LINE(v) ((uint32_t)((v) & 0xffff))      /* 0: not known */
#define MTRACE_JAVA_NO_BCI 0xffffu

struct mtrace_frame {
	uint64_t value;
	uint32_t module; /* module id, NATIVE only */
	uint16_t kind;
	uint16_t flags;
	_Atomic uint32_t next; /* split-ordered list; readers do not need it */
	uint32_t reserved;
};
static_assert(sizeof(struct mtrace_frame) == 24, "segment format");

/* ---- nodes: the trie of stacks ------------------------------------------------------------------------ */

/* A stack is read from its innermost node outwards: (frame, parent), until the root of its kind.
   Roots (ids 1..15, the kind's number) have parent 0 and frame 0. A parent's id is not always below its
   child's, but the chain is acyclic; a reader bounds it at MTRACE_MAX_DEPTH + 2 all the same. Two nodes may
   have equal (parent, frame): a lost race leaves one that nothing uses, and earlier writers used both at times, so a
   reader merges them. */
#define MTRACE_FIRST_NODE 16u
#define MTRACE_MAX_DEPTH 1024u

struct mtrace_node {
	uint64_t key;          /* parent node << 32 | frame */
	_Atomic uint32_t next; /* split-ordered list; readers do not need it */
	_Atomic uint32_t row;  /* row id when a stack ends here; else 0, or MTRACE_NODE_LINKED; readers do not need it */
};
#define MTRACE_NODE_LINKED 0x80000000u /* it is in the list, and so the node of its path */
static_assert(sizeof(struct mtrace_node) == 16, "segment format");

/* ---- rows: counts per stack --------------------------------------------------------------------------- */

/* A row's counts are its own totals plus those of every tally that names it. Monotonic. live = alloc - freed, but for
   one event in flight per thread. MMAP rows: the range map says what is live; freed is what went from it, by `told` of
   the table of ranges (without MTRACE_FEATURE_RANGES_FREED: not kept). THREAD rows: bytes are stack sizes.
   A reader of a live segment takes a row's totals and its tallies while `version` is even and stays the same. */
struct mtrace_row {
	uint32_t node;
	_Atomic uint32_t version; /* odd: somebody is writing the totals (or was killed in it) */
	_Atomic uint64_t alloc_blocks;
	_Atomic uint64_t alloc_bytes;
	_Atomic uint64_t freed_blocks;
	_Atomic uint64_t freed_bytes;
	_Atomic uint64_t aged_blocks; /* of freed_blocks: born before the window of time in which they went; not in format 1 */
};
static_assert(sizeof(struct mtrace_row) == 48, "segment format");
#define MTRACE_ROW_BYTES_1 40u /* of format 1, and of its tallies */

/* What one thread counted for one row within one epoch, not yet in the row's totals. Strays are shared by threads. */
#define MTRACE_FIRST_TALLY 64u
#define MTRACE_TALLY_ROW 0x7fffffffu    /* of `row`: the row; the bit above: its thread adds no more to it */
#define MTRACE_EPOCHS_MIXED 0x80000000u /* of `epoch`: it counted in later ones, too */
struct mtrace_tally {
	union {
		struct {
			_Atomic uint32_t row;   /* 0: empty, whatever the counts say */
			_Atomic uint32_t epoch; /* in which it was counted */
		};
		_Atomic uint64_t key; /* both: a stray is taken for a row and an epoch at once */
	};
	_Atomic uint64_t alloc_blocks;
	_Atomic uint64_t alloc_bytes;
	_Atomic uint64_t freed_blocks;
	_Atomic uint64_t freed_bytes;
	_Atomic uint64_t aged_blocks; /* as in struct mtrace_row */
};
static_assert(sizeof(struct mtrace_tally) == 48, "segment format");

/* While valid: `row` has these totals, with `tally` in them, and this history, whatever the three say themselves. */
#define MTRACE_FOLDS_MAX 2049u /* the first is of who applies the log of ranges */
struct mtrace_fold {
	_Atomic uint32_t valid;
	uint32_t row;
	uint32_t tally;
	uint32_t reserved;
	uint64_t alloc_blocks;
	uint64_t alloc_bytes;
	uint64_t freed_blocks;
	uint64_t freed_bytes;
	uint64_t past; /* the row's word of PASTS */
	uint64_t aged_blocks;
};
static_assert(sizeof(struct mtrace_fold) == 64, "one cache line");

/* ---- history ------------------------------------------------------------------------------------------
 *
 * Time is cut into epochs, numbered from 1. Where one ends and the next begins is a boundary: every header.epoch_ticks,
 * and at every mark. A boundary that nobody has to see any more is given up: of those at a multiple of 2^k of the
 * shortest window (k as large as it can be), the last eight are kept; so each span of time up to now is cut into 8 to 16
 * even windows at least. Of the marks, when their places are full, every other one of the older half.
 *
 * A tally belongs to one epoch. A row's own totals are those at the end of epoch R, of what was folded so far; its array
 * has what they were at the end of earlier epochs in which it changed, ascending. So what the row had counted at the
 * boundary that ends epoch e is: its totals if R <= e, else the last entry with an epoch <= e, else nothing; and all
 * tallies of the row with an epoch <= e. Entries between which no boundary was kept are left out.
 */
#define MTRACE_BOUNDARIES_OF_TIME 224u /* place: k * 8 + odd multiple / 2 % 8; k up to 27 */
#define MTRACE_BOUNDARIES_OF_MARKS 128u
#define MTRACE_BOUNDARIES (MTRACE_BOUNDARIES_OF_TIME + MTRACE_BOUNDARIES_OF_MARKS)

enum mtrace_boundary_state {
	MTRACE_BOUNDARY_FREE = 0,
	MTRACE_BOUNDARY_CLAIMED = 1, /* being filled */
	MTRACE_BOUNDARY_PENDING = 2, /* the epoch may not have ended yet */
	MTRACE_BOUNDARY_THERE = 3
};

struct mtrace_boundary {
	_Atomic uint64_t state; /* epoch that it ends << 2 | enum mtrace_boundary_state; changes before and after the rest */
	uint64_t mono_ns;       /* when it was seen: CLOCK_MONOTONIC */
	uint64_t active_tick;   /* the last tick before it at which a hook looked at the clock */
	uint32_t unit;          /* multiple of epoch_ticks since the start, the roundest since the last one; 0: a mark */
	uint32_t mark;          /* mark id, 0 none */
	int64_t live_bytes;     /* as in struct mtrace_hot, then */
	int64_t peak_bytes;
	uint64_t rss_bytes;     /* the process's resident memory, as the kernel counts it quickly; 0: not known */
	uint64_t tracker_bytes; /* header.committed_bytes then; 0: not known */
};
static_assert(sizeof(struct mtrace_boundary) == 64, "one cache line");

/* The number of the mark that is cut `i` of `windows`, from `first` (i = 0) to `last` (i = windows), where a gate wants
 * windows of the program's own steps (options cut_first, …). Ascending. Those between are off their even places by up to 0.4
 * of a window, as if by chance, and always the same: so that no period of the program falls in step with the windows. */
static inline uint64_t mtrace_cut(uint64_t first, uint64_t last, uint64_t windows, uint64_t i)
{
	uint64_t window = (last - first) / windows, reach = window * 2 / 5;
	uint64_t even = first + (last - first) / windows * i + (last - first) % windows * i / windows;
	if (i == 0 || i == windows || reach == 0)
		return even;
	uint64_t chance = i * 0x9e3779b97f4a7c15u; /* splitmix64's finalizer */
	chance = (chance ^ chance >> 30) * 0xbf58476d1ce4e5b9u;
	chance = (chance ^ chance >> 27) * 0x94d049bb133111ebu;
	return even - reach + (chance ^ chance >> 31) % (2 * reach + 1);
}

#define MTRACE_BOUNDARY_EPOCH(state) ((uint32_t)((state) >> 2))
#define MTRACE_BOUNDARY_STATE(state) ((enum mtrace_boundary_state)((state) & 3))

/* A word of PASTS: 0: nothing was folded into the row yet, or its history could not be begun (its totals tell). */
#define MTRACE_PAST_EPOCH(word) ((uint32_t)(word))       /* R */
#define MTRACE_PAST_ARRAY(word) ((uint32_t)((word) >> 32)) /* index in HISTORY of the array's head; 0: no entries */
#define MTRACE_PAST_LOST UINT32_MAX                        /* in place of the array: nothing is known of before R */

struct mtrace_past_head {
	uint32_t places;     /* entries there is room for, after this head: 3, 7, 15, … */
	uint32_t known_from; /* nothing is known of boundaries that end epochs before this one */
	uint32_t next;       /* in a list of arrays that are in nobody's use; readers do not need it */
	uint32_t reserved[5];
};

/* Entries end at the first that is not above the one before it, or not below R. Sums, each modulo its width. */
struct mtrace_past {
	uint32_t epoch;
	uint32_t live_blocks;
	uint64_t live_bytes;
	uint64_t alloc_blocks;
	uint64_t alloc_bytes;
};
#define MTRACE_PAST_PLACES_MOST 511u
static_assert(sizeof(struct mtrace_past) == 32 && sizeof(struct mtrace_past_head) == 32, "segment format");

/* ---- live blocks ---------------------------------------------------------------------------------------
 *
 * root entry, found by (family, address >> 24) with linear probing:
 *      family:3 | address >> 24: 23 bits | chunk index: 32 bits    (key << 32 | chunk; 0 = empty)
 * chunk: one leaf entry per 4 KiB page of the 16 MiB
 * leaf entry: first line:32 | lines:8 | next leaf entry:24     (0 = none)
 * line: five slots and a word for who writes them; a block's line is first + (granule * lines >> 9),
 *      granule = (address & 4095) >> 3
 * slot word: granule:9 | state:1 | size:28 | row:26  (0 = empty, or MTRACE_SLOT_CLOSED), and beside it  birth:16 | thread:16
 *
 * A slot is taken by compare-and-swap from 0 to its full word, so it is never half there; birth and thread
 * are written after that and may be a dead block's for one event in flight per thread.
 */
#define MTRACE_LIVE_ROOT_BITS 14
#define MTRACE_LIVE_ROOT_ENTRIES (1u << MTRACE_LIVE_ROOT_BITS)
#define MTRACE_LIVE_PAGES_PER_CHUNK 4096u
#define MTRACE_LIVE_SLOTS 5u

struct mtrace_live_chunk {
	_Atomic uint64_t leaves[MTRACE_LIVE_PAGES_PER_CHUNK];
};

struct mtrace_live_line {
	_Atomic uint64_t word[MTRACE_LIVE_SLOTS];
	_Atomic uint32_t side[MTRACE_LIVE_SLOTS];
	_Atomic uint32_t mixed; /* the writer's: how far it must look for a block; 0 in older segments */
};
static_assert(sizeof(struct mtrace_live_line) == 64, "one cache line");

#define MTRACE_LEAF_LINE(e) ((uint32_t)(e))
#define MTRACE_LEAF_LINES(e) ((uint32_t)((e) >> 32 & 0xff))
#define MTRACE_LEAF_NEXT(e) ((uint32_t)((e) >> 40))

#define MTRACE_SLOT_ROW_BITS 26
#define MTRACE_SLOT_SIZE_BITS 28
#define MTRACE_SLOT_ROW(w) ((uint32_t)((w) & ((1u << MTRACE_SLOT_ROW_BITS) - 1)))
#define MTRACE_SLOT_SIZE(w) ((uint32_t)((w) >> MTRACE_SLOT_ROW_BITS & ((1u << MTRACE_SLOT_SIZE_BITS) - 1)))
#define MTRACE_SLOT_MOVING (1ull << 54) /* being reallocated: still live, at its old address and size */
#define MTRACE_SLOT_GRANULE_SHIFT 55
#define MTRACE_SLOT_GRANULE(w) ((uint32_t)((w) >> MTRACE_SLOT_GRANULE_SHIFT))
#define MTRACE_SLOT_SIZE_HUGE ((1u << MTRACE_SLOT_SIZE_BITS) - 1) /* the size is in the huge table */
#define MTRACE_SLOT_CLOSED ((uint64_t)MTRACE_SLOT_SIZE_HUGE << MTRACE_SLOT_ROW_BITS) /* no block is there, nor will be */

/* Sizes of 2^28-1 and more, by address (linear probing from a hash; address 0 = empty). */
#define MTRACE_LIVE_HUGE_ENTRIES 4096u
struct mtrace_live_huge {
	_Atomic uint64_t address; /* family << 61 | address */
	_Atomic uint64_t size;
};
static_assert(sizeof(struct mtrace_live_huge) == 16, "segment format");

/* birth: a tick in 16 bits: value = mantissa (11) << exponent (5); below 2048 exact, then within 1/2048. */
#define MTRACE_SIDE_THREAD(s) ((uint32_t)((s) & 0xffff))
#define MTRACE_SIDE_BIRTH(s) ((uint32_t)((s) >> 16))

static inline uint64_t mtrace_birth_ticks(uint32_t birth16)
{
	return (uint64_t)(birth16 & 0x7ff) << (birth16 >> 11);
}

#define MTRACE_TICKS_PER_SECOND 16u

/* ---- modules ---------------------------------------------------------------------------------------- */

/* One per (path, build-id) ever seen with a frame in it; never removed. */
struct mtrace_module {
	_Atomic uint32_t ready; /* 1 when filled */
	uint32_t path;          /* offset in STRINGS */
	uint64_t start;         /* where it was first mapped */
	uint64_t end;
	uint64_t bias;          /* address - bias = ELF address, for that mapping */
	uint8_t build_id_bytes; /* 0 none, at most 32 */
	uint8_t reserved[7];
	uint8_t build_id[32];
};
static_assert(sizeof(struct mtrace_module) == 72, "segment format");

/* ---- methods ---------------------------------------------------------------------------------------- */

/* A Java method; strings are offsets in METHOD_NAMES, 0 unknown. Published by the first frame that names it. */
struct mtrace_method {
	uint32_t klass;     /* pkg.Class, without the address that tells hidden classes apart */
	uint32_t name;
	uint32_t signature; /* as in class files: (I)V */
	uint32_t file;      /* as in class files: Class.java */
};
static_assert(sizeof(struct mtrace_method) == 16, "segment format");

/* ---- threads ---------------------------------------------------------------------------------------- */

/* One identity per thread that made an event; ids are handed out in order. After 65535 the oldest ended
   ones are used again, and counted (thread_ids_reused). */
struct mtrace_thread {
	_Atomic uint32_t tid;      /* 0: record not in use */
	_Atomic uint32_t ended;    /* 1: returned from its start routine, or pthread_exit */
	_Atomic uint32_t inside;   /* 1: in one of our hooks just now: what a crash report looks at */
	_Atomic uint32_t row;      /* THREAD row of its creation, 0 unknown */
	uint64_t start_tick;
	_Atomic uint64_t end_tick;
	_Atomic uint64_t stack_bytes;
	_Atomic uint64_t name[2];  /* 15 characters and a NUL: pthread_setname_np's, else the name when first seen */
	uint64_t handle;           /* its pthread_t: the thread pointer */
};
static_assert(sizeof(struct mtrace_thread) == 64, "one cache line");

/* ---- marks ------------------------------------------------------------------------------------------ */

#define MTRACE_MARK_SNAPSHOT 1u
struct mtrace_mark {
	_Atomic uint32_t ready;
	uint32_t flags;
	uint64_t mono_ns; /* CLOCK_MONOTONIC */
	char name[48];    /* NUL-terminated, cut to fit */
};
static_assert(sizeof(struct mtrace_mark) == 64, "segment format");

/* ---- exhaustion ----------------------------------------------------------------------------------------
 *
 * A JVM ran out of something, and was about to throw its error. Each is a mark as well, so what every stack counted then is
 * known, and the threads that were there are those of THREADS that had begun and not ended.
 */
#define MTRACE_EXHAUSTED_HEAP 2u    /* as JVMTI has them */
#define MTRACE_EXHAUSTED_THREADS 4u
enum mtrace_histogram { MTRACE_HISTOGRAM_NONE = 0, MTRACE_HISTOGRAM_WHOLE = 1, MTRACE_HISTOGRAM_CUT = 2 /* it took too long */ };

struct mtrace_exhaustion {
	_Atomic uint32_t ready;
	uint32_t what;              /* MTRACE_EXHAUSTED_*; neither: metaspace, or what the text says */
	uint64_t mono_ns;           /* CLOCK_MONOTONIC */
	uint32_t thread;            /* thread id, 0 unknown */
	_Atomic uint32_t histogram; /* enum mtrace_histogram: release, after its classes and what follows */
	uint64_t objects;           /* that were looked at */
	uint64_t bytes;
	uint64_t pause_ns;          /* how long the program stood for it */
	char text[64];              /* the JVM's own: "Java heap space"; NUL-terminated, cut to fit */
	uint64_t reserved;
};
static_assert(sizeof(struct mtrace_exhaustion) == 120, "segment format");

/* The largest classes of the Java heap, at one exhaustion; largest first. */
struct mtrace_class {
	uint32_t exhaustion;
	uint32_t reserved;
	uint64_t objects;
	uint64_t bytes;
	char signature[104]; /* as in class files: Ljava/lang/String; NUL-terminated, cut to fit */
};
static_assert(sizeof(struct mtrace_class) == 128, "segment format");

/* ---- mapped ranges ------------------------------------------------------------------------------------
 *
 * A log of operations and two copies of the map, each sorted by start. An operation is reserved by its sequence
 * number (entry = sequence modulo what the region has room for; region.used of RANGE_LOG is not used) and committed by a
 * release store of `commit` = sequence + 1. Whoever gets the applier's word brings the copy that is not current up to
 * date and makes it current in one store; entries are not used again before both copies have them. What an operation
 * takes from the map is counted as freed in its rows, in the operation's epoch, the first time it is applied; `told`
 * says of which operations that was done (of the first that is not, perhaps in part).
 * A reader takes the current copy, checks that `current` has not changed meanwhile, and replays the committed
 * operations from its sequence on, up to the first that is not committed.
 */
enum mtrace_range_kind {
	MTRACE_RANGE_MAP = 1,        /* [start, end) now belongs to row, whatever was there */
	MTRACE_RANGE_UNMAP = 2,      /* [start, end) is gone */
	MTRACE_RANGE_MOVE_BEGIN = 3, /* [start, end) is being moved under `token` */
	MTRACE_RANGE_MOVE_END = 4    /* pieces with `token` are gone (row != 0: [start, end) is the new place), or,
	                                with start == end, stay where they were */
};

struct mtrace_range_op {
	_Atomic uint64_t commit; /* sequence + 1 when the rest is valid */
	uint64_t start;
	uint64_t end;
	uint32_t row;
	uint32_t tick;
	uint32_t op;    /* enum mtrace_range_kind */
	uint32_t token;
	uint32_t thread;
	uint32_t flags; /* protection bits of mmap in the low byte, MTRACE_RANGE_FILE */
	uint32_t epoch; /* of the event */
	uint32_t reserved;
	uint64_t reserved2;
};
static_assert(sizeof(struct mtrace_range_op) == 64, "one cache line");

#define MTRACE_RANGE_FILE 0x100u      /* maps a file */
#define MTRACE_RANGE_PART 0x200u      /* of a block that another piece, further down, stands for: no block of its own */
#define MTRACE_RANGE_LOG_ENTRIES 16384u /* a busy machine may take the applier's processor for tens of milliseconds */
#define MTRACE_RANGES_MAX 32768u

struct mtrace_range {
	uint64_t start;
	uint64_t end;
	uint32_t row;
	uint32_t tick;
	uint32_t token; /* not 0: being moved */
	uint32_t thread_flags; /* thread << 16 | flags */
};
static_assert(sizeof(struct mtrace_range) == 32, "segment format");

struct mtrace_range_table {
	_Atomic uint64_t current;  /* sequence of the first operation it does not have << 1 | index of the current copy */
	_Atomic uint64_t next;     /* sequence of the next operation */
	_Atomic uint64_t retired;  /* both copies have the operations below this one */
	_Atomic uint32_t applier;  /* tid of who applies, 0 nobody */
	uint32_t count[2];
	uint32_t reserved;
	_Atomic uint64_t told;     /* what went by operations below this one is freed in its rows */
	uint64_t reserved2[2];
	/* then copy 0: up to MTRACE_RANGES_MAX of struct mtrace_range; copy 1 is a region of its own, RANGES_OTHER, so
	   that each grows from its start */
};
static_assert(sizeof(struct mtrace_range_table) == 64, "segment format");

/* ---- the ring: news -------------------------------------------------------------------------------------
 *
 * What changes over time, newest over oldest: of N slots the ring holds the last N records, which is what a reader that
 * came after the death wants, and a reader that is slow loses the oldest. Reports do not depend on it.
 *
 * Records have sequence numbers from 0 on. `state` of a slot is 0 (never used), or
 *      sequence + 1: 63 bits | busy: 1 bit
 * and only grows. Busy: its writer is filling it, or was killed in it; what the slot held before is lost then, and what
 * it will hold is not there. Which slot a number goes to is the writer's affair: a reader looks at all slots and goes by
 * their numbers. Some numbers are never seen: their writer was killed, or found the slot taken and took another number.
 *
 * A reader takes a slot whose state is not 0 and not busy, copies it, and takes the copy if the state is still the same
 * and `check` is right; the state never comes back to a value it had. `next` tells when there is nothing new.
 */
enum mtrace_ring_kind {
	MTRACE_RING_none = 0,
#define X(kind, per_second, subject, text, a, b, c, d) MTRACE_RING_##kind,
#include "ring.def"
#undef X
	MTRACE_RING_COUNT
};

#define MTRACE_RING_BYTES_MOST (4u << 20) /* of the region */
#define MTRACE_RING_BUSY 1ull
#define MTRACE_RING_STATE(sequence) (((sequence) + 1) << 1)
#define MTRACE_RING_SEQUENCE(state) (((state) >> 1) - 1)

struct mtrace_ring_head {
	_Atomic uint64_t next;  /* number of the next record; those from next on are not there yet */
	_Atomic uint64_t slots; /* in a round: readers leave numbers below next - slots alone, most are overwritten */
	uint64_t reserved[6];
};
static_assert(sizeof(struct mtrace_ring_head) == 64, "one cache line");

#define MTRACE_RING_WORDS 7
struct mtrace_ring_slot {
	_Atomic uint64_t state;
	/* [0] nanoseconds since mono_start_ns; [1] kind:16 | reserved:16 | thread id:32 (0 unknown); [2] subject:32 | check:32;
	   [3..6] the values of ring.def */
	_Atomic uint64_t word[MTRACE_RING_WORDS];
};
static_assert(sizeof(struct mtrace_ring_slot) == 64, "one cache line");

/* Of the sequence number and the seven words, the check itself as 0. */
static inline uint32_t mtrace_ring_check(uint64_t sequence, const uint64_t word[MTRACE_RING_WORDS])
{
	uint64_t h = sequence;
	for (int i = 0; i < MTRACE_RING_WORDS; i++) {
		h = (h ^ (i == 2 ? word[i] & UINT32_MAX : word[i])) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	return (uint32_t)(h >> 32);
}

/* ---- the stream: every event, for a while -----------------------------------------------------------------
 *
 * While a stream is on, each thread writes its events into parts of its own: it takes a part, fills it, takes the next.
 * A part is written in rounds, counted from 1; it is taken again only when its last round was drained, as the control page
 * says. A reader finds those whose `round` is not the one drained, takes their first `count` records, and has drained
 * them when they are closed or have MTRACE_STREAM_RECORDS. Nobody waits: where no part is free, events are dropped, and
 * counted (stream_dropped); the next part of the thread says how many it lost before.
 *
 * Every event has a number, taken before its block can be anybody else's (a free, a block that is reallocated) or after it
 * is the thread's own: so numbers order the events of one block, and those of one thread, whatever thread they are of. A
 * number that is nowhere was taken by an event that was killed, dropped after all, or is under way.
 * Numbers below `first` or, once `ended` is `ordinal`, not below `end` are not of the stream.
 */
struct mtrace_stream_head {
	_Atomic uint32_t ordinal; /* of the last stream begun, from 1; 0: there was none */
	_Atomic uint32_t ended;   /* ordinal of the last one that ended */
	uint64_t begin_tick;
	uint64_t asked_ms;
	_Atomic uint64_t first;   /* number */
	_Atomic uint64_t end;     /* number */
	_Atomic uint64_t end_tick;
	_Atomic uint32_t parts;   /* that are there */
	uint32_t reserved;
	uint64_t dropped;         /* counter stream_dropped when it began */
};
static_assert(sizeof(struct mtrace_stream_head) == 64, "one cache line");

struct mtrace_stream_part {
	_Atomic uint32_t round;  /* stored last when a round begins; 0: never used */
	_Atomic uint32_t count;  /* records that are whole */
	_Atomic uint32_t closed; /* 1: there will be no more of them in this round */
	uint32_t thread;         /* id, 0 unknown */
	uint64_t lost;           /* events that the thread dropped since the part before */
	uint32_t reserved[10];
};
static_assert(sizeof(struct mtrace_stream_part) == 64, "one cache line");

enum mtrace_stream_what {
	MTRACE_STREAM_NOTHING = 0, /* a number that was not needed: a reallocation that failed */
	MTRACE_STREAM_ALLOCATED = 1,
	MTRACE_STREAM_FREED = 2,
	MTRACE_STREAM_GAP = 3 /* never in a segment: the thread's events that were lost here; size: how many */
};
#define MTRACE_STREAM_POOL 4u /* beside it: of family POOL */

/* number:40 | tick:20 | what:4, address, size:38 | row:26. The tick is modulo 2^20; a size beyond 38 bits is all ones. A
   free has the row and size that its block was recorded with. */
struct mtrace_stream_record {
	_Atomic uint64_t word[3];
};
static_assert(sizeof(struct mtrace_stream_record) == 24, "segment format");
#define MTRACE_STREAM_NUMBER(w) ((w) >> 24)
#define MTRACE_STREAM_TICK(w) ((uint32_t)((w) >> 4 & 0xfffff))
#define MTRACE_STREAM_WHAT(w) ((uint32_t)((w) & 15))
#define MTRACE_STREAM_ROW(w) ((uint32_t)((w) & ((1u << MTRACE_SLOT_ROW_BITS) - 1)))
#define MTRACE_STREAM_SIZE(w) ((w) >> MTRACE_SLOT_ROW_BITS)
#define MTRACE_STREAM_SIZE_MOST ((1ull << (64 - MTRACE_SLOT_ROW_BITS)) - 1)

#define MTRACE_STREAM_RECORDS 341u
#define MTRACE_STREAM_PART_BYTES 8192u
#define MTRACE_STREAM_PARTS_OFFSET 65536u /* of the first part, from the region's start; the descriptions follow the head */
#define MTRACE_STREAM_MS_MOST 43200000u   /* 12 hours: ticks of one stream fit into 20 bits */
static_assert(MTRACE_STREAM_RECORDS * sizeof(struct mtrace_stream_record) <= MTRACE_STREAM_PART_BYTES, "segment format");
static_assert((1 + MTRACE_STREAM_PARTS) * sizeof(struct mtrace_stream_part) <= MTRACE_STREAM_PARTS_OFFSET, "segment format");

#endif
