#!/usr/bin/python3
"""lifetimes: does a report say of every place what the victim knows of its blocks?

lifetimes.py TRUTH REPORT.json [options]   exit 0: it does; 1: one line per difference; 2: usage.
  --pid N        the process with that pid (default: the first that has events)
  --not-pid N    the first other than that
  --mutate       a truth with one block moved: the comparison must notice it
  --dropped      events were dropped: what is said is less than the truth, and never more

A place is the innermost function whose name begins with truth_. Of by_operations, -1 in the truth: not known.
"""
import argparse
import json
import sys

FIELDS = {"alloc": "alloc_blocks", "freed": "freed_blocks", "temporary": "temporary_blocks", "elsewhere": "freed_elsewhere_blocks"}


def place_of(stack):
    for frame in stack["frames"]:
        if frame["function"].startswith("truth_"):
            return frame["function"]
    return None


def by_place(process):
    places = {stack["id"]: place_of(stack) for stack in process["stacks"]}
    said = {}
    for row in process["lifetimes"]["stacks"]:
        place = places.get(row["stack"])
        if place is None:
            continue
        sums = said.setdefault(place, {**{key: 0 for key in FIELDS}, "by_operations": [0] * 8, "unseen": 0})
        for key, field in FIELDS.items():
            sums[key] += row[field]
        sums["by_operations"] = [a + b for a, b in zip(sums["by_operations"], row["by_operations"])]
        sums["unseen"] += row["freed_unseen_blocks"]
    return said


def differences(truth, said, dropped):
    for place, known in truth.items():
        if place not in said:
            if not dropped:
                yield f"{place}: not there"
            continue
        found = said[place]
        for key in FIELDS:
            if found[key] > known[key] or (found[key] != known[key] and not dropped):
                yield f"{place}: {key} {found[key]}, in truth {known[key]}"
        if sum(found["by_operations"]) != found["freed"]:
            yield f"{place}: {sum(found['by_operations'])} in the histogram, {found['freed']} freed"
        if dropped:
            continue
        if known["by_operations"][0] != -1 and found["by_operations"] != known["by_operations"]:
            yield f"{place}: by operations {found['by_operations']}, in truth {known['by_operations']}"
        if found["unseen"]:
            yield f"{place}: {found['unseen']} freed unseen"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("truth")
    parser.add_argument("report")
    parser.add_argument("--pid", type=int)
    parser.add_argument("--not-pid", type=int)
    parser.add_argument("--mutate", action="store_true")
    parser.add_argument("--dropped", action="store_true")
    options = parser.parse_args()
    truth = json.load(open(options.truth, encoding="utf-8"))
    report = json.load(open(options.report, encoding="utf-8"))
    if options.mutate:
        truth["truth_in_turn"]["by_operations"][1] -= 1
        truth["truth_in_turn"]["by_operations"][2] += 1
    process = next((p for p in report["processes"] if "lifetimes" in p and options.pid in (None, p["pid"])
                    and p["pid"] != options.not_pid), None)
    if process is None:
        print("no process has events")
        return 1
    said = list(differences(truth, by_place(process), options.dropped))
    if not options.dropped and process["lifetimes"]["dropped"]:
        said.append(f"{process['lifetimes']['dropped']} dropped")
    if not options.dropped and process["lifetimes"]["older_freed_blocks"]:
        said.append(f"{process['lifetimes']['older_freed_blocks']} freed that were never allocated")
    if options.dropped and not process["lifetimes"]["dropped"]:
        said.append("nothing was dropped")
    print("\n".join(said), end="\n" if said else "")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
