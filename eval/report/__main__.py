"""`python -m hybrid.eval.report FOLDER`: make the report of a suite's folder anew."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hybrid.console import ending
from hybrid.eval import program
from hybrid.eval.report import write_suite_report


def main(argv: Sequence[str] | None = None) -> int:
    """Write the reports of the folders given; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m hybrid.eval.report",
        description="Write report.html, report.md and results.csv of benchmarks, finished or not.",
    )
    parser.add_argument("folders", metavar="FOLDER", nargs="+", type=program.path, help="output folder of a benchmark")
    folders = parser.parse_args(argv).folders
    return ending(lambda: _write(folders))


def _write(folders: Sequence[Path]) -> None:
    for folder in folders:
        write_suite_report(folder)
        print(f"wrote {folder}/report.html, report.md and results.csv")


if __name__ == "__main__":
    sys.exit(main())
