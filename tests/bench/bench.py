#!/usr/bin/python3
"""bench: what tracking costs: paired runs of each workload, untracked and under `mtrace run -f -o REC -- CMD`.

Called by `make bench`; writes the Markdown table tests/bench/RESULTS.md (BENCH_RESULTS=FILE: elsewhere). Time is that of
the whole command until it exits, recording and symbols written. A pair is one run of each, in alternating order; the
ratio is the median over pairs, with the least and the most. heaptrack does the same beside us, once, with a time limit.
A run that fails, prints something else than the untracked one, or recorded nothing makes the bench fail (status 1).

BENCH_PAIRS (5) pairs at most; BENCH_SECONDS (900) for all: each workload ends its pairs when its share is used up, after
one at least. BENCH="micro sqlite" picks some. Needs: BUILD; valgrind for the counts of instructions, which are left out
without it. A workload is a row of WORKLOADS; its files are made in a temporary directory.
"""
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
MTRACE, SHIM = os.path.join(BUILD, "mtrace"), os.path.join(BUILD, "libmtrace.so")
PAIRS = int(os.environ.get("BENCH_PAIRS", "5"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "900"))
RESULTS = os.environ.get("BENCH_RESULTS", os.path.join(HERE, "RESULTS.md"))

PARSE_JSON = """import json
data = json.dumps([{"id": i, "name": f"n{i}", "tags": ["a", str(i), 1.5 * i]} for i in range(20000)])
for _ in range(6):
    print(len(json.loads(data)))
"""
BUILD_TABLE = """CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, value REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
INSERT INTO t SELECT i, printf('name-%08d-%d', i * 7919 % 300000, i), i * 1.5 FROM n;
CREATE INDEX by_name ON t(name);
CREATE INDEX by_value ON t(value, name);
SELECT count(*), sum(id), min(name), max(name) FROM t;
"""


class Failure(Exception):
    """A run that did not do what it does untracked."""


# ---- how a workload is run -----------------------------------------------------------------------------------------

