"""scaling: how the cost rises with depth, live blocks, stacks known and threads; memory per live block; the start-up.

Here the figure is the program's own ns per operation, in its steady part, under a plain preload: no start, no saving.
"""
import os
import subprocess
import time

import judge
from measure import MTRACE, emptied, read_report
from peers import HEAPTRACK_MOST
from runs import UNTRACKED, Around, Failure, run_command
from workloads import built, count

HEAPTRACK_PART = 20  # it works on such a part of the operations
HEAPTRACK_RUNS = 3
START_ROUNDS = 100
START_LIMIT_MS = 5.0


class Point:
    """per: the program's figure is divided by it (threads: its operations are counted per thread)."""

    def __init__(self, x, command, line="exact", per=1):
        self.x, self.command, self.line, self.per = x, command, line, per


class Series:
    """One chart: points along x; lines of points of one kind; limits: line -> how much its ratio may rise over the first
    point's, design section 8."""

    def __init__(self, key, title, across, points, limits, heaptrack=True):
        self.key, self.title, self.across, self.points, self.limits = key, title, across, points, limits
        self.heaptrack = heaptrack


def depth_points():
    return [Point(depth, lambda size, depth=depth: [built("micro"), count(20e6, size), str(depth)])
            for depth in (4, 8, 12, 20, 40, 80, 128, 200)]


def live_points():
    return [Point(live, lambda size, live=live: [built("blocks"), str(live), "64", count(2e6, size)])
            for live in (1000, 10000, 100000, 1000000, 10000000)]


def stack_points():
    def path(known, used):
        return lambda size: [built("paths"), str(known), str(used), count(4e6, size)]
    known = (200, 1000, 10000, 100000, 1000000)
    return [Point(n, path(n, n), "all in use, at random") for n in known] + \
           [Point(n, path(n, 200), "200 in use") for n in known[1:]]


def thread_points():
    def churn(threads):
        return lambda size: [built("churn"), str(threads), "1000", count(6e6 / threads, size)]
    return [Point(threads, churn(threads), per=threads) for threads in (1, 2, 4, 8, 16, 32, 64)]


SERIES = [
    Series("depth", "Cost against the depth of the stack", "frames (micro)", depth_points(), {}),
    Series("live", "Cost against live blocks", "live blocks of 64 B, replaced at random", live_points(), {"exact": 1.5}),
    Series("stacks", "Cost against stacks known", "stacks known (12 frames deep)", stack_points(),
           {"200 in use": 1.2, "all in use, at random": 3.0}, heaptrack=False),
    Series("threads", "Cost against threads", "threads (churn, 1 000 live blocks each)", thread_points(), {}),
]

MEMORY = [(64, 100000), (64, 1000000), (64, 10000000), (1024, 100000), (1024, 1000000)]
MEMORY_LIMITS = {64: 0.32, 1024: 0.025}


def own_figure(around, point, size, directory, limit):
    command = point.command(size)
    done = run_command(around, command, {}, directory, limit)
    if done.own_ns is None:
        raise Failure(f"{os.path.basename(command[0])} printed no figure")
    return done.own_ns / point.per


def heaptrack_figure(point, settings, directory):
    out = emptied(os.path.join(directory, "of-heaptrack"))
    around = Around(["heaptrack", "-o", os.path.join(out, "heaptrack")], address_space=HEAPTRACK_MOST)
    try:
        return own_figure(around, point, settings.size / HEAPTRACK_PART, directory, settings.peer_seconds)
    except (Failure, OSError):
        return None  # dies or takes too long there: its line ends


def one_round(series, settings, directory, number, record, heaptrack):
    exact = settings.preloaded()
    for point, of in zip(series.points, record["points"]):
        first, second = (UNTRACKED, exact) if number % 2 == 0 else (exact, UNTRACKED)
        took = {id(around): own_figure(around, point, settings.size, directory, 300) for around in (first, second)}
        settings.clear_segments()
        of["untracked"].append(took[id(UNTRACKED)])
        of["exact"].append(took[id(exact)])
        if heaptrack and number < HEAPTRACK_RUNS and None not in of["heaptrack"]:
            of["heaptrack"].append(heaptrack_figure(point, settings, directory))


