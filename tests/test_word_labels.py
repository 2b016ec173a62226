"""What words of a prompt mean on the way to the answer: read from a table, taught at every place of the word, step by step."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hybrid.adapters import Words
from hybrid.cli import main
from hybrid.errors import ConfigError, DataError
from hybrid.eval.tasks.table import Table
from hybrid.layout import LayoutConfig, SpanPattern
from hybrid.problem import Problem, digest
from hybrid.recursion.block import AttentionBlock
from hybrid.recursion.losses import IGNORE, LOSSES, Softmax
from hybrid.train.dataset import Dataset
from hybrid.train.recipe import plain_language

SCORED = LOSSES.build(Softmax.Config())
PROMPT = "Ann is left of Bob. Where is ann?"
LINES = [{"Bob": "self"}, {"bob": "self", "Ann": "left"}]


def table(tmp_path, *labels, name="own.jsonl"):
    rows = [{"prompt": f"{i} {PROMPT}", "answer": "left" if i % 2 else "right", "marks": each} for i, each in enumerate(labels)]
    file = tmp_path / name
    if name.endswith(".csv"):
        lines = ['"' + '","'.join(str(cell).replace('"', '""') for cell in row.values()) + '"' for row in rows]
        file.write_text("\n".join(["prompt,answer,marks", *lines]))
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Table(Table.Config(train=str(file), labels_column="marks"))


def every(task):
    return [problem for split in ("train", "dev", "test") for problem in task._rows(split)]


@pytest.mark.parametrize("name", ["own.jsonl", "own.csv"])
def test_a_table_names_the_labels_of_words_a_line_a_step(tmp_path, name):
    task = table(tmp_path, *[json.dumps(LINES)] * 4 if name == "own.csv" else [LINES] * 4, name=name)
    assert {problem.word_labels for problem in every(task)} == {((("Bob", "self"),), (("bob", "self"), ("Ann", "left")))}
    assert set(task.symbols) == {"left", "right", "self"} and task.config.columns == ("prompt", "answer", "marks")


def test_one_mapping_holds_for_every_step(tmp_path):
    assert {problem.word_labels for problem in every(table(tmp_path, *[{"Ann": "left"}] * 3))} == {((("Ann", "left"),),)}


def test_a_word_may_have_several_labels_at_once_and_one_that_is_not_taught(tmp_path):
    both = {"Ann": ["left", "self"], "Bob": [None, "right"]}
    task = table(tmp_path, *[both] * 3)
    assert {problem.word_labels for problem in every(task)} == {
        ((("Ann", "left"), ("Ann", "self"), ("Bob", ""), ("Bob", "right")),)
    }
    assert set(task.symbols) == {"left", "right", "self"}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"Zoe": "left"}, "labels 'Zoe', which is no word of the prompt; give single words of it"),
        ({"Ann is": "left"}, "labels 'Ann is', which is no word"),
        (["left"], "give a mapping of words to symbols, or a list of mappings"),
        ([], "give a mapping of words to symbols"),
        ("{", "give JSON such as"),
        ({"Ann": 1.5}, "of type float; give text"),
        (None, "give a mapping of words"),
        ({"Ann": "left", "ann": "right"}, "labels 'ann' twice, case aside; give the word one list of labels"),
        ('{"Ann": "left", "Ann": "right"}', '("Ann" stands twice)'),
        ({"Ann": ""}, "has the symbol '', which no answer may hold"),
        ({"Ann": ["<end>"]}, "has the symbol '<end>', which no answer may hold"),
    ],
)
def test_labels_that_cannot_be_taught_are_named_with_their_row(tmp_path, labels, message):
    with pytest.raises(DataError, match="row 2") as caught:
        table(tmp_path, {"Ann": "left"}, labels).problems("train")
    assert message in str(caught.value)


def test_a_label_that_is_not_among_the_given_symbols_is_named(tmp_path):
    file = table(tmp_path, {"Ann": "self"}).config.train
    own = Table(Table.Config(train=file, labels_column="marks", symbols=("left", "right")))
    with pytest.raises(DataError, match="\"marks\" has the symbol 'self', not in table.symbols: left, right"):
        own.problems("train")
    with pytest.raises(ConfigError, match="table.unit token has none"):
        Table.Config(train=file, labels_column="marks", unit="token")


def test_blanks_around_a_label_are_no_part_of_it_and_null_alone_is_no_label(tmp_path):
    task = table(tmp_path, *[{"Ann": " left ", "Bob": None, "of": [" self"]}] * 3)
    assert {problem.word_labels for problem in every(task)} == {((("Ann", "left"), ("of", "self")),)}
    assert set(task.symbols) == {"left", "right", "self"}


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
@pytest.mark.parametrize("as_map", [False, True])
def test_labels_of_other_rows_words_are_nothing_in_parquet(tmp_path, suffix, as_map):
    import pyarrow
    from pyarrow.parquet import write_table

    labels = [{"Ann": "left"}, {"Bob": "self"}]
    file, plain = tmp_path / f"own.{suffix}", table(tmp_path, *labels * 3)
    read = map(json.loads, Path(plain.config.train).read_text().splitlines())
    rows = [row | {"prompt": f"{i} {next(iter(row['marks']))}"} for i, row in enumerate(read)]
    Path(plain.config.train).write_text("".join(json.dumps(row) + "\n" for row in rows))
    packed = pyarrow.Table.from_pylist(rows)
    if as_map:
        texts = pyarrow.map_(pyarrow.string(), pyarrow.string())
        packed = packed.set_column(2, "marks", pyarrow.array([list(row["marks"].items()) for row in rows], texts))
    if suffix == "parquet":
        write_table(packed, file)
    else:
        with pyarrow.ipc.new_file(file, packed.schema) as out:
            out.write_table(packed)
    told = Table(Table.Config(train=str(file), labels_column="marks"))
    assert [problem.word_labels for problem in every(told)] == [problem.word_labels for problem in every(plain)]


def test_labels_are_no_answers(tmp_path):
    task = Table(replace(table(tmp_path, *[{"Ann": "self"}] * 20).config, unit="whole"))
    assert task.answer_form == "one of: left, right" and set(task.symbols) == {"left", "right", "self"}
    alike = tmp_path / "alike.jsonl"
    alike.write_text(
        "".join(json.dumps({"prompt": f"{i} Ann", "answer": "left", "marks": {"Ann": "self"}}) + "\n" for i in range(9))
    )
    with pytest.raises(DataError, match="all answers are 'left'; there is nothing to learn"):
        assert Table(Table.Config(train=str(alike), labels_column="marks")).survey


@pytest.fixture
def reader(new_model):
    block = AttentionBlock.Config(num_heads=4, word_heads=1, sentence_heads=1)

    def make(encoder, steps=3):
        model = new_model(layout=LayoutConfig(num_answers=1), symbols=("left", "right", "self"), encoder=encoder)
        reasoner = replace(model.config.reasoner, block=block, num_supervision_steps=steps)
        return new_model(
            layout=LayoutConfig(num_answers=1), symbols=("left", "right", "self"), encoder=encoder, reasoner=reasoner
        )

    return make


def test_each_place_of_a_word_is_taught_behind_the_slots_and_the_answer_at_the_last_line(reader):
    problem = Problem(PROMPT, ("left",), word_labels=tuple(tuple(line.items()) for line in LINES))
    model = reader(Words.Config(max_answers=2, num_thoughts=1, left_out=("is",)))
    labels = Dataset(model, [problem], cache=False).batch([0]).targets.labels[0].tolist()
    # Two answer slots and a thought; ann left of bob . where ann ?
    first = [*[IGNORE] * 6, 2, *[IGNORE] * 4]
    last = [0, IGNORE, IGNORE, 0, IGNORE, IGNORE, 2, IGNORE, IGNORE, 0, IGNORE]
    assert labels == [first, last]
    count = model.head.encode(model.read([PROMPT])).x.shape[1]
    assert count == len(last)


def test_further_labels_of_a_word_are_taught_behind_all_positions_and_read_in_their_own_way(reader):
    lines = ((("Ann", "left"), ("Ann", "self"), ("Bob", ""), ("Bob", "right")), (("Ann", "right"),))
    problem = Problem("Ann left Bob", ("left",), word_labels=lines)
    model = reader(Words.Config(max_answers=1, num_word_labels=2))
    data = Dataset(
        model, [problem, replace(problem, prompt="Ann ?", word_labels=lines[1:]), replace(problem, word_labels=())], cache=False
    )
    left, right, own, none = 0, 1, 2, IGNORE
    batch = data.batch([0, 1, 2])
    assert batch.targets.labels.tolist() == [
        [[none, left, none, none, none, own, none, right], [left, right, *[none] * 6]],
        [[left, right, *[none] * 6]] * 2,
        [[left, *[none] * 7]] * 2,
    ]
    assert batch.targets.answer[0].tolist() == [left, *[none] * 7]
    carry = model.head.start(batch.features)
    for steps, views in ((1, 2), (2, 1)):
        model.head.zero_grad()
        out = model.head(batch.features, carry, batch.targets.at(torch.full((3,), steps)), SCORED)
        out.loss[0].backward()
        assert (model.head.views[0].weight.grad.abs().sum() > 0) == (views == 2)
    alone = model.head(batch.features, carry, batch.targets.at(torch.full((3,), 2)), SCORED).loss
    short = data.batch([1], 2)
    again = model.head(short.features, model.head.start(short.features), short.targets.at(torch.tensor([2])), SCORED).loss
    assert torch.allclose(alone[1], again[0], atol=1e-5)
    said = model.word_labels("Ann left Bob", num_steps=1)
    assert [word for word, _ in said] == ["Ann", "left", "Bob"] and all(len(steps[0].split("/")) == 2 for _, steps in said)


def test_more_labels_than_the_head_has_are_refused(reader):
    problem = Problem("Ann left Bob", ("left",), word_labels=((("Ann", "left"), ("Ann", "self")),))
    with pytest.raises(DataError, match="a word has 2 labels at once; give encoder.num_word_labels 2"):
        Dataset(reader(Words.Config(max_answers=1)), [problem], cache=False)
    assert plain_language([problem], 1).encoder.num_word_labels == problem.num_word_labels == 2


def test_a_labelled_word_has_a_place(reader):
    problem = Problem("Ann is left. Bob is right. Zoe is big.", ("left",), word_labels=((("IS", "self"), ("Zoe", "left")),))
    with pytest.raises(DataError, match="'IS' has a label and no place; give words of the prompt, and leave encoder.left_out"):
        Dataset(reader(Words.Config(max_answers=1, left_out=("is",))), [problem], cache=False)
    assert plain_language([replace(problem, word_labels=())], 1).encoder.left_out == ("is",)
    assert plain_language([problem], 1).encoder.left_out == ()
    twice = replace(problem, word_labels=((("Zoe", "left"), ("zoe", "self")),))
    assert twice.num_word_labels == 2


def test_a_path_is_taught_at_the_words_where_the_layout_s_context_stands(new_model):
    layout = LayoutConfig(num_answers=1, context=SpanPattern(r"(?s).+", "Ann|Bob"))
    parts = {"layout": layout, "symbols": ("left", "right", "self")}
    model = new_model(encoder=Words.Config(max_answers=2, path_at_words=True), **parts)
    problem = Problem(PROMPT, ("left",), path=("right", "self"), steps=(("", "right", ""), ("left", "right", "self")))
    data = Dataset(model, [problem, replace(problem, path=())], cache=False)
    assert data.batch([0]).targets.labels[0].tolist() == [[0, IGNORE, 1, *[IGNORE] * 3, 2]]
    assert data.batch([1]).targets.labels[0].tolist() == [[0, *[IGNORE] * 6]]
    steps = replace(model.config.reasoner, num_supervision_steps=2)
    stepped = new_model(encoder=Words.Config(max_answers=2, path_at_words=True), reasoner=steps, **parts)
    first, last = Dataset(stepped, [problem], cache=False, worked_steps=True).batch([0]).targets.labels[0].tolist()
    assert first == [IGNORE, IGNORE, 1, *[IGNORE] * 4] and last == [0, IGNORE, 1, *[IGNORE] * 3, 2]
    out = new_model(encoder=Words.Config(max_answers=2, path_at_words=True, left_out=("bob",)), **parts)
    with pytest.raises(DataError, match="'Bob' is none that has a position; leave encoder.left_out empty"):
        Dataset(out, [problem], cache=False)


def test_a_path_at_words_is_refused_where_no_context_says_at_which(new_model):
    parts = {"symbols": ("left", "right", "self"), "encoder": Words.Config(max_answers=2, path_at_words=True)}
    problem = Problem(PROMPT, ("left",), path=("right", "self"))
    bare = new_model(layout=LayoutConfig(num_answers=1), **parts)
    with pytest.raises(ConfigError, match="this layout has none; leave it out, and encoder.num_thoughts has room"):
        Dataset(bare, [problem], cache=False)
    Dataset(bare, [replace(problem, path=())], cache=False)
    nowhere = new_model(layout=LayoutConfig(num_answers=1, context=SpanPattern(r"(?s).+", "Zoe")), **parts)
    with pytest.raises(DataError, match="2 path symbols where the workspace has room for 0"):
        Dataset(nowhere, [problem], cache=False)


def test_other_encoders_have_no_words_to_teach(new_model, problems):
    with pytest.raises(DataError, match="labels of words need the encoder words"):
        Dataset(new_model(), [replace(problems(1)[0], word_labels=((("Sort", "1"),),))], cache=False)


def test_the_recipe_takes_a_short_step_for_each_line():
    problem = Problem(PROMPT, ("left",), word_labels=((("Ann", "left"),),) * 4)
    recipe = plain_language([problem], 1)
    assert (recipe.reasoner.num_cycles, recipe.reasoner.num_supervision_steps, recipe.train.cycle_spread) == (1, 12, 0)
    assert any("step by step" in reason for reason in recipe.reasons)
    flat = plain_language([replace(problem, word_labels=problem.word_labels[:1])], 1)
    assert flat.reasoner.num_cycles == 4


def test_labels_belong_to_what_a_head_learns_from():
    plain = Problem(PROMPT, ("left",))
    assert digest([plain]) != digest([replace(plain, word_labels=((("Ann", "left"),),))])


def test_what_each_word_says_is_read_after_every_step(reader):
    model = reader(Words.Config(max_answers=1, left_out=("is",)))
    said = model.word_labels(PROMPT, num_steps=2)
    assert [word for word, _ in said] == ["Ann", "left", "of", "Bob", ".", "Where", "ann", "?"]
    assert all(len(steps) == 2 and set(steps) <= {"left", "right", "self"} for _, steps in said)


def test_a_head_without_places_of_words_says_so(model):
    with pytest.raises(ConfigError, match="no places of words"):
        model.word_labels("Sort: 2 1 3")


def test_inspect_prints_what_the_places_of_some_words_say(reader, tmp_path, capsys):
    model = reader(Words.Config(max_answers=1))
    model.save_pretrained(tmp_path / "head")
    task = ["--task", "table", "--task.train", table(tmp_path, *[LINES] * 9).config.train]
    assert main(["inspect", PROMPT, "--model", str(tmp_path / "head"), "--words", "[Ann, Bob]", "--num_steps", "2", *task]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    found = [line for line in lines if line and line[0].casefold() in ("ann", "bob") and len(line) == 3]
    assert [line[0] for line in found] == ["Ann", "Bob", "ann"]
