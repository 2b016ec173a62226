"""Twenty seeded training steps of each standard recipe keep their bits: a refactor changes no number.

seeded_steps.json holds, for each recipe, the losses of the steps and a digest of the averaged weights behind them, with the
processor that made it and the digest of a few plain operations. On the same processor, where those operations round alike, the
bits must agree; elsewhere the losses must agree closely (libraries choose their kernels by the processor). `python tests/test_seeded_steps.py` writes the file anew: only for a change that is
meant to change training, which then says so.
"""

import hashlib
import json
import platform
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import hybrid
from hybrid.adapters import Concat, CrossAttention
from hybrid.backbone.tuner import Lora
from hybrid.eval.bench import suites
from hybrid.eval.tasks import TASKS
from hybrid.recursion.cores import HRM
from hybrid.train import train

FILE = Path(__file__).with_name("seeded_steps.json")
NUM_STEPS, NUM_PROBLEMS = 20, 96

quick = suites.quickstart_entries()[0]
cells, stories, digits = suites.sudoku(), suites.state_tracking(), suites.sort()


def with_core(entry, core, steps):
    return replace(entry, hybrid=replace(entry.hybrid, reasoner=replace(entry.hybrid.reasoner, core=core, num_cycles=steps)))


RECIPES = {
    "sudoku attention": quick,
    "sudoku mlp": cells,
    "stories": stories,
    "sort": digits,
    "sudoku hrm": with_core(quick, HRM.Config(), 2),
    "stories hrm": with_core(stories, HRM.Config(num_latent_steps=1), 1),
    "sort cross attention": replace(digits, hybrid=replace(digits.hybrid, encoder=CrossAttention.Config(max_answers=12))),
    "sort concat": replace(digits, hybrid=replace(digits.hybrid, encoder=Concat.Config(max_answers=16))),
    "sort lora": replace(digits, hybrid=replace(digits.hybrid, tuner=Lora.Config())),
}


def processor():
    """Return the processor's name, family, model and stepping; a lent one may have a name that says little."""
    told = Path("/proc/cpuinfo")
    lines = [line.split(":") for line in (told.read_text().splitlines() if told.exists() else ()) if ":" in line]
    about = {line[0].strip(): line[1].strip() for line in lines}
    names = ("model name", "cpu family", "model", "stepping")
    return " ".join(about[name] for name in names if name in about) or platform.processor()


def rounding():
    """Digest plain operations of a training step: products, attention, softmax and what belongs to them."""
    draw = torch.Generator().manual_seed(7)
    a, b = torch.randn(192, 96, generator=draw), torch.randn(96, 192, generator=draw)
    q = torch.randn(4, 4, 17, 24, generator=draw).requires_grad_()
    read = F.scaled_dot_product_attention(q, q.roll(1, 2), q)
    (read.square().mean() + F.cross_entropy(read.flatten(0, 2), torch.arange(4 * 4 * 17) % 24)).backward()
    parts = (a @ b, a.T @ a, F.silu(a), torch.rsqrt(a.square()), q.grad, a.bfloat16() @ b.bfloat16())
    return digest(part.float() for part in parts)


def digest(tensors):
    found = hashlib.sha256(torch.__version__.encode())
    for tensor in tensors:
        found.update(tensor.detach().float().contiguous().numpy().tobytes())
    return found.hexdigest()


def steps_of(entry, model, tokenizer, folder):
    """Train a fresh head NUM_STEPS steps; return its logged losses, and a digest of its averaged weights."""
    task, own = TASKS.build(entry.task), entry.hybrid
    backbone = hybrid.Backbone(model, tokenizer, "tiny", (0, 2))
    torch.manual_seed(0)
    config = hybrid.HybridConfig(
        task.layout, task.symbols, hybrid.BackboneConfig("tiny", (0, 2)), own.encoder, own.reasoner, own.decoder, None, own.tuner
    )
    attached = hybrid.attach(backbone, config)
    problems = task.problems("train", NUM_PROBLEMS)
    schedule = replace(own.train, num_steps=NUM_STEPS, save_every_seconds=1e9, batch_size=min(own.train.batch_size, 32))
    train(attached, problems, task.problems("dev", 8), schedule, folder, show=False)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    losses = [line[name] for line in lines if "loss" in line for name in ("loss", "halt_loss")]
    weights = {name: tensor for name, tensor in attached.head.state_dict().items() if tensor.is_floating_point()}
    return {"losses": losses, "weights": digest(weights[name] for name in sorted(weights))}


@pytest.fixture(scope="module")
def known():
    return json.loads(FILE.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_twenty_seeded_steps_keep_their_bits(name, known, new_llama, new_tokenizer, tmp_path):
    tokenizer = new_tokenizer()
    tokenizer.model_max_length = 1024
    found = steps_of(RECIPES[name], new_llama(len(tokenizer), max_position_embeddings=1024), tokenizer, tmp_path / "run")
    assert found["losses"] == pytest.approx(known[name]["losses"], rel=2e-3)
    if (processor(), rounding()) == (known["processor"], known["rounding"]):
        assert found == known[name]


if __name__ == "__main__":
    import tempfile

    sys.path.insert(0, str(Path(__file__).parent))
    import conftest

    made = {"processor": processor(), "rounding": rounding()}
    for recipe, given in RECIPES.items():
        vocabulary = conftest.make_tokenizer()
        vocabulary.model_max_length = 1024
        with tempfile.TemporaryDirectory() as place:
            tiny = conftest.make_llama(len(vocabulary), max_position_embeddings=1024)
            made[recipe] = steps_of(given, tiny, vocabulary, Path(place) / "run")
    FILE.write_text(json.dumps(made, indent=1) + "\n")
