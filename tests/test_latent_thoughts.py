"""Latent thoughts as a method, and their controls: what is trained, and what is changed at the test."""

from dataclasses import fields, replace

import pytest
import torch

import hybrid
from hybrid.adapters import Classes, Learned, SoftPrompt, Words
from hybrid.errors import ConfigError
from hybrid.eval.baselines import METHODS, Budget, LatentThoughts, trained
from hybrid.eval.bench.controls import CHANGED, thoughts_controls
from hybrid.eval.bench.suites import suite
from hybrid.eval.tasks.sort import Sort
from hybrid.eval.text import draft
from hybrid.eval.text.draft import CUE, LEAST, Draft
from hybrid.layout import END
from hybrid.recursion.block import AttentionBlock
from hybrid.recursion.reasoner import ReasonerConfig
from hybrid.train import TrainConfig, train


class Joined(Sort):
    """Sorting, answered without blanks."""

    def sentence(self, problem):
        return "".join(problem.answer)


TASK = Sort(Sort.Config(length=3))
CONFIG = LatentThoughts.Config(
    reasoner=ReasonerConfig(
        width=16, num_cycles=2, num_supervision_steps=2, block=AttentionBlock.Config(num_heads=4, word_heads=1, sentence_heads=1)
    ),
    encoder=Words.Config(context="sentence"),
    train=TrainConfig(num_steps=6, eval_every_steps=3, batch_size=4, cycle_spread=1),
    layers=(0, 2),
)
CONTROLS = thoughts_controls(CONFIG)


def fitted(backbone, folder, config=CONFIG):
    method = METHODS.build(config, backbone, TASK)
    method.fit(TASK.problems("train", 12), TASK.problems("dev", 4), folder, Budget(60.0))
    return method


def test_the_answers_are_texts_of_the_task_with_a_vector_for_each_token(backbone, tmp_path):
    method, test = fitted(backbone, tmp_path), TASK.problems("test", 5)
    texts = [TASK.sentence(problem) for problem in TASK.problems("train", 12)]
    longest = max(len(backbone.tokenizer(text)["input_ids"]) for text in texts)
    model = method.head.model
    assert method.num_answers == longest + 1 == model.config.layout.num_answers and model.config.symbols == ()
    attempts = method.attempt(test)
    prompts = [problem.prompt for problem in test]
    most = method.head.manner.most_tokens
    assert [each.text for each in attempts] == model.generate(prompts, max_new_tokens=most, do_sample=False)
    assert all(each.flops > 0 and each.steps == 2 and 1 <= each.tokens <= most for each in attempts)
    assert not method.recursive and method.depth_curve(test, 3) is None and len(method.course) == 2
    again = fitted(backbone, tmp_path).attempt(test)
    assert again == attempts


def test_the_writing_begins_from_a_draft_that_had_its_share_of_the_seconds(backbone, tmp_path, monkeypatch):
    given = []

    def noted(model, training, dev, recipe, folder, **options):
        given.append((type(model.head.decoder).__name__, round(recipe.max_seconds), training[0].path, dev[0].answer))
        return train(model, training, dev, recipe, folder, **options)

    for module in (draft, trained):
        monkeypatch.setattr(module, "train", noted)
    method = METHODS.build(replace(CONFIG, draft_share=0.25), backbone, TASK)
    problems, dev = TASK.problems("train", 12), TASK.problems("dev", 4)
    method.fit(problems, dev, tmp_path, Budget(40.0))
    text = (TASK.sentence(dev[0]),)
    (drafts, ten, path, answer), (writer, rest, bare, same) = given
    assert (drafts, ten, path, answer) == ("Tokens", 10, problems[0].path, text)
    assert (writer, bare, same) == ("SoftPrompt", (), text) and 25 <= rest <= 40
    assert (tmp_path / "draft" / "head.safetensors").exists() and method.train_seconds > sum(x for x, _ in method.course[-1:])
    given.clear()
    METHODS.build(replace(CONFIG, draft_share=0.0), backbone, TASK).fit(problems, dev, tmp_path / "alone", Budget(40.0))
    assert [name for name, *_ in given] == ["SoftPrompt"]
    with pytest.raises(ConfigError, match="draft_share is 1"):
        replace(CONFIG, draft_share=1)


def test_a_draft_is_scored_over_the_tokens_that_the_sentences_have(backbone, tmp_path):
    plain, blank = (
        replace(problem, answer=(text,)) for problem, text in zip(TASK.problems("dev", 2), ("213", "2 1"), strict=True)
    )
    assert Draft.of(backbone, [plain], 4) == Draft(("1", "2", "3", END), 4, (LEAST,) * 4)
    told = Draft((" 1", "3"), 4, (1.0,) * 4).rows(backbone, [replace(plain, path=("1", ""))])
    assert told == [replace(plain, answer=("2", "1", "3"), path=(" 1", ""), weights=(1.0,) * 4)]
    far = replace(plain, path=("9", "1"))
    assert Draft.of(backbone, [far], 4).symbols == ("1", "2", "3", "9", END), "a worked step that no sentence has"
    none = Draft.of(backbone, [plain, blank], 4)
    assert none.symbols == (), "a token that is a blank has no text of its own"
    assert none.rows(backbone, [far]) == [replace(far, path=())], "worked steps need symbols"
    close = replace(CONFIG, train=replace(CONFIG.train, num_steps=60, batch_size=4))
    method = METHODS.build(replace(close, draft_share=0.9), backbone, Joined(TASK.config))
    problems, dev = (Joined(TASK.config).problems(split, count) for split, count in (("train", 12), ("dev", 4)))
    method.fit(problems, dev, tmp_path, Budget(60.0))
    draft = hybrid.HybridModel.from_pretrained(tmp_path / "draft", backbone=backbone)
    assert draft.config.symbols[-1] == END and draft.config.layout.num_answers == method.num_answers == 4
    assert len(draft.solve([dev[0].prompt])[0].symbols) <= 4
    # The language model is shown that draft, and all that is learned is to ask for it.
    writer, kept = method.head.model, draft.head.state_dict()
    assert writer.config.decoder == SoftPrompt.Config(draft=draft.config.symbols, cue=CUE)
    learned = writer.head.state_dict()
    assert {name for name in learned if not torch.equal(learned[name], kept.get(name, torch.zeros(1)))} == {"decoder.cue"}
    zeroed = method.head.changed("zeroed", dev, 0).vectors(dev)
    assert not zeroed[:, :4].any() and torch.equal(zeroed[0, 4:], learned["decoder.cue"])


