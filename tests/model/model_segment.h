/* model_segment: a segment for a model to work in: in memory that nobody else sees, and gone with it. */
#ifndef TESTS_MODEL_SEGMENT_H
#define TESTS_MODEL_SEGMENT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guard.h"
#include "segment.h"

static struct owner_page model_page;
struct owner_page *owner_page = &model_page;

static inline void model_open(void)
{
	char dir[] = "/dev/shm/mtrace-model.XXXXXX";
	struct segment_request request = {.dir = mkdtemp(dir), .cap_bytes = 64 << 20};
	if (!request.dir || segment_create(&request) != SEGMENT_OK) {
		fprintf(stderr, "model: no segment in /dev/shm\n");
		exit(2);
	}
	unlink(segment.path);
	rmdir(dir);
	model_page.generation = 1ull << 32 | 1; /* the first epoch */
}

#endif
