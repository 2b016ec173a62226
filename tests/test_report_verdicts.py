"""Who does better and what is said of it: groups of methods, p values, headline, controls, depth."""

import pytest

from hybrid.eval.measures.intervals import mcnemar_exact
from hybrid.eval.report.entries import GROUPS, group_of, role_of
from hybrid.eval.report.sentences import findings, headline, on_depth, task_headline, what_controls_say, who_wins
from hybrid.eval.report.verdicts import against_all, judge


@pytest.fixture
def results(synthetic):
    return synthetic.results


def figures(seconds, gflops=1.0, tokens=0):
    return (tokens, 1.0, gflops, seconds, 0, 0)


HYBRID_AND_COT = {"hybrid": figures(0.2, 48.0), "few shot cot": figures(20.0, 310.0), "lora cot": figures(10.0)}


def said(tasks, make):
    return {finding.title: finding.points for finding in make(tasks, against_all(tasks))}


@pytest.mark.parametrize(
    ("group", "methods"),
    [
        ("hybrid", ["hybrid", "hybrid + LoRA", "hybrid, 8 trajectories"]),
        (
            "controls",
            ["no recursion", "deep, untied", "1 step", "pooled adapter", "embedding layer only", "random-weight LLM", "no LLM"],
        ),
        ("controls", ["shuffled workspaces", "latent states zeroed", "latent states noised", "hybrid_1_step", "majority answer"]),
        ("text", ["direct", "direct, 3 shots", "zero shot cot", "few_shot_cot", "self-consistency, 5 samples"]),
        ("tuned text", ["lora direct", "LoRA CoT", "pause tokens", "coconut"]),
        ("solver", ["solver", "exact solver", "backtracking"]),
    ],
)
def test_every_known_method_has_its_group(group, methods):
    assert {method: group_of(method) for method in methods} == dict.fromkeys(methods, group)


@pytest.mark.parametrize(
    ("figures", "group"),
    [
        ((5, 0, 1, 1, 0, 0), "text"),
        ((5, 0, 1, 1, 9, 9), "tuned text"),
        ((0, 2, 1, 1, 9, 9), "controls"),
        ((0, 0, 0, 1, 0, 0), "solver"),
    ],
)
def test_an_unknown_method_is_grouped_by_what_it_does(synthetic, figures, group):
    assert group_of("mystery", synthetic.record("mystery", 0.5, 10, figures=figures)) == group
    assert group_of("mystery") in GROUPS


def test_controls_ask_different_things():
    asked = {name: role_of(name) for name in ("no LLM", "shuffled workspaces", "1 step", "latent states noised", "hybrid")}
    assert list(asked.values()) == ["llm", "prompt", "recursion", "latent", ""]


def test_a_verdict_is_mcnemars_on_the_problems_of_both(results):
    task = results({"hybrid": [True] * 12 + [False] * 88, "cot": [False] * 10 + [True] * 5 + [False] * 5})
    (verdict,) = judge("t", task.entries[0], task.entries[1:])
    assert (verdict.n, verdict.only_first, verdict.only_second) == (20, 10, 3)
    assert verdict.p == mcnemar_exact(10, 3) and verdict.outcome == "open"
    assert (verdict.first_exact, verdict.second_exact) == (0.6, 0.25)


def test_seeds_are_a_sample_of_their_own(results):
    sure = results({"hybrid": ([True] * 90 + [False] * 10,) * 3, "cot": [False] * 100})
    (verdict,) = judge("t", sure.entries[0], sure.entries[1:])
    assert (verdict.only_first, verdict.only_second, verdict.seeds) == (90, 0, 1) and verdict.outcome == "better"
    assert 0.8 < verdict.low < verdict.high <= 1
    unlike = results({"hybrid": ([True] * 100, [False] * 100), "cot": [False] * 100})
    (verdict,) = judge("t", unlike.entries[0], unlike.entries[1:])
    assert verdict.outcome == "open" and "seeds" in verdict.reason


def test_p_values_of_a_task_are_corrected_together(results):
    task = results({"hybrid": [True] * 12 + [False] * 88, "cot": [False] * 98 + [True] * 2, "direct": [False] * 100})
    ours, *others = task.entries
    together = {verdict.second: verdict.p for verdict in judge("t", ours, others)}
    assert together == {"cot": mcnemar_exact(12, 2), "direct": pytest.approx(2 * mcnemar_exact(12, 0))}


