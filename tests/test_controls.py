"""Controls: each differs from the hybrid in the one thing that it is named for."""

from dataclasses import fields, replace

import pytest

from hybrid.eval.baselines import Trained
from hybrid.eval.bench.controls import DISTURBED, TRAINED, controls
from hybrid.recursion.cores import TRM
from hybrid.recursion.reasoner import ReasonerConfig

HYBRID = Trained.Config(reasoner=ReasonerConfig(num_supervision_steps=4, num_cycles=2, core=TRM.Config(num_latent_steps=1)))
FOUND = controls(HYBRID, 9)


def differing(name):
    return {f.name for f in fields(HYBRID) if getattr(FOUND[name], f.name) != getattr(HYBRID, f.name)} - {"name"}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("no recursion", {"reasoner"}),
        ("deep, untied", {"reasoner"}),
        ("1 step", {"reasoner"}),
        ("pooled adapter", {"encoder"}),
        ("no path labels", {"train"}),
        ("no patterns", {"encoder", "reasoner"}),
        ("embedding layer only", {"layers"}),
        ("random-weight LLM", {"weights"}),
        ("no LLM", {"weights", "layers"}),
        ("shuffled workspaces", {"disturbance"}),
        ("latent states zeroed", {"disturbance"}),
        ("latent states noised", {"disturbance"}),
    ],
)
def test_a_control_differs_in_what_its_name_says(name, parts):
    assert FOUND[name].name == name and differing(name) == parts


def test_every_control_is_listed_once():
    assert list(FOUND) == [*TRAINED, *DISTURBED]


def test_the_untied_stack_has_a_network_for_every_call_of_all_steps():
    assert FOUND["deep, untied"].reasoner.core.num_networks == 4 * 2 * 2
    assert FOUND["pooled adapter"].encoder.max_answers == 9


def test_what_is_applied_once_draws_no_number_of_cycles():
    spread = replace(HYBRID, train=replace(HYBRID.train, cycle_spread=1))
    assert {name: each.train.cycle_spread for name, each in controls(spread, 9).items() if each.reasoner.num_cycles == 1} == {
        "no recursion": 0,
        "deep, untied": 0,
    }
