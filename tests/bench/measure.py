"""measure: one row of the table: rounds of untracked, tracked and dormant runs side by side, and the peers among them.

A round runs each of ours once, next to each other, in turning order; a ratio is always to the untracked run of the same
round. Peers take part in as many of the rounds as their price allows, in all of them when they are cheap; one that
would take too long works on a part of the size, beside an untracked run of the same part.
"""
import json
import os
import shutil
import subprocess
import time

import judge
from runs import UNTRACKED, Around, Failure, OutOfTime
from workloads import BUILD

MTRACE, SHIM = os.path.join(BUILD, "mtrace"), os.path.join(BUILD, "libmtrace.so")
PARTS = (1, 4, 16, 64)  # a slow peer works on one of these parts of the size
PROBES = (16, 64)  # parts tried first
MARGIN = 0.8  # of the time for one run is what a part may be thought to take
WHOLE_TIMES = 10  # an untracked run's time is what a peer has at least, where the size cannot be cut
PEERS_LEAST = 0.25  # of a row's time is the peers' at least


class Settings:
    """What the command line said, and where things are."""

    def __init__(self, pairs, size, peers, peer_seconds, segments):
        self.pairs, self.size, self.peers, self.peer_seconds, self.segments = pairs, size, peers, peer_seconds, segments

    def options(self, more=""):
        return {"MTRACE_OPTIONS": ":".join(filter(None, [f"dir={self.segments}", more]))}

    def recorded_to(self, recording, more=""):
        return Around([MTRACE, "run", "-f", "-o", recording, "--"], self.options(more))

    def preloaded(self, more=""):
        return Around([], {"LD_PRELOAD": SHIM, **self.options(more)})

    def clear_segments(self):
        for name in os.listdir(self.segments):
            os.unlink(os.path.join(self.segments, name))


def read_report(recording):
    text = subprocess.run([MTRACE, "report", "--json", "-n", "1", recording], capture_output=True, timeout=300).stdout
    if not text:
        raise Failure("nothing was recorded")
    return json.loads(text)["processes"][0]


def directory_bytes(directory):
    return sum(os.path.getsize(os.path.join(where, name)) for where, _, names in os.walk(directory) for name in names)


def emptied(directory):
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    return directory


# ---- ours -----------------------------------------------------------------------------------------------------------

BARE_PAIRS = 3


class Ours:
    """The untracked, the tracked and the dormant run of one workload, and what they took."""

    def __init__(self, workload, settings, limit):
        self.workload, self.settings, self.limit = workload, settings, limit
        self.recording = os.path.join(workload.directory, "rec.mtr")
        self.kinds = {"untracked": UNTRACKED, "exact": settings.recorded_to(self.recording, workload.options),
                      "dormant": settings.preloaded("mode=off"),
                      "bare": settings.recorded_to(self.recording, ":".join(filter(None, [workload.options, "unwind=none"])))}
        self.output = None

    def run(self, kind):
        done = self.workload.run_once(self.kinds[kind], self.settings.size, self.limit)
        self.settings.clear_segments()
        if self.output is None:
            self.output = done.output
        if done.output != self.output:
            raise Failure(f"{kind}: another output than untracked")
        return done

    def check_recording(self, record):
        """What the recording says of itself; a run that observed nothing is an error."""
        process = read_report(self.recording)
        record["recording_bytes"] = os.path.getsize(self.recording)
        record["tracker_bytes"] = process["trust"]["tracker_bytes"]
        record["trust"] = {key: n for key, n in process["trust"].items() if key.endswith("frees") and n}
        record["trust"].update({key: n for key, n in process["trust"]["drops"].items() if n})
        record["allocations"] = process["totals"]["alloc_blocks"]
        if process["mode"] != "exact" or not process["totals"]["alloc_blocks"]:
            raise Failure(f"mode {process['mode']}, {process['totals']['alloc_blocks']} allocations recorded")

    def first_runs(self, record):
        """One of each, not among the pairs: files into the page cache, symbols into ours; the price of a round."""
        plain, tracked = self.run("untracked"), self.run("exact")
        record["first_ratio"] = tracked.seconds / plain.seconds
        self.check_recording(record)
        return plain.seconds, tracked.seconds + 2 * plain.seconds

    def round(self, number, record):
        order = ["untracked", "exact", "dormant"]
        order = order[number % 3:] + order[:number % 3]
        done = {kind: self.run(kind) for kind in order}
        plain = done["untracked"]
        record["untracked"].append(plain.seconds)
        record["exact"].append(done["exact"].seconds / plain.seconds)
        record["dormant"].append(done["dormant"].seconds / plain.seconds)
        record["peak_untracked"].append(plain.target_peak)
        record["peak_exact"].append(done["exact"].target_peak)
        record["peak_mtrace"].append(done["exact"].tool_peak)
        return plain


    def without_stacks(self, record):
        """What is left of the cost when a stack costs nothing: a few pairs, each with an untracked run of its own."""
        for _ in range(min(BARE_PAIRS, len(record["exact"]))):
            plain = self.run("untracked")
            record["bare"].append(self.run("bare").seconds / plain.seconds)


