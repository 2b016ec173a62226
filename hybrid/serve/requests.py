"""What clients may send, as pydantic checks it. Holds no answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

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


class Chat(Fields):
    """A request for a chat completion; the head reads the last message of the user."""

    messages: Annotated[list[Message], Field(min_length=1)]
    stream: bool = False


class Completion(Fields):
    """A request for completions of one prompt or several."""

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=MOST_PROMPTS)]
    stream: bool = False


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
