"""`python -m hybrid.eval.report FOLDER`: make the report of a suite's folder anew."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from hybrid.eval import program
from hybrid.eval.report import write_suite_report


def main(argv: Sequence[str] | None = None) -> None:
    """Write the reports of the folders given."""
    parser = argparse.ArgumentParser(
        prog="python -m hybrid.eval.report",
        description="Write report.html, report.md and results.csv of benchmarks, finished or not.",
    )
    parser.add_argument("folders", metavar="FOLDER", nargs="+", type=program.path, help="output folder of a benchmark")
    for folder in parser.parse_args(argv).folders:
        write_suite_report(folder)
        print(f"wrote {folder}/report.html, report.md and results.csv")


if __name__ == "__main__":
    program.run(main)