# ---- peers ----------------------------------------------------------------------------------------------------------

class Beside:
    """One peer beside one workload: how much of the size it works on, how often, and what came of it."""

    def __init__(self, peer, workload, settings):
        self.peer, self.workload, self.settings = peer, workload, settings
        self.limit = settings.peer_seconds
        self.directory = os.path.join(workload.directory, "of-" + peer.key)
        self.make_around, self.part, self.wanted, self.price = peer.around, 1, 1, 0.0
        self.record = {"ratios": [], "part": 1, "note": "", "peaks": [], "bytes": 0, "fallback": ""}
        self.usable = bool(self.make_around(workload, self.directory))
        if not self.usable:
            self.record["note"] = "not there"

    def run(self, part):
        around = self.make_around(self.workload, emptied(self.directory))
        done = self.workload.run_once(around, self.settings.size / part, self.limit)
        self.record["bytes"] = directory_bytes(self.directory)
        return done

    def give_up(self, failure, plain_seconds):
        """The fallback's turn, if there is one and it was not that; otherwise the failure is the result."""
        if self.peer.fallback and not self.record["fallback"] and not isinstance(failure, OutOfTime):
            self.record.update(fallback=f"{self.peer.fallback[0]}; else {failure}", ratios=[], peaks=[])
            self.make_around = self.peer.fallback[1]
            return
        self.record["note"] = self.why(failure, plain_seconds)
        self.usable = False

    def why(self, failure, plain_seconds):
        return (f"> {self.limit / plain_seconds:.0f}x, " if isinstance(failure, OutOfTime) else "") + str(failure)

    def probe(self, plain_seconds):
        """Chooses the part by runs on two small ones: what starting costs is apart from what the size costs. A workload
        that cannot be made smaller is tried whole, in round 0."""
        self.price = plain_seconds * 2
        if not self.usable or self.workload.whole:
            return
        try:
            smallest = self.run(PROBES[1]).seconds
            seconds = self.by_size(self.run(PROBES[0]).seconds, smallest)
        except OutOfTime:
            self.set_part(PARTS[-1], self.limit)
        except Failure as failure:
            self.give_up(failure, plain_seconds)
            if self.usable:
                self.probe(plain_seconds)
        else:
            part = next((p for p in PARTS if seconds(p) <= self.limit * MARGIN), PARTS[-1])
            self.set_part(part, seconds(part) + (plain_seconds / part if part > 1 else 0))

    @staticmethod
    def by_size(small, smallest):
        """Seconds for a part, by the line through two runs."""
        slope = max(0.0, (small - smallest) / (1 / PROBES[0] - 1 / PROBES[1]))
        return lambda part: max(smallest, small + slope * (1 / part - 1 / PROBES[0]))

    def set_part(self, part, price):
        self.part = self.record["part"] = part
        self.price = price

    def failed(self, failure, plain_seconds):
        """In a round: one that took too long goes on with the next smaller part; what worked before keeps its figures."""
        smaller = [part for part in PARTS if part > self.part]
        if self.record["ratios"]:
            self.record["note"], self.usable = f"a later run: {failure}", False
        elif isinstance(failure, OutOfTime) and smaller and not self.workload.whole:
            self.record["note"] = self.why(failure, plain_seconds)
            self.set_part(smaller[0], self.price * self.part / smaller[0])
        else:
            self.give_up(failure, plain_seconds)

    def take_part(self, plain):
        """One run, in a round whose untracked run was plain."""
        try:
            if self.part > 1:
                plain = self.workload.run_once(UNTRACKED, self.settings.size / self.part, self.limit)
            done = self.run(self.part)
        except Failure as failure:
            self.failed(failure, plain.seconds)
            return
        self.record["note"] = ""
        self.record["ratios"].append(done.seconds / plain.seconds)
        self.record["peaks"].append(done.target_peak)


