"""The speed table: FLOPs that are those of the step, and a step that trains."""

import pytest
import torch

from hybrid.eval import speed
from hybrid.eval.measures.cost import count_flops
from hybrid.eval.speed import OneStep, Setting, cache_ratio, main, matrix_rate, measure, useful_flops

SMALL = Setting(16, 2, torch.float32, positions=5, vocabulary=3, num_cycles=2, num_latent_steps=3, num_layers=2)


def forward_flops(step):
    return count_flops(lambda: step.reasoner.step(step.state, step.workspace))


def test_useful_flops_are_the_forward_ones_and_twice_those_of_the_last_cycle():
    step = OneStep(SMALL)
    forward = forward_flops(step)  # T (n + 1) = 8 calls of the network
    assert step.flops == pytest.approx(forward + 2 * forward * 4 / 8, rel=1e-9)


def test_useful_flops_are_what_the_counter_sees_forward_and_backward():
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    step = OneStep(SMALL)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        step.workspace.x.requires_grad_()
        step.reasoner.step(step.state, step.workspace)[0].sum().backward()
    # The readout of z by the last answer is in both; only y's own way back is.
    assert counter.get_total_flops() == pytest.approx(step.flops, rel=0.02)


def test_flops_scale_with_batch_and_layers():
    base = useful_flops(SMALL, 64)
    assert useful_flops(Setting(**vars(SMALL) | {"batch": 6}), 64) == 3 * base
    assert useful_flops(Setting(**vars(SMALL) | {"num_layers": 1}), 64) == base / 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_step_moves_the_weights_and_the_carry(dtype):
    step = OneStep(Setting(**vars(SMALL) | {"dtype": dtype}))
    before, state = {k: v.clone() for k, v in step.reasoner.named_parameters()}, step.state
    step()
    moved = {k for k, v in step.reasoner.named_parameters() if not torch.equal(v, before[k])}
    assert moved == {name for name in before if name.startswith("core.")}
    assert not torch.equal(step.state[0], state[0]) and not any(part.requires_grad for part in step.state)
    assert all(p.grad is None for p in step.reasoner.parameters())


def test_a_setting_is_measured_against_the_matrix_rate(monkeypatch):
    monkeypatch.setattr(speed, "seconds_of", lambda work, **limits: (work() and None) or 0.5)
    monkeypatch.setattr(speed, "matrix_rate", lambda dtype: 1e6)
    seconds, share, peak = measure(SMALL)
    assert seconds == 0.5 and share == pytest.approx(OneStep(SMALL).flops / 0.5 / 1e6) and peak > 1e6


def test_the_matrix_rate_counts_two_flops_for_a_multiply_add(monkeypatch):
    monkeypatch.setattr(speed, "seconds_of", lambda work: (work().shape == (64, 64)) * 2.0)
    assert matrix_rate(torch.float32, 64) == 64**3


@pytest.mark.slow
def test_cached_features_are_timed_against_the_model_in_the_loop(monkeypatch, tiny_folder):
    def once(work):
        return sum(work() is None for _ in range(1)) * 2.0

    monkeypatch.setattr(speed, "seconds_of", once)
    assert cache_ratio(str(tiny_folder), 2) == (2.0, 2.0)


def test_the_table_has_a_row_for_every_width_and_precision(monkeypatch, capsys):
    monkeypatch.setattr(speed, "measure", lambda setting: (0.25, 0.5, 3_000_000))
    main(["--width", "8", "16", "--batch", "4", "2", "--dtype", "float32", "bfloat16"])
    shown = capsys.readouterr().out
    assert (
        shown.count("0.250") == 8
        and shown.count("bfloat16") == shown.count("compiled") == 4
        and "50%" in shown
        and "3 MB" in shown
    )
    monkeypatch.setattr(speed, "cache_ratio", lambda name, batch, dtype: (0.1, 0.4))
    main(["--cache", "--backbone", "tiny"])
    assert "4.0 times" in capsys.readouterr().out


def test_one_way_of_running_may_be_timed_alone(monkeypatch, capsys):
    monkeypatch.setattr(speed, "measure", lambda setting: (0.25, 0.5, 3_000_000) if setting.compiled else None)
    main(["--width", "8", "--batch", "4", "--dtype", "float32", "--how", "compiled"])
    assert capsys.readouterr().out.count("0.250") == 1


def test_a_width_without_a_batch_is_refused_in_one_line(capsys):
    with pytest.raises(SystemExit):
        main(["--width", "128"])
    assert "--width has 1 entries, --batch 2; give one batch for each width" in capsys.readouterr().err
