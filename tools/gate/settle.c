/* settle: see settle.h. */
#include "gate/settle.h"

#include <stdlib.h>

#include "die.h"
#include "format.h"

/* A finalizer's thread may take that long to be woken on a machine that is busy. */
#define LOOK_NS 25000000u
enum { LOOKS_CALM = 6 };

/* ---- what is live ---- */

static uint64_t live_of(const struct settle_process *p, size_t id)
{
	return p->now.kinds[id] == MTRACE_KIND_MALLOC ? p->now.rows[id].live_bytes : 0;
}

/* Live bytes of malloc, of all processes together. */
static uint64_t look(struct settle *s, const struct watch *w)
{
	uint64_t live = 0;
	for (size_t i = 0; i < w->count; i++) {
		struct settle_process *p = &s->of[i];
		p->is_read = read_instant(w->observed[i]->running.fd, &p->now) == 0;
		for (size_t id = 1; p->is_read && id < p->now.row_count; id++)
			live += live_of(p, id);
	}
	return live;
}

/* ---- what went ---- */

static void make_room(struct settle_process *p, size_t rows)
{
	if (rows <= p->count)
		return;
	p->went = reallocarray(p->went, rows, sizeof *p->went);
	if (!p->went)
		die(2, "out of memory for the counts of %zu stacks", rows);
	for (; p->count < rows; p->count++)
		p->went[p->count] = 0;
}

static void add(struct settle_process *p, int64_t sign)
{
	make_room(p, p->now.row_count);
	for (size_t id = 1; id < p->now.row_count; id++)
		p->went[id] += sign * (int64_t)live_of(p, id);
}

static void begin(struct settle *s, const struct watch *w)
{
	(void)look(s, w);
	for (size_t i = 0; i < w->count; i++) {
		struct settle_process *p = &s->of[i];
		p->is_counted = p->is_read;
		if (p->is_counted)
			add(p, 1);
	}
}

static void end(struct settle *s, const struct watch *w)
{
	for (size_t i = 0; i < w->count; i++) {
		struct settle_process *p = &s->of[i];
		if (p->is_counted && p->is_read)
			add(p, -1);
		else
			p->is_lost |= p->is_counted;
	}
}

/* ---- the wait ---- */

/* Until nothing has fallen for some looks; false: it ended, or there was no more time. */
static bool wait_calm(struct settle *s, const struct watch *w, struct launch *l)
{
	uint64_t deadline = launch_now_ns() + SETTLE_SECONDS * 1000000000ull, lowest = look(s, w);
	unsigned calm = 0;
	while (calm < LOOKS_CALM) {
		if (launch_now_ns() > deadline || !launch_wait(l, launch_now_ns() + LOOK_NS))
			return false;
		uint64_t live = look(s, w);
		calm = live < lowest ? 0 : calm + 1;
		lowest = live < lowest ? live : lowest;
	}
	return true;
}

int settle_run(struct settle *s, struct watch *w, struct launch *l, const char *command)
{
	watch_begin(w, l);
	begin(s, w);
	int status = launch_help(l, command);
	if (status)
		return status;
	s->restless += !wait_calm(s, w, l) && !l->ended;
	s->times++;
	end(s, w);
	return 0;
}

/* ---- whose it was ---- */

static void tell(const struct settle_process *p, struct judge_case *c)
{
	const struct profile_process *process = c->process;
	int64_t *of_stack = calloc(process->stack_count + 1, sizeof *of_stack), most = 0;
	if (!of_stack)
		die(2, "out of memory");
	for (size_t id = 1; id < p->count && id < process->row_count; id++)
		if (process->stack_of_row[id] < process->stack_count)
			of_stack[process->stack_of_row[id]] += p->went[id];
	for (uint32_t i = 0; i < process->stack_count; i++) {
		if (of_stack[i] <= 0)
			continue;
		c->settled_bytes += (uint64_t)of_stack[i];
		c->settled_stacks++;
		if (of_stack[i] <= most)
			continue;
		most = of_stack[i];
		c->settled_most = &process->stacks[i];
	}
	free(of_stack);
}

void settle_tell(const struct settle *s, const struct watch *w, struct judge *j)
{
	j->settled = s->times;
	j->restless = s->restless;
	for (size_t k = 0; k < j->count; k++)
		for (size_t i = 0; i < w->count; i++)
			if (w->profiles[i] == j->cases[k].profile && !s->of[i].is_lost)
				tell(&s->of[i], &j->cases[k]);
}

void settle_free(struct settle *s)
{
	for (size_t i = 0; i < WATCH_MOST; i++) {
		read_instant_free(&s->of[i].now);
		free(s->of[i].went);
		s->of[i].went = NULL;
		s->of[i].count = 0;
	}
}
