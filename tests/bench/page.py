"""page: RESULTS.md and its plots, from what was measured. Nothing here measures, and nothing else writes that page."""
import os

import judge
import plot
from peers import PEERS
from scaling import MEMORY_LIMITS, SERIES, START_LIMIT_MS, rises
from workloads import WORKLOADS

HERE = os.path.dirname(os.path.abspath(__file__))
FLOORS = os.path.join(HERE, "floors.txt")

INTRO = """Written by `make bench` (tests/bench/bench.py); do not edit. Time is that of the whole
`mtrace run -f -o REC -- CMD` until it exits, recording and symbols written; dormant is the preloaded shim with
`mode=off`. Without stacks: the same `mtrace run` with `unwind=none`, so what is left of the cost when a stack costs nothing."""
TIME = f"""Ratio to the untracked run of the same round: median (95 % bootstrap bounds of the median). A limit holds when the
median of at least {judge.PAIRS_TO_JUDGE} pairs does and the upper bound is within 3 points above it; untracked runs under
{judge.SECONDS_TO_JUDGE:.0f} s are not judged. Untracked: median ± half of what the middle half spans."""
BESIDE = """The same rounds: median, bounds (runs; part of the size, for those that would take too long, against an untracked
run of that part). Fewer runs than ours mean that the time was used up. Allocators and LSan stand on a malloc of their own,
which can be faster than glibc's; LSan's time has its search for leaks at the end."""
MEMORY = """Peak of the target, of which the tracker; peak of `mtrace run` beside it; size of the recording; allocations
seen; the ratio of the very first run, with no symbols in the cache; what the trust box says."""
SCALING = """The program's own ns per operation in its steady part, under a plain preload; rise: the ratio over that of the
first point of the same round."""
RECORD = """Many live blocks of one size, one stack: share of their bytes, by the tracker's own word and by how much more
resident memory the process had at its peak than untracked. The larger one is judged, from 32 MiB on."""
INSTRUCTIONS = """Of one malloc and its free, added by the tracker (callgrind; tests/programs/instructions.sh holds the
bounds)."""
FLOOR = """What a limit that does not hold could at best be, and how that was measured (tests/bench/floors.txt)."""


def size(n):
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n < 1024 or unit == "GiB":
            return f"{n:.0f} {unit}" if unit in ("B", "KiB") else f"{n:.1f} {unit}"
        n /= 1024


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(row) + " |" for row in rows]


def with_bounds(values, digits=2):
    if len(values) == 1:
        return f"{values[0]:.{digits}f}x"
    low, high = judge.bounds(values)
    return f"{judge.median(values):.{digits}f}x ({low:.{digits}f} to {high:.{digits}f})"


def read_floors():
    """floors.txt: "KEY | FLOOR | HOW IT WAS MEASURED", one a line; # begins a comment."""
    rows = {}
    with open(FLOORS) as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                key, floor, how = (part.strip() for part in line.split("|", 2))
                rows[key] = (floor, how)
    return rows


def judged(key, values, limit, floors, *how):
    said = judge.verdict(values, limit, *how)
    return said + (f"; floor {floors[key][0]}" if key in floors and "does not" in said else "")


# ---- the rows -------------------------------------------------------------------------------------------------------

def own_row(r, floors):
    if not r["exact"]:
        return [r["title"], "0", "–", r["failure"] or "–", f"≤ {r['limit']}x", "not measured", "–", "–", "–", "–"]
    seconds = judge.median(r["untracked"])
    dormant = r["dormant_limit"]
    untracked = f"{seconds:.2f} s ± {judge.spread(r['untracked']):.0%}"
    return [r["title"], str(len(r["exact"])), untracked, f"**{with_bounds(r['exact'])}**", f"≤ {r['limit']}x",
            judged(r["key"], r["exact"], r["limit"], floors, r["size"], seconds),
            f"{judge.median(r['bare']):.2f}x" if r.get("bare") else "–", with_bounds(r["dormant"], 3),
            f"≤ {dormant}x" if dormant else "–",
            judged(r["key"] + "-dormant", r["dormant"], dormant, floors, r["size"], seconds) if dormant else "–"]


def peer_cell(of):
    if of is None:
        return "–"
    if not of["ratios"]:
        return of["note"] or "–"
    about = [str(len(of["ratios"]))] + ([f"1/{of['part']}"] if of["part"] > 1 else [])
    ratio = judge.median(of["ratios"])
    if len(of["ratios"]) > 1:
        low, high = judge.bounds(of["ratios"])
        ratio = f"{ratio:.2f}x, {low:.2f} to {high:.2f}"
    else:
        ratio = f"{ratio:.2f}x"
    return f"{ratio} ({', '.join(about)})" + ("; " + of["note"] if of["note"] else "")


def peer_row(r):
    ours = with_bounds(r["exact"]) if r["exact"] else "–"
    return [r["title"], f"**{ours}**"] + [peer_cell(r["peers"].get(peer.key)) for peer in PEERS]


