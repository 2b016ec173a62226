"""Sudoku of any size: maker, solver, symmetries, files, and grids as people write them."""

from hybrid.eval.tasks.sudoku.sudoku import Sudoku as Sudoku
