#!/usr/bin/env python3
"""truth: compares a report with what Leaks.java says of itself: `truth.py REPORT Leaks.java BLOCKS`. Prints one line for
each place whose blocks are not all under its frames and lines, for blocks that are under none, and for stacks that were
lost in Java code. Prints nothing when all is well.

One way is lost by nature: ZGC's barriers call the runtime from the end of a compiled method, with registers pushed that no
table tells of. Few of these calls allocate: fewer than one in ten thousand of what is captured may be lost so, and is counted."""
import json
import re
import sys

report, source, blocks = sys.argv[1], sys.argv[2], int(sys.argv[3])
lines = open(source, encoding="utf-8").read().splitlines()
marks = {m: n for n, line in enumerate(lines, 1) for m in re.findall(r"/\*@(\w+)\*/", line)}


def chain_of(text):
    chain = []
    for word in text.split():
        name, _, mark = word.partition("@")
        chain.append(("Leaks$" + name if name[0].isupper() else "Leaks." + name, marks[mark] if mark else 0))
    return tuple(chain)


wanted = {}
for line in lines:
    found = re.match(r"\s*//= (\w+): (.*)", line)
    if found:
        wanted[chain_of(found.group(2))] = [found.group(1), 0]
strange = {}
lost_in_barriers = captured = 0
for stack in json.load(open(report, encoding="utf-8"))["processes"][0]["stacks"]:
    frames = stack["frames"]
    functions = [f["function"] for f in frames]
    captured += stack["alloc_blocks"]
    if "[lost in Java code]" in functions and functions[-2].startswith("ZBarrierSetRuntime::"):
        lost_in_barriers += stack["alloc_blocks"]
    elif "[lost in Java code]" in functions:
        print(f"{stack['alloc_blocks']} blocks lost behind {functions[-2:][0]}")
    chain = tuple((f["function"], f["line"]) for f in frames if re.match(r"Leaks(?!\$\$Lambda)", f["function"]))
    is_direct = "jdk.internal.misc.Unsafe.allocateMemory0" in functions and "Leaks.direct" in functions \
        and stack["live_bytes"] == 1000 * stack["live_blocks"]
    if stack["kind"] != "malloc" or not (functions[0] == "Java_Leaks_leak" or is_direct):
        continue
    if is_direct != (stack.get("owner") == "jvm-direct"):
        print(f"its owner is {stack.get('owner')}: {functions[:8]}")
    if any(f["language"] == "java" and f["line"] and f["file"] != "Leaks.java" for f in frames if f["function"].startswith("Leaks")):
        print(f"a file is wrong in {functions}")
    if not stack["whole"] or functions[-1] not in ("clone3", "clone", "__clone3", "__clone"):
        print(f"not whole: {functions}")
    wanted.get(chain, strange.setdefault(chain, ["?", 0]))[1] += stack["live_blocks"]
for chain, (name, count) in wanted.items():
    if count != blocks:
        print(f"{name}: {count} blocks, should be {blocks}")
for chain, (name, count) in strange.items():
    if count:
        print(f"{count} blocks under {chain}")
if lost_in_barriers * 10000 > captured:
    print(f"{lost_in_barriers} blocks of {captured} lost behind ZGC's barriers")
