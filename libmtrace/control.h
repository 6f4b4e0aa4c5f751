/*
 * control: commands that `mtrace` writes into the segment's control page (format.h), carried out by the first hook that
 * looks at the clock and finds one. What is written there is hostile: a name or a number is all that is taken from it.
 *
 * Each sequence is carried out once, whoever sees it first; killed half way, it is not said to be taken. Lock-free,
 * async-signal-safe; one load a look while there is nothing new.
 */
#ifndef MTRACE_CONTROL_H
#define MTRACE_CONTROL_H

#include <stdint.h>

void control_init(void);

/* `mark` makes one: the caller knows whom to tell. */
void control_look(void (*mark)(const char *name, uint32_t flags));

#endif
