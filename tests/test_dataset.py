"""Problems as tensors."""

from dataclasses import replace

import pytest
import torch

from hybrid.adapters import Concat, CrossAttention, Tokens
from hybrid.errors import DataError, InputError
from hybrid.layout import END, LayoutConfig, SpanPattern
from hybrid.problem import Problem
from hybrid.recursion.losses import IGNORE
from hybrid.train.dataset import Dataset, _Labels, spread

PATHS = LayoutConfig(answer=SpanPattern("Ask:.*", "[0-9]"), context=SpanPattern("Know:[^.]*", "[0-9]"))


def test_labels_are_the_places_of_the_answer_symbols(model, problems):
    data = Dataset(model, [*problems(3), *problems(1, length=5)])
    batch = data.batch([3, 0])
    assert batch.targets.labels[:, -1][0].tolist() == list(map(int, data.problems[3].answer))
    assert batch.targets.labels[:, -1][1].tolist() == [*map(int, data.problems[0].answer), IGNORE, IGNORE]
    assert batch.features.states.shape == (2, 5, 2, 32) and batch.features.num_answers.tolist() == [5, 3]
    assert len(data) == 4


def test_every_batch_has_the_shape_of_the_longest_problem(model, problems):
    data = Dataset(model, [*problems(3), *problems(1, length=5)])
    assert data.batch([0]).features.states.shape[1] == data.batch([3]).features.states.shape[1] == 5
    assert data.batch([0]).targets.labels.shape == (1, 1, 5)


def test_path_symbols_stand_behind_the_answer(new_model):
    model = new_model(layout=PATHS)
    data = Dataset(model, [Problem("Know: 4 5 6. Ask: 7 8", ("1", "2"), path=("3", "4", "5"))])
    batch = data.batch([0])
    assert batch.targets.labels[:, -1].tolist() == [[1, 2, 3, 4, 5]] and batch.features.mask is None
    assert batch.targets.answer.tolist() == [[1, 2, IGNORE, IGNORE, IGNORE]]


def test_an_answer_of_more_places_than_the_encoder_has_is_refused_by_row(new_model, problems):
    model = new_model(encoder=CrossAttention.Config(max_answers=4))
    with pytest.raises(DataError, match=r"problem 3: the answer has 5 places, but encoder\.max_answers is 4"):
        Dataset(model, [*problems(3), *problems(1, length=5)])


def test_encoders_of_tokens_get_no_path(new_model):
    model = new_model(layout=PATHS, encoder=Concat.Config())
    data = Dataset(model, [Problem("Know: 4 5 6. Ask: 7 8", ("1", "2"), path=("3", "4", "5"))])
    assert data.batch([0]).targets.labels.tolist() == [[[1, 2]]]


@pytest.mark.parametrize("cache", [True, False])
def test_features_are_those_that_the_model_reads_when_it_answers(model, problems, cache):
    some = problems(5)
    batch = Dataset(model, some, cache=cache).batch(range(5))
    read = model.read([problem.prompt for problem in some])
    torch.testing.assert_close(batch.features.states, read.states, rtol=0, atol=2e-5)
    assert batch.features.mask is read.mask is None and torch.equal(batch.features.num_answers, read.num_answers)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": ("1",)}, "problem 0: there are 1 answer symbols where the prompt has 3 places"),
        ({"answer": ("1", "2", "x")}, 'answer symbol "x" is not among the 10 symbols'),
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": "none"}, "holds 0 answer positions"),
    ],
)
def test_problems_that_do_not_fit_are_refused(model, problems, change, message):
    with pytest.raises(InputError, match=message):
        Dataset(model, [replace(problems(1)[0], **change)])


def test_a_path_of_another_length_is_refused(new_model):
    with pytest.raises(InputError, match="problem 0: there are 2 path symbols where the workspace has room for 3"):
        Dataset(new_model(layout=PATHS), [Problem("Know: 4 5 6. Ask: 7 8", ("1", "2"), path=("3", "4"))])


def test_no_problems_are_refused(model):
    with pytest.raises(InputError, match="there are no problems"):
        Dataset(model, [])


def test_a_batch_moves_and_is_cut_whole(model, problems):
    batch = Dataset(model, problems(6)).batch([0, 1, 2])
    kept = batch.select(torch.tensor([1]))
    assert torch.equal(kept.targets.labels, batch.targets.labels[[1]]) and len(kept.features.states) == 1
    assert batch.to("meta").targets.labels.device.type == batch.to("meta").features.states.device.type == "meta"


def test_a_batch_is_padded_to_its_own_longest_row_if_the_set_has_much_longer_ones(new_model, problems):
    data = Dataset(new_model(), [*problems(3), *problems(1, length=5), *problems(1, length=40)])
    lengths = [data.batch(rows).features.states.shape[1] for rows in ([0, 1], [0, 3], [4, 0], [4])]
    assert lengths == [3, 5, 40, 40]
    short, long = data.batch([0, 3]).features, data.batch([4, 0]).features
    assert short.mask.tolist() == [[True] * 3 + [False] * 2, [True] * 5] and long.mask.sum(1).tolist() == [40, 3]
    assert data.batch([0, 1]).features.mask is None


