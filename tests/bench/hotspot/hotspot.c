/*
 * hotspot: malloc and free at once beneath Java frames: `hotspot PAIRS FRAMES CHAINS [HOW]`.
 *
 * CHAINS chains of FRAMES methods each are called in turn, one pair a call: with one, the stack is always the same; with
 * two, no Java frame is where it was at the pair before; with many, more methods are in use than a thread remembers.
 * HOW: replace (every hundredth pair another method's code comes to lie where the outermost one's was), unload (the outermost
 * is interpreted, and every hundredth pair another hidden class's method is at its place), lie (half way, the frames of the
 * second method become larger though its code is the same), barrier (the innermost method is held up at its
 * entry), spill (it calls from a barrier in its midst), the name of a field (_frame_size) that its tables do not have, or
 * pairs (the default). Blocks are kept unless it is pairs. Prints ns per pair of the quickest thousand, on stderr.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hotspot.h"

enum { FRAMES_MOST = 64, CHAINS_MOST = 64, REPLACED_EACH = 100, BATCH = 1000 };

static struct blob *outermost[CHAINS_MOST], *second[CHAINS_MOST];

static void make_chain(long chain, long frames, const char *how)
{
	void (*leaf)(void) = hotspot_leaf;
	const void *calls;
	memcpy(&calls, &leaf, sizeof calls);
	if (!strcmp(how, "barrier"))
		calls = hotspot_barrier(calls);
	for (long i = frames; i-- > 0;) {
		char name[24];
		snprintf(name, sizeof name, "m%ld_%ld", chain, i);
		second[chain] = outermost[chain];
		bool spills = i == frames - 1 && !strcmp(how, "spill");
		outermost[chain] = spills ? hotspot_spill(name, calls) : hotspot_compile(name, calls);
		calls = hotspot_entry(outermost[chain]);
	}
}

static void change(const char *how, long pair, long pairs)
{
	char name[24];
	if (!strcmp(how, "replace") && pair % REPLACED_EACH == 0) {
		snprintf(name, sizeof name, "r%ld", pair / REPLACED_EACH);
		hotspot_replace(outermost[0], name);
	}
	if (!strcmp(how, "unload") && pair % REPLACED_EACH == 0) {
		snprintf(name, sizeof name, "u%ld", pair / REPLACED_EACH);
		hotspot_unload(name);
	}
	if (!strcmp(how, "lie") && pair == pairs / 2)
		hotspot_lie(second[0], 2);
}

/* Pairs from `from` on, BATCH at most; the seconds they took. */
static double take(const char *how, long from, long pairs, long chains)
{
	struct timespec begin, end;
	int keep = strcmp(how, "pairs") != 0;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (long i = from; i < from + BATCH && i < pairs; i++) {
		if (keep)
			change(how, i, pairs);
		hotspot_call(outermost[i % chains], keep);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	return (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
}

int main(int argc, char **argv)
{
	const char *how = argc == 5 ? argv[4] : "pairs";
	long pairs = argc >= 4 ? atol(argv[1]) : 0, frames = argc >= 4 ? atol(argv[2]) : 0,
	     chains = argc >= 4 ? atol(argv[3]) : 0;
	if (pairs < 1 || frames < 2 || frames > FRAMES_MOST || chains < 1 || chains > CHAINS_MOST)
		return 2;
	if (how[0] == '_')
		hotspot_forget(how);
	hotspot_start();
	for (long i = 0; i < chains; i++)
		make_chain(i, frames, how);
	if (!strcmp(how, "unload"))
		hotspot_interpret("u0");
	double least = 1e9;
	for (long i = 0; i < pairs; i += BATCH)
		least = fmin(least, take(how, i, pairs, chains));
	fprintf(stderr, "%.1f ns/pair at best\n", least * 1e9 / BATCH);
	return 0;
}
