"""The head: encoder, reasoner and decoder as one module."""

from dataclasses import replace

import pytest
import torch

from hybrid.adapters import CrossAttention, Features, Targets
from hybrid.errors import ConfigError
from hybrid.recursion.block import AttentionBlock
from hybrid.recursion.losses import Softmax, whole_answer_right
from hybrid.recursion.reasoner import ReasonerConfig

LOSS = Softmax(Softmax.Config())


def features(rows=2, length=4, answers=3):
    return Features.of(torch.randn(rows, length, 2, 32), [length] * rows, [answers] * rows)


def goal(rows=2, length=4):
    labels = torch.randint(10, (rows, 1, length))
    return Targets(labels, torch.full((rows,), length), torch.ones(rows, length)).at(torch.ones(rows, dtype=torch.int64))


def run(head, given, wanted=None):
    return head(given, head.start(given), wanted, LOSS)


def test_a_step_gives_states_and_a_halt_logit_and_scores_a_goal(model):
    given = features()
    out = run(model.head, given)
    assert out.halt.shape == (2, 1) and out.halt.dtype == torch.float32 and out.loss is None and out.right is None
    assert [part.shape for part in out.state] == [(2, 4, 16)] * 2
    scored = run(model.head, given, goal())
    assert scored.loss.shape == scored.right.shape == (2,) and scored.right.dtype == torch.bool


@torch.no_grad()
def test_a_step_is_encoder_then_reasoner_then_decoder(model):
    given, head, wanted = features(), model.head, goal()
    found = head.encoder(given)
    workspace = replace(found, x=found.x / (found.x.square().mean(-1, keepdim=True) + 1e-5).sqrt())
    state = head.reasoner.step(head.reasoner.start(workspace.x), workspace)
    out, logits = run(head, given, wanted), head.decoder(state[0])
    torch.testing.assert_close(out.loss, LOSS(logits, wanted.labels), rtol=0, atol=1e-4)
    assert torch.equal(out.right, whole_answer_right(logits, wanted.answer))
    torch.testing.assert_close(out.halt, head.reasoner.halt(state[0][:, :3].mean(1)), rtol=0, atol=1e-4)
    assert torch.equal(head.read(workspace, state, 2), logits[:, :2].argmax(-1))


def test_the_head_does_not_feel_the_scale_of_the_workspace(model):
    given, wanted = features(), goal()
    before = run(model.head, given, wanted).loss
    with torch.no_grad():
        for name, weight in model.head.encoder.named_parameters():
            if name != "mix.weights":
                weight.mul_(100)
    torch.testing.assert_close(run(model.head, given, wanted).loss, before, rtol=0, atol=1e-2)


def test_a_state_of_another_length_is_fitted_and_real_positions_stay(model):
    """A batch that became longer or shorter: what is added or cut off is padding, which no other position reads."""
    long = Features.pad([torch.randn(4, 2, 32), torch.randn(9, 2, 32)], [3, 3])
    state = run(model.head, long).state
    short = Features.pad([long.states[0, :4], long.states[1, :4]], [3, 3])
    after = model.head(short, state).state[0]
    assert after.shape == (2, 4, 16)
    torch.testing.assert_close(after[0], model.head(long, state).state[0][0, :4], rtol=0, atol=1e-5)
    back = model.head(long, tuple(part[:, :4] for part in state)).state[0]
    torch.testing.assert_close(back[0, :4], after[0], rtol=0, atol=1e-5)


@pytest.fixture
def memory_head(new_model):
    reasoner = ReasonerConfig(width=16, num_cycles=2, num_supervision_steps=3, block=AttentionBlock.Config(reads="memory"))
    return new_model(reasoner=reasoner, encoder=CrossAttention.Config(max_answers=3)).head


def test_a_memory_is_read_at_every_call(memory_head):
    given = features(length=7)
    out = run(memory_head, given, goal(length=3))
    out.loss.sum().backward()
    memory = memory_head.reasoner.core.network.layers[1].memory
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in memory.parameters())
    workspace = memory_head.encode(given)
    state = memory_head.reasoner.start(workspace.x)
    moved = replace(workspace, memory=replace(workspace.memory, states=workspace.memory.states.flip(2)))
    assert not torch.allclose(memory_head.step(workspace, state)[0], memory_head.step(moved, state)[0], atol=1e-3)


def test_padding_of_a_memory_is_not_read(memory_head):
    rows = [torch.randn(7, 2, 32), torch.randn(4, 2, 32)]
    both, alone = memory_head.encode(Features.pad(rows, [3, 3])), memory_head.encode(Features.pad(rows[1:], [3]))
    found = memory_head.step(both, memory_head.reasoner.start(both.x))[0][1]
    torch.testing.assert_close(found, memory_head.step(alone, memory_head.reasoner.start(alone.x))[0][0], rtol=0, atol=1e-5)


def test_a_memory_that_no_block_reads_is_left_out_and_one_that_is_not_given_is_refused(new_model):
    assert new_model(encoder=CrossAttention.Config()).head.encode(features()).memory is None
    with pytest.raises(ConfigError, match=r"block\.reads is memory, which the encoder aligned does not give"):
        new_model(reasoner=ReasonerConfig(width=16, block=AttentionBlock.Config(reads="memory")))


def test_starting_keeps_no_graph(model):
    assert not any(part.requires_grad for part in model.head.start(features()))


def test_every_part_learns_from_the_answer_loss(model):
    given = features()
    out = run(model.head, given, goal())
    (out.loss.sum() + out.halt.sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.head.parameters())