STEPS = Problem("Know: 4 5 6. Ask: 7 8", ("1", "2"), path=("3", "4", "5"), steps=(("", "7"), ("8", "", "9", "", ""), ("1", "2")))


def test_worked_steps_are_lines_of_the_target_and_the_last_is_the_answer(new_model):
    model = new_model(layout=PATHS)
    targets = Dataset(model, [STEPS, replace(STEPS, steps=())], worked_steps=True).batch([0, 1]).targets
    lines = [[IGNORE, 7, 3, 4, 5], [8, IGNORE, 9, IGNORE, IGNORE], [1, 2, 3, 4, 5]]
    assert targets.labels.tolist() == [lines, [lines[-1]] * 3]
    assert Dataset(model, [STEPS]).batch([0]).targets.labels.tolist() == [[lines[-1]]]
    with pytest.raises(DataError, match="a worked step has 1 symbols; give 2, one for each symbol of the answer"):
        Dataset(model, [replace(STEPS, steps=(("1",),))], worked_steps=True)


def test_more_worked_steps_than_supervision_steps_are_spread_over_them():
    lines = [[number] for number in range(1, 8)]
    assert spread(lines, 3) == [[3], [5], [7]] and spread(lines, 9) == lines


@pytest.mark.parametrize(("size", "typecode"), [(100, "b"), (200, "h"), (40_000, "i")])
def test_labels_take_no_more_bytes_than_they_need(size, typecode):
    kept = _Labels(1)
    for row in ([3, IGNORE], [size, 0]):
        kept.add([row])
    assert kept.flat.typecode == typecode and kept.rows([1, 0]).tolist() == [[[size, 0]], [[3, IGNORE]]]


def test_a_shorter_answer_is_taught_up_to_its_end(new_model):
    model = new_model(layout=LayoutConfig(num_answers=4), encoder=Concat.Config(), symbols=(*"0123456789", END))
    batch = Dataset(model, [Problem("a", ("1",)), Problem("b", tuple("1234"))]).batch([0, 1])
    assert batch.targets.labels[:, -1].tolist() == [[1, 10, IGNORE, IGNORE], [1, 2, 3, 4]]
    assert batch.features.num_answers.tolist() == [4, 4] == model.read(["a", "b"]).num_answers.tolist()
    with pytest.raises(DataError, match="problem 0: the answer takes 5 places of 4; give layout.num_answers 5"):
        Dataset(model, [Problem("a", tuple("12345"))])


def test_an_answer_in_an_open_vocabulary_takes_a_slot_a_token(new_model):
    model = new_model(layout=LayoutConfig(num_answers=4), encoder=Concat.Config(), symbols=(), decoder=Tokens.Config(whole=True))
    data = Dataset(model, [Problem("a", ("42",)), Problem("b", ("1234",))])
    labels = data.batch([0]).targets.labels[0, 0].tolist()
    assert model.head.decoder.answer(labels[:3]) == ("42",) and labels[2:] == [model.head.decoder.end, IGNORE]
    with pytest.raises(DataError, match="my.csv row 3: the answer takes 5 places of 4"):
        Dataset(model, [Problem("a", ("12345",), where="my.csv row 3")])


def test_spans_that_come_with_problems_are_read(new_model):
    model = new_model(layout=LayoutConfig(given=True))
    problem = Problem("Sort: 3 1", ("1", "3"), spans=((8, 9), (6, 7)))
    batch = Dataset(model, [problem]).batch([0])
    torch.testing.assert_close(batch.features.states, model.read([problem]).states)
    mirrored = model.read([replace(problem, spans=problem.spans[::-1])]).states
    torch.testing.assert_close(batch.features.states.flip(1), mirrored)


def test_every_problem_that_does_not_fit_is_named_where_it_was_read(model, problems):
    bad = [Problem("Sort: " + "1 " * 300, ("1",), where="my.csv row 2"), Problem(" ", ("1",), where="my.csv row 5")]
    with pytest.raises(DataError) as error:
        Dataset(model, [*problems(1), bad[0], *problems(2), bad[1]])
    count, first, second = str(error.value).splitlines()
    assert count == "the data has 2 faults:" and first.startswith("my.csv row 2: the prompt has ") and "the context of" in first
    assert second.startswith("my.csv row 5: the prompt is empty")


def test_a_prompt_longer_than_the_encoders_room_is_named_before_anything_is_computed(new_model, problems):
    model = new_model(encoder=Concat.Config(max_tokens=8), layout=LayoutConfig(num_answers=3))
    with pytest.raises(DataError, match=r"problem 1: .* positions, but encoder.max_tokens is 8"):
        Dataset(model, [replace(problems(1)[0], prompt="S 3"), *problems(1, length=8)])


def test_weights_of_a_problem_stand_beside_its_labels(model, problems):
    first, second = problems(2)
    data = Dataset(model, [replace(first, weights=(2.0, 1.0, 0.5)), second], cache=False)
    assert data.batch([0, 1]).targets.weights.tolist() == [[2.0, 1.0, 0.5], [1.0, 1.0, 1.0]]
    for wrong, message in (((1.0,), "1 weights where the answer has 3"), ((1.0, -1.0, 1.0), "at least 0")):
        with pytest.raises(DataError, match=message):
            Dataset(model, [replace(first, weights=wrong)], cache=False)
