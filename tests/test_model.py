"""The hybrid model: attach, solve, and what belongs to it."""

from dataclasses import replace

import pytest
import torch

import hybrid
from hybrid.adapters import Concat, CrossAttention, Pooled, Tokens
from hybrid.errors import BackboneError, ConfigError, InputError
from hybrid.layout import END, LayoutConfig
from hybrid.problem import Problem
from hybrid.recursion.block import Network
from hybrid.recursion.halting import Converged, Fixed, Learned

PROMPTS = ["Sort: 3 1 2", "Sort: 9 8 7 6 5", "Sort: 4 4"]


def test_a_solution_has_one_symbol_a_position_and_a_trail_of_its_steps(model):
    for solution, length in zip(model.solve(PROMPTS, halting=Fixed.Config()), (3, 5, 2), strict=True):
        assert len(solution.symbols) == length and solution.text == " ".join(solution.symbols)
        assert solution.steps == 3 == len(solution.trajectory) == len(solution.motion) and not solution.halted
        assert solution.trajectory[-1] == solution.symbols and set(solution.symbols) <= set("0123456789")
        assert 0 <= solution.confidence <= 1 and all(moved > 0 for moved in solution.motion)


@pytest.mark.parametrize("encoder", [None, Concat.Config(), CrossAttention.Config(), Pooled.Config()])
def test_answers_do_not_depend_on_the_batch(new_model, encoder):
    model = new_model(**({"encoder": encoder} if encoder else {}))
    alone = [model.solve([prompt])[0] for prompt in PROMPTS]
    for batch_size in (1, 2, 3):
        for mine, theirs in zip(model.solve(PROMPTS, batch_size=batch_size), alone, strict=True):
            assert mine.trajectory == theirs.trajectory and mine.confidence == pytest.approx(theirs.confidence, abs=1e-5)


def test_halting_of_one_call_replaces_the_trained_one(model):
    assert model.solve(PROMPTS[:1], halting=Converged.Config(tolerance=1e9))[0].steps == 1
    with torch.no_grad():
        model.head.reasoner.halt.bias.fill_(50.0)
    solution = model.solve(PROMPTS[:1])[0]
    assert solution.steps == 1 and solution.halted and solution.confidence > 0.99
    assert model.solve(PROMPTS[:1], halting=Fixed.Config(), num_steps=5)[0].steps == 5


def test_a_tokens_head_writes_with_the_backbones_own_rows(new_model):
    solution = new_model(decoder=Tokens.Config()).solve(PROMPTS[:1])[0]
    assert set(solution.symbols) <= set("0123456789")


def test_the_language_model_moves_with_the_head_also_by_torchs_short_words(model, monkeypatch):
    moved = []
    monkeypatch.setattr(type(model.backbone), "to", lambda self, device: moved.append(device))
    assert model.cpu() is model and moved == [torch.device("cpu")]
    monkeypatch.setattr(type(model), "to", lambda self, device: moved.append(device))
    model.cuda(1)
    assert moved[-1] == 1


def test_the_parameters_are_the_heads_alone(model):
    names = [name for name, _ in model.named_parameters()]
    assert all(name.startswith("head.") for name in names) and all(key.startswith("head.") for key in model.state_dict())
    assert model.num_trainable_parameters() == sum(p.numel() for p in model.parameters()) > 0


def test_logits_are_those_of_all_steps_without_halting(model):
    with torch.no_grad():
        model.head.reasoner.halt.bias.fill_(50.0)
    features = model.read(PROMPTS)
    expected = model.head.decoder(model.think(features, halting=Fixed.Config(), num_steps=2).answers)
    assert torch.equal(model.logits(PROMPTS, num_steps=2), expected) and expected.shape == (3, 5, 10)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda m: m.solve("Sort: 1 2"), InputError, "takes a list"),
        (lambda m: m.solve([""]), InputError, "the prompt is empty"),
        (lambda m: m.solve(["Sort these"]), InputError, "holds 0 answer positions"),
        (lambda m: m.solve(["Sort: " + "1 " * 300]), InputError, "the context of"),
        (lambda m: m.solve(PROMPTS, batch_size=0), ConfigError, "batch_size is 0"),
        (lambda m: m.solve(PROMPTS, num_steps=0), ConfigError, "num_steps is 0"),
        (lambda m: m.solve(["Sort: " + "1" * 140]), InputError, "encoder.max_positions is 128"),
    ],
)
def test_what_cannot_be_answered_is_refused(model, call, kind, message):
    with pytest.raises(kind, match=message):
        call(model)


def test_no_prompts_are_no_solutions(model):
    assert model.solve([]) == []


def test_attaching_takes_a_name_a_loaded_model_or_a_backbone(backbone, config, tiny_folder):
    by_name = hybrid.attach(None, config)
    loaded = hybrid.attach(backbone.model, config, tokenizer=backbone.tokenizer)
    wrapped, path = hybrid.attach(backbone, config), hybrid.attach(tiny_folder, config)
    for model in (by_name, loaded, wrapped, path):
        assert model.backbone.layers == (0, 2) == model.config.backbone.layers
        assert model.backbone.fingerprint == backbone.fingerprint


