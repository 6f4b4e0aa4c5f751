/*
 * past: windows of a process from what its own record remembers (history.h): so that what nobody watched has verdicts,
 * also after its death. Pure.
 */
#ifndef MTRACE_PAST_H
#define MTRACE_PAST_H

#include <stdbool.h>

#include "model/growth.h"
#include "model/profile.h"

/* Fills `growth`, to be freed; series are indices in process->stacks. `on_mark`: windows end at the marks of that name; NULL:
   at the boundaries of time, the last one now. Stacks of which the first window is not known are not put. false: fewer
   windows than verdicts take. */
bool past_windows(const struct profile_process *process, const char *on_mark, struct growth *growth);

#endif
