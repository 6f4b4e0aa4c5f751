/*
 * suppressions_write: the lines that cover one stack and as little else as two names can say: its site's function, whole,
 * and the function that called that. A library is never named: that would hide whatever leaks below it.
 */
#include <inttypes.h>
#include <string.h>

#include "gate/suppressions.h"

/* A name of a stack, by its place. */
struct named {
	uint32_t frame, name;
	const char *function;
};

/* Not the allocator's or the language runtime's: their names change with the C library. */
static bool is_own(const struct profile_process *process, const struct profile_frame *frame, const char *function)
{
	return function && function[0] != '\0' &&
	       !profile_is_runtime(function,
	                           frame->module < process->module_count ? process->modules[frame->module].path : NULL);
}

/* The next function of the program's own from `at` on (then name `from` of it), further out than that; false: none. */
static bool next_own(const struct profile_process *process, const struct profile_stack *stack, uint32_t at,
                     uint32_t from, struct named *found)
{
	for (uint32_t k = from; at < stack->frame_count; at++, k = 0) {
		const struct profile_frame *frame = &process->frames[stack->frames[at]];
		if (k < profile_own_name(process, frame))
			k = profile_own_name(process, frame); /* of a Java frame: what is not the JDK's */
		for (; k < frame->name_count; k++)
			if (is_own(process, frame, frame->names[k].function)) {
				*found = (struct named){at, k, frame->names[k].function};
				return true;
			}
	}
	return false;
}

/* The function's name as a pattern for the whole of it. What would mean something else in a pattern, or break its line,
   becomes '*'. false: no pattern would match. */
static bool pattern_for(const char *function, const char *specials, char pattern[SUPPRESSIONS_NAME_BYTES])
{
	size_t n = 0;
	pattern[n++] = '^';
	for (const char *c = function; *c != '\0' && n < SUPPRESSIONS_NAME_BYTES - 2; c++) {
		bool is_special = (unsigned char)*c < ' ' || strchr(specials, *c);
		pattern[n++] = is_special ? '*' : *c;
	}
	bool is_whole = strlen(function) < SUPPRESSIONS_NAME_BYTES - 3;
	pattern[n] = '\0';
	if (is_whole)
		memcpy(pattern + n, "$", 2);
	if (is_whole && suppressions_matches(pattern, function))
		return true;
	pattern[n] = '\0'; /* pieces are taken where they are first found: then the end may not be held */
	return suppressions_matches(pattern, function);
}

/* The next power of two: what comes out a little different in the next run is still within it. */
static uint64_t rounded_up(uint64_t n)
{
	uint64_t up = 1;
	while (up < n && up < UINT64_MAX / 2)
		up *= 2;
	return up;
}

static void write_max(FILE *out, const struct profile_counts *counts)
{
	static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB"};
	uint64_t bytes = rounded_up(counts->live_bytes);
	unsigned unit = 0;
	for (; unit < 4 && bytes >= 1024; unit++)
		bytes /= 1024;
	fprintf(out, " max=%" PRIu64 "%s max-blocks=%" PRIu64, bytes, units[unit], rounded_up(counts->live_blocks));
}

void suppressions_write(FILE *out, const struct suppression_names *names, const struct profile_counts *counts,
                        uint32_t until)
{
	const struct suppression for_others = {.pattern = names->pattern};
	if (suppressions_matches_all(&for_others))
		fputs("# LeakSanitizer does not know at=site: to it the line below is all that this function calls\n",
		      out);
	fprintf(out, "# mtrace: reason=\"TODO: why is this no leak?\" owner=TODO");
	if (until)
		fprintf(out, " until=%04u-%02u-%02u", until / 10000, until / 100 % 100, until % 100);
	write_max(out, counts);
	fputs(" at=site", out);
	if (names->caller[0] != '\0')
		fprintf(out, " caller=\"%s\"", names->caller);
	fprintf(out, "\nleak:%s\n", names->pattern);
}

bool suppressions_name(const struct profile_process *process, const struct profile_stack *stack,
                       struct suppression_names *names)
{
	struct named site, outer;
	uint32_t at = profile_site(process, stack);
	names->function = names->calling = NULL;
	names->caller[0] = '\0';
	if (!next_own(process, stack, at < stack->frame_count ? at : 0, 0, &site) ||
	    !pattern_for(site.function, "$", names->pattern))
		return false;
	names->function = site.function;
	if (!next_own(process, stack, site.frame, site.name + 1, &outer))
		return true;
	names->calling = outer.function;
	if (!pattern_for(outer.function, "$\"", names->caller))
		names->caller[0] = '\0';
	return true;
}
