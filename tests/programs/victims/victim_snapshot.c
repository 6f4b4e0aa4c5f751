/*
 * victim_snapshot TAG FILE [TAG FILE]… [LAST]: allocates 1000 bytes more each time, asks for a snapshot under TAG, and
 * goes on when FILE is there (20 s at most: status 3). LAST is asked for at the very end, without waiting.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "mtrace.h"

static char *volatile held[16];

__attribute__((noinline)) static void hold(int i)
{
	held[i] = malloc(1000);
}

static int wait_for(const char *file)
{
	for (int i = 0; i < 2000; i++) {
		if (access(file, F_OK) == 0)
			return 1;
		usleep(10000);
	}
	return 0;
}

int main(int argc, char **argv)
{
	int i = 1;
	for (; i + 1 < argc && i < 30; i += 2) {
		hold(i / 2);
		mtrace_snapshot(argv[i]);
		if (!wait_for(argv[i + 1]))
			return 3;
	}
	puts("went on");
	if (i < argc)
		mtrace_snapshot(argv[i]);
	return 0;
}
