"""Paths as people write them. Holds no file and no folder."""

from __future__ import annotations

from pathlib import Path


def from_home(path: str | Path) -> Path:
    """Return a path with the home folder for a `~` in front.

    A file that has this very name keeps it, and so does a name whose `~` stands for no one's home.

    Example:
        >>> from_home("runs/~mine").as_posix(), from_home("~no one/x").as_posix()
        ('runs/~mine', '~no one/x')
    """
    place = Path(path)
    if not str(path).startswith("~"):
        return place
    try:
        return place if place.exists() else place.expanduser()
    except (OSError, RuntimeError):  # A name that is too long, or no one's.
        return place
