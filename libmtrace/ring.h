/*
 * ring: the news in the segment, newest over oldest: threads, modules, marks, forks, large mappings, a sample a second,
 * rows that grow, tables that fill. The tracker and boot put records in; `mtrace follow` prints them, and the last ones
 * are there after any death. Nothing else depends on them: a report is the same whatever the ring holds.
 *
 * A full ring overwrites its oldest record: after a death the last ones are wanted, and a reader that is slow or not
 * there is the normal case. Readers map the file read-only and keep their own position; they see from the numbers how
 * many records they lost. What a busy kind would push out of the ring is held back by a bound per kind and second.
 *
 * A writer takes a number, takes that number's slot by compare-and-swap to "busy", fills it, and stores "not busy".
 *
 * Guarantees
 *   N1 one writer per slot: it is filled only by who made it busy. Who finds it busy (its writer was preempted for a
 *      whole round, interrupted by us, killed or jumped out of) or used by a later number leaves it alone and tries
 *      the next number: at most RING_TRIES of them, then the record is counted in ring_unfinished.
 *   N2 a slot's state only grows, and its number is never used twice: a copy taken between two equal looks at a state
 *      that is not busy is one whole record. `check` says the same of copies whose order of loads is not known.
 *   N3 a slot whose writer was killed stays busy and is never shown; it costs one record per round, whose writer goes on
 *      to the next number.
 *   N4 one writer's records have rising numbers. Between threads the number says who came first.
 *   N5 what a record names (module, row, mark) was published before the record was.
 * N1 to N3 are gone through in every order of the steps with three preemptions, kills among them (tests/model); the orders of
 * memory below by TSan and by hand.
 *
 *   word            | writers                | readers          | order
 *   next (private)  | any thread, fetch_add  | any thread       | relaxed: only has to be unique
 *   head->next      | any thread, fetch_add  | other processes  | relaxed, before the private one: never below it
 *   state -> busy   | CAS                    | any thread       | acquire: the former record's words before ours (pairs: commit);
 *                   |                        |                  | then a release fence: readers see busy before any new word
 *   words           | who made it busy       | other processes  | relaxed, between the two stores of state
 *   state, commit   | who made it busy       | any              | release: the words before it
 *
 *   two at once         | another writer                      | a reader                 | kill -9
 *   a writer, same slot | one has it, one goes on (N1)        | busy, or whole (N2)      | busy for good (N3)
 *   a writer, elsewhere | nothing shared but next             | whole                    | at most one busy slot a thread
 *
 * Wait-free but for the bounded tries; async-signal-safe, re-entrant; no system call but the growth of the region. Bound:
 * ring= bytes, and less when the segment cannot grow: then the slots that are there make the round.
 */
#ifndef MTRACE_RING_H
#define MTRACE_RING_H

#include <stdint.h>

#include "format.h"

enum { RING_TRIES = 4 };
#define RING_LARGE_BYTES (1ull << 20)  /* mappings below it are no news */
#define RING_GROW_LEAST (1ull << 20)   /* powers of two that a row's live bytes are watched for begin here */

/* Once per process, after the segment is there. Without room for it everything put is counted in ring_unfinished. */
void ring_init(void);

struct ring_record {
	enum mtrace_ring_kind kind;
	uint32_t thread;   /* id of who puts it, 0 unknown */
	uint32_t subject;  /* as ring.def says */
	uint64_t value[4]; /* the same */
};
void ring_put(const struct ring_record *record);

/* `name` as two values of form text. */
void ring_text(uint64_t value[2], const char *name);

/* What nobody else would say: a sample of the process's live bytes when a second has passed since the last one, and
   tables that fill, and drops that have begun. One load while the second lasts. `tick`: the thread's idea of now. */
void ring_watch(uint32_t thread, uint64_t tick);

/* The same at once, whatever the time: before the end. */
void ring_watch_now(uint32_t thread, uint64_t tick);

/* The highest power of two, RING_GROW_LEAST at least, that lies above `was` and not above `now`. 0: none. */
static inline uint64_t ring_power_crossed(uint64_t was, uint64_t now)
{
	if (now < RING_GROW_LEAST)
		return 0;
	uint64_t power = 1ull << (63 - __builtin_clzll(now));
	return power > was ? power : 0;
}

/* A row's live bytes went from `was` to `now`: news when they crossed a power of two upwards. */
void ring_put_grow(uint32_t row, uint64_t was, uint64_t now);

#endif
