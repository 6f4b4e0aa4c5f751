/*
 * moments: see moments.h. Stacks are joined by their ids: within one process equal ids are equal stacks, and one that was
 * ever seen stays in every later recording.
 */
#include "observe/moments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "die.h"
#include "model/profile.h"

struct count {
	uint64_t id;
	struct growth_counts counts;
};

struct moment {
	struct growth_instant instant;
	struct count *counts;
	uint32_t count;
};

struct reading {
	struct moment *moments;
	size_t count;
	struct profile *latest;
	uint64_t latest_ns;
};

static bool is_same(const struct profile_process *a, const struct profile_process *b)
{
	return a->pid == b->pid && a->start_time == b->start_time && a->image == b->image;
}

/* Its process among those of a recording, put first; false: it is not there. */
static bool find_process(struct profile *p, const struct profile *like)
{
	for (uint32_t i = 0; i < p->process_count; i++) {
		if (!is_same(&p->processes[i], &like->processes[0]))
			continue;
		struct profile_process first = p->processes[0];
		p->processes[0] = p->processes[i];
		p->processes[i] = first;
		return true;
	}
	return false;
}

static void take_counts(const struct profile_process *process, struct moment *m)
{
	*m = (struct moment){.instant = {process->lived_ns, process->rss_bytes, process->tracker_bytes, 0},
	                     .counts = calloc(process->stack_count + 1, sizeof *m->counts),
	                     .count = process->stack_count};
	if (!m->counts)
		die(2, "out of memory");
	for (uint32_t i = 0; i < process->stack_count; i++) {
		const struct profile_counts *c = &process->stacks[i].counts;
		m->counts[i] = (struct count){process->stacks[i].id,
		                              {c->live_bytes, c->live_blocks, c->alloc_blocks, c->freed_blocks}};
	}
}

static bool add_one(struct reading *r, const char *target, const char *first, struct read_error *error)
{
	struct profile *p = profile_new();
	if (read_target(target, p, error) != 0) {
		profile_free(p);
		return false;
	}
	if (p->process_count == 0 || p->processes[0].mode == PROFILE_OUTSIDE ||
	    (r->latest && !find_process(p, r->latest))) {
		snprintf(error->text, sizeof error->text, "%.200s is not of the same process as %.200s: windows are between recordings "
		         "of one process; `mtrace diff` compares others", target, first);
		profile_free(p);
		return false;
	}
	take_counts(&p->processes[0], &r->moments[r->count]);
	uint64_t time = r->moments[r->count++].instant.time_ns;
	if (r->latest && time <= r->latest_ns) {
		profile_free(p);
		return true;
	}
	profile_free(r->latest);
	r->latest = p;
	r->latest_ns = time;
	return true;
}

static int by_time(const void *a, const void *b)
{
	uint64_t x = ((const struct moment *)a)->instant.time_ns, y = ((const struct moment *)b)->instant.time_ns;
	return (x > y) - (x < y);
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct count *)a)->id, y = ((const struct count *)b)->id;
	return (x > y) - (x < y);
}

/* Ids of the latest's stacks, sorted, with their index in counts.live_bytes. */
static struct count *index_stacks(const struct profile_process *process)
{
	struct count *index = calloc(process->stack_count + 1, sizeof *index);
	if (!index)
		die(2, "out of memory");
	for (uint32_t i = 0; i < process->stack_count; i++)
		index[i] = (struct count){process->stacks[i].id, {.live_bytes = i}};
	qsort(index, process->stack_count, sizeof *index, by_id);
	return index;
}

static void put_all(struct reading *r, struct growth *growth)
{
	const struct profile_process *process = &r->latest->processes[0];
	struct count *index = index_stacks(process);
	qsort(r->moments, r->count, sizeof *r->moments, by_time);
	growth_init(growth);
	growth->has_flow = true;
	for (size_t i = 0; i < r->count; i++) {
		const struct moment *m = &r->moments[i];
		if (!growth_begin(growth, &m->instant))
			continue; /* given twice */
		for (uint32_t k = 0; k < m->count; k++) {
			const struct count *found =
				bsearch(&m->counts[k], index, process->stack_count, sizeof *index, by_id);
			if (found)
				growth_put(growth, found->counts.live_bytes, &m->counts[k].counts);
		}
	}
	free(index);
}

struct profile *moments_read(const char *const *targets, size_t count, struct growth *growth, struct read_error *error)
{
	struct reading r = {.moments = calloc(count + 1, sizeof *r.moments)};
	bool good = true;
	if (!r.moments)
		die(2, "out of memory");
	for (size_t i = 0; i < count && good; i++)
		good = add_one(&r, targets[i], targets[0], error);
	if (good)
		put_all(&r, growth);
	for (size_t i = 0; i < r.count; i++)
		free(r.moments[i].counts);
	free(r.moments);
	if (good)
		return r.latest;
	profile_free(r.latest);
	return NULL;
}
