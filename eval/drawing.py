"""How a plot of accuracy is drawn as SVG: its figure, its axes, its legend, its text.

Holds no record and no choice of what is drawn, which is plots.py's. The SVG is one element that an HTML page can hold as
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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


def count_axis(axes: Axes, counts: Sequence[float], caption: str) -> None:
    """Make the horizontal axis one of counts of at least 1, in powers of two."""
    most = max((round(count) for count in counts), default=1)
    least = max(min((round(count) for count in counts), default=1), 1)
    axes.set_xscale("log", base=2)
    ticks = [2**power for power in range(least.bit_length() - 1, most.bit_length())]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(0.92 * least, most * 1.08 if most > least else 2 * least)
    axes.set_xlabel(caption)


def training_size_axis(axes: Axes, counts: Sequence[float], caption: str) -> None:
    """Make the horizontal axis a logarithmic one with a tick at each of the counts."""
    ticks = sorted({count for count in counts if count > 0}) or [1.0]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(0.85 * ticks[0], 1.15 * ticks[-1])
    axes.set_xlabel(caption)


def plain_axis(axes: Axes, values: Sequence[float], caption: str) -> None:
    """Make the horizontal axis an even one."""
    from matplotlib.ticker import MaxNLocator

    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.03 * (high - low) or 0.5
    axes.set_xlim(low - room, high + room)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.set_xlabel(caption)


def cost_axis(axes: Axes, costs: Sequence[float], caption: str, unit: str) -> None:
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
    axes.set_xlabel(caption)


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