def test_without_common_problems_nothing_is_decided(results):
    task = results({"hybrid": [True], "cot": [False]})
    vars(task.entries[1].cells[0])["right"] = {}
    verdicts = against_all([task])
    assert verdicts[task.slug, "cot"].n == 0 and verdicts[task.slug, "cot"].outcome == "open"
    assert any("have no answers to the same problems" in sentence for sentence in findings(task, verdicts))


def test_the_headline_compares_with_the_best_chain_of_thought(results):
    task = results({"hybrid": 87, "few shot cot": 5, "lora cot": 8, "direct": 30}, figures=HYBRID_AND_COT)
    line = task_headline(task)
    assert line.startswith(
        "hybrid solves 87.0% of 100 sudoku (size 4, min_blanks 4) problems; lora cot, the best chain of thought, 8.0%,"
    )
    assert line.endswith(" and takes 50 times as long.") and headline([task], {}) == line


@pytest.mark.parametrize(
    ("seconds", "end"),
    [(0.2, "5.0%, in about the same time."), (0.05, "5.0%, and is 4 times as fast."), (0.0, "thought, 5.0%.")],
)
def test_the_headline_says_who_is_faster(results, seconds, end):
    task = results({"hybrid": 87, "cot": 5}, figures={"hybrid": figures(0.2), "cot": figures(seconds)})
    assert task_headline(task).endswith(end)


def test_the_headline_says_where_fewer_problems_were_tried_and_takes_means_over_seeds(results):
    task = results({"hybrid": (80, 90), "cot": [True] + [False] * 19})
    assert "hybrid solves 85.0% of 100" in task_headline(task) and "5.0% of 20" in task_headline(task)


def test_the_headline_stands_without_hybrid_without_rivals_and_without_records(results):
    assert task_headline(results({"cot": 5, "solver": 100})).startswith(
        "solver solves 100.0% of 100 sudoku (size 4, min_blanks 4) problems, the most"
    )
    assert task_headline(results({"hybrid": 5})).endswith(" problems, in 0.1 seconds each.")
    assert headline([], {}) == "Nothing was measured yet." == task_headline(results({}))


def test_coconut_is_not_a_chain_of_thought_and_a_control_is_not_hybrid(results):
    assert task_headline(results({"hybrid_1_step": 99, "coconut": 90, "hybrid": 87})).startswith("hybrid solves 87.0%")
    assert "coconut" not in task_headline(results({"hybrid": 87, "coconut": 90}))


def test_the_headline_of_several_tasks_counts_wins_losses_and_open_questions(results):
    tasks = [results({"hybrid": a, "cot": b}, task=name) for name, a, b in (("a", 90, 10), ("b", 10, 90), ("c", 50, 51))]
    line = headline(tasks, against_all(tasks))
    assert line == "hybrid beats the best chain of thought on 1 of 3 tasks, loses to it on 1 and on 1 the question stays open."
    alone = [results({"hybrid": 5}, task=name) for name in "ab"]
    assert headline(alone, against_all(alone)).startswith("2 tasks were measured; none of them")


def test_whoever_has_more_is_named_with_its_p(results):
    task = results({"hybrid": 87, "solver": 100}, figures={"solver": figures(0.002)})
    assert "More exact answers than hybrid: solver with 100.0% in 0.002 seconds (p < 0.001)." in findings(
        task, against_all([task])
    )
    ahead = results({"hybrid": 87, "cot": 5})
    assert not any("More exact" in sentence for sentence in findings(ahead, against_all([ahead])))
    assert findings(results({"cot": 5}), {}) == []


def test_differences_that_may_be_chance_are_called_open(results):
    close, clear = results({"hybrid": 87, "cot": 86}), results({"hybrid": 87, "cot": 5})
    assert any("stays open" in sentence for sentence in findings(close, against_all([close])))
    assert not any("stays open" in sentence for sentence in findings(clear, against_all([clear])))


def test_on_how_many_problems_each_does_better_is_said_also_of_several_seeds(results):
    task = results({"hybrid": ([True] * 90 + [False] * 10, [True] * 80 + [False] * 20), "cot": [False] * 95 + [True] * 5})
    (sentence, *_) = findings(task, against_all([task]))
    assert sentence.startswith("Of the 100 problems that both answered, hybrid does better on 90 and cot on 5, ")