def memory_row(r):
    if not r["exact"]:
        return [r["title"]] + ["–"] * 7
    trust = ", ".join(f"{key} {n}" for key, n in r["trust"].items()) or "nothing"
    peaks = [size(judge.median(r[which])) for which in ("peak_untracked", "peak_exact", "peak_mtrace")]
    return [r["title"], peaks[0], peaks[1], size(r["tracker_bytes"]), peaks[2], size(r["recording_bytes"]),
            f"{r['allocations']:,}".replace(",", " "), f"{r['first_ratio']:.2f}x", trust]


def peer_memory_row(r):
    def cell(of):
        if not of or not of["peaks"]:
            return "–"
        part = f" (1/{of['part']})" if of["part"] > 1 else ""
        return f"{size(judge.median(of['peaks']))}, {size(of['bytes'])}{part}"
    return [r["title"]] + [cell(r["peers"].get(peer.key)) for peer in PEERS]


# ---- sections ---------------------------------------------------------------------------------------------------------

def rows_section(rows, floors):
    lines = ["## Time", "", TIME, ""] + table(
        ["workload", "pairs", "untracked", "exact, full stacks", "limit", "judged", "without stacks", "dormant", "limit", "judged"],
        [own_row(r, floors) for r in rows])
    lines += ["", "## Beside others", "", BESIDE, ""] + table(
        ["workload", "**ours, exact**"] + [peer.title for peer in PEERS], [peer_row(r) for r in rows])
    lines += [f"\n{r['title']}: heaptrack {r['peers']['heaptrack']['fallback']}." for r in rows
              if r["peers"].get("heaptrack", {}).get("fallback")]
    lines += ["", "## Memory and files", "", MEMORY, ""] + table(
        ["workload", "untracked", "tracked", "of that the tracker", "`mtrace run`", "recording", "allocations", "first run",
         "not seen, dropped"], [memory_row(r) for r in rows])
    return lines + ["", "Peers: peak of the target, files left behind (part of the size).", ""] + table(
        ["workload"] + [peer.title for peer in PEERS], [peer_memory_row(r) for r in rows])


def start_section(start):
    middle = {kind: judge.median(ms) for kind, ms in start.items()}
    added = [a - b for a, b in zip(start["preload"], start["untracked"])]
    whole = [a - b for a, b in zip(start["run"], start["untracked"])]
    low, high = judge.bounds(added)
    words = "holds" if judge.median(added) <= START_LIMIT_MS and high <= START_LIMIT_MS else "does not hold"
    return ["## Start-up", "", f"Of `true`, {len(added)} rounds, medians.", ""] + table(
        ["", "ms", "added"],
        [["untracked", f"{middle['untracked']:.2f}", ""],
         ["shim preloaded", f"{middle['preload']:.2f}",
          f"**{judge.median(added):.2f} ms** ({low:.2f} to {high:.2f}); limit {START_LIMIT_MS:.0f} ms: **{words}**"],
         ["`mtrace run -f -o REC --`", f"{middle['run']:.2f}", f"{judge.median(whole):.2f} ms"]])


def lines_of(series):
    """The chart's lines of one series: ns per operation, untracked and tracked and, where it was there, heaptrack."""
    first_line = series["points"][0]["line"]
    names = list(dict.fromkeys(p["line"] for p in series["points"]))
    chart = []
    for name in names:
        points = [p for p in series["points"] if p["line"] == name or (name != first_line and p is series["points"][0])]
        points.sort(key=lambda p: p["x"])
        suffix = "" if len(names) == 1 else ", " + name.split(",")[0]
        chart += [("untracked" + suffix, [(p["x"], judge.median(p["untracked"])) for p in points]),
                  ("exact" + suffix, [(p["x"], judge.median(p["exact"])) for p in points])]
    theirs = [(p["x"], judge.median(p["heaptrack"])) for p in series["points"]
              if p["heaptrack"] and None not in p["heaptrack"]]
    return chart + ([("heaptrack", theirs)] if theirs else [])


def point_row(series, point, floors):
    ratios = [a / b for a, b in zip(point["exact"], point["untracked"])]
    rise = rises(series, point)
    limit = None if point is series["points"][0] else series["limits"].get(point["line"])
    theirs = [ns for ns in point["heaptrack"] if ns]
    return [f"{point['x']:,}".replace(",", " "), point["line"] if point["line"] != "exact" else "", str(len(ratios)),
            f"{judge.median(point['untracked']):.1f}", f"{judge.median(point['exact']):.1f}", with_bounds(ratios),
            with_bounds(rise), f"≤ {limit}x" if limit else "–",
            judged(series["key"], rise, limit, floors, series["size"]) if limit else "–",
            f"{judge.median(theirs):.0f}" if theirs and len(theirs) == len(point["heaptrack"]) else "–"]


