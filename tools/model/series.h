/*
 * series: what a list of (time, value) says about itself: slope, trend, excursions, what is kept, pauses, steps, falls.
 *
 * Pure: no files, no clocks, no knowledge of memory; verdict.c asks. Times are seconds, strictly increasing, as far
 * apart as they like; values are finite. At most SERIES_MOST points: slope and trend look at every pair, 2 MiB and some
 * milliseconds at that bound, and verdict.c calls them on at most 32 points. Methods and sources: mtrace-verdicts.7.
 */
#ifndef MTRACE_SERIES_H
#define MTRACE_SERIES_H

#include <stdbool.h>
#include <stddef.h>

enum { SERIES_MOST = 512, SERIES_STEPS = 32 };

struct series {
	const double *time; /* seconds */
	const double *value;
	size_t count;
};

bool series_valid(const struct series *s); /* what the other functions take for granted */
double series_span(const struct series *s); /* seconds from the first to the last point */

/* Theil-Sen: the median slope of all pairs, with Sen's interval for the quantile `z` of the normal distribution. All 0
   with less than two points. false: no memory. */
struct series_slope {
	double median, low, high; /* per second */
};
bool series_slope(const struct series *s, double z, struct series_slope *slope);

/* Mann-Kendall: rises less falls over all pairs, its variance corrected for ties, and z with continuity correction. */
struct series_trend {
	double score, variance, z;
	double tau; /* score over the number of pairs: -1 to 1 */
};
struct series_trend series_trend(const struct series *s);

/* The mean of the increments over their own error: Student's t against a walk that drifts nowhere, which a mere
   test for trend takes for a trend in half of all cases. `deviation`: of the increments from the drift's share of their
   time, 0 when it is a straight line: points may be as far apart as they like. */
struct series_drift {
	double mean, deviation, t; /* t: HUGE when all increments are equal and positive */
	size_t increments;
};
struct series_drift series_drift(const struct series *s);

/* The longest rise that came back: seconds from a point to the first later one that is not above it, with one more than
   `height` above it between. What has risen for less than that at the end may come back, too. 0: nothing came back. */
double series_excursion(const struct series *s, double height);

/* The deepest fall from a value to any later one. */
double series_fall(const struct series *s);

/* The lowest value in each of the stretches of `width` seconds, counted from the end, and when it was (last). The first
   point stands for a mean window before it; a rest shorter than `width` belongs to the first stretch. Returns how many,
   at most `most`, which is at most SERIES_MOST. */
size_t series_floors(const struct series *s, double width, double *time, double *value, size_t most);

/* What is kept: kept[i] is the lowest value from point i on, and does not rise within the last `width` seconds: what
   is younger has not shown that it stays. kept has s->count places. */
void series_kept(const struct series *s, double width, double *kept);

/* Pauses of a series that never falls (series_kept): time between rises of more than `tolerance`. Points twice as far apart
   as `fine`, and farther, hide when between them it rose. */
struct series_pauses {
	double longest; /* between two rises; 0 with less than two */
	double mean;    /* from the first rise to the last, over the pauses between */
	double flat;    /* since the last rise until the end; the whole span when nothing rose */
	double first, last; /* when it began and ended to rise */
	double sure, sure_mean; /* longest and mean, if every rise was as early as it can have been */
	size_t rises;
};
struct series_pauses series_pauses(const struct series *s, double tolerance, double fine);

/* Steps of a series that never falls: neighbouring rises taken together, those of at least `share` of the whole rise. */
struct series_step {
	double time; /* of its first rise */
	double late; /* so much earlier it may have been */
	double size;
};
struct series_steps {
	struct series_step step[SERIES_STEPS]; /* the first of them */
	size_t count;                          /* may be more than SERIES_STEPS */
	double explained;                      /* share of the whole rise in steps */
};
void series_steps(const struct series *s, double share, double fine, struct series_steps *steps);

/* Falls of at least half the range: how many, the median time between them and how far single ones are from it (largest
   over median); 0 with less than three. `climbing`: points above their predecessor over points below it. */
struct series_falls {
	size_t count;
	double period, worst;
	double climbing;
};
struct series_falls series_falls(const struct series *s);

double series_range(const struct series *s);         /* highest less lowest */
double series_median(double *values, size_t count); /* reorders; 0 of none */
double series_root(double value);                   /* square root; the tools do not link libm */
double series_log(double value);                    /* natural logarithm of 1 and more */

#endif
