"""A head as a model of lm-evaluation-harness, and lm-eval's own command line with that model.

    python -m hybrid.eval.harness --model hybrid --model_args pretrained=FOLDER --tasks runs/lm_eval/hybrid_sudoku.yaml

lm-eval (0.4.13) looks for no models outside itself, and its --include_path finds tasks alone. So this module files ours
in lm-eval's registry and hands over to lm-eval's command line, every flag as it is; `--model hf` works the same here.
Holds the model; our tasks for lm-eval are harness_tasks.py's. lm-eval is the extra `lm-eval`, imported where it is used.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hybrid.console import ending
from hybrid.errors import ConfigError, InputError
from hybrid.eval.harness_tasks import problem_of
from hybrid.eval.text.generation import Sampling
from hybrid.eval.text.voice import Manner, before, continuation, likelihoods, running, write
from hybrid.kinds import require
from hybrid.model import HybridModel
from hybrid.problem import Problem
from hybrid.recursion.halting import HALTING
from hybrid.recursion.losses import IGNORE
from hybrid.train.dataset import answer_labels

NAME = "hybrid"
BATCH = 32
"""Problems thought about together where lm-eval is told to find a batch size."""


class HybridAnswers:
    """Answers lm-eval's requests with a head; with lm-eval's own base class beside it, a model of lm-eval.

    A document of one of our tasks is answered as `hybrid bench` answers its problem: the head reads the bare prompt, with
    its spans, and neither instructions nor examples, which it was not trained on. Of any other task it reads the context
    as it stands, and says so where its layout finds no answer in it. Where its decoder writes, the language model answers
    behind its thoughts, and says how likely a text is.
    """

    def __init__(
        self,
        pretrained: str | HybridModel,
        num_steps: int | None = None,
        halting: str | None = None,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        device: str | None = None,
        latent_thoughts: bool = True,
    ) -> None:
        """Load a head; lm-eval passes its --model_args, --batch_size, --max_batch_size and --device.

        Args:
            pretrained: folder or hub id of a trained head, or a model.
            num_steps: most supervision steps; None for the trained N.
            halting: kind of the halting rule; None for the trained one.
            batch_size: problems thought about together; "auto" for 32.
            max_batch_size: not used.
            device: where to think; None for where the model is, and so for cuda where there is none.
            latent_thoughts: False leaves the thoughts out where the head's language model writes: the model as it is.
        """
        super().__init__()
        self.model = pretrained if isinstance(pretrained, HybridModel) else HybridModel.from_pretrained(pretrained)
        # lm-eval's command line names cuda:0 on every machine, and its own models stay on the processor where there is none.
        if device is not None and (torch.cuda.is_available() or not str(device).startswith("cuda")):
            self.model.to(device)
        self.num_steps = num_steps
        self.halting = None if halting is None else HALTING.from_dict(halting)
        given = str(BATCH if batch_size is None or str(batch_size).startswith("auto") else batch_size)
        require(given.isdecimal() and int(given) >= 1, f"batch_size is {batch_size}; give a number of at least 1, or auto")
        self.batch_size, self.latent_thoughts = int(given), latent_thoughts
        self.writes = self.model.head.decoder.writes

    @property
    def _options(self) -> dict[str, Any]:
        return {"halting": self.halting, "num_steps": self.num_steps, "latent_thoughts": self.latent_thoughts}

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Return the head's answer to each request, cut before the first of the request's `until`."""
        problems = [_problem(request) for request in requests]
        if self.writes:
            return self._written(problems, [_manner(request.args[1]) for request in requests])
        solutions = self.model.solve(problems, halting=self.halting, num_steps=self.num_steps, batch_size=self.batch_size)
        return [before(s.text, _until(request.args[1])) for s, request in zip(solutions, requests, strict=True)]

    def _written(self, problems: Sequence[Problem], manners: Sequence[Manner]) -> list[str]:
        texts: dict[int, str] = {}
        for manner in dict.fromkeys(manners):
            places = [place for place, own in enumerate(manners) if own == manner]
            for start in range(0, len(places), self.batch_size):
                batch = places[start : start + self.batch_size]
                found = write(self.model, [problems[place] for place in batch], manner, **self._options)
                texts |= {place: each.text for place, each in zip(batch, found, strict=True)}
        return [texts[place] for place in range(len(problems))]

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return the log-probability of each request's continuation as a whole answer, and whether it is the head's.

        A head answers all positions at once, each by its own distribution over symbols: an answer's log-probability is the
        sum over its positions, the end of a shorter answer included. So the probabilities of all answers that a head can
        give add up to 1, and those of a language model's texts, which go on, are something else. Where the head's decoder
        writes, they are the language model's, behind the head's thoughts.

        Raises:
            InputError: a continuation is no answer that this head can give.
        """
        problems = [_problem(request) for request in requests]
        if self.writes:
            asked = [continuation(self.model, p, request.args[1]) for p, request in zip(problems, requests, strict=True)]
            found = likelihoods(self.model, asked, batch_size=self.batch_size, **self._options)
            return [(each.log_p, each.greedy) for each in found]
        distinct = list(dict.fromkeys(problems))  # A question asks once for each of its choices.
        scores: dict[Problem, Tensor] = {}
        for start in range(0, len(distinct), self.batch_size):
            batch = distinct[start : start + self.batch_size]
            features = self.model.read(batch)
            thoughts = self.model.think(features, halting=self.halting, num_steps=self.num_steps)
            log_p_bav = self.model.head.decoder(thoughts.answers.to(self.model.device)).float().log_softmax(-1)
            lengths = features.num_answers.tolist()
            scores |= {problem: row[:length] for problem, row, length in zip(batch, log_p_bav, lengths, strict=True)}
        return [self._likelihood(scores[p], p, request.args[1]) for p, request in zip(problems, requests, strict=True)]

    def _likelihood(self, log_p_av: Tensor, problem: Problem, continuation: str) -> tuple[float, bool]:
        try:
            labels = answer_labels(self.model, self._symbols(continuation), len(log_p_av))
        except InputError as error:
            raise InputError(
                f"lm-eval asks how likely {continuation[:60]!r} is, which is no answer that this head can give: {error}; "
                "choose a task whose choices are the head's answers, or one that generates"
            ) from None
        kept = [(place, label) for place, label in enumerate(labels) if label != IGNORE]
        best = log_p_av.argmax(-1).tolist()
        return float(sum(log_p_av[place, label] for place, label in kept)), all(best[place] == label for place, label in kept)

    def _symbols(self, text: str) -> tuple[str, ...]:
        """Return the symbols that `text` writes: the opposite of the layout's `write`."""
        symbols, between, whole = self.model.config.symbols, self.model.config.layout.separator, text.strip()
        if not symbols or whole in symbols:
            return (whole,)
        if between:
            return tuple(part.strip() for part in " ".join(whole.split("\n")).split(between.strip() or None))
        return tuple("".join(whole.split()))

    tokenizer_name = NAME
    """Names lm-eval's cache of requests; a head has no chat template to be told apart by."""

    def chat_template(self, chat_template: bool | str = False) -> str:
        """Return nothing: heads are asked in plain words."""
        return ""

    def apply_chat_template(self, chat_history: Sequence[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Return the messages as they stand, so that --apply_chat_template changes no figure of a head."""
        return "\n\n".join(message["content"] for message in chat_history)

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Return the log-probability of each request's text, half of it behind the head's thoughts; see voice.running.

        Raises:
            InputError: the head answers with symbols, so a running text has no probability.
        """
        if not self.writes:
            raise InputError(
                "lm-eval asks for the perplexity of a text (loglikelihood_rolling), but this head writes answers, no text; take "
                "tasks of the output type generate_until, multiple_choice or loglikelihood, or a head with decoder soft_prompt"
            )
        cuts = [list(running(self.model, str(request.args[0]))) for request in requests]
        every = [piece for pieces in cuts for piece in pieces]
        scored = iter(likelihoods(self.model, every, batch_size=self.batch_size, **self._options))
        return [sum(next(scored).log_p for _ in pieces) for pieces in cuts]


def _problem(request: Any) -> Problem:
    """Return what a request asks, without its answer."""
    ours = problem_of(getattr(request, "doc", None))
    return Problem(str(request.args[0]), ()) if ours is None else Problem(ours.prompt, (), spans=ours.spans)


def _until(options: dict[str, Any]) -> tuple[str, ...]:
    until = options.get("until") or ()
    return (until,) if isinstance(until, str) else tuple(until)


def _manner(options: dict[str, Any]) -> Manner:
    """Return how lm-eval wants a text written; without do_sample, or at temperature 0, the likeliest tokens."""
    named = (options[name] for name in ("max_gen_toks", "max_new_tokens", "max_tokens") if options.get(name))
    drawn = options.get("do_sample") is not False and options.get("temperature")
    sampling = Sampling(float(options["temperature"]), float(options.get("top_p") or 1.0)) if drawn else Sampling()
    return Manner(int(next(named, Manner.most_tokens)), sampling, _until(options))


def register() -> type[Any]:
    """File the model `hybrid` in lm-eval's registry, once, and return its class.

    Raises:
        ConfigError: lm-eval is not installed.
    """
    try:
        import lm_eval.models  # noqa: F401  # It files its own models only while none is there, so they go first.
        from lm_eval.api.model import LM
        from lm_eval.api.registry import model_registry
    except ImportError:
        raise ConfigError('this needs the package lm-eval; pip install "hybrid-reasoner[lm-eval]"') from None
    if NAME not in model_registry:
        model_registry.register(NAME, target=type("HybridLM", (HybridAnswers, LM), {"__doc__": HybridAnswers.__doc__}))
    made: type[Any] = model_registry.get(NAME)
    return made


def main() -> int:
    """Run lm-eval's command line with our model; return 2 after one line on standard error for a user's mistake."""
    return ending(_run)


def _run() -> None:
    register()
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()


if __name__ == "__main__":
    sys.exit(main())