class Watch(threading.Thread):
    """Peak resident memory of a process and what it starts, ours (mtrace) apart from the rest, looked at every 5 ms."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.over, self.peaks = pid, threading.Event(), {}
        self.start()

    def run(self):
        while not self.over.wait(0.005):
            self._look(self.pid)

    def _look(self, pid):
        try:
            with open(f"/proc/{pid}/status") as f:
                text = f.read()
            name = re.search(r"^Name:\t(.*)$", text, re.M).group(1)
            peak = int(re.search(r"^VmHWM:\s+(\d+)", text, re.M).group(1)) * 1024
            self.peaks[pid] = (name, max(peak, self.peaks.get(pid, ("", 0))[1]))
            with open(f"/proc/{pid}/task/{pid}/children") as f:
                children = f.read().split()
        except (OSError, AttributeError, ProcessLookupError):
            return
        for child in children:
            self._look(int(child))

    def end(self):
        self.over.set()
        self.join()
        ours = [peak for name, peak in self.peaks.values() if name.startswith("mtrace")]
        rest = [peak for name, peak in self.peaks.values() if not name.startswith("mtrace")]
        return max(rest, default=0), max(ours, default=0)


class Run:
    """What one run took: seconds, output, peak of the target and of mtrace beside it."""

    def __init__(self, seconds, output, target_peak, tracker_peak):
        self.seconds, self.output = seconds, output
        self.target_peak, self.tracker_peak = target_peak, tracker_peak


def wait_for(process, limit, what):
    try:
        output = process.communicate(timeout=limit)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # each run is a session: what a wrapper started ends with it
        process.communicate()
        raise Failure(f"stopped after {limit:.0f} s") from None
    if process.returncode != 0:
        raise Failure(f"{what} ended with status {process.returncode}")
    return output


def run_command(prefix, workload, limit):
    stdin = open(workload.stdin) if workload.stdin else subprocess.DEVNULL
    began = time.monotonic()
    process = subprocess.Popen(prefix + workload.command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               env={**os.environ, **workload.environment}, cwd=workload.directory,
                               start_new_session=True)
    watch = Watch(process.pid)
    try:
        output = wait_for(process, limit, workload.name)
    finally:
        peaks = watch.end()
    return Run(time.monotonic() - began, output, *peaks)


def run_redis(prefix, workload, limit):
    """The server is what is tracked; time runs from the first request until the server's runner is gone."""
    socket = os.path.join(workload.directory, "socket")
    server = subprocess.Popen(prefix + ["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly",
                                        "no", "--dir", workload.directory],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    watch = Watch(server.pid)
    client = ["redis-cli", "-s", socket]
    try:
        until = time.monotonic() + 20
        while subprocess.run(client + ["ping"], capture_output=True).stdout != b"PONG\n":
            if time.monotonic() > until or server.poll() is not None:
                raise Failure("redis-server did not start")
            time.sleep(0.02)
        began = time.monotonic()
        load = subprocess.Popen(["redis-benchmark", "-s", socket, "-q"] + workload.command, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, start_new_session=True)
        wait_for(load, limit, "redis-benchmark")
        size = subprocess.run(client + ["dbsize"], capture_output=True).stdout
        subprocess.run(client + ["shutdown", "nosave"], capture_output=True)
        wait_for(server, limit, "redis-server")
        return Run(time.monotonic() - began, b"loaded" if int(size) > 0 else b"", *watch.end())
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


# ---- the workloads ------------------------------------------------------------------------------------------------------

class Workload:
    def __init__(self, name, limit, command, *, run=run_command, environment=None, stdin=None, files=None, prepare=None):
        self.name, self.limit, self.command, self.run = name, limit, command, run
        self.environment, self.stdin, self.files, self.prepare = environment or {}, stdin, files or {}, prepare
        self.directory = None

    def make(self, directory):
        self.directory = os.path.join(directory, self.name.split(":")[0].replace(" ", "-"))
        os.mkdir(self.directory)
        for name, text in self.files.items():
            with open(os.path.join(self.directory, name), "w") as f:
                f.write(text)
        if self.stdin:
            self.stdin = os.path.join(self.directory, self.stdin)
        if self.prepare:
            self.prepare(self)


def prepare_cc1plus(workload):
    """The unit of tests/programs/cc1plus.sh, made by the script's own lines."""
    with open(os.path.join(ROOT, "tests/programs/cc1plus.sh")) as f:
        lines = re.search(r"^\{\n.*?^\} >\"\$unit\"$", f.read(), re.M | re.S).group(0)
    subprocess.run(["bash", "-c", lines], env={**os.environ, "unit": os.path.join(workload.directory, "unit.cc"),
                                               "CC_FUNCTIONS": "12"}, check=True)
    subprocess.run(["g++", "-std=c++17", "-E", "unit.cc", "-o", "unit.ii"], cwd=workload.directory, check=True)
    program = subprocess.run(["g++", "-print-prog-name=cc1plus"], capture_output=True, text=True, check=True).stdout.strip()
    workload.command = [program] + workload.command


# name, limit of design section 8 for exact mode, command …
WORKLOADS = [
    Workload("micro: malloc/free, depth 12, one thread", 3.2, [os.path.join(BUILD, "tests/bench/micro"), "2000000"]),
    Workload("churn: 4 threads, 100 k live each, 200 stacks", 1.5,
             [os.path.join(BUILD, "tests/bench/churn"), "4", "100000", "400000"]),
    Workload("redis: SET/GET/LPUSH, pipelined", 1.12,
             ["-t", "set,get,lpush", "-n", "200000", "-c", "20", "-P", "16", "-r", "50000", "-d", "100"], run=run_redis),
    Workload("sqlite: 300 000 rows and two indexes", 1.2, ["sqlite3", ":memory:"], stdin="build.sql",
             files={"build.sql": BUILD_TABLE}),
    Workload("cpython: JSON, PYTHONMALLOC=malloc", 1.45, ["/usr/bin/python3", "-S", "-B", "parse.py"],
             files={"parse.py": PARSE_JSON}, environment={"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"}),
    Workload("cc1plus: the unit of tests/programs/cc1plus.sh, -O1", 1.25,
             ["-quiet", "-O1", "-std=c++17", "-fpreprocessed", "unit.ii", "-o", "unit.s"], prepare=prepare_cc1plus),
]


# ---- measuring ----------------------------------------------------------------------------------------------------------

class Result:
    def __init__(self, workload):
        self.workload, self.ratios, self.plain, self.tracked = workload, [], [], []
        self.recording_bytes = self.tracker_bytes = 0
        self.heaptrack = "–"


def tracked_run(workload, limit, result):
    recording = os.path.join(workload.directory, "rec.mtr")
    tracked = workload.run([MTRACE, "run", "-f", "-o", recording, "--"], workload, limit)
    text = subprocess.run([MTRACE, "report", "--json", "-n", "1", recording], capture_output=True, timeout=120).stdout
    if not text:
        raise Failure("nothing was recorded")
    process = json.loads(text)["processes"][0]
    result.recording_bytes = os.path.getsize(recording)
    result.tracker_bytes = process["trust"]["tracker_bytes"]
    if process["mode"] != "exact" or not process["totals"]["alloc_blocks"]:
        raise Failure(f"mode {process['mode']}, {process['totals']['alloc_blocks']} allocations recorded")
    return tracked


def one_pair(workload, limit, result, number):
    steps = [lambda: workload.run([], workload, limit), lambda: tracked_run(workload, limit, result)]
    if number % 2:
        tracked, plain = steps[1](), steps[0]()
    else:
        plain, tracked = steps[0](), steps[1]()
    if plain.output != tracked.output:
        raise Failure("another output than untracked")
    result.plain.append(plain)
    result.tracked.append(tracked)
    result.ratios.append(tracked.seconds / plain.seconds)


def beside_us(workload, limit, result):
    if not shutil.which("heaptrack"):
        result.heaptrack = "not installed"
        return
    plain = statistics.median(r.seconds for r in result.plain)
    try:
        run = workload.run(["heaptrack", "-o", os.path.join(workload.directory, "heaptrack")], workload, limit)
        result.heaptrack = f"{run.seconds / plain:.1f}x"
    except Failure as failure:
        most = f"> {limit / plain:.0f}x, " if "stopped" in str(failure) else ""
        result.heaptrack = f"{most}{failure}"


def measure(workload, share):
    result, began = Result(workload), time.monotonic()
    workload.run([], workload, share)  # files into the page cache
    for number in range(PAIRS):
        if number and time.monotonic() - began > share * 0.6:
            break
        one_pair(workload, share, result, number)
        print(f"  {workload.name}: {result.plain[-1].seconds:.2f} s, tracked {result.tracked[-1].seconds:.2f} s,"
              f" {result.ratios[-1]:.2f}x", flush=True)
    beside_us(workload, max(share - (time.monotonic() - began), 10), result)
    print(f"  {workload.name}: heaptrack {result.heaptrack}", flush=True)
    return result


def instructions(pairs, environment):
    with tempfile.TemporaryDirectory(prefix="mtrace-bench.", dir="/dev/shm") as directory:
        said = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={directory}/out",
                               os.path.join(BUILD, "tests/bench/micro"), str(pairs)], capture_output=True, text=True,
                              env={**os.environ, **{k: v.format(directory) for k, v in environment.items()}}, timeout=300)
    found = re.search(r"Collected : (\d+)", said.stderr)
    if not found:
        raise Failure("callgrind: " + said.stderr[-200:])
    return int(found.group(1))


