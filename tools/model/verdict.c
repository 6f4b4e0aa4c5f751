/*
 * verdict: see verdict.h. The order of questions is that of judge(): is there a trend that a walk without one would not
 * show; does it go on to the end; is what it holds still what was allocated then; else: what shape has it. A plateau
 * outweighs a slope. Every threshold stands below, with its reason.
 */
#include "model/verdict.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "die.h"
#include "model/series.h"

/* ---- what is enough ---- */

enum { FLOORS_FEWEST = 8, FLOORS_MOST = 32 }; /* stretches, each longer than any rise that came back */

/* Student's t for one case in 10 000, by increments less one: a walk without drift is taken for a leak that often. */
static double enough_t(size_t increments)
{
	static const double table[] = {7.06, 6.44, 6.01, 5.69, 5.45, 5.26, 5.11,
	                               4.99, 4.88, 4.79, 4.71, 4.65, 4.59, 4.54};
	size_t freedom = increments > 1 ? increments - 1 : 1, last = sizeof table / sizeof table[0] - 1;
	if (freedom < 7)
		return 10;
	return freedom - 7 > last ? 4.3 : table[freedom - 7];
}

#define CERTAIN_Z 2.576   /* 99 %, for Sen's interval and for Mann-Kendall */
#define MARGIN_T 2.6      /* what the estimate of t errs by, one time in 200: added for the sensitivity */
#define HEIGHT 16.0       /* part of the range that a rise must have to be an excursion: less is noise on it */
#define CACHE_PAUSES 3.0  /* a plateau: three times the longest pause before it */
#define LEAK_PAUSES 2.0   /* not yet a plateau, no longer growth for certain: between this and CACHE_PAUSES */
#define NEVER_SO_LONG 5.3 /* -ln 0.005: and a pause that chance makes one time in 200, of so many rises */
#define SLOWER 0.15       /* growth of the last quarter over the best one: below, it is filling up */
#define SLOWER_EACH 0.25  /* the same when every quarter grew less than the one before */
#define STEP_SHARE 0.05   /* a step is at least that of the whole growth */
#define STEPS_EXPLAIN 0.8 /* share of the growth in steps, to speak of steps */
#define STEP_SIZES 1.5    /* largest over smallest step, to call them even */
#define STEP_PAUSES 1.3   /* longest over shortest pause between them … */
#define STEPS_PAUSES 2.0  /* … and the same of STEPS_MANY: so many in one direction are more than a few even ones */
#define KEPT_SHARE 0.6    /* of what was allocated then, still live: less, and it was replaced */
#define SHARP 1.5         /* points rising over points falling: memory that is freed all at once */
#define NOISE_STEPS 4.7   /* noise of a level, in median steps from one window to the next: 4.5 deviations */
#define SPIKE_SPREADS 8.0 /* a spike is above the level by that many median distances from it: 5.4 deviations */
#define FLAT_SHARE 0.05   /* a level: all within that of the range, or of the level itself */
/* A step that began in the last STEP_WINDOWS may go on. */
enum { STEPS_FEWEST = 3, STEPS_HIDDEN = 4, STEPS_MANY = 6, STEP_WINDOWS = 4, FALLS_FEWEST = 3 };

/* ---- the series ---- */

struct sight {
	const struct verdict_input *input;
	size_t count;
	double time[SERIES_MOST], bytes[SERIES_MOST], blocks[SERIES_MOST];
	double window; /* mean, seconds */
	double fine;   /* lower quartile: windows of a history are long where it is old */
	double span;
};

/* One of the two counts, and its floors. */
struct evidence {
	struct series all, floors, kept;
	double time[FLOORS_MOST], floor[FLOORS_MOST], kept_values[SERIES_MOST];
	double width;   /* of a floor's stretch, seconds */
	double pending; /* what rose within the last so many seconds may come back yet */
	struct series_trend trend;
	struct series_drift drift;
	struct series_slope slope;
	struct series_pauses pauses;
	double growth;
	double visible; /* per second: a drift of that would have been seen; < 0: none */
	bool grows;
};

