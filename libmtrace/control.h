/*
 * control: commands that `mtrace` writes into the segment's control page (format.h), carried out by the first hook that
 * looks at the clock and finds one; in a process that is asleep, by the first hook. What is written there is hostile: a
 * name or a number is all that is taken from it.
 *
 * Each sequence is carried out once, whoever sees it first; killed half way, it is not said to be taken. Lock-free,
 * async-signal-safe; one load a look while there is nothing new.
 */
#ifndef MTRACE_CONTROL_H
#define MTRACE_CONTROL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "segment.h"

extern _Atomic uint32_t control_begun SHIM_OWN; /* the last sequence that somebody began to carry out */

void control_init(void);

/* `mark` makes one: the caller knows whom to tell. */
void control_look(void (*mark)(const char *name, uint32_t flags));

/* Records nothing from here on, until it is woken; events that are under way finish. Children that it forks know. */
void control_sleep(void);
void control_wake(void); /* it does again: told before it is so */
bool control_is_asleep(void);

/* Is there a command? One load of a line that nobody writes meanwhile. */
static inline bool control_has_news(void)
{
	return unlikely(atomic_load_explicit(&segment.control->sequence, memory_order_acquire) !=
			atomic_load_explicit(&control_begun, memory_order_relaxed));
}

/* While asleep: is it the command to wake? true for one caller, who then says control_done when that is so. Any other
   command is as good as taken. */
bool control_take_wake(uint32_t *sequence);
void control_done(uint32_t sequence);

#endif