def count_instructions():
    """Of one malloc and free, by the difference of two runs: [(what, instructions)]."""
    kinds = [("untracked", {}), ("dormant (mode=off)", {"LD_PRELOAD": SHIM, "MTRACE_OPTIONS": "dir={}:mode=off"}),
             ("exact, no stacks (unwind=none)", {"LD_PRELOAD": SHIM, "MTRACE_OPTIONS": "dir={}:unwind=none"}),
             ("exact, full stacks", {"LD_PRELOAD": SHIM, "MTRACE_OPTIONS": "dir={}"})]
    return [(what, (instructions(60000, env) - instructions(20000, env)) / 40000) for what, env in kinds]


# ---- the table ----------------------------------------------------------------------------------------------------------

def size(n):
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n < 1024 or unit == "GiB":
            return f"{n:.0f} {unit}" if unit in ("B", "KiB") else f"{n:.1f} {unit}"
        n /= 1024


def machine():
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    with open("/proc/meminfo") as f:
        memory = int(re.search(r"MemTotal:\s+(\d+)", f.read()).group(1)) * 1024
    gcc = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True).stdout.strip()
    return (f"{model.group(1).strip() if model else platform.machine()}, {os.cpu_count()} cores, {size(memory)}; "
            f"Linux {platform.release()}, {' '.join(platform.libc_ver())}, gcc {gcc}; "
            f"load before {os.getloadavg()[0]:.1f}")