static bool in_order(const struct verdict_input *input)
{
	for (size_t i = 1; i < input->count; i++)
		if (input->windows[i].time_ns <= input->windows[i - 1].time_ns)
			return false;
	return true;
}

static double fine_of(const struct sight *sight)
{
	double windows[SERIES_MOST], median;
	size_t count = 0;
	for (size_t i = 1; i < sight->count; i++)
		windows[i - 1] = sight->time[i] - sight->time[i - 1];
	median = series_median(windows, sight->count - 1);
	for (size_t i = 1; i < sight->count; i++)
		if (windows[i - 1] <= median)
			windows[count++] = windows[i - 1];
	return series_median(windows, count);
}

/* Of `group` neighbours the one with the lowest bytes stands for all: floors stay what they are. */
static void look(const struct verdict_input *input, struct sight *sight)
{
	size_t group = (input->count + SERIES_MOST - 1) / SERIES_MOST;
	sight->input = input;
	sight->count = 0;
	for (size_t i = 0; i < input->count; i += group) {
		const struct verdict_window *low = &input->windows[i];
		for (size_t k = i; k < i + group && k < input->count; k++)
			if (input->windows[k].live_bytes < low->live_bytes)
				low = &input->windows[k];
		sight->time[sight->count] = (double)low->time_ns / 1e9;
		sight->bytes[sight->count] = (double)low->live_bytes;
		sight->blocks[sight->count++] = (double)low->live_blocks;
	}
	sight->span = sight->count ? sight->time[sight->count - 1] - sight->time[0] : 0;
	sight->window = sight->count > 1 ? sight->span / (double)(sight->count - 1) : 0;
	sight->fine = fine_of(sight);
}

/* ---- is there a trend ---- */

/* The smallest slope that would have been seen: by the error of the drift, else by the deepest fall; never less than what
   `FEWEST` single blocks make, since a few blocks more may be chance. */
static double smallest_visible(const struct sight *sight, const struct evidence *e, double grain)
{
	double threshold = enough_t(e->drift.increments) + MARGIN_T, fewest = threshold * threshold;
	double least = fewest * grain / sight->span, seen;
	if (e->floors.count >= FLOORS_FEWEST)
		seen = threshold * e->drift.deviation / series_root((double)e->drift.increments) / e->width;
	else
		seen = 1.5 * FLOORS_FEWEST * series_fall(&e->all) / sight->span;
	return seen > least ? seen : least;
}

/* Time since the last rise. What rises within the pending time counts neither as growth nor as pause. */
static void find_pauses(struct evidence *e, double fine)
{
	double tolerance = 2 * series_fall(&e->floors), now = e->all.value[e->all.count - 1];
	e->pauses = series_pauses(&e->kept, tolerance, fine);
	if (now > e->kept_values[e->kept.count - 1] + tolerance)
		e->pauses.flat = e->pauses.flat > e->pending ? e->pauses.flat - e->pending : 0;
}

static void gather(const struct sight *sight, const double *values, double grain, struct evidence *e)
{
	memset(e, 0, sizeof *e);
	e->all = (struct series){sight->time, values, sight->count};
	double least = sight->span / FLOORS_MOST;
	e->pending = series_excursion(&e->all, series_range(&e->all) / HEIGHT);
	e->width = e->pending + sight->window;
	if (e->width < least)
		e->width = least;
	e->floors =
		(struct series){e->time, e->floor, series_floors(&e->all, e->width, e->time, e->floor, FLOORS_MOST)};
	e->trend = series_trend(&e->floors);
	e->drift = series_drift(&e->floors);
	series_kept(&e->all, e->pending, e->kept_values);
	e->kept = (struct series){sight->time, e->kept_values, sight->count};
	e->growth = e->kept_values[sight->count - 1] - e->kept_values[0];
	e->visible = smallest_visible(sight, e, grain);
	e->grows = e->floors.count >= FLOORS_FEWEST && e->drift.t >= enough_t(e->drift.increments) &&
	           e->trend.z >= CERTAIN_Z && e->growth > 0;
	find_pauses(e, sight->fine);
	if (!series_slope(&e->floors, CERTAIN_Z, &e->slope))
		die(2, "out of memory");
}

