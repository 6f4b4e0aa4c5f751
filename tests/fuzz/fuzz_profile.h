/*
 * fuzz_profile: whatever a reader accepted must be safe to print: ids in range, strings ended. Used after each reader.
 */
#ifndef FUZZ_PROFILE_H
#define FUZZ_PROFILE_H

#include "emit/emit.h"
#include "emit/events.h"
#include "fuzz.h"
#include "model/profile.h"
#include "read/read.h"

static inline void fuzz_use_profile(struct profile *profile)
{
	static FILE *nowhere;
	if (!nowhere)
		nowhere = fopen("/dev/null", "w");
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
}

#endif
