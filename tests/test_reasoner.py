"""The reasoner: initial states, one supervision step, halt logits."""

import pytest
import torch

from hybrid.errors import ConfigError
from hybrid.recursion.block import MLPBlock
from hybrid.recursion.cores import FeedForward
from hybrid.recursion.reasoner import Reasoner, ReasonerConfig
from hybrid.recursion.workspace import Workspace

CONFIG = ReasonerConfig(width=16, num_cycles=2)


def test_states_start_alike_in_every_row_and_position_and_are_not_trained():
    reasoner = Reasoner(CONFIG)
    y, z = reasoner.start(torch.randn(3, 5, 16))
    assert torch.equal(y[0, 0], y[2, 4]) and not torch.equal(y[0, 0], z[0, 0])
    assert "initial" in reasoner.state_dict() and "initial" not in dict(reasoner.named_parameters())


def test_a_step_is_t_cycles_of_the_core():
    reasoner = Reasoner(CONFIG)
    x = torch.randn(1, 4, 16)
    state = reasoner.start(x)
    expected = state
    for call in reasoner.core.calls(2):
        expected = call(expected, Workspace(x, None))
    for mine, theirs in zip(reasoner.step(state, Workspace(x, None)), expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


def test_nothing_halts_before_training():
    reasoner = Reasoner(CONFIG)
    logits = reasoner.halt_logits(torch.randn(2, 16))
    assert logits.tolist() == [[-5.0], [-5.0]] and logits.dtype == torch.float32


def test_the_states_are_as_many_as_the_core_has():
    assert len(Reasoner(ReasonerConfig(width=16, core=FeedForward.Config())).start(torch.zeros(1, 2, 16))) == 1
    Reasoner(ReasonerConfig(width=16, block=MLPBlock.Config(num_positions=4)))


@pytest.mark.parametrize("name", ["width", "num_cycles", "num_supervision_steps"])
def test_counts_below_one_are_refused(name):
    with pytest.raises(ConfigError, match=rf"reasoner\.{name} is 0"):
        ReasonerConfig(**{name: 0})


def test_under_autocast_the_states_are_of_its_dtype_and_near_those_in_float32():
    reasoner = Reasoner(ReasonerConfig(width=16, num_cycles=2))
    x = torch.randn(2, 5, 16)
    wide = reasoner.step(reasoner.start(x), Workspace(x, None))
    with torch.autocast("cpu", torch.bfloat16):
        half = reasoner.step(reasoner.start(x), Workspace(x, None))
    for a, b in zip(half, wide, strict=True):
        assert a.dtype == torch.bfloat16
        torch.testing.assert_close(a.float(), b, rtol=0, atol=0.2)
