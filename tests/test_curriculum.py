"""The curriculum: the easiest quarter first, a share that rises to all, and runs that resume with the same problems."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from hybrid import checkpoint
from hybrid.errors import ConfigError
from hybrid.train import TrainConfig, train
from hybrid.train.dataset import Dataset
from hybrid.train.slots import DataOrder, Slots

ALONE = SimpleNamespace(num_processes=1, process_index=0, device=torch.device("cpu"))
EVERYWHERE = torch.ones(4, dtype=torch.bool)


def graded(problems, levels):
    drawn = problems(len(levels))
    return [dataclasses.replace(problem, difficulty=level) for problem, level in zip(drawn, levels, strict=True)]


@pytest.fixture
def slots_of(model, problems):
    """Makes four slots over problems of given difficulties: (levels, curriculum steps)."""

    def make(levels, curriculum_steps, accelerator=ALONE):
        return Slots(Dataset(model, graded(problems, levels)), 4, 0, accelerator, curriculum_steps=curriculum_steps)

    return make


def levels_seen(slots, step, rounds=12):
    seen = set()
    for _ in range(rounds):
        slots.refill(EVERYWHERE, step)
        seen |= {slots.levels[index] for index in slots.indices}
    return seen


def test_the_allowed_share_rises_linearly_from_a_quarter_to_all(slots_of):
    slots = slots_of(list(range(41)), 100)
    for step, hardest in ((0, 10), (1, 10), (20, 16), (50, 25), (99, 39), (100, 40), (10_000, 40)):
        allowed = slots._allowed(step)
        assert [index for index in range(41) if allowed(index)] == list(range(hardest + 1)), step


def test_the_first_batch_is_already_easy(slots_of):
    slots = slots_of([9, 0, 8, 1, 7, 2, 6, 3, 5, 4, 10, 11], 50)
    assert {slots.levels[index] for index in slots.indices} <= {0, 1, 2}


def test_without_a_curriculum_every_problem_comes_in_the_first_epoch(slots_of):
    slots = slots_of(list(range(12)), None)
    first = list(slots.indices)
    for _ in range(2):
        slots.refill(EVERYWHERE, 0)
        first += slots.indices
    assert sorted(first) == list(range(12))


def test_in_the_end_all_levels_come(slots_of):
    slots = slots_of([0, 1, 2, 3] * 3, 10)
    assert levels_seen(slots, 0) == {0}
    assert levels_seen(slots, 10) == {0, 1, 2, 3}


def test_problems_of_one_level_are_all_taken_from_the_start(slots_of):
    slots = slots_of([5] * 9, 10)
    taken = set(slots.indices)
    for _ in range(4):
        slots.refill(EVERYWHERE, 0)
        taken |= set(slots.indices)
    assert taken == set(range(9))


def test_ties_at_the_border_are_all_allowed(slots_of):
    slots = slots_of([0, 1, 1, 1, 1, 1, 1, 2], 10)
    assert sum(map(slots._allowed(0), range(8))) == 7


@pytest.mark.parametrize("levels", [[3], [3, 1]])
def test_one_problem_is_enough(slots_of, levels):
    slots = slots_of(levels, 5)
    assert levels_seen(slots, 0, 3) == {min(levels)} and levels_seen(slots, 5) == set(levels)


def test_a_stream_passes_over_what_is_not_allowed_and_keeps_its_order():
    order = DataOrder(10, seed=4)
    whole = DataOrder(10, seed=4).take(20)
    even = order.take(7, lambda index: index % 2 == 0)
    assert even == [index for index in whole if index % 2 == 0][:7]
    assert order.take(1) == [DataOrder(10, seed=4).take(order.position)[-1]]


def test_two_processes_take_what_one_would(slots_of):
    halted = torch.tensor([True, False, True, True])
    levels = list(range(16))
    one = slots_of(levels, 30)
    ranks = [
        SimpleNamespace(num_processes=2, process_index=rank, device=torch.device("cpu"), gather=lambda _: halted)
        for rank in (0, 1)
    ]
    two = [slots_of(levels, 30, rank) for rank in ranks]
    for step in (1, 12, 30):
        one.refill(halted, step)
        for rank, part in enumerate(two):
            part.refill(halted[2 * rank : 2 * rank + 2], step)
        assert one.indices == two[0].indices + two[1].indices


def test_slots_resumed_in_the_middle_take_the_same_problems(slots_of):
    slots = slots_of(list(range(16)), 30)
    slots.refill(EVERYWHERE, 5)
    again = slots_of(list(range(16)), 30)
    again.load_state_dict(slots.state_dict())
    for step in (6, 15, 40):
        for each in (slots, again):
            each.refill(torch.tensor([True, True, False, True]), step)
        assert slots.indices == again.indices


class Stopped(Exception):
    """Stands for a crash."""


def test_a_run_with_a_curriculum_resumes_with_the_same_bits(new_model, problems, tmp_path, monkeypatch):
    config = TrainConfig(num_steps=12, batch_size=4, eval_every_steps=6, save_every_seconds=0.0, curriculum_steps=10)
    data = graded(problems, list(range(20)))
    train(new_model(), data, data[:4], config, tmp_path / "whole", show=False)
    from hybrid.train import trainer

    with monkeypatch.context() as context, pytest.raises(Stopped):
        real = trainer.one_step.losses

        def losses(*args):
            if len(seen) == 7:
                raise Stopped
            seen.append(1)
            return real(*args)

        seen = []
        context.setattr(trainer.one_step, "losses", losses)
        train(new_model(), data, data[:4], config, tmp_path / "cut", show=False)
    train(new_model(), data, data[:4], config, tmp_path / "cut", show=False)
    whole, cut = ((tmp_path / name / checkpoint.HEAD).read_bytes() for name in ("whole", "cut"))
    assert whole == cut


def test_the_trainer_follows_the_curriculum_as_it_rises(new_model, problems, tmp_path):
    data = graded(problems, list(range(20)))
    heads = set()
    for rise in (None, 2, 1000):
        config = TrainConfig(num_steps=8, batch_size=4, curriculum_steps=rise)
        train(new_model(), data, data[:4], config, tmp_path / str(rise), show=False)
        heads.add((tmp_path / str(rise) / checkpoint.HEAD).read_bytes()[-4000:])
    assert len(heads) == 3


def test_a_curriculum_of_no_steps_is_refused():
    with pytest.raises(ConfigError, match=r"train\.curriculum_steps is 0; give at least 1 or none"):
        TrainConfig(curriculum_steps=0)
