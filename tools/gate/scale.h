/*
 * scale: the same command with more and less work, and no marks: what is left at the end and grows with the work is a leak,
 * what does not is start-up. For programs that have no loop to put a mark into, as test suites with --repeat.
 */
#ifndef MTRACE_GATE_SCALE_H
#define MTRACE_GATE_SCALE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gate/baseline.h"
#include "gate/launch.h"

enum { SCALE_MOST = 8, SCALE_NAME_BYTES = 64 };

struct scale {
	char name[SCALE_NAME_BYTES];
	uint64_t values[SCALE_MOST];          /* ascending */
	size_t count;
	struct launch runs[SCALE_MOST];
	struct baseline left[SCALE_MOST];     /* at the end of each */
	size_t done;
};

/* "N={1,4}" or "N=1,4": two values or more. false: it is none. */
bool scale_take(struct scale *s, const char *text);

/* `argv` with $N and ${N} replaced; N is put into the environment as well. Freed by scale_free_arguments. */
char **scale_arguments(const struct scale *s, size_t run, char **argv);
void scale_free_arguments(char **argv);

/* Is what is left of it more with each more work, by one block or one byte to a unit at least? */
struct scale_growth {
	double blocks, bytes; /* per unit */
	bool grows;
};
struct scale_growth scale_growth_of(const struct scale *s, const char *identity);

void scale_free(struct scale *s);

#endif
