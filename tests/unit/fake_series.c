/*
 * fake_series: see fake_series.h. A stack is a sum of parts; a part is cohorts of blocks, by the window in which they
 * were born, and a rule for births and deaths. Counts are whole numbers: births are Poisson around a rate that follows
 * a load, which swings over a day longer or shorter than the observation and trembles from window to window; deaths are
 * binomial. Block sizes are fixed or vary as an exponential does. Windows are even, or uneven by up to a factor of four.
 */
#include "fake_series.h"

#include <math.h>
#include <string.h>

struct part {
	double alive[FAKE_WINDOWS + 1], bytes[FAKE_WINDOWS + 1]; /* by cohort; [0]: born before the first window */
	double size;
	bool varies;
};

struct world {
	struct fake_series *out; /* windows beyond input.count stay empty */
	uint64_t state;
	uint32_t n;
	double length[FAKE_WINDOWS]; /* of a window, in mean windows */
	double load[FAKE_WINDOWS];   /* mean about 1 */
};

/* ---- chance ---- */

static uint64_t bits(struct world *w)
{
	uint64_t z = w->state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static double uniform(struct world *w, double from, double to)
{
	return from + (to - from) * ((double)(bits(w) >> 11) / 9007199254740992.0);
}

static double even_log(struct world *w, double from, double to)
{
	return from * exp(uniform(w, 0, log(to / from)));
}

static bool chance(struct world *w, double p)
{
	return uniform(w, 0, 1) < p;
}

static double normal(struct world *w)
{
	double u = uniform(w, 1e-12, 1);
	return sqrt(-2 * log(u)) * cos(6.283185307179586 * uniform(w, 0, 1));
}

static double poisson(struct world *w, double mean)
{
	if (mean > 60)
		return fmax(0, round(mean + sqrt(mean) * normal(w)));
	double limit = exp(-mean), product = uniform(w, 0, 1), k = 0;
	for (; product > limit; k++)
		product *= uniform(w, 0, 1);
	return k;
}

static double binomial(struct world *w, double n, double p)
{
	double k = 0;
	if (p >= 1)
		return n;
	if (n > 40 && n * p * (1 - p) > 9)
		return fmin(n, fmax(0, round(n * p + sqrt(n * p * (1 - p)) * normal(w))));
	if (n > 40)
		return p < 0.5 ? fmin(n, poisson(w, n * p)) : n - fmin(n, poisson(w, n * (1 - p)));
	for (double i = 0; i < n; i++)
		k += chance(w, p);
	return k;
}

/* ---- blocks ---- */

static double sizes(struct world *w, const struct part *p, double count)
{
	double sum = 0;
	if (!p->varies)
		return count * p->size;
	if (count > 20)
		return fmax(count, round(count * p->size + sqrt(count) * p->size * normal(w)));
	for (double i = 0; i < count; i++)
		sum += 1 + floor(-log(uniform(w, 1e-12, 1)) * p->size);
	return sum;
}

static void born(struct world *w, struct part *p, uint32_t cohort, double count)
{
	p->alive[cohort] += count;
	p->bytes[cohort] += sizes(w, p, count);
	if (cohort > 0)
		w->out->windows[cohort - 1].alloc_blocks += (uint64_t)count;
}

static void die_of(struct world *w, struct part *p, uint32_t window, uint32_t cohort, double count)
{
	struct verdict_window *to = &w->out->windows[window];
	double bytes = count < p->alive[cohort] ? floor(p->bytes[cohort] * count / p->alive[cohort]) : p->bytes[cohort];
	p->alive[cohort] -= count;
	p->bytes[cohort] -= bytes;
	to->freed_blocks += (uint64_t)count;
	to->aged_blocks += cohort <= window ? (uint64_t)count : 0;
}

/* Oldest first. */
static void evict(struct world *w, struct part *p, uint32_t window, double count)
{
	for (uint32_t c = 0; c <= window + 1 && count > 0; c++) {
		double k = fmin(count, p->alive[c]);
		if (k > 0)
			die_of(w, p, window, c, k);
		count -= k;
	}
}

/* Each with the same chance. */
static void thin(struct world *w, struct part *p, uint32_t window, double share, bool also_new)
{
	for (uint32_t c = 0; c <= window + (also_new ? 1 : 0); c++) {
		double k = p->alive[c] > 0 ? binomial(w, p->alive[c], share) : 0;
		if (k > 0)
			die_of(w, p, window, c, k);
	}
}

static double alive(const struct part *p)
{
	double sum = 0;
	for (uint32_t c = 0; c <= FAKE_WINDOWS; c++)
		sum += p->alive[c];
	return sum;
}

/* At the end of a window. */
static void count(struct world *w, const struct part *p, uint32_t window)
{
	struct verdict_window *to = &w->out->windows[window];
	for (uint32_t c = 0; c <= window + 1; c++) {
		to->live_blocks += (uint64_t)p->alive[c];
		to->live_bytes += (uint64_t)p->bytes[c];
	}
}

/* Classes of age are powers of two, as the segment has them. */
static void tell_ages(struct world *w, const struct part *p)
{
	double end = (double)w->out->windows[w->n - 1].time_ns;
	for (uint32_t c = 0; c <= w->n; c++) {
		double begin = c < 2 ? 0 : (double)w->out->windows[c - 2].time_ns;
		double age = c == 0 ? end * 1.5 : end - (begin + (double)w->out->windows[c - 1].time_ns) / 2;
		uint32_t class = age < 1 ? 0 : (uint32_t)log2(age);
		w->out->ages[class].blocks += (uint64_t)p->alive[c];
		w->out->ages[class].bytes += (uint64_t)p->bytes[c];
	}
}

static void choose_size(struct world *w, struct part *p)
{
	p->size = floor(even_log(w, 16, 65536));
	p->varies = chance(w, 0.4);
}

/* ---- the world ---- */

static void begin(struct world *w, enum fake_series_kind kind, uint64_t seed, struct fake_series *out)
{
	static const double lengths[] = {1e9, 10e9, 60e9, 600e9};
	memset(out, 0, sizeof *out);
	*w = (struct world){.out = out, .state = seed * 64 + kind};
	w->n = (uint32_t)uniform(w, kind == FAKE_LEAK_STEPS ? 165 : 32, FAKE_WINDOWS);
	double length = lengths[bits(w) & 3], swing = uniform(w, 0, 0.7), phase = uniform(w, 0, 6.28);
	double day = even_log(w, 0.4, 3) * w->n, tremble = uniform(w, 0, 0.3), at = 0;
	bool uneven = chance(w, 0.3);
	for (uint32_t i = 0; i < w->n; i++) {
		w->length[i] = uneven ? uniform(w, 0.5, 2) / 1.25 : 1 + uniform(w, -0.02, 0.02);
		w->load[i] = (1 + swing * sin(6.283185307179586 * i / day + phase)) * exp(tremble * normal(w));
		at += w->length[i] * length;
		out->windows[i].time_ns = (uint64_t)at;
	}
	out->window_ns = at / w->n;
	for (uint32_t c = 0; c < FAKE_AGES; c++)
		out->ages[c] = (struct verdict_age){.from_ns = c ? 1ull << c : 0, .to_ns = c < 63 ? 2ull << c : UINT64_MAX};
	out->input = (struct verdict_input){.windows = out->windows, .count = w->n, .ages = out->ages, .age_count = FAKE_AGES,
	                                    .has_flow = true, .has_aged = true};
}

static double rate(const struct world *w, uint32_t i, double per_window)
{
	return per_window * w->length[i] * w->load[i];
}

/* Requests whose blocks live `life` windows on average: those of a window die within it or with the same chance each. */
static void traffic(struct world *w, double per_window, double life, double size, bool varies)
{
	struct part p = {.size = size, .varies = varies};
	born(w, &p, 0, poisson(w, per_window * life * w->load[0]));
	for (uint32_t i = 0; i < w->n; i++) {
		double ends = 1 - exp(-w->length[i] / life), stays = life / w->length[i] * ends;
		thin(w, &p, i, ends, false);
		born(w, &p, i + 1, poisson(w, rate(w, i, per_window)));
		die_of(w, &p, i, i + 1, binomial(w, p.alive[i + 1], 1 - stays));
		count(w, &p, i);
	}
	tell_ages(w, &p);
}

static void maybe_traffic(struct world *w, double chance_of_it, double size)
{
	if (chance(w, chance_of_it))
		traffic(w, even_log(w, 1, 1000), even_log(w, 0.02, 5), size, chance(w, 0.5));
}

static void maybe_before(struct world *w, struct part *p)
{
	if (chance(w, 0.5))
		born(w, p, 0, floor(even_log(w, 1, 10000)));
}

/* ---- leaks ---- */

static void leak(struct world *w, double per_window, uint32_t from, struct part *p)
{
	double leaked = 0;
	maybe_before(w, p);
	for (uint32_t i = 0; i < w->n; i++) {
		double before = p->bytes[i + 1];
		if (i >= from)
			born(w, p, i + 1, poisson(w, rate(w, i, per_window)));
		leaked += p->bytes[i + 1] - before;
		count(w, p, i);
	}
	w->out->leaked_per_window = leaked / w->n;
	tell_ages(w, p);
}

static void plain_leak(struct world *w)
{
	struct part p = {0};
	choose_size(w, &p);
	leak(w, even_log(w, 0.5, 1000), 0, &p);
	maybe_traffic(w, 0.6, p.size);
}

static void slow_leak(struct world *w)
{
	struct part p = {0};
	choose_size(w, &p);
	leak(w, even_log(w, 8, 200) / w->n, 0, &p);
	maybe_traffic(w, 0.4, p.size);
}

static void midway_leak(struct world *w)
{
	struct part p = {0};
	choose_size(w, &p);
	leak(w, even_log(w, 1, 1000), (uint32_t)(uniform(w, 0.1, 0.5) * w->n), &p);
	maybe_traffic(w, 0.4, p.size);
}

/* 30 MiB every 40 windows, by a job that runs one to three windows, give or take one. */
static void step_leak(struct world *w)
{
	struct part p = {.size = even_log(w, 64, 30 << 20)};
	double blocks = fmax(1, floor((30 << 20) / p.size)), next = floor(uniform(w, 1, 40)), run = floor(uniform(w, 1, 4)), leaked = 0;
	maybe_before(w, &p);
	p.size = floor((30 << 20) / blocks);
	for (uint32_t i = 0; i < w->n; i++) {
		double into = i - next;
		if (into >= 0 && into < run) {
			double now = into + 1 < run ? floor(blocks / run) : blocks - floor(blocks / run) * (run - 1);
			born(w, &p, i + 1, now);
			leaked += now * p.size;
		}
		if (into + 1 >= run)
			next += 40 + (chance(w, 0.3) ? (chance(w, 0.5) ? 1 : -1) : 0);
		count(w, &p, i);
	}
	w->out->leaked_per_window = leaked / w->n;
	tell_ages(w, &p);
	maybe_traffic(w, 0.3, even_log(w, 16, 1024));
}

/* ---- collectors ---- */

/* Garbage piles up until it is freed at once: after a number of windows, or when there is `limit` of it. */
static void garbage(struct world *w, double per_window, double every, double limit, double survive, struct part *p)
{
	double since = uniform(w, 0, every), threshold = limit;
	for (uint32_t i = 0; i < w->n; i++) {
		born(w, p, i + 1, poisson(w, rate(w, i, per_window)));
		since += 1;
		bool due = every > 0 ? since >= every : alive(p) > threshold;
		if (due) {
			thin(w, p, i, 1 - survive, true);
			since = every > 0 ? since - every : 0;
			threshold = limit * uniform(w, 0.7, 1.3) + alive(p);
		}
		count(w, p, i);
	}
	tell_ages(w, p);
}

static void collector(struct world *w, double *per_window, struct part *p)
{
	*per_window = even_log(w, 5, 5000);
	choose_size(w, p);
	garbage(w, *per_window, 0, *per_window * uniform(w, 3, w->n / 6.0), chance(w, 0.5) ? 0 : uniform(w, 0, 0.1), p);
}

static void leak_under_collector(struct world *w)
{
	struct part p = {0}, leaking = {0};
	double per_window;
	collector(w, &per_window, &p);
	leaking.size = p.size;
	leak(w, per_window * even_log(w, 0.01, 0.3), 0, &leaking);
}

static void lazy(struct world *w, bool divides)
{
	struct part p = {0};
	uint32_t period = (uint32_t)uniform(w, 2, w->n / 3.0);
	if (divides)
		w->n -= w->n % period;
	else if (w->n % period == 0)
		w->n--;
	w->out->input.count = w->n;
	choose_size(w, &p);
	garbage(w, even_log(w, 5, 5000), period, 0, 0, &p);
}

/* ---- caches and pools ---- */

static void cache_late(struct world *w)
{
	struct part p = {0};
	double per_window = even_log(w, 1, 1000), full_at = uniform(w, 0.15, 0.9), bound = 0;
	enum { EVICTS, EVICTS_ANY, FULL } then = bits(w) % 3;
	choose_size(w, &p);
	maybe_before(w, &p);
	for (uint32_t i = 0; i < w->n; i++) {
		bool filling = i < full_at * w->n;
		if (filling || then != FULL)
			born(w, &p, i + 1, poisson(w, rate(w, i, per_window)));
		double now = alive(&p);
		if (filling)
			bound = now;
		else if (now > bound && then == EVICTS)
			evict(w, &p, i, now - bound);
		else if (now > bound) /* as many as came, of whatever age */
			for (double k = now - bound; k > 0; k--) {
				double at = uniform(w, 0, alive(&p));
				uint32_t c = 0;
				while (c < i + 1 && at >= p.alive[c])
					at -= p.alive[c++];
				double some = fmin(fmin(p.alive[c], ceil(k / 8)), k);
				if (some > 0)
					die_of(w, &p, i, c, some);
				k -= some - 1;
			}
		count(w, &p, i);
	}
	w->out->plateau_ns = (1 - full_at) * w->out->window_ns * w->n;
	tell_ages(w, &p);
}

/* Each request may be for a key that is there: it fills ever more slowly, and holds 99 % of all keys at the end. */
static void cache_slowing(struct world *w)
{
	struct part p = {0};
	double keys = even_log(w, 200, 1e6), requests = keys / (w->n * uniform(w, 0.03, 0.2));
	choose_size(w, &p);
	for (uint32_t i = 0; i < w->n; i++) {
		double misses = keys - alive(&p);
		born(w, &p, i + 1, binomial(w, misses, 1 - exp(-rate(w, i, requests) / keys)));
		count(w, &p, i);
	}
	tell_ages(w, &p);
}

static void lru(struct world *w)
{
	struct part p = {0};
	double bound = floor(even_log(w, 50, 100000)), per_window = bound * even_log(w, 0.001, 0.5);
	bool any = chance(w, 0.3);
	choose_size(w, &p);
	born(w, &p, 0, bound);
	for (uint32_t i = 0; i < w->n; i++) {
		double come = fmin(poisson(w, rate(w, i, per_window)), bound);
		if (any)
			thin(w, &p, i, come / bound, false);
		else
			evict(w, &p, i, come);
		born(w, &p, i + 1, any ? fmax(0, bound - alive(&p)) : come);
		count(w, &p, i);
	}
	tell_ages(w, &p);
}

/* Demand grows and settles; the pool doubles when it is short, in one block moved or in one block more. */
static void pool_doubles(struct world *w)
{
	struct part p = {.size = 1};
	double first = floor(even_log(w, 4096, 1 << 20)), times = even_log(w, 2, 60), settles = uniform(w, 0.03, 0.3) * w->n;
	double capacity = first;
	bool moves = chance(w, 0.5);
	p.size = first;
	born(w, &p, 0, 1);
	for (uint32_t i = 0; i < w->n; i++) {
		double demand = first * times * (1 - exp(-(double)i / settles)) * uniform(w, 0.95, 1);
		while (demand > capacity) {
			p.size = moves ? capacity * 2 : capacity;
			capacity *= 2;
			if (moves)
				evict(w, &p, i, 1);
			born(w, &p, i + 1, 1);
		}
		count(w, &p, i);
	}
	tell_ages(w, &p);
}

/* ---- the rest ---- */

static void once(struct world *w, double at, double takes)
{
	struct part p = {0};
	double blocks = even_log(w, 1, 100000);
	choose_size(w, &p);
	maybe_before(w, &p);
	for (uint32_t i = 0; i < w->n; i++) {
		if (i >= at && i < at + takes)
			born(w, &p, i + 1, fmax(1, floor(blocks / takes)));
		count(w, &p, i);
	}
	tell_ages(w, &p);
}

static void startup(struct world *w)
{
	if (chance(w, 0.5))
		once(w, -1, 0);
	else
		once(w, 0, uniform(w, 1, w->n * 0.15));
	struct part p = {0};
	choose_size(w, &p);
	born(w, &p, 0, floor(even_log(w, 1, 100000)));
	for (uint32_t i = 0; i < w->n; i++)
		count(w, &p, i);
	tell_ages(w, &p);
}

static void spike(struct world *w)
{
	struct part p = {0};
	double lasts = fmax(2, uniform(w, 0.03, 0.4) * w->n), from = uniform(w, 0, w->n * 0.9 - lasts), per_window = even_log(w, 20, 5000);
	choose_size(w, &p);
	maybe_before(w, &p);
	for (uint32_t i = 0; i < w->n; i++) {
		if (i >= from && i < from + lasts * 0.6)
			born(w, &p, i + 1, poisson(w, rate(w, i, per_window)));
		double held = alive(&p) - p.alive[0];
		if (i >= from + lasts * 0.6 && held > 0)
			for (uint32_t c = 1; c <= i; c++)
				die_of(w, &p, i, c, i >= from + lasts ? p.alive[c] : binomial(w, p.alive[c], 2.5 / lasts));
		count(w, &p, i);
	}
	tell_ages(w, &p);
	maybe_traffic(w, 0.5, p.size / 8 + 1);
}

static void noise(struct world *w, double from, double to)
{
	struct part p = {0};
	choose_size(w, &p);
	traffic(w, even_log(w, from, to), even_log(w, 0.02, 5), p.size, p.varies);
}

/* Sessions: what is live follows the load, late. */
static void day(struct world *w)
{
	struct part p = {0};
	choose_size(w, &p);
	traffic(w, even_log(w, 5, 5000), even_log(w, 1, w->n / 10.0), p.size, p.varies);
}

/* Work that waits, served oldest first, at 90 to 100 % of what can be done: its length wanders far and comes back late. */
static void queue(struct world *w)
{
	struct part p = {0};
	double per_window = even_log(w, 5, 2000), done = per_window / uniform(w, 0.9, 1);
	choose_size(w, &p);
	born(w, &p, 0, poisson(w, per_window * uniform(w, 0, 10)));
	for (uint32_t i = 0; i < w->n; i++) {
		born(w, &p, i + 1, poisson(w, per_window * w->length[i]));
		evict(w, &p, i, fmin(alive(&p), poisson(w, done * w->length[i])));
		count(w, &p, i);
	}
	tell_ages(w, &p);
}

void fake_series(enum fake_series_kind kind, uint64_t seed, struct fake_series *out)
{
	struct world w;
	struct part p = {0};
	double per_window;
	begin(&w, kind, seed, out);
	switch (kind) {
	case FAKE_LEAK: plain_leak(&w); break;
	case FAKE_SLOW_LEAK: slow_leak(&w); break;
	case FAKE_LEAK_STEPS: step_leak(&w); break;
	case FAKE_LEAK_UNDER_GC: leak_under_collector(&w); break;
	case FAKE_LEAK_MIDWAY: midway_leak(&w); break;
	case FAKE_CACHE_LATE: cache_late(&w); break;
	case FAKE_CACHE_SLOWING: cache_slowing(&w); break;
	case FAKE_LRU: lru(&w); break;
	case FAKE_POOL_DOUBLES: pool_doubles(&w); break;
	case FAKE_LAZY_DIVIDES: lazy(&w, true); break;
	case FAKE_LAZY_ODD: lazy(&w, false); break;
	case FAKE_STARTUP: startup(&w); break;
	case FAKE_INIT_LATE: once(&w, uniform(&w, 0.05, 0.95) * w.n, uniform(&w, 1, 6)); break;
	case FAKE_SPIKE: spike(&w); break;
	case FAKE_NOISE_SMALL: noise(&w, 0.5, 20); break;
	case FAKE_NOISE_LARGE: noise(&w, 20, 20000); break;
	case FAKE_DAY: day(&w); break;
	case FAKE_GC: collector(&w, &per_window, &p); break;
	case FAKE_QUEUE: queue(&w); break;
	case FAKE_KINDS: break;
	}
}

const char *fake_series_name(enum fake_series_kind kind)
{
	static const char *const names[FAKE_KINDS] = {
		[FAKE_LEAK] = "leak", [FAKE_SLOW_LEAK] = "slow leak", [FAKE_LEAK_STEPS] = "leak in steps",
		[FAKE_LEAK_UNDER_GC] = "leak under collector", [FAKE_LEAK_MIDWAY] = "leak from midway on",
		[FAKE_CACHE_LATE] = "cache, late bound", [FAKE_CACHE_SLOWING] = "cache, slows down", [FAKE_LRU] = "LRU at its bound",
		[FAKE_POOL_DOUBLES] = "pool that doubles", [FAKE_LAZY_DIVIDES] = "lazy frees, even", [FAKE_LAZY_ODD] = "lazy frees, odd",
		[FAKE_STARTUP] = "start-up", [FAKE_INIT_LATE] = "late initialisation", [FAKE_SPIKE] = "spike",
		[FAKE_NOISE_SMALL] = "small noise", [FAKE_NOISE_LARGE] = "large noise", [FAKE_DAY] = "load of the day",
		[FAKE_GC] = "collector", [FAKE_QUEUE] = "queue at its limit",
	};
	return names[kind];
}
