"""plot: a line chart as SVG, without any library: points on logarithmic axes, one line a series, named at its end.

chart(title, across, up, series) with series = [(name, [(x, y), …]), …]; the same input gives the same bytes.
"""
import math
from xml.sax.saxutils import escape

WIDE, HIGH = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 44, 52
COLOURS = ["#4e79a7", "#e15759", "#59a14f", "#f28e2b", "#b07aa1", "#76b7b2", "#9c755f"]
STEPS = (1, 2, 5)
MARKS_MOST = 10


def short(value):
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g}"


def enclosing(low, high):
    """The marks 1, 2, 5, 10 … from the last at or below low to the first at or above high; decades only when there are
    many of them."""
    marks = [step * 10.0 ** power for power in range(-6, 13) for step in STEPS]
    first = max(i for i, m in enumerate(marks) if m <= low * (1 + 1e-9))
    last = min(i for i, m in enumerate(marks) if m >= high * (1 - 1e-9))
    chosen = marks[first:last + 1]
    return chosen if len(chosen) <= MARKS_MOST else [m for i, m in enumerate(chosen) if i in (0, len(chosen) - 1) or
                                                     math.isclose(math.log10(m) % 1, 0, abs_tol=1e-6)
                                                     or math.isclose(math.log10(m) % 1, 1, abs_tol=1e-6)]


class Scale:
    """Maps values onto pixels, logarithmically."""

    def __init__(self, marks, begin, end):
        self.marks, self.begin, self.end = marks, begin, end
        self.low, self.high = math.log10(marks[0]), math.log10(marks[-1])

    def at(self, value):
        part = (math.log10(value) - self.low) / ((self.high - self.low) or 1)
        return self.begin + part * (self.end - self.begin)


def grid(x, y):
    lines = []
    for mark in y.marks:
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDE - RIGHT}" y1="{y.at(mark):.1f}" y2="{y.at(mark):.1f}"/>'
                     f'<text class="mark" x="{LEFT - 8}" y="{y.at(mark) + 4:.1f}" text-anchor="end">{short(mark)}</text>')
    for mark in x.marks:
        lines.append(f'<line class="grid" x1="{x.at(mark):.1f}" x2="{x.at(mark):.1f}" y1="{TOP}" y2="{HIGH - BOTTOM}"/>'
                     f'<text class="mark" x="{x.at(mark):.1f}" y="{HIGH - BOTTOM + 18}" text-anchor="middle">'
                     f'{short(mark)}</text>')
    return lines


def names_apart(wanted):
    """The heights of the names at the lines' ends: in the order of the lines, 14 pixels apart at least."""
    placed = {}
    last = -1e9
    for at, name in sorted(wanted):
        last = max(at, last + 14)
        placed[name] = last
    return placed


def chart(title, across, up, series):
    series = [(name, [(x, y) for x, y in points if x > 0 and y > 0]) for name, points in series]
    series = [(name, points) for name, points in series if points]
    xs, ys = [x for _, p in series for x, _ in p], [y for _, p in series for _, y in p]
    x, y = Scale(enclosing(min(xs), max(xs)), LEFT, WIDE - RIGHT), Scale(enclosing(min(ys), max(ys)), HIGH - BOTTOM, TOP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" width="{WIDE}" height="{HIGH}" '
           'font-family="sans-serif">',
           '<style>text{fill:#333}.mark{font-size:11px}.grid{stroke:#ddd}.name{font-size:12px}.title{font-size:15px}'
           '</style>',
           f'<rect width="{WIDE}" height="{HIGH}" fill="#fff"/>',
           f'<text class="title" x="{LEFT}" y="24">{escape(title)}</text>']
    out += grid(x, y)
    heights = names_apart([(y.at(points[-1][1]), name) for name, points in series])
    for number, (name, points) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x.at(a):.1f},{y.at(b):.1f}" for a, b in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x.at(a):.1f}" cy="{y.at(b):.1f}" r="3" fill="{colour}"/>' for a, b in points]
        out.append(f'<text class="name" x="{WIDE - RIGHT + 10}" y="{heights[name] + 4:.1f}" style="fill:{colour}">'
                   f'{escape(name)}</text>')
    out.append(f'<text class="name" x="{(LEFT + WIDE - RIGHT) / 2:.0f}" y="{HIGH - 12}" text-anchor="middle">'
               f'{escape(across)}</text>')
    out.append(f'<text class="name" x="16" y="{(TOP + HIGH - BOTTOM) / 2:.0f}" text-anchor="middle" '
               f'transform="rotate(-90 16 {(TOP + HIGH - BOTTOM) / 2:.0f})">{escape(up)}</text>')
    return "\n".join(out + ["</svg>"]) + "\n"
