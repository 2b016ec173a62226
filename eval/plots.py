"""Plots of results as SVG: accuracy by recursion step, and accuracy against what it costs.

Holds the drawing of records; measuring is benchmark.py's. The SVG is one element that an HTML page can hold as it is:
text stays text, lines and letters take the page's own colour, each method's colour is a CSS variable
(`--series-1` to `--series-8`) with a colour-blind-safe value where the page sets none (after Okabe and Ito 2008,
darkened to stand out from white), and the same records give the same bytes. Marker shapes tell methods apart as well.
"""

from __future__ import annotations

import html
import io
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hybrid.eval.intervals import wilson
from hybrid.eval.results import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Cost = Literal["latency_p50_seconds", "flops_mean"]

SERIES = ("#0072b2", "#d55e00", "#00845f", "#b04a8b", "#9a6a00", "#5f6b73", "#7a3b2e", "#4f46b8")
_MARKERS = "osD^vPX"
_COSTS = {"latency_p50_seconds": ("seconds a problem, median", "s"), "flops_mean": ("forward FLOPs a problem", "")}
_INCHES = (5.0, 3.5)
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hybrid",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "black",
    "grid.alpha": 0.13,
    "grid.linewidth": 0.7,
    "savefig.transparent": True,
}


def series_number(records: Sequence[Record], method: str) -> int:
    """Return the number of a method's colour, 1 to 8: its place among the methods of `records`."""
    return _place(records, method) % len(SERIES) + 1


def depth_curve(records: Sequence[Record]) -> str:
    """Return an SVG of exact share by supervision step, with Wilson 95% bands, for the records that have it."""
    curves = [record for record in records if record.accuracy_by_step]
    with _figure() as (figure, axes):
        _percent_axis(axes)
        ends: dict[str, tuple[float, str]] = {}
        for record in curves:
            shares, colour = record.accuracy_by_step or [], _colour(records, record.method)
            steps = list(range(1, len(shares) + 1))
            bands = [wilson(round(share * record.n), record.n) for share in shares]
            low, high = ([100 * band[side] for band in bands] for side in (0, 1))
            axes.fill_between(steps, low, high, color=colour, alpha=0.14, linewidth=0)
            marker = _marker(records, record.method)
            heights = [100 * share for share in shares]
            axes.plot(steps, heights, color=colour, marker=marker, markersize=3.5, linewidth=1.6)
            ends.setdefault(record.method, (heights[-1], colour))
        _step_axis(axes, max((len(record.accuracy_by_step or []) for record in curves), default=1))
        _label_ends(axes, ends)
        return _svg(figure, "Exact answers by supervision step: " + ", ".join(ends))


def cost_curve(records: Sequence[Record], x: Cost = "latency_p50_seconds") -> str:
    """Return an SVG of exact share, with its interval, against a cost on a logarithmic axis.

    A cost of 0 has no place on such an axis: it stands at the left edge, hollow and labelled "(0)".
    """
    points = _points(records, x)
    caption, unit = _COSTS[x]
    with _figure() as (figure, axes):
        _percent_axis(axes)
        _cost_axis(axes, [point.x for point in points], unit)
        if all(point.hollow for point in points):
            axes.set_xticks([])
            axes.set_xticks([], minor=True)
        axes.set_xlabel(caption)
        for point in points:
            axes.errorbar(
                point.x,
                point.y,
                yerr=[[point.y - point.low], [point.high - point.y]],
                color=point.colour,
                marker=point.marker,
                markersize=6,
                markerfacecolor="none" if point.hollow else point.colour,
                elinewidth=1.3,
                capsize=2.5,
            )
        _label_points(figure, axes, points)
        return _svg(figure, f"Exact answers against {caption}: " + ", ".join(p.label for p in points if p.label))