/* ---- does it go on ---- */

enum course { GOES_ON, SLOWS, PAUSED, STOPPED }; /* the later outweighs the earlier */

static double kept_at(const struct evidence *e, double time)
{
	double value = e->kept_values[0];
	for (size_t i = 0; i < e->kept.count && e->kept.time[i] <= time; i++)
		value = e->kept_values[i];
	return value;
}

/* The last quarter of what can be judged, against the best one before. */
static bool slows(const struct evidence *e)
{
	double from = e->kept.time[0], quarter = (series_span(&e->kept) - e->pending) / 4, best = 0, grown[4];
	bool each = true;
	for (int i = 0; i < 4; i++) {
		grown[i] = kept_at(e, from + quarter * (i + 1)) - kept_at(e, from + quarter * i);
		each &= i == 0 || grown[i] <= grown[i - 1];
		best = grown[i] > best ? grown[i] : best;
	}
	return grown[3] < (each ? SLOWER_EACH : SLOWER) * best;
}

/* How unlikely so long a pause is, as -ln of its chance: rises come in a share of the windows, each by itself. */
static double surprise(double flat, double mean, double window)
{
	double windows = mean / window,
	       most = 1.03; /* one window without a rise in 33 may be chance in any case */
	if (windows < most)
		windows = most;
	return flat / window * series_log(windows / (windows - 1));
}

/* It stopped when that is so however late it rose in a long window; it goes on when it is so however early. */
static enum course course_of(const struct evidence *e, const struct sight *sight)
{
	const struct series_pauses *p = &e->pauses;
	double fine = sight->fine < sight->window / 2 ? sight->fine : sight->window;
	if (surprise(p->flat, p->mean, sight->window) > NEVER_SO_LONG && p->flat > CACHE_PAUSES * p->longest)
		return STOPPED;
	if (surprise(p->flat, p->sure_mean, fine) > NEVER_SO_LONG && p->flat > LEAK_PAUSES * p->sure)
		return PAUSED;
	return slows(e) ? SLOWS : GOES_ON;
}

/* ---- is it still what was allocated then ---- */

/* The oldest class of ages that lies within the time observed, and is not too young to tell; NULL: none. */
static const struct verdict_age *oldest_class(const struct sight *sight)
{
	const struct verdict_input *input = sight->input;
	const struct verdict_age *best = NULL;
	for (size_t i = 0; i < input->age_count; i++) {
		const struct verdict_age *age = &input->ages[i];
		bool within = (double)age->to_ns / 1e9 <= sight->span && (double)age->from_ns / 1e9 >= sight->span / 8;
		if (within && (!best || age->from_ns > best->from_ns))
			best = age;
	}
	return best;
}

/* What the floor gained in a stretch of time must have been born in it, and live still. */
static bool was_replaced(const struct sight *sight, const struct evidence *lead)
{
	const struct verdict_age *class = sight->input->ages ? oldest_class(sight) : NULL;
	double end = sight->time[sight->count - 1];
	if (!class)
		return false;
	double gained =
		kept_at(lead, end - (double)class->from_ns / 1e9) - kept_at(lead, end - (double)class->to_ns / 1e9);
	bool in_bytes = lead->all.value == sight->bytes;
	return (double)(in_bytes ? class->bytes : class->blocks) < KEPT_SHARE * gained;
}

/* ---- steps ---- */

static double uneven_pauses(const struct series_steps *steps)
{
	return steps->count < STEPS_MANY ? STEP_PAUSES : STEPS_PAUSES;
}

/* The last one may still be under way: it may be smaller. Pauses are even if they can have been. */
static bool are_even(const struct series_steps *steps, double under_way)
{
	double small = DBL_MAX, large = 0, near = DBL_MAX, far = 0;
	for (size_t i = 0; i < steps->count; i++) {
		const struct series_step *step = &steps->step[i];
		double size = step->size, pause = i ? step->time - step[-1].time : 0;
		bool whole = i + 1 < steps->count || steps->step[i].time < under_way;
		small = whole && size < small ? size : small;
		large = size > large ? size : large;
		near = i && pause + step[-1].late < near ? pause + step[-1].late : near;
		far = pause - step->late > far ? pause - step->late : far;
	}
	return large <= STEP_SIZES * small && far <= uneven_pauses(steps) * near;
}

