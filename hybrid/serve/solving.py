"""The route `/v1/solve`: answers with every step, for people and programs that want to see the head think."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

from hybrid.problem import asked as put_together
from hybrid.serve.batcher import Answer
from hybrid.serve.refused import Refused
from hybrid.serve.requests import Solve
from hybrid.serve.server import TheServer

if TYPE_CHECKING:
    from hybrid.eval.tasks.task import Task

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
    answers = await server.answers(head, prompts, asked.num_steps)
    task = server.batcher.tasks[head]
    found = [told(answer) | {"picture": pictured(task, answer)} for answer in answers]
    row = server.batcher.heads[head].config.layout.row_length
    own = {"model": head, "seconds": round(time.perf_counter() - began, 4), "row_length": row}
    return own | (found[0] if asked.prompt is not None else {"answers": found})


def pictured(task: Task | None, answer: Answer) -> dict[str, Any] | None:
    """Return how the cells of an answer lie: rows, the columns and rows of a box, what is given; None where nobody knows.

    The cells stand in the order of the symbols, so that every step of the trajectory can be drawn the same way.
    """
    solution = answer.solution
    if task is None or solution is None:
        return None
    picture = task.picture(answer.understood, solution.symbols)
    cells = [cell for row in picture.rows for cell in row]
    if [cell.symbol for cell in cells] != list(solution.symbols):
        return None
    return {
        "kind": task.kind,
        "columns": [len(row) for row in picture.rows],
        "box": picture.box,
        "given": [cell.given for cell in cells],
        "labels": [cell.label for cell in cells],
    }


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
            "confidences": list(solution.confidences),
            "thoughts": [list(step) for step in solution.thoughts],
        }
    return data
