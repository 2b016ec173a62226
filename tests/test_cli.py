"""The command line: answers on standard output; a user's mistake is one line on standard error and exit code 2."""

import json
import shutil

import pytest

from hybrid.checkpoint import CONFIG, HEAD
from hybrid.cli import main
from hybrid.eval.tasks import Sort
from hybrid.eval.tasks.task import TASKS

PROMPT = "Sort these numbers from small to large: 3 1 2."
TASK = Sort(Sort.Config(length=3))


BROKEN = "hybrid: the answer breaks a rule of its task; --retry 3 thinks again\n"


@pytest.fixture(scope="module")
def head(sorter_folder):
    """A folder with an untrained head for lists of three digits."""
    return sorter_folder


def refused(ended, message):
    """Check that a command ended as a user's mistake: one line, no traceback, nothing on standard output."""
    assert ended.code == 2, ended.err
    assert ended.out == ""
    (line,) = ended.err.splitlines()
    assert line.startswith("hybrid: ") and "Traceback" not in line and message in line, line


def train(tiny_folder, output, *more):
    return [
        *("train", "--task", "sort", "--task.length", "3", "--output", output, "--quiet", "--num_train", "9", "--num_dev", "3"),
        *("--backbone.name", tiny_folder, "--reasoner.width", "16", "--reasoner.num_supervision_steps", "2"),
        *("--train.num_steps", "2", "--train.batch_size", "2", *more),
    ]


def record(folder):
    return json.loads((folder / CONFIG).read_text())["config"]


def solution(head):
    import hybrid

    return hybrid.HybridModel.from_pretrained(head).solve([PROMPT])[0]


def test_solve_prints_the_answer_to_an_argument_a_file_and_standard_input(processes, head, tmp_path):
    (tmp_path / "prompt.txt").write_text(PROMPT)
    expected = solution(head).text + "\n"
    for ended in (
        processes.run("solve", "--model", head, PROMPT),
        processes.run("solve", PROMPT, f"--model={head}"),
        processes.run("solve", "--model", head, "--file", tmp_path / "prompt.txt"),
        processes.run("solve", "--model", head, stdin=PROMPT.encode()),
    ):
        assert (ended.code, ended.out, ended.err) == (0, expected, BROKEN)  # The head is untrained.


def test_solve_json_prints_every_field_of_the_solution(processes, head):
    ended = processes.run("solve", "--model", head, PROMPT, "--json", "--halting", "fixed", "--num_steps", "4")
    found, expected = json.loads(ended.out), solution(head)
    assert found.keys() == vars(expected).keys() and len(ended.out.splitlines()) == 1
    assert found["steps"] == 4 == len(found["trajectory"]) and found["trajectory"][0] == list(expected.trajectory[0])


def test_inspect_draws_every_step(processes, head):
    ended = processes.run("inspect", "--model", head, PROMPT, "--halting", "fixed", "--num_steps", "3")
    assert ended.code == 0 and ended.err == ""
    assert PROMPT in ended.out and all(f"step {step}" in ended.out for step in (1, 2, 3)) and "step 4" not in ended.out
    assert "3 steps, took every step allowed" in ended.out


def test_inspect_draws_as_the_task_that_is_given(processes, head):
    ended = processes.run("inspect", "--model", head, PROMPT, "--num_steps", "1", "--task", "sort", "--task.length", "5")
    assert ended.code == 0 and "step 1" in ended.out


def test_a_halting_rule_that_the_head_was_not_made_for_is_refused(processes, head):
    ended = processes.run("solve", "--model", head, PROMPT, "--halting", "q_learning")
    assert ended.code == 2 and "reads 2 halt logits, the head has 1" in ended.err


def test_tasks_lists_all_tasks_and_shows_problems_of_one(processes):
    listed = processes.run("tasks")
    assert listed.code == 0 and all(name in listed.out for name in TASKS)
    shown = processes.run("tasks", "sort", "--num_problems", "2", "--json")
    prompts = [json.loads(line)["prompt"] for line in shown.out.splitlines()]
    assert prompts == [problem.prompt for problem in Sort(Sort.Config()).problems("train", 2)]
    longer = processes.run("tasks", "--task", "sort", "--task.length", "5", "--json", "--split", "test")
    assert len(json.loads(longer.out)["answer"]) == 5


