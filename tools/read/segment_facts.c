/*
 * segment_facts: what a segment says beside stacks: who the process is, how it ended, counters, modules, threads,
 * marks. All text is cut at its field's end.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "model/redact.h"
#include "read/segment.h"

static const struct mtrace_info *info_of(const struct segment *s)
{
	return (const struct mtrace_info *)(const void *)(s->head + MTRACE_INFO_OFFSET);
}

static const struct mtrace_hot *hot_of(const struct segment *s)
{
	return (const struct mtrace_hot *)(const void *)(s->head + MTRACE_HOT_OFFSET);
}

static uint64_t mono_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- arguments ---- */

/* Counts the NUL-separated texts; with `to`, makes writable copies of them. */
static uint32_t split(struct segment *s, const char *text, size_t bytes, char **to)
{
	uint32_t n = 0;
	for (size_t at = 0; at < bytes; n++) {
		size_t length = strnlen(text + at, bytes - at);
		if (to)
			to[n] = memcpy(profile_alloc(s->profile, length + 1, 1), text + at, length);
		at += length + 1;
	}
	return n;
}

static void read_arguments(struct segment *s)
{
	const struct mtrace_info *info = info_of(s);
	size_t bytes = info->args_bytes < sizeof info->args ? info->args_bytes : sizeof info->args;
	uint32_t count = split(s, info->args, bytes, NULL);
	char **raw = profile_alloc(s->profile, count + 1, sizeof *raw);
	const char **args = profile_alloc(s->profile, count + 1, sizeof *args);
	split(s, info->args, bytes, raw);
	redact_args(raw, count);
	for (uint32_t i = 0; i < count; i++)
		args[i] = profile_string(s->profile, raw[i]);
	s->process->args = args;
	s->process->arg_count = count;
}

/* ---- the end ---- */

static void read_end(struct segment *s)
{
	const struct mtrace_header *h = segment_header(s);
	struct profile_process *process = s->process;
	switch ((enum mtrace_end)h->end) {
	case MTRACE_END_EXIT:
	case MTRACE_END_UNDERSCORE_EXIT:
	case MTRACE_END_QUICK_EXIT:
		process->end = PROFILE_EXIT;
		process->end_status = h->end_status & 0xff; /* all that a parent sees of it */
		break;
	case MTRACE_END_EXEC:
		process->end = PROFILE_EXEC;
		break;
	default:
		process->end = PROFILE_KILLED;
	}
	if (s->alive)
		process->end = PROFILE_RUNNING;
}

static uint64_t lived_ns(const struct segment *s)
{
	const struct mtrace_header *h = segment_header(s);
	uint64_t end = h->end_mono_ns;
	if (s->process->end == PROFILE_RUNNING)
		end = mono_now_ns();
	if (end > h->mono_start_ns)
		return end - h->mono_start_ns;
	uint64_t tick = hot_of(s)->tick; /* killed: the last tick it saw */
	return tick < UINT64_MAX / 1000000000u ? tick * 1000000000u / MTRACE_TICKS_PER_SECOND : 0;
}

static void read_counters(struct segment *s)
{
	static const char *const names[] = {
#define X(name, help) #name,
#include "counters.def"
#undef X
	};
	const struct mtrace_header *h = segment_header(s);
	uint32_t count = h->counter_count < MTRACE_COUNTER_SLOTS ? h->counter_count : MTRACE_COUNTER_SLOTS;
	struct profile_counter *counters = profile_alloc(s->profile, count, sizeof *counters);
	for (uint32_t i = 0; i < count; i++) {
		char other[32];
		snprintf(other, sizeof other, "counter-%u", i);
		counters[i].name = profile_string(s->profile, i < MTRACE_COUNTER_COUNT ? names[i] : other);
		counters[i].value = h->counters[i];
	}
	s->process->counters = counters;
	s->process->counter_count = count;
}

static void read_mode(struct segment *s)
{
	const struct mtrace_header *h = segment_header(s);
	s->process->mode = h->mode == MTRACE_MODE_OFF ? PROFILE_OFF
	                   : h->mode == MTRACE_MODE_SAMPLE ? PROFILE_SAMPLE : PROFILE_EXACT;
	s->skipped += h->mode > MTRACE_MODE_OFF;
	s->process->sample_bytes = s->process->mode == PROFILE_SAMPLE ? h->sample_bytes : 0;
}

static uint64_t since_begin(const struct mtrace_header *h, uint64_t mono_ns)
{
	return mono_ns > h->mono_start_ns ? mono_ns - h->mono_start_ns : 0;
}

static void read_pauses(struct segment *s)
{
	const struct mtrace_header *h = segment_header(s);
	uint64_t attached = h->header_bytes >= sizeof *h ? h->attached_mono_ns : 0;
	uint64_t detached = h->header_bytes >= sizeof *h ? h->detached_mono_ns : 0;
	s->process->attached = attached != 0;
	s->process->attached_ns = since_begin(h, attached);
	s->process->detached = detached > attached;
	s->process->detached_ns = s->process->detached ? since_begin(h, detached) : 0;
}

