"""What it costs to train a head that writes: peak memory by N, and seconds a step with what was read of the prompts kept or not.

    python -m hybrid.eval.writing_cost --steps 2 8 16              # peak bytes of training by supervision steps
    python -m hybrid.eval.writing_cost --tokens 200 --batch 8      # seconds of a supervision step's loss and gradient

Seconds are those of the language model's part alone: `kept` reuses the cache of the prompts, as all supervision steps of a batch
do; `read anew` reads them without gradient at every step; `one pass` reads prompt, vectors and answer together with gradient.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import hybrid
from hybrid.adapters import CrossAttention, SoftPrompt
from hybrid.backbone import BackboneConfig
from hybrid.backbone.default import DEFAULT_BACKBONE
from hybrid.backbone.writing import Pass, Writer
from hybrid.eval import program
from hybrid.eval.measures.cost import seconds_each
from hybrid.eval.memory import alone, over_before
from hybrid.problem import Problem
from hybrid.train import TrainConfig, train

VECTORS, ANSWER = 16, 16
"""Vectors behind a prompt, and tokens of the answer."""


def peak_bytes(num_supervision_steps: int, name: str = DEFAULT_BACKBONE) -> int:
    """Return the peak bytes of training a head that writes, two batches, over what was held before; in a fresh process."""
    torch.set_num_threads(1)
    reasoner = replace(hybrid.ReasonerConfig(), num_supervision_steps=num_supervision_steps)
    parts: dict[str, Any] = {"encoder": CrossAttention.Config(), "reasoner": reasoner, "decoder": SoftPrompt.Config()}
    layout, reads = hybrid.LayoutConfig(num_answers=VECTORS), BackboneConfig(name, dtype="float32")
    model = hybrid.attach(None, hybrid.HybridConfig(layout, (), reads, **parts))
    problems = [Problem(f"{i} and {i} are", (f"{2 * i}",)) for i in range(16)]
    recipe = TrainConfig(num_steps=2 * num_supervision_steps, batch_size=4, eval_every_steps=1000, save_every_seconds=1e6)
    with tempfile.TemporaryDirectory() as folder:
        return over_before(lambda: train(model, problems, problems[:2], recipe, folder, show=False))


def step_seconds(backbone: hybrid.Backbone, tokens: int, batch: int, repeats: int = 3) -> dict[str, float]:
    """Return the seconds of one step's loss and gradient through the language model, the least of some, by what is kept.

    Args:
        backbone: writes.
        tokens: of each prompt.
        batch: prompts.
        repeats: of which the quickest counts, after one that warms up.
    """
    draw = torch.Generator().manual_seed(0)
    table = backbone.model.get_input_embeddings().weight
    ids = torch.randint(len(table), (batch, tokens + ANSWER), generator=draw).to(backbone.device)
    prompt_bs, answer_bt = ids[:, :tokens].int(), ids[:, tokens:]
    vectors = torch.randn(batch, VECTORS, table.shape[1], generator=draw).to(table).mul(table.std()).requires_grad_()

    def whole() -> Tensor:
        reader = Pass(backbone)
        embeds = torch.cat([reader.embed(prompt_bs), vectors, reader.embed(answer_bt[:, :-1])], 1)
        return reader.logits(embeds, torch.ones_like(embeds[..., 0], dtype=torch.int64), ANSWER)

    kept, anew = Writer(backbone, keep=True), Writer(backbone)
    ways: dict[str, Callable[[], Tensor]] = {
        "kept": lambda: kept.logits(prompt_bs, vectors, answer_bt),
        "read anew": lambda: anew.logits(prompt_bs, vectors, answer_bt),
        "one pass": whole,
    }

    def step(way: Callable[[], Tensor]) -> None:
        loss = torch.nn.functional.cross_entropy(way().float().flatten(0, 1), answer_bt.flatten().long())
        torch.autograd.grad(loss, vectors)

    return {name: min(seconds_each(step, [way] * repeats, warmup=1)) for name, way in ways.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default=DEFAULT_BACKBONE, help="language model: a hub id or a folder")
    parser.add_argument("--steps", type=program.positive, nargs="+", help="N of training, whose peak memory is measured")
    parser.add_argument("--tokens", type=program.positive, help="of a prompt, for which seconds are measured")
    parser.add_argument("--batch", type=program.positive, default=8, help="prompts of a step")
    given = parser.parse_args(argv)
    if not (given.steps or given.tokens):
        parser.error("nothing is asked for; give --steps, --tokens or both")
    for count, peak in zip(given.steps or (), alone(peak_bytes, [(n, given.backbone) for n in given.steps or ()]), strict=True):
        print(f"N = {count}: {peak / 1e6:,.1f} MB")
    if given.tokens:
        backbone = hybrid.Backbone.load(BackboneConfig(given.backbone))
        for name, seconds in step_seconds(backbone, given.tokens, given.batch).items():
            print(f"{name}: {seconds:.3f} s a step of {given.batch} prompts of {given.tokens} tokens")


if __name__ == "__main__":
    program.run(main)
