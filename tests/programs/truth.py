#!/usr/bin/python3
"""truth: compares what a victim knows about its blocks with what mtrace says.

truth.py TRUTH REPORT.json [options]   exit 0: they agree; 1: they do not, one line per difference; 2: usage.
  --end REASON[:STATUS]  how the process must have ended, as in the report
  --unknown N            unknown frees that are explained (default 0)
  --inherited N          inherited frees expected (default: any)
  --truncated N          truncated stacks that are explained (default 0)
  --open PATH            stacks on this path need not reach the program's start
  --mutate               change one number of the truth first: the comparison must then fail
  --bytes-only           compare live bytes alone (kinds whose blocks are split and merged)
  --stacks N             at least N stacks with functions of the victim (default 1)

A truth that is not complete (the victim was killed at work) may differ by the one event that each thread had under
way. Paths are keyed by the functions whose names begin with truth_, joined by '<'. See victims/truth.h.
"""
import argparse
import json
import struct
import sys

PATHS, THREADS, NAME_BYTES = 512, 64, 120
HEAD = struct.Struct("=8sIIIIQ16sQQ")
PENDING = struct.Struct("=IIIIQQ")
COUNT = struct.Struct("=QQQQ")
FIELDS = ("alloc_blocks", "alloc_bytes", "live_blocks", "live_bytes")


class Truth:
    """The victim's file: counts[path] = [allocs, bytes, frees, bytes], slack[path] = [blocks, bytes] in flight."""

    def __init__(self, path):
        with open(path, "rb") as f:
            data = f.read()
        magic, self.pid, paths, threads, self.complete, self.cross_frees, kind, _, _ = HEAD.unpack_from(data)
        if magic != b"TRUTH 1\n":
            sys.exit(f"{path}: not a truth file")
        self.kind = kind.rstrip(b"\0").decode()
        self.names = [self._name(data, i) for i in range(paths)]
        self.counts = [[0] * 4 for _ in range(paths)]
        self.slack = [[0, 0] for _ in range(paths)]
        start = HEAD.size + PATHS * NAME_BYTES
        step = PENDING.size + PATHS * COUNT.size
        for t in range(threads):
            self._add_thread(data, start + t * step, paths)

    @staticmethod
    def _name(data, i):
        at = HEAD.size + i * NAME_BYTES
        return data[at:at + NAME_BYTES].split(b"\0")[0].decode()

    def _add_thread(self, data, at, paths):
        active, path, old_path, _, size, old_size = PENDING.unpack_from(data, at)
        if active:
            for p, n in ((path, size), (old_path, old_size)):
                if p:
                    self.slack[p - 1][0] += 1
                    self.slack[p - 1][1] += n
        at += PENDING.size
        for p in range(paths):
            for i, n in enumerate(COUNT.unpack_from(data, at + p * COUNT.size)):
                self.counts[p][i] += n

    def rows(self):
        """path name -> (alloc_blocks, alloc_bytes, live_blocks, live_bytes), and what they may be off by."""
        rows, slack = {}, {}
        for name, (ab, an, fb, fn), off in zip(self.names, self.counts, self.slack):
            rows[name] = (ab, an, ab - fb, an - fn)
            slack[name] = (off[0], off[1], off[0], off[1])
        return rows, slack


def key_of(stack):
    """The victim's functions on a stack, outwards, neighbours merged; '' when there is none."""
    names = []
    for frame in stack["frames"]:
        name = (frame.get("function") or "").split("(")[0]
        if name.startswith("truth_") and (not names or names[-1] != name):
            names.append(name)
    return "<".join(names)


def is_whole(stack):
    """Ends in the program's or the thread's start, with a frame beyond our own outermost function."""
    functions = [f.get("function") or "" for f in stack["frames"]]
    last = functions[-1]
    if last == "_start" or "clone" in last:
        return True
    module = stack["frames"][-1].get("module") or ""
    return "libc" in module and "main" not in functions and len(functions) >= 3


def describe(stack):
    return " < ".join(f.get("function") or f"{f.get('module')}+{f.get('offset')}" for f in stack["frames"])[:300]


