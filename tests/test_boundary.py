"""Joint training: one way back through the language model for all supervision steps of a batch."""

from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator

import hybrid
from hybrid.backbone import tuner
from hybrid.backbone.tuner import Lora
from hybrid.errors import ConfigError
from hybrid.recursion.carry import Carry
from hybrid.recursion.halting import HALTING
from hybrid.recursion.reasoner import ReasonerConfig
from hybrid.train import TrainConfig, train, trainer
from hybrid.train import step as one_step
from hybrid.train.boundary import Boundary
from hybrid.train.dataset import Dataset

CONFIG = TrainConfig(num_steps=12, batch_size=4, eval_every_steps=6, save_every_seconds=0.0, backbone_learning_rate=1e-2)


def tuned_model(config, num_steps=3, **changes):
    torch.manual_seed(0)
    reasoner = ReasonerConfig(width=16, num_cycles=1, num_supervision_steps=num_steps, halting=HALTING["learned"].Config())
    model = hybrid.attach(None, replace(config, tuner=Lora.Config(r=2), reasoner=reasoner, **changes))
    for parameter in tuner.tuned_parameters(model.backbone):
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def total_losses(model, batch, config, num_steps):
    """Run the supervision steps of a batch without an optimizer; yield each step's loss."""
    objective = one_step.Objective.of(config, model.head, tuned=True)
    carry = Carry.start(model.head.start(batch.features))
    for _ in range(num_steps):
        out = one_step.forward(model.head, batch, carry, objective)
        carry = one_step.advance(carry, out, objective, torch.zeros(len(carry.steps)))
        yield one_step.losses(out, objective, None, carry.steps).total


def test_the_boundary_gives_the_gradients_of_one_big_graph(config, problems):
    model = tuned_model(config)
    model.backbone.model.double()
    model.head.double()
    data, own = Dataset(model, problems(4), cache=False), tuner.tuned_parameters(model.backbone)
    boundary = Boundary(model.backbone, CONFIG, Accelerator(cpu=True))
    batch = boundary.read(data, range(4))
    for loss in total_losses(model, batch, CONFIG, 3):
        loss.backward()
    boundary.output.backward(boundary.leaf.grad)
    found = [p.grad.clone() for p in own if p.grad is not None]
    for p in own:
        p.grad = None
    model.backbone.model.train()
    whole = data.batch(range(4))
    sum(total_losses(model, whole, CONFIG, 3)).backward()
    expected = [p.grad for p in own if p.grad is not None]
    assert len(found) == len(expected) > 0 and all(p.abs().max() > 0 for p in expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine - theirs).norm() < 1e-6 * theirs.norm()


def test_gradient_checkpointing_changes_no_gradient(config, problems):
    gradients = []
    for checkpointing in (False, True):
        model = tuned_model(config)
        data = Dataset(model, problems(4), cache=False)
        boundary = Boundary(model.backbone, replace(CONFIG, gradient_checkpointing=checkpointing), Accelerator(cpu=True))
        for loss in total_losses(model, boundary.read(data, range(4)), CONFIG, 2):
            loss.backward()
        boundary.output.backward(boundary.leaf.grad)
        gradients.append([p.grad for p in boundary.parameters if p.grad is not None])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_gradient_checkpointing_recomputes_with_the_dropout_of_the_way_forth(config, problems):
    """Recomputed in another mode, torch would find other tensors than it saved, and raise."""
    model = tuned_model(config)
    for module in model.backbone.model.modules():
        if hasattr(module, "lora_dropout"):
            module.lora_dropout = torch.nn.ModuleDict({"default": torch.nn.Dropout(0.5)})
    data = Dataset(model, problems(4), cache=False)
    boundary = Boundary(model.backbone, replace(CONFIG, gradient_checkpointing=True), Accelerator(cpu=True))
    before = [p.detach().clone() for p in boundary.parameters]
    for loss in total_losses(model, boundary.read(data, range(4)), CONFIG, 2):
        loss.backward()
    boundary.learn(1.0, 1.0)
    assert not model.backbone.model.training
    assert any(not torch.equal(p, old) for p, old in zip(boundary.parameters, before, strict=True))


