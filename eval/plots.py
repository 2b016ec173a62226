"""Plots of results as SVG: accuracy along something, accuracy against what it costs, memory by cycles.

Holds what is drawn; how is drawing.py's. A line or mark is told from others by colour, by marker and by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from hybrid.eval.drawing import (
    DASHES,
    MARKERS,
    SERIES,
    add_legend,
    as_svg,
    colour,
    cost_axis,
    count_axis,
    new_figure,
    percent_axis,
    plain_axis,
    training_size_axis,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

Along = Literal["step", "difficulty", "training problems", "training seconds"]
Cost = Literal["latency_p50_seconds", "flops_mean"]

_ALONG: dict[Along, tuple[str, Callable[[Axes, Sequence[float], str], None]]] = {
    "step": ("supervision steps", count_axis),
    "difficulty": ("difficulty", plain_axis),
    "training problems": ("training problems", training_size_axis),
    "training seconds": ("training seconds", plain_axis),
}
_KEPT = 256
"""Drawings kept, so that a suite's report that is made anew after each cell draws only what has changed."""
COSTS: dict[Cost, tuple[str, str]] = {
    "latency_p50_seconds": ("seconds a problem, median", "s"),
    "flops_mean": ("forward FLOPs a problem", ""),
}


@dataclass(frozen=True)
class Share:
    """An exact share at a place of the horizontal axis, with its interval; all but `x` from 0 to 1."""

    x: float
    exact: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """A line of a plot.

    Args:
        name: in the legend; lines of one name share one entry.
        shares: its points from left to right.
        series: number of its colour, from 1.
        place: among the lines of that colour, from 0: gives marker and dashes.
    """

    name: str
    shares: tuple[Share, ...]
    series: int = 1
    place: int = 0


@dataclass(frozen=True)
class Mark:
    """A method in a plot of accuracy against cost.

    Args:
        name: of the method.
        cost: at least 0.
        exact, low, high: share with its interval, 0 to 1.
        series, place: colour and marker, as of a line.
        labelled: whether its name is in the legend.
    """

    name: str
    cost: float
    exact: float
    low: float
    high: float
    series: int = 1
    place: int = 0
    labelled: bool = True


@lru_cache(_KEPT)
def accuracy_lines(lines: tuple[Line, ...], along: Along) -> str:
    """Return an SVG of exact share along steps, difficulty or training, with bands from low to high."""
    caption, axis = _ALONG[along]
    with new_figure() as (figure, axes):
        percent_axis(axes)
        axis(axes, [share.x for line in lines for share in line.shares], caption)
        named: dict[str, Artist] = {}
        for line in lines:
            places, heights = [share.x for share in line.shares], [100 * share.exact for share in line.shares]
            low, high = [100 * share.low for share in line.shares], [100 * share.high for share in line.shares]
            axes.fill_between(places, low, high, color=colour(line.series), alpha=0.12 if line.series == 1 else 0.05, linewidth=0)
            marked = _marked(places, along)
            (drawn,) = axes.plot(places, heights, linewidth=1.6, markersize=3.5, markevery=marked, **_style(line))
            named.setdefault(line.name, drawn)
        add_legend(figure, named)
        return as_svg(figure, f"Exact answers by {caption}: " + ", ".join(named))


def _style(line: Line) -> dict[str, Any]:
    dashes, marker = DASHES[line.place % len(DASHES)], MARKERS[line.place % len(MARKERS)]
    return {"color": colour(line.series), "linestyle": dashes, "marker": marker}


