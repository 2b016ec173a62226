"""`python -m hybrid.train` is the command `hybrid train`, for launchers that start a module in many processes."""

import sys

from hybrid.cli import main

sys.exit(main(["train", *sys.argv[1:]]))
