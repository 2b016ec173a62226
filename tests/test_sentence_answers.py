"""Answers as sentences: what is learned, and what is read in what a head wrote."""

import hybrid
from hybrid.cli import main
from hybrid.eval.scoring.scoring import score
from hybrid.eval.tasks.maze import Maze
from hybrid.eval.tasks.state_tracking import StateTracking
from hybrid.eval.text.sentences import as_sentence, meant, slots

STORY = StateTracking(StateTracking.Config(objects=3, swaps=2))


def test_a_sentence_says_what_the_symbols_say():
    problem = STORY.problems("train", 1)[0]
    told = as_sentence(STORY, problem)
    assert told.answer == (STORY.sentence(problem),) and told.path == told.steps == () and told.prompt == problem.prompt
    assert meant((), STORY, told.answer, problem) == problem.answer == meant(STORY.symbols, STORY, problem.answer, problem)
    assert meant((), STORY, ("I do not know.",), problem) == () and not STORY.right((), problem)


def test_slots_are_the_tokens_of_the_longest_answer_and_its_end(backbone):
    told = [as_sentence(STORY, problem) for problem in STORY.problems("train", 5)]
    assert slots(backbone.tokenizer, told) == 1 + max(len(backbone.tokenizer(each.answer[0])["input_ids"]) for each in told)


def test_a_head_that_writes_is_trained_on_a_task_and_scored_by_what_it_wrote(tiny_folder, tmp_path, capsys, monkeypatch):
    flags = ["--task", "sort", "--task.length", "3", "--num_train", "8", "--num_dev", "4", "--backbone.name", str(tiny_folder)]
    sizes = [
        "--backbone.layers",
        "[0, 2]",
        "--encoder.max_words",
        "32",
        "--reasoner.width",
        "16",
        "--reasoner.block.num_heads",
        "4",
    ]
    steps = ["--train.num_steps", "2", "--train.batch_size", "4", "--output", str(tmp_path / "head"), "--quiet"]
    assert main(["train", *flags, *sizes, *steps, "--encoder", "words", "--decoder", "soft_prompt"]) == 0
    model = hybrid.HybridModel.from_pretrained(tmp_path / "head")
    assert model.config.symbols == () and model.config.layout.num_answers == 6 and model.config.task["kind"] == "sort"
    capsys.readouterr()
    assert (
        main(["score", "--model", str(tmp_path / "head"), "--num_problems", "3"]) == 0
        and " of 3 right" in capsys.readouterr().out
    )
    problems = hybrid.eval.tasks.TASKS.build(hybrid.eval.tasks.sort.Sort.Config(length=3)).problems("test", 4)
    written = iter([[f"They are {' '.join(each.answer)}."] for each in problems for _ in range(2)])
    monkeypatch.setattr(type(model.head.decoder), "answer", lambda self, indices: tuple(next(written)))
    assert score(model, problems, batch_size=1).right == 1


def test_a_head_that_writes_learns_symbols_then_a_draft_then_to_ask_for_it(tiny_folder, tmp_path, capsys):
    rows = "".join(f"the {noun} {i} is {name},{name}\n" for i in range(8) for noun in ("cat", "hat") for name in "12")
    (tmp_path / "my.csv").write_text("prompt,answer\n" + rows)
    flags = [
        "--task",
        "table",
        "--task.train",
        str(tmp_path / "my.csv"),
        "--task.sentence",
        "3{}",
        "--decoder",
        "soft_prompt",
    ]
    sizes = ["--backbone.name", str(tiny_folder), "--backbone.layers", "[0, 2]", "--reasoner.width", "16"]
    steps = ["--train.num_steps", "2", "--train.batch_size", "4", "--output", str(tmp_path / "head"), "--quiet"]
    command = ["train", *flags, *sizes, "--reasoner.block.num_heads", "4", *steps]
    assert main(command) == 0 and main(command) == 0
    symbols, draft, head = (hybrid.HybridModel.from_pretrained(tmp_path / "head" / name) for name in ("symbols", "draft", ""))
    assert symbols.config.symbols == ("1", "2") and draft.config.symbols[-1] == "<end>" and head.config.symbols == ()
    assert symbols.config.layout.num_answers == 1 and draft.config.layout == head.config.layout
    assert (tmp_path / "head" / "symbols" / "run.json").exists()
    capsys.readouterr()
    assert main([*command, "--dry_run", "--overwrite"]) == 0 and "memory" in capsys.readouterr().out
    other = [str(tmp_path / "warm") if word == str(tmp_path / "head") else word for word in command]
    assert main([*other, "--init", str(tmp_path / "head" / "draft")]) == 0
    assert not (tmp_path / "warm" / "draft").exists()


def test_a_text_that_answers_nothing_fails_the_check():
    task = Maze(Maze.Config(size=5))
    problem = task.problems("dev", 1)[0]
    assert task.check(problem.prompt, meant((), task, ("no way",), problem)) is False
    assert task.check(problem.prompt, meant((), task, as_sentence(task, problem).answer, problem)) is True
