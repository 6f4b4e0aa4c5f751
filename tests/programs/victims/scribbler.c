/*
 * scribbler: a second writer: maps a segment and writes random words into what is in use of it, until the file DONE is there:
 * `scribbler SEGMENT DONE SEED`. Small values, values that look like ids, and single bits; everywhere but in the header's
 * first page and, of three writes, one in it as well.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format.h"

static uint64_t state;

static uint64_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

static uint64_t word(uint64_t was)
{
	switch (draw() % 4) {
	case 0: return draw();
	case 1: return draw() % 4096;
	case 2: return was ^ 1ull << draw() % 64;
	default: return (draw() % 65536) << 32 | draw() % 65536;
	}
}

int main(int argc, char **argv)
{
	struct stat status;
	int fd = argc > 3 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0 || fstat(fd, &status))
		return 2;
	state = strtoull(argv[3], NULL, 10) * 0x9e3779b97f4a7c15u | 1;
	char *base = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return 2;
	struct mtrace_header pristine;
	if (pread(fd, &pristine, sizeof pristine, 0) != sizeof pristine)
		return 2;
	for (uint64_t i = 0; i % 1024 || access(argv[2], F_OK); i++) {
		const struct mtrace_region *r = &pristine.regions[draw() % MTRACE_REGION_COUNT];
		uint64_t bytes = r->committed_bytes, at = r->offset;
		if (draw() % 3 == 0) {
			at = 0;
			bytes = MTRACE_REGIONS_OFFSET;
		}
		if (!bytes)
			continue;
		if (draw() % 2 && bytes > 4096)
			bytes = 4096; /* where most is */
		volatile uint64_t *to = (volatile uint64_t *)(void *)(base + at + draw() % bytes / 8 * 8);
		*to = word(*to);
		if (i % 64 == 0)
			usleep(20);
	}
	return 0;
}
