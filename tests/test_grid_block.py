"""Grid block: heads look along lines, every cell by the same rule."""

import dataclasses

import pytest
import torch

import hybrid
from hybrid.adapters import Structured, Words
from hybrid.errors import ConfigError
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.maze import Maze
from hybrid.eval.tasks.sudoku import Sudoku
from hybrid.problem import Problem
from hybrid.recursion.grid_block import GridBlock, lines
from hybrid.recursion.reasoner import ReasonerConfig
from hybrid.train import recipe

SUDOKU = GridBlock.Config(row_length=4, box_height=2, box_width=2, box_heads=1)


def test_heads_look_at_row_column_and_box_and_the_last_everywhere():
    row, column, box, everywhere = lines(SUDOKU, 16)
    cell = lambda seen: seen[6].nonzero()[:, 0].tolist()  # noqa: E731 - the cell in row 2, column 3.
    assert cell(row) == [4, 5, 7] and cell(column) == [2, 10, 14] and cell(box) == [2, 3, 7]
    assert everywhere.all()


def test_a_head_across_boxes_looks_at_the_same_place_of_the_grids_of_a_stack():
    stack = GridBlock.Config(row_length=2, box_height=2, box_width=2, row_heads=0, column_heads=0, across_heads=1, num_heads=2)
    across, everywhere = lines(stack, 12)
    assert across[1].nonzero()[:, 0].tolist() == [5, 9] and across[10].nonzero()[:, 0].tolist() == [2, 6] and everywhere.all()


def test_the_rules_of_a_grid_are_the_same_for_every_cell():
    """Rows of a band exchanged, and bands, stacks and the grid turned: the states are those of before, in their new places."""
    block, x = GridBlock(SUDOKU, 16).double(), torch.randn(2, 16, 16, dtype=torch.float64)
    grid = torch.arange(16).view(4, 4)
    for changed in (grid[[1, 0, 2, 3]], grid[[2, 3, 0, 1]], grid[:, [0, 1, 3, 2]]):
        torch.testing.assert_close(block(x[:, changed.flatten()]), block(x)[:, changed.flatten()], rtol=0, atol=1e-12)
    strangers = grid[[0, 2, 1, 3]].flatten()
    assert not torch.allclose(block(x[:, strangers]), block(x)[:, strangers])


def test_padding_is_never_read_and_a_cell_with_no_line_looks_everywhere():
    block, x = GridBlock(GridBlock.Config(row_length=1, num_heads=2), 8).double(), torch.randn(1, 3, 8, dtype=torch.float64)
    padded, mask = torch.cat([x, torch.randn(1, 2, 8, dtype=torch.float64)], dim=1), torch.arange(5)[None] < 3
    torch.testing.assert_close(block(padded, mask)[:, :3], block(x), rtol=0, atol=1e-12)
    assert block(x).isfinite().all()


@pytest.mark.parametrize(
    ("fields", "named"),
    [({"row_heads": 9}, "9, 1, 0, 0, 0 of 4"), ({"box_heads": 1}, "box_height"), ({"row_length": 0}, r"block\.row_length is 0")],
)
def test_sizes_that_do_not_fit_are_refused(fields, named):
    with pytest.raises(ConfigError, match=named):
        GridBlock.Config(**fields)


def test_a_grid_needs_cells_in_their_places():
    task, reasoner = TASKS.build(Sudoku.Config(size=4)), ReasonerConfig(block=SUDOKU)
    hybrid.HybridConfig(task.layout, task.symbols, reasoner=reasoner)
    with pytest.raises(ConfigError, match="a position for each cell; choose encoder aligned"):
        hybrid.HybridConfig(task.layout, task.symbols, encoder=Words.Config(), reasoner=reasoner)
    with pytest.raises(ConfigError, match=r"encoder\.num_prefix is 1; block grid counts cells from position 0"):
        hybrid.HybridConfig(task.layout, task.symbols, encoder=Structured.Config(num_prefix=1), reasoner=reasoner)
    with pytest.raises(ConfigError, match=r"block\.row_length is 9, but the layout's rows have 4"):
        hybrid.HybridConfig(task.layout, task.symbols, reasoner=ReasonerConfig(block=GridBlock.Config()))


def test_the_lines_and_symbols_of_a_task_are_found():
    sudoku, maze = TASKS.build(Sudoku.Config(size=6)), TASKS.build(Maze.Config(size=5))
    found = recipe.lines(GridBlock.Config(), sudoku.layout.row_length, sudoku.box, ())
    assert (found.row_length, found.box_height, found.box_width, found.box_heads, found.beside_heads) == (6, 2, 3, 1, 0)
    found = recipe.lines(GridBlock.Config(), maze.layout.row_length, maze.box, ())
    assert (found.row_length, found.box_heads, found.beside_heads) == (5, 0, 1)
    own = dataclasses.replace(GridBlock.Config(), beside_heads=2)
    assert recipe.lines(own, 5, None, {"reasoner.block.beside_heads"}).beside_heads == 2
    found = recipe.lines(GridBlock.Config(), 5, (5, 5), (), stacked=True)
    assert (found.box_height, found.box_heads, found.beside_heads, found.across_heads) == (5, 0, 0, 1)
    problem = Problem("Solve:\n0123\n0000\n4000\n0000\n", ("1",) * 16)
    assert recipe.vocabulary([problem], TASKS.build(Sudoku.Config(size=4)).layout) == ("0", "1", "2", "3", "4")
    assert recipe.vocabulary([problem], TASKS.build(Sudoku.Config(size=4)).layout, ("9",)) == ("0", "1", "2", "3", "4", "9")
