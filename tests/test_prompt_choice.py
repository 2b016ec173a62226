"""The choice of a prompt: bounded in seconds, resumed where it stopped, refused for something else."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from hybrid.errors import ConfigError, InputError
from hybrid.eval.baselines import Attempt, prompt_choice
from hybrid.eval.baselines.prompt_choice import FILE, Prompt, Search, choose_prompt

PROMPTS = [Prompt(2), Prompt(1), Prompt(4), Prompt(2, "Say {form}.")]


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only where a test says so."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(prompt_choice.time, "perf_counter", lambda: clock.now)
    return clock


@pytest.fixture
def search(problems):
    return Search(PROMPTS, problems(6), batch_size=4, seconds=100.0, made_for="this")


def answers(clock, right, seconds=1.0, asked=None):
    """Make an attempt that gets so many of each prompt right, in order of PROMPTS."""

    def attempt(prompt, batch):
        clock.now += seconds
        if asked is not None:
            asked.append((prompt, len(batch)))
        share = right[PROMPTS.index(prompt)]
        if share is None:
            raise InputError("too long; use fewer shots")
        return [Attempt("", i < share, tokens=prompt.shots) for i in range(len(batch))]

    return attempt


def choose(search, attempt, folder, recalled=lambda: 0.0):
    return choose_prompt(search, attempt, folder, recalled)


@pytest.mark.parametrize(
    ("right", "best"), [((0, 0, 1, 0), 2), ((1, 0, 0, 2), 3), ((1, 1, 1, 1), 1), ((0, 0, 0, 0), 1), ((None, None, 0, None), 2)]
)
def test_the_most_exact_is_taken_then_the_shortest(search, clock, tmp_path, right, best):
    assert choose(search, answers(clock, right), tmp_path).chosen == PROMPTS[best]


def test_every_candidate_answers_the_same_problems_in_batches(search, clock, tmp_path):
    asked = []
    choice = choose(search, answers(clock, (1, 1, 1, 1), asked=asked), tmp_path)
    assert asked == [(prompt, size) for prompt in PROMPTS for size in (4, 2)] and choice.seconds == 8.0
    assert all(trial.asked == 6 for trial in choice.trials)


def test_no_batch_is_begun_after_the_time_and_a_candidate_cut_short_is_out(search, clock, tmp_path):
    asked = []
    choice = choose(replace(search, seconds=4.5), answers(clock, (0, 0, 4, 4), asked=asked), tmp_path)
    assert len(asked) == 5 and len(choice.trials) == 2 and choice.chosen == PROMPTS[1]
    assert 4.5 <= choice.seconds == 5.0


def test_without_time_the_first_candidate_is_taken(search, clock, tmp_path):
    choice = choose(replace(search, seconds=0.0), answers(clock, (0, 4, 4, 4)), tmp_path)
    assert choice.chosen == PROMPTS[0] and choice.trials == ()


def test_seconds_of_answers_from_disk_count(search, clock, tmp_path):
    recalled = iter(range(0, 10_000, 5))
    choice = choose(replace(search, seconds=12.0), answers(clock, (0,) * 4, seconds=0.0), tmp_path, lambda: float(next(recalled)))
    assert choice.seconds >= 12.0 and len(choice.trials) < 4


def test_a_choice_that_was_killed_goes_on_with_the_next_candidate(search, clock, tmp_path):
    def killed(prompt, batch):
        if prompt == PROMPTS[2]:
            raise KeyboardInterrupt
        return answers(clock, (0, 3, 0, 0))(prompt, batch)

    with pytest.raises(KeyboardInterrupt):
        choose(search, killed, tmp_path)
    assert json.loads((tmp_path / FILE).read_text())["chosen"] is None
    asked = []
    choice = choose(search, answers(clock, (9, 9, 0, 0), asked=asked), tmp_path)
    assert {prompt for prompt, _ in asked} == set(PROMPTS[2:]) and choice.chosen == PROMPTS[1] and choice.seconds == 8.0


def test_a_choice_that_was_made_stays(search, clock, tmp_path):
    first, asked = choose(search, answers(clock, (0, 0, 0, 5)), tmp_path), []
    again = choose(replace(search, seconds=1e9), answers(clock, (5, 0, 0, 0), asked=asked), tmp_path)
    assert again == first and asked == []


@pytest.mark.parametrize("change", [{"made_for": "that"}, {"candidates": PROMPTS[:2]}, {"dev": []}])
def test_another_runs_choice_is_refused(search, clock, tmp_path, change):
    choose(search, answers(clock, (0,) * 4), tmp_path)
    with pytest.raises(ConfigError, match=r"prompt.json was chosen for another .*give another folder"):
        choose(replace(search, **change), answers(clock, (0,) * 4), tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"trials": 3}', '{"trials": [{"prompt": {"x": 1}}], "made_for": ""}'])
def test_a_damaged_file_is_told_with_what_to_do(search, clock, tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ConfigError, match="is damaged .* delete it"):
        choose(search, answers(clock, (0,) * 4), tmp_path)


def test_where_nothing_fits_the_context_the_reason_is_told(search, clock, tmp_path):
    with pytest.raises(InputError, match="no prompt can be asked: too long"):
        choose(search, answers(clock, (None,) * 4), tmp_path)
