"""Slots: one stream of problems over all processes."""

from dataclasses import fields
from types import SimpleNamespace

import pytest
import torch

from hybrid.train.dataset import Dataset
from hybrid.train.slots import DataOrder, Slots


def accelerator(rank=0, ranks=1, gather=None):
    return SimpleNamespace(num_processes=ranks, process_index=rank, device=torch.device("cpu"), gather=gather)


@pytest.fixture
def data(model, problems):
    return Dataset(model, problems(11))


def test_an_epoch_holds_every_problem_once_and_the_next_is_shuffled_anew():
    order = DataOrder(10, seed=3)
    first, second = order.take(10), order.take(10)
    assert sorted(first) == sorted(second) == list(range(10)) and first != second


def test_the_stream_does_not_depend_on_how_it_is_taken():
    whole = DataOrder(7, seed=1).take(40)
    order = DataOrder(7, seed=1)
    assert [i for count in (1, 0, 13, 5, 21) for i in order.take(count)] == whole
    assert DataOrder(7, seed=1, position=15).take(25) == whole[15:]
    assert DataOrder(7, seed=2).take(40) != whole


def test_problems_of_like_length_come_together():
    lengths = [(7 * i) % 40 for i in range(200)]
    order = DataOrder(200, seed=1, lengths=lengths, together=8)
    first, second = order.take(200), order.take(200)
    spread = [max(own) - min(own) for own in ([lengths[i] for i in first[s : s + 8]] for s in range(0, 200, 8))]
    assert sorted(first) == sorted(second) == list(range(200)) and first != second
    assert sum(spread) / len(spread) < 5 and len({lengths[i] for i in first[:40]}) > 8
    assert DataOrder(200, 1, 150, lengths=lengths, together=8).take(50) == first[150:]


def test_halted_slots_take_the_next_problems_and_the_others_stay(data):
    slots = Slots(data, 4, 0, accelerator())
    stream = DataOrder(11, 0).take(6)
    slots.refill(slots.everyone(torch.tensor([False, True, False, True])))
    assert slots.indices == [stream[0], stream[4], stream[2], stream[5]]
    same(slots.batch, data.batch(slots.indices))
    slots.refill(slots.everyone(torch.zeros(4, dtype=torch.bool)))
    assert slots.order.position == 6


def test_two_processes_see_what_one_would(data):
    halted = torch.tensor([True, False, True, True])
    one = Slots(data, 4, 5, accelerator())
    two = [Slots(data, 4, 5, accelerator(rank, 2, gather=lambda _: halted)) for rank in (0, 1)]
    for _ in range(3):
        one.refill(one.everyone(halted))
        for rank, part in enumerate(two):
            part.refill(part.everyone(halted[2 * rank : 2 * rank + 2]))
        assert one.indices == two[0].indices + two[1].indices
        assert torch.equal(one.draw(), torch.cat([two[0].draw(), two[1].draw()]))


def test_the_state_brings_back_problems_order_and_draws(data):
    slots = Slots(data, 4, 0, accelerator())
    slots.refill(slots.everyone(torch.tensor([True, True, False, False])))
    slots.draw()
    state = slots.state_dict()
    again = Slots(data, 4, 0, accelerator())
    again.load_state_dict(state)
    for _ in range(2):
        assert again.indices == slots.indices and torch.equal(again.batch.targets.labels, slots.batch.targets.labels)
        assert torch.equal(again.draw(), slots.draw())
        for each in (slots, again):
            each.refill(each.everyone(torch.tensor([False, True, True, False])))


def test_a_batch_grows_and_shrinks_with_its_longest_row(model, problems):
    data = Dataset(model, [*problems(6), problems(1, length=40)[0], *problems(5, seed=2, length=4)])
    slots, lengths = Slots(data, 3, 1, accelerator()), set()
    for _ in range(12):
        slots.refill(slots.everyone(torch.tensor([True, False, True])))
        same(slots.batch, data.batch(slots.indices))
        lengths.add(slots.batch.features.states.shape[1])
    assert lengths >= {4, 40}


def test_all_processes_pad_alike(model, problems):
    data = Dataset(model, [problems(1, length=40)[0], *problems(3)])
    parts = [Slots(data, 4, 0, accelerator(rank, 2)) for rank in (0, 1)]
    assert {part.batch.features.states.shape[1] for part in parts} == {40}


def test_a_refill_leaves_the_dataset_as_it_was(data):
    before = data.batch(range(11))
    slots = Slots(data, 4, 0, accelerator())
    slots.refill(slots.everyone(torch.ones(4, dtype=torch.bool)))
    same(data.batch(range(11)), before)


def same(batch, other):
    """Assert that two batches hold the same."""
    for mine, theirs in ((batch.features, other.features), (batch.targets, other.targets)):
        for field in fields(mine):
            one, two = getattr(mine, field.name), getattr(theirs, field.name)
            assert torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two, field.name
