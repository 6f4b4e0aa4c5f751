#!/usr/bin/python3
"""schema: is this report document what schema 1 promises (the design's contracts)?

schema.py REPORT.json [options]   exit 0: it is; 1: it is not, one line per breach; 2: usage.
  --processes N     exactly that many
  --mode MODE       of every process
  --end REASON[:STATUS]  of processes[0]
  --live            stacks are those that are live (mtrace leaks): only what is live adds up

Every promised field is there, with its type and its range; what is counted in two places agrees: stacks with totals and
with by_kind, allocated less freed with live, rows with resident memory. Fields may be added, so others are let pass.
"""
import argparse
import json
import re
import sys

KINDS = {"malloc", "mmap", "pool", "jni-global", "jni-weak", "jni-buffer", "thread", "attached-thread", "goroutine"}
VERDICTS = {"leak", "cache", "startup", "gc-lag", "spike", "slack", "threads", "goroutines", "java-heap", "metaspace",
            "page-cache", "tmpfs", "unknown"}
MODES = {"exact", "sample", "off", "outside"}
REASONS = {"running", "exit", "signal", "killed", "exec"}
COUNTS = ("live_blocks", "live_bytes", "alloc_blocks", "alloc_bytes")

breaches = []


def breach(where, text):
    breaches.append(f"{where}: {text}")


def whole(value):
    return isinstance(value, int) and not isinstance(value, bool)


def is_count(value):
    return whole(value) and value >= 0


def matches(pattern):
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def one_of(words):
    return lambda value: isinstance(value, str) and value in words


TEXT = lambda value: isinstance(value, str)
NAME = lambda value: isinstance(value, str) and value != ""
SIGNATURE = matches(r"\(.*\).+")
FLAG = lambda value: isinstance(value, bool)
LIST = lambda value: isinstance(value, list)
OBJECT = lambda value: isinstance(value, dict)

DOCUMENT = {"schema": lambda v: whole(v) and v == 1, "version": NAME, "processes": LIST}
PROCESS = {"pid": lambda v: whole(v) and v > 0, "image": is_count, "exe": NAME, "args": LIST, "mode": one_of(MODES),
           "sample_bytes": is_count, "end": OBJECT, "totals": OBJECT, "by_kind": OBJECT, "trust": OBJECT,
           "ledger": OBJECT, "stacks": LIST, "marks": LIST, "ring": OBJECT, "events": LIST}
END = {"reason": one_of(REASONS), "status": is_count, "in_tracker": FLAG}
TOTALS = {key: is_count for key in COUNTS + ("freed_blocks", "freed_bytes", "peak_live_bytes")}
BY_KIND = {"live_blocks": is_count, "live_bytes": is_count}
TRUST = {"unknown_frees": is_count, "implicit_frees": is_count, "inherited_frees": is_count,
         "truncated_stacks": is_count, "unsettled_stacks": is_count, "drops": OBJECT, "tracker_bytes": is_count,
         "tracker_private_bytes": is_count}
LEDGER = {"rss_bytes": is_count, "rows": LIST}
ROW = {"owner": matches("[a-z][a-z0-9-]*"), "label": NAME, "bytes": is_count, "measured_by": NAME}
STACK = {"id": matches("[0-9a-f]{16}"), "kind": one_of(KINDS), "verdict": one_of(VERDICTS), "frames": LIST,
         **{key: is_count for key in COUNTS}}
FRAME = {"function": TEXT, "module": TEXT, "offset": is_count, "file": TEXT, "line": is_count,
         "language": one_of({"native", "java", "go"})}
MARK = {"name": TEXT, "time_ns": is_count}
RING = {key: is_count for key in ("written", "kept", "overwritten", "unfinished", "held_back")}
EVENT = {"sequence": is_count, "time_ns": is_count, "kind": matches("[a-z][a-z0-9_-]*")}
# With verdicts (mtrace leaks PID): of the process, and of each stack.
GROWTH = {"windows": is_count, "observed_ns": is_count, "by_steps": FLAG, "from_history": FLAG, "rss_bytes_begin": is_count,
          "rss_bytes_end": is_count, "live_bytes_change": whole, "tracker_bytes_change": whole,
          "leak_bytes_per_hour": is_count, "limit_bytes": is_count, "native_bytes_change": whole}
AREAS = ("java-heap", "metaspace", "code-cache")
AREA = {"committed_bytes_change": whole, "records_bytes_change": whole}
JUDGED = {"verdict": one_of(VERDICTS), "why": matches("[a-z][a-z-]*"), "windows": is_count, "observed_ns": is_count,
          "growth_bytes": whole, "growth_blocks": whole, "flat_ns": is_count, "longest_pause_ns": is_count,
          "wait_ns": is_count, "period_ns": is_count, "never_freed_blocks": is_count,
          "ever_allocated_blocks": is_count, "steps": LIST,
          **{key: lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) for key in
             ("bytes_per_window", "bytes_per_window_low", "bytes_per_window_high", "bytes_per_hour", "mann_kendall_z")}}