static bool are_steps(const struct evidence *e, const struct series_steps *steps)
{
	return steps->count > 0 && steps->count <= VERDICT_STEPS && steps->explained >= STEPS_EXPLAIN &&
	       e->pauses.sure >= 3 * series_span(&e->all) / (double)e->all.count;
}

/* ---- shapes without a trend ---- */

struct shape {
	double low, high, level; /* level: median of the last quarter */
	double spread;           /* median distance of all from it */
	double flat, rising;     /* seconds within the level until the end; seconds of the rise before */
	double first, latest;    /* latest: highest of the last twentieth, and of the last two */
	size_t rises;
	struct series_falls falls;
};

/* Noise: from one window to the next, in the last quarter. */
static double noise_of(const struct sight *sight, size_t from)
{
	double steps[SERIES_MOST];
	for (size_t i = from; i < sight->count; i++) {
		double step = sight->bytes[i] - sight->bytes[i - 1];
		steps[i - from] = step > 0 ? step : -step;
	}
	return NOISE_STEPS * series_median(steps, sight->count - from);
}

/* Where the stretch begins that stays within the level until the end; the count when there is none, or it has a trend. */
static size_t plateau_of(const struct sight *sight, double level, double tolerance)
{
	size_t i = sight->count;
	while (i > 0 && sight->bytes[i - 1] >= level - tolerance && sight->bytes[i - 1] <= level + tolerance)
		i--;
	size_t half = i + (sight->count - i) / 2; /* the first may still have some of the rise */
	struct series rest = {sight->time + half, sight->bytes + half, sight->count - half};
	return rest.count && series_trend(&rest).z > CERTAIN_Z ? sight->count : i;
}

static void time_rise(const struct sight *sight, size_t until, double tolerance, struct shape *s)
{
	double first = 0;
	for (size_t i = 1; i <= until && i < sight->count; i++) {
		if (!(sight->bytes[i] > sight->bytes[i - 1] + tolerance / 20))
			continue;
		if (s->rises++ == 0)
			first = sight->time[i];
	}
	if (s->rises)
		s->rising = sight->time[until < sight->count ? until : sight->count - 1] - first + sight->window;
}

static struct shape shape_of(const struct sight *sight)
{
	struct series all = {sight->time, sight->bytes, sight->count};
	struct shape s = {.low = DBL_MAX, .falls = series_falls(&all), .first = sight->bytes[0]};
	double scratch[SERIES_MOST];
	size_t from = sight->count * 3 / 4, i;
	for (i = sight->count - 2 - sight->count / 20; i < sight->count; i++)
		s.latest = sight->bytes[i] > s.latest ? sight->bytes[i] : s.latest;
	for (i = 0; i < sight->count; i++) {
		s.low = sight->bytes[i] < s.low ? sight->bytes[i] : s.low;
		s.high = sight->bytes[i] > s.high ? sight->bytes[i] : s.high;
	}
	memcpy(scratch, sight->bytes + from, (sight->count - from) * sizeof *scratch);
	s.level = series_median(scratch, sight->count - from);
	for (i = 0; i < sight->count; i++)
		scratch[i] = sight->bytes[i] > s.level ? sight->bytes[i] - s.level : s.level - sight->bytes[i];
	s.spread = series_median(scratch, sight->count);
	double share = FLAT_SHARE * (s.high - s.low), noise = noise_of(sight, from),
	       tolerance = share > noise ? share : noise;
	i = plateau_of(sight, s.level, tolerance);
	s.flat = i < sight->count ? sight->time[sight->count - 1] - sight->time[i] : 0;
	time_rise(sight, i, tolerance, &s);
	return s;
}

