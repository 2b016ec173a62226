"""The engine `server`: any server that speaks OpenAI's chat completions (vLLM, llama.cpp, TGI), by its URL.

Requests run side by side, up to `concurrency`. Each answer is written to a journal as it comes, under a digest of
model, messages, sampling and sample number: the same command after a kill asks for the missing ones only. Tries and the
reading of what comes back are client.py's.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hybrid.backbone import Backbone
from hybrid.errors import HybridError
from hybrid.eval.engines.client import Client, read_reply
from hybrid.eval.engines.engine import ENGINES, Engine
from hybrid.eval.engines.journal import Journal
from hybrid.eval.measures.cost import text_cost
from hybrid.eval.text.generation import GREEDY, Ends, Generated, Message, Sampling, chat_text, cut
from hybrid.kinds import require

JOURNAL = "answers.jsonl"
FIELDS = ("text", "tokens", "prompt_tokens", "fault", "seconds")


@ENGINES.register("server")
class ServerEngine(Engine):
    """Writes by HTTP. The server does not know where an answer ends: what it writes after it is counted, and not read."""

    @dataclass(frozen=True)
    class Config:
        """A server of text.

        Args:
            url: where the API begins, mostly ending with /v1.
            model: name by which the server knows the model.
            same_backbone: the server runs the head's own language model; tokens and FLOPs are then counted with it.
            concurrency: requests at once.
            timeout_seconds: most seconds of one request.
            retries: further tries of a request that fails.
            backoff_seconds: wait before the first of them; it doubles from one to the next.
            most_bytes: of an answer; a longer one is cut and counts as wrong.
            key_variable: environment variable with the server's key, where it wants one.
            extra: further fields of every request, as a JSON object: what only this server knows, or where its defaults
                are no plain sampling, such as {"repeat_penalty": 1.0} for llama-cpp-python.
        """

        url: str = "http://127.0.0.1:8000/v1"
        model: str = ""
        same_backbone: bool = False
        concurrency: int = 8
        timeout_seconds: float = 600.0
        retries: int = 6
        backoff_seconds: float = 1.0
        most_bytes: int = 1_000_000
        key_variable: str | None = None
        extra: str = "{}"

        def __post_init__(self) -> None:
            web = self.url.startswith(("http://", "https://"))
            require(web, f"engine.url is {self.url!r}; give one like http://127.0.0.1:8000/v1")
            require(bool(self.model), f"engine.model is missing; give the name that {self.url}/models lists")
            for name, least in (("concurrency", 1), ("retries", 0), ("most_bytes", 1)):
                require(getattr(self, name) >= least, f"engine.{name} is {getattr(self, name)}; give at least {least}")
            require(self.timeout_seconds > 0, f"engine.timeout_seconds is {self.timeout_seconds}; give more than 0")
            require(self.backoff_seconds >= 0, f"engine.backoff_seconds is {self.backoff_seconds}; give at least 0")
            require(self.fields is not None, f"engine.extra is {self.extra!r}; give a JSON object")
            key = self.key_variable
            require(key is None or bool(os.environ.get(key)), f"engine.key_variable names {key}, which is not set; set it")

        @property
        def fields(self) -> dict[str, Any] | None:
            """The object in `extra`; None where it is none."""
            try:
                found = json.loads(self.extra)
            except (ValueError, RecursionError):
                return None
            return found if isinstance(found, dict) else None

    elsewhere = True

    def __init__(self, config: Config, backbone: Backbone, folder: Path | None = None) -> None:
        writes = backbone.tokenizer is not None
        require(
            writes or not config.same_backbone, f"engine.same_backbone is true, but {backbone.name} writes no text; leave it out"
        )
        self.config, self.backbone = config, backbone
        self.model = self.identity = config.model
        self.knows_flops = config.same_backbone
        self.batch_sizes = (8 * config.concurrency,)
        self.journal = Journal(folder / JOURNAL if folder is not None else None, FIELDS)
        self._earlier = frozenset(self.journal)
        self._used: dict[str, Generated] = {}
        self._uncounted: set[str] = set()
        self._other_prompt: set[str] = set()
        key = os.environ.get(config.key_variable or "")
        self._client = Client(
            f"{config.url.rstrip('/')}/chat/completions",
            {"Authorization": f"Bearer {key}"} if key else {},
            timeout_seconds=config.timeout_seconds,
            retries=config.retries,
            backoff_seconds=config.backoff_seconds,
            most_bytes=config.most_bytes,
        )

    def forget(self) -> None:
        """See Engine.forget."""
        for kept in (self.journal, self._used, self._uncounted, self._other_prompt):
            kept.clear()

    def write(
        self,
        conversations: Sequence[Sequence[Message]],
        max_new_tokens: int,
        *,
        sampling: Sampling = GREEDY,
        ends: Sequence[Ends] | None = None,
    ) -> list[Generated]:
        """See Engine.write.

        Raises:
            EngineError: a request has no answer after its last try; the others' answers are kept.
        """
        asked = [self._request(messages, max_new_tokens, sampling) for messages in conversations]
        keys = [_digest(request, sampling) for request in asked]
        missing = {key: request for key, request in zip(keys, asked, strict=True) if key not in self.journal}
        known = [self.journal[key]["seconds"] for key in set(keys) if key not in missing]
        self.recalled_seconds += sum(known) / min(self.config.concurrency, max(len(known), 1))
        self._ask(missing)
        written = []
        for i, (key, messages) in enumerate(zip(keys, conversations, strict=True)):
            out = self._used[key] = self._counted(key, messages)
            written.append(replace(out, text=cut(out.text, ends[i] if ends else None)))
        return written

    def _request(self, messages: Sequence[Message], max_new_tokens: int, sampling: Sampling) -> dict[str, Any]:
        return {
            "model": self.config.model,
            "messages": list(messages),
            "max_tokens": max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": (sampling.seed * 1_000_003 + sampling.sample) % 2**31,
            "stream": False,
            **(self.config.fields or {}),
        }

    def _ask(self, missing: dict[str, dict[str, Any]]) -> None:
        """Ask for answers side by side; the first failure lets those under way end and starts no other."""
        self._client.stopped.clear()
        with ThreadPoolExecutor(self.config.concurrency) as pool:
            futures = [pool.submit(self._ask_one, key, request) for key, request in missing.items()]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                self._client.stopped.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _ask_one(self, key: str, request: dict[str, Any]) -> None:
        if self._client.stopped.is_set():
            return
        began = time.perf_counter()
        try:
            out = read_reply(self._client.post(request))
        except HybridError:
            self._client.stopped.set()
            raise
        self.journal.put(key, {**asdict(out), "seconds": time.perf_counter() - began})

    def _counted(self, key: str, messages: Sequence[Message]) -> Generated:
        """Return a kept answer; tokens that the server did not count are those of the backbone's tokenizer."""
        entry = self.journal[key]
        out = Generated(entry["text"], entry["tokens"], entry["prompt_tokens"], entry["fault"])
        if out.tokens < 0:
            self._uncounted.add(key)
            out = replace(out, tokens=self._length(out.text))
        if out.prompt_tokens < 0 or self.config.same_backbone:
            own = self._length(chat_text(self.backbone, messages))
            if out.prompt_tokens < 0:
                self._uncounted.add(key)
                out = replace(out, prompt_tokens=own)
            elif out.prompt_tokens != own:
                self._other_prompt.add(key)
        return out

    def _length(self, text: str) -> int:
        tokenizer = self.backbone.tokenizer
        return len(tokenizer(text, add_special_tokens=False)["input_ids"]) if tokenizer is not None else 0

    def flops(self, out: Generated) -> float:
        """See Engine.flops."""
        return text_cost(self.backbone).flops(out.prompt_tokens, out.tokens) if self.knows_flops else 0.0

    def most_tokens(self, texts: Sequence[str]) -> int:
        """See Engine.most_tokens; of another model's tokenizer, only that no token is shorter than a byte is known."""
        if self.config.same_backbone:
            return max(self._length(text) for text in texts)
        return max(len(text.encode()) for text in texts)

    def notes(self) -> list[str]:
        """See Engine.notes."""
        who = f"{self.model} at {self.config.url}"
        notes = [f"{who}: {len(self._used)} answers. Memory and device in the table are this machine's, not the server's."]
        if not self.knows_flops:
            notes.append(f"{who}: its FLOPs are not known; 0 stands for them.")
        faults = Counter(out.fault for out in self._used.values() if out.fault)
        if faults:
            listed = ", ".join(f"{count} {fault}" for fault, count in sorted(faults.items()))
            notes.append(f"{who}: answers without a text that can be read, scored as wrong: {listed}.")
        earlier = len(self._earlier & self._used.keys())
        if earlier:
            notes.append(
                f"{who}: {earlier} answers were given to an earlier run, and count with the seconds that they took then."
            )
        if self._uncounted:
            by = f"the tokenizer of {self.backbone.name}" if self.backbone.tokenizer is not None else "nobody (0)"
            notes.append(f"{who}: tokens of {len(self._uncounted)} answers are counted by {by}, not by the server.")
        if self._other_prompt:
            notes.append(
                f"{who}: {len(self._other_prompt)} prompts have another number of tokens there than with {self.backbone.name}; "
                "see whether it is the same model."
            )
        return notes


def _digest(request: dict[str, Any], sampling: Sampling) -> str:
    plain = json.dumps([request, asdict(sampling)], sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()
