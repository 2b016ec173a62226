"""Symmetries: what they leave true, what undoes them, and training under them."""

import random
from dataclasses import replace

import pytest
import torch

import hybrid
from hybrid.adapters import Structured
from hybrid.backbone import BackboneConfig
from hybrid.errors import ConfigError, InputError
from hybrid.eval.scoring.voting import disguised
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.arc import Arc
from hybrid.eval.tasks.arc.grid import COLOURS
from hybrid.eval.tasks.sudoku import Sudoku
from hybrid.eval.tasks.sudoku.solver import shape, solve
from hybrid.eval.tasks.sudoku.symmetry import GridSymmetry, puzzle_key
from hybrid.problem import Problem
from hybrid.symmetry import Change
from hybrid.train import TrainConfig, train
from hybrid.train.dataset import Dataset
from hybrid.train.disguise import Disguises

DIGITS = tuple("01234")


def structured(task):
    config = hybrid.HybridConfig(
        task.layout, task.symbols, BackboneConfig("none"), Structured.Config(DIGITS), hybrid.ReasonerConfig(width=16)
    )
    return hybrid.attach(None, config)


def grid(problem, task):
    return tuple(problem.prompt[a:b] for a, b in task.layout.spans(problem.prompt)[0])


@pytest.mark.parametrize("size", [4, 6, 9])
def test_a_disguised_puzzle_has_the_disguised_solution_and_the_same_class(size):
    task, rng = TASKS.build(Sudoku.Config(size=size)), random.Random(1)
    for problem in task.problems("train", 3):
        change = GridSymmetry(shape(size)).draw(rng)
        puzzle = [int(symbol) for symbol in change.of(grid(problem, task))]
        assert tuple(map(str, solve(shape(size), puzzle).grid)) == change.of(problem.answer)
        assert puzzle_key(shape(size), puzzle) == problem.key
        assert change.back().of(change.of(problem.answer)) == problem.answer


def test_every_symmetry_is_drawn():
    rng, symmetry = random.Random(0), GridSymmetry(shape(4))
    assert len({symmetry.draw(rng).places for _ in range(3000)}) == 128
    assert len({tuple(symmetry.draw(rng).names.items()) for _ in range(500)}) == 24


def test_tensors_wear_the_disguise_that_symbols_do(tmp_path):
    task = TASKS.build(Sudoku.Config())
    model, problems = structured(task), task.problems("train", 5)
    disguises = Disguises(task.symmetry, model, seed=3)
    changed = disguises(Dataset(model, problems, worked_steps=True).batch(range(5)), [7, 8, 9, 10, 11])
    for row, (problem, turn) in enumerate(zip(problems, range(7, 12), strict=True)):
        change = task.symmetry.draw(random.Random(f"3 {turn}"))
        codes = changed.features.states[row, :, 0, 0].tolist()
        assert [DIGITS[code] for code in codes] == list(change.of(grid(problem, task)))
        labels = [model.head.decoder.index(symbol) for symbol in change.of(problem.answer)]
        assert changed.targets.answer[row].tolist() == labels
        assert ((changed.targets.labels[row, 0] < 0) | (changed.targets.labels[row, 0] == torch.tensor(labels))).all()


def test_problems_of_few_demonstrations_wear_their_part_of_a_disguise(arc, tmp_path):
    """As if the disguised prompt had been read, beside a longer problem in the same batch."""
    tasks = arc.recolouring(30)
    for task in list(tasks.values())[::2]:
        task["train"].append(task["test"][0])
    task = TASKS.build(Arc.Config(file=str(arc.write_kaggle(tmp_path, tasks)), size=3, shown=3, turns=False))
    encoder = Structured.Config((".", *COLOURS))
    config = hybrid.HybridConfig(task.layout, task.symbols, BackboneConfig("none"), encoder, hybrid.ReasonerConfig(width=16))
    model, problems = hybrid.attach(None, config), task.problems("train", 12)
    changed = Disguises(task.symmetry, model, seed=3)(Dataset(model, problems).batch(range(12)), range(7, 19))
    lengths = set()
    for row, (problem, turn) in enumerate(zip(problems, range(7, 19), strict=True)):
        change, (own, context) = task.symmetry.draw(random.Random(f"3 {turn}")), task.layout.spans(problem.prompt)
        worn = replace(disguised(problem, (*own, *context), change), answer=change.first(16).of(problem.answer))
        read, places = Dataset(model, [worn]).batch([0]), len(own) + len(context)
        lengths.add(places)
        assert torch.equal(changed.features.states[row, :places], read.features.states[0])
        assert torch.equal(changed.targets.answer[row], read.targets.answer[0])
    assert lengths == {5 * 16, 7 * 16}


