"""An engine writes text for conversations. The family; kinds are in the files beside this one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from hybrid.eval.text.generation import GREEDY, Ends, Generated, Message, Sampling
from hybrid.kinds import Kinds


class Engine(ABC):
    """Base of the family; kinds are constructed with (config, backbone, folder or None to keep nothing).

    Attributes:
        model: what writes, as it stands in tables; empty where it is the backbone.
        identity: names the model that writes, so that a choice made with one is not taken for another.
        batch_sizes: conversations at once to try for the best throughput.
        elsewhere: whether it writes by another process, so that threads may ask it side by side.
        knows_flops: whether `flops` is known; it is 0 otherwise.
        recalled_seconds: seconds that answers taken from disk, and not asked for again, took when they were.
    """

    kind: ClassVar[str]
    model: str = ""
    identity: str
    batch_sizes: tuple[int, ...] = (8, 32)
    elsewhere: bool = False
    knows_flops: bool = True
    recalled_seconds: float = 0.0

    @abstractmethod
    def write(
        self,
        conversations: Sequence[Sequence[Message]],
        max_new_tokens: int,
        *,
        sampling: Sampling = GREEDY,
        ends: Sequence[Ends] | None = None,
    ) -> list[Generated]:
        """Return the assistant's next turn of each conversation, cut where its answer is complete.

        Raises:
            InputError: a conversation does not fit the model's context.
        """

    @abstractmethod
    def flops(self, out: Generated) -> float:
        """Return the forward FLOPs of reading the prompt and writing this text; 0 where they are not known."""

    @abstractmethod
    def most_tokens(self, texts: Sequence[str]) -> int:
        """Return the tokens of the longest text, or a bound above them."""

    def forget(self) -> None:  # noqa: B027
        """Drop what was kept of earlier texts, where nobody will ask for it: in a server. Here: nothing is kept."""

    def notes(self) -> list[str]:
        """Return what a reader of the figures must know."""
        return []


ENGINES: Kinds[Engine] = Kinds("engine")
