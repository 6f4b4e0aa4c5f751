/*
 * collect: the segments of one run, read into one profile: images and children that ended on the way, and at the
 * end all that is left, in the order a recording wants them.
 */
#ifndef MTRACE_RUN_COLLECT_H
#define MTRACE_RUN_COLLECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct profile;

struct collect_segment {
	char *path;
	ino_t inode;
	uint32_t pid, image;
	uint64_t start_time;
	uint64_t committed_bytes;
	uint64_t next_frame; /* symbolised up to here */
	uint64_t next_mark;  /* acted upon up to here */
	bool is_read;        /* in the profile */
	bool is_gone;        /* its file was removed */
	bool alive;
	struct drain *drain; /* of its events; NULL: not, or not any more */
	bool was_drained;    /* there was one, or it was refused */
	uint64_t drain_until_ms; /* nothing comes after that; streams.c */
	bool went_on; /* dead, and its process was seen to run on as a program that is not traced */
};

struct collect {
	const char *run_id;
	const char *dir;
	pid_t command;
	uint64_t command_start;
	struct profile *profile;
	struct collect_segment *segments; /* every one of this run that was ever seen */
	size_t count, capacity;
	size_t unreadable;
	char trouble[512];         /* the last reason a segment could not be read, "" none */
};

void collect_init(struct collect *c, const char *run_id, const char *dir, pid_t command, uint64_t command_start);
void collect_fini(struct collect *c);

/* Looks into the directory anew. */
void collect_scan(struct collect *c);

/* Reads the segments whose process or image is gone. Removes files once there are too many of them. */
void collect_dead(struct collect *c);

/* Reads the rest, also of processes that run on, and puts everything in order. `wait_status` of the command, or -1
   when it is not known. */
void collect_all(struct collect *c, int wait_status);

/* Removes the segments that are in the profile, but not those of processes that run on. */
void collect_remove_saved(struct collect *c);

#endif
