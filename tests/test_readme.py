"""README.md, docs/ and eval/RESULTS.md say what is: Python runs, paths exist, commands parse, tables are complete."""

import ast
import os
import re
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from hybrid.adapters import DECODERS, ENCODERS
from hybrid.cli import COMMANDS
from hybrid.eval.bench.study import read
from hybrid.eval.studies import STUDIES, TABLES
from hybrid.flags.parser import parse
from hybrid.recursion.cores import CORES
from hybrid.recursion.gradients import GRADIENTS
from hybrid.recursion.halting import HALTING
from hybrid.recursion.reasoner import Reasoner

ROOT = Path(__file__).parents[1]
NAMES = ["README.md", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.md"))), "eval/RESULTS.md"]
PAGES = {page: (ROOT / page).read_text(encoding="utf-8") for page in NAMES}
TEXT = "\n".join(PAGES.values())
NOT_YET = {"examples/sudoku4", "examples/sudoku6", "examples/sudoku9"}
"""Made by training; named before they are there."""


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.S | re.M)


def command_lines(program):
    lines = "\n".join(blocks("sh")).splitlines()
    inline = re.findall(rf"`({program} [^`]+)`", TEXT)
    return [line for line in (*lines, *inline) if re.match(rf"{program}\b", line)]


def rows(first):
    """Return the cells of the table whose head begins with `first`."""
    lines = TEXT.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first} |"))
    table = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


def exists(path):
    return (ROOT / path).exists() or str(path).rstrip("/") in NOT_YET


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.splitlines()[0])
def test_every_python_block_compiles_and_imports_what_exists(code):
    tree = ast.parse(code, "README.md")
    compile(tree, "README.md", "exec")
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    exec(compile(ast.Module(imports, []), "README.md", "exec"), {})


def test_the_python_block_runs_on_a_tiny_model(tiny_folder, tmp_path, monkeypatch, capsys):
    (code,) = set(blocks("python"))
    smaller = {
        '"HuggingFaceTB/SmolLM2-135M-Instruct"': repr(str(tiny_folder)),
        "2000": "12",
        "300": "4",
        "num_steps=1500": "num_steps=2, batch_size=2",
    }
    for old, new in smaller.items():
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["solution"].text in capsys.readouterr().out and (tmp_path / "runs" / "mine" / "head.safetensors").is_file()
    assert names["again"].solve([names["puzzle"].prompt])[0].symbols == names["solution"].symbols


def test_every_link_leads_to_a_file():
    for page, text in PAGES.items():
        links = re.findall(r"\]\(([^)#\s]+)\)", text)
        assert [link for link in links if not link.startswith("http") and not exists((ROOT / page).parent / link)] == []


def test_every_path_below_a_folder_of_ours_exists():
    named = set(re.findall(r"\b(?:hybrid|adapters|train|eval|tests|examples)/[\w./-]*\w", TEXT))
    assert named and [path for path in sorted(named) if not exists(path)] == []
    assert [path for path in NOT_YET if path not in named] == []


def test_the_map_names_folders_and_files_that_exist():
    for folder, holds in rows("where"):
        folder = folder.strip("`")
        assert (ROOT / folder).is_dir(), folder
        for name in re.findall(r"`([\w/.-]+)`", holds):
            assert any((ROOT / folder / f"{name.rstrip('/')}{end}").exists() for end in ("", ".py")), f"{folder}{name}"


def test_the_readme_is_short_and_its_table_is_that_of_the_results():
    assert len(PAGES["README.md"].splitlines()) <= 150
    small = [line.strip("| ").split(" | ") for line in _marked("small")[2:]]
    exact, cost = ({row[0]: row[1:] for row in map(_cells, _marked(mark)[2:])} for mark in ("exact", "cost"))
    for place, (_, *figures) in enumerate(small):
        of = [exact[name][place].strip("*") for name in ("hybrid", "no recursion", "few shot cot", "lora cot")]
        assert figures[:4] == [figure.split(" (")[0] for figure in of]
        assert f"{figures[4]} seconds" in cost["few shot cot"][place]
    assert len(small) == 7


def _cells(line):
    return [cell.strip() for cell in line.strip("| ").split(" | ")]


def _marked(mark):
    return TEXT.split(f"<!-- {mark} -->")[1].split("<!-- end -->")[0].strip().splitlines()


def test_the_documentation_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    )
    assert built.returncode == 0, built.stderr[-2000:]
    assert "HybridModel" in (tmp_path / "site" / "api" / "index.html").read_text(encoding="utf-8")


def test_the_map_leaves_out_no_folder_of_code():
    named = {folder.strip("`/") for folder, _ in rows("where")}
    assert named == {"hybrid", "hybrid/backbone", "hybrid/recursion", "hybrid/inference", "adapters", "train", "eval", "examples"}