def test_a_change_of_the_first_places_needs_them_to_keep_to_themselves():
    change = Change((1, 0, 3, 2), {"a": "b"})
    assert change.first(2).of("ax") == ("x", "b") and change.first(4) == change
    for count in (3, 5):
        with pytest.raises(InputError, match=f"a symmetry of 4 places does not fit a problem of {count}"):
            change.first(count)


def test_a_symbol_that_a_disguise_may_write_and_no_problem_shows_is_named(arc, tmp_path):
    task = TASKS.build(Arc.Config(file=str(arc.write_kaggle(tmp_path, arc.recolouring(9))), size=3))
    encoder = Structured.Config((".", *COLOURS[:9]))
    model = hybrid.attach(None, hybrid.HybridConfig(task.layout, task.symbols, BackboneConfig("none"), encoder))
    with pytest.raises(ConfigError, match='encoder.vocabulary lacks "9"'):
        Disguises(task.symmetry, model, 0)


def test_states_of_the_embedding_layer_wear_the_disguise_too(backbone):
    """As if the language model had read the disguised prompt."""
    task = TASKS.build(Sudoku.Config())
    reasoner = hybrid.ReasonerConfig(width=16)
    config = hybrid.HybridConfig(task.layout, task.symbols, BackboneConfig(layers=(0,)), reasoner=reasoner)
    model, problems = hybrid.attach(backbone.reading((0,)), config), task.problems("train", 30)
    disguises, dataset = Disguises(task.symmetry, model, seed=3), Dataset(model, problems, cache=False)
    disguises.learn(dataset)
    changed = disguises(dataset.batch(range(5)), [7, 8, 9, 10, 11])
    for row, (problem, turn) in enumerate(zip(problems, range(7, 12), strict=False)):
        change = task.symmetry.draw(random.Random(f"3 {turn}"))
        puzzle = "\n".join("".join(change.of(grid(problem, task)))[i : i + 4] for i in (0, 4, 8, 12))
        read = Dataset(model, [Problem(f"Solve:\n{puzzle}\n", change.of(problem.answer))], cache=False).batch([0])
        assert torch.equal(changed.features.states[row], read.features.states[0])
        assert torch.equal(changed.targets.answer[row], read.targets.answer[0])


def test_a_run_under_symmetries_resumes_to_the_same_bits(tmp_path, monkeypatch):
    task = TASKS.build(Sudoku.Config())
    problems = task.problems("train", 20), task.problems("dev", 5)
    config = TrainConfig(num_steps=12, batch_size=4, symmetries=True, eval_every_steps=12, save_every_seconds=0)

    def trained(folder, stop=None):
        torch.manual_seed(0)
        model = structured(task)
        if stop is not None:
            from hybrid.train.trainer import Trainer

            whole = Trainer._one_step

            def step(self):
                if self.step == stop:
                    raise KeyboardInterrupt
                whole(self)

            monkeypatch.setattr(Trainer, "_one_step", step)
            with pytest.raises(KeyboardInterrupt):
                train(model, *problems, config, folder, symmetry=task.symmetry, show=False)
            monkeypatch.undo()
            return trained(folder)
        train(model, *problems, config, folder, symmetry=task.symmetry, show=False)
        return model.head.state_dict()

    once, twice = trained(tmp_path / "once"), trained(tmp_path / "twice", stop=7)
    assert all(torch.equal(once[name], twice[name]) for name in once)


def test_what_has_no_symmetries_or_reads_by_a_language_model_is_refused(model):
    task = TASKS.build(Sudoku.Config())
    with pytest.raises(ConfigError, match="this task has none"):
        Disguises(None, structured(task), 0)
    with pytest.raises(
        ConfigError,
        match=r"know of their own symbol alone; give --backbone\.layers \[0\], or --backbone\.name none --encoder structured",
    ):
        Disguises(task.symmetry, model, 0)
    assert isinstance(task.problems("train", 1)[0], Problem)


def test_puzzles_of_a_file_may_go_unsolved(tmp_path):
    task = TASKS.build(Sudoku.Config())
    rows = [(*map("".join, (grid(p, task), p.answer)),) for p in task.problems("train", 30)]
    path = tmp_path / "rows.csv"
    path.write_text("question,answer\n" + "\n".join(map(",".join, rows)))
    solved, bare = (TASKS.build(Sudoku.Config(file=str(path), worked=worked)).problems("train", 10) for worked in (True, False))
    assert [p.answer for p in solved] == [p.answer for p in bare] and [p.key for p in solved] == [p.key for p in bare]
    assert solved[0].steps and solved[0].trace and not bare[0].steps and not bare[0].trace
