"""`python -m hybrid.eval.report FOLDER`: make the report of a suite's folder anew."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hybrid.errors import HybridError
from hybrid.eval.report import write_suite_report


def main(argv: Sequence[str] | None = None) -> int:
    """Write the reports of the folders given; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m hybrid.eval.report",
        description="Write report.html, report.md and results.csv of benchmarks, finished or not.",
    )
    parser.add_argument("folders", metavar="FOLDER", nargs="+", type=Path, help="output folder of a benchmark")
    for folder in parser.parse_args(argv).folders:
        try:
            write_suite_report(folder)
        except HybridError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        print(f"wrote {folder}/report.html, report.md and results.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main())
