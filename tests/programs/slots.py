#!/usr/bin/env python3
"""slots: how many slots of a process's objects lead into libmtrace.so: `slots.py PID`. Prints the number."""
import re
import struct
import subprocess
import sys

pid = sys.argv[1]
maps = [re.match(r"(\w+)-(\w+) \S+ (\w+) \S+ \S+ +(/.*\.so[^ ]*)", line) for line in open(f"/proc/{pid}/maps", encoding="utf-8")]
first, ours = {}, []
for m in filter(None, maps):
    start, end, offset = (int(m[i], 16) for i in (1, 2, 3))
    if m[4].endswith("/libmtrace.so"):
        ours.append((start, end))
    elif offset == 0:
        first.setdefault(m[4], start)
found = 0
with open(f"/proc/{pid}/mem", "rb") as memory:
    for path, start in first.items():
        out = subprocess.run(["readelf", "-rW", f"/proc/{pid}/root{path}"], capture_output=True, text=True, check=False).stdout
        for offset in re.findall(r"^(\w+) +\w+ R_X86_64_(?:JUMP_SLOT?|GLOB_DAT)", out, re.M):
            memory.seek(start + int(offset, 16))
            value, = struct.unpack("<Q", memory.read(8))
            found += any(low <= value < high for low, high in ours)
print(found)
