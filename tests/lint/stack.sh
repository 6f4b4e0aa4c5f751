#!/bin/bash
# stack: how much of a host's stack our hooks use at the most, by the compiler's own figures: the deepest chain of calls
# from each entry point, frames and return addresses. A host allocates in signal handlers on 8 KiB (SIGSTKSZ, of which
# the kernel's own frame takes 2 to 3), and on threads of 16 KiB.
#
# ENTRY BYTES WITHOUT…: the bound of an entry, leaving out what is behind the functions named. Calls through pointers
# are not followed: the real functions, and visitors of directories, which only start-up and a fork's first event have; but
# for what the map of ranges tells the tracker.
set -u
cd "$(dirname "$0")/../.." || exit 2
BUILD=${BUILD:-build}
build=$BUILD/lint/stack
# Cold: the first event of a process, of a forked child; the first call of a late function; a call under the program's own
# seccomp filters. What these take by themselves stands at the end.
cold="boot_wake boot_look_up sys6_asked"
table="
malloc            7700 $cold capture_deep
calloc            7700 $cold capture_deep
realloc           7700 $cold capture_deep
posix_memalign    7700 $cold capture_deep
free              1200 $cold capture_deep
mmap              7700 $cold capture_deep
munmap            1800 $cold capture_deep
mremap            7700 $cold capture_deep
_Znwm             7700 $cold capture_deep
_ZdlPv            1200 $cold capture_deep
pthread_create    7700 $cold capture_deep
mtrace_mark       1500 $cold capture_deep
boot_look_up      5000
sys6_asked         500
boot_wake         5000
capture_deep      9600
"
MAKEFLAGS= make -s -j2 BUILD="$build" CFLAGS='-O2 -g -fcallgraph-info=su' lib >/dev/null || exit 1
python3 - "$build" "$table" <<'END_OF_PYTHON'
import pathlib, re, sys

sys.setrecursionlimit(10000)
own, calls = {}, {}
for file in pathlib.Path(sys.argv[1]).rglob("*.ci"):
    for line in file.read_text().splitlines():
        if m := re.match(r'node: \{ title: "(?:[^":]*:)?([^":]+)" label: "[^"]*?(\d+) bytes \(([\w,]+)', line):
            own[m[1]] = max(int(m[2]), own.get(m[1], 0)) if m[3] != "dynamic" else sys.exit(f"{m[1]}: a frame without bound")
        elif m := re.match(r'edge: \{ sourcename: "(?:[^":]*:)?([^":]+)" targetname: "(?:[^":]*:)?([^":]+)"', line):
            calls.setdefault(m[1], set()).add(m[2])

for name in ("tell_gone", "let_go", "insert_at", "clear", "apply", "apply_committed"): # as far as they are not in line
    if "__indirect_call" in calls.get(name, ()):
        calls[name].add("count_range_gone")

def plain(name):
    return re.sub(r"\.(isra|constprop|part|cold)(\.\d+)?", "", name)

def deepest(name, without, known, under_way):
    """(bytes, the chain) from `name` down; a return address a call."""
    if plain(name) in without or name not in own:
        return 8, []
    if name in under_way:
        sys.exit(f"{name} calls itself: without bound")
    if name not in known:
        below = max((deepest(c, without, known, under_way | {name}) for c in calls.get(name, ())), default=(0, []))
        known[name] = (own[name] + 8 + below[0], [f"{name} {own[name]}"] + below[1])
    return known[name]

failed = not own
for entry, bound, *without in map(str.split, sys.argv[2].strip().splitlines()):
    found = [name for name in own if plain(name) == entry]
    used, chain = max((deepest(n, set(without), {}, frozenset()) for n in found), default=(0, []))
    if not 0 < used <= int(bound):
        print(f"{entry}: {used} bytes of stack, {bound} allowed: {', '.join(chain) or 'no such function'}")
        failed = True
    elif "-v" in sys.argv:
        print(entry, used, *chain, sep="\n  ")
sys.exit(failed)
END_OF_PYTHON