def memory_curve(peaks: Mapping[str, Sequence[int]], cycles: Sequence[int]) -> str:
    """Return an SVG of the peak bytes of a training step by the number of cycles, one line a gradient scheme."""
    with _figure() as (figure, axes):
        for number, (scheme, heights) in enumerate(peaks.items()):
            colour, marker = SERIES[number % len(SERIES)], _MARKERS[number % len(_MARKERS)]
            axes.plot(cycles, [height / 1e6 for height in heights], label=scheme, color=colour, marker=marker, linewidth=1.6)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(cycles, [str(count) for count in cycles])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("cycles of a supervision step, T")
        axes.set_ylabel("peak MB of a training step")
        axes.legend(loc="upper left", frameon=False, fontsize=9)
        return _svg(figure, "Peak memory by the number of cycles: " + ", ".join(peaks))


@dataclass(frozen=True)
class _Point:
    """A mark of the cost plot; `y`, `low` and `high` in percent, `label` empty for further seeds of a method."""

    x: float
    y: float
    low: float
    high: float
    label: str
    colour: str
    marker: str
    hollow: bool


def _points(records: Sequence[Record], x: Cost) -> list[_Point]:
    costs: list[float] = [getattr(record, x) for record in records]
    least = min((cost for cost in costs if cost > 0), default=1.0)
    points: list[_Point] = []
    named: set[str] = set()
    for record, cost in zip(records, costs, strict=True):
        label = "" if record.method in named else record.method + (" (0)" if cost == 0 else "")
        named.add(record.method)
        points.append(
            _Point(
                x=cost or least / 4,
                y=100 * record.exact,
                low=100 * record.exact_low,
                high=100 * record.exact_high,
                label=label,
                colour=_colour(records, record.method),
                marker=_marker(records, record.method),
                hollow=cost == 0,
            )
        )
    return points


def _place(records: Sequence[Record], method: str) -> int:
    return list(dict.fromkeys(record.method for record in records)).index(method)


def _colour(records: Sequence[Record], method: str) -> str:
    return SERIES[_place(records, method) % len(SERIES)]


def _marker(records: Sequence[Record], method: str) -> str:
    return _MARKERS[_place(records, method) % len(_MARKERS)]


@contextmanager
def _figure() -> Iterator[tuple[Figure, Axes]]:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A figure of its own, without pyplot: no window, no state left behind, no influence of the user's matplotlibrc.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        figure = Figure(figsize=_INCHES, dpi=72, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, figure.add_subplot()


def _percent_axis(axes: Axes) -> None:
    axes.set_ylim(-4, 104)
    axes.set_yticks(range(0, 101, 20), [f"{tick}%" for tick in range(0, 101, 20)])
    axes.set_ylabel("exact answers")
    axes.tick_params(length=0)


def _step_axis(axes: Axes, most: int) -> None:
    axes.set_xscale("log", base=2)
    ticks = [2**power for power in range(most.bit_length())]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(0.92, most * 1.08 if most > 1 else 2)
    axes.set_xlabel("supervision steps")


def _cost_axis(axes: Axes, costs: Sequence[float], unit: str) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    low, high = min(costs, default=1.0), max(costs, default=1.0)
    axes.set_xscale("log")
    # Room on the right for the label of the costliest method, and a decade at least, so that there are ticks.
    room = max(2.0, 4.0 * (low / high) ** 0.5)
    axes.set_xlim(low / room, high * room * (high / low) ** 0.3)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 50 else (1.0, 3.0)))
    axes.xaxis.set_major_formatter(EngFormatter(unit))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _label_ends(axes: Axes, ends: dict[str, tuple[float, str]]) -> None:
    """Write each method's name right of its curve's end, moved up or down where two would overlap."""
    gap, last = 7.5, -100.0
    heights: list[float] = []
    order = sorted(ends, key=lambda method: ends[method][0])
    for method in order:
        last = max(ends[method][0], last + gap)
        heights.append(last)
    # The stack has grown upwards only; the part above the top is pushed back down.
    top = 100.0
    for place in reversed(range(len(heights))):
        heights[place] = min(heights[place], top)
        top = heights[place] - gap
    for method, height in zip(order, heights, strict=True):
        axes.text(
            1.02,
            height,
            method,
            color=ends[method][1],
            transform=axes.get_yaxis_transform(),
            verticalalignment="center",
            parse_math=False,
        )