def test_help_names_every_command_and_every_flag(processes):
    assert all(name in processes.run("--help").out for name in ("train", "solve", "bench", "inspect", "tasks"))
    ended = processes.run("train", "--help")
    assert ended.code == 0
    for flag in ("--task", "--output", "--encoder", "--reasoner.width", "--train.optimizer.learning_rate", "--backbone.name"):
        assert flag in ended.out


def test_a_quantised_head_is_trained_and_moved_by_flags_with_one_line_of_warning(processes, tiny_folder, tmp_path):
    ended = processes.run(*train(tiny_folder, tmp_path / "run", "--backbone.quantization", "int8"))
    assert ended.code == 0 and ended.err == "" and "dev exact match" in ended.out
    ended = processes.run("solve", "--model", tmp_path / "run", PROMPT, "--precision", "int8")
    assert ended.code == 0 and ended.err in ("", BROKEN)
    ended = processes.run("solve", "--model", tmp_path / "run", PROMPT, "--precision", "float32")
    (line,) = ended.err.removesuffix(BROKEN).splitlines()
    assert ended.code == 0 and line.startswith("hybrid: the head was trained on") and "in int8 with float32 and meets it" in line
    refused(processes.run("solve", "--model", tmp_path / "run", PROMPT, "--precision", "int3"), "precision")


def test_train_leaves_a_head_that_solve_reads(processes, tiny_folder, tmp_path):
    ended = processes.run(*train(tiny_folder, tmp_path / "run"))
    assert ended.code == 0 and ended.err == "" and "dev exact match" in ended.out
    assert processes.run("solve", "--model", tmp_path / "run", PROMPT).code == 0
    again = processes.run(*train(tiny_folder, tmp_path / "run"))
    assert again.code == 0 and again.out == ended.out
    refused(
        processes.run(*train(tiny_folder, tmp_path / "run", "--train.seed", "1")), "holds another run (train.seed is 1, was 0)"
    )


def test_a_kind_is_chosen_by_its_name_and_its_fields_follow(processes, tiny_folder, tmp_path):
    more = ("--encoder", "concat", "--encoder.max_answers", "3", "--decoder=tokens", "--reasoner.core", "feed_forward")
    ended = processes.run(*train(tiny_folder, tmp_path / "run", *more))
    assert ended.code == 0, ended.err
    found = record(tmp_path / "run")
    assert found["encoder"]["kind"] == "concat" and found["encoder"]["max_answers"] == 3
    assert found["decoder"]["kind"] == "tokens" and found["reasoner"]["core"]["kind"] == "feed_forward"


