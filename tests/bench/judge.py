"""judge: medians, bounds and verdicts. Design section 8: a limit holds when the median of at least 20 pairs does and
the bootstrap upper bound is within 3 points above it."""
import random
import statistics

PAIRS_TO_JUDGE = 20
SECONDS_TO_JUDGE = 1.0  # an untracked run shorter than this measures how tools start
POINTS_ABOVE = 0.03
RESAMPLES = 4000


def median(values):
    return statistics.median(values)


def spread(values):
    """Half of what the middle half of the values spans, over the median."""
    if len(values) < 2:
        return 0.0
    quarter = statistics.quantiles(values, n=4)
    return (quarter[2] - quarter[0]) / 2 / median(values)


def bounds(values):
    """95 % bootstrap bounds of the median: (lower, upper). Seeded: the same values give the same bounds."""
    chance = random.Random(1)
    medians = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return medians[int(0.025 * RESAMPLES)], medians[int(0.975 * RESAMPLES)]


def holds(values, limit):
    return median(values) <= limit and bounds(values)[1] <= limit + POINTS_ABOVE


def verdict(values, limit, size=1.0, seconds=SECONDS_TO_JUDGE):
    """The judged column's words; size: of the whole workload; seconds: of the untracked run."""
    if not values:
        return "not measured"
    word = "holds" if holds(values, limit) else "does not hold"
    if len(values) < PAIRS_TO_JUDGE:
        return f"not judged ({len(values)} {'pairs' if len(values) > 1 else 'pair'}; so far it {word})"
    if size < 1:
        return f"not judged (size {size:g}; so far it {word})"
    if seconds < SECONDS_TO_JUDGE:
        return f"not judged (untracked {seconds:.2f} s; so far it {word})"
    return f"**{word}**"
