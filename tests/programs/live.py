#!/usr/bin/python3
"""live: reports of a process whose 64 threads allocate, held against what the process itself counts.

live.py [options] MTRACE TRUTH ROUNDS REPORTS VICTIM…
                     runs the command VICTIM (victims/victim_live.c, which writes TRUTH); ROUNDS times takes REPORTS
                     reports while its threads run, then one where they stand still
  --unsettled N        at most N stacks (default none) may be said to have changed too fast to be read as one instant
  --mutate WHAT        changes the reports first (see MUTATIONS): the comparison must then fail
exit 0: every report holds; 1: one line per difference, to stdout; 2: usage. One line of figures goes to stderr.

Standing still, a report is the truth to the byte. Running, each path's counts lie between what the victim had done when
the report was asked for and what it had begun when the report was there; nothing allocated is taken back by a later
report; the stacks add up to the totals, and live is allocated less freed.
"""
import argparse
import json
import mmap
import struct
import subprocess
import sys
import time

PATHS, COUNTERS, HEAD = 4096, 4, struct.Struct("=8sIIQ")
FIELDS = ("alloc_blocks", "alloc_bytes", "live_blocks", "live_bytes", "freed_blocks", "freed_bytes")
DIGITS = {f"truth_{digit}": i for i, digit in enumerate("0123456789abcdef")}
SECONDS = 60  # for one report, or one answer of the victim: far more than either takes


class Truth:
    """The victim's counters: per path how many allocations and frees were begun, and how many of them done."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.map = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
        magic, self.pid, self.paths, _ = HEAD.unpack_from(self.map)
        if magic != b"LIVE 1\n\0":
            sys.exit(f"{path}: not a file of victim_live")
        self.sizes = struct.unpack_from(f"={self.paths}Q", self.map, HEAD.size)

    def cross_frees(self):
        return HEAD.unpack_from(self.map)[3]

    def look(self):
        """[(alloc_begun, alloc_done, free_begun, free_done)] by path."""
        words = struct.unpack_from(f"={self.paths * COUNTERS}Q", self.map, HEAD.size + 8 * PATHS)
        return list(zip(*[iter(words)] * COUNTERS))


class Victim:
    """The process; told to run and to stand still, each of which it answers."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def tell(self, what):
        self.process.stdin.write(what)
        if self.process.stdout.read(1) != what:
            sys.exit(f"the victim ended: status {self.process.wait()}")

    def end(self):
        self.process.stdin.close()
        return self.process.wait(timeout=SECONDS)


def path_of(stack):
    """The number that the victim's functions on the stack spell; None when it is not a path's."""
    digits = [DIGITS[f["function"]] for f in stack["frames"] if f.get("function") in DIGITS]
    if len(digits) != 3:
        return None
    return digits[0] | digits[1] << 4 | digits[2] << 8


class Report:
    """What one report says: `rows` by path."""

    def __init__(self, mtrace, truth, mutate):
        began = time.monotonic()
        out = subprocess.run([mtrace, "report", "--json", str(truth.pid)], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, timeout=SECONDS, check=False)
        self.seconds = time.monotonic() - began
        self.problems = []
        self.behind = {}  # path -> why it shows less than it must
        if out.returncode != 0:
            sys.exit(f"mtrace report: status {out.returncode}: {out.stderr.decode()[:300]}")
        processes = json.loads(out.stdout)["processes"]
        self.process = next(p for p in processes if p["pid"] == truth.pid)
        if mutate:
            MUTATIONS[mutate](self.process)
        self.rows = {}
        self._find_paths(truth)
        self._check_sums()
        self._check_trust()

    def _find_paths(self, truth):
        for stack in self.process["stacks"]:
            path = path_of(stack) if stack["kind"] == "malloc" else None
            if path is None:
                continue
            if path >= truth.paths or path in self.rows:
                self.problems.append(f"no such path, or twice: {path:x}")
            self.rows[path] = stack

    def _check_sums(self):
        totals = self.process["totals"]
        stacks = [s for s in self.process["stacks"] if s["kind"] == "malloc"]
        for field in FIELDS:
            total = sum(s[field] for s in stacks)
            if total != totals[field]:
                self.problems.append(f"stacks add up to {field} {total}, totals say {totals[field]}")
        for s in stacks + [totals]:
            for unit in ("blocks", "bytes"):
                alloc, freed, live = (s[f"{what}_{unit}"] for what in ("alloc", "freed", "live"))
                if freed > alloc or alloc - freed != live:
                    self.problems.append(f"{s.get('id', 'totals')}: {unit} {alloc} - {freed} is not {live}")

    def _check_trust(self):
        trust = self.process["trust"]
        for what in ("unknown_frees", "implicit_frees", "inherited_frees", "truncated_stacks", "damaged_records"):
            if trust[what]:
                self.problems.append(f"{what} {trust[what]}")
        if trust["drops"] or trust["poisoned"] or self.process["mode"] != "exact":
            self.problems.append(f"drops {trust['drops']}, poisoned {trust['poisoned']}, mode {self.process['mode']}")
        if self.process["end"]["reason"] != "running":
            self.problems.append(f"end {self.process['end']}")

    def unsettled(self):
        """How many stacks the trust box says changed too fast; they are known only by their number."""
        return self.process["trust"]["unsettled_stacks"]


