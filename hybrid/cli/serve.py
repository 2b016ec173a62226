"""`hybrid serve`: trained heads behind OpenAI's API, with a page to play with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybrid.cli.asking import SHIPPED, Precision
from hybrid.errors import ConfigError, HybridError
from hybrid.eval.engines import ENGINES
from hybrid.kinds import A_PATH, require


@dataclass(frozen=True)
class ServeCommand:
    """Serve trained heads over HTTP: OpenAI's completions, /v1/solve with every step, and a page at /.

    Args:
        model: folder or hub id of a trained head; give it several times for several heads on one language model.
        host: address to listen on; 0.0.0.0 for every one of this machine.
        port: to listen on; 0 takes a free one.
        precision: of the language model: float32, bfloat16, float16, int8 or nf4; none takes the trained one.
        fallback: who answers what a head cannot read, or is not sure enough of: transformers (the language model itself) or
            server (another one, by URL); none refuses such prompts.
        least_confidence: probability of being right under which the fallback is asked.
        fallback_tokens: most tokens that it writes.
        chain_tokens: most tokens of a chain of thought that the language model writes beside an answer, where the page or
            a client asks for one; 0 offers none.
        text_tokens: most tokens of an answer in words, of a head whose decoder writes; a client may ask for fewer.
        most_waiting: prompts that may wait; more get 429.
        most_together: prompts that are thought about at once.
        most_characters: of a prompt; longer ones get 413.
        timeout_seconds: most that a request waits; then it gets 504.
    """

    model: list[str] = field(default_factory=lambda: [SHIPPED], metadata={"repeated": True} | A_PATH)
    host: str = "127.0.0.1"
    port: int = 8000
    precision: Precision = None
    fallback: Any = field(default=None, metadata={"kinds": ENGINES})
    least_confidence: float = 0.5
    fallback_tokens: int = 512
    chain_tokens: int = 2048
    text_tokens: int = 512
    most_waiting: int = 256
    most_together: int = 32
    most_characters: int = 20_000
    timeout_seconds: float = 60.0

    def __post_init__(self) -> None:
        require(bool(self.model), "give --model, the folder of a trained head")
        for name in ("fallback_tokens", "text_tokens", "most_waiting", "most_together", "most_characters"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; give at least 1")
        require(self.chain_tokens >= 0, f"chain_tokens is {self.chain_tokens}; give at least 0")
        require(self.timeout_seconds > 0, f"timeout_seconds is {self.timeout_seconds}; give more than 0")
        require(0 <= self.least_confidence <= 1, f"least_confidence is {self.least_confidence}; give 0 to 1")
        require(0 <= self.port <= 65535, f"port is {self.port}; give 0 to 65535")

    def run(self) -> None:
        """Serve until a signal ends it; what was accepted is answered first."""
        try:
            import uvicorn

            from hybrid.serve.app import build
            from hybrid.serve.server import Server
        except ImportError as error:
            raise ConfigError(f"hybrid serve needs {error.name}; pip install 'hybrid-reasoner[serve]'") from None
        from hybrid.eval.scoring.checked import any_task
        from hybrid.serve.batcher import Batcher

        heads = self.heads()
        first = next((model for model in heads.values() if model.backbone.runs), next(iter(heads.values())))
        fallback: Any = None if self.fallback is None else ENGINES.build(self.fallback, first.backbone)
        batcher = Batcher(
            heads,
            {name: any_task(model) for name, model in heads.items()},
            most_waiting=self.most_waiting,
            most_together=self.most_together,
            fallback=fallback,
            least_confidence=self.least_confidence,
            fallback_tokens=self.fallback_tokens,
        )
        names = ("most_characters", "timeout_seconds", "chain_tokens", "text_tokens")
        bounds: Any = {name: getattr(self, name) for name in names}
        server = Server(batcher, examples={name: examples(model) for name, model in heads.items()}, **bounds)
        print(f"{', '.join(heads)}: http://{self.host}:{self.port}/ (Ctrl-C ends it)", flush=True)
        grace = int(self.timeout_seconds) + 1
        uvicorn.run(build(server), host=self.host, port=self.port, log_level="warning", timeout_graceful_shutdown=grace)

    def heads(self) -> dict[str, Any]:
        """Return the heads by the names of their folders; those for one language model share it, and some have none."""
        from hybrid.device import usual_device
        from hybrid.errors import BackboneError
        from hybrid.model import HybridModel

        heads: dict[str, Any] = {}
        for folder in self.model:
            name = Path(folder).name
            require(name not in heads, f"two heads are named {name}; rename a folder")
            model = None
            for other in heads.values():
                try:
                    model = HybridModel.from_pretrained(folder, backbone=other.backbone, precision=self.precision)
                    break
                except (BackboneError, ConfigError):
                    continue  # For another language model, or one of the two has none.
            model = model or HybridModel.from_pretrained(folder, precision=self.precision)
            heads[name] = model.to(usual_device())
        return heads


def examples(model: Any) -> list[str]:
    """Return a few prompts that a head was not trained on; none where its task makes none."""
    from hybrid.eval.scoring.checked import task_of

    try:
        return [problem.prompt.strip() for problem in task_of(model).problems("test", 3)]
    except (HybridError, OSError):
        return []
