#!/usr/bin/python3
"""ledger: how long each target was fuzzed, over many sessions: the page tests/fuzz/RESULTS.md, written by fuzz.sh.

ledger.py add PAGE PROGRAM seconds=N runs=N features=N corpus=N found=N   a session of this harness, as built
ledger.py show PAGE                                                       its table
ledger.py sources PROGRAM                                                 the files of this tree that it is made of

Seconds (of CPU) and runs add up as long as the files that the harness is made of are the same: what PROGRAM.d names, and
what the .d files name of those members of the two archives that PROGRAM.map says were linked. With other files the target
starts again. A finding stays until they change: what was found is still there.
"""
import hashlib
import os
import re
import sys

FIELDS = ("seconds", "runs", "features", "corpus", "found")
ARCHIVES = {"tools.a": "tools", "shim.a": "libmtrace"}  # which objects' folder an archive is made of
ROW = re.compile(r"^\| (\w+) \| (\d+) \| \d+ % \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| ([0-9a-f]+) \|$")
HEAD = """# Fuzzing

Written by `make fuzz` (tests/fuzz/fuzz.sh, ledger.py); do not edit. Each reader of what others wrote under libFuzzer,
AddressSanitizer and UndefinedBehaviorSanitizer: seconds of CPU and executions since the files that it is made of were
changed last (their digest stands in the last column), features covered, inputs kept, and findings that are left.

| target | CPU seconds | of an hour | executions | features | corpus | findings left | sources |
|---|---|---|---|---|---|---|---|
"""


def named_in(depfile):
    """The files of the tree that a .d file names; what is absolute is the system's."""
    with open(depfile, encoding="utf-8") as f:
        rules = f.read().replace("\\\n", " ").split("\n")
    return {p for p in rules[0].partition(":")[2].split() if not os.path.isabs(p)}


def members_of(program):
    """(archive, object) of all that was linked."""
    with open(program + ".map", encoding="utf-8", errors="replace") as f:
        return set(re.findall(r"^\S*?(\w+\.a)\((\S+)\.o\)(?:\s|$)", f.read(), re.M))


def sources_of(program):
    files = named_in(program + ".d")
    wanted = {(ARCHIVES[a], o) for a, o in members_of(program) if a in ARCHIVES}
    for folder in set(ARCHIVES.values()):
        for at, _, names in os.walk(os.path.join(os.path.dirname(program), folder)):
            for name in names:
                if name.endswith(".d") and (folder, name[:-2]) in wanted:
                    files |= named_in(os.path.join(at, name))
    return sorted(os.path.normpath(p) for p in files)


def digest_of(program):
    digest = hashlib.sha256()
    for path in sources_of(program):
        with open(path, "rb") as f:
            digest.update(path.encode() + b"\0" + hashlib.sha256(f.read()).digest())
    return digest.hexdigest()[:12]


def read_page(page):
    rows = {}
    if os.path.exists(page):
        with open(page, encoding="utf-8") as f:
            for m in filter(None, map(ROW.match, f)):
                rows[m[1]] = dict(zip(FIELDS, map(int, m.groups()[1:6])), sources=m[7])
    return rows


def merge(row, session):
    if row and row["sources"] == session["sources"]:
        session["seconds"] += row["seconds"]
        session["runs"] += row["runs"]
        session["found"] = max(row["found"], session["found"])
    return session


def write_page(page, rows):
    with open(page + ".new", "w", encoding="utf-8") as f:
        f.write(HEAD)
        for target, r in sorted(rows.items()):
            hour = min(100, r["seconds"] * 100 // 3600)
            f.write(f"| {target} | {r['seconds']} | {hour} % | {r['runs']} | {r['features']} | {r['corpus']} | {r['found']} "
                    f"| {r['sources']} |\n")
    os.replace(page + ".new", page)


def add(page, program, values):
    rows = read_page(page)
    target = os.path.basename(program).removeprefix("fuzz_")
    session = {k: int(v) for k, v in (pair.split("=") for pair in values)}
    session["sources"] = digest_of(program)
    rows[target] = merge(rows.get(target), session)
    write_page(page, rows)


def show(page):
    with open(page, encoding="utf-8") as f:
        print("".join(line for line in f if line.startswith("|")), end="")


def main(what=None, *rest):
    if what == "add" and len(rest) == 2 + len(FIELDS):
        add(rest[0], rest[1], rest[2:])
    elif what == "show" and len(rest) == 1:
        show(rest[0])
    elif what == "sources" and len(rest) == 1:
        print("\n".join(sources_of(rest[0])))
    else:
        sys.exit(__doc__)


main(*sys.argv[1:])