def compare_rows(truth, process, options, problems):
    rows, slack = truth.rows()
    found = {name: [0] * 4 for name in rows}
    matched = 0
    for stack in process["stacks"]:
        if stack["kind"] != truth.kind:
            continue
        key = key_of(stack)
        if not key:
            continue
        matched += 1
        if key not in found:
            problems.append(f"no such path: {key!r}: {describe(stack)}")
            continue
        if key != options.open and not is_whole(stack):
            problems.append(f"not a whole stack: {describe(stack)}")
        for i, field in enumerate(FIELDS):
            found[key][i] += stack[field]
    if matched < options.stacks:
        problems.append(f"only {matched} stacks with functions of the victim, {options.stacks} expected")
    for name, want in rows.items():
        for i, field in enumerate(FIELDS):
            if options.bytes_only and field != "live_bytes":
                continue
            if abs(found[name][i] - want[i]) > slack[name][i]:
                off = f" (+-{slack[name][i]})" if slack[name][i] else ""
                problems.append(f"{name}: {field} {found[name][i]}, truth {want[i]}{off}")
    return sum(r[0] for r in rows.values())


def compare_trust(truth, process, options, problems):
    trust = process["trust"]
    if trust["unknown_frees"] > options.unknown:
        problems.append(f"unknown_frees {trust['unknown_frees']}")
    if trust["implicit_frees"]:
        problems.append(f"implicit_frees {trust['implicit_frees']}")
    if options.inherited is not None and trust["inherited_frees"] != options.inherited:
        problems.append(f"inherited_frees {trust['inherited_frees']}, expected {options.inherited}")
    if trust["truncated_stacks"] > options.truncated:
        problems.append(f"truncated_stacks {trust['truncated_stacks']}")
    for reason, n in trust["drops"].items():
        if n:
            problems.append(f"drop {reason} {n}")
    if process["mode"] != "exact":
        problems.append(f"mode {process['mode']}")


def compare_totals(truth, process, problems):
    totals = process["totals"]
    slack = max(len(truth.names) and sum(s[0] for s in truth.slack), 0)
    slack_bytes = sum(s[1] for s in truth.slack)
    for field in FIELDS:
        total = sum(s[field] for s in process["stacks"] if s["kind"] == "malloc")
        if total != totals[field]:
            problems.append(f"stacks add up to {field} {total}, totals say {totals[field]}")
    for unit, off in (("blocks", slack), ("bytes", slack_bytes)):
        live = totals[f"alloc_{unit}"] - totals[f"freed_{unit}"]
        if abs(live - totals[f"live_{unit}"]) > off:
            problems.append(f"alloc - freed {unit} is {live}, live is {totals[f'live_{unit}']}")


def compare_end(process, options, problems):
    if not options.end:
        return
    reason, _, status = options.end.partition(":")
    end = process["end"]
    if end["reason"] != reason or (status and end["status"] != int(status)):
        problems.append(f"end {end['reason']} {end['status']}, expected {options.end}")
    if end["in_tracker"] and end["reason"] != "killed":  # SIGKILL falls where it falls
        problems.append("ended inside the tracker")


def parse_arguments():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("truth")
    parser.add_argument("report")
    parser.add_argument("--end")
    parser.add_argument("--unknown", type=int, default=0)
    parser.add_argument("--inherited", type=int)
    parser.add_argument("--truncated", type=int, default=0)
    parser.add_argument("--open")
    parser.add_argument("--mutate", action="store_true")
    parser.add_argument("--bytes-only", action="store_true")
    parser.add_argument("--stacks", type=int, default=1)
    return parser.parse_args()


def main():
    options = parse_arguments()
    truth = Truth(options.truth)
    if options.mutate:
        next(c for c in truth.counts if c[0])[1] += 1
    try:
        with open(options.report) as f:
            report = json.load(f)
    except (OSError, ValueError) as e:
        print(f"{options.report}: {e}")
        sys.exit(1)
    processes = [p for p in report["processes"] if p["pid"] == truth.pid]
    if report["schema"] != 1 or not processes:
        print(f"the report has no process {truth.pid}, only {[p['pid'] for p in report['processes']]}")
        sys.exit(1)
    process = max(processes, key=lambda p: p["image"])
    problems = []
    events = compare_rows(truth, process, options, problems)
    compare_trust(truth, process, options, problems)
    if truth.kind == "malloc":
        compare_totals(truth, process, problems)
    compare_end(process, options, problems)
    if not events:
        problems.append("the truth itself is empty")
    for line in problems[:20]:
        print(line)
    if len(problems) > 20:
        print(f"… and {len(problems) - 20} more")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
