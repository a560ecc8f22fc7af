"""usage: draw.py URL SECONDS FILE.svg

Looks at a pool's metrics twice a second for so long, as Prometheus would, and draws four panels of what it saw.
docs/observability.svg was made of a run of `observability 60` on two processors.
"""

import html
import re
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from typing import NamedTuple

Labels = dict[str, str]
WIDTH, HEIGHT = 470, 250  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 34, 44
COLOURS = ["#3274d9", "#e0752d", "#56a64b", "#a352cc", "#e02f44", "#8f8f8f"]
PERIOD = 0.5
WINDOW = 10  # samples that a rate is taken over


class Sample(NamedTuple):
    time: float
    series: dict[str, list[tuple[Labels, float]]]

    def sum(self, name: str, **wanted: str) -> float:
        found = self.series.get(name, [])
        return sum(v for labels, v in found if all(labels.get(k) == w for k, w in wanted.items()))


class Line(NamedTuple):
    name: str
    points: list[tuple[float, float]]


def look(url: str) -> Sample:
    with urllib.request.urlopen(url, timeout=5) as answer:
        text = answer.read().decode()
    series: dict[str, list[tuple[Labels, float]]] = {}
    for name, labels, value in re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)$", text, re.MULTILINE):
        series.setdefault(name, []).append((dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)))
    return Sample(time.monotonic(), series)


def values_of(samples: list[Sample], name: str, label: str) -> list[str]:
    return sorted({labels[label] for s in samples for labels, _ in s.series.get(name, [])})


def line(samples: list[Sample], name: str, at: Callable[[int], float | None]) -> Line:
    points = ((s.time - samples[0].time, at(i)) for i, s in enumerate(samples))
    return Line(name, [(x, y) for x, y in points if y is not None])


def increase(samples: list[Sample], i: int, name: str, **wanted: str) -> tuple[float, float]:
    """Of a counter over the window that ends here, and how long that was."""
    now, before = samples[i], samples[max(0, i - WINDOW)]
    return now.sum(name, **wanted) - before.sum(name, **wanted), now.time - before.time


def rate(samples: list[Sample], name: str, **wanted: str) -> Callable[[int], float | None]:
    def at(i: int) -> float | None:
        more, seconds = increase(samples, i, name, **wanted)
        return more / seconds if seconds else None

    return at


def quantile(samples: list[Sample], q: float, name: str) -> Callable[[int], float | None]:
    """As histogram_quantile has it, in milliseconds."""
    bounds = sorted(values_of(samples, f"{name}_bucket", "le"), key=float)

    def at(i: int) -> float | None:
        counts = [increase(samples, i, f"{name}_bucket", le=le)[0] for le in bounds]
        if not counts[-1]:
            return None
        rank = q * counts[-1]
        k = next(k for k, n in enumerate(counts) if n >= rank)
        low, below = (float(bounds[k - 1]), counts[k - 1]) if k else (0.0, 0.0)
        high = float(bounds[k]) if k < len(bounds) - 1 else low
        return 1000 * (low + (high - low) * (rank - below) / max(1.0, counts[k] - below))

    return at


def round_up(value: float) -> float:
    magnitude: float = 10 ** (len(f"{value:.0f}") - 1)
    return next(m * magnitude for m in (1, 2, 4, 5, 8, 10) if m * magnitude >= value)


def panel(x: int, y: int, title: str, lines: list[Line], marks: Iterable[float] = ()) -> str:
    longest = max(p[0] for one in lines for p in one.points)
    top = round_up(max(1.0, *(p[1] for one in lines for p in one.points)))
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(at: tuple[float, float]) -> str:
        return f"{LEFT + wide * at[0] / longest:.1f},{TOP + high * (1 - at[1] / top):.1f}"

    out = [f'<g transform="translate({x},{y})"><text x="{LEFT}" y="20" class="t">{html.escape(title)}</text>']
    for k in range(5):
        level = TOP + high * k / 4
        out.append(f'<path d="M{LEFT} {level:.0f}h{wide}" class="g"/>')
        out.append(f'<text x="{LEFT - 6}" y="{level + 4:.0f}" class="e">{top * (4 - k) / 4:g}</text>')
    for k in range(0, int(longest) + 1, 10):
        out.append(f'<text x="{LEFT + wide * k / longest:.0f}" y="{TOP + high + 15}" class="m">{k} s</text>')
    for at in marks:
        out.append(f'<path d="M{LEFT + wide * at / longest:.1f} {TOP}v{high}" class="k"/>')
    across = LEFT
    for colour, one in zip(COLOURS, lines, strict=False):
        points = " ".join(place(p) for p in one.points)
        out.append(f'<polyline points="{points}" stroke="{colour}"/>')
        out.append(f'<text x="{across}" y="{HEIGHT - 10}" style="fill:{colour}">{html.escape(one.name)}</text>')
        across += 14 + 7 * len(one.name)
    return "\n".join([*out, "</g>"])


def picture(samples: list[Sample]) -> str:
    tools = [t for t in values_of(samples, "snakepit_calls_total", "tool") if t]
    took = "snakepit_call_duration_seconds"
    queued = values_of(samples, "snakepit_queue_calls", "priority")
    workers = values_of(samples, "snakepit_worker_cpu_seconds_total", "worker")
    deaths = [
        now.time - samples[0].time
        for before, now in zip(samples, samples[1:], strict=False)
        if now.sum("snakepit_worker_restarts_total") > before.sum("snakepit_worker_restarts_total")
    ]

    def busy(worker: str) -> Callable[[int], float | None]:
        used = rate(samples, "snakepit_worker_cpu_seconds_total", worker=worker)

        def at(i: int) -> float | None:
            share = used(i)
            return None if share is None or share < 0 else 100 * share  # less than before: another process

        return at

    def waiting(priority: str) -> Callable[[int], float]:
        return lambda i: samples[i].sum("snakepit_queue_calls", priority=priority)

    by_tool = [line(samples, t, rate(samples, "snakepit_calls_total", tool=t)) for t in tools]
    latencies = [line(samples, f"p{q * 100:g}", quantile(samples, q, took)) for q in (0.5, 0.95, 0.99)]
    waits = [line(samples, p, waiting(p)) for p in queued]
    in_flight = line(samples, "in flight", lambda i: samples[i].sum("snakepit_calls_in_flight"))
    processors = [line(samples, w, busy(w)) for w in workers]
    panels = [
        panel(0, 0, "Calls per second, by tool", by_tool),
        panel(WIDTH, 0, "Milliseconds from call to outcome", latencies),
        panel(0, HEIGHT, "Calls that wait, by priority, and in flight", [*waits, in_flight]),
        panel(WIDTH, HEIGHT, "% of a processor per worker; dotted: one was started again", processors, deaths),
    ]
    style = (
        "text{font:12px sans-serif;fill:#555}.t{font-weight:bold;fill:#222}.e{text-anchor:end}.m{text-anchor:middle}"
        ".g{stroke:#ddd}.k{stroke:#e02f44;stroke-dasharray:2 3}polyline{fill:none;stroke-width:1.5}"
    )
    size = f'width="{2 * WIDTH}" height="{2 * HEIGHT}" viewBox="0 0 {2 * WIDTH} {2 * HEIGHT}"'
    body = "\n".join(panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


def main() -> None:
    url, seconds, path = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    samples = [look(url)]
    while samples[-1].time - samples[0].time < seconds:
        time.sleep(PERIOD)
        samples.append(look(url))
    with open(path, "w", encoding="utf-8") as file:
        file.write(picture(samples))


if __name__ == "__main__":
    main()
