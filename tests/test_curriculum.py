"""The curriculum: the easiest quarter first, more as answers are right, and runs that resume with the same problems."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from hybrid import checkpoint
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
    """Makes four slots over problems of given difficulties: (levels, curriculum)."""

    def make(levels, curriculum=True, accelerator=ALONE):
        return Slots(Dataset(model, graded(problems, levels)), 4, 0, accelerator, curriculum=curriculum)

    return make


def levels_seen(slots, rounds=12):
    seen = set()
    for _ in range(rounds):
        slots.refill(slots.everyone(EVERYWHERE))
        seen |= {slots.levels[index] for index in slots.indices}
    return seen


def test_the_allowed_share_rises_from_a_quarter_to_all_as_answers_are_right(slots_of):
    slots = slots_of(list(range(41)))
    assert [index for index in range(41) if slots._allowed(index)] == list(range(11))
    slots.promote(0.69)
    assert slots.share == 0.25
    for count in range(1, 60):
        slots.promote(0.7)
        assert slots.share == pytest.approx(min(1.0, 0.25 + 0.02 * count))
    assert all(map(slots._allowed, range(41)))


def test_harder_problems_come_when_they_are_due_however_few_answers_are_right(slots_of):
    slots = slots_of(list(range(41)))
    for due, share in ((0.2, 0.4), (0.6, 0.7), (0.4, 0.7), (1.0, 1.0), (1.8, 1.0)):
        slots.promote(0.0, due)
        assert slots.share == pytest.approx(share)


def test_the_first_batch_is_already_easy(slots_of):
    slots = slots_of([9, 0, 8, 1, 7, 2, 6, 3, 5, 4, 10, 11])
    assert {slots.levels[index] for index in slots.indices} <= {0, 1, 2}


def test_without_a_curriculum_every_problem_comes_in_the_first_epoch(slots_of):
    slots = slots_of(list(range(12)), curriculum=False)
    first = list(slots.indices)
    for _ in range(2):
        slots.refill(slots.everyone(EVERYWHERE))
        first += slots.indices
    assert sorted(first) == list(range(12))


def test_in_the_end_all_levels_come(slots_of):
    slots = slots_of([0, 1, 2, 3] * 3)
    assert levels_seen(slots) == {0}
    slots.share = 1.0
    assert levels_seen(slots) == {0, 1, 2, 3}


def test_problems_of_one_level_are_all_taken_from_the_start(slots_of):
    slots = slots_of([5] * 9)
    taken = set(slots.indices)
    for _ in range(4):
        slots.refill(slots.everyone(EVERYWHERE))
        taken |= set(slots.indices)
    assert taken == set(range(9))


def test_ties_at_the_border_are_all_allowed(slots_of):
    slots = slots_of([0, 1, 1, 1, 1, 1, 1, 2])
    assert sum(map(slots._allowed, range(8))) == 7


@pytest.mark.parametrize("levels", [[3], [3, 1]])
def test_one_problem_is_enough(slots_of, levels):
    slots = slots_of(levels)
    assert levels_seen(slots, 3) == {min(levels)}
    slots.share = 1.0
    assert levels_seen(slots) == set(levels)


def test_a_stream_passes_over_what_is_not_allowed_and_keeps_its_order():
    order = DataOrder(10, seed=4)
    whole = DataOrder(10, seed=4).take(20)
    even = order.take(7, lambda index: index % 2 == 0)
    assert even == [index for index in whole if index % 2 == 0][:7]
    assert order.take(1) == [DataOrder(10, seed=4).take(order.position)[-1]]


def test_two_processes_take_what_one_would(slots_of):
    halted = torch.tensor([True, False, True, True])
    levels = list(range(16))
    one = slots_of(levels)
    ranks = [
        SimpleNamespace(num_processes=2, process_index=rank, device=torch.device("cpu"), gather=lambda _: halted)
        for rank in (0, 1)
    ]
    two = [slots_of(levels, accelerator=rank) for rank in ranks]
    for exact in (0.0, 0.9, 1.0):
        for each in (one, *two):
            each.promote(exact)
        one.refill(one.everyone(halted))
        for rank, part in enumerate(two):
            part.refill(part.everyone(halted[2 * rank : 2 * rank + 2]))
        assert one.indices == two[0].indices + two[1].indices


def test_slots_resumed_in_the_middle_take_the_same_problems(slots_of):
    slots = slots_of(list(range(16)))
    slots.refill(slots.everyone(EVERYWHERE))
    again = slots_of(list(range(16)))
    again.load_state_dict(slots.state_dict())
    for exact in (0.1, 0.8, 0.9):
        for each in (slots, again):
            each.promote(exact)
            each.refill(each.everyone(torch.tensor([True, True, False, True])))
        assert slots.indices == again.indices


class Stopped(Exception):
    """Stands for a crash."""


def test_a_run_with_a_curriculum_resumes_with_the_same_bits(new_model, problems, tmp_path, monkeypatch):
    config = TrainConfig(num_steps=12, batch_size=4, eval_every_steps=6, save_every_seconds=0.0, curriculum=True)
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


def test_the_trainer_promotes_by_what_it_measures(new_model, problems, tmp_path, monkeypatch):
    data = graded(problems, list(range(20)))
    asked = []
    monkeypatch.setattr(Slots, "promote", lambda self, exact, due: asked.append((exact, due)))
    config = TrainConfig(num_steps=20, batch_size=4, curriculum=True)
    for until, wanted in ((None, [0.0, 0.0]), (0.5, [1.0, 2.0])):
        asked.clear()
        own = dataclasses.replace(config, curriculum_until=until)
        train(new_model(), data, data[:4], own, tmp_path / str(until), show=False)
        assert [due for _, due in asked] == wanted and all(0 <= exact <= 1 for exact, _ in asked)