def test_each_side_is_told_where_it_wins(results):
    tasks = [
        results({"hybrid": 90, "cot": 10, "solver": 100}, task="grid"),
        results({"hybrid": 10, "cot": 90}, task="story"),
        results({"hybrid": 50, "cot": 51}, task="list"),
    ]
    told = {title: points[0].sentence for title, points in said(tasks, who_wins).items()}
    assert told["Where hybrid wins over chain of thought"].startswith(
        "grid: hybrid 90.0%, cot 10.0% of the 100 problems both answered (p < 0.001)"
    )
    assert told["Where chain of thought wins"].startswith("story: ") and told["Where it stays open"].startswith("list: ")
    assert told["Where a solver wins"].startswith("grid: hybrid 90.0%, solver 100.0%")


def test_text_without_a_chain_of_thought_is_told_apart(results):
    tasks = [
        results({"hybrid": 50, "cot": 10, "lora direct": 90, "solver": 50}, task="list"),
        results({"hybrid": 50, "pause": 51}, task="maze"),
    ]
    told = {title: points[0].sentence for title, points in said(tasks, who_wins).items()}
    assert told["Where text without a chain of thought wins"].startswith("list: hybrid 50.0%, lora direct 90.0%")
    assert told["Where it stays open"].startswith("maze: hybrid 50.0%, pause 51.0%")
    assert told["Where a solver wins"].startswith("Nowhere with certainty")


def test_winning_nowhere_is_said(results):
    told = said([results({"hybrid": 50, "cot": 51, "solver": 50})], who_wins)
    assert told["Where hybrid wins over chain of thought"][0].sentence == "Nowhere with certainty."
    assert told["Where a solver wins"][0].sentence.startswith("Nowhere with certainty: no solver")


def test_controls_say_on_which_tasks_the_language_model_earns_its_place(results):
    tasks = [
        results({"hybrid": 90, "no LLM": 20, "embedding layer only": 30}, task="story"),
        results({"hybrid": 90, "no LLM": 89, "embedding layer only": 30}, task="grid"),
        results({"hybrid": 50, "no LLM": 89}, task="list"),
        results({"hybrid": 50}, task="maze"),
    ]
    yes, unsure, no, untested = said(tasks, what_controls_say)["Does the language model help?"]
    assert yes.sentence.startswith("It does on story: ")
    assert yes.details == ["hybrid 90.0%, no LLM 20.0% (p < 0.001), embedding layer only 30.0% (p < 0.001)"]
    assert unsure.sentence.startswith("It is not shown to on grid: ") and no.sentence.startswith("It does not on list: ")
    assert untested.sentence == "Not tested on maze."


def test_seeds_that_differ_leave_open_whether_steps_help(results):
    task = results({"hybrid": (50, 50, 50), "cot": 5})
    for cell, curve in zip(task.entries[0].cells, ([0.1, 0.9], [0.4, 0.6], [0.8, 0.9]), strict=True):
        vars(cell.record)["accuracy_by_step"] = curve
    (line,) = on_depth(task)
    assert line == "hybrid: more steps make no clear difference. 43.3% after 1 step, 80.0% after 2."
    for cell in task.entries[0].cells:
        vars(cell.record)["accuracy_by_step"] = [0.0, 0.02]  # Equal gains, of two problems.
    assert "no clear difference" in next(iter(on_depth(task)))


def test_each_kind_of_control_answers_its_own_question(results):
    methods = {"hybrid": 90, "shuffled workspaces": 0, "latent states zeroed": 2, "no recursion": 90, "pooled adapter": 1}
    told = said([results(methods)], what_controls_say)
    assert list(told) == [
        "Do the answers come from the workspace?",
        "Are the latent states used?",
        "Does recursion help?",
        "Must the adapter keep tokens apart?",
    ]
    assert told["Does recursion help?"][0].sentence.startswith("It is not shown to on")


@pytest.mark.parametrize(
    ("curve", "sentence"),
    [
        ([0.1, 0.9], "more steps help. 10.0% after 1 step, 90.0% after 2."),
        ([0.9, 0.92, 0.1], "steps beyond 2 do harm. 90.0% after 1 step, 92.0% at best after 2, 10.0% after 3."),
        (
            [0.3, 0.9, 0.1],
            "more steps help up to 2, further ones do harm. 30.0% after 1 step, 90.0% at best after 2, 10.0% after 3.",
        ),
        ([0.9, 0.1], "steps beyond 1 do harm. 90.0% after 1 step, 10.0% after 2."),
        ([0.5, 0.52], "more steps make no clear difference"),
    ],
)
def test_it_is_said_whether_more_steps_help(results, curve, sentence):
    task = results({"hybrid": 50, "cot": 5})
    vars(task.entries[0].cells[0].record)["accuracy_by_step"] = curve
    (line,) = on_depth(task)
    assert line.startswith(f"hybrid: {sentence}")
