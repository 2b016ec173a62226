"""The route `/v1/solve`: answers with every step, for people and programs that want to see the head think."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter

from hybrid.problem import asked as put_together
from hybrid.serve.batcher import Answer
from hybrid.serve.refused import Refused
from hybrid.serve.requests import Solve
from hybrid.serve.server import TheServer

router = APIRouter()


@router.post("/v1/solve")
async def solve(asked: Solve, server: TheServer) -> dict[str, Any]:
    """Answer a prompt, or each question behind a context."""
    parts = (asked.context is not None, asked.questions is not None)
    if not (all(parts) if asked.prompt is None else not any(parts)):
        raise Refused(400, "give a prompt, or a context with questions")
    head = server.head(asked.model)
    server.check_length(len(asked.context or "") + 1 + max(map(len, asked.questions or [""])))
    alone = None if asked.prompt is None else [asked.prompt]
    prompts = [str(prompt) for prompt in put_together(alone, asked.context, asked.questions)]
    began = time.perf_counter()
    found = [told(answer) for answer in await server.answers(head, prompts, asked.num_steps)]
    row = server.batcher.heads[head].config.layout.row_length
    own = {"model": head, "seconds": round(time.perf_counter() - began, 4), "row_length": row}
    return own | (found[0] if asked.prompt is not None else {"answers": found})


def told(answer: Answer) -> dict[str, Any]:
    """Return an answer with what is known of how it came, as plain data."""
    data: dict[str, Any] = {"text": answer.text, "answered_by": answer.by, "why": answer.why, "understood": answer.understood}
    solution = answer.solution
    if solution is not None:
        data |= {
            "confidence": solution.confidence,
            "verified": solution.verified,
            "steps": solution.steps,
            "halted": solution.halted,
            "symbols": list(solution.symbols),
            "trajectory": [list(step) for step in solution.trajectory],
            "motion": list(solution.motion),
            "thoughts": [list(step) for step in solution.thoughts],
        }
    return data
