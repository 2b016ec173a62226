"""Answering: supervision steps without gradient until each problem halts.

Rows that have halted leave the batch, so they cost nothing more, and keep the answer that they halted with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hybrid.adapters import Features
from hybrid.head import Head
from hybrid.inference.solution import Solution
from hybrid.kinds import require
from hybrid.recursion.cycle import State, relative_motion
from hybrid.recursion.halting import Halting


@dataclass(frozen=True)
class Thoughts:
    """The answers of a batch, step by step, on the CPU.

    Args:
        symbols: best symbol of every position after every step, (b, n, p) int64; a halted row repeats its last answer.
        steps: supervision steps that each row took, (b,) int64.
        halted: rows that stopped by themselves before the last step allowed, (b,) bool.
        halt: halt logits after every step (b, n, k) float32, repeated after halting.
        motion: relative latent motion of every step (b, n) float32, zero after halting.
        answers: answer state of each row's last step, (b, p, d).
        total_steps: supervision steps computed for each row, (b,): more than `steps` after a search.
        inner: what the thought slots say after every step, (b, n, t) int64; t is 0 where the encoder has none.
    """

    symbols: Tensor
    steps: Tensor
    halted: Tensor
    halt: Tensor
    motion: Tensor
    answers: Tensor
    total_steps: Tensor
    inner: Tensor


@torch.no_grad()
def think(
    head: Head,
    features: Features,
    halting: Halting,
    num_steps: int,
    *,
    disturb: Callable[[State, Tensor], State] | None = None,
    read: bool = True,
) -> Thoughts:
    """Run up to `num_steps` supervision steps on each row of `features`, reading the answer after each.

    Args:
        head: thinks.
        features: of the prompts.
        halting: when a row stops.
        num_steps: most supervision steps.
        disturb: changes the states before each cycle, given the rows that are still alive.
        read: whether the answers are read; without, all symbols are 0.
    """
    given, wanted = head.reasoner.halt.out_features, halting.num_logits
    require(
        given >= wanted, f"this halting rule reads {wanted} halt logits, the head has {given}; take the rule it was trained with"
    )
    workspace, places, later = head.encode(features), features.most, head.decoder.writes or not read
    state, rows, device = head.reasoner.start(workspace.x), len(workspace.x), workspace.x.device
    alive = torch.arange(rows, device=device)
    steps = torch.zeros(rows, dtype=torch.int64, device=device)
    halted = torch.zeros(rows, dtype=torch.bool, device=device)
    trail: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    answers = torch.empty(0)
    for step in range(1, num_steps + 1):
        own = None if disturb is None else _with_rows(disturb, alive)
        before, state = state, head.step(workspace, state, disturb=own)
        motion_b = relative_motion(before, state, workspace.mask)
        answers_bpd, halt_bk = workspace.answers(state[0], places), head.halt(workspace, state)
        inner_bt = head.thoughts(workspace, state)
        symbols_bp = steps.new_zeros(len(alive), places) if later else head.read(workspace, state, places)
        if step == 1:
            answers, symbols, halt, inner = answers_bpd.clone(), symbols_bp, halt_bk.clone(), inner_bt
        else:
            symbols, halt, _, inner = (part.clone() for part in trail[-1])
            answers[alive], symbols[alive], halt[alive], inner[alive] = answers_bpd, symbols_bp, halt_bk, inner_bt
        motion = torch.zeros(rows, device=device)
        motion[alive] = motion_b
        steps[alive] = step
        trail.append((symbols, halt, motion, inner))
        stop_b = halting.stop(halt_bk, motion_b)
        if step == num_steps or not bool(stop_b.any()):
            continue
        halted[alive[stop_b]] = True
        keep = (~stop_b).nonzero()[:, 0]
        if len(keep) == 0:
            break
        alive, workspace, state = alive[keep], workspace.select(keep), tuple(s[keep] for s in state)
    symbols, halt, motion, inner = (torch.stack(parts, dim=1).cpu() for parts in zip(*trail, strict=True))
    if later and read:  # Once, what each row's last state says.
        symbols = head.decoder.read(answers, features.prompt).cpu()[:, None].expand_as(symbols)
    return Thoughts(symbols, steps.cpu(), halted.cpu(), halt, motion, answers.cpu(), steps.cpu(), inner)


def solutions(
    thoughts: Thoughts, lengths: Sequence[int], answer: Callable[[list[int]], tuple[str, ...]], write: Callable[[Any], str]
) -> list[Solution]:
    """Return the thoughts of a batch as one Solution a row.

    Args:
        thoughts: of the batch.
        lengths: answer positions of each row.
        answer: turns the places of an answer into symbols (Decoder.answer).
        write: turns symbols into text (LayoutConfig.write).
    """
    sure, trails, found = thoughts.halt[:, :, 0].sigmoid().tolist(), thoughts.symbols.tolist(), []
    for row, (steps, length) in enumerate(zip(thoughts.steps.tolist(), lengths, strict=True)):
        trail = tuple(answer(step[:length]) for step in trails[row][:steps])
        motion, inner = tuple(thoughts.motion[row, :steps].tolist()), thoughts.inner[row, :steps]
        said = tuple(answer(step) for step in inner.tolist()) if inner.shape[1] else ()
        kept = (steps, bool(thoughts.halted[row]), sure[row][-1], trail, motion, int(thoughts.total_steps[row]), said)
        found.append(Solution(write(trail[-1]), trail[-1], *kept, confidences=tuple(sure[row][:steps])))
    return found


def _with_rows(disturb: Callable[[State, Tensor], State], rows: Tensor) -> Callable[[State], State]:
    return lambda state: disturb(state, rows)
