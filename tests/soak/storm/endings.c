/* endings: the ways to end. */
#include "storm.h"

#include <stdatomic.h>

static const char *ending;
static struct truth_block kept_to_the_end[64];

TRUTH_FUNCTION void truth_at_exit(void)
{
	for (int i = 0; i < 64; i++) {
		if (i % 2)
			truth_free(kept_to_the_end[i]);
		kept_to_the_end[i] = truth_take(TAKE_ATEXIT, 100 + (unsigned)i);
	}
	truth->complete = !strcmp(ending, "quick_exit");
	truth_stay();
}

/* The last code of the program itself that runs. */
__attribute__((destructor)) TRUTH_FUNCTION void truth_fini(void)
{
	if (!ending || getpid() != (pid_t)truth->pid)
		return;
	for (int i = 0; i < 20; i++) {
		truth_free(kept_to_the_end[i]);
		kept_to_the_end[i] = truth_take(TAKE_FINI, 200);
	}
	truth->complete = 1;
	truth_stay();
}

TRUTH_FUNCTION void truth_main(void)
{
	for (int i = 0; i < 64; i++)
		kept_to_the_end[i] = truth_take(TAKE_MAIN, 50 + (unsigned)i);
	truth_stay();
}

/* Not truth_end_process: it would be a frame of the paths of at_exit and fini. */
static void end_by(const char *how)
{
	ending = how;
	truth_main();
	atexit(truth_at_exit);
	at_quick_exit(truth_at_exit);
	if (strcmp(how, "exit") && strcmp(how, "quick_exit"))
		truth->complete = 1; /* nothing more happens */
	if (!strcmp(how, "exit"))
		exit(7);
	if (!strcmp(how, "_exit"))
		_exit(8);
	if (!strcmp(how, "quick_exit"))
		quick_exit(9);
	abort();
}

void storm_exit(void) { end_by("exit"); }
void storm__exit(void) { end_by("_exit"); }
void storm_quick_exit(void) { end_by("quick_exit"); }
void storm_abort(void) { end_by("abort"); }

/* Other threads at full load when the process ends: they go on while the end is written down. */
static void *end_soon(void *unused)
{
	usleep(30000);
	_exit(8);
	return unused;
}

void storm_exit_under_load(void)
{
	run(4, (void *(*const[])(void *)){end_soon}, 1);
}
