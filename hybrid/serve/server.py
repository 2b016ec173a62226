"""A server's bounds and counts around a batcher: which head is asked, how long a prompt and a wait may be. Holds no routes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Request

from hybrid.errors import HybridError
from hybrid.eval.scoring.checked import plain, understood
from hybrid.eval.text.voice import Manner
from hybrid.problem import Problem
from hybrid.serve.along import read_along
from hybrid.serve.batcher import Answer, Batcher
from hybrid.serve.refused import Refused
from hybrid.serve.spoken import spoken


class Server:
    """Answers requests by a batcher, within bounds.

    Args:
        batcher: thinks.
        most_characters: of a prompt.
        timeout_seconds: most that a request waits.
        examples: prompts to click on the page, by the names of heads.
        chain_tokens: most tokens of a chain of thought; 0 writes none.
        text_tokens: most tokens of an answer in words, of a head that writes.
    """

    def __init__(
        self,
        batcher: Batcher,
        *,
        most_characters: int,
        timeout_seconds: float,
        examples: dict[str, list[str]],
        chain_tokens: int = 0,
        text_tokens: int = 512,
    ) -> None:
        self.batcher, self.most_characters, self.timeout_seconds = batcher, most_characters, timeout_seconds
        self.examples, self.chain_tokens, self.text_tokens = examples, chain_tokens, text_tokens
        self.requests: dict[tuple[str, int], int] = {}
        self.seconds: list[float] = [0.0, 0.0]
        self.began = int(time.time())

    def head(self, name: str | None) -> str:
        """Return the name of a head; None takes the first."""
        heads = list(self.batcher.heads)
        if name is None:
            return heads[0]
        if name not in heads:
            raise Refused(404, f"model {name[:99]!a} is unknown; choose one of: {', '.join(heads)}")
        return name

    async def answers(self, head: str, prompts: list[str], num_steps: int | None, manner: Manner | None = None) -> list[Answer]:
        """Ask for the answers of some prompts, as `Batcher.ask` does, and wait for all.

        Raises:
            Refused: a prompt is too long or cannot be read, too many wait, or the time is over.
        """
        self.check_length(max(map(len, prompts)))
        futures: list[Any] = []
        try:
            asked = self.batcher.ask(head, *prompts, num_steps=num_steps, manner=manner)
            futures = [asyncio.wrap_future(each) for each in asked]
            return await asyncio.wait_for(asyncio.gather(*futures), self.timeout_seconds)
        except asyncio.TimeoutError:
            raise Refused(504, f"no answer within {self.timeout_seconds:g} s; try again when fewer ask") from None
        except HybridError as error:
            raise Refused.by(error) from None
        finally:
            for future in futures:
                future.cancel()

    async def words(self, head: str, prompt: str, num_steps: int | None, manner: Manner) -> AsyncIterator[dict[str, Any]]:
        """Return the pieces of what a head that writes answers, as they come.

        Raises:
            Refused: the prompt is too long or cannot be read, or too many wait.
        """
        self.check_length(len(prompt))
        model, task = self.batcher.heads[head], self.batcher.tasks[head]
        try:
            problem = await asyncio.to_thread(understood, task, Problem(plain(prompt), ()))
            return read_along(self.batcher, lambda writing: spoken(model, problem, manner, num_steps, writing))
        except HybridError as error:
            raise Refused.by(error) from None

    def check_length(self, characters: int) -> None:
        """Raise Refused for a prompt that is too long."""
        if characters > self.most_characters:
            raise Refused(413, f"the prompt has {characters} characters, the server takes {self.most_characters}; shorten it")


def _of_application(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


TheServer = Annotated[Server, Depends(_of_application)]
"""The server whose application answers, as a route asks for it."""
