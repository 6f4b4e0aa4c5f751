/*
 * series: see series.h. Sources: Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 63 (1968);
 * Mann, Econometrica 13 (1945); Kendall, "Rank correlation methods" (1970), for ties.
 */
#include "model/series.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

bool series_valid(const struct series *s)
{
	if (s->count > SERIES_MOST)
		return false;
	for (size_t i = 0; i < s->count; i++) {
		if (!(s->value[i] > -DBL_MAX && s->value[i] < DBL_MAX))
			return false;
		if (i > 0 && !(s->time[i] > s->time[i - 1]))
			return false;
	}
	return true;
}

double series_span(const struct series *s)
{
	return s->count ? s->time[s->count - 1] - s->time[0] : 0;
}

/* Newton's, from above: each round halves the error until it doubles the digits; 1100 halvings cover every double. */
double series_root(double value)
{
	double root = value > 1 ? value : 1;
	if (!(value > 0))
		return 0;
	for (int i = 0; i < 1100; i++) {
		double next = 0.5 * (root + value / root);
		if (next >= root)
			break;
		root = next;
	}
	return root;
}

/* ln v = 2 artanh((v - 1) / (v + 1)), after halving v to below 2. */
double series_log(double value)
{
	double sum = 0;
	for (; value >= 2 && value < DBL_MAX; value /= 2)
		sum += 0.693147180559945309;
	double x = (value - 1) / (value + 1), power = x;
	for (int i = 1; i < 60; i += 2, power *= x * x)
		sum += 2 * power / i;
	return sum;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

double series_median(double *values, size_t count)
{
	if (count == 0)
		return 0;
	qsort(values, count, sizeof *values, ascending);
	return count & 1 ? values[count / 2] : 0.5 * (values[count / 2 - 1] + values[count / 2]);
}

/* ---- slope, trend, drift ---- */

static size_t rank(double place, size_t pairs)
{
	double top = (double)(pairs - 1);
	return (size_t)(place < 0 ? 0 : place > top ? top : place);
}

/* Sen's interval: from the M1-th to the (M2 + 1)-th slope, M1 and M2 being half of the pairs less and plus `reach`, z
   standard deviations of Kendall's score; the wider one where they fall between two. */
static void interval(const double *slopes, size_t pairs, double reach, struct series_slope *slope)
{
	double m1 = ((double)pairs - reach) / 2, m2 = ((double)pairs + reach) / 2;
	size_t high = rank(m2, pairs);
	slope->low = slopes[rank(m1 - 1, pairs)];
	slope->high = slopes[rank((double)high < m2 ? (double)high + 1 : m2, pairs)];
}

bool series_slope(const struct series *s, double z, struct series_slope *slope)
{
	size_t n = s->count, pairs = n < 2 ? 0 : n * (n - 1) / 2, k = 0;
	*slope = (struct series_slope){0, 0, 0};
	if (pairs == 0)
		return true;
	double *slopes = malloc(pairs * sizeof *slopes);
	if (!slopes)
		return false;
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			slopes[k++] = (s->value[j] - s->value[i]) / (s->time[j] - s->time[i]);
	slope->median = series_median(slopes, pairs);
	interval(slopes, pairs, z * series_root(series_trend(s).variance), slope);
	free(slopes);
	return true;
}

/* What equal values take from the variance. */
static double ties(const struct series *s)
{
	double sorted[SERIES_MOST], sum = 0;
	memcpy(sorted, s->value, s->count * sizeof *sorted);
	qsort(sorted, s->count, sizeof *sorted, ascending);
	for (size_t i = 0, run; i < s->count; i += run) {
		for (run = 1; i + run < s->count && !(sorted[i + run] > sorted[i]); run++)
			continue;
		double t = (double)run;
		sum += t * (t - 1) * (2 * t + 5);
	}
	return sum;
}

struct series_trend series_trend(const struct series *s)
{
	struct series_trend trend = {0, 0, 0, 0};
	double n = (double)s->count;
	if (s->count < 2)
		return trend;
	for (size_t i = 0; i < s->count; i++)
		for (size_t j = i + 1; j < s->count; j++)
			trend.score += (s->value[j] > s->value[i]) - (s->value[j] < s->value[i]);
	trend.variance = (n * (n - 1) * (2 * n + 5) - ties(s)) / 18;
	trend.tau = trend.score / (n * (n - 1) / 2);
	double corrected = trend.score - (trend.score > 0) + (trend.score < 0);
	if (trend.variance > 0)
		trend.z = corrected / series_root(trend.variance);
	return trend;
}

/* How far increments are from their mean, or from the drift's share of the time each took: whichever explains them better.
   Points of one distance make no difference. */
static double off_by(const struct series *s, double mean, double rate)
{
	double by_count = 0, by_time = 0, count = (double)(s->count - 1);
	for (size_t i = 1; i < s->count; i++) {
		double step = s->value[i] - s->value[i - 1], off = step - mean, late = step - rate * (s->time[i] - s->time[i - 1]);
		by_count += off * off;
		by_time += late * late;
	}
	return series_root((by_count < by_time ? by_count : by_time) / (count - 1));
}

struct series_drift series_drift(const struct series *s)
{
	struct series_drift drift = {0, 0, 0, s->count > 1 ? s->count - 1 : 0};
	double count = (double)drift.increments;
	if (drift.increments < 2)
		return drift;
	drift.mean = (s->value[s->count - 1] - s->value[0]) / count;
	drift.deviation = off_by(s, drift.mean, drift.mean * count / series_span(s));
	if (drift.deviation > 0)
		drift.t = drift.mean / drift.deviation * series_root(count);
	else if (drift.mean > 0)
		drift.t = DBL_MAX;
	return drift;
}

/* ---- rises that come back ---- */

/* A stack of points not yet returned to, each above the one below it, with the highest value since: every point comes
   and goes once. */
double series_excursion(const struct series *s, double height)
{
	size_t open[SERIES_MOST], depth = 0;
	double highest[SERIES_MOST], longest = 0;
	for (size_t i = 0; i < s->count; i++) {
		double top = s->value[i];
		while (depth > 0 && s->value[open[depth - 1]] >= s->value[i]) {
			size_t from = open[--depth];
			top = highest[depth] > top ? highest[depth] : top;
			if (highest[depth] > s->value[from] + height && s->time[i] - s->time[from] > longest)
				longest = s->time[i] - s->time[from];
			if (depth > 0 && highest[depth - 1] < top)
				highest[depth - 1] = top;
		}
		highest[depth] = s->value[i];
		open[depth++] = i;
	}
	return longest;
}

double series_fall(const struct series *s)
{
	double deepest = 0, highest = s->count ? s->value[0] : 0;
	for (size_t i = 0; i < s->count; i++) {
		if (s->value[i] > highest)
			highest = s->value[i];
		if (highest - s->value[i] > deepest)
			deepest = highest - s->value[i];
	}
	return deepest;
}

size_t series_floors(const struct series *s, double width, double *time, double *value, size_t most)
{
	double end = s->count ? s->time[s->count - 1] : 0;
	double span = s->count > 1 ? series_span(s) * (double)s->count / (double)(s->count - 1)
	                           : 0; /* with the first's own */
	size_t count = s->count == 0 ? 0 : width > 0 && span >= width ? (size_t)(span / width + 1e-9) : 1, kept = 0;
	if (count > most)
		count = most;
	bool filled[SERIES_MOST] = {false};
	for (size_t i = 0; i < s->count && count; i++) {
		size_t back = width > 0 ? (size_t)((end - s->time[i]) / width + 1e-9) : 0;
		size_t at = back < count ? count - 1 - back : 0;
		if (filled[at] && s->value[i] > value[at])
			continue;
		filled[at] = true;
		value[at] = s->value[i];
		time[at] = s->time[i];
	}
	for (size_t i = 0; i < count; i++) { /* stretches without a point are left out */
		if (!filled[i])
			continue;
		time[kept] = time[i];
		value[kept++] = value[i];
	}
	return kept;
}

void series_kept(const struct series *s, double width, double *kept)
{
	double end = s->count ? s->time[s->count - 1] : 0, least = DBL_MAX;
	for (size_t i = s->count; i-- > 0;) {
		if (s->value[i] < least)
			least = s->value[i];
		kept[i] = least;
	}
	double limit = s->count ? kept[s->count - 1] : 0;
	for (size_t i = s->count; i-- > 0 && s->time[i] >= end - width;)
		limit = kept[i];
	for (size_t i = 0; i < s->count; i++)
		if (kept[i] > limit)
			kept[i] = limit;
}

/* ---- pauses, steps, falls ---- */

/* How much earlier than point i it may have risen, beyond what is so of any. */
static double lateness(const struct series *s, size_t i, double fine)
{
	double window = s->time[i] - s->time[i - 1];
	return window >= 2 * fine ? window - fine : 0;
}

struct series_pauses series_pauses(const struct series *s, double tolerance, double fine)
{
	struct series_pauses p = {.flat = series_span(s)};
	size_t from = 0;
	for (size_t i = 1; i < s->count; i++) {
		if (!(s->value[i] > s->value[from] + tolerance))
			continue;
		double pause = s->time[i] - p.last, sure = pause - lateness(s, i, fine);
		if (p.rises++ == 0)
			p.first = s->time[i];
		else {
			p.longest = pause > p.longest ? pause : p.longest;
			p.sure = sure > p.sure ? sure : p.sure;
			p.sure_mean += sure;
		}
		p.last = s->time[i];
		from = i;
	}
	if (p.rises > 0)
		p.flat = s->time[s->count - 1] - p.last;
	if (p.rises > 1)
		p.mean = (p.last - p.first) / (double)(p.rises - 1);
	if (p.rises > 1)
		p.sure_mean /= (double)(p.rises - 1);
	return p;
}

void series_steps(const struct series *s, double share, double fine, struct series_steps *steps)
{
	*steps = (struct series_steps){.count = 0};
	double whole = s->count ? s->value[s->count - 1] - s->value[0] : 0;
	for (size_t i = 1; i < s->count && whole > 0; i++) {
		struct series_step step = {s->time[i], lateness(s, i, fine), 0};
		for (; i < s->count && s->value[i] > s->value[i - 1]; i++)
			step.size += s->value[i] - s->value[i - 1];
		if (!(step.size > 0) || step.size < share * whole)
			continue;
		if (steps->count < SERIES_STEPS)
			steps->step[steps->count] = step;
		steps->count++;
		steps->explained += step.size / whole;
	}
}

double series_range(const struct series *s)
{
	double low = s->count ? s->value[0] : 0, high = low;
	for (size_t i = 0; i < s->count; i++) {
		low = s->value[i] < low ? s->value[i] : low;
		high = s->value[i] > high ? s->value[i] : high;
	}
	return high - low;
}

static void time_falls(struct series_falls *falls, const double *times)
{
	double between_falls[SERIES_MOST], longest = 0;
	if (falls->count < 3)
		return;
	for (size_t i = 1; i < falls->count; i++) {
		between_falls[i - 1] = times[i] - times[i - 1];
		if (between_falls[i - 1] > longest)
			longest = between_falls[i - 1];
	}
	falls->period = series_median(between_falls, falls->count - 1);
	falls->worst = longest / falls->period;
}

/* A fall is from a peak to the next trough, a rise of half the range ends one and begins the next. */
struct series_falls series_falls(const struct series *s)
{
	struct series_falls falls = {0, 0, 0, 0};
	double times[SERIES_MOST], half = series_range(s) / 2, peak = s->count ? s->value[0] : 0, trough = peak;
	size_t up = 0, down = 0;
	bool fallen = false;
	for (size_t i = 1; i < s->count && half > 0; i++) {
		double value = s->value[i];
		up += value > s->value[i - 1];
		down += value < s->value[i - 1];
		if (fallen && value < trough)
			trough = value;
		if (fallen && value - trough >= half) {
			fallen = false;
			peak = value;
		}
		if (!fallen && value > peak)
			peak = value;
		if (!fallen && peak - value >= half) {
			fallen = true;
			trough = value;
			times[falls.count++] = s->time[i];
		}
	}
	falls.climbing = (double)up / (down ? (double)down : 1);
	time_falls(&falls, times);
	return falls;
}
