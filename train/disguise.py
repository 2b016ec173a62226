"""Disguises: a batch of problems, each changed by a symmetry of its task, without reading it again.

For readers that give each place its symbol's number, and for the embedding layer of a language model, where a symbol that is
one token has the same state wherever it stands. A deeper layer would have to read the changed prompt.

Shapes: b batch, p places, v numbers of symbols, k layers, c channels, n lines of a target, o output positions.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hybrid.kinds import require
from hybrid.symmetry import Change, Symmetry

if TYPE_CHECKING:
    from hybrid.model import HybridModel
    from hybrid.train.dataset import Batch, Dataset

LOOKED_AT = 64
"""Problems in which the states of the symbols are looked up."""


class Disguises:
    """The disguises of a run: which one a problem wears follows from the seed and the number of its turn.

    Args:
        symmetry: the task's.
        model: whose reader and answers are disguised.
        seed: of the draws.

    Raises:
        ConfigError: the task has no symmetries, or the reader's states of a symbol depend on what else a prompt says.
    """

    def __init__(self, symmetry: Symmetry | None, model: HybridModel, seed: int) -> None:
        require(symmetry is not None, "train.symmetries: this task has none; leave it out")
        reader: Any = model.backbone
        hint = "give --backbone.layers [0], or --backbone.name none --encoder structured, or leave it out"
        alone = not reader.runs or tuple(reader.layers) == (0,)
        require(alone, f"train.symmetries needs states that know of their own symbol alone; {hint}")
        assert symmetry is not None
        self.symmetry, self.seed, self.layout = symmetry, seed, model.config.layout
        self.codes: dict[str, int] | None = None if reader.runs else reader.numbers
        if self.codes is not None:
            self._check(self.codes, "encoder.vocabulary lacks")
        self.states_vkc: Tensor | None = None
        self.labels = {symbol: model.head.decoder.index(symbol) for symbol in model.config.symbols}

    def learn(self, dataset: Dataset) -> None:
        """Learn the state of each symbol from the first problems of a language model's embedding layer.

        Raises:
            ConfigError: a symbol has several states: it is not one token of its own, or a place tells in its state.
        """
        if self.codes is not None:
            return
        known: dict[str, Tensor] = {}
        for index, problem in enumerate(dataset.problems[:LOOKED_AT]):
            spans = self.layout.spans(problem.prompt, problem.spans)
            symbols = [problem.prompt[start:end] for start, end in (*spans[0], *spans[1])]
            states_pkc = dataset.features.rows([index])[0]
            for symbol, state_kc in zip(symbols, states_pkc, strict=True):
                same = torch.equal(known.setdefault(symbol, state_kc), state_kc)
                require(same, f'train.symmetries: "{symbol}" is not one token wherever it stands; leave it out')
        self._check(known, f"the first {LOOKED_AT} problems lack")
        self.codes = {symbol: number for number, symbol in enumerate(sorted(known))}
        self.states_vkc = torch.stack([known[symbol] for symbol in sorted(known)])

    def _check(self, known: Collection[str], lack: str) -> None:
        missing = [symbol for symbol in self.symmetry.symbols if symbol not in known]
        require(not missing, f'train.symmetries: {lack} "{"".join(missing[:1])}", which a disguise may write; leave it out')

    def __call__(self, batch: Batch, turns: Sequence[int]) -> Batch:
        """Return the batch in the disguises of these turns, one a row; rows keep their number of places.

        Raises:
            InputError: the symmetry does not fit the number of places.
        """
        assert self.codes is not None, "learn"
        changes = [self.symmetry.draw(random.Random(f"{self.seed} {turn}")) for turn in turns]
        features, targets = batch.features, batch.targets
        device, labelled = features.states.device, targets.labels.shape[2]
        changes = [change.first(features.states.shape[1]) for change in changes]
        places_bp = torch.tensor([change.places for change in changes], device=device)
        places_bo = torch.tensor([change.first(labelled).places for change in changes], device=device)
        codes_bv, labels_bv = (_renaming(changes, numbers).to(device) for numbers in (self.codes, self.labels))
        renamed_bp = codes_bv.gather(1, self._numbers(features.states).gather(1, places_bp))
        labels_bno = targets.labels.to(device).gather(2, places_bo[:, None].expand(-1, targets.labels.shape[1], -1))
        renamed_bno = labels_bv.gather(1, labels_bno.clamp(min=0).flatten(1)).view_as(labels_bno)
        labels_bno = torch.where(labels_bno < 0, labels_bno, renamed_bno.to(labels_bno.dtype))
        weights_bo = targets.weights.to(device).gather(1, places_bo)
        return replace(
            batch,
            features=replace(features, states=self._states(renamed_bp, features.states)),
            targets=replace(targets, labels=labels_bno, weights=weights_bo),
        )

    def _numbers(self, states_bpkc: Tensor) -> Tensor:
        """Return the number of the symbol at each place, (b, p) int64."""
        if self.states_vkc is None:
            return states_bpkc[:, :, 0, 0].long()
        known_vkc = self.states_vkc.to(states_bpkc)
        return (states_bpkc[:, :, None] == known_vkc).all(-1).all(-1).int().argmax(-1)

    def _states(self, numbers_bp: Tensor, like_bpkc: Tensor) -> Tensor:
        """Return the features (b, p, k, c) of symbols, in the dtype of `like`."""
        if self.states_vkc is None:
            return numbers_bp.to(like_bpkc.dtype)[:, :, None, None]
        return self.states_vkc.to(like_bpkc)[numbers_bp]


def _renaming(changes: Sequence[Change], numbers: dict[str, int]) -> Tensor:
    """Return the new number of each old one, (b, v) int64."""
    tables = [list(range(max(numbers.values()) + 1)) for _ in changes]
    for table, change in zip(tables, changes, strict=True):
        for old, new in change.names.items():
            table[numbers[old]] = numbers[new]
    return torch.tensor(tables)
