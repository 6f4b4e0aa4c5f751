#!/usr/bin/python3
"""news: do these records agree with what victim_news itself says?

news.py TRUTH RECORDS [options]   exit 0: they do; 1: they do not, one line per breach; 2: usage.
  RECORDS      a report of mtrace (--json), or the lines of `mtrace follow --json`
  --all        nothing is missing: every mark, mapping, thread and fork that was done is there (else: only what the ring
               still had, and of that no more than what was under way per lane is missing)
  --image N    of the lines of `follow`, those from the Nth "start" on (0: all)
  --mutate HOW the records are falsified first (lose, swap, invent, tear): a breach must be found

What must hold: numbers rise; a lane's marks are consecutive and were begun; mappings have sizes that were mapped, by
their own stack; nothing is there twice.
"""
import argparse
import json
import struct
import sys

LANES = 8
breaches = []


def breach(text):
    breaches.append(text)


def read_truth(path):
    with open(path, "rb") as f:
        words = struct.unpack(f"<{1 + 2 * (3 * LANES + 1)}Q", f.read(8 * (1 + 2 * (3 * LANES + 1))))
    pairs = [(words[i], words[i + 1]) for i in range(1, len(words), 2)]
    return {"pid": words[0], "mark": pairs[:LANES], "map": pairs[LANES:2 * LANES], "thread": pairs[2 * LANES:3 * LANES],
            "fork": pairs[3 * LANES]}


def read_records(path, image):
    """events, what of them the reader itself says is missing, who ended how"""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    try:
        process = json.loads(text)["processes"][0]
        ring = process["ring"]
        if ring["kept"] != len(process["events"]):
            breach(f"{len(process['events'])} events, {ring['kept']} are said to be kept")
        if ring["written"] != ring["kept"] + ring["overwritten"] + ring["unfinished"]:
            breach(f"the ring does not add up: {ring}")
        return process["events"], ring["unfinished"] + process["trust"]["counters"]["ring_unfinished"], ring["held_back"]
    except (ValueError, KeyError):
        pass
    lines = [json.loads(line) for line in text.splitlines()]
    lost = [line for line in lines if line["kind"] == "lost"]
    starts = [i for i, line in enumerate(lines) if line["kind"] == "start"]
    events = [line for line in lines[starts[image] if image else 0:] if "sequence" in line]
    return events, sum(line["unfinished"] for line in lost), sum(line["held_back"] for line in lost)


def falsify(events, how):
    marks = [i for i, event in enumerate(events) if event["kind"] == "mark"]
    middle = marks[len(marks) // 2]
    if how == "lose":
        del events[middle]
    elif how == "swap":
        events[middle], events[middle + 1] = events[middle + 1], events[middle]
    elif how == "invent":
        events[marks[-1]]["name"] = "0 99999999"
    elif how == "tear":
        events[middle]["name"] = events[middle]["name"].replace(" ", " 1")


def check_order(events):
    numbers = [event["sequence"] for event in events]
    if any(b <= a for a, b in zip(numbers, numbers[1:])):
        breach("numbers do not rise")


def check_marks(events, truth, missing, whole):
    seen = {}
    for event in events:
        if event["kind"] != "mark" or event["name"] == "child":
            continue
        lane, number = map(int, event["name"].split())
        seen.setdefault(lane, []).append(number)
        if number >= truth["mark"][lane][0]:
            breach(f"a mark that was never put: {event['name']}")
        if event.get("thread", {}).get("name") not in (f"lane-{lane}", None):
            breach(f"mark {event['name']} by thread {event['thread']['name']}")
    holes = 0
    for lane, numbers in seen.items():
        holes += sum(b - a - 1 for a, b in zip(numbers, numbers[1:]) if b > a)
        if any(b <= a for a, b in zip(numbers, numbers[1:])):
            breach(f"lane {lane}: marks are not in order")
        if whole and (numbers[0] != 0 or numbers[-1] + 1 < truth["mark"][lane][1]):
            breach(f"lane {lane}: marks {numbers[0]} to {numbers[-1]} of {truth['mark'][lane][1]}")
    if holes > missing:
        breach(f"{holes} marks are missing, {missing} at most were under way")
    lanes = sum(1 for begun, _ in truth["mark"] if begun)
    if whole and len(seen) != lanes:
        breach(f"marks of {len(seen)} lanes, {lanes} made some")
    done = sum(d for _, d in truth["mark"])
    if done and not seen:
        breach(f"no mark at all of {done}")


def check_mappings(events, truth, whole):
    counts = {"map": [0] * LANES, "unmap": [0] * LANES}
    for event in events:
        if event["kind"] not in counts or event["bytes"] >> 20 > 6 or event["bytes"] >> 20 < 2:
            continue # the C library's own, for threads
        lane = event["bytes"] % (1 << 20) // 4096
        if lane >= LANES or event["bytes"] % 4096:
            breach(f"{event['kind']} of {event['bytes']} bytes: nobody's")
            continue
        counts[event["kind"]][lane] += 1
    for kind, of_lane in counts.items():
        for lane, count in enumerate(of_lane):
            begun, done = truth["map"][lane]
            if count > begun or (whole and count < done):
                breach(f"lane {lane}: {count} {kind}, {done} were made")


def check_threads(events, truth):
    """As many as there are lanes and brief threads, each with a start and an end."""
    lanes = sum(1 for begun, _ in truth["mark"] if begun)
    brief = sum(done for _, done in truth["thread"])
    starts = [event for event in events if event["kind"] == "thread_start"]
    ends = [event for event in events if event["kind"] == "thread_end"]
    if len(starts) != 1 + lanes + brief:
        breach(f"{len(starts)} threads started, {1 + lanes + brief} did")
    if len(ends) != lanes + brief:
        breach(f"{len(ends)} threads ended, {lanes + brief} did")
    if not {event["tid"] for event in ends} <= {event["tid"] for event in starts}:
        breach("a thread ended that never started")
    forks = sum(1 for event in events if event["kind"] == "fork")
    if forks != truth["fork"][1]:
        breach(f"{forks} forks, {truth['fork'][1]} were made")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("truth")
    parser.add_argument("records")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--image", type=int, default=0)
    parser.add_argument("--mutate")
    o = parser.parse_args()
    truth = read_truth(o.truth)
    events, missing, held_back = read_records(o.records, o.image)
    if o.mutate:
        falsify(events, o.mutate)
    check_order(events)
    check_marks(events, truth, missing, o.all)
    check_mappings(events, truth, o.all)
    if o.all:
        check_threads(events, truth)
        if missing or held_back:
            breach(f"{missing} not finished, {held_back} held back: the test is to be made so that there are none")
    for text in breaches[:20]:
        print(text)
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