/* Sums over the windows. */
struct flow {
	uint64_t alloc, freed, aged;
};

static struct flow flow_of(const struct verdict_input *input)
{
	struct flow flow = {0, 0, 0};
	for (size_t i = 1; i < input->count; i++) {
		flow.alloc += input->windows[i].alloc_blocks;
		flow.freed += input->windows[i].freed_blocks;
		flow.aged += input->windows[i].aged_blocks;
	}
	return flow;
}

static bool turns_over(const struct sight *sight)
{
	struct flow flow = flow_of(sight->input);
	return sight->input->has_aged && flow.aged > 0 && flow.aged >= flow.freed / 2;
}

/* Nothing is freed; where that is not counted, nearly all is as old as the observation, or half of it. */
static bool is_as_it_was(const struct sight *sight)
{
	const struct verdict_input *input = sight->input;
	uint64_t old = 0, all = 0;
	if (input->has_flow)
		return flow_of(input).freed == 0;
	for (size_t i = 0; i < input->age_count; i++) {
		all += input->ages[i].blocks;
		old += (double)input->ages[i].to_ns / 1e9 > sight->span / 2 ? input->ages[i].blocks : 0;
	}
	return input->ages && old > 0 && old >= all - all / 10;
}

static void say(struct verdict *v, enum verdict_kind kind, enum verdict_why why)
{
	v->kind = kind;
	v->why = why;
}

/* Too few windows, or too long ones where it grew: a step of a leak would look the same. */
static bool is_coarse(const struct sight *sight, double rising, size_t rises)
{
	return sight->count <= VERDICT_PLATEAU_WINDOWS || (rising >= sight->span / 5 && rises < VERDICT_WINDOWS &&
	       sight->fine < sight->window / 2);
}

/* Grew, then stopped: in a short time, as start-up does, or over a long one, as a cache fills. */
static void judge_plateau(const struct sight *sight, double rising, size_t rises, struct verdict *v)
{
	if (is_coarse(sight, rising, rises)) {
		say(v, VERDICT_UNKNOWN, VERDICT_COARSE);
		v->wait_ns = sight->count <= VERDICT_PLATEAU_WINDOWS
		           ? (uint64_t)((double)(VERDICT_PLATEAU_WINDOWS + 1 - sight->count) * sight->window * 1e9) : 0;
	}
	else if (rising < sight->span / 5 || rises < VERDICT_WINDOWS)
		say(v, VERDICT_STARTUP, VERDICT_ONCE);
	else
		say(v, VERDICT_CACHE, VERDICT_BOUNDED);
}

/* More is live than before, and yet there is no trend to rely on. */
static enum verdict_why why_no_trend(const struct evidence *e, const struct shape *s, double pause)
{
	if (s->falls.count)
		return VERDICT_IRREGULAR;
	if (s->flat > pause)
		return VERDICT_PAUSED;
	return e->floors.count >= FLOORS_FEWEST && e->trend.z >= CERTAIN_Z && slows(e) ? VERDICT_FILLING
	                                                                               : VERDICT_FEW_STEPS;
}

/* All within a few percent of a level. */
static void judge_level(const struct sight *sight, struct verdict *v)
{
	if (turns_over(sight))
		say(v, VERDICT_CACHE, VERDICT_TURNS_OVER);
	else if (sight->bytes[sight->count - 1] > 0 && is_as_it_was(sight))
		say(v, VERDICT_STARTUP, VERDICT_BEFORE);
	else
		say(v, VERDICT_UNKNOWN, VERDICT_NO_GROWTH);
}

/* Little beside much that stays is growth all the same, when blocks grow: sizes alone drift, as blocks are replaced. */
static bool has_grown(const struct sight *sight, const struct evidence *e, const struct evidence *blocks)
{
	if (e->growth <= 0)
		return false;
	return is_as_it_was(sight) || (blocks->growth > 0 && blocks->trend.z >= CERTAIN_Z && e->trend.z >= CERTAIN_Z);
}

