"""Methods: the family, and what an attempt holds when nothing more is said."""

import dataclasses

import pytest

from hybrid.errors import ConfigError
from hybrid.eval.baselines import METHODS, Attempt, HeadMethod, Method, Prompting, Trained
from hybrid.eval.baselines.tuned import Tuned


def test_the_methods_are_the_hybrid_and_ways_to_prompt_and_to_tune():
    prompted, tuned = {"direct", "zero_shot_cot", "few_shot_cot"}, {"lora_direct", "lora_cot", "pause", "coconut"}
    assert {"hybrid"} | prompted | tuned <= set(METHODS)
    assert METHODS["hybrid"] is HeadMethod and METHODS["trained"] is Trained
    assert all(issubclass(METHODS[name], Prompting) for name in prompted)
    assert all(issubclass(METHODS[name], Tuned) for name in tuned)
    assert all(issubclass(METHODS[name], Method) and METHODS[name].kind == name for name in METHODS)


def test_an_unknown_method_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=f'method "cot" is unknown; choose one of: {", ".join(METHODS)}'):
        METHODS["cot"]


@pytest.mark.parametrize("kind", METHODS)
def test_a_config_finds_its_kind_again(kind):
    config = METHODS[kind].Config()
    assert METHODS.name_of(config) == kind
    data = METHODS.to_dict(config)
    assert data["kind"] == kind and METHODS.from_dict(data) == config == METHODS.from_dict(kind)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.shots = 1


def test_an_attempt_costs_nothing_until_told():
    attempt = Attempt("1 2", right=True)
    assert (attempt.tokens, attempt.steps, attempt.flops, attempt.right_by_step) == (0, 0, 0.0, None)


def test_a_method_that_is_not_trained_has_no_weights_and_no_training_seconds():
    class Echo(Method):
        name = "echo"

        def attempt(self, problems):
            return [Attempt(problem.prompt, right=False) for problem in problems]

    assert (Echo().trainable_parameters, Echo().train_seconds) == (0, 0.0) and len(Echo().batch_sizes) > 0
    with pytest.raises(TypeError, match="abstract"):
        Method()
