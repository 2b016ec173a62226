"""What a report is made of: each method on each task, its seeds together, methods in groups.

Holds one list of rules on the names of methods, the grouping of a suite's cells and means over seeds; no comparison
(verdicts.py), no words and no drawing. A method that no rule knows is grouped by what it does: writes text, trains weights,
takes steps.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Literal

from hybrid.eval.measures.intervals import mean_interval, seeds_interval
from hybrid.eval.report.names import short_names
from hybrid.eval.report.suite_folder import CellResult, Drawn, SuiteFolder
from hybrid.eval.results import Record
from hybrid.problem import Problem

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


@dataclass(frozen=True)
class Entry:
    """One method on one task.

    Args:
        method: its name.
        group: of the method.
        cells: one a seed, with records; of the largest training set only.
        missing: cells of the largest training set that have no record.
        smaller: cells with records of smaller training sets.
    """

    method: str
    group: Group
    cells: tuple[CellResult, ...]
    missing: tuple[CellResult, ...] = ()
    smaller: tuple[CellResult, ...] = ()

    @property
    def records(self) -> list[Record]:
        """The records, one a seed."""
        return [cell.record for cell in self.cells if cell.record]

    @property
    def first(self) -> CellResult:
        """The cell whose answers are shown: that of the first seed."""
        return min(self.cells, key=lambda cell: cell.seed)

    @property
    def n(self) -> int:
        """Problems answered, the fewest of any seed."""
        return min((record.n for record in self.records), default=0)

    @cached_property
    def exact(self) -> tuple[float, float, float]:
        """Mean exact share over seeds with its 95% interval: Wilson's for one seed, over seeds and problems for several."""
        common = sorted(self.shares())
        if len(self.records) > 1 and common:
            return seeds_interval(self.table(common))
        return mean_interval([record.exact for record in self.records], self.n)

    @property
    def by_step(self) -> list[tuple[float, ...]]:
        """The exact shares of all seeds after 1, 2, ... steps, as far as all go; empty without steps."""
        curves = [record.accuracy_by_step for record in self.records if record.accuracy_by_step]
        return list(zip(*curves, strict=False))

    def mean(self, name: str) -> float:
        """Return the mean of a figure over seeds."""
        return fmean(getattr(record, name) for record in self.records)

    def cost(self, name: str) -> float | None:
        """Return the mean of a cost over seeds; None for the FLOPs of a text whose writer does not tell them."""
        unknown = name == "flops_mean" and not self.mean(name) and self.mean("tokens_generated_mean") > 0
        return None if unknown else self.mean(name)

    def shares(self) -> dict[int, float]:
        """Return the share of seeds that solve a problem, by its index, for problems that every one of them answered."""
        rights = [cell.right for cell in self.cells if cell.right]
        common = set.intersection(*map(set, rights)) if rights else set()
        return {index: fmean(right[index] for right in rights) for index in sorted(common)}

    def table(self, indices: Sequence[int]) -> list[list[bool]]:
        """Return whether each seed solved each of these problems, a row a seed."""
        return [[cell.right[index] for index in indices] for cell in self.cells if cell.right]


@dataclass(frozen=True)
class TaskResults:
    """All methods on one task; those without any record are among them.

    Args:
        slug, name: of the task; the name is a short one where it can be.
        entries: in the order of the groups.
        problems: its test problems.
        settings: its name with all its settings; empty where that is the name.
    """

    slug: str
    name: str
    entries: tuple[Entry, ...]
    problems: Sequence[Problem] = ()
    settings: str = ""

    @property
    def measured(self) -> list[Entry]:
        """The entries with at least one record."""
        return [entry for entry in self.entries if entry.cells]

    @cached_property
    def ours(self) -> Entry | None:
        """The method named hybrid, else the first of the group of hybrids."""
        ours = [entry for entry in self.measured if entry.group == "hybrid"]
        return next((entry for entry in ours if words(entry.method) == "hybrid"), next(iter(ours), None))

    @cached_property
    def drawn(self) -> list[Drawn]:
        """The problems of `ours` that are drawn, by its first seed."""
        return self.ours.first.drawn if self.ours else []

    @cached_property
    def chain(self) -> Entry | None:
        """The chain of thought with the most exact answers, trained or not."""
        chains = [entry for entry in self.measured if is_chain_of_thought(entry.method)]
        return max(chains, key=lambda entry: entry.exact[0], default=None)

    def entry(self, method: str) -> Entry | None:
        """Return the entry of a method, None where the suite has none."""
        return next((entry for entry in self.entries if entry.method == method), None)


def tasks_of(suite: SuiteFolder) -> list[TaskResults]:
    """Return the tasks of a suite in their order, each with its methods in the order of groups."""
    whole = {cell.task_slug: cell.task for cell in reversed(suite.cells)}
    slugs = list(dict.fromkeys(cell.task_slug for cell in suite.cells))
    found = []
    for slug, name in zip(slugs, short_names([whole[slug] for slug in slugs]), strict=True):
        own = [cell for cell in suite.cells if cell.task_slug == slug]
        settings = "" if name == whole[slug] else whole[slug]
        found.append(TaskResults(slug, name, _entries(own), suite.problems.get(slug, ()), settings))
    return found


def _entries(cells: Sequence[CellResult]) -> tuple[Entry, ...]:
    entries = []
    for method in dict.fromkeys(cell.method for cell in cells):
        own = [cell for cell in cells if cell.method == method]
        measured = [cell for cell in own if cell.record]
        planned = max(cell.num_train for cell in own)
        most = max((cell.num_train for cell in measured), default=0)  # Of an unfinished suite, the largest that there is.
        full = tuple(cell for cell in measured if cell.num_train == most)
        group = group_of(method, measured[0].record if measured else None)
        missing = tuple(cell for cell in own if not cell.record and cell.num_train == planned)
        entries.append(Entry(method, group, full, missing, tuple(cell for cell in measured if cell not in full)))
    return tuple(sorted(entries, key=lambda entry: series_number(entry.group)))


def all_methods(tasks: Sequence[TaskResults]) -> list[tuple[Group, str]]:
    """Return every method of a suite with its group, in the order of the groups."""
    methods = {entry.method: entry.group for task in tasks for entry in task.entries}
    return sorted(((group, method) for method, group in methods.items()), key=lambda pair: series_number(pair[0]))


def series_number(group: Group) -> int:
    """Return the number of a group's colour, from 1."""
    return list(GROUPS).index(group) + 1
