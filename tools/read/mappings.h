/*
 * mappings: the mappings of a process with their resident memory, one pass over /proc/PID/smaps.
 */
#ifndef MTRACE_READ_MAPPINGS_H
#define MTRACE_READ_MAPPINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum mapping_class {
#define X(name, owner, label) MAPPING_##name,
#include "read/owners.def"
#undef X
	MAPPING_CLASS_COUNT
};

struct mapping {
	uint64_t start, end;
	uint64_t rss_bytes;
	uint64_t inode;
	char access[5];        /* rwxp, as in maps */
	enum mapping_class class;
	char name[128];        /* cut at its end: what classes look at stands in front, or is short */
	bool deleted;
};

struct mappings {
	struct mapping *rows; /* by address */
	size_t count, capacity;
};

/* Reads them all. 0; -ENOENT: no such process; -EACCES: not ours to look into; -ESRCH: it ended while being read. */
int mappings_read(pid_t pid, struct mappings *m);
void mappings_free(struct mappings *m);

/* Sets the class of every row. `stack_pointers`: where threads were seen to be, any order. */
void mappings_classify(struct mappings *m, const uint64_t *stack_pointers, size_t count);

#endif
