"""Slots: which problem sits in which place of the batch, and which comes next.

The order of the data is one stream over all processes: shuffled epochs, one after another. A slot whose problem halted
takes the next of the stream, so that two processes with half the slots each see what one process would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from hybrid.train.dataset import Batch, Dataset

FIRST_SHARE, NEXT_SHARE, GOOD_ENOUGH = 0.25, 0.02, 0.7
"""A curriculum begins with the easiest quarter and takes 2% more when 70% of the problems that end are right."""


class DataOrder:
    """The endless stream of problem indices: every epoch a new permutation, decided by (seed, epoch)."""

    def __init__(self, num_problems: int, seed: int, position: int = 0) -> None:
        self.num_problems = num_problems
        self.seed = seed
        self.position = position
        self._known: tuple[int, list[int]] = (-1, [])

    def take(self, count: int, allowed: Callable[[int], bool] = lambda index: True) -> list[int]:
        """Return the next `count` indices that are `allowed`; the others are passed over."""
        taken: list[int] = []
        while len(taken) < count:
            epoch, place = divmod(self.position, self.num_problems)
            index = self._permutation(epoch)[place]
            self.position += 1
            if allowed(index):
                taken.append(index)
        return taken

    def _permutation(self, epoch: int) -> list[int]:
        if self._known[0] != epoch:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            self._known = (epoch, torch.randperm(self.num_problems, generator=generator).tolist())
        return self._known[1]


class Slots:
    """This process's share of the slots, with their problems' features and labels on the device."""

    def __init__(
        self, dataset: Dataset, batch_size: int, seed: int, accelerator: Accelerator, *, curriculum: bool = False
    ) -> None:
        ranks = accelerator.num_processes
        self.dataset, self.accelerator, self.rank = dataset, accelerator, accelerator.process_index
        self.local_size, self.batch_size = batch_size // ranks, batch_size
        self.order = DataOrder(len(dataset), seed)
        self.draws = torch.Generator().manual_seed(seed)
        self.levels = [problem.difficulty for problem in dataset.problems]
        self.ranked = sorted(self.levels)
        self.share = FIRST_SHARE if curriculum else 1.0
        self.indices = self.own(self.order.take(batch_size, self._allowed))
        self.batch: Batch = dataset.batch(self.indices).to(accelerator.device)

    def own(self, values: Any) -> Any:
        """Return this process's part of what there is one of for every slot."""
        return values[self.rank * self.local_size : (self.rank + 1) * self.local_size]

    def _allowed(self, index: int) -> bool:
        """Say whether a problem may be taken: it belongs to the easiest `share` of all."""
        return self.levels[index] <= self.ranked[int(self.share * (len(self.ranked) - 1))]

    def promote(self, exact: float) -> None:
        """Allow harder problems where enough of those that ended lately were right (`exact`, a share)."""
        if exact >= GOOD_ENOUGH:
            self.share = min(1.0, self.share + NEXT_SHARE)

    def refill(self, halted: Tensor, *, read: bool = True) -> None:
        """Give the next problems of the stream to the halted slots (local b,) bool; `read` their features too."""
        everywhere = self.accelerator.gather(halted) if self.accelerator.num_processes > 1 else halted
        flags = everywhere.tolist()
        fresh = iter(self.order.take(sum(flags), self._allowed))
        places = self.own([next(fresh) if flag else -1 for flag in flags])
        taken = [(slot, index) for slot, index in enumerate(places) if index >= 0]
        if not taken:
            return
        for slot, index in taken:
            self.indices[slot] = index
        if not read:
            return
        rows = torch.tensor([slot for slot, _ in taken], device=halted.device)
        self.batch.replace(rows, self.dataset.batch([index for _, index in taken]).to(halted.device))

    def reread(self) -> None:
        """Compute the features of all slots again: the backbone in the loop."""
        self.batch = self.dataset.batch(self.indices).to(self.accelerator.device)

    def draw(self) -> Tensor:
        """Return one uniform random number a local slot, the same for any number of processes."""
        numbers: Tensor = self.own(torch.rand(self.batch_size, generator=self.draws))
        return numbers.to(self.accelerator.device)

    def state_dict(self) -> dict[str, Tensor]:
        """Return what a resumed run needs, as tensors: the slots of all processes."""
        indices = torch.tensor(self.indices, device=self.accelerator.device)
        if self.accelerator.num_processes > 1:
            indices = self.accelerator.gather(indices)
        return {
            "position": torch.tensor(self.order.position),
            "indices": indices.cpu(),
            "draws": self.draws.get_state(),
            "share": torch.tensor(self.share, dtype=torch.float64),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on where `state_dict` was taken, by any number of processes."""
        self.order.position = int(state["position"])
        self.indices = self.own(state["indices"].tolist())
        self.draws.set_state(state["draws"])
        self.share = float(state["share"])
        self.batch = self.dataset.batch(self.indices).to(self.accelerator.device)
