/*
 * victim_step.h: what victim_step and who steps it (test_tools_steps.c) share: a file that both have mapped.
 */
#ifndef VICTIM_STEP_H
#define VICTIM_STEP_H

#include <stdint.h>

/* What the scene that comes adds to the record. While it goes on, each figure lies between before and after; what is live
   may be `moving_bytes` more, of a block that is at its old place and its new one. */
struct step_scene {
	char name[32]; /* "": the end */
	int64_t alloc_blocks, alloc_bytes, live_blocks, live_bytes; /* of malloc */
	int64_t mapped_bytes, live_mapped_bytes;                    /* of mmap */
	int64_t marks;
	int64_t moving_bytes;
	int64_t is_bulk; /* many of these: stepped only where a table is about to grow */
};

#endif
