"""Answering: prompts in, answers out. The data flow of a model, read as it runs: read, think, write.

What a model is made of, and how it is kept, is model.py's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from hybrid.adapters import Features
from hybrid.backbone import Backbone, words
from hybrid.backbone.codec import FITTED_TO
from hybrid.backbone.writing import prompt_tokens
from hybrid.config import HybridConfig
from hybrid.head import Head
from hybrid.inference.search import SearchConfig
from hybrid.inference.search import search as noisy_search
from hybrid.inference.solution import Solution
from hybrid.inference.thinking import Thoughts, solutions, think
from hybrid.kinds import require
from hybrid.problem import Problem, asked
from hybrid.recursion.halting import HALTING


class Answering(nn.Module):
    """A head beside a backbone, and how both answer together."""

    backbone: Backbone
    config: HybridConfig
    head: Head

    @property
    def device(self) -> torch.device:
        """Where the head is."""
        return self.head.reasoner.initial.device

    def forward(self, prompts: str | Problem | Sequence[str | Problem], **options: Any) -> list[dict[str, Any]]:
        """Answer as a pipeline of transformers does: `model("text")`, or `model(["a", "b"], batch_size=2)`.

        Args:
            prompts: one prompt or several, as `solve` takes them.
            options: of `solve`.

        Returns:
            One dict a prompt: `answer`, its `score` (the probability of being right) and the `steps` taken.
        """
        asked = [prompts] if isinstance(prompts, str | Problem) else prompts
        # Under torch.compile(model): text and loops that depend on data are not for a compiler.
        solve = torch.compiler.disable(self.solve) if torch.compiler.is_compiling() else self.solve  # type: ignore[no-untyped-call]
        return [{"answer": s.text, "score": s.confidence, "steps": s.steps} for s in solve(asked, **options)]

    def read(self, prompts: Sequence[str | Problem]) -> Features:
        """Run the backbone on prompts and return what the encoder reads, on the head's device.

        Raises:
            InputError: a prompt is empty, longer than the context, or does not fit the layout.
        """
        ready = self.prepare([prompt if isinstance(prompt, Problem) else Problem(prompt, ()) for prompt in prompts])
        rows = self.backbone.read([prepared for prepared, _ in ready])
        links = [each.links for each, _ in ready] if self.head.encoder.gives_links else None
        asked = [each.prompt for each, _ in ready] if self.head.decoder.writes else None
        return Features.pad(rows, [count for _, count in ready], links=links, prompts=asked).to(self.device)

    def prepare(self, problems: Sequence[Problem]) -> list[tuple[Any, int]]:
        """Return each prompt ready for the backbone's `read`, with its number of answer positions; raises as `read`."""
        spans = [self.config.layout.spans(problem.prompt, problem.spans) for problem in problems]
        reads = self.head.encoder.reads
        places = [own + context for own, context in spans] if reads == "spans" else None if reads == "tokens" else reads
        prompts = [problem.prompt for problem in problems]
        prepared = self.backbone.prepare(prompts, places)
        if self.head.decoder.writes:
            tokens = prompt_tokens(self.backbone.tokenizer, prompts)
            prepared = [replace(each, prompt=ids) for each, ids in zip(prepared, tokens, strict=True)]
        return [(each, self.config.layout.length(answer)) for each, (answer, _) in zip(prepared, spans, strict=True)]

    def fit_reader(self, problems: Sequence[Problem]) -> None:
        """Fit what the codec of the hidden states learns to the first prompts, once; `train` does it by itself."""
        if not self.backbone.codec.fitted:
            self.backbone.fit([prepared for prepared, _ in self.prepare(problems[:FITTED_TO])])

    def think(
        self, features: Features, *, halting: Any = None, num_steps: int | None = None, search: SearchConfig | None = None
    ) -> Thoughts:
        """Answer a batch of features; `halting` is a halting config, `num_steps` replaces the trained N."""
        rule = HALTING.build(halting or self.config.reasoner.halting)
        steps = self.config.reasoner.num_supervision_steps if num_steps is None else num_steps
        require(steps >= 1, f"num_steps is {steps}; give at least 1")
        return noisy_search(self.head, features, rule, steps, search or SearchConfig())

    def solve(
        self,
        prompts: Sequence[str | Problem] | None = None,
        *,
        context: str | None = None,
        questions: Sequence[str] | None = None,
        halting: Any = None,
        num_steps: int | None = None,
        search: SearchConfig | None = None,
        batch_size: int = 32,
    ) -> list[Solution]:
        """Answer prompts.

        Args:
            prompts: texts, in any wording whose answer positions the layout finds; or problems, whose own spans are
                read where they have some. Their answers are not looked at.
            context, questions: in place of prompts, one text and what is asked of it, each question put behind it; what
                prompts share at their beginning is read once by a language model that reads from left to right.
            halting: halting config for this call; None takes the trained one.
            num_steps: most supervision steps; None takes the trained N.
            search: think several times with noise and choose; None thinks once.
            batch_size: prompts thought about together.

        Raises:
            InputError: a prompt is empty, longer than the context, or does not fit the layout.
        """
        prompts = asked(prompts, context, questions)
        require(batch_size >= 1, f"batch_size is {batch_size}; give at least 1")
        batches = (self.read(prompts[start : start + batch_size]) for start in range(0, len(prompts), batch_size))
        options: dict[str, Any] = {"halting": halting, "num_steps": num_steps, "search": search}
        return [solution for batch in batches for solution in self.write(self.think(batch, **options), batch)]

    def write(self, thoughts: Thoughts, features: Features) -> list[Solution]:
        """Return the thoughts of a batch as one Solution a row."""
        return solutions(thoughts, features.num_answers.tolist(), self.head.decoder.answer, self.config.layout.write)

    def generate(
        self,
        prompts: str | Sequence[str | Problem],
        *,
        halting: Any = None,
        num_steps: int | None = None,
        latent_thoughts: bool = True,
        vectors: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """Let the language model write behind each prompt and what the recursion, run once before, has to say to it.

        Args:
            prompts: texts, each put into the model's chat template where it has one.
            halting, num_steps: as of `solve`.
            latent_thoughts: False leaves them out: the language model as it is.
            vectors: to be put behind the prompts, (b, k, h), as `soft_prompt` gives them; None thinks.
            options: of transformers' generate: max_new_tokens, do_sample, num_beams, streamer, ...

        Returns:
            One text a sequence; what transformers returns, with return_dict_in_generate.

        Raises:
            ConfigError: the head's decoder writes no text.
            InputError: as `solve`.
        """
        features = self._read_to_write([prompts] if isinstance(prompts, str) else prompts)
        if vectors is None and latent_thoughts:
            vectors = self._vectors(features, halting, num_steps)
        return self.head.decoder.generate(features.prompt, vectors, **options)  # type: ignore[operator]

    def soft_prompt(
        self, prompts: Sequence[str | Problem], *, halting: Any = None, num_steps: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return what `generate` lets the language model write behind: prompts and vectors of the recursion, without gradient.

        Args:
            prompts, halting, num_steps: as of `solve`.

        Returns:
            The tokens of the prompts, (b, s) int32, -1 behind the end; and the vectors (b, k, h) of the embedding space.

        Raises:
            ConfigError: the head's decoder writes no text.
            InputError: as `solve`.
        """
        features = self._read_to_write(prompts)
        assert features.prompt is not None
        return features.prompt, self._vectors(features, halting, num_steps)

    def _read_to_write(self, prompts: Sequence[str | Problem]) -> Features:
        said = "this head answers with symbols: call solve, or attach one with the decoder soft_prompt"
        require(self.head.decoder.writes, said)
        return self.read(prompts)

    @torch.no_grad()
    def _vectors(self, features: Features, halting: Any, num_steps: int | None) -> Tensor:
        rule = HALTING.build(halting or self.config.reasoner.halting)
        steps = num_steps or self.config.reasoner.num_supervision_steps
        states = think(self.head, features, rule, steps, read=False).answers.to(self.device)
        vectors: Tensor = self.head.decoder.vectors(states)  # type: ignore[operator]
        return vectors

    @torch.no_grad()
    def word_labels(self, prompt: str, *, num_steps: int | None = None) -> list[tuple[str, tuple[str, ...]]]:
        """Return each word of a prompt with the symbol that its place says after each supervision step.

        For heads that were taught what words mean (`table.labels_column`); words of others say nothing in particular. Labels
        that a word has at once stand with a slash between them.

        Raises:
            ConfigError: the head's encoder has no places of words.
            InputError: as `solve`.
        """
        features = self.read([prompt])
        links = () if features.links is None else features.links[0].flatten().tolist()
        first, positions = self.head.encoder.word_positions(self.config.encoder, links)
        require(first > 0, "this head has no places of words: attach one with the encoder words")
        workspace = self.head.encode(features)
        state, texts = self.head.reasoner.start(workspace.x), [prompt[start:end] for start, end in words.spans(prompt)]
        said = []
        for _ in range(num_steps or self.config.reasoner.num_supervision_steps):
            state = self.head.step(workspace, state)
            said.append(self.head.word_labels(workspace, state, first)[0].tolist())
        text = self.head.decoder.text
        lines = zip(*said, strict=True)
        return [
            (texts[each], tuple("/".join(map(text, labels)) for labels in line))
            for each, line in zip(positions, lines, strict=False)
        ]

    def logits(self, prompts: Sequence[str], *, num_steps: int | None = None) -> Tensor:
        """Return the symbol logits (b, a, v) after `num_steps` supervision steps, without halting."""
        thoughts = self.think(self.read(prompts), halting=HALTING["fixed"].Config(), num_steps=num_steps)  # type: ignore[attr-defined]
        logits: Tensor = self.head.decoder(thoughts.answers.to(self.device))
        return logits
