#!/usr/bin/python3 -B
"""bench: what tracking costs, beside what others cost: `make bench`, or `BUILD=build tests/bench/bench.py [OPTIONS]`.

Measures the rows of workloads.py (measure.py), the scaling charts, memory and start-up (scaling.py), keeps all figures in
BUILD/bench/results.json and writes tests/bench/RESULTS.md with its plots from them (page.py) after every part, so that
nothing is lost when it is stopped. Bounded by --seconds: what did not fit is said on the page. Status 1 when something
failed, 2 for wrong usage. Options have the environment variables named beside them, for `make bench BENCH_PAIRS=5 …`.
"""
import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time

import measure
import page
import scaling
from peers import PEERS, PROFILER, versions
from runs import Failure
from workloads import BUILD, ROOT, WORKLOADS

PARTS = ["start", "memory", "instructions"]
SERIES_WEIGHT = 0.7


def arguments():
    env = os.environ.get
    names = [w.key for w in WORKLOADS] + [s.key for s in scaling.SERIES] + PARTS
    p = argparse.ArgumentParser(description="what tracking costs, beside what others cost",
                                epilog="parts: " + " ".join(names))
    p.add_argument("--pairs", type=int, default=int(env("BENCH_PAIRS", "20")),
                   help="BENCH_PAIRS: rounds of each row (20)")
    p.add_argument("--seconds", type=float, default=float(env("BENCH_SECONDS", "6000")),
                   help="BENCH_SECONDS: for all (6000)")
    p.add_argument("--size", type=float, default=float(env("BENCH_SIZE", "1")), help="BENCH_SIZE: 1 is the whole (1)")
    p.add_argument("--only", default=env("BENCH", " ".join(names)), help="BENCH: these parts only, separated by blanks")
    p.add_argument("--peers", default=env("BENCH_PEERS", " ".join(peer.key for peer in PEERS)),
                   help='BENCH_PEERS: these only, or "none"')
    p.add_argument("--peer-seconds", type=float, default=float(env("BENCH_PEER_SECONDS", "30")),
                   help="BENCH_PEER_SECONDS: most for one run of a peer (30)")
    p.add_argument("--merge", action="store_true", default=env("BENCH_MERGE", "0") == "1",
                   help="BENCH_MERGE=1: keep what an earlier run measured of the other parts")
    p.add_argument("--page", action="store_true", help="measure nothing: write the page again from the figures kept")
    p.add_argument("--results", default=env("BENCH_RESULTS", os.path.join(ROOT, "tests/bench/RESULTS.md")),
                   help="BENCH_RESULTS: where the page goes, plots beside it")
    chosen = p.parse_args()
    chosen.only = chosen.only.split()
    chosen.peers = [] if chosen.peers == "none" else chosen.peers.split()
    unknown = [n for n in chosen.only if n not in names] + [n for n in chosen.peers if n not in [q.key for q in PEERS]]
    if unknown or chosen.pairs < 1 or chosen.size <= 0:
        p.error("no such part or peer: " + " ".join(unknown) if unknown else "pairs and size must be positive")
    return chosen


def machine():
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    with open("/proc/meminfo") as f:
        memory = int(re.search(r"MemTotal:\s+(\d+)", f.read()).group(1)) * 1024
    gcc = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True).stdout.strip()
    return (f"{model.group(1).strip() if model else platform.machine()}, {os.cpu_count()} cores, {page.size(memory)}; "
            f"Linux {platform.release()}, {' '.join(platform.libc_ver())}, gcc {gcc}; "
            f"load before {os.getloadavg()[0]:.1f}")


def source():
    """The commit, and whether the tree was changed since; a tarball has none."""
    def git(*words):
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True).stdout.strip()
    changed = git("status", "--porcelain", "libmtrace", "tools")
    return (git("rev-parse", "--short", "HEAD") or "no commit") + (" and changes" if changed else "")


def load_results(path, about):
    empty = {"rows": {}, "series": {}, "start": None, "memory": None, "instructions": None}
    try:
        with open(path) as f:
            empty.update(json.load(f))
    except OSError:
        pass
    if about:
        empty["about"] = about
    return empty


def count_instructions():
    """What tests/programs/instructions.sh found: [(what, instructions, bound)]."""
    done = subprocess.run([os.path.join(ROOT, "tests/programs/instructions.sh")], capture_output=True, text=True,
                          timeout=600, env={**os.environ, "BUILD": BUILD})
    found = re.findall(r"^\S+ +instructions: (.*?): (-?\d+), bound (\d+)", done.stdout, re.M)
    if not found:
        raise Failure("instructions.sh: " + (done.stdout + done.stderr)[-300:])
    return [(what, int(n), int(bound)) for what, n, bound in found]


