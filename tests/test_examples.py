"""Every example runs, with --small, on a tiny language model."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from hybrid.eval.results import read_results
from hybrid.eval.scoring import checked
from hybrid.model import HybridModel

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, new_tokenizer, new_llama):
    """A tiny language model with room for worked examples, in which half of all tokens end a text."""
    folder = tmp_path_factory.mktemp("roomy-llama")
    tokenizer = new_tokenizer()
    tokenizer.model_max_length = 4096
    tokenizer.save_pretrained(folder)
    model = new_llama(len(tokenizer), max_position_embeddings=4096)
    model.generation_config.eos_token_id = list(range(0, len(tokenizer), 2))
    model.save_pretrained(folder)
    return folder


def run(processes, script, folder, output):
    argv = [str(EXAMPLES / script), "--small", "--backbone", str(folder), "--output", str(output)]
    code = f"import runpy, sys\nsys.argv = {argv!r}\nrunpy.run_path({argv[0]!r}, run_name='__main__')"
    ended = processes.run(code=code, cwd=output.parent)
    assert ended.code == 0, ended.err
    return ended


def test_every_example_has_a_test_and_says_how_it_is_run():
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    assert scripts == {"quickstart.py", "your_own_task.py", "your_own_data.py", "your_own_adapter.py", "gpu_check.py"}
    assert all(f"python examples/{name}" in (EXAMPLES / name).read_text() for name in scripts)


def test_the_quickstart_trains_compares_and_writes_the_report(processes, folder, tmp_path):
    ended = run(processes, "quickstart.py", folder, tmp_path / "quick")
    records = read_results(tmp_path / "quick" / "results.json")
    names = [record.method for record in records]
    assert names[:2] == ["hybrid", "no recursion"] and len(names) == 5
    assert [record.n for record in records] == [20, 20, 4, 4, 4]
    assert "few shot cot" in ended.out and "no recursion" in ended.out
    page = (tmp_path / "quick" / "report.html").read_text()
    assert "examples/quickstart.py --small" in page and "latent recursion against chain of thought" in page
    cells = (tmp_path / "quick" / "cells").glob("*/attempts.jsonl")
    assert sorted(len(cell.read_text().splitlines()) for cell in cells) == [4, 4, 4, 20, 20]
    model = HybridModel.from_pretrained(tmp_path / "quick" / "hybrid")
    assert model.config.task == {"kind": "sudoku", "size": 4}
    kept = (tmp_path / "quick" / "hybrid" / "head.safetensors").read_bytes()
    again = run(processes, "quickstart.py", folder, tmp_path / "quick")
    assert again.out.count("training: ") == 2
    assert (tmp_path / "quick" / "hybrid" / "head.safetensors").read_bytes() == kept


def test_a_task_of_ones_own_is_taught(processes, folder, tmp_path):
    ended = run(processes, "your_own_task.py", folder, tmp_path / "parity")
    assert "of 50 unseen rows right; the first: " in ended.out
    assert set(ended.out.split("the first: ")[1].split()) <= {"0", "1"}
    prompt = "Bits: 1 0 1\nFor each bit, is the count of ones so far odd (1) or even (0)?"
    (solution,) = HybridModel.from_pretrained(tmp_path / "parity").solve([prompt])
    assert len(solution.symbols) == 3


def test_data_of_ones_own_is_checked_and_taught(processes, folder, tmp_path):
    ended = run(processes, "your_own_data.py", folder, tmp_path / "data")
    assert "as it should be: " in ended.out and 'has no column "solution"; choose from its columns: question, answer' in ended.out
    assert "symbols 0 2 4 6 8 none <end>; up to 5 an answer" in ended.out
    assert "unseen rows right; Numbers: " in ended.out
    solutions = HybridModel.from_pretrained(tmp_path / "data" / "head").solve(["Numbers: 3 8. Which of them are even?"])
    assert set(solutions[0].symbols) <= {*"02468", "none"}


def test_an_adapter_of_ones_own_is_trained_saved_and_loaded(processes, folder, tmp_path):
    ended = run(processes, "your_own_adapter.py", folder, tmp_path / "own")
    assert ended.out.startswith("Outcome(step=10,")
    assert len(ended.out.strip().splitlines()[-1]) == 4 and set(ended.out.strip().splitlines()[-1]) <= set("1234")
    assert json.loads((tmp_path / "own" / "config.json").read_text())["config"]["encoder"]["kind"] == "per_layer"


@pytest.mark.parametrize("size", [4, 6, 9])
def test_a_trained_head_is_small_and_names_its_task(size):
    head = EXAMPLES / f"sudoku{size}"
    if not head.is_dir():
        pytest.skip("no trained head is there")
    config = json.loads((head / "config.json").read_text())["config"]
    assert config["task"]["kind"] == "sudoku" and config["symbols"] == [str(digit + 1) for digit in range(size)]
    assert (head / "head.safetensors").stat().st_size < 10e6


def test_the_head_that_reads_symbols_alone_solves_its_readmes_puzzle():
    head = EXAMPLES / "sudoku6"
    if not head.is_dir():
        pytest.skip("no trained head is there")
    model = HybridModel.from_pretrained(head)
    (solution,) = checked.solve(model, ["..5..4/4.216./....42/5.4.13/..3..1/25...6"], task=checked.task_of(model))
    assert solution.verified and solution.text.startswith("165324") and solution.confidence > 0.9


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: run the example itself")
def test_without_a_gpu_the_check_says_so_and_its_small_model_reads(tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("gpu_check", EXAMPLES / "gpu_check.py")
    check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    monkeypatch.setattr("sys.argv", ["gpu_check.py"])
    assert check.main() == 1 and "there is no CUDA GPU here" in capsys.readouterr().err
    llm = check.small_language_model(tmp_path / "llm")
    assert check.states(check.attached(llm), "cpu").shape == (32, 12, 3, 256)
    assert check.away(torch.ones(3), torch.ones(3)) == 0
