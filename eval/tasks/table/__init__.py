"""Data of one's own: rows of files and of the hub as problems."""

from hybrid.eval.tasks.table.table import Table as Table