def test_what_is_kept_for_the_way_back_does_not_grow_with_the_supervision_steps(config, problems):
    kept = []
    for num_steps in (2, 8):
        model = tuned_model(config, num_steps)
        boundary = Boundary(model.backbone, CONFIG, Accelerator(cpu=True))
        data, most = Dataset(model, problems(4), cache=False), 0
        batch = boundary.read(data, range(4))
        losses = total_losses(model, batch, CONFIG, num_steps)
        for _ in range(num_steps):
            packed = []
            with torch.autograd.graph.saved_tensors_hooks(lambda t, packed=packed: packed.append(t.nbytes) or t, lambda t: t):
                loss = next(losses)
            loss.backward()
            most = max(most, sum(packed))
        kept.append(most)
    assert kept[1] <= 1.05 * kept[0]


def start(model, problems, folder, config=CONFIG):
    return train(model, problems(20), problems(6, seed=1), config, folder, show=False)


def test_head_and_tuner_learn_together_and_the_base_stays(config, problems, tmp_path, shared_backbone):
    model = tuned_model(config)
    before = {name: p.detach().clone() for name, p in model.backbone.model.named_parameters()}
    start(model, problems, tmp_path / "run")
    moved = {name for name, p in model.backbone.model.named_parameters() if not torch.equal(p, before[name])}
    assert moved and all("lora_" in name for name in moved)
    prompts = [problem.prompt for problem in problems(3)]
    again = hybrid.HybridModel.from_pretrained(tmp_path / "run")
    assert torch.equal(again.logits(prompts), model.logits(prompts))
    assert again.backbone.fingerprint == shared_backbone.fingerprint


def test_all_slots_begin_and_end_together(config, problems, tmp_path, monkeypatch):
    seen, real = [], Boundary.read

    def read(self, data, indices, num_positions):
        seen.append(list(indices))
        return real(self, data, indices, num_positions)

    monkeypatch.setattr(Boundary, "read", read)
    start(tuned_model(config), problems, tmp_path / "run")
    assert len(seen) == 4 and all(len(set(indices)) == 4 for indices in seen)  # 12 steps of 3 a batch


def test_a_run_with_a_tuner_that_died_goes_on_with_the_same_bits(config, problems, tmp_path, monkeypatch):
    start(tuned_model(config), problems, tmp_path / "whole")

    class Killed(Exception):
        pass

    real = trainer.Trainer._one_step

    def step(self):
        if self.step == 8:
            raise Killed
        real(self)

    with monkeypatch.context() as context, pytest.raises(Killed):
        context.setattr(trainer.Trainer, "_one_step", step)
        start(tuned_model(config), problems, tmp_path / "cut")
    start(tuned_model(config), problems, tmp_path / "cut")
    for name in ("head.safetensors", tuner.WEIGHTS):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_tuned_run_starts_from_a_trained_frozen_head(config, problems, tmp_path, new_model):
    reasoner = ReasonerConfig(width=16, num_cycles=1, num_supervision_steps=3)
    frozen = new_model(reasoner=reasoner)
    frozen.save_pretrained(tmp_path)
    model = hybrid.attach(None, replace(config, reasoner=reasoner, tuner=Lora.Config()))
    model.start_from(tmp_path)
    prompts = [problem.prompt for problem in problems(3)]
    assert torch.equal(model.logits(prompts), frozen.logits(prompts))


def test_a_scaled_loss_is_refused(config, monkeypatch):
    class Scaled:
        mixed_precision = "fp16"

    with pytest.raises(ConfigError, match="give bf16 or no"):
        Boundary(tuned_model(config).backbone, TrainConfig(), Scaled())
