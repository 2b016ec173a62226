"""ARC: canvases, symmetries, files, splits, and the task around them."""

import gzip
import json
import lzma
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.cli import main
from hybrid.errors import ConfigError, InputError
from hybrid.eval.scoring.voting import disguised
from hybrid.eval.tasks.arc import Arc
from hybrid.eval.tasks.arc.files import ArcTask, classes, read_tasks, same_tasks
from hybrid.eval.tasks.arc.grid import COLOURS, ArcSymmetry, off_canvas, on_canvas, pair_key, turned

DATA = Path(__file__).parents[2] / "shared" / "data" / "arc"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not here")


@st.composite
def grids(draw, most=6):
    high, wide = draw(st.integers(1, most)), draw(st.integers(1, most))
    row = st.text(COLOURS, min_size=wide, max_size=wide)
    return tuple(draw(st.lists(row, min_size=high, max_size=high)))


@given(grids(), st.integers(0, 3))
def test_a_grid_comes_off_its_canvas_as_it_went_on_it(grid, room):
    side = 6 + room
    assert off_canvas(on_canvas(grid, side), side) == grid


@given(st.lists(grids(), min_size=3, max_size=3), st.integers(0, 3), st.integers(0, 10**6))
def test_a_symmetry_leaves_grids_whole_and_is_undone_exactly(three, shift, seed):
    symmetry, side = ArcSymmetry(6, shift, 3), 6 + shift
    symbols = tuple(symbol for grid in three for symbol in on_canvas(grid, side))
    change = symmetry.draw(random.Random(seed))
    worn = change.of(symbols)
    assert change.back().of(worn) == symbols
    seen = [off_canvas(worn[start : start + side**2], side) for start in range(0, 3 * side**2, side**2)]
    assert all(
        any(tuple("".join(change.names.get(c, c) for c in row) for row in each) == grid for each in turned(before))
        for before, grid in zip(three, seen, strict=True)
    )


def test_every_symmetry_is_drawn_and_black_stays_black():
    symmetry, rng = ArcSymmetry(3, 2, 2), random.Random(0)
    drawn = [symmetry.draw(rng) for _ in range(2000)]
    assert len({change.places for change in drawn}) == 8 * 9
    assert all("0" not in change.names and "." not in change.names for change in drawn)
    assert all(sorted(change.names.values()) == sorted(COLOURS[1:]) for change in drawn)


@given(grids(), grids(), st.integers(0, 10**6))
def test_a_pair_keeps_its_name_under_every_symmetry(before, after, seed):
    change, turn = ArcSymmetry(6, 0, 1).draw(random.Random(seed)), seed % 8
    worn = tuple(tuple("".join(change.names.get(c, c) for c in row) for row in turned(grid)[turn]) for grid in (before, after))
    assert pair_key(worn) == pair_key((before, after))
    assert pair_key((before, (*after, after[0]))) != pair_key((before, after))


@pytest.mark.parametrize("symbols", ["1.1......", "1...1....", "11.1.....", "1..1...1.", "111.11111", "." * 9])
def test_what_is_no_rectangle_is_no_grid(symbols):
    assert off_canvas(symbols, 3) is None


@needs_data
@pytest.mark.slow
def test_every_task_of_the_official_files_comes_back_from_a_disguise():
    for file in sorted(DATA.glob("*_challenges.json.xz")):
        task = Arc(Arc.Config(file=str(file), size=30, shift=2, shown=10))
        assert len(task.fitting) == len(task.every)
        for number, own in enumerate(task.every):
            grids = [grid for pair in (*own.tests, *own.shown) for grid in pair]
            symbols = tuple(symbol for grid in grids for symbol in on_canvas(grid, 32))
            change = ArcSymmetry(30, 2, len(grids)).draw(random.Random(number))
            worn = change.of(symbols)
            assert change.back().of(worn) == symbols
            assert all(off_canvas(worn[start : start + 1024], 32) for start in range(0, len(worn), 1024))
        for number, (_, problem) in enumerate(task.tests()[::40]):
            places = sum(task.layout.spans(problem.prompt), ())
            change = task.symmetry.draw(random.Random(number)).first(len(places))
            assert disguised(disguised(problem, places, change), places, change.back()).prompt == problem.prompt


@needs_data
def test_the_same_tasks_are_found_in_two_official_files():
    tasks = {
        name: read_tasks(str(DATA / f"arc-agi_{name}_challenges.json.xz")) for name in ("training", "evaluation", "evaluation2")
    }
    assert [len(each) for each in tasks.values()] == [400, 400, 120]
    assert same_tasks(tasks["evaluation"], tasks["training"]) == [("070dd51e", "40853293"), ("50a16a69", "caa06a1f")]
    assert sum(name == other for name, other in same_tasks(tasks["evaluation2"], tasks["evaluation"])) == 6