def test_a_loaded_model_without_a_name_wants_its_tokenizer(config, new_llama, new_tokenizer):
    named = replace(config, backbone=hybrid.BackboneConfig(layers=(0, 2)))
    model = new_llama(len(new_tokenizer()))
    with pytest.raises(BackboneError, match="has no name to find its tokenizer by; give tokenizer"):
        hybrid.attach(model, named)
    assert hybrid.attach(model, named, tokenizer=new_tokenizer()).solve(["Sort: 3 1 2"])


def test_the_config_names_the_layers_that_were_resolved(backbone, config):
    bare = replace(config, backbone=hybrid.BackboneConfig(layers=(-1,)))
    assert hybrid.attach(backbone, bare).config.backbone.layers == (3,)


def test_attaching_to_nothing_is_refused(config):
    with pytest.raises(BackboneError, match="nowhere"):
        hybrid.attach("nowhere", config)


def test_using_a_model_leaves_the_backbone_bit_for_bit(model):
    before = {name: tensor.clone() for name, tensor in model.backbone.model.state_dict().items()}
    model.solve(PROMPTS)
    model.to(torch.float64)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.backbone.model.state_dict().items())
    assert model.backbone.dtype == torch.float32


def test_a_head_in_another_precision_answers_too(model):
    expected = model.solve(PROMPTS, halting=Fixed.Config())
    model.to(torch.float64)
    for mine, theirs in zip(model.solve(PROMPTS, halting=Fixed.Config()), expected, strict=True):
        assert mine.confidence == pytest.approx(theirs.confidence, abs=1e-2) and len(mine.symbols) == len(theirs.symbols)


def test_a_learned_rule_with_a_high_bar_does_not_halt(model):
    assert model.solve(PROMPTS[:1], halting=Learned.Config(probability=0.999999))[0].steps == 3


def test_a_problem_is_solved_by_its_own_spans(new_model):
    model = new_model(layout=LayoutConfig(given=True))
    asked = [Problem("Sort: 3 1 2", (), spans=((6, 7), (8, 9), (10, 11))), Problem("Sort: 4 4", (), spans=((6, 7),))]
    assert [len(solution.symbols) for solution in model.solve(asked)] == [3, 1]
    with pytest.raises(InputError, match="this head needs the answer's spans"):
        model.solve(PROMPTS)


def test_an_answer_may_end_before_its_slots_do(new_model):
    model = new_model(layout=LayoutConfig(num_answers=4), encoder=Concat.Config(), symbols=("a", "b", END))
    features = model.read(["one prompt"])
    thoughts = model.think(features, halting=Fixed.Config(), num_steps=2)
    written = torch.tensor([[[0, 1, 1, 0], [1, 0, 2, 1]]])
    (solution,) = model.write(replace(thoughts, symbols=written), features)
    assert solution.trajectory == (("a", "b", "b", "a"), ("b", "a")) and solution.text == "b a"


def test_an_open_vocabulary_answers_with_one_text(new_model):
    model = new_model(layout=LayoutConfig(num_answers=3), encoder=Concat.Config(), symbols=(), decoder=Tokens.Config(whole=True))
    (solution,) = model.solve(["Sort: 3 1"])
    assert solution.symbols == (solution.text,)


def test_a_model_is_called_as_a_pipeline_is(model):
    expected = [{"answer": s.text, "score": s.confidence, "steps": s.steps} for s in model.solve(PROMPTS)]
    assert model(PROMPTS) == expected and model([]) == []
    alone = model(PROMPTS[0])
    assert alone == model(Problem(PROMPTS[0], ())) == model(PROMPTS[:1]) and len(alone) == 1
    assert alone[0] == expected[0] | {"score": pytest.approx(expected[0]["score"], abs=1e-5)}
    with pytest.raises(ConfigError, match="batch_size is 0"):
        model(PROMPTS, batch_size=0)
    assert [s["steps"] for s in model(PROMPTS, batch_size=2, halting=Fixed.Config(), num_steps=2)] == [2, 2, 2]


@pytest.mark.parametrize("name", ["half", "bfloat16", "float", "double"])
def test_the_head_changes_its_precision_as_a_module_of_torch_does(model, name):
    expected = model.logits(PROMPTS)
    assert getattr(model, name)() is model
    found, kinds = model.logits(PROMPTS), {p.dtype for p in model.parameters()}
    assert kinds == {getattr(torch, {"half": "float16", "double": "float64"}.get(name, name).replace("float32", "float"))}
    assert found.float().sub(expected).norm() < 0.1 * expected.norm()
    assert model.backbone.dtype == torch.float32 and len(model.solve(PROMPTS)) == 3


def test_the_head_is_where_the_states_come_out(new_model, backbone, monkeypatch):
    monkeypatch.setattr(hybrid.Backbone, "device", torch.device("meta"))
    assert new_model().device == torch.device("meta")


@pytest.mark.slow
def test_compiling_leaves_the_answers(model, monkeypatch):
    expected = model(PROMPTS)
    compiled = torch.compile(model)
    assert compiled(PROMPTS) == expected and compiled.solve(PROMPTS) == model.solve(PROMPTS)
    asked = []
    monkeypatch.setattr(Network, "compile", lambda self, *args, **options: asked.append(options))
    model.compile(dynamic=True)
    assert asked == [{"dynamic": True}]


@pytest.mark.slow
def test_a_compiled_network_gives_the_same_answers(model):
    expected = model.solve(PROMPTS)
    model.compile(backend="eager")  # Traced anew, without a compiler of C++.
    assert [s.trajectory for s in model.solve(PROMPTS)] == [s.trajectory for s in expected]