def measure_series(series, seconds, settings, directory, say):
    record = {"key": series.key, "title": series.title, "across": series.across, "limits": series.limits,
              "date": time.strftime("%Y-%m-%d"), "cut_short": "", "failure": "", "source": "",
              "size": settings.size,
              "points": [{"x": p.x, "line": p.line, "untracked": [], "exact": [], "heaptrack": []}
                         for p in series.points]}
    heaptrack = series.heaptrack and any(peer.key == "heaptrack" for peer in settings.peers)
    began = time.monotonic()
    try:
        for number in range(settings.pairs):
            if number and time.monotonic() - began > seconds * number / (number + 1):
                record["cut_short"] = f"{number} of {settings.pairs} rounds, after {seconds:.0f} s"
                break
            one_round(series, settings, directory, number, record, heaptrack)
            say(f"{series.key}: round {number + 1}: " + " ".join(
                f"{p['x']}:{p['exact'][-1] / p['untracked'][-1]:.2f}x" for p in record["points"]))
    except (Failure, OSError, subprocess.SubprocessError) as failure:
        record["failure"] = str(failure)
    return record


def rises(record, point):
    """Round by round, the point's ratio over that of the series' first point."""
    first = record["points"][0]
    return [(a / b) / (c / d) for a, b, c, d in
            zip(point["exact"], point["untracked"], first["exact"], first["untracked"])]


# ---- memory and start-up -----------------------------------------------------------------------------------

def measure_memory(settings, directory, say):
    """Of many live blocks of one size and one stack: what the tracker says it took, and what the process grew by."""
    rows, recording = [], os.path.join(directory, "memory.mtr")
    most = 10000000 if settings.size >= 0.5 else 1000000
    for size, live in MEMORY:
        if live > most:
            continue
        command = [built("blocks"), str(live), str(size), "0"]
        plain = run_command(UNTRACKED, command, {}, directory, 120)
        tracked = run_command(settings.recorded_to(recording), command, {}, directory, 120)
        process = read_report(recording)
        rows.append({"size": size, "live": live, "live_bytes": size * live,
                     "tracker_bytes": process["trust"]["tracker_bytes"],
                     "grown_bytes": tracked.own_peak - plain.own_peak, "recording_bytes": os.path.getsize(recording),
                     "seen_blocks": process["totals"]["live_blocks"]})
        if rows[-1]["seen_blocks"] < live:
            raise Failure(f"memory: {rows[-1]['seen_blocks']} of {live} live blocks recorded")
        say(f"memory: {live} blocks of {size} B: tracker {rows[-1]['tracker_bytes']}, grown {rows[-1]['grown_bytes']}")
    return rows


def spawn_ms(words, environment):
    began = time.monotonic()
    pid = os.posix_spawn(words[0], words, {**os.environ, **environment},
                         file_actions=[(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)])
    status = os.waitpid(pid, 0)[1]
    if status != 0:
        raise Failure(f"{' '.join(words)} ended with {status}")
    return (time.monotonic() - began) * 1000


def measure_start(settings, directory, say):
    """Of `true`: untracked, with the shim preloaded, and under `mtrace run`: milliseconds, round by round."""
    recording = os.path.join(directory, "true.mtr")
    kinds = {"untracked": (["/bin/true"], {}), "preload": (["/bin/true"], settings.preloaded().environment),
             "run": ([MTRACE, "run", "-f", "-o", recording, "--", "/bin/true"], settings.options())}
    record = {kind: [] for kind in kinds}
    for number in range(START_ROUNDS + 3):
        order = list(kinds)
        order = order[number % 3:] + order[:number % 3]
        took = {kind: spawn_ms(*kinds[kind]) for kind in order}
        settings.clear_segments()
        if number >= 3:
            for kind, ms in took.items():
                record[kind].append(ms)
    say("start: " + ", ".join(f"{kind} {judge.median(ms):.2f} ms" for kind, ms in record.items()))
    return record