def test_a_draft_begins_from_a_head_of_symbols(backbone, tmp_path):
    sizes = replace(CONFIG.reasoner, width=24)
    config = hybrid.HybridConfig(
        hybrid.LayoutConfig(num_answers=1), ("a", "b"), hybrid.BackboneConfig(layers=(1,)), Words.Config(max_answers=1), sizes
    )
    hybrid.attach(backbone, config).save_pretrained(tmp_path / "symbols")
    method = fitted(backbone, tmp_path, replace(CONFIG, init=str(tmp_path / "symbols")))
    model = method.head.model
    assert (
        model.config.reasoner == sizes
        and model.config.backbone.layers == (1,)
        and model.config.encoder.max_answers == method.num_answers
    )
    assert (tmp_path / "draft" / "head.safetensors").exists()


def test_thoughts_are_changed_at_the_test_alone(backbone, tmp_path):
    plain, test = fitted(backbone, tmp_path).head, TASK.problems("test", 3)
    heads = {name: fitted(backbone, tmp_path, CONTROLS[name]).head for name in CHANGED}
    own = plain.vectors(test)
    other, zeroed, early = (heads[name].vectors(test) for name in CHANGED)
    donors = plain.model.soft_prompt(TASK.problems("dev", 4))[1]
    assert all(any(torch.allclose(row, each, atol=1e-5) for each in donors) for row in other)
    assert not zeroed.any() and zeroed.shape == own.shape
    torch.testing.assert_close(early, plain.model.soft_prompt(test, num_steps=1)[1])
    assert not torch.allclose(early, own) and heads["thoughts after 1 step"].attempt(test)[0].steps == 1


def test_one_step_of_a_head_that_takes_one_is_one_cycle(backbone, tmp_path):
    once = replace(CONFIG, reasoner=replace(CONFIG.reasoner, num_supervision_steps=1))
    head, test = fitted(backbone, tmp_path, replace(once, change="one_step")).head, TASK.problems("test", 2)
    early, own = head.vectors(test), head.model.soft_prompt(test)[1]
    assert not torch.allclose(early, own) and head.model.head.reasoner.extra_cycles == 0


def test_prompt_tuning_has_vectors_of_no_problem_and_a_random_recursion_is_left_as_it_began(backbone, tmp_path):
    tuned = fitted(backbone, tmp_path / "tuned", CONTROLS["prompt tuning"])
    rows = tuned.head.vectors(TASK.problems("test", 3))
    torch.testing.assert_close(rows, rows[:1].expand_as(rows))
    random = fitted(backbone, tmp_path / "random", CONTROLS["random recursion"])
    fresh = METHODS.build(CONTROLS["random recursion"], backbone, TASK)
    fresh.num_answers = random.num_answers
    begun = fresh._attached(0, backbone, None).head
    after = random.head.model.head
    kept = begun.reasoner.core.state_dict()
    assert all(torch.equal(after.reasoner.core.state_dict()[name], tensor) for name, tensor in kept.items())
    assert not torch.equal(after.decoder.out.weight, begun.decoder.out.weight)
    assert 0 < random.trainable_parameters < fitted(backbone, tmp_path / "plain").trainable_parameters


def test_every_control_differs_in_what_its_name_says():
    differing = {
        name: {f.name for f in fields(CONFIG) if getattr(each, f.name) != getattr(CONFIG, f.name)} - {"name"}
        for name, each in CONTROLS.items()
    }
    trained = {"prompt tuning": {"encoder", "reasoner", "draft_share", "train"}, "random recursion": {"recursion"}}
    assert differing == trained | {name: {"change"} for name in CHANGED}
    assert isinstance(CONTROLS["prompt tuning"].encoder, Learned.Config)
    for wrong in ({"decoder": Classes.Config()}, {"disturbance": "latent_zero"}):
        with pytest.raises(ConfigError):
            replace(CONFIG, **wrong)


def test_the_suite_of_thoughts_takes_a_task_of_ones_own():
    cells = suite("thoughts", Sort.Config(length=12)).cells
    assert {*CONTROLS, "latent thoughts", "lora cot"} <= {cell.name for cell in cells} and "no recursion" not in {
        cell.name for cell in cells
    }
    assert {cell.fitted_as for cell in cells if cell.name in CHANGED} == {"latent thoughts"}
    assert not {*CONTROLS} & {cell.name for cell in suite("standard").cells}