@pytest.mark.parametrize(
    ("family", "kinds"), [("core", CORES), ("gradient", GRADIENTS), ("halting", HALTING), ("encoder", ENCODERS)]
)
def test_the_table_of_kinds_is_complete(family, kinds):
    assert Reasoner  # Its import files every kind.
    listed = {name: re.findall(r"`(\w+)`", names) for name, names in rows("family")}
    assert sorted(listed[family]) == sorted(kinds)


def test_the_drawing_and_the_map_name_the_decoders():
    assert all(f"`{kind}`" in TEXT for kind in DECODERS)


@pytest.mark.parametrize("line", command_lines("hybrid"), ids=str)
def test_every_hybrid_command_parses(line, capsys):
    _, command, *flags = shlex.split(line, comments=True)
    assert command in COMMANDS
    if "--help" in flags:
        with pytest.raises(SystemExit) as end:
            parse(COMMANDS[command], flags, f"hybrid {command}")
        assert end.value.code == 0
    else:
        assert isinstance(parse(COMMANDS[command], flags, f"hybrid {command}"), COMMANDS[command])


@pytest.mark.parametrize("line", [*command_lines("accelerate"), *command_lines("torchrun")], ids=str)
def test_every_launched_command_parses(line):
    launcher, _, flags = line.partition(" -m hybrid.train ")
    assert isinstance(parse(COMMANDS["train"], shlex.split(flags), "hybrid train"), COMMANDS["train"])
    assert all(exists(path) for path in re.findall(r"--config_file (\S+)", launcher))


def test_every_command_of_the_program_is_shown():
    assert {line.split()[1] for line in command_lines("hybrid")} == set(COMMANDS)


def test_every_make_target_exists():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    asked = [line.split()[1].strip("`") for line in command_lines("make")]
    assert asked and set(asked) <= set(targets)


def test_flags_and_fields_named_in_the_text_exist(capsys):
    with pytest.raises(SystemExit):
        parse(COMMANDS["train"], ["--help"], "hybrid train")
    listed = capsys.readouterr().out
    for name in re.findall(r"`((?:encoder|train|reasoner|backbone)\.\w+)`", TEXT):
        assert f"--{name}" in listed, name


def test_the_table_of_figures_is_the_committed_results_file():
    from hybrid.eval.results import markdown_table, read_results

    path = ROOT / "eval" / "results" / "quickstart.json"
    assert markdown_table(read_results(path)) in TEXT


@pytest.mark.parametrize("name", STUDIES)
def test_the_tables_of_a_study_are_those_of_its_committed_results(name):
    results = read(ROOT / "eval" / "results" / f"{name}.json")
    assert results and all(show(results) in TEXT for show in TABLES[name])


def test_the_table_of_other_words_is_that_of_its_committed_results():
    from hybrid.eval.results import read_results
    from hybrid.eval.wordings import table

    assert table(read_results(ROOT / "eval" / "results" / "wordings.json")) in TEXT


def made_report(name, folder):
    """Return the report, without plots, of the raw answers in an archive."""
    from hybrid.eval.report.entries import tasks_of
    from hybrid.eval.report.pages import markdown_report
    from hybrid.eval.report.suite_folder import read_suite
    from hybrid.eval.report.verdicts import against_all

    with tarfile.open(ROOT / "eval" / "results" / f"{name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    suite = read_suite(folder / name)
    tasks = tasks_of(suite)
    return markdown_report(suite, tasks, against_all(tasks), {task.slug: [] for task in tasks})


def table_of(report, heading):
    """Return the first table behind a heading."""
    part = report[report.index(f"## {heading}") :]
    return part[part.index("| method |") :].split("\n\n")[0]


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    return {name: made_report(name, tmp_path_factory.mktemp("raw")) for name in ("standard", "seeds")}


@pytest.mark.parametrize("name", ["standard", "seeds"])
def test_the_report_of_a_suite_is_what_its_archive_gives(reports, name):
    assert reports[name] == (ROOT / "eval" / "results" / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "mark", "heading", "least"),
    [
        ("standard", "exact", "Exact answers", 12),
        ("standard", "cost", "Cost of a problem", 4),
        ("standard", "lora", "Stories, 6 swaps\n", 6),
        ("seeds", "seeds", "Exact answers", 5),
    ],
)
def test_the_tables_of_suites_are_rows_of_their_committed_folders_reports(reports, name, mark, heading, least):
    shown = TEXT[TEXT.index(f"<!-- {mark} -->") :].split("<!-- end -->")[0].strip().splitlines()[1:]
    made = table_of(reports[name], heading).splitlines()
    assert len(shown) >= least and shown == [row for row in made if row in shown] and shown[:2] == made[:2]
