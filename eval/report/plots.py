"""Plots of results as SVG: accuracy along something, accuracy against what it costs, memory by cycles.

A line or mark is told from others by colour, by marker and by its name. The SVG is one element that an HTML page can hold as
it is: text stays text, lines and letters take the page's own colour, each series' colour is a CSS variable (`--series-1` to
`--series-8`) with a colour-blind-safe value where the page sets none (after Okabe and Ito 2008, darkened to stand out from
white), and the same input gives the same bytes.
"""

from __future__ import annotations

import html
import io
import re
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SERIES = ("#0072b2", "#d55e00", "#00845f", "#b04a8b", "#9a6a00", "#5f6b73", "#7a3b2e", "#4f46b8")
DARK = ("#5cb8f0", "#ff8f4a", "#3ecb9d", "#e58cc6", "#deb23e", "#a7b3bb", "#d99a86", "#a9a2ff")
"""The colours of the series on a dark page."""

MARKERS = "osD^vPX*<>hp"
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
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


def colour(series: int) -> str:
    """Return the colour of a series, counted from 1; after the eighth they come again."""
    return SERIES[(series - 1) % len(SERIES)]


@contextmanager
def new_figure() -> Iterator[tuple[Figure, Axes]]:
    """Yield a figure and its axes with settings of their own.

    Without pyplot: no window, no state left behind, no influence of the user's matplotlibrc.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # The browser draws the letters, with its own fonts.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        figure = Figure(figsize=_INCHES, dpi=72, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, figure.add_subplot()


def percent_axis(axes: Axes) -> None:
    """Make the vertical axis one of exact answers in percent."""
    axes.set_ylim(-4, 104)
    axes.set_yticks(range(0, 101, 20), [f"{tick}%" for tick in range(0, 101, 20)])
    axes.set_ylabel("exact answers")
    axes.tick_params(length=0)


def count_axis(axes: Axes, counts: Sequence[float]) -> None:
    """Make the horizontal axis one of counts of at least 1, in powers of two."""
    most = max((round(count) for count in counts), default=1)
    least = max(min((round(count) for count in counts), default=1), 1)
    axes.set_xscale("log", base=2)
    ticks = [2**power for power in range(least.bit_length() - 1, most.bit_length())]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(0.92 * least, most * 1.08 if most > least else 2 * least)


def training_size_axis(axes: Axes, counts: Sequence[float]) -> None:
    """Make the horizontal axis a logarithmic one with a tick at each of the counts."""
    ticks = sorted({count for count in counts if count > 0}) or [1.0]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(0.85 * ticks[0], 1.15 * ticks[-1])


def plain_axis(axes: Axes, values: Sequence[float]) -> None:
    """Make the horizontal axis an even one."""
    from matplotlib.ticker import MaxNLocator

    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.03 * (high - low) or 0.5
    axes.set_xlim(low - room, high + room)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))


def cost_axis(axes: Axes, costs: Sequence[float], unit: str) -> None:
    """Make the horizontal axis a logarithmic one of costs above 0."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

    low, high = min(costs, default=1.0), max(costs, default=1.0)
    axes.set_xscale("log")
    # A decade at least, so that there are ticks.
    room = max(2.0, 4.0 * (low / high) ** 0.5)
    axes.set_xlim(low / room, high * room)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 50 else (1.0, 3.0)))
    axes.xaxis.set_major_formatter(EngFormatter(unit))
    axes.xaxis.set_minor_locator(NullLocator())


def add_legend(figure: Figure, entries: Mapping[str, Artist]) -> None:
    """Write each name with its line or mark on the right of the plot."""
    if entries:
        options: dict[str, Any] = {"loc": "outside right upper", "frameon": False, "fontsize": 9, "handlelength": 1.8}
        for text in figure.legend(list(entries.values()), list(entries), **options).get_texts():
            text.set_parse_math(False)


def as_svg(figure: Figure, description: str, tips: Sequence[str] = ()) -> str:
    """Return a figure as one SVG element.

    Args:
        figure: what is drawn; the artist with the gid `tip-0` shows the first of `tips` where the pointer rests on it.
        description: for people who do not see it.
        tips: texts.
    """
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue().decode()
    text = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = re.sub(r'<g id="tip-(\d+)">', lambda match: f"<g><title>{html.escape(tips[int(match[1])])}</title>", body)
    reference = r'(url\(#|href="#)([\w-]+)(?=[)"])'
    used = {name for _, name in re.findall(reference, body)}
    body = re.sub(r' id="([^"]+)"', lambda match: match[0] if match[1] in used else "", body)
    # Ids must differ between the plots of one page.
    mark = f"h{zlib.crc32((description + body).encode()):08x}"
    body = re.sub(rf'{reference}|( id=")', lambda m: f"{m[1] or m[3]}{mark}-{m[2] or ''}", body)
    body = body.replace("#000000", "currentColor").replace("'DejaVu Sans'", "system-ui, 'DejaVu Sans'")
    for number, value in enumerate(SERIES, start=1):
        body = body.replace(value, f"var(--series-{number}, {value})")
    width, height = (72 * inches for inches in _INCHES)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
        f'aria-label="{html.escape(description)}" viewBox="0 0 {width:g} {height:g}" fill="currentColor" '
        f'style="stroke-linejoin: round; stroke-linecap: butt">{body}'
    ).strip()


def as_file(svg: str) -> str:
    """Return an SVG element as the text of a file of its own, with colours for light and for dark pages.

    Example:
        >>> as_file("<svg><g/></svg>").startswith("<svg><style>svg {color: #1b1e21;}")
        True
    """
    dark = " ".join(f"--series-{number}: {value};" for number, value in enumerate(DARK, start=1))
    style = f"svg {{color: #1b1e21;}} @media (prefers-color-scheme: dark) {{svg {{color: #e6e8ea; {dark}}}}}"
    return f"{re.sub(r'(<svg[^>]*>)', lambda match: f'{match[1]}<style>{style}</style>', svg, count=1)}\n"


Along = Literal["step", "difficulty", "training problems", "training seconds"]
Cost = Literal["latency_p50_seconds", "flops_mean"]

_ALONG: dict[Along, tuple[str, Callable[[Axes, Sequence[float]], None]]] = {
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
        axis(axes, [share.x for line in lines for share in line.shares])
        axes.set_xlabel(caption)
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
        cost_axis(axes, places, unit)
        axes.set_xlabel(caption)
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
            ink, marker = colour(number + 1), MARKERS[number % len(MARKERS)]
            (named[scheme],) = axes.plot(cycles, [height / 1e6 for height in heights], color=ink, marker=marker, linewidth=1.6)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(cycles, [str(count) for count in cycles])
        axes.set_xticks([], minor=True)
        axes.set_xlabel(along)
        axes.set_ylabel("peak MB of a training step")
        add_legend(figure, named)
        return as_svg(figure, f"Peak memory by {along}: " + ", ".join(peaks))
