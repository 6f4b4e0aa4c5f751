/* watch: see watch.h. */
#include "gate/watch.h"

#include <stdlib.h>

#include "die.h"
#include "symbols/symbols.h"

static bool is_watched(const struct watch *w, ino_t inode)
{
	for (size_t i = 0; i < w->count; i++)
		if (w->inodes[i] == inode)
			return true;
	return false;
}

static void begin(struct watch *w, const struct collect_segment *segment)
{
	struct read_error error = {""};
	struct observe *o = calloc(1, sizeof *o);
	if (!o)
		die(2, "out of memory");
	if (observe_begin(o, segment->path, &error) != 0) {
		observe_free(o);
		free(o);
		return;
	}
	o->growth.by_steps = w->by_steps;
	w->inodes[w->count] = segment->inode;
	w->observed[w->count++] = o;
}

void watch_begin(struct watch *w, struct launch *l)
{
	size_t missed = 0;
	collect_scan(&l->collect);
	for (size_t i = 0; i < l->collect.count; i++) {
		if (!l->collect.segments[i].alive || is_watched(w, l->collect.segments[i].inode))
			continue;
		if (w->count < WATCH_MOST)
			begin(w, &l->collect.segments[i]);
		else
			missed++;
	}
	w->missed = missed > w->missed ? missed : w->missed;
}

void watch_take(struct watch *w, struct launch *l, uint64_t step)
{
	watch_begin(w, l);
	for (size_t i = 0; i < w->count; i++) {
		struct observe *o = w->observed[i];
		o->step = step;
		if (o->alive)
			observe_take(o);
	}
}

void watch_judge(struct watch *w, const struct gate_plan *plan, struct judge *j)
{
	struct read_error error = {""};
	struct symbols_result result = {0};
	for (size_t i = 0; i < w->count; i++) {
		w->profiles[i] = observe_now(w->observed[i], &error);
		if (!w->profiles[i])
			continue;
		struct symbols_options options = {.pid = w->observed[i]->alive ? w->observed[i]->running.pid : 0};
		symbols_resolve(w->profiles[i], &options, &result);
		judge_observed(plan, w->observed[i], w->profiles[i], j);
	}
	j->processes = w->count + w->missed;
}

void watch_free(struct watch *w)
{
	for (size_t i = 0; i < w->count; i++) {
		observe_free(w->observed[i]);
		free(w->observed[i]);
		profile_free(w->profiles[i]);
	}
	w->count = 0;
}
