/*
 * read: everything that can be opened, turned into a profile. Input is hostile: every offset, count and id is
 * checked; what is damaged is left out and counted (process->skipped), never followed.
 *
 * A target T is a pid, a segment file, a recording, or `last` (the newest recording that `mtrace run` wrote, kept
 * as a link in the state directory). Functions return 0 or -errno and put one clear line in error->text.
 */
#ifndef MTRACE_READ_H
#define MTRACE_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct profile;
struct profile_process;

struct read_error {
	char text[512]; /* what happened, to which file or pid, what to do next */
};

/* read/target.c: opens whatever `target` names. A pid without a segment gives mode PROFILE_OUTSIDE. */
int read_target(const char *target, struct profile *profile, struct read_error *error);

/* read/target.c: the segment of a living process, or a segment file, for reading: a descriptor, or -errno. */
int read_open_living(const char *target, struct read_error *error);
/* read/target.c: the segment of a running process, named by its pid or by the segment's own file, opened to be read again
   and again. -ESRCH, with no text: `target` is none (a recording, a dead process, one that is not traced). */
struct read_running {
	int fd;
	pid_t pid; /* as we see it; 0: it cannot be seen here (another namespace) */
	char name[64]; /* "segment of process 4127" */
};
int read_open_running(const char *target, struct read_running *running, struct read_error *error);

/* read/target.c: where `last` is kept: $XDG_STATE_HOME/mtrace/last or ~/.local/state/mtrace/last, a symbolic link to the
   recording, made by `mtrace run`. 0, or -ENOENT when there is no home. */
int read_last_path(char *path, size_t bytes);

/* read/segment.c: one segment file, of a live or dead process; appends one process. `alive` may be NULL. */
int read_segment(const char *path, struct profile *profile, bool *alive, struct read_error *error);
int read_segment_fd(int fd, const char *path, struct profile *profile, bool *alive, struct read_error *error);

/* read/segment_frames.c: appends one process that has only modules and the NATIVE frames with ids from `first` on (0: from
   the start), and no stacks. *next: where to go on from; no process is appended when there is nothing new. */
int read_segment_frames(const char *path, uint64_t first, struct profile *profile, uint64_t *next);

/* read/segment_marks.c: the marks with ids from *next on (0: from the start), at most `room`; how many there are, and in
   *next where to go on from. Cheap while there is nothing new. Trouble: none. */
struct read_mark {
	uint64_t id;
	bool snapshot; /* it asks for a recording, see mtrace_snapshot() in mtrace.h */
	char name[48];
};
size_t read_segment_marks(const char *path, uint64_t *next, struct read_mark *marks, size_t room);

/* read/target.c: the open segment of a target, of the newest image. A descriptor, or -EMEDIUMTYPE: a recording, or a
   process without a segment; other errors have a line in error->text. */
int read_open_segment(const char *target, struct read_error *error);

/* read/segment_news.c: what the ring got since the last look. A reader only has its own position: the process never
   waits, so one that looks too seldom loses the oldest, and sees how many. */
struct read_news {
	int fd;             /* of the segment; the caller's */
	uint64_t position;  /* number of the next record wanted; 0 at first */
	uint32_t waited;    /* looks at a record that is not finished */
	uint64_t overwritten, unfinished; /* records lost so far, by reason */
	uint64_t held_back; /* the process's own count of records it did not put in */
	bool alive;         /* at the beginning of the last look: if not, that look has seen all there is */
};

/* 1: there is news, in one process more of the profile, which has events and what they name, and nothing else; 0: none;
   or -errno. Cheap while there is none: two short reads. */
int read_segment_news(struct read_news *news, struct profile *profile);

/* One process more that has only who it is and how it ended, if it did. 0 or -errno. */
int read_segment_who(int fd, struct profile *profile);

/* read/segment_instant.c: what every row of a segment counts at one instant, for those who come again and again: the
   tables of stacks and of counts, not that of live blocks, so that it costs what the stacks cost, however many blocks
   are live. With `walk` it goes through the live blocks as well, once. */
