/*
 * fuzz_profile: whatever a reader accepted must be safe to print: ids in range, strings ended. Used after each reader.
 */
#ifndef FUZZ_PROFILE_H
#define FUZZ_PROFILE_H

#include "emit/emit.h"
#include "emit/events.h"
#include "emit/lifetimes.h"
#include "fuzz.h"
#include "model/profile.h"
#include "read/read.h"

static FILE *fuzz_nowhere;

static inline void fuzz_put_event(void *process, const struct lifetimes_event *e)
{
	emit_event_line(process, e, fuzz_nowhere);
}

/* Of each process as if it were the first. */
static inline void fuzz_use_events(struct profile *profile)
{
	const struct lifetimes **of = calloc(profile->process_count + 1, sizeof *of);
	for (uint32_t i = 0; i < profile->process_count; i++) {
		struct lifetimes joined;
		read_lifetimes(&profile->processes[i], &joined);
		const struct lifetimes_row *t = &joined.total;
		fuzz_require(t->freed_blocks + t->unseen_blocks <= t->allocated_blocks, "freed was allocated");
		fuzz_require(t->temporary_blocks + t->elsewhere_blocks <= t->freed_blocks, "temporary was freed, by its own thread");
		of[i] = &joined;
		struct emit_options options = {.limit = 3, .lifetimes = of};
		emit_text(profile, &options, fuzz_nowhere);
		emit_json(profile, &options, fuzz_nowhere);
		of[i] = NULL;
		lifetimes_free(&joined);
		read_stream_events(&profile->processes[i], fuzz_put_event, &profile->processes[i]);
	}
	free(of);
}

static inline void fuzz_use_profile(struct profile *profile)
{
	if (!fuzz_nowhere)
		fuzz_nowhere = fopen("/dev/null", "w");
	FILE *nowhere = fuzz_nowhere;
	for (int by = EMIT_BY_STACK; by <= EMIT_BY_KIND; by++) {
		struct emit_options options = {.by = (enum emit_by)by, .limit = 20, .target = "fuzz", .full = by == EMIT_BY_STACK};
		emit_text(profile, &options, nowhere);
	}
	struct emit_options all = {.target = "fuzz"};
	emit_json(profile, &all, nowhere);
	for (uint32_t i = 0; i < profile->process_count; i++)
		for (uint32_t k = 0; k < profile->processes[i].event_count; k++)
			emit_event_text(&profile->processes[i], &profile->processes[i].events[k], nowhere);
	emit_folded(profile, &all, nowhere);
	fuzz_use_events(profile);
}

#endif
