"""What a run shows while it goes: a rich progress bar with loss, exact match, steps used, speed and time left."""

from __future__ import annotations

from types import TracebackType
from typing import Any


class ProgressBar:
    """A bar over supervision steps; silent where `show` is False."""

    def __init__(self, total: int, *, show: bool, max_seconds: float | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self.max_seconds = max_seconds
        self.console = Console(stderr=True, quiet=not show, markup=False, emoji=False)
        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn("ETA {task.fields[eta]}"),
        )
        self.progress = Progress(*columns, console=self.console, disable=not show)
        self.task = self.progress.add_task("training", total=total, figures="", eta="?")

    def __enter__(self) -> ProgressBar:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.progress.stop()

    def show(self, step: int, seconds: float, figures: dict[str, Any]) -> None:
        """Redraw: `step` supervision steps done in `seconds` of training."""
        rate = step / max(seconds, 1e-9)
        total = self.progress.tasks[0].total or step
        left = (total - step) / max(rate, 1e-9)
        if self.max_seconds is not None:
            left = min(left, max(self.max_seconds - seconds, 0.0))
        text = "  ".join(f"{name} {value}" for name, value in figures.items()) + f"  {rate:.1f} it/s"
        self.progress.update(self.task, completed=step, figures=text, eta=f"{int(left) // 60}:{int(left) % 60:02d}")

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text, highlight=False)