def test_flags_win_over_the_yaml_file_and_the_file_over_defaults(processes, tiny_folder, tmp_path):
    (tmp_path / "run.yaml").write_text(
        f"""
task: {{kind: sort, length: 3}}
output: {tmp_path / "from-file"}
quiet: true
num_train: 9
num_dev: 3
backbone: {{name: {tiny_folder}}}
encoder: {{kind: concat, max_answers: 4}}
reasoner: {{width: 24, num_supervision_steps: 2, core: {{kind: trm, num_latent_steps: 3}}}}
train: {{num_steps: 2, batch_size: 3, optimizer: {{learning_rate: 0.5}}}}
"""
    )
    flags = ("--reasoner.width", "16", "--output", tmp_path / "from-flag", "--train.batch_size", "2")
    for argv in ((*flags, "--config", tmp_path / "run.yaml"), (f"--config={tmp_path / 'run.yaml'}", *flags)):
        ended = processes.run("train", *argv)
        assert ended.code == 0, ended.err
        found = record(tmp_path / "from-flag")
        run = json.loads((tmp_path / "from-flag" / "run.json").read_text())["run"]["train"]
        assert found["reasoner"]["width"] == 16 and found["reasoner"]["core"]["num_latent_steps"] == 3
        assert found["encoder"]["kind"] == "concat" and found["encoder"]["max_answers"] == 4
        assert run["batch_size"] == 2 and run["optimizer"]["learning_rate"] == 0.5 and run["num_steps"] == 2
        shutil.rmtree(tmp_path / "from-flag")
    assert not (tmp_path / "from-file").exists()
    ended = processes.run("train", "--config", tmp_path / "run.yaml", "--encoder", "pooled")
    assert ended.code == 0 and record(tmp_path / "from-file")["encoder"]["kind"] == "pooled", ended.err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("fly",), 'command "fly" is unknown; choose one of: train, solve'),
        (("tasks", "chess"), 'task "chess" is unknown; choose one of'),
        (("tasks", "sort", "--split", "all"), 'split "all" is unknown'),
        (("tasks", "sort", "--num_problems", "many"), "num_problems"),
        (("tasks", "sort", "--num_problems", "-1"), "count is -1"),
        (("tasks", "--task", "sort", "--task.length", "1"), "sort.length is 1"),
        (("tasks", "--task", "sort", "--task.size", "3"), "size"),
        (("tasks", "table"), "table.train is missing; give a .csv"),
        (("tasks", "--task", "table", "--task.train", "none.csv"), "none.csv is not there; give the path"),
        (("tasks", "--task", "table", "--task.train", "x", "--task.unit", "byte"), "unit"),
        (("train", "--task", "chess", "--output", "x"), 'task "chess" is unknown'),
        (("train", "--task", "sort"), "--output is missing"),
        (("train", "--output", "x"), "--task is missing"),
        (("train", "--task", "sort", "--output", "x", "--encoder", "telepathy"), 'encoder "telepathy" is unknown'),
        (("train", "--task", "sort", "--output", "x", "--decoder", "morse"), 'decoder "morse" is unknown'),
        (
            ("train", "--task", "sort", "--output", "x", "--encoder.dropout", "0.1"),
            "dropout is a field of the encoder words: give",
        ),
        (("train", "--task", "sort", "--output", "x", "--reasoner.core", "magic"), 'core "magic" is unknown'),
        (("train", "--task", "sort", "--output", "x", "--reasoner.width", "-3"), "reasoner.width is -3"),
        (("train", "--task", "sort", "--output", "x", "--reasoner.width", "wide"), "width"),
        (("train", "--task", "sort", "--output", "x", "--nonsense", "3"), "nonsense"),
        (("train", "--task", "sort", "--output", "x", "--num_train", "0"), "num_train is 0"),
        (("train", "--task", "sort", "--output", "x", "--train.optimizer.learning_rate", "nan"), "learning_rate"),
        (("train", "--task", "sort", "--output", "x", "--backbone.name", "owner/none"), "is not in the local hub cache"),
        (("train", "--task", "sort", "--output", "x", "--backbone.name", "nowhere"), 'backbone "nowhere" is neither a folder'),
        (("train", "--task", "sort", "--output", "x", "--backbone.layers", "[99]", "--backbone.name", "TINY"), "layers has 99"),
        (("train", "--config", "none.yaml"), "cannot read none.yaml"),
        (("train", "--config"), "--config needs a YAML file"),
        (("train", "--config", "a.yaml", "--config", "b.yaml"), "--config is given twice; put all fields into one file"),
        (("tasks", "sort", "--task", "maze"), "give either sort or --task, not both"),
        (("solve", "--model", "nowhere", "1"), "nowhere holds no config.json"),
        (("solve", "--model", "owner/none", "1"), "owner/none holds no config.json"),
        (("bench", "--model", "nowhere"), "nowhere holds no config.json"),
        (("bench", "--model", "HEAD", "--methods", '["oracle"]'), '"oracle" is unknown'),
        (("bench", "--model", "HEAD", "--seconds", "9"), "--seconds does nothing with --model; leave it out"),
        (("bench", "--model", "HEAD", "--seeds", "[1, 2]"), "--seeds does nothing with --model; leave it out"),
        (("bench", "--suite", "quickstart", "--seeds", "[1, 1]"), "seeds is [1, 1]; give different whole numbers from 0 on"),
        (("bench", "--suite", "quickstart", "--num_steps", "9"), "--num_steps does nothing with --suite; leave it out"),
        (("inspect", "--model", "nowhere", "1"), "nowhere holds no config.json"),
        (("solve", "--model", "HEAD", ""), "the prompt is empty"),
        (("solve", "--model", "HEAD", " \\n "), "the prompt is empty"),
        (("inspect", "--model", "HEAD", ""), "the prompt is empty"),
        (("solve", "--model", "HEAD"), "the prompt is empty"),
        (("solve", "--model", "HEAD", "--file", "none.txt"), "cannot read none.txt: No such file or directory"),
        (("solve", "--model", "HEAD", "--file", "."), ". is a folder that save_to_disk did not write; name the files"),
        (("solve", "--model", "HEAD", "--file", "none.txt", "text"), "give a prompt or --file, not both"),
        (("solve", "--model", "HEAD", "no numbers"), "this head sorts 3 numbers from 0 to 9; the text has"),
        (("solve", "--model", "HEAD", PROMPT + " long" * 200), "the context of"),
        (("solve", "--model", "HEAD", PROMPT, "--num_steps", "0"), "num_steps is 0"),
        (("solve", "--model", "HEAD", PROMPT, "--batch_size", "0"), "batch_size is 0"),
        (("solve", "--model", "HEAD", PROMPT, "--halting", "never"), 'halting "never" is unknown'),
        (("solve", "--model", "HEAD", PROMPT, "--halting.tolerance", "1"), "tolerance"),
    ],
)
def test_a_wrong_argument_is_one_line_and_leaves_nothing(processes, head, tiny_folder, tmp_path, argv, message):
    places = {"HEAD": head, "TINY": tiny_folder}
    before = sorted(head.iterdir())
    refused(processes.run(*(places.get(word, word) for word in argv), cwd=tmp_path), message)
    assert list(tmp_path.iterdir()) == [] and sorted(head.iterdir()) == before


