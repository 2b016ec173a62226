"""Slots: which problem sits in which place of the batch, and which comes next.

The order of the data is one stream over all processes: shuffled epochs, one after another. A slot whose problem halted
takes the next of the stream, so that two processes with half the slots each see what one process would.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F

from hybrid.adapters import Features, Targets
from hybrid.adapters.features import padded_links
from hybrid.backbone.writing import padded
from hybrid.device import HostCopy
from hybrid.train.dataset import Batch, Dataset
from hybrid.train.disguise import Disguises

FIRST_SHARE, NEXT_SHARE, GOOD_ENOUGH = 0.25, 0.02, 0.7
"""A curriculum begins with the easiest quarter and takes 2% more when 70% of the problems that end are right."""


STRETCH = 16
"""Batches whose problems are sorted by length together."""


class DataOrder:
    """The endless stream of problem indices: every epoch a new permutation, decided by (seed, epoch).

    With `lengths`, problems of like length come together, `together` at a time, so that a batch is little padded.
    """

    def __init__(
        self, num_problems: int, seed: int, position: int = 0, *, lengths: Sequence[int] = (), together: int = 1
    ) -> None:
        self.num_problems = num_problems
        self.seed = seed
        self.position = position
        self.lengths, self.together = lengths, together
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
            order = torch.randperm(self.num_problems, generator=generator).tolist()
            self._known = (epoch, self._grouped(order, generator) if self.lengths else order)
        return self._known[1]

    def _grouped(self, order: list[int], generator: torch.Generator) -> list[int]:
        """Sort stretches of a permutation by length, cut them into batches, and shuffle these."""
        size, stretch = self.together, STRETCH * self.together
        cuts = [sorted(order[start : start + stretch], key=self.lengths.__getitem__) for start in range(0, len(order), stretch)]
        batches = [cut[start : start + size] for cut in cuts for start in range(0, len(cut), size)]
        places = torch.randperm(len(batches), generator=generator).tolist()
        return [index for place in places for index in batches[place]]


class Slots:
    """The slots of all processes by their problems, and this one's share of them with features and targets on the device."""

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        seed: int,
        accelerator: Accelerator,
        *,
        curriculum: bool = False,
        group_by_length: bool = False,
        disguises: Disguises | None = None,
    ) -> None:
        ranks = accelerator.num_processes
        self.dataset, self.accelerator, self.rank = dataset, accelerator, accelerator.process_index
        self.local_size, self.batch_size = batch_size // ranks, batch_size
        lengths = dataset.lengths if group_by_length else ()
        self.order = DataOrder(len(dataset), seed, lengths=lengths, together=batch_size)
        self.draws = torch.Generator().manual_seed(seed)
        self.levels = [problem.difficulty for problem in dataset.problems]
        self.ranked = sorted(self.levels)
        self.share = FIRST_SHARE if curriculum else 1.0
        self.disguises = disguises
        self.everywhere = self.order.take(batch_size, self._allowed)
        self.turns, self.next_turn = list(range(batch_size)), batch_size
        self.batch: Batch = self._read()

    @property
    def indices(self) -> list[int]:
        """The problems of this process's slots."""
        indices: list[int] = self.own(self.everywhere)
        return indices

    @property
    def num_positions(self) -> int:
        """Positions of the batch: of all processes alike, so that any number of them gives the same bits."""
        return self.dataset.num_positions(self.everywhere)

    def own(self, values: Any) -> Any:
        """Return this process's part of what there is one of for every slot."""
        return values[self.rank * self.local_size : (self.rank + 1) * self.local_size]

    def _allowed(self, index: int) -> bool:
        """Say whether a problem may be taken: it belongs to the easiest `share` of all."""
        return self.levels[index] <= self.ranked[int(self.share * (len(self.ranked) - 1))]

    def promote(self, exact: float, due: float = 0.0) -> None:
        """Allow harder problems where enough are right, or where their time has come.

        Args:
            exact: share of right answers among the problems that ended lately.
            due: share of the way to all problems that is due in any case, 0 to 1.
        """
        earned = self.share + NEXT_SHARE * (exact >= GOOD_ENOUGH)
        self.share = min(1.0, max(earned, FIRST_SHARE + (1 - FIRST_SHARE) * due))

    def everyone(self, halted: Tensor) -> HostCopy:
        """Return which slots of all processes are halted, from this one's (local b,) bool; it is on its way while others work."""
        return HostCopy(self.accelerator.gather(halted) if self.accelerator.num_processes > 1 else halted)

    def refill(self, halted: HostCopy, *, read: bool = True) -> None:
        """Give the next problems of the stream to the halted slots, as `everyone` has them; `read` their features too."""
        flags = halted.tolist()
        fresh = iter(self.order.take(sum(flags), self._allowed))
        self.everywhere = [next(fresh) if flag else index for flag, index in zip(flags, self.everywhere, strict=True)]
        turns = itertools.count(self.next_turn)
        self.turns = [next(turns) if flag else turn for flag, turn in zip(flags, self.turns, strict=True)]
        self.next_turn += sum(flags)
        rows = [slot for slot, flag in enumerate(self.own(flags)) if flag]
        if read and any(flags):
            self._replace(rows)

    def _read(self) -> Batch:
        return self._fresh(range(self.local_size), self.num_positions)

    def _fresh(self, rows: Sequence[int], length: int) -> Batch:
        """Read the problems of some local slots, each in its disguise."""
        indices, turns = self.indices, self.own(self.turns)
        batch = self.dataset.batch([indices[row] for row in rows], length).to(self.accelerator.device)
        return batch if self.disguises is None else self.disguises(batch, [turns[row] for row in rows])

    def _replace(self, rows: list[int]) -> None:
        """Read the problems of some local slots; the others keep their features, padded to the new length of the batch."""
        length, data, indices, old = self.num_positions, self.dataset, self.indices, self.batch
        states, labels, weights = old.features.states, old.targets.labels, old.targets.weights
        if states.shape[1] != length:
            states = F.pad(states, (0, 0, 0, 0, 0, length - states.shape[1])).contiguous()  # Or cut off, where it is less.
        if rows:
            fresh, places = self._fresh(rows, length), torch.tensor(rows).to(states.device)
            states[places], labels[places] = fresh.features.states, fresh.targets.labels
            weights[places] = fresh.targets.weights
        own = data.links(indices)
        links = None if own is None else padded_links(own, length)
        counts = [data.num_answers[i] for i in indices]
        asked = data.prompts(indices)
        prompt = None if asked is None else padded(asked)
        features = Features.of(states, [data.lengths[i] for i in indices], counts, links, prompt)
        self.batch = Batch(features, Targets(labels, features.num_answers, weights))

    def draw(self) -> Tensor:
        """Return one uniform random number a local slot, the same for any number of processes."""
        numbers: Tensor = self.own(torch.rand(self.batch_size, generator=self.draws))
        return numbers.to(self.accelerator.device)

    def draw_number(self, spread: int) -> int:
        """Return a whole number from -`spread` to `spread`, the same in all processes."""
        return int(torch.randint(-spread, spread + 1, (), generator=self.draws)) if spread else 0

    def state_dict(self) -> dict[str, Tensor]:
        """Return what a resumed run needs, as tensors: the slots of all processes."""
        return {
            "position": torch.tensor(self.order.position),
            "indices": torch.tensor(self.everywhere),
            "turns": torch.tensor([self.next_turn, *self.turns]),
            "draws": self.draws.get_state(),
            "share": torch.tensor(self.share, dtype=torch.float64),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on where `state_dict` was taken, by any number of processes."""
        self.order.position = int(state["position"])
        self.everywhere = state["indices"].tolist()
        if "turns" in state:
            self.next_turn, *self.turns = state["turns"].tolist()
        self.draws.set_state(state["draws"])
        self.share = float(state["share"])
        self.batch = self._read()
