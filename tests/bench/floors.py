#!/usr/bin/python3 -B
"""floors: what the rows of workloads.py cost at the least: `make floors`, or `BUILD=build tests/bench/floors.py [OPTIONS]`.

Runs each row untracked and under floor.c's stages, next to each other in turning order, and writes into floors.txt, for
every row measured, what the last stage came to as a ratio to the untracked run of the same round: medians with bootstrap
bounds, as bench.py does. A limit below that is out of reach for whoever keeps every block of every thread by its address,
counts it, and has seen that its stack is one that it knows: of as many frames as the row's stacks have on average, which a
recording of it says. Options have the environment variables named beside them. Status 1 when a row
failed, 2 for wrong usage.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
import time

import judge
from measure import MTRACE
from runs import UNTRACKED, Around, Failure
from workloads import BUILD, ROOT, WORKLOADS

STAGES = ["forward", "table", "counts", "stack"]
LIBRARY = os.path.join(BUILD, "tests/bench/floor.so")
ROWS = [w.key for w in WORKLOADS if not w.java]
TOLD = r"(\d+) allocated, \d+ bytes, \d+ freed, (\d+) missed"
STACK = r'"kind":"malloc".*?"alloc_blocks":(\d+)'  # of a line of a report
MISSED_MOST = 0.02  # of all blocks: they have no place in the table (blocks of 8 bytes), and cost less than they must


def arguments():
    env = os.environ.get
    p = argparse.ArgumentParser(description="what the rows of the bench cost at the least", epilog="rows: " + " ".join(ROWS))
    p.add_argument("--pairs", type=int, default=int(env("BENCH_PAIRS", "20")), help="BENCH_PAIRS: rounds of each row (20)")
    p.add_argument("--size", type=float, default=float(env("BENCH_SIZE", "1")), help="BENCH_SIZE: 1 is the whole (1)")
    p.add_argument("--run-seconds", type=float, default=300, help="most for one run (300)")
    p.add_argument("--only", default=env("BENCH", " ".join(ROWS)), help="BENCH: these rows only, separated by blanks")
    p.add_argument("--floors", default=env("BENCH_FLOORS", os.path.join(ROOT, "tests/bench/floors.txt")),
                   help="BENCH_FLOORS: the file whose lines of these rows are replaced")
    chosen = p.parse_args()
    chosen.only = chosen.only.split()
    unknown = [n for n in chosen.only if n not in ROWS]
    if unknown or chosen.pairs < 1 or chosen.size <= 0:
        p.error("no such row: " + " ".join(unknown) if unknown else "pairs and size must be positive")
    return chosen


def check_told(path):
    """The last stage saw the program's blocks: a library that was not there costs nothing."""
    try:
        with open(path) as f:
            told = [(int(blocks), int(missed)) for blocks, missed in re.findall(TOLD, f.read())]
    except OSError:
        told = []
    blocks, missed = max(told, default=(0, 0))
    if blocks < 1000 or missed > blocks * MISSED_MOST:
        raise Failure(f"floor.so counted {blocks} blocks, and had no place for {missed}")


def mean_frames(recording):
    """Of the stack of an allocation, those that have a return address: not what the compiler put in line."""
    blocks = frames = 0
    with subprocess.Popen([MTRACE, "report", "--json", "-n", "10000000", recording], stdout=subprocess.PIPE, text=True) as report:
        for text in report.stdout:
            stack = re.search(STACK, text)
            if stack:
                blocks += int(stack[1])
                frames += int(stack[1]) * (text.count('"language":') - text.count('"inlined":true'))
    if not blocks:
        raise Failure("nothing was recorded")
    return round(frames / blocks)


class Floor:
    """One row: its runs, and the ratios of each stage."""

    def __init__(self, workload, chosen):
        self.workload, self.chosen = workload, chosen
        self.told = os.path.join(workload.directory, "told")
        self.kinds = {"untracked": UNTRACKED}
        self.ratios, self.output, self.frames = {stage: [] for stage in STAGES}, None, 0

    def run(self, around):
        done = self.workload.run_once(around, self.chosen.size, self.chosen.run_seconds)
        self.output = done.output if self.output is None else self.output
        if done.output != self.output:
            raise Failure("another output than untracked")
        return done.seconds

    def around(self, stage, more=None):
        return Around([], {"LD_PRELOAD": LIBRARY, "FLOOR": stage, "FLOOR_FRAMES": str(self.frames), **(more or {})})

    def look_at_stacks(self):
        """By a tenth of the work, where it can be divided."""
        recording = os.path.join(self.workload.directory, "rec.mtr")
        tracked = Around([MTRACE, "run", "-f", "-o", recording, "--"], {"MTRACE_OPTIONS": f"dir={self.workload.directory}"})
        self.workload.run_once(tracked, self.chosen.size * (1 if self.workload.whole else 0.1), self.chosen.run_seconds)
        self.frames = mean_frames(recording)

    def first_runs(self):
        """Not among the rounds: files into the page cache, and whether the library sees what it must."""
        self.look_at_stacks()
        self.kinds.update((stage, self.around(stage)) for stage in STAGES)
        self.run(UNTRACKED)
        self.run(self.around(STAGES[-1], {"FLOOR_TELL": self.told}))
        check_told(self.told)

    def round(self, number):
        order = list(self.kinds)
        turn = number % len(order)
        seconds = {kind: self.run(self.kinds[kind]) for kind in order[turn:] + order[:turn]}
        for stage in STAGES:
            self.ratios[stage].append(seconds[stage] / seconds["untracked"])

    def measure(self):
        self.first_runs()
        for number in range(self.chosen.pairs):
            self.round(number)


def line(floor, chosen):
    """As floors.txt has it."""
    def figure(stage):
        low, high = judge.bounds(floor.ratios[stage])
        return f"{judge.median(floor.ratios[stage]):.2f}x ({low:.2f} to {high:.2f})"
    stages = ", ".join(f"{'+ ' if stage != STAGES[0] else ''}{stage} {figure(stage)}" for stage in STAGES)
    few = "" if chosen.pairs >= judge.PAIRS_TO_JUDGE and chosen.size >= 1 else "an indication only: "
    return (f"{floor.workload.key} | {judge.median(floor.ratios[STAGES[-1]]):.2f}x | {few}floor.c, {floor.frames} frames: {stages}; "
            f"{chosen.pairs} rounds, size {chosen.size:g}, {time.strftime('%Y-%m-%d')}")


def replace_lines(path, lines):
    """The rows' own lines; all others stay."""
    with open(path) as f:
        kept = [l for l in f.read().splitlines() if l.startswith("#") or l.split("|")[0].strip() not in lines]
    with open(path + ".new", "w") as f:
        f.write("\n".join(kept + list(lines.values())) + "\n")
    os.replace(path + ".new", path)


def main():
    chosen, failed = arguments(), 0
    for name in ("LD_PRELOAD", "MTRACE_OPTIONS", "MALLOC_CONF", "DEBUGINFOD_URLS"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory(prefix="mtrace-floors.") as directory:
        os.environ.update(HOME=directory)
        for workload in (w for w in WORKLOADS if w.key in chosen.only):
            try:
                workload.make(directory)
                floor = Floor(workload, chosen)
                floor.measure()
            except (Failure, OSError, subprocess.SubprocessError) as failure:
                print(f"  {workload.key}: {failure}", flush=True)
                failed += 1
                continue
            text = line(floor, chosen)
            replace_lines(chosen.floors, {workload.key: text})
            print("  " + text, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