def has(where, thing, fields):
    """Says what is missing or of another type; true when all is there."""
    if not isinstance(thing, dict):
        breach(where, f"is {type(thing).__name__}, not an object")
        return False
    bad = [key for key, right in fields.items() if key not in thing or not right(thing[key])]
    for key in bad:
        breach(where, f"{key}: {json.dumps(thing[key])[:60]}" if key in thing else f"{key} is missing")
    return not bad


def check_end(where, end, mode):
    reason, status = end["reason"], end["status"]
    if reason == "exit" and status > 255:
        breach(where, f"exit status {status}")
    if reason == "signal" and not (0 < status <= 64 and status != 9):
        breach(where, f"signal {status}")
    if reason == "killed" and status not in (0, 9):
        breach(where, f"killed with status {status}")
    if reason in ("running", "exec") and status != 0:
        breach(where, f"{reason} with status {status}")
    if mode == "outside" and reason != "running":
        breach(where, f"read from outside, and ended: {reason}")


def check_totals(where, totals):
    for unit in "blocks", "bytes":
        left = totals[f"alloc_{unit}"] - totals[f"freed_{unit}"]
        if left != totals[f"live_{unit}"]:
            breach(where, f"allocated less freed is {left} {unit}, live is {totals[f'live_{unit}']}")
    if not totals["live_bytes"] <= totals["peak_live_bytes"] <= totals["alloc_bytes"]:
        breach(where, f"peak {totals['peak_live_bytes']} is not between live and allocated")


def check_judged(where, stack, growth):
    if not has(where, stack, {"live_bytes_change": whole, "live_blocks_change": whole, "oldest_ns": is_count, "judged": OBJECT}):
        return
    judged = stack["judged"]
    if not has(f"{where}.judged", judged, JUDGED):
        return
    if judged["verdict"] != stack["verdict"]:
        breach(where, f"verdict {stack['verdict']}, judged {judged['verdict']}")
    seen = judged["windows"] or judged["observed_ns"]  # one that came after the last window has none
    if seen and (judged["windows"] != growth["windows"] or judged["observed_ns"] != growth["observed_ns"]):
        breach(where, "judged from other windows than the process")
    if judged["windows"] < 8 and judged["verdict"] != "unknown":
        breach(where, f"{judged['verdict']} from {judged['windows']} windows")


def check_stacks(where, process):
    sums, ids = {}, set()
    for i, stack in enumerate(process["stacks"]):
        here = f"{where}.stacks[{i}]"
        if not has(here, stack, STACK):
            continue
        if stack["id"] in ids:
            breach(here, f"the id {stack['id']} is there twice")
        ids.add(stack["id"])
        if stack["live_bytes"] > stack["alloc_bytes"]:
            breach(here, "more live than was ever allocated")
        if stack["live_blocks"] > stack["alloc_blocks"] and stack["kind"] != "mmap":  # a hole makes two of one
            breach(here, "more blocks live than were ever allocated")
        for key in COUNTS:
            sums.setdefault(stack["kind"], dict.fromkeys(COUNTS, 0))[key] += stack[key]
        if "growth" in process:
            check_judged(here, stack, process["growth"])
        for f, frame in enumerate(stack["frames"]):
            if "signature" in frame and not SIGNATURE(frame["signature"]):
                breach(f"{here}.frames[{f}]", f"signature {frame['signature']}")
            if has(f"{here}.frames[{f}]", frame, FRAME) and frame["line"] and not frame["file"]:
                breach(f"{here}.frames[{f}]", "a line without a file")
        if stack["frames"] and "libmtrace.so" in stack["frames"][0].get("module", ""):
            breach(here, "begins inside libmtrace")
    return sums


def check_sums(where, process, sums, keys):
    if process.get("stacks_left_out", 0):
        return
    for key in keys:
        total = sums.get("malloc", {}).get(key, 0)
        if total != process["totals"][key]:
            breach(where, f"stacks add up to {key} {total}, totals say {process['totals'][key]}")
    if "malloc" in process["by_kind"]:
        breach(where, "by_kind has malloc, which stands in totals")
    for kind, said in process["by_kind"].items():
        if kind not in KINDS:
            breach(where, f"by_kind: no such kind: {kind}")
        if has(f"{where}.by_kind.{kind}", said, BY_KIND):
            for key in said.keys() & set(keys):
                total = sums.get(kind, {}).get(key, 0)
                if total != said[key]:
                    breach(where, f"{kind} stacks add up to {key} {total}, by_kind says {said[key]}")
    for kind in sums.keys() - process["by_kind"].keys() - {"malloc"}:
        breach(where, f"stacks of kind {kind}, which by_kind does not have")