static void judge_shape(const struct sight *sight, const struct evidence *e, const struct evidence *blocks,
                        struct verdict *v)
{
	struct shape s = shape_of(sight);
	double range = s.high - s.low;
	bool rose = s.level - s.first > range / 2;
	if (range <= FLAT_SHARE * s.high && !has_grown(sight, e, blocks)) {
		judge_level(sight, v);
		return;
	}
	if (s.falls.count >= FALLS_FEWEST && s.falls.climbing >= SHARP) {
		say(v, VERDICT_GC_LAG, VERDICT_SAWTOOTH);
		v->period_ns = (uint64_t)(s.falls.period * 1e9);
	} else if (rose && s.flat >= sight->span / 4 && s.flat >= s.rising / 2 &&
	           s.flat >= CACHE_PAUSES * e->pauses.longest) {
		judge_plateau(sight, s.rising, s.rises, v);
	} else if (!rose && turns_over(sight) && s.falls.count < FALLS_FEWEST && range <= s.high / 2) {
		say(v, VERDICT_CACHE, VERDICT_TURNS_OVER); /* one window that is a little higher does not make it a spike */
	} else if (s.falls.count > 0 && s.falls.count < FALLS_FEWEST && s.latest <= s.low + range / 4 &&
	           s.high - s.low >= SPIKE_SPREADS * s.spread) {
		say(v, VERDICT_SPIKE, VERDICT_CAME_BACK);
	} else if (rose) {
		say(v, VERDICT_UNKNOWN, why_no_trend(e, &s, 2 * sight->window));
	} else {
		say(v, VERDICT_UNKNOWN, s.falls.count >= FALLS_FEWEST ? VERDICT_NO_GROWTH : VERDICT_IRREGULAR);
	}
	v->flat_ns = (uint64_t)(s.flat * 1e9);
}

/* ---- growth ---- */

/* When blocks do not grow any more, what bytes still do is chance of their sizes. */
static void judge_growth(const struct sight *sight, const struct evidence *lead, const struct evidence *blocks,
                         struct verdict *v)
{
	enum course course = course_of(lead, sight);
	if (blocks->grows && course_of(blocks, sight) > course) {
		lead = blocks;
		course = course_of(lead, sight);
	}
	if (course == STOPPED)
		judge_plateau(sight, lead->pauses.last - lead->pauses.first, lead->pauses.rises, v);
	else if (course == PAUSED)
		say(v, VERDICT_UNKNOWN, VERDICT_PAUSED);
	else if (course == SLOWS)
		say(v, VERDICT_UNKNOWN, VERDICT_FILLING);
	else if (was_replaced(sight, lead))
		say(v, VERDICT_UNKNOWN, VERDICT_REPLACED);
	else
		say(v, VERDICT_LEAK, VERDICT_GROWS);
}

/* Two pauses that can have been even are nobody's rhythm: a pool that doubles has such. */
static bool are_enough(const struct series_steps *steps)
{
	bool hidden = false;
	for (size_t i = 0; i < steps->count && i < SERIES_STEPS; i++)
		hidden |= steps->step[i].late > 0;
	return steps->count >= (hidden ? STEPS_HIDDEN : STEPS_FEWEST);
}

/* Few steps are no trend by the drift alone: they must be even, and the time since the last one no longer than between. */
static bool judge_steps(const struct evidence *bytes, const struct series_steps *steps, struct verdict *v)
{
	if (bytes->floors.count < FLOORS_FEWEST || !are_enough(steps) || !are_steps(bytes, steps) ||
	    !are_even(steps, bytes->all.time[bytes->all.count - STEP_WINDOWS]))
		return false;
	const struct series_step *last = &steps->step[steps->count - 1];
	double flat = bytes->all.time[bytes->all.count - 1] - last->time;
	if (flat > uneven_pauses(steps) * (last->time - steps->step[steps->count - 2].time))
		return false;
	say(v, VERDICT_LEAK, VERDICT_GROWS_STEPS);
	return true;
}

static void tell_steps(const struct series_steps *steps, struct verdict *v)
{
	v->steps = steps->count;
	for (size_t i = 0; i < steps->count; i++) {
		v->step_ns[i] = (uint64_t)(steps->step[i].time * 1e9);
		v->step_bytes[i] = (uint64_t)steps->step[i].size;
	}
}

