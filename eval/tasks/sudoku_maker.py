"""Draws Sudoku puzzles with one solution and an exact number of blanks.

Holds the drawing only: solver and uniqueness check are sudoku_solver.py's, the task itself is sudoku.py's.
"""

from __future__ import annotations

import random

from hybrid.eval.tasks.sudoku_solver import Grid, Shape, holds_another_digit, random_solution

MAX_BLANKS = {4: 12, 6: 26, 9: 56}
"""Most blanks a size allows: 4 x 4 puzzles need 4 givens; of the others more blanks exist but are too rare to draw."""

_ATTEMPTS = 300


def draw_puzzle(shape: Shape, blanks: int, rng: random.Random) -> tuple[Grid, Grid] | None:
    """Return (puzzle, solution) with exactly `blanks` blanks and one solution.

    Cells are blanked in random order, each only if the solution stays the only one. An order that gets stuck too early
    is given up and a fresh grid drawn, so that hard counts stay as frequent as the caller draws them.

    Returns:
        None when no order got there in some hundred attempts.
    """
    for _ in range(_ATTEMPTS):
        solution = random_solution(shape, rng)
        puzzle = _blank_out(shape, solution, blanks, rng)
        if puzzle:
            return puzzle, solution
    return None


def _blank_out(shape: Shape, solution: Grid, blanks: int, rng: random.Random) -> Grid | None:
    order = list(range(shape.size**2))
    rng.shuffle(order)
    puzzle, left = list(solution), blanks
    for position, cell in enumerate(order):
        if left == 0:
            break
        if left > len(order) - position:
            return None
        puzzle[cell] = 0
        if holds_another_digit(shape, puzzle, cell, solution[cell]):
            puzzle[cell] = solution[cell]
        else:
            left -= 1
    return tuple(puzzle) if left == 0 else None