def row(result):
    middle = statistics.median
    if not result.ratios:
        return f"| {result.workload.name} | – | – | – | ≤ {result.workload.limit}x | – | – | – | – | – |"
    return (f"| {result.workload.name} | {len(result.ratios)} | {middle(r.seconds for r in result.plain):.2f} s "
            f"| **{middle(result.ratios):.2f}x** ({min(result.ratios):.2f} to {max(result.ratios):.2f}) "
            f"| ≤ {result.workload.limit}x | {result.heaptrack} "
            f"| {size(middle(r.target_peak for r in result.plain))} → {size(middle(r.target_peak for r in result.tracked))} "
            f"| {size(result.tracker_bytes)} | {size(middle(r.tracker_peak for r in result.tracked))} "
            f"| {size(result.recording_bytes)} |")


def page(about, results, counts, failures):
    few = f" **With at most {PAIRS} pairs these are indications; a limit is judged by 20.**" if PAIRS < 20 else ""
    lines = ["# What tracking costs", "",
             "Written by `make bench` (tests/bench/bench.py); do not edit. Time is of the whole `mtrace run -f -o REC -- CMD`,",
             "recording and symbols written, over the untracked command's: median of the pairs (least to most)." + few, "",
             f"Machine: {about}.", "",
             "| workload | pairs | untracked | exact, full stacks | limit | heaptrack (exact) | peak of the target, untracked → tracked "
             "| of that the tracker | peak of `mtrace run` beside it | recording |", "|---|---|---|---|---|---|---|---|---|---|"]
    lines += [row(r) for r in results]
    if counts:
        lines += ["", "Instructions of one malloc and its free, 12 frames deep (callgrind, micro; the loop's own included):", "",
                  "| | instructions |", "|---|---|"] + [f"| {what} | {n:.0f} |" for what, n in counts]
    lines += [""] + [f"Failed: {f}" for f in failures]
    return "\n".join(lines).rstrip() + "\n"


def main():
    about, results, failures, counts = machine(), [], [], []
    picked = [w for w in WORKLOADS if w.name.split(":")[0] in os.environ.get("BENCH", w.name.split(":")[0]).split()]
    ends = time.monotonic() + SECONDS * 0.95
    with tempfile.TemporaryDirectory(prefix="mtrace-bench.") as directory:
        os.environ.update(HOME=directory, XDG_CACHE_HOME=directory + "/cache", XDG_STATE_HOME=directory + "/state")
        for left, workload in zip(range(len(picked), 0, -1), picked):
            try:
                workload.make(directory)
                results.append(measure(workload, max((ends - time.monotonic()) / left, 5)))
            except (Failure, OSError, subprocess.SubprocessError) as failure:
                failures.append(f"{workload.name}: {failure}")
                results.append(Result(workload))
                print(f"  {failures[-1]}", flush=True)
    if shutil.which("valgrind"):
        try:
            counts = count_instructions()
        except (Failure, OSError, subprocess.SubprocessError) as failure:
            failures.append(f"instruction counts: {failure}")
    with open(RESULTS, "w") as f:
        f.write(page(about, results, counts, failures))
    print(f"{RESULTS}: {len(results) - len(failures)} workloads measured, {len(failures)} failed")
    sys.exit(1 if failures or not results else 0)


if __name__ == "__main__":
    main()