def series_section(series, directory, floors):
    if not series["points"][0]["exact"]:
        return ["", f"### {series['title']}", "", f"Not measured: {series['failure']}."]
    with open(os.path.join(directory, series["key"] + ".svg"), "w") as f:
        f.write(plot.chart(series["title"], series["across"], "ns per operation", lines_of(series)))
    lines = ["", f"### {series['title']}", "", f"![{series['title']}]({series['key']}.svg)", ""]
    whole = [p for p in series["points"] if p["exact"]]
    return lines + table([series["across"], "", "rounds", "untracked ns", "exact ns", "ratio", "rise over the first",
                          "limit", "judged", "heaptrack ns"], [point_row(series, p, floors) for p in whole])


def memory_section(rows, floors):
    """Judged is the larger of the two figures: what the tracker says and what the process grew by."""
    def judged_memory(row):
        limit = MEMORY_LIMITS[row["size"]]
        if row["live_bytes"] < 32 << 20:  # the fixed part would be the figure
            return "–"
        share = max(row["tracker_bytes"], row["grown_bytes"]) / row["live_bytes"]
        said = "**holds**" if share <= limit else "**does not hold**"
        return said + (f"; floor {floors['memory'][0]}" if share > limit and "memory" in floors else "")
    def row(r):
        shares = [f"{r[which] / r['live_bytes']:.1%}" for which in ("tracker_bytes", "grown_bytes")]
        return [f"{r['size']} B", f"{r['live']:,}".replace(",", " "), size(r["tracker_bytes"]), shares[0],
                size(max(r["grown_bytes"], 0)), shares[1], f"≤ {MEMORY_LIMITS[r['size']]:.1%}", judged_memory(r),
                size(r["recording_bytes"])]
    return ["## Memory of the record", "", RECORD, ""] + table(
        ["block", "live blocks", "tracker", "share", "grown", "share", "limit", "judged", "recording"],
        [row(r) for r in rows])


def instructions_section(rows):
    return ["## Instructions", "", INSTRUCTIONS, ""] + table(
        ["", "instructions", "bound"], [[what, str(n), str(bound)] for what, n, bound in rows])


def floors_section(floors):
    rows = [[key, *floor] for key, floor in floors.items()]
    return ["## Measured floors", "", FLOOR, ""] + (table(["row", "floor", "how it was measured"], rows) if rows else
                                                    ["None yet."])


def in_order(records, table_rows):
    """As the tables have them, whatever was measured first."""
    return [records[row.key] for row in table_rows if row.key in records]


def indications(results):
    few = [r for r in results["rows"].values() if len(r["exact"]) < judge.PAIRS_TO_JUDGE]
    few += [s for s in results["series"].values() if len(s["points"][0]["exact"]) < judge.PAIRS_TO_JUDGE]
    part = min([r["size"] for r in [*results["rows"].values(), *results["series"].values()]], default=1)
    if not few and part >= 1:
        return []
    cut = f", and sizes were down to {part:g} of the whole" if part < 1 else ""
    return [f"**Indications only: {len(few)} of the rows and charts below have fewer than {judge.PAIRS_TO_JUDGE} pairs{cut}. "
            "Nothing can be judged by them.**", ""]


def not_done(results):
    records = [*results["rows"].values(), *results["series"].values()]
    now = results["about"]["source"]
    said = [f"- {r['title']}: failed: {r['failure']}" for r in records if r["failure"]]
    said += [f"- {r['title']}: cut short: {r['cut_short']}" for r in records if r["cut_short"]]
    said += [f"- {r['title']}: measured earlier: {r['source']}, {r['date']}" for r in records if r["source"] != now]
    said += [f"- {line}" for line in results["about"]["left_out"]]
    return ["", "## Cut short, failed, or of another run", ""] + (said or ["Nothing."])


def about_lines(about):
    return [f"Machine: {about['machine']}.", "",
            f"Source: {about['source']}, {about['date']}; {about['pairs']} pairs asked for, sizes x{about['size']:g}, "
            f"{about['seconds']:.0f} s for all, used {about['used']:.0f} s. Peers: {about['peers']}.", ""]


def scaling_section(results, directory, floors):
    lines = ["## Scaling", "", SCALING]
    for series in in_order(results["series"], SERIES):
        lines += series_section(series, directory, floors)
    return lines


def write(results, path):
    """The page, with the sections of which there are figures; plots beside it."""
    directory, floors = os.path.dirname(os.path.abspath(path)), read_floors()
    sections = [("rows", lambda: rows_section(in_order(results["rows"], WORKLOADS), floors)),
                ("start", lambda: start_section(results["start"])),
                ("series", lambda: scaling_section(results, directory, floors)),
                ("memory", lambda: memory_section(results["memory"], floors)),
                ("instructions", lambda: instructions_section(results["instructions"]))]
    lines = ["# What tracking costs", "", INTRO, ""] + indications(results) + about_lines(results["about"])
    for key, section in sections:
        lines += section() + [""] if results[key] else []
    lines += floors_section(floors) + not_done(results)
    with open(path, "w") as f:
        f.write("\n".join(lines).rstrip() + "\n")
