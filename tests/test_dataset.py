"""Problems as tensors."""

import dataclasses
from dataclasses import replace

import pytest
import torch

from hybrid.adapters import Concat
from hybrid.errors import InputError
from hybrid.layout import LayoutConfig, SpanPattern
from hybrid.losses import IGNORE
from hybrid.problem import Problem
from hybrid.train.dataset import Dataset

PATHS = LayoutConfig(answer=SpanPattern("Ask:.*", "[0-9]"), context=SpanPattern("Know:[^.]*", "[0-9]"))


def test_labels_are_the_places_of_the_answer_symbols(model, problems):
    data = Dataset(model, [*problems(3), *problems(1, length=5)])
    batch = data.batch([3, 0])
    assert batch.labels[0].tolist() == list(map(int, data.problems[3].answer))
    assert batch.labels[1].tolist() == [*map(int, data.problems[0].answer), IGNORE, IGNORE]
    assert batch.features.states.shape == (2, 5, 2, 32) and batch.features.num_answers.tolist() == [5, 3]
    assert len(data) == 4


def test_every_batch_has_the_shape_of_the_longest_problem(model, problems):
    data = Dataset(model, [*problems(3), *problems(1, length=5)])
    assert data.batch([0]).features.states.shape[1] == data.batch([3]).features.states.shape[1] == 5
    assert data.batch([0]).labels.shape == (1, 5)


def test_path_symbols_stand_behind_the_answer(new_model):
    model = new_model(layout=PATHS)
    data = Dataset(model, [Problem("Know: 4 5 6. Ask: 7 8", ("1", "2"), path=("3", "4", "5"))])
    batch = data.batch([0])
    assert batch.labels.tolist() == [[1, 2, 3, 4, 5]] and batch.features.mask.all()
    assert batch.answer_labels().tolist() == [[1, 2, IGNORE, IGNORE, IGNORE]]


def test_encoders_of_tokens_get_no_path(new_model):
    model = new_model(layout=PATHS, encoder=Concat.Config())
    data = Dataset(model, [Problem("Know: 4 5 6. Ask: 7 8", ("1", "2"), path=("3", "4", "5"))])
    assert data.batch([0]).labels.tolist() == [[1, 2]]


@pytest.mark.parametrize("cache", [True, False])
def test_features_are_those_that_the_model_reads_when_it_answers(model, problems, cache):
    some = problems(5)
    batch = Dataset(model, some, cache=cache).batch(range(5))
    read = model.read([problem.prompt for problem in some])
    torch.testing.assert_close(batch.features.states, read.states, rtol=0, atol=2e-5)
    assert torch.equal(batch.features.mask, read.mask) and torch.equal(batch.features.num_answers, read.num_answers)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": ("1",)}, "problem 0 has 1 answer symbols where its prompt has 3 places"),
        ({"answer": ("1", "2", "x")}, 'answer symbol "x" is not among the 10 symbols'),
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": "none"}, "holds 0 answer positions"),
    ],
)
def test_problems_that_do_not_fit_are_refused(model, problems, change, message):
    with pytest.raises(InputError, match=message):
        Dataset(model, [replace(problems(1)[0], **change)])


def test_a_path_of_another_length_is_refused(new_model):
    with pytest.raises(InputError, match="problem 0 has 2 path symbols where its prompt has 3 places"):
        Dataset(new_model(layout=PATHS), [Problem("Know: 4 5 6. Ask: 7 8", ("1", "2"), path=("3", "4"))])


def test_no_problems_are_refused(model):
    with pytest.raises(InputError, match="there are no problems"):
        Dataset(model, [])


def test_replacing_rows_keeps_the_others(model, problems):
    data = Dataset(model, problems(6))
    batch, other = data.batch([0, 1, 2]), data.batch([4, 5])
    before = data.batch([0, 1, 2])
    batch.replace(torch.tensor([2, 0]), other)
    expected = data.batch([5, 1, 4])
    for field in dataclasses.fields(batch.features):
        assert torch.equal(getattr(batch.features, field.name), getattr(expected.features, field.name))
    assert torch.equal(batch.labels, expected.labels) and torch.equal(before.labels, data.labels[[0, 1, 2]])
    kept = batch.select(torch.tensor([1]))
    assert torch.equal(kept.labels, data.labels[[1]]) and len(kept.features.states) == 1