struct read_row {
	uint64_t live_blocks, live_bytes, alloc_blocks, freed_blocks;
	uint64_t tabled_blocks; /* with `walk`: live by the table of live blocks … */
	uint64_t old_blocks;    /* … and of these, those born before born_before_ns */
};
struct read_instant {
	bool walk;
	uint64_t born_before_ns; /* since the segment was made, like all times here */
	struct read_row *rows;   /* by row id; until the next instant is read, or read_instant_free */
	size_t row_count;
	uint64_t time_ns;
	uint64_t cost_ns;        /* that reading took */
	uint64_t committed_bytes;
	bool alive;
	unsigned char *kinds; /* by row id, kept from one instant to the next: a row's kind never changes */
	size_t kind_count;    /* so many of them are known */
};
int read_instant(int fd, struct read_instant *instant);
bool read_is_running(int fd); /* does the process of that segment live? */
void read_instant_free(struct read_instant *instant);

/* read/pids.c: the pid, as we see it, of the process that began then and has this pid in some namespace, say a
   container's; 0: there is none, or more than one. Only of a process that runs can it be told. */
pid_t read_pid_here(uint32_t pid, uint64_t start_time);

/* read/find.c: the segments in the directories where shims put them (dir, or NULL for the default ones, also
   through /proc/PID/root). Newest image last. Caller frees with read_list_free. */
struct read_found {
	char *path;
	uint32_t pid; /* in the namespace of the writer */
	uint32_t image;
	uint64_t start_time;
	bool alive;
	uint64_t committed_bytes;
	char exe[256];
	char run_id[32];
};
int read_list_segments(const char *dir, struct read_found **found, size_t *count);
void read_list_free(struct read_found *found, size_t count);

/* read/drain.c: takes the events of a stream out of a segment, before its parts are needed again. One at a time drains a
   process; others see what is in the parts just now. */
struct drain;
struct drain_request {
	bool give_back;      /* of a living process: parts that were read may be written again */
	uint64_t most_bytes; /* of what is kept, compressed; 0: no limit */
};
enum drain_state {
	DRAIN_NONE,  /* there has been no stream */
	DRAIN_ON,    /* look again, in milliseconds */
	DRAIN_ENDED, /* it is over, and all of it was taken */
	DRAIN_CUT    /* most_bytes are full, and the process was told to end it */
};
/* `fd`: of the segment, for reading; with give_back it is opened anew, for writing. NULL with a line in error->text. */
struct drain *drain_open(int fd, const struct drain_request *request, struct read_error *error);
enum drain_state drain_take(struct drain *d);
/* Whatever is left, in whatever order: the process has ended, or enough time has passed. Into process->stream; of a stream
   that somebody else has taken from, nothing. */
void drain_finish(struct drain *d, struct profile *profile, struct profile_process *process);
void drain_close(struct drain *d);

/* read/stream.c: the events of process->stream, in the order of their numbers; returns how many parts were damaged. */
struct lifetimes;
struct lifetimes_event;
typedef void read_stream_taker(void *context, const struct lifetimes_event *e);
uint32_t read_stream_events(const struct profile_process *process, read_stream_taker *take, void *context);
/* All of them, joined; to be freed. */
uint32_t read_lifetimes(const struct profile_process *process, struct lifetimes *lifetimes);

/* read/recording.c: see mtrace-format.5. */
int read_recording(const char *path, struct profile *profile, struct read_error *error);
int write_recording(const char *path, bool overwrite, const struct profile *profile, struct read_error *error);

/* read/outside.c: what can be seen of any process without a segment: resident memory by class of mapping and
   threads (names). Appends one process of mode PROFILE_OUTSIDE. */
int read_outside(pid_t pid, struct profile *profile, struct read_error *error);

/* The same ledger for a live traced process: fills ledger, ledger_count and rss_bytes of `process`. `pid` is its pid here. */
int read_outside_ledger(pid_t pid, struct profile *profile, struct profile_process *process, struct read_error *error);

/* read/memory.c: resident memory of a process, 0 unknown; and the memory limit that it runs under, the lowest of its
   cgroups', 0 none that can be read. `who`: a pid, or "self". */
uint64_t read_resident(pid_t pid);
uint64_t read_memory_limit(const char *who);

/* The number at the begin of a small file; false: there is none. */
bool read_number_file(const char *path, uint64_t *value);

#endif
