#!/usr/bin/python3
"""services: judges what services.sh read: one line a check, "holds|NAME", "wrong|NAME|WHY" or "short|NAME|WHY".

--windows: one JSON object a window: service, which (untracked, tracked), pair, rate, and what pace.c says. --readings: one a
service and round: own (what the service says it holds, bytes), live and tracker (the tracker's word, bytes), allocated so
far (blocks, bytes). --seconds: of the whole run. --report FILE: the tables as a page. --mutate: all of it falsified."""
import argparse
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench"))
import judge  # noqa: E402
import page  # noqa: E402

LATENCY_LIMIT = 1.10
# What the tracker says and what the service says differ by what the allocator rounds up, and by what the one sees alone; that
# is the same at every rest but for a few blocks.
DRIFT_BYTES = 64 << 10
# Flat: the last third of the time holds no more than the middle third but for this, which is a step of a table's growth and
# the odd stack that was new.
GROWTH_SHARE, GROWTH_BYTES = 0.02, 256 << 10
FLAT_SECONDS = 600  # a JVM compiles for minutes, and what it compiled anew has new stacks
WORST_ANSWERS = 5   # so many must lie beyond the percentile of a window
KEEPS_UP_NS = 10_000_000  # an untracked twin whose median is later than this is behind the pace: the machine is not free
TITLES = {"redis": "redis", "netty": "JVM (Netty over HTTP, gzip)", "worker": "CPython"}

INTRO = """Written by tests/soak/services.sh (SERVICE_REPORT); do not edit. Services under exact mode, full stacks, for {seconds} s, in
{rounds} rounds: load, then windows in which an untracked and a tracked twin are asked in turn at one fixed pace, then rest."""
LATENCY = """Latency is counted from when a request was due, not from when it could be sent. p99.9: what one answer in a thousand
exceeds; medians of the windows. Ratio: tracked over untracked p99.9 of a pair of windows, median (95 % bootstrap bounds).
Late: the p99.9 of how late the requests themselves were sent: it is part of both."""
MEMORY = """The tracker's own memory (the trust box's word) at rest, and what it calls live against what the service says
it holds (redis: used_memory after FLUSHALL; the JVM: malloc of its native memory tracking after a collection; CPython:
libc's mallinfo2): how far the two moved apart since the first round, at the most, and the share of all allocations or frees that,
lost, would have moved them by the limit."""


def read_lines(path):
    with open(path) as f:
        return [json.loads(line) for line in f]


def microseconds(ns):
    return f"{ns / 1000:.0f} µs"


def size(n):
    return f"{n / 1048576:.2f} MiB" if n >= 1048576 else f"{n / 1024:.1f} KiB"


def count(n):
    return f"{n:,}".replace(",", " ")


# ---- latency ----

def pairs_of(windows, service):
    """[(untracked, tracked)]: the windows that have their other half"""
    of = {}
    for w in windows:
        if w["service"] == service and "p999_ns" in w:
            of.setdefault(w["pair"], {})[w["which"]] = w
    return [(p["untracked"], p["tracked"]) for _, p in sorted(of.items()) if len(p) == 2]


def ratios_of(pairs):
    return [tracked["p999_ns"] / untracked["p999_ns"] for untracked, tracked in pairs]


def why_not_judged(pairs):
    if len(pairs) < judge.PAIRS_TO_JUDGE:
        return f"{len(pairs)} pairs of windows, {judge.PAIRS_TO_JUDGE} are judged"
    least = min(w["requests"] for pair in pairs for w in pair)
    if least < WORST_ANSWERS * 1000:
        return f"only {least} requests in a window"
    untracked = [pair[0] for pair in pairs]
    if judge.median([w["p50_ns"] for w in untracked]) > KEEPS_UP_NS:
        return "the untracked twin itself is behind the pace: the machine is not free"
    if judge.median([w["late_p999_ns"] / w["p999_ns"] for w in untracked]) > 0.5:
        return "most of the latency is the requests' own: the machine is not free"
    return None


def judge_latency(service, pairs, is_judged):
    ratios = ratios_of(pairs)
    if not ratios:
        return ("wrong", f"{service}: latency", "no windows")
    low, high = judge.bounds(ratios)
    name = f"{service}: p99.9 of latency is {judge.median(ratios):.2f}x untracked ({low:.2f} to {high:.2f}), limit {LATENCY_LIMIT}x"
    does = "holds" if judge.holds(ratios, LATENCY_LIMIT) else "wrong"
    why = why_not_judged(pairs)
    if why and not is_judged:
        return ("short", name, f"{why}; so far it {'holds' if does == 'holds' else 'does not hold'}")
    return (does, name, "the median or its upper bound does not hold")