def check_ring(where, process, has_all_stacks):
    ring, events = process["ring"], process["events"]
    if not has(f"{where}.ring", ring, RING):
        return
    if ring["written"] != ring["kept"] + ring["overwritten"] + ring["unfinished"]:
        breach(f"{where}.ring", f"does not add up: {ring}")
    if len(events) > ring["kept"]:
        breach(where, f"{len(events)} events, {ring['kept']} were kept")
    if all([has(f"{where}.events[{i}]", event, EVENT) for i, event in enumerate(events)]):
        numbers = [event["sequence"] for event in events]
        if any(b <= a for a, b in zip(numbers, numbers[1:])):
            breach(where, "events are not in order")
    ids = {stack["id"] for stack in process["stacks"] if isinstance(stack, dict) and "id" in stack}
    if has_all_stacks and not process.get("stacks_left_out", 0):
        for event in events:
            if event.get("stack", "") and event["stack"] not in ids:
                breach(where, f"an event of stack {event['stack']}, which is not there")


def check_areas(where, growth):
    """A JVM's own: all of them or none; what grew most can only be one of them."""
    areas = growth.get("areas", {})
    if areas and set(areas) != set(AREAS):
        breach(where, f"areas are {sorted(areas)}")
    for name, area in areas.items():
        has(f"{where}.areas.{name}", area, AREA)
    if "not_native" in growth and growth["not_native"] not in areas:
        breach(where, f"not native: {growth['not_native']}, which is no area")


def check_process(where, process, keys):
    if not has(where, process, PROCESS):
        return
    if any(not isinstance(a, str) for a in process["args"]):
        breach(where, "args are not all text")
    if (process["mode"] == "sample") != (process["sample_bytes"] > 0):
        breach(where, f"mode {process['mode']} with sample_bytes {process['sample_bytes']}")
    if has(f"{where}.end", process["end"], END):
        check_end(f"{where}.end", process["end"], process["mode"])
    if has(f"{where}.trust", process["trust"], TRUST):
        for reason, count in process["trust"]["drops"].items():
            if not is_count(count):
                breach(where, f"drops.{reason}: {count}")
        ended = isinstance(process["end"], dict) and process["end"].get("reason") != "running"
        if ended and process["trust"]["unsettled_stacks"]:
            breach(where, "it has ended, and stacks are unsettled")
        if process["trust"]["tracker_private_bytes"] > process["trust"]["tracker_bytes"]:
            breach(where, "more private memory than memory")
    if has(f"{where}.ledger", process["ledger"], LEDGER):
        rows = process["ledger"]["rows"]
        if all([has(f"{where}.ledger.rows[{i}]", row, ROW) for i, row in enumerate(rows)]):
            if sum(row["bytes"] for row in rows) != process["ledger"]["rss_bytes"]:
                breach(where, "the ledger's rows do not add up to rss_bytes")
            if len({row["owner"] for row in rows}) != len(rows):
                breach(where, "an owner has two rows")
    check_ring(where, process, keys == COUNTS)
    if "growth" in process:
        has(f"{where}.growth", process["growth"], GROWTH)
        check_areas(f"{where}.growth", process["growth"])
    times = [mark["time_ns"] for i, mark in enumerate(process["marks"]) if has(f"{where}.marks[{i}]", mark, MARK)]
    if times != sorted(times):
        breach(where, "marks are not in the order of time")
    if has(f"{where}.totals", process["totals"], TOTALS):
        check_totals(f"{where}.totals", process["totals"])
        check_sums(where, process, check_stacks(where, process), keys)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("report")
    parser.add_argument("--processes", type=int)
    parser.add_argument("--mode")
    parser.add_argument("--end")
    parser.add_argument("--live", action="store_true")
    o = parser.parse_args()
    try:
        with open(o.report, encoding="utf-8") as f:
            document = json.load(f)
    except ValueError as e:
        print(f"{o.report}: {e}")
        return 1
    if has("document", document, DOCUMENT):
        processes = document["processes"]
        if not processes:
            breach("document", "no process")
        if o.processes is not None and len(processes) != o.processes:
            breach("document", f"{len(processes)} processes, expected {o.processes}")
        for i, process in enumerate(processes):
            check_process(f"processes[{i}]", process, COUNTS[:2] if o.live else COUNTS)
            if o.mode and process.get("mode") != o.mode:
                breach(f"processes[{i}]", f"mode {process.get('mode')}, expected {o.mode}")
        if o.end and processes:
            end = processes[0].get("end", {})
            reason, _, status = o.end.partition(":")
            if end.get("reason") != reason or (status and end.get("status") != int(status)):
                breach("processes[0].end", f"{json.dumps(end)}, expected {o.end}")
    for line in breaches[:20]:
        print(line)
    if len(breaches) > 20:
        print(f"… and {len(breaches) - 20} more")
    return 1 if breaches else 0


sys.exit(main())
