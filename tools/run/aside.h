/*
 * aside: the variables by which the user changes what the command runs on (LD_PRELOAD, LD_AUDIT, MALLOC_…) would
 * change `mtrace run` as well, and the processes that it forks to read and to save: another allocator in there
 * remembers descriptors that they close, another library may start threads. They are the command's alone.
 *
 * Called by main, before `run` begins, and in the child that becomes the command.
 */
#ifndef MTRACE_RUN_ASIDE_H
#define MTRACE_RUN_ASIDE_H

/* When any is set: executes this program anew, in the same process, with `argv` and with those variables put aside
   under other names. Returns when there is nothing to put aside, or when it cannot be done: then all is as before. */
void aside_put(char **argv);

/* Gives them back their names, values and places in the environment. */
void aside_take_back(void);

#endif
