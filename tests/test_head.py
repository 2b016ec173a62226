"""The head: encoder, reasoner and decoder as one module."""

import torch

from hybrid.adapters import Features
from hybrid.head import answer_mean


def features(rows=2, length=4, answers=3):
    states = torch.randn(rows, length, 2, 32)
    return Features(states, torch.ones(rows, length, dtype=torch.bool), torch.tensor([answers] * rows))


def test_a_step_gives_logits_of_the_first_positions_and_a_halt_logit(model):
    given = features()
    out = model.head(given, model.head.start(given), 4)
    assert out.logits.shape == (2, 4, 10) and out.halt.shape == (2, 1) and out.halt.dtype == torch.float32
    assert [part.shape for part in out.state] == [(2, 4, 16)] * 2


@torch.no_grad()
def test_a_step_is_encoder_then_reasoner_then_decoder(model):
    given, head = features(), model.head
    x, mask = head.encoder(given)
    x = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    state = head.reasoner.step(head.reasoner.start(x), x, mask)
    out = head(given, head.start(given), 2)
    torch.testing.assert_close(out.logits, head.decoder(state[0][:, :2]), rtol=0, atol=1e-4)
    torch.testing.assert_close(out.halt, head.reasoner.halt(state[0][:, :3].mean(1)), rtol=0, atol=1e-4)


def test_the_head_does_not_feel_the_scale_of_the_workspace(model):
    given = features()
    before = model.head(given, model.head.start(given), 4).logits
    with torch.no_grad():
        for name, weight in model.head.encoder.named_parameters():
            if name != "mix.weights":
                weight.mul_(100)
    torch.testing.assert_close(model.head(given, model.head.start(given), 4).logits, before, rtol=0, atol=1e-2)


def test_halting_reads_the_answer_positions_alone():
    given = features(rows=2, length=5)
    given.num_answers[:] = torch.tensor([2, 5])
    y = torch.randn(2, 5, 16)
    mean = answer_mean(y, given)
    torch.testing.assert_close(mean, torch.stack([y[0, :2].mean(0), y[1].mean(0)]))
    y[0, 2:] = 99
    assert torch.equal(answer_mean(y, given), mean)


def test_starting_keeps_no_graph(model):
    assert not any(part.requires_grad for part in model.head.start(features()))


def test_every_part_learns_from_the_answer_loss(model):
    given = features()
    out = model.head(given, model.head.start(given), 4)
    (out.logits[..., 0].sum() + out.halt.sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.head.parameters())
