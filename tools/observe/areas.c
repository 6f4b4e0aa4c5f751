/*
 * areas: see areas.h. A mapping of smaps may hold ranges of several stacks, and the kernel joins neighbours: what is resident
 * of it counts for an area up to the bytes that its ranges have there, which is exact where the mapping is all the area's.
 */
#include "observe/areas.h"

#include <string.h>

#include "model/growth.h"
#include "model/managed.h"
#include "model/profile.h"

void areas_begin(struct areas *a, pid_t pid)
{
	mappings_free(&a->begin);
	a->has_begin = mappings_read(pid, &a->begin) == 0;
}

void areas_end(struct areas *a, pid_t pid)
{
	mappings_free(&a->end);
	a->has_end = mappings_read(pid, &a->end) == 0;
}

void areas_free(struct areas *a)
{
	mappings_free(&a->begin);
	mappings_free(&a->end);
	*a = (struct areas){.has_begin = false};
}

/* MANAGED_NONE: no mapping of an area. */
static enum managed_area area_of(const struct profile_process *process, const struct profile_range *range)
{
	struct managed m = managed_of(process, &process->stacks[range->stack]);
	return m.how == MANAGED_RECORD ? MANAGED_NONE : m.area;
}

static uint64_t overlap(const struct mapping *m, const struct profile_range *r)
{
	uint64_t start = m->start > r->start ? m->start : r->start, end = m->end < r->end ? m->end : r->end;
	return end > start ? end - start : 0;
}

/* Both are sorted by address: a range that ends before a mapping is before all later ones, too. */
static void add_resident(const struct areas *a, const struct profile_process *process, const struct mappings *mappings,
                         uint64_t bytes[MANAGED_AREAS])
{
	uint32_t first = 0;
	for (size_t i = 0; i < mappings->count; i++) {
		const struct mapping *m = &mappings->rows[i];
		uint64_t covered[MANAGED_AREAS + 1] = {0}, left = m->rss_bytes;
		while (first < process->range_count && process->ranges[first].end <= m->start)
			first++;
		for (uint32_t r = first; left && r < process->range_count && process->ranges[r].start < m->end; r++)
			covered[area_of(process, &process->ranges[r])] += overlap(m, &process->ranges[r]);
		if (a->heap_end)
			covered[MANAGED_HEAP] = overlap(m, &(struct profile_range){a->heap_start, a->heap_end, 0});
		for (size_t area = 0; area < MANAGED_AREAS; area++) {
			uint64_t its = covered[area] < left ? covered[area] : left;
			bytes[area] += its;
			left -= its;
		}
	}
}

static bool has_area(const struct areas *a, const struct profile_process *process)
{
	if (a->heap_end)
		return true;
	for (uint32_t i = 0; i < process->range_count; i++)
		if (area_of(process, &process->ranges[i]) == MANAGED_HEAP)
			return true;
	return false;
}

void areas_measure(const struct areas *a, const struct profile_process *process, struct growth *growth)
{
	memset(growth->managed_begin, 0, sizeof growth->managed_begin);
	memset(growth->managed_end, 0, sizeof growth->managed_end);
	growth->has_managed = a->has_begin && a->has_end && has_area(a, process);
	if (!growth->has_managed)
		return;
	add_resident(a, process, &a->begin, growth->managed_begin);
	add_resident(a, process, &a->end, growth->managed_end);
}