def share_out(beside, seconds, pairs):
    """How many rounds each peer takes part in: all when cheap, one at least; the cheapest first."""
    usable = sorted((b for b in beside if b.usable), key=lambda b: b.price)
    for left, b in zip(range(len(usable), 0, -1), usable):
        b.wanted = max(1, min(pairs, int(seconds / left / b.price)))
        seconds -= b.wanted * b.price


def plan(beside, ends, round_seconds, pairs):
    """Ours first: what they will not need is the peers', and a part in any case."""
    left = ends - time.monotonic()
    share_out(beside, max(left - pairs * round_seconds, PEERS_LEAST * left), pairs)


def peers_of_round(beside, number, plain, ends):
    """Each once, until it has its runs; after the first round only while that leaves ours their time."""
    for b in beside:
        if b.usable and len(b.record["ratios"]) < b.wanted and (number == 0 or time.monotonic() + b.price < ends):
            b.take_part(plain)


def learn_prices(beside, workload, plain):
    """After round 0, of those that could not be probed."""
    for b in beside:
        if workload.whole and b.record["ratios"]:
            b.price = b.record["ratios"][0] * plain.seconds


def probe_all(beside, workload, plain_seconds):
    for b in beside:
        if workload.whole:
            b.limit = max(b.limit, WHOLE_TIMES * plain_seconds)
        b.probe(plain_seconds)


# ---- a row ----------------------------------------------------------------------------------------------------------

def new_record(workload, size):
    return {"key": workload.key, "title": workload.title, "limit": workload.limit, "java": workload.java,
            "dormant_limit": workload.dormant_limit, "date": time.strftime("%Y-%m-%d"), "source": "", "size": size,
            "untracked": [], "exact": [], "dormant": [], "bare": [], "peak_untracked": [], "peak_exact": [], "peak_mtrace": [],
            "peers": {}, "cut_short": "", "failure": ""}


def measure(workload, seconds, settings, say):
    """A row within so many seconds, one round at least. What failed is in its record, never silently left out."""
    record, ends = new_record(workload, settings.size), time.monotonic() + seconds
    ours = Ours(workload, settings, max(60.0, seconds))
    try:
        plain_seconds, round_seconds = ours.first_runs(record)
        beside = [Beside(peer, workload, settings) for peer in ([] if workload.alone else settings.peers)]
        record["peers"] = {b.peer.key: b.record for b in beside}
        probe_all(beside, workload, plain_seconds)
        plan(beside, ends, round_seconds, settings.pairs)
        for number in range(settings.pairs):
            if number and time.monotonic() > ends:
                record["cut_short"] = f"{number} of {settings.pairs} pairs, after {seconds:.0f} s"
                break
            plain = ours.round(number, record)
            say(f"{workload.key}: {plain.seconds:.2f} s, tracked {record['exact'][-1]:.2f}x, "
                f"dormant {record['dormant'][-1]:.3f}x")
            peers_of_round(beside, number, plain, ends - round_seconds * (settings.pairs - number - 1))
            if number == 0:
                learn_prices(beside, workload, plain)
                plan(beside, ends, round_seconds, settings.pairs)
        ours.without_stacks(record)
    except (Failure, OSError, subprocess.SubprocessError) as failure:
        record["failure"] = str(failure)
    for key, of in record["peers"].items():
        ratios = of["ratios"]
        what = f"{judge.median(ratios):.2f}x ({len(ratios)} runs, size 1/{of['part']})" if ratios else of["note"]
        say(f"{workload.key}: {key} {what}")
    return record