@pytest.fixture
def task(arc, tmp_path):
    return Arc(Arc.Config(file=str(arc.write_kaggle(tmp_path, arc.recolouring(60, tests=2))), size=3, shown=2))


def test_a_prompt_has_a_place_for_each_cell_of_each_canvas_in_every_wording(task):
    for wording in ("train", "held_out"):
        for problem in task.problems("train", 20, wording=wording):
            own, context = task.layout.spans(problem.prompt)
            canvases = 1 + problem.prompt.count("Output:\n ") * 2
            assert len(own) == 16 and len(context) == 16 * (canvases - 1)
            (given,) = (problem.prompt[own[0][0] - 1 : own[-1][1] + 1],)
            assert problem.prompt.endswith(f"Input:\n{given}Output:\n")
    tested = task.tests()[0][1]
    source = json.loads(Path(task.config.file).read_text())["task0"]
    cells = "".join(tested.prompt[start:end] for start, end in task.layout.spans(tested.prompt)[0])
    assert off_canvas(cells, 4) == tuple("".join(map(str, row)) for row in source["test"][0]["input"])
    context = "".join(tested.prompt[start:end] for start, end in task.layout.spans(tested.prompt)[1])
    assert off_canvas(context[16:32], 4) == tuple("".join(map(str, row)) for row in source["train"][0]["output"])


def test_all_inputs_of_a_task_are_in_one_split_and_only_training_tasks_take_turns(task):
    names = {}
    for split in ("train", "dev", "test"):
        found = task.problems(split)
        names[split] = {problem.where.split(" task ")[1].split()[0] for problem in found}
        turns = [problem for problem in found if " train " in problem.where]
        assert bool(turns) == (split == "train") and all(task.split_of(problem.key) == split for problem in found)
    assert sum(map(len, names.values())) == len(set().union(*names.values())) == 60
    fewer = Arc(Arc.Config(file=task.config.file, size=3, shown=2, turns=False))
    assert len(fewer.problems("train")) == 2 * len(names["train"])


def test_the_answer_is_right_with_its_size_and_wherever_it_stands(task):
    problem = task.problems("train", 1)[0]
    grid = off_canvas(problem.answer, 4)
    assert task.right(problem.answer, problem) and task.score(task.write(problem), problem)
    assert task.right(ArcSymmetry(3, 1, 1).draw(Still()).of(problem.answer), problem)
    assert not task.right(on_canvas((*grid, grid[0]), 4), problem) and not task.right(None, problem)
    assert not task.right(("5",) * 15 + (".",), problem)
    assert not task.score(task.write(problem) + "\n" + " ".join(grid[0]), problem)
    assert task.score(f"The rule is clear.\nOutput:\n{json.dumps([[int(c) for c in row] for row in grid])}", problem)
    assert task.score(f"Answer:\n{task.layout.write(problem.answer)}", problem)


class Still:
    """Draws the shift of one cell and leaves all else."""

    def randrange(self, count):
        return 0

    def randint(self, low, high):
        return high

    def sample(self, values, count):
        return list(values)


@settings(max_examples=50)
@given(st.text(alphabet="0123456789. \n[],|Output:Answer", max_size=80))
def test_reading_never_raises(text):
    file = "nowhere"
    task = Arc(Arc.Config(file=file, size=3))
    read = task.read(text, None)
    assert read is None or off_canvas(read, 4) is not None


@pytest.mark.parametrize("pack", [None, gzip, lzma])
def test_packed_files_and_folders_hold_the_same_tasks(arc, tmp_path, pack):
    tasks = arc.recolouring(5)
    file = arc.write_kaggle(tmp_path, tasks)
    wanted = read_tasks(str(file))
    assert [task.name for task in wanted] == list(tasks)
    whole = tmp_path / "all.json"
    whole.write_text(json.dumps(tasks))
    assert read_tasks(str(whole)) == wanted
    (tmp_path / "each").mkdir()
    for name, task in tasks.items():
        (tmp_path / "each" / f"{name}.json").write_text(json.dumps(task))
    assert read_tasks(str(tmp_path / "each")) == wanted and read_tasks(str(tmp_path / "each" / "task3.json")) == wanted[3:4]
    if pack:
        suffix = {gzip: ".gz", lzma: ".xz"}[pack]
        for part in ("challenges", "solutions"):
            plain = tmp_path / f"arc_{part}.json"
            (tmp_path / f"arc_{part}.json{suffix}").write_bytes(pack.compress(plain.read_bytes()))
            plain.unlink()
        assert read_tasks(f"{file}{suffix}") == wanted


def changed(tasks, where, value):
    *path, last = where
    place = tasks
    for each in path:
        place = place[each]
    place[last] = value
    return tasks