def _marked(places: Sequence[float], along: Along) -> list[int]:
    """Return which points of a line get a marker: of many steps those at powers of two, of a long course some."""
    if along == "step":
        return [number for number, place in enumerate(places) if round(place).bit_count() == 1]
    return list(range(0, len(places), max(1, len(places) // 12)))


@lru_cache(_KEPT)
def accuracy_by_cost(marks: tuple[Mark, ...], cost: Cost, front: tuple[Mark, ...] = ()) -> str:
    """Return an SVG of exact share against a cost on a logarithmic axis, with a dashed line along the marks of `front`.

    A cost of 0 has no place on such an axis: it stands at the left edge, hollow and named "(0)".
    """
    caption, unit = COSTS[cost]
    least = min((mark.cost for mark in marks if mark.cost > 0), default=1.0)
    places = [mark.cost or least / 4 for mark in marks]
    with new_figure() as (figure, axes):
        percent_axis(axes)
        cost_axis(axes, places, caption, unit)
        if not any(mark.cost for mark in marks):
            axes.set_xticks([])
            axes.set_xticks([], minor=True)
        corners = [(mark.cost or least / 4, 100 * mark.exact) for mark in front]
        if len(corners) > 1:
            steps: dict[str, Any] = {"drawstyle": "steps-post", "linestyle": (0, (4, 3)), "alpha": 0.5, "zorder": 1}
            axes.plot(*zip(*corners, strict=True), color="black", linewidth=1, **steps)
        named: dict[str, Artist] = {}
        for number, (mark, place) in enumerate(zip(marks, places, strict=True)):
            drawn = _draw_mark(axes, mark, place, f"tip-{number}")
            if mark.labelled:
                named[mark.name + ("" if mark.cost else " (0)")] = drawn
        add_legend(figure, named)
        told = ", ".join(f"{mark.name} {100 * mark.exact:.1f}%" for mark in marks)
        return as_svg(figure, f"Exact answers against {caption}: {told}", [_tip(mark, unit) for mark in marks])


def _draw_mark(axes: Axes, mark: Mark, place: float, gid: str) -> Artist:
    ink, hollow = colour(mark.series), not mark.cost
    axes.vlines(place, 100 * mark.low, 100 * mark.high, color=ink, linewidth=1.3)
    marker = {"marker": MARKERS[mark.place % len(MARKERS)], "markersize": 6, "markerfacecolor": "none" if hollow else ink}
    (drawn,) = axes.plot([place], [100 * mark.exact], color=ink, linestyle="none", gid=gid, **marker)  # type: ignore[arg-type]
    return drawn


def _tip(mark: Mark, unit: str) -> str:
    interval = f"{100 * mark.exact:.1f}% ({100 * mark.low:.1f} to {100 * mark.high:.1f})"
    return f"{mark.name}: {interval}, {mark.cost:.3g} {unit or 'FLOPs'}"


def pareto_front(marks: Sequence[Mark]) -> list[Mark]:
    """Return the marks that no other beats in accuracy at the same cost or less, the cheapest first; none of share 0.

    Example:
        >>> [m.name for m in pareto_front([Mark("a", 1, 0.5, 0, 1), Mark("b", 2, 0.4, 0, 1), Mark("c", 3, 0.9, 0, 1)])]
        ['a', 'c']
    """
    front: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: (mark.cost, -mark.exact)):
        if mark.exact > (front[-1].exact if front else 0):
            front.append(mark)
    return front


def memory_curve(
    peaks: Mapping[str, Sequence[int]], cycles: Sequence[int], along: str = "cycles of a supervision step, T"
) -> str:
    """Return an SVG of the peak bytes of a training step by the number of cycles, one line a gradient scheme."""
    with new_figure() as (figure, axes):
        named: dict[str, Artist] = {}
        for number, (scheme, heights) in enumerate(peaks.items()):
            ink, marker = SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)]
            (drawn,) = axes.plot(cycles, [height / 1e6 for height in heights], color=ink, marker=marker, linewidth=1.6)
            named[scheme] = drawn
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(cycles, [str(count) for count in cycles])
        axes.set_xticks([], minor=True)
        axes.set_xlabel(along)
        axes.set_ylabel("peak MB of a training step")
        add_legend(figure, named)
        return as_svg(figure, f"Peak memory by {along}: " + ", ".join(peaks))