def latency_row(service, pairs):
    def middle(which, key):
        return microseconds(judge.median([pair[which][key] for pair in pairs]))
    ratios = ratios_of(pairs)
    why = why_not_judged(pairs)
    holds = "holds" if judge.holds(ratios, LATENCY_LIMIT) else "does not hold"
    return [TITLES[service], count(pairs[0][0]["rate"]), str(len(pairs)), middle(0, "p50_ns"), middle(1, "p50_ns"), middle(0, "p99_ns"),
            middle(1, "p99_ns"), middle(0, "p999_ns"), middle(1, "p999_ns"), f"**{page.with_bounds(ratios)}**", f"≤ {LATENCY_LIMIT}x",
            f"not judged ({why}; so far it {holds})" if why else f"**{holds}**", middle(1, "late_p999_ns")]


# ---- memory and truth ----

def drift_of(readings):
    """How far the tracker's word has moved from the service's own since the first round, at the most."""
    apart = [r["live"] - r["own"] for r in readings]
    return max((a - apart[0] for a in apart), key=abs)


def noticed_share(readings):
    """Of all allocations, how many lost frees would be noticed: one in so many."""
    last = readings[-1]
    return last["allocated"] // DRIFT_BYTES


def judge_drift(service, readings):
    name = f"{service}: no drift in {count(readings[-1]['allocated_blocks'])} allocations"
    if len(readings) < 3:
        return ("wrong", name, f"{len(readings)} readings")
    drift = drift_of(readings)
    name += f": {drift:+d} bytes at the most of {DRIFT_BYTES}; one lost in {count(noticed_share(readings))} would be noticed"
    return ("holds" if abs(drift) <= DRIFT_BYTES else "wrong", name, f"live less its own word, by rounds: {[r['live'] - r['own'] for r in readings]}")


def thirds_of(readings):
    """The tracker's memory in the middle and in the last third of the rounds: what it came to"""
    n = len(readings)
    return [max(r["tracker"] for r in readings[first:last]) for first, last in ((n // 3, n - n // 3), (n - n // 3, n))]


def judge_flat(service, readings, seconds, is_judged):
    name = f"{service}: the tracker's memory is flat"
    if len(readings) < 3:
        return ("wrong", name, f"{len(readings)} readings")
    middle, last = thirds_of(readings)
    name += f": {size(readings[0]['tracker'])} after the first round, {size(middle)} in the middle, {size(last)} at the end"
    does = "holds" if last <= middle * (1 + GROWTH_SHARE) + GROWTH_BYTES else "wrong"
    if seconds < FLAT_SECONDS and not is_judged:
        return ("short", name, f"{seconds} s, {FLAT_SECONDS} are judged; so far it {'is' if does == 'holds' else 'is not'}")
    return (does, name, f"by rounds: {[r['tracker'] for r in readings]}")


def memory_row(service, readings):
    middle, last = thirds_of(readings)
    end = readings[-1]
    return [TITLES[service], str(len(readings)), count(end["allocated_blocks"]), size(readings[0]["tracker"]), size(middle), size(last),
            f"{drift_of(readings):+d} B", f"± {size(DRIFT_BYTES)}", f"one in {count(noticed_share(readings))}"]


# ---- all ----

def falsify(windows, readings):
    for w in windows:
        if w["which"] == "tracked" and "p999_ns" in w:
            w["p999_ns"] = w["p999_ns"] * 2
    for r in readings:
        r["tracker"] = r["tracker"] * (10 + r["round"]) // 10
        r["live"] += r["round"] * DRIFT_BYTES


def write_report(path, windows, readings, seconds):
    of = {service: [r for r in readings if r["service"] == service] for service in TITLES}
    paired = {service: pairs_of(windows, service) for service in ("redis", "netty")}
    lines = ["# Services", "", INTRO.format(seconds=seconds, rounds=len(of["redis"])), "", "## Latency", "", LATENCY, ""]
    lines += page.table(["service", "requests/s", "pairs", "p50 untracked", "tracked", "p99 untracked", "tracked", "p99.9 untracked", "tracked",
                         "ratio of p99.9", "limit", "judged", "late"], [latency_row(s, pairs) for s, pairs in paired.items() if pairs])
    lines += ["", "## Memory, and the service's own word", "", MEMORY, ""]
    lines += page.table(["service", "rounds", "allocations", "tracker after the first", "in the middle", "at the end", "drift", "limit",
                         "noticed when lost"], [memory_row(s, r) for s, r in of.items() if len(r) > 2])
    with open(path, "w") as f:
        f.write("\n".join(lines) + "\n")


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--windows", required=True)
    arguments.add_argument("--readings", required=True)
    arguments.add_argument("--seconds", type=int, required=True)
    arguments.add_argument("--report")
    arguments.add_argument("--mutate", action="store_true")
    given = arguments.parse_args()
    windows, readings = read_lines(given.windows), read_lines(given.readings)
    if given.mutate:
        falsify(windows, readings)
    checks = []
    for service in TITLES:
        of = [r for r in readings if r["service"] == service]
        checks.append(judge_flat(service, of, given.seconds, given.mutate))
        checks.append(judge_drift(service, of))
    for service in ("redis", "netty"):
        checks.append(judge_latency(service, pairs_of(windows, service), given.mutate))
    for does, name, why in checks:
        print(f"{does}|{name}|{why if does != 'holds' else ''}")
    if given.report:
        write_report(given.report, windows, readings, given.seconds)


if __name__ == "__main__":
    main()
