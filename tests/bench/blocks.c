/*
 * blocks: many live blocks of one size, then some of them replaced at random: `blocks LIVE BYTES OPERATIONS`. Prints ns
 * per replacement and its own peak of resident memory, and ends with all of them live: what the record of so many blocks
 * costs in time and memory.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state >> 16;
}

__attribute__((noipa)) static char *allocate(size_t bytes)
{
	char *block = malloc(bytes);
	if (!block)
		abort();
	memset(block, 1, bytes);
	return block;
}

__attribute__((noipa)) static void replace(char **blocks, size_t live, size_t bytes, size_t times)
{
	uint64_t random = 0x9e3779b97f4a7c15ull;
	for (size_t i = 0; i < times; i++) {
		size_t at = next_random(&random) % live;
		free(blocks[at]);
		blocks[at] = allocate(bytes);
	}
}

/* "peak N kB": from /proc, since rusage's would count what the process was before it was this program. */
static void print_peak(void)
{
	char text[4096];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
	text[n > 0 ? n : 0] = 0;
	const char *line = strstr(text, "VmHWM:");
	if (line)
		fprintf(stderr, "peak %lu kB\n", strtoul(line + strlen("VmHWM:"), NULL, 10));
}

int main(int argc, char **argv)
{
	size_t live = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
	size_t bytes = argc > 2 ? strtoul(argv[2], NULL, 10) : 64;
	size_t operations = argc > 3 ? strtoul(argv[3], NULL, 10) : 1000000;
	if (live == 0)
		return 2;
	char **blocks = calloc(live, sizeof *blocks);
	if (!blocks)
		return 2;
	for (size_t i = 0; i < live; i++)
		blocks[i] = allocate(bytes);
	struct timespec begin, end;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	replace(blocks, live, bytes, operations);
	clock_gettime(CLOCK_MONOTONIC, &end);
	double ns = (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
	if (operations)
		fprintf(stderr, "%.2f ns/op\n", ns / (double)operations);
	print_peak();
	puts("live");
	fflush(stdout);
	_Exit(0);
}
