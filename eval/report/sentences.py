"""What a report says in words: its headline, where each side wins, what the controls show, whether more steps help.

Every sentence follows from records and verdicts alone; whether a difference counts is verdicts.py's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from hybrid.eval.measures.intervals import clear_gain
from hybrid.eval.report.entries import Entry, Role, TaskResults, is_chain_of_thought, role_of
from hybrid.eval.report.verdicts import Verdict
from hybrid.eval.results import percent, significant, size

Verdicts = Mapping[tuple[str, str], Verdict]

SEEDS_NOTE = (
    "Where a method has one seed, p speaks of the heads that were trained, not of other trainings; of several seeds it speaks of "
    "both, and is as a rule larger."
)


def headline(tasks: Sequence[TaskResults], verdicts: Verdicts) -> str:
    """Return one sentence that says what the suite shows first."""
    measured = [task for task in tasks if task.measured]
    if not measured:
        return "Nothing was measured yet."
    if len(measured) == 1:
        return task_headline(measured[0])
    compared = [(task, verdicts[task.slug, task.chain.method]) for task in measured if task.chain and task.ours]
    if not compared:
        return f"{len(measured)} tasks were measured; none of them with both a hybrid and a chain of thought."
    counts = {outcome: sum(verdict.outcome == outcome for _, verdict in compared) for outcome in ("better", "worse", "open")}
    said = [f"beats the best chain of thought on {counts['better']} of {len(compared)} tasks"]
    said += [f"loses to it on {counts['worse']}"] if counts["worse"] else []
    said += [f"on {counts['open']} the question stays open"] if counts["open"] else []
    ours = measured[0].ours.method if measured[0].ours else "hybrid"
    return f"{ours} {_listed(said)}."


def task_headline(task: TaskResults) -> str:
    """Return one sentence on one task: hybrid against the best chain of thought, means over seeds."""
    ours, chain = task.ours, task.chain
    if not task.measured:
        return "Nothing was measured yet."
    if ours is None:
        best = max(task.measured, key=lambda entry: entry.exact[0])
        rank = ", the most of the methods measured" if len(task.measured) > 1 else ""
        return f"{best.method} solves {share(best)} of {best.n} {task.name} problems{rank}."
    start = f"{ours.method} solves {share(ours)} of {ours.n} {task.name} problems"
    if chain is None or chain is ours:
        return f"{start}, in {significant(ours.mean('latency_p50_seconds'))} seconds each."
    tried = "" if ours.n == chain.n else f" of {chain.n}"
    in_time = _in_time(ours.mean("latency_p50_seconds"), chain.mean("latency_p50_seconds"))
    return f"{start}; {chain.method}, the best chain of thought, {share(chain)}{tried}{in_time}."


def share(entry: Entry) -> str:
    """Return an entry's mean exact share with its sign."""
    return f"{percent(entry.exact[0])}%"


def _in_time(ours: float, theirs: float) -> str:
    if not ours or not theirs:
        return ""
    if 0.95 < theirs / ours < 1.05:
        return ", in about the same time"
    if theirs > ours:
        return f", and takes {times(theirs / ours)} times as long"
    return f", and is {times(ours / theirs)} times as fast"


def times(ratio: float) -> str:
    """Return a ratio in two digits."""
    return significant(float(f"{ratio:.2g}"))


