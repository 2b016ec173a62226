"""Text baselines that are trained: the language model with LoRA learns to write the answer, or the solver's steps to it.

Holds what all of them share - prompts, targets, trials of the learning rate, answering - and the two plain ones. The loop
and the adapter are tuning/'s; pause tokens and latent thoughts have files of their own.

Text is written with merged weights, so its FLOPs are the plain model's: unmerged, LoRA of rank 8 would add about 2% to them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from hybrid.backbone import Backbone
from hybrid.errors import ConfigError, InputError
from hybrid.eval.baselines.method import METHODS, Attempt, Budget, Method, scored, trace_of
from hybrid.eval.measures.cost import text_cost
from hybrid.eval.tasks.task import Task
from hybrid.eval.text.generation import chat_text, generate, opening
from hybrid.eval.tuning import Adapter, Plan, Reading, Run, TuningConfig
from hybrid.eval.tuning.reading import IGNORED, Written, pad
from hybrid.eval.tuning.run import Order, Outcome, Predicted
from hybrid.kinds import require
from hybrid.problem import Problem
from hybrid.train.run.folder import RunFolder


class Tuned(Method):
    """Base of the trained text methods: what stands between prompt and answer, and what is written, makes the difference.

    Attributes:
        max_new_tokens: a quarter more than the longest answer of the training problems; an answer that has not ended by
            then counts as wrong.
        num_embeddings: learned beside the adapter.
    """

    num_embeddings: ClassVar[int] = 0
    max_new_tokens: int = 0

    def __init__(self, config: TuningConfig, backbone: Backbone, task: Task) -> None:
        tokenizer, model = backbone.tokenizer, backbone.model
        writes = tokenizer is not None and not model.config.is_encoder_decoder
        require(writes, f"backbone {backbone.name} writes no text after a prompt; leave out the method {self.kind}")
        require(tokenizer.eos_token_id is not None, f"the tokenizer of {backbone.name} has no token that ends a text; set one")
        half = backbone.dtype == torch.float16
        require(not half, "float16 gradients underflow; load the backbone with dtype bfloat16 or float32 to train it")
        self.backbone, self.task, self.config = backbone, task, config
        self.end, self.opens_with = int(tokenizer.eos_token_id), opening(tokenizer)
        self.name = self.kind.replace("_", " ")
        self._adapter: Adapter | None = None

    def target(self, problem: Problem, progress: float) -> str:
        """Return what is to be written at this progress, 0..1, of the training; 1 is the end."""
        return self.task.write(problem)

    def num_steps(self, progress: float) -> int:
        """Return the pause tokens or latent thoughts of this progress."""
        return 0

    def num_marks(self, progress: float) -> int:
        """Return the other positions between prompt and answer."""
        return 0

    def opening(self, reading: Reading, prompt_bp: Tensor, mask_bp: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        """Return the embeddings (b, s, h) that come before the answer, and their mask; a part may have been read already."""
        return reading.embed(prompt_bp), mask_bp

    def prompt(self, problem: Problem) -> str:
        """Return the text before the answer."""
        if self.config.chat_template:
            return chat_text(self.backbone, [{"role": "user", "content": problem.prompt.rstrip()}])
        return f"{self.opens_with}{problem.prompt.rstrip()}\n"

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        found: list[list[int]] = self.backbone.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return found

    def predict(self, problems: Sequence[Problem], progress: float) -> Predicted:
        """Return the logits of the answers to `problems`, each token after the right ones before it."""
        reading = Reading(self.backbone)
        prompts = self._ids([self.prompt(problem) for problem in problems])
        targets = [[*ids, self.end] for ids in self._ids([self.target(problem, progress) for problem in problems])]
        ids_bp, mask_bp = pad(prompts, "left", self.backbone.device)
        ids_bt, mask_bt = pad(targets, "right", self.backbone.device)
        opening, opening_mask = self.opening(reading, ids_bp, mask_bp, progress)
        embeds = torch.cat([opening, reading.embed(ids_bt[:, :-1])], 1)
        logits = reading.logits(embeds, torch.cat([opening_mask, mask_bt[:, :-1]], 1), ids_bt.shape[1])
        between = (self.num_steps(progress) + self.num_marks(progress)) * len(problems)
        positions = sum(map(len, prompts)) + sum(map(len, targets)) + between
        return Predicted(logits, ids_bt.masked_fill(mask_bt == 0, IGNORED), positions)

    def fit(self, training: Sequence[Problem], dev: Sequence[Problem], folder: Path, budget: Budget) -> None:
        """See Method.fit; the finished adapter is in `folder` as PEFT writes it.

        Raises:
            ConfigError: the folder holds another training.
            InputError: there are no problems, or one does not fit the model's context or has no steps to learn.
        """
        if not training or not dev:
            raise InputError(f"{len(training)} training and {len(dev)} dev problems; give at least one of each")
        lengths = self._measure(training)
        home = RunFolder(folder)
        home.open(self._record(training, dev, budget))
        finished = (home.read_record() or {}).get("finished")
        if finished is None:
            order = Order(lengths, self.config.batch_size, budget.seed)
            finished = self._train(training, dev, order, home, budget)
            home.finish(finished)
        self._adapter = self._fresh(budget.seed)
        self._adapter.load(home.path, finished["files"])
        self.train_seconds, self.trainable_parameters = finished["seconds"], self._adapter.num_parameters()
        self.train_problems = min(len(training), self.config.batch_size * finished["steps"])

    def _measure(self, training: Sequence[Problem]) -> list[tuple[int, int]]:
        """Return prompt and answer tokens of every problem as training begins, and set how much may be written."""
        prompts = [len(ids) for ids in self._ids([self.prompt(problem) for problem in training])]
        first, last = (
            [len(ids) + 1 for ids in self._ids([self.target(problem, progress) for problem in training])]
            for progress in (0.0, 1.0)
        )
        self.max_new_tokens = int(1.25 * max(last)) + 8
        limit = self.backbone.context_length
        most = max(map(sum, zip(prompts, first, strict=True)))
        most = max(most, max(prompts) + self.num_steps(1.0) + self.num_marks(1.0) + self.max_new_tokens)
        if limit is not None and most > limit:
            raise InputError(f"a problem takes {most} tokens with its answer, the context holds {limit}; give shorter problems")
        return list(zip(prompts, first, strict=True))

    def _record(self, training: Sequence[Problem], dev: Sequence[Problem], budget: Budget) -> dict[str, Any]:
        texts = repr([(p.prompt, p.answer, p.trace) for p in (*training, *dev)])
        return {
            "method": partial(METHODS.to_dict, self.config),
            "backbone": self.backbone.fingerprint,
            "data": hashlib.sha256(texts.encode()).hexdigest(),
            "budget": asdict(budget),
        }

    def _train(
        self, training: Sequence[Problem], dev: Sequence[Problem], order: Order, home: RunFolder, budget: Budget
    ) -> dict[str, Any]:
        """Try the rates, train with the best, save the adapter; return what the folder's record says of it."""
        config = self.config
        rates = config.learning_rates or (config.optimizer.learning_rate,)
        share = config.trial_share / len(rates)
        steps = max(1, int(share * config.max_steps)) if config.max_steps else None
        trials = []
        for number, rate in enumerate(rates if len(rates) > 1 else ()):
            folder = RunFolder(home.path / "trials" / str(number))
            plan = Plan(share * budget.seconds, steps, rate, budget.seed)
            folder.open(asdict(plan))
            trial = (folder.read_record() or {}).get("finished")
            if trial is None:
                trial = asdict(self._run(training, dev, order, folder, plan))
                folder.finish(trial)
            trials.append({"learning_rate": rate} | trial)
        best = min(trials, key=lambda trial: (-trial["exact"], trial["loss"]))["learning_rate"] if trials else rates[0]
        spent = sum(trial["seconds"] for trial in trials)
        left = max(1, config.max_steps - sum(trial["steps"] for trial in trials)) if config.max_steps else None
        outcome = self._run(training, dev, order, home, Plan(budget.seconds - spent, left, best, budget.seed))
        files = self._trained.save(home.path)
        whole = {"seconds": outcome.seconds + spent, "learning_rate": best, "trials": trials, "files": files}
        return asdict(outcome) | whole

    def _run(self, training: Sequence[Problem], dev: Sequence[Problem], order: Order, folder: RunFolder, plan: Plan) -> Outcome:
        self._adapter = self._fresh(plan.seed)
        return Run(self.config, folder, self._adapter, self.predict).train(training, dev, order, plan)

    def _fresh(self, seed: int) -> Adapter:
        return Adapter(self.backbone, self.config.tuner, seed, self.num_embeddings)

    @property
    def _trained(self) -> Adapter:
        if self._adapter is None:
            raise ConfigError(f"the method {self.kind} has not been trained; call fit first")
        return self._adapter

    def attempt(self, problems: Sequence[Problem]) -> list[Attempt]:
        """See Method.attempt."""
        adapter, cost = self._trained, text_cost(self.backbone)
        texts = [self.prompt(problem) for problem in problems]
        with adapter.merged():
            written = self._write(texts)
        steps, marks = self.num_steps(1.0), self.num_marks(1.0)
        return [
            scored(self.task, out, problem, steps=steps, flops=cost.flops(len(ids) + steps + marks, out.tokens))
            for out, problem, ids in zip(written, problems, self._ids(texts), strict=True)
        ]

    @torch.inference_mode()
    def _write(self, texts: Sequence[str]) -> list[Written]:
        reading = Reading(self.backbone)
        opening, mask = self.opening(reading, *pad(self._ids(texts), "left", self.backbone.device), 1.0)
        logits = reading.logits(opening, mask, 1, cached=True)
        return reading.write(logits[:, -1], self.end, self.max_new_tokens)


class TunedText(Tuned):
    """Base of those with nothing between prompt and answer: any engine can write their text."""

    def _write(self, texts: Sequence[str]) -> list[Written]:
        limit = self.max_new_tokens
        return [Written(out.text, out.tokens, out.tokens < limit) for out in generate(self.backbone, texts, limit)]


@METHODS.register("lora_direct")
class LoraDirect(TunedText):
    """LoRA on the answers alone."""

    Config = TuningConfig


@METHODS.register("lora_cot")
class LoraCoT(TunedText):
    """LoRA on a real solver's steps, which end with the answer."""

    @dataclass(frozen=True)
    class Config(TuningConfig):
        """Args: as lora_direct's."""

    def target(self, problem: Problem, progress: float) -> str:
        """Return the solver's steps and the answer."""
        return trace_of(problem)