@pytest.mark.parametrize(
    ("where", "value", "told"),
    [
        (("task0", "train"), [], 'task task0: give "train" and "test"'),
        (("task0", "train", 0, "input"), [[1, 2], [3]], "task task0: the input of train 1 has rows of 1, 2 cells"),
        (("task0", "train", 1, "output"), [[10]], "the output of train 2 holds '10'; colours are 0 to 9"),
        (("task0", "test", 0, "input"), [[True]], "the input of test 1 holds 'True'"),
        (("task0", "test", 0, "input"), [[0]] * 31, "the input of test 1 is no list of 1 to 30 rows"),
        (("task0", "test", 0, "input"), "0", "is no list of 1 to 30 rows"),
        (("task0", "train", 0, "output"), None, "the output of train 1 is missing"),
        (("task1",), 3, 'task task1: give "train" and "test"'),
    ],
)
def test_a_damaged_task_is_named_in_one_line(arc, tmp_path, where, value, told):
    file = arc.write_kaggle(tmp_path, changed(arc.recolouring(3), where, value) if where[0] == "task0" else arc.recolouring(3))
    if where[0] != "task0":
        file.write_text(json.dumps(changed(json.loads(file.read_text()), where, value)))
    with pytest.raises(InputError) as raised:
        read_tasks(str(file))
    assert told in str(raised.value) and len(str(raised.value).splitlines()) == 1


def test_damaged_files_are_told_in_one_line(arc, tmp_path):
    file = arc.write_kaggle(tmp_path, arc.recolouring(3))
    solutions = tmp_path / "arc_solutions.json"
    good = solutions.read_text()
    for text, told in [
        (good[:40], "is no JSON"),
        ("[1]", "holds no lists of solutions by name"),
        (json.dumps(json.loads(good) | {"task1": []}), "the output of test 1 is missing; give the file of solutions too"),
        (json.dumps(json.loads(good) | {"task1": [[[1]]] * 3}), "there are 3 solutions of 1 test inputs"),
    ]:
        solutions.write_text(text)
        with pytest.raises(InputError, match=told) as raised:
            read_tasks(str(file))
        assert len(str(raised.value).splitlines()) == 1
    for text, told in [("{}", "holds no tasks"), ("[]", "holds no tasks by name"), ('{"a": 1, "a": 2}', '"a" stands twice')]:
        file.write_text(text)
        solutions.write_text(good)
        with pytest.raises(InputError, match=told):
            read_tasks(str(file))
    (tmp_path / "cut.json.xz").write_bytes(lzma.compress(b"{}")[:20])
    with pytest.raises(InputError, match=r"cut\.json\.xz cannot be read"):
        read_tasks(str(tmp_path / "cut.json.xz"))
    with pytest.raises(InputError, match="is not there; give Kaggle's file"):
        read_tasks(str(tmp_path / "none.json"))


def test_settings_that_do_not_fit_are_refused():
    for fields, told in [
        ({}, "arc.file is missing"),
        ({"size": 31}, "size is 31"),
        ({"shown": 0}, "shown is 0"),
        ({"shift": -1}, "shift is -1"),
    ]:
        with pytest.raises(ConfigError, match=told):
            Arc.Config(**({"file": "x"} if fields else {}) | fields)


def test_tasks_that_do_not_fit_are_counted_and_told(arc, tmp_path, capsys):
    tasks = arc.recolouring(20)
    tasks["large"] = {"train": [{"input": [[1] * 9], "output": [[2]]}] * 4, "test": [{"input": [[1]], "output": [[2]]}]}
    file = arc.write_kaggle(tmp_path, tasks)
    task = Arc(Arc.Config(file=str(file), size=3, shown=1))
    assert (
        "large" not in task.fitting
        and f"{file}: 1 of 21 tasks are left out" in task.left_out
        and "20 of the others" in task.left_out
    )
    assert main(["tasks", "--task", "arc", "--task.file", str(file), "--task.size", "3"]) == 0
    assert "1 of 21 tasks are left out" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"has no train problem that fits; raise arc\.size"):
        Arc(Arc.Config(file=str(file), size=1)).problems("train")


def test_tasks_are_one_by_name_or_two_pairs_and_one_pair_proves_nothing():
    pairs = [((f"12{'0' * n}",), (f"21{'0' * n}",)) for n in range(6)]
    mirrored = [tuple(tuple(row[::-1] for row in grid) for grid in pair) for pair in pairs]
    first = ArcTask("first", tuple(pairs[:3]), (pairs[3],))
    second = ArcTask("second", (mirrored[3], mirrored[1]), (pairs[5],))
    third = ArcTask("third", (pairs[5], mirrored[4]), (pairs[3],))
    alone = ArcTask("alone", (pairs[0], pairs[4]), ((("9",), ("8",)),))
    assert same_tasks([first, alone], [second, third]) == [("first", "second")]
    assert same_tasks([ArcTask("third", (pairs[0],), (pairs[0],))], [third]) == [("third", "third")]
    found = classes([first, second, third, alone])
    assert found[0] == found[1] == found[2] != found[3]