def p_value(p: float) -> str:
    """Return a p value in words.

    Example:
        >>> [p_value(p) for p in (0.00004, 0.0312, 1.0)]
        ['p < 0.001', 'p = 0.031', 'p = 1.00']
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def findings(task: TaskResults, verdicts: Verdicts) -> list[str]:
    """Return further sentences on one task: the difference from chain of thought, FLOPs, and whoever does better."""
    ours, chain = task.ours, task.chain
    if ours is None:
        return []
    sentences = []
    if chain is not None and chain is not ours:
        sentences.append(_difference(verdicts[task.slug, chain.method]))
        flops = [size(entry.mean("flops_mean"), "FLOPs") for entry in (ours, chain)]
        if ours.mean("flops_mean") and chain.mean("flops_mean"):
            sentences.append(f"A problem costs {ours.method} {flops[0]} and {chain.method} {flops[1]}.")
    above = sorted((e for e in task.measured if e.exact[0] > ours.exact[0]), key=lambda entry: -entry.exact[0])
    if above:
        named = "; ".join(
            f"{entry.method} with {share(entry)} in {significant(entry.mean('latency_p50_seconds'))} seconds"
            f" ({p_value(verdicts[task.slug, entry.method].p)})"
            for entry in above
        )
        sentences.append(f"More exact answers than {ours.method}: {named}.")
    return sentences


def _difference(verdict: Verdict) -> str:
    if not verdict.n:
        return f"{verdict.first} and {verdict.second} have no answers to the same problems; which is better stays open."
    first, second = f"{verdict.first} does better on {verdict.only_first}", f"{verdict.second} on {verdict.only_second}"
    end = f": which is better stays open{_needed(verdict)}" if verdict.outcome == "open" else ""
    span = f"{100 * verdict.low:+.1f} to {100 * verdict.high:+.1f} points"
    return (
        f"Of the {verdict.n} problems that both answered, {first} and {second}, {p_value(verdict.p)}{end}. The 95% interval of "
        f"the difference: {span}."
    )


def _needed(verdict: Verdict) -> str:
    return f" ({verdict.reason})" if verdict.reason else ""


@dataclass(frozen=True)
class Point:
    """A sentence, and what it rests on, task by task."""

    sentence: str
    details: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Finding:
    """A title, and what is found."""

    title: str
    points: list[Point]


def who_wins(tasks: Sequence[TaskResults], verdicts: Verdicts) -> list[Finding]:
    """Return where hybrid wins, where a chain of thought, another text or a solver does, and what stays open."""
    chains = [(task, verdicts[task.slug, task.chain.method]) for task in tasks if task.ours and task.chain]
    rest = [
        (task, entry.group, verdicts[task.slug, entry.method])
        for task in tasks
        for entry in task.measured
        if task.ours and entry.group not in ("hybrid", "controls") and not is_chain_of_thought(entry.method)
    ]
    solvers = [(task, verdict) for task, group, verdict in rest if group == "solver"]
    texts = [(task, verdict) for task, group, verdict in rest if group != "solver"]
    found = [
        Finding("Where hybrid wins over chain of thought", [_won(task, v) for task, v in chains if v.outcome == "better"]),
        Finding("Where chain of thought wins", [_won(task, v) for task, v in chains if v.outcome == "worse"]),
        Finding("Where text without a chain of thought wins", [_won(task, v) for task, v in texts if v.outcome == "worse"]),
        Finding("Where it stays open", [_won(task, v) for task, v in [*chains, *texts] if v.outcome == "open"]),
        Finding("Where a solver wins", [_won(task, v) for task, v in solvers if v.outcome == "worse"]),
    ]
    if solvers and not found[-1].points:
        found[-1].points.append(Point("Nowhere with certainty: no solver answers clearly more problems than hybrid does."))
    if chains and not found[0].points:
        found[0].points.append(Point("Nowhere with certainty."))
    return [finding for finding in found if finding.points]


def _won(task: TaskResults, verdict: Verdict) -> Point:
    entries = [entry for entry in (task.ours, task.entry(verdict.second)) if entry]
    if not verdict.n:
        return Point(f"{task.name}: {verdict.first} and {verdict.second} have no answers to the same problems.")
    figures = f"{verdict.first} {percent(verdict.first_exact)}%, {verdict.second} {percent(verdict.second_exact)}%"
    seconds = [significant(entry.mean("latency_p50_seconds")) for entry in entries]
    times = f"in {seconds[0]} and {seconds[1]} s"
    needed = _needed(verdict) if verdict.outcome == "open" else ""
    return Point(f"{task.name}: {figures} of the {verdict.n} problems both answered ({p_value(verdict.p)}), {times}{needed}.")


_QUESTIONS: dict[Role, tuple[str, str, str, str]] = {
    "llm": (
        "Does the language model help?",
        "It does on {tasks}: less is solved without what it knows",
        "It is not shown to on {tasks}: not every head without it is clearly worse",
        "It does not on {tasks}: a head without it is clearly better",
    ),
    "prompt": (
        "Do the answers come from the workspace?",
        "They do on {tasks}: with another problem's workspace they are lost",
        "They are not shown to on {tasks}: with another problem's workspace it is not clearly worse",
        "They do not on {tasks}: another problem's workspace is clearly better, which asks for an explanation",
    ),
    "latent": (
        "Are the latent states used?",
        "They are on {tasks}: without them less is solved",
        "They are not shown to be on {tasks}: not every way without them is clearly worse",
        "They do harm on {tasks}: a way without them is clearly better",
    ),
    "recursion": (
        "Does recursion help?",
        "It does on {tasks}: less is solved without it",
        "It is not shown to on {tasks}: not every network without it is clearly worse",
        "It does not on {tasks}: a network without it is clearly better",
    ),
    "adapter": (
        "Must the adapter keep tokens apart?",
        "It must on {tasks}: pooled, less is solved",
        "It is not shown to on {tasks}: pooled, it is not clearly worse",
        "It need not on {tasks}: pooled, more is solved",
    ),
    "patterns": (
        "Does it need the patterns that we wrote, and the labels that they place?",
        "It does on {tasks}: with tokens as they come, or with the answer's labels alone, less is solved",
        "It is not shown to on {tasks}: without, it is not clearly worse",
        "It does not on {tasks}: without, more is solved",
    ),
    "chance": (
        "Is it more than a guess?",
        "It is on {tasks}",
        "It is not shown to be on {tasks}",
        "It is less than a guess on {tasks}",
    ),
}
"""What a control asks, and what it means that the hybrid is better, that it stays open, and that the control is better."""

_BEST_FIRST = ("better", "open", "worse")


def what_controls_say(tasks: Sequence[TaskResults], verdicts: Verdicts) -> list[Finding]:
    """Return, for each question that a control asks, on which tasks it is answered how.

    A task counts as `better` only if hybrid beats every control of that question; else the best control decides.
    """
    findings = []
    for role, (title, *meanings) in _QUESTIONS.items():
        outcomes: dict[str, list[tuple[str, str]]] = {outcome: [] for outcome in _BEST_FIRST}
        untested = []
        for task in tasks:
            own = [verdicts[task.slug, entry.method] for entry in task.measured if task.ours and role_of(entry.method) == role]
            own = [verdict for verdict in own if verdict.n]
            if own:
                outcome = max((verdict.outcome for verdict in own), key=_BEST_FIRST.index)
                outcomes[outcome].append((task.name, _against(own)))
            elif task.ours:
                untested.append(task.name)
        said = [_answered(meaning, own) for meaning, own in zip(meanings, outcomes.values(), strict=True) if own]
        if said and untested:
            said.append(Point(f"Not tested on {_listed(untested)}."))
        if said:
            findings.append(Finding(title, said))
    return findings


def _against(verdicts: Sequence[Verdict]) -> str:
    controls = ", ".join(f"{v.second} {percent(v.second_exact)}% ({p_value(v.p)})" for v in verdicts)
    return f"{verdicts[0].first} {percent(verdicts[0].first_exact)}%, {controls}"


def _answered(meaning: str, tasks: Sequence[tuple[str, str]]) -> Point:
    sentence = f"{meaning.format(tasks=_listed([name for name, _ in tasks]))}."
    return Point(sentence, [f"{name}: {told}" if len(tasks) > 1 else told for name, told in tasks])


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def on_depth(task: TaskResults) -> Iterator[str]:
    """Yield, for each method with at least two steps, whether more steps help; means over seeds."""
    for entry in task.measured:
        steps = entry.by_step
        if len(steps) < 2:
            continue
        shares = [fmean(step) for step in steps]
        best = max(range(len(shares)), key=shares.__getitem__)
        helps, harms = (clear_gain(steps[best], steps[place], entry.n) for place in (0, -1))
        verdict = _DEPTH[helps, harms].format(best + 1)
        peak = f", {percent(shares[best])}% at best after {best + 1}" if 0 < best < len(shares) - 1 else ""
        ends = f"{percent(shares[0])}% after 1 step{peak}, {percent(shares[-1])}% after {len(shares)}"
        yield f"{entry.method}: {verdict}. {ends}."


_DEPTH = {
    (True, False): "more steps help",
    (True, True): "more steps help up to {}, further ones do harm",
    (False, True): "steps beyond {} do harm",
    (False, False): "more steps make no clear difference",
}
"""By whether the best depth is clearly above one step, and the last clearly below the best."""