_Box = tuple[float, float, float, float]


def _label_points(figure: Figure, axes: Axes, points: Sequence[_Point]) -> None:
    """Write each label at the place near its point that covers the least of all that is drawn already."""
    figure.draw_without_rendering()
    inside = axes.get_window_extent()
    frame = (inside.x0, inside.y0, inside.x1, inside.y1)
    taken: list[_Box] = []
    for point in points:
        x, low = axes.transData.transform((point.x, point.low))
        _, y = axes.transData.transform((point.x, point.y))
        _, high = axes.transData.transform((point.x, point.high))
        taken += [(x - 5, y - 5, x + 5, y + 5), (x - 3, low, x + 3, high)]
    for number, point in enumerate(points):
        if not point.label:
            continue
        width, height = _extent(axes, point.label)
        x, y = (taken[2 * number][side] + 5 for side in (0, 1))
        choices = list(_places(x, y, width, height))
        costs = [_cost(box, taken, frame) + 2 * rank for rank, box in enumerate(choices)]
        box = choices[costs.index(min(costs))]
        taken.append(box)
        centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        far = abs(centre[1] - y) > 18
        axes.annotate(
            point.label,
            (x, y),
            centre,
            xycoords="figure pixels",
            textcoords="figure pixels",
            horizontalalignment="center",
            verticalalignment="center",
            color=point.colour,
            parse_math=False,
            arrowprops={"arrowstyle": "-", "color": point.colour, "linewidth": 0.6, "shrinkB": 5} if far else None,
        )


def _extent(axes: Axes, text: str) -> tuple[float, float]:
    probe = axes.text(0, 0, text, parse_math=False)
    box = probe.get_window_extent()
    probe.remove()
    return box.width + 4, box.height


def _places(x: float, y: float, width: float, height: float) -> Iterator[_Box]:
    """Yield boxes for a label around a point, the best looking ones first."""
    for rise in (0, 9, -9, 18, -18, 30, -30, 42, -42, 54, -54):
        for left in (x + 5, x - 5 - width, x - width / 2):
            if rise or left != x - width / 2:
                yield left, y + rise - height / 2, left + width, y + rise + height / 2


def _cost(box: _Box, taken: Sequence[_Box], frame: _Box) -> float:
    """Return the area of a label that covers something or hangs out of the frame, in square points."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    return area - _shared(box, frame) + sum(_shared(box, other) for other in taken)


def _shared(one: _Box, two: _Box) -> float:
    wide, high = min(one[2], two[2]) - max(one[0], two[0]), min(one[3], two[3]) - max(one[1], two[1])
    return max(wide, 0.0) * max(high, 0.0)


def _svg(figure: Figure, description: str) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue().decode()
    text = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    body = text[text.index(">", text.index("<svg")) + 1 :]
    reference = r'(url\(#|href="#)([\w-]+)(?=[)"])'
    used = {name for _, name in re.findall(reference, body)}
    body = re.sub(r' id="([^"]+)"', lambda match: match[0] if match[1] in used else "", body)
    # Ids must differ between the plots of one page.
    mark = f"h{zlib.crc32((description + body).encode()):08x}"
    body = re.sub(rf'{reference}|( id=")', lambda m: f"{m[1] or m[3]}{mark}-{m[2] or ''}", body)
    body = body.replace("#000000", "currentColor").replace("'DejaVu Sans'", "system-ui, 'DejaVu Sans'")
    for number, colour in enumerate(SERIES, start=1):
        body = body.replace(colour, f"var(--series-{number}, {colour})")
    width, height = (72 * inches for inches in _INCHES)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
        f'aria-label="{html.escape(description)}" viewBox="0 0 {width:g} {height:g}" fill="currentColor" '
        f'style="stroke-linejoin: round; stroke-linecap: butt">{body}'
    ).strip()
