"""The state of a run: whole tensors in, whole tensors out."""

import pytest
import torch

from hybrid.errors import TrainingError
from hybrid.train.optimizer import OPTIMIZERS, averaged
from hybrid.train.processes import Team
from hybrid.train.run import state as run_state


def network(seed):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4))


def steps(module, optimizers, count=3):
    torch.manual_seed(5)
    for _ in range(count):
        module(torch.randn(6, 3)).square().sum().backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()


@pytest.mark.parametrize("kind", ["adamw", "adam_atan2", "muon"])
def test_a_module_and_its_optimizers_go_on_with_the_same_bits(kind, tmp_path):
    make = lambda module: OPTIMIZERS.build(OPTIMIZERS[kind].Config()).build(module)  # noqa: E731
    one = network(0)
    mine = make(one)
    steps(one, mine)
    parts = {"model": run_state.module_state(one)}
    parts |= {f"optimizer{i}": run_state.optimizer_state(optimizer, one) for i, optimizer in enumerate(mine)}
    run_state.write(tmp_path, parts)
    two = network(1)
    theirs, read = make(two), run_state.read(tmp_path)
    run_state.load_module_state(two, read["model"])
    for i, optimizer in enumerate(theirs):
        run_state.load_optimizer_state(optimizer, two, read[f"optimizer{i}"])
    steps(one, mine)
    steps(two, theirs)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_an_average_comes_back_with_its_count(tmp_path):
    module = network(0)
    mean = averaged(module, 0.9)
    for _ in range(3):
        mean.update_parameters(module)
    run_state.write(tmp_path, {"average": run_state.module_state(mean)})
    again = averaged(network(1), 0.9)
    run_state.load_module_state(again, run_state.read(tmp_path)["average"])
    assert int(again.n_averaged) == 3
    assert all(torch.equal(a, b) for a, b in zip(mean.parameters(), again.parameters(), strict=True))


def test_the_generator_of_a_process_that_was_there_comes_back_and_a_new_one_keeps_its_own():
    state = run_state.random_state(torch.device("cpu"), Team())
    drawn = torch.rand(3)
    run_state.load_random_state(state, torch.device("cpu"), Team(1, 2))
    assert not torch.equal(torch.rand(3), drawn)
    run_state.load_random_state(state, torch.device("cpu"), Team())
    assert torch.equal(torch.rand(3), drawn)


def test_a_scale_comes_back():
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    state = run_state.scaler_state(scaler)
    again = torch.amp.GradScaler("cpu", init_scale=2.0)
    run_state.load_scaler_state(again, state)
    assert again.state_dict() == scaler.state_dict()
    run_state.load_scaler_state(None, run_state.scaler_state(None))


class Partitioned:
    """Looks like DeepSpeed's optimizer: an object in its state, and a list of all partitions to load."""

    def __init__(self, value):
        self.value = value

    def state_dict(self):
        return {"base_optimizer_state": {"state": {0: torch.full((3,), self.value)}}, "loss_scaler": object(), "zero_stage": 2}

    def load_state_dict(self, parts, load_from_fp32_weights):
        assert load_from_fp32_weights
        self.value = float(parts[0]["base_optimizer_state"]["state"][0][0])


def test_the_partitions_of_deepspeed_come_back_and_fit_nothing_else(tmp_path):
    run_state.write(tmp_path, {"optimizer0": run_state.partition_state(Partitioned(4.0), Team())})
    state, again = run_state.read(tmp_path)["optimizer0"], Partitioned(0.0)
    run_state.load_partition_state(again, Team(), state)
    assert again.value == 4.0
    with pytest.raises(TrainingError, match="not of 2 DeepSpeed processes"):
        run_state.load_partition_state(again, Team(0, 2), state)
    module = network(0)
    with pytest.raises(TrainingError, match="the checkpoint is DeepSpeed's"):
        run_state.load_optimizer_state(torch.optim.AdamW(module.parameters()), module, state)


def test_a_place_that_cannot_be_written_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="."):
        run_state.write(tmp_path / "nowhere", {"model": {"a": torch.zeros(2)}})
