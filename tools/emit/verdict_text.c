/*
 * verdict_text: see verdict_text.h. What each reason says is one table.
 */
#include "emit/verdict_text.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "emit/emit_text.h"

static const struct reason {
	const char *name, *text;
} reasons[VERDICT_WHYS] = {
	[VERDICT_TOO_FEW] = {"too-few", "too few windows to tell: it takes 8"},
	[VERDICT_NO_GROWTH] = {"no-growth", "does not grow: blocks come and go about a level"},
	[VERDICT_IRREGULAR] = {"irregular", "goes up and down too much for a trend, or a level, to show"},
	[VERDICT_FILLING] = {"filling", "grows ever more slowly: a cache that fills does so, a leak at night too"},
	[VERDICT_PAUSED] = {"paused", "grew, and is flat now, but not for long enough to say that it stopped"},
	[VERDICT_COARSE] = {"coarse", "grew, and is flat now: too few windows, or too long ones, to tell a step from the end"},
	[VERDICT_FEW_STEPS] = {"few-steps", "grew, but too seldom or too unevenly to say that it goes on"},
	[VERDICT_REPLACED] = {"replaced",
                              "more is live than was, but not what was allocated then: it follows the load"},
	[VERDICT_GROWS] = {"grows", "rises all along to the end, and what it held is kept"},
	[VERDICT_GROWS_STEPS] = {"grows-in-steps",
                                 "rises in even steps; no plateau is longer than the pause between two"},
	[VERDICT_BOUNDED] = {"bounded", "grew, then reached a bound and stays there"},
	[VERDICT_TURNS_OVER] = {"turns-over", "stays at a level while old blocks are freed and new ones come"},
	[VERDICT_ONCE] = {"once", "grew once, in a short time, and is flat since"},
	[VERDICT_BEFORE] = {"before", "was there from the beginning, and none of it was freed"},
	[VERDICT_SAWTOOTH] = {"sawtooth", "piles up and is freed at once, again and again: a collector, or lazy frees"},
	[VERDICT_CAME_BACK] = {"came-back", "rose and came back to where it was"},
	[VERDICT_MANAGED] = {"managed", "memory that the JVM manages itself: what fills it is not native"},
	[VERDICT_RECORDS] = {"records", "in it the JVM keeps account of an area of its own, which is what grows"},
};

const char *emit_verdict_why(enum verdict_why why)
{
	return (unsigned)why < VERDICT_WHYS ? reasons[why].text : "";
}

const char *emit_verdict_why_name(enum verdict_why why)
{
	return (unsigned)why < VERDICT_WHYS ? reasons[why].name : "unknown";
}

/* ---- text ---- */

/* "+1.38 GiB", "-2.00 KiB" */
static const char *signed_bytes(char out[40], double bytes)
{
	char size[32];
	emit_bytes(size, (uint64_t)(bytes < 0 ? -bytes : bytes));
	snprintf(out, 40, "%c%s", bytes < 0 ? '-' : '+', size);
	return out;
}

static void label(unsigned indent, const char *word, FILE *out)
{
	fprintf(out, "%*s%-8s ", (int)indent, "", word);
}

static uint64_t end_of(const struct verdict *v)
{
	return v->begin_ns + v->observed_ns;
}

static void steps(const struct verdict *v, FILE *out)
{
	size_t shown = v->steps < 5 ? v->steps : 5;
	uint64_t least = v->step_bytes[0], most = least;
	char low[32], high[32];
	for (size_t i = 1; i < v->steps; i++) {
		least = v->step_bytes[i] < least ? v->step_bytes[i] : least;
		most = v->step_bytes[i] > most ? v->step_bytes[i] : most;
	}
	emit_bytes(low, least);
	emit_bytes(high, most);
	fprintf(out, " in %zu step%s of %s", v->steps, v->steps == 1 ? "" : "s", low);
	if (strcmp(low, high) != 0)
		fprintf(out, " to %s", high);
	for (size_t i = v->steps - shown; i < v->steps; i++) {
		emit_duration(low, end_of(v) - v->step_ns[i]);
		fprintf(out, ", %s", low);
	}
	fputs(shown < v->steps ? " ago (the last five)" : " ago", out);
}

static void how_much(const struct verdict *v, uint32_t number, unsigned indent, FILE *out)
{
	static const char *const titles[VERDICT_KINDS] = {"UNKNOWN", "LEAK",  "CACHE",     "STARTUP",
	                                                  "GC-LAG",  "SPIKE", "JAVA-HEAP", "METASPACE"};
	char growth[40], window[40], hour[40], low[40], high[40];
	if (number)
		fprintf(out, "%*" PRIu32 "  ", (int)indent - 2, number);
	label(number ? 0 : indent, titles[v->kind], out);
	if (v->windows < VERDICT_WINDOWS) {
		fputs("\n", out);
		return;
	}
	fputs(signed_bytes(growth, (double)v->growth_bytes), out);
	if (v->steps)
		steps(v, out);
	if (v->steps && v->kind == VERDICT_LEAK)
		fprintf(out, "; %s per hour", signed_bytes(hour, v->per_hour));
	else if (v->kind == VERDICT_LEAK)
		fprintf(out, ", %s per window (%s to %s), %s per hour", signed_bytes(window, v->per_window),
		        signed_bytes(low, v->low), signed_bytes(high, v->high), signed_bytes(hour, v->per_hour));
	if (v->period_ns) {
		char period[32];
		emit_duration(period, v->period_ns);
		fprintf(out, ", freed every %s", period);
	}
	fputc('\n', out);
}

