"""The geometry of a maze: distances, shortest paths, drawing mazes with one shortest path, and their equivalence key.

Holds no prompts and no files. A maze is a square of cells written row by row: "#" a wall, "." free, "S" the start, "G" the
goal; in a solved one "o" marks the free cells of the path. Steps go up, down, left and right.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache

from hybrid.symmetry import Change, Symmetry, square

WALL, FREE, START, GOAL, PATH = "#", ".", "S", "G", "o"
SYMBOLS = (WALL, FREE, START, GOAL, PATH)

_ATTEMPTS = 20_000
_WALLS = 0.3, 0.5


@lru_cache
def neighbours(size: int) -> tuple[tuple[int, ...], ...]:
    """Return for every cell the cells one step away, first up, then left, right and down."""
    found = []
    for row, column in (divmod(cell, size) for cell in range(size * size)):
        steps = ((row - 1, column), (row, column - 1), (row, column + 1), (row + 1, column))
        found.append(tuple(r * size + c for r, c in steps if 0 <= r < size and 0 <= c < size))
    return tuple(found)


def distances(size: int, open_cells: Sequence[bool], start: int) -> list[int]:
    """Return each cell's least number of steps from `start` over open cells; -1 where there is no way."""
    found = [-1] * len(open_cells)
    found[start] = 0
    wave = [start]
    while wave:
        fresh = []
        for cell in wave:
            for near in neighbours(size)[cell]:
                if open_cells[near] and found[near] < 0:
                    found[near] = found[cell] + 1
                    fresh.append(near)
        wave = fresh
    return found


def shortest_path(size: int, maze: str) -> list[int] | None:
    """Return the cells of a shortest path, start and goal included; None where there is none.

    Example:
        >>> shortest_path(2, "S.#G")
        [0, 1, 3]
    """
    far = distances(size, [symbol != WALL for symbol in maze], maze.index(GOAL))
    path = [maze.index(START)]
    if far[path[0]] < 0:
        return None
    while maze[path[-1]] != GOAL:
        path.append(next(cell for cell in neighbours(size)[path[-1]] if far[cell] == far[path[-1]] - 1))
    return path


def marked(maze: str, path: Sequence[int]) -> str:
    """Return the maze with "o" on the cells of a path between start and goal."""
    cells = list(maze)
    for cell in path[1:-1]:
        cells[cell] = PATH
    return "".join(cells)


def is_solution(size: int, maze: str, solved: Sequence[str]) -> bool:
    """Say whether `solved` is the maze with one of its shortest paths marked, whichever."""
    if len(solved) != len(maze):
        return False
    if any(there != symbol and (symbol, there) != (FREE, PATH) for symbol, there in zip(maze, solved, strict=True)):
        return False
    steps = [
        distances(size, [symbol in kept for symbol in solved], maze.index(START)) for kept in ((FREE, GOAL, PATH), (GOAL, PATH))
    ]
    least, along = (far[maze.index(GOAL)] for far in steps)
    return along == least == list(solved).count(PATH) + 1


def maze_key(size: int, maze: str) -> str:
    """Return the least spelling over the eight symmetries of the square and the exchange of start and goal.

    Example:
        >>> maze_key(2, "S.#G") == maze_key(2, "S#.G") == maze_key(2, ".GS#")
        True
    """
    exchanged = maze.translate({ord(START): GOAL, ord(GOAL): START})
    return min("".join([spelled[cell] for cell in order]) for spelled in (maze, exchanged) for order in square(size))


class MazeSymmetry(Symmetry):
    """The eight symmetries of the square, and the exchange of start and goal."""

    def __init__(self, size: int) -> None:
        self.size = size

    def draw(self, rng: random.Random) -> Change:
        """See Symmetry.draw."""
        return Change(rng.choice(square(self.size)), {START: GOAL, GOAL: START} if rng.random() < 0.5 else {})


def draw_maze(size: int, min_steps: int, rng: random.Random) -> str | None:
    """Return a maze whose shortest path is the only one and at least `min_steps` long; None when none was found.

    Walls are 30 to 50% of the cells, as of the mazes of Lehnert et al. 2024 (Beyond A*, arXiv 2402.14083); of the lengths
    that a wall pattern allows each is as likely as any other. Where other paths are as short, walls are then added beside
    the chosen one until they are not.
    """
    for _ in range(_ATTEMPTS):
        share = rng.uniform(*_WALLS)
        cells = [FREE if rng.random() >= share else WALL for _ in range(size * size)]
        start = rng.randrange(size * size)
        cells[start] = START
        goals: dict[int, list[int]] = {}
        for cell, steps in enumerate(distances(size, [symbol != WALL for symbol in cells], start)):
            if steps >= min_steps:
                goals.setdefault(steps, []).append(cell)
        if goals:
            cells[rng.choice(goals[rng.choice(sorted(goals))])] = GOAL
            _close_other_ways(size, cells, rng)
            return "".join(cells)
    return None


def _close_other_ways(size: int, cells: list[str], rng: random.Random) -> None:
    """Draw one of the shortest paths, and write walls until it is the only one."""
    start, goal = cells.index(START), cells.index(GOAL)
    path = {start}
    while True:
        open_cells = [symbol != WALL for symbol in cells]
        behind, ahead = (distances(size, open_cells, end) for end in (start, goal))
        on_a_way = [
            far + left == behind[goal] and open_cell for far, left, open_cell in zip(behind, ahead, open_cells, strict=True)
        ]
        cell = start
        while len(path) <= behind[goal]:
            cell = rng.choice([near for near in neighbours(size)[cell] if on_a_way[near] and ahead[near] < ahead[cell]])
            path.add(cell)
        beside = [near for cell in sorted(path) for near in neighbours(size)[cell] if on_a_way[near] and near not in path]
        if not beside:
            return
        cells[rng.choice(beside)] = WALL


def search_steps(size: int, maze: str) -> list[str]:
    """Return the steps of a breadth-first search in words: the cells of every wave, then the way back.

    Example:
        >>> search_steps(2, "S.#G")
        ['Start at r1c1.', '1 step: r1c2.', '2 steps: r2c2, the goal.', 'Way: r1c1 r1c2 r2c2.']
    """
    path = shortest_path(size, maze)
    if path is None:
        return ["No way leads to the goal."]
    far = distances(size, [symbol != WALL for symbol in maze], path[0])
    steps = [f"Start at {_name(size, path[0])}."]
    for wave in range(1, len(path)):
        cells = [_name(size, cell) for cell, steps_there in enumerate(far) if steps_there == wave]
        if wave == len(path) - 1:
            cells = [f"{_name(size, path[-1])}, the goal"]
        steps.append(f"{wave} step{'s' * (wave > 1)}: {' '.join(cells)}.")
    return [*steps, f"Way: {' '.join(_name(size, cell) for cell in path)}."]


def _name(size: int, cell: int) -> str:
    return f"r{cell // size + 1}c{cell % size + 1}"
