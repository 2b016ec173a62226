"""Presets: whole recipes by name, each field replaced by a flag."""

import pytest

from hybrid.adapters import Aligned
from hybrid.cli import main
from hybrid.cli.train import TrainCommand
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.arc import Arc
from hybrid.eval.tasks.maze import Maze
from hybrid.eval.tasks.sudoku import Sudoku
from hybrid.flags.parser import parse
from hybrid.recursion.grid_block import GridBlock
from hybrid.train.presets import PRESETS


def filled(task, *flags):
    command = parse(TrainCommand, ["--task", task.kind, "--output", "out", *flags], "hybrid train")
    return command._preset(task.layout)._fitted(task, task.problems("train", 20))


def test_ours_finds_lines_and_symbols_in_the_task():
    own = filled(TASKS.build(Sudoku.Config(size=6)), "--preset", "grid", "--train.batch_size", "8")
    assert own.backbone.name == "none" and own.encoder.vocabulary == tuple("0123456") and own.train.symmetries
    assert own.reasoner.block == GridBlock.Config(6, 2, 3, box_heads=1) and own.train.batch_size == 8
    own = filled(TASKS.build(Maze.Config(size=5)), "--preset", "grid", "--reasoner.width", "32")
    assert own.encoder.vocabulary == tuple("#.GS") and own.reasoner.block.beside_heads == 1 and own.reasoner.width == 32


def test_ours_looks_across_the_canvases_of_arc_and_knows_every_colour(arc, tmp_path):
    file = arc.write_kaggle(tmp_path, arc.recolouring(30))
    task = TASKS.build(Arc.Config(file=str(file), size=3))
    own = filled(task, "--task.file", str(file), "--task.size", "3", "--preset", "grid")
    assert own.encoder.vocabulary == tuple(".0123456789") and own.train.symmetries
    assert own.reasoner.block == GridBlock.Config(4, 4, 4, across_heads=1)


def test_ours_goes_beside_a_language_model():
    flags = ("--backbone.name", "some/model", "--backbone.layers", "[0]", "--encoder", "aligned")
    own = filled(TASKS.build(Sudoku.Config(size=9, worked=False)), "--preset", "grid", *flags)
    assert (own.backbone.name, own.backbone.layers) == ("some/model", (0,)) and own.encoder == Aligned.Config()
    assert own.reasoner.block.row_length == 9


@pytest.mark.parametrize(("name", "cycles", "latent"), [("trm_sudoku", 3, 6), ("trm_maze", 3, 4), ("hrm_sudoku", 2, 2)])
def test_the_papers_sizes(name, cycles, latent):
    reasoner, train = PRESETS[name].reasoner, PRESETS[name].train
    assert (reasoner.num_cycles, reasoner.core.num_latent_steps, reasoner.num_supervision_steps) == (cycles, latent, 16)
    assert reasoner.width == 512 and train.optimizer.weight_decay == 1.0 and train.loss == PRESETS["trm_sudoku"].train.loss


@pytest.mark.parametrize(
    ("name", "rounds", "batch", "rate", "decay"),
    [("trm_sudoku", 50_000, 768, 1e-4, 0.999), ("trm_maze", 50_000, 768, 1e-4, 0.999), ("hrm_sudoku", 20_000, 384, 7e-5, 0.0)],
)
def test_the_papers_commands(name, rounds, batch, rate, decay):
    """A thousand puzzles; ten evaluations, each after a tenth of the rounds, whose last batch is dropped if it is not full."""
    train, optimizer, encoder = PRESETS[name].train, PRESETS[name].train.optimizer, PRESETS[name].encoder
    assert train.eval_every_steps == rounds // 10 * 1000 // batch and train.num_steps == 10 * train.eval_every_steps
    assert (train.batch_size, optimizer.learning_rate, train.ema_decay) == (batch, rate, decay)
    assert (optimizer.warmup_steps, optimizer.schedule, optimizer.max_norm) == (2000, "constant", None)
    assert (encoder.num_puzzles, encoder.num_prefix) == (1, 1 if name == "hrm_sudoku" else 16)


@pytest.mark.parametrize("name", PRESETS)
def test_each_takes_a_step_at_a_small_size(name, tmp_path, capsys):
    flags = [
        "--num_train",
        "12",
        "--num_dev",
        "4",
        "--train.num_steps",
        "2",
        "--train.batch_size",
        "4",
        "--train.eval_every_steps",
        "2",
        "--quiet",
    ]
    task = [
        "--task",
        "sudoku",
        "--task.size",
        "9",
        "--task.worked",
        "false",
        "--task.min_blanks",
        "20",
        "--task.max_blanks",
        "30",
    ]
    small = ["--reasoner.width", "32", "--reasoner.num_supervision_steps", "2", "--train.max_seconds", "60"]
    assert main(["train", *task, "--preset", name, *flags, *small, "--output", str(tmp_path / "run")]) == 0
    assert "dev exact match" in capsys.readouterr().out


def test_a_task_that_has_no_places_or_no_grid_is_refused_by_name(tmp_path, capsys):
    rows = tmp_path / "rows.csv"
    rows.write_text("prompt,answer\n" + "".join(f"row {i},{'yes' if i % 2 else 'no'}\n" for i in range(40)))
    table = ("--task", "table", f"--task.train={rows}")
    for task, message in (
        (table, "preset grid is for tasks with a place in the prompt for each symbol of the answer, and the task table"),
        (("--task", "sort"), "block grid looks along the lines of a grid, and this task's prompts hold none"),
    ):
        flags = ("--preset", "grid", "--num_train", "20", "--num_dev", "2", "--output", str(tmp_path / "run"))
        assert main(["train", *task, *flags]) == 2
        assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--decoder", "tokens"), "backbone none has no tokens to answer with; use the classes decoder"),
        (("--tuner", "lora"), "backbone none has no layers to tune; leave the tuner out"),
    ],
)
def test_what_needs_a_language_model_is_refused_where_the_preset_has_none(tmp_path, capsys, flags, message):
    small = ("--task", "sudoku", "--task.size", "4", "--num_train", "20", "--num_dev", "4")
    assert main(["train", *small, "--preset", "grid", *flags, "--output", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