static void reason(const struct verdict *v, unsigned indent, FILE *out)
{
	char never[32], ever[32];
	label(indent, "why", out);
	fputs(emit_verdict_why(v->why), out);
	if (v->ever_allocated && v->windows >= VERDICT_WINDOWS) {
		emit_count(never, v->never_freed);
		emit_count(ever, v->ever_allocated);
		fprintf(out, "; never freed: %s of %s", never, ever);
	}
	if (v->wait_ns) {
		emit_duration(never, v->wait_ns);
		fprintf(out, "; it takes %d windows: %s more", VERDICT_PLATEAU_WINDOWS, never);
	}
	fputc('\n', out);
}

/* Nothing here reaches beyond the time observed. */
static void observed(const struct verdict *v, unsigned indent, FILE *out)
{
	char time[32], flat[32], pause[32];
	emit_duration(time, v->observed_ns);
	label(indent, "observed", out);
	fprintf(out, "%s in %zu window%s", time, v->windows, v->windows == 1 ? "" : "s");
	if (v->last_growth_ns && v->flat_ns) {
		emit_duration(flat, v->flat_ns);
		fprintf(out, "; flat for %s", flat);
	}
	if (v->steps) {
		emit_duration(flat, end_of(v) - v->step_ns[v->steps - 1]);
		fprintf(out, "; last step %s ago", flat);
	}
	if (v->longest_pause_ns) {
		emit_duration(pause, v->longest_pause_ns);
		fprintf(out, "; longest pause before %s", pause);
	}
	fputc('\n', out);
}

static void sight(const struct verdict *v, unsigned indent, FILE *out)
{
	char least[40];
	if (v->sensitivity < 0)
		return;
	label(indent, "sight", out);
	fprintf(out, "a steady leak of %s per window or more would have been called one\n",
	        signed_bytes(least, v->sensitivity) + 1);
}

void emit_verdict(const struct verdict *v, uint32_t number, unsigned indent, FILE *out)
{
	how_much(v, number, indent, out);
	reason(v, indent, out);
	observed(v, indent, out);
	sight(v, indent, out);
}

/* ---- JSON ---- */

enum form { NUMBER, SIGNED, REAL, REAL_IF_KNOWN }; /* an unknown one is negative, and left out */

#define MEMBER(name, form, member) {name, form, offsetof(struct verdict, member)}
static const struct member {
	const char *name;
	enum form form;
	size_t offset;
} members[] = {
	MEMBER("windows", NUMBER, windows),
	MEMBER("observed_ns", NUMBER, observed_ns),
	MEMBER("growth_bytes", SIGNED, growth_bytes),
	MEMBER("growth_blocks", SIGNED, growth_blocks),
	MEMBER("bytes_per_window", REAL, per_window),
	MEMBER("bytes_per_window_low", REAL, low),
	MEMBER("bytes_per_window_high", REAL, high),
	MEMBER("bytes_per_hour", REAL, per_hour),
	MEMBER("mann_kendall_z", REAL, z),
	MEMBER("sensitivity_bytes_per_window", REAL_IF_KNOWN, sensitivity),
	MEMBER("flat_ns", NUMBER, flat_ns),
	MEMBER("longest_pause_ns", NUMBER, longest_pause_ns),
	MEMBER("wait_ns", NUMBER, wait_ns),
	MEMBER("period_ns", NUMBER, period_ns),
	MEMBER("never_freed_blocks", NUMBER, never_freed),
	MEMBER("ever_allocated_blocks", NUMBER, ever_allocated),
	MEMBER("freed_after_ageing", REAL_IF_KNOWN, aged_share),
};
static_assert(sizeof(size_t) == sizeof(uint64_t), "windows is read as a NUMBER");

/* Reals in thousandths: a slope of half a byte per window is not 0. */
static void json_member(const struct verdict *v, const struct member *m, FILE *out)
{
	const void *at = (const char *)v + m->offset;
	if (m->form == NUMBER)
		fprintf(out, ",\"%s\":%" PRIu64, m->name, *(const uint64_t *)at);
	else if (m->form == SIGNED)
		fprintf(out, ",\"%s\":%" PRId64, m->name, *(const int64_t *)at);
	else if (m->form == REAL || *(const double *)at >= 0)
		fprintf(out, ",\"%s\":%.3f", m->name, *(const double *)at);
}

void emit_verdict_json(const struct verdict *v, FILE *out)
{
	fprintf(out, "{\"verdict\":\"%s\",\"why\":\"%s\"", verdict_name(v->kind), emit_verdict_why_name(v->why));
	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
		json_member(v, &members[i], out);
	fputs(",\"steps\":[", out);
	for (size_t i = 0; i < v->steps; i++)
		fprintf(out, "%s{\"time_ns\":%" PRIu64 ",\"bytes\":%" PRIu64 "}", i ? "," : "", v->step_ns[i],
		        v->step_bytes[i]);
	fputs("]}", out);
}
