"""The groups of methods in tables and plots, and what each control asks: one list of rules on the names of methods.

Holds the rules and nothing of any result. A method that no rule knows is grouped by what it does: writes text, trains
weights, takes steps.
"""

from __future__ import annotations

import re
from typing import Literal

from hybrid.eval.results import Record

Group = Literal["hybrid", "controls", "text", "tuned text", "solver"]
Role = Literal["prompt", "llm", "recursion", "latent", "adapter", "patterns", "chance", ""]

GROUPS: dict[Group, str] = {
    "hybrid": "Hybrid",
    "controls": "Controls: the hybrid with one thing changed",
    "text": "Text, the language model as it is",
    "tuned text": "Text, the language model trained",
    "solver": "Solver, no language model",
}
"""Every group in the order of the tables, with its heading."""

_RULES: tuple[tuple[str, Group, Role], ...] = (
    (r"shuffled|other problem", "controls", "prompt"),
    (r"latent states? (zeroed|noised)|latent (zero|noise)", "controls", "latent"),
    (r"embedding|random weights?|no llm|without (a )?(llm|language model)|no language model", "controls", "llm"),
    (r"no recursion|feed forward|deep|untied|(1|one|single) step", "controls", "recursion"),
    (r"pooled", "controls", "adapter"),
    (r"no path labels|no patterns", "controls", "patterns"),
    (r"majority|chance|guess|most frequent", "controls", "chance"),
    (r"^hybrid", "hybrid", ""),
    (r"solver|backtracking|dynamic programming", "solver", ""),
    (r"lora|soft prompt|prefix|pause|coconut|latent thoughts|fine tuned|finetuned|sft|tuned", "tuned text", ""),
    (r"direct|cot|chain of thought|consistency|shots?|prompting", "text", ""),
)
"""(pattern of whole words, group, role); the first that is found in a name counts."""


def words(method: str) -> str:
    """Return a name as words in small letters with single blanks.

    Example:
        >>> words("few_shot CoT, 2 shots")
        'few shot cot 2 shots'
    """
    return " ".join(re.split(r"[\W_]+", method.lower())).strip()


def _rule(method: str) -> tuple[Group, Role] | None:
    name = words(method)
    return next(((group, role) for pattern, group, role in _RULES if re.search(rf"\b(?:{pattern})\b", name)), None)


def group_of(method: str, record: Record | None = None) -> Group:
    """Return the group of a method by its name, else by its record; `text` where neither tells.

    Example:
        >>> [group_of(name) for name in ("hybrid", "hybrid, 1 step", "lora cot", "zero shot cot", "exact solver")]
        ['hybrid', 'controls', 'tuned text', 'text', 'solver']
    """
    rule = _rule(method)
    if rule:
        return rule[0]
    if record is None or record.tokens_generated_mean:
        return "tuned text" if record and record.trainable_parameters else "text"
    return "controls" if record.reasoner_steps_mean or record.trainable_parameters else "solver"


def role_of(method: str) -> Role:
    """Return what a control asks, "" for all other methods."""
    rule = _rule(method)
    return rule[1] if rule else ""


def is_chain_of_thought(method: str) -> bool:
    """Say whether a method writes a chain of thought, trained to or not.

    Example:
        >>> [is_chain_of_thought(name) for name in ("few_shot_cot", "self-consistency", "coconut", "direct")]
        [True, True, False, False]
    """
    return bool(re.search(r"\b(?:cot|chain of thought|consistency)\b", words(method)))