def test_without_a_command_the_usage_is_shown_and_the_code_is_two(processes):
    ended = processes.run()
    assert ended.code == 2 and "usage: hybrid" in ended.out


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.txt", b"", "the prompt is empty"),
        ("blank.txt", b" \n\t\n", "the prompt is empty"),
        ("empty.jsonl", b"\n\n", "holds no rows; give a file with at least one"),
        ("latin.txt", "Sort: 3 1 2 é".encode("latin-1"), "is not UTF-8 text (byte 12)"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(processes, head, tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    refused(processes.run("solve", "--model", head, "--file", tmp_path / name), message)


@pytest.mark.parametrize(("data", "message"), [(b"", "the prompt is empty"), (b"\xff\xfe", "standard input is not UTF-8")])
def test_standard_input_that_cannot_be_used_is_one_line(processes, head, data, message):
    refused(processes.run("solve", "--model", head, stdin=data), message)


@pytest.mark.parametrize("name", [HEAD, CONFIG])
@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_head_is_one_line(processes, head, tmp_path, name, damage):
    folder = tmp_path / "copy"
    shutil.copytree(head, folder)
    data = (folder / name).read_bytes()
    half = len(data) // 2
    changed = data[:half] if damage == "truncated" else data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]
    (folder / name).write_bytes(changed)
    for command in ("solve", "inspect"):
        refused(processes.run(command, "--model", folder, PROMPT), "is damaged")


def test_a_head_made_for_another_backbone_is_one_line(processes, head, tiny_folder, tmp_path, new_llama, new_tokenizer):
    other = tmp_path / "llama"
    new_llama(len(new_tokenizer()), seed=8).save_pretrained(other)
    new_tokenizer().save_pretrained(other)
    folder = tmp_path / "copy"
    shutil.copytree(head, folder)
    moved = tmp_path / "moved"
    shutil.copytree(tiny_folder, moved)
    # The folder that the head names holds another model now.
    data = json.loads((folder / CONFIG).read_text())
    assert data["config"]["backbone"]["name"] == str(tiny_folder)
    weights = tiny_folder / "model.safetensors"
    original = weights.read_bytes()
    try:
        weights.write_bytes((other / "model.safetensors").read_bytes())
        refused(processes.run("solve", "--model", folder, PROMPT), "the head was made for another backbone")
        weights.write_bytes(original[:-7])
        refused(processes.run("solve", "--model", folder, PROMPT), "transformers cannot load")
    finally:
        weights.write_bytes(original)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reasoner: {widht: 3}", "widht"),
        ("nonsense: 3", "nonsense"),
        ("reasoner: {width: wide}", "width"),
        ("reasoner: 3", "reasoner is 3"),
        ("encoder: {kind: telepathy}", 'encoder "telepathy" is unknown'),
        ("encoder: {kind: [aligned]}", "is unknown"),
        ("encoder: {kind: aligned, max_tokens: 3}", "max_tokens"),
        ("encoder: {max_positions: lots}", "max_positions"),
        ("encoder: [aligned]", "encoder"),
        ("encoder: 3", "encoder"),
        ("train: {optimizer: {learning_rate: fast}}", "learning_rate"),
        ("train: {loss: nonsense}", 'loss "nonsense" is unknown'),
        ("train: {mixed_precision: fp4}", "mixed_precision"),
        ("backbone: {layers: [first]}", "layers"),
        ("num_train: 1.5", "num_train"),
        ("3: 4", "3"),
        ("- a\n- b", "holds no mapping"),
        ("just text", "holds no mapping"),
        ("a: [", "as YAML"),
        ("", "holds no mapping"),
        ("\x00", "as YAML"),
    ],
)
def test_a_yaml_file_that_cannot_be_used_is_one_line_and_leaves_nothing(processes, tiny_folder, tmp_path, text, message):
    file = tmp_path / "run.yaml"
    file.write_text(text)
    for config in (("--config", file), (f"--config={file}",)):
        refused(processes.run(*train(tiny_folder, tmp_path / "run"), *config), message)
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


