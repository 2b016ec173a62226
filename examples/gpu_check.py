"""One table that says what works on this GPU, and how fast; exits with 1 when something is off.

    python examples/gpu_check.py [--json FILE]

It needs one GPU, no network and no language model of yours: it makes a small one with random weights.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import hybrid
from hybrid.backbone import BackboneConfig
from hybrid.eval.speed import Setting, matrix_rate, measure
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.sort import Sort
from hybrid.recursion.carry import Carry
from hybrid.recursion.losses import Softmax
from hybrid.train import TrainConfig, step, train
from hybrid.train.dataset import Dataset

TASK = TASKS.build(Sort.Config())
PROBLEMS = TASK.problems("train", 256)
Check = Callable[[], tuple[bool, str]]


def small_language_model(folder: Path) -> str:
    """Write a Llama of two million random weights, whose tokens are the characters of the task's prompts."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted({letter for problem in PROBLEMS for letter in problem.prompt})
    known = {letter: number for number, letter in enumerate(["<pad>", *letters])}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<pad>").save_pretrained(folder)
    torch.manual_seed(0)
    sizes: Any = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(known), **sizes)).save_pretrained(folder)
    return str(folder)


def attached(llm: str, **backbone: Any) -> hybrid.HybridModel:
    """Return a small head on the language model, the same weights at every call."""
    torch.manual_seed(0)
    config = hybrid.HybridConfig(TASK.layout, TASK.symbols, BackboneConfig(llm, layers=(0, 2, 4), **backbone))
    return hybrid.attach(None, config)


def states(model: hybrid.HybridModel, device: str) -> torch.Tensor:
    """Return the hidden states of some problems, read on a device."""
    model.to(torch.device(device))
    return Dataset(model, PROBLEMS[:32], cache=False).batch(range(32)).features.states.float().cpu()


def away(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return the relative distance of two tensors."""
    return float((a - b).norm() / b.norm())


def checks(llm: str, folder: Path) -> Iterator[tuple[str, Check]]:
    """Yield the checks by name; each returns whether all is well, and a figure."""

    def speed(compiled: bool) -> Check:
        def check() -> tuple[bool, str]:
            seconds, share, peak = measure(Setting(512, 768, torch.bfloat16, compiled=compiled))
            return (
                share > 0.05,
                f"{seconds:.3f} s a step, {100 * share:.0f}% of the rate of a 2048 x 2048 product, {peak / 1e9:.1f} GB",
            )

        return check

    yield "width 512, batch 768, eager", speed(compiled=False)
    yield "width 512, batch 768, compiled", speed(compiled=True)

    exact = states(attached(llm), "cpu")

    def reading(bound: float, **backbone: Any) -> Check:
        def check() -> tuple[bool, str]:
            found = away(states(attached(llm, **backbone), "cuda"), exact)
            return found < bound, f"{found:.1e} away from float32 on the CPU (at most {bound:g})"

        return check

    yield "states in float32", reading(1e-4, dtype="float32")
    yield "states in float16", reading(1e-2, dtype="float16")
    yield "states in bfloat16", reading(3e-2, dtype="bfloat16")
    yield "states in int8", reading(0.1, dtype="float16", quantization="int8")
    yield "states in nf4", reading(0.4, dtype="bfloat16", quantization="nf4")

    def one_step_agrees() -> tuple[bool, str]:
        losses = []
        for device in ("cpu", "cuda"):
            model = attached(llm)
            model.to(torch.device(device))
            batch = Dataset(model, PROBLEMS[:32], cache=False).batch(range(32)).to(torch.device(device))
            objective = step.Objective(Softmax(Softmax.Config()), model.head.reasoner.halting)
            out = step.forward(model.head, batch, Carry.start(model.head.start(batch.features)), objective)
            assert out.loss is not None
            losses.append(float(out.loss.detach().mean()))
        return abs(losses[0] - losses[1]) < 1e-3, f"loss {losses[0]:.5f} on the CPU, {losses[1]:.5f} here"

    yield "a supervision step", one_step_agrees

    def training(name: str, **changes: Any) -> Check:
        def check() -> tuple[bool, str]:
            model, began = attached(llm), time.perf_counter()
            config = TrainConfig(num_steps=60, eval_every_steps=60, **changes)
            train(model, PROBLEMS, PROBLEMS[:32], config, folder / name, show=False)
            lines = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
            first, *_, last = (line["loss"] for line in lines if "loss" in line)
            return last < 0.9 * first, f"loss {first:.3f} to {last:.3f} in 60 steps, {time.perf_counter() - began:.0f} s in all"

        return check

    yield "training in float32", training("float32")
    yield "training in bf16", training("bf16", mixed_precision="bf16")
    yield "training in fp16", training("fp16", mixed_precision="fp16")
    yield "training, compiled", training("compiled", mixed_precision="bf16", compile=True)
    yield "training, tokens read live", training("live", cache=False)

    def nccl() -> tuple[bool, str]:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "1", "-m", "hybrid.train"]
        flags = ["--task", "sort", "--backbone.name", llm, "--train.num_steps", "20", "--num_train", "64", "--num_dev", "16"]
        there = os.environ | {"TORCH_DISTRIBUTED_DEBUG": "OFF", "NCCL_DEBUG": "WARN"}
        done = subprocess.run(
            [*command, *flags, "--quiet", "--output", str(folder / "nccl")],
            capture_output=True,
            text=True,
            env=there,
            check=False,
        )
        return done.returncode == 0, (done.stdout + done.stderr).strip().splitlines()[-1][-90:]

    yield "one process of many (NCCL)", nccl


def main() -> int:
    """Run the checks and print the table; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("there is no CUDA GPU here; the tests cover the CPU: pytest", file=sys.stderr)
        return 1
    name, rate = torch.cuda.get_device_name(), matrix_rate(torch.bfloat16, 8192)
    title = f"{name}, torch {torch.__version__}, {rate / 1e12:.0f} TFLOP/s of bfloat16 products"
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HYBRID_CACHE"] = f"{folder}/cache"
        for what, check in checks(small_language_model(Path(folder) / "llm"), Path(folder)):
            try:
                good, figure = check()
            except Exception as error:  # A check that breaks is a row of the table like others.
                good, figure = False, f"{type(error).__name__}: {error}"
            rows.append({"check": what, "good": good, "figure": figure})
            print(f"{what}: {'good' if good else 'OFF'}, {figure}", file=sys.stderr, flush=True)
    table = Table("check", "", "figure", title=title)
    for row in rows:
        table.add_row(str(row["check"]), "good" if row["good"] else "OFF", str(row["figure"]))
    Console(width=140).print(table)
    if options.json:
        options.json.write_text(json.dumps({"device": title, "checks": rows}, indent=1) + "\n")
    return 0 if all(row["good"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
