"""What clients may send, as pydantic checks it. Holds no answers."""

from __future__ import annotations

import secrets
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from hybrid.eval.text.generation import Sampling
from hybrid.eval.text.voice import Manner

MOST_PROMPTS = 256
"""Prompts that one request may hold."""
MOST_SYMBOLS = 10_000
"""Symbols of an answer that one request may hold."""
Text = Annotated[str, Field(min_length=1)]


class Fields(BaseModel):
    """What every request may hold; fields that only a text generator knows are taken and have no effect."""

    model_config = ConfigDict(extra="allow", strict=False)
    model: str | None = None
    num_steps: Annotated[int, Field(ge=1, le=1000)] | None = None


class Part(BaseModel):
    """A part of a message: text, or what has no text."""

    model_config = ConfigDict(extra="allow")
    type: str = "text"
    text: str = ""


class Message(BaseModel):
    """A turn of a conversation."""

    model_config = ConfigDict(extra="allow")
    role: str
    content: str | list[Part] | None = None

    @property
    def words(self) -> str:
        """Its text."""
        parts = self.content or ""
        return parts if isinstance(parts, str) else "\n".join(part.text for part in parts if part.text)

    @property
    def unread(self) -> str:
        """The type of a part without text, such as an image; nothing where every part has some."""
        parts = self.content if isinstance(self.content, list) else []
        return next((part.type for part in parts if "text" not in part.model_fields_set), "")


Stop = Annotated[str, Field(max_length=100)]


class StreamOptions(BaseModel):
    """What a stream holds besides the answer."""

    model_config = ConfigDict(extra="allow")
    include_usage: bool = False


class Words(Fields):
    """What a request may say of how a text is written; heads that answer with symbols take it, and it has no effect."""

    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: int | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    n: Annotated[int, Field(ge=1, le=1, description="answers; a head has one")] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None

    @property
    def tells_usage(self) -> bool:
        """Whether a stream ends with its tokens."""
        return self.stream_options is not None and self.stream_options.include_usage

    def manner(self, most_tokens: int) -> Manner:
        """Return how the text is written, in at most so many tokens: greedy where no temperature is given."""
        asked = self.max_completion_tokens or self.max_tokens or most_tokens
        seed = secrets.randbits(32) if self.temperature and self.seed is None else self.seed or 0
        until = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        return Manner(min(asked, most_tokens), Sampling(self.temperature or 0.0, self.top_p or 1.0, seed), until)


class Chat(Words):
    """A request for a chat completion; the head reads the last message of the user."""

    messages: Annotated[list[Message], Field(min_length=1)]


class Completion(Words):
    """A request for completions of one prompt or several."""

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=MOST_PROMPTS)]


class Solve(Fields):
    """A request for answers with every step: a prompt, or a context with questions."""

    prompt: Text | None = None
    context: Text | None = None
    questions: Annotated[list[Text], Field(min_length=1, max_length=MOST_PROMPTS)] | None = None


class Aloud(BaseModel):
    """A request for a chain of thought of the language model itself."""

    model: str | None = None
    prompt: Text
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    answer: Annotated[list[str], Field(max_length=MOST_SYMBOLS)] = Field(
        default=[], description="the head's symbols, to be compared with"
    )