def test_a_yaml_file_that_is_no_text_is_one_line(processes, tmp_path):
    (tmp_path / "run.yaml").write_bytes(b"\xff\xfe\x00")
    refused(processes.run("train", "--config", tmp_path / "run.yaml"), "as YAML")


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
@pytest.mark.parametrize("place", ["file/run", "/proc/run"])
def test_an_output_folder_that_cannot_be_written_is_one_line(processes, tiny_folder, tmp_path, place, more):
    (tmp_path / "file").write_text("kept")
    refused(processes.run(*train(tiny_folder, tmp_path / place, *more)), "cannot write")
    assert (tmp_path / "file").read_text() == "kept" and len(list(tmp_path.iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_one_line(processes, tiny_folder, tmp_path):
    (tmp_path / "file").write_text("")
    ended = processes.run(*train(tiny_folder, tmp_path / "run"), env={"HYBRID_CACHE": str(tmp_path / "file" / "cache")})
    refused(ended, "set HYBRID_CACHE to another folder")


@pytest.mark.slow
def test_a_reader_that_closes_the_pipe_is_no_error(root):
    import subprocess
    import sys

    command = f"{sys.executable} -m hybrid tasks sort --num_problems 3000 --json | head -n 1"
    ended = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, cwd=root)
    assert ended.stderr == "" and ended.returncode == 0 and len(ended.stdout.splitlines()) == 1


def test_layers_prints_what_a_probe_reads_from_each(processes, tiny_folder):
    ended = processes.run(
        *("layers", "--task", "sort", "--task.length", "2", "--backbone.name", tiny_folder, "--num_train", "40", "--num_dev", "9")
    )
    lines = ended.out.splitlines()
    assert ended.code == 0, ended.err
    assert [line.split()[1] for line in lines[:-2]] == ["0", "1", "2", "3"] and "%" in lines[0]
    assert lines[-2].startswith("all layers together") and "--backbone.layers '[0, " in lines[-1]


def test_a_stranger_s_file_trains_without_a_further_flag(processes, tiny_folder, tmp_path):
    rows = [
        {"prompt": f"Ann has {i} cats. Bob has {j}. More?", "answer": ("Ann", "Bob")[i < j]} for i in range(9) for j in range(9)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    small = ("--backbone.name", tiny_folder, "--reasoner.width", "16", "--train.num_steps", "2", "--train.mixed_precision", "no")
    ended = processes.run("train", "--task", "table", "--task.train", tmp_path / "a.jsonl", "--output", tmp_path / "run", *small)
    assert ended.code == 0, ended.err
    assert "encoder words, for up to 1000 words" in ended.out and "a flag of your own replaces each" in ended.out
    assert "floor on dev: the commonest answer" in ended.err
    config = record(tmp_path / "run")
    assert config["encoder"]["kind"] == "words" and config["task"]["unit"] == "whole" and config["reasoner"]["width"] == 16
    answer = processes.run("solve", "--model", tmp_path / "run", rows[0]["prompt"])
    assert answer.out.strip() in ("Ann", "Bob")


def test_the_doctor_fills_one_screen_and_the_version_is_one_line(capsys):
    assert main(["doctor", "--backbone", "nobody/nothing"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24 and any(line.startswith("torch") for line in lines)
    assert "nobody/nothing is not here" in lines[-1] or "nobody/nothing" in " ".join(lines)
    assert main(["--version"]) == 0 and capsys.readouterr().out.startswith("hybrid ")
