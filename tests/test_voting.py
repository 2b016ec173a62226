"""Voting: ballots counted by hand, and a head asked in disguises."""

import pytest

import hybrid
from hybrid.adapters import Structured
from hybrid.backbone import BackboneConfig
from hybrid.errors import InputError
from hybrid.eval.scoring.voting import disguised, ranked, vote
from hybrid.eval.tasks.arc import Arc
from hybrid.eval.tasks.arc.grid import COLOURS, off_canvas, on_canvas
from hybrid.inference.solution import Solution
from hybrid.problem import Problem
from hybrid.symmetry import Change


@pytest.mark.parametrize(
    ("ballots", "wanted"),
    [
        ([("a", 0.9)], [("a", 1, 0.9)]),
        ([("a", 0.1), ("b", 0.9), ("a", 0.3)], [("a", 2, 0.2), ("b", 1, 0.9)]),
        ([("a", 0.1), ("b", 0.9), ("c", 0.5)], [("b", 1, 0.9), ("c", 1, 0.5), ("a", 1, 0.1)]),
        ([("a", 0.2), ("b", 0.5), ("b", 0.3), ("a", 0.4)], [("b", 2, 0.4), ("a", 2, 0.3)]),
        ([("a", 0.5), ("b", 0.5)], [("a", 1, 0.5), ("b", 1, 0.5)]),
        ([], []),
    ],
)
def test_most_votes_win_then_the_mean_confidence_then_the_first(ballots, wanted):
    found = ranked([((symbol,), sure) for symbol, sure in ballots])
    assert [(choice.symbols[0], choice.votes, round(choice.confidence, 6)) for choice in found] == wanted


def test_answers_that_are_none_have_no_vote_and_like_ones_share_theirs():
    here, there, torn = tuple("12......."), tuple("...12...."), tuple("1...2....")
    found = ranked([(torn, 0.9), (torn, 0.9), (here, 0.2), (there, 0.4), (tuple("5........"), 0.6)], lambda s: off_canvas(s, 3))
    assert [(choice.symbols, choice.votes) for choice in found] == [(here, 2), (tuple("5........"), 1)]


@pytest.fixture
def task(arc, tmp_path):
    return Arc(Arc.Config(file=str(arc.write_kaggle(tmp_path, arc.recolouring(12))), size=3, shown=2))


class Oracle:
    """Answers every prompt right, in whatever disguise, but for those that it is told to miss."""

    def __init__(self, task, miss=lambda number: False):
        self.task, self.config, self.miss, self.asked = task, task, miss, []

    def solve(self, problems, **options):
        found = []
        for number, problem in enumerate(problems):
            own, context = self.task.layout.spans(problem.prompt)
            text = "".join(problem.prompt[start:end] for start, end in (*own, *context))
            new = max(set(text[32:48]) - {".", "0"}, default="0")
            answer = "".join(c if c in ".0" else new for c in text[:16])
            self.asked.append(text)
            symbols = tuple(on_canvas(("5",), 4) if self.miss(number) else answer)
            found.append(Solution("", symbols, 1, True, 0.5, (symbols,), (0.0,), 1))
        return found


def test_each_ballot_is_of_another_disguise_taken_off_again(task):
    problems = [problem for _, problem in task.tests()]
    oracle = Oracle(task)
    found = vote(oracle, problems, task.symmetry, 6)
    assert all(own[0].votes == 6 and task.right(own[0].symbols, p) for own, p in zip(found, problems, strict=True))
    assert all(len(own) == 1 for own in found) and len(oracle.asked) == 72
    assert all(len(set(oracle.asked[start : start + 6])) > 3 for start in range(0, 72, 6))


def test_the_majority_is_right_where_the_problem_as_it_is_was_not(task):
    problems = [task.tests()[0][1]]
    found = vote(Oracle(task, miss=lambda number: number < 2), problems, task.symmetry, 7)
    assert task.right(found[0][0].symbols, problems[0]) and found[0][0].votes == 5
    alone = vote(Oracle(task, miss=lambda number: number < 2), problems, task.symmetry, 1)
    assert len(alone[0]) == 1 and not task.right(alone[0][0].symbols, problems[0])


def test_a_head_votes_alike_for_one_seed(task):
    config = hybrid.HybridConfig(
        task.layout,
        task.symbols,
        BackboneConfig("none"),
        Structured.Config((".", *COLOURS)),
        hybrid.ReasonerConfig(width=16, num_supervision_steps=1),
    )
    model, problems = hybrid.attach(None, config), [problem for _, problem in task.tests()[:3]]
    found = [vote(model, problems, task.symmetry, 3, seed=seed) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2] and all(sum(choice.votes for choice in own) == 3 for own in found[0])


def test_places_of_several_characters_cannot_be_disguised():
    problem = Problem("10 2", ("1",))
    with pytest.raises(InputError, match="one character at each place"):
        disguised(problem, [(0, 2), (3, 4)], Change((1, 0), {}))
    assert disguised(problem, [(0, 1), (3, 4)], Change((1, 0), {"2": "7"})).prompt == "70 1"
