/*
 * recording_reader: one recording being read, and what the files of its reader do for each other: recording.c takes the
 * file apart into chunks, recording_rows.c a chunk into strings and rows, recording_settle.c makes a process of the rows.
 *
 * Not for others: they call read_recording (read.h). Bound of the memory: see recording.c.
 */
#ifndef MTRACE_READ_RECORDING_READER_H
#define MTRACE_READ_RECORDING_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "model/profile.h"
#include "recording.h"

struct read_error;

/* The rows of one table of the process being read. */
struct rows {
	char *rows;
	size_t count, capacity;
};

struct reader {
	FILE *in;
	struct profile *profile;
	struct read_error *error;
	const char *path;
	uint32_t version, min_version, process_count;
	char tool_version[16];
	uint64_t read_bytes, charged_bytes;

	bool open;             /* a process is being read */
	uint32_t file_process; /* its number in the file */
	uint32_t processes;    /* how many were read */
	uint32_t chunks;       /* how many chunks there were */
	struct rows tables[RECORDING_TYPES];
	size_t *ranks; /* place of each stack in the writer's order, beside tables[RECORDING_STACKS] */
	size_t rank_capacity;
	const char **strings;
	size_t string_count, string_capacity;
	struct profile_stream_part *parts; /* of its stream */
	size_t part_count, part_capacity;
	struct profile_process described; /* the PROCESS row; its exe is lost_text until there is one */
	uint64_t lost;                    /* rows left out of this process */
	const char *why;                  /* what is wrong with the file, NULL nothing */
};

/* Before so many more bytes are taken. False: this would take more memory than a file of this size may. */
bool recording_charge(struct reader *r, uint64_t bytes);

/* What stands for a string that is not there. */
const char *recording_lost_string(struct reader *r);

/* What one chunk of the open process says, taken whole or not at all. False: it says nothing that can be. */
bool recording_read_payload(struct reader *r, enum recording_type type, const uint8_t *raw, size_t raw_bytes);

/* Texts that are never NULL in a profile, of the PROCESS row. */
void recording_settle_description(struct reader *r, struct profile_process *row);

/* Makes the rows that were read, if a process is open, into the profile's next process. */
void recording_close_process(struct reader *r);

#endif
