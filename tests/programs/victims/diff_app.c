/*
 * diff_app: a program in two versions, built by diff.sh (VERSION 1 and 2): what it holds at its end is known, by function,
 * in bytes. The second has other code before everything, so that every offset moves, one function more, one less, and
 * one that grew. `diff_app FILE` tells its pid there and waits at "ready" for each line of stdin: each makes `grows` hold
 * 100 blocks more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEEP __attribute__((noinline, noclone))

static void *volatile held;

#if VERSION == 2
KEEP static unsigned long padding(const char *s)
{
	unsigned long h = 5381;
	while (*s)
		h = h * 33 + (unsigned char)*s++;
	return h;
}
#endif

KEEP static void hold(size_t size)
{
	held = malloc(size);
	memset(held, 1, size);
}

KEEP static void stays(void)
{
	for (int i = 0; i < 10; i++)
		hold(1000);
	held = NULL;
}

/* Two places in one function: their stacks have the same list of names. */
KEEP static void twice(void)
{
	hold(300);
	held = NULL;
	hold(VERSION == 2 ? 700 : 500);
	held = NULL;
}

KEEP static void grows(int blocks)
{
	for (int i = 0; i < blocks; i++)
		hold(64);
	held = NULL;
}

#if VERSION == 1
KEEP static void goes(void)
{
	hold(4444);
	held = NULL;
}
#else
KEEP static void comes(void)
{
	hold(7777);
	held = NULL;
}
#endif

int main(int argc, char **argv)
{
	char line[64];
#if VERSION == 2
	if (padding(argv[0]) == 1)
		return 9;
	comes();
#else
	goes();
#endif
	stays();
	twice();
	grows(VERSION == 2 ? 1500 : 1000);
	if (argc < 2)
		_exit(0);
	for (int more = 1; more; more = read(0, line, sizeof line) > 0) {
		grows(100);
		FILE *to = fopen(argv[1], "a");
		if (!to)
			return 8;
		fprintf(to, "ready\n");
		fclose(to);
	}
	_exit(0);
}
