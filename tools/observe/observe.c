/*
 * observe: see observe.h. How old freed blocks were: of the blocks live at one walk, those that the next one does not
 * find were freed in between, and were born before. Single blocks need not be kept for that: born before and still live is
 * what the table says by itself.
 */
#include "observe/observe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "die.h"
#include "model/profile.h"

enum { WALK_SHARE = 20 };          /* a walk may take that part of the time until the next */
#define WALK_LEAST_NS 500000000u   /* births are known to a sixteenth of a second: nearer walks would not see ages */

int observe_begin(struct observe *o, const char *target, struct read_error *error)
{
	memset(o, 0, sizeof *o);
	growth_init(&o->growth);
	o->growth.has_flow = true;
	o->alive = true;
	return read_open_running(target, &o->running, error);
}

/* ---- ages of what was freed ---- */

static uint64_t clock_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool is_time_to_walk(const struct observe *o)
{
	uint64_t since = clock_ns() - o->walk_clock_ns;
	return o->walks == 0 || (since >= WALK_LEAST_NS && since >= WALK_SHARE * o->walk_cost_ns);
}

static void make_room(struct observe *o, size_t rows)
{
	if (rows <= o->row_count)
		return;
	o->tabled = reallocarray(o->tabled, rows, sizeof *o->tabled);
	o->aged = reallocarray(o->aged, rows, sizeof *o->aged);
	if (!o->tabled || !o->aged)
		die(2, "out of memory for the counts of %zu stacks", rows);
	for (; o->row_count < rows; o->row_count++)
		o->tabled[o->row_count] = o->aged[o->row_count] = 0;
}

static void count_aged(struct observe *o)
{
	const struct read_instant *now = &o->instant;
	make_room(o, now->row_count);
	for (size_t id = 1; id < now->row_count; id++) {
		if (o->walks && o->tabled[id] > now->rows[id].old_blocks)
			o->aged[id] += o->tabled[id] - now->rows[id].old_blocks;
		o->tabled[id] = now->rows[id].tabled_blocks;
		if (o->aged[id])
			growth_put_aged(&o->growth, id, o->aged[id]);
	}
	o->walked_ns = now->time_ns;
	o->walk_clock_ns = clock_ns();
	o->walk_cost_ns = now->cost_ns;
	o->growth.has_aged = ++o->walks > 1;
}

/* ---- instants ---- */

/* false: nothing could be read, as of a file that was truncated. */
static bool read_now(struct observe *o, bool walk)
{
	struct read_instant *now = &o->instant;
	now->walk = walk;
	now->born_before_ns = o->walked_ns;
	if (read_instant(o->running.fd, now) != 0)
		return o->alive = false;
	o->alive = now->alive;
	o->cost_ns += now->cost_ns;
	return true;
}

static void put_all(struct observe *o)
{
	for (size_t id = 1; id < o->instant.row_count; id++) {
		const struct read_row *row = &o->instant.rows[id];
		if (row->alloc_blocks || row->live_blocks)
			growth_put(&o->growth, id, &(struct growth_counts){row->live_bytes, row->live_blocks, row->alloc_blocks,
			                                                   row->freed_blocks});
	}
}

bool observe_take(struct observe *o)
{
	struct read_instant *now = &o->instant;
	if (!read_now(o, is_time_to_walk(o)))
		return false;
	uint64_t rss = now->alive && o->running.pid ? read_resident(o->running.pid) : 0;
	if (!growth_begin(&o->growth, &(struct growth_instant){now->time_ns, rss, now->committed_bytes, o->step}))
		return o->alive; /* it had ended before: there is nothing newer */
	put_all(o);
	if (o->growth.count == 1 && now->alive && o->running.pid)
		areas_begin(&o->areas, o->running.pid);
	if (now->walk)
		count_aged(o);
	return o->alive;
}

bool observe_is_alive(const struct observe *o)
{
	return read_is_running(o->running.fd);
}

/* ---- what it is by now ---- */

struct profile *observe_now(struct observe *o, struct read_error *error)
{
	if (read_now(o, true))
		count_aged(o);
	struct profile *p = profile_new();
	struct read_error ignored;
	if (read_segment_fd(o->running.fd, o->running.name, p, &o->alive, error) != 0) {
		profile_free(p);
		return NULL;
	}
	if (o->alive && o->running.pid)
		read_outside_ledger(o->running.pid, p, &p->processes[0], &ignored);
	if (o->alive && o->running.pid)
		areas_end(&o->areas, o->running.pid);
	return p;
}

void observe_judge(struct observe *o, const struct profile *profile, leaks_labeller *label, struct leaks *leaks)
{
	const struct profile_process *process = &profile->processes[0];
	uint32_t *stack_of = calloc(o->growth.series_count + 1, sizeof *stack_of);
	if (!stack_of)
		die(2, "out of memory");
	for (size_t i = 0; i < o->growth.series_count; i++)
		stack_of[i] = i < process->row_count ? process->stack_of_row[i] : GROWTH_NO_GROUP;
	areas_measure(&o->areas, process, &o->growth);
	leaks_judge(&o->growth, stack_of, process, label, leaks);
	free(stack_of);
}

void observe_free(struct observe *o)
{
	if (o->running.fd >= 0)
		close(o->running.fd);
	read_instant_free(&o->instant);
	areas_free(&o->areas);
	growth_free(&o->growth);
	free(o->tabled);
	free(o->aged);
	memset(o, 0, sizeof *o);
	o->running.fd = -1;
}