void segment_read_facts(struct segment *s)
{
	const struct mtrace_header *h = segment_header(s);
	const struct mtrace_info *info = info_of(s);
	const struct mtrace_hot *hot = hot_of(s);
	struct profile_process *process = s->process;
	process->pid = h->pid;
	process->image = h->image;
	process->parent_pid = h->parent_pid;
	process->start_time = h->start_time;
	process->forked = h->forked != 0;
	process->wall_start_ns = h->wall_start_ns;
	process->poisoned = h->state == MTRACE_STATE_POISONED;
	process->jni = h->features_optional & MTRACE_FEATURE_JNI;
	process->exe = profile_string_n(s->profile, info->exe, sizeof info->exe);
	process->cwd = profile_string_n(s->profile, info->cwd, sizeof info->cwd);
	process->run_id = profile_string_n(s->profile, info->run_id, sizeof info->run_id);
	process->shim_version = profile_string_n(s->profile, h->shim_version, sizeof h->shim_version);
	process->peak_live_bytes = hot->peak_bytes > 0 ? (uint64_t)hot->peak_bytes : 0;
	process->tracker_private_bytes = hot->private_bytes;
	process->tracker_bytes = profile_sum(h->committed_bytes < s->file_bytes ? h->committed_bytes : s->file_bytes,
	                                     process->tracker_private_bytes);
	if (h->features_optional & MTRACE_FEATURE_DIES_WITH_PROCESS)
		process->note = "its record dies with the process: no directory in memory could be written, and no `mtrace run` "
		                "holds it";
	read_mode(s);
	read_pauses(s);
	read_arguments(s);
	read_end(s);
	read_counters(s);
	process->lived_ns = lived_ns(s);
	s->now_tick = process->lived_ns / (1000000000u / MTRACE_TICKS_PER_SECOND);
	if (s->now_tick < hot->tick)
		s->now_tick = hot->tick;
	process->active_ns = hot->tick < UINT32_MAX ? hot->tick * (1000000000u / MTRACE_TICKS_PER_SECOND) : 0;
	if (process->active_ns > process->lived_ns)
		process->active_ns = process->lived_ns;
}

/* ---- tables ---- */

void segment_read_modules(struct segment *s)
{
	uint64_t count = s->regions[MTRACE_REGION_MODULES].count;
	struct profile_module *modules = profile_alloc(s->profile, count, sizeof *modules);
	s->process->module_count = count > 0 ? (uint32_t)(count - 1) : 0; /* index = id - 1 */
	s->process->modules = modules;
	for (uint64_t id = 1; id < count; id++) {
		const struct mtrace_module *m = segment_element(s, MTRACE_REGION_MODULES, id);
		struct profile_module *to = &modules[id - 1];
		to->path = m->ready ? segment_string(s, m->path) : "";
		if (!m->ready)
			continue;
		to->start = m->start;
		to->end = m->end;
		to->bias = m->bias;
		if (m->build_id_bytes > sizeof m->build_id) {
			s->skipped++;
			continue;
		}
		to->build_id_bytes = m->build_id_bytes;
		memcpy(to->build_id, m->build_id, m->build_id_bytes);
	}
}

static void read_thread(struct segment *s, const struct mtrace_thread *t, struct profile_thread *to)
{
	char name[17] = {0};
	memcpy(name, (const void *)t->name, 16);
	to->tid = t->tid;
	to->name = profile_string(s->profile, name);
	to->ended = t->ended != 0;
	to->inside = t->inside != 0 && !to->ended;
	to->start_tick = t->start_tick;
	to->end_tick = t->end_tick;
	to->stack_bytes = t->stack_bytes;
	to->stack = t->row ? t->row : UINT32_MAX; /* a row id until the stacks are there */
}

void segment_read_threads(struct segment *s)
{
	uint64_t count = s->regions[MTRACE_REGION_THREADS].count;
	struct profile_thread *threads = profile_alloc(s->profile, count, sizeof *threads);
	s->thread_of_id = profile_alloc(s->profile, count, sizeof *s->thread_of_id);
	s->process->threads = threads;
	bool crashed = s->process->end == PROFILE_KILLED;
	for (uint64_t id = 0; id < count; id++) {
		const struct mtrace_thread *t = segment_element(s, MTRACE_REGION_THREADS, id);
		s->thread_of_id[id] = PROFILE_NO_THREAD;
		if (id == 0 || t->tid == 0)
			continue;
		s->thread_of_id[id] = s->process->thread_count;
		struct profile_thread *to = &threads[s->process->thread_count++];
		read_thread(s, t, to);
		to->id = (uint32_t)id;
		s->process->in_tracker |= crashed && to->inside;
	}
}

void segment_read_marks(struct segment *s)
{
	uint64_t count = s->regions[MTRACE_REGION_MARKS].count;
	struct profile_mark *marks = profile_alloc(s->profile, count, sizeof *marks);
	uint64_t start = segment_header(s)->mono_start_ns;
	s->process->marks = marks;
	s->mark_of_id = profile_alloc(s->profile, count, sizeof *s->mark_of_id);
	for (uint64_t id = 0; id < count; id++) {
		const struct mtrace_mark *m = segment_element(s, MTRACE_REGION_MARKS, id);
		s->mark_of_id[id] = PROFILE_NO_MARK;
		if (id == 0 || !m->ready)
			continue;
		s->mark_of_id[id] = s->process->mark_count;
		marks[s->process->mark_count++] = (struct profile_mark){
			.name = profile_string_n(s->profile, m->name, sizeof m->name),
			.time_ns = m->mono_ns > start ? m->mono_ns - start : 0,
			.flags = m->flags,
		};
	}
}