def compare_still(truth, report):
    """Nothing is under way: to the byte."""
    for path, (begun, done, free_begun, free_done) in enumerate(truth.look()):
        if begun != done or free_begun != free_done:
            report.problems.append(f"path {path:x} does not stand still")
        want = [done, done - free_done, free_done]
        want = [n for blocks in want for n in (blocks, blocks * truth.sizes[path])]
        got = [report.rows.get(path, NOTHING)[field] for field in FIELDS]
        if got != want:
            report.problems.append(f"path {path:x}: {got}, truth {want}")
    if report.unsettled():
        report.problems.append(f"standing still, and {report.unsettled()} stacks unsettled")
    if report.process["trust"].get("note"):
        report.problems.append(f"standing still, and a note: {report.process['trust']['note']}")


NOTHING = dict.fromkeys(FIELDS, 0)


def compare_running(truth, before, after, report):
    """Between what was done before and what was begun after, by blocks and by bytes."""
    for path, size in enumerate(truth.sizes):
        _, done, _, free_done = before[path]
        begun, _, free_begun, _ = after[path]
        row = report.rows.get(path, NOTHING)
        for unit, each in (("blocks", 1), ("bytes", size)):
            alloc, live = row[f"alloc_{unit}"], row[f"live_{unit}"]
            least, most = max(0, done - free_begun) * each, (begun - free_done) * each
            if alloc < done * each:
                report.behind[path] = f"path {path:x}: alloc_{unit} {alloc}, {done * each} were done before"
            if alloc > begun * each:
                report.problems.append(f"path {path:x}: alloc_{unit} {alloc}, {begun * each} begun by the end")
            if not least <= live <= most:
                report.problems.append(f"path {path:x}: live_{unit} {live}, truth {least} to {most}")


def compare_with_last(last, report):
    """No stack is lost, and none takes back what it said was allocated."""
    for path, old in last.rows.items():
        new = report.rows.get(path, NOTHING)
        for field in ("alloc_blocks", "alloc_bytes"):
            if new[field] < old[field]:
                report.behind[path] = f"path {path:x}: {field} was {old[field]}, now {new[field]}"


def mutate_rows(field, by):
    def change(process):
        row = next(s for s in process["stacks"] if s["kind"] == "malloc" and path_of(s) is not None)
        row[field] += by
    return change


MUTATIONS = {
    "more": mutate_rows("alloc_blocks", 1 << 40),
    "less": mutate_rows("alloc_blocks", -(1 << 40)),
    "live": mutate_rows("live_bytes", 8),
    "drop": lambda process: process["trust"]["drops"].update(counts=1),
}


def parse_arguments():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--unsettled", type=int, default=0)
    parser.add_argument("--mutate", choices=MUTATIONS)
    for name, kind in (("mtrace", str), ("truth", str), ("rounds", int), ("reports", int)):
        parser.add_argument(name, type=kind)
    parser.add_argument("victim", nargs=argparse.REMAINDER)
    return parser.parse_args()


class Figures:
    def __init__(self):
        self.reports, self.unsettled, self.behind, self.moved, self.slowest = 0, 0, 0, 0, 0.0

    def add(self, report, before, after):
        self.reports += 1
        self.unsettled += report.unsettled()
        self.behind += len(report.behind)
        self.slowest = max(self.slowest, report.seconds)
        self.moved += sum(a[1] - b[1] for a, b in zip(after, before))


def judge(options, report, problems, when):
    """No more may be behind than is said to be; how much may be is for the caller to say, not for the report."""
    unsettled = report.unsettled()
    problems += [f"{when}: {line}" for line in report.problems]
    if len(report.behind) > unsettled:
        problems += [f"{when}: {line}" for line in report.behind.values()]
    if unsettled > options.unsettled:
        problems.append(f"{when}: {unsettled} stacks unsettled")


def main():
    options = parse_arguments()
    victim = Victim(options.victim)
    victim.tell(b"s")  # they stand already: it answers when FILE is there
    truth, last, problems, figures = Truth(options.truth), None, [], Figures()
    for i in range(options.rounds):
        victim.tell(b"g")
        for k in range(options.reports):
            victim.tell(b"t")
            before = truth.look()
            report = Report(options.mtrace, truth, options.mutate)
            after = truth.look()
            compare_running(truth, before, after, report)
            if last:
                compare_with_last(last, report)
            judge(options, report, problems, f"round {i}, report {k}")
            figures.add(report, before, after)
            last = report
        victim.tell(b"s")
        report = Report(options.mtrace, truth, options.mutate)
        compare_still(truth, report)
        compare_with_last(last, report)
        judge(options, report, problems, f"round {i}, standing")
        last = report
    events = sum(row[1] for row in truth.look())
    cross = truth.cross_frees()
    status = victim.end()
    if status != 7:
        problems.append(f"the victim ended with status {status}")
    if events < 10000 or cross < events // 100 or figures.moved < 1000:
        problems.append(f"too little happened: {events} allocations, {cross} freed elsewhere, {figures.moved} during reports")
    print(f"{events} allocations, {cross} freed by other threads; {figures.reports} reports while {figures.moved} were made, "
          f"the slowest {figures.slowest:.2f} s, {figures.unsettled} stacks unsettled, {figures.behind} behind", file=sys.stderr)
    for line in problems[:20]:
        print(line)
    if len(problems) > 20:
        print(f"… and {len(problems) - 20} more")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
