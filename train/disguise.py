"""Disguises: a batch of problems, each changed by a symmetry of its task, without reading it again.

Only for readers that give each place its symbol's number; a language model would have to read the changed prompt.

Shapes: b batch, p places, v numbers of symbols, n lines of a target, o output positions.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hybrid.kinds import require
from hybrid.symmetry import Change, Symmetry

if TYPE_CHECKING:
    from hybrid.model import HybridModel
    from hybrid.train.dataset import Batch


class Disguises:
    """The disguises of a run: which one a problem wears follows from the seed and the number of its turn.

    Raises:
        ConfigError: the task has no symmetries, or the reader gives no symbols' numbers.
    """

    def __init__(self, symmetry: Symmetry | None, model: HybridModel, seed: int) -> None:
        require(symmetry is not None, "train.symmetries: this task has none; leave it out")
        reader: Any = model.backbone
        hint = "train.symmetries goes with symbols alone; give --backbone.name none --encoder structured, or leave it out"
        require(not reader.runs, hint)
        assert symmetry is not None
        self.symmetry, self.seed = symmetry, seed
        self.codes: dict[str, int] = reader.numbers
        self.labels = {symbol: model.head.decoder.index(symbol) for symbol in model.config.symbols}

    def __call__(self, batch: Batch, turns: Sequence[int]) -> Batch:
        """Return the batch in the disguises of these turns, one a row; rows keep their number of places."""
        changes = [self.symmetry.draw(random.Random(f"{self.seed} {turn}")) for turn in turns]
        features, targets = batch.features, batch.targets
        device, places = features.states.device, features.states.shape[1]
        places_bp = torch.tensor([change.places for change in changes], device=device)
        require(places_bp.shape[1] == places, "train.symmetries needs problems of one size; leave it out")
        codes_bv, labels_bv = (_renaming(changes, numbers).to(device) for numbers in (self.codes, self.labels))
        states_bp = features.states[:, :, 0, 0].gather(1, places_bp)
        states_bp11 = codes_bv.gather(1, states_bp.long()).to(states_bp.dtype)[:, :, None, None]
        labels_bno = targets.labels.to(device).gather(2, places_bp[:, None].expand(-1, targets.labels.shape[1], -1))
        renamed_bno = labels_bv.gather(1, labels_bno.clamp(min=0).flatten(1)).view_as(labels_bno)
        labels_bno = torch.where(labels_bno < 0, labels_bno, renamed_bno.to(labels_bno.dtype))
        weights_bo = targets.weights.to(device).gather(1, places_bp)
        return replace(
            batch,
            features=replace(features, states=states_bp11),
            targets=replace(targets, labels=labels_bno, weights=weights_bo),
        )


def _renaming(changes: Sequence[Change], numbers: dict[str, int]) -> Tensor:
    """Return the new number of each old one, (b, v) int64."""
    tables = [list(range(max(numbers.values()) + 1)) for _ in changes]
    for table, change in zip(tables, changes, strict=True):
        for old, new in change.names.items():
            table[numbers[old]] = numbers[new]
    return torch.tensor(tables)