class Bench:
    """One run: what is asked for, the time left, and the figures so far, kept after each part."""

    def __init__(self, chosen, directory, segments):
        self.chosen, self.directory, self.began = chosen, directory, time.monotonic()
        self.ends = self.began + chosen.seconds
        self.kept = os.path.join(BUILD, "bench/results.json")
        about = {"machine": machine(), "source": source(), "date": time.strftime("%Y-%m-%d"), "pairs": chosen.pairs,
                 "size": chosen.size, "seconds": chosen.seconds, "used": 0, "peers": versions(), "left_out": []}
        self.results = load_results(self.kept if chosen.merge else os.devnull + "/none", about)
        self.settings = measure.Settings(chosen.pairs, chosen.size, [p for p in PEERS if p.key in chosen.peers],
                                         chosen.peer_seconds, segments)
        self.failed = []

    def say(self, words):
        print(f"  {time.monotonic() - self.began:5.0f} s  {words}", flush=True)

    def keep(self):
        self.results["about"]["used"] = time.monotonic() - self.began
        os.makedirs(os.path.dirname(self.kept), exist_ok=True)
        with open(self.kept + ".new", "w") as f:
            json.dump(self.results, f)
        os.replace(self.kept + ".new", self.kept)
        page.write(self.results, self.chosen.results)

    def part(self, name, work):
        """A part that is measured or not, as a whole."""
        if name not in self.chosen.only:
            return
        if time.monotonic() > self.ends:
            self.results["about"]["left_out"].append(f"{name}: no time was left")
            return
        try:
            self.results[name] = work()
        except (Failure, OSError, subprocess.SubprocessError, TypeError) as failure:
            self.failed.append(f"{name}: {failure}")
            self.results["about"]["left_out"].append(f"{name}: failed: {failure}")
        self.keep()

    def row(self, workload, seconds):
        try:
            workload.make(self.directory)
            record = measure.measure(workload, seconds, self.settings, self.say)
        except (Failure, OSError, subprocess.SubprocessError) as failure:
            record = {**measure.new_record(workload, self.chosen.size), "failure": str(failure)}
        record["source"] = self.results["about"]["source"]
        self.results["rows"][workload.key] = record
        return record["failure"]

    def series(self, series, seconds):
        record = scaling.measure_series(series, seconds, self.settings, self.directory, self.say)
        record["source"] = self.results["about"]["source"]
        self.results["series"][series.key] = record
        return record["failure"]

    def in_turn(self):
        """Charts and rows, each with its share of what time is left: what one does not use, the next ones have."""
        work = [(SERIES_WEIGHT, s, self.series) for s in scaling.SERIES if s.key in self.chosen.only]
        work += [(w.weight, w, self.row) for w in WORKLOADS if w.key in self.chosen.only]
        for number, (weight, what, do) in enumerate(work):
            left = self.ends - time.monotonic()
            if left <= 0:
                self.results["about"]["left_out"].append(f"{what.title}: no time was left")
                continue
            failure = do(what, left * weight / sum(w for w, _, _ in work[number:]))
            if failure:
                self.failed.append(f"{what.key}: {failure}")
                self.say(self.failed[-1])
            self.keep()

    def run(self):
        self.part("start", lambda: scaling.measure_start(self.settings, self.directory, self.say))
        self.part("memory", lambda: scaling.measure_memory(self.settings, self.directory, self.say))
        self.part("instructions", count_instructions)
        self.in_turn()
        self.keep()
        print(f"{self.chosen.results}: written, {len(self.failed)} failed, {time.monotonic() - self.began:.0f} s")
        return 1 if self.failed else 0


def main():
    chosen = arguments()
    if chosen.page:
        page.write(load_results(os.path.join(BUILD, "bench/results.json"), None), chosen.results)
        return 0
    for name in ("LD_PRELOAD", "MTRACE_OPTIONS", "MALLOC_CONF", "JAVA_TOOL_OPTIONS", "DEBUGINFOD_URLS"):
        os.environ.pop(name, None)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # peers die on some rows
    with tempfile.TemporaryDirectory(prefix="mtrace-bench.") as directory, \
            tempfile.TemporaryDirectory(prefix="mtrace-bench.", dir="/dev/shm") as segments:
        os.environ.update(HOME=directory, XDG_CACHE_HOME=directory + "/cache", XDG_STATE_HOME=directory + "/state")
        PROFILER.unpack(os.path.join(BUILD, "artifacts"), directory)
        return Bench(chosen, directory, segments).run()


if __name__ == "__main__":
    sys.exit(main())
