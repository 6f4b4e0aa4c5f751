/*
 * victim_resident: a service that stays: it keeps one block more every few milliseconds, from resident_keep, until it is killed.
 * `victim_resident READY_FILE` writes a line there once it has begun.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void *volatile kept;

__attribute__((noipa)) static void resident_keep(void)
{
	kept = malloc(1000);
	__asm__ volatile("" ::: "memory");
}

int main(int argc, char **argv)
{
	for (int i = 0; i < 100; i++)
		resident_keep();
	FILE *ready = argc > 1 ? fopen(argv[1], "w") : NULL;
	if (!ready || fputs("ready\n", ready) < 0 || fclose(ready) != 0)
		return 2;
	for (;;) {
		resident_keep();
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
}