static void tell(const struct sight *sight, const struct evidence *bytes, const struct evidence *blocks, double grain,
                 struct verdict *v)
{
	double block_sight = blocks->visible * grain;
	v->growth_bytes = (int64_t)bytes->growth;
	v->growth_blocks = (int64_t)blocks->growth;
	v->per_window = bytes->slope.median * sight->window;
	v->low = bytes->slope.low * sight->window;
	v->high = bytes->slope.high * sight->window;
	v->per_hour = bytes->slope.median * 3600;
	v->z = bytes->trend.z;
	v->sensitivity = (block_sight < bytes->visible ? block_sight : bytes->visible) * sight->window;
	v->flat_ns = (uint64_t)(bytes->pauses.flat * 1e9);
	v->last_growth_ns = bytes->pauses.rises ? (uint64_t)(bytes->pauses.last * 1e9) : 0;
	v->longest_pause_ns = (uint64_t)(bytes->pauses.longest * 1e9);
}

static void count_blocks(const struct verdict_input *input, struct verdict *v)
{
	struct flow flow = flow_of(input);
	v->aged_share = input->has_aged && flow.freed ? (double)flow.aged / (double)flow.freed : -1;
	if (!input->has_flow || !input->count)
		return;
	v->never_freed = input->windows[input->count - 1].live_blocks;
	v->ever_allocated = input->windows[0].live_blocks + flow.alloc;
}

/* Bytes of a block that is kept; of any block when none is more than before. */
static double grain_of(const struct sight *sight)
{
	size_t last = sight->count - 1;
	double bytes = sight->bytes[last] - sight->bytes[0], blocks = sight->blocks[last] - sight->blocks[0];
	if (bytes > 0 && blocks > 0)
		return bytes / blocks;
	return sight->blocks[last] > 0 ? sight->bytes[last] / sight->blocks[last] : 1;
}

static void judge(const struct sight *sight, struct evidence *bytes, struct evidence *blocks, struct verdict *v)
{
	double grain = grain_of(sight);
	struct series_steps steps;
	gather(sight, sight->bytes, grain, bytes);
	gather(sight, sight->blocks, 1, blocks);
	tell(sight, bytes, blocks, grain, v);
	series_steps(&bytes->kept, STEP_SHARE, sight->fine, &steps);
	if (bytes->grows)
		judge_growth(sight, bytes, blocks, v);
	else if (blocks->grows && bytes->growth > 0)
		judge_growth(sight, blocks, blocks, v);
	else if (!judge_steps(bytes, &steps, v))
		judge_shape(sight, bytes, blocks, v);
	if (are_steps(bytes, &steps))
		tell_steps(&steps, v);
}

void verdict_of(const struct verdict_input *input, struct verdict *v)
{
	*v = (struct verdict){.why = VERDICT_TOO_FEW, .sensitivity = -1, .aged_share = -1};
	if (!in_order(input))
		return;
	v->windows = input->count ? input->count - 1 : 0;
	v->begin_ns = input->count ? input->windows[0].time_ns : 0;
	v->observed_ns = input->count ? input->windows[input->count - 1].time_ns - input->windows[0].time_ns : 0;
	count_blocks(input, v);
	if (v->windows < VERDICT_WINDOWS)
		return;
	struct sight *sight = malloc(sizeof *sight);
	struct evidence *evidence = calloc(2, sizeof *evidence);
	if (!sight || !evidence)
		die(2, "out of memory");
	look(input, sight);
	judge(sight, &evidence[0], &evidence[1], v);
	free(evidence);
	free(sight);
}

const char *verdict_name(enum verdict_kind kind)
{
	static const char *const names[VERDICT_KINDS] = {"unknown", "leak",  "cache",     "startup",
	                                                 "gc-lag",  "spike", "java-heap", "metaspace"};
	return (unsigned)kind < VERDICT_KINDS ? names[kind] : "unknown";
}
